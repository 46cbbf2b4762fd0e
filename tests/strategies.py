"""Hypothesis strategies for values of the neutral conversation model.

``conversations()`` gives histories a client could really send: turns alternate sensibly, every tool result follows its
call. ``answers()`` gives what a model could answer with. Both are plain values; protocol tests narrow them by the
keyword arguments (``media=False`` …) to what their wire format can hold.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from hypothesis import strategies as st

from headgate.conversation import (
    FunctionTool,
    Item,
    Media,
    Message,
    Part,
    Reasoning,
    Refusal,
    Request,
    Sampling,
    Sealed,
    Text,
    Thought,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.usage import Usage

# How long an example takes says something of the machine and nothing of the code.

# Text that has broken gateways: separators that str.splitlines honours, quotes, astral characters, CR and LF.
HARD = ["\u2028", "\u2029", "\x85", "\r\n", "\n\n", '"', "\\", "😀", "é", "\x00", "</system>", "data: ", "\t"]

_letters = st.sampled_from([*"abcdefghijklmnopqrstuvwxyz ABC012.,{}[]:", *HARD])

texts = st.lists(_letters, min_size=1, max_size=10).map("".join)
"""Non-empty text without lone surrogates. Drawn from a fixed alphabet, because histories need many of them."""

visible_texts = texts.filter(lambda text: bool(text.strip()))
"""Text with at least one character that is not whitespace."""

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(texts, json_values, max_size=3)

names = st.builds("{}_{}".format, st.sampled_from(["get", "Set-it", "f", "x" * 50]), st.integers(0, 999))
"""Tool names that every vendor accepts."""

call_ids = st.integers(0, 10**12).map("call_{:x}".format)
schemas = st.dictionaries(names, st.sampled_from([{"type": "string"}, {"type": "integer"}]), max_size=3).map(
    lambda properties: {"type": "object", "properties": properties, "additionalProperties": False}
)

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 16).decode()
PDF = base64.b64encode(b"%PDF-1.4\n%%EOF\n").decode()

images = st.sampled_from(
    [
        Media("image", url="https://example.com/cat.png"),
        Media("image", data=PNG, media_type="image/png"),
    ]
)
files = st.sampled_from([Media("file", data=PDF, media_type="application/pdf", filename="report.pdf")])


def compact(value: Any) -> str:
    """JSON as models write it: no spaces, no ASCII escapes."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def parts(*, media: bool = True) -> st.SearchStrategy[tuple[Part, ...]]:
    """What a user says: at least one part."""
    one: st.SearchStrategy[Part] = visible_texts.map(Text)
    if media:
        one = one | images | files
    return st.lists(one, min_size=1, max_size=3).map(tuple)


def sealed(protocol: str, provider: str | None = None, model: str | None = None) -> st.SearchStrategy[Sealed]:
    """A seal made by the given protocol, provider and model."""
    data = st.binary(min_size=6, max_size=24).map(lambda raw: base64.b64encode(raw).decode())
    return data.map(lambda text: Sealed(protocol, text, provider, model))


def thoughts(seals: st.SearchStrategy[Sealed | None] | None = None) -> st.SearchStrategy[Reasoning]:
    """A reasoning item with text, a seal, or both."""
    seals = st.none() if seals is None else seals
    return st.builds(
        Reasoning,
        parts=st.lists(visible_texts.map(Thought), max_size=1).map(tuple),
        sealed=seals,
    ).filter(lambda item: bool(item.parts or item.sealed))


tool_calls = st.builds(ToolCall, call_id=call_ids, name=names, arguments=json_objects.map(compact))


@st.composite
def answers(
    draw: st.DrawFn,
    *,
    seals: st.SearchStrategy[Sealed | None] | None = None,
    refusals: bool = True,
) -> tuple[Item, ...]:
    """The items of one answer: perhaps thinking, perhaps text, perhaps calls; never nothing at all."""
    items: list[Item] = []
    if draw(st.booleans()):
        items.append(draw(thoughts(seals)))
    said = draw(st.lists(visible_texts, max_size=2))
    if said:
        items.append(Message("assistant", tuple(Text(text) for text in said)))
    elif refusals and draw(st.booleans()):
        items.append(Message("assistant", (Refusal(draw(visible_texts)),)))
    items += draw(st.lists(tool_calls, max_size=3, unique_by=lambda call: call.call_id))
    return tuple(items) or (Message("assistant", (Text(draw(visible_texts)),)),)


@st.composite
def conversations(
    draw: st.DrawFn,
    *,
    media: bool = True,
    seals: st.SearchStrategy[Sealed | None] | None = None,
    system: bool = True,
    max_turns: int = 3,
) -> tuple[Item, ...]:
    """A history that ends with the user's side: a message or the results of the calls before it."""
    items: list[Item] = []
    if system and draw(st.booleans()):
        items.append(Message(draw(st.sampled_from(["system", "developer"])), (Text(draw(visible_texts)),)))
    items.append(Message("user", draw(parts(media=media))))
    used: set[str] = set()
    for _ in range(draw(st.integers(0, max_turns))):
        answer = draw(answers(seals=seals, refusals=False))
        calls = [item for item in answer if isinstance(item, ToolCall)]
        if used & {call.call_id for call in calls}:
            continue
        used |= {call.call_id for call in calls}
        items += answer
        for call in calls:
            result = draw(parts(media=media))
            items.append(ToolResult(call.call_id, result, is_error=draw(st.sampled_from([None, True]))))
        if not calls or draw(st.booleans()):
            items.append(Message("user", draw(parts(media=media))))
    return tuple(items)


function_tools = st.builds(
    FunctionTool, name=names, description=st.none() | visible_texts, parameters=schemas, strict=st.none()
)


@st.composite
def requests(draw: st.DrawFn, **kinds: Any) -> Request:
    """A whole request; keyword arguments go to ``conversations``."""
    tools = tuple(draw(st.lists(function_tools, max_size=3, unique_by=lambda tool: tool.name)))
    choices = [None, ToolChoice("auto")]
    if tools:
        choices += [ToolChoice("none"), ToolChoice("required"), ToolChoice("named", (("function", tools[0].name),))]
    return Request(
        model="auto",
        items=draw(conversations(**kinds)),
        instructions=tuple(draw(st.lists(visible_texts.map(Text), max_size=1))),
        tools=tools,
        tool_choice=draw(st.sampled_from(choices)),
        parallel_tool_calls=draw(st.sampled_from([None, False])) if tools else None,
        sampling=Sampling(
            max_tokens=draw(st.integers(1, 4096)),
            temperature=draw(st.none() | st.sampled_from([0.0, 0.5, 1.0])),
            stop=tuple(draw(st.lists(visible_texts, max_size=2))),
        ),
        stream=draw(st.booleans()),
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Consistent counts: every class lies within its total."""
    read, write_5m, write_1h, fresh = (draw(st.integers(0, 10**6)) for _ in range(4))
    output = draw(st.integers(0, 10**6))
    return Usage(
        input_total=read + write_5m + write_1h + fresh,
        cache_read=read,
        cache_write_5m=write_5m,
        cache_write_1h=write_1h,
        output_total=output,
        reasoning=draw(st.integers(0, output)),
        web_searches=draw(st.integers(0, 5)),
    )

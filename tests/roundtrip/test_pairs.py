"""Every pair of protocols: what goes in one side comes out of the other, or was announced as lost."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.conversation import (
    FunctionTool,
    Item,
    Message,
    OpaqueItem,
    Reasoning,
    Refusal,
    Request,
    Sealed,
    Text,
    ToolCall,
    ToolResult,
)
from headgate.events import Event, Finished, Started, UsageUpdated, events_of
from headgate.fold import Answer, fold
from headgate.protocols.contract import Reply, Target
from headgate.protocols.registry import client_side, tool_names, upstream_side
from headgate.protocols.sealing import sealer, unsealer
from headgate.protocols.sse import FrameSplitter, parse_frame
from headgate.usage import Usage
from tests.strategies import answers, requests

PROTOCOLS = ["responses", "chat_completions", "messages"]
PAIRS = list(itertools.product(PROTOCOLS, PROTOCOLS))
TARGETS = {
    "responses": Target("openai", "gpt-5.4", efforts=("none", "low", "medium", "high", "xhigh")),
    "chat_completions": Target("openai", "gpt-5.4", efforts=("none", "low", "medium", "high", "xhigh")),
    "messages": Target("anthropic", "claude-sonnet-4-6", 64_000, efforts=("low", "medium", "high", "max")),
}
SECRET, OWNER = b"s" * 32, "owner"

pairs = pytest.mark.parametrize(("frontend", "upstream"), PAIRS)
quick = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def reply() -> Reply:
    return Reply(
        id="resp_1",
        created_at=1_800_000_000,
        model="anthropic/claude-sonnet-4-6",
        body={
            "model": "m",
            "include": ["reasoning.encrypted_content"],
            "stream": True,
            "stream_options": {"include_usage": True},
        },
        price=lambda usage: usage.total,
        seal=sealer(SECRET, OWNER),
        completed_at=lambda: 1_800_000_001,
    )


def wire(frontend: str, items: tuple[Item, ...]) -> list[Event]:
    """``items`` as the answer of an upstream."""
    usage = Usage(input_total=25, cache_read=8, output_total=16, reasoning=5)
    calls = any(isinstance(item, ToolCall) for item in items)
    reason = "tool_calls" if calls else "stop"
    return [Started("up_1", "m"), *events_of(items), UsageUpdated(usage), Finished(reason)]


def read_back(protocol: str, stream: bytes) -> Answer:
    """What a client of ours that speaks ``protocol`` understands of ``stream``: our own upstream reader is one."""
    reader = upstream_side(protocol).reader(TARGETS[protocol], tool_names(protocol))
    events: list[Event] = []
    for frame in FrameSplitter().feed(stream):
        name, data = parse_frame(frame)
        if data is not None:
            events += reader.read(name, data)
    return fold([*events, *reader.end()])


def said(items: tuple[Item, ...]) -> list[tuple[str, ...]]:
    """The visible content, without what identifies or decorates it, neighbouring texts joined."""
    found: list[tuple[str, ...]] = []

    def add(kind: str, text: str) -> None:
        if not text:
            return
        if found and found[-1][0] == kind and kind in ("text", "thought"):
            found[-1] = (kind, found[-1][1] + text)
        else:
            found.append((kind, text))

    for item in items:
        match item:
            case Message(parts=parts) | Reasoning(parts=parts):
                for part in parts:
                    if isinstance(part, Text | Refusal):
                        add("text", part.text)
                    else:
                        add("thought", getattr(part, "text", ""))
            case ToolCall():
                found.append(("call", item.call_id, item.name, item.arguments))
            case OpaqueItem() | _:
                found.append(("other", type(item).__name__))
    return found


def grouped(items: tuple[Item, ...]) -> list[tuple[str, ...]]:
    """``said``, with thoughts first, then text, then calls: the order that Chat Completions can express."""
    rows = said(items)
    texts = "".join(row[1] for row in rows if row[0] == "text")
    thoughts = "".join(row[1] for row in rows if row[0] == "thought")
    return [("thought", thoughts), ("text", texts), *(row for row in rows if row[0] == "call")]


@pairs
@quick
@given(items=answers(seals=st.none()))
def test_an_answer_survives_every_frontend(frontend: str, upstream: str, items: tuple[Item, ...]):
    # The upstream's own way of saying it, as our writer for that protocol produces it …
    writer = client_side(upstream).writer(reply())
    first = read_back(upstream, b"".join(writer.write(event) for event in wire(upstream, items)))
    assert first.error is None
    # … and from there through the frontend.
    again = client_side(frontend).writer(reply())
    events = [
        Started("up_1", "m"),
        *events_of(first.items),
        UsageUpdated(first.usage),
        first.finished or Finished("stop"),
    ]
    second = read_back(frontend, b"".join(again.write(event) for event in events))
    assert second.error is None
    assert grouped(second.items) == grouped(items)
    assert first.finished and second.finished
    declined = any(isinstance(part, Refusal) for item in items if isinstance(item, Message) for part in item.parts)
    # OpenAI ends a refusal with "stop", Anthropic has a word for it.
    assert declined or second.finished.reason == first.finished.reason
    for usage in (first.usage, second.usage):
        assert (usage.input_total, usage.cache_read, usage.output_total) == (25, 8, 16)
        # Only the count of reasoning tokens may be unknown to a protocol, never wrong.
        assert usage.reasoning in (0, 5)


@pairs
@quick
@given(items=answers(seals=st.none()))
def test_streamed_equals_not_streamed(frontend: str, upstream: str, items: tuple[Item, ...]):
    events = wire(upstream, items)
    writer = client_side(frontend).writer(reply())
    for event in events:
        writer.write(event)
    assert writer.body() == client_side(frontend).write_answer(fold(events), reply())


def texts_of(request: Request) -> list[str]:
    """Every text a person or a tool said, in order."""
    found = [part.text for part in request.instructions]
    for item in request.items:
        if isinstance(item, Message | ToolResult):
            found += [part.text for part in item.parts if isinstance(part, Text | Refusal)]
    return found


def calls_of(request: Request) -> list[tuple[str, Any]]:
    return [(item.name, json.loads(item.arguments)) for item in request.items if isinstance(item, ToolCall)]


@pytest.mark.parametrize("upstream", PROTOCOLS)
@quick
@given(request=requests(media=False, seals=st.none(), system=True))
def test_a_request_arrives_whole(upstream: str, request: Request):
    names = tool_names(upstream)
    body, _ = upstream_side(upstream).write_request(request, TARGETS[upstream], names)
    assert json.loads(json.dumps(body)) == body
    arrived, _ = client_side(upstream).read_request(body, unsealer(SECRET, OWNER, upstream))
    everything = "\n".join(texts_of(arrived))
    for text in texts_of(request):
        assert text.strip() in everything
    assert [(names.from_wire(name), arguments) for name, arguments in calls_of(arrived)] == calls_of(request)
    offered = {names.from_wire(tool.name) for tool in arrived.tools if isinstance(tool, FunctionTool)}
    # Anthropic wants every tool that the history calls to be declared, so there may be more.
    assert offered >= {tool.name for tool in request.tools if isinstance(tool, FunctionTool)}


@pairs
def test_a_signature_comes_home_through_any_frontend(frontend: str, upstream: str):
    if upstream == "chat_completions":
        pytest.skip("a plain Chat Completions upstream makes no seals")
    target = TARGETS[upstream]
    kind = "encrypted" if upstream == "responses" else "signature"
    made = Sealed(upstream, "c2lnbmF0dXJl", target.provider, target.model, kind)  # type: ignore[arg-type]
    thinking = Reasoning((), sealed=made)
    items: tuple[Item, ...] = (thinking, ToolCall("call_1", "f", "{}"))
    body = client_side(frontend).write_answer(fold(wire(upstream, items)), reply())
    history: dict[str, Any]
    match frontend:
        case "responses":
            history = {"model": "m", "input": [{"role": "user", "content": "x"}, *body["output"]]}
        case "chat_completions":
            history = {"model": "m", "messages": [{"role": "user", "content": "x"}, body["choices"][0]["message"]]}
        case _:
            turn = {"role": "assistant", "content": body["content"]}
            history = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}, turn]}
    request, _ = client_side(frontend).read_request(history, unsealer(SECRET, OWNER, frontend))
    sealed = [item.sealed for item in request.items if isinstance(item, Reasoning)]
    assert sealed == [made]
    sent, _ = upstream_side(upstream).write_request(request, target, tool_names(upstream))
    assert "c2lnbmF0dXJl" in json.dumps(sent) and "hg1." not in json.dumps(sent)
    stranger, _ = client_side(frontend).read_request(history, unsealer(SECRET, "another", frontend))
    assert [item.sealed for item in stranger.items if isinstance(item, Reasoning) and item.sealed] == []

"""What must hold for any conversation and any stream, not only for the ones we thought of."""

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.conversation import (
    Citation,
    FunctionTool,
    Item,
    Media,
    Message,
    Reasoning,
    Refusal,
    Request,
    Sealed,
    Text,
    Thought,
    TokenLogprob,
    ToolCall,
    ToolResult,
)
from headgate.events import Event, Finished, Started, UsageUpdated, events_of
from headgate.fold import fold
from headgate.protocols.names import names_of
from headgate.protocols.responses.client_answer import write_answer, write_items
from headgate.protocols.responses.client_request import read_items, read_request
from headgate.protocols.responses.client_stream import StreamWriter
from headgate.protocols.responses.relay import Relay
from headgate.protocols.responses.schema import validate
from headgate.protocols.responses.upstream_request import write_request
from headgate.protocols.responses.upstream_stream import StreamReader
from headgate.protocols.sse import FrameSplitter, parse_frame
from headgate.usage import Usage
from tests.responses_kit import TARGET, check_event, check_object, frames_of, parse_stream, reply_for, unseal_for

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ID = st.from_regex(r"[a-zA-Z0-9_-]{1,30}", fullmatch=True)
NAME = st.from_regex(r"[a-zA-Z0-9_-]{1,30}", fullmatch=True)
NUMBER = st.floats(-50, 0)
CITATIONS = st.builds(
    Citation,
    url=st.just("https://example.org/") | TEXT.map(lambda text: f"https://example.org/{text}"),
    title=TEXT,
    start=st.integers(0, 9),
    end=st.integers(10, 20),
)
LOGPROBS = st.builds(
    TokenLogprob,
    token=TEXT,
    logprob=NUMBER,
    bytes=st.lists(st.integers(0, 255), max_size=3).map(tuple),
    top=st.lists(st.tuples(TEXT, NUMBER, st.just((1, 2))), max_size=2).map(tuple),
)
# Log probabilities belong to tokens, so there are none without text.
SAID = (
    st.builds(Text, TEXT, citations=st.lists(CITATIONS, max_size=2).map(tuple))
    | st.builds(Text, TEXT.filter(bool), logprobs=st.lists(LOGPROBS, max_size=2).map(tuple))
    | st.builds(Refusal, TEXT)
)
SEALED = st.builds(
    Sealed,
    protocol=st.sampled_from(["messages", "responses", "gemini"]),
    data=ID,
    provider=st.sampled_from(["anthropic", "openai"]),
    model=st.sampled_from(["claude-opus-4-6", "gpt-5.4"]),
    kind=st.sampled_from(["signature", "redacted", "encrypted"]),
)
THOUGHTS = st.tuples(
    st.lists(st.builds(Thought, TEXT), max_size=2),
    st.lists(st.builds(Thought, TEXT, summary=st.just(False)), max_size=2),
).map(lambda both: (*both[0], *both[1]))
CALLS = st.builds(
    ToolCall, call_id=ID, name=NAME, arguments=TEXT, kind=st.sampled_from(["function", "custom"])
)  # fmt: skip
OUTPUT = st.lists(
    st.builds(Message, role=st.just("assistant"), parts=st.lists(SAID, max_size=3).map(tuple))
    | st.builds(Reasoning, parts=THOUGHTS, sealed=st.none() | SEALED)
    | CALLS,
    max_size=5,
).map(tuple)
MEDIA = (
    st.builds(Media, kind=st.just("image"), url=st.just("https://x/y.png"), detail=st.sampled_from(["low", "auto"]))
    | st.builds(Media, kind=st.just("image"), data=ID, media_type=st.just("image/png"), detail=st.just("auto"))
    | st.builds(Media, kind=st.just("file"), data=ID, media_type=st.just("application/pdf"), filename=st.just("a.pdf"))
    | st.builds(Media, kind=st.just("file"), url=st.just("https://x/a.pdf"))
)
GIVEN = st.lists(st.builds(Text, TEXT) | MEDIA, min_size=1, max_size=3).map(tuple)
PLAIN = st.lists(st.builds(Text, TEXT) | st.builds(Refusal, TEXT), min_size=1, max_size=2).map(tuple)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Item, ...]:
    """A conversation in which every result has its call."""
    items: list[Item] = []
    for turn in range(draw(st.integers(1, 3))):
        items.append(Message(draw(st.sampled_from(["user", "developer", "system"])), draw(GIVEN)))
        if draw(st.booleans()):
            items.append(Message("assistant", draw(PLAIN)))
        for at, call in enumerate(draw(st.lists(CALLS, max_size=2))):
            call = replace(call, call_id=f"call_{turn}_{at}", arguments=call.arguments or "{}")
            items += [call, ToolResult(call.call_id, draw(GIVEN), kind=call.kind)]
    return tuple(items)


def without_ids(items: Any) -> list[Any]:
    return [replace(item, id=None) for item in items]


@settings(max_examples=60, deadline=None)
@given(OUTPUT, st.sampled_from(["stop", "length", "tool_calls", "content_filter", "refusal"]), st.booleans())
def test_a_stream_ends_in_the_answer(items: tuple[Item, ...], reason: Any, asks: bool) -> None:
    events: list[Event] = [Started(), *events_of(items), UsageUpdated(Usage(3, output_total=4)), Finished(reason)]
    reply = reply_for({"include": ["reasoning.encrypted_content"]} if asks else {})
    writer = StreamWriter(reply)
    stream = parse_stream(b"".join(writer.write(event) for event in events))
    answer = write_answer(fold(events), reply)
    assert writer.body() == answer == stream[-1]["response"]
    check_object(answer)
    for event in stream:
        check_event(event)


@settings(max_examples=60, deadline=None)
@given(OUTPUT)
def test_output_kept_in_the_state_comes_back_whole(items: tuple[Item, ...]) -> None:
    wire = json.loads(json.dumps(write_items(items, reply_for(), sealed=True)))
    assert without_ids(read_items(wire, unseal_for())) == without_ids(items)


@settings(max_examples=60, deadline=None)
@given(OUTPUT)
def test_what_one_gateway_streams_another_reads(items: tuple[Item, ...]) -> None:
    """The client's stream of one side is a valid upstream stream for the other; only the seals are wrapped."""
    writer = StreamWriter(reply_for())
    reader = StreamReader(TARGET)
    events: list[Event] = []
    for event in [Started(), *events_of(items), UsageUpdated(Usage(3, output_total=4)), Finished("stop")]:
        for frame in FrameSplitter().feed(writer.write(event)):
            name, data = parse_frame(frame)
            events += reader.read(name, data or b"")
    answer = fold(events + reader.end())
    assert answer.error is None and answer.usage.total == 7
    bare = [replace(item, sealed=None) if isinstance(item, Reasoning) else item for item in items]
    assert without_ids(answer.items) == without_ids(bare)


@settings(max_examples=60, deadline=None)
@given(histories(), TEXT)
def test_a_request_survives_the_trip_through_the_wire(items: tuple[Item, ...], instructions: str) -> None:
    request = Request(
        "m", items, instructions=(Text(instructions),) if instructions else (), tools=(FunctionTool("f", strict=False),)
    )
    body, losses = write_request(request, TARGET, names_of(request))
    assert not losses
    again, losses = read_request(validate(json.loads(json.dumps(body))), unseal_for())
    assert not losses
    assert without_ids(again.items) == without_ids(items)
    assert again.instructions == request.instructions and [tool.name for tool in again.tools] == ["f"]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["text", "reasoning", "tools", "web_search"]), st.lists(st.integers(1, 400), min_size=1))
def test_the_network_may_cut_anywhere(case: str, sizes: list[int]) -> None:
    raw = b"".join(frames_of(case))
    passing, reader = Relay(reply_for(), TARGET), StreamReader(TARGET)
    splitter = FrameSplitter()
    out, events, at, turn = b"", [], 0, 0
    while at < len(raw):
        size = sizes[turn % len(sizes)]
        for frame in splitter.feed(raw[at : at + size]):
            out += passing.feed(frame)
            name, data = parse_frame(frame)
            events += reader.read(name, data or b"")
        at, turn = at + size, turn + 1
    whole = Relay(reply_for(), TARGET)
    assert out == b"".join(whole.feed(frame) for frame in frames_of(case))
    assert fold(events + reader.end()).finished is not None


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["type", "response", "item", "part", "output_index", "delta", "error", "output", "usage"]),
        inner | st.sampled_from(["response.completed", "response.output_item.done", "message", "error"]),
        max_size=5,
    ),
    max_leaves=12,
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_no_frame_can_raise(data: bytes) -> None:
    reader = StreamReader(TARGET)
    reader.read(None, data)
    reader.end()
    passing = Relay(reply_for(), TARGET)
    passing.feed(b"data: " + data.replace(b"\n", b"").replace(b"\r", b"") + b"\n\n")
    passing.end()
    assert passing.done

"""Anthropic's streams in neutral terms; whatever arrives, one end and never an exception."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.conversation import (
    Citation,
    Item,
    Message,
    OpaqueItem,
    Reasoning,
    Refusal,
    Sealed,
    Text,
    Thought,
    ToolCall,
    ToolResult,
)
from headgate.events import Delta, Event, Failed, Finished, ItemEnded, ItemStarted, PartEnded, PartStarted, Started
from headgate.events import UsageUpdated as Usages
from headgate.fold import fold
from headgate.protocols.messages.client_answer import write_answer
from headgate.protocols.messages.client_request import read_items
from headgate.protocols.messages.upstream_stream import StreamReader
from headgate.protocols.names import NameMap
from headgate.protocols.sse import FrameSplitter, parse_frame
from headgate.usage import Usage
from tests.strategies import answers, usages
from tests.unit.messages_support import TARGET, accumulate_blocks, frames, payloads, read_all, reply, stream, written

CASES = ["text", "parallel_tools", "thinking", "web_search", "error", "refusal", "free_form"]


def made(data: str, kind: Any = "signature") -> Sealed:
    return Sealed("messages", data, "anthropic", "claude-sonnet-4-5", kind)


def check_grammar(events: list[Event]) -> None:
    """Sequential items and parts, usage before the end, exactly one end."""
    item = part = False
    ended = False
    for index, event in enumerate(events):
        assert not ended
        match event:
            case Started():
                assert index == 0
            case ItemStarted():
                assert not item
                item = True
            case PartStarted():
                assert item and not part
                part = True
            case Delta():
                assert item
            case PartEnded():
                assert part
                part = False
            case ItemEnded():
                assert item and not part
                item = False
            case Finished():
                ended = True
                assert not item
            case Failed():
                ended = True
            case _:
                continue
    assert ended


@pytest.mark.parametrize("case", CASES)
def test_the_grammar_of_events_is_kept(case: str) -> None:
    check_grammar(read_all(payloads(case)))


def test_text() -> None:
    events = read_all(payloads("text"))
    started = events[0]
    assert isinstance(started, Started)
    assert (started.id, started.model) == ("msg_01XFDUDYJgAACzvnptvVoYEL", "claude-sonnet-4-5-20250929")
    assert started.usage is not None
    assert (started.usage.input_total, started.usage.input_fresh) == (25, 12)
    assert [event.text for event in events if isinstance(event, Delta)] == ["Hello", ", wörld\u2028!"]
    answer = fold(events)
    assert answer.items == (Message("assistant", (Text("Hello, wörld\u2028!"),)),)
    usage = answer.usage
    assert (usage.input_total, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h) == (25, 8, 3, 2)
    assert usage.output_total == 16
    assert answer.finished == Finished("stop_sequence", "stop_sequence", "END")


def test_calls_keep_their_arguments_as_written() -> None:
    answer = fold(read_all(payloads("parallel_tools")))
    assert answer.items == (
        Message("assistant", (Text("Let me check."),)),
        ToolCall("toolu_01T1x1fJ34qAmk2tNTrN7Up6", "get_weather", '{"location": "San Francisco, CA"}'),
        ToolCall("toolu_02NoArguments", "list_files", "{}"),
    )
    assert answer.finished is not None
    assert (answer.finished.reason, answer.usage.output_total) == ("tool_calls", 89)


def test_thinking_is_sealed_with_its_maker() -> None:
    answer = fold(read_all(payloads("thinking")))
    assert answer.items == (
        Reasoning((Thought("First, the weather."),), made("EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds==")),
        Reasoning((), made("EmwKAhgBEgy3va3pzix/LafPsn4aDFIT2Xlxh0L5L8rLVyIwxtE3rAFBa8cr3qpP==", "redacted")),
        Reasoning((), made("ErUBCkYIChgCIkAsignatureWithoutText==")),
        ToolCall("toolu_01Think", "get_weather", '{"city":"Paris"}'),
    )
    assert answer.usage.reasoning == 80


def test_a_web_search_with_its_sources_and_citations() -> None:
    answer = fold(read_all(payloads("web_search")))
    _, call, result, message = answer.items
    assert isinstance(call, ToolCall)
    assert (call.kind, call.ran_by, call.call_id) == ("web_search", "provider", "srvtoolu_014hJH82Qum7Td6UV8gDXThB")
    assert json.loads(call.arguments) == {
        "type": "search",
        "query": "weather NYC today",
        "sources": [{"type": "url", "url": "https://example.com/nyc"}],
    }
    assert isinstance(result, ToolResult)
    assert result.extra["messages"]["content"][0]["encrypted_content"] == "Ev0DCioIAxgC"
    assert isinstance(message, Message)
    (part,) = message.parts
    assert isinstance(part, Text)
    assert (part.text, len(part.citations)) == ("It is sunny.", 1)
    assert part.citations[0] == Citation(
        "https://example.com/nyc",
        "Weather in New York City",
        "Sunny, 20 degrees",
        extra=part.citations[0].extra,
    )
    assert (answer.usage.web_searches, answer.usage.input_total) == (1, 10682)


def test_what_we_do_not_know_is_kept() -> None:
    answer = fold(read_all(payloads("free_form")))
    bash, output, new, message = answer.items
    assert bash == OpaqueItem(
        "messages",
        {
            "type": "server_tool_use",
            "id": "srvtoolu_bash",
            "name": "bash_code_execution",
            "input": {"command": "ls"},
        },
    )
    assert isinstance(output, OpaqueItem)
    assert output.payload["content"]["stdout"] == "a.txt"
    assert new == OpaqueItem("messages", {"type": "a_new_block", "shape": "square"})
    assert message == Message("assistant", (Text("Done."),))
    assert answer.finished is not None
    assert (answer.finished.reason, answer.finished.raw) == ("pause", "pause_turn")


def test_a_refusal_keeps_its_details() -> None:
    answer = fold(read_all(payloads("refusal")))
    assert answer.finished is not None
    assert answer.finished.reason == "refusal"
    assert write_answer(answer, reply())["stop_details"]["category"] == "cyber"


def test_the_explanation_of_a_refusal_is_shown_to_clients_of_other_protocols() -> None:
    assert fold(read_all(payloads("refusal"))).items == (Message("assistant", (Refusal("Declined."),)),)


def test_an_error_event_ends_it_and_what_the_start_said_of_usage_is_known() -> None:
    events = read_all(payloads("error"))
    failed = events[-1]
    assert isinstance(failed, Failed)
    error = failed.error
    assert (error.status, error.type, error.message) == (529, "overloaded_error", "Overloaded")
    assert error.model == "anthropic/claude-sonnet-4-5"
    assert fold(events).usage.input_total == 25
    assert not any(isinstance(each, Usages) for each in events), "the output up to here was not counted by anybody"


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop_sequence"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "pause"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "context_window"),
        ("compaction", "stop"),
        ("a_new_reason", "stop"),
    ],
)
def test_every_stop_reason(word: str, reason: str) -> None:
    start = payloads("text")[0]
    delta = {"type": "message_delta", "delta": {"stop_reason": word, "stop_sequence": None}, "usage": {}}
    finished = fold(read_all([start, json.dumps(delta).encode(), b'{"type":"message_stop"}'])).finished
    assert finished is not None
    assert (finished.reason, finished.raw) == (reason, word)


def test_tool_names_are_given_back() -> None:
    names = NameMap(128)
    wire = names.to_wire("fs.read")
    names.to_wire("send", "mail")
    names.custom.add(names.to_wire("patch"))
    data = [payloads("text")[0]]
    for index, (name, parts) in enumerate(
        [(wire, ["{}"]), ("mail__send", ["{}"]), ("patch", ['{"in', 'put":"a\\nb"}'])]
    ):
        block = {"type": "tool_use", "id": f"t{index}", "name": name, "input": {}}
        data.append(event("content_block_start", index=index, content_block=block))
        for part in parts:
            delta = {"type": "input_json_delta", "partial_json": part}
            data.append(event("content_block_delta", index=index, delta=delta))
        data.append(event("content_block_stop", index=index))
    data += [event("message_delta", delta={"stop_reason": "tool_use"}), event("message_stop")]
    assert fold(read_all(data, StreamReader(TARGET, names))).items == (
        ToolCall("t0", "fs.read", "{}"),
        ToolCall("t1", "send", "{}", namespace="mail"),
        ToolCall("t2", "patch", "a\nb", kind="custom"),
    )


def test_the_structured_output_tool_comes_back_as_text() -> None:
    reader = StreamReader(TARGET, None, "get_weather")
    answer = fold(read_all(payloads("parallel_tools"), reader))
    assert answer.items[0] == Message("assistant", (Text("Let me check."), Text('{"location": "San Francisco, CA"}')))
    assert answer.finished is not None
    assert answer.finished.reason == "tool_calls"  # another tool was called as well
    alone = [each for each in payloads("parallel_tools") if b'"index":2' not in each]
    finished = fold(read_all(alone, StreamReader(TARGET, None, "get_weather"))).finished
    assert finished is not None
    assert finished.reason == "stop"


def event(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, **fields}).encode()


def test_interleaved_blocks_are_put_in_sequence() -> None:
    data = [payloads("text")[0]]
    for index in (0, 1):
        block = {"type": "tool_use", "id": f"t{index}", "name": "f", "input": {}}
        data.append(event("content_block_start", index=index, content_block=block))
    for index, part in ((0, '{"a"'), (1, '{"b"'), (0, ":1}"), (1, ":2}")):
        delta = {"type": "input_json_delta", "partial_json": part}
        data.append(event("content_block_delta", index=index, delta=delta))
    data += [event("content_block_stop", index=index) for index in (0, 1)]
    data += [event("message_delta", delta={"stop_reason": "tool_use"}), event("message_stop")]
    events = read_all(data)
    check_grammar(events)
    assert fold(events).items == (ToolCall("t0", "f", '{"a":1}'), ToolCall("t1", "f", '{"b":2}'))


def test_an_input_given_at_once() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"b": 1, "a": 2}}
    data = [payloads("text")[0], event("content_block_start", index=0, content_block=block)]
    data += [event("content_block_stop", index=0), event("message_delta", delta={"stop_reason": "tool_use"})]
    assert fold(read_all(data)).items == (ToolCall("t", "f", '{"b":1,"a":2}'),)


def test_a_stream_without_message_stop_is_complete_once_it_has_its_reason() -> None:
    whole = fold(read_all(payloads("text")))
    assert fold(read_all(payloads("text")[:-1])) == whole


@pytest.mark.parametrize("count", range(7))
def test_a_cut_stream_fails_once(count: int) -> None:
    events = read_all(payloads("parallel_tools")[:count])
    failed = [each for each in events if isinstance(each, Failed)]
    assert len(failed) == 1
    assert events[-1] is failed[0]
    assert (failed[0].error.status, failed[0].error.code) == (424, "stream_truncated")
    assert "Traceback" not in failed[0].error.message


@pytest.mark.parametrize(
    "junk",
    [
        b"{",
        b"[]",
        b"5",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"type":["message_stop"]}',
        b'{"type":"content_block_delta"}',
        b'{"type":"content_block_delta","index":9,"delta":{"type":"text_delta","text":"x"}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":5}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":NaN}}',
        b'{"type":"content_block_start","index":"a","content_block":{"type":"text"}}',
        b'{"type":"content_block_start","index":1,"content_block":{"type":"tool_use"}}',
        b'{"type":"message_delta","delta":5}',
        b'{"type":"message_delta","delta":{"stop_reason":{}}}',
        b'{"type":"message_start"}',
        b'{"error":{"message":"bare"}}',
        b"<html>Bad gateway</html>",
    ],
)
def test_junk_fails_once_and_silences_the_rest(junk: bytes) -> None:
    reader = StreamReader(TARGET)
    before = [each for data in payloads("text")[:4] for each in reader.read(None, data)]
    events = reader.read(None, junk)
    assert isinstance(events[-1], Failed)
    assert isinstance(before[0], Started)
    assert [each for data in payloads("text")[4:] for each in reader.read(None, data)] == []
    assert reader.end() == []


def test_nothing_follows_the_end() -> None:
    reader = StreamReader(TARGET)
    read_all(payloads("text"), reader)
    assert reader.read(None, payloads("error")[-1]) == []
    assert reader.end() == []


def test_pings_done_marks_and_blank_data_are_passed_over() -> None:
    data = payloads("text")
    noisy = [data[0], b"[DONE]", b"", *data[1:]]
    assert fold(read_all(noisy)) == fold(read_all(data))


@settings(max_examples=80)
@given(st.lists(st.sampled_from([line for case in CASES for line in payloads(case)]), max_size=14))
def test_any_order_of_events_keeps_the_grammar(data: list[bytes]) -> None:
    reader = StreamReader(TARGET)
    events = [each for line in data for each in reader.read(None, line)] + reader.end()
    assert sum(isinstance(each, (Finished, Failed)) for each in events) == 1
    assert isinstance(events[-1], (Finished, Failed))


@settings(max_examples=60)
@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_survived(data: bytes) -> None:
    reader = StreamReader(TARGET)
    events = reader.read(None, data) + reader.end()
    assert isinstance(events[-1], Failed)


@pytest.mark.parametrize("case", CASES)
def test_a_stream_cut_at_every_byte_reads_the_same(case: str) -> None:
    raw = b"".join(frames(case))
    whole = read_all(payloads(case))
    for step in (1, 7, 64):
        splitter, reader = FrameSplitter(), StreamReader(TARGET)
        events: list[Event] = []
        for start in range(0, len(raw), step):
            for frame in splitter.feed(raw[start : start + step]):
                name, data = parse_frame(frame)
                assert data is not None
                events += reader.read(name, data)
        # Errors are exceptions, which compare by identity.
        assert list(map(repr, events + reader.end())) == list(map(repr, whole))


@settings(max_examples=60)
@given(answers(refusals=False), usages())
def test_what_we_write_reads_back(items: tuple[Item, ...], usage: Usage) -> None:
    events = stream(items, usage)
    sent, _ = written(events)
    back = fold(read_all(json.dumps(each).encode() for each in sent))
    assert [_plain(item) for item in back.items] == [_plain(item) for item in items]
    counts = [getattr(back.usage, name) for name in ("input_total", "cache_read", "cache_write", "output_total")]
    assert counts == [usage.input_total, usage.cache_read, usage.cache_write, usage.output_total]
    history = read_items([{"role": "assistant", "content": accumulate_blocks(sent)}], lambda token: Sealed("m", token))
    assert [_plain(item) for item in history] == [_plain(item) for item in items]


def _plain(item: Item) -> Any:
    """An item without what this protocol spells its own way: parsed arguments, one thought, no seal."""
    match item:
        case ToolCall():
            return item.name, item.call_id, json.loads(item.arguments or "{}")
        case Reasoning():
            return "reasoning", "\n\n".join(part.text for part in item.parts)
        case _:
            return item

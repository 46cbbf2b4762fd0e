"""Bedrock's events as neutral ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.simulated_providers.converse_wire import exception, message
from headgate.conversation import Message, OpaqueItem, Reasoning, Sealed, Text, Thought, ToolCall
from headgate.events import Failed, Finished, Started, UsageUpdated
from headgate.fold import fold
from headgate.protocols.contract import Target
from headgate.protocols.converse.errors import read_error
from headgate.protocols.converse.upstream_stream import Splitter, StreamReader
from headgate.protocols.converse.usage import read_usage
from headgate.protocols.names import NameMap
from tests.unit.upstream_kit import assert_grammar, read_bytes

FIXTURES = Path(__file__).parents[1] / "fixtures" / "converse"
TARGET = Target("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", thinking="budget")


def fixture(case: str) -> list[tuple[str, bytes]]:
    lines = (FIXTURES / case / "events.txt").read_text().splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2].encode()) for line in lines]


def read(pairs, target=TARGET, **options):
    reader = StreamReader(target, **options)
    events = [event for name, data in pairs for event in reader.read(name, data)] + reader.end()
    assert_grammar(events)
    return events


def pairs(*events: tuple[str, object]) -> list[tuple[str, bytes]]:
    return [(name, json.dumps(payload).encode()) for name, payload in events]


def text(index: int, words: str) -> tuple[str, object]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": {"text": words}}


START = ("messageStart", {"role": "assistant"})


def stopped(reason: str) -> list[tuple[str, object]]:
    return [("messageStop", {"stopReason": reason}), ("metadata", {"usage": {"inputTokens": 1, "outputTokens": 1}})]


def test_text_and_parallel_calls():
    answer = fold(read(fixture("tools")))
    assert answer.items == (
        Message("assistant", (Text("I'll check both cities."),)),
        ToolCall("tooluse_Xy9aBcDeFgHiJkLmNoPqRs", "get_weather", '{"city": "Paris"}'),
        ToolCall("tooluse_2BcDeFgHiJkLmNoPqRsTuV", "now", "{}"),
    )
    assert answer.finished == Finished("tool_calls", "tool_use")


def test_cached_tokens_are_counted_once():
    usage = fold(read(fixture("tools"))).usage
    assert (usage.input_total, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h) == (25, 8, 3, 2)
    assert (usage.input_fresh, usage.output_total, usage.total) == (12, 16, 41)
    no_details = read_usage({"inputTokens": 1, "cacheWriteInputTokens": 5, "outputTokens": "x"})
    assert (no_details.cache_write_5m, no_details.input_total, no_details.output_total) == (5, 6, 0)


def test_thinking_keeps_its_seals_and_its_order():
    answer = fold(read(fixture("thinking")))
    signed, redacted, silent, said = answer.items

    def seal(data, kind="signature"):
        return Sealed("converse", data, "bedrock", TARGET.model, kind)

    assert signed == Reasoning((Thought("Two and two."),), seal("EqQBCkgIARAB"))
    assert redacted == Reasoning((), seal("RW1jUXV5", "redacted"))
    assert silent == Reasoning((), seal("ErUBCkYIBBgC"))
    assert isinstance(said, Message) and isinstance(said.parts[0], Text)
    citation = said.parts[0].citations[0]
    assert (citation.title, citation.cited_text, citation.url) == ("sums", "2 + 2 = 4", "")
    assert citation.extra["converse"]["location"]["documentPage"]["start"] == 1
    assert answer.finished == Finished("stop_sequence", "stop_sequence", "###")


def test_open_models_show_their_whole_thinking():
    target = Target("bedrock", "openai.gpt-oss-120b-1:0", thinking="effort")
    thought = ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "Hm."}}})
    answer = fold(read(pairs(START, thought, *stopped("end_turn")), target))
    assert answer.items == (Reasoning((Thought("Hm.", summary=False),)),)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop_sequence"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("model_context_window_exceeded", "context_window"),
        ("a_new_word", "stop"),
    ],
)
def test_every_stop_reason(word, reason):
    events = read(pairs(START, text(0, "a"), *stopped(word)))
    assert events[-1] == Finished(reason, word)
    assert isinstance(events[-2], UsageUpdated) and isinstance(events[0], Started)


@pytest.mark.parametrize("word", ["malformed_model_output", "malformed_tool_use"])
def test_malformed_output_is_no_answer(word):
    events = read(pairs(START, text(0, "a"), *stopped(word)))
    assert isinstance(events[-1], Failed) and events[-1].error.code == word
    assert fold(events).usage.total == 2


def test_an_answer_without_token_counts_is_still_complete():
    events = read(pairs(START, text(0, "a"), ("messageStop", {"stopReason": "end_turn"})))
    assert events[-1] == Finished("stop", "end_turn")


def test_the_structured_answer_comes_as_text():
    events = pairs(
        START,
        ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": "answer"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": '{"a":'}}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "1}"}}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        *stopped("tool_use"),
    )
    answer = fold(read(events, json_tool="answer"))
    assert answer.items == (Message("assistant", (Text('{"a":1}'),)),)
    assert answer.finished is not None and answer.finished.reason == "stop"


def test_free_text_tools_and_rewritten_names_are_turned_back():
    names = NameMap(64)
    wire = names.to_wire("shell.run")
    names.custom.add(wire)
    events = pairs(
        START,
        ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "t", "name": wire}}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": '{"input": "ls\\n"}'}}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        *stopped("tool_use"),
    )
    assert fold(read(events, names=names)).items == (ToolCall("t", "shell.run", "ls\n", kind="custom"),)


def test_interleaved_calls_come_one_after_the_other():
    def start(index):
        use = {"toolUseId": f"t{index}", "name": "f"}
        return "contentBlockStart", {"contentBlockIndex": index, "start": {"toolUse": use}}

    def more(index, piece):
        return "contentBlockDelta", {"contentBlockIndex": index, "delta": {"toolUse": {"input": piece}}}

    ends = [("contentBlockStop", {"contentBlockIndex": index}) for index in (0, 1)]
    events = pairs(START, start(0), start(1), more(1, '{"b"'), more(0, '{"a"'), more(1, ":2}"), more(0, ":1}"), *ends)
    answer = fold(read([*events, *pairs(*stopped("tool_use"))]))
    assert [item.arguments for item in answer.items if isinstance(item, ToolCall)] == ['{"a":1}', '{"b":2}']


def test_the_providers_own_search():
    use = {"toolUseId": "s1", "name": "nova_grounding", "type": "server_tool_use"}
    web = {"title": "News", "location": {"web": {"url": "https://n.example/1", "domain": "n.example"}}}
    events = pairs(
        START,
        ("contentBlockStart", {"contentBlockIndex": 0, "start": {"toolUse": use}}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"toolUse": {"input": '{"query": "x"}'}}}),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockStart", {"contentBlockIndex": 1, "start": {"toolResult": {"toolUseId": "s1"}}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"toolResult": [{"text": "found"}]}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        text(2, "News."),
        ("contentBlockDelta", {"contentBlockIndex": 2, "delta": {"citation": web}}),
        *stopped("end_turn"),
    )
    answer = fold(read(events))
    search, opaque, said = answer.items
    assert search == ToolCall("s1", "web_search", '{"type":"search","query":"x"}', kind="web_search", ran_by="provider")
    assert isinstance(opaque, OpaqueItem) and opaque.protocol == "converse"
    assert isinstance(said, Message) and said.parts[0].citations[0].url == "https://n.example/1"  # type: ignore[union-attr]
    assert answer.usage.web_searches == 1


@pytest.mark.parametrize(
    ("name", "payload", "status", "code"),
    [
        ("throttlingException", {"message": "slow"}, 429, "rate_limit_exceeded"),
        ("validationException", {"message": "Input is too long for requested model."}, 400, "context_length_exceeded"),
        ("internalServerException", {"message": "oops"}, 500, "InternalServerException"),
        ("serviceUnavailableException", {"message": "later"}, 503, "ServiceUnavailableException"),
        ("modelStreamErrorException", {"message": "m"}, 424, "ModelStreamErrorException"),
        ("modelStreamErrorException", {"message": "m", "originalStatusCode": 529}, 529, "ModelStreamErrorException"),
        ("somethingNewException", {"message": "n"}, 500, "SomethingNewException"),
    ],
)
def test_exceptions_in_the_stream(name, payload, status, code):
    raw = message({":event-type": "messageStart", ":message-type": "event"}, b'{"role":"assistant"}')
    events = read_bytes(StreamReader(TARGET), Splitter(), [raw + exception(name, payload)])
    assert_grammar(events)
    error = events[-1].error  # type: ignore[union-attr]
    assert (error.status, error.code, error.message) == (status, code, payload["message"])
    assert error.model == f"bedrock/{TARGET.model}"


@pytest.mark.parametrize(
    ("status", "name", "body", "kind", "code"),
    [
        (429, "ThrottlingException", {"message": "slow"}, "rate_limit_error", "rate_limit_exceeded"),
        (404, "ResourceNotFoundException", {"message": "no"}, "not_found_error", "model_not_found"),
        (400, "ValidationException", {"message": "The provided model identifier is invalid."}, None, "model_not_found"),
        (400, "ValidationException", {"message": "blank"}, "invalid_request_error", "ValidationException"),
        (403, "AccessDeniedException", {"Message": "denied"}, "permission_error", "AccessDeniedException"),
        (403, "ExpiredTokenException", {"message": "old"}, "authentication_error", "ExpiredTokenException"),
        (408, "ModelTimeoutException", {"message": "t"}, "timeout_error", "ModelTimeoutException"),
        (503, "ServiceUnavailableException", {"message": "s"}, "overloaded_error", "ServiceUnavailableException"),
    ],
)
def test_error_responses(status, name, body, kind, code):
    headers = {"X-Amzn-ErrorType": f"{name}:http://internal.amazon.com/", "Retry-After": "7"}
    error = read_error(status, json.dumps(body).encode(), headers)
    assert (error.status, error.code, error.retry_after) == (status, code, 7.0)
    assert error.message in body.values() and (kind is None or error.type == kind)
    assert read_error(status, json.dumps({**body, "__type": f"com.amazon#{name}"}).encode(), {}).code == code


@pytest.mark.parametrize("body", [b"<html>nope</html>", b"", b"[1]", b'"x"', b"\xff"])
def test_a_body_that_is_no_json_object(body):
    error = read_error(502, body, {})
    assert (error.status, error.message) == (502, "The provider answered with status 502 and no message")


@pytest.mark.parametrize("case", ["tools", "thinking"])
def test_a_stream_cut_anywhere_ends_in_one_failure(case):
    whole = fixture(case)
    for end in range(len(whole) - 1):
        events = read(whole[:end])
        last = events[-1]
        assert isinstance(last, Failed) and last.error.code == "stream_truncated"


@pytest.mark.parametrize("case", ["tools", "thinking"])
def test_nothing_follows_the_end(case):
    reader = StreamReader(TARGET)
    for name, data in fixture(case):
        reader.read(name, data)
    assert [event for name, data in fixture(case) for event in reader.read(name, data)] + reader.end() == []


VALUES = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.none(), max_size=1) | st.just({"text": 1})


@given(st.data())
def test_events_gone_wrong_end_in_the_grammar(data):
    """Any field of any event replaced by anything, or the payload by bytes: one terminal event, no exception."""
    events = fixture(data.draw(st.sampled_from(["tools", "thinking"])))
    at = data.draw(st.integers(0, len(events) - 1))
    name, raw = events[at]
    payload = json.loads(raw)
    if data.draw(st.booleans()):
        where = payload
        while True:
            key = data.draw(st.sampled_from(sorted(where)))
            if not isinstance(where[key], dict) or not where[key] or data.draw(st.booleans()):
                break
            where = where[key]
        where[key] = data.draw(VALUES)
        changed = json.dumps(payload).encode()
    else:
        changed = data.draw(st.sampled_from([b"", b"{", b"null", b"[]", b"NaN", b'{"a":NaN}', b"\xff\xfe", b"1e999"]))
    read([*events[:at], (name, changed), *events[at + 1 :]])

"""Streams of OpenAI-compatible upstreams as neutral events."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.conversation import Citation, Message, OpaquePart, Reasoning, Refusal, Sealed, Text, Thought, ToolCall
from headgate.events import Delta, Failed, Finished, ItemEnded, ItemStarted, Started, UsageUpdated
from headgate.fold import fold
from headgate.protocols.chat_completions.upstream_stream import StreamReader
from headgate.protocols.names import NameMap
from headgate.protocols.sse import FrameSplitter, parse_frame
from tests.unit.chat_support import FIXTURES, TARGET, fixture, frames, patient, read, target

CASES = sorted(path.name for path in FIXTURES.iterdir())
BROKEN = {"error_in_stream", "error_first", "cut"}


def items(case, **options):
    return fold(read(fixture(case), **options)).items


@pytest.mark.parametrize("case", CASES)
def test_the_event_grammar_holds(case):
    events = read(fixture(case))
    kinds = [type(event) for event in events]
    assert kinds.count(Finished) + kinds.count(Failed) == 1 and kinds[-1] in (Finished, Failed)
    assert (kinds[-1] is Failed) == (case in BROKEN)
    assert kinds.count(Started) == (case != "error_first")
    opened = 0
    for kind in kinds:
        opened += (kind is ItemStarted) - (kind is ItemEnded)
        assert opened in (0, 1)
    assert case in BROKEN or opened == 0
    counted = [index for index, kind in enumerate(kinds) if kind is UsageUpdated]
    assert len(counted) <= 1 and all(index == len(kinds) - 2 for index in counted)


@pytest.mark.parametrize("case", CASES)
@patient
@given(data=st.data())
def test_the_network_may_cut_anywhere(case, data):
    stream = b"".join(frames(case))
    cut = data.draw(st.integers(0, len(stream)))
    splitter, reader, events = FrameSplitter(), StreamReader(TARGET), []
    for piece in (stream[:cut], stream[cut:]):
        for frame in splitter.feed(piece):
            name, payload = parse_frame(frame)
            assert payload is not None
            events += reader.read(name, payload)
    assert repr(events + reader.end()) == repr(read(fixture(case)))


def test_text_with_separators_that_tear_lines():
    assert items("openai_text") == (Message("assistant", (Text('Hello \u2028 "wörld" 😀'),)),)
    finished = read(fixture("openai_text"))[-1]
    assert finished == Finished(
        "stop", "stop", extra={"service_tier": "default", "system_fingerprint": "fp_a288987b44"}
    )


def test_usage_is_inclusive():
    usage = fold(read(fixture("openai_text"))).usage
    assert (usage.input_total, usage.cache_read, usage.input_fresh, usage.audio_input) == (20, 8, 12, 2)
    assert (usage.output_total, usage.reasoning, usage.total) == (16, 5, 36)
    assert fold(read(fixture("deepseek_reasoning"))).usage.cache_read == 4
    assert fold(read(fixture("groq"))).usage.total == 19


def test_reasoning_left_out_of_the_completion_tokens_is_added_once():
    running = fixture("xai_running_usage")
    usage = fold(read(running, target("reasoning_extra"))).usage
    assert (usage.output_total, usage.reasoning, usage.total) == (103, 94, 135)
    included = fixture("openai_text")
    assert fold(read(included, target("reasoning_extra"))).usage.output_total == 16


def test_logprobs():
    (message,) = items("openai_logprobs")
    (part,) = message.parts
    assert [(each.token, each.logprob, each.bytes) for each in part.logprobs] == [
        ("Yes", -0.01, (89, 101, 115)),
        (".", -0.5, (46,)),
    ]
    assert part.logprobs[0].top == (("Yes", -0.01, (89, 101, 115)),)


def test_parallel_calls_stream_one_after_the_other():
    events = read(fixture("openai_parallel_tools"))
    assert fold(events).items == (
        ToolCall("call_a1", "get_weather", '{"city": "Paris"}'),
        ToolCall("call_b2", "get_time", "{}"),
    )
    # The first call is whole when the second begins, so the second need not wait for the end.
    reader, seen = StreamReader(TARGET), []
    for line in fixture("openai_parallel_tools")[:6]:
        seen += reader.read(None, line)
    assert [event for event in seen if type(event) is ItemEnded] and type(seen[-1]) is Delta
    assert events[-1].reason == "tool_calls"


def test_interleaved_fragments_and_text_between_them():
    assert items("interleaved_tools") == (
        Message("assistant", (Text("Looking."),)),
        ToolCall("call_a1", "get_weather", '{"city": "Paris"}'),
        ToolCall("call_b2", "get_time", '{"zone": "CET"}'),
        Message("assistant", (Text(" One moment."),)),
    )


def test_custom_tools():
    assert items("openai_custom_tool") == (ToolCall("call_c3", "apply_patch", "*** Begin Patch\n", kind="custom"),)


def test_an_emulated_custom_tool_gives_its_free_text_back():
    names = NameMap()
    names.custom.add(names.to_wire("apply.patch"))
    call = {"index": 0, "id": "c", "function": {"name": names.to_wire("apply.patch"), "arguments": '{"input": "a\\n'}}
    rest = {"index": 0, "function": {"arguments": 'b"}'}}
    lines = [
        json.dumps({"id": "x", "choices": [{"index": 0, "delta": {"tool_calls": [each]}}]}).encode()
        for each in (call, rest)
    ]
    done = b'{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}'
    answer = fold(read([*lines, done, b"[DONE]"], names=names))
    assert answer.items == (ToolCall("c", "apply.patch", "a\nb", kind="custom"),)


def test_names_come_back_with_their_namespace():
    names = NameMap()
    wire = names.to_wire("fs.read", "mcp")
    call = {"index": 0, "id": "c", "function": {"name": wire, "arguments": "{}"}}
    line = json.dumps({"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}).encode()
    assert fold(read([line], names=names)).items == (ToolCall("c", "fs.read", "{}", namespace="mcp"),)


def test_refusal():
    assert items("openai_refusal") == (Message("assistant", (Refusal("I'm sorry, I cannot help."),)),)
    answer = fold(read(fixture("openai_refusal")))
    assert answer.finished is not None and (answer.finished.reason, answer.finished.raw) == ("refusal", "stop")


def test_legacy_function_call():
    (call,) = items("openai_legacy_function")
    assert (call.name, call.arguments) == ("get_weather", '{"city":"Paris"}')
    assert call.call_id.startswith("call_") and call.extra == {"chat_completions": {"legacy": True}}
    assert read(fixture("openai_legacy_function"))[-1].reason == "tool_calls"


def test_citations():
    (message,) = items("openai_search_citations")
    assert message.parts == (Text("Rain today.", (Citation("https://example.com/w", "Weather", None, 0, 11),)),)


def test_audio():
    (message,) = items("openai_audio")
    (part,) = message.parts
    assert part == OpaquePart(
        "chat_completions",
        {
            "type": "audio",
            "audio": {"id": "audio_1", "transcript": "Hi you", "data": "UklGAAAA", "expires_at": 1763643600},
        },
    )


def test_azure_begins_without_a_choice():
    answer = fold(read(fixture("azure")))
    assert answer.items == (Message("assistant", (Text("Partial"),)),)
    assert answer.finished is not None and answer.finished.reason == "content_filter"


def test_plain_thoughts():
    assert items("deepseek_reasoning") == (
        Reasoning((Thought("Okay, greet.", summary=False),)),
        Message("assistant", (Text("Hello!"),)),
    )
    assert items("mistral_thinking") == (
        Reasoning((Thought("Hmm.", summary=False),)),
        Message("assistant", (Text("So it is."),)),
        ToolCall("D681PevKs", "move", '{"x": 1}'),
    )


def test_signed_thoughts():
    router = target(provider="openrouter", model="anthropic/claude-sonnet-4.6")
    reasoning, message = items("openrouter_signed", to=router)
    assert reasoning.parts == (Thought("Let me see.", summary=False),)
    assert reasoning.sealed == Sealed("chat_completions", "EqQBsig==", "openrouter", "anthropic/claude-sonnet-4.6")
    assert message == Message("assistant", (Text("Four."),))


def test_calls_without_an_index():
    google = target(provider="google", model="gemini-3-pro")
    first, second = items("gemini_parallel", to=google)
    assert (first.call_id, first.arguments) == ("function-call-1", '{"city":"Paris"}')
    assert first.sealed == Sealed("chat_completions", "EocDCoQD", "google", "gemini-3-pro")
    assert (second.call_id, second.arguments, second.sealed) == ("function-call-2", '{"city":"Rome"}', None)
    finished = read(fixture("gemini_parallel"))[-1]
    assert (finished.reason, finished.raw) == ("tool_calls", "stop")


def test_calls_without_ids_and_with_repeated_names():
    first, second = items("repeated_names_no_ids")
    assert (first.name, first.arguments) == ("get_weather", '{"city":"Paris"}')
    assert (second.name, second.arguments) == ("get_time", '{"zone":"CET"}')
    assert first.call_id != second.call_id
    assert items("repeated_names_no_ids") == (first, second)
    other = [line.replace(b'"v1"', b'"v2"') for line in fixture("repeated_names_no_ids")]
    assert fold(read(other)).items[0].call_id != first.call_id


def test_an_error_in_the_stream_ends_it_with_the_usage_so_far():
    events = read(fixture("error_in_stream"))
    assert isinstance(events[-1], Failed)
    error = events[-1].error
    assert error.message == "The server had an error while processing your request."
    assert (error.status, error.type, error.model) == (424, "server_error", "openai/gpt-5.4")
    assert isinstance(events[-2], UsageUpdated) and events[-2].usage.total == 8


def test_an_error_in_the_first_frame_keeps_its_kind():
    (failed,) = read(fixture("error_first"))
    assert (failed.error.status, failed.error.code) == (429, "rate_limit_exceeded")


def test_a_cut_stream_fails_and_a_missing_done_does_not():
    assert read(fixture("cut"))[-1].error.code == "stream_truncated"
    assert read(fixture("no_done"))[-1].reason == "length"
    assert read([])[-1].error.code == "stream_truncated"
    assert read([b"[DONE]"])[-1].error.code == "stream_truncated"


JUNK = [
    b"junk",
    b"[]",
    b"5",
    b'"text"',
    b'{"choices":{}}',
    b'{"choices":[5]}',
    b'{"choices":[{"delta":[1]}]}',
    b'{"choices":[{"delta":{"content":5}}]}',
    b'{"choices":[{"delta":{"content":[5]}}]}',
    b'{"choices":[{"delta":{"tool_calls":{"a":1}}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"index":[],"function":{"name":"f"}}]}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":5}}]}}]}',
    b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":"f"}]}}]}',
    b'{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":"x"}]}}]}',
    b'{"choices":[{"delta":{"content":"a"},"logprobs":{"content":[{"token":"a","logprob":NaN}]}}]}',
    b'{"choices":[{"delta":{"reasoning_content":{"a":1}}}]}',
    b'{"choices":[{"delta":{"content":"\xff"}}]}',
    b"[" * 100_000,
    b'{"choices":[{"finish_reason":3}]}',
    b'{"choices":[{"finish_reason":"error"}]}',
]


@pytest.mark.parametrize("line", JUNK, ids=[str(line[:50]) for line in JUNK])
def test_junk_fails_once_and_ends_the_stream(line):
    reader = StreamReader(TARGET)
    events = reader.read(None, fixture("openai_text")[1]) + reader.read(None, line)
    assert [type(event) for event in events].count(Failed) == 1
    assert reader.read(None, fixture("openai_text")[2]) == [] and reader.end() == []
    assert "Traceback" not in events[-1].error.message


@patient
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "choices",
                        "delta",
                        "content",
                        "tool_calls",
                        "function",
                        "name",
                        "arguments",
                        "index",
                        "id",
                        "usage",
                    ]
                    + ["finish_reason", "error", "reasoning_details", "signature", "annotations", "audio", "logprobs"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=20,
    ).filter(lambda value: isinstance(value, dict))
)
def test_no_shape_of_json_raises(payload):
    reader = StreamReader(TARGET)
    chunk = json.dumps({"choices": [payload, {"index": 0, "delta": payload}], **payload}).encode()
    events = reader.read(None, chunk) + reader.read(None, b"[DONE]") + reader.end()
    assert sum(type(event) in (Failed, Finished) for event in events) == 1


def test_a_call_without_a_name_fails():
    lines = [b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"{}"}}]}}]}', b"[DONE]"]
    assert read(lines)[-1].error.code == "invalid_provider_response"

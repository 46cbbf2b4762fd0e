"""What a Chat Completions client sees: chunks, whole answers, several choices, errors."""

import json

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib.streaming._deltas import accumulate_delta

from headgate.conversation import (
    Citation,
    Message,
    OpaqueItem,
    OpaquePart,
    Reasoning,
    Refusal,
    Sealed,
    Text,
    Thought,
    TokenLogprob,
    ToolCall,
)
from headgate.errors import GatewayError, provider_failed
from headgate.events import (
    Delta,
    Failed,
    Finished,
    ItemEnded,
    ItemStarted,
    PartEnded,
    PartStarted,
    Started,
    UsageUpdated,
    events_of,
)
from headgate.fold import fold
from headgate.protocols.chat_completions.choices import ChoicesWriter
from headgate.protocols.chat_completions.client_answer import write_answer, write_answers
from headgate.protocols.chat_completions.client_stream import StreamWriter
from headgate.usage import Usage
from tests.strategies import answers, sealed, usages
from tests.unit.chat_support import (
    FIXTURES,
    WITH_USAGE,
    check_chunk,
    check_completion,
    chunks_of,
    fixture,
    patient,
    read,
    reply,
    unseal,
)

USAGE = Usage(input_total=25, cache_read=8, cache_write_5m=3, cache_write_1h=2, output_total=16, reasoning=5)
SIGNED = Sealed("messages", "EqQBsig==", "anthropic", "claude-opus-4-6")
ENCRYPTED = Sealed("responses", "gAAAA", "openai", "gpt-5.4", "encrypted")
WHOLE = [path.name for path in FIXTURES.iterdir() if path.name not in ("cut", "error_first", "error_in_stream")]


def stream_of(items, finished=None, usage=USAGE):
    yield Started("up", "up-model")
    yield from events_of(tuple(items))
    yield UsageUpdated(usage)
    yield finished or Finished("stop")


def run(events, to):
    writer = StreamWriter(to)
    return b"".join(writer.write(event) for event in events), writer


def joined(chunks, index=0):
    """The message that OpenAI's own SDK makes of the deltas."""
    message: dict = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            if choice["index"] == index:
                accumulate_delta(message, json.loads(json.dumps(choice["delta"])))
    return message


@pytest.mark.parametrize("case", sorted(WHOLE))
def test_stream_body_and_json_agree_and_satisfy_the_sdk(case):
    events = read(fixture(case))
    out, writer = run(events, reply(WITH_USAGE))
    *chunks, done = chunks_of(out)
    assert done == "[DONE]"
    for chunk in chunks:
        if "custom" not in json.dumps(chunk):
            # The SDK has no type for streamed custom calls.
            check_chunk(chunk)
    body = writer.body()
    assert body == write_answer(fold(events), reply(WITH_USAGE))
    check_completion(body)
    message = joined(chunks[:-1])
    whole = body["choices"][0]["message"]
    for name in ("content", "refusal", "reasoning_content", "reasoning", "function_call"):
        assert (message.get(name) or None) == (whole.get(name) or None), name
    assert message.get("annotations", []) == whole["annotations"]
    assert [each.get("function") or each.get("custom") for each in message.get("tool_calls", [])] == [
        each.get("function") or each.get("custom") for each in whole.get("tool_calls", [])
    ]
    assert message.get("reasoning_details") == whole.get("reasoning_details")


@patient
@given(items=answers(seals=sealed("messages", "anthropic", "claude-opus-4-6") | st.none()), usage=usages())
def test_any_answer_streams_to_the_same_body(items, usage):
    events = list(stream_of(items, usage=usage))
    out, writer = run(events, reply(WITH_USAGE))
    *chunks, last, done = chunks_of(out)
    assert done == "[DONE]" and last["choices"] == [] and last["usage"]["total_tokens"] == usage.total
    assert writer.body() == write_answer(fold(events), reply(WITH_USAGE))
    message, whole = joined(chunks), writer.body()["choices"][0]["message"]
    assert (message["content"] or None) == (whole["content"] or None)
    assert message.get("reasoning_details") == whole.get("reasoning_details")


def test_the_life_of_a_stream_with_usage():
    out, _ = run(stream_of([Message("assistant", (Text("Hi"),))]), reply(WITH_USAGE))
    first, text, finish, usage, done = chunks_of(out)
    assert first["choices"] == [
        {
            "index": 0,
            "delta": {"role": "assistant", "content": "", "refusal": None},
            "logprobs": None,
            "finish_reason": None,
        }
    ]
    assert text["choices"][0]["delta"] == {"content": "Hi"}
    assert finish["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert all(chunk["usage"] is None for chunk in (first, text, finish))
    assert usage["choices"] == [] and usage["cost"] == {"total": 0.000041}
    assert usage["usage"] == {
        "prompt_tokens": 25,
        "completion_tokens": 16,
        "total_tokens": 41,
        "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0, "cache_write_tokens": 5},
        "completion_tokens_details": {
            "reasoning_tokens": 5,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    assert done == "[DONE]"
    assert {(each["id"], each["model"], each["created"]) for each in (first, text, finish, usage)} == {
        ("chatcmpl-ours", "openai/gpt-5.4", 1763640000)
    }
    assert b"event:" not in out


def test_no_usage_is_shown_that_was_not_asked_for():
    out, _ = run(stream_of([Message("assistant", (Text("Hi"),))]), reply({"stream": True}))
    assert len(chunks_of(out)) == 4
    assert b'"usage"' not in out and b'"cost"' not in out


def test_an_unknown_price_is_null_and_not_zero():
    body = write_answer(fold(stream_of([])), reply(price=lambda usage: None))
    assert body["cost"] == {"total": None}


def test_content_is_null_beside_calls_only():
    call = ToolCall("c1", "f", "{}")
    alone = write_answer(fold(stream_of([call], Finished("tool_calls"))), reply())["choices"][0]
    assert alone["message"] == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "annotations": [],
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    assert alone["finish_reason"] == "tool_calls"
    assert write_answer(fold(stream_of([])), reply())["choices"][0]["message"]["content"] == ""


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "stop"),
        ("stop_sequence", "stop"),
        ("pause", "stop"),
        ("length", "length"),
        ("context_window", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "content_filter"),
        ("refusal", "content_filter"),
    ],
)
def test_finish_reasons(reason, word):
    events = list(stream_of([], Finished(reason)))
    assert write_answer(fold(events), reply())["choices"][0]["finish_reason"] == word
    out, _ = run(events, reply())
    assert chunks_of(out)[-2]["choices"][0]["finish_reason"] == word


def test_a_refusal_in_words_is_an_ordinary_end():
    """The parse helper of OpenAI's SDK raises on ``content_filter`` and never shows the refusal."""
    events = list(stream_of([Message("assistant", (Refusal("No."),))], Finished("refusal")))
    choice = write_answer(fold(events), reply())["choices"][0]
    assert (choice["finish_reason"], choice["message"]["refusal"]) == ("stop", "No.")
    out, _ = run(events, reply())
    assert chunks_of(out)[-2]["choices"][0]["finish_reason"] == "stop"


def test_reasoning_carries_its_seal_both_ways():
    items = [
        Reasoning((Thought("Because."),), SIGNED),
        Reasoning((), Sealed("messages", "redacted==", "anthropic", "claude-opus-4-6", "redacted")),
        Reasoning((Thought("One"), Thought("Two")), ENCRYPTED, id="rs_1"),
        Message("assistant", (Text("Four."),)),
    ]
    out, writer = run(stream_of(items), reply(WITH_USAGE))
    message = writer.body()["choices"][0]["message"]
    assert message["reasoning_content"] == message["reasoning"] == "Because.OneTwo"
    signed, redacted, one, two, hidden = message["reasoning_details"]
    assert (signed["type"], signed["text"], signed["format"]) == ("reasoning.text", "Because.", "anthropic-claude-v1")
    assert unseal(signed["signature"]) == SIGNED
    assert redacted["type"] == "reasoning.encrypted" and unseal(redacted["data"]).data == "redacted=="
    assert (one["type"], one["summary"], two["summary"]) == ("reasoning.summary", "One", "Two")
    assert one["id"] == two["id"] == hidden["id"] == "rs_1" and unseal(hidden["data"]) == ENCRYPTED
    assert [each["index"] for each in message["reasoning_details"]] == [0, 1, 2, 3, 4]
    assert joined(chunks_of(out)[:-2])["reasoning_details"] == message["reasoning_details"]


def test_nothing_about_reasoning_where_there_is_none():
    assert "reasoning" not in json.dumps(
        write_answer(fold(stream_of([Message("assistant", (Text("a"),))])), reply())["choices"]
    )


def test_what_the_provider_ran_shows_as_sources_only():
    items = [
        ToolCall("ws_1", "web_search", '{"type":"search","query":"rain"}', kind="web_search", ran_by="provider"),
        Message("assistant", (Text("Yes. "), Text("Rain.", (Citation("https://e.com/w", "W"),)))),
        OpaqueItem("responses", {"type": "compaction"}),
    ]
    out, writer = run(stream_of(items), reply())
    message = writer.body()["choices"][0]["message"]
    assert "tool_calls" not in message and b"query" not in out
    cited = {"start_index": 5, "end_index": 10, "title": "W", "url": "https://e.com/w"}
    assert message["annotations"] == [{"type": "url_citation", "url_citation": cited}]
    assert joined(chunks_of(out)[:-1])["annotations"] == message["annotations"]


def test_a_bound_signature_travels_beside_its_call():
    bound = Sealed("gemini", "EocDCoQD", "vertex", "gemini-3-pro")
    out, writer = run(stream_of([ToolCall("c1", "f", "{}", sealed=bound)]), reply())
    (call,) = writer.body()["choices"][0]["message"]["tool_calls"]
    assert unseal(call["extra_content"]["google"]["thought_signature"]) == bound
    (streamed,) = joined(chunks_of(out)[:-1])["tool_calls"]
    assert streamed["extra_content"] == call["extra_content"]
    # OpenAI's SDK stops at a fragment without the slot that the call's arguments go into.
    fragments = [each for chunk in chunks_of(out)[:-1] for each in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert all("arguments" in each["function"] for each in fragments)


def test_logprobs_reach_both_forms():
    token = TokenLogprob("Hi", -0.1, (72, 105), (("Ho", -2.0, None),))
    out, writer = run(stream_of([Message("assistant", (Text("Hi", logprobs=(token,)),))]), reply())
    expected = [
        {
            "token": "Hi",
            "logprob": -0.1,
            "bytes": [72, 105],
            "top_logprobs": [{"token": "Ho", "logprob": -2.0, "bytes": None}],
        }
    ]
    assert writer.body()["choices"][0]["logprobs"] == {"content": expected, "refusal": None}
    assert chunks_of(out)[1]["choices"][0]["logprobs"]["content"] == expected


def test_old_functions_are_answered_in_their_own_form():
    old = {"functions": [{"name": "f"}], "stream": True}
    items = [ToolCall("c1", "f", '{"a":1}'), ToolCall("c2", "f", "{}")]
    out, writer = run(stream_of(items, Finished("tool_calls")), reply(old))
    choice = writer.body()["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": '{"a":1}'}
    assert choice["finish_reason"] == "function_call" and "tool_calls" not in choice["message"]
    assert joined(chunks_of(out)[:-1])["function_call"] == choice["message"]["function_call"]


def test_a_failure_is_an_error_object_and_no_finish():
    started = [Started(), *list(events_of((Message("assistant", (Text("Hel"),)),)))[:3], UsageUpdated(USAGE)]
    failed = Failed(provider_failed("The provider broke off.", model="openai/gpt-5.4", code="stream_truncated"))
    out, writer = run([*started, failed], reply(WITH_USAGE))
    *chunks, error = chunks_of(out)
    assert all(choice["finish_reason"] is None for chunk in chunks for choice in chunk["choices"])
    assert error["error"] == {
        "message": "The provider broke off.",
        "type": "provider_error",
        "param": None,
        "code": "stream_truncated",
    }
    assert error["usage"]["total_tokens"] == 41 and b"[DONE]" not in out
    assert writer.body()["choices"][0]["finish_reason"] is None


def test_the_sdk_raises_on_a_failed_stream():
    import httpx

    out, _ = run([Started(), Failed(GatewayError(424, "provider_error", "x", "It broke."))], reply())
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, content=out, headers={"content-type": "text/event-stream"})
    )
    client = openai.OpenAI(api_key="k", base_url="http://test", http_client=httpx.Client(transport=transport))
    with pytest.raises(openai.APIError, match="It broke"):
        list(client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True))


def test_the_sdks_stream_helper_assembles_the_whole_answer():
    import httpx

    items = [
        Reasoning((Thought("Hm", summary=False),), SIGNED),
        Message(
            "assistant", (Text("A", (Citation("https://e.com", "E"),)), Text("B", (Citation("https://f.com", "F"),)))
        ),
        ToolCall("c1", "f", '{"a":1}'),
        ToolCall("c2", "g", "{}"),
    ]
    out, _ = run(stream_of(items, Finished("tool_calls")), reply(WITH_USAGE))
    transport = httpx.MockTransport(
        lambda request: httpx.Response(200, content=out, headers={"content-type": "text/event-stream"})
    )
    client = openai.OpenAI(
        api_key="k",
        base_url="http://test",
        http_client=httpx.Client(transport=transport),
        _strict_response_validation=True,
    )
    tools = [{"type": "function", "function": {"name": name, "parameters": {}, "strict": True}} for name in "fg"]
    with client.chat.completions.stream(
        model="m", messages=[{"role": "user", "content": "x"}], tools=tools, stream_options={"include_usage": True}
    ) as stream:
        completion = stream.get_final_completion()
    message = completion.choices[0].message
    assert message.content == "AB" and completion.usage is not None and completion.usage.total_tokens == 41
    assert [(call.id, call.function.arguments) for call in message.tool_calls or ()] == [
        ("c1", '{"a":1}'),
        ("c2", "{}"),
    ]
    assert len(message.annotations or ()) == 2


def test_several_choices_in_one_stream():
    events = {
        0: list(stream_of([Message("assistant", (Text("zero"),))])),
        1: list(stream_of([ToolCall("c1", "f", "{}")], Finished("tool_calls"))),
    }
    writer, out = ChoicesWriter(reply({**WITH_USAGE, "n": 2}), 2), b""
    while any(events.values()):
        for choice, left in events.items():
            if left:
                out += writer.write(choice, left.pop(0))
    *chunks, usage, done = chunks_of(out)
    assert done == "[DONE]" and out.count(b"[DONE]") == 1
    assert usage["choices"] == [] and usage["usage"]["total_tokens"] == 82 and usage["cost"] == {"total": 0.000082}
    roles = [chunk["choices"][0]["index"] for chunk in chunks if "role" in chunk["choices"][0]["delta"]]
    assert sorted(roles) == [0, 1]
    assert joined(chunks, 0)["content"] == "zero" and joined(chunks, 1)["tool_calls"][0]["id"] == "c1"
    body = writer.body()
    assert [choice["index"] for choice in body["choices"]] == [0, 1] and body["usage"]["total_tokens"] == 82
    check_completion(body)
    folded = [fold(stream_of([Message("assistant", (Text("zero"),))]))] * 2
    assert write_answers(folded, reply())["usage"]["prompt_tokens"] == 50


def test_one_failing_choice_ends_the_stream_once():
    writer = ChoicesWriter(reply(WITH_USAGE), 2)
    out = b"".join(writer.write(0, event) for event in stream_of([Message("assistant", (Text("a"),))]))
    # Told of a choice that is over, as when the whole stream is given up.
    out += writer.write(0, Failed(provider_failed("No.", model="m")))
    out += writer.write(1, Finished("stop"))
    assert chunks_of(out)[-1]["error"]["message"] == "No." and b"[DONE]" not in out


def test_items_in_one_piece_are_streamed_too():
    message = Message(
        "assistant", (Text("whole"), Refusal("no"), OpaquePart("chat_completions", {"audio": {"id": "a"}}))
    )
    thought = Reasoning((Thought("t", summary=False),))
    call = ToolCall("c", "f", "{}")
    events = [Started()]
    for item in (thought, message, call):
        events += [ItemStarted(item), ItemEnded(item)]
    out, _ = run([*events, Finished("stop")], reply())
    got = joined(chunks_of(out)[:-1])
    assert (got["content"], got["refusal"], got["reasoning"], got["audio"]) == ("whole", "no", "t", {"id": "a"})
    assert got["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


def test_half_a_surrogate_pair_stays_valid_json():
    writer = StreamWriter(reply())
    out = writer.write(Started()) + writer.write(ItemStarted(Message("assistant", ())))
    out += writer.write(PartStarted(Text(""))) + writer.write(Delta("\ud83d")) + writer.write(PartEnded(Text("\ud83d")))
    assert chunks_of(out)[-1]["choices"][0]["delta"]["content"] == "\ud83d"

"""What a Messages client sees: complete life cycles, blocks in strict sequence, the same answer streamed or not."""

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
    OpaquePart,
    Reasoning,
    Refusal,
    Sealed,
    Text,
    Thought,
    ToolCall,
    ToolResult,
)
from headgate.errors import GatewayError
from headgate.events import (
    Assembler,
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
from headgate.protocols.messages.client_answer import write_answer
from headgate.protocols.messages.client_stream import StreamWriter
from headgate.protocols.sealing import PREFIX
from headgate.usage import Usage
from tests.strategies import answers, sealed, usages
from tests.unit.messages_support import accumulate_blocks, check_message, reply, stream, unseal, written

SIGNED = Sealed("messages", "c2ln", "anthropic", "claude-sonnet-4-5")
REDACTED = Sealed("messages", "cmVk", "anthropic", "claude-sonnet-4-5", "redacted")
foreign = sealed("responses", "openai", "gpt-5") | sealed("messages", "anthropic", "claude-sonnet-4-5") | st.none()


def kinds(payloads: list[dict[str, Any]]) -> list[str]:
    return [payload["type"] for payload in payloads]


def test_a_whole_life_cycle() -> None:
    payloads, _ = written(stream((Message("assistant", (Text("Hi"),)),), Usage(25, 8, 3, 2, 16, 4)))
    assert kinds(payloads) == [
        "message_start",
        "ping",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    message = payloads[0]["message"]
    assert (message["id"], message["model"], message["content"]) == ("msg_ours", "anthropic/claude-sonnet-4-5", [])
    assert message["usage"]["input_tokens"] == 7  # the estimate, as the upstream had not said
    closing = payloads[-2]
    assert closing["delta"] == {
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
    }
    assert closing["usage"] == {
        "input_tokens": 12,
        "cache_read_input_tokens": 8,
        "cache_creation_input_tokens": 5,
        "output_tokens": 16,
        "output_tokens_details": {"thinking_tokens": 4},
        "server_tool_use": {"web_fetch_requests": 0, "web_search_requests": 0},
    }
    assert closing["cost"] == {"total": 12 * 3e-6 + 8 * 0.3e-6 + 3 * 3.75e-6 + 2 * 6e-6 + 16 * 15e-6}


def test_known_input_usage_is_said_at_the_start() -> None:
    payloads, _ = written([Started(usage=Usage(25, 8, 3, 2)), Finished("stop")])
    usage = payloads[0]["message"]["usage"]
    assert (usage["input_tokens"], usage["cache_read_input_tokens"]) == (12, 8)
    assert usage["cache_creation"] == {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 2}


def test_interleaved_calls_become_sequential_blocks_with_no_empty_text() -> None:
    a = Assembler()
    events = [Started()]
    events += a.tool_call(0, ToolCall("call_a", "f", ""))
    events += a.arguments(0, '{"x"')
    events += a.tool_call(1, ToolCall("call_b", "g", ""))
    events += a.arguments(1, '{"y":') + a.arguments(0, ":1}") + a.arguments(1, "2}")
    events += [*a.finish(), UsageUpdated(Usage(1)), Finished("tool_calls")]
    payloads, writer = written(events)
    starts = [each["content_block"] for each in payloads if each["type"] == "content_block_start"]
    assert starts == [
        {"type": "tool_use", "id": "call_a", "name": "f", "input": {}},
        {"type": "tool_use", "id": "call_b", "name": "g", "input": {}},
    ]
    assert [block["input"] for block in accumulate_blocks(payloads)] == [{"x": 1}, {"y": 2}]
    assert payloads[-2]["delta"]["stop_reason"] == "tool_use"
    assert writer.body()["content"] == accumulate_blocks(payloads)


def test_a_call_without_arguments_has_an_empty_input() -> None:
    payloads, writer = written(stream((ToolCall("c", "f", ""),)))
    assert (
        accumulate_blocks(payloads)
        == writer.body()["content"]
        == [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]
    )
    assert payloads[-2]["delta"]["stop_reason"] == "tool_use"


def test_free_text_of_a_custom_tool_is_one_string_parameter() -> None:
    text = 'line "one"\n\\two\u2028'
    a = Assembler()
    call = ToolCall("c", "patch", "", kind="custom")
    events = [Started(), *a.tool_call(0, call), *a.arguments(0, text[:6]), *a.arguments(0, text[6:]), *a.end_call(0)]
    payloads, writer = written([*events, Finished("tool_calls")])
    assert accumulate_blocks(payloads)[0]["input"] == {"input": text}
    assert writer.body()["content"][0]["input"] == {"input": text}


def test_arguments_that_are_no_object_are_kept_in_the_json_answer() -> None:
    for text in ("{oops", "[1]", "NaN", '{"a": NaN}'):
        body = write_answer(fold(stream((ToolCall("c", "f", text),))), reply())
        assert body["content"][0]["input"] == {"_raw_arguments": text}
        check_message(body)


def test_thinking_carries_its_seal_in_a_token() -> None:
    items = (
        Reasoning((Thought("hm"), Thought("so")), SIGNED),
        Reasoning((), REDACTED),
        Reasoning((), SIGNED),
        Reasoning((Thought("unsigned"),)),
        Reasoning(()),
        Message("assistant", (Text("x"),)),
    )
    payloads, writer = written(stream(items))
    blocks = accumulate_blocks(payloads)
    assert blocks == writer.body()["content"]
    first, redacted, empty, unsigned, text = blocks
    assert first["thinking"] == "hm\n\nso"
    assert first["signature"].startswith(PREFIX)
    assert unseal(first["signature"]) == SIGNED
    assert (redacted["type"], unseal(redacted["data"])) == ("redacted_thinking", REDACTED)
    assert (empty["thinking"], unseal(empty["signature"])) == ("", SIGNED)
    assert (unsigned["thinking"], unsigned["signature"]) == ("unsigned", "")
    assert text == {"type": "text", "text": "x"}
    deltas = [
        each["delta"]["type"] for each in payloads if each["type"] == "content_block_delta" and each["index"] == 0
    ]
    assert deltas == ["thinking_delta", "thinking_delta", "signature_delta"]


def test_omitted_thinking_keeps_only_the_signature() -> None:
    items = (Reasoning((Thought("secret"),), SIGNED), Reasoning((Thought("unsigned"),)))
    payloads, writer = written(stream(items), reply({"thinking": {"type": "adaptive", "display": "omitted"}}))
    (block,) = accumulate_blocks(payloads)
    assert (block["thinking"], unseal(block["signature"])) == ("", SIGNED)
    assert writer.body()["content"] == [block]
    assert "secret" not in json.dumps(payloads)


def test_citations_and_refusals() -> None:
    own = {"type": "char_location", "cited_text": "c", "document_index": 0, "start_char_index": 0, "end_char_index": 1}
    text = Text("It is.", (Citation("https://e.com", "E", "cited"), Citation("", extra={"messages": own})))
    payloads, writer = written(stream((Message("assistant", (text, Refusal("No."))),)))
    cited, refused = accumulate_blocks(payloads)
    assert cited["citations"] == [
        {
            "type": "web_search_result_location",
            "url": "https://e.com",
            "title": "E",
            "cited_text": "cited",
            "encrypted_index": "",
        },
        own,
    ]
    assert refused == {"type": "text", "text": "No."}
    assert writer.body()["content"] == [cited, refused]


def test_a_search_of_another_provider_gets_its_pair_of_blocks() -> None:
    action = '{"type":"search","query":"q","sources":[{"type":"url","url":"https://e.com"}]}'
    search = ToolCall("ws_1", "web_search", action, kind="web_search", ran_by="provider")
    payloads, writer = written(stream((search, Message("assistant", (Text("x"),)))))
    use, found, _ = accumulate_blocks(payloads)
    assert use == {"type": "server_tool_use", "id": "ws_1", "name": "web_search", "input": {"query": "q"}}
    assert (found["tool_use_id"], found["content"][0]["url"]) == ("ws_1", "https://e.com")
    assert writer.body()["content"][:2] == [use, found]
    check_message(writer.body())


def test_a_search_with_its_result_is_not_answered_twice() -> None:
    page = {"type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "e", "page_age": None}
    search = ToolCall("srvtoolu_1", "web_search", '{"query":"q"}', kind="web_search", ran_by="provider")
    result = ToolResult("srvtoolu_1", (), kind="web_search", ran_by="provider", extra={"messages": {"content": [page]}})
    payloads, writer = written(stream((search, result)))
    blocks = accumulate_blocks(payloads)
    assert [block["type"] for block in blocks] == ["server_tool_use", "web_search_tool_result"]
    assert blocks[1]["content"] == [page]
    assert writer.body()["content"] == blocks
    lone, writer = written(stream((search,)))
    assert [block["type"] for block in accumulate_blocks(lone)] == ["server_tool_use", "web_search_tool_result"]
    assert writer.body()["content"] == accumulate_blocks(lone)


def test_blocks_that_only_anthropic_knows_pass_whole() -> None:
    upload = {"type": "container_upload", "file_id": "f"}
    items = (OpaqueItem("messages", upload), OpaqueItem("responses", {"type": "x"}))
    parts = (OpaquePart("messages", upload), Text(""), Text("t"))
    payloads, writer = written(stream((*items, Message("assistant", parts))))
    assert accumulate_blocks(payloads) == writer.body()["content"] == [upload, upload, {"type": "text", "text": "t"}]


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("stop_sequence", "stop_sequence"),
        ("content_filter", "refusal"),
        ("refusal", "refusal"),
        ("pause", "pause_turn"),
        ("context_window", "model_context_window_exceeded"),
    ],
)
def test_every_reason_has_its_word(reason: Any, word: str) -> None:
    events = [Started(), Finished(reason, stop_sequence="END" if reason == "stop_sequence" else None)]
    payloads, writer = written(events)
    delta = payloads[-2]["delta"]
    assert (delta["stop_reason"], writer.body()["stop_reason"]) == (word, word)
    assert delta["stop_sequence"] == ("END" if reason == "stop_sequence" else None)
    check_message(writer.body())


def test_a_failure_ends_the_stream_with_an_error_event_and_no_stop() -> None:
    error = GatewayError(529, "overloaded_error", None, "Overloaded", details={"error_code": "x"})
    events = [Started(), *events_of((Message("assistant", (Text("Hi"),)),))][:4]
    payloads, _ = written([*events, Failed(error)], reply(request_id="req_1"))
    assert kinds(payloads)[-1] == "error"
    assert "message_stop" not in kinds(payloads)
    assert payloads[-1] == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "Overloaded", "details": {"error_code": "x"}},
        "request_id": "req_1",
    }


def test_a_failure_before_the_start_is_the_only_event() -> None:
    payloads, _ = written([Failed(GatewayError(429, "rate_limit_error", None, "slow down"))])
    assert kinds(payloads) == ["error"]


def test_an_item_that_arrives_whole_is_written_whole() -> None:
    message = Message("assistant", (Text("Hi", (Citation("u", "t", "c"),)),))
    events = [Started(), ItemStarted(message), ItemEnded(message), Finished("stop")]
    payloads, writer = written(events)
    assert accumulate_blocks(payloads) == writer.body()["content"]


def test_half_a_surrogate_pair_reaches_the_client() -> None:
    writer = StreamWriter(reply())
    message = Message("assistant", ())
    for event in (Started(), ItemStarted(message), PartStarted(Text(""))):
        writer.write(event)
    out = writer.write(Delta("\ud83d")) + writer.write(Delta("\ude00"))
    texts = [json.loads(line[6:])["delta"]["text"] for line in out.splitlines() if b"text_delta" in line]
    assert "".join(texts).encode("utf-16", "surrogatepass").decode("utf-16") == "😀"
    writer.write(PartEnded(Text("😀")))


@settings(max_examples=60)
@given(answers(seals=foreign), usages(), st.sampled_from(["stop", "length", "refusal"]))
def test_the_stream_the_body_and_the_json_answer_agree(items: tuple[Item, ...], usage: Usage, reason: Any) -> None:
    events = stream(items, usage, reason)
    payloads, writer = written(events)
    body = write_answer(fold(events), reply())
    assert writer.body() == body
    assert accumulate_blocks(payloads) == body["content"]
    assert payloads[-2]["delta"]["stop_reason"] == body["stop_reason"]
    assert payloads[-2]["cost"] == body["cost"]
    counted = {name: body["usage"][name] for name in payloads[-2]["usage"]}
    assert payloads[-2]["usage"] == counted
    check_message(body)

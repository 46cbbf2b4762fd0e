"""Responses to Responses: what goes on untouched, what is ours to change, and what is seen on the way."""

import json
from dataclasses import replace
from typing import Any

import pytest

from headgate.conversation import Sealed
from headgate.errors import GatewayError, provider_failed
from headgate.protocols.contract import Target
from headgate.protocols.responses.input_items import input_items
from headgate.protocols.responses.relay import Relay, prepare
from headgate.protocols.sealing import sealer
from headgate.protocols.sse import FrameSplitter
from tests.responses_kit import (
    FIXTURES,
    SECRET,
    TARGET,
    check_event,
    check_object,
    frames_of,
    parse_stream,
    recorded,
    reply_for,
    unseal_for,
)

ASKS = {"include": ["reasoning.encrypted_content"]}
WHOLE = sorted(path.name for path in FIXTURES.iterdir() if path.name not in ("error_event", "failed"))


def relay(case: str, body: dict[str, Any] | None = None) -> tuple[Relay, bytes]:
    passing = Relay(reply_for(body), TARGET)
    out = b"".join(passing.feed(frame) for frame in frames_of(case))
    return passing, out + passing.end()


@pytest.mark.parametrize("case", WHOLE)
def test_all_but_the_envelope_is_untouched(case: str) -> None:
    passing, out = relay(case)
    frames = frames_of(case)
    seen = FrameSplitter().feed(out)
    assert len(seen) == len(frames) + 1 and seen[-1] == b"data: [DONE]\n\n"
    for before, after, event in zip(frames, seen, recorded(case), strict=False):
        if "response" not in event and "encrypted_content" not in event.get("item", {}):
            assert after is before or after == before
    final = json.loads(seen[-2].split(b"data: ", 1)[1])["response"]
    assert final == passing.body and passing.done
    assert (final["id"], final["model"]) == ("resp_test", "anthropic/claude-opus-4-6")
    assert final["store"] is True and final["prompt_cache_key"] is None
    assert final["cost"]["total"] > 0 and final["usage"]["tool_calls"] == {"web_search": passing.usage.web_searches}
    assert final["usage"]["input_tokens_details"].keys() >= {"cached_tokens_created", "cache_write_tokens"}
    assert final["billing"] == {"payer": "developer"}
    assert passing.saw_output and passing.error is None and passing.usage.total > 0


@pytest.mark.parametrize("case", ["text", "reasoning", "tools", "custom_tool", "logprobs", "refusal"])
def test_what_the_client_sees_is_valid(case: str) -> None:
    passing, out = relay(case, ASKS)
    for event in parse_stream(out):
        check_event(event)
        if "response" in event:
            check_object(event["response"])
    assert passing.finish == "completed"


def test_the_clients_own_words_are_echoed() -> None:
    said = {
        "store": False, "metadata": {"a": "b"}, "user": "u", "prompt_cache_key": "mine", "max_output_tokens": 5,
        "previous_response_id": "resp_0", "service_tier": "flex", "truncation": "auto",
    }  # fmt: skip
    passing, _ = relay("text", said)
    assert passing.body is not None and {name: passing.body[name] for name in said} == said
    bare, _ = relay("text")
    assert bare.body is not None and bare.body["service_tier"] == "default"


def test_seals_are_wrapped_for_those_who_ask_and_for_the_state() -> None:
    token = sealer(SECRET, "tenant-a")(Sealed("responses", "gAAAAABo-sealed-bytes==", "openai", "gpt-5.4", "encrypted"))
    passing, out = relay("reasoning", ASKS)
    events = parse_stream(out)
    done = next(event for event in events if event["type"] == "response.output_item.done")
    assert done["item"]["encrypted_content"] == token
    assert events[-1]["response"]["output"][0]["encrypted_content"] == token
    assert b"gAAAA" not in out and passing.state_items == events[-1]["response"]["output"]

    passing, out = relay("reasoning")
    assert b"encrypted_content" not in out
    assert passing.state_items[0]["encrypted_content"] == token
    assert [item["type"] for item in passing.state_items] == ["reasoning", "message"]


def test_the_seal_of_a_turn_opens_in_the_next() -> None:
    passing, _ = relay("reasoning")
    body = {"model": "m", "input": [*passing.state_items, {"role": "user", "content": "more"}]}
    sent, losses = prepare(body, TARGET, unseal_for())
    assert sent["input"][0]["encrypted_content"] == "gAAAAABo-sealed-bytes==" and not losses
    assert sent["input"][0]["id"] == "rs_68af4032522c8193a2c3d4e5f6a7b8c9"
    for target, unseal in ((Target("azure", "gpt-5.4"), unseal_for()), (TARGET, unseal_for("tenant-b"))):
        sent, losses = prepare(body, target, unseal)
        assert [item.get("type") for item in sent["input"]] == ["message", None]
        assert [loss.code for loss in losses] == ["foreign_signature"]


def test_failures() -> None:
    passing, out = relay("failed")
    events = parse_stream(out)
    assert events[-1]["type"] == "response.failed" and passing.finish == "failed"
    assert passing.error is not None and passing.error.message == "The model had a hiccup."
    assert events[-1]["response"]["id"] == "resp_test"

    # A bare error event is ignored by some clients: response.failed follows it.
    passing, out = relay("error_event")
    events = parse_stream(out)
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert passing.error is not None and passing.error.status == 429 and passing.finish == "failed"
    assert events[-1]["response"]["error"]["code"] == "rate_limit_exceeded"
    assert [item["type"] for item in passing.state_items] == ["message"]


@pytest.mark.parametrize("count", range(len(recorded("tools"))))
def test_a_stream_cut_anywhere_is_closed(count: int) -> None:
    passing = Relay(reply_for(), TARGET)
    out = b"".join(passing.feed(frame) for frame in frames_of("tools")[:count])
    out += passing.end()
    events = parse_stream(out)
    assert events[0]["type"] == "response.created" and events[-1]["type"] == "response.failed"
    assert passing.error is not None and passing.error.code == "stream_truncated" and passing.done
    assert passing.saw_output == (count > 2)
    for event in (events[0], events[-1]):
        check_object(event["response"])
    assert passing.end() == b"" and passing.feed(frames_of("tools")[-1]) == b""


def test_a_first_frame_that_is_an_error_can_be_told() -> None:
    for frame in (
        b'event: error\ndata: {"type":"error","error":{"type":"server_error","message":"busy"}}\n\n',
        b'data: {"type":"error","code":null,"message":"busy","param":null}\n\n',
        b'data: {"error":{"message":"busy","type":"server_error","code":null}}\n\n',
    ):
        passing = Relay(reply_for(), TARGET)
        passing.feed(frame)
        assert passing.error is not None and passing.error.message == "busy" and not passing.saw_output


def test_our_own_failure_ends_the_stream() -> None:
    passing = Relay(reply_for(), TARGET)
    out = passing.feed(frames_of("text")[0]) + passing.fail(provider_failed("Timed out.", model="openai/gpt-5.4"))
    assert parse_stream(out)[-1]["response"]["error"]["message"] == "Timed out."


def test_streams_without_event_lines_and_other_frames() -> None:
    passing = Relay(reply_for(), TARGET)
    out = passing.feed(b": ping\n\n") + passing.feed(b'data: {"type":"keepalive","sequence_number":9}\n\n')
    assert out.startswith(b": ping") and not passing.saw_output
    for event in recorded("text"):
        out = passing.feed(b"data: " + json.dumps(event).encode() + b"\n\n")
    assert passing.finish == "completed" and passing.saw_output and out.endswith(b"data: [DONE]\n\n")
    assert passing.feed(b"data: [DONE]\n\n") == b""


def test_a_whole_answer() -> None:
    response = recorded("reasoning")[-1]["response"]
    passing = Relay(reply_for(), TARGET)
    shown = passing.json(json.dumps(response).encode())
    check_object(shown)
    assert shown == passing.body and shown["id"] == "resp_test" and passing.finish == "completed"
    assert "encrypted_content" not in shown["output"][0] and "encrypted_content" in passing.state_items[0]
    assert passing.usage.reasoning == 64
    cut = Relay(reply_for(), TARGET)
    cut.json(json.dumps(recorded("incomplete")[-1]["response"]).encode())
    assert cut.finish == "max_output_tokens"
    for junk in (b"<html>", b"[]", b""):
        with pytest.raises(ValueError):
            Relay(reply_for(), TARGET).json(junk)


def test_prepare_takes_out_what_is_ours_and_nothing_else() -> None:
    body = {
        "model": "m", "stream": True, "novelty": {"a": [1]}, "instructions": "x", "text": {"verbosity": "low"},
        "input": [
            {"role": "user", "cache_control": {"type": "ephemeral"}, "content": [
                {"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral"}, "new": 1}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}",
             "parsed_arguments": None, "encrypted_content": "hg1.x.y"},
            {"type": "function_call_output", "call_id": "c", "output": "r", "is_error": True},
            {"type": "compaction", "encrypted_content": "kept"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {}, "cache_control": {"type": "ephemeral"}},
                  {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g"}]}],
        "routing": {}, "previous_response_id": "resp_1", "conversation": "c", "background": True, "user": "u",
        "service_tier": "flex", "safety_identifier": "s", "truncation": "auto", "prompt": {"id": "p"},
        "context_management": [], "cache_control": {"type": "ephemeral"}, "max_output_tokens": 4, "store": True,
    }  # fmt: skip
    before = json.dumps(body)
    sent, losses = prepare(body, TARGET, unseal_for(), "hg-key")
    assert json.dumps(body) == before
    assert sent == {
        "model": "gpt-5.4", "stream": True, "novelty": {"a": [1]}, "instructions": "x", "text": {"verbosity": "low"},
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "a", "new": 1}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "r"},
            {"type": "compaction", "encrypted_content": "kept"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {}},
                  {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "g"}]}],
        "max_output_tokens": 16, "store": False, "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "hg-key",
    }  # fmt: skip
    assert {loss.path for loss in losses} == {
        "cache_control", "input[0].cache_control", "input[0].content[0].cache_control", "input[1]",
        "input[2].encrypted_content",
        "input[3].is_error", "tools[0].cache_control", "max_output_tokens",
    }  # fmt: skip


def test_prepare_announces_stop_which_openai_has_not() -> None:
    sent, losses = prepare({"model": "m", "input": "hi", "stop": ["END"]}, TARGET, unseal_for())
    assert "stop" not in sent and [(loss.path, loss.code) for loss in losses] == [("stop", "unsupported_parameter")]


@pytest.mark.parametrize(
    ("part", "features", "quirks", "param"),
    [
        ({"type": "input_image", "image_url": "https://x/y.png"}, {"pdf"}, (), ""),
        ({"type": "input_file", "file_data": "data:application/pdf;base64,QUJD"}, {"image"}, (), ""),
        ({"type": "input_file", "file_data": "QUJD", "filename": "a.PDF"}, {"image"}, (), ""),
        ({"type": "input_file", "file_data": "QUJD", "filename": "a.pdf"}, {"pdf"}, ("files_by_url",), ".file_data"),
    ],
)
def test_prepare_refuses_media_that_the_model_lacks(part: Any, features: set[str], quirks: Any, param: str) -> None:
    body = {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}, part]}]}
    lacking = replace(TARGET, features=frozenset(features), quirks=frozenset(quirks))
    with pytest.raises(GatewayError) as refused:
        prepare(body, lacking, unseal_for())
    assert (refused.value.status, refused.value.param) == (400, f"input[0].content[1]{param}")
    assert prepare(body, TARGET, unseal_for())[0]["input"] == body["input"]


def test_prepare_leaves_ids_out_that_only_we_know() -> None:
    body = {"model": "m", "input": [{"role": "user", "content": "a"}, {"role": "user", "content": "b", "id": "msg_b"}]}
    sent, _ = prepare({**body, "input": input_items(body, "resp_1")}, TARGET, unseal_for())
    assert [item.get("id") for item in sent["input"]] == [None, "msg_b"]


def test_prepare_aliases_and_references() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "a"}], "response_format": {"type": "json_object"}}
    sent, _ = prepare(body, TARGET, unseal_for())
    assert sent["input"] == [{"type": "message", "role": "user", "content": "a"}]
    assert sent["text"] == {"format": {"type": "json_object"}} and "messages" not in sent
    with pytest.raises(GatewayError):
        prepare({"model": "m", "input": [{"type": "item_reference", "id": "msg_1"}]}, TARGET, unseal_for())


def test_delta_frames_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: bytes) -> Any:
        raise AssertionError("a delta frame was parsed")

    monkeypatch.setattr("headgate.protocols.responses.relay.parse_json", refuse)
    passing = Relay(reply_for(), TARGET)
    for case in ("text", "reasoning", "tools", "custom_tool", "logprobs"):
        for frame in frames_of(case):
            if b".delta" in frame:
                assert passing.feed(frame) is frame
    assert passing.saw_output

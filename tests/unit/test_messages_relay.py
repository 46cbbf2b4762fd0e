"""The pass-through: bytes unchanged but for the envelope, and an eye on usage, errors and the end."""

import json
from typing import Any

import pytest

from headgate.conversation import Sealed
from headgate.errors import GatewayError
from headgate.protocols.messages.relay import Relay, prepare
from headgate.protocols.sealing import sealer
from headgate.protocols.sse import FrameSplitter, parse_frame
from tests.unit.messages_support import OWNER, SECRET, TARGET, check_message, frames, reply, unseal

CASES = ["text", "parallel_tools", "thinking", "web_search", "refusal", "free_form"]


def run(case: str, **extra: Any) -> tuple[list[bytes], Relay]:
    relay = Relay(reply(**extra), TARGET)
    return [relay.feed(frame) for frame in frames(case)], relay


def data_of(frame: bytes) -> Any:
    return json.loads(parse_frame(frame)[1] or b"null")


@pytest.mark.parametrize("case", CASES)
def test_only_the_envelope_changes(case: str) -> None:
    out, relay = run(case)
    for before, after in zip(frames(case), out, strict=True):
        kind = data_of(before)["type"]
        if kind == "message_start":
            message = data_of(after)["message"]
            assert message.pop("model") == "anthropic/claude-sonnet-4-5"
            original = data_of(before)["message"]
            del original["model"]
            assert message == original
        elif kind == "message_delta":
            changed = data_of(after)
            assert changed.pop("cost")["total"] > 0
            assert changed == data_of(before)
        else:
            assert after == before
    assert relay.done
    assert relay.end() == b""
    assert relay.feed(frames("text")[3]) == b""


def test_usage_finish_and_cost() -> None:
    out, relay = run("text")
    usage = relay.usage
    assert (usage.input_total, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h) == (25, 8, 3, 2)
    assert (usage.output_total, relay.finish, relay.error, relay.body) == (16, "stop_sequence", None, None)
    expected = (12 * 3 + 8 * 0.3 + 3 * 3.75 + 2 * 6 + 16 * 15) / 1e6
    assert data_of(out[-2])["cost"]["total"] == pytest.approx(expected)
    assert run("thinking")[1].usage.reasoning == 80
    assert run("web_search")[1].usage.web_searches == 1


def test_the_id_is_ours_only_for_threads() -> None:
    assert data_of(run("text")[0][0])["message"]["id"] == "msg_01XFDUDYJgAACzvnptvVoYEL"
    assert data_of(run("text", own_id=True)[0][0])["message"]["id"] == "msg_ours"


@pytest.mark.parametrize("case", CASES)
def test_the_whole_message_is_kept_on_demand(case: str) -> None:
    out, relay = run(case, keep=True, own_id=True)
    body = relay.body
    assert body is not None
    assert (body["id"], body["model"], body["stop_reason"]) == ("msg_ours", "anthropic/claude-sonnet-4-5", relay.finish)
    assert body["cost"] == data_of(out[-2])["cost"]
    if case != "free_form":
        check_message(body)
    blocks = [data_of(each)["content_block"]["type"] for each in out if b"content_block_start" in each]
    assert [block["type"] for block in body["content"]] == blocks


def test_a_kept_message_has_its_blocks_whole() -> None:
    text, weather, files = (run("parallel_tools", keep=True)[1].body or {})["content"]
    assert (text["text"], weather["input"], files["input"]) == (
        "Let me check.",
        {"location": "San Francisco, CA"},
        {},
    )
    first, redacted, empty, _ = (run("thinking", keep=True)[1].body or {})["content"]
    assert (first["thinking"], first["signature"][:4], redacted["data"][:4]) == ("First, the weather.", "EqQB", "EmwK")
    assert (empty["thinking"], empty["signature"][:4]) == ("", "ErUB")
    assert (run("web_search", keep=True)[1].body or {})["content"][3]["citations"][0]["encrypted_index"]


def test_an_error_event_is_passed_on_and_seen() -> None:
    out, relay = run("error")
    assert out[-1] == frames("error")[-1]
    assert relay.error is not None
    assert (relay.error.status, relay.error.message) == (529, "Overloaded")
    assert (relay.saw_output, relay.done, relay.end()) == (True, True, b"")


def test_an_error_before_any_output_can_be_told() -> None:
    relay = Relay(reply(), TARGET)
    relay.feed(frames("error")[0])
    relay.feed(frames("error")[-1])
    assert (relay.saw_output, relay.error is not None) == (False, True)


def test_a_cut_stream_gets_the_protocols_error() -> None:
    relay = Relay(reply(request_id="req_1"), TARGET)
    for frame in frames("text")[:5]:
        relay.feed(frame)
    last = relay.end()
    assert last.startswith(b"event: error\n")
    assert data_of(last)["error"]["type"] == "api_error"
    assert data_of(last)["request_id"] == "req_1"
    assert relay.error is not None
    assert (relay.error.status, relay.error.code) == (424, "stream_truncated")


def test_a_stream_that_lacks_only_its_stop_is_closed() -> None:
    relay = Relay(reply(keep=True), TARGET)
    for frame in frames("text")[:-1]:
        relay.feed(frame)
    assert relay.end() == b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    assert (relay.done, relay.error, (relay.body or {})["stop_reason"]) == (True, None, "stop_sequence")


def test_failing_from_outside() -> None:
    relay = Relay(reply(), TARGET)
    relay.feed(frames("text")[0])
    error = GatewayError(504, "timeout_error", None, "too slow")
    assert data_of(relay.fail(error))["error"] == {"type": "timeout_error", "message": "too slow"}
    assert (relay.error, relay.fail(error)) == (error, b"")


@pytest.mark.parametrize("junk", [b"data: {broken\n\n", b'event: message_start\ndata: {"type":"message_start"}\n\n'])
def test_junk_becomes_an_error(junk: bytes) -> None:
    relay = Relay(reply(), TARGET)
    assert relay.feed(junk).startswith(b"event: error")
    assert relay.error is not None


def test_comments_done_marks_and_spaced_json() -> None:
    relay = Relay(reply(own_id=True), TARGET)
    assert relay.feed(b": keep-alive\n\n") == b": keep-alive\n\n"
    assert relay.feed(b"data: [DONE]\n\n") == b""
    spaced = b'data: {"type": "message_start", "message": {"id": "m\xc3\xbc", "model": "x\\"y", "usage": {}}}\r\n\r\n'
    message = data_of(relay.feed(spaced))["message"]
    assert (message["id"], message["model"]) == ("msg_ours", "anthropic/claude-sonnet-4-5")
    delta = (
        b'data: {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}\r\n\r\n'
    )
    out = relay.feed(delta)
    assert out.endswith(b"}\r\n\r\n")
    assert data_of(out)["cost"] == {"total": 3e-05}


def test_a_json_answer() -> None:
    raw = {
        "id": "msg_up",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "a_new_field": 1,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }
    relay = Relay(reply(), TARGET)
    body = relay.json(json.dumps(raw).encode())
    cost = body.pop("cost")
    assert body == {**raw, "model": "anthropic/claude-sonnet-4-5"}
    assert cost == {"total": pytest.approx(10 * 3e-6 + 5 * 15e-6)}
    assert (relay.usage.input_total, relay.finish, relay.done) == (10, "end_turn", True)
    with pytest.raises(ValueError):
        Relay(reply(), TARGET).json(b"<html>")
    with pytest.raises(ValueError):
        Relay(reply(), TARGET).json(b"[]")


def test_the_body_goes_up_as_it_came() -> None:
    body = {
        "model": "auto",
        "provider": "anthropic",
        "thread": {"type": "create"},
        "routing": {"provider": {}},
        "max_tokens": 0,
        "messages": [
            {"role": "user", "content": [{"type": "a_new_block", "x": 1}]},
            {"role": "assistant", "content": "plain"},
            {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]},
        ],
        "context_management": {"edits": []},
        "a_new_field": None,
    }
    before = json.dumps(body)
    out, losses = prepare(body, TARGET, unseal, "a-key")
    assert json.dumps(body) == before
    assert out == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 0,
        "messages": body["messages"],
        "context_management": {"edits": []},
        "a_new_field": None,
    }
    assert losses == []


def test_seals_in_the_history() -> None:
    seal = sealer(SECRET, OWNER)
    ours = Sealed("messages", "c2ln", "anthropic", "claude-sonnet-4-0")
    redacted = Sealed("messages", "cmVk", "anthropic", "claude-sonnet-4-5", "redacted")
    foreign = Sealed("responses", "gAAA", "openai", "gpt-5", "encrypted")
    raw = {"type": "thinking", "thinking": "raw", "signature": "UkFX"}
    content = [
        raw,
        {"type": "thinking", "thinking": "a", "signature": seal(ours)},
        {"type": "redacted_thinking", "data": seal(redacted)},
        {"type": "thinking", "thinking": "b", "signature": seal(foreign)},
        {"type": "thinking", "thinking": "c", "signature": ""},
        {"type": "redacted_thinking", "data": sealer(SECRET, "another")(redacted)},
        {"type": "text", "text": "x"},
    ]
    turns = [{"role": "assistant", "content": content}, {"role": "assistant", "content": content[3:4]}]
    out, losses = prepare({"messages": turns}, TARGET, unseal)
    assert out["messages"] == [
        {
            "role": "assistant",
            "content": [
                raw,
                {"type": "thinking", "thinking": "a", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "cmVk"},
                {"type": "text", "text": "x"},
            ],
        }
    ]
    assert [(loss.path, loss.code) for loss in losses] == [
        (f"messages[{turn}].content[{block}]", "foreign_signature") for turn, block in ((0, 3), (0, 4), (0, 5), (1, 0))
    ]


def test_searches_and_citations_of_other_providers_are_taken_out() -> None:
    own = {"type": "web_search_result_location", "url": "u", "cited_text": "c", "encrypted_index": "E"}
    theirs = {**own, "encrypted_index": ""}
    kept = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "text", "text": "a", "citations": [own]},
    ]
    foreign = [
        {"type": "server_tool_use", "id": "ws_1", "name": "web_search", "input": {}},
        {"type": "web_search_tool_result", "tool_use_id": "ws_1", "content": []},
        {"type": "text", "text": "b", "citations": [own, theirs]},
        {"type": "text", "text": "c", "citations": [theirs]},
    ]
    out, losses = prepare({"messages": [{"role": "assistant", "content": kept + foreign}]}, TARGET, unseal)
    assert out["messages"][0]["content"] == [
        *kept,
        {"type": "text", "text": "b", "citations": [own]},
        {"type": "text", "text": "c", "citations": None},
    ]
    assert [loss.code for loss in losses] == ["provider_tool_call"]


def test_frames_cut_by_the_network_relay_the_same() -> None:
    raw = b"".join(frames("thinking"))
    whole = b"".join(run("thinking")[0])
    splitter, relay = FrameSplitter(), Relay(reply(), TARGET)
    out = b"".join(
        relay.feed(frame) for start in range(0, len(raw), 5) for frame in splitter.feed(raw[start : start + 5])
    )
    assert out == whole

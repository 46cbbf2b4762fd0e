"""Message threads as the vendor's SDK drives them."""

from typing import Any

import httpx2
import pytest
from anthropic import BadRequestError, NotFoundError
from anthropic._exceptions import APIStatusError
from anthropic.lib.threads._thread_state import CREATE_ONLY_FIELDS, _replay_reason, _unsupported_features

from headgate.errors import GatewayError
from headgate.protocols.messages.errors import error_body
from headgate.protocols.messages.schema import validate
from headgate.protocols.messages.threads import (
    CREATE_ONLY,
    merge_turn,
    next_messages,
    settings_of,
    split_thread,
    thread_error,
)

MARK = {"type": "ephemeral"}
TOOL = {"name": "f", "input_schema": {"type": "object"}, "cache_control": MARK}
CREATE: dict[str, Any] = {
    "model": "m",
    "max_tokens": 100,
    "thread": {"type": "create"},
    "system": [{"type": "text", "text": "S", "cache_control": MARK}],
    "tools": [TOOL],
    "tool_choice": {"type": "tool", "name": "f"},
    "output_config": {"effort": "high"},
    "messages": [{"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": MARK}]}],
}
CALL = {"type": "tool_use", "id": "t", "name": "f", "input": {"cache_control": "the user's own"}}
ANSWER = {"id": "msg_1", "content": [CALL], "stop_reason": "tool_use"}
RESULTS = [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "ok"}]}]
CONTINUE: dict[str, Any] = {
    "model": "m2",
    "max_tokens": 50,
    "stream": True,
    "thread": {"type": "continue", "previous_message_id": "msg_1"},
    "messages": RESULTS,
}


def stored() -> dict[str, Any]:
    return {"settings": settings_of(CREATE), "messages": next_messages(CREATE["messages"], ANSWER)}


def test_what_a_request_asks_of_its_thread() -> None:
    assert split_thread(validate(CREATE)) == ("create", None)
    assert split_thread(validate(CONTINUE)) == ("continue", "msg_1")
    assert split_thread({"thread": None}) == (None, None)


def test_the_fields_of_the_create_request_are_the_sdks() -> None:
    assert set(CREATE_ONLY) == set(CREATE_ONLY_FIELDS)


def test_a_continue_becomes_a_whole_request() -> None:
    merged = merge_turn(stored(), validate(CONTINUE))
    assert merged == {
        "model": "m2",
        "max_tokens": 50,
        "stream": True,
        "system": CREATE["system"],
        "tools": [TOOL],
        "output_config": {"effort": "high"},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
            {"role": "assistant", "content": [CALL]},
            *RESULTS,
        ],
    }
    assert validate(merged)


def test_a_forced_choice_does_not_go_on() -> None:
    assert "tool_choice" not in merge_turn(stored(), CONTINUE)
    own = {**CONTINUE, "output_config": {"effort": "low"}, "tool_choice": {"type": "auto"}}
    merged = merge_turn(stored(), own)
    assert (merged["output_config"], merged["tool_choice"]) == ({"effort": "low"}, {"type": "auto"})


def test_a_paused_turn_goes_on_from_no_messages() -> None:
    body = validate({**CONTINUE, "messages": []})
    assert len(merge_turn(stored(), body)["messages"]) == 2


def test_a_repeated_field_must_be_the_same() -> None:
    assert merge_turn(stored(), {**CONTINUE, "system": CREATE["system"]})["system"] == CREATE["system"]
    with pytest.raises(GatewayError, match=r"differing field\(s\): system, tools") as caught:
        merge_turn(stored(), {**CONTINUE, "system": "other", "tools": []})
    assert caught.value.details == {"error_code": "thread_fingerprint_mismatch"}


def test_the_stored_history_is_not_changed_by_a_turn() -> None:
    state = stored()
    merge_turn(state, CONTINUE)
    assert state == stored()


def test_an_answer_without_content_adds_no_turn() -> None:
    assert next_messages(RESULTS, {"content": []}) == RESULTS


def raised(error: GatewayError) -> APIStatusError:
    """The exception that the SDK makes of our response."""
    response = httpx2.Response(error.status, request=httpx2.Request("POST", "https://e.com"))
    kind = NotFoundError if error.status == 404 else BadRequestError
    return kind(error.message, response=response, body=error_body(error, "req_1"))


@pytest.mark.parametrize("code", ["thread_not_found", "thread_already_continued", "thread_continue_in_flight"])
def test_the_sdk_replays_after_these(code: Any) -> None:
    error = thread_error(code)
    assert error.status == (404 if code == "thread_not_found" else 400)
    assert _replay_reason(raised(error)) == code
    assert _unsupported_features(raised(error)) is None


def test_the_sdk_stops_threading_after_this() -> None:
    error = thread_error("thread_unsupported_request", unsupported=["fallbacks"])
    assert _unsupported_features(raised(error)) == ["fallbacks"]
    assert _replay_reason(raised(error)) is None
    assert error_body(error)["error"]["type"] == "invalid_request_error"

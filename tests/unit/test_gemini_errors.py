"""Error responses of Gemini."""

import json

import pytest

from headgate.protocols.gemini.errors import error_of, read_error


def response(status, message, word, *details):
    error = {"code": status, "message": message, "status": word, **({"details": list(details)} if details else {})}
    return json.dumps({"error": error}).encode()


CASES = [
    (400, "INVALID_ARGUMENT", "invalid_request_error"),
    (401, "UNAUTHENTICATED", "authentication_error"),
    (403, "PERMISSION_DENIED", "permission_error"),
    (404, "NOT_FOUND", "not_found_error"),
    (413, "INVALID_ARGUMENT", "invalid_request_error"),
    (429, "RESOURCE_EXHAUSTED", "rate_limit_error"),
    (500, "INTERNAL", "server_error"),
    (503, "UNAVAILABLE", "service_unavailable"),
    (504, "DEADLINE_EXCEEDED", "timeout_error"),
]


@pytest.mark.parametrize(("status", "word", "type_"), CASES)
def test_status_message_and_word_are_the_vendors(status, word, type_):
    error = read_error(status, response(status, "Words.", word), {})
    assert (error.status, error.message, error.code, error.type) == (status, "Words.", word, type_)


def test_the_array_form_of_a_stream_that_was_not_asked_for_as_events():
    error = read_error(503, b"[" + response(503, "Busy.", "UNAVAILABLE") + b"]", {})
    assert (error.status, error.message) == (503, "Busy.")


def test_the_time_to_wait_from_the_details_or_the_header():
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.4s"}
    body = response(429, "Quota.", "RESOURCE_EXHAUSTED", {"violations": []}, retry)
    assert read_error(429, body, {}).retry_after == 34.4
    assert read_error(429, body, {"Retry-After": "7"}).retry_after == 7
    dates = {"retry-after": "Fri, 01 May 2026 00:00:09 GMT", "date": "Fri, 01 May 2026 00:00:00 GMT"}
    assert read_error(429, b"", dates).retry_after == 9
    assert read_error(429, response(429, "x", "y", {"retryDelay": "soon"}), {"retry-after": "x"}).retry_after is None


def test_codes_that_clients_act_on():
    long = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
    assert read_error(400, response(400, long, "INVALID_ARGUMENT"), {}).code == "context_length_exceeded"
    for missing in ("models/gemini-9 is not found for API version v1beta", "Publisher Model `x` was not found"):
        assert read_error(404, response(404, missing, "NOT_FOUND"), {}).code == "model_not_found"
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    error = read_error(400, response(400, "API key not valid.", "INVALID_ARGUMENT", reason), {})
    assert (error.status, error.code) == (400, "invalid_api_key")


def test_the_field_at_fault():
    detail = {"fieldViolations": [{"description": "no field"}, {"field": "tools[0].x", "description": "y"}]}
    assert read_error(400, response(400, "x", "INVALID_ARGUMENT", detail), {}).param == "tools[0].x"


@pytest.mark.parametrize(
    "body", [b"<html>Bad gateway</html>", b"", b"[]", b"7", b"[" * 100_000, b'{"error": {}}', b"\xff"]
)
def test_what_is_no_error_object_is_not_shown(body):
    error = read_error(502, body, {})
    assert error.status == 502 and error.message == "The provider answered with status 502 and no readable message."


def test_an_error_amid_a_stream_tells_its_own_status():
    assert error_of({"error": {"code": 503, "message": "x", "status": "UNAVAILABLE"}}).status == 503
    assert error_of({"error": {"message": "x", "status": "RESOURCE_EXHAUSTED"}}).status == 429
    assert error_of({"error": {"code": True}}).status == 424
    assert error_of({"error": "words"}).message == "words"

"""Errors in OpenAI's envelope, ours and the upstreams'."""

import httpx
import openai
import pytest

from headgate.errors import GatewayError, invalid_request, provider_failed
from headgate.protocols.chat_completions.errors import error_body, read_error


def test_the_envelope():
    assert error_body(invalid_request("Bad.", param="n")) == {
        "error": {"message": "Bad.", "type": "invalid_request_error", "param": "n", "code": "invalid_value"},
        "message": "Bad.",
    }
    slow = GatewayError(429, "rate_limit_error", "rate_limit", "Slow down.", retry_after=7)
    assert error_body(slow, "req_1")["retry_after"] == 7 and error_body(slow, "req_1")["request_id"] == "req_1"
    assert error_body(provider_failed("No.", model="openai/x"))["model"] == "openai/x"


def test_the_sdk_reads_it():
    body = error_body(GatewayError(429, "rate_limit_error", "rate_limit", "Slow down."))
    transport = httpx.MockTransport(lambda request: httpx.Response(429, json=body))
    client = openai.OpenAI(
        api_key="k", base_url="http://t", http_client=httpx.Client(transport=transport), max_retries=0
    )
    with pytest.raises(openai.RateLimitError, match=r"Slow down\.") as caught:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
    assert (caught.value.code, caught.value.type) == ("rate_limit", "rate_limit_error")


OPENAI = (
    b'{"error":{"message":"Unsupported value: \'x\'","type":"invalid_request_error",'
    b'"param":"stop","code":"unsupported_value"}}'
)


@pytest.mark.parametrize(
    ("status", "body", "message", "type_", "code", "param"),
    [
        (400, OPENAI, "Unsupported value: 'x'", "invalid_request_error", "unsupported_value", "stop"),
        (401, b'{"error":"bad key"}', "bad key", "authentication_error", None, None),
        (
            429,
            b'{"message":"Requests rate limit exceeded"}',
            "Requests rate limit exceeded",
            "rate_limit_error",
            None,
            None,
        ),
        (
            400,
            b'[{"error":{"code":400,"message":"Bad thing","status":"INVALID_ARGUMENT"}}]',
            "Bad thing",
            "invalid_request_error",
            None,
            None,
        ),
        (
            404,
            b'{"object":"error","message":"No model","type":"NotFoundError","code":404}',
            "No model",
            "NotFoundError",
            None,
            None,
        ),
        (
            422,
            b'{"detail":[{"loc":["body"],"msg":"x"}]}',
            "x",
            "invalid_request_error",
            None,
            None,
        ),
        (
            422,
            b'{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","metadata"],"msg":"Extra '
            b'inputs are not permitted","input":{}},{"type":"missing","loc":["body","model"],"msg":"Field required"}]},'
            b'"type":"invalid_request_error","param":null,"code":null}',
            "Extra inputs are not permitted (metadata); Field required (model)",
            "invalid_request_error",
            None,
            "metadata",
        ),
        (
            400,
            b'{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}',
            "Invalid model: x",
            "invalid_model",
            "model_not_found",
            None,
        ),
        (
            429,
            b'{"object":"error","message":"Rate limit exceeded","type":"rate_limited","param":null,"code":"1300",'
            b'"raw_status_code":429}',
            "Rate limit exceeded",
            "rate_limited",
            "1300",
            None,
        ),
        (
            400,
            b'{"errors":[{"message":"AiError: Bad input: Error: x","code":5006}],"success":false,"result":{},'
            b'"messages":[]}',
            "AiError: Bad input: Error: x",
            "invalid_request_error",
            "5006",
            None,
        ),
        (
            400,
            b'{"errors":[{"message":"No such model @cf/x or task","code":5007}],"success":false}',
            "No such model @cf/x or task",
            "invalid_request_error",
            "model_not_found",
            None,
        ),
        (500, b'{"detail":{"error":"inference failed"}}', "inference failed", "server_error", None, None),
        (500, b'{"detail":"boom"}', "boom", "server_error", None, None),
    ],
)
def test_the_upstreams_words_are_kept(status, body, message, type_, code, param):
    error = read_error(status, body, {})
    assert (error.status, error.message, error.type, error.code, error.param) == (status, message, type_, code, param)


@pytest.mark.parametrize(
    "body", [b"<html><body>502 nginx</body></html>", b"", b"null", b'"x"', b"[]", b"[" * 100_000, b"\xff"]
)
def test_a_body_that_is_no_error_is_not_shown(body):
    error = read_error(502, body, {})
    assert error.status == 502 and "502" in error.message and "nginx" not in error.message and "<" not in error.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "Fri, 20 Nov 2026 13:00:30 GMT", "date": "Fri, 20 Nov 2026 13:00:00 GMT"}, 30),
        ({"retry-after": "Fri, 20 Nov 2026 13:00:30 GMT"}, None),
        ({"retry-after": "soon", "date": "Fri, 20 Nov 2026 13:00:00 GMT"}, None),
        ({"retry-after": "-5"}, None),
        ({}, None),
    ],
)
def test_when_to_come_back(headers, seconds):
    error = read_error(429, b"{}", {**headers, "X-RateLimit-Remaining-Requests": "0", "server": "x"})
    assert error.retry_after == seconds
    assert error.headers == {"x-ratelimit-remaining-requests": "0"}

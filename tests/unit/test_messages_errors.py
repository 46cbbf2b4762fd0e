"""Errors and token counts in the vendor's shapes."""

import json
from email.utils import formatdate
from time import time
from typing import Any

import pytest
from anthropic.types import Usage as WireUsage
from hypothesis import given
from pydantic import TypeAdapter

from headgate.errors import GatewayError
from headgate.protocols.messages.errors import error_body, read_error
from headgate.protocols.messages.usage import merge_usage, read_usage, write_usage
from headgate.usage import Usage
from tests.strategies import usages


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (418, "invalid_request_error"),
        (422, "invalid_request_error"),
        (424, "api_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
        (529, "overloaded_error"),
    ],
)
def test_types_follow_the_status(status: int, kind: str) -> None:
    body = error_body(GatewayError(status, "whatever", "code", "words"), "req_1")
    assert body == {"type": "error", "error": {"type": kind, "message": "words"}, "request_id": "req_1"}


def test_upstream_words_are_kept() -> None:
    words = "context_management: Extra inputs are not permitted"
    raw = {"type": "error", "error": {"type": "invalid_request_error", "message": words}, "request_id": "req_up"}
    error = read_error(400, json.dumps(raw).encode(), {"Retry-After": "7"})
    assert (error.status, error.type, error.message, error.retry_after) == (400, "invalid_request_error", words, 7.0)
    assert error_body(error)["error"]["message"] == words


def test_details_are_kept() -> None:
    details = {"error_code": "thread_not_found"}
    raw = {"error": {"type": "not_found_error", "message": "m", "details": details}}
    error = read_error(404, json.dumps(raw).encode(), {})
    assert (error.code, error.details) == ("thread_not_found", details)


def test_a_prompt_that_is_too_long_has_the_code_that_agents_look_for() -> None:
    raw = {"error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}}
    assert read_error(400, json.dumps(raw).encode(), {}).code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>Bad gateway</html>", "The provider answered with status 502 and no message"),
        (b"", "The provider answered with status 502 and no message"),
        (b"[1]", "The provider answered with status 502 and no message"),
        (b'{"error": {"message": 5}}', "The provider answered with status 502 and no message"),
        (b'{"message": "proxy says no"}', "proxy says no"),
        (b'{"error": "short"}', "short"),
    ],
)
def test_other_bodies(body: bytes, message: str) -> None:
    error = read_error(502, body, {})
    assert (error.status, error.type, error.message) == (502, "api_error", message)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({"retry-after-ms": "1500"}, 1.5), ({"retry-after": "2.5"}, 2.5), ({"retry-after": "soon"}, None), ({}, None)],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert read_error(429, b"", headers).retry_after == seconds


def test_retry_after_as_a_date() -> None:
    waits = read_error(429, b"", {"retry-after": formatdate(time() + 30, usegmt=True)}).retry_after
    assert waits is not None
    assert 25 < waits <= 30


def test_usage_is_inclusive_inside_and_exclusive_outside() -> None:
    raw = {
        "input_tokens": 12,
        "cache_read_input_tokens": 8,
        "cache_creation_input_tokens": 5,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 2},
        "output_tokens": 16,
        "output_tokens_details": {"thinking_tokens": 5},
        "server_tool_use": {"web_search_requests": 2},
    }
    usage = read_usage(raw)
    assert usage == Usage(25, 8, 3, 2, 16, 5, web_searches=2, raw=raw)
    assert write_usage(usage)["input_tokens"] == 12


def test_cache_writes_without_a_breakdown_are_short_ones() -> None:
    usage = read_usage({"input_tokens": 1, "cache_creation_input_tokens": 5, "output_tokens": 1})
    assert (usage.cache_write_5m, usage.cache_write_1h, usage.input_total) == (5, 0, 6)


@pytest.mark.parametrize("value", [None, "5", -5, 1.5, True, [], {}])
def test_counts_that_are_none(value: Any) -> None:
    raw = dict.fromkeys(("input_tokens", "cache_creation", "cache_read_input_tokens", "server_tool_use"), value)
    assert read_usage(raw).input_total == 0


def test_cumulative_updates_replace_and_nulls_do_not() -> None:
    merged = merge_usage({"input_tokens": 5, "output_tokens": 1}, {"output_tokens": 9, "input_tokens": None})
    assert merged == {"input_tokens": 5, "output_tokens": 9}
    assert merge_usage(merged, None) == merged


@given(usages())
def test_usage_survives_the_wire(usage: Usage) -> None:
    raw = write_usage(usage)
    TypeAdapter(WireUsage).validate_python(raw, strict=True)
    back = read_usage(raw)
    assert back == Usage(
        usage.input_total,
        usage.cache_read,
        usage.cache_write_5m,
        usage.cache_write_1h,
        usage.output_total,
        usage.reasoning,
        web_searches=usage.web_searches,
        raw=raw,
    )


@pytest.mark.parametrize("listed", [False, True])
def test_googles_own_errors_in_front_of_claude_are_read(listed: bool) -> None:
    error = {"error": {"code": 429, "message": "Quota exceeded for base model", "status": "RESOURCE_EXHAUSTED"}}
    read = read_error(429, json.dumps([error] if listed else error).encode(), {"retry-after": "3"})
    assert (read.status, read.type, read.message) == (429, "rate_limit_error", "Quota exceeded for base model")
    assert read.retry_after == 3
    assert "no message" in read_error(500, b"[]", {}).message

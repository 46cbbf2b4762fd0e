"""Gemini's error responses, and error objects in its streams, as ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast

from headgate.errors import GatewayError

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "service_unavailable",
    504: "timeout_error",
}
_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def read_error(status: int, body: bytes, headers: Mapping[str, str]) -> GatewayError:
    """An upstream's error response: its message and status word verbatim, the seconds to wait from ``Retry-After`` or
    from the error's own details. A body that is no JSON (a proxy's HTML page) gives a neutral message."""
    try:
        payload: object = json.loads(body)
    except (ValueError, RecursionError):
        payload = None
    error = error_of(payload, status)
    wait = _retry_after({name.lower(): value for name, value in headers.items()})
    error.retry_after = wait if wait is not None else error.retry_after
    return error


def error_of(payload: object, status: int | None = None) -> GatewayError:
    """The error in ``{"error": {code, message, status, details}}``, or in a list of one such (the answer of a stream
    that was not asked for as server-sent events). status None: an error amid a stream, which tells its own."""
    if isinstance(payload, list) and payload:
        payload = cast("list[object]", payload)[0]
    outer = _object(payload)
    inner = outer.get("error", outer)
    fields = _object(inner)
    word = fields.get("status")
    word = word if isinstance(word, str) and word else None
    if status is None:
        status = _status(fields.get("code"), word)
    message = next((text for text in (fields.get("message"), inner) if isinstance(text, str) and text.strip()), None)
    details = [_object(each) for each in _list(fields.get("details"))]
    reason = next((each["reason"] for each in details if isinstance(each.get("reason"), str)), None)
    error = GatewayError(
        status,
        _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
        _code(status, message or "", reason) or word,
        message or f"The provider answered with status {status} and no readable message.",
        param=_field(details),
        retry_after=_retry_delay(details),
    )
    return error


def _code(status: int, message: str, reason: str | None) -> str | None:
    # Agents start to compact their history on the first code; Gemini says it only in words.
    if status == 400 and "token count" in message and "exceeds the maximum number of tokens" in message:
        return "context_length_exceeded"
    if status == 404 and ("models/" in message or "Publisher Model" in message):
        return "model_not_found"
    # A wrong key is an INVALID_ARGUMENT like any fault of the request; only the reason tells them apart.
    return "invalid_api_key" if reason == "API_KEY_INVALID" else None


def _status(code: object, word: str | None) -> int:
    if type(code) is int and 400 <= code < 600:
        return code
    return _STATUSES.get(word or "", 424)


def _field(details: list[Mapping[str, Any]]) -> str | None:
    for detail in details:
        for violation in _list(detail.get("fieldViolations")):
            field = _object(violation).get("field")
            if isinstance(field, str) and field:
                return field
    return None


def _retry_delay(details: list[Mapping[str, Any]]) -> float | None:
    for detail in details:
        delay = detail.get("retryDelay")
        if isinstance(delay, str) and delay.endswith("s"):
            return _seconds(delay[:-1])
    return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    seconds = _seconds(headers.get("retry-after", "").strip())
    if seconds is not None:
        return seconds
    try:
        wait = parsedate_to_datetime(headers["retry-after"]) - parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError, TypeError):
        return None
    return max(0.0, wait.total_seconds())


def _seconds(text: str) -> float | None:
    return float(text) if text.replace(".", "", 1).isdigit() and text.isascii() else None


def _object(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []

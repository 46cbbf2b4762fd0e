"""Errors in Anthropic's envelope: writing ours, reading an upstream's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time
from typing import Any

from headgate.errors import GatewayError

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    424: "api_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}

_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "overloaded_error": 529,
    "timeout_error": 504,
}


def error_body(error: GatewayError, request_id: str | None = None) -> dict[str, Any]:
    """``error`` as the JSON body of a response or of an ``error`` event. ``type`` follows the status, because that is
    how the vendor's SDKs pair them; the message is handed on unchanged, because clients read it."""
    inner: dict[str, Any] = {"type": type_for(error.status), "message": error.message}
    if error.details:
        inner["details"] = dict(error.details)
    return {"type": "error", "error": inner, "request_id": request_id}


def type_for(status: int) -> str:
    """Anthropic's error type for an HTTP status."""
    return _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")


def read_error(status: int, body: bytes, headers: Mapping[str, str]) -> GatewayError:
    """An upstream's error response as ours: its message and type verbatim, ``Retry-After`` in seconds. Google, in front
    of Claude, answers in its own form, for a stream in a list of one. A body that is no JSON object (a proxy's HTML
    page) gives a neutral message."""
    try:
        payload = json.loads(body)
    except ValueError:
        payload = None
    if isinstance(payload, list) and payload:
        payload = payload[0]
    inner: Any = payload.get("error", payload) if isinstance(payload, dict) else None
    error = error_from(inner, status)
    error.retry_after = _retry_after(headers)
    return error


def error_from(inner: object, status: int | None = None) -> GatewayError:
    """An upstream's ``error`` object as ours. Without a ``status`` (an ``error`` event in a stream that began with
    200) it is the one that belongs to the error's type."""
    fields: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}
    kind, message, details = fields.get("type"), fields.get("message"), fields.get("details")
    if not isinstance(message, str) or not message:
        message = inner if isinstance(inner, str) and inner else None
    if status is None:
        status = _STATUSES.get(kind, 500) if isinstance(kind, str) else 500
    kind = kind if isinstance(kind, str) and kind != "error" else type_for(status)
    details = details if isinstance(details, Mapping) else None
    code = details.get("error_code") if details else None
    if not isinstance(code, str):
        code = _code(status, message or "")
    message = message or f"The provider answered with status {status} and no message"
    return GatewayError(status, kind, code, message, details=details)


def _code(status: int, message: str) -> str | None:
    # Agents start to compact their history on this code; Anthropic only says it in words.
    return "context_length_exceeded" if status in (400, 413) and message.startswith("prompt is too long") else None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    found = {name.lower(): value for name, value in headers.items()}
    try:
        if "retry-after-ms" in found:
            return max(0.0, float(found["retry-after-ms"]) / 1000)
        value = found.get("retry-after")
        if value is None:
            return None
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except (ValueError, TypeError):
        return None

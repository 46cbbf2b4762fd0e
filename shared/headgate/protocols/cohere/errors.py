"""Cohere's error bodies: ``{"id", "message"}``, sometimes the message alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headgate.errors import GatewayError

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    429: "rate_limit_error",
    # Cohere's own: the token is invalid; the caller has gone.
    498: "authentication_error",
    499: "timeout_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def read_error(status: int, body: bytes, headers: Mapping[str, str]) -> GatewayError:
    """An error response as ours: the vendor's message verbatim, ``Retry-After`` in seconds. A body that is no JSON
    object gives a neutral message."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        payload = None
    message: Any = payload.get("message") if isinstance(payload, dict) else None
    error = error_from(message if isinstance(message, str) else None, status)
    found = {name.lower(): value for name, value in headers.items()}
    error.retry_after = _seconds(found.get("retry-after"))
    return error


def error_from(message: str | None, status: int) -> GatewayError:
    """The error for the vendor's ``message``. It has no codes; the well-known cases are told by the words."""
    kind = _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
    lowered = (message or "").lower()
    code: str | None = None
    if lowered.startswith("too many tokens") and "max tokens must" not in lowered:
        # Agents start to compact their history on this code.
        code = "context_length_exceeded"
    elif status in (400, 404) and "model" in lowered and ("not found" in lowered or "not supported" in lowered):
        code = "model_not_found"
    elif status == 429:
        code = "rate_limit_exceeded"
    elif status in (401, 498):
        code = "invalid_api_key"
    message = message or f"The provider answered with status {status} and no message"
    return GatewayError(status, kind, code, message)


def _seconds(value: str | None) -> float | None:
    if value is None or not value.strip().replace(".", "", 1).isdigit():
        return None
    return float(value)

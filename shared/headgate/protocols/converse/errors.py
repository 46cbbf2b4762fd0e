"""Bedrock's exceptions, from an HTTP response or from within a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headgate.errors import GatewayError

# The vendor's status for each exception; in a stream, which began with 200, it is all there is.
_STATUSES = {
    "validationexception": 400,
    "accessdeniedexception": 403,
    "resourcenotfoundexception": 404,
    "modeltimeoutexception": 408,
    "modelerrorexception": 424,
    "modelstreamerrorexception": 424,
    "throttlingexception": 429,
    "modelnotreadyexception": 429,
    "internalserverexception": 500,
    "serviceunavailableexception": 503,
}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "invalid_request_error",
    424: "provider_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}
# A signature or a key that is not accepted is a 403 at AWS, unlike a permission that is missing.
_UNAUTHENTICATED = (
    "UnrecognizedClientException",
    "InvalidSignatureException",
    "ExpiredTokenException",
    "MissingAuthenticationTokenException",
    "IncompleteSignatureException",
)
_TOO_LONG = ("input is too long", "prompt is too long", "too many input tokens", "maximum context length")
# The vendor writes "isn\u2019t" with a typographic apostrophe, and elsewhere with a plain one.
_NO_MODEL = ("model identifier is invalid", "isn't supported", "isn\u2019t supported", "end of its life")


def read_error(status: int, body: bytes, headers: Mapping[str, str]) -> GatewayError:
    """An error response as ours: the vendor's message verbatim, the exception's name as ``code`` where we have no word
    of our own, ``Retry-After`` in seconds. A body that is no JSON object gives a neutral message."""
    found = {name.lower(): value for name, value in headers.items()}
    fields = _fields(body)
    # ``ThrottlingException:http://internal.amazon.com/…``; some services prefix a namespace and ``#``.
    name = found.get("x-amzn-errortype") or _text(fields.get("__type")) or _text(fields.get("code")) or ""
    error = _error(status, name.partition(":")[0].rpartition("#")[2], fields)
    error.retry_after = _seconds(found.get("retry-after"))
    return error


def stream_error(name: str, payload: bytes) -> GatewayError:
    """An exception that arrived as an event of a stream, with the status the vendor gives it elsewhere."""
    fields = _fields(payload)
    status = _STATUSES.get(name.lower(), 500)
    original = fields.get("originalStatusCode")
    if type(original) is int and original in (400, 408, 429, 503, 529):
        # The model behind Bedrock failed; its own status says more than the envelope's 424.
        status = original
    return _error(status, name[:1].upper() + name[1:], fields)


def is_exception(name: str | None) -> bool:
    """Whether an event of that name is an exception."""
    return name is not None and (name.lower() in _STATUSES or name.endswith(("Exception", "Error", "error")))


def _error(status: int, name: str, fields: Mapping[str, Any]) -> GatewayError:
    message = _text(fields.get("message")) or _text(fields.get("Message"))
    lowered = (message or "").lower()
    kind = _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
    code: str | None = name or None
    if name in _UNAUTHENTICATED:
        kind = "authentication_error"
    elif status == 404 or (status == 400 and any(each in lowered for each in _NO_MODEL)):
        code = "model_not_found"
    elif status in (400, 413) and any(each in lowered for each in _TOO_LONG):
        # Agents start to compact their history on this code; the vendor only says it in words.
        code = "context_length_exceeded"
    elif status == 429:
        code = "rate_limit_exceeded"
    details = {"exception": name} if name else None
    message = message or f"The provider answered with status {status} and no message"
    return GatewayError(status, kind, code, message, details=details)


def _fields(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _seconds(value: str | None) -> float | None:
    if value is None or not value.strip().replace(".", "", 1).isdigit():
        return None
    return float(value)

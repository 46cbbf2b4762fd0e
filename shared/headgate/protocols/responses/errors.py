"""Error bodies in OpenAI's form, both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from headgate.errors import GatewayError, provider_failed
from headgate.protocols.responses.wire import parse_json
from headgate.protocols.vendor_errors import known_code, plain_text

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_credits",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    424: "provider_error",
    429: "rate_limit_error",
    500: "server_error",
    503: "service_unavailable",
    504: "timeout_error",
}

_ANSWER_CODES = frozenset(
    [
        "server_error",
        "rate_limit_exceeded",
        "invalid_prompt",
        "data_residency_mismatch",
        "bio_policy",
        "misalignment_policy_violation",
        "vector_store_timeout",
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "image_content_policy_violation",
        "invalid_image_mode",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
    ]
)
_CODES_CLIENTS_KEY_ON = frozenset(
    ("context_length_exceeded", "insufficient_quota", "usage_not_included", "server_is_overloaded", "slow_down")
)
"""Outside the published list, but sent by OpenAI and acted on by agents (compaction, back-off)."""


def error_body(error: GatewayError, request_id: str | None = None) -> dict[str, Any]:
    """The JSON body of an error response. The nested object is what OpenAI's SDKs read; ``message``, ``model`` and
    ``retry_after`` beside it are what older clients of this kind of gateway read."""
    inner = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    body: dict[str, Any] = {"error": inner, "message": error.message}
    if error.model is not None:
        body["model"] = error.model
    if error.retry_after is not None:
        body["retry_after"] = error.retry_after
    if request_id is not None:
        body["request_id"] = request_id
    return body


def answer_error(error: GatewayError) -> dict[str, Any]:
    """The ``error`` of a failed response object. Its ``code`` is a closed list in the vendor's types, so codes of our
    own move to the nearest of theirs; ``type`` keeps the class of the error."""
    return {"code": _answer_code(error), "message": error.message, "type": error.type, "param": error.param}


def read_error(status: int, body: bytes, headers: Mapping[str, str]) -> GatewayError:
    """An upstream's error response. Its message is kept word for word; a body that is neither JSON nor the vendor's
    plain text (a proxy's HTML) gives a neutral one. ``status`` is what the upstream sent."""
    fallback = _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
    try:
        parsed = parse_json(body)
    except ValueError:
        parsed = {"message": plain_text(status, body, headers)}
    found = _find(parsed)
    message = _first_text(found, "message", "detail", "error") or f"The provider answered with status {status}."
    return GatewayError(
        status,
        _first_text(found, "type") or fallback,
        known_code(message, _first_text(found, "code")),
        message,
        param=_first_text(found, "param"),
        retry_after=_retry_after(headers),
    )


def failed_response(response: Mapping[str, Any], model: str) -> GatewayError:
    """The error of an upstream's failed response object. ``model`` is ``provider/slug``."""
    error = response.get("error")
    return stream_error(error if isinstance(error, dict) else {}, model)


def stream_error(error: Mapping[str, Any], model: str) -> GatewayError:
    """An error that came inside a stream: an ``error`` event, its inner object, or the one of a failed response."""
    code = _first_text(error, "code")
    message = _first_text(error, "message") or "The provider reported an error and sent no message."
    if code in ("rate_limit_exceeded", "slow_down", "insufficient_quota"):
        return GatewayError(429, "rate_limit_error", code, message, model=model)
    if code in ("invalid_prompt", "context_length_exceeded") or (code and "image" in code and code in _ANSWER_CODES):
        return GatewayError(400, "invalid_request_error", code, message, param=_first_text(error, "param"), model=model)
    return provider_failed(message, model=model, code=code or "provider_error")


def truncated(model: str) -> GatewayError:
    """The upstream's stream ended in the middle of the answer."""
    return provider_failed(
        "The provider's stream ended before the answer was complete.", model=model, code="stream_truncated"
    )


def malformed(model: str) -> GatewayError:
    """The upstream sent something that is not the protocol."""
    return provider_failed(
        "The provider sent an answer that could not be understood.", model=model, code="malformed_answer"
    )


def _answer_code(error: GatewayError) -> str:
    if error.code in _ANSWER_CODES or error.code in _CODES_CLIENTS_KEY_ON:
        return error.code
    if error.status == 429:
        return "rate_limit_exceeded"
    return "invalid_prompt" if error.status in (400, 413, 422) else "server_error"


def _find(parsed: Any) -> Mapping[str, Any]:
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return {}
    inner = parsed.get("error")
    if isinstance(inner, list) and inner:
        # Hugging Face: what its validator found, the first thing first.
        inner = inner[0]
    return inner if isinstance(inner, dict) else parsed


def _first_text(values: Mapping[str, Any], *names: str) -> str | None:
    return next((value for name in names if isinstance(value := values.get(name), str) and value), None)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        if re.fullmatch(r"\d{1,9}(\.\d+)?", lower.get(name, "")):
            return float(lower[name]) / scale
    try:
        when = parsedate_to_datetime(lower.get("retry-after", ""))
    except (ValueError, TypeError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())

"""Errors in OpenAI's envelope, and the errors of OpenAI-compatible upstreams."""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast

from headgate.errors import GatewayError
from headgate.protocols.vendor_errors import known_code, plain_text

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_credits",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable",
    504: "timeout_error",
}
_STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "insufficient_quota": 429,
    "permission_error": 403,
    "not_found_error": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "requests": 429,
    "tokens": 429,
    "timeout_error": 504,
    "service_unavailable": 503,
    "overloaded_error": 503,
}
# Cloudflare: "No such model", "The model name is invalid".
_NO_MODEL = frozenset({5007, 3042})


def error_body(error: GatewayError, request_id: str | None = None) -> dict[str, Any]:
    """``{"error": {message, type, param, code}, "message": …}``. The nested object is what OpenAI's SDKs read; the
    copies at the top (``model`` and ``retry_after`` where known) serve clients of the older flat form."""
    body: dict[str, Any] = {
        "error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code},
        "message": error.message,
    }
    if error.model is not None:
        body["model"] = error.model
    if error.retry_after is not None:
        body["retry_after"] = error.retry_after
    if request_id is not None:
        body["request_id"] = request_id
    return body


def read_error(status: int, body: bytes, headers: Mapping[str, str]) -> GatewayError:
    """What an upstream answered instead of a completion: its message verbatim, its type, code and param, its
    ``Retry-After`` and rate limit headers. A body that is no JSON (a proxy's HTML page) is not shown, unless it is the
    vendor's own plain text."""
    low = {name.lower(): value for name, value in headers.items()}
    kept = {name: value for name, value in low.items() if name.startswith("x-ratelimit-")}
    try:
        payload: object = json.loads(body)
    except (ValueError, RecursionError):
        payload = {"message": plain_text(status, body, headers)}
    error = error_of(payload, status)
    error.retry_after = retry_after(low)
    error.headers = kept
    return error


def error_of(payload: object, status: int | None = None) -> GatewayError:
    """The error inside a parsed body or an error frame of a stream. OpenAI nests it; others send ``{"error": text}``,
    ``{"code": …, "error": text}`` (xAI), ``{"message": …}``, ``{"detail": …}`` (FastAPI; Mistral puts that into
    ``message``), ``{"errors": […]}`` (Cloudflare) or a list with one nested error (Gemini's compatibility layer).
    status None: a frame of a stream that began with 200; then the error's own code or type decides, else 424."""
    if isinstance(payload, list) and payload:
        payload = cast("list[object]", payload)[0]
    outer = _object(payload)
    inner = outer.get("error", outer)
    if "error" not in outer and isinstance(outer.get("errors"), list) and outer["errors"]:
        inner = outer["errors"][0]
    elif isinstance(outer.get("detail"), dict):
        inner = _object(outer["detail"]).get("error", outer["detail"])
    fields = _object(inner)
    problems = _problems(fields.get("detail")) or _problems(fields.get("message"))
    said = (inner, problems and _worded(problems), fields.get("message"), fields.get("detail"), outer.get("message"))
    message = next((text for text in (*said, fields.get("msg")) if isinstance(text, str) and text.strip()), None)
    if message is None and fields.get("detail"):
        message = json.dumps(fields["detail"], ensure_ascii=False)
    code = fields.get("code", outer.get("code"))
    if status is None:
        status = _status(code, fields.get("type"))
    type_ = fields.get("type")
    param = _where(problems[0]) if problems else fields.get("param")
    return GatewayError(
        status,
        type_ if isinstance(type_, str) and type_ else _TYPES.get(status, "server_error"),
        known_code(message or "", _code(code, type_, listed="errors" in outer)),
        message or f"The provider answered with status {status} and no readable message.",
        param=param if isinstance(param, str) and param else None,
    )


def _code(code: object, type_: object, *, listed: bool) -> str | None:
    """The vendor's own word, but for an unknown model ours, which lets the request move on. Numbers are statuses that
    stand there once more, except in Cloudflare's list."""
    if type_ == "invalid_model" or (listed and code in _NO_MODEL):
        return "model_not_found"
    if isinstance(code, str) and code:
        return code
    return str(code) if listed and type(code) is int else None


def _problems(value: object) -> list[Mapping[str, Any]]:
    """The entries of a validation report of FastAPI, which Mistral wraps once more."""
    if isinstance(value, dict):
        value = cast("dict[str, object]", value).get("detail")
    if not isinstance(value, list):
        return []
    entries = [_object(entry) for entry in cast("list[object]", value)]
    return entries if entries and all(isinstance(entry.get("msg"), str) for entry in entries) else []


def _worded(problems: list[Mapping[str, Any]]) -> str:
    """``Extra inputs are not permitted (metadata); …``"""
    return "; ".join(f"{each['msg']} ({where})" if (where := _where(each)) else each["msg"] for each in problems)


def _where(problem: Mapping[str, Any]) -> str:
    """The path of a validation problem, without the word for the body."""
    steps = problem.get("loc")
    path = [str(step) for step in cast("list[object]", steps)] if isinstance(steps, list) else []
    return ".".join(path[1:] if path[:1] == ["body"] else path)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from lower-case headers: ``retry-after-ms`` (OpenAI), ``retry-after`` in seconds, or as an
    HTTP date, which is measured against the answer's own ``date``."""
    for name, scale in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        text = headers.get(name, "").strip()
        if text.replace(".", "", 1).isdigit() and text.isascii():
            return float(text) / scale
    try:
        wait = parsedate_to_datetime(headers["retry-after"]) - parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError, TypeError):
        return None
    return max(0.0, wait.total_seconds())


def _status(code: object, type_: object) -> int:
    if type(code) is int and 400 <= code < 600:
        return code
    for word in (code, type_):
        if isinstance(word, str) and word in _STATUSES:
            return _STATUSES[word]
    return 424


def _object(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}

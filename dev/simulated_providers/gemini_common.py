"""Google's error wording, keys, models and headers, for Vertex AI and the Gemini API."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from .delivery import packed
from .reading import Faults
from .shapes import Path, Problem

LISTED = {
    "gemini-3.1-pro-preview": "Gemini 3.1 Pro Preview",
    "gemini-3-flash-preview": "Gemini 3 Flash Preview",
    "gemini-2.5-pro": "Gemini 2.5 Pro",
    "gemini-2.5-flash": "Gemini 2.5 Flash",
    "gemini-2.5-flash-lite": "Gemini 2.5 Flash-Lite",
    "gemini-2.0-flash": "Gemini 2.0 Flash",
}
_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_MESSAGES = {
    429: "You exceeded your current quota, please check your plan and billing details.",
    500: "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting",
    503: "The model is overloaded. Please try again later.",
    504: "The request timed out. Please try again.",
}


@dataclass
class Refused(Exception):
    """An error answer: status, message, the status word (from the status where not given), details, headers."""

    status: int
    message: str
    word: str = ""
    details: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    html: bool = False

    def error(self) -> dict[str, Any]:
        """The answer's object."""
        error: dict[str, Any] = {
            "code": self.status,
            "message": self.message,
            "status": self.word or _STATUSES.get(self.status, "UNKNOWN"),
        }
        return {"error": {**error, "details": self.details} if self.details else error}

    def body(self, *, listed: bool) -> bytes:
        """The answer's body; ``listed``: a stream that was not asked for as server-sent events is a JSON array."""
        if self.html:
            return f"<!DOCTYPE html><html><title>Error {self.status}</title>{self.message}</html>".encode()
        return json.dumps([self.error()] if listed else self.error(), indent=2, ensure_ascii=False).encode()


def invalid(message: str) -> Refused:
    """A 400."""
    return Refused(400, message)


def path_text(path: Path) -> str:
    """``tools[0].function_declarations[1].parameters.properties[0].value``; names in the proto's own form."""
    text = ""
    steps = list(path)
    for at, step in enumerate(steps):
        if isinstance(step, int):
            text += f"[{step}]"
        elif at and steps[at - 1] == "properties":
            text += "[0].value"
        else:
            snake = re.sub(r"(?<!^)([A-Z])", lambda found: "_" + found[1].lower(), str(step))
            text += f".{snake}" if text else snake
    return text


_KINDS = {"a string": "TYPE_STRING", "an integer": "TYPE_INT32", "a decimal": "TYPE_FLOAT", "a boolean": "TYPE_BOOL"}


def worded(problem: Problem) -> Refused:
    """Google's error for a Problem."""
    facts, where = problem.facts, path_text(problem.path)
    match problem.kind:
        case "unknown":
            where = path_text(problem.path[:-1])
            name = path_text(problem.path[-1:])
            at = f" at '{where}'" if where else ""
            text = f'Invalid JSON payload received. Unknown name "{name}"{at}: Cannot find field.'
        case "missing":
            return invalid(f"* GenerateContentRequest.{where}: field is required\n")
        case "type":
            text = (
                f"Invalid value at '{where}' ({_KINDS.get(facts['expected'], facts['expected'])}), got {facts['got']}"
            )
        case "enum":
            text = f"Invalid value at '{where}' (TYPE_ENUM), \"{facts['got']}\""
        case _:
            return invalid(f"* GenerateContentRequest.{where}: value is out of the supported range\n")
    violation: dict[str, Any] = {"field": where, "description": text} if where else {"description": text}
    details = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
    return Refused(400, text, details=[details])


def key_of(request: Request, *, vertex: bool) -> str:
    """The caller's key or token. Raises Refused."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip() if scheme.lower() == "bearer" else ""
    key = request.headers.get("x-goog-api-key") or request.query_params.get("key") or ""
    if vertex:
        if not token and not key:
            text = "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie"
            raise Refused(401, f"{text} or other valid authentication credential.")
        if "invalid" in token + key:
            raise Refused(401, "Request had invalid authentication credentials.")
        return token or key
    if not key and not token:
        text = "Method doesn't allow unregistered callers (callers without established identity). Please use API Key"
        raise Refused(403, f"{text} or other form of API consumer identity to call this API.")
    if "invalid" in key + token:
        detail = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "API_KEY_INVALID",
            "domain": "googleapis.com",
        }
        raise Refused(400, "API key not valid. Please pass a valid API key.", details=[detail])
    return key or token


def bare(model: str) -> str:
    """The model's name without the directives in it."""
    return model.partition("[[")[0]


def known(model: str, extra: tuple[str, ...]) -> bool:
    """Whether Google has this model."""
    model = bare(model)
    return model in extra or (model.startswith("gemini-") and "does-not-exist" not in model)


def not_found(model: str, *, vertex: bool) -> Refused:
    """The 404 for a model."""
    model = bare(model)
    if vertex:
        text = f"Publisher Model `projects/simulated/locations/global/publishers/google/models/{model}` was not found"
        return Refused(404, f"{text} or your project does not have access to it.")
    text = f"models/{model} is not found for API version v1beta, or is not supported for generateContent."
    return Refused(404, f"{text} Call ListModels to see the list of available models and their supported methods.")


def generation(model: str) -> float:
    """2.5 of gemini-2.5-flash, 3.0 of gemini-3-flash-preview; the newest where the name tells none."""
    match = re.match(r"gemini-(\d+(?:\.\d+)?)", bare(model))
    return float(match[1]) if match else 3.0


def levels(model: str) -> tuple[str, ...]:
    """The thinking levels of a model of the third generation."""
    if "flash" in bare(model):
        return ("MINIMAL", "LOW", "MEDIUM", "HIGH")
    return ("LOW", "MEDIUM", "HIGH")


def budgets(model: str) -> tuple[int, int, bool]:
    """(least, largest, may be 0) thinking budget of a model of the second generation."""
    if "-pro" in bare(model):
        return 128, 32_768, False
    return (512, 24_576, True) if "lite" in bare(model) else (1, 24_576, True)


def failure(faults: Faults) -> Refused:
    """The error that ``[[fail:…]]`` asks for."""
    status, options = faults.status or 500, faults.status_options
    message = options.get("message", _MESSAGES.get(status, "Something went wrong"))
    details: list[dict[str, Any]] = []
    if "retry-after" in options:
        delay = f"{options['retry-after']}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    return Refused(status, message, options.get("type", ""), details, html="html" in options)


def headers() -> dict[str, str]:
    """The headers of every answer."""
    return {"x-simulated": "1", "vary": "Origin, X-Origin, Referer", "server-timing": "gfet4t7; dur=12"}


def new_id() -> str:
    """An id of an answer."""
    return secrets.token_urlsafe(17)[:23]


def frame(value: Any) -> bytes:
    """One server-sent event; Google ends its lines with CRLF."""
    return b"data: %b\r\n\r\n" % packed(value)

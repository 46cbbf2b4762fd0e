"""Anthropic's error wording, keys, models and headers."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from .delivery import packed
from .reading import Faults
from .shapes import Problem

OLD_VERSION = "2023-06-01"
NEW_VERSION = "2026-10-21"
_SNAPSHOTS = {
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "claude-opus-4-5": "claude-opus-4-5-20251101",
    "claude-sonnet-4-0": "claude-sonnet-4-20250514",
}
LISTED = {
    "claude-opus-5": "Claude Opus 5",
    "claude-sonnet-5": "Claude Sonnet 5",
    "claude-opus-4-8": "Claude Opus 4.8",
    "claude-opus-4-6": "Claude Opus 4.6",
    "claude-sonnet-4-6": "Claude Sonnet 4.6",
    "claude-sonnet-4-5-20250929": "Claude Sonnet 4.5",
    "claude-haiku-4-5-20251001": "Claude Haiku 4.5",
}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_MESSAGES = {
    401: "invalid x-api-key",
    402: "Your credit balance is too low to access the Anthropic API.",
    413: "Request exceeds the maximum size",
    429: "This request would exceed your organization's rate limit.",
    500: "Internal server error",
    504: "Request timed out",
    529: "Overloaded",
}


@dataclass
class Refused(Exception):
    """An error answer: status, message, error type (from the status where not given), extra headers; ``faults`` where
    it was asked for."""

    status: int
    message: str
    type: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    html: bool = False
    details: dict[str, Any] | None = None
    faults: Faults | None = None

    def body(self, request_id: str) -> bytes:
        """The answer's body."""
        if self.html:
            return f"<html><head><title>{self.status}</title></head><body>{self.message}</body></html>".encode()
        error: dict[str, Any] = {"type": self.type or _TYPES.get(self.status, "api_error"), "message": self.message}
        if self.details:
            error["details"] = self.details
        return packed({"type": "error", "error": error, "request_id": request_id})


def invalid(path: str, text: str) -> Refused:
    """A 400 ``path: text``."""
    return Refused(400, f"{path}: {text}" if path else text)


def path_text(path: tuple[Any, ...]) -> str:
    """``messages.0.content.1.text``."""
    return ".".join(str(step) for step in path)


_KINDS = {
    "a string": "a valid string",
    "an integer": "a valid integer",
    "a decimal": "a valid number",
    "a boolean": "a valid boolean",
    "an object": "an object",
}


def _options(allowed: tuple[str, ...]) -> str:
    quoted = [f"'{value}'" for value in allowed]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def worded(problem: Problem) -> Refused:
    """Anthropic's error for a Problem."""
    facts = problem.facts
    where = path_text(problem.path)
    match problem.kind:
        case "type":
            expected = facts["expected"]
            text = f"Input should be {_KINDS.get(expected, 'a valid list' if 'array' in expected else expected)}"
        case "unknown":
            text = "Extra inputs are not permitted"
        case "missing":
            text = "Field required"
        case "enum":
            text = f"Input should be {_options(facts['allowed'])}"
        case "tag":
            tags = ", ".join(f"'{one}'" for one in facts["allowed"])
            text = f"Input tag '{facts['got']}' found using '{facts['key']}' does not match any of the expected tags: "
            text += tags
        case "below":
            text = f"Input should be greater than or equal to {facts['limit']}"
        case "above":
            text = f"Input should be less than or equal to {facts['limit']}"
        case "long":
            text = f"String should have at most {facts['limit']} characters"
        case "short":
            text = f"String should have at least {facts['limit']} character{'s' if facts['limit'] > 1 else ''}"
        case "pattern":
            text = f"String should match pattern '{facts['pattern']}'"
        case "many":
            text = f"List should have at most {facts['limit']} items after validation, not {facts['got']}"
        case _:
            text = f"List should have at least {facts['limit']} item after validation, not {facts['got']}"
    return invalid(where, text)


def key_of(request: Request) -> str:
    """The caller's API key, from ``x-api-key`` or a bearer token. Raises Refused."""
    key = request.headers.get("x-api-key", "")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if not key and scheme.lower() == "bearer":
        key = token.strip()
    if not key:
        raise Refused(401, "x-api-key header is required")
    if "invalid" in key:
        raise Refused(401, "invalid x-api-key")
    return key


def version_of(request: Request) -> str:
    """The API version. Raises Refused."""
    version = request.headers.get("anthropic-version")
    if not version:
        raise invalid("anthropic-version", "header is required")
    if version not in ("2023-01-01", OLD_VERSION, NEW_VERSION):
        raise invalid("anthropic-version", f'"{version}" is not a valid version')
    return version


def betas_of(request: Request) -> set[str]:
    """The beta names of the request."""
    return {
        name.strip() for value in request.headers.getlist("anthropic-beta") for name in value.split(",") if name.strip()
    }


def bare(model: str) -> str:
    """The model's name without the directives in it."""
    return model.partition("[[")[0]


def known(model: str, extra: tuple[str, ...]) -> bool:
    """Whether Anthropic has this model."""
    model = bare(model)
    return model in extra or (model.startswith("claude-") and "does-not-exist" not in model)


def snapshot(model: str) -> str:
    """The dated name that answers carry. Vertex has the date behind an @, and no name for an undated version but
    ``default``."""
    name = bare(model).removesuffix("@default").replace("@", "-")
    return _SNAPSHOTS.get(name, name)


def generation(model: str) -> tuple[str, float]:
    """(family, version): ("opus", 4.8) of claude-opus-4-8, ("sonnet", 4.0) of claude-sonnet-4-20250514."""
    match = re.match(r"claude-([a-z]+)-(\d+)(?:-(\d{1,2}))?(?!\d)", bare(model))
    if match:
        return match[1], int(match[2]) + int(match[3] or 0) / 10
    old = re.match(r"claude-(\d)(?:-(\d))?-([a-z]+)", bare(model))
    return (old[3], int(old[1]) + int(old[2] or 0) / 10) if old else ("", 9.0)


def takes_system_messages(model: str) -> bool:
    """Whether ``role: "system"`` is allowed inside ``messages``."""
    family, version = generation(model)
    return family in ("fable", "mythos", "") or version >= 5 or (family == "opus" and version >= 4.8)


def takes_sampling(model: str) -> bool:
    """Whether temperature and its kin are still taken (under the old API version)."""
    family, version = generation(model)
    return version < 5 and not (family == "opus" and version >= 4.7) and family not in ("fable", "mythos")


def takes_prefill(model: str) -> bool:
    """Whether the last message may be the assistant's."""
    family, version = generation(model)
    return version < 4.6 and family not in ("fable", "mythos")


def takes_adaptive(model: str) -> bool:
    """Whether ``thinking: {"type": "adaptive"}`` is taken."""
    return generation(model)[1] >= 4.6


def takes_effort(model: str) -> bool:
    """Whether ``output_config.effort`` is taken."""
    family, version = generation(model)
    return version >= 4.6 or (family == "opus" and version >= 4.5)


def takes_budget(model: str) -> bool:
    """Whether ``thinking: {"type": "enabled"}`` is taken."""
    family, version = generation(model)
    return version < 5 and not (family == "opus" and version >= 4.7) and family not in ("fable", "mythos")


def failure(faults: Faults) -> Refused:
    """The error that ``[[fail:…]]`` asks for."""
    status, options = faults.status or 500, faults.status_options
    headers = {"retry-after": options["retry-after"]} if "retry-after" in options else {}
    if status == 429:
        headers["anthropic-ratelimit-requests-remaining"] = "0"
    if status in (500, 503, 529):
        headers["x-should-retry"] = "true"
    message = options.get("message", _MESSAGES.get(status, "Something went wrong"))
    return Refused(status, message, options.get("type", ""), headers, "html" in options, faults=faults)


def headers(request_id: str) -> dict[str, str]:
    """The headers of every answer."""
    return {
        "x-simulated": "1",
        "request-id": request_id,
        "anthropic-organization-id": "00000000-0000-4000-8000-000000000000",
        "anthropic-ratelimit-requests-limit": "4000",
        "anthropic-ratelimit-requests-remaining": "3999",
        "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:00Z",
        "anthropic-ratelimit-input-tokens-limit": "2000000",
        "anthropic-ratelimit-input-tokens-remaining": "2000000",
        "anthropic-ratelimit-input-tokens-reset": "2026-01-01T00:00:00Z",
        "anthropic-ratelimit-output-tokens-limit": "400000",
        "anthropic-ratelimit-output-tokens-remaining": "400000",
        "anthropic-ratelimit-output-tokens-reset": "2026-01-01T00:00:00Z",
    }


def new_id(prefix: str) -> str:
    """``msg_01`` and 22 characters of Anthropic's alphabet."""
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    return f"{prefix}_01" + "".join(random.choices(alphabet, k=22))

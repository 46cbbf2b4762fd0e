"""What OpenAI's two APIs share: error wording, keys, models, headers, tool schemas."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from .instances import strict_objection
from .reading import Faults
from .shapes import Problem, Tag

NAME = r"^[a-zA-Z0-9_-]+$"
_FAMILY = re.compile(r"^(gpt-|chatgpt-|o[134](-|$)|codex-|sim-)")
_SNAPSHOTS = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5.1": "gpt-5.1-2025-11-13",
    "gpt-5.4": "gpt-5.4-2026-03-05",
    "o3": "o3-2025-04-16",
    "o4-mini": "o4-mini-2025-04-16",
}
LISTED = [*_SNAPSHOTS, "gpt-5.5"]


@dataclass
class Refused(Exception):
    """An error answer: status, OpenAI's error object, extra headers, or an HTML page of a load balancer."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    type: str = "invalid_request_error"
    headers: dict[str, str] = field(default_factory=dict)
    html: bool = False

    def page(self) -> bytes:
        """The load balancer's HTML."""
        return f"<html><head><title>{self.status}</title></head><body>{self.message}</body></html>".encode()

    def object(self) -> dict[str, Any]:
        """The ``error`` object."""
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}


def path_text(path: tuple[Any, ...]) -> str:
    """``tools[0].function.name``."""
    text = ""
    for step in path:
        if isinstance(step, Tag):
            continue
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def listed(values: tuple[str, ...]) -> str:
    """``'a', 'b', and 'c'``."""
    quoted = [f"'{value}'" for value in values]
    if len(quoted) <= 2:
        return " and ".join(quoted)
    return ", ".join(quoted[:-1]) + f", and {quoted[-1]}"


def worded(problem: Problem) -> Refused:
    """OpenAI's error for a Problem."""
    facts = problem.facts
    where = path_text(problem.path)
    match problem.kind:
        case "type":
            text = f"Invalid type for '{where}': expected {facts['expected']}, but got {facts['got']} instead."
            code = "invalid_type"
        case "unknown":
            text, code = f"Unknown parameter: '{where}'.", "unknown_parameter"
        case "missing":
            text, code = f"Missing required parameter: '{where}'.", "missing_required_parameter"
        case "enum" | "tag":
            text = f"Invalid value: '{facts['got']}'. Supported values are: {listed(facts['allowed'])}."
            code = "invalid_value"
        case "below" | "above":
            least = problem.kind == "below"
            word, sign = ("minimum", ">=") if least else ("maximum", "<=")
            text = (
                f"Invalid '{where}': {facts['number']} {problem.kind} {word} value. "
                f"Expected a value {sign} {facts['limit']}, but got {facts['got']} instead."
            )
            code = f"{facts['number']}_{problem.kind}_{word[:3]}_value"
        case "long":
            text = (
                f"Invalid '{where}': string too long. Expected a string with maximum length {facts['limit']}, "
                f"but got a string with length {facts['got']} instead."
            )
            code = "string_above_max_length"
        case "short":
            text = (
                f"Invalid '{where}': empty string. Expected a string with minimum length {facts['limit']}, "
                "but got an empty string instead."
            )
            code = "empty_string"
        case "pattern":
            text = (
                f"Invalid '{where}': string does not match pattern. Expected a string that matches the pattern "
                f"'{facts['pattern']}'."
            )
            code = "invalid_value"
        case "many":
            text = (
                f"Invalid '{where}': array too long. Expected an array with maximum length {facts['limit']}, "
                f"but got an array with length {facts['got']} instead."
            )
            code = "array_above_max_length"
        case _:
            text = (
                f"Invalid '{where}': empty array. Expected an array with minimum length {facts['limit']}, "
                "but got an empty array instead."
            )
            code = "empty_array"
    return Refused(400, text, code, where or None)


def key_of(request: Request) -> str:
    """The caller's API key. Raises Refused without a usable one."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Refused(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY). You can obtain an API key from "
            "https://platform.openai.com/account/api-keys.",
        )
    if "invalid" in key:
        raise wrong_key(key)
    return key.strip()


def wrong_key(key: str) -> Refused:
    """The 401 of a key that is unknown or revoked."""
    text = (
        f"Incorrect API key provided: {key[:8]}***{key[-4:]}. You can find your API key at "
        "https://platform.openai.com/account/api-keys."
    )
    return Refused(401, text, "invalid_api_key")


def bare(model: str) -> str:
    """The model's name without the directives in it."""
    return model.partition("[[")[0]


def in_family(model: str) -> bool:
    """Whether OpenAI's models are called like this."""
    return bool(_FAMILY.match(model))


def unknown_model(model: str) -> Refused:
    """The 404 of an unknown model."""
    return Refused(404, f"The model `{model}` does not exist or you do not have access to it.", "model_not_found")


def snapshot(model: str) -> str:
    """The dated name that answers carry."""
    return _SNAPSHOTS.get(bare(model), bare(model))


def version(model: str) -> float:
    """5.1 of gpt-5.1-mini; 0 of models that are not called gpt-N."""
    match = re.match(r"gpt-(\d+(?:\.\d+)?)", bare(model))
    return float(match[1]) if match else 0.0


def reasons(model: str) -> bool:
    """Whether the model is a reasoning model."""
    model = bare(model)
    return bool(re.match(r"o[134](-|$)|codex-", model)) or (version(model) >= 5 and "chat" not in model)


def efforts(model: str) -> tuple[str, ...]:
    """The reasoning efforts that the model takes."""
    number = version(model)
    if number >= 5.6:
        return ("none", "low", "medium", "high", "xhigh", "max")
    if number >= 5.2:
        return ("none", "low", "medium", "high", "xhigh")
    if number >= 5.1:
        return ("none", "low", "medium", "high")
    return ("minimal", "low", "medium", "high") if number >= 5 else ("low", "medium", "high")


def default_effort(model: str) -> str | None:
    """The effort where none is asked for: nothing is thought by default from gpt-5.1 on."""
    if not reasons(model):
        return None
    return "none" if 5.1 <= version(model) < 5.5 else "medium"


def check_effort(model: str, effort: str | None, param: str) -> None:
    """Refuses an effort that the model does not take."""
    if effort is None:
        return
    if not reasons(model):
        raise Refused(
            400, f"Unsupported parameter: '{param}' is not supported with this model.", "unsupported_parameter", param
        )
    if effort not in efforts(model):
        text = f"Unsupported value: '{effort}' is not supported with the '{bare(model)}' model. "
        raise Refused(400, text + f"Supported values are: {listed(efforts(model))}.", "unsupported_value", param)


def check_verbosity(model: str, verbosity: str | None, param: str) -> None:
    """Refuses a verbosity other than medium from models before gpt-5."""
    if verbosity in ("low", "high") and version(model) < 5:
        text = f"Unsupported value: '{verbosity}' is not supported with the '{bare(model)}' model. "
        raise Refused(400, text + "Supported values are: 'medium'.", "unsupported_value", param)


def check_function(name: str, parameters: Any, strict: bool, param: str) -> None:
    """Refuses a function schema as OpenAI does."""
    objection = None
    if isinstance(parameters, dict):
        kind = parameters.get("type")
        if kind != "object":
            objection = f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."
        elif "properties" not in parameters and parameters.get("additionalProperties") is None:
            objection = "In context=(), object schema missing properties."
        elif strict:
            objection = strict_objection(parameters)
    elif strict and parameters is None:
        objection = "In context=(), 'additionalProperties' is required to be supplied and to be false."
    if objection:
        raise Refused(400, f"Invalid schema for function '{name}': {objection}", "invalid_function_parameters", param)


def check_format(name: str, schema: Any, strict: bool, param: str, code: str | None) -> None:
    """Refuses an output schema as OpenAI does."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    if kind != "object":
        objection = f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{kind}\"'."
    else:
        objection = strict_objection(schema) if strict else None
    if objection:
        raise Refused(400, f"Invalid schema for response_format '{name}': {objection}", code, param)


_DEFAULT_ERRORS = {
    400: ("Invalid request.", "invalid_request_error", None),
    401: ("Incorrect API key provided.", "invalid_request_error", "invalid_api_key"),
    403: ("You are not allowed to do that.", "invalid_request_error", None),
    404: ("Not found.", "invalid_request_error", None),
    409: ("The resource was updated by another process.", "invalid_request_error", None),
    413: ("Request too large.", "invalid_request_error", None),
    429: ("Rate limit reached for requests.", "requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request. Sorry about that!", "server_error", None),
    503: ("The engine is currently overloaded, please try again later.", "server_error", None),
}


def failure(faults: Faults) -> Refused:
    """The error that ``[[fail:…]]`` asks for."""
    status, options = faults.status or 500, faults.status_options
    message, kind, code = _DEFAULT_ERRORS.get(status, ("The server had an error.", "server_error", None))
    headers = {"retry-after": options["retry-after"]} if "retry-after" in options else {}
    if status == 429:
        headers |= {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s"}
    return Refused(
        status, options.get("message", message), options.get("code", code), None, options.get("type", kind), headers,
        "html" in options,
    )  # fmt: skip


def stream_error() -> dict[str, Any]:
    """The error object of a stream that fails midway."""
    message, kind, _ = _DEFAULT_ERRORS[500]
    return {"type": kind, "code": "server_error", "message": message, "param": None}


def headers(milliseconds: int = 5) -> dict[str, str]:
    """The headers of every answer."""
    return {
        "x-simulated": "1",
        "x-request-id": f"req_{secrets.token_hex(16)}",
        "openai-organization": "org-simulated",
        "openai-processing-ms": str(milliseconds),
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": "10000",
        "x-ratelimit-limit-tokens": "30000000",
        "x-ratelimit-remaining-requests": "9999",
        "x-ratelimit-remaining-tokens": "29999000",
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-reset-tokens": "2ms",
    }


def padding(delta: str) -> str:
    """The obfuscation of a delta: both together fill a multiple of 16 characters."""
    return "Xy7pQ2mKd9RtWb4Z"[: -len(delta) % 16]


def logprobs(tokens: list[str], top: int) -> list[dict[str, Any]]:
    """Made-up but consistent log probabilities: the chosen token is the likeliest."""
    result: list[dict[str, Any]] = []
    for index, token in enumerate(tokens):
        own = {"token": token, "bytes": list(token.encode()), "logprob": round(-0.01 * (index % 9), 4)}
        others = [
            {"token": f"alt{rank}", "bytes": list(f"alt{rank}".encode()), "logprob": round(-1.0 - rank, 4)}
            for rank in range(1, top)
        ]
        result.append({**own, "top_logprobs": [own, *others] if top else []})
    return result

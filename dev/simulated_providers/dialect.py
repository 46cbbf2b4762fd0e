"""How a vendor that speaks OpenAI's protocols departs from OpenAI.

The requests are read and the answers written by OpenAI's modules; a Dialect turns the vendor's request into OpenAI's
terms first (and refuses what the vendor does not take), and OpenAI's answer into the vendor's terms last.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.requests import Request

from . import openai_common as openai
from .openai_common import Refused
from .recorder import Recorded
from .shapes import Problem

Endpoint = Literal["chat_completions", "responses"]


def _same_body(body: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    return body


def _same_answer(value: dict[str, Any], answer: Any) -> dict[str, Any]:
    return value


def _same_chunk(value: dict[str, Any], answer: Any) -> list[dict[str, Any]]:
    return [value]


def _worded(problem: Problem, endpoint: Endpoint) -> Refused:
    return openai.worded(problem)


def _cache_key(recorded: Recorded, body: dict[str, Any]) -> str:
    return body.get("prompt_cache_key") or ""


def _call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


def _error(refused: Refused) -> dict[str, Any] | str:
    return {"error": refused.object()}


def _stream_error() -> dict[str, Any]:
    return {"error": openai.stream_error()}


@dataclass(frozen=True)
class Dialect:
    """One vendor.

    ``vendor``: its name in directives. ``mounts``: the paths of its endpoints, with ``{names}`` for what may be
    anything. ``family``: whether it has a model of this name. ``reasons``, ``efforts``, ``default_effort``: of a
    model. ``checks_model``: whether it refuses sampling and efforts as OpenAI does. ``key``: the caller's key, from
    its headers. ``in_openais_terms(body, endpoint)`` raises Refused, Problem. ``completion``, ``chunk`` (one to any
    number), ``response`` (the object, wherever it stands) and ``event`` turn OpenAI's answers, ``error`` and
    ``stream_error`` its errors (a string is an error as plain text). ``thought``: a thought, or a token of it, as
    fields of a message or delta; None: thoughts are counted, not shown. ``usage_unasked``: streams carry usage without
    ``stream_options``. ``done``: chat streams end with ``[DONE]``. ``unknown_model`` is the error for a model that it
    lacks. ``remembers``: a chunk depends on those before it (``Answer.notes``).

    ``worded`` puts a Problem into the vendor's words, ``error_headers`` are those of refusals where they differ.
    ``conversation``: what tells the vendor's cache which conversation a request belongs to. ``takes_thoughts``:
    assistant messages of a chat may hold ``reasoning_content``. ``whole_calls``: the arguments of a call come in one
    piece. ``spares_thoughts``: the bound on output tokens does not count thoughts. ``json_word``: JSON may only be
    asked for in a conversation that says so. ``event_lines``: events of Responses have a line with their name.
    """

    vendor: str
    mounts: Mapping[Endpoint, str]
    family: Callable[[str], bool]
    reasons: Callable[[str], bool] = openai.reasons
    efforts: Callable[[str], tuple[str, ...]] = openai.efforts
    default_effort: Callable[[str], str | None] = openai.default_effort
    checks_model: bool = False
    key: Callable[[Request], str] = openai.key_of
    headers: Callable[[], dict[str, str]] = openai.headers
    snapshot: Callable[[str], str] = openai.bare
    in_openais_terms: Callable[[dict[str, Any], Endpoint], dict[str, Any]] = _same_body
    completion: Callable[[dict[str, Any], Any], dict[str, Any]] = _same_answer
    chunk: Callable[[dict[str, Any], Any], list[dict[str, Any]]] = _same_chunk
    response: Callable[[dict[str, Any], Any], dict[str, Any]] = _same_answer
    event: Callable[[dict[str, Any], Any], dict[str, Any]] | None = None
    error: Callable[[Refused], Any] = _error
    stream_error: Callable[[], dict[str, Any]] = _stream_error
    failure: Callable[[Any], Refused] = openai.failure
    thought: Callable[[str], dict[str, Any]] | None = None
    call_id: Callable[[], str] = field(default=_call_id)
    conversation: Callable[[Recorded, dict[str, Any]], str] = _cache_key
    unknown_model: Callable[[str], Refused] = openai.unknown_model
    remembers: bool = False
    takes_thoughts: bool = False
    whole_calls: bool = False
    json_word: bool = True
    usage_unasked: bool = False
    done: bool = True
    worded: Callable[[Problem, Endpoint], Refused] = _worded
    error_headers: Callable[[], dict[str, str]] | None = None
    spares_thoughts: bool = False
    event_lines: bool = True

    def knows(self, model: str, extra: tuple[str, ...]) -> bool:
        """Whether the vendor has this model, or was told to have it."""
        model = openai.bare(model)
        return model in extra or (self.family(model) and "does-not-exist" not in model)

    def thinks(self, model: str, effort: str | None) -> bool:
        """Whether the model thinks under this effort."""
        return self.reasons(model) and (effort or self.default_effort(model)) not in ("none", "minimal")


OPENAI = Dialect(
    "openai",
    {"chat_completions": "/openai/v1/chat/completions", "responses": "/openai/v1/responses"},
    openai.in_family,
    checks_model=True,
    snapshot=openai.snapshot,
)

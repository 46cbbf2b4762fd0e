"""Vendors and servers whose Chat Completions differ from OpenAI's by a few facts: a table of those.

They have whatever model they are asked for; names that hold ``think`` think.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .. import openai_common as openai
from ..dialect import Dialect
from ..openai_common import Refused
from ..recorder import Recorded

Json = dict[str, Any]


def _openais(refused: Refused) -> Json:
    return {"error": refused.object()}


@dataclass(frozen=True)
class Facts:
    """One of them.

    ``thought``: the field of messages and deltas that holds thoughts; they come back under ``heard_as``. ``error``:
    an error's body, ``broken``: an error in a stream. ``refused`` fields of the body and ``refused_of_messages`` are
    400s, ``words`` puts them. ``cost``: what its usage holds beside the counts. ``cache_header``: how a conversation
    finds its cache again. ``usage_unasked``: as of Dialect.
    """

    name: str
    path: str
    thought: str = "reasoning_content"
    heard_as: str = "reasoning_content"
    error: Callable[[Refused], Json] = _openais
    broken: Callable[[], Json] = lambda: {"error": openai.stream_error()}
    refused: frozenset[str] = frozenset()
    refused_of_messages: frozenset[str] = frozenset()
    words: str = "Unknown parameter: '{where}'."
    cost: str | None = None
    cache_header: str | None = None
    usage_unasked: bool = False
    details: bool = False


def _deepinfra(refused: Refused) -> Json:
    return {"detail": {"error": refused.message}}


def _fireworks(refused: Refused) -> Json:
    word = "invalid_request_error"
    return {"error": {"object": "error", "type": word, "code": word, "message": refused.message}}


def _together(refused: Refused) -> Json:
    error = {"message": refused.message, "type": "invalid_request_error", "param": None, "code": None}
    return {"id": f"o{secrets.token_hex(6)}", "error": error}


def _openrouter(refused: Refused) -> Json:
    return {"error": {"code": refused.status, "message": refused.message, "metadata": {}}, "user_id": "user_1"}


def _openrouter_broken() -> Json:
    choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
    error = {"code": "server_error", "message": "Provider disconnected"}
    return {"id": "gen-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "error": error,
            "choices": [choice]}  # fmt: skip


def _vllm(refused: Refused) -> Json:
    kind = "BadRequestError" if refused.status == 400 else "InternalServerError"
    return {"object": "error", "message": refused.message, "type": kind, "param": None, "code": refused.status}


def _lm_studio(refused: Refused) -> Json:
    return {"error": refused.message}


_OTHER_THOUGHTS = frozenset({"reasoning", "reasoning_details"})

FACTS = (
    Facts("deepinfra", "/deepinfra/v1/openai", error=_deepinfra, cost="estimated_cost"),
    Facts(
        "fireworks",
        "/fireworks/inference/v1",
        error=_fireworks,
        refused=frozenset({"verbosity", "web_search_options", "prompt_cache_retention"}),
        refused_of_messages=_OTHER_THOUGHTS,
        words="Extra inputs are not permitted, field: '{where}'",
        cache_header="x-session-affinity",
        usage_unasked=True,
    ),
    Facts(
        "groq",
        "/groq/openai/v1",
        thought="reasoning",
        heard_as="reasoning",
        refused=frozenset({"logprobs", "logit_bias", "top_logprobs"}),
        refused_of_messages=frozenset({"name", "reasoning_content", "refusal", "annotations", "reasoning_details"}),
        words="'{where}' : property is unsupported",
    ),
    Facts("together", "/together/v1", thought="reasoning", error=_together, usage_unasked=True),
    Facts(
        "openrouter",
        "/openrouter/api/v1",
        thought="reasoning",
        heard_as="reasoning",
        error=_openrouter,
        broken=_openrouter_broken,
        cost="cost",
        usage_unasked=True,
        details=True,
    ),
    Facts(
        "vllm",
        "/vllm/v1",
        thought="reasoning",
        heard_as="reasoning",
        error=_vllm,
        broken=lambda: _vllm(Refused(500, "no")),
    ),
    Facts("ollama", "/ollama/v1", thought="reasoning"),
    Facts("lmstudio", "/lmstudio/v1", error=_lm_studio, broken=lambda: {"error": "The model has crashed."}),
)


def _dialect(facts: Facts) -> Dialect:
    def terms(body: Json, endpoint: Any) -> Json:
        wrong = [name for name in sorted(facts.refused) if body.get(name) is not None]
        for index, message in enumerate(body.get("messages") or []):
            wrong += [f"messages[{index}].{name}" for name in sorted(facts.refused_of_messages) if name in message]
        if wrong:
            raise Refused(400, facts.words.format(where=wrong[0]))
        made = {name: value for name, value in body.items() if name not in ("top_k", "reasoning_effort", "include")}
        made["messages"] = [_message(message, facts) for message in body.get("messages") or []]
        return made

    def told(said: Json) -> Json:
        rest = {name: value for name, value in said.items() if name != "thoughts"}
        if said.get("thoughts"):
            rest[facts.thought] = said["thoughts"]
            if facts.details:
                rest["reasoning_details"] = [{"type": "reasoning.text", "text": said["thoughts"], "index": 0}]
        return rest

    def counted(value: Json) -> Json:
        return (
            {**value, "usage": {**value["usage"], facts.cost: 0.00001}} if facts.cost and value.get("usage") else value
        )

    def completion(value: Json, answer: Any) -> Json:
        choices = [{**choice, "message": told(choice["message"])} for choice in value["choices"]]
        return counted({**value, "choices": choices})

    def chunk(value: Json, answer: Any) -> list[Json]:
        choices = [{**choice, "delta": told(choice["delta"])} for choice in value["choices"]]
        made = {**counted(value), "choices": choices}
        made.pop("obfuscation", None)
        return [made]

    def conversation(recorded: Recorded, body: Json) -> str:
        if facts.cache_header is None:
            return str(body.get("prompt_cache_key") or "")
        return recorded.headers.get(facts.cache_header) or secrets.token_hex(8)

    return Dialect(
        facts.name,
        {"chat_completions": f"{facts.path}/chat/completions"},
        lambda model: True,
        reasons=lambda model: "think" in model,
        efforts=lambda model: ("low", "medium", "high"),
        default_effort=lambda model: "medium" if "think" in model else None,
        in_openais_terms=terms,
        completion=completion,
        chunk=chunk,
        error=facts.error,
        stream_error=facts.broken,
        thought=lambda text: {"thoughts": text},
        conversation=conversation,
        takes_thoughts=True,
        json_word=False,
        usage_unasked=facts.usage_unasked,
    )


def _message(message: Json, facts: Facts) -> Json:
    thoughts = message.get(facts.heard_as)
    made = {
        name: value
        for name, value in message.items()
        if name not in ("reasoning", "reasoning_content", "reasoning_details")
    }
    return {**made, "reasoning_content": thoughts} if thoughts else made


COMPATIBLE = tuple(_dialect(facts) for facts in FACTS)

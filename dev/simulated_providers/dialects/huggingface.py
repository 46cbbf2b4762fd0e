"""Hugging Face's router: one address in front of many providers of open models.

The part of a model's name behind a colon chooses the provider, or how it is chosen. A chat goes on to it as it is,
and comes back in its words: some call a thought ``reasoning``, others ``reasoning_content``. In front of that stands a
translator for Responses, which has its own validator and loses a good deal (``huggingface_responses``).
"""

from __future__ import annotations

import re
import secrets
import uuid
from typing import Any

from starlette.requests import Request

from .. import openai_common as openai
from ..dialect import Dialect, Endpoint
from ..openai_common import Refused
from ..reading import Faults
from ..shapes import Problem
from . import huggingface_responses

_NAME = re.compile(r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+(?::(?P<variant>[a-z0-9-]+))?$")
_CHOSEN = ("fastest", "cheapest", "preferred")
_PROVIDERS = (
    "baseten", "cerebras", "cohere", "deepinfra", "featherless-ai", "fireworks-ai", "groq", "hf-inference", "novita",
    "nscale", "ovhcloud", "publicai", "scaleway", "together", "zai-org",
)  # fmt: skip
# Who calls a thought ``reasoning``; for the others it is ``reasoning_content``.
_REASONING = ("cerebras", "groq", "together")
_FAILURES = {
    402: "You have depleted your monthly included credits. Purchase pre-paid credits to continue using Inference "
    "Providers. Alternatively, subscribe to PRO to get 20x more included usage.",
    403: "This authentication method does not have sufficient permissions to call Inference Providers on behalf of "
    "user simulated",
    429: "Rate limit exceeded, retry later",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
_KNOWN = frozenset(
    {
        "model", "messages", "max_tokens", "max_completion_tokens", "n", "parallel_tool_calls", "reasoning_effort",
        "response_format", "seed", "stop", "stream", "stream_options", "temperature", "top_p", "tools", "tool_choice",
        "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "user",
    }
)  # fmt: skip


def _key(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip() or "invalid" in key:
        raise Refused(401, "Invalid username or password.", type="text")
    return key.strip()


def _family(model: str) -> bool:
    found = _NAME.match(model)
    return bool(found) and (found["variant"] or "groq") in (*_CHOSEN, *_PROVIDERS)


def _unknown(model: str) -> Refused:
    text = f"The requested model '{model}' is not supported by any provider you have enabled."
    return Refused(400, text, "model_not_supported", "model")


def _variant(model: str) -> str:
    return openai.bare(model).partition(":")[2]


def _reasons(model: str) -> bool:
    """Not what is called an instruct model, nor a coder."""
    return not re.search(r"Instruct|Coder|gemma|Llama", model)


def _error(refused: Refused) -> dict[str, Any] | str:
    if isinstance(refused, huggingface_responses.Invalid):
        return {"success": False, "error": refused.found, "details": refused.found}
    # The router's own answers are a sentence; what comes from a provider has OpenAI's form.
    return {"error": refused.message} if refused.type == "text" else {"error": refused.object()}


def _failure(faults: Faults) -> Refused:
    status, options = faults.status or 500, faults.status_options
    headers = {"retry-after": options["retry-after"]} if "retry-after" in options else {}
    message = options.get("message", _FAILURES.get(status, "Bad Request"))
    kind = options.get("type", "text")
    return Refused(status, message, options.get("code"), type=kind, headers=headers, html="html" in options)


def _headers() -> dict[str, str]:
    return {
        "x-simulated": "1",
        "x-powered-by": "huggingface-moon",
        "x-request-id": str(uuid.uuid4()),
        "x-inference-provider": "simulated",
    }


def _terms(body: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    if endpoint == "responses":
        body = huggingface_responses.terms(body)
    model = body.get("model")
    if not isinstance(model, str) or not _family(openai.bare(model)) or "does-not-exist" in model:
        raise _unknown(openai.bare(str(model)))
    if endpoint == "responses":
        return body
    for index, message in enumerate(body.get("messages") or ()):
        role = message.get("role") if isinstance(message, dict) else None
        if role == "developer":
            # Chat templates know the roles that they were written for.
            raise Refused(400, "Unexpected message role.", None, f"messages[{index}].role")
    kept = {name: value for name, value in body.items() if name in _KNOWN and value is not None}
    if isinstance(kept.get("tools"), list):
        kept["tools"] = [_function(tool, index) for index, tool in enumerate(kept["tools"])]
    return kept


def _function(tool: Any, index: int) -> Any:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        raise Problem("tag", ("tools", index, "type"), allowed=("function",), got=str(tool))
    function = tool.get("function") or {}
    return {"type": "function", "function": {name: each for name, each in function.items() if name != "strict"}}


def _named(fields: dict[str, Any], model: str) -> dict[str, Any]:
    """A message or delta with the thought under the provider's name for it."""
    if "reasoning_content" in fields and _variant(model) in _REASONING:
        fields = {**fields, "reasoning": fields["reasoning_content"]}
        del fields["reasoning_content"]
    return {name: value for name, value in fields.items() if name not in ("refusal", "annotations")}


def _usage(raw: dict[str, Any]) -> dict[str, Any]:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    cached = raw["prompt_tokens_details"]["cached_tokens"]
    return {**{name: raw[name] for name in names}, "prompt_tokens_details": {"cached_tokens": cached}}


def _completion(value: dict[str, Any], answer: Any) -> dict[str, Any]:
    model = answer.body["model"]
    choices = [{**choice, "message": _named(choice["message"], model)} for choice in value["choices"]]
    kept = {name: value[name] for name in ("id", "object", "created", "model", "system_fingerprint")}
    return {**kept, "choices": choices, "usage": _usage(value["usage"])}


def _chunk(value: dict[str, Any], answer: Any) -> list[dict[str, Any]]:
    model = answer.body["model"]
    kept = {name: value[name] for name in ("id", "object", "created", "model", "system_fingerprint")}
    choices = [{**choice, "delta": _named(choice["delta"], model)} for choice in value["choices"]]
    usage = {"usage": _usage(value["usage"])} if value.get("usage") else {}
    return [{**kept, "choices": choices, **usage}]


def _stream_error() -> dict[str, Any]:
    return {"error": {"message": _FAILURES[500], "type": "internal_server_error", "code": 500}}


HUGGING_FACE = Dialect(
    "huggingface",
    {"chat_completions": "/huggingface/v1/chat/completions", "responses": "/huggingface/v1/responses"},
    _family,
    reasons=_reasons,
    efforts=lambda model: ("none", "low", "medium", "high"),
    default_effort=lambda model: "medium" if _reasons(model) else None,
    key=_key,
    headers=_headers,
    snapshot=lambda model: openai.bare(model).partition(":")[0],
    in_openais_terms=_terms,
    completion=_completion,
    chunk=_chunk,
    response=huggingface_responses.response,
    event=huggingface_responses.event,
    error=_error,
    stream_error=_stream_error,
    failure=_failure,
    thought=lambda text: {"reasoning_content": text},
    call_id=lambda: f"call_{secrets.token_hex(12)}",
    json_word=False,
    event_lines=False,
)

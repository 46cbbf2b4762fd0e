"""Cloudflare Workers AI's dialect of Chat Completions, under an account.

Errors are lists in the envelope of its API. Fields that it does not know have no effect; what has the wrong type is bad
input. Thoughts stand in ``reasoning`` or ``reasoning_content``, by model. Each chunk's usage counts that chunk only; a
last frame, which is no chunk, has the sum. A prompt is cached for requests with the same ``x-session-affinity``.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from starlette.requests import Request

from .. import openai_common as openai
from ..dialect import Dialect
from ..openai_common import Refused
from ..reading import Faults
from ..recorder import Recorded

_FAMILY = re.compile(r"^@(cf|hf)/[a-z0-9-]+/[a-z0-9.-]+$")
_REASONS = re.compile(r"gpt-oss|glm-|kimi-|qwq|qwen3|deepseek-r1|gemma-4|nemotron-3|deepseek-v4")
_PLAIN_NAME = re.compile(r"gpt-oss|kimi-|glm-")
_KNOWN = frozenset(
    {
        "model", "messages", "audio", "frequency_penalty", "logit_bias", "logprobs", "max_completion_tokens",
        "max_tokens", "metadata", "modalities", "n", "parallel_tool_calls", "prediction", "presence_penalty",
        "reasoning_effort", "response_format", "seed", "service_tier", "stop", "store", "stream", "stream_options",
        "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user", "web_search_options",
    }
)  # fmt: skip
_MESSAGE = frozenset({"role", "content", "tool_calls", "tool_call_id", "name", "refusal", "reasoning_content"})


def reasons(model: str) -> bool:
    """Whether the model thinks."""
    return bool(_REASONS.search(openai.bare(model)))


def _efforts(model: str) -> tuple[str, ...]:
    return ("low", "medium", "high")


def _default_effort(model: str) -> str | None:
    return "medium" if reasons(model) else None


def _key(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip() or "invalid" in key:
        raise Refused(401, "Authentication error", "10000")
    return key.strip()


def _headers() -> dict[str, str]:
    return {"x-simulated": "1", "cf-ray": f"{secrets.token_hex(8)}-AMS", "cf-ai-req-id": secrets.token_hex(16)}


def _in_openais_terms(body: dict[str, Any], endpoint: Any) -> dict[str, Any]:
    made = {name: value for name, value in body.items() if name in _KNOWN}
    effort = made.get("reasoning_effort")
    if effort is not None and effort not in _efforts(""):
        raise Refused(400, "anyOf at '/reasoning_effort' not met", "5006")
    if isinstance(made.get("messages"), list):
        made["messages"] = [_message(each) if isinstance(each, dict) else each for each in made["messages"]]
    if not reasons(str(made.get("model"))):
        made.pop("reasoning_effort", None)
    if (body.get("chat_template_kwargs") or {}).get("enable_thinking") is False:
        made["reasoning_effort"] = "none"
    if not made.get("tools"):
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            made.pop(name, None)
    if not made.get("stream"):
        made.pop("stream_options", None)
    return made


def _message(message: dict[str, Any]) -> dict[str, Any]:
    thoughts = message.get("reasoning") or message.get("reasoning_content")
    made = {name: value for name, value in message.items() if name in _MESSAGE}
    return {**made, "reasoning_content": thoughts} if thoughts else made


def _envelope(message: str, code: int) -> dict[str, Any]:
    return {"errors": [{"message": message, "code": code}], "success": False, "result": {}, "messages": []}


def _error(refused: Refused) -> dict[str, Any]:
    code = refused.code or ""
    if code.isdigit() and code != "5006":
        return _envelope(refused.message, int(code))
    return _envelope(f"AiError: Bad input: Error: {refused.message}", 5006)


def _unknown_model(model: str) -> Refused:
    return Refused(400, f"No such model {model} or task", "5007")


_FAILURES = {
    401: ("Authentication error", "10000"),
    403: ("The account is not allowed to access this model", "5018"),
    413: ("Request is too large", "3006"),
    429: ("Capacity temporarily exceeded, please try again.", "3040"),
}


def _failure(faults: Faults) -> Refused:
    status, options = faults.status or 500, faults.status_options
    message, code = _FAILURES.get(status, ("Internal server error", "8000"))
    headers = {"retry-after": options["retry-after"]} if "retry-after" in options else {}
    return Refused(
        status, options.get("message", message), options.get("code", code), headers=headers, html="html" in options
    )


def _stream_error() -> dict[str, Any]:
    return _envelope("AiError: Internal server error", 8000)


def _conversation(recorded: Recorded, body: dict[str, Any]) -> str:
    """Without the header, requests go to any of many servers."""
    return recorded.headers.get("x-session-affinity") or secrets.token_hex(8)


def _usage(prompt: int, cached: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "neurons": round(0.00909 * prompt + 0.02727 * completion, 6),
    }


def _counted(usage: dict[str, Any]) -> dict[str, Any]:
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return _usage(usage["prompt_tokens"], cached, usage["completion_tokens"])


def _told(said: dict[str, Any], model: str) -> dict[str, Any]:
    """A message or delta with its thoughts under the model's name for them."""
    rest = {name: value for name, value in said.items() if name not in ("thoughts", "annotations", "refusal")}
    if said.get("refusal"):
        rest["content"] = said["refusal"]
    if said.get("thoughts"):
        rest["reasoning" if _PLAIN_NAME.search(model) else "reasoning_content"] = said["thoughts"]
    return rest


def _completion(value: dict[str, Any], answer: Any) -> dict[str, Any]:
    choices = [
        {**choice, "message": _told(choice["message"], value["model"]), "logprobs": None} for choice in value["choices"]
    ]
    head = {name: value[name] for name in ("id", "object", "created", "model")}
    return {**head, "choices": choices, "usage": _counted(value["usage"])}


def _chunk(value: dict[str, Any], answer: Any) -> list[dict[str, Any]]:
    head = {name: value[name] for name in ("id", "object", "created", "model")}
    padding = {"p": secrets.token_hex(8)}
    given = answer.notes.setdefault("given", 0)
    if not value["choices"]:
        total = _counted(value["usage"])
        rest = _usage(0, 0, total["completion_tokens"] - given)
        return [{**head, "choices": [], "usage": rest, **padding}, {"response": "", "usage": total}]
    choice = value["choices"][0]
    delta, index = choice["delta"], choice["index"]
    use = answer.use
    first = not answer.notes.setdefault("began", False)
    answer.notes["began"] = True
    if first:
        counted = _usage(use.fresh + use.read + use.written_5m + use.written_1h, use.read, 0)
    else:
        counted = _usage(0, 0, 1 if _speaks(delta) else 0)
    answer.notes["given"] = given + counted["completion_tokens"]
    made = {**choice, "delta": _told(delta, value["model"])}
    chunks = [{**head, "choices": [made], "usage": counted, **padding}]
    if delta.get("tool_calls"):
        answer.notes[("calls", index)] = True
    if choice["finish_reason"] is not None and answer.notes.get(("calls", index)):
        end = {"index": 0, "id": None, "type": None, "function": {"name": None, "arguments": ""}}
        closing = {"index": index, "delta": {"tool_calls": [end]}, "finish_reason": None, "logprobs": None}
        chunks.insert(0, {**head, "choices": [closing], "usage": _usage(0, 0, 0), **padding})
    return chunks


def _speaks(delta: dict[str, Any]) -> bool:
    calls = delta.get("tool_calls") or []
    arguments = any((call.get("function") or {}).get("arguments") for call in calls)
    return bool(delta.get("content") or delta.get("refusal") or delta.get("thoughts") or arguments)


CLOUDFLARE = Dialect(
    "cloudflare",
    {"chat_completions": "/cloudflare/client/v4/accounts/{account}/ai/v1/chat/completions"},
    lambda model: bool(_FAMILY.match(model)),
    reasons=reasons,
    efforts=_efforts,
    default_effort=_default_effort,
    key=_key,
    headers=_headers,
    in_openais_terms=_in_openais_terms,
    completion=_completion,
    chunk=_chunk,
    error=_error,
    stream_error=_stream_error,
    failure=_failure,
    thought=lambda text: {"thoughts": text},
    call_id=lambda: f"chatcmpl-tool-{secrets.token_hex(8)}",
    conversation=_conversation,
    unknown_model=_unknown_model,
    remembers=True,
    takes_thoughts=True,
    json_word=False,
    usage_unasked=True,
)

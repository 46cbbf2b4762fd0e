"""xAI: Grok, as api.x.ai answers.

It reads a body in steps, each with an answer of its own: what does not parse or has a wrong type is a 422 (plain text
in Chat Completions), an unknown model and a bad key are 400s, then arguments that the model does not take. Fields that
it has never heard of it passes over. Thoughts are shown under both APIs; a chat's ``completion_tokens`` leave them out,
and no bound on the output counts them. A search of its own costs half a cent. Money is told in ticks of 10^-10 USD.
"""

from __future__ import annotations

import secrets
import uuid
from typing import Any

from starlette.requests import Request

from .. import openai_common as openai
from ..dialect import Dialect, Endpoint
from ..openai_common import Refused
from ..reading import Faults, Search
from ..recorder import Recorded
from ..shapes import Problem
from .xai_request import chat_terms, default_effort, efforts, family, reasons, responses_terms

_CODES = {
    400: "invalid-argument",
    401: "unauthenticated",
    403: "permission-denied",
    404: "not-found",
    410: "failed-precondition",
    422: "invalid-argument",
    429: "resource-exhausted",
    500: "internal",
    503: "unavailable",
}
_FAILURES = {
    400: "Invalid request content: Each message must have at least one content element.",
    401: "Invalid or missing authentication.",
    403: "The team has either used all available credits or reached its monthly spending limit.",
    429: "Too many requests for team simulated. Your team's rate limit is - Requests per Minute (actual/limit): 9/8.",
    500: "Internal error.",
    503: "The service is currently unavailable.",
}
_TICKS_PER_SEARCH = 50_000_000
# Ticks per token: fresh input, cached input, output; of grok-4.3 up to its long context.
_TICKS = (12_500, 2_000, 25_000)


def _key(request: Request) -> str:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise Refused(401, "No authorization header or an invalid authorization token was provided.")
    if "invalid" in key:
        short = f"{key[:2]}***{key[-2:]}"
        text = f"Incorrect API key provided: {short}. You can obtain an API key from https://console.x.ai."
        raise Refused(400, text)
    return key.strip()


def _error(refused: Refused) -> dict[str, Any] | str:
    if refused.type == "text":
        return refused.message
    if refused.code == "invalid_encrypted_content":
        text = "Could not decrypt the provided encrypted_content. Ensure the value is the unmodified encrypted_content "
        return {"code": "invalid-argument", "error": text + "from a previous response."}
    own = refused.code if refused.code and "-" in refused.code else _CODES.get(refused.status, "internal")
    return {"code": own, "error": refused.message}


def _worded(problem: Problem, endpoint: Endpoint) -> Refused:
    facts = problem.facts
    where = openai.path_text(problem.path)
    match problem.kind:
        case "type":
            why = f"invalid type, expected {facts['expected']}"
        case "missing":
            why = f"missing field `{problem.path[-1]}`"
        case "enum" | "tag":
            listed = ", ".join(f"`{value}`" for value in facts["allowed"])
            why = f"unknown variant `{facts['got']}`, expected one of {listed}"
        case _:
            why = "invalid value"
    text = f"Failed to deserialize the JSON body into the target type: {where}: {why} at line 1 column 1"
    return Refused(422, text, type="text" if endpoint == "chat_completions" else "invalid_request_error")


def _failure(faults: Faults) -> Refused:
    status, options = faults.status or 500, faults.status_options
    headers = {"retry-after": options["retry-after"]} if "retry-after" in options else {}
    message = options.get("message", _FAILURES.get(status, "Internal error."))
    return Refused(status, message, options.get("code"), headers=headers, html="html" in options)


def _stream_error() -> dict[str, Any]:
    return {"code": _CODES[500], "error": _FAILURES[500]}


def _error_headers() -> dict[str, str]:
    return {"x-simulated": "1", "x-request-id": str(uuid.uuid4())}


def _headers() -> dict[str, str]:
    return {
        **_error_headers(),
        "x-ratelimit-limit-requests": "1800",
        "x-ratelimit-remaining-requests": "1799",
        "x-ratelimit-limit-tokens": "10000000",
        "x-ratelimit-remaining-tokens": "9999000",
        "x-metrics-ttft-ms": "5",
    }


def _terms(body: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    return chat_terms(body) if endpoint == "chat_completions" else responses_terms(body)


def _conversation(recorded: Recorded, body: dict[str, Any]) -> str:
    """A chat names its conversation in a header, a response in its body."""
    return recorded.headers.get("x-grok-conv-id") or body.get("prompt_cache_key") or ""


def _ticks(fresh: int, cached: int, output: int, searches: int) -> int:
    price = zip((fresh, cached, output), _TICKS, strict=True)
    return sum(count * each for count, each in price) + searches * _TICKS_PER_SEARCH


def _usage(raw: dict[str, Any]) -> dict[str, Any]:
    """A chat's usage: the thoughts stand beside ``completion_tokens``, and in the total."""
    prompt, cached = raw["prompt_tokens"], raw["prompt_tokens_details"]["cached_tokens"]
    thoughts = raw["completion_tokens_details"]["reasoning_tokens"]
    return {
        "prompt_tokens": prompt,
        "completion_tokens": raw["completion_tokens"] - thoughts,
        "total_tokens": raw["total_tokens"],
        "prompt_tokens_details": {
            "text_tokens": prompt,
            "audio_tokens": 0,
            "image_tokens": 0,
            "cached_tokens": cached,
        },
        "completion_tokens_details": {
            "reasoning_tokens": thoughts,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
        "num_sources_used": 0,
        "cost_in_usd_ticks": _ticks(prompt - cached, cached, raw["completion_tokens"], 0),
    }


def _completion(value: dict[str, Any], answer: Any) -> dict[str, Any]:
    choices: list[dict[str, Any]] = []
    for choice in value["choices"]:
        message = {name: each for name, each in choice["message"].items() if name != "annotations"}
        message["content"] = message["content"] or ""
        finish = "tool_calls" if message.get("tool_calls") else choice["finish_reason"]
        choices.append({"index": choice["index"], "message": message, "finish_reason": finish})
    return {**value, "id": _uuid(value["id"]), "choices": choices, "usage": _usage(value["usage"])}


def _chunk(value: dict[str, Any], answer: Any) -> list[dict[str, Any]]:
    kept = {name: value[name] for name in ("id", "object", "created", "model")}
    choices: list[dict[str, Any]] = []
    for choice in value["choices"]:
        unsaid = ("refusal", "annotations") if choice["delta"].get("role") else ("annotations",)
        delta = {name: each for name, each in choice["delta"].items() if name not in unsaid and each not in ("", None)}
        finish = choice["finish_reason"]
        if finish == "stop" and any(not step.custom for step in _calls(answer)):
            finish = "tool_calls"
        choices.append({"index": choice["index"], "delta": delta, **({"finish_reason": finish} if finish else {})})
    usage = {"usage": _usage(value["usage"])} if value.get("usage") else {}
    kept["id"] = _uuid(kept["id"])
    return [{**kept, "choices": choices, **usage, "system_fingerprint": "fp_simulated"}]


def _calls(answer: Any) -> list[Any]:
    return [step for step in answer.plan.steps if hasattr(step, "arguments")]


def _uuid(id: str) -> str:
    """A bare UUID for an id of OpenAI's making, the same for the same id."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, id))


def _own(id: str) -> str:
    prefix, _, rest = id.partition("_")
    return f"{prefix}_{_uuid(rest)}" if rest else id


def _item(item: dict[str, Any], answer: Any) -> dict[str, Any]:
    item = {"status": "completed", **item, "id": _own(item["id"])}
    if item["type"] == "web_search_call":
        action = item["action"]
        sources = [{"type": "url", "url": url} for step in answer.plan.steps for url, _ in getattr(step, "results", ())]
        done = item["status"] == "completed"
        item["action"] = {"type": "search", "query": action.get("query", ""), "sources": sources if done else []}
    if item["type"] == "message":
        item["content"] = [_part(part, answer) for part in item["content"]]
    return item


def _part(part: dict[str, Any], answer: Any) -> dict[str, Any]:
    return {**part, "annotations": [_cited(note, answer) for note in part.get("annotations") or ()]}


def _cited(note: dict[str, Any], answer: Any) -> dict[str, Any]:
    """Models that reason do not say where in the text they cite."""
    at = {"start_index": 0, "end_index": 0} if reasons(answer.body["model"]) else {}
    return {**note, **at, "title": note["url"]}


_ECHOED = (
    "created_at", "completed_at", "max_output_tokens", "model", "object", "parallel_tool_calls", "previous_response_id",
    "tool_choice", "tools", "incomplete_details", "status", "store", "background", "truncation", "top_logprobs",
    "presence_penalty", "frequency_penalty", "prompt_cache_key", "max_tool_calls", "safety_identifier", "error",
    "instructions", "user",
)  # fmt: skip


def _response(value: dict[str, Any], answer: Any) -> dict[str, Any]:
    kept = {name: value[name] for name in _ECHOED}
    body, raw = answer.body, value["usage"]
    searches = sum(isinstance(step, Search) for step in answer.plan.steps)
    usage = None
    if raw is not None:
        cached = raw["input_tokens_details"]["cached_tokens"]
        usage = {
            "input_tokens": raw["input_tokens"],
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": raw["output_tokens"],
            "output_tokens_details": raw["output_tokens_details"],
            "total_tokens": raw["total_tokens"],
            "num_sources_used": 0,
            "num_server_side_tools_used": searches,
            "cost_in_usd_ticks": _ticks(raw["input_tokens"] - cached, cached, raw["output_tokens"], searches),
            "context_details": {"input_tokens": raw["input_tokens"], "output_tokens": raw["output_tokens"]},
        }
        if searches:
            used = ("x_search", "code_interpreter", "file_search", "mcp", "document_search")
            counts = {"web_search_calls": searches, **{f"{name}_calls": 0 for name in used}}
            usage["server_side_tool_usage_details"] = counts
    effort = (body.get("reasoning") or {}).get("effort") or default_effort(body["model"])
    return {
        **kept,
        "id": _uuid(value["id"]),
        "output": [_item(item, answer) for item in value["output"]],
        "reasoning": {"effort": effort, "summary": "detailed"},
        "temperature": 0.7 if body.get("temperature") is None else body["temperature"],
        "top_p": 0.95 if body.get("top_p") is None else body["top_p"],
        "text": {"format": value["text"]["format"]},
        "usage": usage,
        "metadata": {"system_fingerprint": "fp_simulated"},
        "service_tier": "default",
    }


def _event(value: dict[str, Any], answer: Any) -> dict[str, Any]:
    value.pop("obfuscation", None)
    if "item_id" in value:
        value["item_id"] = _own(value["item_id"])
    if isinstance(value.get("item"), dict):
        if value["type"] == "response.output_item.added":
            value["item"] = {"status": "in_progress", **value["item"]}
            value["item"].pop("encrypted_content", None)
        value["item"] = _item(value["item"], answer)
    if isinstance(value.get("part"), dict) and value["part"].get("type") == "output_text":
        value["part"] = _part(value["part"], answer)
    if isinstance(value.get("annotation"), dict):
        value["annotation"] = _cited(value["annotation"], answer)
    return value


XAI = Dialect(
    "xai",
    {"chat_completions": "/xai/v1/chat/completions", "responses": "/xai/v1/responses"},
    family,
    reasons=reasons,
    efforts=efforts,
    default_effort=default_effort,
    key=_key,
    headers=_headers,
    error_headers=_error_headers,
    snapshot=openai.bare,
    in_openais_terms=_terms,
    completion=_completion,
    chunk=_chunk,
    response=_response,
    event=_event,
    error=_error,
    stream_error=_stream_error,
    failure=_failure,
    thought=lambda text: {"reasoning_content": text},
    call_id=lambda: f"call_{secrets.randbelow(10**8):08d}",
    worded=_worded,
    conversation=_conversation,
    takes_thoughts=True,
    whole_calls=True,
    spares_thoughts=True,
    json_word=False,
)

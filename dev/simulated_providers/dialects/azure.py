"""OpenAI's models, and others, deployed on a Microsoft Azure resource: ``/openai/v1``.

The model is the name of a deployment, the key comes as ``api-key`` or as an Entra token. Azure judges prompts and
answers by its content filter: a filtered prompt is a 400 with an ``innererror`` (``[[fail:400 code=content_filter]]``),
answers carry the judgements, and a stream begins with a chunk that has them and no choices.
"""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request

from .. import openai_common as openai
from ..dialect import Dialect, Endpoint
from ..openai_common import Refused

_OPENAIS = re.compile(r"(gpt-(?!oss)|o[134](?=-|$)|codex-).*")
_THINKERS = re.compile(r"(deepseek-(r1|v[34])|kimi-k2|grok-.*reasoning|phi-4.*reasoning|gpt-oss)", re.IGNORECASE)
_SAFE = {"filtered": False, "severity": "safe"}
_JUDGED = {"hate": _SAFE, "self_harm": _SAFE, "sexual": _SAFE, "violence": _SAFE}
_PROMPT = {**_JUDGED, "jailbreak": {"filtered": False, "detected": False}}
_CODES = {401: "401", 404: "DeploymentNotFound", 429: "RateLimitReached"}
_NO_KEY = (
    "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
    "active subscription and use a correct regional API endpoint for your resource."
)
_NO_DEPLOYMENT = (
    "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, "
    "please wait a moment and try again."
)
_FILTERED = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify "
    "your prompt and retry. To learn more about our content filtering policies please read our documentation: "
    "https://go.microsoft.com/fwlink/?linkid=2198766"
)


def model_of(deployment: str) -> str:
    """The model behind a deployment: OpenAI's where its name is in that of the deployment, else the name itself."""
    found = _OPENAIS.search(openai.bare(deployment))
    return found[0] if found else openai.bare(deployment)


def _openais(model: str) -> bool:
    return openai.in_family(model_of(model)) and not model_of(model).startswith("gpt-oss")


def _reasons(model: str) -> bool:
    return openai.reasons(model_of(model)) if _openais(model) else bool(_THINKERS.search(model))


def _key(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    key = request.headers.get("api-key") or (token.strip() if scheme.lower() == "bearer" else "")
    if not key or "invalid" in key:
        raise Refused(401, _NO_KEY)
    return key


def _read(body: dict[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    model = body.get("model")
    if isinstance(model, str) and "does-not-exist" in model:
        raise openai.unknown_model(model)
    if not isinstance(model, str) or not _openais(model):
        return body
    if endpoint == "chat_completions":
        openai.check_effort(model_of(model), body.get("reasoning_effort"), "reasoning_effort")
        if body.get("max_tokens") is not None and _reasons(model):
            text = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
            raise Refused(400, f"{text}instead.", "unsupported_parameter", "max_tokens")
    elif isinstance(body.get("reasoning"), dict):
        openai.check_effort(model_of(model), body["reasoning"].get("effort"), "reasoning.effort")
    return body


def _completion(value: dict[str, Any], answer: Any) -> dict[str, Any]:
    for choice in value["choices"]:
        choice["content_filter_results"] = {} if choice["message"].get("tool_calls") else _JUDGED
        if _openais(answer.body["model"]):
            choice["message"].pop("reasoning_content", None)
    return {**value, "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _PROMPT}]}


def _chunk(value: dict[str, Any], answer: Any) -> list[dict[str, Any]]:
    chunks = [value]
    for choice in value["choices"]:
        delta = choice["delta"]
        if "reasoning_content" in delta and _openais(answer.body["model"]):
            return []
        choice["content_filter_results"] = _JUDGED if delta.get("content") else {}
        if "role" in delta and choice["index"] == 0:
            judged = [{"prompt_index": 0, "content_filter_results": _PROMPT}]
            blank = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}
            chunks.insert(0, {**blank, "prompt_filter_results": judged})
    return chunks


def _response(value: dict[str, Any], answer: Any) -> dict[str, Any]:
    judged = {"blocked": False, "source_type": "prompt", "content_filter_results": _PROMPT}
    return {**value, "content_filters": [judged]}


def _error(refused: Refused) -> dict[str, Any]:
    message = {401: _NO_KEY, 404: _NO_DEPLOYMENT}.get(refused.status, refused.message)
    if refused.status in _CODES:
        return {"error": {"code": _CODES[refused.status], "message": message}}
    error: dict[str, Any] = {**refused.object(), "message": message}
    if refused.code == "content_filter":
        error |= {"type": None, "param": "prompt", "status": 400, "message": _FILTERED}
        judged = {**_PROMPT, "violence": {"filtered": True, "severity": "medium"}}
        error["innererror"] = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": judged}
    return {"error": error}


AZURE = Dialect(
    "azure",
    {"chat_completions": "/azure/openai/v1/chat/completions", "responses": "/azure/openai/v1/responses"},
    bool,
    reasons=_reasons,
    efforts=lambda model: openai.efforts(model_of(model)),
    default_effort=lambda model: (
        openai.default_effort(model_of(model)) if _openais(model) else "medium" if _reasons(model) else None
    ),
    key=_key,
    headers=lambda: {
        "x-simulated": "1",
        "x-ms-region": "Sweden Central",
        "apim-request-id": openai.headers()["x-request-id"],
    },
    snapshot=lambda model: openai.snapshot(model_of(model)),
    in_openais_terms=_read,
    completion=_completion,
    chunk=_chunk,
    response=_response,
    error=_error,
    thought=lambda text: {"reasoning_content": text},
)

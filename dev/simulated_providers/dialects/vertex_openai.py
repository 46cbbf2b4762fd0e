"""Other makers' models at Google Vertex AI, behind its OpenAI-compatible endpoint ``…/endpoints/openapi``.

The model is ``publisher/model``, the key a Google token; thoughts come as ``reasoning_content``, usage says how the
traffic is billed, and errors are Google's, in a list of one. Parameters that it does not know it ignores.
"""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request

from .. import gemini_common as google
from ..dialect import Dialect
from ..openai_common import Refused

_MODEL = re.compile(r"[a-z0-9-]+/[a-z0-9.@-]+")
_THINKERS = re.compile(r"/(deepseek-(r1|v3)|kimi-k2-thinking|gpt-oss|glm-|minimax-m2|qwen3-.*-thinking)")


def _key(request: Request) -> str:
    try:
        return google.key_of(request, vertex=True)
    except google.Refused as refused:
        raise Refused(refused.status, refused.message) from None


def _named(value: dict[str, Any], answer: Any) -> dict[str, Any]:
    if value.get("usage"):
        value["usage"] = {**value["usage"], "extra_properties": {"google": {"traffic_type": "ON_DEMAND"}}}
    return value


def _error(refused: Refused) -> list[dict[str, Any]]:
    return [google.Refused(refused.status, refused.message).error()]


VERTEX = Dialect(
    "vertex",
    {
        "chat_completions": "/vertex/{version}/projects/{project}/locations/{location}"
        "/endpoints/openapi/chat/completions"
    },
    lambda model: bool(_MODEL.fullmatch(model)),
    reasons=lambda model: bool(_THINKERS.search(model)),
    efforts=lambda model: ("low", "medium", "high"),
    default_effort=lambda model: "medium" if _THINKERS.search(model) else None,
    key=_key,
    headers=google.headers,
    completion=_named,
    chunk=lambda value, answer: [_named(value, answer)],
    error=_error,
    thought=lambda text: {"reasoning_content": text},
)

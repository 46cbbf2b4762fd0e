"""Asking a provider how many tokens a request has: what is sent, and where the number stands in the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headgate.providers.bedrock_regions import PROFILES
from headgate.providers.fit import VERTEX_VERSION
from headgate.providers.table import Protocol, Provider

# What the counting endpoints take of a request; they refuse anything else.
_FIELDS: Mapping[Protocol, tuple[str, ...]] = {
    "responses": (
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning",
        "text",
        "truncation",
    ),
    "messages": (
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "cache_control",
        "mcp_servers",
        "context_management",
    ),
    "gemini": ("contents", "systemInstruction", "tools"),
    "converse": ("messages", "system", "toolConfig"),
}
_ANSWERS: Mapping[Protocol, str] = {
    "responses": "input_tokens",
    "messages": "input_tokens",
    "gemini": "totalTokens",
    "converse": "inputTokens",
}
_PROFILE = re.compile(rf"^({'|'.join(PROFILES)})\.")


def count_request(
    provider: Provider, protocol: Protocol, model: str, payload: Mapping[str, Any]
) -> tuple[str, dict[str, Any]] | None:
    """(model for the address, body) of the question about ``payload``, which is written in ``protocol`` for ``model``.
    None where the provider cannot count it."""
    if f"{protocol}.count" not in provider.paths:
        return None
    body = {name: payload[name] for name in _FIELDS[protocol] if name in payload}
    if protocol == "converse":
        # Bedrock counts for Claude alone, and for the model itself, not for its profiles.
        plain = _PROFILE.sub("", model)
        return (plain, {"input": {"converse": body}}) if plain.startswith("anthropic.") else None
    if protocol == "gemini" and provider.auth == "x_goog_api_key":
        # The Gemini API counts bare contents, or a whole request that names its model again.
        return model, {"generateContentRequest": {"model": f"models/{model}", **body}}
    if protocol == "messages" and "model_in_path" in provider.quirks:
        # Here the model does stand in the body: the path names the counter.
        return model, {"anthropic_version": VERTEX_VERSION, **body}
    return model, body


def counted(protocol: Protocol, answer: object) -> int | None:
    """The number of tokens in a provider's answer; None where there is none to be found."""
    value = answer.get(_ANSWERS[protocol]) if isinstance(answer, Mapping) else None
    return value if type(value) is int and value >= 0 else None

"""Whose model stands behind a Bedrock id. Converse is one form for all, but not its model-specific fields."""

from __future__ import annotations

from typing import Literal

from headgate.protocols.contract import Target

Family = Literal["claude", "nova", "mistral", "cohere", "openai", "other"]


def family_of(target: Target) -> Family:
    """The family of ``target``. An inference profile's ARN hides the model; the way it thinks may still tell."""
    model = target.model.lower()
    if "claude" in model or "anthropic." in model:
        return "claude"
    if "amazon.nova" in model or "nova-" in model:
        return "nova"
    if "mistral." in model:
        return "mistral"
    if "cohere." in model:
        return "cohere"
    if "openai." in model and "gpt-oss" not in model:
        return "openai"
    return "claude" if target.thinking in ("budget", "adaptive") else "other"

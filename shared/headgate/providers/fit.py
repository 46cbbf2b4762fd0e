"""Requests as a provider wants them, where it departs from the protocol by whole fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headgate.losses import Loss
from headgate.providers.table import Protocol, Provider

VERTEX_VERSION = "vertex-2023-10-16"

# Lost without an effect that a caller could notice, or accounted for elsewhere.
_SILENT = frozenset({"store", "stream_options", "prompt_cache_key", "safety_identifier"})
# Of Responses, the gateway itself keeps and echoes what the client calls the metadata of its answer.
_KEPT_HERE = _SILENT | {"metadata"}
# Clients send these with every request, and nothing is lost with them.
_NEUTRAL: dict[str, object] = {"presence_penalty": 0, "frequency_penalty": 0, "logit_bias": {}}


def fit_body(
    provider: Provider, protocol: Protocol, body: dict[str, Any], betas: Sequence[str] = ()
) -> tuple[dict[str, Any], list[Loss]]:
    """``body`` as ``provider`` takes it, and what it has no place for. ``betas``: those for a Claude model, where the
    protocol has its place for them in the body."""
    if protocol == "converse" and betas:
        own = body.get("additionalModelRequestFields") or {}
        return {**body, "additionalModelRequestFields": {**own, "anthropic_beta": list(betas)}}, []
    if protocol == "messages" and "model_in_path" in provider.quirks:
        fitted, losses = _without(provider, body, provider.refused, _SILENT, {})
        fitted.pop("model", None)
        return {"anthropic_version": VERTEX_VERSION, **fitted}, losses
    if protocol == "responses" and provider.refused_responses:
        return _without(provider, body, provider.refused_responses, _KEPT_HERE, {})
    if protocol != "chat_completions" or not (provider.renamed or provider.refused):
        return body, []
    return _without(provider, body, provider.refused, _SILENT, dict(provider.renamed))


def _without(
    provider: Provider, body: dict[str, Any], refused: frozenset[str], silent: frozenset[str], renamed: dict[str, str]
) -> tuple[dict[str, Any], list[Loss]]:
    """``body`` without the fields that ``provider`` answers with an error, the others under its names for them."""
    fitted: dict[str, Any] = {}
    losses: list[Loss] = []
    for name, value in body.items():
        if name in refused:
            if value is not None and name not in silent and value != _NEUTRAL.get(name, ...):
                losses.append(Loss(name, "unsupported_parameter", f"not known to {provider.display_name}"))
            continue
        fitted[renamed.get(name, name)] = value
    return fitted, losses


def fit_headers(provider: Provider, protocol: Protocol, body: dict[str, Any]) -> dict[str, str]:
    """The headers that say what other vendors read in the body; it is taken out of ``body``."""
    if protocol != "chat_completions" or provider.cache_header is None:
        return {}
    key = body.pop("prompt_cache_key", None)
    return {provider.cache_header: key} if isinstance(key, str) and key.isascii() and key.isprintable() else {}

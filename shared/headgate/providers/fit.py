"""Request bodies as a provider wants them, where it departs from the protocol by whole fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headgate.losses import Loss
from headgate.providers.table import Protocol, Provider

VERTEX_VERSION = "vertex-2023-10-16"

# Lost without an effect that a caller could notice, or accounted for elsewhere.
_SILENT = frozenset({"store", "stream_options", "prompt_cache_key", "safety_identifier"})


def fit_body(
    provider: Provider, protocol: Protocol, body: dict[str, Any], betas: Sequence[str] = ()
) -> tuple[dict[str, Any], list[Loss]]:
    """``body`` as ``provider`` takes it, and what it has no place for. ``betas``: those for a Claude model, where the
    protocol has its place for them in the body."""
    if protocol == "converse" and betas:
        own = body.get("additionalModelRequestFields") or {}
        return {**body, "additionalModelRequestFields": {**own, "anthropic_beta": list(betas)}}, []
    if protocol == "messages" and "model_in_path" in provider.quirks:
        fitted, losses = _without(provider, body)
        fitted.pop("model", None)
        return {"anthropic_version": VERTEX_VERSION, **fitted}, losses
    if protocol != "chat_completions" or not (provider.renamed or provider.refused):
        return body, []
    fitted, losses = _without(provider, body)
    return {provider.renamed.get(name, name): value for name, value in fitted.items()}, losses


def _without(provider: Provider, body: dict[str, Any]) -> tuple[dict[str, Any], list[Loss]]:
    """``body`` without the fields that ``provider`` answers with an error."""
    fitted: dict[str, Any] = {}
    losses: list[Loss] = []
    for name, value in body.items():
        if name in provider.refused:
            if value is not None and name not in _SILENT:
                losses.append(Loss(name, "unsupported_parameter", f"not known to {provider.display_name}"))
            continue
        fitted[name] = value
    return fitted, losses


def fit_headers(provider: Provider, protocol: Protocol, body: dict[str, Any]) -> dict[str, str]:
    """The headers that say what other vendors read in the body; it is taken out of ``body``."""
    if protocol != "chat_completions" or provider.cache_header is None:
        return {}
    key = body.pop("prompt_cache_key", None)
    return {provider.cache_header: key} if isinstance(key, str) and key.isascii() and key.isprintable() else {}

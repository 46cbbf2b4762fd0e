"""The ``routing`` object of Responses and Chat Completions, and ``provider`` of Messages, as far as they limit where a
request may go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.errors import invalid_request
from headgate.providers.rows import PROVIDERS, find_provider


def wanted_providers(body: Mapping[str, Any]) -> list[str]:
    """The slugs that ``routing.provider.fallbacks`` (a whitelist, despite its name; ``allow`` means the same) leaves,
    less ``deny``; empty for no limit. Raises 400 for an unknown provider."""
    routing = body.get("routing")
    if not isinstance(routing, Mapping):
        return []
    provider = routing.get("provider")
    if not isinstance(provider, Mapping):
        return []
    allowed = _slugs(provider.get("fallbacks") or provider.get("allow") or [], "routing.provider.fallbacks")
    denied = _slugs(provider.get("deny") or [], "routing.provider.deny")
    if not denied:
        return allowed
    return [slug for slug in allowed or PROVIDERS if slug not in denied]


def _slugs(names: Any, param: str) -> list[str]:
    if not isinstance(names, list):
        raise invalid_request(f"{param} must be a list of provider slugs.", param=param, code="invalid_type")
    slugs: list[str] = []
    for at, name in enumerate(names):
        row = find_provider(name) if isinstance(name, str) else None
        if row is None:
            raise invalid_request(f"Unknown provider {name!r}.", param=f"{param}[{at}]", code="unknown_provider")
        slugs.append(row.slug)
    return slugs

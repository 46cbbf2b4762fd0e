"""The providers: one row each.

A provider is a base URL, the protocols it speaks with their paths, a way to authenticate, and named deviations from
the protocols (``quirks``, which the protocol writers and readers know). Adding an OpenAI-compatible provider is one
row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Protocol = Literal["responses", "chat_completions", "messages"]
AuthScheme = Literal["bearer", "x_api_key"]


@dataclass(frozen=True, slots=True)
class Provider:
    """One row. ``protocols`` are in order of preference for a caller that speaks none of them. ``paths`` are joined
    to the base URL. ``key_variables`` are the vendor's own environment names; the gateway's ``HEADGATE_<SLUG>_API_KEY``
    goes before them. The vendors' base URL variables are not read: developers point those at this gateway."""

    slug: str
    display_name: str
    base_url: str
    protocols: tuple[Protocol, ...]
    paths: Mapping[str, str]
    auth: AuthScheme
    aliases: tuple[str, ...] = ()
    key_variables: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    quirks: frozenset[str] = frozenset()

    def variable(self, name: str) -> str:
        """The gateway's own environment variable for this provider: ``HEADGATE_OPENAI_API_KEY``."""
        return f"HEADGATE_{self.slug.upper().replace('-', '_')}_{name}"


PROVIDERS: dict[str, Provider] = {
    row.slug: row
    for row in (
        Provider(
            slug="openai",
            display_name="OpenAI",
            aliases=("open-ai", "oai"),
            base_url="https://api.openai.com/v1",
            protocols=("responses", "chat_completions"),
            paths={
                "responses": "/responses",
                "chat_completions": "/chat/completions",
                "responses.count": "/responses/input_tokens",
            },
            auth="bearer",
            key_variables=("OPENAI_API_KEY",),
        ),
        Provider(
            slug="anthropic",
            display_name="Anthropic",
            aliases=("anthropic-ai",),
            base_url="https://api.anthropic.com",
            protocols=("messages",),
            paths={"messages": "/v1/messages", "messages.count": "/v1/messages/count_tokens"},
            auth="x_api_key",
            # Translated requests use the older version on purpose: it still takes temperature, top_p and top_k.
            headers={"anthropic-version": "2023-06-01"},
            key_variables=("ANTHROPIC_API_KEY",),
        ),
    )
}

ALIASES: dict[str, str] = {alias: row.slug for row in PROVIDERS.values() for alias in (row.slug, *row.aliases)}


def find_provider(name: str) -> Provider | None:
    """The row for a slug or one of its aliases."""
    slug = ALIASES.get(name.lower())
    return PROVIDERS[slug] if slug else None

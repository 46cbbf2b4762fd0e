"""What a provider is: base addresses, protocols with their paths, a way to authenticate, and named deviations.

The rows themselves stand in ``rows``. Adding an OpenAI-compatible provider is one row there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Protocol = Literal["responses", "chat_completions", "messages", "gemini", "converse", "cohere"]

AuthScheme = Literal["bearer", "x_api_key", "x_goog_api_key", "google", "azure", "aws"]
"""How a secret travels. ``google``: the secret is a credentials file's JSON, exchanged for a token. ``azure``: a key,
or the JSON of an Entra application, exchanged for a token. ``aws``: a Bedrock key, or no secret and SigV4."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A part of a provider's addresses that the deployment decides. ``variables`` are the vendor's own environment
    names, the gateway's ``HEADGATE_<SLUG>_<NAME>`` goes before them. Without a value and a ``default`` the provider
    cannot be reached and counts as not configured."""

    variables: tuple[str, ...] = ()
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """One row.

    ``protocols`` are in order of preference for a caller that speaks none of them. ``paths`` are joined to the base
    URL; ``<protocol>.json`` is used for answers that do not stream where it differs, ``<protocol>.count`` counts
    tokens. Base URL and paths may name ``{settings}``, paths also ``{model}``. An empty base URL must be given by
    ``HEADGATE_<SLUG>_BASE_URL``.

    ``key_variables`` are the vendor's own environment names; the gateway's ``HEADGATE_<SLUG>_API_KEY`` goes before
    them. The vendors' base URL variables are not read: developers point those at this gateway.

    ``quirks`` are known by the protocols, ``renamed`` and ``refused`` are Chat Completions fields that the vendor
    calls otherwise or answers with an error (the latter also of Messages), ``refused_responses`` the same of
    Responses. ``cache_header``: where a Chat Completions request says which conversation it belongs to, for a vendor
    that reads it there. ``optional``: protocols that are spoken only where ``HEADGATE_<SLUG>_PROTOCOLS`` names them.
    ``variants``: a model's name may end with a colon and a word that is part of the vendor's own id. ``betas``: the
    ``anthropic-beta`` values that it takes for a Claude model, with its own names for them; None: any. ``simulated``:
    the protocols that the simulated provider of this name speaks. ``with_key``: the row that holds instead where the
    secret is a plain key and not a JSON document.
    """

    slug: str
    display_name: str
    base_url: str
    protocols: tuple[Protocol, ...] = ("chat_completions",)
    paths: Mapping[str, str] = field(default_factory=lambda: {"chat_completions": "/chat/completions"})
    auth: AuthScheme = "bearer"
    aliases: tuple[str, ...] = ()
    key_variables: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    settings: Mapping[str, Setting] = field(default_factory=dict[str, Setting])
    quirks: frozenset[str] = frozenset()
    renamed: Mapping[str, str] = field(default_factory=dict[str, str])
    refused: frozenset[str] = frozenset()
    refused_responses: frozenset[str] = frozenset()
    cache_header: str | None = None
    optional: frozenset[Protocol] = frozenset()
    variants: bool = False
    betas: Mapping[str, str] | None = None
    simulated: tuple[Protocol, ...] = ()
    with_key: Provider | None = None

    def variable(self, name: str) -> str:
        """The gateway's own environment variable for this provider: ``HEADGATE_OPENAI_API_KEY``."""
        return f"HEADGATE_{self.slug.upper().replace('-', '_')}_{name.upper()}"


def index(rows: tuple[Provider, ...]) -> tuple[dict[str, Provider], dict[str, str]]:
    """(rows by slug, slugs by lower-case slug and alias). Raises ValueError where two rows want the same name."""
    by_slug: dict[str, Provider] = {}
    names: dict[str, str] = {}
    for row in rows:
        for name in (row.slug, *row.aliases):
            if name in names:
                raise ValueError(f"{name!r} names both {names[name]!r} and {row.slug!r}")
            names[name] = row.slug
        by_slug[row.slug] = row
    return by_slug, names

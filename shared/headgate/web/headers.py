"""Which headers go to an upstream: our credentials and the few of the client's that change what it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.providers.betas import asked_betas, converse_betas, countable, platform_betas
from headgate.routing.candidates import Candidate

# Betas that this gateway fulfils itself and the upstream must not see.
OWN_BETAS = frozenset({"message-threads-2026-08-12"})


def client_betas(client: Mapping[str, str], spoken: str) -> list[str]:
    """The betas that a client of the Messages API asked for, without those that are ours to fulfil."""
    if spoken != "messages":
        return []
    return [beta for beta in asked_betas(client.get("anthropic-beta", "")) if beta not in OWN_BETAS]


def body_betas(candidate: Candidate, client: Mapping[str, str], spoken: str) -> list[str]:
    """The client's betas that go into the body of a request for a Claude model, where the protocol has them there."""
    if candidate.model.author != "anthropic":
        return []
    return converse_betas(candidate.access.provider, candidate.protocol, client_betas(client, spoken))


def upstream_headers(
    candidate: Candidate,
    client: Mapping[str, str],
    spoken: str,
    body: Mapping[str, Any] | None = None,
    *,
    counting: bool = False,
) -> dict[str, str]:
    """Headers for one call with ``body``. A relayed Messages request carries the client's API version and betas on; a
    translated one has the provider row's. The client's own credentials never travel."""
    headers = dict(candidate.access.headers)
    provider = candidate.access.provider
    if candidate.protocol != "messages":
        return headers
    # A cloud platform knows one version and few betas, and refuses the others.
    if spoken == "messages" and provider.betas is None and (version := client.get("anthropic-version")):
        headers["anthropic-version"] = version
    asked = client_betas(client, spoken)
    betas = countable(provider, asked) if counting else platform_betas(provider, asked, body)
    if betas:
        headers["anthropic-beta"] = ",".join(betas)
    return headers


_LIMITS = ("x-ratelimit-", "anthropic-ratelimit-", "ratelimit-")


def rate_limits(upstream: Mapping[str, str]) -> dict[str, str]:
    """The headers of an upstream's refusal in which it tells its limits, under the names that its clients know."""
    return {name.lower(): value for name, value in upstream.items() if name.lower().startswith(_LIMITS)}

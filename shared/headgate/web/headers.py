"""Which headers go to an upstream: our credentials and the few of the client's that change what it does."""

from __future__ import annotations

from collections.abc import Mapping

from headgate.routing.candidates import Candidate

# Betas that this gateway fulfils itself and the upstream must not see.
OWN_BETAS = frozenset({"message-threads-2026-08-12"})


def upstream_headers(candidate: Candidate, client: Mapping[str, str], spoken: str) -> dict[str, str]:
    """Headers for one call. A relayed Messages request carries the client's API version and betas on; a translated one
    has the provider row's. The client's own credentials never travel."""
    headers = dict(candidate.access.headers)
    if candidate.protocol == "messages" == spoken:
        # A cloud platform knows one version and few betas, and refuses the others.
        known = candidate.access.provider.betas
        if known is None and (version := client.get("anthropic-version")):
            headers["anthropic-version"] = version
        betas = [beta.strip() for beta in client.get("anthropic-beta", "").split(",")]
        betas = [beta for beta in dict.fromkeys(betas) if beta and beta not in OWN_BETAS]
        betas = [beta for beta in betas if known is None or beta in known]
        if betas:
            headers["anthropic-beta"] = ",".join(betas)
    return headers

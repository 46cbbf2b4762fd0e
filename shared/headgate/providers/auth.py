"""Credentials of the providers, and how each kind travels.

A credential is looked for in this order: the gateway's own environment variable, the vendor's, the SSM SecureString
at ``<prefix><slug>`` (deployed), and, only where a simulation is configured, the simulated provider. What was found is
kept for ``CACHE_SECONDS``; a provider without any is not served.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from headgate.providers.table import Protocol, Provider

CACHE_SECONDS = 300.0

ReadSecret = Callable[[str], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one provider now: its base URL, the headers that authenticate, the protocols in use. ``label``
    names the credential in logs without giving it away. ``simulated`` marks a stand-in."""

    provider: Provider
    base_url: str
    headers: Mapping[str, str]
    protocols: tuple[Protocol, ...]
    label: str
    simulated: bool = False

    def url(self, path: str) -> str:
        """The address of one of the provider's paths (``responses``, ``messages.count`` …)."""
        return self.base_url.rstrip("/") + self.provider.paths[path]


def authorization(provider: Provider, secret: str) -> dict[str, str]:
    """The headers that carry ``secret`` to the provider."""
    if provider.auth == "x_api_key":
        return {"x-api-key": secret}
    return {"authorization": f"Bearer {secret}"}


class Credentials:
    """Finds and keeps the providers' credentials.

    environ: the process environment. read_secret: fetches one SSM parameter by name, None where there is none.
    prefix: SSM path prefix, None outside AWS. simulated_url: base of the simulated providers, None in production.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        read_secret: ReadSecret | None = None,
        prefix: str | None = None,
        simulated_url: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environ = environ
        self._read_secret = read_secret
        self._prefix = prefix
        self._simulated_url = simulated_url
        self._clock = clock
        self._kept: dict[str, tuple[float, Access | None]] = {}

    async def access(self, provider: Provider) -> Access | None:
        """How to reach ``provider``; None where it has no credentials. Raises what ``read_secret`` raises."""
        kept = self._kept.get(provider.slug)
        if kept and self._clock() - kept[0] < CACHE_SECONDS:
            return kept[1]
        access = await self._find(provider)
        self._kept[provider.slug] = (self._clock(), access)
        return access

    def clear(self) -> None:
        """Forget what was found, as after the restoring of a snapshot."""
        self._kept.clear()

    async def _find(self, provider: Provider) -> Access | None:
        secret = self._first(provider.variable("API_KEY"), *provider.key_variables)
        label = "environment"
        if secret is None and self._prefix and self._read_secret:
            secret = await self._read_secret(self._prefix + provider.slug)
            label = "ssm"
        base_url = self._first(provider.variable("BASE_URL"))
        if secret is None and base_url is None:
            if self._simulated_url is None:
                return None
            path = provider.base_url.partition("://")[2].partition("/")[2]
            simulated = "/".join(part for part in (self._simulated_url.rstrip("/"), provider.slug, path) if part)
            headers = authorization(provider, "simulated") | dict(provider.headers)
            return Access(provider, simulated, headers, self._protocols(provider), "simulated", simulated=True)
        # A base URL of one's own may need no key at all (a server on the same network).
        headers = authorization(provider, secret) if secret else {}
        return Access(
            provider,
            base_url or provider.base_url,
            headers | dict(provider.headers),
            self._protocols(provider),
            label if secret else "none",
        )

    def _protocols(self, provider: Provider) -> tuple[Protocol, ...]:
        """All that the row names, or the part that ``HEADGATE_<SLUG>_PROTOCOLS`` leaves (a compatible server that
        has only Chat Completions, say)."""
        wanted = self._environ.get(provider.variable("PROTOCOLS"))
        if not wanted:
            return provider.protocols
        names = {name.strip() for name in wanted.split(",")}
        return tuple(protocol for protocol in provider.protocols if protocol in names)

    def _first(self, *names: str) -> str | None:
        return next((self._environ[name] for name in names if self._environ.get(name)), None)

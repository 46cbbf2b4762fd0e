"""Credentials of the providers, and how each kind travels.

A credential is looked for in this order: the gateway's own environment variable, the vendor's, the SSM SecureString
at ``<prefix><slug>`` (deployed), and, only where a simulation is configured, the simulated provider. What was found is
kept for ``CACHE_SECONDS``; a provider without any is not served.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from urllib.parse import quote

from headgate.providers import auth_tokens
from headgate.providers.auth_tokens import Authorize, CredentialFault
from headgate.providers.table import Protocol, Provider

CACHE_SECONDS = 300.0

ReadSecret = Callable[[str], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one provider now: its base URL, the headers that authenticate, the protocols in use. ``label``
    names the credential in logs without giving it away. ``simulated`` marks a stand-in. ``authorize`` makes further
    headers for each call. ``settings`` fill the addresses. ``model_ids``: the deployment's own ids of catalogue
    models (Azure deployments, Bedrock inference profiles); ``only_named`` where no others exist there. ``profile``:
    the Bedrock inference profile to prefer."""

    provider: Provider
    base_url: str
    headers: Mapping[str, str]
    protocols: tuple[Protocol, ...]
    label: str
    simulated: bool = False
    authorize: Authorize | None = None
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    model_ids: Mapping[str, str] = field(default_factory=dict[str, str])
    only_named: bool = False
    profile: str = "global"

    def url(self, path: str, model: str = "", *, stream: bool = True) -> str:
        """The address of one of the provider's paths (``responses``, ``messages.count`` …) for ``model``."""
        paths = self.provider.paths
        template = paths.get(f"{path}.json", paths[path]) if not stream else paths[path]
        # Vertex has model versions behind an @; everything else, Bedrock's colons and ARNs too, is escaped.
        return self.base_url.rstrip("/") + template.format(model=quote(model, safe="@"), **self.settings)

    async def authorized(self, url: str, body: bytes, headers: Mapping[str, str]) -> Mapping[str, str]:
        """``headers`` with those that authenticate this one call. Raises CredentialFault."""
        if self.authorize is None:
            return headers
        return {**headers, **await self.authorize(url, body)}


def authorization(provider: Provider, secret: str) -> dict[str, str]:
    """The headers that carry a plain ``secret`` to the provider."""
    match provider.auth:
        case "x_api_key":
            return {"x-api-key": secret}
        case "x_goog_api_key":
            return {"x-goog-api-key": secret}
        case "azure":
            return {"api-key": secret}
        case _:
            return {"authorization": f"Bearer {secret}"}


class Credentials:
    """Finds and keeps the providers' credentials.

    environ: the process environment. read_secret: fetches one SSM parameter by name, None where there is none.
    prefix: SSM path prefix, None outside AWS. simulated_url: base of the simulated providers, None in production.
    ``HEADGATE_PROVIDERS`` limits the providers to those it lists.
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
        self._tokens: dict[tuple[str, str], Authorize] = {}
        allowed = environ.get("HEADGATE_PROVIDERS", "")
        self._allowed = {name.strip() for name in allowed.split(",") if name.strip()}

    async def access(self, provider: Provider) -> Access | None:
        """How to reach ``provider``; None where it has no credentials. Raises what ``read_secret`` raises, and
        CredentialFault for credentials that are malformed."""
        kept = self._kept.get(provider.slug)
        if kept and self._clock() - kept[0] < CACHE_SECONDS:
            return kept[1]
        access = None if self._allowed and provider.slug not in self._allowed else await self._find(provider)
        self._kept[provider.slug] = (self._clock(), access)
        return access

    def clear(self) -> None:
        """Forget what was found, as after the restoring of a snapshot."""
        self._kept.clear()
        self._tokens.clear()

    async def _find(self, row: Provider) -> Access | None:
        secret = self._given(row)
        label = "environment"
        if secret is None and self._prefix and self._read_secret:
            secret = await self._read_secret(self._prefix + row.slug)
            label = "ssm"
        base_url = self._first(row.variable("BASE_URL"))
        signed = row.auth == "aws" and secret is None and bool(self._first(row.variable("REGION")))
        if secret is None and base_url is None and not signed:
            return self._simulated(row)
        if row.with_key is not None and not (secret or "").startswith("{"):
            row = row.with_key
        settings = self._settings(row, secret)
        if not (base_url or row.base_url) or not _named(row, with_base=not base_url) <= settings.keys():
            return None
        # A base URL of one's own may need no key at all (a server on the same network).
        headers, authorize = self._authentication(row, secret, settings, signed=signed)
        ids = self._model_ids(row)
        return Access(
            row,
            base_url or row.base_url.format(**settings),
            headers | dict(row.headers),
            self._protocols(row),
            label if secret else ("aws" if signed else "none"),
            authorize=authorize,
            settings=settings,
            model_ids=ids,
            only_named=row.auth == "azure" and bool(ids),
            profile=self._first(row.variable("PROFILE")) or "global",
        )

    def _given(self, row: Provider) -> str | None:
        """The secret in the environment: a key, or what the vendor's own tools find their credentials by."""
        own = self._first(row.variable("API_KEY"))
        if own is not None:
            return own
        if row.auth == "google" and (file := self._first("GOOGLE_APPLICATION_CREDENTIALS")):
            try:
                return Path(file).read_text()
            except OSError:
                raise CredentialFault("The file of GOOGLE_APPLICATION_CREDENTIALS cannot be read.") from None
        key = self._first(*row.key_variables)
        names = ("tenant_id", "client_id", "client_secret")
        if key is None and row.auth == "azure" and all(self._first(f"AZURE_{name.upper()}") for name in names):
            return json.dumps({name: self._environ[f"AZURE_{name.upper()}"] for name in names})
        return key

    def _authentication(
        self, row: Provider, secret: str | None, settings: Mapping[str, str], *, signed: bool
    ) -> tuple[dict[str, str], Authorize | None]:
        """(headers that never change, what makes the others)."""
        if signed:
            return {}, self._kept_token(row, "", lambda: auth_tokens.aws(settings["region"]))
        if secret is None:
            return {}, None
        if row.auth == "google":
            info = auth_tokens.parsed(secret, row.slug)
            return {}, self._kept_token(row, secret, lambda: auth_tokens.google(info))
        if row.auth == "azure" and secret.startswith("{"):
            info = auth_tokens.parsed(secret, row.slug)
            return {}, self._kept_token(row, secret, lambda: auth_tokens.entra(info))
        return authorization(row, secret), None

    def _kept_token(self, row: Provider, secret: str, make: Callable[[], Authorize]) -> Authorize:
        """The same maker for the same secret: a token outlives the time for which credentials are kept."""
        key = (row.slug, secret)
        if key not in self._tokens:
            self._tokens[key] = make()
        return self._tokens[key]

    def _settings(self, row: Provider, secret: str | None) -> dict[str, str]:
        """The values for the placeholders in the row's addresses, as far as they are known."""
        found: dict[str, str] = {}
        for name, setting in row.settings.items():
            value = self._first(row.variable(name), *setting.variables) or setting.default
            if value is None and row.auth == "google" and name == "project" and secret:
                value = auth_tokens.parsed(secret, row.slug).get("project_id")
            if value is not None:
                found[name] = value
        if row.auth == "google" and "location" in found:
            found["host"] = _google_host(found["location"])
        return found

    def _simulated(self, row: Provider) -> Access | None:
        if self._simulated_url is None or not row.simulated:
            return None
        path = row.base_url.partition("://")[2].partition("/")[2]
        base = "/".join(part for part in (self._simulated_url.rstrip("/"), row.slug, path) if part)
        return Access(
            row,
            base,
            authorization(row, "simulated") | dict(row.headers),
            tuple(protocol for protocol in self._protocols(row) if protocol in row.simulated),
            "simulated",
            simulated=True,
            settings=dict.fromkeys(row.settings, "simulated"),
        )

    def _protocols(self, row: Provider) -> tuple[Protocol, ...]:
        """All that the row names but the optional ones, or the part of all that ``HEADGATE_<SLUG>_PROTOCOLS`` leaves (a
        compatible server that has only Chat Completions, say)."""
        wanted = self._environ.get(row.variable("PROTOCOLS"))
        if not wanted:
            return tuple(protocol for protocol in row.protocols if protocol not in row.optional)
        names = {name.strip() for name in wanted.split(",")}
        return tuple(protocol for protocol in row.protocols if protocol in names)

    def _model_ids(self, row: Provider) -> dict[str, str]:
        """``HEADGATE_<SLUG>_MODEL_IDS``: ``catalogue id=own id`` pairs, separated by commas."""
        pairs = (pair.partition("=") for pair in self._environ.get(row.variable("MODEL_IDS"), "").split(","))
        return {theirs.strip(): own.strip() for theirs, _, own in pairs if theirs.strip() and own.strip()}

    def _first(self, *names: str) -> str | None:
        return next((self._environ[name] for name in names if self._environ.get(name)), None)


def _named(row: Provider, *, with_base: bool) -> set[str]:
    """The settings that a row's addresses cannot do without."""
    templates = [*row.paths.values(), *([row.base_url] if with_base else [])]
    return {name for each in templates for _, name, _, _ in Formatter().parse(each) if name} - {"model"}


def _google_host(location: str) -> str:
    """Vertex AI's server for a location: the global one, a multi-region's (``us``, ``eu``) or a region's."""
    if location == "global":
        return "aiplatform.googleapis.com"
    if "-" not in location:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"

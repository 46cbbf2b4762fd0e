"""Credentials of the providers, and how each kind travels.

They are looked for in this order: the gateway's own environment variable, the vendor's, SSM SecureStrings (deployed),
and, only where a simulation is configured, the simulated provider. A provider may have several: behind the first
variable ``HEADGATE_<SLUG>_API_KEY_2``, ``_3`` …, in SSM ``<prefix><slug>`` and every ``<prefix><slug>/<name>``; what
each may look like is said in ``credential_forms``. SSM is asked for all providers at once. What was found is kept for
``CACHE_SECONDS``; a provider without any is not served.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Formatter
from urllib.parse import quote

from headgate.providers import auth_tokens, bedrock_regions
from headgate.providers.auth_tokens import Authorize, CredentialFault
from headgate.providers.credential_forms import Given, public_id, read_form
from headgate.providers.table import Protocol, Provider

CACHE_SECONDS = 300.0

ReadPath = Callable[[str], Awaitable[Mapping[str, str]]]
"""A path to the parameters below it, by the rest of their names."""

_Found = tuple[str | None, str]
"""(a credential's text, None where it needs no secret; where it was found)."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach one provider now with one of its credentials: its base URL, the headers that authenticate, the
    protocols in use. ``label`` says where the credential was found; ``id`` names it in logs and tokens without giving
    it away (``credential_forms.public_id``). ``simulated`` marks a stand-in. ``authorize`` makes further
    headers for each call. ``settings`` fill the addresses. ``timeouts``: seconds by the names of ``settings.Timeouts``,
    where the provider has its own. ``model_ids``: the deployment's own ids of catalogue models (Azure deployments,
    Bedrock inference profiles); ``only_named`` where no others exist there. ``profile``: the Bedrock inference profile
    to prefer."""

    provider: Provider
    base_url: str
    headers: Mapping[str, str]
    protocols: tuple[Protocol, ...]
    label: str
    id: str
    simulated: bool = False
    authorize: Authorize | None = None
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    timeouts: Mapping[str, float] = field(default_factory=dict[str, float])
    model_ids: Mapping[str, str] = field(default_factory=dict[str, str])
    only_named: bool = False
    profile: str = "global"

    def url(self, path: str, model: str = "", *, stream: bool = True) -> str:
        """The address of one of the provider's paths (``responses``, ``messages.count`` …) for ``model``."""
        paths = self.provider.paths
        template = paths.get(f"{path}.json", paths[path]) if not stream else paths[path]
        # Vertex has model versions behind an @; everything else, Bedrock's colons and ARNs too, is escaped.
        return self.base_url.rstrip("/") + template.format(model=quote(model, safe="@"), **self.settings)

    def located(self, location: str) -> Access:
        """The same at a ``location`` of Vertex AI, for a model that is there alone. Only ``global``, which promises no
        place, gives way to it."""
        if not location or self.settings.get("location") != "global":
            return self
        settings = {**self.settings, "location": location, "host": google_host(location)}
        own = self.base_url != self.provider.base_url.format(**self.settings)
        base_url = self.base_url if own else self.provider.base_url.format(**settings)
        return replace(self, base_url=base_url, settings=settings)

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

    environ: the process environment. read_path: fetches the SSM parameters below a path. prefix: that path, None
    outside AWS. simulated_url: base of the simulated providers, None in production. report: is told of a credential
    that cannot be used while another of its provider can. ``HEADGATE_PROVIDERS`` limits the providers to those it
    lists.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        read_path: ReadPath | None = None,
        prefix: str | None = None,
        simulated_url: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        report: Callable[[str], None] | None = None,
    ) -> None:
        self._environ = environ
        self._read_path = read_path
        self._prefix = prefix
        self._simulated_url = simulated_url
        self._clock = clock
        self._report = report
        self._kept: dict[str, tuple[float, tuple[Access, ...]]] = {}
        self._stored: tuple[float, Mapping[str, str]] | None = None
        self._reading: asyncio.Future[Mapping[str, str]] | None = None
        self._tokens: dict[tuple[str, str], Authorize] = {}
        allowed = environ.get("HEADGATE_PROVIDERS", "")
        self._allowed = {name.strip() for name in allowed.split(",") if name.strip()}

    async def access(self, provider: Provider) -> Access | None:
        """How to reach ``provider`` with its first credential; None where it has none. Raises as ``accesses``."""
        return next(iter(await self.accesses(provider)), None)

    async def accesses(self, provider: Provider) -> tuple[Access, ...]:
        """How to reach ``provider`` with each of its credentials, in the order in which they are configured; empty
        where it has none. Raises what ``read_path`` raises, and CredentialFault where none can be used because they
        are malformed."""
        if self._allowed and provider.slug not in self._allowed:
            return ()
        kept = self._kept.get(provider.slug)
        if kept and self._clock() - kept[0] < CACHE_SECONDS:
            return kept[1]
        bare, since = self._bare(provider), self._clock()
        given = self._environment(provider, bare)
        if not given and self._prefix and self._read_path:
            since, parameters = await self._parameters(self._prefix, self._read_path)
            given = [(text, "ssm") for text in _of_provider(provider.slug, parameters)]
        if not given and bare is not None:
            given = [bare]
        accesses = self._usable(provider, given)
        self._kept[provider.slug] = (since, accesses)
        return accesses

    def clear(self) -> None:
        """Forget what was found, as after the restoring of a snapshot."""
        self._kept.clear()
        self._tokens.clear()
        self._stored = self._reading = None

    async def _parameters(self, prefix: str, read_path: ReadPath) -> tuple[float, Mapping[str, str]]:
        """(since when they are known, every provider's parameters). Whoever asks while they are being read waits for
        the same reading, which goes on when the one who began it goes away."""
        stored = self._stored
        if stored and self._clock() - stored[0] < CACHE_SECONDS:
            return stored
        if self._reading is None:
            self._reading = asyncio.ensure_future(read_path(prefix))
            self._reading.add_done_callback(self._read)
        parameters = await asyncio.shield(self._reading)
        return self._clock(), parameters

    def _read(self, reading: asyncio.Future[Mapping[str, str]]) -> None:
        # Asked for also where nobody waits any more: an exception that nobody takes is complained of.
        failed = reading.cancelled() or reading.exception() is not None
        if self._reading is reading:
            self._reading = None
            if not failed:
                self._stored = (self._clock(), reading.result())

    def _usable(self, row: Provider, given: Sequence[_Found]) -> tuple[Access, ...]:
        """Those of the credentials that can be used, each once; a simulation where there are none at all. Raises
        CredentialFault where malformed ones are all there is."""
        if not given:
            simulated = self._simulated(row)
            return () if simulated is None else (simulated,)
        usable: dict[str, Access] = {}
        faults: list[CredentialFault] = []
        for text, source in given:
            try:
                access = self._access(row, Given(None, source) if text is None else read_form(row, text, source))
            except CredentialFault as fault:
                faults.append(fault)
                continue
            if access is not None:
                usable.setdefault(access.id, access)
        if faults and not usable:
            raise faults[0]
        if self._report is not None:
            for fault in faults:
                self._report(str(fault))
        return tuple(usable.values())

    def _bare(self, row: Provider) -> _Found | None:
        """What needs no secret: the function's role at Bedrock, where a region consents to it, or a base URL of one's
        own, which may need no key at all (a server on the same network)."""
        if row.auth == "aws" and self._first(row.variable("REGION")):
            return None, "aws"
        return (None, "none") if self._first(row.variable("BASE_URL")) else None

    def _access(self, row: Provider, given: Given) -> Access | None:
        """How to reach the provider with one credential; None where an address lacks a setting. Raises
        CredentialFault."""
        secret, slug = given.secret, row.slug
        base_url = given.own.get("base_url") or self._first(row.variable("BASE_URL"))
        signed = row.auth == "aws" and given.source == "aws"
        if row.with_key is not None and not (secret or "").startswith("{"):
            row = row.with_key
        settings = self._settings(row, given)
        if not (base_url or row.base_url) or not _named(row, with_base=not base_url) <= settings.keys():
            return None
        headers, authorize = self._authentication(row, secret, settings, signed=signed)
        ids = given.own.get("model_ids") or self._model_ids(row)
        return Access(
            row,
            base_url or row.base_url.format(**settings),
            headers | dict(row.headers),
            self._protocols(row),
            given.source,
            public_id(slug, given, settings["region"] if signed else None),
            authorize=authorize,
            settings=settings,
            timeouts=self._timeouts(row),
            model_ids=ids,
            only_named=row.auth == "azure" and bool(ids),
            profile=self._profile(row, given, settings),
        )

    def _timeouts(self, row: Provider) -> dict[str, float]:
        """The provider's own limits: ``HEADGATE_<SLUG>_FIRST_BYTE_TIMEOUT`` and so on. Raises CredentialFault."""
        found: dict[str, float] = {}
        for name in ("connect", "first_byte", "idle", "total"):
            variable = row.variable(f"{name}_timeout")
            given = self._first(variable)
            if given is None:
                continue
            if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", given) or not float(given):
                raise CredentialFault(f"{variable} must be a number of seconds, not {given!r}.")
            found[name] = float(given)
        return found

    def _environment(self, row: Provider, bare: _Found | None) -> list[_Found]:
        """The credentials of the environment; ``bare`` stands for a first one that is not there."""
        first, name = self._given(row), row.variable("API_KEY")
        numbered = (self._first(f"{name}_{number}") for number in itertools.count(2))
        further: list[_Found] = [(text, "environment") for text in itertools.takewhile(bool, numbered)]
        if first is not None:
            return [(first, "environment"), *further]
        return [bare, *further] if bare is not None and further else further

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
            region = settings["region"]
            return {}, self._kept_token(row, region, lambda: auth_tokens.aws(region))
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

    def _settings(self, row: Provider, given: Given) -> dict[str, str]:
        """The values for the placeholders in the row's addresses, as far as they are known."""
        found: dict[str, str] = {}
        for name, setting in row.settings.items():
            value = given.own.get(name) or self._first(row.variable(name), *setting.variables) or setting.default
            if value is None and row.auth == "google" and name == "project" and given.secret:
                value = auth_tokens.parsed(given.secret, row.slug).get("project_id")
            if value is not None:
                found[name] = value
        if row.auth == "google" and "location" in found:
            found["host"] = google_host(found["location"])
        return found

    def _simulated(self, row: Provider) -> Access | None:
        if self._simulated_url is None or not row.simulated:
            return None
        settings = dict.fromkeys(row.settings, "simulated")
        path = row.base_url.partition("://")[2].partition("/")[2].format(**settings)
        base = "/".join(part for part in (self._simulated_url.rstrip("/"), row.slug, path) if part)
        return Access(
            row,
            base,
            authorization(row, "simulated") | dict(row.headers),
            tuple(protocol for protocol in self._protocols(row) if protocol in row.simulated),
            "simulated",
            "simulated",
            simulated=True,
            settings=settings,
        )

    def _protocols(self, row: Provider) -> tuple[Protocol, ...]:
        """All that the row names but the optional ones, or the part of all that ``HEADGATE_<SLUG>_PROTOCOLS`` leaves (a
        compatible server that has only Chat Completions, say)."""
        wanted = self._environ.get(row.variable("PROTOCOLS"))
        if not wanted:
            return tuple(protocol for protocol in row.protocols if protocol not in row.optional)
        names = {name.strip() for name in wanted.split(",")}
        return tuple(protocol for protocol in row.protocols if protocol in names)

    def _profile(self, row: Provider, given: Given, settings: Mapping[str, str]) -> str:
        """The credential's own or ``HEADGATE_BEDROCK_PROFILE``, see ``bedrock_regions.choose``. Raises CredentialFault
        for one that the region does not have: every call would fail."""
        wanted = given.own.get("profile") or self._first(row.variable("PROFILE")) or bedrock_regions.GLOBAL
        if row.auth != "aws" or wanted in (bedrock_regions.GLOBAL, bedrock_regions.GEOGRAPHIC, bedrock_regions.NONE):
            return wanted
        region = settings.get("region", "")
        if not bedrock_regions.callable_from(wanted, region):
            variable = row.variable("PROFILE")
            raise CredentialFault(f"{variable} {wanted!r} is no inference profile that {region} can call.")
        return wanted

    def _model_ids(self, row: Provider) -> dict[str, str]:
        """``HEADGATE_<SLUG>_MODEL_IDS``: ``catalogue id=own id`` pairs, separated by commas."""
        pairs = (pair.partition("=") for pair in self._environ.get(row.variable("MODEL_IDS"), "").split(","))
        return {theirs.strip(): own.strip() for theirs, _, own in pairs if theirs.strip() and own.strip()}

    def _first(self, *names: str) -> str | None:
        return next((self._environ[name] for name in names if self._environ.get(name)), None)


def _of_provider(slug: str, parameters: Mapping[str, str]) -> list[str]:
    """The values for one provider: its own parameter's first, those below it in the order of their names."""
    names = sorted(name for name in parameters if name == slug or name.startswith(f"{slug}/"))
    return [parameters[name] for name in names if parameters[name]]


def _named(row: Provider, *, with_base: bool) -> set[str]:
    """The settings that a row's addresses cannot do without."""
    templates = [*row.paths.values(), *([row.base_url] if with_base else [])]
    return {name for each in templates for _, name, _, _ in Formatter().parse(each) if name} - {"model"}


def google_host(location: str) -> str:
    """Vertex AI's server for a location: the global one, a multi-region's (``us``, ``eu``) or a region's."""
    if location == "global":
        return "aiplatform.googleapis.com"
    if "-" not in location:
        return f"aiplatform.{location}.rep.googleapis.com"
    return f"{location}-aiplatform.googleapis.com"

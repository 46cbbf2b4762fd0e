"""From the model name a client wrote to the routes that may serve it, in the order in which they are tried.

Each step is a small function over values. A step that leaves nothing raises the error that says why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from headgate.catalog.catalog import Catalog, Model, Route, split_name
from headgate.errors import GatewayError, forbidden, invalid_request
from headgate.protocols.contract import Target
from headgate.providers.auth import Access, Credentials
from headgate.providers.auth_tokens import CredentialFault
from headgate.providers.rows import PROVIDERS
from headgate.providers.table import Protocol
from headgate.routing.options import RoutingOptions
from headgate.routing.selectors import Leaf

_VARIANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to serve the request. ``model`` is the catalogue's, ``route`` the provider's offer of it, ``access``
    how to reach that provider with one of its credentials, ``protocol`` what will be spoken to it. ``leaf``: the
    part of a composite selector that it serves, where that asks it in a way of its own."""

    model: Model
    route: Route
    access: Access
    protocol: Protocol
    leaf: Leaf | None = None

    @property
    def label(self) -> str:
        """``provider/slug``, the name that answers and logs carry."""
        return f"{self.route.provider}/{self.model.slug}"

    @property
    def slug(self) -> str:
        """The model's canonical name."""
        return self.model.slug

    def target(self) -> Target:
        """What the protocol writers need to know of it."""
        return replace(self.route.target(), credential=self.access.id)


def resolve(name: str, catalog: Catalog) -> list[tuple[Model, Route]]:
    """The (model, route) pairs that ``name`` stands for: a slug, an alias, ``provider/slug`` (that provider first,
    the model's others behind it; ``slug:variant`` where the provider has such), or ``auto``. Raises 400
    ``model_not_found``."""
    if name == "auto":
        pool = [model for slug in catalog.auto if (model := catalog.find(slug))]
        return [(model, route) for model in pool for route in model.routes]
    model = catalog.find(name)
    pinned: str | None = None
    variant = ""
    if model is None:
        pinned, rest = split_name(name)
        if pinned:
            model, variant = _at(pinned, rest, catalog)
    if model is None:
        raise invalid_request(
            f"The model '{name}' does not exist. GET /v1/models lists the models of this gateway.",
            param="model",
            code="model_not_found",
        )
    routes = sorted(model.routes, key=lambda route: route.provider != pinned)
    if pinned and routes[0].provider != pinned:
        raise invalid_request(
            f"The model '{model.slug}' is not offered by provider '{pinned}'; it is by: "
            f"{', '.join(route.provider for route in routes)}.",
            param="model",
            code="model_not_found",
        )
    if variant:
        routes[0] = replace(routes[0], variant=variant)
    return [(model, route) for route in routes]


def is_pinned(name: str, catalog: Catalog) -> bool:
    """Whether ``name`` says which provider is to be asked first."""
    return name != "auto" and catalog.find(name) is None


def _at(provider: str, name: str, catalog: Catalog) -> tuple[Model | None, str]:
    """(the model, the variant) that ``name`` stands for behind a provider's prefix: our name or the vendor's own,
    where the vendor has variants also with one behind a colon."""
    model = catalog.find(name)
    if model is not None or not PROVIDERS[provider].variants:
        return model, ""
    base, colon, variant = name.partition(":")
    if colon and not _VARIANT.fullmatch(variant):
        return None, ""
    return catalog.find(base) or catalog.find_own(provider, base), variant


def allow_models(
    pairs: Sequence[tuple[Model, Route]], allows: Callable[[str, str], bool], name: str
) -> list[tuple[Model, Route]]:
    """The pairs that the key's policy permits; ``allows`` is asked with (provider, slug). Raises 403."""
    kept = [pair for pair in pairs if allows(pair[1].provider, pair[0].slug)]
    if not kept:
        raise forbidden(f"This API key may not use the model '{name}'.", code="model_not_allowed")
    return kept


def only_zero_retention(pairs: Sequence[tuple[Model, Route]]) -> list[tuple[Model, Route]]:
    """The pairs with certified zero data retention. Raises 422: the policy is absolute, never a preference."""
    kept = [pair for pair in pairs if pair[1].zdr]
    if not kept:
        raise GatewayError(
            422,
            "invalid_request_error",
            "zero_data_retention",
            "Zero Data Retention (ZDR) is enabled, but there are no available providers or models that support it for "
            "this request.",
        )
    return kept


def only_permitted(pairs: Sequence[tuple[Model, Route]], options: RoutingOptions) -> list[tuple[Model, Route]]:
    """The pairs at providers that the request permits. Raises 400."""
    if not options.allow and not options.deny:
        return list(pairs)
    kept = [pair for pair in pairs if options.permits(pair[1].provider)]
    if not kept:
        offered = ", ".join(dict.fromkeys(route.provider for _, route in pairs))
        raise invalid_request(
            f"None of the providers that the request permits offers this model (offered by: {offered}).",
            param="routing.provider.fallbacks" if options.allow else "routing.provider.deny",
            code="no_eligible_provider",
        )
    return kept


async def reachable(
    pairs: Sequence[tuple[Model, Route]], credentials: Credentials, spoken: Protocol, name: str
) -> list[Candidate]:
    """The pairs whose provider has credentials, once for each of them in the order of configuration, with the protocol
    to speak: the caller's own where the provider has it, else the provider's first. Raises 503 where no provider is
    configured."""
    candidates: list[Candidate] = []
    accesses, faults = await _accesses(dict.fromkeys(route.provider for _, route in pairs), credentials)
    for model, offer in pairs:
        for access in accesses.get(offer.provider, ()):
            route = offer.at(access)
            if route is None:
                continue
            offered: list[Protocol] = [
                each for each in access.protocols if not route.protocols or each in route.protocols
            ]
            if offered:
                protocol = spoken if spoken in offered else offered[0]
                candidates.append(Candidate(model, route, access.located(route.location), protocol))
    if not candidates:
        providers = ", ".join(dict.fromkeys(route.provider for _, route in pairs))
        raise GatewayError(
            503,
            "service_unavailable",
            "provider_not_configured",
            f"No provider of the model '{name}' has credentials on this gateway (offered by: {providers})."
            + "".join(f" {fault}" for fault in faults),
            param="model",
        )
    return candidates


async def _accesses(slugs: Iterable[str], credentials: Credentials) -> tuple[Mapping[str, Sequence[Access]], list[str]]:
    """How to reach each of the providers that can be reached, and what is wrong with the credentials of others."""
    found: dict[str, Sequence[Access]] = {}
    faults: list[str] = []
    for slug in slugs:
        try:
            # One reading of the parameter store serves them all.
            found[slug] = await credentials.accesses(PROVIDERS[slug])
        except CredentialFault as fault:
            faults.append(str(fault))
    return found, faults

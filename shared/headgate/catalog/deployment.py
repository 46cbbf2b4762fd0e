"""The deployer's own catalogue entries: models added, changed or hidden without a new build.

A JSON object, all parts optional:

``models``   each with ``slug``; a new one with ``routes``, a known one with what changes: ``name``, ``author``,
             ``aliases`` (added) and ``routes`` (each replaces or adds the provider's, its fields over the old ones')
``hide``     slugs, ``provider/slug`` for one route, ``provider/*`` for all of a provider's
``auto``     the pool, best first
``authors``  display names

A route's ``price`` is in pico-dollars per token as in the catalogue, or ``usd_per_million`` in dollars; its ``zdr`` is
true, false or the address of the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from headgate.catalog.catalog import price_from
from headgate.providers.rows import PROVIDERS, find_provider

# What a chat model of a server that the deployer brought along most probably can; the route may say otherwise.
_DEFAULTS: dict[str, Any] = {
    "context_window": 128_000,
    "max_output_tokens": 16_384,
    "features": ["stream", "tools", "parallel_tools", "json_object", "json_schema", "sampling"],
    "thinking": "none",
}
_ROUTE_FIELDS = frozenset(
    {
        *_DEFAULTS,
        "provider",
        "model",
        "price",
        "usd_per_million",
        "efforts",
        "location",
        "performance",
        "zdr",
        "deprecated",
        "protocols",
        "quirks",
    }
)
_MODEL_FIELDS = frozenset({"slug", "name", "author", "aliases", "released", "routes"})


class BadOverlay(ValueError):
    """The deployer's catalogue holds something that cannot be meant; the message says where."""


def overlaid(data: Mapping[str, Any], overlay: Any) -> dict[str, Any]:
    """The catalogue's data with ``overlay`` put over it; neither is changed. Raises BadOverlay."""
    changes = _mapping(overlay, "the catalogue overlay")
    _only(changes, frozenset({"models", "hide", "auto", "authors"}), "the catalogue overlay")
    models = {model["slug"]: model for model in data["models"]}
    for at, raw in enumerate(_list(changes.get("models", []), "models")):
        change = _mapping(raw, f"models[{at}]")
        slug = change.get("slug")
        if not isinstance(slug, str) or not slug:
            raise BadOverlay(f"models[{at}] has no slug")
        models[slug] = _model(models.get(slug), change, slug)
    for name in _list(changes.get("hide", []), "hide"):
        _hide(models, name)
    auto = changes.get("auto", [slug for slug in data["auto"] if slug in models])
    unknown = [slug for slug in _list(auto, "auto") if slug not in models]
    if unknown:
        raise BadOverlay(f"auto: no such models: {unknown}")
    _names(models)
    ordered = sorted(models.values(), key=lambda model: (-model["released"], model["slug"]))
    authors = {**data["authors"], **_mapping(changes.get("authors", {}), "authors")}
    return {"authors": authors, "auto": list(auto), "models": ordered}


def _model(known: Mapping[str, Any] | None, change: Mapping[str, Any], slug: str) -> dict[str, Any]:
    _only(change, _MODEL_FIELDS, slug)
    base = known or {"name": slug, "author": "custom", "released": 0, "aliases": [], "routes": []}
    routes = {route["provider"]: route for route in base["routes"]}
    for raw in _list(change.get("routes", []), f"{slug}.routes"):
        fields = _mapping(raw, f"{slug}.routes")
        row = find_provider(str(fields.get("provider", "")))
        if row is None:
            raise BadOverlay(f"{slug}: no provider {fields.get('provider')!r}; there are {', '.join(PROVIDERS)}")
        routes[row.slug] = _route(routes.get(row.slug), {**fields, "provider": row.slug}, f"{row.slug}/{slug}", slug)
    if not routes:
        raise BadOverlay(f"{slug} is offered by nobody: give it routes")
    own = {name: change[name] for name in ("name", "author", "released") if name in change}
    aliases = sorted({*base["aliases"], *_list(change.get("aliases", []), f"{slug}.aliases")} - {slug})
    return {**base, **own, "slug": slug, "aliases": aliases, "routes": list(routes.values())}


def _route(known: Mapping[str, Any] | None, change: Mapping[str, Any], where: str, slug: str) -> dict[str, Any]:
    _only(change, _ROUTE_FIELDS, where)
    route = {**(known or {**_DEFAULTS, "model": slug}), **change}
    dollars = route.pop("usd_per_million", None)
    if dollars is not None:
        classes = _mapping(dollars, f"{where}.usd_per_million")
        route["price"] = {name: _pico(value, f"{where}.{name}") for name, value in classes.items()}
    price = _mapping(route.get("price"), f"{where}.price")
    try:
        price_from(price)
    except (ValueError, TypeError, KeyError) as error:
        raise BadOverlay(f"{where}: {error}") from None
    if "model" in change:
        # The profiles and the place were those of the model that stood here before.
        for name in {"profiles", "needs_profile", "location"} - change.keys():
            route.pop(name, None)
    elif "profiles" in route and known is not None and price != known["price"]:
        route["profiles"] = dict.fromkeys(route["profiles"])
    if "zdr" in change:
        zdr = change["zdr"]
        if not isinstance(zdr, bool | str):
            raise BadOverlay(f"{where}.zdr must be true, false or the address of a policy")
        route["zdr"] = zdr if isinstance(zdr, str) else "agreement" if zdr else ""
    for name in ("context_window", "max_output_tokens"):
        if type(route[name]) is not int or route[name] < 1:
            raise BadOverlay(f"{where}.{name} must be a positive whole number")
    return route


def _pico(value: Any, where: str) -> int:
    try:
        pico = Decimal(str(value)) * 10**6
    except InvalidOperation:
        raise BadOverlay(f"{where}: {value!r} is not a price") from None
    if isinstance(value, bool) or not pico.is_finite() or pico < 0 or pico != pico.to_integral_value():
        raise BadOverlay(f"{where}: {value!r} is not a price of whole pico-dollars per token")
    return int(pico)


def _hide(models: dict[str, Any], name: Any) -> None:
    """Take a model, one route of it, or all of a provider's away. Names that are not there are no error: the built-in
    catalogue changes from version to version."""
    if not isinstance(name, str):
        raise BadOverlay(f"hide: {name!r} is not a name")
    if name in models:
        del models[name]
        return
    provider, _, slug = name.partition("/")
    row = find_provider(provider)
    for each in list(models) if slug == "*" else [slug]:
        if row is None or each not in models:
            continue
        routes = [route for route in models[each]["routes"] if route["provider"] != row.slug]
        if routes:
            models[each] = {**models[each], "routes": routes}
        else:
            del models[each]


def _names(models: Mapping[str, Any]) -> None:
    owners = {slug: slug for slug in models}
    for slug, model in models.items():
        for alias in model["aliases"]:
            if owners.setdefault(alias, slug) != slug:
                raise BadOverlay(f"{alias!r} names both {owners[alias]} and {slug}")


def _only(fields: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    unknown = sorted(set(fields) - known)
    if unknown:
        raise BadOverlay(f"{where}: unknown fields {', '.join(unknown)}")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadOverlay(f"{where} must be a JSON object")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadOverlay(f"{where} must be a list")
    return value

"""The model catalogue: which model is served where, at what price, with which abilities.

``catalog.json`` is generated (``dev/build_catalog.py``); the same model at several providers is one entry with several
routes. Values are built on first use of a model, so loading costs only the parsing of the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headgate.protocols.contract import Target
from headgate.providers.auth import Access
from headgate.providers.bedrock_regions import choose
from headgate.providers.rows import find_provider
from headgate.providers.table import Protocol
from headgate.usage import Price

FILE = Path(__file__).with_name("catalog.json")


@dataclass(frozen=True, slots=True)
class Route:
    """One provider's offer of a model. ``model`` is the provider's own id; prices are pico-dollars per token;
    ``performance`` a tier (higher is better); ``zdr`` what certifies zero data retention (the address of a policy, or
    ``agreement``), empty: nothing does. ``protocols`` limits the
    provider's protocols for this model, empty: all of them. ``quirks`` are deviations of this model there, beside the
    provider row's. ``profiles``: Bedrock's inference profiles for the model (``global``, ``us`` …), each with its price
    where that differs; ``needs_profile`` where the plain id cannot be called. ``location``: where alone Vertex AI has
    the model, empty: wherever the deployment is. ``features`` None: unknown, the upstream judges. ``variant``: what
    the caller wrote behind a colon, for a vendor that reads it there."""

    provider: str
    model: str
    price: Price
    context_window: int
    max_output_tokens: int
    features: frozenset[str] | None
    thinking: str = "none"
    efforts: tuple[str, ...] = ()
    performance: int = 1
    zdr: str = ""
    deprecated: bool = False
    protocols: tuple[Protocol, ...] = ()
    quirks: frozenset[str] = frozenset()
    profiles: Mapping[str, Price | None] = field(default_factory=dict[str, "Price | None"])
    needs_profile: bool = False
    variant: str = ""
    location: str = ""

    def at(self, access: Access) -> Route | None:
        """The route as ``access`` reaches it: the deployment's own id, the inference profile with its price, the
        provider row's quirks. None where the model does not exist there."""
        quirks = self.quirks | access.provider.quirks
        own = access.model_ids.get(self.model)
        if self.variant:
            base = (own or self.model).partition(":")[0]
            return replace(self, model=f"{base}:{self.variant}", quirks=quirks)
        if own is not None:
            return replace(self, model=own, quirks=quirks)
        if access.only_named:
            return None
        # Most routes are reached as they stand; asking for a profile or making a copy of each would take most of the
        # time of a routing decision.
        profile = choose(self.profiles, access.profile, access.settings.get("region", "")) if self.profiles else None
        if profile is not None:
            price = self.profiles[profile] or self.price
            return replace(self, model=f"{profile}.{self.model}", price=price, quirks=quirks)
        if self.needs_profile:
            return None
        return self if quirks == self.quirks else replace(self, quirks=quirks)

    def target(self) -> Target:
        """What the protocol writers need to know of this route."""
        return Target(
            provider=self.provider,
            model=self.model,
            max_output_tokens=self.max_output_tokens,
            context_window=self.context_window,
            features=self.features,
            efforts=self.efforts,
            thinking=self.thinking,
            quirks=self.quirks,
        )


@dataclass(frozen=True, slots=True)
class Model:
    """One model with its routes. ``released`` is Unix seconds."""

    slug: str
    name: str
    author: str
    released: int
    aliases: tuple[str, ...]
    routes: tuple[Route, ...]


class Catalog:
    """Models by slug and alias. ``auto`` is the curated pool of slugs, best first. ``agreements``: the providers with
    which the deployment has agreed on zero data retention."""

    def __init__(self, data: Mapping[str, Any], agreements: frozenset[str] = frozenset()) -> None:
        self.data: Mapping[str, Any] = data
        self._agreements = agreements
        self._raw: dict[str, Mapping[str, Any]] = {model["slug"]: model for model in data["models"]}
        self._names: dict[str, str] = {}
        for slug, model in self._raw.items():
            self._names.update(dict.fromkeys(model["aliases"], slug))
        self._names.update({slug: slug for slug in self._raw})
        self._built: dict[str, Model] = {}
        self._own: dict[tuple[str, str], str] | None = None
        self.auto: tuple[str, ...] = tuple(data["auto"])
        self.authors: Mapping[str, str] = data["authors"]

    @classmethod
    def bundled(cls, agreements: frozenset[str] = frozenset()) -> Catalog:
        """The catalogue that ships with the gateway."""
        return cls(json.loads(FILE.read_bytes()), agreements)

    def replaced(self, data: Mapping[str, Any]) -> Catalog:
        """Other models under the same agreements."""
        return Catalog(data, self._agreements)

    def find(self, name: str) -> Model | None:
        """The model with that slug or alias."""
        slug = self._names.get(name) or self._names.get(name.lower())
        if slug is None:
            return None
        model = self._built.get(slug)
        if model is None:
            model = self._built[slug] = _model(self._raw[slug], self._agreements)
        return model

    def find_own(self, provider: str, id: str) -> Model | None:
        """The model that ``provider`` itself calls ``id``, in whatever case."""
        if self._own is None:
            self._own = {
                (route["provider"], route["model"].lower()): slug
                for slug, model in self._raw.items()
                for route in model["routes"]
            }
        slug = self._own.get((provider, id.lower()))
        return self.find(slug) if slug else None

    def __iter__(self) -> Iterator[Model]:
        for slug in self._raw:
            model = self.find(slug)
            assert model is not None
            yield model


def split_name(name: str) -> tuple[str | None, str]:
    """(provider slug, model name) of ``provider/model``; (None, name) where the prefix is no provider."""
    prefix, slash, rest = name.partition("/")
    provider = find_provider(prefix) if slash and rest else None
    return (provider.slug, rest) if provider else (None, name)


def _model(raw: Mapping[str, Any], agreements: frozenset[str]) -> Model:
    return Model(
        slug=raw["slug"],
        name=raw["name"],
        author=raw["author"],
        released=raw["released"],
        aliases=tuple(raw["aliases"]),
        routes=tuple(_route(route, agreed=route["provider"] in agreements) for route in raw["routes"]),
    )


def _route(raw: Mapping[str, Any], *, agreed: bool) -> Route:
    fields = dict(raw)
    if agreed and "zdr" not in raw:
        fields["zdr"] = "agreement"
    fields["price"] = price_from(raw["price"])
    fields["features"] = None if raw.get("features") is None else frozenset(raw["features"])
    fields["quirks"] = frozenset(raw.get("quirks", ()))
    fields["profiles"] = {
        name: None if price is None else price_from(price) for name, price in raw.get("profiles", {}).items()
    }
    for name in ("efforts", "protocols"):
        fields[name] = tuple(raw.get(name, ()))
    return Route(**fields)


def price_from(raw: Mapping[str, Any]) -> Price:
    """A price list from its JSON form. Raises ValueError for anything but non-negative integers."""
    fields = {name: value for name, value in raw.items() if name not in ("tiers", "above")}
    for name, value in fields.items():
        if type(value) is not int or value < 0:
            raise ValueError(f"price {name}: {value!r} is not a non-negative integer of pico-dollars")
    tiers = tuple((int(tier["above"]), price_from(tier)) for tier in raw.get("tiers", ()))
    return Price(**fields, tiers=tiers)

"""The order of routes: by a metric, by price where it says nothing, now and then an unmeasured one first.

A route that gets no requests has no live numbers, and without numbers it would never get any: after a provider became
fast, or came back, nobody would notice. So a small share of the requests goes to a route that has not been measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from headgate.catalog.catalog import Route
from headgate.routing.metrics import Metric, Snapshot

EXPLORED = 0.02
"""The share of requests that begins with a route without numbers, where there is one."""
TOLERANCE = 0.25
"""By how much a route that has the conversation in its prompt cache may be worse than the best one and still go
first."""
TYPICAL_TURN = 1_000
"""Tokens that a turn adds to a conversation, and about as many are answered; for comparing prices."""


class Ranked(Protocol):
    """What is ranked: an offer of a model by a provider."""

    @property
    def route(self) -> Route: ...
    @property
    def slug(self) -> str: ...


Offer = TypeVar("Offer", bound=Ranked)


def price_of(route: Route) -> int:
    """What routes are compared by where the price decides: pico-dollars for a token in and a token out."""
    return route.price.input + route.price.output


def value_of(offer: Ranked, metric: Metric, snapshot: Snapshot | None) -> float | None:
    """The metric's value for an offer; None where there are no data."""
    match metric.source:
        case "cost":
            return float(price_of(offer.route))
        case "performance":
            return float(offer.route.performance)
        case _:
            if snapshot is None:
                return None
            return snapshot.value(metric, offer.route.provider, offer.slug)


def ranked(
    offers: Sequence[Offer], metric: Metric, snapshot: Snapshot | None
) -> tuple[list[Offer], Mapping[tuple[str, str], float]]:
    """(offers, best first; their values by provider and slug). Where no offer has a value the price decides; where
    only some have, those go first. Equal ones keep their order, the catalogue's."""
    sign = -1.0 if metric.highest_first else 1.0
    values: dict[tuple[str, str], float] = {}
    keyed: list[tuple[float, int, int, Offer]] = []
    unmeasured: list[tuple[int, int, Offer]] = []
    for at, offer in enumerate(offers):
        value = value_of(offer, metric, snapshot)
        if value is None:
            unmeasured.append((price_of(offer.route), at, offer))
        else:
            values[offer.route.provider, offer.slug] = value
            keyed.append((sign * value, price_of(offer.route), at, offer))
    keyed.sort(key=lambda entry: entry[:3])
    unmeasured.sort(key=lambda entry: entry[:2])
    return [entry[3] for entry in keyed] + [entry[2] for entry in unmeasured], values


def explored(
    offers: list[Offer], values: Mapping[tuple[str, str], float], metric: Metric, draw: Callable[[], float]
) -> tuple[list[Offer], bool]:
    """(offers, whether one without numbers was put first). Only for live metrics, and only where others have some."""
    if not metric.live or not values or len(values) == len(offers):
        return offers, False
    chance = draw()
    if chance >= EXPLORED:
        return offers, False
    strangers = [offer for offer in offers if (offer.route.provider, offer.slug) not in values]
    # The part of the draw below the threshold is as good as a second draw.
    chosen = strangers[int(chance / EXPLORED * len(strangers))]
    return [chosen, *(offer for offer in offers if offer is not chosen)], True


def kept_warm(
    offers: list[Offer],
    warm: tuple[str, str] | None,
    values: Mapping[tuple[str, str], float],
    metric: Metric,
    cached_tokens: int = 0,
) -> tuple[list[Offer], bool]:
    """(offers, whether the one that holds the conversation's prompt cache was put first).

    warm: its (provider, slug). cached_tokens: how much of the prompt it has read before. By cost, what such a turn
    costs in all decides; by another metric the warm route may be worse than the best by ``TOLERANCE``."""
    at = next((n for n, offer in enumerate(offers) if (offer.route.provider, offer.slug) == warm), None)
    if at is None or at == 0:
        return offers, at == 0
    best, held = offers[0], offers[at]
    if not _as_good(held, best, values, metric, cached_tokens):
        return offers, False
    return [held, *offers[:at], *offers[at + 1 :]], True


def _as_good(
    held: Ranked, best: Ranked, values: Mapping[tuple[str, str], float], metric: Metric, cached_tokens: int
) -> bool:
    if metric.source == "cost":
        warm_price = held.route.price.input if held.route.price.cache_read is None else held.route.price.cache_read
        warm = cached_tokens * warm_price + TYPICAL_TURN * price_of(held.route)
        return warm <= cached_tokens * best.route.price.input + TYPICAL_TURN * price_of(best.route)
    ours = values.get((held.route.provider, held.slug))
    theirs = values.get((best.route.provider, best.slug))
    if ours is None or theirs is None:
        return ours is theirs
    if metric.source == "performance":
        return ours == theirs
    if metric.highest_first:
        return ours >= theirs * (1 - TOLERANCE)
    return ours <= theirs * (1 + TOLERANCE)

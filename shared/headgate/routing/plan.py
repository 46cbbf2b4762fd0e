"""Which routes a request is tried at, in which order, and why: the steps after names have become candidates.

Context window, health, features, rank, pinned provider, warm prompt cache. Each step is a function over values that
says what it left out and for what reason; a ``Decision`` keeps all of it for the log and for ``/v1/routes/explain``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headgate.errors import invalid_request, unsupported
from headgate.protocols.needs import CONTENT, OPTIONAL, Needs
from headgate.routing.candidates import Candidate
from headgate.routing.health import Breaker
from headgate.routing.metrics import Snapshot
from headgate.routing.options import DEFAULT_OPTIONS, RoutingOptions
from headgate.routing.race import Leg
from headgate.routing.ranking import explored, kept_warm, price_of, ranked

SURELY = 0.4
"""Our token estimates err upwards, for some languages by more than double: a text has at least this share of its
estimate. Only a request that would not fit even then is refused."""

BreakerKey = tuple[str, str, str]
"""(provider, model slug, feature class, or ``@`` and a credential's public id)."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A route that a step left out: ``provider/slug``, the step, the reason in words."""

    label: str
    step: str
    reason: str


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a decision depends on beside the candidates.

    needs: features with the paths that ask for them. tokens: the input's, estimated, or what the caller counted
    (``exact``). output: tokens asked for, None: not said. pinned: the provider that the caller named. snapshot: live
    metrics, None: there are none. breakers: those that are not closed. warm: (provider, slug) of the route that holds
    the conversation's prompt cache, with ``cached_tokens`` in it. now: Unix seconds. draw: random numbers in [0, 1)."""

    needs: Needs = field(default_factory=dict[str, str])
    tokens: int = 0
    exact: bool = False
    output: int | None = None
    options: RoutingOptions = DEFAULT_OPTIONS
    pinned: str | None = None
    snapshot: Snapshot | None = None
    breakers: Mapping[BreakerKey, Breaker] = field(default_factory=dict[BreakerKey, Breaker])
    warm: tuple[str, str] | None = None
    cached_tokens: int = 0
    now: float = 0.0
    draw: Callable[[], float] = random.random


@dataclass(slots=True)
class Decision:
    """The outcome. order: candidates as they will be tried. needs: the request's. values: the metric's value by
    (provider, slug), where there are data. given_up: features that no route in ``order`` has all of. probes: the
    breakers that the first request to their route may close. notes: what else moved a route, in words. legs: of
    a race, else empty."""

    order: list[Candidate]
    needs: Needs = field(default_factory=dict[str, str])
    values: Mapping[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    dropped: list[Dropped] = field(default_factory=list[Dropped])
    given_up: tuple[str, ...] = ()
    probes: frozenset[BreakerKey] = frozenset()
    notes: list[str] = field(default_factory=list[str])
    legs: list[Leg] = field(default_factory=list[Leg])

    def row(self) -> dict[str, Any]:
        """The decision as JSON, for the log and the explanation."""
        return {
            "order": [
                {
                    "route": each.label,
                    "model": each.route.model,
                    "protocol": each.protocol,
                    "credential": each.access.id,
                    "value": self.values.get((each.route.provider, each.model.slug)),
                    "price": price_of(each.route),
                }
                for each in self.order
            ],
            "dropped": [{"route": each.label, "step": each.step, "reason": each.reason} for each in self.dropped],
            "needs": list(self.needs),
            "given_up": list(self.given_up),
            "notes": list(self.notes),
        }


def feature_class(needs: Needs) -> str:
    """The class of requests among which a route fails or does not: the features whose failing says nothing of the
    others."""
    classes = {"tools": "tools", "web_search": "tools", "json_schema": "structured", "json_object": "structured"}
    classes |= dict.fromkeys(CONTENT, "media")
    found = {classes[name] for name in needs if name in classes}
    return "+".join(sorted(found)) or "text"


def fitting(
    candidates: Sequence[Candidate], tokens: int, output: int | None, dropped: list[Dropped], *, exact: bool = False
) -> list[Candidate]:
    """The candidates whose context window takes the input and the output asked for; those that take it only if the
    estimate is as much too high as it can be come last. Raises 400 ``context_length_exceeded``."""
    sure = tokens if exact else int(tokens * SURELY)
    fits: list[Candidate] = []
    tight: list[Candidate] = []
    for each in candidates:
        route = each.route
        # A bound beyond what the model can say is no wish for so much: it will be lowered.
        asked = output if output is not None and output <= route.max_output_tokens else 0
        room = route.context_window - asked
        if tokens <= room:
            fits.append(each)
        elif sure <= room:
            tight.append(each)
        else:
            dropped.append(Dropped(each.label, "context", f"{route.context_window} tokens are too few for {tokens}"))
    if fits or tight:
        return fits + tight
    largest = max(candidates, key=lambda each: each.route.context_window)
    limit = largest.route.context_window
    about = "" if exact else "about "
    error = invalid_request(
        f"This model's maximum context length is {limit} tokens. However, your request has {about}{tokens} input "
        f"tokens{f' and asks for {output} output tokens' if output else ''}.",
        param="input",
        code="context_length_exceeded",
    )
    error.details = {"model": largest.label, "limit": limit, "measured": tokens}
    raise error


def breaker_keys(candidate: Candidate, kind: str) -> tuple[BreakerKey, BreakerKey]:
    """The two breakers of a candidate: of the route for this class of requests, and of the credential there."""
    provider, slug = candidate.route.provider, candidate.model.slug
    return (provider, slug, kind), (provider, slug, f"@{candidate.access.id}")


def healthy(
    candidates: Sequence[Candidate],
    breakers: Mapping[BreakerKey, Breaker],
    kind: str,
    now: float,
    dropped: list[Dropped],
    notes: list[str],
) -> tuple[list[Candidate], frozenset[BreakerKey]]:
    """(candidates that are not left out for their health, the breakers among theirs that wait for a probe). Where all
    would be left out none is, which ``notes`` says: a route that may fail is better than no route."""
    if not breakers:
        return list(candidates), frozenset()
    kept: list[Candidate] = []
    probes: set[BreakerKey] = set()
    out: list[Dropped] = []
    for each in candidates:
        found = [(key, breakers[key]) for key in breaker_keys(each, kind) if key in breakers]
        shut = next((breaker for _, breaker in found if breaker.open(now)), None)
        if shut is not None:
            seconds = max(shut.open_until, shut.probe_until) - now
            why = f"{shut.failures} failures in a row" if shut.failures else "its provider asked for a pause"
            out.append(Dropped(each.label, "health", f"{why}, {seconds:.0f} s to go"))
            continue
        kept.append(each)
        probes |= {key for key, breaker in found if breaker.half_open(now)}
    if not kept:
        notes.append("every route has been failing: all are tried anyway")
        return list(candidates), frozenset()
    dropped += out
    return kept, frozenset(probes)


def capable(
    candidates: Sequence[Candidate], needs: Needs, pinned: str | None, dropped: list[Dropped]
) -> tuple[list[Candidate], tuple[str, ...]]:
    """(candidates that have the features, the features that had to be given up). A pinned provider stays although it
    lacks some: it was asked for by name. Raises 400 where nobody takes a content of the request."""
    if not needs:
        return list(candidates), ()
    wanted = needs.keys()
    lacking = [frozenset[str]() if each.route.features is None else wanted - each.route.features for each in candidates]
    content = frozenset(CONTENT)
    able: list[tuple[Candidate, frozenset[str] | set[str]]] = []
    for each, missing in zip(candidates, lacking, strict=True):
        refused = missing & content
        if refused:
            dropped.append(Dropped(each.label, "features", f"does not take {', '.join(sorted(refused))}"))
        else:
            able.append((each, missing))
    if not able:
        feature = next(name for name in CONTENT if any(name in missing for missing in lacking))
        raise unsupported(f"No route of this model takes {feature} input.", param=needs[feature])
    optional = [name for name in OPTIONAL if name in needs]
    for count in range(len(optional) + 1):
        given_up = frozenset(optional[:count])
        full = [each for each, missing in able if missing <= given_up]
        if full:
            return _with_pinned(able, full, pinned, dropped), tuple(optional[:count])
    # Needs that are neither content nor optional decide nothing.
    return [each for each, _ in able], ()


def _with_pinned(
    able: Sequence[tuple[Candidate, Any]], full: list[Candidate], pinned: str | None, dropped: list[Dropped]
) -> list[Candidate]:
    kept = [each for each, _ in able if each in full or each.route.provider == pinned] if pinned else full
    if len(kept) < len(able):
        for each, missing in able:
            if each not in kept:
                lacks = f"lacks {', '.join(sorted(missing))}, which others have"
                dropped.append(Dropped(each.label, "features", lacks))
    return kept


def decide(candidates: Sequence[Candidate], given: Circumstances) -> Decision:
    """The order in which ``candidates``, who may all serve the request, are tried. Raises 400 where none can."""
    dropped: list[Dropped] = []
    notes: list[str] = []
    fits = fitting(candidates, given.tokens, given.output, dropped, exact=given.exact)
    well, probes = healthy(fits, given.breakers, feature_class(given.needs), given.now, dropped, notes)
    able, given_up = capable(well, given.needs, given.pinned, dropped)
    order, values, more = _ordered(able, given)
    return Decision(order, given.needs, values, dropped, given_up, probes, notes + more)


def _ordered(
    able: list[Candidate], given: Circumstances
) -> tuple[list[Candidate], Mapping[tuple[str, str], float], list[str]]:
    if len(able) == 1:
        return able, {}, []
    # A route's credentials are equal in everything that routes are compared by.
    by_route: dict[tuple[str, str], list[Candidate]] = {}
    for each in able:
        by_route.setdefault((each.route.provider, each.model.slug), []).append(each)
    notes: list[str] = []
    metric = given.options.metric
    offers, values = ranked([group[0] for group in by_route.values()], metric, given.snapshot)
    offers, exploring = explored(offers, values, metric, given.draw)
    if exploring:
        notes.append(f"{offers[0].label} goes first to be measured")
    else:
        offers, warm = kept_warm(offers, given.warm, values, metric, given.cached_tokens)
        if warm:
            notes.append(f"{offers[0].label} has the conversation in its prompt cache")
    if given.pinned is not None:
        offers.sort(key=lambda each: each.route.provider != given.pinned)
    return [each for offer in offers for each in by_route[offer.route.provider, offer.model.slug]], values, notes

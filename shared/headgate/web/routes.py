"""From a request to its routes: names to candidates, candidates in order, the accounts of each.

What happens is in ``routing``; here it gets what it works on: the key's policy, the catalogue, the credentials, the
live metrics that the process has at hand, and what is known of the conversation.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from headgate.catalog.catalog import split_name
from headgate.errors import GatewayError
from headgate.protocols.needs import Needs, read_needs
from headgate.routing.affinity import Maker, in_order, makers_of
from headgate.routing.candidates import (
    Candidate,
    allow_models,
    is_pinned,
    only_permitted,
    only_zero_retention,
    reachable,
    resolve,
)
from headgate.routing.options import DEFAULT_OPTIONS, RoutingOptions
from headgate.routing.plan import Circumstances, Decision, decide
from headgate.tokens import estimate_body
from headgate.web.call import Call
from headgate.web.conversation_keys import conversation

_OUTPUT_LIMITS = ("max_output_tokens", "max_completion_tokens", "max_tokens")


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be routed. model: the name that the client wrote. sent: its request with stored history put in; body:
    without. maker: (provider, public id of its credential) of the stored turn that it continues."""

    model: str
    body: Mapping[str, Any]
    sent: Mapping[str, Any]
    options: RoutingOptions = DEFAULT_OPTIONS
    maker: Maker | None = None


async def routes_for(call: Call, asked: Asked) -> Decision:
    """The routes that may serve a request, in the order in which they are tried. Raises the error of the step that
    left none of the model that was asked for, and 400 for a fallback that does not exist."""
    needs = read_needs(call.protocol, asked.sent)
    circumstances = await _circumstances(call, asked, needs)
    decisions: list[Decision] = []
    first_error: GatewayError | None = None
    for name in (asked.model, *asked.options.fallbacks):
        try:
            decisions.append(await _of_name(call, asked, name, circumstances))
        except GatewayError as error:
            if error.code == "model_not_found":
                raise
            first_error = first_error or error
    if not decisions:
        assert first_error is not None
        raise first_error
    return _joined(decisions)


async def _of_name(call: Call, asked: Asked, name: str, circumstances: Circumstances) -> Decision:
    services, policy = call.services, call.key.policy
    pairs = resolve(name, services.catalog)
    pairs = allow_models(pairs, policy.allows, name)
    if policy.zdr:
        pairs = only_zero_retention(pairs)
    pairs = only_permitted(pairs, asked.options)
    candidates = await reachable(pairs, services.credentials, call.protocol, name)
    pinned = split_name(name)[0] if is_pinned(name, services.catalog) else None
    decision = decide(candidates, replace(circumstances, pinned=pinned))
    decision.order = _by_account(call, asked, decision.order, pinned)
    return decision


def _by_account(call: Call, asked: Asked, order: list[Candidate], pinned: str | None) -> list[Candidate]:
    """``order`` with the accounts of each route in the conversation's order."""
    if len(order) == 1:
        return order
    history = asked.sent.get("input" if call.protocol == "responses" else "messages")
    makers = makers_of(history, call.unseal, frozenset(each.route.provider for each in order))
    # Reasoning is worth another route than the first; a prompt cache alone is not, and neither overrules the caller.
    move = bool(makers) and pinned is None
    if asked.maker is not None:
        makers.append(asked.maker)
    return in_order(order, makers, conversation(call, asked.body, history), move_routes=move)


async def _circumstances(call: Call, asked: Asked, needs: Needs) -> Circumstances:
    view = await call.services.live.view(asked.options.interval)
    history = asked.sent.get("input" if call.protocol == "responses" else "messages")
    warm = call.services.warm.find(conversation(call, asked.body, history))
    return Circumstances(
        needs=needs,
        tokens=estimate_body(call.protocol, asked.sent),
        output=next((asked.sent[name] for name in _OUTPUT_LIMITS if type(asked.sent.get(name)) is int), None),
        options=asked.options,
        snapshot=view.snapshot,
        breakers=view.breakers,
        warm=warm.route if warm else None,
        cached_tokens=warm.tokens if warm else 0,
        now=time.time(),
    )


def _joined(decisions: list[Decision]) -> Decision:
    """The decisions on several names as one, in the order of the names."""
    if len(decisions) == 1:
        return decisions[0]
    order: list[Candidate] = []
    seen: set[tuple[str, str, str]] = set()
    for each in (candidate for decision in decisions for candidate in decision.order):
        key = (each.route.provider, each.model.slug, each.access.id)
        if key not in seen:
            seen.add(key)
            order.append(each)
    return Decision(
        order,
        {name: value for decision in decisions for name, value in decision.values.items()},
        [each for decision in decisions for each in decision.dropped],
        decisions[0].given_up,
        frozenset[tuple[str, str, str]]().union(*(decision.probes for decision in decisions)),
        [note for decision in decisions for note in decision.notes],
    )

"""From a request to its routes: names to candidates, candidates in order, the accounts of each.

What happens is in ``routing``; here it gets what it works on: the key's policy, the catalogue, the credentials, the
live metrics that the process has at hand, and what is known of the conversation.
"""

from __future__ import annotations

import time
from dataclasses import replace

from headgate.catalog.catalog import split_name
from headgate.errors import GatewayError, invalid_request
from headgate.protocols.needs import read_needs
from headgate.routing.affinity import in_order, makers_of
from headgate.routing.candidates import (
    Candidate,
    allow_models,
    is_pinned,
    only_permitted,
    only_zero_retention,
    reachable,
    resolve,
)
from headgate.routing.plan import Circumstances, Decision, decide
from headgate.routing.race import Leg
from headgate.routing.selectors import Leaf, delays
from headgate.web.call import Call
from headgate.web.conversation_keys import conversation, history_of
from headgate.web.legs import Chosen, chosen_models
from headgate.web.work import Work

_OUTPUT_LIMITS = ("max_output_tokens", "max_completion_tokens", "max_tokens")


async def routes_for(call: Call, work: Work, *, counting: bool = False, explaining: bool = False) -> Decision:
    """The routes that may serve a request, in the order in which they are tried. Raises the error of the step that
    left none of the model that was asked for, and 400 for a fallback that does not exist. counting: only the input's
    tokens are asked for, so that no context window is too small.
    explaining: nobody is asked anything, so that nothing must change."""
    chosen = await chosen_models(call, work, counting=counting, explaining=explaining)
    circumstances = await _circumstances(call, work, chosen)
    decisions: list[Decision] = []
    first_error: GatewayError | None = None
    leaves = [(leaf, leaf.model != work.model) for leaf in chosen.leaves]
    for leaf, own in (*leaves, *((Leaf(name), False) for name in work.options.fallbacks)):
        try:
            decisions.append(await _of_leaf(call, work, leaf, circumstances, own=own))
        except GatewayError as error:
            if error.code == "model_not_found":
                raise
            first_error = first_error or error
    if not decisions:
        assert first_error is not None
        raise first_error
    decision = _joined(decisions)
    call.chosen = chosen
    if chosen.selector.kind == "race":
        decision.legs = _legs(chosen, decisions)
    if len(chosen.selector.leaves) > 1:
        decision.notes.insert(0, f"{chosen.selector.kind} of {len(chosen.selector.leaves)} models")
    return decision


def _legs(chosen: Chosen, decisions: list[Decision]) -> list[Leg]:
    """The runners of a race: the models of which a route is left."""
    pauses = {leaf.start: pause for leaf, pause in zip(chosen.selector.leaves, delays(chosen.selector), strict=True)}
    return [
        Leg(tuple(decision.order), pauses[leaf.start], leaf.first_output_timeout)
        for decision in decisions
        if (leaf := decision.order[0].leaf) is not None
    ]


async def _of_leaf(call: Call, work: Work, leaf: Leaf, circumstances: Circumstances, *, own: bool) -> Decision:
    """The decision on one model. own: the selector may ask it in a way of its own, which a fallback has not."""
    services, policy = call.services, call.key.policy
    name = f"{leaf.provider}/{leaf.model}" if leaf.provider else leaf.model
    pairs = resolve(name, services.catalog)
    pairs = allow_models(pairs, policy.allows, name)
    if policy.zdr:
        pairs = only_zero_retention(pairs)
    pairs = only_permitted(pairs, work.options)
    if leaf.provider:
        # The selector's form with a colon means this provider and no other.
        pairs = [pair for pair in pairs if pair[1].provider == leaf.provider]
    candidates = await reachable(pairs, services.credentials, call.protocol, name)
    if leaf.instance:
        candidates = _of_instance(candidates, leaf)
    if own:
        candidates = [replace(each, leaf=leaf) for each in candidates]
    pinned = split_name(name)[0] if is_pinned(name, services.catalog) else None
    decision = decide(candidates, replace(circumstances, pinned=pinned))
    decision.order = _by_account(call, work, decision.order, pinned)
    return decision


def _of_instance(candidates: list[Candidate], leaf: Leaf) -> list[Candidate]:
    """The candidates that use the credential which the selector names. Raises 400."""
    kept = [each for each in candidates if each.access.id == leaf.instance]
    if not kept:
        ids = ", ".join(dict.fromkeys(each.access.id for each in candidates))
        raise invalid_request(
            f"The provider '{leaf.provider}' has no credential '{leaf.instance}' here; it has {ids}.",
            param="model",
            code="invalid_selector",
        )
    return kept


def _by_account(call: Call, work: Work, order: list[Candidate], pinned: str | None) -> list[Candidate]:
    """``order`` with the accounts of each route in the conversation's order."""
    if len(order) == 1:
        return order
    history = history_of(call, work.sent)
    makers = makers_of(history, call.unseal, frozenset(each.route.provider for each in order))
    # Reasoning is worth another route than the first; a prompt cache alone is not, and neither overrules the caller.
    move = bool(makers) and pinned is None
    if work.maker is not None:
        makers.append(work.maker)
    return in_order(order, makers, conversation(call, work.body, history), move_routes=move)


async def _circumstances(call: Call, work: Work, chosen: Chosen) -> Circumstances:
    view = await call.services.live.view(work.options.interval)
    warm = call.services.warm.find(conversation(call, work.body, history_of(call, work.sent)))
    return Circumstances(
        needs=read_needs(call.protocol, work.sent),
        tokens=chosen.tokens,
        exact=chosen.exact,
        output=next((work.sent[name] for name in _OUTPUT_LIMITS if type(work.sent.get(name)) is int), None),
        options=work.options,
        snapshot=view.snapshot,
        breakers=view.breakers if call.services.settings.circuit_breaker else {},
        warm=warm.route if warm else None,
        cached_tokens=warm.tokens if warm else 0,
        now=time.time(),
    )


def remember(call: Call, work: Work) -> None:
    """Note which route has just read the conversation."""
    if call.candidate is not None and call.error is None:
        route = (call.candidate.route.provider, call.candidate.model.slug)
        call.services.warm.remember(
            conversation(call, work.body, history_of(call, work.sent)), route, call.usage.input_total
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
        decisions[0].needs,
        {name: value for decision in decisions for name, value in decision.values.items()},
        [each for decision in decisions for each in decision.dropped],
        decisions[0].given_up,
        frozenset[tuple[str, str, str]]().union(*(decision.probes for decision in decisions)),
        [note for decision in decisions for note in decision.notes],
    )

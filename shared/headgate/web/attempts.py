"""Trying a request's routes: probes of routes that have been failing, waits that a provider asked for, one answer."""

from __future__ import annotations

import asyncio
from typing import Literal

from headgate.routing.attempt import CANCELLED, Attempt, first_success
from headgate.routing.candidates import Candidate
from headgate.routing.plan import Decision, breaker_keys, feature_class
from headgate.routing.race import first_to_speak
from headgate.routing.transport import FailureKind, UpstreamFailure
from headgate.usage import Usage, cost
from headgate.web.call import Call
from headgate.web.opening import Opened, Opener, credentials_failed
from headgate.web.samples import Sample


async def open_first(call: Call, decision: Decision, opener: Opener, wait_until: float) -> tuple[Candidate, Opened]:
    """The first route that answers, and its answer. wait_until: the event loop's time until which a provider's
    ``Retry-After`` may be waited for. Raises the GatewayError for the client."""
    kind = feature_class(decision.needs)
    live = call.services.live

    async def admitted(candidate: Candidate) -> bool:
        waiting = [key for key in breaker_keys(candidate, kind) if key in decision.probes]
        return not waiting or await live.claim_probe(*waiting)

    def noted(candidate: Candidate, attempt: Attempt, failure: UpstreamFailure) -> None:
        sample = sample_of(call, candidate, attempt, failure)
        call.samples.append(sample)
        live.note(sample)

    if decision.legs:
        winner = await first_to_speak(
            decision.legs, opener.open, call.attempts, _called_off, again=opener.again, noted=noted
        )
        _bill_losers(call, decision)
        return winner
    return await first_success(
        decision.order,
        opener.open,
        call.attempts,
        again=opener.again,
        admitted=admitted,
        noted=noted,
        wait_until=wait_until,
        clock=asyncio.get_running_loop().time,
    )


async def _called_off(opened: Opened) -> None:
    await opened.serving.close()


def _bill_losers(call: Call, decision: Decision) -> None:
    """What the calls that lost a race have cost: their input at least, which the provider had read by then."""
    price = {(each.route.provider, each.route.model): each.route.price for each in decision.order}
    for attempt in call.attempts:
        if attempt.error == CANCELLED:
            used = Usage(input_total=call.chosen.tokens, estimated=True)
            attempt.cost_pico = cost(used, price[attempt.provider, attempt.model])


def sample_of(call: Call, candidate: Candidate, attempt: Attempt, failure: UpstreamFailure) -> Sample:
    """What a call that failed says of its route."""
    assert call.decision is not None
    return Sample(
        candidate.route.provider,
        candidate.model.slug,
        feature_class(call.decision.needs),
        candidate.access.id,
        ok=False,
        kind=_kind(call, failure),
        status=failure.status,
        retry_after=failure.error.retry_after,
        started=call.at_ms / 1000 + attempt.started - call.started,
        latency_ms=attempt.duration_ms,
    )


def _kind(call: Call, failure: UpstreamFailure) -> FailureKind | Literal["credential", "cancelled"]:
    """How a call failed, as far as its route is concerned. Google refuses a key with a 400; and whoever gives a
    provider a millisecond must not take its route away from everybody."""
    if credentials_failed(failure) or failure.error.code == "invalid_api_key":
        return "credential"
    return "cancelled" if failure.kind == "timeout" and call.out_of_time else failure.kind

"""Trying a request's routes: probes of routes that have been failing, waits that a provider asked for, one answer."""

from __future__ import annotations

import asyncio

from headgate.routing.attempt import first_success
from headgate.routing.candidates import Candidate
from headgate.routing.plan import Decision, breaker_keys, feature_class
from headgate.web.call import Call
from headgate.web.opening import Opened, Opener


async def open_first(call: Call, decision: Decision, opener: Opener, wait_until: float) -> tuple[Candidate, Opened]:
    """The first route that answers, and its answer. wait_until: the event loop's time until which a provider's
    ``Retry-After`` may be waited for. Raises the GatewayError for the client."""
    kind = feature_class(decision.needs)

    async def admitted(candidate: Candidate) -> bool:
        waiting = [key for key in breaker_keys(candidate, kind) if key in decision.probes]
        return not waiting or await call.services.live.claim_probe(waiting[0])

    return await first_success(
        decision.order,
        opener.open,
        call.attempts,
        again=opener.again,
        admitted=admitted,
        wait_until=wait_until,
        clock=asyncio.get_running_loop().time,
    )

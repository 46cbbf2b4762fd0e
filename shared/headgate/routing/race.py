"""Several routes at once: the first that says something answers, the others are called off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from headgate.routing.attempt import Attempt, Noted, opened_by, verdict
from headgate.routing.candidates import Candidate
from headgate.routing.transport import UpstreamFailure, timed_out

PER_LEG = 2
"""Routes of one model that a leg tries, one after the other."""

Opened = TypeVar("Opened")


@dataclass(frozen=True, slots=True)
class Leg:
    """One runner. ``delay``: seconds after the others' start. ``limit``: seconds from its own start within which it
    must have said something, None: no limit of its own."""

    candidates: tuple[Candidate, ...]
    delay: float = 0.0
    limit: float | None = None


async def first_to_speak(
    legs: Sequence[Leg],
    open_route: Callable[[Candidate], Awaitable[Opened]],
    attempts: list[Attempt],
    call_off: Callable[[Opened], Awaitable[None]],
    *,
    again: Callable[[Candidate, UpstreamFailure], bool] = lambda candidate, failure: False,
    noted: Noted = lambda candidate, attempt, failure: None,
) -> tuple[Candidate, Opened]:
    """Run the legs and return the first answer. A leg that fails lets those start at once that still wait. Answers
    that come too late are given to ``call_off``; calls under way are cancelled, and their attempts say so. Raises the
    GatewayError for the client when every leg has failed."""
    released = asyncio.Event()
    failures: list[tuple[Candidate, UpstreamFailure]] = []

    async def run(leg: Leg) -> tuple[Candidate, Opened] | None:
        if leg.delay:
            with suppress(TimeoutError):
                await asyncio.wait_for(released.wait(), leg.delay)
        for candidate in leg.candidates[:PER_LEG]:
            outcome = await _within(leg.limit, opened_by(candidate, open_route, attempts, again, noted))
            if not isinstance(outcome, UpstreamFailure):
                return candidate, outcome
            failures.append((candidate, outcome))
            released.set()
        return None

    running = {asyncio.create_task(run(leg)) for leg in legs}
    winner: tuple[Candidate, Opened] | None = None
    try:
        while running and winner is None:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for answer in [task.result() for task in done]:
                if winner is None:
                    winner = answer
                elif answer is not None:
                    await call_off(answer[1])
    finally:
        for task in running:
            task.cancel()
        for late in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(late, tuple):
                await call_off(late[1])
    if winner is None:
        raise verdict(failures)
    return winner


async def _within(limit: float | None, opening: Awaitable[Opened | UpstreamFailure]) -> Opened | UpstreamFailure:
    try:
        async with asyncio.timeout(limit):
            return await opening
    except TimeoutError:
        return timed_out("The provider said nothing within the time that the selector gives it")

"""Trying routes in order until one answers.

A route is left for the next one only before anything was sent to the client. Which failures are worth another route,
and what the client is told when all have failed, is decided here and nowhere else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from headgate.errors import GatewayError, invalid_request
from headgate.routing.candidates import Candidate
from headgate.routing.transport import UpstreamFailure

MAX_ATTEMPTS = 5

# The caller's own fault: no other route would take the request either.
_FINAL_STATUSES = frozenset({400, 413, 422})
# Unless what the upstream refused is its own address for the model or the gateway's credentials.
_ROUTE_CODES = frozenset({"model_not_found", "invalid_api_key"})

CANCELLED = "cancelled"
"""The error of an attempt that we broke off."""

Opened = TypeVar("Opened")


@dataclass(slots=True)
class Attempt:
    """One line of the log: which route with which credential (its public id), how it ended, how long it took in
    milliseconds. ``cost_pico``: what a call that lost a race has cost by our estimate."""

    provider: str
    model: str
    protocol: str
    credential: str
    simulated: bool
    status: int | None = None
    error: str | None = None
    duration_ms: int = 0
    cost_pico: int | None = None
    started: float = field(default_factory=time.perf_counter, repr=False)

    def end(self, failure: UpstreamFailure | None = None) -> None:
        """Note the outcome."""
        self.duration_ms = round((time.perf_counter() - self.started) * 1000)
        if failure is None:
            self.status = 200
        else:
            self.status, self.error = failure.status, f"{failure.kind}: {failure.error.message}"[:500]

    def give_up(self) -> None:
        """Note that we broke the call off."""
        self.duration_ms = round((time.perf_counter() - self.started) * 1000)
        self.error = CANCELLED

    def row(self) -> dict[str, Any]:
        """The attempt as the request log keeps it."""
        names = ("provider", "model", "protocol", "credential", "simulated", "status", "error", "duration_ms")
        row = {name: getattr(self, name) for name in names}
        return row if self.cost_pico is None else row | {"cost_pico": self.cost_pico}


def may_move_on(status: int, code: str | None) -> bool:
    """Whether an upstream's refusal with ``status`` leaves hope for another route. Google answers a bad key with 400;
    that is the deployment's fault, not the caller's."""
    if status in _FINAL_STATUSES:
        return code in _ROUTE_CODES
    return True


Noted = Callable[[Candidate, Attempt, UpstreamFailure], None]
"""Is told of each failure as soon as it is there."""


async def _always(candidate: Candidate) -> bool:
    return True


async def first_success(
    candidates: Sequence[Candidate],
    open_route: Callable[[Candidate], Awaitable[Opened]],
    attempts: list[Attempt],
    *,
    again: Callable[[Candidate, UpstreamFailure], bool] = lambda candidate, failure: False,
    admitted: Callable[[Candidate], Awaitable[bool]] = _always,
    noted: Noted = lambda candidate, attempt, failure: None,
    wait_until: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> tuple[Candidate, Opened]:
    """Open the first route that answers; every try is appended to ``attempts``.

    ``again`` says of a failure whether the same route may be opened once more, in another way. ``admitted`` says
    whether a route may be tried now; where none may, all are. When every route has failed, the one that asked for the
    shortest wait is tried once more, if that wait is over by ``wait_until`` (of ``clock``). Raises the GatewayError
    for the client when none answered, or when a failure is final."""
    failures: list[tuple[Candidate, UpstreamFailure]] = []
    held_back: list[Candidate] = []
    for candidate in candidates:
        if len(failures) >= MAX_ATTEMPTS:
            break
        if not await admitted(candidate):
            held_back.append(candidate)
            continue
        opened = await opened_by(candidate, open_route, attempts, again, noted)
        if not isinstance(opened, UpstreamFailure):
            return candidate, opened
        failures.append((candidate, opened))
        if not opened.move_on:
            raise verdict(failures)
    for candidate in held_back if not failures else ():
        opened = await opened_by(candidate, open_route, attempts, again, noted)
        if not isinstance(opened, UpstreamFailure):
            return candidate, opened
        failures.append((candidate, opened))
        if not opened.move_on:
            raise verdict(failures)
    if patient := _worth_waiting(failures, wait_until - clock()):
        candidate, seconds = patient
        await sleep(seconds)
        opened = await opened_by(candidate, open_route, attempts, again, noted)
        if not isinstance(opened, UpstreamFailure):
            return candidate, opened
        failures.append((candidate, opened))
    raise verdict(failures)


def _worth_waiting(
    failures: Sequence[tuple[Candidate, UpstreamFailure]], most: float
) -> tuple[Candidate, float] | None:
    """(the route that asked for the shortest wait, that wait in seconds), where it is at most ``most``."""
    waits = [
        (failure.error.retry_after, at)
        for at, (_, failure) in enumerate(failures)
        if failure.status in (429, 503) and failure.error.retry_after is not None
    ]
    if not waits or min(waits)[0] > most:
        return None
    seconds, at = min(waits)
    return failures[at][0], max(0.0, seconds)


async def opened_by(
    candidate: Candidate,
    open_route: Callable[[Candidate], Awaitable[Opened]],
    attempts: list[Attempt],
    again: Callable[[Candidate, UpstreamFailure], bool],
    noted: Noted,
) -> Opened | UpstreamFailure:
    """What a route opened, or how it failed, after another try in another way where ``again`` wants one."""
    opened = await _tried(candidate, open_route, attempts, noted)
    if isinstance(opened, UpstreamFailure) and again(candidate, opened):
        return await _tried(candidate, open_route, attempts, noted)
    return opened


async def _tried(
    candidate: Candidate, open_route: Callable[[Candidate], Awaitable[Opened]], attempts: list[Attempt], noted: Noted
) -> Opened | UpstreamFailure:
    """One attempt, noted: what it opened, or how it failed."""
    attempt = Attempt(
        candidate.route.provider,
        candidate.route.model,
        candidate.protocol,
        candidate.access.id,
        candidate.access.simulated,
    )
    attempts.append(attempt)
    try:
        opened = await open_route(candidate)
    except UpstreamFailure as failure:
        attempt.end(failure)
        noted(candidate, attempt, failure)
        return failure
    except asyncio.CancelledError:
        attempt.give_up()
        raise
    attempt.end()
    return opened


def verdict(failures: Sequence[tuple[Candidate, UpstreamFailure]]) -> GatewayError:
    """What the client is told after every route has failed: the upstream's own 400, 413 or 422 as 400; all 429 as
    429 with the shortest ``Retry-After``; all timeouts as 504; anything else as 424. Upstream messages are handed on
    unchanged, because clients read them, as are the headers that tell its limits."""
    if not failures:
        return GatewayError(503, "service_unavailable", "no_route", "No route can serve this request at the moment.")
    candidate, failure = failures[-1]
    error = failure.error
    if not failure.move_on and failure.status in _FINAL_STATUSES:
        final = invalid_request(error.message, param=error.param, code=error.code)
        final.details, final.model = error.details, candidate.label
        return final
    if all(each.kind == "refused" for _, each in failures) or (failure.kind == "refused" and not failure.move_on):
        return error
    if all(each.status == 429 for _, each in failures):
        waits = [each.error.retry_after for _, each in failures if each.error.retry_after is not None]
        return GatewayError(
            429,
            "rate_limit_error",
            error.code or "rate_limit_exceeded",
            error.message,
            retry_after=min(waits) if waits else None,
            model=candidate.label,
            headers=error.headers,
        )
    if all(each.kind == "timeout" for _, each in failures):
        return GatewayError(504, "timeout_error", "provider_timeout", error.message, model=candidate.label)
    status = f" (HTTP {failure.status})" if failure.status else ""
    details = dict(error.details or {})
    if failure.status:
        details["provider_status"] = failure.status
    return GatewayError(
        424,
        "provider_error",
        error.code or "provider_error",
        error.message or f"{candidate.label} failed{status}",
        param=error.param,
        retry_after=error.retry_after,
        model=candidate.label,
        details=details or None,
        headers=error.headers,
    )

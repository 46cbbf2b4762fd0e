"""The circuit breaker: which routes are left out because they have been failing, and when they are tried again.

One ``Breaker`` per (provider, model slug, feature class). It opens after ``FAILURES`` failures in a row, or where less
than ``LEAST_SUCCESS`` of at least ``ENOUGH`` calls in five minutes succeeded, for ``COOLDOWN`` seconds, twice as long
after every probe that fails, at most ``LONGEST_COOLDOWN``. Then one request probes the route. The longest pause is
what a provider's return may go unnoticed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FAILURES = 3
LEAST_SUCCESS = 0.9
ENOUGH = 10
COOLDOWN = 30.0
LONGEST_COOLDOWN = 60.0
PROBE_SECONDS = 30.0
"""A probe that has not come back by then is given up."""
LONGEST_SIDELINE = 300.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """``failures`` in a row. ``open_until``: Unix seconds, 0 where it is closed. ``cooldown``: seconds of the last
    opening. ``probe_until``: until when one request has the right to probe."""

    failures: int = 0
    open_until: float = 0.0
    cooldown: float = 0.0
    probe_until: float = 0.0

    def open(self, now: float) -> bool:
        """Whether the route is left out now."""
        return now < self.open_until or now < self.probe_until

    def half_open(self, now: float) -> bool:
        """Whether the route waits for a probe."""
        return self.open_until != 0.0 and not self.open(now)


CLOSED = Breaker()


def failed(breaker: Breaker, now: float, recent: tuple[int, int] = (0, 0)) -> Breaker:
    """The breaker after a failure. ``recent``: (calls, successes) of the last five minutes."""
    failures = breaker.failures + 1
    calls, successes = recent
    unreliable = calls >= ENOUGH and successes < LEAST_SUCCESS * calls
    if breaker.open_until == 0.0 and failures < FAILURES and not unreliable:
        return replace(breaker, failures=failures)
    cooldown = min(LONGEST_COOLDOWN, max(COOLDOWN, breaker.cooldown * 2))
    return Breaker(failures, now + cooldown, cooldown)


def succeeded(breaker: Breaker) -> Breaker:
    """The breaker after a success: closed."""
    return CLOSED if breaker != CLOSED else breaker


def sidelined(breaker: Breaker, now: float, seconds: float) -> Breaker:
    """The breaker after a 429 whose ``Retry-After`` is ``seconds``."""
    until = now + min(seconds, LONGEST_SIDELINE)
    return replace(breaker, open_until=max(breaker.open_until, until))

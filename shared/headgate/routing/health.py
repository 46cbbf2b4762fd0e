"""The circuit breaker: which routes are left out because they have been failing, and when they are tried again.

One ``Breaker`` per (provider, model slug, feature class), and one per credential at a route. It opens after
``FAILURES`` failures in a row, or where less than ``LEAST_SUCCESS`` of at least ``ENOUGH`` calls in five minutes
succeeded, for ``COOLDOWN`` seconds, longer after every probe that fails, at most ``LONGEST_COOLDOWN``. Then one request
probes the route. The longest pause, with the time until other processes hear of the result, is what a provider's return
may go unnoticed.

Failures are counted by all processes together, successes are not: a healthy route would cost a write per request. A
row of failures is therefore believed only where most of the calls that the route usually gets in such a time are among
them; three out of the hundreds that a busy route serves meanwhile are no row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FAILURES = 3
LEAST_SUCCESS = 0.9
ENOUGH = 10
RECENT = 300.0
"""Seconds of the calls that ``LEAST_SUCCESS`` is about."""
IN_A_ROW = 0.5
"""The share of the calls to be expected that must have failed for failures of several processes to be a row."""
COOLDOWN = 30.0
LONGEST_COOLDOWN = 45.0
PROBE_SECONDS = 30.0
"""A probe that has not come back by then is given up."""
LONGEST_SIDELINE = 300.0
"""Seconds that a provider's ``Retry-After``, or a credential that was refused, keeps a credential out at most."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """``failures`` in a row. ``open_until``: Unix seconds, 0 where it is closed. ``cooldown``: seconds of the last
    opening, 0 where the provider named the time. ``probe_until``: until when one request has the right to probe.
    ``since``: when the first of the failures was noted. ``opened``: when it was opened last; 0 where it is closed.
    ``closed``: when a success closed it, 0: it never was open; the calls before say nothing of the time after."""

    failures: int = 0
    open_until: float = 0.0
    cooldown: float = 0.0
    probe_until: float = 0.0
    since: float = 0.0
    opened: float = 0.0
    closed: float = 0.0

    def open(self, now: float) -> bool:
        """Whether the route is left out now."""
        return now < self.open_until or now < self.probe_until

    def half_open(self, now: float) -> bool:
        """Whether the route waits for a probe."""
        return self.open_until != 0.0 and not self.open(now)


CLOSED = Breaker()


def counted(breaker: Breaker, now: float) -> Breaker:
    """The breaker with one more failure, before ``judged``."""
    return replace(breaker, failures=breaker.failures + 1, since=breaker.since or now)


def judged(
    breaker: Breaker,
    now: float,
    recent: tuple[int, int] = (0, 0),
    *,
    started: float | None = None,
    own: int = 0,
) -> Breaker:
    """The breaker after a failure that is counted in it.

    recent: (calls, successes) of the last five minutes. started: when the failed call began, None: after everything
    that the breaker knows. own: failures in a row that this process has seen alone, which need no doubt."""
    if breaker.open_until:
        return _after_probe(breaker, now, started, LONGEST_COOLDOWN)
    calls, successes = recent
    if calls >= ENOUGH and successes < LEAST_SUCCESS * calls and now - breaker.closed >= RECENT:
        return _opened(breaker, now, LONGEST_COOLDOWN)
    if breaker.failures < FAILURES:
        return breaker
    expected = calls / RECENT * (now - breaker.since)
    if own >= FAILURES or breaker.failures >= IN_A_ROW * expected:
        return _opened(breaker, now, LONGEST_COOLDOWN)
    return replace(breaker, failures=1, since=now)


def failed(
    breaker: Breaker, now: float, recent: tuple[int, int] = (0, 0), *, started: float | None = None, own: int = 0
) -> Breaker:
    """The breaker after one more failure; the parameters are those of ``judged``."""
    return judged(counted(breaker, now), now, recent, started=started, own=own)


def rejected(breaker: Breaker, now: float, *, started: float | None = None) -> Breaker:
    """A credential's breaker after the provider refused the credential: open at once."""
    if breaker.open_until:
        return _after_probe(breaker, now, started, LONGEST_SIDELINE)
    return _opened(counted(breaker, now), now, LONGEST_SIDELINE)


def sidelined(breaker: Breaker, now: float, seconds: float) -> Breaker:
    """The breaker after a 429 whose ``Retry-After`` is ``seconds``. A longer pause than that stays."""
    until = now + min(seconds, LONGEST_SIDELINE)
    if until <= breaker.open_until:
        return breaker
    return Breaker(breaker.failures, until, since=breaker.since, opened=now)


def succeeded(breaker: Breaker, now: float, *, started: float | None = None) -> Breaker:
    """The breaker after a success: closed. Except that a call from before it was opened says nothing of what came
    later, and that a pause which the provider asked for is kept."""
    if not breaker.failures and not breaker.open_until:
        return breaker
    if started is not None and started < breaker.opened:
        return breaker
    if now < breaker.open_until and not breaker.cooldown:
        return breaker
    return Breaker(closed=now if breaker.cooldown else breaker.closed)


def released(breaker: Breaker) -> Breaker:
    """The breaker after a probe that ended without saying anything of the provider: another one may probe."""
    return replace(breaker, probe_until=0.0) if breaker.probe_until else breaker


def _after_probe(breaker: Breaker, now: float, started: float | None, longest: float) -> Breaker:
    """An open breaker after a failure. Calls that were under way when it opened, or were made because every route is
    out, fail as was to be expected; only a failed probe is news."""
    if now < breaker.open_until or (started is not None and started < breaker.opened):
        return breaker
    return _opened(breaker, now, longest)


def _opened(breaker: Breaker, now: float, longest: float) -> Breaker:
    cooldown = min(longest, max(COOLDOWN, breaker.cooldown * 2))
    return Breaker(breaker.failures, now + cooldown, cooldown, since=breaker.since, opened=now)

"""The metrics table: counts by route and time, the snapshot that processes share, and the circuit breakers.

Counts. Every request raises, by DynamoDB's atomic ADD, one row per route it tried and granularity: minute, hour and
day. That is three write units per upstream call (a row stays below 1 kB), about 2 USD for a million calls, and no
reader ever sees a half-added call across attributes. An answer that is lost may be counted twice, when the client
repeats the call. A partition of DynamoDB takes 1,000 writes a second, and all calls of an hour go to one: that is the
limit of what can be counted, far above what a deployment's functions reach with the account's usual 1,000 concurrent
executions of several seconds each. Beyond it counts are lost and reported, requests are not; spreading a partition's
rows over several would make every reader pay for it.

    minute#2026-11-20T17   42#openai/gpt-5.4        kept 3 hours
    hour#2026-11-20        17#openai/gpt-5.4        kept 8 days
    day#2026               11-20#openai/gpt-5.4     kept 5 years and a day

The partition ``live`` is what a process needs to route, in one read of at most 1 MB:

    breaker#openai/gpt-5.4#tools     a circuit breaker that counts, is open, or was so lately
    lease#0000000900                 who may recompute a snapshot, until when
    snapshot#0000000900              the counts of the last 900 seconds, packed
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from headgate.storage.aws import ConditionFailed
from headgate.storage.metrics_rows import (
    GRANULARITIES,
    MINUTE,
    RECENT_SECONDS,
    Collected,
    Counts,
    Route,
    Sum,
    granularity,
    increments,
    pack,
)
from headgate.storage.table import Item, Key, Table

BreakerKey = tuple[str, str, str]
"""(provider, model slug, feature class, or ``@`` and a credential's public id)."""

State = Mapping[str, float]
"""The fields of a circuit breaker by their names; times in Unix seconds, what is absent is 0. Empty: at rest."""

LIVE = "live"
SNAPSHOT_KEPT = 2 * 3600
"""Seconds after which a snapshot that nobody asks for any more is gone."""
BREAKER_KEPT = 3600
"""Seconds after which failures that nothing followed are forgotten."""
_TIMES = ("open_until", "cooldown", "probe_until", "since", "opened", "closed")


@dataclass(frozen=True, slots=True)
class Shared:
    """The partition ``live``. ``snapshots``: packed, by interval in seconds."""

    snapshots: Mapping[int, bytes]
    breakers: Mapping[BreakerKey, State]


class MetricsStore:
    """The metrics table. ``clock``: Unix seconds. Every method raises ``StoreUnavailable`` and ``StoreFault``."""

    def __init__(self, table: Table, clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._clock = clock

    # ------------------------------------------------------------ counts

    async def record(self, counts: Mapping[Route, Counts]) -> None:
        """Add what happened just now."""
        now = self._clock()
        writes: list[Awaitable[None]] = []
        for (provider, slug), each in counts.items():
            plain, classes = increments(each)
            for unit in GRANULARITIES:
                # Classes matter for a few minutes only, and would make the other rows larger.
                raised = plain | classes if unit is MINUTE else plain
                if raised:
                    writes.append(self._add(unit.place(now), f"{provider}/{slug}", raised, unit.expiry(now)))
        await asyncio.gather(*writes)

    async def _add(self, place: tuple[str, str], route: str, raised: Mapping[str, int], expiry: int) -> None:
        partition, bucket = place
        expression, names, values = _addition(len(raised))
        await self._table.update(
            (partition, f"{bucket}#{route}"),
            expression,
            names=dict(zip(names, raised, strict=True)),
            values={":expires": expiry, **dict(zip(values, raised.values(), strict=True))},
        )

    async def collect(self, interval: int) -> Collected:
        """The counts of the last ``interval`` seconds, to the bucket: up to one more at the old end. It takes one
        Query per partition, which has as many pages as it has megabytes."""
        now = self._clock()
        unit = granularity(interval)
        latest = frozenset(MINUTE.places(now - RECENT_SECONDS, now))
        sums = Sum()
        reads = [self._read(each, sums, latest, True) for each in unit.ranges(now - interval, now)]
        if unit is not MINUTE:
            reads += [self._read(each, sums, latest, False) for each in MINUTE.ranges(now - RECENT_SECONDS, now)]
        await asyncio.gather(*reads)
        return Collected(interval, now, sums.routes())

    async def _read(
        self, place: tuple[str, str, str], sums: Sum, latest: frozenset[tuple[str, str]], counts: bool
    ) -> None:
        partition, low, high = place
        start: dict[str, Any] | None = None
        while True:
            page, start = await self._table.query_page(partition, low=low, high=high, consistent=False, start=start)
            for row in page:
                bucket = row["sk"].partition("#")[0]
                sums.add(row, counts=counts, classes=(partition, bucket) in latest)
            if start is None:
                return

    # ------------------------------------------------------------ what is shared

    async def live(self) -> Shared:
        """Breakers and snapshots in one read. Consistent, so that a process finds what it has just written itself. Of
        more than 1 MB the snapshots of the longest intervals are missing."""
        now = self._clock()
        page, _ = await self._table.query_page(LIVE)
        snapshots: dict[int, bytes] = {}
        breakers: dict[BreakerKey, State] = {}
        for item in page:
            if item["expires_at"] <= now:
                continue
            kind, _, rest = item["sk"].partition("#")
            if kind == "snapshot":
                snapshots[int(rest)] = item["packed"]
            elif kind == "breaker":
                route, _, name = rest.rpartition("#")
                provider, _, slug = route.partition("/")
                breakers[provider, slug, name] = _state(item)
        return Shared(snapshots, breakers)

    async def lease(self, interval: int, seconds: float) -> bool:
        """Take the right to recompute a snapshot, which nobody else gets for so long."""
        now = self._clock()
        try:
            await self._table.update(
                (LIVE, f"lease#{interval:010d}"),
                "SET taken_until = :until, expires_at = :expires",
                condition="attribute_not_exists(taken_until) OR taken_until <= :now",
                values={
                    ":now": _ms(now),
                    ":until": _ms(now + seconds),
                    ":expires": int(now) + SNAPSHOT_KEPT,
                },
            )
        except ConditionFailed:
            return False
        return True

    async def publish(self, collected: Collected) -> None:
        """Share a snapshot."""
        await self._table.put(
            {
                "pk": LIVE,
                "sk": f"snapshot#{collected.interval:010d}",
                "packed": pack(collected),
                "expires_at": int(collected.at) + SNAPSHOT_KEPT,
            }
        )

    # ------------------------------------------------------------ breakers

    async def count_failure(self, key: BreakerKey) -> State:
        """Add a failure to a breaker's row of failures. The breaker as it stands then."""
        try:
            return await self._count(key)
        except ConditionFailed:
            # What expired is only gone when DynamoDB gets to it.
            with suppress(ConditionFailed):
                now = int(self._clock())
                await self._table.delete(_where(key), condition="expires_at <= :now", values={":now": now})
        return await self._count(key)

    async def _count(self, key: BreakerKey) -> State:
        now = self._clock()
        item = await self._table.update(
            _where(key),
            "ADD failures :one SET #since = if_not_exists(#since, :ms), expires_at = :expires",
            condition="attribute_not_exists(expires_at) OR expires_at > :now",
            names={"#since": "since"},
            values={":one": 1, ":ms": _ms(now), ":now": int(now), ":expires": int(now) + BREAKER_KEPT},
            returns="ALL_NEW",
        )
        return _state(item)

    async def report(self, key: BreakerKey, before: State, after: State) -> State:
        """Change a breaker from ``before`` to ``after``, unless another process has opened, closed or reopened it
        meanwhile. The breaker as it stands then: ``after``, or the other's."""
        now = self._clock()
        seen = _ms(before.get("opened", 0))
        condition = "#opened = :seen" if seen else "attribute_not_exists(#opened)"
        values: Item = {":now": int(now)} | ({":seen": seen} if seen else {})
        checked: dict[str, Any] = {
            "condition": f"{condition} OR expires_at <= :now",
            "names": {"#opened": "opened"},
            "values": values,
        }
        partition, sort = _where(key)
        try:
            if after:
                expiry = int(max(now, after.get("open_until", 0))) + BREAKER_KEPT
                await self._table.put({"pk": partition, "sk": sort, **_row(after), "expires_at": expiry}, **checked)
            else:
                await self._table.delete((partition, sort), **checked)
        except ConditionFailed as failed:
            return _standing(failed.old, now)
        return after

    async def claim_probe(self, key: BreakerKey, seconds: float) -> tuple[bool, State]:
        """Take the right to probe a route for so long. (Whether the route may be called, the breaker as it stands):
        one that somebody has closed meanwhile needs no probe."""
        now = self._clock()
        try:
            item = await self._table.update(
                _where(key),
                "SET probe_until = :until",
                condition="open_until <= :ms AND (attribute_not_exists(probe_until) OR probe_until <= :ms)",
                values={":ms": _ms(now), ":until": _ms(now + seconds)},
                returns="ALL_NEW",
            )
        except ConditionFailed as failed:
            state = _standing(failed.old, now)
            return not state.get("open_until"), state
        return True, _state(item)


@lru_cache(maxsize=256)
def _addition(count: int) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The expression that raises so many attributes, and its placeholders for their names and for the numbers."""
    added = ", ".join(f"#{at} :{at}" for at in range(count))
    names, values = (tuple(f"{mark}{at}" for at in range(count)) for mark in "#:")
    return f"SET expires_at = :expires ADD {added}", names, values


def _where(key: BreakerKey) -> Key:
    provider, slug, name = key
    return LIVE, f"breaker#{provider}/{slug}#{name}"


def _row(state: State) -> dict[str, int]:
    """Only what is not 0: conditions ask whether an attribute is there."""
    row = {name: _ms(state.get(name, 0)) for name in _TIMES}
    row["failures"] = int(state.get("failures", 0))
    return {name: number for name, number in row.items() if number}


def _state(item: Item) -> State:
    state: dict[str, float] = {name: item[name] / 1000 for name in _TIMES if name in item}
    if "failures" in item:
        state["failures"] = item["failures"]
    return state


def _standing(old: Item | None, now: float) -> State:
    return {} if old is None or old["expires_at"] <= now else _state(old)


def _ms(seconds: float) -> int:
    return round(seconds * 1000)

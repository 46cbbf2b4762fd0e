"""What a process knows of the routes right now: their metrics and which of them are failing.

The knowledge is shared through the metrics table, but no request waits for the table: a process reads it once when it
is new, for a bounded time, and after that only between requests. What a process sees happen itself it applies at once,
and tells the others of failures while the request goes on to another route.

Without the table routes are ranked by what does not change, and each process minds its own failures.
"""

from __future__ import annotations

import asyncio
import time
import weakref
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace

from headgate.routing import health
from headgate.routing.health import CLOSED, Breaker
from headgate.routing.metrics import DEFAULT_INTERVAL, Snapshot
from headgate.routing.plan import BreakerKey
from headgate.storage.aws import StoreFault, StoreUnavailable
from headgate.storage.metrics import MetricsStore, State
from headgate.storage.metrics_rows import RECENT_SECONDS, unpack
from headgate.web.samples import Effect, Sample, counts_of, snapshot_of

FIRST_READ_SECONDS = 0.15
CLAIM_SECONDS = 0.15
SETTLE_SECONDS = 3.0
REREAD_SECONDS = 10.0
"""How old the shared knowledge may be before it is read again after a response."""
PAUSE_SECONDS = 30.0
"""How long a table that did not answer is left alone."""
REPORT_SECONDS = 60.0
ASKED_SECONDS = 3600.0
"""How long the snapshot of an interval is kept fresh after somebody asked for it."""
LONGEST_LEASE = 60.0
STALE_FAILURE_SECONDS = health.COOLDOWN
"""A failure that is only heard of so long after it says nothing of the present."""
_TRIES = 3


@dataclass(frozen=True, slots=True)
class LiveView:
    """``snapshot``: the metrics of the interval asked for, None where there are none. ``breakers``: those that are not
    at rest."""

    snapshot: Snapshot | None
    breakers: Mapping[BreakerKey, Breaker]


def refresh_seconds(interval: int) -> float:
    """How old the snapshot of an interval may get."""
    return min(600.0, max(15.0, interval / 60))


class Live:
    """One per process. ``report`` is told, once per outage and at most once a minute, why the table is not used.
    ``clock``: Unix seconds."""

    def __init__(
        self, store: MetricsStore, report: Callable[[str], None], clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._report = report
        self._clock = clock
        self._reported_at = float("-inf")
        self.clear()

    def clear(self) -> None:
        """Forget everything, as after the restore of a snapshot of the process."""
        self._packed: dict[int, bytes] = {}
        self._snapshots: dict[int, Snapshot] = {}
        self._breakers: dict[BreakerKey, Breaker] = {}
        self._own_failures: dict[BreakerKey, int] = {}
        self._asked: dict[int, float] = {}
        self._read_at: float | None = None
        self._first_read: asyncio.Task[None] | None = None
        self._next_first_read = float("-inf")
        self._down_until = float("-inf")
        self._outage = False
        self._noted: weakref.WeakSet[Sample] = weakref.WeakSet()
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ before the call

    async def view(self, interval: int = DEFAULT_INTERVAL) -> LiveView:
        """What is known. Reads the table only where nothing has been read yet; never raises for it."""
        now = self._clock()
        self._asked[interval] = now
        if self._read_at is None and now >= max(self._down_until, self._next_first_read):
            await self._read_first()
        return LiveView(self._snapshot(interval), self._breakers)

    async def _read_first(self) -> None:
        """One read for all requests that begin at the same time."""
        task = self._first_read
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = self._first_read = asyncio.create_task(self._bounded_first_read())
        await asyncio.shield(task)

    async def _bounded_first_read(self) -> None:
        try:
            async with asyncio.timeout(FIRST_READ_SECONDS):
                await self._read_shared()
        except TimeoutError:
            # After the response there is more time; only requests do not wait for it again so soon.
            self._next_first_read = self._clock() + PAUSE_SECONDS
            self._complain(f"no answer within {FIRST_READ_SECONDS * 1000:.0f} ms")
        except (StoreUnavailable, StoreFault) as error:
            self._gone(str(error))

    def _snapshot(self, interval: int) -> Snapshot | None:
        """The snapshot of an interval, as long as part of what it counts still lies within the interval."""
        packed = self._packed.pop(interval, None)
        if packed is not None:
            try:
                self._keep(snapshot_of(unpack(packed)))
            except (ValueError, TypeError, zlib.error) as error:
                self._complain(f"unreadable snapshot: {error}")
        snapshot = self._snapshots.get(interval)
        return snapshot if snapshot is not None and self._clock() - snapshot.at < interval else None

    def _keep(self, snapshot: Snapshot) -> None:
        held = self._snapshots.get(snapshot.interval)
        if held is None or held.at < snapshot.at:
            self._snapshots[snapshot.interval] = snapshot

    async def claim_probe(self, *keys: BreakerKey) -> bool:
        """Whether this request may call a route whose breakers ``keys`` wait for a probe: of all requests that could,
        one gets the right. One conditional write for each breaker, bounded; where the table does not answer each
        process probes for itself."""
        for key in keys:
            breaker = self._breakers.get(key, CLOSED)
            now = self._clock()
            if breaker.open(now):
                return False
            if not breaker.half_open(now):
                continue
            # Other requests of this process do not even ask.
            self._set(key, replace(breaker, probe_until=now + health.PROBE_SECONDS))
            if not await self._claimed(key, now):
                return False
        return True

    async def _claimed(self, key: BreakerKey, now: float) -> bool:
        if now < self._down_until:
            return True
        try:
            async with asyncio.timeout(CLAIM_SECONDS):
                mine, state = await self._store.claim_probe(key, health.PROBE_SECONDS)
        except TimeoutError:
            self._complain("no answer to the claim of a probe")
            return True
        except (StoreUnavailable, StoreFault) as error:
            self._gone(str(error))
            return True
        self._set(key, _breaker(state))
        return mine

    # ------------------------------------------------------------ after the call

    def note(self, sample: Sample) -> None:
        """Take over how a call ended, as soon as it has. Returns at once: other processes are told meanwhile. Needs a
        running event loop. Doing it twice is harmless."""
        if sample in self._noted:
            return
        self._noted.add(sample)
        now = self._clock()
        if not sample.ok and sample.started is not None:
            if now - sample.started - sample.latency_ms / 1000 > STALE_FAILURE_SECONDS:
                return
        for key, effect in sample.effects():
            before = self._breakers.get(key, CLOSED)
            if effect == "failed":
                self._own_failures[key] = self._own_failures.get(key, 0) + 1
            elif effect == "succeeded":
                self._own_failures.pop(key, None)
            after = self._changed(key, before, effect, sample)
            if after == before:
                continue
            self._set(key, after)
            if now >= self._down_until:
                task = asyncio.create_task(self._guarded(self._tell(key, before, effect, sample)))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _changed(self, key: BreakerKey, before: Breaker, effect: Effect, sample: Sample) -> Breaker:
        now, started = self._clock(), self._started(sample)
        match effect:
            case "succeeded":
                return health.succeeded(before, now, started=started)
            case "failed":
                # Nobody needs to hear that what is out still fails.
                return before if now < before.open_until else self._judged(key, health.counted(before, now), sample)
            case "sidelined":
                return health.sidelined(before, now, sample.retry_after or 0.0)
            case "rejected":
                return health.rejected(before, now, started=started)
            case "released":
                return health.released(before)

    async def _tell(self, key: BreakerKey, before: Breaker, effect: Effect, sample: Sample) -> None:
        """Make the change in the table. Where another process was there first, it is made to what that one left."""
        if effect == "failed":
            before = _breaker(await self._store.count_failure(key))
        for _ in range(_TRIES):
            after = (
                self._judged(key, before, sample) if effect == "failed" else self._changed(key, before, effect, sample)
            )
            if after == before:
                break
            wanted = _state(after)
            standing = await self._store.report(key, _state(before), wanted)
            before = _breaker(standing)
            if standing == wanted:
                break
        self._set(key, before)

    def _started(self, sample: Sample) -> float:
        return self._clock() - sample.latency_ms / 1000 if sample.started is None else sample.started

    def _judged(self, key: BreakerKey, counted: Breaker, sample: Sample) -> Breaker:
        own = self._own_failures.get(key, 0)
        return health.judged(counted, self._clock(), self._recent(key), started=self._started(sample), own=own)

    def _recent(self, key: BreakerKey) -> tuple[int, int]:
        """(calls, successes) of the last five minutes, by the newest snapshot. For a credential, of its whole route."""
        provider, slug, name = key
        newest = max(self._snapshots.values(), key=lambda snapshot: snapshot.at, default=None)
        if newest is None or self._clock() - newest.at > RECENT_SECONDS:
            return 0, 0
        stats = newest.routes.get((provider, slug))
        if stats is None:
            return 0, 0
        if not name.startswith("@"):
            return stats.recent.get(name, (0, 0))
        return sum(calls for calls, _ in stats.recent.values()), sum(good for _, good in stats.recent.values())

    def _set(self, key: BreakerKey, breaker: Breaker) -> None:
        if breaker == CLOSED:
            self._breakers.pop(key, None)
        else:
            self._breakers[key] = breaker

    async def settle(self, samples: Iterable[Sample] = ()) -> None:
        """After the response: write down what happened, tell the others, learn from them what is due. Takes at most
        ``SETTLE_SECONDS`` and never raises for the table."""
        samples = list(samples)
        for sample in samples:
            self.note(sample)
        if self._clock() < self._down_until:
            return
        await self._guarded(self._settled(samples))

    async def _settled(self, samples: list[Sample]) -> None:
        await self._store.record(counts_of(samples))
        if self._tasks:
            # They began before, while the request went on to another route.
            await asyncio.gather(*self._tasks)
        await self._refresh()

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await work
        except TimeoutError:
            self._gone(f"no answer within {SETTLE_SECONDS:.0f} s")
        except (StoreUnavailable, StoreFault) as error:
            self._gone(str(error))
        else:
            self._outage = False

    async def _refresh(self) -> None:
        now = self._clock()
        self._asked = {interval: at for interval, at in self._asked.items() if now - at < ASKED_SECONDS}
        if self._read_at is None or now - self._read_at >= REREAD_SECONDS:
            await self._read_shared()
        for interval in self._asked:
            snapshot = self._snapshot(interval)
            period = refresh_seconds(interval)
            if snapshot is not None and now - snapshot.at < period:
                continue
            if await self._store.lease(interval, min(period, LONGEST_LEASE)):
                collected = await self._store.collect(interval)
                self._keep(snapshot_of(collected))
                await self._store.publish(collected)

    async def _read_shared(self) -> None:
        shared = await self._store.live()
        self._packed = dict(shared.snapshots)
        self._breakers = {key: _breaker(state) for key, state in shared.breakers.items()}
        self._read_at = self._clock()
        self._outage = False

    # ------------------------------------------------------------ outages

    def _gone(self, reason: str) -> None:
        self._down_until = self._clock() + PAUSE_SECONDS
        self._complain(reason)

    def _complain(self, reason: str) -> None:
        now = self._clock()
        if not self._outage and now - self._reported_at >= REPORT_SECONDS:
            self._reported_at = now
            self._report(reason)
        self._outage = True


def _breaker(state: State) -> Breaker:
    fields = dict(state)
    return Breaker(int(fields.pop("failures", 0)), **fields)


def _state(breaker: Breaker) -> State:
    return {name: value for name, value in asdict(breaker).items() if value}

"""A hundred thousand requests on a clock of their own: outages, returns, and a provider that becomes slow.

Processes are as Lambda runs them: each serves one request at a time, new ones start where none is free, and all they
share is the metrics table.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from statistics import median

import pytest

from headgate.catalog.catalog import Model, Route
from headgate.providers.auth import Access
from headgate.providers.rows import PROVIDERS
from headgate.routing.candidates import Candidate
from headgate.routing.metrics import parse_metric
from headgate.routing.options import RoutingOptions, read_options
from headgate.routing.plan import Circumstances, breaker_keys, decide, feature_class
from headgate.routing.transport import FailureKind
from headgate.storage.metrics import MetricsStore
from headgate.usage import Price
from headgate.web.live import Live
from headgate.web.samples import Sample
from tests.memory_table import MemoryTable, Rows

START = 1_800_014_000.0
INTERVAL = 900
CLASS = feature_class({})

Outcome = tuple[FailureKind | None, int | None, float]
"""How a call fails, None: not at all; the status; seconds until then."""


@dataclass
class Upstream:
    """A provider that answers after about ``seconds``, now and then with an error."""

    seconds: float
    errors: float = 0.003
    down: Outcome | None = None

    def call(self, draw: random.Random) -> Outcome:
        if self.down is not None:
            return self.down
        if draw.random() < self.errors:
            return "status", 500, 0.05
        return None, 200, self.seconds * draw.lognormvariate(0, 0.3)


@dataclass(slots=True)
class Served:
    """A request that is over. ``at``: when it came, seconds from the start. ``calls``: (provider, whether it answered,
    when it was over)."""

    at: float
    ok: bool
    calls: list[tuple[str, bool, float]]
    first: str
    seconds: float


@dataclass
class Simulation:
    """``upstreams`` by provider; ``script``: what happens to them, by seconds from the start."""

    upstreams: dict[str, Upstream]
    options: RoutingOptions
    rate: float
    script: list[tuple[float, Callable[[], None]]] = field(default_factory=list[tuple[float, Callable[[], None]]])
    now: float = 0.0
    served: list[Served] = field(default_factory=list[Served])
    complaints: list[str] = field(default_factory=list[str])
    processes: int = 0

    def __post_init__(self) -> None:
        self._draw = random.Random(7)
        self._rows: Rows = {}
        self._free: list[Live] = []
        self._numbers = itertools.count()
        self._events: list[tuple[float, int, Callable[[], Awaitable[None]]]] = []
        self._candidates = [candidate(name) for name in self.upstreams]

    async def run(self, requests: int) -> None:
        """So many requests, at random moments."""
        script = sorted(self.script, key=lambda entry: entry[0])
        arrival = 0.0
        while requests or self._events:
            if requests and (not self._events or arrival <= self._events[0][0]):
                self.now, event = arrival, self._arrive
                arrival += self._draw.expovariate(self.rate)
                requests -= 1
            else:
                self.now, _, event = heapq.heappop(self._events)
            while script and script[0][0] <= self.now:
                script.pop(0)[1]()
            await event()

    def _after(self, seconds: float, event: Callable[[], Awaitable[None]]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), event))

    def _process(self) -> Live:
        if self._free:
            return self._free.pop()
        self.processes += 1
        store = MetricsStore(MemoryTable(self._rows, delay=None), self.clock)
        return Live(store, self.complaints.append, self.clock)

    def clock(self) -> float:
        """Unix seconds."""
        return START + self.now

    async def _arrive(self) -> None:
        live = self._process()
        view = await live.view(self.options.interval)
        decision = decide(
            self._candidates,
            Circumstances(
                options=self.options,
                snapshot=view.snapshot,
                breakers=view.breakers,
                now=self.clock(),
                draw=self._draw.random,
            ),
        )
        request = Served(self.now, False, [], decision.order[0].route.provider, 0.0)
        samples: list[Sample] = []
        left = iter(decision.order)

        async def attempt() -> None:
            for each in left:
                waiting = [key for key in breaker_keys(each, CLASS) if key in decision.probes]
                if not waiting or await live.claim_probe(*waiting):
                    break
            else:
                await over(False)
                return
            started = self.clock()
            kind, status, seconds = self.upstreams[each.route.provider].call(self._draw)

            async def ended() -> None:
                sample = Sample(
                    each.route.provider,
                    each.slug,
                    CLASS,
                    each.access.id,
                    kind is None,
                    kind or "",
                    status,
                    started=started,
                    latency_ms=seconds * 1000,
                    e2e_ms=(self.now - request.at) * 1000 if kind is None else None,
                )
                samples.append(sample)
                request.calls.append((each.route.provider, kind is None, self.now))
                if kind is None:
                    await over(True)
                else:
                    live.note(sample)
                    await attempt()

            self._after(seconds, ended)

        async def over(ok: bool) -> None:
            request.ok, request.seconds = ok, self.now - request.at
            self.served.append(request)
            await live.settle(samples)
            self._free.append(live)

        await attempt()

    def between(self, since: float, until: float) -> list[Served]:
        """The requests that came in that time."""
        return [each for each in self.served if since <= each.at < until]

    def first_answer(self, provider: str, since: float) -> float:
        """When the provider first brought an answer after ``since``."""
        return min(at for each in self.served for name, ok, at in each.calls if name == provider and ok and at >= since)


def candidate(provider: str) -> Candidate:
    route = Route(
        provider, "m", Price(10, 20), context_window=1000, max_output_tokens=100, features=None, performance=1
    )
    row = PROVIDERS[provider]
    access = Access(row, "https://x", {}, row.protocols, "environment", id="c1")
    return Candidate(Model("m", "m", "a", 0, (), (route,)), route, access, row.protocols[0])


def share(requests: list[Served], provider: str) -> float:
    return sum(each.first == provider for each in requests) / len(requests)


REFUSED: Outcome = ("connect", None, 0.005)
SILENT: Outcome = ("timeout", None, 5.0)
BROKEN: Outcome = ("status", 503, 0.05)
OUTAGES = [(200.0, 500.0, REFUSED), (700.0, 1000.0, SILENT), (1100.0, 1300.0, BROKEN)]
SHIFT = 1500.0


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    fast, middle, slow = Upstream(0.1), Upstream(0.2), Upstream(0.3)
    script: list[tuple[float, Callable[[], None]]] = [(SHIFT, lambda: setattr(fast, "seconds", 0.5))]
    for since, until, how in OUTAGES:
        script.append((since, lambda how=how: setattr(fast, "down", how)))
        script.append((until, lambda: setattr(fast, "down", None)))
    options = read_options({"routing": {"provider": {"sort": "p50_latency", "interval": "15m"}}})
    simulation = Simulation({"xai": slow, "azure": middle, "openai": fast}, options, 40.0, script)
    asyncio.run(simulation.run(100_000))
    return simulation


def test_the_fastest_serves(simulation: Simulation) -> None:
    assert len(simulation.served) == 100_000
    assert 5 < simulation.processes < 1000
    assert share(simulation.between(120, 200), "openai") > 0.95
    assert simulation.complaints == []


@pytest.mark.parametrize("since, until, how", OUTAGES)
def test_an_outage_is_hardly_noticed(simulation: Simulation, since: float, until: float, how: Outcome) -> None:
    during = simulation.between(since, until)
    assert sum(each.ok for each in during) / len(during) >= 0.999
    # The first failures, and a probe now and then.
    wasted = [at for each in during for name, ok, at in each.calls if name == "openai" and not ok]
    seconds_to_notice = 10 + how[2]
    assert len(wasted) <= 1.1 * simulation.rate * seconds_to_notice
    assert sum(at > since + 1.5 * seconds_to_notice for at in wasted) <= (until - since) / 30 + 1
    # Once it is noticed, requests are as fast as without the route.
    later = [each.seconds for each in simulation.between(since + 1.5 * seconds_to_notice, until)]
    assert median(later) < 0.25
    assert sum(seconds > 4 for seconds in later) <= (until - since) / 30 + 1


@pytest.mark.parametrize("until", [until for _, until, _ in OUTAGES])
def test_a_return_is_found_within_a_minute(simulation: Simulation, until: float) -> None:
    assert simulation.first_answer("openai", until) - until < 60
    assert share(simulation.between(until + 60, until + 90), "openai") > 0.95


def test_the_order_follows_a_shift_within_one_interval(simulation: Simulation) -> None:
    assert share(simulation.between(SHIFT, SHIFT + 60), "openai") > 0.95
    after = simulation.between(SHIFT + INTERVAL, SHIFT + INTERVAL + 90)
    assert share(after, "azure") > 0.95
    assert parse_metric("p50_latency", "x") == simulation.options.metric


def test_all_succeed_whatever_happens(simulation: Simulation) -> None:
    assert sum(each.ok for each in simulation.served) / len(simulation.served) >= 0.999

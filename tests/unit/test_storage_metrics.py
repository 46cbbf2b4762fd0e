"""The metrics table: counts, snapshots, leases, breakers; on moto and on the table in memory."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from dev.embedded_dynamodb import EmbeddedDynamoDB
from headgate.storage.aws_json import AwsJson
from headgate.storage.metrics import BREAKER_KEPT, LIVE, SNAPSHOT_KEPT, BreakerKey, MetricsStore
from headgate.storage.metrics_rows import (
    DAY,
    HOUR,
    MINUTE,
    PACKED_LIMIT,
    Collected,
    Counts,
    Route,
    granularity,
    increments,
    pack,
    unpack,
)
from headgate.storage.table import Table
from tests.memory_table import MemoryTable

NOON = 1_800_014_400.0  # 2027-01-15 12:00 UTC
ROUTE = ("openai", "gpt-5.4")
KEY: BreakerKey = ("openai", "gpt-5.4", "tools")


class Clock:
    """Unix seconds, as the test sets them."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture(params=["moto", "memory"])
async def table(dynamodb: EmbeddedDynamoDB, request: pytest.FixtureRequest) -> AsyncIterator[Table]:
    if request.param == "memory":
        yield MemoryTable()
        return
    connection = AwsJson.from_env("dynamodb", dynamodb.environment(), "us-east-1")
    assert connection is not None
    yield Table(connection, dynamodb.create_tables()["metrics"])
    connection.recreate()


@pytest.fixture
def store(table: Table, clock: Clock) -> MetricsStore:
    return MetricsStore(table, clock)


def counts(requests: int = 1, succeeded: int | None = None, bucket: int = 60, kind: str = "text") -> Counts:
    good = requests if succeeded is None else succeeded
    numbers = {"requests": requests, "succeeded": good, "latency_ms": 100 * good, "input_tokens": 0}
    return Counts(numbers, {"l": {bucket: good} if good else {}}, {kind: (requests, good)})


# ---------------------------------------------------------------- counts


async def test_a_call_is_one_row_per_granularity_and_expires(store: MetricsStore, table: Table) -> None:
    await store.record({ROUTE: counts()})
    rows = {
        partition: (await table.query(partition))[0]
        for partition in ("minute#2027-01-15T12", "hour#2027-01-15", "day#2027")
    }
    kept = [row["expires_at"] - NOON for row in rows.values()]
    assert [row["sk"] for row in rows.values()] == [f"{at}#openai/gpt-5.4" for at in ("00", "12", "01-15")]
    # From the end of the bucket.
    assert kept == [60 + 3 * 3600, 3600 + 8 * 86_400, 43_200 + (5 * 365 + 1) * 86_400]
    minute = rows["minute#2027-01-15T12"]
    assert (minute["requests"], minute["l.60"], minute["text:calls"], minute["text:good"]) == (1, 1, 1, 1)
    assert "input_tokens" not in minute, "zeros are not written"
    assert "text:calls" not in rows["day#2027"], "classes matter for five minutes"


async def test_many_writers_lose_nothing(store: MetricsStore) -> None:
    await asyncio.gather(*(store.record({ROUTE: counts(bucket=n % 7), ("azure", "a/b"): counts()}) for n in range(40)))
    routes = (await store.collect(900)).routes
    assert routes[ROUTE].numbers == {"requests": 40, "succeeded": 40, "latency_ms": 4000}
    assert routes[ROUTE].histograms == {"l": {0: 6, 1: 6, 2: 6, 3: 6, 4: 6, 5: 5, 6: 5}}
    assert routes["azure", "a/b"].classes == {"text": (40, 40)}, "a slug may have a slash"


async def test_writers_in_threads_of_their_own(dynamodb: EmbeddedDynamoDB, clock: Clock) -> None:
    name = dynamodb.create_tables()["metrics"]

    def process() -> None:
        async def run() -> None:
            connection = AwsJson.from_env("dynamodb", dynamodb.environment(), "us-east-1")
            assert connection is not None
            own = MetricsStore(Table(connection, name), clock)
            for _ in range(10):
                await own.record({ROUTE: counts()})
                await own.count_failure(KEY)
            connection.recreate()

        asyncio.run(run())

    threads = [threading.Thread(target=process) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    connection = AwsJson.from_env("dynamodb", dynamodb.environment(), "us-east-1")
    assert connection is not None
    store = MetricsStore(Table(connection, name), clock)
    assert (await store.collect(900)).routes[ROUTE].numbers["requests"] == 40
    assert (await store.live()).breakers[KEY]["failures"] == 40
    connection.recreate()


@pytest.mark.parametrize("interval, unit, older", [
    (900, MINUTE, 960), (7200, MINUTE, 7260), (7201, HOUR, 3 * 3600 + 1), (4 * 86_400, HOUR, 4 * 86_400 + 3600),
    (4 * 86_400 + 1, DAY, 6 * 86_400), (5 * 365 * 86_400, DAY, (5 * 365 + 1) * 86_400),
])  # fmt: skip
async def test_an_interval_is_read_from_the_widest_buckets_that_resolve_it(
    store: MetricsStore, clock: Clock, interval: int, unit: object, older: int
) -> None:
    assert granularity(interval) is unit
    clock.now = NOON - older
    await store.record({ROUTE: counts(100)})  # just too old, to the bucket
    clock.now = NOON - interval
    await store.record({ROUTE: counts(10)})
    clock.now = NOON
    await store.record({ROUTE: counts(1)})
    collected = await store.collect(interval)
    assert (collected.interval, collected.at) == (interval, NOON)
    assert collected.routes[ROUTE].numbers["requests"] == 11


async def test_only_five_minutes_are_recent_whatever_the_interval(store: MetricsStore, clock: Clock) -> None:
    for ago, kind in ((3000, "text"), (361, "text"), (240, "text"), (0, "tools")):
        clock.now = NOON - ago
        await store.record({ROUTE: counts(2, 1, kind=kind)})
    for interval in (3600, 86_400, 7 * 86_400):
        found = (await store.collect(interval)).routes[ROUTE]
        assert found.classes == {"text": (2, 1), "tools": (2, 1)}
        assert found.numbers["requests"] == 8


@pytest.mark.parametrize("interval, queries", [(900, 2), (7200, 3), (86_400, 4), (7 * 86_400, 3), (365 * 86_400, 4)])
async def test_an_interval_takes_few_queries(clock: Clock, interval: int, queries: int) -> None:
    table = MemoryTable()
    clock.now = NOON + 120  # five minutes ago was another hour
    await MetricsStore(table, clock).collect(interval)
    assert table.calls == {"query": queries}


async def test_pages_are_followed(store: MetricsStore, table: Table) -> None:
    for n in range(24):
        row = {"pk": "minute#2027-01-15T11", "sk": f"{50 + n % 5}#p/m{n}", "requests": 1, "x" * 60_000: 2}
        await table.put({**row, "expires_at": int(NOON) + 1})
    routes = (await store.collect(900)).routes
    assert len(routes) == 24 and all(route.numbers == {"requests": 1, "x" * 60_000: 2} for route in routes.values())


# ---------------------------------------------------------------- snapshots


def busy(routes: int) -> Collected:
    """Routes as a lively deployment has them: latencies spread over dozens of buckets."""
    draw = random.Random(1)

    def one(requests: int) -> Counts:
        histograms = {
            name: {n: draw.randint(1, 2000) for n in range(first, first + 45)}
            for name, first in (("l", 80), ("e", 82), ("f", 60))
        }
        names = ("succeeded", "latency_ms", "e2e_latency_ms", "input_tokens", "output_tokens")
        numbers = {"requests": requests, **{name: draw.randint(10**5, 10**10) for name in names}}
        return Counts(numbers, histograms, {"text": (900, 890), "tools": (100, 95)})

    return Collected(86_400, NOON, {("provider", f"some-model-{n}"): one(10_000 + n) for n in range(routes)})


NUMBERS = st.integers(0, 10**12)
COUNTS = st.builds(
    Counts,
    st.dictionaries(st.sampled_from(["requests", "latency_ms", "input_tokens"]), NUMBERS),
    st.dictionaries(st.sampled_from("lef"), st.dictionaries(st.integers(0, 190), st.integers(1, 10**9), min_size=1)),
    st.dictionaries(st.sampled_from(["text", "media+tools"]), st.tuples(NUMBERS, NUMBERS)),
)
ROUTES = st.dictionaries(st.tuples(st.sampled_from(["openai", "azure"]), st.text(min_size=1)), COUNTS, max_size=5)


@given(ROUTES, st.floats(0, 2e9))
def test_what_is_unpacked_is_what_was_packed(routes: dict[Route, Counts], at: float) -> None:
    collected = Collected(900, at, routes)
    assert unpack(pack(collected)) == collected


@given(st.lists(st.tuples(st.sampled_from([ROUTE, ("azure", "a/b")]), COUNTS), min_size=1, max_size=6))
def test_what_is_collected_is_the_sum_of_what_was_recorded(recorded: list[tuple[Route, Counts]]) -> None:
    async def run() -> Collected:
        store = MetricsStore(MemoryTable(delay=None), Clock())
        for route, each in recorded:
            await store.record({route: each})
        return await store.collect(900)

    found = asyncio.run(run()).routes
    for route in {route for route, _ in recorded}:
        parts = [each for at, each in recorded if at == route]
        counts = found.get(route, Counts())
        for name in {name for part in parts for name in part.numbers}:
            assert counts.numbers.get(name, 0) == sum(part.numbers.get(name, 0) for part in parts)
        for name in {name for part in parts for name in part.histograms}:
            assert sum(counts.histograms[name].values()) == sum(sum(p.histograms.get(name, {}).values()) for p in parts)
        for name in {name for part in parts for name in part.classes}:
            pairs = [part.classes.get(name, (0, 0)) for part in parts]
            assert counts.classes[name] == (sum(calls for calls, _ in pairs), sum(good for _, good in pairs))


def test_a_snapshot_of_hundreds_of_routes_fits_an_item() -> None:
    collected = busy(400)
    packed = pack(collected)
    assert len(packed) < PACKED_LIMIT
    assert unpack(packed) == collected
    assert len(pack(busy(50))) < 30_000


def test_what_does_not_fit_leaves_the_least_used_out() -> None:
    collected = busy(2500)
    packed = pack(collected)
    assert PACKED_LIMIT / 2 < len(packed) <= PACKED_LIMIT
    kept = unpack(packed).routes
    assert kept.items() <= collected.routes.items()
    least = min(counts.numbers["requests"] for counts in kept.values())
    assert len(kept) == sum(counts.numbers["requests"] >= least for counts in collected.routes.values())


async def test_one_read_brings_everything_that_has_not_expired(store: MetricsStore, clock: Clock) -> None:
    clock.now = NOON - SNAPSHOT_KEPT
    await store.publish(Collected(3600, clock.now))
    await store.lease(86_400, 60)
    clock.now = NOON - BREAKER_KEPT
    await store.count_failure(("p", "old", "text"))
    clock.now = NOON
    await store.publish(Collected(900, NOON, {ROUTE: counts()}))
    await store.count_failure(KEY)
    shared = await store.live()
    assert list(shared.snapshots) == [900]
    assert unpack(shared.snapshots[900]).routes[ROUTE].histograms == {"l": {60: 1}}
    assert shared.breakers == {KEY: {"failures": 1, "since": NOON}}


async def test_short_intervals_come_first_where_a_page_is_too_small(clock: Clock) -> None:
    table = MemoryTable()
    store = MetricsStore(table, clock)
    await store.count_failure(KEY)
    for interval in (900, 3600, 7200, 86_400):
        await table.put(
            {"pk": LIVE, "sk": f"snapshot#{interval:010d}", "packed": b"x" * 350_000, "expires_at": NOON + 9}
        )
    table.calls.clear()
    shared = await store.live()
    assert list(shared.snapshots) == [900, 3600] and list(shared.breakers) == [KEY]
    assert table.calls == {"query": 1}


async def test_a_lease_is_one_processs_until_it_ends(store: MetricsStore, clock: Clock) -> None:
    assert sum(await asyncio.gather(*(store.lease(900, 15) for _ in range(12)))) == 1
    assert await store.lease(3600, 60), "another interval's is another"
    clock.now += 14.9
    assert not await store.lease(900, 15)
    clock.now += 0.1
    assert sum(await asyncio.gather(*(store.lease(900, 15) for _ in range(12)))) == 1


# ---------------------------------------------------------------- breakers


async def test_failures_of_all_processes_are_counted_together(store: MetricsStore, clock: Clock) -> None:
    states = await asyncio.gather(*(store.count_failure(KEY) for _ in range(10)))
    assert sorted(state["failures"] for state in states) == list(range(1, 11))
    assert {state["since"] for state in states} == {NOON}
    clock.now += BREAKER_KEPT
    assert await store.count_failure(KEY) == {"failures": 1, "since": clock.now}, "not from long ago"


async def test_of_two_who_open_one_does(store: MetricsStore) -> None:
    before = {"failures": 3, "since": NOON - 1}
    mine = {**before, "opened": NOON, "open_until": NOON + 30, "cooldown": 30.0}
    other = {**before, "opened": NOON + 0.5, "open_until": NOON + 30.5, "cooldown": 30.0}
    outcomes = await asyncio.gather(store.report(KEY, before, mine), store.report(KEY, before, other))
    assert outcomes[0] == outcomes[1] and outcomes[0] in (mine, other)
    assert (await store.live()).breakers == {KEY: outcomes[0]}


async def test_nobody_undoes_what_he_has_not_seen(store: MetricsStore) -> None:
    counting = await store.count_failure(KEY)
    opened = {"failures": 3, "opened": NOON, "open_until": NOON + 30, "cooldown": 30.0}
    again = {"failures": 4, "opened": NOON + 31, "open_until": NOON + 76, "cooldown": 45.0}
    assert await store.report(KEY, counting, opened) == opened
    assert await store.report(KEY, counting, {}) == opened, "a success that knows of the counting only"
    assert await store.report(KEY, opened, again) == again
    assert await store.report(KEY, opened, {}) == again, "a success of the probe before"
    assert await store.report(KEY, again, {}) == {}
    assert (await store.live()).breakers == {}
    assert await store.report(KEY, again, {**again, "opened": NOON + 90}) == {}, "a failure from before it was closed"


async def test_a_probe_is_claimed_once_among_many(store: MetricsStore, clock: Clock) -> None:
    opened = {"failures": 3, "opened": NOON, "open_until": NOON + 30, "cooldown": 30.0}
    await store.report(KEY, {}, opened)
    assert await store.claim_probe(KEY, 20) == (False, opened), "too early"
    clock.now += 30
    claims = await asyncio.gather(*(store.claim_probe(KEY, 20) for _ in range(12)))
    assert sum(mine for mine, _ in claims) == 1
    assert all(state == {**opened, "probe_until": NOON + 50} for _, state in claims)
    clock.now += 20
    assert (await store.claim_probe(KEY, 20))[0], "the first never came back"
    await store.report(KEY, opened, {})
    assert await store.claim_probe(KEY, 20) == (True, {}), "somebody has closed it"
    await store.count_failure(KEY)
    assert (await store.claim_probe(KEY, 20))[0], "closed and counting"


def test_no_number_no_increment() -> None:
    counts = Counts({"requests": 1, "succeeded": 0}, {"l": {}}, {"text": (1, 0)})
    assert increments(counts) == ({"requests": 1}, {"text:calls": 1, "text:good": 0})

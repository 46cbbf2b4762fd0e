"""What a process knows of the routes: when it reads, what it tells others, how it does without the table."""

from __future__ import annotations

import asyncio
import socket
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dev.embedded_dynamodb import EmbeddedDynamoDB
from headgate.routing.health import COOLDOWN, PROBE_SECONDS, Breaker
from headgate.routing.plan import BreakerKey
from headgate.storage.aws import StoreFault, StoreUnavailable
from headgate.storage.aws_json import AwsJson
from headgate.storage.metrics import LIVE, MetricsStore
from headgate.storage.table import Table
from headgate.web import live as live_module
from headgate.web.live import Live, LiveView, refresh_seconds
from headgate.web.samples import Sample
from tests.memory_table import MemoryTable, Rows

NOON = 1_800_014_400.0
TEXT: BreakerKey = ("openai", "m", "text")
ACCOUNT: BreakerKey = ("openai", "m", "@c1")


class World:
    """Processes that share a table and a clock."""

    def __init__(self) -> None:
        self.now = NOON
        self.rows: Rows = {}
        self.complaints: list[str] = []

    def process(self, table: Table | None = None) -> Live:
        """A new one, without any knowledge."""
        return Live(MetricsStore(table or self.table(), self.clock), self.complaints.append, self.clock)

    def table(self) -> MemoryTable:
        return MemoryTable(self.rows)

    def clock(self) -> float:
        return self.now


@pytest.fixture
def world() -> World:
    return World()


def good(latency_ms: float = 100.0, **more: Any) -> Sample:
    values: dict[str, Any] = {"e2e_ms": latency_ms + 2, "first_token_ms": 20.0, "input_tokens": 10, "output_tokens": 5}
    return Sample("openai", "m", "text", "c1", True, latency_ms=latency_ms, **(values | more))


def bad(kind: Any = "connect", status: int | None = None, **more: Any) -> Sample:
    return Sample("openai", "m", "text", "c1", False, kind, status, **more)


async def settled(live: Live, *samples: Sample) -> None:
    """A request that ended so, with its look at the routes before."""
    await live.view(900)
    await live.settle(samples)


def closed(view: LiveView) -> bool:
    """Whether the breaker of all that follows is at rest again, and known to have been open."""
    return set(view.breakers) == {TEXT} and view.breakers[TEXT] == Breaker(closed=view.breakers[TEXT].closed)


# ---------------------------------------------------------------- cold and warm


async def test_a_new_process_reads_once_and_a_warm_one_not_at_all(world: World) -> None:
    await settled(world.process(), good())
    table = world.table()
    live = world.process(table)
    views = await asyncio.gather(*(live.view(900) for _ in range(5)))
    assert table.calls == {"query": 1}
    assert all(view.snapshot is not None and view.snapshot.routes["openai", "m"].requests == 1 for view in views)
    world.now += 500
    for interval in (900, 3600):
        await live.view(interval)
    assert table.calls == {"query": 1}


async def test_what_a_response_costs(world: World) -> None:
    table = world.table()
    live = world.process(table)

    async def calls() -> Counter[str]:
        table.calls.clear()
        await settled(live, good())
        return table.calls.copy()

    # New: the read before; lease, two hours' minutes, snapshot, and the three granularities.
    assert await calls() == {"query": 1 + 2, "update_item": 3 + 1, "put_item": 1}
    assert await calls() == {"update_item": 3}
    world.now += 9
    assert await calls() == {"update_item": 3}
    world.now += 1
    assert await calls() == {"update_item": 3, "query": 1}, "the knowledge is read again"
    world.now += 5
    # The minutes of 11:45 to 12:00 lie in two partitions.
    assert await calls() == {"update_item": 3 + 1, "query": 2, "put_item": 1}, "the snapshot is made again"


async def test_an_interval_never_seen_is_fetched_after_the_response(world: World) -> None:
    table = world.table()
    live = world.process(table)
    await settled(live, good())
    calls = table.calls.copy()
    assert (await live.view(86_400)).snapshot is None
    assert table.calls == calls
    await live.settle([good()])
    snapshot = (await live.view(86_400)).snapshot
    assert snapshot is not None and snapshot.routes["openai", "m"].requests == 2
    # And it is there for others.
    snapshot = (await world.process().view(86_400)).snapshot
    assert snapshot is not None and snapshot.interval == 86_400


@pytest.mark.parametrize("interval, seconds", [(900, 15), (3600, 60), (7200, 120), (86_400, 600), (10**8, 600)])
def test_longer_intervals_change_more_slowly(interval: int, seconds: float) -> None:
    assert refresh_seconds(interval) == seconds


async def test_of_many_processes_one_makes_the_snapshot_again(world: World) -> None:
    tables = [world.table() for _ in range(8)]
    processes = [world.process(table) for table in tables]
    await asyncio.gather(*(settled(live, good()) for live in processes))
    assert sum(table.calls["put_item"] for table in tables) == 1
    world.now += 15
    await asyncio.gather(*(settled(live, good()) for live in processes))
    assert sum(table.calls["put_item"] for table in tables) == 2
    world.now += 10
    await asyncio.gather(*(settled(live) for live in processes))
    for live in processes:
        snapshot = (await live.view(900)).snapshot
        assert snapshot is not None and snapshot.at == NOON + 15 and snapshot.routes["openai", "m"].requests >= 9


async def test_what_nobody_asks_for_is_not_kept_fresh(world: World) -> None:
    table = world.table()
    live = world.process(table)
    await live.view(86_400)
    await settled(live, good())
    assert table.calls["put_item"] == 2
    for _ in range(7):  # an hour and ten minutes in which only the default is asked for
        world.now += 600
        await settled(live, good())
    assert table.calls["put_item"] == 2 + 7 + 5
    world.now += 86_400
    await settled(live, good())
    assert (await live.view(86_400)).snapshot is None, "older than what it is about"
    names = {item["sk"] for item in world.rows[LIVE].values() if item["expires_at"] > world.now}
    assert names == {"lease#0000000900", "snapshot#0000000900"}


async def test_a_damaged_snapshot_is_none(world: World) -> None:
    await settled(world.process(), good())
    world.rows[LIVE]["snapshot#0000000900"]["packed"] = b"?"
    assert (await world.process().view(900)).snapshot is None
    assert ["unreadable snapshot" in each for each in world.complaints] == [True]


# ---------------------------------------------------------------- breakers


async def test_a_failure_counts_here_at_once_and_elsewhere_soon(world: World) -> None:
    here, there = world.process(), world.process()
    await settled(there)
    for _ in range(3):
        here.note(bad())
    assert (await here.view()).breakers[TEXT].open(world.now), "before anything is awaited"
    await here.settle()
    assert TEXT not in (await there.view()).breakers
    world.now += 10
    await settled(there)
    assert (await there.view()).breakers[TEXT].open(world.now)


async def test_failures_of_two_processes_are_one_row(world: World) -> None:
    one, two = world.process(), world.process()
    for live in (one, two, one):
        assert not any(breaker.open(world.now) for breaker in (await live.view()).breakers.values())
        await settled(live, bad())
    assert (await one.view()).breakers[TEXT].failures == 3
    assert (await one.view()).breakers[TEXT].open(world.now)


async def test_a_sample_is_taken_once(world: World) -> None:
    live = world.process()
    sample = bad()
    live.note(sample)
    live.note(sample)
    await settled(live, sample)
    await settled(live, bad())
    assert (await live.view()).breakers[TEXT].failures == 2
    noted = weakref.ref(sample)
    del sample
    assert noted() is None, "and not kept"


async def test_an_outage_of_a_route_from_its_first_failure_to_its_return(world: World) -> None:
    tables = [world.table() for _ in range(3)]
    one, two, three = [world.process(table) for table in tables]
    for live in (one, two, three):
        await settled(live, good())
    for live in (one, two, three):
        await settled(live, bad())
    world.now += 10
    for live in (one, two, three):
        await settled(live)
        assert (await live.view()).breakers[TEXT].open(world.now)
    world.now += COOLDOWN
    for live in (one, two, three):
        assert (await live.view()).breakers[TEXT].half_open(world.now)
    claims = await asyncio.gather(*(live.claim_probe(TEXT) for live in (one, two, three, one, two)))
    assert sum(claims) == 1
    prober = (one, two, three)[claims.index(True)]
    for live in (one, two, three):
        assert (await live.view()).breakers[TEXT].open(world.now), "who lost has heard of it"
    await settled(prober, bad(started=world.now))
    assert (await prober.view()).breakers[TEXT].cooldown > COOLDOWN
    world.now += 50
    assert await prober.claim_probe(TEXT)
    await settled(prober, good(started=world.now))
    assert closed(await prober.view())
    world.now += 10
    for live in (one, two, three):
        await settled(live)
        assert closed(await live.view())
    for table in tables:
        table.calls.clear()
    await settled(one, good())
    assert tables[0].calls["delete_item"] == 0, "a healthy route costs no write"


async def test_a_probe_that_says_nothing_is_given_back(world: World) -> None:
    live = world.process()
    await settled(live, bad(), bad(), bad())
    world.now += COOLDOWN
    assert await live.claim_probe(TEXT) and not await live.claim_probe(TEXT)
    await settled(live, bad("status", 400))
    assert await live.claim_probe(TEXT)
    world.now += PROBE_SECONDS
    assert await live.claim_probe(TEXT), "nobody heard of the probe again"


async def test_a_credential_is_left_out_alone(world: World) -> None:
    live, other = world.process(), world.process()
    await settled(live, bad("status", 429, retry_after=12.0))
    breakers = (await other.view()).breakers
    assert list(breakers) == [ACCOUNT] and breakers[ACCOUNT].open_until == NOON + 12
    await settled(live, Sample("openai", "m", "text", "c2", False, "status", 401))
    assert set((await live.view()).breakers) == {ACCOUNT, ("openai", "m", "@c2")}


async def test_three_of_a_busy_routes_many_calls_leave_it_in(world: World) -> None:
    one = world.process()
    for _ in range(300):
        await one.settle([good()])
    world.now += 15
    await settled(one, good())
    for _ in range(9):  # each in another process; what succeeds in between is in none of these
        world.now += 7
        await settled(world.process(), bad())
    assert not any(breaker.open(world.now) for breaker in (await world.process().view()).breakers.values())
    for _ in range(3):
        await settled(world.process(), bad())
    assert (await world.process().view()).breakers[TEXT].open(world.now)


async def test_news_that_are_old_change_nothing(world: World) -> None:
    live = world.process()
    await settled(live, *(bad("timeout", started=NOON - 100, latency_ms=60_000) for _ in range(5)))
    assert (await live.view()).breakers == {}
    assert (await live.view()).snapshot is not None, "they are counted all the same"
    await settled(live, *(bad("timeout", started=NOON - 70, latency_ms=60_000) for _ in range(5)))
    assert (await live.view()).breakers[TEXT].open(world.now)


# ---------------------------------------------------------------- without the table


@contextmanager
def nobody_listens() -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture(params=["refused", "silent", "throttled", "forbidden"])
def unusable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Table]:
    """A table that cannot be used, in each way."""
    monkeypatch.setattr(live_module, "SETTLE_SECONDS", 0.5)
    table = MemoryTable()
    match request.param:
        case "refused":
            with nobody_listens() as url:
                environment = {
                    "AWS_ACCESS_KEY_ID": "x",
                    "AWS_SECRET_ACCESS_KEY": "x",
                    "AWS_ENDPOINT_URL_DYNAMODB": url,
                }
                connection = AwsJson.from_env("dynamodb", environment, "us-east-1")
                assert connection is not None
                yield Table(connection, "t")
                return
        case "silent":
            table.delay = 3600
        case "throttled":
            table.failure = StoreUnavailable("ThrottlingException: slow down")
        case _:
            table.failure = StoreFault("AccessDeniedException: no")
    yield table


async def test_without_the_table_a_process_minds_its_own_failures(unusable: Table, world: World) -> None:
    live = world.process(unusable)
    view = await live.view(900)
    assert (view.snapshot, view.breakers) == (None, {})
    await live.settle([bad(), bad(), bad()])
    for _ in range(5):
        world.now += 1
        view = await live.view(900)
        await live.settle([Sample("azure", "m", "text", "c1", True)])
    assert view.breakers[TEXT].open(world.now)
    world.now += COOLDOWN
    assert await live.claim_probe(TEXT) and not await live.claim_probe(TEXT)
    await live.settle([good()])
    assert closed(await live.view(900))
    assert len(world.complaints) == 1, "one outage, one line"


async def test_a_table_that_does_not_answer_is_left_alone_for_a_while(world: World) -> None:
    table = world.table()
    table.failure = StoreUnavailable("gone")
    live = world.process(table)
    await settled(live, good())
    assert table.calls == {"query": 1}
    world.now += 29
    await settled(live, good())
    assert table.calls == {"query": 1}
    world.now += 1
    await settled(live, good())
    assert table.calls == {"query": 2}
    table.failure = None
    world.now += 30
    await settled(live, good())
    assert (await live.view(900)).snapshot is not None
    table.failure = StoreUnavailable("gone again")
    world.now += 60
    await settled(live, good())
    assert world.complaints == ["gone", "gone again"]


async def test_a_slow_first_read_is_made_good_after_the_response(world: World) -> None:
    await settled(world.process(), good())
    table = world.table()
    table.delay = 3600
    live = world.process(table)
    assert (await live.view(900)).snapshot is None
    assert table.calls == {"query": 1}
    assert (await live.view(900)).snapshot is None
    assert table.calls == {"query": 1}, "the next request does not wait for it again"
    table.delay = 0
    await live.settle([good()])
    assert (await live.view(900)).snapshot is not None


async def test_a_claim_does_not_wait_for_the_table(world: World) -> None:
    table = world.table()
    live = world.process(table)
    await settled(live, bad(), bad(), bad())
    world.now += COOLDOWN
    table.delay = 3600
    assert await live.claim_probe(TEXT) and not await live.claim_probe(TEXT)


async def test_a_restored_process_knows_nothing(world: World) -> None:
    live = world.process()
    await settled(live, good(), bad("status", 401))
    world.rows.clear()
    assert (await live.view(900)).breakers
    live.clear()
    view = await live.view(900)
    assert (view.snapshot, view.breakers) == (None, {})


async def test_on_a_table_that_speaks_dynamodb(world: World, dynamodb: EmbeddedDynamoDB) -> None:
    name = dynamodb.create_tables()["metrics"]

    def process() -> Live:
        connection = AwsJson.from_env("dynamodb", dynamodb.environment(), "us-east-1")
        assert connection is not None
        return world.process(Table(connection, name))

    one, two = process(), process()
    await settled(one, good(), bad(), bad(), bad())
    view = await two.view(900)
    assert view.snapshot is not None and view.snapshot.routes["openai", "m"].recent == {"text": (4, 1)}
    assert view.breakers[TEXT].open(world.now)
    world.now += COOLDOWN
    assert sorted(await asyncio.gather(one.claim_probe(TEXT), two.claim_probe(TEXT))) == [False, True]
    await settled(two, good(started=world.now))
    assert closed(await process().view(900))
    assert world.complaints == []

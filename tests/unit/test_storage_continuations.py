"""A thread is continued from each answer at most once."""

from __future__ import annotations

import asyncio

import pytest

from dev.embedded_dynamodb import EmbeddedDynamoDB
from headgate.errors import GatewayError
from headgate.storage.aws import Connection
from headgate.storage.continuations import AlreadyContinued, Continuations, ContinueInFlight
from headgate.storage.table import Table
from headgate.storage.turn_ids import new_id
from headgate.storage.turns import Turn, TurnStore


class Thread:
    """One stored answer, and the marks on it at a time that the test sets."""

    def __init__(self, table: Table) -> None:
        self.now = 1_800_000_000.0
        self.turns = TurnStore(table, 1000, clock=lambda: self.now)
        self.marks = Continuations(table, clock=lambda: self.now)
        self.id = new_id(prefix="msg_")

    async def save(self) -> None:
        await self.turns.save(Turn(self.id, None, "acme", int(self.now), "messages", "end_turn", "p", "m", [], [], {}))

    async def begin(self, token: str, owner: str = "acme") -> None:
        await self.marks.begin_continue(self.id, owner, token, 60)


@pytest.fixture
async def thread(dynamodb: EmbeddedDynamoDB) -> Thread:
    thread = Thread(Table(Connection("dynamodb"), dynamodb.create_tables()["state"]))
    await thread.save()
    return thread


def code(error: GatewayError) -> str:
    assert error.details is not None and error.status in (400, 404)
    return error.details["error_code"]


async def test_of_many_only_one_gets_to_continue(thread: Thread) -> None:
    outcomes = await asyncio.gather(*(thread.begin(f"t{n}") for n in range(16)), return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 1
    assert all(outcome is None or isinstance(outcome, ContinueInFlight) for outcome in outcomes)


async def test_finished_is_for_good(thread: Thread) -> None:
    await thread.begin("a")
    child = new_id(thread.id)
    await thread.marks.finish_continue(thread.id, "acme", "a", child)
    await thread.marks.finish_continue(thread.id, "acme", "a", child)  # an uncertain write is repeated
    thread.now += 500
    for token in ("a", "b"):
        with pytest.raises(AlreadyContinued) as raised:
            await thread.begin(token)
    assert code(raised.value) == "thread_already_continued"
    with pytest.raises(AlreadyContinued):
        await thread.marks.finish_continue(thread.id, "acme", "b", new_id(thread.id))


async def test_release_lets_the_next_one_in_at_once(thread: Thread) -> None:
    await thread.begin("a")
    with pytest.raises(ContinueInFlight) as raised:
        await thread.begin("b")
    assert code(raised.value) == "thread_continue_in_flight"
    await thread.marks.release_continue(thread.id, "acme", "b")  # not b's to release
    with pytest.raises(ContinueInFlight):
        await thread.begin("b")
    await thread.marks.release_continue(thread.id, "acme", "a")
    await thread.begin("b")
    await thread.marks.release_continue(thread.id, "acme", "a")  # late, and no longer a's
    with pytest.raises(ContinueInFlight):
        await thread.begin("c")


async def test_the_lease_of_a_dead_process_runs_out(thread: Thread) -> None:
    await thread.begin("a")
    thread.now += 59
    with pytest.raises(ContinueInFlight):
        await thread.begin("b")
    await thread.begin("a")  # the holder may prolong it
    thread.now += 60
    await thread.begin("b")
    with pytest.raises(ContinueInFlight):
        await thread.marks.finish_continue(thread.id, "acme", "a", new_id(thread.id))
    await thread.marks.finish_continue(thread.id, "acme", "b", new_id(thread.id))


async def test_finishing_late_works_while_nobody_else_came(thread: Thread) -> None:
    await thread.begin("a")
    thread.now += 300
    await thread.marks.finish_continue(thread.id, "acme", "a", new_id(thread.id))
    with pytest.raises(AlreadyContinued):
        await thread.begin("b")


async def test_only_the_owner_finds_the_thread(thread: Thread) -> None:
    for id, owner in ((thread.id, "rival"), (new_id(thread.id), "acme"), ("msg_unknown", "acme")):
        with pytest.raises(GatewayError) as raised:
            await thread.marks.begin_continue(id, owner, "a", 60)
        assert code(raised.value) == "thread_not_found"
        await thread.marks.release_continue(id, owner, "a")
    thread.now += 1000
    with pytest.raises(GatewayError) as raised:
        await thread.begin("a")
    assert code(raised.value) == "thread_not_found"


async def test_marks_do_not_touch_the_answer(thread: Thread) -> None:
    before = await thread.turns.load(thread.id, "acme")
    await thread.begin("a")
    await thread.marks.finish_continue(thread.id, "acme", "a", new_id(thread.id))
    assert await thread.turns.load(thread.id, "acme") == before

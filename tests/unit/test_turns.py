"""Stored conversations: what a follow-up request, another tenant, a crash and a late reader see."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dev.embedded_dynamodb import EmbeddedDynamoDB, table_settings
from headgate.errors import GatewayError
from headgate.storage.aws import Connection, StoreFault, StoreUnavailable
from headgate.storage.table import Table
from headgate.storage.turn_ids import MAX_DEPTH, TurnId, new_id, parse_id
from headgate.storage.turns import Turn, TurnStore, response_not_found, thread_not_found

NOW = 1_800_000_000
DAY = 86_400
ROOT = Path(__file__).resolve().parents[2]


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(dynamodb: EmbeddedDynamoDB) -> Iterator[Table]:
    connection = Connection("dynamodb")
    yield Table(connection, dynamodb.create_tables()["state"])
    connection.recreate()


@pytest.fixture
def store(table: Table, clock: Clock) -> TurnStore:
    return TurnStore(table, 30 * DAY, clock=clock)


def turn(parent: Turn | None = None, text: str = "hello", owner: str = "acme", id: str | None = None) -> Turn:
    id = id or new_id(parent.id if parent else None)
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": f"re: {text}"}]}]
    return Turn(
        id=id,
        parent_id=parent.id if parent else None,
        owner=owner,
        created_at=NOW,
        protocol="responses",
        status="completed",
        provider="openai",
        model="gpt-5.4",
        input=[{"type": "message", "role": "user", "content": text}],
        output=output,
        body={"id": id, "object": "response", "output": output, "usage": {"total_tokens": 3}, "temperature": 1.0},
        settings={"tools": [{"name": "f"}]},
    )


def noise(size: int) -> str:
    """Base64 that does not get smaller."""
    return base64.b64encode(random.Random(size).randbytes(size * 3 // 4)).decode()


async def refused(work: Any, id: str, status: int = 400) -> GatewayError:
    """The error must be the not-found one, word for word the same whatever the cause."""
    with pytest.raises(GatewayError) as raised:
        await work
    error = raised.value
    assert error.status == status
    assert id in error.message and error.message.endswith("not found.")
    return error


# ---- ids


def test_ids_carry_root_and_depth() -> None:
    first = new_id()
    second = new_id(first)
    third = new_id(second)
    parsed = [parse_id(id) for id in (first, second, third)]
    assert all(parsed)
    assert len({id.root for id in parsed if id}) == 1
    assert [id.depth for id in parsed if id] == [0, 1, 2]
    assert [str(id) for id in parsed] == [first, second, third]
    assert len({new_id(first) for _ in range(1000)} | {new_id() for _ in range(1000)}) == 2000
    assert re.fullmatch(r"resp_[A-Za-z0-9_-]+", first) and len(third) <= 100
    assert new_id(new_id(prefix="msg_")).startswith("msg_")


SOME_ID = "resp_" + "0123456789abcdef" * 2 + "00000a" + "fedcba" * 4


@pytest.mark.parametrize(
    "text",
    ["", "resp_", "resp_123", SOME_ID + "0", SOME_ID.upper(), "xyz_" + SOME_ID[5:], SOME_ID + "\n", SOME_ID[:-1] + "g"],
)
def test_other_strings_are_no_ids(text: str) -> None:
    assert parse_id(SOME_ID) is not None
    assert parse_id(text) is None
    with pytest.raises(ValueError):
        new_id(text)


def test_ids_end_where_sort_keys_would_no_longer_sort() -> None:
    deepest = str(TurnId("resp_", "0" * 32, MAX_DEPTH, "0" * 24))
    assert parse_id(deepest) is not None
    assert parse_id(deepest.replace(f"{MAX_DEPTH:06x}", f"{MAX_DEPTH + 1:06x}")) is None
    with pytest.raises(ValueError):
        new_id(deepest)


# ---- saving and loading


async def test_a_chain_comes_back_whole_and_in_order(store: TurnStore) -> None:
    first = turn()
    second = turn(first, "more \ud83d \U0001f600 \x00 \u2028")
    third = replace(turn(second), output=[{"other": "than the body's"}], protocol="messages", provider="anthropic")
    for one in (first, second, third):
        await store.save(one)
    expected = [replace(one, expires_at=NOW + 30 * DAY) for one in (first, second, third)]
    assert await store.load_chain(third.id, "acme") == expected
    assert await store.load_chain(second.id, "acme") == expected[:2]
    assert await store.load(second.id, "acme") == expected[1]
    assert list((await store.load(first.id, "acme")).body) == list(first.body)  # key order, too


async def test_a_small_turn_is_one_item_and_says_nothing_in_plain_text(store: TurnStore, table: Table) -> None:
    one = turn(text="a secret between us")
    await store.save(one)
    where = parse_id(one.id)
    assert where is not None
    items = await table.query(where.root)
    assert len(items) == 1
    assert items[0]["expires_at"] == NOW + 30 * DAY
    assert "secret" not in repr({k: v for k, v in items[0].items() if k != "data"})


async def test_saving_twice_is_harmless(store: TurnStore, table: Table) -> None:
    one = turn(text=noise(1_000_000))
    await store.save(one)
    where = parse_id(one.id)
    assert where is not None
    before = await table.query(where.root)
    await store.save(one)
    assert await table.query(where.root) == before
    changed = replace(one, status="incomplete", input=[{"text": noise(900_000)}])
    await store.save(changed)
    assert (await store.load(one.id, "acme")).input == changed.input


async def test_five_megabytes_pass(store: TurnStore, table: Table) -> None:
    big = turn(text=noise(5_000_000))
    after = turn(big)
    await store.save(big)
    await store.save(after)
    chain = await store.load_chain(after.id, "acme")
    assert chain[0].input == big.input and chain[1].output == after.output
    where = parse_id(big.id)
    assert where is not None
    sizes = [len(item["data"]) for item in await table.query(where.root)]
    assert max(sizes) <= 350_000 and len(sizes) > 10


async def test_save_refuses_ids_that_do_not_follow(store: TurnStore) -> None:
    first = turn()
    with pytest.raises(ValueError):
        await store.save(replace(turn(), parent_id=first.id))
    with pytest.raises(ValueError):
        await store.save(replace(turn(first), parent_id=None))
    with pytest.raises(ValueError):
        await store.save(replace(first, id="resp_mine"))


# ---- who sees what


async def test_every_kind_of_absence_looks_the_same(store: TurnStore, clock: Clock) -> None:
    foreign, deleted, expired = turn(owner="rival"), turn(), turn()
    for one in (foreign, deleted):
        await store.save(one)
    await store.save(replace(expired, expires_at=NOW))  # the table's own expiry has not run yet
    await store.delete(deleted.id, "acme")
    errors: list[GatewayError] = []
    for id in (foreign.id, deleted.id, expired.id, new_id(), new_id(deleted.id), "resp_made_up", "x" * 40):
        error = await refused(store.load_chain(id, "acme"), id)
        errors.append(error)
        await refused(store.load(id, "acme"), id, 404)
        await refused(store.delete(id, "acme"), id, 404)
        assert error.message.replace(id, "ID") == "Previous response with id 'ID' not found."
    assert {(e.type, e.code, e.param) for e in errors} == {
        ("invalid_request_error", "previous_response_not_found", "previous_response_id")
    }
    assert (await store.load(foreign.id, "rival")).id == foreign.id  # nobody else's attempt did any harm


async def test_the_caller_chooses_the_words(store: TurnStore) -> None:
    error = await refused(store.load_chain("msg_x", "acme", missing=thread_not_found), "msg_x", 404)
    assert error.details == {"error_code": "thread_not_found"}
    assert len(response_not_found("x" * 10_000).message) < 200


async def test_expiry_counts_from_the_turn_and_to_the_second(store: TurnStore, clock: Clock) -> None:
    one = turn()
    await store.save(one)
    clock.now = NOW + 30 * DAY - 1
    assert (await store.load(one.id, "acme")).id == one.id
    clock.now += 1
    await refused(store.load(one.id, "acme"), one.id, 404)
    await refused(store.load_chain(one.id, "acme"), one.id)


async def test_a_chain_through_a_deleted_turn_is_not_found(store: TurnStore, table: Table) -> None:
    first = turn(text=noise(800_000))
    second = turn(first)
    third = turn(second)
    for one in (first, second, third):
        await store.save(one)
    await store.delete(second.id, "acme")
    await refused(store.load_chain(third.id, "acme"), third.id)
    assert (await store.load_chain(first.id, "acme"))[0].input == first.input
    assert (await store.load(third.id, "acme")).id == third.id
    await store.delete(first.id, "acme")
    where = parse_id(first.id)
    assert where is not None
    assert [item["sk"].split("#")[1] for item in await table.query(where.root)] == [third.id]


# ---- forks


async def test_forks_are_left_out(store: TurnStore) -> None:
    base = turn(text="base")
    left, right = turn(base, "left"), turn(base, "right")
    left_end, right_end = turn(left, "left end"), turn(right, "right end")
    await asyncio.gather(*(store.save(one) for one in (base, left, right, left_end, right_end)))
    assert [one.id for one in await store.load_chain(left_end.id, "acme")] == [base.id, left.id, left_end.id]
    assert [one.id for one in await store.load_chain(right_end.id, "acme")] == [base.id, right.id, right_end.id]
    assert [one.id for one in await store.load_chain(right.id, "acme")] == [base.id, right.id]


@pytest.mark.parametrize("with_ancestors", [True, False])
async def test_a_bush_of_forks_is_not_read_whole(store: TurnStore, table: Table, with_ancestors: bool) -> None:
    base = turn()
    await store.save(base)
    await asyncio.gather(*(store.save(turn(base, noise(400_000 + n))) for n in range(12)))
    chain = [base]
    for n in range(24):
        chain.append(turn(chain[-1], noise(420_000) if n == 20 else "short"))
        await store.save(chain[-1], chain[:-1] if with_ancestors else ())
    read: list[int] = []
    call = table.connection.call

    async def counting(method: str, parameters: Any) -> Any:
        answer = await call(method, parameters)
        read.append(sum(len(item["data"]["B"]) for item in answer["Items"]))
        return answer

    table.connection.call = counting  # type: ignore[method-assign]
    loaded = await store.load_chain(chain[-1].id, "acme")
    assert [one.id for one in loaded] == [one.id for one in chain]
    assert loaded[21].input == chain[21].input
    assert sum(read) < 2_200_000  # the forks hold five
    missing = new_id(chain[-1].id)
    await refused(store.load_chain(missing, "acme"), missing)


async def test_a_missing_turn_behind_a_bush_is_not_found(store: TurnStore) -> None:
    base = turn()
    chain = [base]
    await store.save(base)
    await asyncio.gather(*(store.save(turn(base, noise(400_000 + n))) for n in range(6)))
    for _ in range(4):
        chain.append(turn(chain[-1]))
        await store.save(chain[-1], chain[:-1])
    await store.delete(chain[2].id, "acme")
    await refused(store.load_chain(chain[-1].id, "acme"), chain[-1].id)


# ---- crashes, damage, outages


async def test_a_crash_before_the_head_leaves_nothing_to_see(store: TurnStore, table: Table) -> None:
    one = turn(text=noise(1_500_000))
    put = table.put

    async def dying(item: Any, **more: Any) -> None:
        if item["sk"].endswith("#000"):
            raise StoreUnavailable("the process died here")
        await put(item, **more)

    table.put = dying  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await store.save(one)
    table.put = put  # type: ignore[method-assign]
    where = parse_id(one.id)
    assert where is not None
    assert len(await table.query(where.root)) >= 3
    await refused(store.load(one.id, "acme"), one.id, 404)
    await refused(store.load_chain(one.id, "acme"), one.id)
    await store.save(one)
    assert (await store.load(one.id, "acme")).input == one.input


async def test_a_crash_while_writing_anew_keeps_the_old_version(store: TurnStore, table: Table) -> None:
    one = turn(text=noise(1_500_000))
    await store.save(one)
    put = table.put

    async def dying(item: Any, **more: Any) -> None:
        if item["sk"].endswith("#000"):
            raise StoreUnavailable("the process died here")
        await put(item, **more)

    table.put = dying  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await store.save(replace(one, input=[{"text": noise(1_400_000)}]))
    assert (await store.load(one.id, "acme")).input == one.input


async def test_a_tampered_chunk_is_noticed(store: TurnStore, table: Table) -> None:
    one = turn(text=noise(800_000))
    await store.save(one)
    where = parse_id(one.id)
    assert where is not None
    items = await table.query(where.root)
    await table.put({**items[1], "data": items[1]["data"][:-1] + b"\0"})
    for load in (store.load(one.id, "acme"), store.load_chain(one.id, "acme")):
        with pytest.raises(StoreFault) as fault:
            await load
        assert fault.value.status == 500 and "damaged" in str(fault.value) and "damaged" not in fault.value.message
    await table.delete((items[1]["pk"], items[1]["sk"]))
    await refused(store.load(one.id, "acme"), one.id, 404)


async def test_another_process_reads_what_this_one_wrote(
    store: TurnStore, table: Table, dynamodb: EmbeddedDynamoDB, clock: Clock
) -> None:
    first = turn(text=noise(600_000))
    await store.save(first)
    script = """
import asyncio, json, sys
from headgate.settings import Settings
from headgate.storage.aws import Connection
from headgate.storage.table import Table
from headgate.storage.turns import TurnStore, Turn
from headgate.storage.turn_ids import new_id
import os
async def main():
    settings = Settings.from_env(os.environ)
    store = TurnStore(Table(Connection("dynamodb", settings.region), settings.state_table), 60, clock=lambda: 1.8e9)
    (first,) = await store.load_chain(sys.argv[1], "acme")
    id = new_id(first.id)
    served = ("responses", "completed", "anthropic", "claude")
    await store.save(Turn(id, first.id, "acme", 1_800_000_000, *served, [1], [2], {}))
    print(json.dumps([id, len(first.input[0]["content"])]))
asyncio.run(main())
"""
    environment = {
        **os.environ,
        **table_settings({"state": table.name}),
        "PYTHONPATH": str(ROOT / "shared"),
    }
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, first.id], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    id, length = json.loads(done.stdout)
    assert length == 600_000
    chain = await store.load_chain(id, "acme")
    assert [one.provider for one in chain] == ["openai", "anthropic"]


async def test_many_conversations_at_once_do_not_mix(store: TurnStore) -> None:
    async def talk(mark: str) -> None:
        chain = [turn(text=f"{mark} 0", owner=mark)]
        await store.save(chain[0])
        for n in range(1, 4):
            chain.append(turn(chain[-1], f"{mark} {n}", owner=mark))
            await store.save(chain[-1], chain[:-1])
            loaded = await store.load_chain(chain[-1].id, mark)
            assert [one.input[0]["content"] for one in loaded] == [f"{mark} {k}" for k in range(n + 1)]

    await asyncio.gather(*(talk(f"owner-{n}") for n in range(12)))

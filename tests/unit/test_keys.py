"""API keys: form, storage, checking, revocation, outages."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.datastructures import Headers

from dev.embedded_dynamodb import EmbeddedDynamoDB
from headgate.access.keys import KeyStore, hash_key, mask, new_key, parse_credentials
from headgate.access.policy import Policy
from headgate.errors import GatewayError
from headgate.storage.aws import ConditionFailed, Connection, StoreFault, StoreUnavailable
from headgate.storage.table import Table


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table(dynamodb: EmbeddedDynamoDB) -> Iterator[Table]:
    connection = Connection("dynamodb")
    yield Table(connection, dynamodb.create_tables()["control"])
    connection.recreate()


@pytest.fixture
def store(table: Table, clock: Clock) -> KeyStore:
    return KeyStore(table, clock=clock)


class Reads:
    """Counts the reads of a table, and breaks or delays them on demand."""

    def __init__(self, table: Table) -> None:
        self.count = 0
        self.failure: Exception | None = None
        self.delay = 0.0
        self._get = table.get
        table.get = self.get  # type: ignore[method-assign]

    async def get(self, *arguments: Any, **more: Any) -> Any:
        self.count += 1
        await asyncio.sleep(self.delay)
        if self.failure:
            raise self.failure
        return await self._get(*arguments, **more)


async def refused(store: KeyStore, key: str) -> None:
    with pytest.raises(GatewayError) as raised:
        await store.authenticate(key)
    assert (raised.value.status, raised.value.code) == (401, "invalid_api_key")
    assert raised.value.message == "Invalid API key"


def test_form_of_keys() -> None:
    key = new_key()
    assert re.fullmatch(r"sk-hg-v1-[0-9a-f]{64}", key)
    assert len({new_key() for _ in range(100)}) == 100
    assert mask(key) == f"sk-hg-v1...{key[-4:]}"


@pytest.mark.parametrize(
    "headers,expected",
    [
        ({"authorization": "Bearer abc"}, "abc"),
        ({"authorization": "bearer   abc "}, "abc"),
        ({"x-api-key": "abc"}, "abc"),
        ({"authorization": "Bearer abc", "x-api-key": "other"}, "abc"),
        ({"authorization": "Bearer ", "x-api-key": "abc"}, "abc"),
        ({"authorization": "Basic dTpw", "x-api-key": "abc"}, "abc"),
        ({"authorization": "Bearer abc", "x-api-key": ""}, "abc"),
        ({}, None),
        ({"authorization": ""}, None),
        ({"authorization": "abc"}, None),
        ({"authorization": "Bearer"}, None),
        ({"authorization": "Bearer: abc"}, None),
        ({"authorization": "Bearer:abc"}, None),
        ({"authorization": "Bearer a b"}, None),
        ({"authorization": "Token abc"}, None),
        ({"x-api-key": "  "}, None),
    ],
)
def test_where_the_key_is_taken_from(headers: dict[str, str], expected: str | None) -> None:
    for form in (headers, Headers(headers={name.title(): value for name, value in headers.items()})):
        if expected is None:
            with pytest.raises(GatewayError) as raised:
                parse_credentials(form)
            assert raised.value.status == 401
        else:
            assert parse_credentials(form) == expected


async def test_a_new_key_opens_and_its_record_is_whole(store: KeyStore) -> None:
    policy = Policy(log_bodies=True, zdr=True, allowed_models=("gpt-*",), denied_models=("gpt-4*",))
    key, record = await store.create("laptop", "acme/alice", team="ml", policy=policy, expires_at=1_900_000_000)
    found = await store.authenticate(key)
    assert found == record
    assert (found.name, found.owner, found.team, found.policy) == ("laptop", "acme/alice", "ml", policy)
    assert (found.created_at, found.expires_at, found.revoked_at) == (1_800_000_000, 1_900_000_000, None)
    assert found.masked == mask(key)


async def test_the_table_never_holds_a_key(store: KeyStore, table: Table) -> None:
    key, record = await store.create("laptop", "acme")
    scan = await table.connection.call("scan", {"TableName": table.name})
    text = repr(scan["Items"])
    assert hash_key(key) in text and record.id in text
    assert key not in text and key.removeprefix("sk-hg-v1-") not in text


MALFORMED = {
    "upper case": str.upper,
    "short": lambda key: key[:-1],
    "long": lambda key: key + "0",
    "line end": lambda key: key + "\n",
    "other prefix": lambda key: "sk-cn" + key[5:],
    "other version": lambda key: key.replace("v1", "v2"),
    "space": lambda key: " " + key,
    "empty": lambda key: "",
}


@pytest.mark.parametrize("change", MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed_keys_do_not_reach_the_table(store: KeyStore, table: Table, change: Any) -> None:
    key, _ = await store.create("laptop", "acme")
    reads = Reads(table)
    await refused(store, change(key))
    assert reads.count == 0


async def test_unknown_keys_are_refused_and_soon_from_memory(store: KeyStore, table: Table, clock: Clock) -> None:
    reads = Reads(table)
    key = new_key()
    for _ in range(3):
        await refused(store, key)
    assert reads.count == 1
    clock.now += 5
    await refused(store, key)
    assert reads.count == 2


async def test_a_known_key_is_believed_for_thirty_seconds(store: KeyStore, table: Table, clock: Clock) -> None:
    key, _ = await store.create("laptop", "acme")
    reads = Reads(table)
    for _ in range(3):
        await store.authenticate(key)
        clock.now += 9.9
    assert reads.count == 1
    clock.now += 0.4
    await store.authenticate(key)
    assert reads.count == 2
    store.clear()
    await store.authenticate(key)
    assert reads.count == 3


async def test_revocation_is_felt_at_once_here_and_within_thirty_seconds_elsewhere(
    store: KeyStore, table: Table, clock: Clock
) -> None:
    key, record = await store.create("laptop", "acme")
    elsewhere = KeyStore(table, clock=clock)
    await store.authenticate(key)
    await elsewhere.authenticate(key)
    revoked = await store.revoke(record.id)
    assert revoked.revoked_at == int(clock.now)
    await refused(store, key)
    await elsewhere.authenticate(key)
    clock.now += 30
    await refused(elsewhere, key)
    again = await elsewhere.revoke(record.id)
    assert again.revoked_at == revoked.revoked_at
    with pytest.raises(KeyError):
        await store.revoke("key_unknown")


async def test_expiry_is_to_the_second_even_for_a_remembered_key(store: KeyStore, clock: Clock) -> None:
    key, _ = await store.create("laptop", "acme", expires_at=int(clock.now) + 10)
    await store.authenticate(key)
    clock.now += 9.9
    await store.authenticate(key)
    clock.now += 0.1
    await refused(store, key)


async def test_an_outage_is_503_and_spares_those_who_are_known(store: KeyStore, table: Table, clock: Clock) -> None:
    known, _ = await store.create("a", "acme")
    other, _ = await store.create("b", "acme")
    await store.authenticate(known)
    reads = Reads(table)
    reads.failure = StoreUnavailable("down")
    assert (await store.authenticate(known)).name == "a"
    with pytest.raises(GatewayError) as raised:
        await store.authenticate(other)
    assert (raised.value.status, raised.value.retry_after) == (503, 1)
    clock.now += 30
    with pytest.raises(StoreUnavailable):
        await store.authenticate(known)
    reads.failure = None
    assert (await store.authenticate(other)).name == "b"  # a failure is not remembered as a refusal


async def test_a_slow_table_is_given_up(table: Table, clock: Clock) -> None:
    store = KeyStore(table, clock=clock, patience=0.1)
    key, _ = await store.create("a", "acme")
    Reads(table).delay = 5
    began = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await store.authenticate(key)
    assert time.monotonic() - began < 2


async def test_memory_is_bounded(table: Table, clock: Clock) -> None:
    store = KeyStore(table, clock=clock, size=10)
    reads = Reads(table)
    keys = [new_key() for _ in range(30)]
    for key in keys:
        await refused(store, key)
    assert len(store._unknown._entries) == 10
    await refused(store, keys[-1])
    assert reads.count == 30
    await refused(store, keys[0])
    assert reads.count == 31


async def test_a_record_under_a_foreign_hash_opens_nothing(store: KeyStore, table: Table) -> None:
    _, record = await store.create("a", "acme")
    item = await table.get((f"key#{record.sha256}", "key"))
    assert item is not None
    stolen = new_key()
    await table.put({**item, "pk": f"key#{hash_key(stolen)}"})
    await refused(store, stolen)


async def test_a_policy_that_is_not_understood_opens_nothing(store: KeyStore, table: Table) -> None:
    key, record = await store.create("a", "acme")
    await table.update((f"key#{record.sha256}", "key"), "SET policy.weekends_only = :t", values={":t": True})
    with pytest.raises(StoreFault, match="weekends_only"):
        await store.authenticate(key)


async def test_listing_and_chosen_keys(store: KeyStore, clock: Clock) -> None:
    chosen = new_key()
    key, first = await store.create("first", "acme", key=chosen)
    assert key == chosen and (await store.authenticate(chosen)) == first
    with pytest.raises(ConditionFailed):
        await store.create("again", "acme", key=chosen)
    clock.now += 1
    _, second = await store.create("second", "rival")
    assert await store.list() == [first, second]
    await store.revoke(first.id)
    assert [record.revoked_at is None for record in await store.list()] == [False, True]


@pytest.mark.parametrize(
    "arguments", [{"owner": ""}, {"owner": "a#b"}, {"owner": "a b"}, {"team": "#"}, {"name": "a\nb"}, {"key": "sk-1"}]
)
async def test_malformed_creations_write_nothing(store: KeyStore, arguments: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        await store.create(**{"name": "n", "owner": "acme", **arguments})
    assert await store.list() == []


async def test_a_key_made_after_it_was_tried_opens_at_once(store: KeyStore) -> None:
    key = new_key()
    await refused(store, key)
    await store.create("late", "acme", key=key)
    assert (await store.authenticate(key)).name == "late"

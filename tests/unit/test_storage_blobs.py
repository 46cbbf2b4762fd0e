"""Large media outside the table."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.embedded_dynamodb import EmbeddedDynamoDB
from headgate.errors import GatewayError
from headgate.storage import blobs as blobs_module
from headgate.storage.aws import Connection, StoreFault
from headgate.storage.blobs import BlobStore
from headgate.storage.table import Table
from headgate.storage.turn_ids import new_id
from headgate.storage.turns import Turn, TurnStore

NOW = 1_800_000_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("QUJD" * 10_000),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$blob", "value", "size", "a"]), inner, max_size=3)
    ),
    max_leaves=10,
)


@pytest.fixture
def bucket(dynamodb: EmbeddedDynamoDB) -> str:
    return dynamodb.create_bucket()


@pytest.fixture
def blobs(bucket: str) -> Iterator[BlobStore]:
    connection = Connection("s3")
    yield BlobStore(connection, bucket)
    connection.recreate()


def image(seed: int, size: int = 60_000) -> str:
    return base64.b64encode(random.Random(seed).randbytes(size)).decode()


def names(dynamodb: EmbeddedDynamoDB, bucket: str) -> list[str]:
    listed = dynamodb.client("s3").list_objects_v2(Bucket=bucket)
    return [entry["Key"] for entry in listed.get("Contents", [])]


def turn(owner: str, parts: Any) -> Turn:
    id = new_id()
    return Turn(id, None, owner, NOW, "responses", "completed", "openai", "m", [parts], [], {"id": id})


@given(JSON)
def test_whatever_the_user_wrote_comes_back(value: Any) -> None:
    found: dict[str, str] = {}
    detached = blobs_module._detach(value, found)
    digests: set[str] = set()
    blobs_module._collect(detached, digests)
    assert digests == set(found)
    assert blobs_module._attach(detached, found) == value


async def test_media_leaves_the_table_and_comes_back(blobs: BlobStore, dynamodb: EmbeddedDynamoDB, bucket: str) -> None:
    table = Table(Connection("dynamodb"), dynamodb.create_tables()["state"])
    store = TurnStore(table, 1000, blobs, clock=lambda: NOW)
    parts = [
        {"image_url": "data:image/png;base64," + image(1)},
        {"file_data": image(2)},
        {"again": "data:image/png;base64," + image(1)},
        {"text": "plain words " * 9000, "$blob": "the user's own"},
    ]
    one = turn("acme", parts)
    await store.save(one)
    (item,) = await table.query(one.id[5:37])
    assert len(item["data"]) < 5_000
    assert len(names(dynamodb, bucket)) == 2  # content-addressed: the repeated picture is kept once
    assert (await store.load(one.id, "acme")).input == [parts]
    await store.save(turn("acme", parts))
    assert len(names(dynamodb, bucket)) == 2
    await store.save(turn("rival", parts))
    assert len(names(dynamodb, bucket)) == 4  # never shared between owners


async def test_small_turns_do_not_touch_s3(blobs: BlobStore, dynamodb: EmbeddedDynamoDB, bucket: str) -> None:
    table = Table(Connection("dynamodb"), dynamodb.create_tables()["state"])
    one = turn("acme", {"$blob": "user data", "image": image(1, 9_000)})
    await TurnStore(table, 1000, blobs, clock=lambda: NOW).save(one)
    assert names(dynamodb, bucket) == []
    without = TurnStore(table, 1000, clock=lambda: NOW)
    assert (await without.load(one.id, "acme")).input == one.input


async def test_gone_media_means_gone_turn_and_damaged_media_a_fault(
    blobs: BlobStore, dynamodb: EmbeddedDynamoDB, bucket: str
) -> None:
    table = Table(Connection("dynamodb"), dynamodb.create_tables()["state"])
    store = TurnStore(table, 1000, blobs, clock=lambda: NOW)
    one = turn("acme", image(1))
    await store.save(one)
    with pytest.raises(StoreFault, match="bucket"):
        await TurnStore(table, 1000, clock=lambda: NOW).load(one.id, "acme")
    (name,) = names(dynamodb, bucket)
    s3 = dynamodb.client("s3")
    s3.put_object(Bucket=bucket, Key=name, Body=b"other")
    with pytest.raises(StoreFault, match="damaged"):
        await store.load(one.id, "acme")
    s3.delete_object(Bucket=bucket, Key=name)
    with pytest.raises(GatewayError) as raised:
        await store.load(one.id, "acme")
    assert raised.value.status == 404


async def test_absurd_nesting_stays_in_the_table(blobs: BlobStore, dynamodb: EmbeddedDynamoDB, bucket: str) -> None:
    deep: Any = image(1)
    for _ in range(700):
        deep = [deep]
    table = Table(Connection("dynamodb"), dynamodb.create_tables()["state"])
    store = TurnStore(table, 1000, blobs, clock=lambda: NOW)
    one = turn("acme", deep)
    await store.save(one)
    assert names(dynamodb, bucket) == []
    inner = (await store.load(one.id, "acme")).input
    while isinstance(inner, list):
        inner = inner[0]
    assert inner == image(1)

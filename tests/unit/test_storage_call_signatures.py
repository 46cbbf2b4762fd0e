"""Signatures of tool calls, kept for clients that drop them."""

from __future__ import annotations

import pytest

from dev.embedded_dynamodb import EmbeddedDynamoDB
from headgate.conversation import Sealed
from headgate.storage.aws import Connection
from headgate.storage.call_signatures import LIFETIME, MOST, PREFIX, CallSignatures
from headgate.storage.table import Table

SEALED = Sealed("gemini", "c2lnbmVk", "vertex", "gemini-3.5-flash", credential="0a1b2c3d")


@pytest.fixture
def table(dynamodb: EmbeddedDynamoDB) -> Table:
    return Table(Connection("dynamodb"), dynamodb.create_tables()["state"])


async def test_a_signature_is_found_by_its_owner_until_it_expires(table: Table):
    now = 1_800_000_000.0
    signatures = CallSignatures(table, clock=lambda: now)
    other = Sealed("gemini", "b3RoZXI=", None, None, "encrypted")
    await signatures.keep("acme", {"call_1": SEALED, "call_2": other})
    assert await signatures.find("acme", ["call_2", "call_1", "call_1", "call_3"]) == {
        "call_1": SEALED,
        "call_2": other,
    }
    assert await signatures.find("other", ["call_1"]) == {}
    assert await signatures.find("acme", []) == {}
    now += LIFETIME
    assert await signatures.find("acme", ["call_1"]) == {}


async def test_the_last_calls_are_looked_up_where_there_are_too_many(table: Table):
    signatures = CallSignatures(table)
    await signatures.keep("acme", {"first": SEALED, "last": SEALED})
    ids = ["first", *(f"call_{number}" for number in range(MOST)), "last"]
    assert set(await signatures.find("acme", ids)) == {"last"}


async def test_the_key_says_nothing_of_owner_or_call(table: Table):
    await CallSignatures(table).keep("acme", {"call_secret": SEALED})
    written = await table.connection.call("scan", {"TableName": table.name})
    (item,) = written["Items"]
    assert item["pk"]["S"].startswith(PREFIX)
    assert not any(word in str(item) for word in ("acme", "call_secret"))

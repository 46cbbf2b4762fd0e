"""The request log."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from dataclasses import replace

import pytest

from dev.embedded_dynamodb import EmbeddedDynamoDB
from headgate.storage.aws import Connection
from headgate.storage.logs import BODY_LIMIT, DAY_MS, LogRow, LogStore
from headgate.storage.table import Table

MIDNIGHT = 1_800_057_600_000  # a UTC midnight, in milliseconds
TTL = 30 * 86_400

FULL = LogRow(
    request_id="req_1",
    at=MIDNIGHT,
    owner="acme/alice",
    key_id="key_1",
    endpoint="/v1/responses",
    method="POST",
    status=200,
    key_name="laptop",
    team="ml",
    model="auto",
    provider="anthropic",
    model_served="claude-sonnet-4-5",
    stream=True,
    input_tokens=25,
    cache_read_tokens=8,
    cache_write_5m_tokens=3,
    cache_write_1h_tokens=2,
    output_tokens=16,
    reasoning_tokens=5,
    audio_input_tokens=1,
    audio_output_tokens=1,
    web_searches=1,
    estimated=True,
    cost_pico=123_456_789_012_345,
    ttfb_ms=312,
    duration_ms=2_345,
    attempts=[{"provider": "openai", "status": 429, "ms": 12.25, "error": "slow down"}, {"provider": "anthropic"}],
    losses=[["tools[0].strict", "unsupported_parameter", ""]],
    error_code="provider_error",
    error_message="it broke",
    user_agent="claude-cli/2.1",
    response_id="resp_1",
    aborted=True,
    simulated=True,
    stored=True,
    extra={"ratio": 0.5, "n": None},
)
BARE = LogRow("req_0", MIDNIGHT, "acme", "key_1", "/v1/models", "GET", 0)


@pytest.fixture
def table(dynamodb: EmbeddedDynamoDB) -> Iterator[Table]:
    connection = Connection("dynamodb")
    yield Table(connection, dynamodb.create_tables()["logs"])
    connection.recreate()


@pytest.fixture
def store(table: Table) -> LogStore:
    return LogStore(table, TTL, clock=lambda: MIDNIGHT / 1000 + 60)


async def test_every_fact_comes_back(store: LogStore) -> None:
    free = replace(BARE, cost_pico=0, ttfb_ms=0)
    for row in (FULL, BARE, replace(free, request_id="req_2")):
        await store.write(row)
    assert await store.query("acme/alice", MIDNIGHT, MIDNIGHT + 1) == [FULL]
    assert await store.query("acme", MIDNIGHT, MIDNIGHT + 1) == [replace(free, request_id="req_2"), BARE]


async def test_a_stretch_crosses_days_newest_first(store: LogStore) -> None:
    times = [MIDNIGHT - 2 * DAY_MS, MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 5, MIDNIGHT + 50]
    for n, at in enumerate(times):
        await store.write(replace(BARE, at=at, request_id=f"r{n}"))
    await store.write(replace(BARE, owner="rival", request_id="theirs"))

    async def ids(since: int, until: int, limit: int = 100) -> list[str]:
        return [row.request_id for row in await store.query("acme", since, until, limit)]

    assert await ids(0, MIDNIGHT + 100) == ["r4", "r3", "r2", "r1", "r0"]
    assert await ids(MIDNIGHT - 1, MIDNIGHT + 5) == ["r2", "r1"]  # since is included, until is not
    assert await ids(MIDNIGHT - DAY_MS, MIDNIGHT + 100, 3) == ["r4", "r3", "r2"]
    assert await ids(MIDNIGHT + 100, MIDNIGHT) == []


async def test_expired_rows_are_not_shown_though_still_stored(table: Table) -> None:
    now = [MIDNIGHT / 1000]
    store = LogStore(table, TTL, clock=lambda: now[0])
    await store.write(BARE)
    (item,) = await table.query("acme#2027-01-16")
    assert item["expires_at"] == MIDNIGHT // 1000 + TTL
    now[0] += TTL - 1
    assert len(await store.query("acme", MIDNIGHT, MIDNIGHT + 1)) == 1
    now[0] += 1
    assert await store.query("acme", MIDNIGHT, MIDNIGHT + 1) == []


async def test_bodies_are_kept_compressed(store: LogStore, table: Table) -> None:
    text = "words \ud83d \U0001f600 " * 4000
    await store.write(replace(BARE, request_body=text, response_body=""))
    (row,) = await store.query("acme", MIDNIGHT, MIDNIGHT + 1)
    assert row.request_body == text.encode(errors="replace").decode() and row.response_body == ""
    assert not row.request_cut and not row.response_cut
    (item,) = await table.query("acme#2027-01-16")
    assert len(item["request_body"]) < 1000


async def test_long_bodies_are_cut_and_say_so(store: LogStore) -> None:
    chance = random.Random(1)
    incompressible = "".join(chance.choices(string.ascii_letters + string.digits, k=3_000_000))
    await store.write(replace(BARE, request_body="x" * (BODY_LIMIT + 1), response_body=incompressible))
    (row,) = await store.query("acme", MIDNIGHT, MIDNIGHT + 1)
    assert row.request_body == "x" * BODY_LIMIT and row.request_cut
    assert row.response_body is not None and row.response_cut
    assert len(row.response_body) > 100_000 and incompressible.startswith(row.response_body)


async def test_the_largest_row_fits_an_item(table: Table) -> None:
    noise = "".join(random.Random(2).choices(string.printable, k=2_000_000))
    store = LogStore(table, TTL, clock=lambda: MIDNIGHT / 1000)
    await store.write(replace(FULL, request_body=noise, response_body=noise, error_message=noise, user_agent=noise))
    (row,) = await store.query("acme/alice", MIDNIGHT, MIDNIGHT + 1)
    assert row.request_cut and row.response_cut and len(row.error_message) == 2000


async def test_no_bodies_when_the_deployment_keeps_none(table: Table) -> None:
    store = LogStore(table, TTL, body_limit=0, clock=lambda: MIDNIGHT / 1000)
    await store.write(replace(BARE, request_body="secret"))
    (row,) = await store.query("acme", MIDNIGHT, MIDNIGHT + 1)
    assert row.request_body == "" and row.request_cut

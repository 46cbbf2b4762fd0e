"""Which session a request belongs to, and what the state table knows of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from dev.embedded_dynamodb import EmbeddedDynamoDB
from headgate.routing.session_ids import session_id
from headgate.storage.aws import Connection
from headgate.storage.sessions import DAY, MOST_THOUGHT, Session, Sessions
from headgate.storage.table import Table

SYSTEM = {"role": "system", "content": "Be brief."}
FIRST = {"role": "user", "content": "Hi"}
MORE = [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Bye"}]


class CountedConnection(Connection):
    """Counts the calls to the store."""

    calls = 0

    async def call(self, method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        self.calls += 1
        return await super().call(method, parameters)


class Store:
    """Sessions at a time that the test sets."""

    def __init__(self, name: str) -> None:
        self.now = 1_800_000_000.9
        self.connection = CountedConnection("dynamodb")
        self.table = Table(self.connection, name)
        self.sessions = Sessions(self.table, clock=lambda: self.now)


@pytest.fixture
def store(dynamodb: EmbeddedDynamoDB) -> Store:
    return Store(dynamodb.create_tables()["state"])


async def test_only_the_first_request_is_the_first(store: Store) -> None:
    assert await store.sessions.begin("acme", "s") == Session(True)
    assert await store.sessions.begin("acme", "s") == Session(False)
    assert store.connection.calls == 2


async def test_of_many_at_once_one_is_the_first(store: Store) -> None:
    sessions = await asyncio.gather(*(store.sessions.begin("acme", "s") for _ in range(12)))
    assert sum(session.first for session in sessions) == 1


async def test_owners_and_sessions_are_kept_apart(store: Store) -> None:
    pairs = [("acme", "s"), ("acme", "t"), ("acme/ada", "s"), ("acm", "es"), ("acme", "\ud800"), ("acme", "x" * 9000)]
    assert [(await store.sessions.begin(*pair)).first for pair in pairs] == [True] * len(pairs)
    assert await store.sessions.keep_thought("acme", "s", "only here")
    assert [(await store.sessions.begin(*pair)).thought for pair in pairs] == ["only here"] + [None] * 5


async def test_a_session_ends_seven_days_after_its_first_request(store: Store) -> None:
    await store.sessions.begin("acme", "s")
    store.now += 6 * DAY
    assert await store.sessions.keep_thought("acme", "s", "plan")
    store.now += DAY - 1
    assert await store.sessions.begin("acme", "s") == Session(False, "plan")
    store.now += 1
    # The row is still there: the table deletes late.
    assert not await store.sessions.keep_thought("acme", "s", "too late")
    assert await store.sessions.begin("acme", "s") == Session(True)
    assert await store.sessions.begin("acme", "s") == Session(False, None)


async def test_the_last_thought_counts_and_has_a_bound(store: Store) -> None:
    assert not await store.sessions.keep_thought("acme", "s", "before there is a session")
    await store.sessions.begin("acme", "s")
    await store.sessions.keep_thought("acme", "s", "old")
    await store.sessions.keep_thought("acme", "s", " \U0001f600\ud800" + "é" * 50_000)
    thought = (await store.sessions.begin("acme", "s")).thought
    assert thought is not None and thought.startswith("\U0001f600?é") and len(thought) == MOST_THOUGHT


async def test_a_row_says_whose_it_is_and_when_it_ends_but_not_the_sessions_name(store: Store) -> None:
    await store.sessions.begin("acme", "secret-name")
    (item,) = (await store.connection.call("scan", {"TableName": store.table.name}))["Items"]
    assert item["owner"] == {"S": "acme"} and item["expires_at"] == {"N": str(1_800_000_000 + 7 * DAY)}
    assert item["pk"]["S"].startswith("session#") and "secret-name" not in json.dumps(item)


def sid(body: dict[str, Any], protocol: str = "chat_completions", owner: str = "acme", **headers: str) -> str:
    return session_id(protocol, {name.replace("_", "-"): value for name, value in headers.items()}, body, owner)


def test_what_the_client_says_counts_in_this_order() -> None:
    code = json.dumps({"device_id": "d", "account_uuid": "", "session_id": "from-claude-code"})
    body: dict[str, Any] = {
        "messages": [FIRST],
        "session_id": "own",
        "extra_body": {"session_id": "extra"},
        "metadata": {"session_id": "meta", "user_id": code},
        "prompt_cache_key": "cache",
    }
    said = [sid(body, x_session_id=" header "), sid(body)]
    for name in ("session_id", "extra_body"):
        del body[name]
        said.append(sid(body))
    del body["metadata"]["session_id"]
    said.append(sid(body))
    body["metadata"]["user_id"] = "user_0af3_account__session_0b8e9f34-77aa-4c1d-9d55-1e2f3a4b5c6d"
    said.append(sid(body))
    body["metadata"]["user_id"] = "somebody"
    said.append(sid(body))
    expected = ["header", "own", "extra", "meta", "from-claude-code", "0b8e9f34-77aa-4c1d-9d55-1e2f3a4b5c6d", "cache"]
    assert said == [f"given:{name}" for name in expected]
    del body["prompt_cache_key"]
    assert sid(body).startswith("start:") and sid(body, x_session_id="  ") == sid(body)


@pytest.mark.parametrize("value", [None, "", " ", 5, ["a"], {}])
def test_what_is_no_name_is_passed_over(value: Any) -> None:
    body = {"messages": [FIRST], "session_id": value, "metadata": value, "extra_body": value, "prompt_cache_key": value}
    assert sid(body) == sid({"messages": [FIRST]})
    for user in (value, "{", "[" * 100_000, "{" + '"a":[' * 50_000, '{"session_id": 5}', "{}"):
        assert sid({"messages": [FIRST], "metadata": {"user_id": user}}) == sid({"messages": [FIRST]})


@pytest.mark.parametrize(
    ("protocol", "first", "later", "others"),
    [
        (
            "chat_completions",
            {"messages": [SYSTEM, FIRST]},
            {"messages": [SYSTEM, FIRST, *MORE], "temperature": 1},
            [{"messages": [FIRST]}, {"messages": [SYSTEM, {"role": "user", "content": "Ho"}]}],
        ),
        (
            "responses",
            {"input": "Hi", "instructions": "Be brief."},
            {"input": [FIRST, *MORE], "instructions": "Be brief."},
            [{"input": "Hi"}, {"input": "Ho", "instructions": "Be brief."}],
        ),
        (
            "responses",
            {"messages": [FIRST]},
            {"input": [FIRST, *MORE]},
            [{"messages": MORE}],
        ),
        (
            "messages",
            {"messages": [FIRST], "system": "Be brief."},
            {
                "messages": [FIRST, *MORE],
                "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            },
            [{"messages": [FIRST]}, {"messages": MORE, "system": "Be brief."}],
        ),
    ],
)
def test_a_conversation_is_known_by_its_beginning(
    protocol: str, first: dict[str, Any], later: dict[str, Any], others: list[dict[str, Any]]
) -> None:
    assert sid(first, protocol) == sid(later, protocol)
    assert len({sid(body, protocol) for body in (first, *others)}) == 1 + len(others)
    assert sid(first, protocol) != sid(first, protocol, owner="acme/ada")


def test_a_continued_conversation_is_known_by_its_stored_beginning() -> None:
    begun = session_id("responses", {}, {"input": "Hi"}, "acme")
    body = {"input": "Bye", "previous_response_id": "resp_1"}
    assert session_id("responses", {}, body, "acme", history=[FIRST, *MORE]) == begun
    assert session_id("responses", {}, body, "acme") != begun


@pytest.mark.parametrize(
    "body", [{}, {"input": 5}, {"messages": [5]}, {"messages": [{"role": "user", "content": "\ud800"}]}]
)
@pytest.mark.parametrize("protocol", ["responses", "chat_completions", "messages"])
def test_every_body_has_a_session(protocol: str, body: dict[str, Any]) -> None:
    assert sid(body, protocol).startswith("start:")

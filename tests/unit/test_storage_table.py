"""The DynamoDB client: values, conditions, pages, batches, failures."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from dev.embedded_dynamodb import EmbeddedDynamoDB, one_at_a_time
from headgate.errors import GatewayError
from headgate.storage import schema
from headgate.storage.aws import ConditionFailed, Connection, StoreFault, StoreUnavailable
from headgate.storage.aws_json import AwsJson
from headgate.storage.table import Table, from_item, to_attribute, to_item

ROOT = Path(__file__).resolve().parents[2]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(min_size=1), inner, max_size=4),
    max_leaves=12,
)


@pytest_asyncio.fixture(params=["botocore", "our own"])
async def table(dynamodb: EmbeddedDynamoDB, request: pytest.FixtureRequest) -> AsyncIterator[Table]:
    own = AwsJson.from_env("dynamodb", dynamodb.environment(), "us-east-1")
    assert own is not None
    connection = own if request.param == "our own" else Connection("dynamodb")
    yield Table(connection, dynamodb.create_tables()["state"])
    connection.recreate()


@given(st.dictionaries(st.text(min_size=1), VALUES, max_size=5))
def test_values_come_back_as_they_went(item: dict[str, Any]) -> None:
    back = from_item(to_item(item))
    assert back == item
    assert repr(back) == repr(item)  # True and 1 are equal; here they must also be the same type


def test_a_float_is_refused_because_money_is_whole() -> None:
    with pytest.raises(TypeError, match="float"):
        to_attribute({"cost": 0.1})


async def test_a_failed_condition_shows_the_item_that_stands(table: Table) -> None:
    await table.put({"pk": "a", "sk": "b", "n": 1})
    with pytest.raises(ConditionFailed) as put:
        await table.put({"pk": "a", "sk": "b", "n": 2}, condition="attribute_not_exists(pk)")
    with pytest.raises(ConditionFailed) as update:
        await table.update(("a", "b"), "SET n = :new", condition="n > :least", values={":new": 3, ":least": 1})
    with pytest.raises(ConditionFailed) as absent:
        await table.update(("a", "c"), "SET n = :new", condition="attribute_exists(pk)", values={":new": 3})
    assert put.value.old == update.value.old == {"pk": "a", "sk": "b", "n": 1}
    assert absent.value.old is None
    assert await table.get(("a", "b")) == {"pk": "a", "sk": "b", "n": 1}
    assert await table.get(("a", "c")) is None


async def test_update_returns_what_was_asked_for(table: Table) -> None:
    new = await table.update(("u", "1"), "ADD hits :one", values={":one": 1}, returns="ALL_NEW")
    assert new == {"pk": "u", "sk": "1", "hits": 1}
    assert await table.update(("u", "1"), "ADD hits :one", values={":one": 1}) == {}
    assert await table.delete(("u", "1")) == {"pk": "u", "sk": "1", "hits": 2}
    assert await table.delete(("u", "1")) is None


async def test_conditional_updates_from_many_threads_lose_nothing(table: Table) -> None:
    """What limits and leases are built on: of all who try the same step, exactly one succeeds."""
    await table.put({"pk": "counter", "sk": "x", "n": 0})

    async def step(n: int) -> bool:
        try:
            await table.update(
                ("counter", "x"), "SET n = :new", condition="n = :old", values={":new": n + 1, ":old": n}
            )
        except ConditionFailed:
            return False
        return True

    for n in range(5):
        assert sum(await asyncio.gather(*(step(n) for _ in range(12)))) == 1
    item = await table.get(("counter", "x"))
    assert item is not None and item["n"] == 5


async def test_query_reads_every_page_in_order(table: Table) -> None:
    filler = b"x" * 300_000
    rows = [{"pk": "q", "sk": f"{n:03d}", "data": filler} for n in range(8)]
    await asyncio.gather(*(table.put(row) for row in rows))
    page, start = await table.query_page("q")
    assert start is not None and len(page) < 8
    assert [row["sk"] for row in await table.query("q")] == [row["sk"] for row in rows]
    assert [row["sk"] for row in await table.query("q", forward=False, limit=5)] == ["007", "006", "005", "004", "003"]
    assert [row["sk"] for row in await table.query("q", low="002", high="004")] == ["002", "003", "004"]
    assert [row["sk"] for row in await table.query("q", low="006")] == ["006", "007"]
    assert await table.query("q", high="000", attributes=("sk",)) == [{"sk": "000"}]


async def test_batches_are_cut_to_what_the_api_takes(table: Table) -> None:
    await table.batch_write({"pk": "b", "sk": f"{n:03d}"} for n in range(130))
    keys = [("b", f"{n:03d}") for n in range(140)]
    assert len(await table.batch_get(keys + keys[:3])) == 130
    await table.batch_write(deletes=keys[:60])
    assert len(await table.query("b")) == 70


async def test_put_together_is_all_or_nothing(table: Table) -> None:
    await table.put({"pk": "t", "sk": "2"})
    with pytest.raises(ConditionFailed) as failed:
        await table.put_together([{"pk": "t", "sk": "1"}, {"pk": "t", "sk": "2"}])
    assert failed.value.codes == ("None", "ConditionalCheckFailed")
    assert await table.get(("t", "1")) is None


async def test_rest_of_a_batch_is_tried_again_and_then_given_up() -> None:
    class Reluctant:
        def __init__(self, refusals: int) -> None:
            self.refusals = refusals
            self.written: list[Any] = []

        def batch_write_item(self, RequestItems: dict[str, list[Any]]) -> dict[str, Any]:
            ((name, actions),) = RequestItems.items()
            if self.refusals:
                self.refusals -= 1
                self.written += actions[:1]
                return {"UnprocessedItems": {name: actions[1:]}}
            self.written += actions
            return {}

        def close(self) -> None:
            return

    client = Reluctant(2)
    await Table(Connection("dynamodb", factory=lambda: client), "t").batch_write(
        {"pk": "x", "sk": str(n)} for n in range(5)
    )
    assert [action["PutRequest"]["Item"]["sk"]["S"] for action in client.written] == ["0", "1", "2", "3", "4"]
    with pytest.raises(StoreUnavailable):
        stubborn = Connection("dynamodb", factory=lambda: Reluctant(99))
        await Table(stubborn, "t").batch_write({"pk": "x", "sk": str(n)} for n in range(50))


def failing(code: str, status: int = 400) -> Connection:
    class Client:
        def get_item(self, **_: Any) -> Any:
            response: Any = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(response, "GetItem")

    return Connection("dynamodb", factory=Client)


@pytest.mark.parametrize("code,status,kind", [
    ("ThrottlingException", 400, StoreUnavailable),
    ("ProvisionedThroughputExceededException", 400, StoreUnavailable),
    ("InternalServerError", 500, StoreUnavailable),
    ("SomethingNew", 503, StoreUnavailable),
    ("AccessDeniedException", 400, StoreFault),
    ("ResourceNotFoundException", 400, StoreFault),
])  # fmt: skip
async def test_errors_are_told_apart_and_show_the_client_nothing(
    code: str, status: int, kind: type[GatewayError]
) -> None:
    with pytest.raises(kind) as raised:
        await Table(failing(code, status), "t").get(("a", "b"))
    assert raised.value.status == (503 if kind is StoreUnavailable else 500)
    assert code not in raised.value.message
    assert code in str(raised.value)


async def test_a_store_out_of_reach_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "x")
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(StoreUnavailable):
            await Table(Connection("dynamodb", "us-east-1"), "t").get(("a", "b"))


async def test_slow_calls_leave_the_event_loop_free() -> None:
    class Slow:
        def get_item(self, **_: Any) -> Any:
            time.sleep(0.3)
            return {}

    table = Table(Connection("dynamodb", factory=Slow), "t")
    call = asyncio.create_task(table.get(("a", "b")))
    ticks = 0
    while not call.done():
        await asyncio.sleep(0.01)
        ticks += 1
    assert ticks > 10


async def test_recreate_makes_a_new_client_and_new_threads() -> None:
    made: list[Any] = []
    threads: set[int | None] = set()

    class Client:
        closed = False

        def get_item(self, **_: Any) -> Any:
            threads.add(threading.current_thread().ident)
            return {}

        def close(self) -> None:
            self.closed = True

    def factory() -> Client:
        made.append(Client())
        return made[-1]

    connection = Connection("dynamodb", factory=factory)
    table = Table(connection, "t")
    assert made == []  # nothing happens before the first use
    await table.get(("a", "b"))
    await table.get(("a", "b"))
    assert len(made) == 1
    connection.recreate()
    assert made[0].closed
    await table.get(("a", "b"))
    assert len(made) == 2


async def test_two_first_calls_make_one_client() -> None:
    made: list[int] = []

    class Client:
        def get_item(self, **_: Any) -> Any:
            return {}

    def factory() -> Client:
        time.sleep(0.05)
        made.append(1)
        return Client()

    table = Table(Connection("dynamodb", factory=factory), "t")
    await asyncio.gather(*(table.get(("a", "b")) for _ in range(6)))
    assert made == [1]


def test_tables_have_the_declared_keys_and_expiry(dynamodb: EmbeddedDynamoDB) -> None:
    names = dynamodb.create_tables("declared-")
    client = dynamodb.client("dynamodb")
    for role, definition in schema.TABLES.items():
        described = client.describe_table(TableName=names[role])["Table"]
        assert described["KeySchema"] == definition.create_parameters("x")["KeySchema"]
        ttl = client.describe_time_to_live(TableName=names[role])["TimeToLiveDescription"]
        assert (ttl.get("AttributeName") == "expires_at") is definition.ttl
    assert dynamodb.create_tables("declared-") == names  # a second time changes nothing


def test_the_deployment_template_declares_the_same_tables() -> None:
    class Loader(yaml.SafeLoader):
        """CloudFormation's tags (``!Ref`` …) stand for values that this test does not look at."""

    Loader.add_multi_constructor("!", lambda loader, suffix, node: suffix)
    template = yaml.load((ROOT / "template.yaml").read_text(), Loader)
    resources = template["Resources"]
    tables = {name: r for name, r in resources.items() if r["Type"] == "AWS::DynamoDB::Table"}
    assert set(tables) == {f"{role.title()}Table" for role in schema.TABLES}  # the command line finds them by these
    for role, definition in schema.TABLES.items():
        resource = tables[f"{role.title()}Table"]
        properties = resource["Properties"]
        wanted = definition.create_parameters("x")
        for part in ("AttributeDefinitions", "KeySchema", "BillingMode"):
            assert properties[part] == wanted[part], (role, part)
        expiry = properties.get("TimeToLiveSpecification")
        assert expiry == ({"AttributeName": "expires_at", "Enabled": True} if definition.ttl else None)
        backups = properties.get("PointInTimeRecoverySpecification", {}).get("PointInTimeRecoveryEnabled", False)
        assert bool(backups) >= definition.protected
        assert bool(properties.get("DeletionProtectionEnabled", False)) >= definition.protected


def test_the_embedded_server_works_on_one_request_at_a_time() -> None:
    """Otherwise it would grant two leases at once now and then, which no real table does."""
    inside = 0
    overlaps: list[int] = []

    def app(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
        nonlocal inside
        inside += 1
        overlaps.append(inside)
        time.sleep(0.01)
        yield environ["wsgi.input"].read()
        inside -= 1

    serve = one_at_a_time(app)
    answers: list[bytes] = []

    def request(n: int) -> None:
        environ = {"wsgi.input": io.BytesIO(b"%d and the next request" % n), "CONTENT_LENGTH": "1"}
        answers.append(b"".join(serve(environ, None)))

    threads = [threading.Thread(target=request, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == [1] * 8
    assert sorted(answers) == [b"%d" % n for n in range(8)]

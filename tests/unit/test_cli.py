"""The command line, as its users see it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dev.embedded_dynamodb import EmbeddedDynamoDB, table_settings
from headgate import cli
from headgate.access.keys import KeyStore
from headgate.cli import CommandError, follow, main, moment, span, stack_table
from headgate.errors import GatewayError
from headgate.storage.aws import Connection
from headgate.storage.logs import LogRow, LogStore
from headgate.storage.table import Table

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def names(dynamodb: EmbeddedDynamoDB, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    names = dynamodb.create_tables()
    for name, value in table_settings(names).items():
        monkeypatch.setenv(name, value)
    return names


@pytest.fixture
def logs(names: dict[str, str]) -> Iterator[LogStore]:
    connection = Connection("dynamodb")
    yield LogStore(Table(connection, names["logs"]), 86_400)
    connection.recreate()


def row(id: str, **more: Any) -> LogRow:
    at = int(time.time() * 1000) - 1000
    base = LogRow(id, at, "default", "key_1", "/v1/messages", "POST", 200, model="auto", cost_pico=1_500_000)
    return replace(base, **more)


def test_create_prints_the_key_once_and_it_works(names: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--name", "ci", "--owner", "acme/bot", "--team", "ml", "--expires-in", "30d", "--deny-model", "o1*"]
    assert main(["keys", "create", *arguments, "--log-bodies", "--json"]) == 0
    created = json.loads(capsys.readouterr().out)
    key = created.pop("key")
    record = asyncio.run(KeyStore(Table(Connection("dynamodb"), names["control"])).authenticate(key))
    assert record.id == created["id"] and record.policy.denied_models == ("o1*",) and record.policy.log_bodies
    assert record.expires_at is not None and abs(record.expires_at - time.time() - 30 * 86_400) < 60
    assert main(["keys", "list", "--json"]) == 0
    listed = capsys.readouterr().out
    assert json.loads(listed) == [created]
    assert key not in listed and record.sha256 not in listed and created["masked"] == f"sk-hg-v1...{key[-4:]}"


def test_list_and_revoke_for_people(names: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "create", "--name", "a laptop", "--logging", "off"]) == 0
    out, err = capsys.readouterr()
    id, key = out.split()[1], out.split()[-1]
    assert out.count("sk-hg-v1-") == 1 and "only time" in err
    main(["keys", "list"])
    header, line = capsys.readouterr().out.splitlines()
    assert header.startswith("ID") and id in line and "active" in line and "a laptop" in line and "logging off" in line
    assert main(["keys", "revoke", id]) == 0
    assert "revoked" in capsys.readouterr().out
    main(["keys", "list"])
    assert "revoked" in capsys.readouterr().out
    with pytest.raises(GatewayError):
        asyncio.run(KeyStore(Table(Connection("dynamodb"), names["control"])).authenticate(key))


@pytest.mark.parametrize(
    "arguments,told",
    [
        (["keys", "revoke", "key_0"], "no key key_0"),
        (["keys", "create", "--name", "x", "--owner", "a b"], "owner"),
        (["keys", "create", "--name", "x", "--expires-in", "soon"], "'soon'"),
        (["keys", "create", "--name", "x", "--logging", "off", "--log-bodies"], "log_bodies"),
        (["keys", "list", "--table", "nonesuch"], "--table"),
        (["logs", "list", "--since", "yesterday"], "'yesterday'"),
    ],
)
def test_failures_are_one_line(
    names: dict[str, str], capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("headgate: ") and told in err and err.count("\n") == 1


def test_logs_list(names: dict[str, str], logs: LogStore, capsys: pytest.CaptureFixture[str]) -> None:
    async def write() -> None:
        served = {"provider": "anthropic", "model_served": "claude", "ttfb_ms": 90, "simulated": True}
        await logs.write(row("req_new", input_tokens=25, output_tokens=16, **served))
        await logs.write(row("req_bad", status=424, error_code="provider_error", model="x\x1b[2J", cost_pico=None))
        await logs.write(row("req_old", at=int(time.time() * 1000) - 7_200_000))
        await logs.write(row("req_theirs", owner="rival"))

    asyncio.run(write())
    assert main(["logs", "list"]) == 0
    out = capsys.readouterr().out
    assert "req_new" in out and "anthropic/claude" in out and "25+16" in out and "$0.000002" in out
    assert "simulated" in out and "provider_error" in out and "x?[2J" in out
    assert "req_old" not in out and "req_theirs" not in out
    assert main(["logs", "list", "--since", "3h", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {r["request_id"] for r in shown} == {"req_new", "req_bad", "req_old"}
    costs = {r["request_id"]: r["cost_usd"] for r in shown}
    assert costs["req_new"] == 1.5e-6 and costs["req_bad"] is None
    assert main(["logs", "list", "--since", "3h", "--until", "1h", "--limit", "5", "--json"]) == 0
    assert [r["request_id"] for r in json.loads(capsys.readouterr().out)] == ["req_old"]


async def test_follow_shows_each_row_once_however_late_it_was_written(logs: LogStore) -> None:
    await logs.write(row("before"))
    looks = 0

    async def pause() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            await logs.write(row("first"))
        if looks == 2:
            ten_minutes_ago = int(time.time() * 1000) - 600_000
            await logs.write(row("long", at=ten_minutes_ago))  # began long before the first one ended
            await logs.write(row("second"))
        if looks == 4:
            raise asyncio.CancelledError

    seen: list[str] = []
    with pytest.raises(asyncio.CancelledError):
        async for one in follow(logs, "default", pause):
            seen.append(one.request_id)
    assert seen == ["first", "long", "second"]


def test_spans_and_moments() -> None:
    assert [span(text) for text in ("90s", "15m", "12h", "30d", "8w")] == [90, 900, 43_200, 2_592_000, 4_838_400]
    assert moment("1h", 10_000_000) == 6_400_000
    assert moment("2026-11-20", 0) == 1_795_132_800_000
    assert moment("2026-11-20T01:00:00+01:00", 0) == 1_795_132_800_000
    for bad in ("", "5", "h", "-5m", "1y", "1.5h"):
        with pytest.raises(ValueError):
            span(bad)


class Stack:
    """CloudFormation's answers about one stack, in two pages."""

    def __init__(self, *tables: str) -> None:
        self.tables = tables

    def get_paginator(self, name: str) -> Stack:
        assert name == "list_stack_resources"
        return self

    def paginate(self, StackName: str) -> list[dict[str, Any]]:
        kind = "AWS::DynamoDB::Table"
        found = [{"LogicalResourceId": t, "PhysicalResourceId": f"{StackName}-{t}-X1"} for t in self.tables]
        bucket = {"LogicalResourceId": "ControlBucket", "PhysicalResourceId": "b", "ResourceType": "AWS::S3::Bucket"}
        return [
            {"StackResourceSummaries": [bucket]},
            {"StackResourceSummaries": [{**resource, "ResourceType": kind} for resource in found]},
        ]


def test_tables_of_a_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack("StateTable", "LogsTable", "ControlTable", "MetricsTable")
    assert stack_table(stack, "prod", "control") == "prod-ControlTable-X1"
    assert stack_table(stack, "prod", "logs") == "prod-LogsTable-X1"
    with pytest.raises(CommandError, match="no control tables"):
        stack_table(Stack("StateTable"), "prod", "control")
    monkeypatch.setattr(cli, "make_client", lambda service, region: stack if service == "cloudformation" else None)
    arguments = cli._parser().parse_args(["keys", "list", "--stack-name", "prod", "--region", "eu-west-1"])
    assert cli._table(arguments, "control").name == "prod-ControlTable-X1"


def test_as_a_command(names: dict[str, str]) -> None:
    """Also with the region in ``AWS_REGION`` only, which botocore by itself does not read."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "shared")}
    del environment["AWS_DEFAULT_REGION"]
    command = [sys.executable, "-m", "headgate.cli", "keys", "list"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["ID", "KEY", "OWNER", "TEAM", "NAME", "CREATED", "STATE", "POLICY"]
    wrong = subprocess.run([*command[:3], "keys"], env=environment, capture_output=True, text=True)
    assert wrong.returncode == 2 and "usage: headgate keys" in wrong.stderr

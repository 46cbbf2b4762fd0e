"""``headgate``: keys and the request log from the command line, against AWS or a local endpoint.

Tables are found by ``--table``, by ``--stack-name`` (a CloudFormation stack), or by the same environment variables
that the functions have. Credentials and region are the usual ones of AWS; ``AWS_ENDPOINT_URL_DYNAMODB`` points the
command at a local server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from headgate.access.keys import KeyRecord, KeyStore
from headgate.access.policy import read_policy, write_policy
from headgate.settings import Settings, SettingsError
from headgate.storage.aws import Connection, StoreFault, StoreUnavailable, make_client
from headgate.storage.logs import LogRow, LogStore
from headgate.storage.table import Table
from headgate.usage import dollars

TAIL_WINDOW_MS = 15 * 60_000
"""A row is written when its request ends and sorts by when it began, which is at most a function's longest run ago."""

_SPAN = re.compile(r"([0-9]{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class CommandError(Exception):
    """What to tell the user on standard error; the exit status is 1."""


def main(argv: Sequence[str] | None = None) -> int:
    """The console command. Returns the exit status: 0, 1 for a failure, 2 (from argparse) for wrong arguments."""
    arguments = _parser().parse_args(argv)
    try:
        asyncio.run(arguments.run(arguments))
    except (CommandError, SettingsError, ValueError) as error:
        print(f"headgate: {error}", file=sys.stderr)
        return 1
    except (StoreFault, StoreUnavailable) as error:
        print(f"headgate: {_explain(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader (head, less) has seen enough. Python would complain once more while it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--table", help="name of the control table (keys) or of the logs table (logs)")
    where.add_argument("--stack-name", help="CloudFormation stack to find the table in")
    where.add_argument("--region", help="AWS region")
    where.add_argument("--json", action="store_true", help="print JSON")
    top = argparse.ArgumentParser(prog="headgate", description="Administer a Headgate deployment.")
    areas = top.add_subparsers(required=True, metavar="AREA")

    keys = areas.add_parser("keys", help="API keys").add_subparsers(required=True, metavar="COMMAND")
    create = keys.add_parser("create", parents=[where], help="make a key and print it, once")
    create.add_argument("--name", required=True, help="what the key is for")
    create.add_argument("--owner", default="default", help="scope whose keys share conversations (default: default)")
    create.add_argument("--team", default="", help="label for reports")
    create.add_argument("--expires-in", metavar="SPAN", help="such as 12h, 30d, 8w (default: never)")
    create.add_argument("--logging", choices=("on", "off"), default="on", help="keep conversations (default: on)")
    create.add_argument("--log-bodies", action="store_true", help="keep requests and answers in the request log")
    create.add_argument("--zdr", action="store_true", help="only providers with certified zero data retention")
    create.add_argument("--allow-model", action="append", default=[], metavar="PATTERN", help="repeatable")
    create.add_argument("--deny-model", action="append", default=[], metavar="PATTERN", help="repeatable")
    create.set_defaults(run=_create_key)
    listing = keys.add_parser("list", parents=[where], help="list all keys")
    listing.set_defaults(run=_list_keys)
    revoke = keys.add_parser("revoke", parents=[where], help="make a key useless for good")
    revoke.add_argument("id", help="the key's id, as in `headgate keys list`")
    revoke.set_defaults(run=_revoke_key)

    logs = areas.add_parser("logs", help="the request log").add_subparsers(required=True, metavar="COMMAND")
    stretch = logs.add_parser("list", parents=[where], help="requests of a stretch of time, newest first")
    stretch.add_argument("--since", default="1h", metavar="WHEN", help="15m, 2h, 7d ago or an ISO 8601 time")
    stretch.add_argument("--until", default="0s", metavar="WHEN", help="likewise (default: now)")
    stretch.add_argument("--limit", type=int, default=100)
    stretch.set_defaults(run=_list_logs)
    tail = logs.add_parser("tail", parents=[where], help="requests as they end, until interrupted")
    tail.add_argument("--interval", type=float, default=2.0, metavar="SECONDS")
    tail.set_defaults(run=_tail_logs)
    for command in (stretch, tail):
        command.add_argument("--owner", default="default", help="scope whose requests to show (default: default)")
    return top


async def _create_key(arguments: argparse.Namespace) -> None:
    policy = read_policy(
        {
            "logging": arguments.logging,
            "log_bodies": arguments.log_bodies,
            "zdr": arguments.zdr,
            "allowed_models": arguments.allow_model,
            "denied_models": arguments.deny_model,
        }
    )
    expires_at = int(time.time()) + span(arguments.expires_in) if arguments.expires_in else None
    key, record = await _keys(arguments).create(
        arguments.name, arguments.owner, team=arguments.team, policy=policy, expires_at=expires_at
    )
    if arguments.json:
        _print_json({"key": key, **describe_key(record)})
        return
    print(f"id     {record.id}\nowner  {record.owner}\nkey    {key}")
    print("This is the only time the key is shown.", file=sys.stderr)


async def _list_keys(arguments: argparse.Namespace) -> None:
    records = await _keys(arguments).list()
    if arguments.json:
        _print_json([describe_key(record) for record in records])
        return
    rows = [
        (r.id, r.masked, r.owner, r.team or "-", r.name, _day(r.created_at), _state(r), f"logging {r.policy.logging}")
        for r in records
    ]
    _print_table(("ID", "KEY", "OWNER", "TEAM", "NAME", "CREATED", "STATE", "POLICY"), rows)


async def _revoke_key(arguments: argparse.Namespace) -> None:
    try:
        record = await _keys(arguments).revoke(arguments.id)
    except KeyError:
        raise CommandError(f"there is no key {arguments.id}") from None
    if arguments.json:
        _print_json(describe_key(record))
    else:
        print(f"{record.id} ({record.masked}) is revoked; functions may accept it for up to 30 more seconds.")


async def _list_logs(arguments: argparse.Namespace) -> None:
    now = int(time.time() * 1000)
    rows = await _logs(arguments).query(
        arguments.owner, moment(arguments.since, now), moment(arguments.until, now) + 1, arguments.limit
    )
    if arguments.json:
        _print_json([describe_row(row) for row in rows])
    else:
        _print_table(_LOG_COLUMNS, [_log_cells(row) for row in rows])


async def _tail_logs(arguments: argparse.Namespace) -> None:
    store = _logs(arguments)
    async for row in follow(store, arguments.owner, lambda: asyncio.sleep(arguments.interval)):
        line = json.dumps(describe_row(row)) if arguments.json else "  ".join(_log_cells(row))
        print(line, flush=True)


async def follow(
    store: LogStore, owner: str, pause: Callable[[], Awaitable[None]], clock: Callable[[], float] = time.time
) -> AsyncIterator[LogRow]:
    """Rows that are written from now on, each once; ``pause`` is awaited between two looks."""
    seen: dict[str, int] = {}
    first = True
    while True:
        now = int(clock() * 1000)
        rows = await store.query(owner, now - TAIL_WINDOW_MS, now + 60_000, limit=5000)
        seen = {id: at for id, at in seen.items() if at >= now - 2 * TAIL_WINDOW_MS}
        for row in reversed(rows):
            if row.request_id not in seen:
                seen[row.request_id] = row.at
                if not first:
                    yield row
        first = False
        await pause()


def span(text: str) -> int:
    """Seconds of a span such as ``90s``, ``15m``, ``12h``, ``30d``, ``8w``. Raises ValueError."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a span of time such as 15m, 12h or 30d")
    return int(match[1]) * _SECONDS[match[2]]


def moment(text: str, now: int) -> int:
    """Unix milliseconds of a span before ``now`` or of an ISO 8601 time (UTC unless it says otherwise). Raises
    ValueError."""
    if _SPAN.fullmatch(text):
        return now - span(text) * 1000
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is neither a span of time such as 2h nor an ISO 8601 time") from None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return int(parsed.timestamp() * 1000)


def describe_key(record: KeyRecord) -> dict[str, Any]:
    """A key's record as JSON, without its hash."""
    described = asdict(record)
    del described["sha256"]
    return {**described, "policy": write_policy(record.policy)}


def describe_row(row: LogRow) -> dict[str, Any]:
    """A log row as JSON, with the cost in dollars as well."""
    return {**asdict(row), "cost_usd": None if row.cost_pico is None else dollars(row.cost_pico)}


def stack_table(client: Any, stack: str, role: str) -> str:
    """The name of a stack's table by role (``control``, ``logs`` …), found by its logical id. Raises
    ``CommandError``."""
    pages = client.get_paginator("list_stack_resources").paginate(StackName=stack)
    found = [
        str(resource["PhysicalResourceId"])
        for page in pages
        for resource in page["StackResourceSummaries"]
        if resource["ResourceType"] == "AWS::DynamoDB::Table" and role in resource["LogicalResourceId"].lower()
    ]
    if len(found) != 1:
        raise CommandError(f"the stack {stack} has {len(found) or 'no'} {role} tables; name one with --table")
    return found[0]


def _keys(arguments: argparse.Namespace) -> KeyStore:
    return KeyStore(_table(arguments, "control"), patience=15.0)


def _logs(arguments: argparse.Namespace) -> LogStore:
    return LogStore(_table(arguments, "logs"), Settings.from_env(os.environ).log_ttl)


def _table(arguments: argparse.Namespace, role: str) -> Table:
    settings = Settings.from_env(os.environ)
    region = arguments.region or settings.region
    if arguments.table:
        name = arguments.table
    elif arguments.stack_name:
        name = _stack_table(arguments.stack_name, role, region)
    else:
        name = settings.table_names()[role]
    return Table(Connection("dynamodb", region), name)


def _stack_table(stack: str, role: str, region: str | None) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return stack_table(make_client("cloudformation", region), stack, role)
    except (BotoCoreError, ClientError) as error:
        raise CommandError(f"the stack {stack} cannot be read: {error}") from None


def _explain(error: StoreFault | StoreUnavailable) -> str:
    text = str(error)
    if text.startswith("ResourceNotFoundException"):
        return f"{text} (say which table with --table, --stack-name or the HEADGATE_*_TABLE variables)"
    return text


def _state(record: KeyRecord) -> str:
    if record.revoked_at is not None:
        return f"revoked {_day(record.revoked_at)}"
    if record.expires_at is None:
        return "active"
    return f"{'active until' if record.usable(time.time()) else 'expired'} {_day(record.expires_at)}"


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


_LOG_COLUMNS = ("TIME", "STATUS", "ENDPOINT", "MODEL", "TOKENS", "COST", "TTFB", "MS", "KEY", "REQUEST", "NOTE")


def _log_cells(row: LogRow) -> tuple[str, ...]:
    served = f"{row.provider}/{row.model_served}" if row.provider else row.model or "-"
    flags = ("aborted", row.aborted), ("simulated", row.simulated), ("estimated", row.estimated)
    notes = [row.error_code] * bool(row.error_code) + [name for name, is_set in flags if is_set]
    cells = (
        datetime.fromtimestamp(row.at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        str(row.status),
        row.endpoint,
        served,
        f"{row.input_tokens}+{row.output_tokens}",
        "-" if row.cost_pico is None else f"${dollars(row.cost_pico):.6f}",
        "-" if row.ttfb_ms is None else str(row.ttfb_ms),
        str(row.duration_ms),
        row.key_name or row.key_id,
        row.request_id,
        " ".join(notes) or "-",
    )
    # Model and error come from clients and upstreams; a terminal must not obey what they contain.
    return tuple("".join(c if c.isprintable() else "?" for c in cell) for cell in cells)


def _print_json(value: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> None:
    print(json.dumps(value, indent=2))


def _print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())

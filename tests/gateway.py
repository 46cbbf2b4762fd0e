"""A running gateway for tests: real function processes behind the local front, simulated providers, embedded tables."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from dev.lambda_emulator import Emulator
from dev.serve import Backends, gateway
from headgate.storage.logs import LogRow

Upstream = Literal["responses", "chat_completions", "messages"]

# Which origin and which model reach a given upstream protocol. The OpenAI row speaks two protocols; a setting that
# operators of compatible servers use as well leaves it one.
UPSTREAMS: dict[Upstream, tuple[dict[str, str], str]] = {
    "responses": ({"HEADGATE_OPENAI_PROTOCOLS": "responses"}, "gpt-4o-mini"),
    "chat_completions": ({"HEADGATE_OPENAI_PROTOCOLS": "chat_completions"}, "gpt-4o-mini"),
    "messages": ({}, "claude-haiku-4-5"),
}


APART = {"HEADGATE_CIRCUIT_BREAKER": "off", "HEADGATE_RETRY_WAIT": "0"}
"""Tests make routes fail on purpose: what one did must not decide where the request of another goes, and a provider's
``Retry-After`` is not worth anybody's time."""


@dataclass
class Origin:
    """One origin with its key. ``emulator`` gives the processes behind it, ``backends`` what they use."""

    url: str
    key: str
    emulator: Emulator
    backends: Backends
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {"authorization": f"Bearer {self.key}"}

    def post(self, path: str, body: Any, *, headers: dict[str, str] | None = None, **options: Any) -> httpx.Response:
        """POST JSON (or raw bytes) with the key."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"content-type": "application/json", **self.headers, **(headers or {})}
        return httpx.post(self.url + path, content=content, headers=sent, timeout=60, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET with the key."""
        return httpx.get(self.url + path, headers=self.headers, timeout=60, **options)

    def log_row(self, request_id: str) -> LogRow:
        """The log row of a request, waiting a moment for it: it is written after the answer has ended."""
        return wait_for_row(self, request_id)


@contextlib.contextmanager
def origin(backends: Backends, environment: dict[str, str] | None = None, key: str | None = None) -> Iterator[Origin]:
    """An origin over ``backends`` with more environment for its functions."""
    with gateway({**backends.environment, **APART, **(environment or {})}) as emulator:
        yield Origin(emulator.url, key or backends.create_key(), emulator, backends)


def wait_for_row(origin: Origin, request_id: str) -> LogRow:
    """The log row of ``request_id``, which came within the last minute; fails where none appears in 20 seconds."""
    import asyncio
    import time

    from headgate.storage.aws import Connection
    from headgate.storage.logs import LogStore
    from headgate.storage.table import Table

    connection = Connection("dynamodb", factory=lambda: origin.backends.tables.client("dynamodb"))
    logs = LogStore(Table(connection, origin.backends.names["logs"]), 86_400)
    until = time.monotonic() + 20
    since = time.time_ns() // 1_000_000 - 60_000
    try:
        while time.monotonic() < until:
            for row in asyncio.run(logs.query("local", since, since + 120_000, 100)):
                if row.request_id == request_id:
                    return row
            time.sleep(0.1)
    finally:
        connection.recreate()
    raise AssertionError(f"no log row for {request_id} (pid {os.getpid()})")

"""What requests leave in the metrics table, and what that does to the next ones."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.serve import Backends
from headgate.storage.aws import Connection
from headgate.storage.metrics import MetricsStore, Shared
from headgate.storage.metrics_rows import Counts, Route
from headgate.storage.table import Table
from tests.gateway import Origin, origin

Gateway = tuple[Origin, str]
"""An origin and the name of its metrics table."""


@pytest.fixture
def gateway(gateway_backends: Backends, tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Starts an origin with a metrics table of its own, circuit breakers, and a model that OpenAI has cheaper than
    Anthropic."""
    routes = [
        {"provider": "openai", "model": "gpt-4o-mini", "usd_per_million": {"input": 1, "output": 2}},
        {"provider": "anthropic", "model": "claude-haiku-4-5", "usd_per_million": {"input": 3, "output": 4}},
    ]
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"models": [{"slug": "own-pair", "routes": routes}]}))
    with ExitStack() as stack:

        def start(table: str | None = None) -> Gateway:
            name = table or gateway_backends.tables.create_tables()["metrics"]
            environment = {
                "HEADGATE_CATALOG": str(own),
                "HEADGATE_CIRCUIT_BREAKER": "on",
                "HEADGATE_METRICS_TABLE": name,
            }
            return stack.enter_context(origin(gateway_backends, environment)), name

        yield start


def ask(running: Origin, text: str, *, stream: bool = False, **headers: str) -> httpx.Response:
    """A conversation of its own, which no route has in its prompt cache."""
    body = {"model": "own-pair", "messages": [{"role": "user", "content": f"{text} {uuid.uuid4()}"}], "stream": stream}
    return running.post("/v1/chat/completions", body, headers=headers)


def route_of(answer: httpx.Response) -> tuple[str, str]:
    """(provider, number of attempts)."""
    return answer.headers["x-headgate-provider"], answer.headers["x-headgate-attempts"]


def in_table(running: Origin, name: str, read: Callable[[MetricsStore], Any]) -> Any:
    connection = Connection("dynamodb", factory=lambda: running.backends.tables.client("dynamodb"))
    try:
        return asyncio.run(read(MetricsStore(Table(connection, name))))
    finally:
        connection.recreate()


def counted(running: Origin, name: str, requests: int) -> dict[Route, Counts]:
    """What the table holds once it is so many calls; they are written after the answer."""
    until = time.monotonic() + 20
    while True:
        routes = in_table(running, name, lambda store: store.collect(900)).routes
        if sum(counts.numbers.get("requests", 0) for counts in routes.values()) >= requests:
            return routes
        assert time.monotonic() < until, routes
        time.sleep(0.05)


def test_every_call_is_counted(gateway: Callable[..., Gateway]) -> None:
    running, name = gateway()
    assert route_of(ask(running, "[[tokens:7]]")) == ("openai", "1")
    assert route_of(ask(running, "[[@openai fail:503]] [[tokens:9]]")) == ("anthropic", "2")
    routes = counted(running, name, 3)
    openai, anthropic = routes["openai", "own-pair"], routes["anthropic", "own-pair"]
    assert (openai.numbers["requests"], openai.numbers["succeeded"], openai.classes) == (2, 1, {"text": (2, 1)})
    assert (anthropic.numbers["requests"], anthropic.numbers["output_tokens"]) == (1, 9)
    assert all(sum(each.histograms[one].values()) == 1 for each in (openai, anthropic) for one in "le")


def test_a_route_that_fails_is_left_out(gateway: Callable[..., Gateway]) -> None:
    running, name = gateway()
    seen = [route_of(ask(running, "[[@openai fail:503]] [[say:here]]")) for _ in range(10)]
    assert seen[:3] == [("anthropic", "2")] * 3
    # Whichever process serves, it has seen three failures or read of them by now.
    assert seen[-1] == ("anthropic", "1")
    shared: Shared = in_table(running, name, lambda store: store.live())
    assert shared.breakers["openai", "own-pair", "text"]["open_until"] > time.time()


def test_an_impatient_caller_takes_no_route_from_the_others(gateway: Callable[..., Gateway]) -> None:
    running, name = gateway()
    for n in range(10):
        answer = ask(running, "[[slow-headers:1]]", stream=n % 2 == 0, **{"x-headgate-timeout-ms": "150"})
        assert answer.status_code == 504, answer.text
    assert route_of(ask(running, "[[say:yes]]")) == ("openai", "1")
    assert list(counted(running, name, 1)) == [("openai", "own-pair")]
    assert in_table(running, name, lambda store: store.live()).breakers == {}


def test_without_the_table_requests_flow(gateway: Callable[..., Gateway]) -> None:
    running, _ = gateway("there-is-no-such-table")
    for _ in range(3):
        assert route_of(ask(running, "[[say:yes]]")) == ("openai", "1")
    seen = [route_of(ask(running, "[[@openai fail:503]] [[say:yes]]")) for _ in range(10)]
    assert {provider for provider, _ in seen} == {"anthropic"}

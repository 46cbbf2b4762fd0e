"""What tests of routes' health and metrics need beside a gateway: a proxy in front of the tables that counts and can
stop answering for one of them, the metrics table itself, a server that nobody gets a connection to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

import httpx

from dev.serve import Backends
from headgate.storage.aws import Connection
from headgate.storage.metrics import MetricsStore
from headgate.storage.table import Item, Table
from tests.gateway import Origin

T = TypeVar("T")


def settled(origin: Origin) -> None:
    """Wait until every function has finished what it does after an answer, so that one process serves what comes
    next and knows of what came before."""
    until = time.monotonic() + 20
    while any(
        environment.state != "idle"
        for name in ("responses", "chat_completions", "messages")
        for environment in origin.emulator.environments(name)
    ):
        assert time.monotonic() < until, "a function does not become idle"
        time.sleep(0.005)


@dataclass(frozen=True)
class Metrics:
    """A metrics table of its own."""

    backends: Backends
    name: str

    def run(self, work: Callable[[MetricsStore, Table], Awaitable[T]]) -> T:
        """Do something with the table."""
        connection = Connection("dynamodb", factory=lambda: self.backends.tables.client("dynamodb"))
        table = Table(connection, self.name)

        async def done() -> T:
            return await work(MetricsStore(table), table)

        try:
            return asyncio.run(done())
        finally:
            connection.recreate()

    def breaker(self, provider: str, slug: str, kind: str = "text") -> Item:
        """A breaker's row, empty where there is none."""
        return self.run(lambda _, table: table.get(("live", f"breaker#{provider}/{slug}#{kind}"))) or {}

    def cool_down(self, provider: str, slug: str, kind: str = "text") -> None:
        """Let a breaker's time be over."""
        now = time.time_ns() // 1_000_000
        row = {**self.breaker(provider, slug, kind), "open_until": now - 1000, "opened": now - 60_000}
        self.run(lambda _, table: table.put(row))

    def forget_snapshots(self) -> None:
        """Let the next process that is asked for metrics put them together anew."""

        async def forget(_: MetricsStore, table: Table) -> None:
            page, _ = await table.query_page("live")
            for row in page:
                if row["sk"].startswith(("snapshot#", "lease#")):
                    await table.delete(("live", row["sk"]))

        self.run(forget)


def new_metrics(backends: Backends) -> Metrics:
    """A metrics table that nobody else uses."""
    return Metrics(backends, backends.tables.create_tables()["metrics"])


@dataclass
class Proxy:
    """In front of the tables. ``calls``: (when, Unix seconds; operation) for each call to table ``watched``. While
    ``answers`` is not set, those calls get no answer."""

    url: str
    watched: str
    calls: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    answers: threading.Event = field(default_factory=threading.Event)


@contextlib.contextmanager
def proxy(backends: Backends, watched: str) -> Iterator[Proxy]:
    """A proxy in front of the tables, as long as the context lasts."""
    client = httpx.Client(base_url=backends.tables.url, timeout=30)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if json.loads(body).get("TableName") == watched:
                standing.calls.append((time.time(), self.headers["x-amz-target"].partition(".")[2]))
                standing.answers.wait(60)
            sent = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
            answer = client.post("/", content=body, headers=sent)
            with contextlib.suppress(OSError):  # whoever asked may have given up
                self.send_response(answer.status_code)
                self.send_header("content-type", answer.headers["content-type"])
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    standing = Proxy(f"http://127.0.0.1:{server.server_port}", watched)
    standing.answers.set()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield standing
    finally:
        standing.answers.set()
        server.shutdown()
        thread.join(10)
        server.server_close()
        client.close()


@contextlib.contextmanager
def no_connections() -> Iterator[int]:
    """The port of a server whose queue of connections is full: the kernel answers nobody who wants another one."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(server.getsockname())
        yield server.getsockname()[1]


@contextlib.contextmanager
def refused_port() -> Iterator[int]:
    """A port that is taken and that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]

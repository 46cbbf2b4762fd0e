"""A cell of the matrix while it is tested, and the gateway it asks."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import httpx
from starlette.testclient import TestClient

from headgate.access.policy import Policy
from headgate.catalog.catalog import FILE
from headgate.routing.media import MediaFetcher
from headgate.settings import Settings
from headgate.storage.aws import Connection
from headgate.storage.logs import LogRow, LogStore
from headgate.storage.table import Table
from headgate.web import chat_completions, messages, responses
from headgate.web.app import build_app
from headgate.web.services import Services
from tests.gateway import Origin
from tests.matrix.asking import PATHS, body_of, encoded
from tests.matrix.facts import Answer, Ask, User
from tests.matrix.providers import Lack, Vendor
from tests.matrix.reading import FINISH, answer_of
from tests.matrix.upstreams import Sent, sent
from tests.media_server import media_server

_numbers = itertools.count(1)


class Gateway:
    """The origin under test with one connection to it, a key for each vendor, and its request log."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.client = httpx.Client(timeout=60)
        self._keys: dict[str, str] = {}
        self._local: TestClient | None = None

    def post(self, frontend: str, body: dict[str, Any], vendor: str, *, locally: bool = False) -> httpx.Response:
        """POST a body to a frontend with a key for ``vendor`` alone: no other may step in where it fails.
        ``locally``: to the application in this process that ``fetching`` runs."""
        if vendor not in self._keys:
            policy = Policy(allowed_models=(f"{vendor}/*",))
            self._keys[vendor] = self.origin.backends.create_key(owner=_owner(vendor), policy=policy)
        headers = {"content-type": "application/json", "authorization": f"Bearer {self._keys[vendor]}"}
        if locally:
            assert self._local is not None
            return self._local.post(PATHS[frontend], content=encoded(body), headers=headers)
        return self.client.post(self.origin.url + PATHS[frontend], content=encoded(body), headers=headers)

    @contextmanager
    def fetching(self) -> Iterator[str]:
        """An application in this process that may fetch from the loopback, as no function process may; gives the
        address of a server with a few files."""
        environ = self.origin.backends.environment
        services = Services(Settings.from_env(environ), environ)

        async def names(host: str, port: int) -> Sequence[str]:
            return ["127.0.0.1"] if host == "media.example" else []

        services.media = MediaFetcher(services.transport.tls, names=names, permit=lambda address, port: True)
        app = build_app(responses.router, chat_completions.router, messages.router, services=services)
        with media_server() as files, TestClient(app) as client:
            self._local = client
            yield f"http://media.example:{files.port}"
        self._local = None

    def rows(self, vendor: str, request_ids: Sequence[str]) -> list[LogRow]:
        """The log rows of these requests to ``vendor``; they are written after the answers have ended."""
        return asyncio.run(self._rows(_owner(vendor), request_ids))

    async def _rows(self, owner: str, request_ids: Sequence[str]) -> list[LogRow]:
        backends = self.origin.backends
        connection = Connection("dynamodb", factory=lambda: backends.tables.client("dynamodb"))
        logs = LogStore(Table(connection, backends.names["logs"]), 86_400)
        until = time.monotonic() + 20
        try:
            while time.monotonic() < until:
                now = time.time_ns() // 1_000_000
                found = {row.request_id: row for row in await logs.query(owner, now - 30_000, now + 1000, 20)}
                if all(each in found for each in request_ids):
                    return [found[each] for each in request_ids]
                await asyncio.sleep(0.02)
        finally:
            connection.recreate()
        raise AssertionError(f"no log rows for {request_ids}")


def _owner(vendor: str) -> str:
    """Whose log a vendor's cells write: the fewer rows an owner has, the faster they are found."""
    return f"matrix-{vendor}"


@contextmanager
def gateway(origin: Origin) -> Iterator[Gateway]:
    """A Gateway over ``origin``."""
    running = Gateway(origin)
    try:
        yield running
    finally:
        running.client.close()


@dataclass
class Cell:
    """One frontend, vendor, capability and mode. ``mark`` stands in every request of the cell and in no other."""

    gateway: Gateway
    frontend: str
    vendor: Vendor
    capability: str
    stream: bool
    mark: str = field(default_factory=lambda: f"mx{next(_numbers):05d}")
    losses: set[str] = field(default_factory=set)

    @property
    def model(self) -> str:
        """The model that is asked, as ``provider/slug``."""
        return self.vendor.model(self.capability)

    @property
    def lack(self) -> Lack | None:
        """What the vendor lacks of this."""
        return self.vendor.lack(self.capability, self.frontend)

    def ask(self, ask: Ask, status: int = 200, *, locally: bool = False) -> Answer:
        """Send ``ask`` with the mark in its first user text. The answer must have ``status`` and, where it is one, come
        from the vendor in the form that was asked for. ``locally``: of Gateway.fetching."""
        body = body_of(self.frontend, self._marked(ask), self.model, stream=self.stream)
        response = self.gateway.post(self.frontend, body, self.vendor.slug, locally=locally)
        assert response.status_code == status, response.text
        answer = answer_of(self.frontend, response)
        self.losses |= set(answer.losses)
        if status == 200:
            assert response.headers["x-headgate-provider"] == self.vendor.slug, response.headers
            assert response.headers["x-headgate-attempts"] == "1" and response.headers["x-headgate-model"] == self.model
            streamed = response.headers["content-type"].startswith("text/event-stream")
            assert streamed == self.stream
            assert answer.error is not None or answer.model == self.model
        return answer

    def _marked(self, ask: Ask) -> Ask:
        first, *rest = ask.turns
        assert isinstance(first, User)
        return replace(ask, turns=(User((f"({self.mark})", *first.parts)), *rest))

    def sent(self) -> list[Sent]:
        """What the vendor received for this cell, oldest first."""
        found = [sent(each) for each in self.gateway.origin.backends.simulated.recorded(marker=self.mark)]
        assert found, "nothing reached a vendor"
        for each in found:
            assert (each.vendor, each.protocol) == (self.vendor.slug, self.vendor.spoken(self.frontend))
        return found

    def check_losses(self) -> None:
        """Nothing was announced as lost but what the vendor is known to have no place for."""
        known = self.vendor.announces.get(self.capability, ())
        if self.capability in ("caching", "usage") and self.vendor.caching != "marks":
            known = (*known, "cache_control")
        if self.lack is not None and self.lack.manner == "announced":
            known = (*known, self.capability)
        found = {loss.partition(":")[2] for loss in self.losses}
        unknown = {path for path in found if not any(word in path for word in known)}
        assert not unknown, unknown

    def rows(self, *answers: Answer) -> list[LogRow]:
        """The log rows of these answers."""
        return self.gateway.rows(self.vendor.slug, [each.headers["x-request-id"] for each in answers])

    def finish(self, what: str) -> str:
        """The frontend's words for an ending: stop, tool_calls, length, stop_sequence."""
        return FINISH[self.frontend][what]


@cache
def _prices() -> dict[tuple[str, str], dict[str, Any]]:
    models = json.loads(FILE.read_bytes())["models"]
    return {(route["provider"], model["slug"]): route["price"] for model in models for route in model["routes"]}


def price(vendor: str, slug: str) -> dict[str, Any]:
    """The published prices in pico-dollars per token, straight from the catalogue's file."""
    return _prices()[vendor, slug]

"""What the tests of upstream protocols share: driving a reader, and the simulated vendors in the same process."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from starlette.testclient import TestClient

from dev.simulated_providers import create_app
from headgate.events import Event, Failed, Finished, ItemEnded, ItemStarted, PartEnded, PartStarted, UsageUpdated
from headgate.protocols.registry import tool_names, upstream_side

BEARER = {"authorization": "Bearer co-test"}


def simulated() -> TestClient:
    """A client of a fresh set of simulated vendors."""
    return TestClient(create_app())


def ask(client: TestClient, protocol: str, request: Any, target: Any, **headers: str) -> list[Event]:
    """The events of ``request`` sent to the simulated vendor of ``protocol`` the way the gateway does."""
    side = upstream_side(protocol)
    names = tool_names(protocol)
    body, _ = side.write_request(request, target, names)
    answer = post(client, protocol, target.model, body, **headers)
    if answer.status_code != 200:
        raise side.read_error(answer.status_code, answer.content, answer.headers)
    reader = side.reader(target, names, **side.reader_options(request, target))
    return read_bytes(reader, side.splitter(), [answer.content])


def post(client: TestClient, protocol: str, model: str, body: Any, **headers: str) -> Any:
    """The vendor's raw answer."""
    path = f"/bedrock/model/{model}/converse-stream" if protocol == "converse" else "/cohere/v2/chat"
    return client.post(path, content=json.dumps(body, ensure_ascii=False).encode(), headers={**BEARER, **headers})


def read_bytes(reader: Any, splitter: Any, chunks: Iterable[bytes]) -> list[Event]:
    """All events of a byte stream, its end included."""
    events: list[Event] = []
    for chunk in chunks:
        for name, data in splitter.feed(chunk):
            events += reader.read(name, data)
    for name, data in splitter.rest():
        events += reader.read(name, data)
    return events + reader.end()


def assert_grammar(events: list[Event]) -> None:
    """The stream is sequential, and has one terminal event, the last."""
    item = part = False
    for position, event in enumerate(events):
        match event:
            case ItemStarted():
                assert not item
                item = True
            case ItemEnded():
                assert item and not part
                item = False
            case PartStarted():
                assert item and not part
                part = True
            case PartEnded():
                assert part
                part = False
            case Finished():
                assert not item and not part
            case _:
                pass
        terminal = isinstance(event, Failed | Finished)
        assert terminal == (position == len(events) - 1)
        if isinstance(event, UsageUpdated):
            assert event.usage.cache_read + event.usage.cache_write <= event.usage.input_total

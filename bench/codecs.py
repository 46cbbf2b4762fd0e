"""The codecs by themselves, in this process and without any input or output: what is ours of the cost of an event."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable

from bench.bodies import MODELS, PATHS, PROTOCOLS, VENDORS, Protocol, body
from bench.rig import Rig
from bench.rows import Row, rounded
from headgate.protocols.contract import Reply, Target
from headgate.protocols.registry import client_side, relay_side, tool_names, upstream_side
from headgate.protocols.sse import FrameSplitter, parse_frame

_EVENTS = 4000
_READ = 2048  # bytes in each read: what a TCP segment or two bring


def measure(rig: Rig, repeats: int) -> dict[str, list[Row]]:
    """The best of ``repeats`` passes over one recorded stream for each pair of client and upstream protocol."""
    rows: list[Row] = []
    for upstream in PROTOCOLS:
        reads = _recorded(rig.upstream, upstream)
        for client in PROTOCOLS:
            if client == upstream:
                cost = _best(lambda: _relay(upstream, reads), repeats)  # noqa: B023
            else:
                cost = _best(lambda: _translate(client, upstream, reads), repeats)  # noqa: B023
            kind = "relay" if client == upstream else "translation"
            rows.append(rounded({"upstream": upstream, "client": client, "kind": kind, "us_per_event": cost}, 2))
    return {"codec_us_per_event": rows}


def _recorded(url: str, upstream: Protocol) -> list[bytes]:
    payload = body(upstream, MODELS[upstream], f"[[tokens:{_EVENTS}]]", stream=True)
    headers = {"content-type": "application/json", "authorization": "Bearer x", "x-api-key": "x"}
    headers["anthropic-version"] = "2023-06-01"
    request = urllib.request.Request(
        f"{url}/{VENDORS[upstream]}{PATHS[upstream]}", json.dumps(payload).encode(), headers
    )
    with urllib.request.urlopen(request) as answer:
        raw = answer.read()
    return [raw[at : at + _READ] for at in range(0, len(raw), _READ)]


def _best(work: Callable[[], None], repeats: int) -> float:
    times: list[float] = []
    for _ in range(repeats):
        before = time.process_time()
        work()
        times.append(time.process_time() - before)
    return min(times) / _EVENTS * 1e6


def _reply(client: Protocol) -> Reply:
    return Reply(
        id="resp_" + "0" * 48,
        created_at=0,
        model="openai/gpt-4o-mini",
        body=body(client, "gpt-4o-mini", "", stream=True),
        price=lambda usage: 1,
        seal=lambda sealed: "token",
        completed_at=lambda: 0,
    )


def _relay(protocol: Protocol, reads: list[bytes]) -> None:
    relay = relay_side(protocol).relay(_reply(protocol), Target("openai", MODELS[protocol]))
    splitter = FrameSplitter()
    for data in reads:
        for frame in splitter.feed(data):
            relay.feed(frame)
    if not relay.done or relay.error:
        raise RuntimeError(f"the recorded {protocol} stream did not come to its end")


def _translate(client: Protocol, upstream: Protocol, reads: list[bytes]) -> None:
    reader = upstream_side(upstream).reader(Target("openai", MODELS[upstream]), tool_names(upstream))
    writer = client_side(client).writer(_reply(client))
    splitter = FrameSplitter()
    written = 0
    for data in reads:
        for frame in splitter.feed(data):
            name, payload = parse_frame(frame)
            for event in reader.read(name, payload) if payload is not None else ():
                written += len(writer.write(event))
    if written < len(reads) * 64:
        raise RuntimeError(f"{upstream} for a client of {client} wrote {written} bytes only")

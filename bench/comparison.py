"""Processor time per streamed event next to LiteLLM's proxy, for every upstream protocol and frontend.

Both servers get the same requests in turn and reach the same simulated providers, each with one worker. An event's cost
is a long stream's less a short one's, over the pieces of text that the upstream sent more. A pair counts only if the
client got the whole text and the protocol's end from either of them, and if the simulation was reached at the pair's
own endpoint.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import unquote

from bench.bodies import PATHS, PROTOCOLS, Protocol, body
from bench.client import Client, cpu_seconds, tree_cpu_seconds
from bench.litellm_proxy import Proxy, Unavailable, install, proxy, version
from bench.pairs import UPSTREAMS, Upstream, UpstreamProtocol, litellm_models, litellm_name
from bench.rig import Rig
from bench.rows import Row, median, rounded
from bench.streamed import Streamed, streamed
from dev.simulated_providers.tokens import filler

# The pause is longer than either of them needs for an event: a server that falls behind would read several at once.
_ARRIVALS = {"batched": ("", 100, 1100), "alone": ("[[slow:0.002]]", 10, 110)}
# Of the same two streams; what is small against the work of a whole request needs more samples.
_PASSES = 3
_AIM = 10.0


@dataclass
class Side:
    """One of the two servers, for one pair. ``cpu`` in seconds. ``costs`` in microseconds of each counted pass,
    ``events`` of the last long stream, ``error`` why the pair cannot be served."""

    client: Client
    model: str
    cpu: Callable[[], float]
    settle: Callable[[], None]
    costs: list[float] = field(default_factory=list[float])
    upstream_costs: list[float] = field(default_factory=list[float])
    events: int = 0
    error: str = ""


def measure(rig: Rig, repeats: int) -> dict[str, list[Row]]:
    """Translated pairs, relays, and what ran. Exits with a message where LiteLLM is not to be had."""
    try:
        home = install()
        rows: list[Row] = []
        with proxy(home, litellm_models(rig.upstream)) as running:
            for upstream in UPSTREAMS:
                rows += _upstream(rig, running, upstream, repeats)
    except Unavailable as error:
        raise SystemExit(str(error)) from None
    return {
        f"litellm_{version(home)}_translated": [row for row in rows if row["upstream"] != row["client"]],
        f"litellm_{version(home)}_relayed": [row for row in rows if row["upstream"] == row["client"]],
    }


def _upstream(rig: Rig, running: Proxy, upstream: UpstreamProtocol, repeats: int) -> list[Row]:
    told = UPSTREAMS[upstream]
    pairs: list[tuple[Protocol, str, Side, Side]] = []
    with contextlib.ExitStack() as stack:
        for client in PROTOCOLS:
            target = rig.gateway(stack, client, client, {**rig.instant, **told.environment})
            for arrival in _ARRIVALS:
                ours = Side(target.client, told.model, lambda pid=target.pid: tree_cpu_seconds(pid), target.settle)
                theirs = Side(running.client, litellm_name(upstream, client), running.cpu, running.settle)
                pairs.append((client, arrival, ours, theirs))
        for number, (client, arrival, ours, theirs) in itertools.product(range(repeats + 1), pairs):
            for side in (*[ours] * (_PASSES if number else 1), theirs):
                if not side.error:
                    _pass(rig, side, client, arrival, told, rehearsal=not number)
    print(f"{upstream} measured", file=sys.stderr, flush=True)
    return [row(upstream, client, arrival, ours, theirs) for client, arrival, ours, theirs in pairs]


def _pass(rig: Rig, side: Side, client: Protocol, arrival: str, told: Upstream, *, rehearsal: bool) -> None:
    """One short and one long stream. In a ``rehearsal`` nothing is counted, but where the requests went is looked
    at."""
    directive, short, long = _ARRIVALS[arrival]
    used: list[float] = []
    upstream_used: list[float] = []
    if rehearsal:
        _simulation(rig, "DELETE")
        side.settle()
    for tokens in (short, long):
        request = body(client, side.model, f"{directive}[[tokens:{tokens}]]", stream=True)
        if client in told.toolless:
            del request["tools"]
        # Servers close connections that were idle meanwhile, each after a time of its own.
        side.client.close()
        upstream_before, before = cpu_seconds(rig.upstream_pid), side.cpu()
        try:
            answer = streamed(client, side.client.post(PATHS[client], request).body)
        except RuntimeError as error:
            side.error = str(error)
            return
        side.settle()
        used.append(side.cpu() - before)
        upstream_used.append(cpu_seconds(rig.upstream_pid) - upstream_before)
        side.error = shortfall(answer, filler(tokens))
        if side.error:
            return
        side.events = answer.events
    if rehearsal:
        reached = {unquote(one["path"]) for one in json.loads(_simulation(rig, "GET"))}
        if any(not each.endswith(told.path) for each in reached) or not reached:
            side.error = f"reached {sorted(reached)} and not {told.path}"
        return
    side.costs.append((used[1] - used[0]) / (long - short) * 1e6)
    side.upstream_costs.append((upstream_used[1] - upstream_used[0]) / (long - short) * 1e6)


def shortfall(answer: Streamed, text: str) -> str:
    """What is missing of a stream that should have said ``text``; empty where nothing is."""
    if answer.text != text:
        return f"{len(answer.text)} of {len(text)} characters came"
    return "" if answer.ended else "the stream had no end"


def row(upstream: str, client: str, arrival: str, ours: Side, theirs: Side) -> Row:
    """One line of the result. Raises RuntimeError where it is the gateway that failed."""
    if ours.error:
        raise RuntimeError(f"{upstream} for a client of {client}, {arrival}: {ours.error}")
    mine = median(ours.costs)
    found: Row = {"upstream": upstream, "client": client, "arrival": arrival, "us_per_event": mine}
    if theirs.error:
        found |= {"litellm_us": "-", "ratio": "-", "aim": "not served", "events": ours.events, "litellm_events": "-"}
    else:
        his = median(theirs.costs)
        met = "met" if mine * _AIM <= his else "missed"
        found |= {"litellm_us": his, "ratio": his / mine, "aim": met, "events": ours.events}
        found["litellm_events"] = theirs.events
    return rounded({**found, "simulator_us": median(ours.upstream_costs), "litellm_error": theirs.error[:300]}, 1)


def _simulation(rig: Rig, method: str) -> bytes:
    request = urllib.request.Request(f"{rig.upstream}/_recorded", method=method)
    with urllib.request.urlopen(request) as answer:
        return answer.read()

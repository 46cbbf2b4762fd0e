"""Processor time per streamed event: a long stream's less a short one's, over the events that it has more.

Twice, because what an event costs depends on how events arrive: *batched*, many in each network read, as from a fast
upstream or after a delay on the way; *alone*, each in a read of its own, as a model speaks. In the second case most of
it is the event loop, httpx and the runtime writing, which the yardstick pays as well.
"""

from __future__ import annotations

import contextlib
import itertools

from bench.bodies import MODELS, PROTOCOLS, Protocol, body
from bench.client import cpu_seconds
from bench.rig import Rig, Target
from bench.rows import Row, median, rounded

_ARRIVALS = {"batched": ("", 100, 4100), "alone": ("[[slow:0.0005]]", 10, 410)}


def measure(rig: Rig, repeats: int) -> dict[str, list[Row]]:
    """All three relays and all six translations."""
    rows: list[Row] = []
    for upstream in PROTOCOLS:
        with contextlib.ExitStack() as stack:
            yardstick = rig.passthrough(stack, "pass-through", upstream)
            # The OpenAI row speaks two protocols; this leaves it the one.
            environment = dict(rig.instant)
            if upstream != "messages":
                environment["HEADGATE_OPENAI_PROTOCOLS"] = upstream
            pairs = {client: rig.gateway(stack, client, client, environment) for client in PROTOCOLS}
            for arrival in _ARRIVALS:
                rows += _compare(upstream, yardstick, pairs, arrival, repeats)
    return {"cpu_per_event": rows}


def _compare(
    upstream: Protocol, yardstick: Target, pairs: dict[Protocol, Target], arrival: str, repeats: int
) -> list[Row]:
    costs: dict[str, list[float]] = {}
    targets: list[tuple[Protocol, Target]] = [(upstream, yardstick), *pairs.items()]
    for number, (client, target) in itertools.product(range(repeats + 1), targets):
        cost = _per_event(client, MODELS[upstream], target, arrival)
        if number:
            costs.setdefault(target.name, []).append(cost)
    base = median(costs[yardstick.name])
    return [
        rounded(
            {
                "upstream": upstream,
                "client": client,
                "kind": "relay" if client == upstream else "translation",
                "arrival": arrival,
                "us_per_event": median(costs[client]),
                "passthrough_us": base,
                "added_us": median(costs[client]) - base,
            },
            1,
        )
        for client in pairs
    ]


def _per_event(client: Protocol, model: str, target: Target, arrival: str) -> float:
    directive, short, long = _ARRIVALS[arrival]
    used: list[float] = []
    for tokens in (short, long):
        request = body(client, model, f"{directive}[[tokens:{tokens}]]", stream=True)
        target.settle()
        before = cpu_seconds(target.pid)
        target.client.post(target.path, request)
        target.settle()
        used.append(cpu_seconds(target.pid) - before)
    return (used[1] - used[0]) / (long - short) * 1e6

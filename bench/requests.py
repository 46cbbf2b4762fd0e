"""What one request costs: latency of JSON answers, time to the beginning of streams, processor time, memory."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from bench.bodies import MARKS, MODELS, PROTOCOLS, Protocol, body
from bench.client import Sample, cpu_seconds, resident_mb
from bench.rig import Rig, Target
from bench.rows import Row, median, rounded

_WARM = 15  # requests before counting: lazily made objects, caches, the allocator's warmth
_ASKED = {False: "[[tokens:20]]", True: "[[slow:0.001]][[tokens:12]]"}


@dataclass
class _Series:
    """What one target showed; ``cpu`` in seconds."""

    samples: list[Sample] = field(default_factory=list[Sample])
    cpu: float = 0.0


def measure(rig: Rig, rounds: int) -> dict[str, list[Row]]:
    """Same-protocol requests over the instant store, each in turn with the yardstick, and over moto as well."""
    whole: list[Row] = []
    streamed: list[Row] = []
    memory: list[Row] = []
    for protocol in PROTOCOLS:
        with contextlib.ExitStack() as stack:
            targets = [
                rig.passthrough(stack, "pass-through", protocol),
                rig.gateway(stack, "gateway", protocol, rig.instant),
                rig.gateway(stack, "gateway, moto", protocol, rig.moto),
            ]
            series = _series(protocol, targets, rounds, stream=False)
            base = series["pass-through"]
            whole += [_whole_row(protocol, name, one, base) for name, one in series.items()]
            series = _series(protocol, targets, rounds // 2, stream=True)
            base = series["pass-through"]
            streamed += [_streamed_row(protocol, name, one, base) for name, one in series.items()]
            memory.append({"function": protocol, **{one.name: round(resident_mb(one.pid), 1) for one in targets}})
    return {"json_requests": whole, "streams": streamed, "resident_mb_after_requests": memory}


def _series(protocol: Protocol, targets: list[Target], rounds: int, *, stream: bool) -> dict[str, _Series]:
    """``rounds`` requests to each target, one after the other in turn."""
    request = body(protocol, MODELS[protocol], _ASKED[stream], stream=stream)
    series = {target.name: _Series() for target in targets}
    for number in range(rounds + _WARM):
        for target in targets:
            one = series[target.name]
            target.settle()
            if number == _WARM:
                one.cpu = -cpu_seconds(target.pid)
            sample = target.client.post(target.path, request, MARKS[protocol])
            if number >= _WARM:
                one.samples.append(sample)
    for target in targets:
        target.settle()
        series[target.name].cpu += cpu_seconds(target.pid)
    return series


def _whole_row(protocol: Protocol, name: str, one: _Series, base: _Series) -> Row:
    """``emulator``: what the client waited for beside the function. ``cpu`` includes the work after the answer."""
    function, client = _p50(one, "function"), _p50(one, "total")
    cpu, base_cpu = (each.cpu * 1000 / len(each.samples) for each in (one, base))
    return rounded(
        {
            "protocol": protocol,
            "target": name,
            "client_p50_ms": client,
            "function_p50_ms": function,
            "emulator_p50_ms": median([sample.total - sample.function for sample in one.samples]),
            "added_p50_ms": function - _p50(base, "function"),
            "added_client_p50_ms": client - _p50(base, "total"),
            "cpu_ms": cpu,
            "added_cpu_ms": cpu - base_cpu,
        },
        2,
    )


def _streamed_row(protocol: Protocol, name: str, one: _Series, base: _Series) -> Row:
    """The first byte comes with the first output, because until then another route may still be tried; the yardstick
    passes on what precedes it."""
    return rounded(
        {
            "protocol": protocol,
            "target": name,
            "first_byte_p50_ms": _p50(one, "first_byte"),
            "first_text_p50_ms": _p50(one, "first_text"),
            "added_first_byte_ms": _p50(one, "first_byte") - _p50(base, "first_byte"),
            "added_first_text_ms": _p50(one, "first_text") - _p50(base, "first_text"),
        },
        2,
    )


def _p50(series: _Series, name: str) -> float:
    return median([getattr(sample, name) for sample in series.samples])

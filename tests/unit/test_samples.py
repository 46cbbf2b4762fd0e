"""What one upstream call says of its route."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.routing.metrics import parse_metric
from headgate.routing.plan import BreakerKey
from headgate.storage.metrics_rows import Collected
from headgate.web.samples import Sample, counts_of, snapshot_of

TEXT: BreakerKey = ("openai", "m", "text")
ACCOUNT: BreakerKey = ("openai", "m", "@c1")


def good(latency_ms: float = 100.0, **more: Any) -> Sample:
    values: dict[str, Any] = {"e2e_ms": latency_ms + 2, "first_token_ms": 20.0, "input_tokens": 10, "output_tokens": 5}
    return Sample("openai", "m", "text", "c1", True, latency_ms=latency_ms, **(values | more))


def bad(kind: Any = "connect", status: int | None = None, **more: Any) -> Sample:
    return Sample("openai", "m", "text", "c1", False, kind, status, **more)


@pytest.mark.parametrize(
    "sample, counts, effects",
    [
        (good(), True, [(TEXT, "succeeded"), (ACCOUNT, "succeeded")]),
        (bad("connect"), True, [(TEXT, "failed"), (ACCOUNT, "released")]),
        (bad("timeout"), True, [(TEXT, "failed"), (ACCOUNT, "released")]),
        (bad("stream", 200), True, [(TEXT, "failed"), (ACCOUNT, "released")]),
        (bad("status", 500), True, [(TEXT, "failed"), (ACCOUNT, "released")]),
        (bad("status", 529), True, [(TEXT, "failed"), (ACCOUNT, "released")]),
        (bad("status", 408), True, [(TEXT, "failed"), (ACCOUNT, "released")]),
        (bad("status", 409), True, [(TEXT, "failed"), (ACCOUNT, "released")]),
        (bad("status", 429), True, [(ACCOUNT, "failed"), (TEXT, "released")]),
        (bad("status", 429, retry_after=7.0), True, [(ACCOUNT, "sidelined"), (TEXT, "released")]),
        (bad("status", 401), False, [(ACCOUNT, "rejected"), (TEXT, "released")]),
        (bad("status", 402), False, [(ACCOUNT, "rejected"), (TEXT, "released")]),
        (bad("status", 403), False, [(ACCOUNT, "rejected"), (TEXT, "released")]),
        (bad("credential"), False, [(ACCOUNT, "rejected"), (TEXT, "released")]),
        (bad("status", 400), False, [(TEXT, "released"), (ACCOUNT, "released")]),
        (bad("status", 413), False, [(TEXT, "released"), (ACCOUNT, "released")]),
        (bad("status", 404), False, [(TEXT, "released"), (ACCOUNT, "released")]),
        (bad("refused"), False, [(TEXT, "released"), (ACCOUNT, "released")]),
        (bad("cancelled"), False, [(TEXT, "released"), (ACCOUNT, "released")]),
    ],
)
def test_what_a_call_says_of_its_route(sample: Sample, counts: bool, effects: list[Any]) -> None:
    assert (sample.counts, sample.effects()) == (counts, effects)


def test_samples_become_metrics() -> None:
    samples = [good(100), good(200, e2e_ms=None), bad("timeout", latency_ms=9999, input_tokens=99), bad("status", 400)]
    [(route, counts)] = counts_of(samples).items()
    snapshot = snapshot_of(Collected(900, 0.0, {route: counts}))
    stats = snapshot.routes["openai", "m"]
    assert (stats.requests, stats.succeeded, stats.recent) == (3, 2, {"text": (3, 2)})
    assert (stats.latency_ms, stats.e2e_latency_ms, stats.input_tokens, stats.output_tokens) == (300, 102, 20, 10)
    assert [sum(each.values()) for each in (stats.latency, stats.e2e_latency, stats.first_token)] == [2, 1, 2]
    assert snapshot.value(parse_metric("max_latency", "x"), "openai", "m") == pytest.approx(200, rel=0.05)

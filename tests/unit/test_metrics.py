"""What routes are ranked by: histograms that can be added up, the names of metrics and intervals."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import GatewayError
from headgate.routing.metrics import (
    LAST_BUCKET,
    Metric,
    RouteStats,
    Snapshot,
    bucket,
    merged,
    milliseconds,
    parse_interval,
    parse_metric,
    percentile,
)

DURATIONS = st.floats(min_value=1, max_value=15 * 60_000, allow_nan=False)


def histogram(durations: list[float]) -> dict[int, int]:
    found: dict[int, int] = {}
    for duration in durations:
        found[bucket(duration)] = found.get(bucket(duration), 0) + 1
    return found


def exact(durations: list[float], rank: int) -> float:
    """The nearest-rank percentile."""
    return sorted(durations)[max(0, math.ceil(len(durations) * rank / 100) - 1)]


@given(st.lists(st.lists(DURATIONS, max_size=40), min_size=1, max_size=6), st.integers(0, 100))
def test_percentiles_of_a_sum_of_histograms_are_within_five_per_cent(parts: list[list[float]], rank: int):
    everything = [duration for part in parts for duration in part]
    total = merged(RouteStats(len(part), len(part), histogram(part), round(sum(part))) for part in parts)
    found = percentile(total.latency, rank)
    if not everything:
        assert found is None
        return
    assert found == pytest.approx(exact(everything, rank), rel=0.05)
    assert total.requests == len(everything) == sum(total.latency.values())


@given(DURATIONS)
def test_a_bucket_stands_for_its_durations(duration: float):
    assert milliseconds(bucket(duration)) == pytest.approx(duration, rel=0.04)


@pytest.mark.parametrize("duration, number", [(0, 0), (0.2, 0), (1, 0), (1.09, 1), (1e9, LAST_BUCKET)])
def test_buckets_end_somewhere(duration: float, number: int):
    assert bucket(duration) == number
    assert milliseconds(LAST_BUCKET) > 15 * 60_000


def test_the_values_of_metrics():
    stats = RouteStats(
        requests=20,
        succeeded=10,
        latency=histogram([100.0] * 9 + [1000.0]),
        latency_ms=1900,
        e2e_latency=histogram([200.0] * 10),
        e2e_latency_ms=2000,
        input_tokens=5000,
        output_tokens=1000,
    )
    snapshot = Snapshot(1000, 0.0, {("p", "m"): stats})
    expected = {
        "uptime": 50,
        "throughput": 0.02,
        "total_requests": 20,
        "input_tokens": 500,
        "output_tokens": 100,
        "total_tokens": 600,
        "avg_latency": 190,
        "min_latency": 100,
        "p90_latency": 100,
        "p91_latency": 1000,
        "max_latency": 1000,
        "avg_e2e_latency": 200,
        "p50_e2e_latency": 200,
    }
    for name, value in expected.items():
        assert snapshot.value(parse_metric(name, "x"), "p", "m") == pytest.approx(value, rel=0.05), name
        assert snapshot.value(parse_metric(name, "x"), "p", "other") is None, name


def test_no_call_no_value():
    failed = RouteStats(requests=3)
    assert parse_metric("uptime", "x").of(failed, 900) == 0
    assert parse_metric("total_requests", "x").of(failed, 900) == 3
    for name in ("p50_latency", "avg_e2e_latency", "total_tokens"):
        assert parse_metric(name, "x").of(failed, 900) is None
    assert all(
        parse_metric(name, "x").of(RouteStats(), 900) is None for name in ("uptime", "throughput", "max_latency")
    )


def test_what_lately_happened_is_summed_by_class():
    one, other = RouteStats(recent={"text": (4, 3), "tools": (1, 0)}), RouteStats(recent={"text": (6, 6)})
    assert merged([one, other]).recent == {"text": (10, 9), "tools": (1, 0)}


@pytest.mark.parametrize(
    "name, source, statistic, highest, live",
    [
        ("cost", "cost", "", False, False),
        ("performance", "performance", "", True, False),
        ("avg_latency", "latency", "avg", False, True),
        ("min_latency", "latency", "min", False, True),
        ("max_latency", "latency", "max", False, True),
        ("p0_latency", "latency", 0, False, True),
        ("p50_latency", "latency", 50, False, True),
        ("p100_latency", "latency", 100, False, True),
        ("avg_e2e_latency", "e2e_latency", "avg", False, True),
        ("min_e2e_latency", "e2e_latency", "min", False, True),
        ("max_e2e_latency", "e2e_latency", "max", False, True),
        ("p99_e2e_latency", "e2e_latency", 99, False, True),
        ("uptime", "uptime", "", True, True),
        ("throughput", "throughput", "", True, True),
        ("total_requests", "total_requests", "", True, True),
        ("input_tokens", "tokens", "input", False, True),
        ("output_tokens", "tokens", "output", False, True),
        ("total_tokens", "tokens", "total", False, True),
    ],
)
def test_names_of_metrics(name: str, source: str, statistic: str | int, highest: bool, live: bool):
    metric = parse_metric(name, "x")
    assert (metric.name, metric.source, metric.statistic) == (name, source, statistic)
    assert (metric.highest_first, metric.live) == (highest, live)
    assert parse_metric(name, "x", "max") == Metric(name, metric.source, metric.statistic, True)
    assert parse_metric(name, "x", "min") == Metric(name, metric.source, metric.statistic, False)


@pytest.mark.parametrize(
    "name", ["latency", "e2e_latency", "p101_latency", "p_latency", "p5.5_latency", "p-1_latency", "p50", "P50_latency",
             "p50_uptime", "fast", "", "avg_latency ", "p0050_latency"]
)  # fmt: skip
def test_names_that_are_none(name: str):
    with pytest.raises(GatewayError) as raised:
        parse_metric(name, "routing.metric")
    error = raised.value
    assert (error.status, error.param, error.code) == (400, "routing.metric", "invalid_metric")
    assert "Invalid percentile metric format" in error.message
    assert f"'{name}'" in error.message and "total_requests" in error.message


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("15m", 900),
        ("15 minutes", 900),
        ("30 minutes", 1800),
        ("120 mins", 7200),
        ("1h", 3600),
        ("1 hour", 3600),
        ("24 hours", 86_400),
        ("7d", 7 * 86_400),
        ("1 day", 86_400),
        ("4 weeks", 28 * 86_400),
        ("1w", 7 * 86_400),
        ("1y", 365 * 86_400),
        ("5 years", 5 * 365 * 86_400),
        (" 1H ", 3600),
    ],
)
def test_intervals(text: str, seconds: int):
    assert parse_interval(text, "x") == seconds


@pytest.mark.parametrize(
    "text, says",
    [
        ("14m", "shortest is 15 minutes"),
        ("0 hours", "shortest is 15 minutes"),
        ("6y", "longest is 5 years"),
        ("999999 weeks", "longest is 5 years"),
        ("15", "a number and a unit"),
        ("15 s", "a number and a unit"),
        ("1.5h", "a number and a unit"),
        ("-1h", "a number and a unit"),
        ("3 months", "a number and a unit"),
        ("h", "a number and a unit"),
        ("", "a number and a unit"),
        (15, "a number and a unit"),
        (None, "a number and a unit"),
    ],
)
def test_intervals_that_are_none(text: object, says: str):
    with pytest.raises(GatewayError) as raised:
        parse_interval(text, "routing.interval")
    error = raised.value
    assert (error.status, error.param, error.code) == (400, "routing.interval", "invalid_interval")
    assert says in error.message and str(text) in error.message

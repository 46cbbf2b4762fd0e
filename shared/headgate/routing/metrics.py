"""What routes are ranked by: metric names, intervals, and the counts that live metrics are computed from.

Latencies are kept as counts in buckets of logarithmic width, so that the counts of many minutes and processes can be
added up and a percentile of the sum is still within 4 % of the true one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from headgate.errors import GatewayError, invalid_request

GROWTH = 1.08
_LOG_GROWTH = math.log(GROWTH)
LAST_BUCKET = 190
"""Its lower bound, 1.08^190 ms, is beyond the 15 minutes that a function may run."""

Source = Literal["cost", "performance", "latency", "e2e_latency", "uptime", "throughput", "total_requests", "tokens"]

DEFAULT_INTERVAL = 15 * 60

Buckets = Mapping[int, int]
"""Bucket number to count. Bucket n holds milliseconds from GROWTH^n up to GROWTH^(n+1); 0 also what is below 1 ms."""


def bucket(milliseconds: float) -> int:
    """The bucket of a duration."""
    if milliseconds <= 1:
        return 0
    return min(LAST_BUCKET, int(math.log(milliseconds) / _LOG_GROWTH))


def milliseconds(number: int) -> float:
    """What the durations of a bucket count as: the value from which both ends are equally far, as a ratio."""
    return GROWTH ** (number + 0.5)


def percentile(buckets: Buckets, rank: int) -> float | None:
    """The duration in milliseconds below which ``rank`` per cent lie (0: the shortest, 100: the longest)."""
    total = sum(buckets.values())
    if not total:
        return None
    wanted = max(1, math.ceil(total * rank / 100))
    seen = 0
    for number in sorted(buckets):
        seen += buckets[number]
        if seen >= wanted:
            return milliseconds(number)
    return None


@dataclass(frozen=True, slots=True)
class RouteStats:
    """What happened at one route in one interval. ``latency`` is the provider's time to the end of the answer,
    ``e2e_latency`` the whole request's, ``first_token`` until the first output. ``succeeded`` of ``requests`` upstream
    calls brought an answer. Durations and token sums are of the successful ones. ``recent`` are (requests, succeeded)
    of the last five minutes by feature class, of which one may fail where the others do not."""

    requests: int = 0
    succeeded: int = 0
    latency: Buckets = field(default_factory=dict[int, int])
    latency_ms: int = 0
    e2e_latency: Buckets = field(default_factory=dict[int, int])
    e2e_latency_ms: int = 0
    first_token: Buckets = field(default_factory=dict[int, int])
    input_tokens: int = 0
    output_tokens: int = 0
    recent: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, "tuple[int, int]"])


@dataclass(frozen=True, slots=True)
class Metric:
    """A way to order routes. ``statistic``: ``avg``, ``min``, ``max``, ``total`` (input plus output), ``input``,
    ``output``, or a percentile. ``highest_first``: the order that is best."""

    name: str
    source: Source
    statistic: str | int = ""
    highest_first: bool = False

    @property
    def live(self) -> bool:
        """Whether it needs a Snapshot."""
        return self.source not in ("cost", "performance")

    def of(self, stats: RouteStats | None, interval: int) -> float | None:
        """The value of a live metric, None where there is no data."""
        if stats is None or not stats.requests:
            return None
        match self.source:
            case "uptime":
                return 100 * stats.succeeded / stats.requests
            case "throughput":
                return stats.requests / interval
            case "total_requests":
                return float(stats.requests)
            case "tokens":
                sums = {"input": stats.input_tokens, "output": stats.output_tokens}
                total = sums.get(str(self.statistic), stats.input_tokens + stats.output_tokens)
                return total / stats.succeeded if stats.succeeded else None
            case "latency":
                return self._duration(stats.latency, stats.latency_ms)
            case _:
                return self._duration(stats.e2e_latency, stats.e2e_latency_ms)

    def _duration(self, buckets: Buckets, total: int) -> float | None:
        count = sum(buckets.values())
        if not count:
            return None
        if self.statistic == "avg":
            return total / count
        rank = {"min": 0, "max": 100}[self.statistic] if isinstance(self.statistic, str) else self.statistic
        return percentile(buckets, rank)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The live metrics of one interval. ``at``: Unix seconds when they were put together. ``routes``: by
    (provider, model slug)."""

    interval: int
    at: float = 0.0
    routes: Mapping[tuple[str, str], RouteStats] = field(default_factory=dict[tuple[str, str], RouteStats])
    _values: dict[tuple[str, str, str], float | None] = field(
        default_factory=dict[tuple[str, str, str], "float | None"], compare=False, repr=False
    )

    def value(self, metric: Metric, provider: str, slug: str) -> float | None:
        """A live metric of a route, None where there is no data. Computed once: percentiles take their time."""
        key = (metric.name, provider, slug)
        if key not in self._values:
            self._values[key] = metric.of(self.routes.get((provider, slug)), self.interval)
        return self._values[key]


_PLAIN: dict[str, Metric] = {
    "cost": Metric("cost", "cost"),
    "performance": Metric("performance", "performance", highest_first=True),
    "uptime": Metric("uptime", "uptime", highest_first=True),
    "throughput": Metric("throughput", "throughput", highest_first=True),
    "total_requests": Metric("total_requests", "total_requests", highest_first=True),
    "input_tokens": Metric("input_tokens", "tokens", "input"),
    "output_tokens": Metric("output_tokens", "tokens", "output"),
    "total_tokens": Metric("total_tokens", "tokens", "total"),
}
_LATENCY = re.compile(r"(avg|min|max|p(\d{1,3}))_(latency|e2e_latency)")
_INTERVAL = re.compile(r"(\d{1,6}) ?(m|min|mins|minutes?|h|hours?|d|days?|w|weeks?|y|years?)")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400, "y": 365 * 86_400}
_LONGEST = 5 * _SECONDS["y"]


def parse_metric(text: str, param: str, direction: str | None = None) -> Metric:
    """The metric of that name. ``direction``: ``min`` or ``max`` instead of the usual order. Raises 400."""
    metric = _PLAIN.get(text) or _latency(text, param)
    if direction is None:
        return metric
    return Metric(metric.name, metric.source, metric.statistic, direction == "max")


def _latency(text: str, param: str) -> Metric:
    match = _LATENCY.fullmatch(text)
    if match is None:
        raise _bad(text, param)
    word, rank, source = match.groups()
    if rank is not None and int(rank) > 100:
        raise _bad(text, param)
    return Metric(text, "latency" if source == "latency" else "e2e_latency", word if rank is None else int(rank))


def _bad(text: str, param: str) -> GatewayError:
    known = ", ".join(_PLAIN)
    # The first words are what callers of the hosted gateway look for, whatever is wrong with the name.
    return invalid_request(
        f"Invalid percentile metric format or unknown metric: '{text}'. Known are {known}, and avg_, min_, max_ or "
        "pNN_ (NN from 0 to 100) before latency or e2e_latency, as in p95_latency.",
        param=param,
        code="invalid_metric",
    )


def parse_interval(text: object, param: str) -> int:
    """Seconds of an interval like ``15m``, ``30 minutes``, ``24 hours``, ``7d``, ``4 weeks`` or ``1y``. Raises 400."""
    match = _INTERVAL.fullmatch(text.strip().lower()) if isinstance(text, str) else None
    if match is None:
        raise _bad_interval(
            f"Invalid interval {text!r}: a number and a unit (minutes, hours, days, weeks, years) are wanted, as in "
            "'15m', '24 hours' or '7d'.",
            param,
        )
    seconds = int(match[1]) * _SECONDS[match[2][0]]
    if seconds < DEFAULT_INTERVAL:
        raise _bad_interval(f"Invalid interval '{text}': the shortest is 15 minutes.", param)
    if seconds > _LONGEST:
        raise _bad_interval(f"Invalid interval '{text}': the longest is 5 years.", param)
    return seconds


def _bad_interval(message: str, param: str) -> GatewayError:
    return invalid_request(message, param=param, code="invalid_interval")


def merged(parts: Iterable[RouteStats]) -> RouteStats:
    """The sum of what happened in several stretches of time."""
    latency: dict[int, int] = {}
    e2e: dict[int, int] = {}
    first: dict[int, int] = {}
    sums = [0] * 6
    recent: dict[str, tuple[int, int]] = {}
    for part in parts:
        for into, more in ((latency, part.latency), (e2e, part.e2e_latency), (first, part.first_token)):
            for number, count in more.items():
                into[number] = into.get(number, 0) + count
        counted = (
            part.requests,
            part.succeeded,
            part.latency_ms,
            part.e2e_latency_ms,
            part.input_tokens,
            part.output_tokens,
        )
        sums = [one + other for one, other in zip(sums, counted, strict=True)]
        for kind, (calls, successes) in part.recent.items():
            before = recent.get(kind, (0, 0))
            recent[kind] = (before[0] + calls, before[1] + successes)
    return RouteStats(
        requests=sums[0],
        succeeded=sums[1],
        latency=latency,
        latency_ms=sums[2],
        e2e_latency=e2e,
        e2e_latency_ms=sums[3],
        first_token=first,
        input_tokens=sums[4],
        output_tokens=sums[5],
        recent=recent,
    )

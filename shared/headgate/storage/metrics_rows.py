"""What the rows of the metrics table hold: counts by route, summed over stretches of time, and packed for sharing.

A row has one attribute per number, so that DynamoDB's ADD can raise any of them by itself: ``requests`` for a plain
number, ``l.38`` for bucket 38 of histogram ``l``, ``text:calls`` and ``text:good`` for what happened to one feature
class. The names of numbers and histograms are the caller's; this module only adds them up.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from headgate.storage.table import Item

Route = tuple[str, str]
"""(provider, model slug)."""

RECENT_SECONDS = 300
PACKED_LIMIT = 350_000
"""Bytes of a packed snapshot. An item may have 400 kB with its key and names."""
_SAFETY = 0.97
"""Of a snapshot that is too large as many routes are kept as should fit, and a little less."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What happened at one route. ``numbers``: by name; ``requests`` among them is what says how much a route is used.
    ``histograms``: by name, bucket number to count. ``classes``: (calls, successes) by feature class, of the last
    five minutes where counts were collected."""

    numbers: Mapping[str, int] = field(default_factory=dict[str, int])
    histograms: Mapping[str, Mapping[int, int]] = field(default_factory=dict[str, "Mapping[int, int]"])
    classes: Mapping[str, tuple[int, int]] = field(default_factory=dict[str, "tuple[int, int]"])


@dataclass(frozen=True, slots=True)
class Collected:
    """The counts of the ``interval`` seconds before ``at`` (Unix seconds)."""

    interval: int
    at: float
    routes: Mapping[Route, Counts] = field(default_factory=dict[Route, Counts])


@dataclass(frozen=True, slots=True)
class Granularity:
    """A width of buckets: ``seconds`` each, in partitions named after ``partition`` and sort keys that begin with
    ``bucket`` (both strftime formats, UTC), kept for ``keep`` seconds."""

    name: str
    seconds: int
    partition: str
    bucket: str
    keep: int

    def place(self, at: float) -> tuple[str, str]:
        """The partition and the bucket of a moment."""
        return _place(self, int(at // self.seconds))

    def expiry(self, at: float) -> int:
        """When the row of a moment may go, Unix seconds."""
        return int(at // self.seconds + 1) * self.seconds + self.keep

    def places(self, since: float, until: float) -> Iterator[tuple[str, str]]:
        """The buckets that touch a stretch of time, oldest first."""
        start = int(since // self.seconds) * self.seconds
        for at in range(start, int(until) + 1, self.seconds):
            yield self.place(at)

    def ranges(self, since: float, until: float) -> list[tuple[str, str, str]]:
        """(partition, lowest sort key, highest sort key) of the Queries that read a stretch of time."""
        found: dict[str, tuple[str, str]] = {}
        for partition, bucket in self.places(since, until):
            first, _ = found.get(partition, (bucket, bucket))
            found[partition] = (first, bucket)
        # "$" is the character after "#": every key of the last bucket lies below it.
        return [(partition, f"{first}#", f"{last}$") for partition, (first, last) in found.items()]


@lru_cache(maxsize=4096)
def _place(unit: Granularity, number: int) -> tuple[str, str]:
    moment = datetime.fromtimestamp(number * unit.seconds, UTC)
    return f"{unit.name}#{moment.strftime(unit.partition)}", moment.strftime(unit.bucket)


MINUTE = Granularity("minute", 60, "%Y-%m-%dT%H", "%M", 3 * 3600)
HOUR = Granularity("hour", 3600, "%Y-%m-%d", "%H", 8 * 86_400)
DAY = Granularity("day", 86_400, "%Y", "%m-%d", (5 * 365 + 1) * 86_400)
GRANULARITIES = (MINUTE, HOUR, DAY)


def granularity(interval: int) -> Granularity:
    """The widest buckets that still resolve an interval of so many seconds."""
    if interval <= 2 * 3600:
        return MINUTE
    return HOUR if interval <= 4 * 86_400 else DAY


def increments(counts: Counts) -> tuple[dict[str, int], dict[str, int]]:
    """The attributes that a row has to be raised by, and how much: (counts, what happened by feature class)."""
    found = {name: number for name, number in counts.numbers.items() if number}
    for name, buckets in counts.histograms.items():
        for bucket, count in buckets.items():
            found[f"{name}.{bucket}"] = count
    classes: dict[str, int] = {}
    for name, (calls, good) in counts.classes.items():
        classes[f"{name}:calls"] = calls
        classes[f"{name}:good"] = good
    return found, classes


@lru_cache(maxsize=4096)
def _meaning(attribute: str) -> tuple[str, str, str]:
    """(kind, name, what of it) of an attribute; the kind is empty for what is no count."""
    if attribute in ("pk", "sk", "expires_at"):
        return "", "", ""
    name, colon, part = attribute.rpartition(":")
    if colon:
        return "class", name, part
    name, dot, bucket = attribute.partition(".")
    return ("bucket", name, bucket) if dot else ("number", name, "")


class Sum:
    """Adds up rows."""

    def __init__(self) -> None:
        self._numbers: dict[Route, dict[str, int]] = {}
        self._histograms: dict[Route, dict[str, dict[int, int]]] = {}
        self._classes: dict[Route, dict[str, dict[str, int]]] = {}

    def add(self, row: Item, *, counts: bool = True, classes: bool = False) -> None:
        """Add a row: its ``counts``, and what happened by feature ``classes``."""
        provider, _, slug = row["sk"].partition("#")[2].partition("/")
        route = (provider, slug)
        for attribute, value in row.items():
            kind, name, part = _meaning(attribute)
            if kind == "class":
                if classes:
                    parts = self._classes.setdefault(route, {}).setdefault(name, {})
                    parts[part] = parts.get(part, 0) + value
            elif not counts:
                continue
            elif kind == "bucket":
                buckets = self._histograms.setdefault(route, {}).setdefault(name, {})
                buckets[int(part)] = buckets.get(int(part), 0) + value
            elif kind == "number":
                numbers = self._numbers.setdefault(route, {})
                numbers[name] = numbers.get(name, 0) + value

    def routes(self) -> dict[Route, Counts]:
        """The sums."""
        return {
            route: Counts(
                self._numbers.get(route, {}),
                self._histograms.get(route, {}),
                {
                    name: (parts.get("calls", 0), parts.get("good", 0))
                    for name, parts in self._classes.get(route, {}).items()
                },
            )
            for route in self._numbers.keys() | self._histograms.keys() | self._classes.keys()
        }


def pack(collected: Collected) -> bytes:
    """The counts as compressed JSON of at most ``PACKED_LIMIT`` bytes; the least used routes are left out where it
    takes that."""
    routes = sorted(collected.routes.items(), key=lambda entry: (-entry[1].numbers.get("requests", 0), entry[0]))
    rows = [
        [
            provider,
            slug,
            counts.numbers,
            {name: _dense(buckets) for name, buckets in counts.histograms.items() if buckets},
            counts.classes,
        ]
        for (provider, slug), counts in routes
    ]
    while True:
        text = json.dumps([collected.interval, collected.at, rows], separators=(",", ":"))
        packed = zlib.compress(text.encode(), 6)
        if len(packed) <= PACKED_LIMIT or not rows:
            return packed
        del rows[int(len(rows) * PACKED_LIMIT / len(packed) * _SAFETY) :]


def unpack(packed: bytes) -> Collected:
    """What ``pack`` made. Raises ValueError, zlib.error for anything else."""
    interval, at, rows = json.loads(zlib.decompress(packed))
    return Collected(
        interval,
        at,
        {
            (provider, slug): Counts(
                numbers,
                {name: _sparse(dense) for name, dense in histograms.items()},
                {name: (calls, good) for name, (calls, good) in classes.items()},
            )
            for provider, slug, numbers, histograms, classes in rows
        },
    )


def _dense(buckets: Mapping[int, int]) -> list[int]:
    """The first bucket's number, then the counts from there on: a third of the size of the mapping."""
    first, last = min(buckets), max(buckets)
    return [first, *(buckets.get(number, 0) for number in range(first, last + 1))]


def _sparse(dense: Iterable[Any]) -> dict[int, int]:
    first, *counts = dense
    return {first + n: count for n, count in enumerate(counts) if count}

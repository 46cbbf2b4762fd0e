"""What one upstream call says of its route: for the metrics, and for the circuit breakers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from headgate.routing.metrics import RouteStats, Snapshot, bucket
from headgate.routing.plan import BreakerKey
from headgate.routing.transport import FailureKind
from headgate.storage.metrics_rows import Collected, Counts, Route

Effect = Literal["succeeded", "failed", "sidelined", "rejected", "released"]
"""What happens to a breaker: the functions of ``routing.health`` by name."""

_CREDENTIAL_REFUSED = frozenset({401, 402, 403})
# An inference call has nothing that it could conflict with: 409 is how Anthropic's and Cohere's overload reads.
_PROVIDERS_FAULT = frozenset({408, 409, 429})


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Sample:
    """One upstream call that is over.

    ok: it brought a whole answer. kind: how it failed, as in ``UpstreamFailure``, ``credential`` where there was no
    usable one, ``cancelled`` where we gave it up (the loser of a race); empty where it is ok. status: the upstream's,
    None where it did not answer. retry_after: seconds. started: Unix seconds, None: the call has ended just now.
    latency_ms: from start to end; e2e_ms: of the whole request, only of the call that served it; first_token_ms: until
    the first output, None where there was none. A sample is itself and equal to no other.
    """

    provider: str
    slug: str
    feature_class: str
    credential: str
    ok: bool
    kind: FailureKind | Literal["", "credential", "cancelled"] = ""
    status: int | None = None
    retry_after: float | None = None
    started: float | None = None
    latency_ms: float = 0.0
    e2e_ms: float | None = None
    first_token_ms: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def counts(self) -> bool:
        """Whether it says something of the provider. A request that the provider was right to refuse does not, nor
        does a credential that it does not take, nor a call that we broke off."""
        if self.ok:
            return True
        if self.kind == "status":
            return self.status is not None and (self.status >= 500 or self.status in _PROVIDERS_FAULT)
        return self.kind in ("connect", "timeout", "stream")

    def effects(self) -> list[tuple[BreakerKey, Effect]]:
        """The breakers that it concerns, and how."""
        route: BreakerKey = (self.provider, self.slug, self.feature_class)
        account: BreakerKey = (self.provider, self.slug, f"@{self.credential}")
        if self.ok:
            return [(route, "succeeded"), (account, "succeeded")]
        if self.kind == "credential" or (self.kind == "status" and self.status in _CREDENTIAL_REFUSED):
            return [(account, "rejected"), (route, "released")]
        if self.kind == "status" and self.status == 429:
            # Limits are a credential's: the route may have others.
            return [(account, "sidelined" if self.retry_after else "failed"), (route, "released")]
        if self.counts:
            return [(route, "failed"), (account, "released")]
        return [(route, "released"), (account, "released")]


def counts_of(samples: Iterable[Sample]) -> dict[Route, Counts]:
    """The samples' counts by route, of those that count."""
    found: dict[Route, list[Sample]] = {}
    for sample in samples:
        if sample.counts:
            found.setdefault((sample.provider, sample.slug), []).append(sample)
    return {route: _counts(those) for route, those in found.items()}


def _counts(samples: list[Sample]) -> Counts:
    good = [sample for sample in samples if sample.ok]
    served = [sample.e2e_ms for sample in good if sample.e2e_ms is not None]
    classes: dict[str, tuple[int, int]] = {}
    for sample in samples:
        calls, successes = classes.get(sample.feature_class, (0, 0))
        classes[sample.feature_class] = (calls + 1, successes + sample.ok)
    return Counts(
        {
            "requests": len(samples),
            "succeeded": len(good),
            "latency_ms": round(sum(sample.latency_ms for sample in good)),
            "e2e_latency_ms": round(sum(served)),
            "input_tokens": sum(sample.input_tokens for sample in good),
            "output_tokens": sum(sample.output_tokens for sample in good),
        },
        {
            "l": _buckets(sample.latency_ms for sample in good),
            "e": _buckets(served),
            "f": _buckets(sample.first_token_ms for sample in good if sample.first_token_ms is not None),
        },
        classes,
    )


def _buckets(durations: Iterable[float]) -> dict[int, int]:
    found: dict[int, int] = {}
    for duration in durations:
        number = bucket(duration)
        found[number] = found.get(number, 0) + 1
    return found


def snapshot_of(collected: Collected) -> Snapshot:
    """Collected counts as live metrics."""
    return Snapshot(
        collected.interval, collected.at, {route: _stats(counts) for route, counts in collected.routes.items()}
    )


def _stats(counts: Counts) -> RouteStats:
    numbers, histograms = counts.numbers, counts.histograms
    return RouteStats(
        requests=numbers.get("requests", 0),
        succeeded=numbers.get("succeeded", 0),
        latency=histograms.get("l", {}),
        latency_ms=numbers.get("latency_ms", 0),
        e2e_latency=histograms.get("e", {}),
        e2e_latency_ms=numbers.get("e2e_latency_ms", 0),
        first_token=histograms.get("f", {}),
        input_tokens=numbers.get("input_tokens", 0),
        output_tokens=numbers.get("output_tokens", 0),
        recent=counts.classes,
    )

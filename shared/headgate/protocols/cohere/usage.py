"""Cohere's token counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.usage import Usage


def read_usage(raw: Mapping[str, Any]) -> Usage:
    """The ``usage`` object of ``message-end``. ``billed_units`` is what costs money; ``tokens`` also counts what the
    vendor itself puts around the prompt and is free, so it stands in only where the first is missing. The counts are
    JSON numbers with a fraction at times. Writing to the cache costs nothing and is not reported."""
    billed, tokens = _object(raw.get("billed_units")), _object(raw.get("tokens"))
    counts = billed if "input_tokens" in billed or "output_tokens" in billed else tokens
    input_total = _count(counts.get("input_tokens"))
    return Usage(
        input_total=input_total,
        cache_read=min(input_total, _count(raw.get("cached_tokens"))),
        output_total=_count(counts.get("output_tokens")),
        web_searches=_count(billed.get("search_units")),
        raw=dict(raw),
    )


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 < value < 2**53 else 0


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

"""Bedrock's token counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.usage import Usage


def read_usage(raw: Mapping[str, Any], web_searches: int = 0) -> Usage:
    """A ``usage`` object of ``metadata``. Bedrock counts exclusively like Anthropic: ``inputTokens`` leaves out what
    was read from and written to the cache. ``cacheDetails`` splits the writes by lifetime; what it leaves open counts
    as five-minute ones, the vendor's default. Reasoning is part of ``outputTokens`` and not told apart."""
    details = raw.get("cacheDetails")
    by_lifetime = [each for each in details if isinstance(each, Mapping)] if isinstance(details, list) else []
    write_1h = sum(_count(each.get("inputTokens")) for each in by_lifetime if each.get("ttl") == "1h")
    write_5m = sum(_count(each.get("inputTokens")) for each in by_lifetime if each.get("ttl") != "1h")
    write_5m = max(write_5m, _count(raw.get("cacheWriteInputTokens")) - write_1h)
    read = _count(raw.get("cacheReadInputTokens"))
    return Usage(
        input_total=_count(raw.get("inputTokens")) + read + write_5m + write_1h,
        cache_read=read,
        cache_write_5m=write_5m,
        cache_write_1h=write_1h,
        output_total=_count(raw.get("outputTokens")),
        web_searches=web_searches,
        raw=dict(raw),
    )


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0

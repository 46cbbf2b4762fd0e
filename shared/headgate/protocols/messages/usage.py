"""Anthropic's usage object, in both directions.

Anthropic counts exclusively: ``input_tokens`` leaves out what was read from and written to the cache. ``Usage`` counts
inclusively, so the classes are added on the way in and subtracted on the way out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.conversation import JsonObject
from headgate.usage import Usage


def read_usage(raw: Mapping[str, Any]) -> Usage:
    """An upstream's ``usage`` object as ``Usage``. A count that is missing or no number counts as 0. Cache writes
    without a breakdown by lifetime are taken as five-minute ones, the vendor's default."""
    breakdown = _object(raw.get("cache_creation"))
    write_1h = _count(breakdown.get("ephemeral_1h_input_tokens"))
    written = _count(raw.get("cache_creation_input_tokens"))
    write_5m = max(_count(breakdown.get("ephemeral_5m_input_tokens")), written - write_1h)
    read = _count(raw.get("cache_read_input_tokens"))
    output = _count(raw.get("output_tokens"))
    return Usage(
        input_total=_count(raw.get("input_tokens")) + read + write_5m + write_1h,
        cache_read=read,
        cache_write_5m=write_5m,
        cache_write_1h=write_1h,
        output_total=output,
        reasoning=min(output, _count(_object(raw.get("output_tokens_details")).get("thinking_tokens"))),
        web_searches=_count(_object(raw.get("server_tool_use")).get("web_search_requests")),
        raw=dict(raw),
    )


def merge_usage(before: JsonObject, update: object) -> dict[str, Any]:
    """``before`` (from ``message_start``) with what ``message_delta`` reports: its counts are cumulative, and it leaves
    out or nulls what has not changed."""
    changes = {key: value for key, value in _object(update).items() if value is not None}
    return {**before, **changes}


def write_usage(usage: Usage) -> dict[str, Any]:
    """The ``usage`` object of a Message, every key present."""
    return {
        "cache_creation": {
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
            "ephemeral_5m_input_tokens": usage.cache_write_5m,
        },
        **_counts(usage),
        "inference_geo": None,
        "service_tier": "standard",
    }


def write_delta_usage(usage: Usage) -> dict[str, Any]:
    """The cumulative ``usage`` object of ``message_delta``."""
    return _counts(usage)


def _counts(usage: Usage) -> dict[str, Any]:
    return {
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "input_tokens": usage.input_fresh,
        "output_tokens": usage.output_total,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "server_tool_use": {"web_fetch_requests": 0, "web_search_requests": usage.web_searches},
    }


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

"""Token counts between the wire and the model. OpenAI's totals are inclusive, as ours are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headgate.usage import Usage


def read_usage(raw: Mapping[str, Any]) -> Usage:
    """The upstream's ``usage`` object. Counts that are not whole numbers of zero or more read as zero."""
    given = _object(raw.get("input_tokens_details"))
    made = _object(raw.get("output_tokens_details"))
    total, out = _count(raw, "input_tokens"), _count(raw, "output_tokens")
    read = min(_count(given, "cached_tokens"), total)
    written = min(_count(given, "cache_write_tokens") or _count(given, "cached_tokens_created"), total - read)
    return Usage(
        input_total=total,
        cache_read=read,
        cache_write_5m=written,
        output_total=out,
        reasoning=min(_count(made, "reasoning_tokens"), out),
        audio_input=_count(given, "audio_tokens"),
        audio_output=_count(made, "audio_tokens"),
        web_searches=_count(_object(raw.get("tool_calls")), "web_search") or _served(raw),
        raw=dict(raw),
    )


def usage_of(response: Mapping[str, Any]) -> Usage:
    """The usage of a whole ``response`` object, with its billed web searches: the upstream's own count, else the
    search calls in its output (opening a page is not billed)."""
    usage = read_usage(_object(response.get("usage")))
    tools = _object(_object(response.get("tool_usage")).get("web_search"))
    searches = usage.web_searches or _count(tools, "num_requests")
    output = response.get("output")
    if not searches and isinstance(output, list):
        searches = sum(1 for item in output if isinstance(item, dict) and _is_search(item))
    return replace(usage, web_searches=searches)


def write_usage(usage: Usage) -> dict[str, Any]:
    """The client's ``usage`` object. The cache-write count has two names in the wild; both are given."""
    return {
        "input_tokens": usage.input_total,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cached_tokens_created": usage.cache_write,
            "cache_write_tokens": usage.cache_write,
        },
        "output_tokens": usage.output_total,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.total,
        "tool_calls": {"web_search": usage.web_searches},
        **({"estimated": True} if usage.estimated else {}),
    }


def _served(raw: Mapping[str, Any]) -> int:
    """xAI's count of billed calls of its search tools; both cost the same, and opening a page counts as one."""
    details = _object(raw.get("server_side_tool_usage_details"))
    return _count(details, "web_search_calls") + _count(details, "x_search_calls")


def _is_search(item: Mapping[str, Any]) -> bool:
    return item.get("type") == "web_search_call" and _object(item.get("action")).get("type", "search") == "search"


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(counts: Mapping[str, Any], name: str) -> int:
    value = counts.get(name)
    return value if type(value) is int and value > 0 else 0

"""The ``input`` of Anthropic's web searches, and of its tools as every protocol with objects for arguments has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.protocols.arguments import INPUT_KEY, RAW_KEY, arguments_object, arguments_text, dumps, strict_loads

__all__ = [
    "INPUT_KEY",
    "RAW_KEY",
    "arguments_object",
    "arguments_text",
    "search_action",
    "search_input",
    "search_sources",
    "strict_loads",
]


def search_action(value: Mapping[str, Any]) -> str:
    """The neutral action (JSON text) for the ``input`` of Anthropic's web search: ``{"query"}``."""
    return dumps({"type": "search", **value})


def search_input(action: str) -> dict[str, Any]:
    """The ``input`` of Anthropic's web search for a neutral action, whose type and sources have no place in it."""
    value = arguments_object(action)
    queries = value.pop("queries", None)
    if "query" not in value and isinstance(queries, list) and queries:
        value["query"] = queries[0]
    return {name: each for name, each in value.items() if name not in ("type", "sources")}


def search_sources(action: str) -> list[str]:
    """The addresses that a neutral search action says were read."""
    sources = arguments_object(action).get("sources")
    found = [each.get("url") for each in sources if isinstance(each, dict)] if isinstance(sources, list) else []
    return [url for url in found if isinstance(url, str)]

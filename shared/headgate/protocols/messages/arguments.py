"""Tool arguments between the neutral raw text and Anthropic's ``input`` objects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headgate.conversation import ToolKind

# Where a model wrote arguments that are no JSON object, its text is carried under this key, and back again.
RAW_KEY = "_raw_arguments"
# The one parameter of a free-text tool that is offered as a function.
INPUT_KEY = "input"

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# Python's decoder takes NaN and Infinity, which no other JSON reader does.
strict_loads = json.JSONDecoder(parse_constant=_no_constant).decode


def arguments_object(text: str, kind: ToolKind = "function") -> dict[str, Any]:
    """The ``input`` object for raw ``text``, key order kept. Free text of a custom tool becomes ``{"input": text}``,
    anything else that is no JSON object ``{"_raw_arguments": text}``; nothing at all is ``{}``."""
    if kind == "custom":
        return {INPUT_KEY: text}
    if not text.strip():
        return {}
    try:
        value = strict_loads(text)
    except (ValueError, RecursionError):
        return {RAW_KEY: text}
    return value if isinstance(value, dict) else {RAW_KEY: text}


def arguments_text(value: Mapping[str, Any]) -> str:
    """The raw text for an ``input`` object; the inverse of ``arguments_object`` for functions."""
    raw = value.get(RAW_KEY)
    return raw if len(value) == 1 and isinstance(raw, str) else _dumps(value)


def search_action(value: Mapping[str, Any]) -> str:
    """The neutral action (JSON text) for the ``input`` of Anthropic's web search: ``{"query"}``."""
    return _dumps({"type": "search", **value})


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

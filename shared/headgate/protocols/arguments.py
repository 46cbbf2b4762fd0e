"""Tool arguments between the neutral raw text and the objects that some upstreams take and give."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headgate.conversation import ToolKind

# Where a model wrote arguments that are no JSON object, its text is carried under this key, and back again.
RAW_KEY = "_raw_arguments"
# The one parameter of a free-text tool that is offered as a function.
INPUT_KEY = "input"

dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# Python's decoder takes NaN and Infinity, which no other JSON reader does.
strict_loads = json.JSONDecoder(parse_constant=_no_constant).decode


def arguments_object(text: str, kind: ToolKind = "function") -> dict[str, Any]:
    """The object for raw ``text``, key order kept. Free text of a custom tool becomes ``{"input": text}``,
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


def free_text(arguments: str) -> str:
    """The input of a free-text tool that was offered as a function with one string; the raw text where the model
    did not keep to that."""
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    text = value.get(INPUT_KEY) if isinstance(value, dict) else None
    return text if isinstance(text, str) else arguments


def arguments_text(value: Mapping[str, Any]) -> str:
    """The raw text for an object of arguments; the inverse of ``arguments_object`` for functions."""
    raw = value.get(RAW_KEY)
    return raw if len(value) == 1 and isinstance(raw, str) else dumps(value)

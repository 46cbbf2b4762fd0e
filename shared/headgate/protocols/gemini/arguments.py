"""Tool names and arguments between the neutral form and Gemini's ``functionCall``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from headgate.conversation import ToolKind
from headgate.protocols.names import NameMap

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
    """The ``args`` object for raw ``text``, key order kept. Free text of a custom tool becomes ``{"input": text}``,
    anything else that is no JSON object ``{"_raw_arguments": text}``; nothing at all is ``{}``."""
    if kind == "custom":
        return {INPUT_KEY: text}
    if not text.strip():
        return {}
    try:
        value = strict_loads(text)
    except (ValueError, RecursionError):
        return {RAW_KEY: text}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {RAW_KEY: text}


def arguments_text(value: Mapping[str, Any]) -> str:
    """The raw text for an ``args`` object; the inverse of ``arguments_object`` for functions."""
    raw = value.get(RAW_KEY)
    return raw if len(value) == 1 and isinstance(raw, str) else dumps(value)


def free_text(value: Mapping[str, Any]) -> str:
    """The text of a call of a free-text tool."""
    text = value.get(INPUT_KEY)
    return text if isinstance(text, str) and len(value) == 1 else arguments_text(value)


def function_name(names: NameMap, name: str, namespace: str | None = None) -> str:
    """The name for the wire. Gemini's begin with a letter or an underscore, so any other is led in by one."""
    wire = names.to_wire(name, namespace)
    if wire[0].isalpha() or wire[0] == "_":
        return wire
    led = f"_{wire}"
    while led in names.known():
        led = f"_{led}"
    return led


def map_name(names: NameMap, wire: str) -> str:
    """The name that ``names`` knows for one read off the wire."""
    known = names.known()
    bare = wire.lstrip("_")
    return bare if wire not in known and bare in known else wire

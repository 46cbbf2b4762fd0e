"""Tool names and arguments between the neutral form and Gemini's ``functionCall``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.protocols.arguments import INPUT_KEY, arguments_text
from headgate.protocols.names import NameMap


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

"""Whether a JSON schema is one that OpenAI's strict mode takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DEEPEST = 64


def can_be_strict(schema: Any, depth: int = 0) -> bool:
    """Whether every object in ``schema`` is closed and requires all its properties, as strict mode demands."""
    if depth > _DEEPEST:
        return False
    if isinstance(schema, list):
        return all(can_be_strict(each, depth + 1) for each in schema)
    if not isinstance(schema, Mapping):
        return True
    properties = schema.get("properties")
    inner = list(properties.values()) if isinstance(properties, Mapping) else []
    if schema.get("type") == "object" or isinstance(properties, Mapping):
        required = schema.get("required")
        named = {each for each in required if isinstance(each, str)} if isinstance(required, list) else set[str]()
        wanted = set(properties) if isinstance(properties, Mapping) else set[str]()
        if schema.get("additionalProperties") is not False or wanted != named:
            return False
    inner += [schema[key] for key in ("items", "anyOf", "allOf", "oneOf") if key in schema]
    for key in ("$defs", "definitions"):
        inner += list(schema[key].values()) if isinstance(schema.get(key), Mapping) else []
    return all(can_be_strict(each, depth + 1) for each in inner)

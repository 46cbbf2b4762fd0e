"""Whether a JSON schema is one that OpenAI's strict mode takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DEEPEST = 64
# Answered with "… is not permitted".
_FORBIDDEN = frozenset(
    {
        "allOf",
        "contains",
        "default",
        "dependentRequired",
        "dependentSchemas",
        "else",
        "if",
        "maxContains",
        "maxProperties",
        "minContains",
        "minProperties",
        "not",
        "oneOf",
        "patternProperties",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
        "uniqueItems",
    }
)
_FORMATS = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
_KINDS = ("type", "anyOf", "$ref", "enum", "const", "properties")


def can_be_strict(schema: Any, depth: int = 0) -> bool:
    """Whether every object in ``schema`` is closed and requires all its properties, every value has a type, and no
    keyword is used that strict mode refuses."""
    if depth > _DEEPEST:
        return False
    if isinstance(schema, list):
        return all(can_be_strict(each, depth + 1) for each in schema)
    if not isinstance(schema, Mapping):
        return True
    if not _FORBIDDEN.isdisjoint(schema) or (depth and not any(name in schema for name in _KINDS)):
        return False
    if schema.get("format", "date") not in _FORMATS:
        return False
    properties = schema.get("properties")
    inner = list(properties.values()) if isinstance(properties, Mapping) else []
    if schema.get("type") == "object" or isinstance(properties, Mapping):
        required = schema.get("required")
        named = {each for each in required if isinstance(each, str)} if isinstance(required, list) else set[str]()
        wanted = set(properties) if isinstance(properties, Mapping) else set[str]()
        if schema.get("additionalProperties") is not False or wanted != named:
            return False
    inner += [schema[key] for key in ("items", "anyOf") if key in schema]
    for key in ("$defs", "definitions"):
        inner += list(schema[key].values()) if isinstance(schema.get(key), Mapping) else []
    return all(can_be_strict(each, depth + 1) for each in inner)

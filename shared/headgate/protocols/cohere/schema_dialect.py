"""JSON Schema as Cohere's constrained decoding takes it: no composition, no ranges, no lengths; every object has a
required field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headgate.errors import invalid_request
from headgate.losses import Loss

_KEPT = frozenset({"type", "enum", "const", "description", "title", "$ref", "default", "required"})
_FORMATS = frozenset({"date-time", "uuid", "date", "time"})
_NO_MEANING = frozenset({"$schema", "$id", "additionalProperties", "strict"})
_PATTERN_FORBIDDEN = ("^", "$", "?=", "?!")


def plain_schema(schema: Mapping[str, Any], path: str) -> tuple[dict[str, Any], list[Loss]]:
    """``schema`` in the vendor's dialect, and a loss for each constraint that is only described now."""
    losses: list[Loss] = []
    try:
        return _convert(schema, path, losses), losses
    except RecursionError:
        raise invalid_request("The schema is nested too deeply", param=path) from None


def _convert(schema: Any, path: str, losses: list[Loss]) -> dict[str, Any]:
    if not isinstance(schema, Mapping):
        losses.append(Loss(path, "unsupported_schema_keyword", "a boolean schema"))
        return {}
    schema, nullable = _without_null(schema)
    out: dict[str, Any] = {}
    described: dict[str, Any] = {"nullable": True} if nullable else {}
    for name, value in schema.items():
        if name in _KEPT or (name == "format" and value in _FORMATS) or (name == "pattern" and _plain(value)):
            out[name] = value
        elif name in ("$defs", "definitions", "properties") and isinstance(value, Mapping):
            out[name] = {key: _convert(each, f"{path}.{name}.{key}", losses) for key, each in value.items()}
        elif name == "items" and isinstance(value, Mapping):
            out[name] = _convert(value, f"{path}.items", losses)
        elif name not in _NO_MEANING:
            described[name] = value
            losses.append(Loss(f"{path}.{name}", "unsupported_schema_keyword", "moved into the description"))
    if nullable:
        losses.append(Loss(f"{path}.anyOf", "unsupported_schema_keyword", "null is only described"))
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and isinstance(out.get("required"), list):
        # Without a null to choose, a value that may be missing must be one that may be left out: the model would have
        # to make one up, of a recursive schema without end.
        optional = [name for name, each in properties.items() if isinstance(each, Mapping) and _without_null(each)[1]]
        out["required"] = [name for name in out["required"] if name not in optional]
    if out.get("properties") and not out.get("required"):
        # The vendor refuses an object without one.
        out["required"] = [next(iter(out["properties"]))]
        losses.append(Loss(f"{path}.required", "unsupported_schema_keyword", "one field had to become required"))
    if described:
        hint = ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in described.items())
        out["description"] = f"{out['description']}\n\n{{{hint}}}" if out.get("description") else f"{{{hint}}}"
    return out


def _plain(pattern: object) -> bool:
    return isinstance(pattern, str) and not any(each in pattern for each in _PATTERN_FORBIDDEN)


def _without_null(schema: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool]:
    """``anyOf: [X, null]``, the usual form of an optional field, as X."""
    options = schema.get("anyOf")
    if not isinstance(options, list) or len(options) != 2:
        return schema, False
    rest = [each for each in options if each != {"type": "null"}]
    if len(rest) != 1 or not isinstance(rest[0], Mapping):
        return schema, False
    return {**{name: value for name, value in schema.items() if name != "anyOf"}, **rest[0]}, True

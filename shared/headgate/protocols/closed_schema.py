"""JSON Schema as the constrained decoding of Claude models takes it, at Anthropic and on Bedrock.

Objects must be closed; bounds on numbers, lengths and counts are refused. What the dialect lacks moves into the
description, where the model still reads it, and is announced.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headgate.errors import invalid_request
from headgate.losses import Loss

_KEPT = frozenset({"type", "enum", "const", "description", "title", "$ref", "default"})
_FORMATS = frozenset({"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"})
_COMBINERS = {"anyOf": "anyOf", "oneOf": "anyOf", "allOf": "allOf"}
_NO_MEANING = frozenset({"$schema", "$id", "additionalProperties", "strict"})


def closed_schema(schema: Mapping[str, Any], path: str) -> tuple[dict[str, Any], list[Loss]]:
    """``schema`` in the vendor's dialect, and a loss for each constraint that is only described now."""
    losses: list[Loss] = []
    try:
        return _convert(schema, path, losses), losses
    except RecursionError:
        raise invalid_request("The schema is nested too deeply", param=path) from None


def fits(schema: Mapping[str, Any]) -> bool:
    """Whether ``schema`` can be enforced as it is: closed objects, nothing outside the dialect. A tool's ``strict``
    is passed on only then; silently closing a tool's schema would change what it accepts."""
    converted, losses = closed_schema(schema, "")
    return not losses and _same(converted, schema)


def _same(converted: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    return converted == {name: value for name, value in schema.items() if name not in ("$schema", "$id", "strict")}


def _convert(schema: Any, path: str, losses: list[Loss]) -> dict[str, Any]:
    if not isinstance(schema, Mapping):
        # `true` and `false` are schemas too; the first allows anything and has no form here.
        losses.append(Loss(path, "unsupported_schema_keyword", "a boolean schema"))
        return {}
    out: dict[str, Any] = {}
    described: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _KEPT:
            out[name] = value
        elif name in ("$defs", "definitions", "properties") and isinstance(value, Mapping):
            out[name] = {key: _convert(each, f"{path}.{name}.{key}", losses) for key, each in value.items()}
        elif name in _COMBINERS and isinstance(value, list):
            out[_COMBINERS[name]] = [_convert(each, f"{path}.{name}[{i}]", losses) for i, each in enumerate(value)]
        elif name == "items" and isinstance(value, Mapping):
            out[name] = _convert(value, f"{path}.items", losses)
        elif name == "required" or (name == "format" and value in _FORMATS) or (name == "minItems" and value in (0, 1)):
            out[name] = value
        elif name not in _NO_MEANING:
            described[name] = value
            losses.append(Loss(f"{path}.{name}", "unsupported_schema_keyword", "moved into the description"))
    kind = schema.get("type")
    if kind == "object" or "properties" in out or (isinstance(kind, list) and "object" in kind):
        if schema.get("additionalProperties") not in (None, False):
            losses.append(Loss(f"{path}.additionalProperties", "unsupported_schema_keyword", "objects are closed"))
        out["additionalProperties"] = False
    if described:
        hint = ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in described.items())
        out["description"] = f"{out['description']}\n\n{{{hint}}}" if out.get("description") else f"{{{hint}}}"
    return out

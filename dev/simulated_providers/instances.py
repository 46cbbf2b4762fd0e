"""Valid instances of a JSON schema, and what the vendors' strict modes ask of one."""

from __future__ import annotations

from typing import Any

_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
}
_DEEPEST = 8
"""A recursive schema is followed no deeper than this; beyond, only what is required is filled in."""


def instance(schema: Any, said: str = "example") -> Any:
    """A value that is valid under ``schema``. Free strings become ``said``.

    Handles type (also a list of types), properties, items, prefixItems, enum, const, $ref into the same document,
    anyOf, oneOf, allOf, string lengths and formats, number bounds and multipleOf, minItems. A ``pattern`` is not
    solved: such a string comes from the schema's own examples or default where it has any.
    """
    return _fill(schema, schema, said, 0)


def _resolve(root: Any, reference: str) -> Any:
    node = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            node = node.get(step.replace("~1", "/").replace("~0", "~"), {}) if isinstance(node, dict) else {}
    return node


def _fill(schema: Any, root: Any, said: str, depth: int) -> Any:
    if not isinstance(schema, dict):
        return said
    if "$ref" in schema:
        return _fill(_resolve(root, schema["$ref"]), root, said, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    if schema.get("allOf"):
        merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
        for part in schema["allOf"]:
            part = _resolve(root, part["$ref"]) if isinstance(part, dict) and "$ref" in part else part
            for key, value in part.items():
                if key == "properties":
                    merged[key] = {**merged.get(key, {}), **value}
                elif key == "required":
                    merged[key] = [*merged.get(key, []), *value]
                else:
                    merged.setdefault(key, value)
        return _fill(merged, root, said, depth)
    for key in ("anyOf", "oneOf"):
        options = schema.get(key)
        if options:
            # Deep inside a recursive schema the way out is usually the null branch or the one without a reference.
            shallow = [one for one in options if "$ref" not in one] if depth > 4 else options
            return _fill((shallow or options)[0], root, said, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    if kind == "object":
        wanted = schema.get("properties", {})
        if depth > _DEEPEST:
            wanted = {key: value for key, value in wanted.items() if key in schema.get("required", [])}
        return {key: _fill(value, root, said, depth + 1) for key, value in wanted.items()}
    if kind == "array":
        fixed = [_fill(one, root, said, depth + 1) for one in schema.get("prefixItems", [])]
        least = schema.get("minItems", 0 if depth > 4 else 1)
        if schema.get("maxItems") is not None:
            least = min(least, schema["maxItems"])
        more = max(0, least - len(fixed)) if schema.get("items", True) is not False else 0
        return fixed + [_fill(schema.get("items", {}), root, said, depth + 1) for _ in range(more)]
    if kind in ("integer", "number"):
        return _numeral(schema, whole=kind == "integer")
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    return _text(schema, said)


def _numeral(schema: dict[str, Any], *, whole: bool) -> float:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    step = schema.get("multipleOf") or (1 if whole else 0.5)
    if above is not None and (low is None or above >= low):
        low = above + step
    if below is not None and (high is None or below <= high):
        high = below - step
    value: float = 7
    if low is not None and value < low:
        value = low
    if high is not None and value > high:
        value = high
    if schema.get("multipleOf"):
        value = -(-value // step) * step
        if high is not None and value > high:
            value -= step
    return int(value) if whole or float(value).is_integer() else value


def _text(schema: dict[str, Any], said: str) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    if "pattern" in schema:
        for key in ("default", "examples"):
            given = schema.get(key)
            given = given[0] if isinstance(given, list) and given else given
            if isinstance(given, str):
                return given
    text = said
    if len(text) < schema.get("minLength", 0):
        text = text + "x" * (schema["minLength"] - len(text))
    return text[: schema["maxLength"]] if schema.get("maxLength") is not None else text


_NOT_STRICT = ("allOf", "not", "dependentRequired", "dependentSchemas", "if", "then", "else", "default", "oneOf")


def strict_objection(schema: Any, at: tuple[str, ...] = ()) -> str | None:
    """Why OpenAI's strict mode refuses ``schema``, as the words after "Invalid schema for …: ", or None."""
    if not isinstance(schema, dict):
        return None
    where = f"In context=({', '.join(repr(step) for step in at)}{',' if len(at) == 1 else ''}),"
    for keyword in _NOT_STRICT:
        if keyword in schema:
            return f"{where} '{keyword}' is not permitted."
    kinds = schema.get("type")
    if kinds == "object" or (isinstance(kinds, list) and "object" in kinds) or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            return f"{where} 'additionalProperties' is required to be supplied and to be false."
        names = list(schema.get("properties", {}))
        missing = [name for name in names if name not in schema.get("required", [])]
        if missing:
            return (
                f"{where} 'required' is required to be supplied and to be an array including every key in "
                f"properties. Missing '{missing[0]}'."
            )
    for key in ("properties", "$defs", "definitions"):
        for name, part in schema.get(key, {}).items():
            objection = strict_objection(part, (*at, key, name))
            if objection:
                return objection
    for index, part in enumerate(schema.get("anyOf", [])):
        objection = strict_objection(part, (*at, "anyOf", str(index)))
        if objection:
            return objection
    return strict_objection(schema.get("items"), (*at, "items"))


_NOT_HELD = {
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("minLength", "maxLength"),
}


def anthropic_objection(schema: Any) -> str | None:
    """Why Anthropic's structured outputs refuse ``schema``, as the words after the path, or None."""
    if not isinstance(schema, dict):
        return None
    kind = schema.get("type")
    if kind == "object" and schema.get("additionalProperties") is not False:
        return "For 'object' type, 'additionalProperties' must be explicitly set to false"
    held = [key for key in _NOT_HELD.get(kind if isinstance(kind, str) else "", ()) if key in schema]
    if held:
        return f"For '{kind}' type, properties {', '.join(sorted(held))} are not supported"
    if kind == "array" and schema.get("minItems", 0) not in (0, 1):
        return "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
    parts = [part for key in ("properties", "$defs", "definitions") for part in schema.get(key, {}).values()]
    parts += [part for key in ("anyOf", "allOf") for part in schema.get(key, [])]
    for part in [*parts, schema.get("items")]:
        objection = anthropic_objection(part)
        if objection:
            return objection
    return None

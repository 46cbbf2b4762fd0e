"""JSON Schema as Gemini takes it.

Newer fields (``parametersJsonSchema``, ``responseJsonSchema``) take JSON Schema itself, of which a part is enforced.
The older ones take a subset of OpenAPI 3.0: no references, no unions of types, enumerations of strings only. A value of
an enumeration that had to become a string is turned back in the answer (``restored``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from headgate.errors import invalid_request, unsupported
from headgate.losses import Loss
from headgate.protocols.arguments import dumps

Block = dict[str, Any]

_ENFORCED = frozenset(
    {
        "$id",
        "$anchor",
        "$ref",
        "type",
        "format",
        "title",
        "description",
        "default",
        "enum",
        "required",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "propertyOrdering",
    }
)
_NO_MEANING = frozenset({"$schema", "$id", "$anchor", "$comment", "strict", "examples", "$defs", "definitions"})
_SUBSET = {
    "OBJECT": ("minProperties", "maxProperties"),
    "ARRAY": ("minItems", "maxItems"),
    "STRING": ("minLength", "maxLength", "pattern"),
    "INTEGER": ("minimum", "maximum"),
    "NUMBER": ("minimum", "maximum"),
}
_FORMATS = {
    "STRING": ("date-time", "enum"),
    "INTEGER": ("int32", "int64"),
    "NUMBER": ("float", "double"),
}
_TYPES = ("string", "number", "integer", "boolean", "array", "object")
_STRUCTURE = frozenset({"type", "properties", "required", "items", "anyOf", "oneOf", "allOf", "enum", "const", "$ref"})
_ABOUT = ("title", "description")
# Inlining can blow a small schema up without end.
_MOST_NODES = 20_000


def tool_schema(schema: Mapping[str, Any] | None) -> Block:
    """``parametersJsonSchema`` for a tool: the client's schema with an object at its root."""
    found = {name: value for name, value in (schema or {}).items() if name not in ("$schema", "strict")}
    if "$ref" in found or found.get("type") == "object":
        return found
    return {**found, "type": "object"} if found else {"type": "object", "properties": {}}


def answer_schema(schema: Mapping[str, Any], path: str) -> tuple[Block, list[Loss]]:
    """``responseJsonSchema``: what the vendor does not enforce moves into the description, where the model still
    reads it, and is announced."""
    losses: list[Loss] = []
    try:
        return _described(schema, path, losses), losses
    except RecursionError:
        raise invalid_request("The schema is nested too deeply", param=path) from None


def openapi_schema(schema: Mapping[str, Any], path: str) -> tuple[Block, list[Loss]]:
    """``schema`` in the OpenAPI subset. Raises GatewayError 400 naming the keyword for recursion and for references
    that cannot be resolved."""
    inliner = _Inliner(schema)
    try:
        return inliner.convert(schema, path, ()), inliner.losses
    except RecursionError:
        raise invalid_request("The schema is nested too deeply", param=path) from None


def needs_restoring(schema: Any) -> bool:
    """Whether ``openapi_schema`` turns values of ``schema`` into strings."""
    if not isinstance(schema, Mapping):
        return False
    found = cast("Mapping[str, Any]", schema)
    parts = [found.get(name) for name in ("items", "additionalProperties")]
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        parts += _list(found.get(name))
    for name in ("properties", "$defs", "definitions"):
        named = found.get(name)
        parts += cast("Mapping[str, Any]", named).values() if isinstance(named, Mapping) else ()
    return any(not isinstance(each, str | None) for each in _choices(found)) or any(map(needs_restoring, parts))


def restored(value: Any, schema: Any, root: Mapping[str, Any], depth: int = 0) -> Any:
    """``value`` with the strings that stand for other values of an enumeration turned back."""
    if not isinstance(schema, Mapping) or depth > 64:
        return value
    found = cast("Mapping[str, Any]", schema)
    if isinstance(found.get("$ref"), str):
        value = restored(value, _resolve(root, found["$ref"]), root, depth + 1)
    if isinstance(value, str):
        choices = _choices(found)
        if value not in choices:
            value = next((each for each in choices if not isinstance(each, str) and dumps(each) == value), value)
    for name in ("anyOf", "oneOf", "allOf"):
        for each in _list(found.get(name)):
            value = restored(value, each, root, depth + 1)
    if isinstance(value, dict):
        properties, more = found.get("properties"), found.get("additionalProperties")
        known = cast("Mapping[str, Any]", properties) if isinstance(properties, Mapping) else {}
        fields = cast("dict[str, Any]", value)
        return {name: restored(each, known.get(name, more), root, depth + 1) for name, each in fields.items()}
    if isinstance(value, list) and "items" in found:
        return [restored(each, found["items"], root, depth + 1) for each in cast("list[Any]", value)]
    return value


class _Inliner:
    """Converts one schema; ``losses`` is what could only be described."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.losses: list[Loss] = []
        self._root = root
        self._nodes = 0

    def convert(self, schema: Any, path: str, refs: tuple[str, ...]) -> Block:
        self._nodes += 1
        if self._nodes > _MOST_NODES:
            raise unsupported("The schema becomes too large once each '$ref' is written out", param=path)
        if not isinstance(schema, Mapping):
            return self._anything({}, path, refs)
        found, refs = self._flat(cast("Mapping[str, Any]", schema), path, refs)
        options = _list(found.get("anyOf")) or _list(found.get("oneOf"))
        if options:
            return self._union(found, options, path, refs)
        kinds = found.get("type")
        if isinstance(kinds, list):
            return self._types(found, cast("list[Any]", kinds), path, refs)
        if _choices(found):
            return self._choice(found)
        kind = kinds if isinstance(kinds, str) else _implied(found)
        if kind == "null":
            return self._finish({"type": "STRING", "nullable": True}, found, path, "STRING")
        return self._typed(found, kind, path, refs) if kind in _TYPES else self._anything(found, path, refs)

    def _flat(
        self, schema: Mapping[str, Any], path: str, refs: tuple[str, ...]
    ) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """``schema`` without ``$ref`` and ``allOf``."""
        found = schema
        while "$ref" in found:
            ref = found["$ref"]
            if not isinstance(ref, str) or not ref.startswith("#"):
                raise unsupported(f"'$ref' to {ref!r} points outside the schema", param=f"{path}.$ref")
            if ref in refs:
                raise unsupported(f"The model cannot take a recursive schema: '$ref' to {ref!r}", param=f"{path}.$ref")
            refs = (*refs, ref)
            target = _resolve(self._root, ref)
            if not isinstance(target, Mapping):
                raise unsupported(f"'$ref' to {ref!r} leads nowhere", param=f"{path}.$ref")
            found = {**target, **{name: value for name, value in found.items() if name != "$ref"}}
        if "allOf" in found:
            merged: Block = {name: value for name, value in found.items() if name != "allOf"}
            for index, part in enumerate(_list(found["allOf"])):
                if isinstance(part, Mapping):
                    flat, refs = self._flat(cast("Mapping[str, Any]", part), f"{path}.allOf[{index}]", refs)
                    _merge(merged, flat)
            found = merged
        return found, refs

    def _union(self, found: Mapping[str, Any], options: list[Any], path: str, refs: tuple[str, ...]) -> Block:
        rest = [each for each in options if not _is_null(each)]
        converted = [self.convert(each, f"{path}.anyOf[{index}]", refs) for index, each in enumerate(rest)]
        out: Block = dict(converted[0]) if len(converted) == 1 else {"anyOf": converted} if converted else {}
        if len(rest) < len(options):
            out["nullable"] = True
            out.setdefault("type", "STRING") if not converted else None
        out.update({name: found[name] for name in _ABOUT if isinstance(found.get(name), str)})
        for name in ("properties", "items", "enum"):
            if name in found:
                self._lose(f"{path}.{name}", "not together with a union")
        return out

    def _types(self, found: Mapping[str, Any], kinds: list[Any], path: str, refs: tuple[str, ...]) -> Block:
        rest = [kind for kind in kinds if kind != "null"]
        bare = {name: value for name, value in found.items() if name != "type"}
        if not rest:
            return self.convert({**bare, "type": "null"}, path, refs)
        if len(rest) == 1 or _choices(found):
            out = self.convert({**bare, "type": rest[0]}, path, refs)
        else:
            about = {name: bare.pop(name) for name in _ABOUT if name in bare}
            out = {"anyOf": [self.convert({**bare, "type": kind}, path, refs) for kind in rest], **about}
        return {**out, "nullable": True} if len(rest) < len(kinds) else out

    def _choice(self, found: Mapping[str, Any]) -> Block:
        choices = _choices(found)
        texts = [each if isinstance(each, str) else dumps(each) for each in choices if each is not None]
        out: Block = {"type": "STRING", "format": "enum", "enum": list(dict.fromkeys(texts))} if texts else {}
        if None in choices:
            out = {"type": "STRING", **out, "nullable": True}
        return {**out, **{name: found[name] for name in _ABOUT if isinstance(found.get(name), str)}}

    def _typed(self, found: Mapping[str, Any], kind: str, path: str, refs: tuple[str, ...]) -> Block:
        upper = kind.upper()
        out: Block = {"type": upper}
        if upper == "OBJECT":
            properties = found.get("properties")
            if isinstance(properties, Mapping) and properties:
                known = cast("Mapping[str, Any]", properties)
                out["properties"] = {
                    name: self.convert(value, f"{path}.properties.{name}", refs) for name, value in known.items()
                }
                required = [name for name in _list(found.get("required")) if name in known]
                if required:
                    out["required"] = required
        elif upper == "ARRAY":
            out["items"] = self._items(found, path, refs)
        return self._finish(out, found, path, upper)

    def _items(self, found: Mapping[str, Any], path: str, refs: tuple[str, ...]) -> Block:
        fixed = _list(found.get("prefixItems")) or _list(found.get("items"))
        if fixed:
            self._lose(f"{path}.prefixItems", "the order of the items is not enforced")
            return {"anyOf": [self.convert(each, f"{path}.prefixItems[{i}]", refs) for i, each in enumerate(fixed)]}
        return self.convert(found.get("items", True), f"{path}.items", refs)

    def _anything(self, found: Mapping[str, Any], path: str, refs: tuple[str, ...]) -> Block:
        self._lose(path, "a schema without a type allows text, numbers and booleans only")
        out: Block = {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}, {"type": "BOOLEAN"}]}
        return {**out, **{name: found[name] for name in _ABOUT if isinstance(found.get(name), str)}}

    def _finish(self, out: Block, found: Mapping[str, Any], path: str, kind: str) -> Block:
        """Add the constraints that the subset has for ``kind``; describe the others."""
        described: Block = {}
        for name, value in found.items():
            if name in _STRUCTURE or name in _NO_MEANING or name in ("prefixItems", "default"):
                continue
            if name in _ABOUT:
                if isinstance(value, str):
                    out[name] = value
            elif name in _SUBSET.get(kind, ()) or (name == "format" and value in _FORMATS.get(kind, ())):
                out[name] = value
            elif name == "nullable":
                out[name] = bool(value)
            elif name == "exclusiveMinimum" and kind == "INTEGER" and type(value) is int:
                out["minimum"] = value + 1
            elif name == "exclusiveMaximum" and kind == "INTEGER" and type(value) is int:
                out["maximum"] = value - 1
            elif name == "additionalProperties" and value is False:
                continue
            else:
                described[name] = value
                self._lose(f"{path}.{name}", "moved into the description")
        return _with_hint(out, described)

    def _lose(self, path: str, detail: str) -> None:
        self.losses.append(Loss(path, "unsupported_schema_keyword", detail))


def _described(schema: Any, path: str, losses: list[Loss]) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    found = cast("Mapping[str, Any]", schema)
    out: Block = {}
    described: Block = {}
    for name, value in found.items():
        if name in _ENFORCED:
            out[name] = value
        elif name == "const":
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                out["enum"] = [value]
            else:
                described[name] = value
        elif name in ("properties", "$defs", "definitions") and isinstance(value, Mapping):
            each = cast("Mapping[str, Any]", value)
            out[name] = {key: _described(part, f"{path}.{name}.{key}", losses) for key, part in each.items()}
        elif name in ("anyOf", "oneOf", "prefixItems") and isinstance(value, list):
            parts = cast("list[Any]", value)
            wire = "anyOf" if name == "oneOf" else name
            out[wire] = [_described(part, f"{path}.{name}[{i}]", losses) for i, part in enumerate(parts)]
        elif name == "allOf" and isinstance(value, list) and len(cast("list[Any]", value)) == 1:
            part = _described(value[0], f"{path}.allOf[0]", losses)
            out.update({key: each for key, each in part.items() if key not in found} if isinstance(part, dict) else {})
        elif name in ("items", "additionalProperties"):
            out[name] = _described(value, f"{path}.{name}", losses)
        elif name not in _NO_MEANING:
            described[name] = value
    losses += [Loss(f"{path}.{name}", "unsupported_schema_keyword", "moved into the description") for name in described]
    return _with_hint(out, described)


def _with_hint(out: Block, described: Mapping[str, Any]) -> Block:
    if described:
        hint = "{" + ", ".join(f"{name}: {dumps(value)}" for name, value in described.items()) + "}"
        out["description"] = f"{out['description']}\n\n{hint}" if out.get("description") else hint
    return out


def _merge(into: Block, part: Mapping[str, Any]) -> None:
    for name, value in part.items():
        if name == "properties" and isinstance(value, Mapping):
            into[name] = {**into.get(name, {}), **value}
        elif name == "required" and isinstance(value, list):
            into[name] = list(dict.fromkeys([*into.get(name, []), *cast("list[Any]", value)]))
        else:
            into.setdefault(name, value)


def _resolve(root: Mapping[str, Any], ref: str) -> Any:
    node: Any = root
    for step in ref.removeprefix("#").strip("/").split("/"):
        if step:
            node = node.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(node, Mapping) else None
    return node


def _choices(schema: Mapping[str, Any]) -> list[Any]:
    return [schema["const"]] if "const" in schema else _list(schema.get("enum"))


def _implied(schema: Mapping[str, Any]) -> str | None:
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else None


def _is_null(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return False
    found = cast("Mapping[str, Any]", schema)
    return found.get("type") == "null" or ("const" in found and found["const"] is None)


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []

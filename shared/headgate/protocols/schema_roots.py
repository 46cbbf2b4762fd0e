"""What may stand at the root of a JSON schema. Vendors demand an object of a tool's arguments, and most of them of a
structured answer; what cannot be one is refused here, with the keyword that is in the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.errors import unsupported

_COMBINERS = ("anyOf", "oneOf", "allOf")
_OTHERS = (*_COMBINERS, "$ref", "enum", "const", "not", "items")


def wrong_type(schema: Any) -> Any:
    """The ``type`` of a tool's schema where it cannot describe arguments; None where it can, or says nothing."""
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    return None if kind is None or kind == "object" or (isinstance(kind, list) and "object" in kind) else kind


def object_root(schema: Mapping[str, Any] | None, path: str) -> dict[str, Any]:
    """``schema`` with an object at its root. Raises GatewayError 400 naming the keyword that says otherwise."""
    found = _written_out(dict(schema or {}))
    if found.get("type") == "object":
        return found
    keyword = "type" if "type" in found else next((name for name in _OTHERS if name in found), None)
    if keyword is not None:
        raise unsupported(f"The root of this schema must be an object; '{keyword}' is not", param=f"{path}.{keyword}")
    return {"type": "object", "properties": {}, **found}


def _written_out(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` with a reference at its root replaced by what it refers to; schema generators write recursive types
    so."""
    ref = schema.get("$ref")
    if not isinstance(ref, str) or not ref.startswith("#/"):
        return schema
    node: Any = schema
    for step in ref.removeprefix("#/").split("/"):
        node = node.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping):
        return schema
    return {**node, **{name: value for name, value in schema.items() if name != "$ref"}}


def without_union(schema: Mapping[str, Any], model: str, path: str) -> None:
    """Refuse a tool whose arguments are a union: Claude models take none at the root. Raises GatewayError 400."""
    keyword = next((name for name in _COMBINERS if name in schema), None)
    if keyword is not None:
        message = f"{model} takes no '{keyword}' at the root of a tool's arguments"
        raise unsupported(message, param=f"{path}.parameters.{keyword}")

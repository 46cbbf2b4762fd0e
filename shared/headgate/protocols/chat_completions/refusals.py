"""Validation errors in OpenAI's words, without a trace of the validator's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from headgate.errors import GatewayError, invalid_request

_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
    "finite_number": "a finite number",
}
_BOUNDS = {
    "greater_than": ("gt", "below minimum value", ">", "below_min_value"),
    "greater_than_equal": ("ge", "below minimum value", ">=", "below_min_value"),
    "less_than": ("lt", "above maximum value", "<", "above_max_value"),
    "less_than_equal": ("le", "above maximum value", "<=", "above_max_value"),
}
_LENGTHS = {
    "string_too_short": ("string", "too short", "minimum", "min_length", "string_below_min_length"),
    "string_too_long": ("string", "too long", "maximum", "max_length", "string_above_max_length"),
    "too_short": ("array", "too short", "minimum", "min_length", "array_below_min_length"),
    "too_long": ("array", "too long", "maximum", "max_length", "array_above_max_length"),
}


def check(adapter: TypeAdapter[Any], value: Any, path: str) -> None:
    """Raise the first thing wrong with ``value``, which stands at ``path`` ("" for the body itself)."""
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=True)[0]
    else:
        return
    raise _refusal(first["type"], first.get("ctx") or {}, first["input"], _path(path, first["loc"]))


def missing(path: str) -> GatewayError:
    """A required field is not there."""
    return invalid_request(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")


def wrong_type(path: str, expected: str, value: Any) -> GatewayError:
    """A value of the wrong JSON type. ``expected`` with its article: ``a string``."""
    text = f"Invalid type for '{path}': expected {expected}, but got {_kind(value)} instead."
    return invalid_request(text, param=path, code="invalid_type")


def show(value: Any) -> str:
    """A value as it is quoted in an error: short, on one line."""
    if isinstance(value, str):
        return f"'{_sayable(value[:80])}'"
    return str(value)[:80] if isinstance(value, int | float) else _kind(value)


def _refusal(kind: str, context: dict[str, Any], value: Any, path: str) -> GatewayError:
    if kind == "missing":
        return missing(path)
    if kind in _EXPECTED:
        return wrong_type(path, _EXPECTED[kind], value)
    if kind in _BOUNDS:
        key, what, sign, code = _BOUNDS[kind]
        noun = "integer" if isinstance(value, int) else "decimal"
        text = f"Invalid '{path}': {noun} {what}. Expected a value {sign} {context[key]:g}, but got {value} instead."
        return invalid_request(text, param=path, code=f"{noun}_{code}")
    if kind in _LENGTHS:
        noun, what, bound, key, code = _LENGTHS[kind]
        if isinstance(value, dict):
            noun, code = "object", code.replace("array", "object")
        if not value:
            text = f"Invalid '{path}': empty {noun}. Expected {_article(noun)} with minimum length {context[key]}."
            return invalid_request(text, param=path, code=f"empty_{noun}")
        unit = "property count" if noun == "object" else "length"
        text = f"Invalid '{path}': {noun} {what}. Expected {_article(noun)} with {bound} {unit} {context[key]}, "
        return invalid_request(f"{text}but got {len(value)} instead.", param=path, code=code)
    if kind == "literal_error":
        if not isinstance(value, str):
            return wrong_type(path, f"one of {context['expected']}", value)
        text = f"Invalid value: {show(value)}. Supported values are: {context['expected']}."
        return invalid_request(text, param=path)
    if kind == "string_pattern_mismatch":
        text = f"Invalid '{path}': string does not match pattern. Expected a string that matches the pattern"
        return invalid_request(f"{text} '{context['pattern']}'.", param=path)
    return invalid_request(f"Invalid value for '{path}'.", param=path)


def _article(noun: str) -> str:
    return f"a {noun}" if noun == "string" else f"an {noun}"


def _path(path: str, location: Sequence[int | str]) -> str:
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step != "[key]":
            path += f".{_sayable(step)}" if path else _sayable(step)
    return path


def _sayable(text: str) -> str:
    """``text`` without what UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if value is None:
        return "null"
    if isinstance(value, int):
        return "an integer"
    if isinstance(value, float):
        return "a decimal" if math.isfinite(value) else "a number that is not finite"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list) else "an object"

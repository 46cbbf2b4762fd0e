"""Turns a failed pydantic check into the error OpenAI would have written: one field, named as the client wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from headgate.errors import GatewayError, invalid_request

_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "a boolean",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (str, "a string"),
    (int, "an integer"),
    (float, "a number"),
    (list, "an array"),
    (dict, "an object"),
)


class Shape(BaseModel):
    """Base of the checked shapes: JSON types are taken literally (``"5"`` is no integer) and unknown fields pass."""

    # Built at first use: a request needs a handful of the shapes, and a cold start should not pay for the rest.
    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False, defer_build=True)


def check(shape: type[BaseModel], value: Any, path: str) -> None:
    """Refuse ``value`` unless it has ``shape``. ``path`` is where it stands in the body (``input[2]``, ``""`` for the
    body itself). Raises GatewayError 400."""
    try:
        shape.__pydantic_validator__.validate_python(value)
    except ValidationError as failure:
        raise _translate(failure, path) from None


def missing(path: str) -> GatewayError:
    """The required field ``path`` is absent."""
    return invalid_request(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")


def wrong_type(path: str, expected: str, value: Any) -> GatewayError:
    """``path`` holds a JSON type that it cannot hold; ``expected`` reads like "an array"."""
    return invalid_request(
        f"Invalid type for '{path}': expected {expected}, but got {named(value)} instead.",
        param=path,
        code="invalid_type",
    )


def wrong_value(path: str, explanation: str) -> GatewayError:
    """``path`` has the right type and a value that is not allowed."""
    return invalid_request(f"Invalid '{path}': {explanation}", param=path)


def one_of(path: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Refuse ``value`` unless it is one of the ``allowed`` strings."""
    if not isinstance(value, str):
        raise wrong_type(path, "a string", value)
    if value not in allowed:
        raise unknown_value(path, value, allowed)


def unknown_value(path: str, value: str, allowed: tuple[str, ...]) -> GatewayError:
    """``path`` holds a word outside its vocabulary."""
    words = ", ".join(f"'{word}'" for word in allowed)
    return _not_among(path, value, words)


def array(value: Any, path: str) -> list[Any]:
    """``value`` as a list, or a refusal."""
    if not isinstance(value, list):
        raise wrong_type(path, "an array", value)
    return value


def mapping(value: Any, path: str) -> dict[str, Any]:
    """``value`` as an object, or a refusal."""
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    return value


def tag(value: Mapping[str, Any], path: str) -> str:
    """The ``type`` of a tagged object, or a refusal."""
    kind = value.get("type")
    if kind is None:
        raise missing(f"{path}.type")
    if not isinstance(kind, str):
        raise wrong_type(f"{path}.type", "a string", kind)
    return kind


def named(value: Any) -> str:
    """The JSON type of ``value`` with its article."""
    if value is None:
        return "null"
    return next((name for kind, name in _NAMES if isinstance(value, kind)), "an unknown type")


def _not_among(path: str, value: str, words: str) -> GatewayError:
    return invalid_request(f"Invalid value for '{path}': '{value[:100]}'. Supported values are: {words}.", param=path)


def _translate(failure: ValidationError, path: str) -> GatewayError:
    first = failure.errors(include_url=False)[0]
    field = path
    for step in first["loc"]:
        if step == "[key]":
            continue
        field += f"[{step}]" if isinstance(step, int) else f".{step}" if field else str(step)
    kind, value, limits = first["type"], first.get("input"), first.get("ctx", {})
    if kind == "missing":
        return missing(field)
    if kind in _EXPECTED:
        return wrong_type(field, _EXPECTED[kind], value)
    if kind == "literal_error":
        if not isinstance(value, str):
            return wrong_type(field, "a string", value)
        words = str(limits.get("expected", "")).replace(" or ", ", ")
        return _not_among(field, value, words)
    return wrong_value(field, _explain(kind, value, limits))


def _explain(kind: str, value: Any, limits: Mapping[str, Any]) -> str:
    match kind:
        case "greater_than":
            return f"expected a value > {limits['gt']}, but got {value} instead."
        case "greater_than_equal":
            return f"expected a value >= {limits['ge']}, but got {value} instead."
        case "less_than":
            return f"expected a value < {limits['lt']}, but got {value} instead."
        case "less_than_equal":
            return f"expected a value <= {limits['le']}, but got {value} instead."
        case "string_too_short":
            return f"expected a string with minimum length {limits['min_length']}."
        case "string_too_long":
            return f"expected a string with maximum length {limits['max_length']}."
        case "too_long":
            return f"expected at most {limits['max_length']} entries, but got {limits.get('actual_length')} instead."
        case "too_short":
            return f"expected at least {limits['min_length']} entries."
        case "string_pattern_mismatch":
            return f"string does not match pattern '{limits['pattern']}'."
        case _:
            return "the value is not acceptable here."

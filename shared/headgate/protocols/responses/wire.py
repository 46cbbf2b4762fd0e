"""JSON as it goes over the wire: compact, never escaping what need not be, and never invalid UTF-8."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any


def _refuse(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


compact_json: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""A value as compact JSON text, key order kept."""

_strict = json.JSONDecoder(parse_constant=_refuse).decode
_escape: Callable[[str], str] = json.encoder.encode_basestring


def parse_json(data: bytes) -> Any:
    """Strict JSON: UTF-8, no NaN, no Infinity. Raises ValueError (also for absurd nesting)."""
    try:
        return _strict(data.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def quoted(text: str) -> str:
    """``text`` as a JSON string. The hot path of every stream."""
    return _escape(text)


def encode(text: str) -> bytes:
    """JSON text as UTF-8. Half of a surrogate pair (a model cut in the middle of an emoji) has no UTF-8 form: such
    text goes out with those characters escaped, which every JSON parser reads."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "".join(f"\\u{ord(char):04x}" if "\ud800" <= char <= "\udfff" else char for char in text).encode()

"""Parameters behind a model's name: ``gpt-5.4?reasoning_effort=low&verbosity=low``.

A parameter that cannot be meant does not stop the request. It is left out, and announced as a Loss.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from headgate.losses import Loss
from headgate.protocols.efforts import LEVELS
from headgate.routing.selectors import Value

_NUMBER = re.compile(r"\d{1,20}(\.\d{0,20})?([eE]-?\d{1,2})?|\.\d{1,20}", re.ASCII)
_WHOLE = re.compile(r"\d{1,9}", re.ASCII)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_VERBOSITIES = ("low", "medium", "high")


def read_query(text: str) -> tuple[dict[str, Value], tuple[Loss, ...]]:
    """The valid parameters in ``text``, which stands between ``?`` and the leaf's end, and a Loss for each other one.
    Names and values are percent-decoded; ``+`` is a plus. Of a parameter that comes twice the first counts."""
    values: dict[str, Value] = {}
    losses: list[Loss] = []
    seen: set[str] = set()
    for part in text.split("&"):
        if not part.strip():
            continue
        name, equals, written = (_decoded(piece.strip()) for piece in part.partition("="))
        if not equals or not name or written is None:
            losses.append(_loss(part.strip(), "malformed_parameter", "not of the form name=value, percent-encoded"))
        elif name not in _READERS:
            losses.append(_loss(name, "unknown_parameter", f"known here are {', '.join(_READERS)}"))
        elif name in seen:
            losses.append(_loss(name, "repeated_parameter", "the first one counts"))
        else:
            seen.add(name)
            read, expected = _READERS[name]
            value = read(written)
            if value is None:
                losses.append(_loss(name, "invalid_parameter", f"must be {expected}"))
            else:
                values[name] = value
    return values, tuple(losses)


def _decoded(text: str) -> str | None:
    if _BAD_ESCAPE.search(text):
        return None
    try:
        return unquote(text, errors="strict")
    except UnicodeError:
        return None


def _number(most: float) -> Callable[[str], float | None]:
    def read(text: str) -> float | None:
        value = float(text) if _NUMBER.fullmatch(text) else -1.0
        return value if 0 <= value <= most else None

    return read


def _whole(text: str) -> int | None:
    return int(text) or None if _WHOLE.fullmatch(text) else None


def _one_of(words: tuple[str, ...]) -> Callable[[str], str | None]:
    return lambda text: text if text in words else None


_READERS: dict[str, tuple[Callable[[str], Value | None], str]] = {
    "temperature": (_number(2), "a number from 0 to 2"),
    "top_p": (_number(1), "a number from 0 to 1"),
    "top_k": (_whole, "a whole number above 0"),
    # Every level that a model may have; the one nearest to it is asked for where it lacks this one.
    "reasoning_effort": (_one_of(LEVELS), f"one of {', '.join(LEVELS)}"),
    "verbosity": (_one_of(_VERBOSITIES), f"one of {', '.join(_VERBOSITIES)}"),
}


def _loss(name: str, code: str, detail: str) -> Loss:
    # The path travels in a header, where commas separate losses and colons their parts.
    return Loss(f"model?{re.sub(r'[^A-Za-z0-9_.-]', '_', name)[:40]}", code, detail)

"""Checks of a JSON body's shape, which raise a Problem that each vendor's module words in that vendor's own way.

A check is a function of (value, path). The path holds keys, list indices and, for a discriminated union, a Tag, which
one vendor prints and the other does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Path = tuple[Any, ...]
Check = Callable[[Any, Path], None]


class Tag(str):
    """The path segment of a discriminated union's chosen variant."""


class Problem(Exception):
    """A body that the vendor would refuse.

    ``kind``: type, unknown, missing, enum, below, above, long, short, pattern, many, few, tag. ``facts`` hold what the
    wording needs.
    """

    def __init__(self, kind: str, path: Path, **facts: Any) -> None:
        super().__init__(kind, path, facts)
        self.kind = kind
        self.path = path
        self.facts = facts


def named(value: Any) -> str:
    """What a JSON value is called in an error text: ``a string``, ``an integer`` …"""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    kinds = {str: "a string", int: "an integer", float: "a decimal", list: "an array", dict: "an object"}
    return kinds.get(type(value), "something else")


def _wrong(value: Any, path: Path, expected: str) -> Problem:
    return Problem("type", path, expected=expected, got=named(value))


def anything(value: Any, path: Path) -> None:
    """Accepts every value."""


def string(*, longest: int | None = None, shortest: int = 0, pattern: str | None = None) -> Check:
    """A string within bounds, in characters."""
    compiled = re.compile(pattern) if pattern else None

    def check(value: Any, path: Path) -> None:
        if not isinstance(value, str):
            raise _wrong(value, path, "a string")
        if len(value) < shortest:
            raise Problem("short", path, limit=shortest, got=len(value))
        if longest is not None and len(value) > longest:
            raise Problem("long", path, limit=longest, got=len(value))
        if compiled and not compiled.search(value):
            raise Problem("pattern", path, pattern=pattern)

    return check


def _bounded(value: Any, path: Path, low: float | None, high: float | None, kind: str) -> None:
    if low is not None and value < low:
        raise Problem("below", path, limit=low, got=value, number=kind)
    if high is not None and value > high:
        raise Problem("above", path, limit=high, got=value, number=kind)


def integer(low: int | None = None, high: int | None = None) -> Check:
    """An integer within bounds, both included."""

    def check(value: Any, path: Path) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong(value, path, "an integer")
        _bounded(value, path, low, high, "integer")

    return check


def number(low: float | None = None, high: float | None = None) -> Check:
    """A number within bounds, both included."""

    def check(value: Any, path: Path) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _wrong(value, path, "a decimal")
        _bounded(value, path, low, high, "decimal")

    return check


def boolean(value: Any, path: Path) -> None:
    """True or false."""
    if not isinstance(value, bool):
        raise _wrong(value, path, "a boolean")


def choice(*allowed: str) -> Check:
    """One of the given strings."""

    def check(value: Any, path: Path) -> None:
        if not isinstance(value, str):
            raise _wrong(value, path, "a string")
        if value not in allowed:
            raise Problem("enum", path, allowed=allowed, got=value)

    return check


def array(item: Check, *, most: int | None = None, least: int = 0, of: str = "objects") -> Check:
    """A list whose every entry passes ``item``."""

    def check(value: Any, path: Path) -> None:
        if not isinstance(value, list):
            raise _wrong(value, path, f"an array of {of}")
        if len(value) < least:
            raise Problem("few", path, limit=least, got=len(value))
        if most is not None and len(value) > most:
            raise Problem("many", path, limit=most, got=len(value))
        for index, entry in enumerate(value):
            item(entry, (*path, index))

    return check


def record(fields: Mapping[str, Check], required: tuple[str, ...] = (), *, free: bool = False) -> Check:
    """An object with these fields; others are refused unless ``free``."""

    def check(value: Any, path: Path) -> None:
        if not isinstance(value, dict):
            raise _wrong(value, path, "an object")
        if not free:
            for key in value:
                if key not in fields:
                    raise Problem("unknown", (*path, key))
        for key in required:
            if key not in value:
                raise Problem("missing", (*path, key))
        for key, one in fields.items():
            if key in value:
                one(value[key], (*path, key))

    return check


def mapping(each: Check, *, most: int | None = None) -> Check:
    """An object of any keys whose values pass ``each``."""

    def check(value: Any, path: Path) -> None:
        if not isinstance(value, dict):
            raise _wrong(value, path, "an object")
        if most is not None and len(value) > most:
            raise Problem("many", path, limit=most, got=len(value))
        for key, entry in value.items():
            each(entry, (*path, key))

    return check


def tagged(variants: Mapping[str, Check], *, key: str = "type", default: str | None = None) -> Check:
    """An object that is one of ``variants``, chosen by its ``key``."""

    def check(value: Any, path: Path) -> None:
        if not isinstance(value, dict):
            raise _wrong(value, path, "an object")
        tag = value.get(key, default)
        if tag is None:
            raise Problem("missing", (*path, key))
        if not isinstance(tag, str) or tag not in variants:
            raise Problem("tag", path, allowed=tuple(variants), got=tag, key=key)
        variants[tag](value, (*path, Tag(tag)))

    return check


def either(expected: str, by_type: Mapping[type, Check]) -> Check:
    """A value whose JSON type chooses the check; ``expected`` names the choices in the error."""

    def check(value: Any, path: Path) -> None:
        one = by_type.get(type(value))
        if one is None:
            raise _wrong(value, path, expected)
        one(value, path)

    return check


def nullable(check: Check) -> Check:
    """``check``, or null."""

    def maybe(value: Any, path: Path) -> None:
        if value is not None:
            check(value, path)

    return maybe

"""A table in memory with DynamoDB's semantics, as far as the metrics need them and a hundred times faster than moto.

Conditions and updates are evaluated from DynamoDB's own text; whatever is written differently raises. The tests of the
metrics store run against this and against moto, so that the two cannot drift apart.
"""

from __future__ import annotations

import asyncio
import copy
import re
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from headgate.storage.aws import ConditionFailed
from headgate.storage.table import Item, Key, Table

PAGE_BYTES = 1_000_000
Names = Mapping[str, str]
Rows = dict[str, dict[str, Item]]
Operand = Callable[[Item, Names, Mapping[str, Any]], Any]
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: one == other,
    "<=": lambda one, other: one <= other,
    "<": lambda one, other: one < other,
    ">=": lambda one, other: one >= other,
    ">": lambda one, other: one > other,
}
_TOKEN = re.compile(r"\s*(<=|>=|[<>=(),]|[:#]?\w+)")


class MemoryTable(Table):
    """``rows`` may be shared by several. ``calls`` counts what was asked for, by method. ``failure``, where it is set,
    is raised instead of an answer; ``delay`` is seconds until an answer, None: at once, without a turn of the event
    loop, so that calls cannot overlap."""

    def __init__(self, rows: Rows | None = None, *, delay: float | None = 0.0) -> None:
        self.rows: Rows = {} if rows is None else rows
        self.calls: Counter[str] = Counter()
        self.failure: Exception | None = None
        self.delay = delay

    async def _called(self, method: str) -> None:
        self.calls[method] += 1
        if self.delay is not None:
            await asyncio.sleep(self.delay)
        if self.failure is not None:
            raise self.failure

    async def get(self, key: Key, *, consistent: bool = True) -> Item | None:
        await self._called("get_item")
        return copy.copy(self.rows.get(key[0], {}).get(key[1]))

    async def put(
        self,
        item: Mapping[str, Any],
        *,
        condition: str | None = None,
        names: Names | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> None:
        await self._called("put_item")
        rows = self.rows.setdefault(item["pk"], {})
        _check(condition, rows.get(item["sk"]), names, values)
        rows[item["sk"]] = dict(item)

    async def update(
        self,
        key: Key,
        expression: str,
        *,
        condition: str | None = None,
        names: Names | None = None,
        values: Mapping[str, Any] | None = None,
        returns: str = "NONE",
    ) -> Item:
        await self._called("update_item")
        rows = self.rows.setdefault(key[0], {})
        old = rows.get(key[1])
        _check(condition, old, names, values)
        names, values = names or {}, values or {}
        seen: Item = old or {}
        changes: Item = {}
        for clause, name, operand in _update(expression):
            name = names[name] if name[0] == "#" else name
            # Every operand sees the item as it was.
            value = values[operand] if isinstance(operand, str) else operand(seen, names, values)
            changes[name] = value if clause == "SET" else seen.get(name, 0) + value
        new = rows.setdefault(key[1], {"pk": key[0], "sk": key[1]})
        new.update(changes)
        return dict(new) if returns == "ALL_NEW" else {}

    async def delete(
        self,
        key: Key,
        *,
        condition: str | None = None,
        names: Names | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> Item | None:
        await self._called("delete_item")
        rows = self.rows.setdefault(key[0], {})
        _check(condition, rows.get(key[1]), names, values)
        return rows.pop(key[1], None)

    async def query_page(
        self,
        partition: str,
        *,
        low: str | None = None,
        high: str | None = None,
        consistent: bool = True,
        forward: bool = True,
        limit: int | None = None,
        attributes: tuple[str, ...] = (),
        start: dict[str, Any] | None = None,
    ) -> tuple[list[Item], dict[str, Any] | None]:
        await self._called("query")
        assert forward and limit is None and not attributes
        found: list[Item] = []
        size = 0
        for sort, item in sorted(self.rows.get(partition, {}).items()):
            if (low is not None and sort < low) or (high is not None and sort > high):
                continue
            if start is not None and sort <= start["sk"]:
                continue
            size += sum(len(name) + _size(value) for name, value in item.items())
            if size > PAGE_BYTES and found:
                return found, {"pk": partition, "sk": found[-1]["sk"]}
            found.append(dict(item))
        return found, None


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes) else len(str(value)) // 2 + 1


def _name(name: str, names: Names) -> str:
    return names[name] if name.startswith("#") else name


def _check(condition: str | None, old: Item | None, names: Names | None, values: Mapping[str, Any] | None) -> None:
    if condition is not None and not _condition(condition)(old or {}, names or {}, values or {}):
        raise ConditionFailed(None if old is None else dict(old))


class _Reader:
    """Tokens of an expression."""

    def __init__(self, text: str) -> None:
        self.tokens = _TOKEN.findall(text)
        assert "".join(self.tokens) == re.sub(r"\s", "", text), text
        self.at = 0

    @property
    def next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted: str | None = None) -> str:
        token = self.next
        assert token and wanted in (None, token), (token, wanted)
        self.at += 1
        return token

    def operand(self) -> Operand:
        token = self.take()
        if token.startswith(":"):
            return lambda item, names, values: values[token]
        if token == "if_not_exists":
            self.take("(")
            name = self.take()
            self.take(",")
            otherwise = self.operand()
            self.take(")")
            return lambda item, names, values: (
                item[_name(name, names)] if _name(name, names) in item else otherwise(item, names, values)
            )
        return lambda item, names, values: item.get(_name(token, names))

    def disjunction(self) -> Operand:
        parts = [self.conjunction()]
        while self.next == "OR":
            self.take()
            parts.append(self.conjunction())
        return lambda item, names, values: any(part(item, names, values) for part in parts)

    def conjunction(self) -> Operand:
        parts = [self.comparison()]
        while self.next == "AND":
            self.take()
            parts.append(self.comparison())
        return lambda item, names, values: all(part(item, names, values) for part in parts)

    def comparison(self) -> Operand:
        if self.next == "(":
            self.take()
            inner = self.disjunction()
            self.take(")")
            return inner
        if self.next in ("attribute_exists", "attribute_not_exists"):
            wanted = self.take() == "attribute_exists"
            self.take("(")
            name = self.take()
            self.take(")")
            return lambda item, names, values: (_name(name, names) in item) is wanted
        left, compare, right = self.operand(), _COMPARE[self.take()], self.operand()

        def compared(item: Item, names: Names, values: Mapping[str, Any]) -> bool:
            one, other = left(item, names, values), right(item, names, values)
            return one is not None and other is not None and compare(one, other)

        return compared


@lru_cache(maxsize=1000)
def _condition(text: str) -> Operand:
    reader = _Reader(text)
    found = reader.disjunction()
    assert not reader.next, text
    return found


@lru_cache(maxsize=1000)
def _update(text: str) -> list[tuple[str, str, Operand | str]]:
    """(SET or ADD, attribute, its new value or what is added: a placeholder, or something to work out) for each."""
    reader = _Reader(text)
    found: list[tuple[str, str, Operand | str]] = []
    while reader.next:
        clause = reader.take()
        assert clause in ("SET", "ADD"), clause
        while True:
            name = reader.take()
            if clause == "SET":
                reader.take("=")
            plain = reader.next.startswith(":")
            found.append((clause, name, reader.take() if plain else reader.operand()))
            if reader.next != ",":
                break
            reader.take()
    return found

"""DynamoDB tables with plain Python values in and out.

Values are str, int, bytes, bool, None, list and dict. Floats are refused: amounts are integers by design, and whatever
else is fractional travels inside JSON.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from headgate.storage.aws import Caller, ConditionFailed, StoreUnavailable

Item = dict[str, Any]
Key = tuple[str, str]
"""Partition key and sort key."""

_BATCH_WRITE = 25
_BATCH_GET = 100
_BATCH_ATTEMPTS = 6


def to_attribute(value: Any) -> dict[str, Any]:
    """A Python value in DynamoDB's notation. Raises TypeError for types that a table must not hold."""
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, bytes):
        return {"B": value}
    if value is None:
        return {"NULL": True}
    if isinstance(value, Mapping):
        return {"M": {str(name): to_attribute(member) for name, member in value.items()}}
    if isinstance(value, list | tuple):
        return {"L": [to_attribute(member) for member in value]}
    raise TypeError(f"a table cannot hold {type(value).__name__}")


def from_attribute(attribute: Mapping[str, Any]) -> Any:
    """The Python value of an attribute in DynamoDB's notation."""
    ((kind, value),) = attribute.items()
    if kind in ("S", "B", "BOOL"):
        return value
    if kind == "N":
        return int(value) if value.lstrip("-").isdigit() else float(value)
    if kind == "M":
        return {name: from_attribute(member) for name, member in value.items()}
    if kind == "L":
        return [from_attribute(member) for member in value]
    if kind == "NULL":
        return None
    raise TypeError(f"an attribute of kind {kind} is none of ours")


def to_item(item: Mapping[str, Any]) -> dict[str, Any]:
    """A plain item in DynamoDB's notation."""
    return {name: to_attribute(value) for name, value in item.items()}


def from_item(item: Mapping[str, Any]) -> Item:
    """An item in DynamoDB's notation as plain values."""
    return {name: from_attribute(value) for name, value in item.items()}


class Table:
    """One table. Conditions and update expressions are DynamoDB's own text; ``names`` maps ``#x`` placeholders to
    attribute names and ``values`` maps ``:x`` placeholders to plain values. Every method raises ``StoreUnavailable``
    and ``StoreFault``; those with a condition also ``ConditionFailed`` with the item as it stands."""

    def __init__(self, connection: Caller, name: str) -> None:
        self.connection = connection
        self.name = name

    async def get(self, key: Key, *, consistent: bool = True) -> Item | None:
        """The item under ``key``, or None."""
        answer = await self.connection.call(
            "get_item", {"TableName": self.name, "Key": _key(key), "ConsistentRead": consistent}
        )
        return from_item(answer["Item"]) if "Item" in answer else None

    async def put(
        self,
        item: Mapping[str, Any],
        *,
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> None:
        """Write a whole item (it holds ``pk`` and ``sk``), replacing the one that was there."""
        await self._write("put_item", {"TableName": self.name, "Item": to_item(item)}, condition, names, values)

    async def update(
        self,
        key: Key,
        expression: str,
        *,
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
        returns: str = "NONE",
    ) -> Item:
        """Change an item in place, making it if there is none. The answer is what ``returns`` asks for (``ALL_NEW``,
        ``UPDATED_OLD`` …), else empty."""
        parameters = {
            "TableName": self.name,
            "Key": _key(key),
            "UpdateExpression": expression,
            "ReturnValues": returns,
        }
        answer = await self._write("update_item", parameters, condition, names, values)
        return from_item(answer.get("Attributes", {}))

    async def delete(
        self,
        key: Key,
        *,
        condition: str | None = None,
        names: Mapping[str, str] | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> Item | None:
        """Delete an item. The answer is what was there."""
        parameters = {"TableName": self.name, "Key": _key(key), "ReturnValues": "ALL_OLD"}
        answer = await self._write("delete_item", parameters, condition, names, values)
        old = answer.get("Attributes")
        return from_item(old) if old else None

    async def query(
        self,
        partition: str,
        *,
        low: str | None = None,
        high: str | None = None,
        consistent: bool = True,
        forward: bool = True,
        limit: int | None = None,
        attributes: tuple[str, ...] = (),
    ) -> list[Item]:
        """All items of a partition whose sort key lies in [low, high], in order, however many pages that takes;
        ``limit`` ends it earlier. ``attributes`` fetches only those."""
        found: list[Item] = []
        start: dict[str, Any] | None = None
        while True:
            page, start = await self.query_page(
                partition,
                low=low,
                high=high,
                consistent=consistent,
                forward=forward,
                limit=None if limit is None else limit - len(found),
                attributes=attributes,
                start=start,
            )
            found += page
            if start is None or (limit is not None and len(found) >= limit):
                return found

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
        """One page (at most 1 MB) of ``query`` and where the next one starts, None at the end."""
        values = {":pk": partition, ":low": low, ":high": high}
        if low is not None and high is not None:
            condition = "pk = :pk AND sk BETWEEN :low AND :high"
        elif low is not None:
            condition = "pk = :pk AND sk >= :low"
        elif high is not None:
            condition = "pk = :pk AND sk <= :high"
        else:
            condition = "pk = :pk"
        parameters: dict[str, Any] = {
            "TableName": self.name,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": to_item({name: v for name, v in values.items() if v is not None}),
            "ConsistentRead": consistent,
            "ScanIndexForward": forward,
        }
        if limit is not None:
            parameters["Limit"] = limit
        if attributes:
            parameters["ProjectionExpression"] = ", ".join(f"#a{n}" for n in range(len(attributes)))
            parameters["ExpressionAttributeNames"] = {f"#a{n}": name for n, name in enumerate(attributes)}
        if start is not None:
            parameters["ExclusiveStartKey"] = start
        answer = await self.connection.call("query", parameters)
        return [from_item(item) for item in answer.get("Items", [])], answer.get("LastEvaluatedKey")

    async def batch_get(self, keys: Iterable[Key]) -> list[Item]:
        """The items that exist under ``keys``, in no particular order. Consistent."""
        wanted = [_key(key) for key in dict.fromkeys(keys)]
        batches = [wanted[n : n + _BATCH_GET] for n in range(0, len(wanted), _BATCH_GET)]
        pages = await asyncio.gather(*(self._batch_get(batch) for batch in batches))
        return [from_item(item) for page in pages for item in page]

    async def batch_write(self, puts: Iterable[Mapping[str, Any]] = (), deletes: Iterable[Key] = ()) -> None:
        """Write and delete many items, without conditions and not atomically."""
        actions: list[dict[str, Any]] = [{"PutRequest": {"Item": to_item(item)}} for item in puts]
        actions += [{"DeleteRequest": {"Key": _key(key)}} for key in deletes]
        batches = [actions[n : n + _BATCH_WRITE] for n in range(0, len(actions), _BATCH_WRITE)]
        await asyncio.gather(*(self._batch_write(batch) for batch in batches))

    async def put_together(self, items: Iterable[Mapping[str, Any]]) -> None:
        """Write new items all or none. Raises ``ConditionFailed`` where one of them exists already."""
        actions = [
            {
                "Put": {
                    "TableName": self.name,
                    "Item": to_item(item),
                    "ConditionExpression": "attribute_not_exists(pk)",
                }
            }
            for item in items
        ]
        await self.connection.call("transact_write_items", {"TransactItems": actions})

    async def _batch_get(self, keys: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for attempt in range(_BATCH_ATTEMPTS):
            request = {self.name: {"Keys": keys, "ConsistentRead": True}}
            answer = await self.connection.call("batch_get_item", {"RequestItems": request})
            found += answer.get("Responses", {}).get(self.name, [])
            keys = answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
            if not keys:
                return found
            await asyncio.sleep(_pause(attempt))
        raise StoreUnavailable(f"{len(keys)} keys of a batch stayed unread")

    async def _batch_write(self, actions: list[dict[str, Any]]) -> None:
        for attempt in range(_BATCH_ATTEMPTS):
            answer = await self.connection.call("batch_write_item", {"RequestItems": {self.name: actions}})
            actions = answer.get("UnprocessedItems", {}).get(self.name, [])
            if not actions:
                return
            await asyncio.sleep(_pause(attempt))
        raise StoreUnavailable(f"{len(actions)} actions of a batch stayed undone")

    async def _write(
        self,
        method: str,
        parameters: dict[str, Any],
        condition: str | None,
        names: Mapping[str, str] | None,
        values: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        if condition is not None:
            parameters["ConditionExpression"] = condition
            parameters["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
        if names:
            parameters["ExpressionAttributeNames"] = dict(names)
        if values:
            parameters["ExpressionAttributeValues"] = to_item(values)
        try:
            return await self.connection.call(method, parameters)
        except ConditionFailed as failed:
            raise ConditionFailed(from_item(failed.old) if failed.old else None) from None


def _key(key: Key) -> dict[str, Any]:
    return {"pk": {"S": key[0]}, "sk": {"S": key[1]}}


def _pause(attempt: int) -> float:
    """Seconds before a batch's rest is tried again: what the store could not take at once it takes a little later."""
    return 0.05 * 2**attempt

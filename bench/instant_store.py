"""A DynamoDB endpoint that answers at once: what is left of a call is the gateway's own cost.

It keeps whole items by table and key and knows what a benchmark run needs: ``PutItem``, ``TransactWriteItems`` with
puts, ``GetItem``; ``UpdateItem`` and ``Query``, with which the routes' metrics are counted and read, it takes without
keeping anything. Conditions are not looked at. ``python -m bench.instant_store`` prints its address and serves until
its standard input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from typing import Any

from dev.http_wire import Body, read_head


class Store:
    """The items, and how many calls there have been."""

    def __init__(self) -> None:
        self.items: dict[tuple[str, str, str], Any] = {}

    def answer(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """What DynamoDB would say. Raises KeyError for an operation that is not known here."""
        known = {
            "PutItem": self._put,
            "GetItem": self._get,
            "TransactWriteItems": self._transact,
            "UpdateItem": lambda _: {},
            "Query": lambda _: {"Items": [], "Count": 0},
        }
        return known[operation](request)

    def _put(self, request: dict[str, Any]) -> dict[str, Any]:
        item = request["Item"]
        # The log would fill the memory, and nothing of a run reads it.
        if "endpoint" not in item:
            self.items[_where(request["TableName"], item)] = item
        return {}

    def _get(self, request: dict[str, Any]) -> dict[str, Any]:
        item = self.items.get(_where(request["TableName"], request["Key"]))
        return {} if item is None else {"Item": item}

    def _transact(self, request: dict[str, Any]) -> dict[str, Any]:
        for action in request["TransactItems"]:
            self._put(action["Put"])
        return {}


def _where(table: str, key: dict[str, Any]) -> tuple[str, str, str]:
    return table, key["pk"]["S"], key["sk"]["S"]


async def serve() -> None:
    """Listen on a free port until standard input ends."""
    store = Store()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Cancelled when the run ends; Python 3.11 takes a cancelled handler for a broken one.
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while head := await read_head(reader):
                _, _, headers = head
                request = json.loads(await Body(reader, headers).whole())
                answer = store.answer(headers["x-amz-target"].partition(".")[2], request)
                body = json.dumps(answer).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%b"
                    % (len(body), body)
                )
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())

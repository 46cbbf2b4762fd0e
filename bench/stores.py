"""What a call to a store costs, and whose cost it is.

The same GetItem and PutItem to moto and to the instant store: over a bare socket, which is the store's own time and the
kernel's, and through the gateway's client.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from bench.rig import TABLES, Rig, store_client
from bench.rows import Row, median, rounded
from headgate.storage.table import Table

_ITEM = {"pk": "bench", "sk": "item", "data": b"x" * 600, "owner": "bench", "created_at": 1, "status": "completed"}
_WIRE = {
    "PutItem": {"Item": {"pk": {"S": "bench"}, "sk": {"S": "item"}, "data": {"B": "eHh4" * 200}}},
    "GetItem": {"Key": {"pk": {"S": "bench"}, "sk": {"S": "item"}}, "ConsistentRead": True},
}


def measure(rig: Rig, rounds: int) -> dict[str, list[Row]]:
    """Medians in milliseconds, and the processor time of the client's side."""
    rows: list[Row] = []
    for name, environment in (("instant", rig.instant), ("moto", rig.moto)):
        url = environment["AWS_ENDPOINT_URL_DYNAMODB"]
        connection = store_client(url)
        table = Table(connection, TABLES["state"])
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "PutItem": lambda table=table: table.put(_ITEM),
            "GetItem": lambda table=table: table.get(("bench", "item")),
        }
        try:
            for operation, call in calls.items():
                own = _bare(url, operation, rounds)
                ours, cpu = asyncio.run(_through_client(call, rounds))
                row: Row = {"store": name, "call": operation, "store_p50_ms": own, "client_p50_ms": ours}
                rows.append(rounded({**row, "added_ms": ours - own, "client_cpu_ms": cpu}))
        finally:
            connection.recreate()
    return {"stores": rows}


def _bare(url: str, operation: str, rounds: int) -> float:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    payload = json.dumps({"TableName": TABLES["state"], **_WIRE[operation]}).encode()
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": f"DynamoDB_20120810.{operation}",
        # moto finds the region and the service here and does not check the rest.
        "authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, Signature=0",
    }
    times: list[float] = []
    for _ in range(rounds):
        before = time.perf_counter()
        connection.request("POST", "/", payload, headers)
        connection.getresponse().read()
        times.append((time.perf_counter() - before) * 1000)
    connection.close()
    return median(times)


async def _through_client(call: Callable[[], Awaitable[object]], rounds: int) -> tuple[float, float]:
    times: list[float] = []
    for _ in range(5):
        await call()
    used = time.process_time()
    for _ in range(rounds):
        before = time.perf_counter()
        await call()
        times.append((time.perf_counter() - before) * 1000)
    return median(times), (time.process_time() - used) * 1000 / rounds

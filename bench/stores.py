"""What a call to a store costs, and whose cost it is.

The same GetItem and PutItem to moto and to the instant store: over a bare socket, which is the store's own time and the
kernel's, through the gateway's client, and through botocore for comparison.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import urlsplit

from botocore.session import get_session

from bench.rig import TABLES, Rig, store_client
from bench.rows import Row, median, rounded
from dev.embedded_dynamodb import REGION
from headgate.storage.aws import Caller, Connection
from headgate.storage.table import Table

_ITEM = {"pk": "bench", "sk": "item", "data": b"x" * 600, "owner": "bench", "created_at": 1, "status": "completed"}
_WIRE = {
    "PutItem": {"Item": {"pk": {"S": "bench"}, "sk": {"S": "item"}, "data": {"B": "eHh4" * 200}}},
    "GetItem": {"Key": {"pk": {"S": "bench"}, "sk": {"S": "item"}}, "ConsistentRead": True},
}
_CALLS: dict[str, Callable[[Table], Awaitable[object]]] = {
    "PutItem": lambda table: table.put(_ITEM),
    "GetItem": lambda table: table.get(("bench", "item")),
}


def measure(rig: Rig, rounds: int) -> dict[str, list[Row]]:
    """Medians in milliseconds, and the processor time of the client's side."""
    rows: list[Row] = []
    for name, environment in (("instant", rig.instant), ("moto", rig.moto)):
        url = environment["AWS_ENDPOINT_URL_DYNAMODB"]
        botocore = get_session().create_client(
            "dynamodb", REGION, endpoint_url=url, aws_access_key_id="local", aws_secret_access_key="local"
        )
        clients: dict[str, Caller] = {
            "gateway's": store_client(url),
            "botocore": Connection("dynamodb", factory=lambda client=botocore: client),
        }
        for (operation, call), (client, caller) in itertools.product(_CALLS.items(), clients.items()):
            own = _bare(url, operation, rounds)
            ours, cpu = asyncio.run(_through_client(partial(call, Table(caller, TABLES["state"])), rounds))
            caller.recreate()
            row: Row = {"store": name, "call": operation, "client": client, "store_p50_ms": own, "call_p50_ms": ours}
            rows.append(rounded({**row, "added_ms": ours - own, "client_cpu_ms": cpu}, 2))
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

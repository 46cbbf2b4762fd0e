"""The Lambda Runtime API over one kept-alive HTTP/1.1 connection.

Written on asyncio's streams because no HTTP client in the standard library can do what a streamed answer needs: send a
body piece by piece under backpressure, look for an early reply meanwhile, and end the body with trailers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX = "/2018-06-01/runtime"
_RECEIVE_LIMIT = 1 << 20  # bytes read ahead; events come in up to 6 MB


class RuntimeApiError(Exception):
    """The Runtime API refused a request that it must accept, so that this process cannot go on."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the Runtime API; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Invocation:
    """One event and what came with it.

    ``deadline_ms`` is in milliseconds since the epoch. ``invocation_id`` tells two attempts of one request apart; it
    has to be echoed, and an answer to an attempt that Lambda has given up on gets status 410.
    """

    request_id: str
    event: bytes
    deadline_ms: int
    function_arn: str = ""
    invocation_id: str | None = None
    trace_id: str | None = None
    client_context: str | None = None
    cognito_identity: str | None = None
    tenant_id: str | None = None

    def path(self, kind: str) -> str:
        """The path that takes this invocation's ``response`` or ``error``."""
        return f"{PREFIX}/invocation/{self.request_id}/{kind}"

    def echo(self) -> list[tuple[str, str]]:
        """The header that names the attempt, if Lambda gave it a name."""
        return [("Lambda-Runtime-Invocation-Id", self.invocation_id)] if self.invocation_id else []


class RuntimeApi:
    """A client for the address in ``AWS_LAMBDA_RUNTIME_API`` (host:port). One request at a time."""

    def __init__(self, address: str) -> None:
        self.host, _, port = address.rpartition(":")
        self.port = int(port)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def next(self) -> Invocation:
        """Wait for the next event. On return the connection is ready to be written to."""
        reply = await self.call("GET", f"{PREFIX}/invocation/next")
        if reply.status != 200:
            raise RuntimeApiError(f"the Runtime API answered {reply.status} to a request for the next event")
        await self.connect()
        header = reply.headers.get
        return Invocation(
            request_id=reply.headers["lambda-runtime-aws-request-id"],
            event=reply.body,
            deadline_ms=int(header("lambda-runtime-deadline-ms") or 0),
            function_arn=header("lambda-runtime-invoked-function-arn") or "",
            invocation_id=header("lambda-runtime-invocation-id"),
            trace_id=header("lambda-runtime-trace-id"),
            client_context=header("lambda-runtime-client-context"),
            cognito_identity=header("lambda-runtime-cognito-identity"),
            tenant_id=header("lambda-runtime-aws-tenant-id"),
        )

    async def call(
        self, method: str, path: str, headers: Iterable[tuple[str, str]] = (), body: bytes | None = None
    ) -> Reply:
        """Send a whole request and read its reply; sent once more where a kept-alive connection proves to be gone."""
        length = [("Content-Length", str(len(body)))] if body is not None else []
        message = self.head(method, path, [*headers, *length]) + (body or b"")
        reused = self._writer is not None
        try:
            await self.connect()
            self.write(message)
            await self.drain()
            return await self.read_reply()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.discard()
            if not reused:
                raise
        await self.connect()
        self.write(message)
        await self.drain()
        return await self.read_reply()

    def head(self, method: str, path: str, headers: Iterable[tuple[str, str]]) -> bytes:
        """The request line and headers as bytes, with the blank line that ends them."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}", "User-Agent: headgate-runtime"]
        lines += [f"{name}: {value}" for name, value in headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def connect(self) -> None:
        """Open the connection unless it is open."""
        if self._writer is None or self._writer.is_closing():
            self._reader, self._writer = await asyncio.open_connection(self.host, self.port, limit=_RECEIVE_LIMIT)

    def write(self, data: bytes) -> None:
        """Hand bytes to the socket now; a connection that is gone shows in ``drain``."""
        if self._writer is not None:
            self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the Runtime API has taken enough of what was written. Raises ``ConnectionError`` if it is gone."""
        if self._writer is None:
            raise ConnectionResetError("the connection to the Runtime API is closed")
        await self._writer.drain()

    async def read_reply(self) -> Reply:
        """Read one reply. Raises ``IncompleteReadError`` or ``ConnectionError`` if the connection ends first."""
        reader = self._reader
        if reader is None:
            raise ConnectionResetError("the connection to the Runtime API is closed")
        status = 100
        headers: dict[str, str] = {}
        while status < 200:  # an interim reply (100 Continue) is not the reply
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ", 2)[1])
            pairs = (line.partition(":") for line in lines[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = await _read_chunked(reader)
        else:
            body = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self.discard()
        return Reply(status, headers, body)

    def discard(self) -> None:
        """Drop the connection without ceremony; the next use opens another."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None


async def _read_chunked(reader: asyncio.StreamReader) -> bytes:
    """The Runtime API is a Go server, which sends larger events in chunks."""
    parts: list[bytes] = []
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":  # trailers mean nothing here
        continue
    return b"".join(parts)

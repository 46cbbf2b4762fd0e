"""As much of HTTP/1.1's server side as the Runtime API needs, on asyncio's streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping

_REASONS = {200: "OK", 202: "Accepted", 400: "Bad Request", 404: "Not Found", 410: "Gone", 413: "Content Too Large"}


class Body:
    """A request's body, read as it arrives; ``trailers`` are complete when it has been read."""

    def __init__(self, reader: asyncio.StreamReader, headers: Mapping[str, str]) -> None:
        self.trailers: dict[str, str] = {}
        self._reader = reader
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        self._left = int(headers.get("content-length", "0"))

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes as they come, without regard to where a chunk ends."""
        while True:
            while self._left:
                piece = await self._reader.read(min(self._left, 65536))
                if not piece:
                    raise asyncio.IncompleteReadError(b"", self._left)
                self._left -= len(piece)
                yield piece
            if not self._chunked:
                return
            line = await self._reader.readuntil(b"\r\n")
            if line == b"\r\n":  # what follows a chunk's data
                line = await self._reader.readuntil(b"\r\n")
            self._left = int(line.split(b";")[0], 16)
            if not self._left:
                self._chunked = False
                self.trailers = await read_fields(self._reader)
                return

    async def whole(self) -> bytes:
        """All that has not been read yet."""
        return b"".join([piece async for piece in self.pieces()])


async def read_head(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str]] | None:
    """Method, path and headers of the next request, or None if the connection was closed between two requests."""
    try:
        line = await reader.readuntil(b"\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise
    method, path, _ = line.decode("latin-1").split(" ", 2)
    return method, path, await read_fields(reader)


async def read_fields(reader: asyncio.StreamReader) -> dict[str, str]:
    """Header or trailer fields up to the blank line; names in lower case."""
    fields: dict[str, str] = {}
    while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
        name, _, value = line.decode("latin-1").partition(":")
        fields[name.strip().lower()] = value.strip()
    return fields


def reply(
    writer: asyncio.StreamWriter, status: int, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> None:
    """Write a whole response; without a body, the Runtime API's own words for the status."""
    if body is None:
        body = b'{"status":"OK"}\n' if status < 300 else json.dumps({"errorMessage": _REASONS[status]}).encode()
    fields = {"Content-Length": str(len(body)), **(headers or {"Content-Type": "application/json"})}
    lines = [f"HTTP/1.1 {status} {_REASONS[status]}", *(f"{name}: {value}" for name, value in fields.items())]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)


def json_object(data: bytes) -> dict[str, object]:
    """An error report; one that is not a JSON object becomes the message of one."""
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"errorMessage": data.decode("utf-8", "replace")}

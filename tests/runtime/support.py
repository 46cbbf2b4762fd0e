"""A Runtime API that follows a script and keeps the bytes it gets, and the way to the other emulators."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import platform
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dev.lambda_function import Function

FUNCTIONS = Path(__file__).parent / "functions"
LAYER = Path(__file__).parents[2] / "layers" / "runtime"


def http_event(path: str = "/echo", query: str = "", **more: Any) -> dict[str, Any]:
    """A function URL event."""
    return {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": query,
        "headers": {"host": "abc.lambda-url.us-east-1.on.aws"},
        "requestContext": {"http": {"method": "GET", "path": path, "sourceIp": "203.0.113.9"}},
        "isBase64Encoded": False,
        **more,
    }


@dataclass
class Received:
    """One request as the Runtime API got it. ``chunks`` are (seconds on the loop's clock, bytes)."""

    method: str
    path: str
    headers: dict[str, str]
    chunks: list[tuple[float, bytes]] = field(default_factory=list)
    trailers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        """The body, put together."""
        return b"".join(data for _, data in self.chunks)


@dataclass
class Scripted:
    """A Runtime API. Events go out in order, each with ``next_headers``; when they are used up, the process is left
    waiting and ``idle`` is set. ``answered`` is set when the first answer has been read to its end, trailers included.
    ``on_response`` answers a response: a status, or None to close the connection after the head."""

    events: list[Any]
    next_headers: dict[str, str] = field(default_factory=dict)
    on_response: list[int | None] = field(default_factory=list)
    chunked_events: bool = False
    close_after_next: bool = False
    received: list[Received] = field(default_factory=list)
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while line := await reader.readline():
                method, path, _ = line.decode().split(" ", 2)
                request = Received(method, path.removeprefix("/2018-06-01/runtime"), await self._fields(reader))
                self.received.append(request)
                if request.path == "/invocation/next":
                    if not await self._next(writer):
                        break
                    continue
                status = self.on_response.pop(0) if self.on_response and "/response" in path else 202
                if status is None:
                    break
                if status == 202:
                    await self._body(reader, request)
                    self.answered.set()
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n{}" % (200 if method == "GET" else status))
                if status != 202:  # as a Go server does that has not read the body: answer, then close
                    await asyncio.sleep(0.05)
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        except asyncio.CancelledError:
            return
        finally:
            writer.close()

    async def _next(self, writer: asyncio.StreamWriter) -> bool:
        if not self.events:
            self.idle.set()
            await asyncio.Event().wait()
        event = json.dumps(self.events.pop(0)).encode()
        head = (
            "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: req-1\r\nLambda-Runtime-Deadline-Ms: 1893456000000\r\n"
        )
        head += "".join(f"{name}: {value}\r\n" for name, value in self.next_headers.items())
        if self.close_after_next:
            head += "Connection: close\r\n"
        if self.chunked_events:
            half = len(event) // 2
            parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (event[:half], event[half:]))
            writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + parts + b"0\r\n\r\n")
        else:
            writer.write(f"{head}Content-Length: {len(event)}\r\n\r\n".encode() + event)
        await writer.drain()
        return not self.close_after_next

    async def _fields(self, reader: asyncio.StreamReader) -> dict[str, str]:
        fields: dict[str, str] = {}
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            name, _, value = line.decode().partition(":")
            fields[name] = value.strip()
        return fields

    async def _body(self, reader: asyncio.StreamReader, request: Received) -> None:
        clock = asyncio.get_running_loop().time
        if request.headers.get("Transfer-Encoding") != "chunked":
            request.chunks.append((clock(), await reader.readexactly(int(request.headers.get("Content-Length", "0")))))
            return
        while size := int(await reader.readuntil(b"\r\n"), 16):
            request.chunks.append((clock(), await reader.readexactly(size)))
            assert await reader.readexactly(2) == b"\r\n"
        request.trailers = await self._fields(reader)

    def responses(self) -> list[Received]:
        """The requests that were answers or error reports."""
        return [request for request in self.received if request.method == "POST"]


@asynccontextmanager
async def running(
    api: Scripted, function: str = "plain", *, until_idle: bool = True, **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The runtime against a scripted API; on entry it has served every event, or has ended."""
    server = await asyncio.start_server(api.serve, "127.0.0.1", 0)
    api.port = server.sockets[0].getsockname()[1]
    definition = Function("scripted", FUNCTIONS / function, environment=variables)
    process = await asyncio.create_subprocess_exec(
        *definition.command(),
        env=definition.variables(f"127.0.0.1:{api.port}", "env-1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        if until_idle:
            waits = [asyncio.create_task(api.idle.wait()), asyncio.create_task(process.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED, timeout=30)
            for wait in waits:
                wait.cancel()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        server.close()


def interface_emulator() -> Path | None:
    """The Runtime Interface Emulator: ``HEADGATE_LAMBDA_RIE``, or the one inside a SAM CLI.

    The SAM CLI is looked for where ``make test`` unpacks it, in this interpreter, and behind the ``sam`` on the PATH,
    since its dependencies are pinned so that it often lives in an environment of its own.
    """
    machine = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}.get(platform.machine())
    if sys.platform != "linux" or machine is None:
        return None
    name = Path("local", "rapid", f"aws-lambda-rie-{machine}")
    candidates: list[Path] = []
    if path := os.environ.get("HEADGATE_LAMBDA_RIE"):
        candidates.append(Path(path))
    candidates.append(Path(sys.prefix, "sam-cli", "samcli") / name)
    if (spec := importlib.util.find_spec("samcli")) and spec.submodule_search_locations:
        candidates += [Path(location) / name for location in spec.submodule_search_locations]
    if sam := shutil.which("sam"):
        prefix = Path(sam).resolve().parent.parent
        candidates += [samcli / name for samcli in prefix.glob("lib/python3*/site-packages/samcli")]
    return next((candidate for candidate in candidates if candidate.is_file()), None)

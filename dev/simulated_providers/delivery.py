"""Puts answers on the connection, faithfully or with the faults asked for."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send

from .reading import Faults
from .recorder import Recorded

_BATCH = 32 * 1024
"""Bytes written at once when nothing asks for pacing; the first frame always goes alone."""

_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
Connections = dict[Any, asyncio.Transport]


def packed(value: Any) -> bytes:
    """Compact JSON; half a surrogate pair becomes a question mark."""
    return _compact(value).encode("utf-8", "replace")


@dataclass
class Script:
    """A stream. ``deltas`` are the indices of frames that carry content.

    ``error`` makes the vendor's error frames for position i of the stream, ``novel`` a frame of an unknown event type,
    ``shifted`` (for a protocol that numbers its events) a frame's successor in number.
    """

    frames: list[bytes]
    deltas: list[int]
    error: Callable[[int], list[bytes]]
    novel: Callable[[int], bytes]
    shifted: Callable[[bytes], bytes] | None = None

    def misled(self, faults: Faults) -> Script:
        """The script with the frames of the faults in it."""
        if faults.error_first:
            return Script(self.error(0), [], self.error, self.novel)
        frames = list(self.frames)
        if faults.novel:
            at = self.position(1)
            later = [self.shifted(frame) for frame in frames[at:]] if self.shifted else frames[at:]
            frames = [*frames[:at], self.novel(at), *later]
        if faults.junk_after is not None:
            frames.insert(self.position(faults.junk_after), b'data: {"type":"broken", "cut\n\n')
        if faults.error_after is not None:
            at = self.position(faults.error_after)
            frames = [*frames[:at], *self.error(at)]
        return Script(frames, self.deltas, self.error, self.novel)

    def position(self, deltas: int) -> int:
        """The index after ``deltas`` deltas, or after the last where there are fewer."""
        if deltas <= 0 or not self.deltas:
            return self.deltas[0] if self.deltas else len(self.frames)
        return self.deltas[min(deltas, len(self.deltas)) - 1] + 1


@dataclass
class Reply:
    """An ASGI response: a JSON body or a Script."""

    recorded: Recorded
    headers: dict[str, str]
    body: bytes = b""
    script: Script | None = None
    status: int = 200
    faults: Faults = field(default_factory=Faults)
    connections: Connections = field(default_factory=dict)
    content_type: str = "application/json"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.faults.slow_headers:
            await asyncio.sleep(self.faults.slow_headers)
        kind = "text/event-stream; charset=utf-8" if self.script else self.content_type
        headers = {"content-type": kind, **self.headers}
        if self.script is None:
            headers["content-length"] = str(len(self.body))
        self.recorded.status = self.status
        start = {"type": "http.response.start", "status": self.status}
        await send({**start, "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]})
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await self._send(scope, send, gone)
        finally:
            self.recorded.aborted = not self.recorded.finished and gone.done()
            gone.cancel()

    async def _send(self, scope: Scope, send: Send, gone: asyncio.Future[None]) -> None:
        if self.faults.slow_first and await _pause(self.faults.slow_first, gone):
            return
        if self.script is None:
            cut = self.faults.cut_after is not None
            await _write(send, self.body[: len(self.body) // 2] if cut else self.body, more=cut)
            if cut:
                await self._reset(scope)
            self.recorded.finished = not cut
            return
        script = self.script.misled(self.faults)
        frames = script.frames
        end = len(frames)
        if self.faults.cut_after is not None:
            end = min(end, script.position(self.faults.cut_after))
        if self.faults.silent_after is not None:
            end = min(end, script.position(self.faults.silent_after))
        for chunk in frames[:end] if self.faults.slow else _batches(frames[:end]):
            if gone.done():
                return
            await _write(send, chunk, more=True)
            # A turn of the loop, or a caller's leaving would only be seen once the socket is full.
            await asyncio.sleep(0)
            if self.faults.slow and await _pause(self.faults.slow, gone):
                return
        if self.faults.silent_after is not None and await _pause(self.faults.silent_for, gone):
            return
        if self.faults.cut_after is not None:
            await self._reset(scope)
            return
        await _write(send, b"", more=False)
        self.recorded.finished = True

    async def _reset(self, scope: Scope) -> None:
        """Resets the TCP connection; without one of our own to reset (an in-process client) it raises."""
        transport = self.connections.get(tuple(scope.get("client") or ()))
        if transport is None:
            raise ConnectionAbortedError("the connection was cut")
        # The reset discards what the kernel has not yet delivered, so what was written gets a moment to arrive.
        await asyncio.sleep(0.05)
        raw: socket.socket | None = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def _batches(frames: list[bytes]) -> list[bytes]:
    """The first frame, then the rest joined to pieces of about _BATCH bytes."""
    batches = frames[:1]
    held: list[bytes] = []
    size = 0
    for frame in frames[1:]:
        held.append(frame)
        size += len(frame)
        if size >= _BATCH:
            batches.append(b"".join(held))
            held, size = [], 0
    if held:
        batches.append(b"".join(held))
    return batches


async def _write(send: Send, chunk: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": more})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def _pause(seconds: float, gone: asyncio.Future[None]) -> bool:
    """Sleeps; True at once when the caller goes away."""
    await asyncio.wait([gone], timeout=seconds)
    return gone.done()

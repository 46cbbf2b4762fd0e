"""One streamed answer: ASGI messages in, a chunked request to the Runtime API out."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterable
from typing import Any

from headgate_runtime.api import Invocation, RuntimeApi
from headgate_runtime.faults import describe
from headgate_runtime.logs import logger

_HEADERS = [
    ("Content-Type", "application/vnd.awslambda.http-integration-response"),
    ("Lambda-Runtime-Function-Response-Mode", "streaming"),
    ("Transfer-Encoding", "chunked"),
    ("Trailer", "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"),
]
_END = b"0\r\n\r\n"
# They describe a connection, not a message, and the connection to the client is Lambda's own.
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer"})


class StreamedResponse:
    """The way from an application's ``send`` to the Runtime API.

    Every message is written at once as a chunk of its own. Status and headers wait for the first body message, but
    only until the event loop turns: an ordinary answer leaves in a single write, and a stream whose first event takes
    long still shows its headers. When Lambda has closed the connection, the rest is thrown away and the application
    is not told: it still has to store what it did.
    """

    def __init__(self, api: RuntimeApi, invocation: Invocation) -> None:
        self.finished = asyncio.Event()
        """Set when the last body message has been written, or the answer has been cut short."""
        self.opened = False
        """Whether the answer has begun to leave, after which its status cannot change."""
        self._api = api
        self._invocation = invocation
        self._prelude: bytes | None = None
        self._started = False
        self._broken = False
        self._flush: asyncio.Handle | None = None
        self._reply: asyncio.Task[int] | None = None

    async def send(self, message: dict[str, Any]) -> None:
        """The application's ``send``."""
        kind = message["type"]
        if kind == "http.response.body" and self._started and not self.finished.is_set():
            body = bytes(message.get("body", b""))
            data = self._opening() + (b"%x\r\n%b\r\n" % (len(body), body) if body else b"")
            if not message.get("more_body", False):
                self.finished.set()
                data += _END
            await self._write(data)
        elif kind == "http.response.start" and not self._started:
            self._started = True
            self._prelude = prelude(message["status"], message.get("headers", ()))
            self._flush = asyncio.get_running_loop().call_soon(self._flush_prelude)
        else:
            raise RuntimeError(f"the application sent {kind!r} out of turn")

    def fail(self, error: BaseException) -> None:
        """Cut the answer short, saying why in trailers. Without effect before its first byte and after its last."""
        if self._flush is not None:
            self._flush.cancel()
        if not self.opened or self.finished.is_set():
            return
        self.finished.set()
        fault = describe(error, self._invocation.request_id)
        report = base64.b64encode(json.dumps(fault).encode()).decode()
        trailers = (
            f"0\r\nLambda-Runtime-Function-Error-Type: {fault['errorType']}\r\n"
            f"Lambda-Runtime-Function-Error-Body: {report}\r\n\r\n"
        )
        if not self._broken:
            self._api.write(trailers.encode())

    async def settle(self) -> None:
        """Wait for the Runtime API's reply, and leave the connection ready for the next request."""
        if self._reply is None:
            return
        try:
            status = await self._reply
        except (OSError, asyncio.IncompleteReadError) as error:
            self._break(str(error))
        else:
            if status == 410:
                logger.warning("Lambda had given up on this attempt before its answer was complete")
            elif status >= 300:
                logger.error("the Runtime API answered %d to a response", status)
        if self._broken:
            self._api.discard()

    def _opening(self) -> bytes:
        """The request head and the prelude's chunk, the first time; then nothing."""
        if self._prelude is None:
            return b""
        if self._flush is not None:
            self._flush.cancel()
        chunk, self._prelude = self._prelude, None
        self.opened = True
        self._reply = asyncio.create_task(self._read_reply())
        self._reply.add_done_callback(self._replied)
        head = self._api.head("POST", self._invocation.path("response"), [*_HEADERS, *self._invocation.echo()])
        return head + b"%x\r\n%b\r\n" % (len(chunk), chunk)

    def _flush_prelude(self) -> None:
        self._api.write(self._opening())

    async def _write(self, data: bytes) -> None:
        if self._broken:
            return
        if data:
            self._api.write(data)
        try:
            await self._api.drain()
        except OSError as error:
            self._break(str(error))

    async def _read_reply(self) -> int:
        return (await self._api.read_reply()).status

    def _replied(self, reply: asyncio.Task[int]) -> None:
        """A reply before the answer's end: nobody reads the rest, so a ``drain`` must not wait for a reader."""
        if not self.finished.is_set() and not reply.cancelled():
            self._break("it was answered before its end" if reply.exception() is None else str(reply.exception()))

    def _break(self, why: str) -> None:
        if not self._broken:
            self._broken = True
            logger.warning("the response connection is gone, the rest of the answer is dropped: %s", why)
            self._api.discard()


def prelude(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Status, headers and cookies as Lambda wants them before a streamed body: JSON, then eight NUL bytes.

    A header that occurs several times is joined by commas, except ``set-cookie``, whose values may hold commas.
    """
    joined: dict[str, str] = {}
    cookies: list[str] = []
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name == "set-cookie":
            cookies.append(value)
        elif name not in _HOP_BY_HOP:
            joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return json.dumps({"statusCode": status, "headers": joined, "cookies": cookies}).encode() + bytes(8)

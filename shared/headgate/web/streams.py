"""The streamed response: whole frames, signs of life, and work after the client has everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress

from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headgate.protocols.sse import comment

# CloudFront closes an origin connection that is silent for its read timeout; proxies at homes and offices sooner.
SILENCE_SECONDS = 10.0
KEEP_ALIVE = comment("keep-alive")


class EventStream(Response):
    """Sends what ``frames`` yields as it comes, a comment whenever nothing was sent for ``SILENCE_SECONDS``, and runs
    ``background`` when the response is closed. A client that goes away does not stop it: a Lambda function URL never
    tells, the upstream is billed anyway, and the stored answer must be complete."""

    media_type = "text/event-stream"

    def __init__(
        self, frames: AsyncGenerator[bytes], headers: Mapping[str, str], background: BackgroundTask | None = None
    ) -> None:
        stream_headers = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no", **headers}
        super().__init__(status_code=200, headers=stream_headers, background=background)
        del self.headers["content-length"]
        self._frames = frames
        self._last_sent = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        loop = asyncio.get_running_loop()
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        self._last_sent = loop.time()
        alive = loop.create_task(self._keep_alive(send))
        try:
            async with aclosing(self._frames) as frames:
                async for chunk in frames:
                    self._last_sent = loop.time()
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        finally:
            alive.cancel()
            with suppress(asyncio.CancelledError):
                await alive
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if self.background is not None:
            await self.background()

    async def _keep_alive(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        while True:
            wait = self._last_sent + SILENCE_SECONDS - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
                continue
            self._last_sent = loop.time()
            await send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})

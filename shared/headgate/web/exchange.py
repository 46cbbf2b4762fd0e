"""One inference request from its routes to its answer: fall back, keep, price, log.

The three frontends differ in how they validate, in what they keep, and in nothing else; they hand a ``Work`` over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from starlette.responses import Response

from headgate.errors import GatewayError, server_error
from headgate.events import Failed
from headgate.losses import Loss
from headgate.protocols.registry import client_side
from headgate.routing.plan import Decision
from headgate.storage.aws import StoreFault, StoreUnavailable
from headgate.web.attempts import open_first
from headgate.web.call import Call, json_response
from headgate.web.legs import keep_thought
from headgate.web.opening import Opened, Opener
from headgate.web.routes import remember, routes_for
from headgate.web.serving import Serving
from headgate.web.signed_calls import keep_signatures
from headgate.web.streams import EventStream
from headgate.web.work import Work

# After this the status line is sent and signs of life begin, although no upstream has answered yet.
COMMIT_SECONDS = 10.0


async def answer(call: Call, work: Work) -> Response:
    """Serve ``work``. Raises GatewayError while nothing has been sent."""
    try:
        call.decision = await routes_for(call, work)
        if any(each.leaf is not None and each.leaf.thinker for each in call.decision.order):
            # What a thinker says is kept for the session, so it must be put together.
            work.reply_extra["keep"] = True
        exchange = Exchange(call, work, call.decision)
        return await (exchange.stream() if work.stream else exchange.json())
    except BaseException:
        if work.abandon is not None:
            await work.abandon()
        raise


class Exchange:
    """The running of one ``Work``."""

    def __init__(self, call: Call, work: Work, decision: Decision) -> None:
        self._call = call
        self._work = work
        self._decision = decision
        self._opener = Opener(call, work)
        total = min(call.services.settings.timeouts.total, call.remaining_seconds())
        self._deadline = asyncio.get_running_loop().time() + total

    async def json(self) -> Response:
        """The answer as one JSON object."""
        call = self._call
        try:
            async with asyncio.timeout_at(self._deadline):
                opened = await self._open()
        except TimeoutError:
            raise _too_long() from None
        serving, body = opened.serving, opened.body
        assert body is not None
        call.first_byte = time.perf_counter()
        self._settle(serving)
        await self._keep_for_later(serving)
        if not await self._kept(serving):
            body["store"] = False
        call.answer = body
        return json_response(call, body, call.route_headers())

    async def stream(self) -> Response:
        """The answer as an event stream. The status is committed when an upstream has answered, or after
        ``COMMIT_SECONDS``."""
        call = self._call
        call.streamed = True
        opening = asyncio.create_task(self._open())
        done, _ = await asyncio.wait({opening}, timeout=COMMIT_SECONDS)
        if done:
            opening.result()
        call.status = 200
        return EventStream(self._frames(opening), call.route_headers())

    async def _frames(self, opening: asyncio.Task[Opened]) -> AsyncGenerator[bytes]:
        call = self._call
        try:
            serving = (await opening).serving
        except GatewayError as error:
            # The status line is gone already: the protocol's own error event has to say it.
            call.error = error
            if self._work.abandon is not None:
                await self._work.abandon()
            yield client_side(call.protocol).writer(self._opener.reply(None)).write(Failed(error))
            return
        call.first_byte = time.perf_counter()
        try:
            async for chunk in self._watched(serving):
                yield chunk
        finally:
            await serving.close()

    async def _watched(self, serving: Serving) -> AsyncGenerator[bytes]:
        """The serving's frames with the turn stored before the last ones, and an error event where something breaks."""
        call = self._call
        over = False
        frames = serving.frames()
        try:
            while not over:
                async with asyncio.timeout_at(self._deadline):
                    chunk, over = await anext(frames, (b"", True))
                if over:
                    self._settle(serving)
                    await self._keep_for_later(serving)
                    if not await self._kept(serving):
                        chunk = chunk.replace(b'"store":true', b'"store":false')
                yield chunk
        except TimeoutError:
            closing = serving.fail(_too_long())
            self._settle(serving)
            await self._kept(serving)
            yield closing
        except Exception as error:  # the client must get the protocol's error event, whatever broke
            call.services.observer.logger.exception("defect while streaming")
            call.error = error if isinstance(error, GatewayError) else server_error()
            call.defect = call.error is not error
            closing = serving.fail(call.error)
            call.usage, call.cost_pico = serving.usage, call.price(serving.usage)
            yield closing

    async def _open(self) -> Opened:
        call = self._call
        wait_until = asyncio.get_running_loop().time() + call.services.settings.retry_wait
        call.candidate, opened = await open_first(call, self._decision, self._opener, min(wait_until, self._deadline))
        call.losses = opened.losses
        return opened

    def _settle(self, serving: Serving) -> None:
        """Take over what the serving learned: usage, price, error."""
        call = self._call
        call.usage = serving.usage
        call.cost_pico = call.price(serving.usage)
        call.error = serving.error
        call.answer = serving.body()
        remember(call, self._work)

    async def _keep_for_later(self, serving: Serving) -> None:
        await keep_signatures(self._call, serving)
        await keep_thought(self._call, self._call.chosen, serving.body())

    async def _kept(self, serving: Serving) -> bool:
        """Store the turn where the frontend wants it. False where the table could not take it: the answer then says
        ``store: false`` instead of promising what is not there."""
        if self._work.keep is None:
            return True
        self._call.response_id = self._work.id
        try:
            await self._work.keep(serving)
            self._call.stored = True
        except (StoreUnavailable, StoreFault) as error:
            self._call.services.observer.logger.error("turn not stored", extra={"reason": str(error)})
            self._call.losses.append(Loss("store", "not_stored", "the state table did not take the turn"))
            return False
        return True


def _too_long() -> GatewayError:
    return GatewayError(504, "timeout_error", "timeout", "The answer took longer than this gateway allows.")

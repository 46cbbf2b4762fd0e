"""Several choices (``n``) from an upstream that gives one: as many calls, merged into one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from headgate.conversation import Sealed
from headgate.errors import GatewayError
from headgate.events import Event, Failed, Finished, UsageUpdated
from headgate.protocols.chat_completions.choices import ChoicesWriter
from headgate.protocols.contract import Reply
from headgate.usage import Usage
from headgate.web.serving import TranslatedServing


class ChoicesServing:
    """Serves ``n`` translated answers as one Chat Completions answer; usage is their sum."""

    def __init__(self, servings: Sequence[TranslatedServing], reply: Reply) -> None:
        self._servings = servings
        self._writer = ChoicesWriter(reply, len(servings))

    @property
    def usage(self) -> Usage:
        """Tokens of all choices together."""
        return sum((serving.usage for serving in self._servings), Usage())

    @property
    def finish(self) -> str | None:
        """The first choice's reason; None while any is unfinished."""
        reasons = [serving.finish for serving in self._servings]
        return None if None in reasons else reasons[0]

    @property
    def error(self) -> GatewayError | None:
        """The first error of any choice."""
        return next((serving.error for serving in self._servings if serving.error), None)

    async def prime(self) -> None:
        """Read until every choice has shown its first output. Raises UpstreamFailure."""
        await asyncio.gather(*(serving.prime() for serving in self._servings))

    async def frames(self) -> AsyncIterator[tuple[bytes, bool]]:
        """(bytes for the client, whether these are the closing ones), the choices' chunks as they come."""
        queue: asyncio.Queue[tuple[int, Event]] = asyncio.Queue(maxsize=64)

        async def pump(choice: int, serving: TranslatedServing) -> None:
            async for batch in serving.batches():
                for event in batch:
                    await queue.put((choice, event))

        pumps = [asyncio.create_task(pump(*pair)) for pair in enumerate(self._servings)]
        left = len(pumps)
        try:
            while left:
                choice, event = await queue.get()
                if type(event) is Failed:
                    yield self._broken_off(choice, event), True
                    return
                out = self._writer.write(choice, event)
                left -= type(event) is Finished
                if out or not left:
                    yield out, not left
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    def fail(self, error: GatewayError) -> bytes:
        """End the stream with ``error``."""
        unfinished = (choice for choice, serving in enumerate(self._servings) if serving.finish is None)
        return self._broken_off(next(unfinished, 0), Failed(error))

    def _broken_off(self, choice: int, failed: Failed) -> bytes:
        """The end of all choices, with what all of them used."""
        for serving in self._servings:
            serving.break_off()
        return self._writer.write(choice, UsageUpdated(self.usage)) + self._writer.write(choice, failed)

    async def json(self) -> dict[str, Any]:
        """The whole answer. Raises UpstreamFailure where one choice did not come to its end."""

        async def run(choice: int, serving: TranslatedServing) -> None:
            async for batch in serving.batches():
                for event in batch:
                    self._writer.write(choice, event)
            serving.raise_failure()

        await asyncio.gather(*(run(*pair) for pair in enumerate(self._servings)))
        return self._writer.body()

    def body(self) -> dict[str, Any] | None:
        """The answer so far as one object."""
        return self._writer.body()

    def state_items(self) -> list[dict[str, Any]]:
        """Nothing: Chat Completions keeps no state."""
        return []

    def signed_calls(self) -> dict[str, Sealed]:
        """The signatures that came on tool calls, by call id."""
        return {call_id: sealed for each in self._servings for call_id, sealed in each.signed_calls().items()}

    async def close(self) -> None:
        """Let go of every upstream."""
        await asyncio.gather(*(serving.close() for serving in self._servings))

"""An answer on its way from one upstream to one client: passed through, or translated.

Both kinds have the same face. ``prime`` reads until the upstream has shown its first output, so that a failure before
it can still move on to another route; ``frames`` yields what the client gets, the closing frames last and alone, so
that the turn can be stored before they leave.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from headgate.conversation import Sealed, ToolCall
from headgate.errors import GatewayError
from headgate.events import Delta, Event, Failed, Finished, ItemEnded, ItemStarted, UsageUpdated
from headgate.events import Started as StartedEvent
from headgate.protocols.registry import Reader, Relay, Splitter, Writer
from headgate.protocols.sse import EventSplitter, FrameSplitter, FrameTooLarge
from headgate.routing.transport import UpstreamFailure, UpstreamStream, broken
from headgate.usage import Usage
from headgate.web.broken_off import Streamed, broken_off


class Serving(Protocol):
    """What the exchange needs of either kind."""

    @property
    def usage(self) -> Usage: ...
    @property
    def finish(self) -> str | None: ...
    @property
    def error(self) -> GatewayError | None: ...
    async def prime(self) -> None: ...
    def frames(self) -> AsyncIterator[tuple[bytes, bool]]: ...
    def fail(self, error: GatewayError) -> bytes: ...
    async def json(self) -> dict[str, Any]: ...
    def body(self) -> dict[str, Any] | None: ...
    def state_items(self) -> list[dict[str, Any]]: ...
    def signed_calls(self) -> dict[str, Sealed]: ...
    async def close(self) -> None: ...


def _nothing(frame: bytes) -> str:
    return ""


async def whole_frames(stream: UpstreamStream) -> AsyncIterator[list[bytes]]:
    """The upstream's SSE frames, in the groups in which the network brought them. Raises UpstreamFailure."""
    splitter = FrameSplitter()
    async for chunk in stream.chunks():
        try:
            frames = splitter.feed(chunk)
        except FrameTooLarge:
            raise broken("The provider sent an event without end") from None
        if frames:
            yield frames
    rest = splitter.rest()
    if rest.strip():
        yield [rest + b"\n\n"]


async def whole_events(stream: UpstreamStream, splitter: Splitter) -> AsyncIterator[list[tuple[str | None, bytes]]]:
    """The upstream's events as its protocol cuts them, in the groups in which the network brought them. Raises
    UpstreamFailure."""
    try:
        async for chunk in stream.chunks():
            if events := splitter.feed(chunk):
                yield events
        if events := splitter.rest():
            yield events
    except FrameTooLarge:
        raise broken("The provider sent an event without end") from None
    except ValueError:
        raise broken("The provider's stream is damaged") from None


class RelayServing:
    """Same protocol on both sides: bytes through, a reader looking on, and ``streamed`` for when it breaks off."""

    def __init__(self, stream: UpstreamStream, relay: Relay, streamed: Streamed | None = None) -> None:
        self._stream = stream
        self._relay = relay
        self._note = (streamed or Streamed(_nothing)).add
        self._groups = whole_frames(stream)
        self._held: list[bytes] = []
        self._ended = False

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        return self._relay.usage

    @property
    def finish(self) -> str | None:
        """The vendor's word for why the answer ended; None while it has not."""
        return self._relay.finish

    @property
    def error(self) -> GatewayError | None:
        """Set when the upstream broke off."""
        return self._relay.error

    async def prime(self) -> None:
        """Read until the first output. Raises UpstreamFailure where the upstream fails before it."""
        async for group in self._groups:
            self._note(group)
            for frame in group:
                self._held.append(self._relay.feed(frame))
            if self._relay.error is not None and not self._relay.saw_output:
                raise UpstreamFailure("stream", self._relay.error, move_on=True, status=self._stream.status)
            if self._relay.saw_output or self._relay.finish is not None:
                return
        raise broken("The provider's stream ended before it began")

    async def frames(self) -> AsyncIterator[tuple[bytes, bool]]:
        """(bytes for the client, whether these are the closing ones)."""
        feed = self._relay.feed
        if self._held:
            held, self._held = [out for out in self._held if out], []
            # Of a short answer that came whole the text leaves at once; only its end waits until the turn is stored.
            last = (held.pop() if held else b"") if self._over() else None
            if out := b"".join(held):
                yield out, False
            if last is not None:
                yield last, True
                return
        try:
            async for group in self._groups:
                self._note(group)
                if len(group) == 1:
                    out = feed(group[0])
                    if self._over():
                        yield out, True
                        return
                    if out:
                        yield out, False
                    continue
                outs: list[bytes] = []
                for frame in group:
                    outs.append(feed(frame))
                    if self._over():
                        if outs[:-1]:
                            yield b"".join(outs[:-1]), False
                        yield outs[-1], True
                        return
                yield b"".join(outs), False
            yield self._relay.end(), True
        except UpstreamFailure as failure:
            yield self._relay.fail(failure.error), True

    def _over(self) -> bool:
        self._ended = self._ended or self._relay.done
        return self._ended

    def fail(self, error: GatewayError) -> bytes:
        """End the stream with ``error`` in the protocol's own form."""
        return self._relay.fail(error)

    async def json(self) -> dict[str, Any]:
        """The whole answer of a request that was not streamed. Raises UpstreamFailure."""
        raw = await self._stream.read()
        try:
            return self._relay.json(raw)
        except GatewayError as error:
            raise UpstreamFailure("stream", error, move_on=True, status=self._stream.status) from None
        except ValueError:
            raise broken("The provider's answer is not valid JSON") from None

    def body(self) -> dict[str, Any] | None:
        """The answer as the client saw it, where the relay kept it."""
        return self._relay.body

    def state_items(self) -> list[dict[str, Any]]:
        """Output items for the state table."""
        return list(getattr(self._relay, "state_items", ()))

    def signed_calls(self) -> dict[str, Sealed]:
        """Nothing: a client of the same protocol has a place for the vendor's signatures."""
        return {}

    async def close(self) -> None:
        """Let go of the upstream."""
        await self._stream.close()


class TranslatedServing:
    """Different protocols: upstream frames to events to the client's frames. ``input_estimate``: input tokens, for an
    answer that breaks off before the upstream has said what it used; ``family`` of models, for its output."""

    def __init__(
        self,
        stream: UpstreamStream,
        reader: Reader,
        writer: Writer,
        splitter: Splitter | None = None,
        input_estimate: int = 0,
        family: str | None = None,
    ) -> None:
        self._stream = stream
        self._reader = reader
        self._writer = writer
        self._groups = whole_events(stream, splitter or EventSplitter())
        self._held: list[Event] = []
        self._usage = Usage()
        self._usage_is_whole = False
        self._streamed = Streamed(str, family)
        self._input_estimate = input_estimate
        self._finished: Finished | None = None
        self._failed: Failed | None = None
        self._cause: UpstreamFailure | None = None
        self._signed: dict[str, Sealed] = {}

    @property
    def usage(self) -> Usage:
        """Tokens so far."""
        return self._usage

    @property
    def finish(self) -> str | None:
        """Why the answer ended; None while it has not."""
        return self._finished.reason if self._finished else None

    @property
    def error(self) -> GatewayError | None:
        """Set when the upstream broke off."""
        return self._failed.error if self._failed else None

    async def prime(self) -> None:
        """Read until the first output. Raises UpstreamFailure where the upstream fails before it."""
        async for group in self._groups:
            self._held += self._events(group)
            for event in self._held:
                if type(event) is Failed:
                    raise UpstreamFailure("stream", event.error, move_on=True, status=self._stream.status)
                if type(event) in (ItemStarted, Delta, Finished):
                    return
        for event in self._reader.end():
            if type(event) is Failed:
                raise UpstreamFailure("stream", event.error, move_on=True, status=self._stream.status)
            self._held.append(event)

    async def batches(self) -> AsyncIterator[list[Event]]:
        """The neutral stream in the groups in which the network brought it; the last group ends with the one
        Finished or Failed there is."""
        if self._held:
            yield self._noted(self._held)
        try:
            async for group in self._groups:
                if self._finished or self._failed:
                    return
                if events := self._events(group):
                    yield self._noted(events)
            if not (self._finished or self._failed):
                yield self._noted(self._reader.end())
        except UpstreamFailure as failure:
            if not (self._finished or self._failed):
                self._cause = failure
                yield self._noted([Failed(failure.error)])

    async def frames(self) -> AsyncIterator[tuple[bytes, bool]]:
        """(bytes for the client, whether these are the closing ones)."""
        write = self._writer.write
        async for batch in self.batches():
            last = batch[-1] if self._finished or self._failed else None
            outs = [out for event in batch if event is not last and (out := write(event))]
            if outs:
                yield (outs[0] if len(outs) == 1 else b"".join(outs)), False
            if last is not None:
                yield write(last), True
                return

    def _events(self, group: list[tuple[str | None, bytes]]) -> list[Event]:
        events: list[Event] = []
        read = self._reader.read
        for name, data in group:
            events += read(name, data)
        return events

    def _noted(self, events: list[Event]) -> list[Event]:
        said: list[str] = []
        for event in events:
            if type(event) is Delta:
                said.append(event.text)
                continue
            match event:
                case UsageUpdated(usage=usage):
                    # Gemini names the input alone until there is output.
                    self._usage, self._usage_is_whole = usage, usage.output_total > 0
                case StartedEvent(usage=usage) if usage is not None:
                    self._usage = usage
                case Finished():
                    self._finished = event
                case Failed():
                    self._failed = event
                case ItemEnded(item=ToolCall(call_id=call_id, sealed=sealed)) if sealed is not None:
                    self._signed[call_id] = sealed
                case _:
                    continue
        self._streamed.add(said)
        if self._failed is not None and not self._usage_is_whole:
            # Before the failure, so that what the writer says of usage is what the log says.
            at = events.index(self._failed)
            return [*events[:at], UsageUpdated(self.break_off()), *events[at:]]
        return events

    def break_off(self) -> Usage:
        """What was used, estimated where the upstream has not said it and will not."""
        if self._finished is None and not self._usage_is_whole:
            self._usage = broken_off(self._usage, self._input_estimate, self._streamed.tokens())
            self._usage_is_whole = True
        return self._usage

    def fail(self, error: GatewayError) -> bytes:
        """End the stream with ``error`` in the protocol's own form."""
        self._failed = Failed(error)
        return self._writer.write(UsageUpdated(self.break_off())) + self._writer.write(self._failed)

    async def json(self) -> dict[str, Any]:
        """The whole answer as one object. Raises UpstreamFailure where it did not come to its end."""
        async for batch in self.batches():
            for event in batch:
                self._writer.write(event)
        self.raise_failure()
        return self._writer.body()

    def raise_failure(self) -> None:
        """Raise UpstreamFailure where the upstream broke off: a timeout stays one."""
        if self._cause is not None:
            raise self._cause
        if self._failed is not None:
            raise UpstreamFailure("stream", self._failed.error, move_on=True, status=self._stream.status)

    def body(self) -> dict[str, Any] | None:
        """The answer so far as one object."""
        return self._writer.body()

    def state_items(self) -> list[dict[str, Any]]:
        """Output items for the state table."""
        keep = getattr(self._writer, "body_for_state", None)
        return keep() if keep else []

    def signed_calls(self) -> dict[str, Sealed]:
        """The signatures that came on tool calls, by call id."""
        return self._signed

    async def close(self) -> None:
        """Let go of the upstream."""
        await self._stream.close()

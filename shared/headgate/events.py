"""The neutral event stream: what every upstream reader produces and every frontend writer consumes.

The stream is strictly sequential: one item is open at a time, and within a message or reasoning item one part. Some
upstreams interleave (parallel tool calls of Chat Completions); their readers go through ``Assembler``, which holds a
second item's fragments back until the first one is complete. So no writer ever has to.

    Started, (ItemStarted, (PartStarted, Delta*, PartEnded)* | Delta*, ItemEnded)*, UsageUpdated*, Finished | Failed

``ItemEnded`` and ``PartEnded`` carry the complete value, so a writer needs no memory of the deltas.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from headgate.conversation import (
    Citation,
    Item,
    Message,
    Part,
    Reasoning,
    Refusal,
    Sealed,
    Text,
    Thought,
    TokenLogprob,
    ToolCall,
)
from headgate.errors import GatewayError
from headgate.usage import Usage

FinishReason = Literal[
    "stop", "length", "tool_calls", "stop_sequence", "content_filter", "refusal", "pause", "context_window"
]


@dataclass(frozen=True, slots=True)
class Started:
    """The upstream accepted the request. ``id`` and ``model`` are the upstream's own words. ``usage`` is what it
    already knows of the input (Anthropic says so at the start)."""

    id: str = ""
    model: str = ""
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ItemStarted:
    """A new item, without its content: a Message with no parts, a ToolCall with its name and empty arguments."""

    item: Item


@dataclass(frozen=True, slots=True)
class PartStarted:
    """A new part of the open Message or Reasoning, with empty text."""

    part: Part


@dataclass(frozen=True, slots=True)
class Delta:
    """More text for the open part or, in a ToolCall item, for its arguments."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class CitationAdded:
    """A citation of the open text part."""

    citation: Citation


@dataclass(frozen=True, slots=True)
class PartEnded:
    """The open part, complete."""

    part: Part


@dataclass(frozen=True, slots=True)
class ItemEnded:
    """The open item, complete."""

    item: Item


@dataclass(frozen=True, slots=True)
class UsageUpdated:
    """Token counts so far; the last one counts."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is complete. ``raw`` is the upstream's own word for the reason, ``stop_sequence`` the matched one."""

    reason: FinishReason
    raw: str | None = None
    stop_sequence: str | None = None
    extra: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Failed:
    """The upstream broke off. Nothing follows."""

    error: GatewayError


Event = (
    Started
    | ItemStarted
    | PartStarted
    | Delta
    | CitationAdded
    | PartEnded
    | ItemEnded
    | UsageUpdated
    | Finished
    | Failed
)


class Assembler:
    """Turns fragments into the sequential event stream; the one owner of "what is open".

    Upstream readers call one method per fragment and pass the returned events on. Tool calls are addressed by the
    upstream's own ``key`` (index or id); fragments of a call that is not the open one are kept until its turn.

    >>> a = Assembler()
    >>> [type(e).__name__ for e in a.text("Hi") + a.finish()]
    ['ItemStarted', 'PartStarted', 'Delta', 'PartEnded', 'ItemEnded']
    """

    def __init__(self) -> None:
        self._item: Message | Reasoning | ToolCall | None = None
        self._parts: list[Part] = []
        self._part: Text | Refusal | Thought | None = None
        self._fragments: list[str] = []
        self._citations: list[Citation] = []
        self._logprobs: list[TokenLogprob] = []
        self._open_call: Any = None
        self._waiting: dict[Any, tuple[ToolCall, list[str]]] = {}
        self._ended_calls: set[Any] = set()

    def text(self, delta: str, logprobs: tuple[TokenLogprob, ...] = ()) -> list[Event]:
        """More answer text."""
        events: list[Event] = []
        if type(self._part) is not Text:
            events = self.open_message()
            events += self._open_part(Text(""))
        self._fragments.append(delta)
        if logprobs:
            self._logprobs.extend(logprobs)
        events.append(Delta(delta, logprobs))
        return events

    def refusal(self, delta: str) -> list[Event]:
        """More refusal text."""
        events: list[Event] = []
        if type(self._part) is not Refusal:
            events = self.open_message()
            events += self._open_part(Refusal(""))
        self._fragments.append(delta)
        events.append(Delta(delta))
        return events

    def thought(self, delta: str, *, summary: bool = True) -> list[Event]:
        """More visible reasoning."""
        events: list[Event] = []
        part = self._part
        if type(part) is not Thought or part.summary is not summary:
            if type(self._item) is not Reasoning:
                events = self.open_reasoning()
            events += self._open_part(Thought("", summary=summary))
        self._fragments.append(delta)
        events.append(Delta(delta))
        return events

    def citation(self, citation: Citation) -> list[Event]:
        """A source for the open text; opens an empty text part where none is open."""
        events = self.text("")[:-1] if type(self._part) is not Text else []
        self._citations.append(citation)
        events.append(CitationAdded(citation))
        return events

    def open_message(self, id: str | None = None, *, extra: dict[str, Any] | None = None) -> list[Event]:
        """Make sure an assistant message is open. An explicit ``id`` always starts a new one."""
        if id is None and type(self._item) is Message:
            return self.end_part()
        return self._open_item(Message("assistant", (), id=id, extra=extra or {}))

    def open_reasoning(self, id: str | None = None) -> list[Event]:
        """Start a new reasoning item."""
        return self._open_item(Reasoning((), id=id))

    def seal(self, sealed: Sealed) -> list[Event]:
        """Attach the provider's seal to the open reasoning item, or to a new, textless one."""
        events = self.open_reasoning() if type(self._item) is not Reasoning else []
        assert type(self._item) is Reasoning
        self._item = replace(self._item, sealed=sealed)
        return events

    def tool_call(self, key: Any, call: ToolCall) -> list[Event]:
        """Announce a call (with empty ``arguments``). It opens at once unless another call is still open."""
        if self._open_call is not None and self._open_call not in self._ended_calls:
            self._waiting[key] = (call, [])
            return []
        self._open_call = key
        return self._open_item(call)

    def arguments(self, key: Any, delta: str) -> list[Event]:
        """More argument text of call ``key``."""
        if key == self._open_call and type(self._item) is ToolCall:
            self._fragments.append(delta)
            return [Delta(delta)]
        if key in self._waiting:
            self._waiting[key][1].append(delta)
        return []

    def knows_call(self, key: Any) -> bool:
        """Whether a call with that key was announced."""
        return key == self._open_call or key in self._waiting or key in self._ended_calls

    def end_call(self, key: Any) -> list[Event]:
        """Call ``key`` is complete; the next waiting one opens. A waiting call that ends is only marked."""
        self._ended_calls.add(key)
        if key != self._open_call:
            return []
        events = self.end_item()
        while self._waiting:
            next_key = next(iter(self._waiting))
            call, fragments = self._waiting.pop(next_key)
            self._open_call = next_key
            events += self._open_item(call)
            if fragments:
                self._fragments.extend(fragments)
                events.append(Delta("".join(fragments)))
            if next_key not in self._ended_calls:
                break
            events += self.end_item()
        return events

    def whole_item(self, item: Item) -> list[Event]:
        """An item that arrives in one piece (a provider's web search call, an opaque item)."""
        events = self.end_item()
        events += [ItemStarted(item), ItemEnded(item)]
        return events

    def whole_part(self, part: Part) -> list[Event]:
        """A part of the open message that arrives in one piece (audio, a part only its protocol understands)."""
        events = self.open_message() if type(self._item) is not Message else self.end_part()
        self._parts.append(part)
        events += [PartStarted(part), PartEnded(part)]
        return events

    def start_part(self, part: Text | Refusal | Thought) -> list[Event]:
        """Open ``part`` explicitly, for upstreams that announce their parts."""
        return self._open_part(part)

    def update_item(self, **changes: Any) -> None:
        """Replace fields of the open item that became known late (its id, an extra, its sealed data)."""
        if self._item is not None:
            self._item = replace(self._item, **changes)

    def end_part(self) -> list[Event]:
        """Close the open part, if any."""
        part = self._part
        if part is None:
            return []
        text = "".join(self._fragments)
        if type(part) is Text:
            part = replace(part, text=text, citations=tuple(self._citations), logprobs=tuple(self._logprobs))
        else:
            part = replace(part, text=text)
        self._parts.append(part)
        self._part = None
        self._fragments, self._citations, self._logprobs = [], [], []
        return [PartEnded(part)]

    def end_item(self) -> list[Event]:
        """Close the open item and its open part, if any."""
        item = self._item
        if item is None:
            return []
        events = self.end_part()
        if type(item) is ToolCall:
            item = replace(item, arguments="".join(self._fragments))
        else:
            item = replace(item, parts=tuple(self._parts))
        self._item, self._parts, self._fragments = None, [], []
        events.append(ItemEnded(item))
        return events

    def finish(self) -> list[Event]:
        """Close whatever is open and let every waiting call through."""
        events: list[Event] = []
        self._ended_calls.update(self._waiting)
        if self._open_call is not None and self._open_call not in self._ended_calls:
            events += self.end_call(self._open_call)
        return events + self.end_item()

    def _open_item(self, item: Message | Reasoning | ToolCall) -> list[Event]:
        if self._open_call is not None and self._open_call not in self._ended_calls and type(self._item) is ToolCall:
            events = self.finish()
        else:
            events = self.end_item()
        self._item = item
        events.append(ItemStarted(item))
        return events

    def _open_part(self, part: Text | Refusal | Thought) -> list[Event]:
        events = self.end_part()
        self._part = part
        events.append(PartStarted(part))
        return events


def events_of(items: tuple[Item, ...]) -> Iterator[Event]:
    """The event stream that would have built ``items``, with each text in one delta; for tests and replays."""
    for item in items:
        match item:
            case Message():
                yield ItemStarted(replace(item, parts=()))
                yield from _parts(item.parts)
                yield ItemEnded(item)
            case Reasoning():
                yield ItemStarted(replace(item, parts=(), sealed=None))
                yield from _parts(item.parts)
                yield ItemEnded(item)
            case ToolCall():
                yield ItemStarted(replace(item, arguments=""))
                if item.arguments:
                    yield Delta(item.arguments)
                yield ItemEnded(item)
            case _:
                yield ItemStarted(item)
                yield ItemEnded(item)


def _parts(parts: tuple[Part, ...]) -> Iterator[Event]:
    for part in parts:
        match part:
            case Text(text=text, citations=citations, logprobs=logprobs):
                yield PartStarted(replace(part, text="", citations=(), logprobs=()))
                if text:
                    yield Delta(text, logprobs)
                for citation in citations:
                    yield CitationAdded(citation)
            case Refusal(text=text) | Thought(text=text):
                yield PartStarted(replace(part, text=""))
                if text:
                    yield Delta(text)
            case _:
                yield PartStarted(part)
        yield PartEnded(part)

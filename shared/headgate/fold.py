"""Folding an event stream into one complete answer: what a JSON (non-streamed) reply is made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headgate.conversation import Item
from headgate.errors import GatewayError
from headgate.events import Event, Failed, Finished, ItemEnded, Started, UsageUpdated
from headgate.usage import Usage


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer. ``id`` and ``model`` are the upstream's own; ``error`` is set when it broke off, and then
    ``items`` holds what had been completed by then."""

    id: str
    model: str
    items: tuple[Item, ...]
    usage: Usage
    finished: Finished | None
    error: GatewayError | None = None


class Folder:
    """Collects events one by one; ``answer()`` at any time gives the answer so far."""

    def __init__(self) -> None:
        self._id = self._model = ""
        self._items: list[Item] = []
        self._usage = Usage()
        self._finished: Finished | None = None
        self._error: GatewayError | None = None

    def add(self, event: Event) -> None:
        """Take one more event in."""
        match event:
            case Started(id=id, model=model, usage=usage):
                self._id, self._model = id, model
                self._usage = usage or self._usage
            case ItemEnded(item=item):
                self._items.append(item)
            case UsageUpdated(usage=usage):
                self._usage = usage
            case Finished():
                self._finished = event
            case Failed(error=error):
                self._error = error
            case _:
                return

    def answer(self) -> Answer:
        """The answer as far as it has come."""
        return Answer(self._id, self._model, tuple(self._items), self._usage, self._finished, self._error)


def fold(events: Iterable[Event]) -> Answer:
    """The answer that a whole event stream amounts to."""
    folder = Folder()
    for event in events:
        folder.add(event)
    return folder.answer()

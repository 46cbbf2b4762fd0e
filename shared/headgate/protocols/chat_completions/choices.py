"""Several choices (``n``) in one stream, each from an upstream call of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from headgate.events import Event, Failed, Finished
from headgate.protocols.chat_completions.client_answer import write_answers
from headgate.protocols.chat_completions.client_stream import StreamWriter, close
from headgate.protocols.contract import Reply


class ChoicesWriter:
    """Merges the chunks of ``count`` choices as their events come. The stream ends when the last choice does, with
    one usage chunk over all of them, or with an error when one fails."""

    def __init__(self, reply: Reply, count: int) -> None:
        self._reply = reply
        self._writers = [StreamWriter(replace(reply, choice=index), alone=False) for index in range(count)]
        self._open = set(range(count))

    def write(self, choice: int, event: Event) -> bytes:
        """The frames for one event of one choice; nothing once the stream has ended. A failure ends it whichever
        choice it is told of."""
        if not self._open or (choice not in self._open and not isinstance(event, Failed)):
            return b""
        frames = self._writers[choice].write(event)
        if isinstance(event, Failed):
            self._open.clear()
        elif isinstance(event, Finished):
            self._open.discard(choice)
            if not self._open:
                usages = [writer.folder.answer().usage for writer in self._writers]
                frames += close(self._reply, sum(usages[1:], usages[0]))
        return frames

    def body(self) -> dict[str, Any]:
        """The answers so far as one ``chat.completion`` object."""
        return write_answers([writer.folder.answer() for writer in self._writers], self._reply)

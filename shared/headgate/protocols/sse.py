"""Server-sent events as bytes.

Lines end at CR, LF or CRLF and nowhere else: a splitter that also honours U+2028 or U+0085 (as ``str.splitlines`` and
httpx's ``aiter_lines`` do) tears JSON strings apart.
"""

from __future__ import annotations

import json
import re
from typing import Any

_BOUNDARY = re.compile(rb"\n\n|\r\n\r\n|\r\r|\n\r\n|\r\n\n")
_LINE = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

DONE = b"data: [DONE]\n\n"


class FrameTooLarge(ValueError):
    """An unterminated frame has passed the size bound."""


class FrameSplitter:
    """Cuts a byte stream into whole SSE frames, wherever the network split it.

    ``feed`` returns complete frames with their terminating blank line; ``rest`` what is left at the end of the stream.
    ``limit`` bounds an unterminated frame, in bytes.
    """

    def __init__(self, limit: int = 64 * 1024 * 1024) -> None:
        self._tail = b""
        self._limit = limit

    def feed(self, chunk: bytes) -> list[bytes]:
        """The frames that ``chunk`` completes. Raises FrameTooLarge."""
        data = self._tail + chunk if self._tail else chunk
        # A final CR may be half of a CRLF: wait for the next byte before deciding.
        frames: list[bytes] = []
        start = 0
        if b"\r" not in data:
            end = data.find(b"\n\n")
            while end >= 0:
                frames.append(data[start : end + 2])
                start = end + 2
                end = data.find(b"\n\n", start)
        else:
            for match in _BOUNDARY.finditer(data):
                end = match.end()
                if end == len(data) and data.endswith(b"\r"):
                    break
                frames.append(data[start:end])
                start = end
        self._tail = data[start:]
        if len(self._tail) > self._limit:
            raise FrameTooLarge(f"an event of more than {self._limit} bytes")
        return frames

    def rest(self) -> bytes:
        """What the stream ended with after the last complete frame."""
        tail, self._tail = self._tail, b""
        return tail


def parse_frame(frame: bytes) -> tuple[str | None, bytes | None]:
    """(event name, data) of one frame; data lines are joined by LF; (None, None) for a comment or an empty frame."""
    if frame.startswith(b"data: ") and frame.find(b"\n") == len(frame) - 2 and b"\r" not in frame:
        return None, frame[6:-2]
    event: str | None = None
    data: list[bytes] = []
    for line in _LINE.split(frame.removeprefix(_BOM)):
        name, _, value = line.partition(b":")
        value = value[1:] if value.startswith(b" ") else value
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    return event, (b"\n".join(data) if data else None)


class EventSplitter:
    """A byte stream as (event name, data) pairs, one for each SSE frame that carries data. ``limit`` as of
    ``FrameSplitter``."""

    def __init__(self, limit: int = 64 * 1024 * 1024) -> None:
        self._frames = FrameSplitter(limit)

    def feed(self, chunk: bytes) -> list[tuple[str | None, bytes]]:
        """The events that ``chunk`` completes. Raises FrameTooLarge."""
        return _parsed(self._frames.feed(chunk))

    def rest(self) -> list[tuple[str | None, bytes]]:
        """The event that the stream ended with, where its blank line is missing."""
        rest = self._frames.rest()
        return _parsed([rest + b"\n\n"]) if rest.strip() else []


def _parsed(frames: list[bytes]) -> list[tuple[str | None, bytes]]:
    events: list[tuple[str | None, bytes]] = []
    for each in frames:
        event, data = parse_frame(each)
        if data is not None:
            events.append((event, data))
    return events


def frame(event: str | None, payload: Any) -> bytes:
    """One frame: an optional ``event:`` line and the payload as compact JSON. A lone surrogate, which UTF-8 cannot
    hold, comes out as JSON's own escape for it."""
    text = f"data: {_dumps(payload)}\n\n"
    return (f"event: {event}\n{text}" if event else text).encode("utf-8", "backslashreplace")


def json_bytes(value: Any) -> bytes:
    """``value`` as compact JSON in UTF-8. A lone surrogate, which UTF-8 cannot hold, comes out as JSON's own escape."""
    return _dumps(value).encode("utf-8", "backslashreplace")


def comment(text: str) -> bytes:
    """A comment frame, which every client ignores: a sign of life."""
    return f": {text}\n\n".encode()

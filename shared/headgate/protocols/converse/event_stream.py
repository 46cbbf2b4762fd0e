"""AWS's binary event stream (``application/vnd.amazon.eventstream``), decoded piece by piece.

A message is a prelude (total length, length of the headers, CRC-32 of these eight bytes), headers, a payload, and the
CRC-32 of all before it; numbers are big-endian. A header is a length byte, a name, a type byte and a value.
"""

from __future__ import annotations

import json
from binascii import crc32
from struct import Struct
from struct import error as StructError

from headgate.protocols.sse import FrameTooLarge

# The whole prelude: total length, headers' length, their checksum.
_PRELUDE = Struct(">III")
_CHECKSUM = Struct(">I")
_LENGTH = Struct(">H")
_OVERHEAD = _PRELUDE.size + _CHECKSUM.size
_HEADERS_LIMIT = 128 * 1024

# Sizes of the header values whose type fixes it: booleans, integers, a timestamp, a UUID.
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_SIZED = (6, 7)
_STRING = 7


class Damaged(ValueError):
    """The bytes are no event stream, or have changed on the way."""


class EventStreamSplitter:
    """Cuts a byte stream into whole messages, wherever the network split it.

    ``feed`` gives (event type, payload) pairs; an exception's type and an error's code stand in the place of the event
    type, with the message of an error made into a JSON payload like an exception's. Damage is raised only after the
    messages before it have been handed out. ``limit`` bounds one message, in bytes (the vendor's own is 16 MB).
    """

    def __init__(self, limit: int = 24 * 1024 * 1024) -> None:
        self._tail = bytearray()
        self._needed = _PRELUDE.size
        self._limit = limit
        self._damage: ValueError | None = None

    def feed(self, chunk: bytes) -> list[tuple[str | None, bytes]]:
        """The events that ``chunk`` completes. Raises Damaged and FrameTooLarge."""
        if self._damage is not None:
            raise self._damage
        self._tail += chunk
        if len(self._tail) < self._needed:
            return []
        data = bytes(self._tail)
        self._needed = _PRELUDE.size
        events: list[tuple[str | None, bytes]] = []
        start = 0
        try:
            while len(data) - start >= _PRELUDE.size:
                total = self._total(data, start)
                if len(data) - start < total:
                    self._needed = total
                    break
                events.append(_message(data[start : start + total]))
                start += total
        except ValueError as damage:
            if not events:
                raise
            self._damage = damage
        del self._tail[:start]
        return events

    def rest(self) -> list[tuple[str | None, bytes]]:
        """Nothing: an unfinished message is worth nothing. Raises what ``feed`` held back."""
        self._tail.clear()
        if self._damage is not None:
            raise self._damage
        return []

    def _total(self, data: bytes, start: int) -> int:
        total, headers, checksum = _PRELUDE.unpack_from(data, start)
        if crc32(data[start : start + 8]) != checksum:
            raise Damaged("the checksum of a prelude does not match")
        if total > self._limit:
            raise FrameTooLarge(f"an event of more than {self._limit} bytes")
        if headers > min(total - _OVERHEAD, _HEADERS_LIMIT):
            raise Damaged("the headers of an event are longer than the event")
        return total


def _message(raw: bytes) -> tuple[str | None, bytes]:
    if crc32(raw[:-4]) != _CHECKSUM.unpack_from(raw, len(raw) - 4)[0]:
        raise Damaged("the checksum of an event does not match")
    end = _PRELUDE.size + _PRELUDE.unpack_from(raw)[1]
    headers, payload = _headers(raw[_PRELUDE.size : end]), raw[end:-4]
    match headers.get(":message-type", "event"):
        case "exception":
            return headers.get(":exception-type") or "exception", payload
        case "error":
            return headers.get(":error-code") or "error", _error_payload(headers.get(":error-message", ""))
        case _:
            return headers.get(":event-type"), payload


def _headers(raw: bytes) -> dict[str, str]:
    """The headers that are strings; those of other types are passed over."""
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(raw):
            name_end = at + 1 + raw[at]
            name, kind = raw[at + 1 : name_end].decode(), raw[name_end]
            at = name_end + 1
            if kind in _SIZED:
                size = _LENGTH.unpack_from(raw, at)[0]
                at += 2
            else:
                size = _FIXED[kind]
            if at + size > len(raw):
                raise Damaged("a header is longer than all headers")
            if kind == _STRING:
                found[name] = raw[at : at + size].decode()
            at += size
    except (IndexError, KeyError, StructError, UnicodeDecodeError):
        raise Damaged("the headers of an event cannot be read") from None
    return found


def _error_payload(message: str) -> bytes:
    return json.dumps({"message": message}).encode()

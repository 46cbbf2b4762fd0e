"""The binary event stream, against botocore's own decoder and a second encoder."""

from __future__ import annotations

import struct
import zlib

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from dev.simulated_providers.converse_wire import event, exception, message
from headgate.protocols.converse.event_stream import Damaged, EventStreamSplitter
from headgate.protocols.sse import FrameTooLarge

STREAM = [
    ("messageStart", b'{"role":"assistant"}'),
    ("contentBlockDelta", '{"delta":{"text":"h\u2028é\\n"}}'.encode()),
    ("metadata", b""),
]


def written(pairs: list[tuple[str, bytes]]) -> bytes:
    return b"".join(message({":event-type": kind, ":message-type": "event"}, data) for kind, data in pairs)


def test_a_stream_gives_the_same_wherever_it_is_split():
    raw = written(STREAM)
    for at in range(len(raw) + 1):
        splitter = EventStreamSplitter()
        assert splitter.feed(raw[:at]) + splitter.feed(raw[at:]) + splitter.rest() == STREAM
    splitter = EventStreamSplitter()
    assert [pair for byte in raw for pair in splitter.feed(bytes([byte]))] == STREAM


@given(st.lists(st.tuples(st.text("abcXYZ-", min_size=1, max_size=20), st.binary(max_size=300)), max_size=5))
def test_botocore_reads_what_we_read(pairs):
    raw = written(pairs)
    theirs = EventStreamBuffer()
    theirs.add_data(raw)
    seen = [(each.headers[":event-type"], each.payload) for each in theirs]
    assert EventStreamSplitter().feed(raw) == seen == pairs


def test_headers_of_every_type_are_passed_over():
    values = {
        0: b"",
        1: b"",
        2: b"\x01",
        3: b"\0\x02",
        4: b"\0\0\0\x03",
        5: b"\0" * 8,
        6: b"\0\x02hi",
        8: b"\0" * 8,
        9: b"\0" * 16,
    }
    headers = b"".join(bytes([2, 120, 48 + kind, kind]) + value for kind, value in values.items())
    headers += bytes([11]) + b":event-type\x07\0\x04last"
    body = struct.pack(">II", 16 + len(headers), len(headers))
    body += struct.pack(">I", zlib.crc32(body)) + headers
    raw = body + struct.pack(">I", zlib.crc32(body))
    theirs = EventStreamBuffer()
    theirs.add_data(raw)
    assert next(theirs).headers[":event-type"] == "last"
    assert EventStreamSplitter().feed(raw) == [("last", b"")]


def test_exceptions_and_errors_stand_in_the_place_of_events():
    raw = exception("throttlingException", {"message": "slow down"})
    raw += message({":message-type": "error", ":error-code": "InternalError", ":error-message": "bad"}, b"")
    assert EventStreamSplitter().feed(raw) == [
        ("throttlingException", b'{"message":"slow down"}'),
        ("InternalError", b'{"message": "bad"}'),
    ]


@pytest.mark.parametrize("at", [0, 5, 9, 13, 40, -10, -1])
def test_damage_is_noticed_after_what_was_whole(at):
    good, bad = written(STREAM[:1]), bytearray(event("contentBlockStop", {"contentBlockIndex": 0}))
    bad[at] ^= 0x10
    splitter = EventStreamSplitter()
    try:
        assert splitter.feed(good + bytes(bad)) == STREAM[:1]
        with pytest.raises(ValueError):
            splitter.rest()
    except FrameTooLarge:
        pytest.fail("the checksum is looked at before the length")


def test_damage_alone_is_raised_at_once():
    with pytest.raises(Damaged):
        EventStreamSplitter().feed(b"<html>Bad Gateway</html>")


def test_a_message_without_end_is_not_collected():
    prelude = struct.pack(">II", 5000, 0)
    with pytest.raises(FrameTooLarge):
        EventStreamSplitter(limit=4999).feed(prelude + struct.pack(">I", zlib.crc32(prelude)))


@given(st.binary(max_size=200))
def test_junk_never_hangs_and_raises_nothing_else(junk):
    splitter = EventStreamSplitter()
    try:
        splitter.feed(junk)
        splitter.rest()
    except ValueError:
        return
    assert len(junk) < 12


def test_an_unfinished_message_is_dropped():
    splitter = EventStreamSplitter()
    assert splitter.feed(written(STREAM)[:-1]) == STREAM[:-1]
    assert splitter.rest() == []

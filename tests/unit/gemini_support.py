"""What the tests of the Gemini protocol share."""

import json
from pathlib import Path

from headgate.conversation import Message, Request, Text
from headgate.protocols.contract import Target
from headgate.protocols.gemini import GEMINI_3_QUIRKS
from headgate.protocols.gemini.upstream_stream import StreamReader

FIXTURES = Path(__file__).parents[1] / "fixtures" / "gemini"
FLASH_3 = Target(
    "vertex",
    "gemini-3-flash-preview",
    efforts=("minimal", "low", "medium", "high"),
    thinking="level",
    quirks=GEMINI_3_QUIRKS | {"no_penalties"},
)
FLASH_25 = Target("vertex", "gemini-2.5-flash", thinking="budget", quirks=frozenset({"no_penalties"}))
FLASH_20 = Target("vertex", "gemini-2.0-flash", thinking="none", quirks=frozenset({"openapi_schema"}))


def asked(*items, **fields):
    """A request; a string is something the user says."""
    said = tuple(Message("user", (Text(item),)) if isinstance(item, str) else item for item in items)
    return Request("auto", said or (Message("user", (Text("Hello"),)),), **fields)


def fixture(case):
    """The data of the events of a recorded shape."""
    return (FIXTURES / case / "events.txt").read_bytes().splitlines()


def frames(case):
    """The same as the vendor sends it: CRLF, one frame an event."""
    return [b"data: " + data + b"\r\n\r\n" for data in fixture(case)]


def read(lines, target=FLASH_3, names=None, **options):
    """All events of an answer."""
    reader = StreamReader(target, names, **options)
    return [event for line in lines for event in reader.read(None, line)] + reader.end()


def chunk(parts, reason=None, **more):
    """One event of an answer."""
    candidate = {"content": {"parts": parts, "role": "model"}, "index": 0, **more}
    if reason:
        candidate["finishReason"] = reason
    return json.dumps({"candidates": [candidate], "responseId": "r", "modelVersion": "m"}).encode()

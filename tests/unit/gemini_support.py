"""What the tests of the Gemini protocol share."""

import base64
import json
from pathlib import Path

import pytest

from headgate.conversation import (
    FunctionTool,
    Message,
    Request,
    Sealed,
    Text,
    ToolCall,
    ToolResult,
)
from headgate.errors import GatewayError
from headgate.protocols.contract import Target
from headgate.protocols.gemini import GEMINI_3_QUIRKS
from headgate.protocols.gemini.upstream_request import write_request
from headgate.protocols.gemini.upstream_stream import StreamReader

WAV = base64.b64encode(b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 16).decode()
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = FunctionTool("get_weather", "The weather.", CITY)
PRO_25 = Target("vertex", "gemini-2.5-pro", thinking="budget")
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


def user(*parts):
    """What the user says; strings are texts."""
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def said(text):
    """What the model said."""
    return Message("assistant", (Text(text),))


def call(call_id, name="get_weather", arguments='{"city":"Paris"}', **more):
    """A call of the weather."""
    return ToolCall(call_id, name, arguments, **more)


def result(call_id, *parts, **more):
    """What a tool answered."""
    return ToolResult(call_id, tuple(Text(part) if isinstance(part, str) else part for part in parts), **more)


def body(request, target=FLASH_3):
    """The body for ``request``."""
    return write_request(request, target)[0]


def losses(request, target=FLASH_3):
    """(path, code) of what was lost."""
    return {(loss.path, loss.code) for loss in write_request(request, target)[1]}


def contents(*items, target=FLASH_3):
    """The contents for a history."""
    return body(asked(*items), target)["contents"]


def refused(*items, target=FLASH_3, **fields):
    """The error with which ``items`` are refused."""
    with pytest.raises(GatewayError) as caught:
        write_request(asked(*items, **fields), target)
    assert caught.value.status == 400
    return caught.value


def made(data, kind="signature", target=FLASH_3):
    """A seal of the target."""
    return Sealed("gemini", data, target.provider, target.model, kind)

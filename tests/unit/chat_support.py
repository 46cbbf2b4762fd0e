"""What the Chat Completions tests share: targets, replies, fixtures, the SDK as the judge of what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from openai._models import validate_type
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from headgate.events import Event
from headgate.protocols.chat_completions.upstream_stream import StreamReader
from headgate.protocols.contract import Reply, Target
from headgate.protocols.names import NameMap
from headgate.protocols.sealing import sealer, unsealer
from headgate.protocols.sse import FrameSplitter, parse_frame

FIXTURES = Path(__file__).parents[1] / "fixtures" / "chat_completions"
SECRET = b"0" * 32
OWNER = "key-1"
TARGET = Target(provider="openai", model="gpt-5.4")

# Busy machines are slow machines: how long an example takes says nothing here.
patient = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

seal = sealer(SECRET, OWNER)
unseal = unsealer(SECRET, OWNER, "chat_completions")


def target(*quirks: str, **changes: Any) -> Target:
    values: dict[str, Any] = {"provider": "openai", "model": "gpt-5.4", "quirks": frozenset(quirks), **changes}
    return Target(**values)


def reply(body: dict[str, Any] | None = None, **changes: Any) -> Reply:
    """A reply priced at a micro-dollar for each token."""
    values: dict[str, Any] = {
        "id": "chatcmpl-ours",
        "created_at": 1763640000,
        "model": "openai/gpt-5.4",
        "body": body or {},
        "price": lambda usage: usage.total * 1_000_000,
        "seal": seal,
        "completed_at": lambda: 1763640001,
        **changes,
    }
    return Reply(**values)


WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


def fixture(case: str) -> list[bytes]:
    """The data of each frame of a recorded stream."""
    return (FIXTURES / case / "events.txt").read_bytes().splitlines()


def frames(case: str) -> list[bytes]:
    return [b"data: " + line + b"\n\n" for line in fixture(case)]


def read(lines: list[bytes], to: Target = TARGET, names: NameMap | None = None) -> list[Event]:
    reader = StreamReader(to, names)
    events: list[Event] = []
    for line in lines:
        events += reader.read(None, line)
    return events + reader.end()


def chunks_of(stream: bytes) -> list[Any]:
    """The payloads of a client's stream; ``[DONE]`` as that string."""
    splitter = FrameSplitter()
    found: list[Any] = []
    for frame in splitter.feed(stream):
        name, data = parse_frame(frame)
        assert name is None and data is not None
        found.append("[DONE]" if data == b"[DONE]" else json.loads(data))
    assert splitter.rest() == b""
    return found


def check_completion(body: dict[str, Any]) -> ChatCompletion:
    """The body as the SDK types see it, strictly: no missing or wrongly typed field."""
    TypeAdapter(ChatCompletion).validate_python(body, strict=True)
    return validate_type(type_=ChatCompletion, value=body)


def check_chunk(body: dict[str, Any]) -> ChatCompletionChunk:
    TypeAdapter(ChatCompletionChunk).validate_python(body, strict=True)
    return validate_type(type_=ChatCompletionChunk, value=body)

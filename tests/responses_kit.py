"""What the tests of the Responses protocol share: a reply, a target, recorded streams, and the SDK as the judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from openai._models import validate_type
from openai.types.responses import Response, ResponseStreamEvent

from headgate.events import Event
from headgate.protocols.contract import Reply, Target
from headgate.protocols.responses.upstream_stream import StreamReader
from headgate.protocols.sealing import sealer, unsealer
from headgate.usage import Price, cost

FIXTURES = Path(__file__).parent / "fixtures" / "responses"
TARGET = Target(
    "openai", "gpt-5.4", features=frozenset({"reasoning", "tools", "image", "pdf", "web_search", "sampling"})
)
PRICE = Price(input=1_250_000, output=10_000_000, cache_read=125_000)
SECRET = b"a secret of the test"

# Every key of the Open Responses object; those in NULLABLE may be null, no other may.
REQUIRED = frozenset(
    [
        "id",
        "object",
        "created_at",
        "completed_at",
        "status",
        "incomplete_details",
        "model",
        "previous_response_id",
        "instructions",
        "output",
        "error",
        "tools",
        "tool_choice",
        "truncation",
        "parallel_tool_calls",
        "text",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "top_logprobs",
        "temperature",
        "reasoning",
        "usage",
        "max_output_tokens",
        "max_tool_calls",
        "store",
        "background",
        "service_tier",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
    ]
)
NULLABLE = frozenset(
    [
        "completed_at",
        "incomplete_details",
        "previous_response_id",
        "instructions",
        "error",
        "reasoning",
        "usage",
        "max_output_tokens",
        "max_tool_calls",
        "safety_identifier",
        "prompt_cache_key",
    ]
)


def reply_for(body: dict[str, Any] | None = None, *, owner: str = "tenant-a") -> Reply:
    """A reply with fixed clocks and a real seal."""
    return Reply(
        id="resp_test",
        created_at=1_763_640_000,
        model="anthropic/claude-opus-4-6",
        body={"model": "m", "input": "hi", **(body or {})},
        price=lambda usage: cost(usage, PRICE),
        seal=sealer(SECRET, owner),
        completed_at=lambda: 1_763_640_009,
    )


def unseal_for(owner: str = "tenant-a") -> Any:
    """The opener that fits ``reply_for``."""
    return unsealer(SECRET, owner, "responses")


def recorded(case: str) -> list[dict[str, Any]]:
    """The events of one recorded stream."""
    return [json.loads(line) for line in (FIXTURES / case / "events.txt").read_text("utf-8").split("\n") if line]


def frames_of(case: str) -> list[bytes]:
    """The same as SSE frames, as OpenAI sends them."""
    return [
        f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
        for event in recorded(case)
    ]


def read_case(case: str, target: Target = TARGET) -> list[Event]:
    """The neutral events of one recorded stream, its end included."""
    reader = StreamReader(target)
    events: list[Event] = []
    for event in recorded(case):
        events += reader.read(event["type"], json.dumps(event).encode())
    return events + reader.end()


def parse_stream(raw: bytes) -> list[dict[str, Any]]:
    """The data objects of a Responses stream. Checks the framing: an ``event:`` line equal to each type, ``[DONE]``
    once at the end, and sequence numbers without a hole."""
    blocks = raw.decode().split("\n\n")
    assert blocks[-2:] == ["data: [DONE]", ""]
    events: list[dict[str, Any]] = []
    for block in blocks[:-2]:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    return events


def check_object(response: dict[str, Any]) -> None:
    """``response`` is a whole response object for the SDK and for the Open Responses schema."""
    assert response.keys() >= REQUIRED
    assert {name for name in REQUIRED if response[name] is None} <= NULLABLE
    assert response["temperature"] is not None and isinstance(response["instructions"], str | None)
    validate_type(type_=Response, value=response)


def check_event(event: dict[str, Any]) -> None:
    """``event`` is a streamed event for the SDK."""
    validate_type(type_=ResponseStreamEvent, value=event)

"""What the tests of the Messages protocol share: replies, targets, fixtures, and the vendor's SDK as the judge."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from anthropic.types import Message, RawMessageStreamEvent
from pydantic import TypeAdapter

from headgate.conversation import Item
from headgate.events import Event, Finished, Started, UsageUpdated, events_of
from headgate.protocols.contract import Reply, Target
from headgate.protocols.messages.client_stream import StreamWriter
from headgate.protocols.messages.upstream_stream import StreamReader
from headgate.protocols.sealing import sealer, unsealer
from headgate.protocols.sse import FrameSplitter, parse_frame
from headgate.usage import Price, Usage, cost

FIXTURES = Path(__file__).parents[1] / "fixtures" / "messages"
SECRET, OWNER = b"a secret for tests", "owner-1"
PRICE = Price(
    input=3_000_000, output=15_000_000, cache_read=300_000, cache_write_5m=3_750_000, cache_write_1h=6_000_000
)
TARGET = Target(provider="anthropic", model="claude-sonnet-4-5", max_output_tokens=64_000, thinking="budget")
ADAPTIVE = Target(
    provider="anthropic",
    model="claude-sonnet-5",
    max_output_tokens=128_000,
    thinking="adaptive",
    efforts=("low", "medium", "high", "xhigh", "max"),
)
RAW_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def reply(body: dict[str, Any] | None = None, **extra: Any) -> Reply:
    """A reply for owner-1 with a price."""
    return Reply(
        id="msg_ours",
        created_at=1,
        model="anthropic/claude-sonnet-4-5",
        body=body or {},
        price=lambda usage: cost(usage, PRICE),
        seal=sealer(SECRET, OWNER),
        completed_at=lambda: 2,
        input_estimate=7,
        extra=extra,
    )


unseal = unsealer(SECRET, OWNER, "messages")


def payloads(case: str) -> list[bytes]:
    """The data of a fixture's events."""
    return (FIXTURES / case / "events.txt").read_bytes().splitlines()


def frames(case: str) -> list[bytes]:
    """A fixture as the vendor sends it, with event lines."""
    return [f"event: {json.loads(data)['type']}\n".encode() + b"data: " + data + b"\n\n" for data in payloads(case)]


def read_all(data: Iterable[bytes], reader: StreamReader | None = None) -> list[Event]:
    """The events of some frames' data, with the end of the stream."""
    reader = reader or StreamReader(TARGET)
    events = [event for each in data for event in reader.read(None, each)]
    return events + reader.end()


def stream(items: tuple[Item, ...], usage: Usage | None = None, reason: Any = "stop") -> list[Event]:
    """A complete event stream for ``items``."""
    return [
        Started("up", "m", None),
        *events_of(items),
        UsageUpdated(usage or Usage(5, output_total=3)),
        Finished(reason),
    ]


def written(events: Iterable[Event], to: Reply | None = None) -> tuple[list[dict[str, Any]], StreamWriter]:
    """The payloads a client gets for ``events``, each checked: its event line names its type, the SDK knows it."""
    writer = StreamWriter(to or reply())
    raw = b"".join(writer.write(event) for event in events)
    out: list[dict[str, Any]] = []
    for frame in FrameSplitter().feed(raw):
        name, data = parse_frame(frame)
        payload = json.loads(data or b"{}")
        assert name == payload["type"]
        if name not in ("ping", "error"):
            RAW_EVENT.validate_python(payload, strict=True)
        out.append(payload)
    return out, writer


def accumulate_blocks(events: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The content blocks as a client puts them together, with the rules of the protocol checked on the way."""
    blocks: list[dict[str, Any]] = []
    open_index: int | None = None
    partial = ""
    for event in events:
        match event["type"]:
            case "content_block_start":
                assert open_index is None
                assert event["index"] == len(blocks)
                open_index, partial = event["index"], ""
                blocks.append(dict(event["content_block"]))
            case "content_block_delta":
                assert event["index"] == open_index
                block, delta = blocks[-1], event["delta"]
                match delta["type"]:
                    case "text_delta":
                        block["text"] += delta["text"]
                    case "thinking_delta":
                        block["thinking"] += delta["thinking"]
                    case "signature_delta":
                        block["signature"] += delta["signature"]
                    case "input_json_delta":
                        assert block["input"] == {}
                        partial += delta["partial_json"]
                    case "citations_delta":
                        block.setdefault("citations", []).append(delta["citation"])
            case "content_block_stop":
                assert event["index"] == open_index
                open_index = None
                if partial:
                    blocks[-1]["input"] = json.loads(partial)
                if blocks[-1]["type"] == "text":
                    assert blocks[-1]["text"] or blocks[-1].get("citations")
            case _:
                continue
    assert open_index is None
    return blocks


def check_message(body: dict[str, Any]) -> None:
    """The SDK takes ``body`` for a Message, strictly."""
    Message.model_validate(json.loads(json.dumps(body)), strict=False)
    TypeAdapter(Message).validate_json(json.dumps(body), strict=True)

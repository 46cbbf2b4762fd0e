"""What a client got of a stream: enough to tell that two servers streamed the same whole answer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bench.bodies import Protocol


@dataclass(frozen=True, slots=True)
class Streamed:
    """``events`` with data, without the ``[DONE]`` that some protocols end with; those of them that carry answer text
    (``deltas``); the ``text``; whether the protocol's last event ``ended`` it."""

    events: int
    deltas: int
    text: str
    ended: bool


def streamed(protocol: Protocol, body: bytes) -> Streamed:
    """Read a whole server-sent stream of ``protocol``. Raises ValueError for data that is not JSON."""
    events = [
        json.loads(line[5:])
        for line in body.splitlines()
        if line.startswith(b"data:") and line[5:].strip() not in (b"", b"[DONE]")
    ]
    texts = [text for event in events if (text := _text(protocol, event))]
    return Streamed(len(events), len(texts), "".join(texts), any(_ends(protocol, event) for event in events[-3:]))


def _text(protocol: Protocol, event: dict[str, Any]) -> str:
    match protocol:
        case "responses":
            return event["delta"] if event.get("type") == "response.output_text.delta" else ""
        case "chat_completions":
            choices = event.get("choices") or [{}]
            return (choices[0].get("delta") or {}).get("content") or ""
        case "messages":
            return event["delta"].get("text", "") if event.get("type") == "content_block_delta" else ""


def _ends(protocol: Protocol, event: dict[str, Any]) -> bool:
    match protocol:
        case "responses":
            return event.get("type") == "response.completed"
        case "chat_completions":
            # Behind it there may be one with the usage.
            return any(choice.get("finish_reason") for choice in event.get("choices") or [])
        case "messages":
            return event.get("type") == "message_stop"

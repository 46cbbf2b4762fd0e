"""One Message object out of the frames of a stream, every block whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from headgate.protocols.messages.usage import merge_usage
from headgate.protocols.sse import parse_frame


def accumulate(frames: Iterable[bytes]) -> dict[str, Any]:
    """The Message that ``frames`` stream, as a request without ``stream`` would have given it. Block and delta types
    that we do not know are kept as far as they came; frames that are no JSON are passed over."""
    message: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    inputs: dict[int, str] = {}
    for frame in frames:
        payload = _payload(frame)
        match payload.get("type"):
            case "message_start":
                message = {**payload["message"]}
            case "content_block_start":
                blocks[payload["index"]] = {**payload["content_block"]}
            case "content_block_delta":
                _apply(blocks.setdefault(payload["index"], {}), payload["delta"], inputs, payload["index"])
            case "message_delta":
                rest = {name: value for name, value in payload.items() if name not in ("type", "delta", "usage")}
                message |= {**rest, **payload["delta"]}
                message["usage"] = merge_usage(message.get("usage") or {}, payload.get("usage"))
            case _:
                continue
    for index, text in inputs.items():
        blocks[index]["input"] = _object(text)
    return {**message, "content": [blocks[index] for index in sorted(blocks)]} if message else {}


def _apply(block: dict[str, Any], delta: Mapping[str, Any], inputs: dict[int, str], index: int) -> None:
    match delta.get("type"):
        case "text_delta":
            block["text"] = block.get("text", "") + delta["text"]
        case "thinking_delta":
            block["thinking"] = block.get("thinking", "") + delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        case "input_json_delta":
            inputs[index] = inputs.get(index, "") + delta["partial_json"]
        case "compaction_delta":
            block["content"] = (block.get("content") or "") + (delta.get("content") or "")
        case _:
            return


def _payload(frame: bytes) -> dict[str, Any]:
    _, data = parse_frame(frame)
    try:
        payload = json.loads(data or b"{}")
    except ValueError:
        return {}
    return payload if isinstance(payload, dict) else {}


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

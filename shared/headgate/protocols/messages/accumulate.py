"""One Message object out of the frames of a stream, every block whole."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from headgate.protocols.messages.usage import merge_usage
from headgate.protocols.sse import parse_frame


def accumulate(frames: Iterable[bytes]) -> dict[str, Any]:
    """The Message that ``frames`` stream, as a request without ``stream`` would have given it; ``{}`` where none was
    begun. Block types that we do not know are kept as they started; frames of the wrong form are passed over."""
    whole = _Whole()
    for each in frames:
        _, data = parse_frame(each)
        try:
            whole.take(json.loads(data or b"{}"))
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return whole.message()


class _Whole:
    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._inputs: dict[int, str] = {}

    def take(self, payload: Mapping[str, Any]) -> None:
        match payload.get("type"):
            case "message_start":
                self._message = {**payload["message"]}
            case "content_block_start":
                self._blocks[payload["index"]] = {**payload["content_block"]}
            case "content_block_delta":
                index = payload["index"]
                _apply(self._blocks[index], payload["delta"], self._inputs, index)
            case "message_delta":
                rest = {name: value for name, value in payload.items() if name not in ("type", "delta", "usage")}
                self._message |= {**rest, **payload["delta"]}
                self._message["usage"] = merge_usage(self._message.get("usage") or {}, payload.get("usage"))
            case _:
                return

    def message(self) -> dict[str, Any]:
        if not self._message:
            return {}
        for index, text in self._inputs.items():
            self._blocks[index]["input"] = _object(text)
        return {**self._message, "content": [self._blocks[index] for index in sorted(self._blocks)]}


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


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

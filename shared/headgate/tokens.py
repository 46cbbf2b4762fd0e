"""Token estimates without a tokenizer: for context limits, for ``message_start`` and where an upstream cannot count.

The rule: one token per four bytes of ASCII letters and digits in a run (at least one a run), one per punctuation
mark, one per other character outside Latin scripts, plus fixed costs per message, tool and image. It errs upwards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from headgate.conversation import (
    CustomTool,
    FunctionTool,
    Item,
    Media,
    Message,
    OpaqueItem,
    OpaquePart,
    OpaqueTool,
    Part,
    Reasoning,
    Request,
    ToolCall,
    ToolResult,
)

PER_ITEM = 4
PER_REQUEST = 3
PER_TOOL = 8
PER_IMAGE = 1100
# Base64 of a page-sized PDF is about 60 kB; vendors bill 1,500 to 3,000 tokens a page.
BYTES_PER_FILE_TOKEN = 30

_PIECES = re.compile(r"[A-Za-z]+|[0-9]+|[^\sA-Za-z0-9]")


def estimate_text(text: str) -> int:
    """Tokens of ``text``, estimated."""
    if len(text) > 20_000:
        # Long inputs: measure a sample of the beginning, the middle and the end.
        third = 4_000
        middle = len(text) // 2
        sample = text[:third] + text[middle : middle + third] + text[-third:]
        return _count(sample) * len(text) // len(sample) + 1
    return _count(text)


def _count(text: str) -> int:
    total = 0
    for piece in _PIECES.findall(text):
        length = len(piece)
        first = piece[0]
        if first.isdigit() and first.isascii():
            total += (length + 2) // 3
        elif first.isascii():
            total += 1 if length <= 6 else (length + 3) // 4
        else:
            total += 1
    return total


def estimate_request(request: Request) -> int:
    """Input tokens of a whole request, estimated."""
    total = PER_REQUEST + sum(estimate_text(part.text) + PER_ITEM for part in request.instructions)
    total += sum(_item(item) for item in request.items)
    for tool in request.tools:
        match tool:
            case FunctionTool():
                total += PER_TOOL + estimate_text(f"{tool.name} {tool.description or ''} {_json(tool.parameters)}")
            case CustomTool():
                total += PER_TOOL + estimate_text(f"{tool.name} {tool.description or ''} {_json(tool.format)}")
            case OpaqueTool():
                total += PER_TOOL + estimate_text(_json(tool.payload))
            case _:
                total += PER_TOOL
    if request.output.format and request.output.format.schema:
        total += estimate_text(_json(request.output.format.schema))
    return total


def _item(item: Item) -> int:
    match item:
        case Message(parts=parts) | Reasoning(parts=parts) | ToolResult(parts=parts):
            return PER_ITEM + _parts(parts)
        case ToolCall():
            return PER_ITEM + estimate_text(f"{item.name} {item.arguments}")
        case OpaqueItem():
            return PER_ITEM + estimate_text(_json(item.payload))


def _parts(parts: Iterable[Part]) -> int:
    total = 0
    for part in parts:
        match part:
            case Media(kind="image"):
                total += PER_IMAGE
            case Media():
                total += len(part.data or "") // BYTES_PER_FILE_TOKEN + 1
            case OpaquePart():
                total += estimate_text(_json(part.payload))
            case _:
                total += estimate_text(part.text)
    return total


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str) if value is not None else ""

"""History as Responses input items, for an upstream that keeps no state for us."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from headgate.conversation import (
    Item,
    Media,
    Message,
    OpaqueItem,
    OpaquePart,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thought,
    ToolCall,
    ToolResult,
)
from headgate.errors import unsupported
from headgate.losses import Loss
from headgate.protocols.arguments import arguments_object, dumps
from headgate.protocols.contract import Target
from headgate.protocols.history import NO_RESULT
from headgate.protocols.names import NameMap
from headgate.protocols.responses.client_answer import search_action, write_thought
from headgate.protocols.responses.items import FOREIGN
from headgate.protocols.responses.parts import PROTOCOL, write_input_part, write_output_text

_CALL_ID_LIMIT = 64
_ALREADY_SAYS_SO = re.compile(r"\s*\W?error", re.IGNORECASE)


def write_input(items: Sequence[Item], target: Target, names: NameMap, losses: list[Loss]) -> list[dict[str, Any]]:
    """``items`` as an ``input`` array. Adds a Loss for what is left out; raises GatewayError 400 for content that has
    no form here."""
    calls = {item.call_id for item in items if isinstance(item, ToolCall)}
    answered = {item.call_id for item in items if isinstance(item, ToolResult)}
    written: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        path = f"items[{index}]"
        match item:
            case Message():
                wire = _message(item, target, path, losses)
            case Reasoning():
                wire = _reasoning(item, target, path, losses)
            case ToolCall():
                wire = _call(item, target, names, path, losses)
            case ToolResult(ran_by="provider"):
                wire = None
            case ToolResult():
                wire = _result(item, item.call_id in calls, target, path, losses)
            case OpaqueItem(protocol="responses", payload=payload):
                wire = dict(payload)
            case OpaqueItem():
                losses.append(Loss(path, "unsupported_item", "Only another protocol understands this item."))
                wire = None
        if wire is not None:
            written.append(wire)
        if isinstance(item, ToolCall) and item.ran_by == "client" and item.call_id not in answered:
            # OpenAI refuses a call without its output.
            losses.append(Loss(path, "missing_tool_result", f"call {item.call_id} has no result"))
            kind = "custom_tool_call_output" if item.kind == "custom" else "function_call_output"
            written.append({"type": kind, "call_id": call_id(item.call_id), "output": NO_RESULT})
    return written


def call_id(known: str) -> str:
    """``known``, or its hash where it is longer than the API takes: the same one for the call and its result."""
    if len(known) <= _CALL_ID_LIMIT:
        return known
    return "call_" + hashlib.sha256(known.encode("utf-8", "surrogatepass")).hexdigest()[:48]


def _message(item: Message, target: Target, path: str, losses: list[Loss]) -> dict[str, Any] | None:
    if not item.parts:
        return None
    _lose_marks(item.parts, path, losses)
    if item.role == "assistant":
        phase = item.extra.get(PROTOCOL, {}).get("phase")
        content = [_said(part, f"{path}.parts[{at}]") for at, part in enumerate(item.parts)]
        return {"type": "message", "role": "assistant", "content": content, **({"phase": phase} if phase else {})}
    role = "system" if item.role == "developer" and "system_role" in target.quirks else item.role
    return {"type": "message", "role": role, "content": _content(item.parts, target, f"{path}.parts")}


def _said(part: Part, path: str) -> dict[str, Any]:
    match part:
        case Text():
            return write_output_text(part)
        case Refusal(text=text):
            return {"type": "refusal", "refusal": text}
        case OpaquePart(protocol="responses", payload=payload):
            return dict(payload)
        case _:
            raise unsupported("An assistant message can hold only text for this model.", param=path)


def _content(parts: Sequence[Part], target: Target, path: str) -> list[dict[str, Any]]:
    for at, part in enumerate(parts):
        if isinstance(part, Media):
            _require(part, target, f"{path}[{at}]")
    return [write_input_part(part, path=f"{path}[{at}]") for at, part in enumerate(parts)]


def _require(media: Media, target: Target, path: str) -> None:
    pdf = media.kind == "file" and media.media_type in (None, "application/pdf")
    feature = "pdf" if pdf else media.kind
    if media.kind == "file" and media.data is not None and "files_by_url" in target.quirks:
        raise unsupported(f"The model '{target.model}' reads a file at an address, not one sent along.", param=path)
    if feature in ("image", "pdf", "audio") and target.lacks(feature):
        raise unsupported(f"The model '{target.model}' takes no {feature} input.", param=path)


def _reasoning(item: Reasoning, target: Target, path: str, losses: list[Loss]) -> dict[str, Any] | None:
    """Reasoning goes back to its maker or not at all: as plain text the model would take it for its own answer."""
    if item.sealed is None:
        return None
    if not target.made(item.sealed, PROTOCOL):
        losses.append(Loss(path, "foreign_signature", FOREIGN))
        return None
    own_id = {"id": item.id} if item.id and item.id.startswith("rs_") else {}
    return {
        "type": "reasoning",
        **own_id,
        "summary": [write_thought(part) for part in item.parts if part.summary],
        "encrypted_content": item.sealed.data,
    }


def _call(item: ToolCall, target: Target, names: NameMap, path: str, losses: list[Loss]) -> dict[str, Any] | None:
    if item.ran_by == "provider":
        if item.kind == "web_search" and item.id and item.id.startswith("ws_"):
            action = search_action(item.arguments)
            return {"type": "web_search_call", "id": item.id, "status": "completed", "action": action}
        losses.append(Loss(path, "unsupported_item", "Another provider ran this tool; its outcome is in the answer."))
        return None
    _lose_mark(item.extra, path, losses)
    if item.sealed is not None:
        losses.append(Loss(path, "foreign_signature", FOREIGN))
    name = names.to_wire(item.name, item.namespace)
    if item.kind == "custom" and "no_custom_tools" in target.quirks:
        names.custom.add(name)
        arguments = dumps(arguments_object(item.arguments, "custom"))
        return {"type": "function_call", "call_id": call_id(item.call_id), "name": name, "arguments": arguments}
    if item.kind == "custom":
        return {"type": "custom_tool_call", "call_id": call_id(item.call_id), "name": name, "input": item.arguments}
    return {
        "type": "function_call",
        "call_id": call_id(item.call_id),
        "name": name,
        "arguments": item.arguments or "{}",
    }


def _result(item: ToolResult, called: bool, target: Target, path: str, losses: list[Loss]) -> dict[str, Any]:
    _lose_mark(item.extra, path, losses)
    _lose_marks(item.parts, path, losses)
    parts = _flagged(item.parts) if item.is_error else item.parts
    if not called:
        # The API refuses a result without its call, so what the tool said goes on as the user's words.
        heading = {"type": "input_text", "text": f"Result of the tool call {item.call_id}:"}
        content = [heading, *_content(parts, target, f"{path}.parts")]
        return {"type": "message", "role": "user", "content": content}
    free = item.kind == "custom" and "no_custom_tools" not in target.quirks
    kind = "custom_tool_call_output" if free else "function_call_output"
    output: str | list[dict[str, Any]]
    match parts:
        case ():
            output = ""
        case (Text(text=text),):
            output = text
        case _ if "texts_only" in target.quirks:
            output = _texts(parts, target, path)
        case _:
            output = _content(parts, target, f"{path}.parts")
    return {"type": kind, "call_id": call_id(item.call_id), "output": output}


def _texts(parts: tuple[Part, ...], target: Target, path: str) -> str:
    texts = [part.text for part in parts if isinstance(part, Text)]
    if len(texts) < len(parts):
        raise unsupported(f"A tool's output can only be text for the model '{target.model}'.", param=path)
    return "\n".join(texts)


def _flagged(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """The API has no mark for a failed tool: the text has to say so."""
    match parts:
        case (Text(text=text), *rest):
            return parts if _ALREADY_SAYS_SO.match(text) else (Text(f"Error: {text}"), *rest)
        case _:
            return (Text("Error:"), *parts) if parts else (Text("Error"),)


def _lose_marks(parts: Iterable[Part], path: str, losses: list[Loss]) -> None:
    for part in parts:
        if not isinstance(part, OpaquePart | Thought):
            _lose_mark(part.extra, path, losses)


def _lose_mark(extra: Any, path: str, losses: list[Loss]) -> None:
    if any("cache_control" in bag for bag in extra.values()):
        losses.append(Loss(f"{path}.cache_control", "unsupported_parameter", "The provider caches by itself."))

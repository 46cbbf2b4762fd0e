"""A neutral conversation as the ``messages`` of a Chat Completions request.

Chat wants an assistant's text and all its calls in one message, followed at once by one ``tool`` message for each
call. So results are moved up behind their calls, in the order of the calls, whatever stood between; a result without
a call becomes something the user says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from headgate.conversation import (
    Item,
    Media,
    Message,
    OpaqueItem,
    OpaquePart,
    Reasoning,
    Refusal,
    Request,
    Text,
    ToolCall,
    ToolResult,
)
from headgate.errors import unsupported
from headgate.losses import Loss
from headgate.protocols.chat_completions import PROTOCOL
from headgate.protocols.chat_completions.content import write_parts, write_text
from headgate.protocols.chat_completions.reasoning_details import ENCRYPTED, TEXT
from headgate.protocols.chat_completions.strict_messages import bare, settle
from headgate.protocols.chat_completions.thinking_parts import thinking_part, with_thoughts
from headgate.protocols.contract import Target
from headgate.protocols.history import NO_RESULT
from headgate.protocols.names import NameMap

_ID_LIMIT = 40
_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def write_messages(request: Request, target: Target, names: NameMap) -> tuple[list[dict[str, Any]], list[Loss]]:
    """The messages for ``request`` and what could not be said. Raises ``unsupported`` for content."""
    writer = _History(target, names, request.items)
    instructions = "\n\n".join(part.text for part in request.instructions if part.text)
    if instructions:
        writer.messages.append({"role": writer.system("developer"), "content": instructions})
    for index, item in enumerate(request.items):
        writer.add(index, item)
    writer.close()
    if target.quirks.isdisjoint({"strict_messages", "bare_messages"}):
        return writer.messages, writer.losses
    messages, lost = (settle if "strict_messages" in target.quirks else bare)(writer.messages)
    return messages, writer.losses + lost


def wire_call_id(call_id: str, target: Target) -> str:
    """The id as the upstream takes it. OpenAI allows 40 characters here; Mistral exactly nine letters and digits."""
    if "call_ids_9" in target.quirks:
        if len(call_id) == 9 and call_id.isalnum() and call_id.isascii():
            return call_id
        number = int.from_bytes(hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).digest()[:8])
        digits: list[str] = []
        for _ in range(9):
            number, digit = divmod(number, len(_ALPHABET))
            digits.append(_ALPHABET[digit])
        return "".join(digits)
    if 0 < len(call_id) <= _ID_LIMIT:
        return call_id
    return "call_" + hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _match_results(items: Sequence[Item]) -> tuple[dict[int, int], set[int]]:
    """(call's index → its result's index, indices of all matched results). An id used twice means the latest call
    that has no result yet."""
    waiting: dict[str, list[int]] = {}
    matched: dict[int, int] = {}
    for index, item in enumerate(items):
        if isinstance(item, ToolCall) and item.ran_by == "client":
            waiting.setdefault(item.call_id, []).append(index)
        elif isinstance(item, ToolResult) and waiting.get(item.call_id):
            matched[waiting[item.call_id].pop()] = index
    return matched, set(matched.values())


class _History:
    """Walks the items once; ``_open`` is the assistant message that still takes text and calls."""

    def __init__(self, target: Target, names: NameMap, items: Sequence[Item]) -> None:
        self.messages: list[dict[str, Any]] = []
        self.losses: list[Loss] = []
        self._target = target
        self._names = names
        self._items = items
        self._results, self._matched = _match_results(items)
        self._open: dict[str, Any] | None = None
        self._calls: list[int] = []
        self._thoughts: list[dict[str, Any]] = []

    def system(self, role: str) -> str:
        return "system" if "system_role" in self._target.quirks else role

    def add(self, index: int, item: Item) -> None:
        match item:
            case Message(role="assistant"):
                self._assistant_text(index, item)
            case Message():
                self.close()
                self._said(index, item)
            case Reasoning():
                self._reasoning(index, item)
            case ToolCall():
                self._call(index, item)
            case ToolResult():
                if item.ran_by == "client":
                    self.close()
                    if index not in self._matched:
                        self._orphan(index, item)
            case OpaqueItem():
                self._opaque(index, item)

    def close(self) -> None:
        """End the assistant's turn: its message, then the results of its calls."""
        message, self._open = self._open, None
        calls, self._calls = self._calls, []
        thoughts, self._thoughts = self._thoughts, []
        if message is None:
            return
        if "content" not in message and "tool_calls" not in message and "refusal" not in message:
            if "audio" not in message:
                return
        message["content"] = with_thoughts(thoughts, message.get("content"))
        self.messages.append(message)
        media: list[dict[str, Any]] = []
        for index in calls:
            if index in self._results:
                media += self._result(index, self._results[index])
            else:
                self._no_result(index)
        if media:
            self.messages.append({"role": "user", "content": media})

    def _assistant(self) -> dict[str, Any]:
        if self._open is None:
            self._open = {"role": "assistant"}
        return self._open

    def _assistant_text(self, index: int, item: Message) -> None:
        if self._open is not None and "content" in self._open and not self._calls:
            self.close()
        message = self._assistant()
        texts: list[str] = []
        for part in item.parts:
            match part:
                case Text(text=text):
                    texts.append(text)
                case Refusal(text=text):
                    if "no_refusal" in self._target.quirks:
                        texts.append(text)
                    else:
                        message["refusal"] = message.get("refusal", "") + text
                case Media():
                    raise unsupported("An assistant message cannot hold media here.", param=f"input[{index}]")
                case OpaquePart(protocol=protocol, payload=payload):
                    if protocol != PROTOCOL:
                        kind = payload.get("type")
                        text = f"Content of type '{kind}' cannot be sent to {self._target.model}."
                        raise unsupported(text, param=f"input[{index}]")
                    if payload.get("audio"):
                        message["audio"] = {"id": payload["audio"].get("id")}
                case _:
                    continue
        text = "".join(texts)
        if text:
            message["content"] = message.get("content", "") + text
        message.update({key: value for key, value in item.extra.get(PROTOCOL, {}).items() if key != "cache_control"})

    def _said(self, index: int, item: Message) -> None:
        extra = {key: value for key, value in item.extra.get(PROTOCOL, {}).items() if key != "cache_control"}
        path = f"input[{index}]"
        if item.role == "user":
            parts = write_parts(item.parts, self._target, path)
            if parts:
                self.messages.append({"role": "user", "content": _simple(parts), **extra})
            return
        texts = [part for part in item.parts if isinstance(part, Text) and part.text]
        if any(not isinstance(part, Text) for part in item.parts):
            raise unsupported(f"A {item.role} message may hold text only.", param=path)
        if texts:
            content = _simple(write_parts(texts, self._target, path))
            self.messages.append({"role": self.system(item.role), "content": content, **extra})

    def _reasoning(self, index: int, item: Reasoning) -> None:
        message = self._assistant()
        thoughts = "".join(part.text for part in item.parts)
        if thoughts and "reasoning_content" in self._target.quirks:
            message["reasoning_content"] = message.get("reasoning_content", "") + thoughts
        elif thoughts and "reasoning_text" in self._target.quirks:
            message["reasoning"] = message.get("reasoning", "") + thoughts
        sealed = item.sealed
        if "thinking_parts" in self._target.quirks:
            own = sealed is not None and self._target.made(sealed, PROTOCOL)
            if thoughts:
                self._thoughts.append(thinking_part(thoughts, sealed.data if sealed and own else None))
            if sealed is None or own:
                return
        if sealed is None:
            return
        if not self._target.made(sealed, PROTOCOL):
            detail = f"The reasoning was made by {sealed.provider or sealed.protocol} and means nothing elsewhere."
            self.losses.append(Loss(f"input[{index}]", "foreign_signature", detail))
            return
        details: list[dict[str, Any]] = message.setdefault("reasoning_details", [])
        if sealed.kind == "signature":
            details.append({"type": TEXT, "text": thoughts, "signature": sealed.data, "index": len(details)})
        else:
            details.append({"type": ENCRYPTED, "data": sealed.data, "index": len(details)})

    def _call(self, index: int, item: ToolCall) -> None:
        if item.ran_by == "provider":
            detail = f"The provider's own call of '{item.name}' has no form here; what came of it is in the text."
            self.losses.append(Loss(f"input[{index}]", "unsupported_item", detail))
            return
        name = self._names.to_wire(item.name, item.namespace)
        call: dict[str, Any] = {"id": wire_call_id(item.call_id, self._target)}
        if item.kind != "custom":
            call.update(type="function", function={"name": name, "arguments": item.arguments})
        elif "no_custom_tools" in self._target.quirks:
            arguments = custom_arguments(item.arguments)
            self._names.custom.add(name)
            call.update(type="function", function={"name": name, "arguments": arguments})
        else:
            call.update(type="custom", custom={"name": name, "input": item.arguments})
        if item.sealed is not None:
            if self._target.made(item.sealed, PROTOCOL):
                call["extra_content"] = {"google": {"thought_signature": item.sealed.data}}
            else:
                self.losses.append(
                    Loss(f"input[{index}]", "foreign_signature", "A thought signature of another model.")
                )
        self._assistant().setdefault("tool_calls", []).append(call)
        self._calls.append(index)

    def _result(self, call_index: int, index: int) -> list[dict[str, Any]]:
        """Append the ``tool`` message of one call; gives the media that must follow all ``tool`` messages."""
        call, item = self._items[call_index], self._items[index]
        assert isinstance(call, ToolCall) and isinstance(item, ToolResult)
        call_id = wire_call_id(call.call_id, self._target)
        text = _result_text(item)
        media = write_parts(item.parts, self._target, f"input[{index}]", text=False)
        if media and not text:
            text = "(The result follows as a file in the next message.)"
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
        if not media:
            return []
        # Tool messages take text only.
        about = {"type": "text", "text": f"Files from the result of tool call {call_id} ({call.name}):"}
        return [about, *media]

    def _no_result(self, index: int) -> None:
        """Append what stands for the result that the history lacks: a call without one is refused."""
        call = self._items[index]
        assert isinstance(call, ToolCall)
        self.losses.append(Loss(f"input[{index}]", "missing_tool_result", f"call {call.call_id} has no result"))
        call_id = wire_call_id(call.call_id, self._target)
        self.messages.append({"role": "tool", "tool_call_id": call_id, "content": NO_RESULT})

    def _orphan(self, index: int, item: ToolResult) -> None:
        text = f"Result of tool call {item.call_id}: {_result_text(item)}".rstrip()
        media = write_parts(item.parts, self._target, f"input[{index}]", text=False)
        parts = [{"type": "text", "text": text}, *media]
        self.losses.append(Loss(f"input[{index}]", "orphan_tool_result", "A result whose call is not in the history."))
        self.messages.append({"role": "user", "content": _simple(parts)})

    def _opaque(self, index: int, item: OpaqueItem) -> None:
        if item.protocol == PROTOCOL:
            self.close()
            self.messages.append(dict(item.payload))
            return
        kind = str(item.payload.get("type"))
        if item.payload.get("role") in ("user", "assistant", "system", "developer"):
            raise unsupported(
                f"An item of type '{kind}' cannot be sent to {self._target.model}.", param=f"input[{index}]"
            )
        self.losses.append(Loss(f"input[{index}]", "unsupported_item", f"An item of type '{kind}' was left out."))


def custom_arguments(text: str) -> str:
    """The arguments of a free-text call where it must go as a function with one string."""
    return json.dumps({"input": text}, ensure_ascii=False)


def _result_text(item: ToolResult) -> str:
    text = write_text(item.parts)
    if item.is_error and not text.lower().startswith("error"):
        return f"Error: {text}" if text else "Error"
    return text


def _simple(parts: Sequence[Mapping[str, Any]]) -> Any:
    """A single plain text as a string: not every compatible server takes arrays."""
    if len(parts) == 1 and set(parts[0]) == {"type", "text"} and parts[0]["type"] == "text":
        return parts[0]["text"]
    return list(parts)

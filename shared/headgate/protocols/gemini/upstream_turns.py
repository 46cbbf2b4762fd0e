"""A neutral history as Gemini's alternating ``contents``.

The vendor wants strict order where clients send anything, so the history is repaired by these rules:

* Text of system or developer messages after the start becomes text of a user turn, wrapped in ``<system>`` tags.
* All calls of an answer are parts of one model turn; the responses are parts of the user turn that follows at once, as
  many and in the same order, before anything else that the user says. A call that never got a result gets one that
  says so, a result without its call becomes text.
* Turns of one side in a row become one. A history that begins with the model, or has no turn at all, gets a user turn
  ``(continued)`` before it: calls may only follow a user turn.
* A thought signature goes back on the part that it came with: on the call, on the text (``Sealed.kind`` "encrypted"),
  or on the thought. One without any text before a call goes on the call: a frontend that cannot sign calls may carry it
  so. Where the target insists on signatures and the first call of a turn has none that it can read, the
  vendor's documented skip value stands for it. Thoughts without a signature are left out: the vendor ignores them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
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
    ToolCall,
    ToolResult,
)
from headgate.errors import unsupported
from headgate.losses import Loss
from headgate.protocols.arguments import arguments_object
from headgate.protocols.contract import Target
from headgate.protocols.gemini import PROTOCOL
from headgate.protocols.gemini.arguments import function_name
from headgate.protocols.gemini.media import media_part
from headgate.protocols.names import NameMap

Block = dict[str, Any]

PLACEHOLDER = "(continued)"
NO_RESULT = "No result was recorded for this call."
SKIP_SIGNATURE = "skip_thought_signature_validator"
# Items of other protocols whose loss would silently take the conversation with them.
_ESSENTIAL = ("compaction", "compaction_summary", "context_compaction")


class TurnWriter:
    """Builds the contents for one request; ``turns`` and ``losses`` are the outcome. ``first`` is the place of the
    first item in the request."""

    def __init__(self, items: Sequence[Item], target: Target, names: NameMap, first: int = 0) -> None:
        self.turns: list[Block] = []
        self.losses: list[Loss] = []
        self._target = target
        self._names = names
        self._pending: list[ToolCall] = []
        self._results: dict[str, deque[tuple[str, ToolResult]]] = {}
        self._used: set[int] = set()
        # A signature whose part is still to come, as that part would be if it never came.
        self._loose: Block | None = None
        self._to_come = Counter(
            item.call_id for item in items if isinstance(item, ToolCall) and item.ran_by == "client"
        )
        for index, item in enumerate(items, first):
            if isinstance(item, ToolResult) and item.ran_by == "client" and item.call_id in self._to_come:
                self._results.setdefault(item.call_id, deque()).append((f"input[{index}]", item))
        for index, item in enumerate(items, first):
            self._item(item, f"input[{index}]")
        self._answer_calls()
        self._flush_seal()
        if not self.turns or self.turns[0]["role"] == "model":
            self.turns.insert(0, {"role": "user", "parts": [{"text": PLACEHOLDER}]})
        if "thought_signatures" in target.quirks:
            _sign(self.turns)

    def _item(self, item: Item, path: str) -> None:
        match item:
            case Message(role="assistant"):
                for part in self._assistant_parts(item, path):
                    self._say_text(part)
            case Message(role="user"):
                self._answer_calls()
                self._say("user", self._parts(item.parts, path))
            case Message():
                self._answer_calls()
                self._say("user", self._system_text(item, path))
            case Reasoning():
                self._reasoning(item, path)
            case ToolCall(ran_by="client"):
                self._call(item, path)
            case ToolCall():
                detail = f"a {item.name} call that a provider ran was left out"
                self.losses.append(Loss(path, "provider_tool_call", detail))
            case ToolResult(ran_by="client"):
                self._result(item, path)
            case ToolResult():
                return
            case OpaqueItem():
                self._opaque(item, path)

    def _assistant_parts(self, item: Message, path: str) -> list[Block]:
        parts: list[Block] = []
        for index, part in enumerate(item.parts):
            at = f"{path}.content[{index}]"
            match part:
                case Text(text=text) | Refusal(text=text):
                    if text:
                        parts.append({"text": text})
                    if isinstance(part, Text) and part.citations:
                        self.losses.append(Loss(f"{at}.annotations", "citations_dropped", "not replayed upstream"))
                case Media(kind=kind):
                    raise unsupported(f"{self._target.model} takes no {kind} in assistant turns", param=at)
                case OpaquePart():
                    parts.append(self._opaque_part(part, at))
                case _:
                    continue
        return parts

    def _parts(self, parts: Sequence[Part], path: str, *, text: bool = True) -> list[Block]:
        blocks: list[Block] = []
        for index, part in enumerate(parts):
            at = f"{path}.content[{index}]"
            match part:
                case Text(text=said) | Refusal(text=said):
                    if said and text:
                        blocks.append({"text": said})
                case Media():
                    blocks.append(media_part(part, self._target, at, self.losses))
                case OpaquePart():
                    blocks.append(self._opaque_part(part, at))
                case _:
                    continue
        return blocks

    def _system_text(self, item: Message, path: str) -> list[Block]:
        if not all(isinstance(part, Text) for part in item.parts):
            raise unsupported("System messages hold only text", param=path)
        texts = [part.text for part in item.parts if isinstance(part, Text) and part.text.strip()]
        return [{"text": f"<system>\n{text}\n</system>"} for text in texts]

    def _opaque_part(self, part: OpaquePart, path: str) -> Block:
        if part.protocol == PROTOCOL:
            return dict(part.payload)
        kind = part.payload.get("type", "unknown")
        raise unsupported(f"{self._target.model} does not take content of type {kind!r}", param=path)

    def _say_text(self, part: Block) -> None:
        if self._loose is not None and "thought" in self._loose:
            self._flush_seal()
        self._say("model", [part])
        if self._loose is not None and "text" in part:
            part["thoughtSignature"], self._loose = self._loose["thoughtSignature"], None

    def _reasoning(self, item: Reasoning, path: str) -> None:
        sealed = item.sealed
        if sealed is None:
            return
        if not self._target.made(sealed, PROTOCOL):
            detail = f"reasoning of {sealed.provider or sealed.protocol} cannot be replayed to {self._target.model}"
            self.losses.append(Loss(path, "foreign_signature", detail))
        elif sealed.kind == "encrypted":
            self._flush_seal()
            last = self._last_model_part()
            if last is not None and "text" in last and not last.get("thought") and "thoughtSignature" not in last:
                last["thoughtSignature"] = sealed.data
            else:
                # Chat clients give an answer's reasoning back before its text.
                self._loose = {"text": "", "thoughtSignature": sealed.data}
        else:
            self._flush_seal()
            text = "\n\n".join(part.text for part in item.parts)
            signed = {"text": text, "thought": True, "thoughtSignature": sealed.data}
            if text:
                self._say("model", [signed])
            else:
                self._loose = signed

    def _last_model_part(self) -> Block | None:
        return self.turns[-1]["parts"][-1] if self.turns and self.turns[-1]["role"] == "model" else None

    def _flush_seal(self) -> None:
        """Send a signature whose part never came on one of its own, as the vendor itself does."""
        if self._loose is not None:
            part, self._loose = self._loose, None
            self._say("model", [part])

    def _call(self, item: ToolCall, path: str) -> None:
        self._to_come[item.call_id] -= 1
        call: Block = {} if "no_call_ids" in self._target.quirks else {"id": item.call_id}
        call["name"] = function_name(self._names, item.name, item.namespace)
        call["args"] = arguments_object(item.arguments, item.kind)
        part: Block = {"functionCall": call}
        if item.kind == "custom":
            self._names.custom.add(self._names.to_wire(item.name, item.namespace))
        if item.sealed is not None:
            if self._target.made(item.sealed, PROTOCOL):
                part["thoughtSignature"] = item.sealed.data
            else:
                detail = f"a thought signature of {item.sealed.provider or item.sealed.protocol}"
                self.losses.append(Loss(path, "foreign_signature", detail))
        if self._loose is not None and "thought" in self._loose and "thoughtSignature" not in part:
            part["thoughtSignature"], self._loose = self._loose["thoughtSignature"], None
        self._flush_seal()
        self._say("model", [part])
        self._pending.append(item)

    def _answer_calls(self) -> None:
        """Close the open model turn: give each of its calls its response, then the media of all of them."""
        pending, self._pending = self._pending, []
        if pending:
            self._flush_seal()
        media: list[Block] = []
        for call in pending:
            waiting = self._results.get(call.call_id)
            if waiting:
                path, result = waiting.popleft()
                self._used.add(id(result))
                response, more = self._response(call, result, path)
                media += more
            else:
                self.losses.append(Loss("input", "missing_tool_result", f"call {call.call_id} has no result"))
                response = {"error": NO_RESULT}
            self._say("user", [self._response_part(call, response)])
        self._say("user", media)

    def _response_part(self, call: ToolCall, response: Block) -> Block:
        block: Block = {} if "no_call_ids" in self._target.quirks else {"id": call.call_id}
        block["name"] = function_name(self._names, call.name, call.namespace)
        parts = response.pop("parts", None)
        block["response"] = response
        return {"functionResponse": {**block, "parts": parts} if parts else block}

    def _response(self, call: ToolCall, item: ToolResult, path: str) -> tuple[Block, list[Block]]:
        """(the ``response`` object with ``parts`` for its media, parts that have to stand beside it)."""
        text = "\n".join(part.text for part in item.parts if isinstance(part, Text | Refusal))
        response: Block = {"error" if item.is_error else "output": text}
        parts = self._parts(item.parts, path, text=False)
        if not parts:
            return response, []
        if "media_in_results" in self._target.quirks and all("inlineData" in part for part in parts):
            return {**response, "parts": [{"inlineData": part["inlineData"]} for part in parts]}, []
        about = {"text": f"Files from the result of the call of {call.name} ({call.call_id}):"}
        return response, [about, *parts]

    def _result(self, item: ToolResult, path: str) -> None:
        if any(call.call_id == item.call_id for call in self._pending):
            self._answer_calls()
        if id(item) in self._used:
            return
        waiting = self._results.get(item.call_id, deque())
        for entry in waiting:
            if entry[1] is item:
                if self._to_come[item.call_id] > 0:
                    return
                waiting.remove(entry)
                break
        self._answer_calls()
        note = f"Result of a tool call that is not in this conversation ({item.call_id}):"
        self._say("user", [{"text": note}, *self._parts(item.parts, path)])
        self.losses.append(Loss(path, "orphan_tool_result", "a result without its call was sent as text"))

    def _opaque(self, item: OpaqueItem, path: str) -> None:
        kind = str(item.payload.get("type", "unknown"))
        if kind in _ESSENTIAL:
            raise unsupported(f"{self._target.model} cannot read an item of type {kind!r}", param=path)
        if item.payload.get("role") in ("user", "assistant", "system", "developer"):
            raise unsupported(f"An item of type {kind!r} cannot be sent to {self._target.model}", param=path)
        self.losses.append(Loss(path, "unsupported_item", f"an item of type {kind} was left out"))

    def _say(self, role: str, parts: Sequence[Block]) -> None:
        if not parts:
            return
        if role == "user":
            self._flush_seal()
        if not self.turns or self.turns[-1]["role"] != role:
            self.turns.append({"role": role, "parts": []})
        self.turns[-1]["parts"] += parts


def _sign(turns: Sequence[Block]) -> None:
    """Only the first of parallel calls is signed, and must be."""
    for turn in turns:
        first = next((part for part in turn["parts"] if "functionCall" in part), None)
        if first is not None and "thoughtSignature" not in first:
            first["thoughtSignature"] = SKIP_SIGNATURE

"""A neutral history as Anthropic's alternating turns.

The vendor wants strict order where clients send anything, so the history is repaired by these rules:

* Text of system or developer messages after the start becomes text of a user turn, wrapped in ``<system>`` tags. (A
  ``system`` turn in mid-conversation exists only for the newest models and behind a beta header.)
* The results of an assistant turn's calls follow it at once, in the order of the calls, before any text of that user
  turn, wherever the client put them. A call that never got a result gets one that says so.
* A result without its call becomes text. Two calls with the same id are told apart by a suffix.
* Empty text is left out; so is thinking that nothing follows. Turns of one side in a row become one.
* A history that begins with the assistant, or has no turn at all, gets a user turn ``(continued)`` before it.
* Thinking is replayed byte for byte where the target made it. Any other thinking is left out: it cannot be signed.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

from headgate.conversation import (
    Extra,
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
from headgate.protocols.contract import Target
from headgate.protocols.messages.arguments import arguments_object, search_input
from headgate.protocols.messages.cache_marks import MARK, mark_of
from headgate.protocols.messages.media import media_block
from headgate.protocols.names import NameMap

Block = dict[str, Any]

PLACEHOLDER = "(continued)"
NO_RESULT = "No result was recorded for this call."
_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")
_THINKING = ("thinking", "redacted_thinking")
# Items of other protocols whose loss would silently take the conversation with them.
_ESSENTIAL = ("compaction", "compaction_summary", "context_compaction")


class TurnWriter:
    """Builds the turns for one request; ``turns`` and ``losses`` are the outcome. ``first`` is the place of the first
    item in the request."""

    def __init__(self, items: Sequence[Item], target: Target, names: NameMap, first: int = 0) -> None:
        self.turns: list[Block] = []
        self.losses: list[Loss] = []
        self._target = target
        self._names = names
        self._pending: list[tuple[ToolCall, str]] = []
        self._results: dict[str, deque[tuple[str, ToolResult]]] = {}
        self._used: set[int] = set()
        self._searches: set[str] = set()
        self._wire_ids: set[str] = set()
        self._to_come = Counter(
            item.call_id for item in items if isinstance(item, ToolCall) and item.ran_by == "client"
        )
        for index, item in enumerate(items, first):
            if isinstance(item, ToolResult) and item.ran_by == "client" and item.call_id in self._to_come:
                self._results.setdefault(item.call_id, deque()).append((f"input[{index}]", item))
        for index, item in enumerate(items, first):
            self._item(item, f"input[{index}]")
        self._answer_calls()
        self._tidy()

    def _item(self, item: Item, path: str) -> None:
        match item:
            case Message(role="assistant"):
                self._assistant_message(item, path)
            case Message(role="user"):
                self._answer_calls()
                self._say("user", self._parts(item.parts, path), item.extra)
            case Message():
                self._answer_calls()
                self._say("user", self._system_text(item, path), item.extra)
            case Reasoning():
                self._reasoning(item, path)
            case ToolCall(ran_by="client"):
                self._call(item, path)
            case ToolCall():
                self._search(item, path)
            case ToolResult(ran_by="client"):
                self._result(item, path)
            case ToolResult():
                self._search_result(item)
            case OpaqueItem():
                self._opaque(item, path)

    def _assistant_message(self, item: Message, path: str) -> None:
        blocks: list[Block] = []
        for index, part in enumerate(item.parts):
            at = f"{path}.content[{index}]"
            match part:
                case Text(text=text, citations=citations):
                    blocks += _text_blocks(text, part.extra)
                    if citations:
                        # A citation can only be replayed beside the search results it points into.
                        self.losses.append(Loss(f"{at}.annotations", "citations_dropped", "not replayed upstream"))
                case Refusal(text=text):
                    blocks += _text_blocks(text, part.extra)
                case Media(kind=kind):
                    raise unsupported(f"{self._target.model} takes no {kind} in assistant turns", param=at)
                case OpaquePart():
                    blocks.append(self._opaque_part(part, at))
                case Thought():
                    continue
        self._say("assistant", blocks, item.extra)

    def _parts(self, parts: Sequence[Part], path: str) -> list[Block]:
        blocks: list[Block] = []
        for index, part in enumerate(parts):
            at = f"{path}.content[{index}]"
            match part:
                case Text() if own := part.extra.get("messages", {}).get("search_result"):
                    blocks.append(dict(own))
                case Text(text=text) | Refusal(text=text):
                    blocks += _text_blocks(text, part.extra)
                case Media():
                    blocks.append(_marked(media_block(part, self._target, at), part.extra))
                case OpaquePart():
                    blocks.append(self._opaque_part(part, at))
                case Thought():
                    continue
        return blocks

    def _system_text(self, item: Message, path: str) -> list[Block]:
        blocks: list[Block] = []
        for index, part in enumerate(item.parts):
            if isinstance(part, Text):
                if part.text.strip():
                    blocks += _text_blocks(f"<system>\n{part.text}\n</system>", part.extra)
            elif isinstance(part, OpaquePart):
                blocks.append(self._opaque_part(part, f"{path}.content[{index}]"))
            else:
                raise unsupported("System messages hold only text", param=f"{path}.content[{index}]")
        return blocks

    def _opaque_part(self, part: OpaquePart, path: str) -> Block:
        if part.protocol == "messages":
            return dict(part.payload)
        kind = part.payload.get("type", "unknown")
        raise unsupported(f"{self._target.model} does not take content of type {kind!r}", param=path)

    def _reasoning(self, item: Reasoning, path: str) -> None:
        sealed = item.sealed
        if sealed is None:
            return
        if not self._target.made(sealed, "messages"):
            detail = f"thinking of {sealed.provider or sealed.protocol} cannot be replayed to {self._target.model}"
            self.losses.append(Loss(path, "foreign_signature", detail))
        elif sealed.kind == "redacted":
            self._say("assistant", [{"type": "redacted_thinking", "data": sealed.data}])
        else:
            text = "\n\n".join(part.text for part in item.parts)
            self._say("assistant", [{"type": "thinking", "thinking": text, "signature": sealed.data}])

    def _call(self, item: ToolCall, path: str) -> None:
        if item.sealed is not None:
            detail = f"a thought signature of {item.sealed.provider or item.sealed.protocol}"
            self.losses.append(Loss(path, "foreign_signature", detail))
        self._to_come[item.call_id] -= 1
        wire_id, suffix = wire_call_id(item.call_id), 2
        while wire_id in self._wire_ids:
            wire_id, suffix = f"{wire_call_id(item.call_id)}_{suffix}", suffix + 1
        self._wire_ids.add(wire_id)
        block: Block = {
            "type": "tool_use",
            "id": wire_id,
            "name": self._names.to_wire(item.name, item.namespace),
            "input": arguments_object(item.arguments, item.kind),
        }
        self._say("assistant", [_marked(block, item.extra)])
        self._pending.append((item, wire_id))

    def _answer_calls(self) -> None:
        """Close the open assistant turn: give each of its calls its result."""
        pending, self._pending = self._pending, []
        for call, wire_id in pending:
            waiting = self._results.get(call.call_id)
            if waiting:
                path, result = waiting.popleft()
                self._used.add(id(result))
                self._say("user", [self._result_block(result, wire_id, path)])
            else:
                self.losses.append(Loss("input", "missing_tool_result", f"call {call.call_id} has no result"))
                block = {"type": "tool_result", "tool_use_id": wire_id, "is_error": True}
                self._say("user", [{**block, "content": [{"type": "text", "text": NO_RESULT}]}])

    def _result_block(self, item: ToolResult, wire_id: str, path: str) -> Block:
        block: Block = {"type": "tool_result", "tool_use_id": wire_id}
        content = self._parts(item.parts, path)
        if content:
            block["content"] = content
        if item.is_error is not None:
            block["is_error"] = item.is_error
        return _marked(block, item.extra)

    def _result(self, item: ToolResult, path: str) -> None:
        if any(call.call_id == item.call_id for call, _ in self._pending):
            self._answer_calls()
        if id(item) in self._used:
            return
        waiting = self._results.get(item.call_id, deque())
        if any(each is item for _, each in waiting):
            if self._to_come[item.call_id]:
                return
            waiting.remove((path, item))
        blocks = self._parts(item.parts, path)
        self._answer_calls()
        note = f"Result of a tool call that is not in this conversation ({item.call_id}):"
        self._say("user", [{"type": "text", "text": note}, *blocks])
        self.losses.append(Loss(path, "orphan_tool_result", "a result without its call was sent as text"))

    def _search(self, item: ToolCall, path: str) -> None:
        # Only searches that this vendor ran can be replayed: the pages they found are encrypted for it.
        if item.kind == "web_search" and item.call_id.startswith("srvtoolu_"):
            self._searches.add(item.call_id)
            use = {"type": "server_tool_use", "id": item.call_id, "name": "web_search"}
            self._say("assistant", [{**use, "input": search_input(item.arguments)}])
        else:
            self.losses.append(Loss(path, "provider_tool_call", f"a {item.name} call of another provider was left out"))

    def _search_result(self, item: ToolResult) -> None:
        if item.call_id in self._searches:
            content = item.extra.get("messages", {}).get("content") or []
            block = {"type": "web_search_tool_result", "tool_use_id": item.call_id, "content": content}
            self._say("assistant", [block])

    def _opaque(self, item: OpaqueItem, path: str) -> None:
        kind = str(item.payload.get("type", "unknown"))
        if item.protocol == "messages":
            self._say("assistant", [dict(item.payload)])
        elif kind in _ESSENTIAL:
            raise unsupported(f"{self._target.model} cannot read an item of type {kind!r}", param=path)
        else:
            self.losses.append(Loss(path, "unsupported_item", f"an item of type {kind} was left out"))

    def _say(self, role: str, blocks: Sequence[Block], extra: Extra | None = None) -> None:
        if blocks:
            if not self.turns or self.turns[-1]["role"] != role:
                self.turns.append({"role": role, "content": []})
            self.turns[-1]["content"] += blocks
        if extra and blocks:
            _mark_last(self.turns, extra, role)

    def _tidy(self) -> None:
        turns: list[Block] = []
        for turn in self.turns:
            content = turn["content"]
            if turn["role"] == "assistant":
                while content and content[-1]["type"] in _THINKING:
                    content.pop()
                    self.losses.append(Loss("input", "trailing_reasoning", "thinking that nothing follows"))
            if not content:
                continue
            if turns and turns[-1]["role"] == turn["role"]:
                turns[-1]["content"] += content
            else:
                turns.append(turn)
        if turns and turns[-1]["role"] == "assistant":
            _strip_prefill(turns[-1]["content"])
        if not turns or turns[0]["role"] == "assistant":
            turns.insert(0, {"role": "user", "content": [{"type": "text", "text": PLACEHOLDER}]})
        self.turns = turns


def wire_call_id(call_id: str) -> str:
    """``call_id`` itself where the vendor's alphabet allows it, else a replacement that depends on nothing else."""
    if call_id and not _FORBIDDEN.search(call_id):
        return call_id
    digest = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{_FORBIDDEN.sub('_', call_id)[:40]}_{digest}"


def in_tool_loop_without_thinking(turns: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the history ends inside a tool loop whose assistant turn does not begin with thinking. With a thinking
    budget the vendor refuses to go on from there."""
    if len(turns) < 2 or not any(block["type"] == "tool_result" for block in turns[-1]["content"]):
        return False
    before = turns[-2]["content"]
    return turns[-2]["role"] == "assistant" and before[0]["type"] not in _THINKING


def _text_blocks(text: str, extra: Extra) -> list[Block]:
    return [_marked({"type": "text", "text": text}, extra)] if text.strip() else []


def _marked(block: Block, extra: Extra) -> Block:
    mark = mark_of(extra)
    if mark:
        block[MARK] = mark
    return block


def _mark_last(turns: Sequence[Block], extra: Extra, role: str) -> None:
    """Put a message's own mark on its last block."""
    mark = mark_of(extra)
    if mark and turns and turns[-1]["role"] == role and turns[-1]["content"][-1]["type"] not in _THINKING:
        turns[-1]["content"][-1][MARK] = mark


def _strip_prefill(content: list[Block]) -> None:
    # The vendor refuses a final assistant turn that ends with whitespace.
    last = content[-1]
    if last["type"] == "text":
        last["text"] = last["text"].rstrip()

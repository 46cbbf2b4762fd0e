"""A neutral history as Converse's alternating messages.

``history`` puts it in order; beyond that: text of system messages in mid-conversation is wrapped in ``<system>`` tags,
blank text is left out, a turn with a document gets a text beside it, a history that begins with the assistant (or has
no turn at all) gets ``(continued)`` before it, and thinking is replayed only where the target made it, before the call
that it led to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from headgate.conversation import Item, Media, Message, OpaquePart, Part, Refusal, Text, Thought
from headgate.errors import unsupported
from headgate.losses import Loss
from headgate.protocols import history
from headgate.protocols.arguments import arguments_object
from headgate.protocols.contract import Target
from headgate.protocols.converse.cache_points import POINT, add_point
from headgate.protocols.converse.families import family_of
from headgate.protocols.converse.media import DocumentNames, media_block
from headgate.protocols.history import Answered, Called, Entry, Orphan, Said, in_turns, wire_call_id
from headgate.protocols.names import NameMap

Block = dict[str, Any]

PLACEHOLDER = "(continued)"
ATTACHED = "(see the attached document)"
NO_OUTPUT = "(no output)"
_ID_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_.:-]")
_ID_LIMIT = 64


class TurnWriter:
    """Writes the messages for one request; ``turns`` and ``losses`` are the outcome. ``first`` is the place of the
    first item in the request."""

    def __init__(self, items: Sequence[Item], target: Target, names: NameMap, first: int = 0) -> None:
        self.turns: list[Block] = []
        self._target = target
        self._names = names
        self._documents = DocumentNames()
        # Other models refuse the field.
        self._tells_errors = family_of(target) in ("claude", "nova")
        turns, self.losses = in_turns(items, _wire_id, target.model, first)
        for turn in turns:
            blocks: list[Block] = []
            for entry in turn.entries:
                self._entry(entry, blocks)
            self._keep(turn.side, blocks)
        if not self.turns or self.turns[0]["role"] == "assistant":
            self.turns.insert(0, {"role": "user", "content": [{"text": PLACEHOLDER}]})
        last = self.turns[-1]
        if last["role"] == "assistant" and "text" in last["content"][-1]:
            # A final assistant turn must not end with whitespace.
            last["content"][-1]["text"] = last["content"][-1]["text"].rstrip()

    def _entry(self, entry: Entry, blocks: list[Block]) -> None:
        match entry:
            case Said(message=message, path=path):
                blocks += self._message(message, path)
                add_point(blocks, message.extra)
            case history.Thought():
                self._thought(entry, blocks)
            case Called(call=call, wire_id=wire_id):
                name = self._names.to_wire(call.name, call.namespace)
                given = arguments_object(call.arguments, call.kind)
                blocks.append({"toolUse": {"toolUseId": wire_id, "name": name, "input": given}})
                add_point(blocks, call.extra)
            case Answered():
                self._answered(entry, blocks)
            case Orphan(result=result, path=path):
                blocks.append({"text": f"Result of a tool call that is not in this conversation ({result.call_id}):"})
                blocks += self._parts(result.parts, path)

    def _message(self, message: Message, path: str) -> list[Block]:
        match message.role:
            case "user":
                return self._parts(message.parts, path)
            case "assistant":
                return self._assistant(message, path)
            case _:
                return self._system(message, path)

    def _assistant(self, message: Message, path: str) -> list[Block]:
        blocks: list[Block] = []
        for index, part in enumerate(message.parts):
            at = f"{path}.content[{index}]"
            match part:
                case Text(text=text, citations=citations):
                    _add_text(blocks, text, part)
                    if citations:
                        self.losses.append(Loss(f"{at}.annotations", "citations_dropped", "not replayed upstream"))
                case Refusal(text=text):
                    _add_text(blocks, text, part)
                case Media(kind=kind):
                    raise unsupported(f"{self._target.model} takes no {kind} in assistant turns", param=at)
                case OpaquePart():
                    blocks.append(self._opaque(part, at))
                case Thought():
                    continue
        return blocks

    def _parts(self, parts: Sequence[Part], path: str) -> list[Block]:
        blocks: list[Block] = []
        for index, part in enumerate(parts):
            at = f"{path}.content[{index}]"
            match part:
                case Text() if own := part.extra.get("messages", {}).get("search_result"):
                    blocks.append(_search_result(own))
                    add_point(blocks, part.extra)
                case Text(text=text) | Refusal(text=text):
                    _add_text(blocks, text, part)
                case Media():
                    blocks.append(media_block(part, self._target, at, self._documents))
                    add_point(blocks, part.extra)
                case OpaquePart():
                    blocks.append(self._opaque(part, at))
                case Thought():
                    continue
        return blocks

    def _system(self, message: Message, path: str) -> list[Block]:
        blocks: list[Block] = []
        for index, part in enumerate(message.parts):
            if not isinstance(part, Text):
                raise unsupported("System messages hold only text", param=f"{path}.content[{index}]")
            if part.text.strip():
                _add_text(blocks, f"<system>\n{part.text}\n</system>", part)
        return blocks

    def _opaque(self, part: OpaquePart, path: str) -> Block:
        if part.protocol == "converse":
            return dict(part.payload)
        kind = part.payload.get("type", "unknown")
        raise unsupported(f"{self._target.model} does not take content of type {kind!r}", param=path)

    def _thought(self, entry: history.Thought, blocks: list[Block]) -> None:
        sealed = entry.item.sealed
        if sealed is None:
            return
        if not self._target.made(sealed, "converse"):
            detail = f"thinking of {sealed.provider or sealed.protocol} cannot be replayed to {self._target.model}"
            self.losses.append(Loss(entry.path, "foreign_signature", detail))
        elif sealed.kind == "redacted":
            blocks.append({"reasoningContent": {"redactedContent": sealed.data}})
        else:
            text = "\n\n".join(part.text for part in entry.item.parts)
            blocks.append({"reasoningContent": {"reasoningText": {"text": text, "signature": sealed.data}}})

    def _answered(self, entry: Answered, blocks: list[Block]) -> None:
        result = entry.result
        if result is None:
            block: Block = {"toolUseId": entry.wire_id, "content": [{"text": history.NO_RESULT}]}
            failed: bool | None = True
        else:
            # A point cannot stand inside a result: a mark in there moves behind it.
            content = [block for block in self._parts(result.parts, f"{entry.path}.output") if POINT not in block]
            if any("audio" in block for block in content):
                raise unsupported(f"{self._target.model} takes no audio in tool results", param=entry.path)
            block = {"toolUseId": entry.wire_id, "content": content or [{"text": NO_OUTPUT}]}
            failed = result.is_error
        if failed is not None and self._tells_errors:
            block["status"] = "error" if failed else "success"
        elif failed:
            block["content"] = [{"text": "Error:"}, *block["content"]]
        blocks.append({"toolResult": block})
        if result is not None:
            for extra in (*(getattr(part, "extra", {}) for part in result.parts), result.extra):
                add_point(blocks, extra)

    def _keep(self, side: str, blocks: list[Block]) -> None:
        if side == "assistant":
            while blocks and "reasoningContent" in blocks[-1]:
                blocks.pop()
                self.losses.append(Loss("input", "trailing_reasoning", "thinking that nothing follows"))
        if not blocks:
            return
        if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
            blocks.insert(next(i for i, block in enumerate(blocks) if "document" in block), {"text": ATTACHED})
        if self.turns and self.turns[-1]["role"] == side:
            self.turns[-1]["content"] += blocks
        else:
            self.turns.append({"role": side, "content": blocks})


def has_tools(turns: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the messages hold tool calls or results, for which the vendor demands a tool configuration."""
    return any("toolUse" in block or "toolResult" in block for turn in turns for block in turn["content"])


def in_tool_loop_without_thinking(turns: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the history ends inside a tool loop whose assistant turn does not begin with thinking. With a thinking
    budget Claude refuses to go on from there."""
    if len(turns) < 2 or not any("toolResult" in block for block in turns[-1]["content"]):
        return False
    return turns[-2]["role"] == "assistant" and "reasoningContent" not in turns[-2]["content"][0]


def _wire_id(call_id: str) -> str:
    return wire_call_id(call_id, _ID_FORBIDDEN, _ID_LIMIT)


def _add_text(blocks: list[Block], text: str, part: Text | Refusal) -> None:
    if text.strip():
        blocks.append({"text": text})
        add_point(blocks, part.extra)


def _search_result(own: Mapping[str, Any]) -> Block:
    given = own.get("content")
    content = [{"text": each["text"]} for each in given if each.get("text")] if isinstance(given, list) else []
    block: Block = {"source": own.get("source", ""), "title": own.get("title", ""), "content": content}
    citations = own.get("citations")
    if isinstance(citations, Mapping):
        block["citations"] = {"enabled": bool(citations.get("enabled"))}
    return {"searchResult": block}

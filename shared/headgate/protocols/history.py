"""A neutral history put in order for upstreams that insist on it.

Clients send anything; most vendors want turns that alternate and results that follow their calls. The history is
repaired by these rules, whatever form the turns take on the wire afterwards:

* The results of an assistant turn's calls follow it at once, in the order of the calls, before anything else of that
  user turn, wherever the client put them. A call that never got a result is marked as such.
* A result without its call is an orphan, to be sent as text. Two calls with the same id are told apart by a suffix.
* Turns of one side in a row become one. Text of system or developer messages after the start belongs to the user.
* What another provider's own tools did is left out and announced: its bytes mean nothing elsewhere.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from headgate.conversation import Item, Message, OpaqueItem, Reasoning, Text, ToolCall, ToolResult
from headgate.errors import unsupported
from headgate.losses import Loss

NO_RESULT = "No result was recorded for this call."
# Items of other protocols whose loss would silently take the conversation with them.
_ESSENTIAL = ("compaction", "compaction_summary", "context_compaction")
_LEADING = ("system", "developer")


@dataclass(frozen=True, slots=True)
class Said:
    """A message. ``path`` is its place in the request, for errors and losses; likewise below."""

    message: Message
    path: str


@dataclass(frozen=True, slots=True)
class Thought:
    """A reasoning item."""

    item: Reasoning
    path: str


@dataclass(frozen=True, slots=True)
class Called:
    """A call of a client's tool under the id it has on the wire."""

    call: ToolCall
    wire_id: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of ``call``; ``result`` is None where the history holds none."""

    call: ToolCall
    wire_id: str
    result: ToolResult | None
    path: str


@dataclass(frozen=True, slots=True)
class Orphan:
    """A result whose call is not in the history."""

    result: ToolResult
    path: str


Entry = Said | Thought | Called | Answered | Orphan


@dataclass(slots=True)
class Turn:
    """What one side says before the other one speaks."""

    side: Literal["user", "assistant"]
    entries: list[Entry] = field(default_factory=list[Entry])


def split_leading(items: Sequence[Item]) -> tuple[list[Message], Sequence[Item]]:
    """The system and developer messages of plain text that the history begins with, and the rest."""
    leading: list[Message] = []
    for item in items:
        if not (isinstance(item, Message) and item.role in _LEADING and all(isinstance(p, Text) for p in item.parts)):
            break
        leading.append(item)
    return leading, items[len(leading) :]


def in_turns(
    items: Sequence[Item], wire_id: Callable[[str], str], model: str, first: int = 0
) -> tuple[list[Turn], list[Loss]]:
    """The turns for ``items`` and what had to be left out. ``wire_id`` gives a call's id as the upstream takes it;
    ``first`` is the place of the first item in the request. Raises GatewayError 400 for an item of another protocol
    that holds the conversation itself."""
    order = _Order(items, wire_id, model, first)
    return order.turns, order.losses


def wire_call_id(call_id: str, forbidden: re.Pattern[str], limit: int) -> str:
    """``call_id`` itself where it fits, else a replacement of at most ``limit`` characters that depends on nothing
    else."""
    if 0 < len(call_id) <= limit and not forbidden.search(call_id):
        return call_id
    digest = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{forbidden.sub('_', call_id)[: limit - 20]}_{digest}"


class _Order:
    def __init__(self, items: Sequence[Item], wire_id: Callable[[str], str], model: str, first: int) -> None:
        self.turns: list[Turn] = []
        self.losses: list[Loss] = []
        self._wire_id = wire_id
        self._model = model
        self._pending: list[Called] = []
        self._wire_ids: set[str] = set()
        self._results: dict[str, deque[tuple[ToolResult, str]]] = {}
        self._used: set[int] = set()
        self._to_come = Counter(
            each.call_id for each in items if isinstance(each, ToolCall) and each.ran_by == "client"
        )
        for index, item in enumerate(items, first):
            if isinstance(item, ToolResult) and item.ran_by == "client" and item.call_id in self._to_come:
                self._results.setdefault(item.call_id, deque()).append((item, f"input[{index}]"))
        for index, item in enumerate(items, first):
            self._item(item, f"input[{index}]")
        self._answer_calls()

    def _item(self, item: Item, path: str) -> None:
        match item:
            case Message(role="assistant"):
                self._add("assistant", Said(item, path))
            case Message():
                self._answer_calls()
                self._add("user", Said(item, path))
            case Reasoning():
                self._add("assistant", Thought(item, path))
            case ToolCall(ran_by="client"):
                self._call(item, path)
            case ToolCall(name=name):
                self.losses.append(Loss(path, "provider_tool_call", f"a {name} call of a provider was left out"))
            case ToolResult(ran_by="client"):
                self._result(item, path)
            case ToolResult():
                return
            case OpaqueItem():
                self._opaque(item, path)

    def _call(self, item: ToolCall, path: str) -> None:
        if item.sealed is not None:
            # Only Gemini signs calls, and its writer has an order of its own.
            detail = f"a thought signature of {item.sealed.provider or item.sealed.protocol}"
            self.losses.append(Loss(path, "foreign_signature", detail))
        self._to_come[item.call_id] -= 1
        base = self._wire_id(item.call_id)
        wire_id, suffix = base, 2
        while wire_id in self._wire_ids:
            wire_id, suffix = self._wire_id(f"{base}_{suffix}"), suffix + 1
        self._wire_ids.add(wire_id)
        called = Called(item, wire_id)
        self._add("assistant", called)
        self._pending.append(called)

    def _answer_calls(self) -> None:
        pending, self._pending = self._pending, []
        for called in pending:
            waiting = self._results.get(called.call.call_id)
            if waiting:
                result, path = waiting.popleft()
                self._used.add(id(result))
                self._add("user", Answered(called.call, called.wire_id, result, path))
            else:
                detail = f"call {called.call.call_id} has no result"
                self.losses.append(Loss("input", "missing_tool_result", detail))
                self._add("user", Answered(called.call, called.wire_id, None, "input"))

    def _result(self, item: ToolResult, path: str) -> None:
        if any(called.call.call_id == item.call_id for called in self._pending):
            self._answer_calls()
        if id(item) in self._used:
            return
        waiting = self._results.get(item.call_id, deque())
        if any(each is item for each, _ in waiting):
            if self._to_come[item.call_id]:
                return
            self._results[item.call_id] = deque(pair for pair in waiting if pair[0] is not item)
        self._answer_calls()
        self.losses.append(Loss(path, "orphan_tool_result", "a result without its call was sent as text"))
        self._add("user", Orphan(item, path))

    def _opaque(self, item: OpaqueItem, path: str) -> None:
        kind = str(item.payload.get("type", "unknown"))
        if kind in _ESSENTIAL:
            raise unsupported(f"{self._model} cannot read an item of type {kind!r}", param=path)
        self.losses.append(Loss(path, "unsupported_item", f"an item of type {kind} was left out"))

    def _add(self, side: Literal["user", "assistant"], entry: Entry) -> None:
        if not self.turns or self.turns[-1].side != side:
            self.turns.append(Turn(side))
        self.turns[-1].entries.append(entry)

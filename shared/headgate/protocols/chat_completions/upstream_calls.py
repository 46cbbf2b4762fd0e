"""Tool calls of a Chat Completions stream, put together from fragments.

Chat never says that a call is complete; it is, at the latest, when the answer is. But a call whose arguments have
become a whole JSON object cannot grow any more, so when something else begins after it, it ends there and what follows
streams at once. Otherwise later calls wait (their fragments may interleave), as does text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.conversation import Sealed, ToolCall, ToolKind
from headgate.events import Assembler, Event
from headgate.protocols.arguments import free_text
from headgate.protocols.chat_completions import PROTOCOL
from headgate.protocols.names import NameMap


@dataclass(slots=True)
class _Call:
    key: int
    id: str = ""
    name: str = ""
    kind: ToolKind = "function"
    announced: bool = False
    emulated: bool = False
    ended: bool = False
    legacy: bool = False
    sealed: Sealed | None = None
    arguments: list[str] = field(default_factory=list[str])

    def complete(self) -> bool:
        """Whether the arguments so far are a whole JSON object."""
        text = "".join(self.arguments)
        if self.kind != "function" or not text.endswith("}"):
            return False
        try:
            return isinstance(json.loads(text), dict)
        except (ValueError, RecursionError):
            return False


class Calls:
    """The calls of one answer. The assembler is shared with the reader of the other content. ``seed``: what makes
    generated ids differ from one answer to the next."""

    def __init__(self, assembler: Assembler, names: NameMap) -> None:
        self._assembler = assembler
        self._names = names
        self._calls: list[_Call] = []
        self._by_index: dict[object, _Call] = {}
        self._held: list[Callable[[], list[Event]]] = []
        self.seed = ""

    @property
    def any(self) -> bool:
        """Whether the model called a tool."""
        return bool(self._calls)

    @property
    def busy(self) -> bool:
        """Whether a call is open that may still grow, so that nothing else can begin."""
        return any(call.announced and not call.ended and not call.complete() for call in self._calls)

    @property
    def nameless(self) -> bool:
        """Whether there is a call that never got a name."""
        return any(not call.name for call in self._calls)

    def after(self, emit: Callable[[], list[Event]]) -> list[Event]:
        """The events of other content: at once, or when the calls are over if it came between fragments."""
        if not self._calls:
            return emit()
        if self.busy:
            self._held.append(emit)
            return []
        return self.make_way() + emit()

    def make_way(self) -> list[Event]:
        """End every call that is complete, because something else begins."""
        events: list[Event] = []
        for call in self._calls:
            if call.announced and not call.ended and call.complete():
                events += self._end(call)
        return events

    def fragment(self, raw: Mapping[str, Any], sealed: Sealed | None) -> list[Event]:
        """One entry of ``delta.tool_calls``. Raises ValueError for a wrong type."""
        body = raw.get("function") or raw.get("custom") or {}
        if not isinstance(body, dict):
            raise ValueError("not an object")
        name, call_id, index = _text(body.get("name")), _text(raw.get("id")), raw.get("index")
        if not isinstance(index, int | str | None):
            raise ValueError("not an index")
        call, events = self._find(index, call_id, name)
        call.id = call.id or call_id
        if raw.get("type") == "custom" or "custom" in raw:
            call.kind = "custom"
        if sealed is not None and call.sealed is None:
            call.sealed = sealed
            if call.announced and not call.ended and self._open is call:
                self._assembler.update_item(sealed=sealed)
        return events + self._more(call, name, body.get("arguments", body.get("input")))

    def legacy(self, raw: Mapping[str, Any]) -> list[Event]:
        """``delta.function_call``, the form of before ``tools``."""
        call, events = self._find("function_call", "", "")
        call.legacy = True
        return events + self._more(call, _text(raw.get("name")), raw.get("arguments"))

    def finish(self) -> list[Event]:
        """Nothing more comes: let every call through, then the text that had to wait."""
        events: list[Event] = []
        for call in self._calls:
            if not call.announced:
                events += self._announce(call)
        for call in self._calls:
            events += self._end(call)
        for emit in self._held:
            events += emit()
        return events + self._assembler.finish()

    @property
    def _open(self) -> _Call | None:
        """The call whose item is open: the first announced one that has not ended."""
        return next((call for call in self._calls if call.announced and not call.ended), None)

    def _find(self, index: int | str | None, call_id: str, name: str) -> tuple[_Call, list[Event]]:
        """The call that a fragment belongs to, by index, else by id, else the last; a new one where an id is new."""
        key = index if index is not None else (call_id or None)
        known = self._by_index.get(key) if key is not None else (self._calls[-1] if self._calls and not name else None)
        if known is not None and not (call_id and known.id and call_id != known.id and name):
            return known, []
        # A new call begins: the ones before it that are complete can go.
        events = self.make_way()
        call = _Call(len(self._calls))
        self._calls.append(call)
        self._by_index[key] = call
        return call, events

    def _more(self, call: _Call, name: str, arguments: object) -> list[Event]:
        events: list[Event] = []
        call.name = call.name or name
        if isinstance(arguments, dict | list):
            text = json.dumps(arguments, ensure_ascii=False, separators=(",", ":"))
        else:
            text = _text(arguments)
        fresh = not call.announced
        if text:
            call.arguments.append(text)
        if fresh and call.name:
            return self._announce(call)
        if text and not fresh and not call.emulated:
            events += self._assembler.arguments(call.key, text)
        return events

    def _announce(self, call: _Call) -> list[Event]:
        call.announced = True
        call.emulated = call.name in self._names.custom
        namespace, name = self._names.split(call.name)
        kind = "custom" if call.emulated else call.kind
        if not call.id:
            seed = f"{self.seed}/{call.key}/{call.name}"
            call.id = "call_" + hashlib.sha256(seed.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        extra = {PROTOCOL: {"legacy": True}} if call.legacy else {}
        item = ToolCall(call.id, name, "", kind=kind, namespace=namespace, sealed=call.sealed, extra=extra)
        events = self._assembler.tool_call(call.key, item)
        if call.arguments and not call.emulated:
            events += self._assembler.arguments(call.key, "".join(call.arguments))
        return events

    def _end(self, call: _Call) -> list[Event]:
        if call.ended:
            return []
        call.ended = True
        events: list[Event] = []
        if call.emulated:
            events += self._assembler.arguments(call.key, free_text("".join(call.arguments)))
        return events + self._assembler.end_call(call.key)


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError("not a string")
    return value

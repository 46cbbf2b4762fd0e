"""An upstream's Responses stream, read into neutral events.

Upstreams that speak the protocol loosely are taken as they come: items without their opening event, parts or arguments
that arrive only in their closing one, and answers that stand in the last event alone all give the same events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headgate.conversation import (
    NO_EXTRA,
    OpaqueItem,
    OpaquePart,
    Refusal,
    Sealed,
    Text,
    Thought,
    ToolCall,
)
from headgate.errors import GatewayError
from headgate.events import Assembler, Event, Failed, Finished, FinishReason, Started, UsageUpdated
from headgate.protocols.arguments import free_text
from headgate.protocols.contract import Target
from headgate.protocols.names import NameMap
from headgate.protocols.responses.errors import failed_response, malformed, stream_error, truncated
from headgate.protocols.responses.items import phase_of, read_web_search
from headgate.protocols.responses.parts import PROTOCOL, read_citation, read_logprobs
from headgate.protocols.responses.usage import usage_of
from headgate.protocols.responses.wire import parse_json

_Object = Mapping[str, Any]
_CALLS = ("function_call", "custom_tool_call")
_INCOMPLETE: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}


class StreamReader:
    """Reads one answer. ``names`` is the map of tool names that the writer of the request used."""

    def __init__(self, target: Target, names: NameMap | None = None) -> None:
        self._target = target
        self._model = f"{target.provider}/{target.model}"
        self._names = names or NameMap()
        self._events = Assembler()
        self._over = False
        self._opened: dict[int, str] = {}
        self._ended: set[int] = set()
        self._filled: set[tuple[int, str, int]] = set()
        self._cited: set[tuple[int, int]] = set()
        self._place: tuple[int, str, int] | None = None
        self._free: set[int] = set()
        self._called = False
        self._refused = False

    def read(self, event: str | None, data: bytes) -> list[Event]:
        """The events of one SSE frame. Anything that is not the protocol gives one Failed, never an exception."""
        if self._over or data == b"[DONE]":
            return []
        try:
            parsed = parse_json(data)
            if not isinstance(parsed, dict):
                return self._fail(malformed(self._model))
            kind = parsed.get("type") or event or ("error" if parsed.get("error") else None)
            handle = _HANDLERS.get(kind) if isinstance(kind, str) else None
            if handle is None or parsed.get("output_index") in self._ended:
                return []
            return handle(self, parsed)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return self._fail(malformed(self._model))

    def end(self) -> list[Event]:
        """The byte stream is over: a failure, unless the answer has come to its end."""
        return [] if self._over else self._fail(truncated(self._model))

    def _fail(self, error: GatewayError) -> list[Event]:
        self._over = True
        return [Failed(error)]

    def _created(self, event: _Object) -> list[Event]:
        response = event["response"]
        return [Started(_text(response.get("id") or ""), _text(response.get("model") or ""))]

    def _item_added(self, event: _Object) -> list[Event]:
        return self._open(_index(event), event["item"])

    def _open(self, at: int, item: _Object) -> list[Event]:
        kind = _text(item["type"])
        self._opened[at] = kind
        self._place = None
        match kind:
            case "message":
                return self._events.open_message(str(item.get("id") or ""), extra=dict(phase_of(item)))
            case "reasoning":
                return self._events.open_reasoning(item.get("id"))
            case "function_call" | "custom_tool_call":
                self._called = True
                wire = _text(item["name"])
                space, name = self._names.split(wire)
                if wire in self._names.custom:
                    # A free-text tool in a function's dress: its text is known when its arguments are.
                    kind = "custom_tool_call"
                    self._free.add(at)
                call = ToolCall(
                    _text(item["call_id"]),
                    name,
                    "",
                    kind="custom" if kind == "custom_tool_call" else "function",
                    id=item.get("id"),
                    namespace=item.get("namespace") or space,
                )
                return self._events.tool_call(at, call)
            case "web_search_call":
                call = ToolCall(
                    _text(item["id"]), "web_search", "", kind="web_search", ran_by="provider", id=item["id"]
                )
                return self._events.tool_call(at, call)
            case _:
                return []

    def _enter(self, at: int, kind: str, index: int, item_id: Any = None) -> list[Event]:
        """Make sure the item and part that a fragment belongs to are open. ``kind`` is the part's."""
        if self._place == (at, kind, index):
            return []
        events: list[Event] = []
        if at not in self._opened:
            whole = "message" if kind in ("output_text", "refusal") else "reasoning"
            events = self._open(at, {"type": whole, "id": item_id})
        self._place = (at, kind, index)
        return events + self._events.start_part(_EMPTY[kind])

    def _part_added(self, event: _Object) -> list[Event]:
        kind = _text(event["part"]["type"])
        return self._enter(_index(event), kind, _part_index(event), event.get("item_id")) if kind in _EMPTY else []

    def _part_done(self, event: _Object) -> list[Event]:
        return self._close_part(_index(event), _part_index(event), event["part"], event.get("item_id"))

    def _close_part(self, at: int, index: int, part: _Object, item_id: Any) -> list[Event]:
        """Close a part, with what no earlier event has said of it."""
        kind = _text(part["type"])
        if kind not in _EMPTY:
            if (at, kind, index) in self._filled:
                return []
            self._filled.add((at, kind, index))
            self._place = None
            return self._events.whole_part(OpaquePart(PROTOCOL, dict(part)))
        text = _text(part["refusal" if kind == "refusal" else "text"])
        events = self._fill(at, kind, index, text, item_id, part.get("logprobs"))
        if self._place != (at, kind, index):
            return events
        if kind == "output_text" and (at, index) not in self._cited:
            for note in part.get("annotations") or ():
                events += self._events.citation(read_citation(note))
        self._filled.add((at, kind, index))
        self._place = None
        return events + self._events.end_part()

    def _fill(self, at: int, kind: str, index: int, text: str, item_id: Any, logprobs: Any = None) -> list[Event]:
        """The whole text of a part, if its deltas never came."""
        if (at, kind, index) in self._filled:
            return []
        events = self._enter(at, kind, index, item_id)
        return events + self._say(at, kind, index, text, logprobs) if text else events

    def _say(self, at: int, kind: str, index: int, text: str, logprobs: Any) -> list[Event]:
        self._filled.add((at, kind, index))
        match kind:
            case "output_text":
                return self._events.text(text, read_logprobs(logprobs))
            case "refusal":
                self._refused = True
                return self._events.refusal(text)
            case _:
                return self._events.thought(text, summary=kind == "summary_text")

    def _delta(self, kind: str, event: _Object) -> list[Event]:
        at, index = _index(event), _part_index(event)
        text = _text(event["delta"])
        events = self._enter(at, kind, index, event.get("item_id"))
        return events + self._say(at, kind, index, text, event.get("logprobs"))

    def _whole(self, kind: str, event: _Object) -> list[Event]:
        text = _text(event["refusal" if kind == "refusal" else "text"])
        return self._fill(_index(event), kind, _part_index(event), text, event.get("item_id"), event.get("logprobs"))

    def _annotation(self, event: _Object) -> list[Event]:
        at, index = _index(event), _part_index(event)
        self._cited.add((at, index))
        events = self._enter(at, "output_text", index, event.get("item_id"))
        return events + self._events.citation(read_citation(event["annotation"]))

    def _arguments(self, event: _Object) -> list[Event]:
        at, text = _index(event), _text(event["delta"])
        if not self._events.knows_call(at) or at in self._free:
            return []
        self._filled.add((at, "arguments", 0))
        return self._events.arguments(at, text)

    def _arguments_done(self, event: _Object) -> list[Event]:
        return self._fill_arguments(_index(event), _text(event["input"] if "input" in event else event["arguments"]))

    def _fill_arguments(self, at: int, text: str) -> list[Event]:
        if (at, "arguments", 0) in self._filled or not self._events.knows_call(at) or not text:
            return []
        self._filled.add((at, "arguments", 0))
        return self._events.arguments(at, free_text(text) if at in self._free else text)

    def _item_done(self, event: _Object) -> list[Event]:
        return self._close(_index(event), event["item"])

    def _close(self, at: int, item: _Object) -> list[Event]:
        if at in self._ended:
            return []
        self._ended.add(at)
        events = [] if at in self._opened else self._open(at, item)
        match item["type"]:
            case "message":
                for index, part in enumerate(item.get("content") or ()):
                    if (at, part["type"], index) not in self._filled:
                        events += self._close_part(at, index, part, item.get("id"))
                events += self._events.end_item()
            case "reasoning":
                events += self._close_reasoning(at, item)
            case "function_call" | "custom_tool_call" as kind:
                events += self._fill_arguments(at, _text(item["arguments" if kind == "function_call" else "input"]))
                events += self._events.end_call(at)
            case "web_search_call":
                search = read_web_search(item)
                events += self._fill_arguments(at, search.arguments)
                if search.extra:
                    self._events.update_item(extra=search.extra)
                events += self._events.end_call(at)
            case _:
                events += self._events.whole_item(OpaqueItem(PROTOCOL, dict(item)))
        self._place = None
        return events

    def _close_reasoning(self, at: int, item: _Object) -> list[Event]:
        events: list[Event] = []
        for name, kind in (("summary", "summary_text"), ("content", "reasoning_text")):
            for index, part in enumerate(item.get(name) or ()):
                events += self._fill(at, kind, index, _text(part["text"]), item.get("id"))
        if item.get("encrypted_content"):
            seal = Sealed(
                PROTOCOL, _text(item["encrypted_content"]), self._target.provider, self._target.model, "encrypted"
            )
            events += self._events.seal(seal)
        return events + self._events.end_item()

    def _terminal(self, event: _Object) -> list[Event]:
        response = event["response"]
        events: list[Event] = []
        for at, item in enumerate(response.get("output") or ()):
            events += self._close(at, item)
        events += self._events.finish()
        events.append(UsageUpdated(usage_of(response)))
        self._over = True
        details = response.get("incomplete_details") or {}
        if event.get("type") == "response.incomplete" or response.get("status") == "incomplete":
            raw = str(details.get("reason") or "incomplete")
            return [*events, Finished(_INCOMPLETE.get(raw, "length"), raw)]
        reason: FinishReason = "tool_calls" if self._called else "refusal" if self._refused else "stop"
        return [*events, Finished(reason, "completed")]

    def _failed(self, event: _Object) -> list[Event]:
        response = event["response"]
        events: list[Event] = [UsageUpdated(usage_of(response))] if response.get("usage") else []
        return events + self._fail(failed_response(response, self._model))

    def _error(self, event: _Object) -> list[Event]:
        inner = event.get("error")
        return self._fail(stream_error(inner if isinstance(inner, dict) else event, self._model))


_EMPTY: dict[str, Text | Refusal | Thought] = {
    "output_text": Text("", extra=NO_EXTRA),
    "refusal": Refusal(""),
    "summary_text": Thought(""),
    "reasoning_text": Thought("", summary=False),
}


def _of(kind: str, handle: Callable[[StreamReader, str, _Object], list[Event]]) -> Any:
    return lambda reader, event: handle(reader, kind, event)


_HANDLERS: dict[str, Callable[[StreamReader, _Object], list[Event]]] = {
    "response.created": StreamReader._created,
    "response.output_item.added": StreamReader._item_added,
    "response.content_part.added": StreamReader._part_added,
    "response.reasoning_summary_part.added": StreamReader._part_added,
    "response.output_text.delta": _of("output_text", StreamReader._delta),
    "response.refusal.delta": _of("refusal", StreamReader._delta),
    "response.reasoning_summary_text.delta": _of("summary_text", StreamReader._delta),
    "response.reasoning_text.delta": _of("reasoning_text", StreamReader._delta),
    "response.reasoning.delta": _of("reasoning_text", StreamReader._delta),
    "response.output_text.done": _of("output_text", StreamReader._whole),
    "response.refusal.done": _of("refusal", StreamReader._whole),
    "response.reasoning_summary_text.done": _of("summary_text", StreamReader._whole),
    "response.reasoning_text.done": _of("reasoning_text", StreamReader._whole),
    "response.reasoning.done": _of("reasoning_text", StreamReader._whole),
    "response.output_text.annotation.added": StreamReader._annotation,
    "response.content_part.done": StreamReader._part_done,
    "response.reasoning_summary_part.done": StreamReader._part_done,
    "response.function_call_arguments.delta": StreamReader._arguments,
    "response.custom_tool_call_input.delta": StreamReader._arguments,
    "response.function_call_arguments.done": StreamReader._arguments_done,
    "response.custom_tool_call_input.done": StreamReader._arguments_done,
    "response.output_item.done": StreamReader._item_done,
    "response.completed": StreamReader._terminal,
    "response.incomplete": StreamReader._terminal,
    "response.failed": StreamReader._failed,
    "response.cancelled": StreamReader._failed,
    "error": StreamReader._error,
}


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError("expected a string")
    return value


def _index(event: _Object) -> int:
    value = event["output_index"]
    if type(value) is not int:
        raise TypeError("expected an index")
    return value


def _part_index(event: _Object) -> int:
    value = event.get("content_index", event.get("summary_index", 0))
    if type(value) is not int:
        raise TypeError("expected an index")
    return value

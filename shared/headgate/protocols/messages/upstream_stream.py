"""Anthropic's server-sent events as the neutral event stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.conversation import JsonObject, OpaqueItem, Reasoning, Sealed, ToolCall
from headgate.errors import GatewayError
from headgate.events import Assembler, Event, Failed, Finished, Started, UsageUpdated
from headgate.protocols.contract import Target
from headgate.protocols.messages.arguments import (
    INPUT_KEY,
    arguments_object,
    arguments_text,
    search_action,
    strict_loads,
)
from headgate.protocols.messages.client_blocks import read_citation, read_search_result
from headgate.protocols.messages.errors import error_from
from headgate.protocols.messages.reasons import read_reason
from headgate.protocols.messages.usage import merge_usage, read_usage
from headgate.protocols.names import NameMap


@dataclass(slots=True)
class _Block:
    """A content block that is open. ``kind`` is what it is read as; ``text`` collects what cannot be passed on piece
    by piece; ``begun`` whether a fragment has been seen."""

    kind: str
    raw: dict[str, Any]
    text: list[str] = field(default_factory=list[str])
    signature: str = ""
    begun: bool = False


class StreamReader:
    """Reads one answer. ``names`` is the map that the request was written with, ``json_tool`` the name of its
    structured-output tool, whose arguments are given back as text.

    ``read`` never raises: what is not valid becomes one ``Failed``, and after the end nothing more is emitted."""

    def __init__(self, target: Target, names: NameMap | None = None, json_tool: str | None = None) -> None:
        self._target = target
        self._names = names or NameMap()
        self._json_tool = json_tool
        self._assembler = Assembler()
        self._blocks: dict[int, _Block] = {}
        self._usage: JsonObject = {}
        self._counted = False
        self._search: ToolCall | None = None
        self._stop: Mapping[str, Any] = {}
        self._called = False
        self._answered = False
        self._begun = False
        self._over = False
        self._handlers = {
            "message_start": self._message_start,
            "content_block_start": self._block_start,
            "content_block_delta": self._block_delta,
            "content_block_stop": self._block_stop,
            "message_delta": self._message_delta,
            "message_stop": self._message_stop,
            "error": self._error,
        }

    def read(self, event: str | None, data: bytes) -> list[Event]:
        """The events of one frame."""
        if self._over:
            return []
        try:
            payload = strict_loads(data.decode())
            # Some proxies send a bare {"error": …}.
            handler = self._handlers.get(payload.get("type", "error" if "error" in payload else None))
            return handler(payload) if handler else []
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            if event == "ping" or data.strip() in (b"", b"[DONE]"):
                return []
            return self._fail(self._broken("invalid_stream", "sent an event that cannot be read"))

    def end(self) -> list[Event]:
        """The byte stream is over. An answer that has its stop reason is complete without ``message_stop``."""
        if self._over:
            return []
        if self._stop.get("stop_reason") is not None:
            return self.read("message_stop", b'{"type":"message_stop"}')
        return self._fail(self._broken("stream_truncated", "ended the stream before the answer was complete"))

    def _message_start(self, payload: Mapping[str, Any]) -> list[Event]:
        message = payload["message"]
        self._begun = True
        self._usage = merge_usage({}, message.get("usage"))
        usage = read_usage(self._usage) if self._usage else None
        return [Started(_text(message.get("id", "")), _text(message.get("model", "")), usage)]

    def _block_start(self, payload: Mapping[str, Any]) -> list[Event]:
        raw = dict(payload["content_block"])
        kind = _text(raw["type"])
        before: list[Event] = []
        if not self._begun:
            self._begun = True
            before = [Started()]
        if self._search is not None and kind != "web_search_tool_result":
            before += self._flush_search()
        if kind == "tool_use" and raw["name"] == self._json_tool and self._json_tool is not None:
            kind = "json"
            self._answered = True
        elif kind == "server_tool_use" and raw["name"] == "web_search":
            kind = "search"
        block = _Block(kind, raw)
        self._blocks[_index(payload)] = block
        if kind in ("text", "json"):
            # The block is a part of its own, but opens only with its first text: it may stay empty.
            first = raw.get("text") if kind == "text" else None
            events = self._assembler.end_part()
            return before + events + (self._assembler.text(_text(first)) if first else [])
        if kind == "thinking":
            first = raw.get("thinking")
            block.signature = _text(raw.get("signature") or "")
            return before + (self._think(block, _text(first)) if first else [])
        if kind == "tool_use":
            return before + self._call_start(_index(payload), raw)
        return before

    def _call_start(self, index: int, raw: Mapping[str, Any]) -> list[Event]:
        wire = _text(raw["name"])
        namespace, name = self._names.split(wire)
        kind = "custom" if wire in self._names.custom else "function"
        call = ToolCall(_text(raw["id"]), name, "", kind=kind, namespace=namespace)
        self._called = True
        return self._assembler.tool_call(index, call)

    def _block_delta(self, payload: Mapping[str, Any]) -> list[Event]:
        delta = payload["delta"]
        kind = delta["type"]
        block = self._blocks[payload["index"]]
        if kind == "text_delta":
            text = _text(delta["text"])
            return self._assembler.text(text) if text else []
        if kind == "input_json_delta":
            return self._input(payload["index"], block, _text(delta["partial_json"]))
        if kind == "thinking_delta":
            text = _text(delta["thinking"])
            return self._think(block, text) if text else []
        if kind == "signature_delta":
            block.signature += _text(delta["signature"])
        elif kind == "citations_delta":
            return self._assembler.citation(read_citation(delta["citation"]))
        elif kind == "compaction_delta":
            block.raw["content"] = (block.raw.get("content") or "") + _text(delta.get("content") or "")
        return []

    def _input(self, index: int, block: _Block, text: str) -> list[Event]:
        if not text:
            return []
        block.begun = True
        if block.kind == "json":
            return self._assembler.text(text)
        if block.kind == "tool_use" and block.raw["name"] not in self._names.custom:
            return self._assembler.arguments(index, text)
        block.text.append(text)
        return []

    def _think(self, block: _Block, text: str) -> list[Event]:
        events = [] if block.begun else self._assembler.open_reasoning()
        block.begun = True
        return events + self._assembler.thought(text)

    def _block_stop(self, payload: Mapping[str, Any]) -> list[Event]:
        index = _index(payload)
        block = self._blocks.pop(index)
        match block.kind:
            case "text" | "json":
                return self._end_text(block)
            case "thinking":
                return self._end_thinking(block)
            case "redacted_thinking":
                sealed = self._seal(_text(block.raw["data"]), redacted=True)
                return self._assembler.whole_item(Reasoning((), sealed))
            case "tool_use":
                return self._end_call(index, block)
            case "search":
                action = search_action(self._whole_input(block))
                call_id = _text(block.raw["id"])
                self._search = ToolCall(call_id, "web_search", action, kind="web_search", ran_by="provider")
                return self._assembler.end_item()
            case "web_search_tool_result":
                return self._end_search(block)
            case _:
                if block.text:
                    block.raw["input"] = self._whole_input(block)
                return self._assembler.whole_item(OpaqueItem("messages", block.raw))

    def _end_text(self, block: _Block) -> list[Event]:
        if block.kind == "json" and not block.begun:
            return self._assembler.text(arguments_text(block.raw.get("input") or {})) + self._assembler.end_part()
        return self._assembler.end_part()

    def _end_thinking(self, block: _Block) -> list[Event]:
        events: list[Event] = []
        if block.signature:
            events = [] if block.begun else self._assembler.open_reasoning()
            events += self._assembler.seal(self._seal(block.signature))
        return events + (self._assembler.end_item() if block.begun or block.signature else [])

    def _end_call(self, index: int, block: _Block) -> list[Event]:
        events: list[Event] = []
        if block.raw["name"] in self._names.custom:
            value = self._whole_input(block)
            text = value.get(INPUT_KEY)
            free = text if isinstance(text, str) and len(value) == 1 else arguments_text(value)
            events = self._assembler.arguments(index, free) if free else []
        elif not block.begun:
            events = self._assembler.arguments(index, arguments_text(block.raw.get("input") or {}))
        return events + self._assembler.end_call(index)

    def _whole_input(self, block: _Block) -> dict[str, Any]:
        text = "".join(block.text)
        return arguments_object(text) if text else dict(block.raw.get("input") or {})

    def _end_search(self, block: _Block) -> list[Event]:
        result = read_search_result(block.raw)
        search, self._search = self._search, None
        events: list[Event] = []
        if search is not None:
            events = self._assembler.whole_item(_with_sources(search, block.raw.get("content")))
        return events + self._assembler.whole_item(result)

    def _flush_search(self) -> list[Event]:
        search, self._search = self._search, None
        return self._assembler.whole_item(search) if search is not None else []

    def _seal(self, data: str, *, redacted: bool = False) -> Sealed:
        kind = "redacted" if redacted else "signature"
        return Sealed("messages", data, self._target.provider, self._target.model, kind)

    def _message_delta(self, payload: Mapping[str, Any]) -> list[Event]:
        self._stop = {**self._stop, **payload["delta"]}
        for name in ("stop_reason", "stop_sequence"):
            if self._stop.get(name) is not None:
                _text(self._stop[name])
        self._usage = merge_usage(self._usage, payload.get("usage"))
        self._counted = bool(payload.get("usage"))
        return []

    def _message_stop(self, payload: Mapping[str, Any]) -> list[Event]:
        if not self._begun:
            return self._fail(self._broken("invalid_stream", "ended an answer that it had not begun"))
        raw = self._stop.get("stop_reason")
        reason = read_reason(raw)
        if reason == "tool_calls" and self._answered and not self._called:
            reason = "stop"
        sequence, details = self._stop.get("stop_sequence"), self._stop.get("stop_details")
        events: list[Event] = []
        for index in list(self._blocks):
            events += self._block_stop({"index": index})
        events += self._flush_search()
        if reason == "refusal" and isinstance(details, dict) and isinstance(said := details.get("explanation"), str):
            # The one place where the vendor says why. Clients of the other protocols look for it in the message.
            events += self._assembler.refusal(said) if said else []
        events += self._assembler.finish()
        self._over = True
        return [
            *events,
            UsageUpdated(read_usage(self._usage)),
            Finished(reason, raw, sequence, {"stop_details": details} if details else {}),
        ]

    def _error(self, payload: Mapping[str, Any]) -> list[Event]:
        error = error_from(payload.get("error"))
        error.model = f"{self._target.provider}/{self._target.model}"
        return self._fail(error)

    def _fail(self, error: GatewayError) -> list[Event]:
        self._over = True
        # What the start said is known; of the output it is only what was made until then.
        usage: list[Event] = [UsageUpdated(read_usage(self._usage))] if self._counted else []
        return [*usage, Failed(error)]

    def _broken(self, code: str, what: str) -> GatewayError:
        model = f"{self._target.provider}/{self._target.model}"
        return GatewayError(424, "provider_error", code, f"{model} {what}", model=model)


def _with_sources(call: ToolCall, content: object) -> ToolCall:
    """The search with the addresses it found, which is where the neutral action lists them."""
    pages = [each for each in content if isinstance(each, dict)] if isinstance(content, list) else []
    sources = [{"type": "url", "url": page["url"]} for page in pages if isinstance(page.get("url"), str)]
    if not sources:
        return call
    action = {**arguments_object(call.arguments), "sources": sources}
    return ToolCall(call.call_id, call.name, arguments_text(action), kind="web_search", ran_by="provider")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a string was expected")
    return value


def _index(payload: Mapping[str, Any]) -> int:
    index = payload["index"]
    if type(index) is not int:
        raise TypeError("an index was expected")
    return index

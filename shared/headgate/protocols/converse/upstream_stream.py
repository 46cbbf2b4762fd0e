"""Bedrock's ConverseStream events as the neutral event stream."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.conversation import Citation, Media, OpaqueItem, Reasoning, Sealed, ToolCall
from headgate.errors import GatewayError
from headgate.events import Assembler, Event, Failed, Finished, Started, UsageUpdated
from headgate.protocols.arguments import INPUT_KEY, arguments_object, arguments_text, dumps, strict_loads
from headgate.protocols.contract import Target
from headgate.protocols.converse.errors import is_exception, stream_error
from headgate.protocols.converse.event_stream import EventStreamSplitter as Splitter
from headgate.protocols.converse.reasons import MALFORMED, read_reason
from headgate.protocols.converse.tools import WEB_SEARCH
from headgate.protocols.converse.usage import read_usage
from headgate.protocols.names import NameMap

__all__ = ["Splitter", "StreamReader"]


@dataclass(slots=True)
class _Block:
    """A content block that is open. ``kind`` is what it is read as, ``raw`` how it was announced; ``text`` collects
    what cannot be passed on piece by piece; ``begun`` whether something of it has been passed on."""

    kind: str
    raw: dict[str, Any] = field(default_factory=dict[str, Any])
    text: list[str] = field(default_factory=list[str])
    signature: str = ""
    begun: bool = False


class StreamReader:
    """Reads one answer. ``names`` is the map that the request was written with, ``json_tool`` the name of its
    structured-output tool, whose arguments are given back as text.

    ``read`` takes the name and the payload of one event; it never raises: what is not valid becomes one ``Failed``,
    and after the end nothing more is emitted. The answer ends with ``metadata``, which follows ``messageStop``."""

    def __init__(self, target: Target, names: NameMap | None = None, json_tool: str | None = None) -> None:
        self._target = target
        self._names = names or NameMap()
        self._json_tool = json_tool
        self._assembler = Assembler()
        self._blocks: dict[int, _Block] = {}
        self._closed: set[int] = set()
        self._stop: Mapping[str, Any] | None = None
        self._searches = 0
        self._called = False
        self._answered = False
        self._begun = False
        self._over = False
        self._handlers = {
            "messageStart": self._message_start,
            "contentBlockStart": self._block_start,
            "contentBlockDelta": self._block_delta,
            "contentBlockStop": self._block_stop,
            "messageStop": self._message_stop,
            "metadata": self._metadata,
        }

    def read(self, event: str | None, data: bytes) -> list[Event]:
        """The events of one message of the stream."""
        if self._over:
            return []
        if is_exception(event):
            error = stream_error(event or "", data)
            error.model = self._label
            return self._fail(error)
        try:
            handler = self._handlers.get(event or "")
            return handler(strict_loads(data.decode())) if handler else []
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            return self._fail(self._broken("invalid_stream", "sent an event that cannot be read"))

    def end(self) -> list[Event]:
        """The byte stream is over. An answer that has its stop reason is complete without its token counts."""
        if self._over:
            return []
        if self._stop is not None:
            return self._finish([])
        return self._fail(self._broken("stream_truncated", "ended the stream before the answer was complete"))

    @property
    def _label(self) -> str:
        return f"{self._target.provider}/{self._target.model}"

    def _message_start(self, payload: Mapping[str, Any]) -> list[Event]:
        if payload["role"] != "assistant":
            raise ValueError("an answer by somebody else")
        return self._begin()

    def _begin(self) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        # The stream names neither the answer nor the model.
        return [Started("", self._target.model)]

    def _block_start(self, payload: Mapping[str, Any]) -> list[Event]:
        index, start = _index(payload), payload["start"]
        events = self._begin()
        if "toolUse" in start:
            return events + self._start_call(index, start["toolUse"])
        if "image" in start:
            self._blocks[index] = _Block("image", {"format": _text(start["image"]["format"])})
        elif "toolResult" in start:
            # What a tool of the provider's own found: only the provider can read it.
            self._blocks[index] = _Block("opaque", {"toolResult": dict(start["toolResult"])})
        return events

    def _start_call(self, index: int, raw: Mapping[str, Any]) -> list[Event]:
        call_id, name = _text(raw["toolUseId"]), _text(raw["name"])
        if raw.get("type") == "server_tool_use" or name == WEB_SEARCH:
            self._blocks[index] = _Block("search" if name == WEB_SEARCH else "opaque", {"toolUse": dict(raw)})
            return []
        if name == self._json_tool:
            self._blocks[index] = _Block("json")
            self._answered = True
            return []
        self._called = True
        namespace, own = self._names.split(name)
        custom = name in self._names.custom
        self._blocks[index] = _Block("custom" if custom else "call")
        call = ToolCall(call_id, own, "", kind="custom" if custom else "function", namespace=namespace)
        return self._assembler.tool_call(index, call)

    def _block_delta(self, payload: Mapping[str, Any]) -> list[Event]:
        index, delta = _index(payload), payload["delta"]
        if index in self._closed:
            raise ValueError("a block goes on after its end")
        events = self._begin() if not self._begun else []
        if "text" in delta:
            text = _text(delta["text"])
            self._open(index, "text")
            return events + self._assembler.text(text) if text else events
        if "toolUse" in delta:
            return events + self._input(index, _text(delta["toolUse"]["input"]))
        if "reasoningContent" in delta:
            return events + self._reason(index, delta["reasoningContent"])
        if "citation" in delta:
            self._open(index, "text")
            return events + self._assembler.citation(_citation(delta["citation"]))
        if "image" in delta:
            source = delta["image"].get("source") or {}
            self._open(index, "image").text.append(_text(source.get("bytes", "")))
        elif "toolResult" in delta:
            block = self._open(index, "opaque")
            block.raw.setdefault("toolResult", {}).setdefault("content", []).extend(delta["toolResult"])
        return events

    def _open(self, index: int, kind: str) -> _Block:
        """The block of that index; those of text and reasoning are never announced."""
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = _Block(kind)
        elif block.kind != kind:
            raise ValueError("a block of two kinds")
        return block

    def _input(self, index: int, text: str) -> list[Event]:
        block = self._blocks[index]
        if not text:
            return []
        block.begun = True
        match block.kind:
            case "json":
                return self._assembler.text(text)
            case "call":
                return self._assembler.arguments(index, text)
            case _:
                block.text.append(text)
                return []

    def _reason(self, index: int, delta: Mapping[str, Any]) -> list[Event]:
        if "redactedContent" in delta:
            self._open(index, "redacted").text.append(_text(delta["redactedContent"]))
            return []
        block = self._open(index, "reasoning")
        if "signature" in delta:
            block.signature += _text(delta["signature"])
        text = _text(delta.get("text", ""))
        if not text:
            return []
        events = [] if block.begun else self._assembler.open_reasoning()
        block.begun = True
        # Claude shows a digest of its thinking, the open models the thinking itself, which they do not sign.
        return events + self._assembler.thought(text, summary=self._target.thinking != "effort")

    def _block_stop(self, payload: Mapping[str, Any]) -> list[Event]:
        index = _index(payload)
        self._closed.add(index)
        block = self._blocks.pop(index, None)
        return self._close(index, block) if block is not None else []

    def _close(self, index: int, block: _Block) -> list[Event]:
        match block.kind:
            case "text":
                return self._assembler.end_part()
            case "json":
                # No fragment at all: an empty object.
                return ([] if block.begun else self._assembler.text("{}")) + self._assembler.end_part()
            case "reasoning":
                return self._end_reasoning(block)
            case "redacted":
                return self._assembler.whole_item(Reasoning((), self._seal(_joined(block.text), "redacted")))
            case "call":
                events = [] if block.begun else self._assembler.arguments(index, "{}")
                return events + self._assembler.end_call(index)
            case "custom":
                value = arguments_object("".join(block.text))
                text = value.get(INPUT_KEY)
                free = text if isinstance(text, str) and len(value) == 1 else arguments_text(value)
                events = self._assembler.arguments(index, free) if free else []
                return events + self._assembler.end_call(index)
            case "search":
                self._searches += 1
                action = dumps({"type": "search", **arguments_object("".join(block.text))})
                call_id = _text(block.raw["toolUse"]["toolUseId"])
                call = ToolCall(call_id, "web_search", action, kind="web_search", ran_by="provider")
                return self._assembler.whole_item(call)
            case "image":
                kind = f"image/{block.raw.get('format', 'png')}"
                return self._assembler.whole_part(Media("image", data=_joined(block.text), media_type=kind))
            case _:
                if block.text and "toolUse" in block.raw:
                    block.raw["toolUse"]["input"] = arguments_object("".join(block.text))
                return self._assembler.whole_item(OpaqueItem("converse", block.raw))

    def _end_reasoning(self, block: _Block) -> list[Event]:
        events: list[Event] = []
        if block.signature:
            events = [] if block.begun else self._assembler.open_reasoning()
            events += self._assembler.seal(self._seal(block.signature))
        return events + (self._assembler.end_item() if block.begun or block.signature else [])

    def _seal(self, data: str, kind: str = "signature") -> Sealed:
        return Sealed(
            "converse",
            data,
            self._target.provider,
            self._target.model,
            "redacted" if kind == "redacted" else "signature",
        )

    def _message_stop(self, payload: Mapping[str, Any]) -> list[Event]:
        if not self._begun:
            return self._fail(self._broken("invalid_stream", "ended an answer that it had not begun"))
        _text(payload["stopReason"])
        self._stop = payload
        return []

    def _metadata(self, payload: Mapping[str, Any]) -> list[Event]:
        usage = payload.get("usage")
        counted: list[Event] = [UsageUpdated(read_usage(usage, self._searches))] if isinstance(usage, Mapping) else []
        if self._stop is None:
            return counted
        return self._finish(counted)

    def _finish(self, counted: list[Event]) -> list[Event]:
        stop = self._stop or {}
        raw = _text(stop["stopReason"])
        events: list[Event] = []
        for index, block in sorted(self._blocks.items()):
            events += self._close(index, block)
        events += self._assembler.finish() + counted
        self._over = True
        if raw in MALFORMED:
            error = self._broken(raw, f"stopped: the model's output is malformed ({raw})")
            return [*events, Failed(error)]
        reason = read_reason(raw)
        if reason == "tool_calls" and self._answered and not self._called:
            reason = "stop"
        more = stop.get("additionalModelResponseFields")
        sequence = more.get("stop_sequence") if isinstance(more, Mapping) else None
        return [*events, Finished(reason, raw, sequence if isinstance(sequence, str) else None)]

    def _fail(self, error: GatewayError) -> list[Event]:
        self._over = True
        return [Failed(error)]

    def _broken(self, code: str, what: str) -> GatewayError:
        return GatewayError(424, "provider_error", code, f"{self._label} {what}", model=self._label)


def _citation(raw: Mapping[str, Any]) -> Citation:
    """A citation of a web page or of one of the request's documents, whose place in it stays in ``extra``."""
    location = raw.get("location") or {}
    quoted = "".join(_text(each.get("text", "")) for each in raw.get("sourceContent") or ())
    web = location.get("web") or {}
    return Citation(
        url=_text(web.get("url") or raw.get("source") or ""),
        title=raw.get("title") if isinstance(raw.get("title"), str) else None,
        cited_text=quoted or None,
        extra={"converse": dict(raw)},
    )


def _joined(fragments: list[str]) -> str:
    """One base64 text for fragments that were encoded each by itself."""
    if len(fragments) == 1:
        return fragments[0]
    return base64.b64encode(b"".join(base64.b64decode(each, validate=True) for each in fragments)).decode()


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a string was expected")
    return value


def _index(payload: Mapping[str, Any]) -> int:
    index = payload["contentBlockIndex"]
    if type(index) is not int:
        raise TypeError("an index was expected")
    return index

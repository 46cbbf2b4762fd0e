"""The neutral event stream as Anthropic's server-sent events.

Blocks are numbered 0, 1, 2 … and follow each other; a text or thinking block opens with its first text, so none is
ever empty. Every frame carries an ``event:`` line, without which Claude Code takes the stream for broken.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from json.encoder import encode_basestring, encode_basestring_ascii  # type: ignore[attr-defined]
from typing import Any

from headgate.conversation import Item, Message, OpaqueItem, OpaquePart, Reasoning, Thought, ToolCall, ToolResult
from headgate.events import (
    CitationAdded,
    Delta,
    Event,
    Failed,
    Finished,
    ItemEnded,
    ItemStarted,
    PartEnded,
    PartStarted,
    Started,
    UsageUpdated,
)
from headgate.fold import Folder
from headgate.protocols.contract import Reply
from headgate.protocols.messages.answer_blocks import (
    Block,
    call_seal,
    is_result_of,
    is_search,
    item_blocks,
    part_block,
    search_blocks,
    shows_thinking,
    thinking_block,
    write_citation,
)
from headgate.protocols.messages.arguments import INPUT_KEY
from headgate.protocols.messages.client_answer import cost, envelope, write_answer
from headgate.protocols.messages.errors import error_body
from headgate.protocols.messages.reasons import write_reason
from headgate.protocols.messages.usage import write_delta_usage
from headgate.protocols.sse import frame
from headgate.usage import Usage

_quote: Callable[[str], str] = encode_basestring
_quote_ascii: Callable[[str], str] = encode_basestring_ascii
_DELTA_FIELDS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
_PING = frame("ping", {"type": "ping"})


class StreamWriter:
    """Writes one answer. ``write`` takes the events in order and gives whole frames, ``body`` the same answer as one
    Message object."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._folder = Folder()
        self._shows_thinking = shows_thinking(reply)
        self._begun = False
        self._index = -1
        self._open = False
        self._prefix = b""
        self._custom = False
        self._lazy: str | None = None
        self._separator = ""
        self._streamed = False
        self._search: ToolCall | None = None
        self._handlers: dict[type, Callable[[Any], bytes]] = {
            Started: self._started,
            ItemStarted: self._item_started,
            PartStarted: self._part_started,
            CitationAdded: self._citation,
            PartEnded: self._part_ended,
            ItemEnded: self._item_ended,
            Finished: self._finished,
            Failed: self._failed,
        }

    def write(self, event: Event) -> bytes:
        """The frames for ``event``, often one, sometimes none."""
        if type(event) is Delta:
            return self._delta(event.text)
        self._folder.add(event)
        if type(event) is UsageUpdated:
            return b""
        start = b"" if self._begun or type(event) in (Started, Failed) else self._started(Started())
        return start + self._handlers[type(event)](event)

    def body(self) -> dict[str, Any]:
        """The Message so far, equal to ``write_answer`` of the same events."""
        return write_answer(self._folder.answer(), self._reply)

    def _delta(self, text: str) -> bytes:
        if not text:
            return b""
        start = b""
        if not self._prefix:
            if self._lazy is None:
                return b""
            start = self._open_lazily(self._lazy)
        self._streamed = True
        if self._separator:
            text, self._separator = self._separator + text, ""
        quoted = _quote(text)
        if self._custom:
            quoted = _quote(quoted[1:-1])
        try:
            return start + self._prefix + quoted.encode() + b"}}\n\n"
        except UnicodeEncodeError:
            # Half of a surrogate pair has no UTF-8 form; as an escape it survives and meets its other half.
            quoted = _quote_ascii(_quote_ascii(text)[1:-1] if self._custom else text)
            return start + self._prefix + quoted.encode() + b"}}\n\n"

    def _started(self, event: Started) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        usage = event.usage or Usage()
        if not usage.input_total:
            # Claude Code shows its context meter from this number and takes 0 for a broken server.
            usage = replace(usage, input_total=max(1, self._reply.input_estimate))
        message = envelope(self._reply, usage, [])
        return frame("message_start", {"type": "message_start", "message": message}) + _PING

    def _item_started(self, event: ItemStarted) -> bytes:
        item = event.item
        out = b""
        if self._search is not None and not is_result_of(item, self._search):
            out = self._flush_search(None)
        self._streamed = False
        self._lazy = None
        if isinstance(item, ToolCall) and item.ran_by == "client":
            out += b"".join(self._whole(each) for each in call_seal(item, self._reply))
            block = {"type": "tool_use", "id": item.call_id, "name": item.name, "input": {}}
            out += self._start(block, "input_json_delta")
            self._custom = item.kind == "custom"
            if self._custom:
                out += self._prefix + _quote(f'{{"{INPUT_KEY}":"').encode() + b"}}\n\n"
        return out

    def _part_started(self, event: PartStarted) -> bytes:
        part = event.part
        if isinstance(part, Thought):
            if self._open:
                self._separator = "\n\n"
            self._lazy = "thinking" if self._shows_thinking else None
        else:
            self._lazy = None if isinstance(part, OpaquePart) else "text"
        return b""

    def _open_lazily(self, kind: str) -> bytes:
        if kind == "thinking":
            return self._start({"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta")
        return self._start({"type": "text", "text": ""}, "text_delta")

    def _citation(self, event: CitationAdded) -> bytes:
        start = b"" if self._open else self._open_lazily("text")
        return start + self._block_delta({"type": "citations_delta", "citation": write_citation(event.citation)})

    def _part_ended(self, event: PartEnded) -> bytes:
        part = event.part
        if isinstance(part, Thought):
            return b""
        self._lazy = None
        if self._open:
            return self._stop()
        self._streamed = True
        block = part_block(part)
        return self._whole(block) if block else b""

    def _item_ended(self, event: ItemEnded) -> bytes:
        item = event.item
        self._lazy = None
        match item:
            case ToolCall(ran_by="client"):
                return self._end_call(item)
            case ToolCall() if is_search(item):
                self._search = item
                return b""
            case ToolResult() if self._search is not None and is_result_of(item, self._search):
                return self._flush_search(item)
            case Reasoning():
                return self._end_thinking(item)
            case Message() if not self._streamed:
                return self._whole_item(item)
            case OpaqueItem() | ToolResult():
                return self._whole_item(item)
            case _:
                return b""

    def _end_call(self, item: ToolCall) -> bytes:
        out = b"" if self._streamed else self._delta(item.arguments)
        if self._custom:
            out += self._prefix + b'"\\"}"' + b"}}\n\n"
            self._custom = False
        return out + self._stop()

    def _end_thinking(self, item: Reasoning) -> bytes:
        self._separator = ""
        if self._open:
            token = self._reply.seal(item.sealed) if item.sealed else ""
            signature = self._block_delta({"type": "signature_delta", "signature": token}) if token else b""
            return signature + self._stop()
        block = thinking_block(item, self._reply)
        return self._whole(block) if block else b""

    def _flush_search(self, result: Item | None) -> bytes:
        search, self._search = self._search, None
        return b"".join(self._whole(block) for block in search_blocks(search, result)) if search else b""

    def _finished(self, event: Finished) -> bytes:
        out = self._flush_search(None)
        answer = self._folder.answer()
        delta = {
            "stop_reason": write_reason(event.reason, answer.items),
            "stop_sequence": event.stop_sequence,
            "stop_details": event.extra.get("stop_details"),
            "container": None,
        }
        closing = {
            "type": "message_delta",
            "delta": delta,
            "usage": write_delta_usage(answer.usage),
            "cost": cost(self._reply, answer.usage),
        }
        return out + frame("message_delta", closing) + frame("message_stop", {"type": "message_stop"})

    def _failed(self, event: Failed) -> bytes:
        request_id = self._reply.extra.get("request_id")
        return frame("error", error_body(event.error, request_id if isinstance(request_id, str) else None))

    def _start(self, block: Block, delta: str = "") -> bytes:
        self._index += 1
        self._open = True
        if delta:
            head = f'{{"type":"content_block_delta","index":{self._index},"delta":{{"type":"{delta}"'
            self._prefix = f'event: content_block_delta\ndata: {head},"{_DELTA_FIELDS[delta]}":'.encode()
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        return frame("content_block_start", start)

    def _stop(self) -> bytes:
        self._open = False
        self._prefix = b""
        return frame("content_block_stop", {"type": "content_block_stop", "index": self._index})

    def _block_delta(self, delta: Block) -> bytes:
        return frame("content_block_delta", {"type": "content_block_delta", "index": self._index, "delta": delta})

    def _whole_item(self, item: Item) -> bytes:
        return b"".join(self._whole(block) for block in item_blocks(item, self._reply))

    def _whole(self, block: Block) -> bytes:
        """A block that arrived in one piece, as its start, its deltas and its end."""
        match block:
            case {"type": "text", "text": text}:
                deltas: list[Block] = [{"type": "text_delta", "text": text}] if text else []
                for citation in block.get("citations") or ():
                    deltas.append({"type": "citations_delta", "citation": citation})
                block = {"type": "text", "text": ""}
            case {"type": "thinking", "thinking": text, "signature": token}:
                deltas = [{"type": "thinking_delta", "thinking": text}] if text else []
                deltas += [{"type": "signature_delta", "signature": token}] if token else []
                block = {"type": "thinking", "thinking": "", "signature": ""}
            case {"type": "server_tool_use", "input": value} if value:
                text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
                deltas = [{"type": "input_json_delta", "partial_json": text}]
                block = {**block, "input": {}}
            case _:
                deltas = []
        return self._start(block) + b"".join(map(self._block_delta, deltas)) + self._stop()

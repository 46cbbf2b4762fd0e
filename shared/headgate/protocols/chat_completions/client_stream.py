"""The event stream as ``chat.completion.chunk`` frames.

Every chunk of a stream has the same head and tail, made once; a text delta is head + JSON string + tail. Several
choices (``n``) are several writers whose chunks go into one stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from json.encoder import encode_basestring, encode_basestring_ascii  # type: ignore[attr-defined]
from typing import Any

from headgate.conversation import Item, Message, OpaquePart, Part, Reasoning, Refusal, Text, Thought, ToolCall
from headgate.errors import GatewayError
from headgate.events import (
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
from headgate.protocols import sse
from headgate.protocols.chat_completions.client_answer import (
    envelope,
    extra_content,
    finish_reason,
    shown,
    tool_name,
    totals,
    write_annotations,
    write_answers,
    write_logprobs,
)
from headgate.protocols.chat_completions.errors import error_body
from headgate.protocols.chat_completions.gateway_fields import legacy
from headgate.protocols.chat_completions.reasoning_details import closing, part_type, write_details
from headgate.protocols.contract import Reply
from headgate.usage import Usage

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _quote(text: str) -> bytes:
    """``text`` as a JSON string. Half of a surrogate pair cannot be UTF-8, so such a text is escaped."""
    try:
        return encode_basestring(text).encode()
    except UnicodeEncodeError:
        return encode_basestring_ascii(text).encode()


def wants_usage(reply: Reply) -> bool:
    """Whether the client asked for the usage chunk."""
    options = reply.body.get("stream_options")
    return bool(options and options.get("include_usage"))


class StreamWriter:
    """Writes one choice. ``alone`` False: another writer closes the stream (usage chunk, ``[DONE]``)."""

    def __init__(self, reply: Reply, *, alone: bool = True) -> None:
        self._reply = reply
        self._alone = alone
        self._folder = Folder()
        self._usage = Usage()
        self._with_usage = wants_usage(reply)
        head = _dumps(envelope(reply, "chat.completion.chunk"))[:-1]
        self._head = f'{head},"choices":[{{"index":{reply.choice},"delta":'.encode()
        end = b',"usage":null}\n\n' if self._with_usage else b"}\n\n"
        self._tail = b',"logprobs":null,"finish_reason":null}]' + end
        self._end = end
        # What stands around a delta of the open part, and between its copies: set when the part opens. No copies:
        # the part is not for this client.
        self._before = self._between = self._middle = self._after = b""
        self._copies = 0
        self._begun = False
        self._sent = False
        self._length = 0
        self._annotations: list[dict[str, Any]] = []
        self._refused = False
        self._items = 0
        self._calls = 0
        self._details = 0
        self._parts = 0
        self._item_id: str | None = None
        self._legacy = legacy(reply.body)

    def write(self, event: Event) -> bytes:
        """The frames for one event; empty where Chat has nothing to say."""
        if type(event) is Delta:
            self._sent = True
            if event.logprobs:
                return self._delta_with_logprobs(event)
            text = _quote(event.text)
            if self._copies == 1:
                return self._before + text + self._after
            if self._copies == 3:
                return self._before + text + self._between + text + self._middle + text + self._after
            return b""
        self._folder.add(event)
        if isinstance(event, Failed):
            return self._fail(event.error)
        begin = b"" if self._begun else self._begin()
        match event:
            case PartStarted(part=part):
                self._open_part(part)
                return begin
            case PartEnded(part=part):
                return begin + self._end_part(part)
            case ItemStarted(item=item):
                return begin + self._start_item(item)
            case ItemEnded(item=item):
                return begin + self._end_item(item)
            case UsageUpdated(usage=usage):
                self._usage = usage
                return begin
            case Started(usage=usage):
                self._usage = usage or self._usage
                return begin
            case Finished():
                return begin + self._finish(event)
            case _:
                return begin

    def body(self) -> dict[str, Any]:
        """The answer so far as a ``chat.completion`` object, the same as ``write_answer`` gives."""
        return write_answers((self._folder.answer(),), self._reply)

    @property
    def folder(self) -> Folder:
        """The answer so far, neutral."""
        return self._folder

    def _begin(self) -> bytes:
        self._begun = True
        return self._chunk({"role": "assistant", "content": "", "refusal": None})

    def _chunk(self, delta: dict[str, Any]) -> bytes:
        return self._head_of(delta) + self._tail

    def _head_of(self, delta: dict[str, Any]) -> bytes:
        return b"data: " + self._head + _dumps(delta).encode("utf-8", "backslashreplace")

    def _around(self, before: str, after: str) -> None:
        self._before = b"data: " + self._head + before.encode("utf-8", "backslashreplace")
        self._after = after.encode() + self._tail
        self._copies = 1
        self._sent = False

    def _open_part(self, part: Part) -> None:
        place, self._parts = self._parts, self._parts + 1
        match part:
            case Text():
                self._around('{"content":', "}")
            case Refusal():
                self._refused = True
                self._around('{"refusal":', "}")
            case Thought():
                kind, field = part_type(part, self._item_id)
                self._around('{"reasoning_content":', f',"index":{self._details + place}}}]}}')
                self._between = b',"reasoning":'
                self._middle = f',"reasoning_details":[{{"type":"{kind}","{field}":'.encode()
                self._copies = 3
            case _:
                self._copies = 0

    def _end_part(self, part: Part) -> bytes:
        frames = b""
        match part:
            case Text(text=text):
                if text and not self._sent:
                    frames = self.write(Delta(text, part.logprobs))
                self._annotations += write_annotations(part.citations, self._length, len(text))
                self._length += len(text)
            case Refusal(text=text) | Thought(text=text):
                if text and not self._sent:
                    frames = self.write(Delta(text))
            case OpaquePart(protocol="chat_completions", payload=payload) if payload.get("audio"):
                frames = self._chunk({"audio": payload["audio"]})
            case _:
                pass
        return frames

    def _start_item(self, item: Item) -> bytes:
        self._parts = 0
        self._copies = 0
        if isinstance(item, Reasoning):
            self._item_id = item.id
        if not isinstance(item, ToolCall) or not shown(item):
            return b""
        name = tool_name(item)
        if self._legacy:
            # The old form has room for one call.
            if self._calls > 0:
                return b""
            self._around('{"function_call":{"arguments":', "}}")
            return self._chunk({"function_call": {"name": name, "arguments": ""}})
        index = self._calls
        self._around(f'{{"tool_calls":[{{"index":{index},"function":{{"arguments":', "}}]}")
        opened: dict[str, Any] = {"index": index, "id": item.call_id, "type": "function"}
        opened["function"] = {"name": name, "arguments": ""}
        if item.kind == "custom":
            self._around(f'{{"tool_calls":[{{"index":{index},"custom":{{"input":', "}}]}")
            del opened["function"]
            opened.update(type="custom", custom={"name": name, "input": ""})
        return self._chunk({"tool_calls": [opened]})

    def _end_item(self, item: Item) -> bytes:
        place, self._items = self._items, self._items + 1
        frames = b""
        match item:
            case ToolCall(arguments=arguments) if shown(item):
                if self._legacy and self._calls > 0:
                    return b""
                if arguments and not self._sent:
                    frames = self.write(Delta(arguments))
                if item.sealed is not None and not self._legacy:
                    # OpenAI's SDK wants the slot of the arguments in every fragment of a call.
                    slot = {"custom": {"input": ""}} if item.kind == "custom" else {"function": {"arguments": ""}}
                    signature = {"extra_content": extra_content(item.sealed, self._reply)}
                    frames += self._chunk({"tool_calls": [{"index": self._calls, **slot, **signature}]})
                self._calls += 1
            case Reasoning(parts=parts):
                if parts and not self._parts:
                    frames = self._whole_parts(parts)
                entries = write_details(item, self._reply, place, self._details)
                self._details += len(entries)
                if entries:
                    frames += self._chunk({"reasoning_details": closing(entries)})
            case Message(parts=parts) if parts and not self._parts:
                frames = self._whole_parts(parts)
            case _:
                pass
        return frames

    def _whole_parts(self, parts: Iterable[Part]) -> bytes:
        """The parts of an item that came in one piece."""
        frames = b""
        for part in parts:
            self._open_part(part)
            frames += self._end_part(part)
        return frames

    def _delta_with_logprobs(self, event: Delta) -> bytes:
        logprobs = {"content": write_logprobs(event.logprobs), "refusal": None}
        return self._last(self._head_of({"content": event.text}), logprobs, None)

    def _last(self, head: bytes, logprobs: dict[str, Any] | None, reason: str | None) -> bytes:
        rest = f',"logprobs":{_dumps(logprobs)},"finish_reason":{_dumps(reason)}}}]'
        return head + rest.encode("utf-8", "backslashreplace") + self._end

    def _finish(self, event: Finished) -> bytes:
        # All sources in one chunk: OpenAI's SDK cannot join lists whose entries have no index.
        frames = self._chunk({"annotations": self._annotations}) if self._annotations else b""
        frames += self._last(self._head_of({}), None, finish_reason(event, self._reply, refused=self._refused))
        return frames + close(self._reply, self._usage) if self._alone else frames

    def _fail(self, error: GatewayError) -> bytes:
        payload: dict[str, Any] = {"error": error_body(error)["error"]}
        if self._with_usage:
            payload.update(totals(self._usage, self._reply))
        return sse.frame(None, payload)


def close(reply: Reply, usage: Usage) -> bytes:
    """The end of a whole stream: the usage chunk, if the client asked for one, and ``[DONE]``."""
    if not wants_usage(reply):
        return sse.DONE
    chunk = {**envelope(reply, "chat.completion.chunk"), "choices": [], **totals(usage, reply)}
    return sse.frame(None, chunk) + sse.DONE

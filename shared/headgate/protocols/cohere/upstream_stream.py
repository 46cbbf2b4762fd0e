"""Cohere's server-sent events as the neutral event stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.conversation import Citation, Sealed, TokenLogprob, ToolCall
from headgate.errors import GatewayError
from headgate.events import Assembler, Event, Failed, Finished, FinishReason, Started, UsageUpdated
from headgate.protocols.arguments import INPUT_KEY, arguments_object, arguments_text, strict_loads
from headgate.protocols.cohere.errors import error_from
from headgate.protocols.cohere.messages import PLAN, THINKING
from headgate.protocols.cohere.usage import read_usage
from headgate.protocols.contract import Target
from headgate.protocols.names import NameMap

_REASONS: dict[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop_sequence",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    "ERROR_TOXIC": "content_filter",
    "ERROR_LIMIT": "context_window",
}
# How an answer ends that is none, with the status that it would have had before the first byte.
_FAILURES = {"ERROR": 500, "TIMEOUT": 504}


class StreamReader:
    """Reads one answer. ``names`` is the map that the request was written with, ``json_tool`` the name of its
    structured-output tool, whose arguments are given back as text.

    ``read`` never raises: what is not valid becomes one ``Failed``, and after the end nothing more is emitted."""

    def __init__(self, target: Target, names: NameMap | None = None, json_tool: str | None = None) -> None:
        self._target = target
        self._names = names or NameMap()
        self._json_tool = json_tool
        self._assembler = Assembler()
        self._contents: dict[int, str] = {}
        self._calls: dict[int, str] = {}
        self._custom: dict[int, list[str]] = {}
        self._given: set[int] = set()
        self._reasoning: str | None = None
        self._called = False
        self._answered = False
        self._begun = False
        self._over = False
        self._handlers = {
            "message-start": self._message_start,
            "content-start": self._content_start,
            "content-delta": self._content_delta,
            "content-end": self._content_end,
            "tool-plan-delta": self._plan_delta,
            "tool-call-start": self._call_start,
            "tool-call-delta": self._call_delta,
            "tool-call-end": self._call_end,
            "citation-start": self._citation,
            "message-end": self._message_end,
        }

    def read(self, event: str | None, data: bytes) -> list[Event]:
        """The events of one frame."""
        if self._over or data.strip() in (b"", b"[DONE]"):
            return []
        try:
            payload = strict_loads(data.decode())
            kind = payload.get("type") or event
            if kind is None and isinstance(payload.get("message"), str):
                # An error body where an event should be.
                return self._fail(error_from(payload["message"], 500))
            handler = self._handlers.get(_text(kind or ""))
            return handler(payload) if handler else []
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            return self._fail(self._broken("invalid_stream", "sent an event that cannot be read"))

    def end(self) -> list[Event]:
        """The byte stream is over; only ``message-end`` completes an answer."""
        if self._over:
            return []
        return self._fail(self._broken("stream_truncated", "ended the stream before the answer was complete"))

    def _message_start(self, payload: Mapping[str, Any]) -> list[Event]:
        if self._begun:
            return []
        self._begun = True
        return [Started(_text(payload.get("id") or ""), self._target.model)]

    def _begin(self) -> list[Event]:
        return [] if self._begun else self._message_start({})

    def _content_start(self, payload: Mapping[str, Any]) -> list[Event]:
        content = _message(payload)["content"]
        kind = content.get("type") or ("thinking" if "thinking" in content else "text")
        self._contents[_index(payload)] = _text(kind)
        events = self._begin()
        if kind == "text":
            # Offsets of citations count within one block, so each is a part of its own.
            events += self._end_reasoning() + self._assembler.end_part()
        return events + self._say(kind, content)

    def _content_delta(self, payload: Mapping[str, Any]) -> list[Event]:
        content = _message(payload)["content"]
        kind = self._contents.get(_index(payload)) or ("thinking" if "thinking" in content else "text")
        return self._begin() + self._say(kind, content, payload.get("logprobs"))

    def _say(self, kind: str, content: Mapping[str, Any], logprobs: object = None) -> list[Event]:
        text = _text(content.get("thinking" if kind == "thinking" else "text") or "")
        if not text:
            return []
        if kind == "thinking":
            return self._reason(THINKING, text)
        return self._end_reasoning() + self._assembler.text(text, _logprobs(logprobs, text))

    def _reason(self, role: str, text: str) -> list[Event]:
        events: list[Event] = []
        if self._reasoning != role:
            events = self._end_reasoning() + self._assembler.open_reasoning()
            self._reasoning = role
        return events + self._assembler.thought(text, summary=False)

    def _end_reasoning(self) -> list[Event]:
        role, self._reasoning = self._reasoning, None
        if role is None:
            return []
        sealed = Sealed("cohere", role, self._target.provider, self._target.model)
        return self._assembler.seal(sealed) + self._assembler.end_item()

    def _content_end(self, payload: Mapping[str, Any]) -> list[Event]:
        # Text stays open for the citations that may follow it.
        return self._end_reasoning() if self._contents.get(_index(payload)) == "thinking" else []

    def _plan_delta(self, payload: Mapping[str, Any]) -> list[Event]:
        text = _text(_message(payload)["tool_plan"])
        return self._begin() + (self._reason(PLAN, text) if text else [])

    def _call_start(self, payload: Mapping[str, Any]) -> list[Event]:
        index, raw = _index(payload), _message(payload)["tool_calls"]
        call_id, name = _text(raw["id"]), _text(raw["function"]["name"])
        first = _text(raw["function"].get("arguments") or "")
        events = self._begin() + self._end_reasoning()
        if name == self._json_tool:
            self._calls[index] = "json"
            self._answered = True
        else:
            self._called = True
            custom = name in self._names.custom
            self._calls[index] = "custom" if custom else "function"
            namespace, own = self._names.split(name)
            call = ToolCall(call_id, own, "", kind="custom" if custom else "function", namespace=namespace)
            events += self._assembler.tool_call(index, call)
        return events + self._argue(index, first)

    def _call_delta(self, payload: Mapping[str, Any]) -> list[Event]:
        raw = _message(payload)["tool_calls"]
        return self._argue(_index(payload), _text(raw["function"]["arguments"]))

    def _argue(self, index: int, text: str) -> list[Event]:
        kind = self._calls[index]
        if not text:
            return []
        self._given.add(index)
        match kind:
            case "json":
                return self._assembler.text(text)
            case "custom":
                self._custom.setdefault(index, []).append(text)
                return []
            case _:
                return self._assembler.arguments(index, text)

    def _call_end(self, payload: Mapping[str, Any]) -> list[Event]:
        return self._close_call(_index(payload))

    def _close_call(self, index: int) -> list[Event]:
        kind = self._calls.pop(index)
        if kind == "json":
            return ([] if index in self._given else self._assembler.text("{}")) + self._assembler.end_part()
        events: list[Event] = []
        if kind == "custom":
            value = arguments_object("".join(self._custom.pop(index, [])))
            text = value.get(INPUT_KEY)
            free = text if isinstance(text, str) and len(value) == 1 else arguments_text(value)
            events = self._assembler.arguments(index, free) if free else []
        elif index not in self._given:
            events = self._assembler.arguments(index, "{}")
        return events + self._assembler.end_call(index)

    def _citation(self, payload: Mapping[str, Any]) -> list[Event]:
        raw = _message(payload)["citations"]
        if raw.get("type") not in (None, "TEXT_CONTENT"):
            # Sources of a plan or a thought: there is no place for them.
            return []
        sources = raw.get("sources") or [{}]
        return [event for source in sources for event in self._assembler.citation(_cited(raw, source))]

    def _message_end(self, payload: Mapping[str, Any]) -> list[Event]:
        delta = payload.get("delta") or {}
        raw = _text(delta.get("finish_reason") or "COMPLETE")
        usage = delta.get("usage")
        counted: list[Event] = [UsageUpdated(read_usage(usage))] if isinstance(usage, Mapping) else []
        if raw in _FAILURES:
            message = delta.get("error")
            if not isinstance(message, str) or not message:
                message = f"{self._label} broke off the answer ({raw})"
            return counted + self._fail(error_from(message, _FAILURES[raw]))
        events = self._begin() + self._end_reasoning()
        for index in list(self._calls):
            events += self._close_call(index)
        events += self._assembler.finish() + counted
        self._over = True
        reason = _REASONS.get(raw, "stop")
        if reason == "tool_calls" and self._answered and not self._called:
            reason = "stop"
        return [*events, Finished(reason, raw)]

    @property
    def _label(self) -> str:
        return f"{self._target.provider}/{self._target.model}"

    def _fail(self, error: GatewayError) -> list[Event]:
        self._over = True
        error.model = self._label
        return [Failed(error)]

    def _broken(self, code: str, what: str) -> GatewayError:
        return GatewayError(424, "provider_error", code, f"{self._label} {what}", model=self._label)


def _cited(raw: Mapping[str, Any], source: Mapping[str, Any]) -> Citation:
    """One source of a cited passage. Documents and tool results have whatever fields the caller gave them; those of
    the usual names are taken."""
    fields = source.get("document") or source.get("tool_output") or {}
    start, end = raw.get("start"), raw.get("end")
    return Citation(
        url=_named(fields, "url", "link") or _text(source.get("id") or ""),
        title=_named(fields, "title", "name"),
        cited_text=_named(fields, "snippet", "text", "content"),
        start=start if type(start) is int else None,
        end=end if type(end) is int else None,
        extra={"cohere": dict(raw)},
    )


def _named(fields: Mapping[str, Any], *names: str) -> str | None:
    return next((value for name in names if isinstance(value := fields.get(name), str)), None)


def _logprobs(raw: object, text: str) -> tuple[TokenLogprob, ...]:
    """The log probability of one piece of text, which may be several tokens: that of all of them in a row."""
    if not isinstance(raw, Mapping):
        return ()
    values = [float(each) for each in raw.get("logprobs") or ()]
    return (TokenLogprob(_text(raw.get("text") or text), sum(values)),) if values else ()


def _message(payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return payload["delta"]["message"]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a string was expected")
    return value


def _index(payload: Mapping[str, Any]) -> int:
    index = payload.get("index", 0)
    if type(index) is not int:
        raise TypeError("an index was expected")
    return index

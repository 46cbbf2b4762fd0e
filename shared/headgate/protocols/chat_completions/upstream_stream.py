"""The event stream of an OpenAI-compatible upstream as neutral events.

Compatible servers differ in small ways, all met here: tool calls without index or id, a call's name sent again with
each fragment, arguments as an object, usage in its own chunk, beside the last choice or in every chunk, the finish
reason before the usage, no ``[DONE]``, thoughts under four names. Text of the wrong JSON type is not guessed at: the
stream fails.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NoReturn, cast

from headgate.conversation import Citation, Message, OpaquePart, Sealed, TokenLogprob
from headgate.errors import GatewayError
from headgate.events import Assembler, Event, Failed, Finished, FinishReason, Started, UsageUpdated
from headgate.protocols.chat_completions import PROTOCOL
from headgate.protocols.chat_completions.errors import error_of
from headgate.protocols.chat_completions.thinking_parts import thought_of
from headgate.protocols.chat_completions.upstream_calls import Calls
from headgate.protocols.chat_completions.usage import added, read_usage
from headgate.protocols.contract import Target
from headgate.protocols.names import NameMap
from headgate.usage import Usage

_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop_sequence",
    "length": "length",
    "max_tokens": "length",
    "model_length": "context_window",
    "tool_calls": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
    "refusal": "refusal",
}
# The upstream gave up in the middle and says so in place of a reason: Mistral, OpenRouter; DeepSeek.
_BROKEN = frozenset({"error", "insufficient_system_resource", "network_error"})


class Malformed(ValueError):
    """The upstream sent something that is not the protocol."""


class StreamReader:
    """Reads one choice (index 0). ``names`` turns tool names back; its ``custom`` says which functions stand for
    free-text tools. ``prefix``: text of the request that the answer begins with once more (``reader_options``)."""

    def __init__(self, target: Target, names: NameMap | None = None, prefix: str = "") -> None:
        self._target = target
        self._prefix = prefix
        self._swallowed = ""
        self._assembler = Assembler()
        self._calls = Calls(self._assembler, names or NameMap())
        self._usage: Usage | None = None
        self._counted: Mapping[str, Any] = {}
        self._reason: str | None = None
        self._extra: dict[str, Any] = {}
        self._audio: dict[str, Any] = {}
        self._started = False
        self._spoke = False
        self._refused = False
        self._over = False

    def read(self, event: str | None, data: bytes) -> list[Event]:
        """The events in one SSE frame; never raises for what an upstream sends."""
        if self._over:
            return []
        text = data.strip()
        if text == b"[DONE]":
            return self._finish()
        if not text:
            return []
        try:
            chunk = _object(json.loads(text, parse_constant=_no_constant), "chunk")
            return self._fail(error_of(chunk)) if event == "error" else self._chunk(chunk)
        except (ValueError, RecursionError):
            return self._fail(_bad("The provider sent an event that could not be read."))

    def end(self) -> list[Event]:
        """The byte stream is over. A finish reason without ``[DONE]`` is a complete answer."""
        if self._over:
            return []
        if self._reason is not None:
            return self._finish()
        return self._fail(
            GatewayError(
                424, "provider_error", "stream_truncated", "The provider's stream ended before its answer was complete."
            )
        )

    def _chunk(self, chunk: Mapping[str, Any]) -> list[Event]:
        if chunk.get("error") or chunk.get("errors") or chunk.get("object") == "error":
            return self._fail(error_of(chunk))
        events: list[Event] = []
        if not self._started:
            self._started = True
            self._calls.seed = _text(chunk.get("id"))
            events.append(Started(_text(chunk.get("id")), _text(chunk.get("model"))))
        usage = chunk.get("usage") or _object(chunk.get("x_groq") or {}, "x_groq").get("usage")
        if isinstance(usage, dict):
            self._count(cast("dict[str, Any]", usage), final="choices" not in chunk)
        for name in ("service_tier", "system_fingerprint"):
            if chunk.get(name):
                self._extra[name] = chunk[name]
        for choice in _list(chunk.get("choices")):
            fields = _object(choice, "choice")
            if fields.get("index") in (None, 0):
                events += self._choice(fields)
        if self._reason in _BROKEN:
            events += self._fail(error_of({"message": "The provider broke off its answer.", "code": self._reason}))
        return events

    def _choice(self, choice: Mapping[str, Any]) -> list[Event]:
        # Some servers send the whole message in the last chunk of what should be deltas.
        delta = _object(choice.get("delta") or choice.get("message") or {}, "delta")
        events = self._thoughts(delta)
        logprobs = _logprobs(choice.get("logprobs"))
        content = delta.get("content")
        if isinstance(content, list):
            events += self._blocks(cast("list[Any]", content), logprobs)
        else:
            text = _text(content)
            if text or logprobs:
                events += self._text(text, logprobs)
        refusal = _text(delta.get("refusal"))
        if refusal:
            self._spoke = self._refused = True
            events += self._calls.after(lambda: self._assembler.refusal(refusal))
        for annotation in _list(delta.get("annotations")):
            events += self._citation(_object(annotation, "annotation"))
        if delta.get("tool_calls") or delta.get("function_call"):
            self._spoke = True
            for call in _list(delta.get("tool_calls")):
                events += self._calls.fragment(_object(call, "tool call"), self._seal_call(call))
            if delta.get("function_call"):
                events += self._calls.legacy(_object(delta["function_call"], "function call"))
        if delta.get("audio"):
            self._hear(_object(delta["audio"], "audio"))
        # Some servers send an empty reason with every chunk.
        self._reason = _text(choice.get("finish_reason")) or self._reason
        return events

    def _count(self, usage: Mapping[str, Any], *, final: bool) -> None:
        """Take a ``usage`` object in. final: it stands outside the answer's chunks."""
        if "usage_increments" in self._target.quirks and not final:
            usage = added(self._counted, usage)
        self._counted = usage
        self._usage = read_usage(usage, reasoning_extra="reasoning_extra" in self._target.quirks)

    def _text(self, text: str, logprobs: tuple[TokenLogprob, ...] = ()) -> list[Event]:
        self._spoke = True
        if self._prefix:
            text = self._unrepeated(text)
            if not text:
                return []
        return self._calls.after(lambda: self._assembler.text(text, logprobs))

    def _unrepeated(self, text: str) -> str:
        """``text`` without what of it only repeats the prefix; all that was held back where it turns out not to."""
        text, self._swallowed = self._swallowed + text, ""
        if text.startswith(self._prefix):
            text, self._prefix = text[len(self._prefix) :], ""
        elif self._prefix.startswith(text):
            text, self._swallowed = "", text
        else:
            self._prefix = ""
        return text

    def _blocks(self, blocks: list[Any], logprobs: tuple[TokenLogprob, ...]) -> list[Event]:
        """Content as an array (Mistral's reasoning models): text and thinking blocks."""
        events: list[Event] = []
        for block in blocks:
            fields = _object(block, "content block")
            if fields.get("type") == "thinking":
                events += self._thought(thought_of(fields), summary=False)
                events += self._seal(_text(fields.get("signature")), "signature")
            elif fields.get("type") == "text":
                events += self._text(_text(fields.get("text")), logprobs)
        return events

    def _thoughts(self, delta: Mapping[str, Any]) -> list[Event]:
        events: list[Event] = []
        told = False
        for entry in _list(delta.get("reasoning_details")):
            detail = _object(entry, "reasoning detail")
            summary = detail.get("type") == "reasoning.summary"
            text = _text(detail.get("summary") if summary else detail.get("text"))
            if text:
                told = True
                events += self._thought(text, summary=summary)
            events += self._seal(_text(detail.get("signature")), "signature")
            events += self._seal(_text(detail.get("data")), "encrypted")
        if not told:
            text = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning"))
            if text:
                events += self._thought(text, summary=False)
        return events

    def _thought(self, text: str, *, summary: bool) -> list[Event]:
        if not text:
            return []
        self._spoke = True
        return self._calls.after(lambda: self._assembler.thought(text, summary=summary))

    def _seal(self, data: str, kind: Literal["signature", "encrypted"]) -> list[Event]:
        if not data:
            return []
        self._spoke = True
        sealed = Sealed(PROTOCOL, data, self._target.provider, self._target.model, kind)
        # A seal closes its item: what follows is another thought.
        return self._calls.after(lambda: self._assembler.seal(sealed) + self._assembler.end_item())

    def _seal_call(self, call: Mapping[str, Any]) -> Sealed | None:
        google = _object(_object(call.get("extra_content") or {}, "extra_content").get("google") or {}, "google")
        data = _text(google.get("thought_signature"))
        return Sealed(PROTOCOL, data, self._target.provider, self._target.model) if data else None

    def _citation(self, annotation: Mapping[str, Any]) -> list[Event]:
        if annotation.get("type") != "url_citation":
            return []
        cited = _object(annotation.get("url_citation") or annotation, "citation")
        url = _text(cited.get("url"))
        if not url:
            return []
        start, end = cited.get("start_index"), cited.get("end_index")
        citation = Citation(
            url,
            _text(cited.get("title")) or None,
            _text(cited.get("content")) or None,
            start if type(start) is int else None,
            end if type(end) is int else None,
        )
        return self._calls.after(lambda: self._assembler.citation(citation))

    def _hear(self, audio: Mapping[str, Any]) -> None:
        self._spoke = True
        for name, value in audio.items():
            if isinstance(value, str) and isinstance(self._audio.get(name), str):
                self._audio[name] += value if name in ("data", "transcript") else ""
            else:
                self._audio[name] = value

    def _close(self) -> list[Event]:
        held, self._swallowed = self._swallowed, ""
        events = self._calls.after(lambda: self._assembler.text(held)) if held else []
        events += self._calls.finish()
        if self._audio:
            part = OpaquePart(PROTOCOL, {"type": "audio", "audio": self._audio})
            events += self._assembler.whole_item(Message("assistant", (part,)))
        if self._usage is not None:
            events.append(UsageUpdated(self._usage))
        return events

    def _finish(self) -> list[Event]:
        if self._reason is None and not self._spoke:
            text = "The provider's stream held no answer."
            return self._fail(GatewayError(424, "provider_error", "stream_truncated", text))
        if self._calls.nameless:
            return self._fail(_bad("The provider called a tool without a name."))
        self._over = True
        events = self._close()
        reason = _REASONS.get(self._reason or "stop", "stop")
        if reason == "stop" and self._calls.any:
            # Several servers, and OpenAI for a forced call, say "stop" although a call waits for its result.
            reason = "tool_calls"
        elif reason == "stop" and self._refused:
            # OpenAI ends a refusal like any answer; Anthropic's clients look for it in the reason.
            reason = "refusal"
        return [*events, Finished(reason, self._reason, extra=self._extra)]

    def _fail(self, error: GatewayError) -> list[Event]:
        self._over = True
        error.model = error.model or f"{self._target.provider}/{self._target.model}"
        usage: list[Event] = [UsageUpdated(self._usage)] if self._usage is not None else []
        return [*usage, Failed(error)]


def _bad(message: str) -> GatewayError:
    return GatewayError(424, "provider_error", "invalid_provider_response", message)


def _no_constant(word: str) -> NoReturn:
    raise Malformed(f"{word} is not JSON")


def _object(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{what} is not an object")
    return cast("Mapping[str, Any]", value)


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise Malformed("not a list")
    return cast("list[Any]", value)


def _text(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed("not a string")
    return value


def _logprobs(value: object) -> tuple[TokenLogprob, ...]:
    if not isinstance(value, dict):
        return ()
    fields = cast("dict[str, Any]", value)
    return tuple(_token(_object(each, "logprob")) for each in _list(fields.get("content") or fields.get("refusal")))


def _token(fields: Mapping[str, Any]) -> TokenLogprob:
    top = tuple(
        (each.token, each.logprob, each.bytes)
        for each in (_token(_object(entry, "top logprob")) for entry in _list(fields.get("top_logprobs")))
    )
    logprob, raw = fields.get("logprob"), fields.get("bytes")
    if type(logprob) not in (int, float):
        raise Malformed("logprob is not a number")
    numbers = tuple(each for each in cast("list[Any]", raw) if type(each) is int) if isinstance(raw, list) else None
    return TokenLogprob(_text(fields.get("token")), float(cast("float", logprob)), numbers, top)

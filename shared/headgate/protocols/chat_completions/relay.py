"""Chat Completions on both sides: the upstream's own bytes go to the client.

Changed are ``model`` (to the gateway's name) and what OpenAI's clients would misread: usage stands in one chunk of its
own at the end, with ``cost``, or is gone if the client did not ask for it; a call has its ``type``; an error is an
object. All of it is done on bytes; only the first frames, those with usage, new calls and errors are parsed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from headgate.conversation import Sealed
from headgate.errors import GatewayError
from headgate.protocols import sse
from headgate.protocols.chat_completions import PROTOCOL
from headgate.protocols.chat_completions.client_stream import wants_usage
from headgate.protocols.chat_completions.errors import error_body, error_of
from headgate.protocols.chat_completions.joining import join_chunks
from headgate.protocols.chat_completions.relay_request import prepare, suits
from headgate.protocols.chat_completions.thinking_parts import plain
from headgate.protocols.chat_completions.usage import added, read_usage, write_cost, write_usage
from headgate.protocols.contract import Reply, Target
from headgate.usage import Usage

# Inside a JSON string the quotes would be escaped, so these only ever match the chunk's own keys.
_MODEL = re.compile(rb'"model"\s*:\s*"(?:[^"\\]|\\.)*"')
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"([^"\\]+)"')
_ARRAY = re.compile(rb'"content"\s*:\s*\[')
_TYPED = re.compile(rb'"type"\s*:\s*"')
_NO_USAGE = re.compile(rb',\s*"usage"\s*:\s*null')
_USAGE = re.compile(r',?\s*"usage"\s*:\s*')
_SAID = ("content", "refusal", "reasoning_content", "reasoning", "reasoning_details", "tool_calls", "function_call")
_ERROR_FIELDS = {"message", "type", "param", "code"}
_decoder = json.JSONDecoder()

__all__ = ["Relay", "prepare", "said", "suits"]


class Relay:
    """Passes one answer through. ``usage`` so far; ``finish``, the upstream's word; ``error``, if a frame or a cut
    stream said so; ``saw_output``: something of the answer itself has passed; ``done``: the closing frame has."""

    def __init__(self, reply: Reply, target: Target) -> None:
        self._reply = reply
        self._target = target
        self._route = f"{target.provider}/{target.model}"
        self._asked = wants_usage(reply)
        # OpenAI's clients take it that the output's tokens are all of them.
        self._extra = "reasoning_extra" in target.quirks
        self._model = b'"model":' + json.dumps(reply.model).encode()
        self._from: bytes | None = None
        self.done = False
        self._unfinished: int = reply.body.get("n") or 1
        self._kept: list[bytes] | None = [] if reply.extra.get("keep") else None
        self._json: dict[str, Any] | None = None
        self._parts = "thinking_parts" in target.quirks
        self._texts = "reasoning_text" in target.quirks
        self._increments = "usage_increments" in target.quirks
        # Usage that came in chunks with choices, and the head of the chunk that will show it.
        self._counted: dict[str, Any] = {}
        self._first: dict[str, Any] = {}
        self._shown = False
        self.usage = Usage()
        self.finish: str | None = None
        self.error: GatewayError | None = None
        self.saw_output = False

    @property
    def body(self) -> dict[str, Any] | None:
        """The answer as one object: of a stream only where ``reply.extra["keep"]`` asked to keep it, joined now."""
        if self._json is not None or self._kept is None:
            return self._json
        return join_chunks(self._kept, self._reply, self.usage)

    def feed(self, frame: bytes) -> bytes:
        """One whole SSE frame in, what the client gets out. After the end or an error: nothing."""
        if self.done:
            return b""
        if (self._parts and _ARRAY.search(frame)) or (self._texts and b'"reasoning"' in frame):
            frame = self._plain(frame)
        source = self._from
        if source is not None and source in frame:
            frame = frame.replace(source, self._model, 1)
        elif not (frame := self._learn(frame)) or self.error is not None:
            return frame
        if b'"tool_calls"' in frame and b'"name"' in frame and not _TYPED.search(frame):
            frame = _typed(frame)
        if b'"finish_reason":null' not in frame:
            for word in _FINISH.findall(frame):
                self.finish = word.decode("utf-8", "replace")
                self._unfinished -= 1
        if b'"usage":null' in frame:
            if not self._asked:
                frame = frame.replace(b',"usage":null', b"", 1)
        elif b'"usage"' in frame:
            frame = self._count(frame)
        if not self.saw_output or b'"error' in frame or b'"x_groq"' in frame:
            frame = self._inspect(frame)
        if self._kept is not None and frame:
            self._kept.append(frame)
        return frame

    def end(self) -> bytes:
        """The stream is over: what is still owed to the client."""
        if self.done:
            return b""
        self.done = True
        if self._unfinished <= 0:
            # Complete all the same: some servers send no [DONE].
            return self._summed() + sse.DONE
        return self._broken("The provider's stream ended before its answer was complete.", "stream_truncated")

    def json(self, raw: bytes) -> dict[str, Any]:
        """An answer that is not streamed. Raises ValueError where it is no JSON, GatewayError where it is an error
        in spite of its status, or no completion."""
        payload: Any = json.loads(raw)
        if not isinstance(payload, dict) or not isinstance(cast("dict[str, Any]", payload).get("choices"), list):
            if isinstance(payload, dict) and payload.get("error"):
                self.error = error_of(payload)
            else:
                text = "The provider sent an answer that could not be read."
                self.error = GatewayError(424, "provider_error", "invalid_provider_response", text)
            self.error.model = self._route
            raise self.error
        body = cast("dict[str, Any]", payload)
        body["model"] = self._reply.model
        for choice in _dicts(body["choices"]):
            message = choice.get("message")
            if isinstance(message, dict):
                choice["message"] = message = self._told(cast("dict[str, Any]", message))
                _type_calls(message)
        if isinstance(body.get("usage"), dict):
            self._read_usage(body["usage"])
            body["usage"] = self._whole(body["usage"])
            body["cost"] = write_cost(self.usage, self._reply)
        choices = [choice for choice in body["choices"] if isinstance(choice, dict)]
        self.finish = next((choice["finish_reason"] for choice in choices if choice.get("finish_reason")), None)
        self.saw_output = True
        self.done = True
        self._json = body
        return body

    def fail(self, error: GatewayError) -> bytes:
        """End the stream with ``error``; the answer so far stands, without a finish reason."""
        self.done = True
        self.error = error
        self._estimate()
        payload: dict[str, Any] = {"error": error_body(error)["error"]}
        if self._asked:
            payload.update(usage=write_usage(self.usage), cost=write_cost(self.usage, self._reply))
        return sse.frame(None, payload)

    def _learn(self, frame: bytes) -> bytes:
        """A frame without the model's name as known: the first one, ``[DONE]``, a comment, an error."""
        data = sse.parse_frame(frame)[1]
        if data is None:
            return frame
        if data.strip() == b"[DONE]":
            self.done = True
            return self._summed() + frame
        found = _MODEL.search(frame)
        if found is None:
            return frame if _parse(frame) is not None else self._broken("The provider sent an event that is not JSON.")
        self._from = found[0]
        return frame[: found.start()] + self._model + frame[found.end() :]

    def _broken(self, text: str, code: str = "invalid_provider_response") -> bytes:
        """End with an error of ours, in the protocol's form."""
        return self.fail(GatewayError(424, "provider_error", code, text, model=self._route))

    def _estimate(self) -> None:
        if not self.usage.total:
            self.usage = self._reply.broken_off(self.usage)

    def _inspect(self, frame: bytes) -> bytes:
        """A closer look at a frame that may hold the first output or an error."""
        chunk = _parse(frame)
        if chunk is None:
            return frame
        if chunk.get("error") or chunk.get("errors") or chunk.get("object") == "error":
            self.error = error_of(chunk)
            self.error.model = self._route
            self.done = True
            self._estimate()
            error = chunk.get("error")
            if not (isinstance(error, dict) and cast("dict[str, Any]", error).keys() >= _ERROR_FIELDS):
                # The forms of xAI, Mistral, vLLM and Cloudflare, in which no client of this protocol sees an error.
                return sse.frame(None, {"error": error_body(self.error)["error"]})
        groq = chunk.get("x_groq")
        if isinstance(groq, dict) and isinstance(groq.get("usage"), dict) and not self.usage.total:
            self._read_usage(groq["usage"])
            self._hold(groq["usage"], chunk)
        for choice in _dicts(chunk.get("choices")):
            delta = choice.get("delta")
            if isinstance(delta, dict) and any(delta.get(name) for name in (*_SAID, "audio")):
                self.saw_output = True
            self.saw_output = self.saw_output or bool(choice.get("finish_reason"))
        return frame

    def _count(self, frame: bytes) -> bytes:
        """Take the usage of a frame in, and show it or not."""
        chunk = _parse(frame)
        if chunk is None or "usage" not in chunk:
            return frame
        usage = chunk["usage"]
        if self._increments:
            return self._increment(frame, chunk)
        if not isinstance(usage, dict):
            return frame if self._asked else _NO_USAGE.sub(b"", frame, count=1)
        counts = cast("dict[str, Any]", usage)
        self._read_usage(counts)
        if chunk.get("choices"):
            self._hold(counts, chunk)
            return _without_usage(frame)
        if not self._asked or self._shown:
            return b""
        self._shown = True
        whole = self._whole(counts)
        return self._priced(frame if whole is counts else sse.frame(None, {**chunk, "usage": whole}))

    def _hold(self, usage: dict[str, Any], chunk: Mapping[str, Any]) -> None:
        """Keep what a chunk with choices says of usage for a chunk of its own at the end."""
        self._counted = usage
        if not self._first:
            self._first = {name: chunk[name] for name in ("id", "created") if name in chunk}

    def _whole(self, counts: dict[str, Any]) -> dict[str, Any]:
        """The vendor's counts, as they came where reasoning is part of the output as it is at OpenAI."""
        if counts.get("completion_tokens") == self.usage.output_total:
            return counts
        return {**counts, "completion_tokens": self.usage.output_total, "total_tokens": self.usage.total}

    def _plain(self, frame: bytes) -> bytes:
        """A frame whose thoughts stand where OpenAI's clients do not look for them, with both in their own fields."""
        chunk = _parse(frame)
        for choice in _dicts(chunk.get("choices")) if chunk else ():
            if isinstance(choice.get("delta"), dict):
                choice["delta"] = self._told(choice["delta"])
        return frame if chunk is None else sse.frame(None, chunk)

    def _told(self, fields: dict[str, Any]) -> dict[str, Any]:
        """A message or delta with text in ``content`` and thoughts in ``reasoning_content``."""
        if self._parts:
            return plain(fields, self._seal)
        if self._texts and fields.get("reasoning") and not fields.get("reasoning_content"):
            return {**fields, "reasoning_content": fields["reasoning"]}
        return fields

    def _seal(self, signature: str) -> str:
        return self._reply.seal(Sealed(PROTOCOL, signature, self._target.provider, self._target.model))

    def _increment(self, frame: bytes, chunk: dict[str, Any]) -> bytes:
        """Each chunk says what it adds; a last frame without choices, which is no chunk, says it all."""
        usage: dict[str, Any] = chunk["usage"] if isinstance(chunk["usage"], dict) else {}
        self._hold(added(self._counted, usage) if "choices" in chunk else usage, chunk)
        self._read_usage(self._counted)
        return _without_usage(frame) if chunk.get("choices") else b""

    def _summed(self) -> bytes:
        """The closing usage chunk of a client that asked for one and has not seen it."""
        if not self._asked or not self._counted or self._shown:
            return b""
        self._shown = True
        head = {**self._first, "object": "chat.completion.chunk", "model": self._reply.model, "choices": []}
        usage = self._whole(self._counted)
        return sse.frame(None, {**head, "usage": usage, "cost": write_cost(self.usage, self._reply)})

    def _priced(self, frame: bytes) -> bytes:
        cost = json.dumps(write_cost(self.usage, self._reply), separators=(",", ":"))
        at = frame.rindex(b"}")
        return frame[:at] + b',"cost":' + cost.encode() + frame[at:]

    def _read_usage(self, raw: Mapping[str, Any]) -> None:
        self.usage = read_usage(raw, reasoning_extra=self._extra)


def said(event: Mapping[str, Any]) -> Iterator[object]:
    """The answer's own strings in a chunk, for estimates."""
    for choice in _dicts(event.get("choices")):
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            continue
        # Reasoning has two names; servers that send both send the same text twice.
        yield from (
            delta.get("content"),
            delta.get("refusal"),
            delta.get("reasoning_content") or delta.get("reasoning"),
        )
        for call in _dicts(delta.get("tool_calls")):
            called = call.get("function") or call.get("custom")
            if isinstance(called, dict):
                yield from (called.get("name"), called.get("arguments") or called.get("input"))


def _parse(frame: bytes) -> dict[str, Any] | None:
    data = sse.parse_frame(frame)[1]
    if data is None:
        return None
    try:
        chunk: Any = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", chunk) if isinstance(chunk, dict) else None


def _typed(frame: bytes) -> bytes:
    """A frame that opens calls without their ``type``, with it."""
    chunk = _parse(frame)
    for choice in _dicts(chunk.get("choices")) if chunk else ():
        if isinstance(choice.get("delta"), dict):
            _type_calls(choice["delta"])
    return frame if chunk is None else sse.frame(None, chunk)


def _type_calls(fields: dict[str, Any]) -> None:
    """Say of each call in a message or delta that it is one of a function, where the vendor takes that for granted:
    OpenAI's SDK asks. It takes a null in a later fragment for the end of what it knew."""
    for call in _dicts(fields.get("tool_calls")):
        for name in ("id", "type"):
            if name in call and call[name] is None:
                del call[name]
        function = call.get("function")
        if isinstance(function, dict):
            own = cast("dict[str, Any]", function)
            if own.get("name"):
                call.setdefault("type", "function")
            else:
                own.pop("name", None)


def _dicts(value: object) -> list[dict[str, Any]]:
    entries = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", each) for each in entries if isinstance(each, dict)]


def _without_usage(frame: bytes) -> bytes:
    """The frame with the bytes of its ``usage`` member cut out and all others as they were."""
    text = frame.decode("utf-8", "surrogateescape")
    found = _USAGE.search(text)
    if found is None:
        return frame
    _, end = _decoder.raw_decode(text, found.end())
    if not found[0].startswith(","):
        end += len(text[end:]) - len(text[end:].removeprefix(","))
    return (text[: found.start()] + text[end:]).encode("utf-8", "surrogateescape")

"""Gemini's stream of partial answers as the neutral event stream.

Every event is a small answer of its own: parts to append, the usage so far. The last one carries a finish reason, but
search results and usage may still follow it, and nothing marks the end but the end: so the closing events come from
``end``.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from typing import Any, cast

from headgate.conversation import JsonObject, OpaquePart, Sealed, TokenLogprob, ToolCall
from headgate.errors import GatewayError
from headgate.events import Assembler, Event, Failed, Finished, Started, UsageUpdated
from headgate.protocols.arguments import arguments_text, dumps, strict_loads
from headgate.protocols.contract import Target
from headgate.protocols.gemini import PROTOCOL
from headgate.protocols.gemini.arguments import free_text, map_name
from headgate.protocols.gemini.errors import error_of
from headgate.protocols.gemini.grounding import Grounding
from headgate.protocols.gemini.reasons import FAILURES, read_reason
from headgate.protocols.gemini.schemas import restored
from headgate.protocols.gemini.usage import input_usage, read_usage
from headgate.protocols.names import NameMap

_NONE: Mapping[str, JsonObject] = {}


class StreamReader:
    """Reads one answer. ``names`` is the map that the request was written with, the rest is ``reader_options``:
    ``json_tool`` the name of the structured-output function, whose arguments are given back as text; ``schemas`` and
    ``answer_schema`` where values have to be turned back from strings.

    ``read`` never raises: what is not valid becomes one ``Failed``, and after the end nothing more is emitted."""

    def __init__(
        self,
        target: Target,
        names: NameMap | None = None,
        json_tool: str | None = None,
        schemas: Mapping[str, JsonObject] = _NONE,
        answer_schema: JsonObject | None = None,
    ) -> None:
        self._target = target
        self._names = names or NameMap()
        self._json_tool = json_tool
        self._schemas = schemas
        self._answer_schema = answer_schema
        self._assembler = Assembler()
        self._grounding = Grounding()
        self._usage: dict[str, Any] = {}
        self._id = ""
        self._said: list[str] = []
        self._held: list[str] = []
        self._text_seal: str | None = None
        self._call_ids: set[str] = set()
        self._reason: str | None = None
        self._message: str | None = None
        self._blocked: Mapping[str, Any] | None = None
        self._called = self._started = self._over = False

    def read(self, event: str | None, data: bytes) -> list[Event]:
        """The events of one frame."""
        if self._over or data.strip() in (b"", b"[DONE]"):
            return []
        try:
            chunk = strict_loads(data.decode())
            return self._fail(error_of(chunk)) if _is_error(chunk) else self._chunk(_object(chunk))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return self._fail(self._broken("invalid_stream", "sent an event that cannot be read"))

    def end(self) -> list[Event]:
        """The byte stream is over: the closing events, or the failure of an answer without its finish reason."""
        if self._over:
            return []
        if self._reason in FAILURES:
            message = self._message or FAILURES[self._reason]
            model = f"{self._target.provider}/{self._target.model}"
            return self._fail(GatewayError(424, "provider_error", self._reason.lower(), message, model=model))
        if self._reason is None and self._blocked is None:
            return self._fail(self._broken("stream_truncated", "ended the stream before the answer was complete"))
        events = self._release() + self._close_text()
        events += self._assembler.finish()
        search = self._grounding.call(f"ws_{self._digest('search')}")
        if search is not None:
            events += self._assembler.whole_item(search)
        self._over = True
        return [*events, *self._counted(), self._finished()]

    def _finished(self) -> Finished:
        if self._reason is not None:
            extra = {"finish_message": self._message} if self._message else {}
            return Finished(read_reason(self._reason, called=self._called), self._reason, extra=extra)
        # The prompt itself was refused: there is no candidate, only the reason.
        blocked = self._blocked or {}
        message = blocked.get("blockReasonMessage")
        return Finished(
            "content_filter", str(blocked["blockReason"]), extra={"finish_message": message} if message else {}
        )

    def _chunk(self, chunk: Mapping[str, Any]) -> list[Event]:
        usage = _object(chunk.get("usageMetadata") or {})
        self._usage.update(usage)
        events: list[Event] = []
        if not self._started:
            self._started = True
            self._id = _text(chunk.get("responseId") or "") or secrets.token_hex(12)
            events.append(
                Started(
                    _text(chunk.get("responseId") or ""), _text(chunk.get("modelVersion") or ""), input_usage(usage)
                )
            )
        feedback = _object(chunk.get("promptFeedback") or {})
        if feedback.get("blockReason"):
            self._blocked = feedback
        for candidate in _list(chunk.get("candidates") or []):
            fields = _object(candidate)
            if fields.get("index") in (None, 0):
                events += self._candidate(fields)
        return events

    def _candidate(self, candidate: Mapping[str, Any]) -> list[Event]:
        logprobs = _logprobs(candidate["logprobsResult"]) if candidate.get("logprobsResult") else ()
        events: list[Event] = []
        content = candidate.get("content")
        if content:
            for part in _list(_object(content).get("parts") or []):
                events += self._part(_object(part), logprobs)
                logprobs = ()
        if "groundingMetadata" in candidate or "citationMetadata" in candidate:
            self._grounding.add(candidate)
        if candidate.get("finishReason"):
            self._reason = _text(candidate["finishReason"])
            self._message = _text(candidate.get("finishMessage") or "") or self._message
        return events

    def _part(self, part: Mapping[str, Any], logprobs: tuple[TokenLogprob, ...]) -> list[Event]:
        signature = _text(part.get("thoughtSignature") or "")
        if "text" in part:
            text = _text(part["text"])
            if part.get("thought"):
                return self._thought(text, signature)
            return self._text(text, signature, logprobs)
        if "functionCall" in part:
            return self._release() + self._close_text() + self._call(_object(part["functionCall"]), signature)
        known = {name: value for name, value in part.items() if name not in ("thought", "thoughtSignature")}
        events: list[Event] = []
        if known:
            events = self._release() + self._close_text() + self._assembler.whole_part(OpaquePart(PROTOCOL, part))
        elif signature:
            self._text_seal = signature
        return events

    def _text(self, text: str, signature: str, logprobs: tuple[TokenLogprob, ...]) -> list[Event]:
        events: list[Event] = []
        if text:
            # Text after a signed text is another part.
            events = self._close_text() if self._text_seal else []
            if self._answer_schema is not None:
                self._held.append(text)
            else:
                self._said.append(text)
                events += self._assembler.text(text, logprobs)
        if signature:
            self._text_seal = signature
        return events

    def _thought(self, text: str, signature: str) -> list[Event]:
        events = self._close_text()
        if text:
            events += self._assembler.thought(text)
        if signature:
            events += self._assembler.seal(self._sealed(signature)) + self._assembler.end_item()
        return events

    def _close_text(self) -> list[Event]:
        """End the open text: its citations, then the signature that came with it."""
        events: list[Event] = []
        said, self._said = "".join(self._said), []
        if said:
            for citation in self._grounding.citations(said):
                events += self._assembler.citation(citation)
            events += self._assembler.end_part()
        seal, self._text_seal = self._text_seal, None
        if seal is not None:
            events += self._assembler.open_reasoning()
            events += self._assembler.seal(self._sealed(seal, text=True)) + self._assembler.end_item()
        return events

    def _release(self) -> list[Event]:
        """Let out a structured answer that was held back until it could be read as a whole."""
        text, self._held = "".join(self._held), []
        if not text or self._answer_schema is None:
            return []
        text = _restored_text(text, self._answer_schema)
        self._said.append(text)
        return self._assembler.text(text)

    def _call(self, call: Mapping[str, Any], signature: str) -> list[Event]:
        if call.get("willContinue") or call.get("partialArgs"):
            raise TypeError("arguments in pieces, which no request of ours asks for")
        wire = _text(call["name"])
        args = dict(_object(call.get("args") or {}))
        if self._json_tool is not None and wire == self._json_tool:
            args = restored(args, self._answer_schema, self._answer_schema) if self._answer_schema else args
            text = arguments_text(args)
            self._said.append(text)
            return self._assembler.text(text)
        if wire in self._schemas:
            args = restored(args, self._schemas[wire], self._schemas[wire])
        self._called = True
        known = map_name(self._names, wire)
        namespace, name = self._names.split(known)
        custom = known in self._names.custom
        call_id = self._call_id(_text(call.get("id") or ""))
        item = ToolCall(
            call_id,
            name,
            "",
            kind="custom" if custom else "function",
            namespace=namespace,
            sealed=self._sealed(signature) if signature else None,
        )
        text = free_text(args) if custom else arguments_text(args)
        events = self._assembler.tool_call(call_id, item)
        if text:
            events += self._assembler.arguments(call_id, text)
        return events + self._assembler.end_call(call_id)

    def _call_id(self, given: str) -> str:
        """The vendor's id, or one of our own where it gave none or gave one twice."""
        number = len(self._call_ids)
        call_id = given if given and given not in self._call_ids else f"call_{self._digest(number)}"
        self._call_ids.add(call_id)
        return call_id

    def _digest(self, what: object) -> str:
        return hashlib.sha256(f"{self._id}/{what}".encode("utf-8", "surrogatepass")).hexdigest()[:24]

    def _sealed(self, data: str, *, text: bool = False) -> Sealed:
        # The writer of the next request must know which part a signature came with.
        kind = "encrypted" if text else "signature"
        return Sealed(PROTOCOL, data, self._target.provider, self._target.model, kind)

    def _counted(self) -> list[Event]:
        searches = self._grounding.searches(per_query="search_per_query" in self._target.quirks)
        return [UsageUpdated(read_usage(self._usage, searches))] if self._usage or searches else []

    def _fail(self, error: GatewayError) -> list[Event]:
        self._over = True
        error.model = error.model or f"{self._target.provider}/{self._target.model}"
        return [*self._counted(), Failed(error)]

    def _broken(self, code: str, what: str) -> GatewayError:
        model = f"{self._target.provider}/{self._target.model}"
        return GatewayError(424, "provider_error", code, f"{model} {what}", model=model)


def _restored_text(text: str, schema: JsonObject) -> str:
    try:
        value = strict_loads(text)
    except (ValueError, RecursionError):
        # Cut short by the token limit: it stands as far as it came.
        return text
    return dumps(restored(value, schema, schema))


def _is_error(chunk: Any) -> bool:
    first = chunk[0] if isinstance(chunk, list) and chunk else chunk
    return isinstance(first, dict) and bool(cast("dict[str, Any]", first).get("error"))


def _logprobs(value: Any) -> tuple[TokenLogprob, ...]:
    result = _object(value)
    tops = [_list(_object(each).get("candidates") or []) for each in _list(result.get("topCandidates") or [])]
    found: list[TokenLogprob] = []
    for index, chosen in enumerate(_list(result.get("chosenCandidates") or [])):
        token, logprob = _token(chosen)
        top = tuple((*_token(each), _bytes(_token(each)[0])) for each in tops[index]) if index < len(tops) else ()
        found.append(TokenLogprob(token, logprob, _bytes(token), top))
    return tuple(found)


def _token(value: Any) -> tuple[str, float]:
    fields = _object(value)
    logprob = fields.get("logProbability", 0)
    if type(logprob) not in (int, float):
        raise TypeError("a number was expected")
    return _text(fields.get("token") or ""), float(logprob)


def _bytes(token: str) -> tuple[int, ...]:
    return tuple(token.encode("utf-8", "surrogatepass"))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a string was expected")
    return value


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("an object was expected")
    return cast("Mapping[str, Any]", value)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a list was expected")
    return cast("list[Any]", value)

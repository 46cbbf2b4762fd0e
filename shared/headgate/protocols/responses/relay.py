"""Responses on both sides: the upstream's frames go through as they are, and a reader looks on.

Only three kinds of frame are touched: those that carry the ``response`` object (it is ours: id, model, state, cost),
reasoning items (their seal belongs to one tenant and one provider), and the end of the stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from headgate.conversation import Sealed
from headgate.errors import GatewayError
from headgate.protocols.contract import Reply, Target
from headgate.protocols.responses.client_answer import response_object, wants_encrypted
from headgate.protocols.responses.echo import echo, money
from headgate.protocols.responses.errors import answer_error, failed_response, malformed, stream_error, truncated
from headgate.protocols.responses.parts import PROTOCOL
from headgate.protocols.responses.relay_request import prepare, suits
from headgate.protocols.responses.usage import usage_of, write_usage
from headgate.protocols.responses.wire import compact_json, encode, parse_json
from headgate.protocols.sse import DONE, parse_frame
from headgate.usage import Usage

__all__ = ["Relay", "prepare", "said", "suits"]

_TYPE = re.compile(rb'"type"\s*:\s*"(response\.[a-z_.]+|error)"')
_OPENING = ("response.created", "response.queued", "response.in_progress")
_TERMINAL = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_CLIENTS_OWN = ("conversation", "metadata", "previous_response_id", "prompt_cache_key", "store", "user")
"""Fields of the object that say what the client asked of us, not what we asked of the upstream."""
_WHERE_SAID = ("background", "max_output_tokens", "prompt", "safety_identifier", "service_tier", "truncation")
"""Fields that the upstream was not told, or told otherwise: the client's value is echoed if it gave one."""


class Relay:
    """Passes one answer through.

    usage, finish (the vendor's word: ``completed``, ``max_output_tokens``, ``content_filter``, ``failed``), body (the
    final object as the client saw it), error, saw_output, done (the closing frames have been given out), and
    state_items (final output items with every seal wrapped, for the state table) tell what was seen.
    """

    def __init__(self, reply: Reply, target: Target) -> None:
        self.usage = Usage()
        self.finish: str | None = None
        self.body: dict[str, Any] | None = None
        self.error: GatewayError | None = None
        self.saw_output = False
        self.done = False
        self.state_items: list[dict[str, Any]] = []
        self._reply = reply
        self._target = target
        self._model = f"{target.provider}/{target.model}"
        self._own: dict[str, Any] | None = None
        self._sealed = wants_encrypted(reply.body)
        self._response: dict[str, Any] | None = None
        self._last = b""

    def feed(self, frame: bytes) -> bytes:
        """One whole SSE frame in; what the client gets for it out."""
        if self.done:
            return b""
        kind = _kind(frame)
        if kind.endswith(".delta"):
            if frame[-3:] != b"}\n\n" and not _parsed(frame):
                return self.fail(malformed(self._model))
            self.saw_output = True
            self._last = frame
            return frame
        if not kind:
            return self._untyped(frame)
        if kind in ("response.output_item.added", "response.output_item.done"):
            self.saw_output = True
            out = self._item(frame, kind)
        elif kind in _OPENING or kind in _TERMINAL:
            out = self._envelope(frame, kind)
        elif kind == "error":
            out = self._note_error(frame)
        else:
            self.saw_output = self.saw_output or kind.startswith("response.")
            out = frame
        self._last = out
        return out

    def end(self) -> bytes:
        """The upstream's stream is over: the protocol's failure form, unless the answer came to its end."""
        return b"" if self.done else self.fail(truncated(self._model))

    def fail(self, error: GatewayError) -> bytes:
        """End the client's stream with ``response.failed``. An error that the upstream itself reported comes first."""
        if self.done:
            return b""
        self.error = self.error or error
        if not self.usage.total:
            self.usage = self._reply.broken_off(self.usage)
        number = self._next_number()
        out = b""
        if self._response is None:
            # SDKs refuse a stream that does not begin with this event.
            self._response = response_object(self._reply, echo(self._reply.body), [], usage=None, finished=None)
            out = _frame("response.created", number, self._response)
            number += 1
        ended = {
            "status": "failed",
            "error": answer_error(self.error),
            "output": [self._shown(item) for item in self.state_items],
            **money(self.usage, self._reply),
        }
        self._close({**self._response, **ended}, "failed")
        return out + _frame("response.failed", number, self.body) + DONE

    def json(self, raw: bytes) -> dict[str, Any]:
        """A whole answer that was not streamed. Raises ValueError for what is not a JSON object."""
        response = parse_json(raw)
        if not isinstance(response, dict):
            raise ValueError("not an object")
        return self._finish(response)

    def _untyped(self, frame: bytes) -> bytes:
        """A comment, the stream's [DONE] (which goes out with the terminal event), or an error without its event."""
        if frame.strip() == b"data: [DONE]":
            return b""
        _, data = parse_frame(frame)
        if data is None:
            return frame
        event = _parsed(frame)
        if not event:
            return self.fail(malformed(self._model))
        return self._note_error(frame) if event.get("error") else frame

    def _item(self, frame: bytes, kind: str) -> bytes:
        event = _parsed(frame)
        item = event.get("item")
        if not isinstance(item, dict):
            return frame
        kept = self._kept(item)
        if kind == "response.output_item.done":
            self.state_items.append(kept)
        if "encrypted_content" not in item:
            return frame
        return encode(f"event: {kind}\ndata: {compact_json({**event, 'item': self._shown(kept)})}\n\n")

    def _envelope(self, frame: bytes, kind: str) -> bytes:
        event = _parsed(frame)
        response = event.get("response")
        if not isinstance(response, dict):
            return frame
        if kind in _OPENING:
            self._response = shown = self._rewritten(response)
            return encode(f"event: {kind}\ndata: {compact_json({**event, 'response': shown})}\n\n")
        if kind in ("response.completed", "response.incomplete"):
            self.saw_output = True
        shown = self._finish(response, failed=kind in ("response.failed", "response.cancelled"))
        return encode(f"event: {kind}\ndata: {compact_json({**event, 'response': shown})}\n\n") + DONE

    def _note_error(self, frame: bytes) -> bytes:
        """An ``error`` event. Some clients ignore it and wait for ``response.failed``, which OpenAI sends after it and
        which ``end`` adds where the upstream does not."""
        event = _parsed(frame)
        inner = event.get("error")
        self.error = stream_error(inner if isinstance(inner, dict) else event, self._model)
        return frame

    def _finish(self, response: dict[str, Any], *, failed: bool = False) -> dict[str, Any]:
        if response.get("usage"):
            self.usage = usage_of(response)
        if failed or response.get("status") in ("failed", "cancelled"):
            self.error = failed_response(response, self._model)
            if not self.usage.total:
                self.usage = self._reply.broken_off(self.usage)
        output = response.get("output")
        if isinstance(output, list) and output:
            self.state_items = [self._kept(item) for item in output if isinstance(item, dict)]
        shown = self._rewritten(response)
        if isinstance(output, list):
            shown["output"] = [self._shown(self._kept(i)) if isinstance(i, dict) else i for i in output]
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        self._close(shown, str(reason or response.get("status") or "completed"))
        return shown

    def _close(self, shown: dict[str, Any], finish: str) -> None:
        self.body, self.finish, self.done = shown, finish, True

    def _rewritten(self, response: dict[str, Any]) -> dict[str, Any]:
        """The response object as ours, key order kept. ``cost`` and ``redact`` are additions of the gateway."""
        if self._own is None:
            body = self._reply.body
            echoed = echo(body)
            said = (name for name in _WHERE_SAID if body.get(name) is not None)
            self._own = {name: echoed[name] for name in (*_CLIENTS_OWN, *said)}
        usage = response.get("usage")
        known = usage_of(response) if usage else self.usage if self.usage.estimated else None
        costs = money(known, self._reply)
        if isinstance(usage, dict):
            costs["usage"] = _with_our_names(usage, usage_of(response))
        ours = {"id": self._reply.id, "model": self._reply.model, **self._own, **costs}
        return {**response, **ours, "redact": response.get("redact")}

    def _kept(self, item: dict[str, Any]) -> dict[str, Any]:
        """``item`` with its seal wrapped, so that another tenant's or provider's is known as such when it returns."""
        data = item.get("encrypted_content")
        if item.get("type") != "reasoning" or not isinstance(data, str) or not data:
            return item
        seal = Sealed(PROTOCOL, data, self._target.provider, self._target.model, "encrypted")
        return {**item, "encrypted_content": self._reply.seal(seal)}

    def _shown(self, kept: dict[str, Any]) -> dict[str, Any]:
        if self._sealed or kept.get("type") != "reasoning" or "encrypted_content" not in kept:
            return kept
        return {name: value for name, value in kept.items() if name != "encrypted_content"}

    def _next_number(self) -> int:
        number = _parsed(self._last).get("sequence_number")
        return number + 1 if type(number) is int else 0


def said(event: Mapping[str, Any]) -> Iterator[object]:
    """The answer's own strings in an event, for estimates."""
    if str(event.get("type", "")).endswith(".delta"):
        yield event.get("delta")


def _kind(frame: bytes) -> str:
    """The event type of a frame, without parsing it; "" for comments and [DONE]."""
    if frame.startswith(b"event: "):
        return frame[7 : frame.find(b"\n")].rstrip().decode("latin-1")
    found = _TYPE.search(frame)
    return found[1].decode() if found else ""


def _parsed(frame: bytes) -> dict[str, Any]:
    """The data of a frame; {} where it is no JSON object, which then passes as it is."""
    _, data = parse_frame(frame)
    try:
        event = parse_json(data or b"")
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _frame(kind: str, number: int, response: Mapping[str, Any] | None) -> bytes:
    event = {"type": kind, "sequence_number": number, "response": response}
    return encode(f"event: {kind}\ndata: {compact_json(event)}\n\n")


def _with_our_names(usage: Mapping[str, Any], counted: Usage) -> dict[str, Any]:
    """The upstream's own usage object with the names this gateway adds."""
    ours = write_usage(counted)
    merged = {**ours, **usage}
    for name in ("input_tokens_details", "output_tokens_details"):
        theirs = usage.get(name)
        merged[name] = {**ours[name], **(theirs if isinstance(theirs, dict) else {})}
    return merged

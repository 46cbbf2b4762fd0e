"""Messages on both sides: the client's body goes up, the upstream's bytes come down, and only the envelope changes.

Nothing is filtered by an allow-list: fields, blocks and events that did not exist when this was written pass through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from headgate.errors import GatewayError
from headgate.losses import Loss
from headgate.protocols.contract import Reply, Target, Unseal
from headgate.protocols.messages.accumulate import accumulate
from headgate.protocols.messages.client_answer import cost
from headgate.protocols.messages.errors import error_body, error_from
from headgate.protocols.messages.relay_fit import fit
from headgate.protocols.messages.usage import merge_usage, read_usage
from headgate.protocols.sse import frame, parse_frame
from headgate.usage import Usage

_GATEWAY_FIELDS = ("provider", "thread", "routing", "session_id", "extra_body", "request_context_tokens")
_MODEL = re.compile(rb'"model"\s*:\s*"(?:[^"\\]|\\.)*"')
_HOT = b"content_block_delta"


def prepare(
    body: Mapping[str, Any], target: Target, unseal: Unseal, prompt_cache_key: str | None = None
) -> tuple[dict[str, Any], list[Loss]]:
    """The body for ``target``: the client's own, with the model set and the gateway's fields removed.

    What earlier answers of ours put into the history and this upstream would refuse is taken out: thinking that it did
    not sign, searches that another provider ran, citations without the vendor's index; ``relay_fit`` does the same for
    what older models are known to refuse. ``prompt_cache_key`` has no counterpart: the vendor caches by the marks in
    the body."""
    losses: list[Loss] = []
    out = {name: value for name, value in body.items() if name not in _GATEWAY_FIELDS}
    out["model"] = target.model
    messages = body.get("messages")
    if isinstance(messages, list):
        turns = [_prepare_turn(turn, f"messages[{i}]", target, unseal, losses) for i, turn in enumerate(messages)]
        out["messages"] = [turn for turn in turns if turn is not None]
    fit(out, target, losses)
    return out, losses


def _prepare_turn(
    turn: Mapping[str, Any], path: str, target: Target, unseal: Unseal, losses: list[Loss]
) -> Mapping[str, Any] | None:
    content = turn.get("content")
    if turn.get("role") != "assistant" or not isinstance(content, list):
        return turn
    blocks: list[Any] = []
    changed = False
    for index, block in enumerate(content):
        kept = _prepare_block(block, f"{path}.content[{index}]", target, unseal, losses)
        changed = changed or kept is not block
        if kept is not None:
            blocks.append(kept)
    if not changed:
        return turn
    return {**turn, "content": blocks} if blocks else None


def _prepare_block(
    block: Mapping[str, Any], path: str, target: Target, unseal: Unseal, losses: list[Loss]
) -> Mapping[str, Any] | None:
    match block.get("type"):
        case "thinking":
            return _prepare_seal(block, "signature", path, target, unseal, losses)
        case "redacted_thinking":
            return _prepare_seal(block, "data", path, target, unseal, losses)
        case "server_tool_use" if not str(block.get("id")).startswith("srvtoolu_"):
            losses.append(Loss(path, "provider_tool_call", "a search of another provider was left out"))
            return None
        case "web_search_tool_result" if not str(block.get("tool_use_id")).startswith("srvtoolu_"):
            return None
        case "text" if block.get("citations"):
            own = [each for each in block["citations"] if each.get("encrypted_index") != ""]
            return block if len(own) == len(block["citations"]) else {**block, "citations": own or None}
        case _:
            return block


def _prepare_seal(
    block: Mapping[str, Any], field: str, path: str, target: Target, unseal: Unseal, losses: list[Loss]
) -> Mapping[str, Any] | None:
    token = block.get(field)
    sealed = unseal(token) if isinstance(token, str) and token else None
    if sealed is not None and target.made(sealed, "messages"):
        if sealed.data == token:
            return block
        if sealed.kind == "redacted":
            return {"type": "redacted_thinking", "data": sealed.data}
        return {**block, field: sealed.data}
    losses.append(Loss(path, "foreign_signature", f"thinking that {target.model} did not sign was left out"))
    return None


def said(event: Mapping[str, Any]) -> Iterator[object]:
    """The answer's own strings in an event, for estimates."""
    delta = event.get("delta")
    if isinstance(delta, dict):
        yield from (delta.get(name) for name in ("text", "thinking", "partial_json"))


class Relay:
    """Passes one answer on, frame by frame, and looks at it.

    After the end: ``usage``, ``finish`` (the vendor's ``stop_reason``), ``error``, and ``body``, the Message as the
    client saw it; of a stream it is kept only where ``reply.extra["keep"]`` is set, because it costs a copy of every
    frame. ``saw_output``: content has gone by. ``done``: nothing more follows."""

    def __init__(self, reply: Reply, target: Target) -> None:
        self.usage = Usage()
        self.finish: str | None = None
        self.body: dict[str, Any] | None = None
        self.error: GatewayError | None = None
        self.saw_output = False
        self.done = False
        self._reply = reply
        self._target = target
        self._raw_usage: dict[str, Any] = {}
        self._kept: list[bytes] | None = [] if reply.extra.get("keep") else None

    def feed(self, frame: bytes) -> bytes:
        """One whole frame of the upstream, as the client gets it; nothing once the answer has ended."""
        if self.done:
            return b""
        if frame.find(_HOT, 0, 40) >= 0:
            self.saw_output = True
            if self._kept is not None:
                self._kept.append(frame)
            return frame
        out = self._slow(frame)
        if self._kept is not None:
            self._kept.append(out)
            if self.done:
                self.body = accumulate(self._kept) or None
        return out

    def _slow(self, frame: bytes) -> bytes:
        _, data = parse_frame(frame)
        if data is None:
            return frame
        try:
            payload = json.loads(data)
        except ValueError:
            return b"" if data.strip() == b"[DONE]" else self._broken("sent an event that is not JSON")
        kind = payload.get("type") if isinstance(payload, dict) else None
        match kind:
            case "message_start":
                return self._start(frame, payload)
            case "content_block_start" | "content_block_delta":
                self.saw_output = True
            case "message_delta":
                return self._delta(frame, payload)
            case "message_stop":
                self.done = True
            case "error":
                self.done = True
                self.error = self._named(error_from(payload.get("error")))
                self._estimate()
            case _:
                return frame
        return frame

    def _start(self, frame: bytes, payload: Mapping[str, Any]) -> bytes:
        message = payload.get("message")
        if not isinstance(message, dict):
            return self._broken("sent an event of the wrong form")
        self._count(message.get("usage"))
        model = f'"model":{json.dumps(self._reply.model)}'.encode()
        frame = _MODEL.sub(lambda _: model, frame, count=1)
        if self._own_id() and isinstance(message.get("id"), str):
            theirs = json.dumps(message["id"], ensure_ascii=False).encode()
            ours = json.dumps(self._reply.id).encode()
            frame = re.sub(rb'("id"\s*:\s*)' + re.escape(theirs), lambda match: match[1] + ours, frame, count=1)
        return frame

    def _delta(self, frame: bytes, payload: Mapping[str, Any]) -> bytes:
        self._count(payload.get("usage"))
        delta = payload.get("delta")
        reason = delta.get("stop_reason") if isinstance(delta, dict) else None
        if isinstance(reason, str):
            self.finish = reason
        end = frame.rfind(b"}")
        added = f',"cost":{json.dumps(cost(self._reply, self.usage), separators=(",", ":"))}'
        return frame[:end] + added.encode() + frame[end:]

    def _count(self, usage: object) -> None:
        self._raw_usage = merge_usage(self._raw_usage, usage)
        self.usage = read_usage(self._raw_usage)

    def _own_id(self) -> bool:
        return bool(self._reply.extra.get("own_id"))

    def end(self) -> bytes:
        """The byte stream is over. An answer with its stop reason is closed, any other gets an error event."""
        if self.done:
            return b""
        if self.finish is not None:
            return self.feed(frame("message_stop", {"type": "message_stop"}))
        return self._broken("ended the stream before the answer was complete", "stream_truncated")

    def fail(self, error: GatewayError) -> bytes:
        """End the stream with ``error``."""
        if self.done:
            return b""
        self.done = True
        self.error = error
        self._estimate()
        if self._kept is not None:
            self.body = accumulate(self._kept) or None
        request_id = self._reply.extra.get("request_id")
        return frame("error", error_body(error, request_id if isinstance(request_id, str) else None))

    def _estimate(self) -> None:
        """The output that ``message_start`` names is only what was made until then; ``message_delta`` has the rest."""
        if self.finish is None:
            self.usage = self._reply.broken_off(self.usage)

    def _broken(self, what: str, code: str = "invalid_stream") -> bytes:
        model = f"{self._target.provider}/{self._target.model}"
        return self.fail(GatewayError(424, "provider_error", code, f"{model} {what}", model=model))

    def _named(self, error: GatewayError) -> GatewayError:
        error.model = f"{self._target.provider}/{self._target.model}"
        return error

    def json(self, raw: bytes) -> dict[str, Any]:
        """A whole answer that was not streamed, with our envelope. Raises ValueError where it is no JSON object."""
        body = json.loads(raw)
        if not isinstance(body, dict):
            raise ValueError("a Message is a JSON object")
        self.done = True
        self.saw_output = True
        self._count(body.get("usage"))
        reason = body.get("stop_reason")
        self.finish = reason if isinstance(reason, str) else None
        body["model"] = self._reply.model
        if self._own_id():
            body["id"] = self._reply.id
        body["cost"] = cost(self._reply, self.usage)
        self.body = body
        return body

"""Answers on their way: what leaves at once, and what waits until the turn is stored."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import Request

from dev.function_url import event_of
from headgate.access.keys import KeyRecord
from headgate.protocols.contract import Reply, Target
from headgate.protocols.registry import relay_side
from headgate.web.call import Call
from headgate.web.serving import RelayServing
from headgate_runtime.api import Invocation
from headgate_runtime.application import scope_and_body
from headgate_runtime.context import Context

STREAMS = {
    "chat_completions": [
        'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}]}',
        'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}',
        'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
        "data: [DONE]",
    ],
    "messages": [
        'event: message_start\ndata: {"type":"message_start","message":{"id":"m","model":"m","usage":{}}}',
        'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        '"delta":{"type":"text_delta","text":"Hello"}}',
        'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}}',
        'event: message_stop\ndata: {"type":"message_stop"}',
    ],
    "responses": [
        'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{"id":"r"}}',
        'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"Hello"}',
        'event: response.completed\ndata: {"type":"response.completed","sequence_number":2,'
        '"response":{"id":"r","status":"completed","output":[]}}',
        "data: [DONE]",
    ],
}
CLOSING = {"chat_completions": b"[DONE]", "messages": b"message_stop", "responses": b"response.completed"}


def stream_of(*chunks: bytes) -> Any:
    async def read() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return SimpleNamespace(status=200, chunks=read)


def relayed(protocol: str, *chunks: bytes) -> RelayServing:
    reply = Reply("id", 0, "p/m", {"model": "m"}, lambda _: 0, lambda _: "sealed", lambda: 0)
    return RelayServing(stream_of(*chunks), relay_side(protocol).relay(reply, Target("p", "m")))


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("protocol", STREAMS)
async def test_the_text_leaves_before_the_turn_is_stored_and_the_end_after(protocol: str, at_once: bool):
    frames = [frame.encode() + b"\n\n" for frame in STREAMS[protocol]]
    serving = relayed(protocol, *([b"".join(frames)] if at_once else frames))
    await serving.prime()
    sent = [pair async for pair in serving.frames()]
    before = b"".join(out for out, over in sent if not over)
    assert [over for _, over in sent].count(True) == 1 and sent[-1][1]
    assert b"Hello" in before and CLOSING[protocol] not in before
    assert CLOSING[protocol] in sent[-1][0]


def test_lambdas_deadline_bounds_a_request():
    at = int((time.time() + 20) * 1000)
    context = Context(Invocation("id", b"", at))
    http = {"type": "http", "method": "POST", "path": "/v1/messages", "raw_path": b"/v1/messages", "query_string": b""}
    event = event_of(http | {"headers": [], "scheme": "https", "http_version": "1.1"}, b"{}", "id", "messages")
    scope, _ = scope_and_body(event, context, {})
    key = KeyRecord(id="k", sha256="", name="", owner="o", created_at=0, masked="")
    call = Call(SimpleNamespace(), Request(scope), "messages", key, "req")  # type: ignore[arg-type]
    assert 15 < call.remaining_seconds() <= 17
    del scope["headgate.deadline"]
    assert call.remaining_seconds() > 1000

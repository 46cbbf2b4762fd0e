"""The serving cuts an upstream's bytes the way its protocol says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from dev.simulated_providers.converse_wire import event, exception
from headgate.protocols.contract import Reply, Target
from headgate.protocols.registry import client_side, upstream_side
from headgate.protocols.sse import EventSplitter, FrameSplitter, FrameTooLarge, parse_frame
from headgate.routing.transport import UpstreamFailure
from headgate.web.serving import TranslatedServing

TARGET = Target("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", thinking="budget")
EVENTS = [
    event("messageStart", {"role": "assistant"}),
    event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hel"}}),
    event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "lo"}}),
    event("contentBlockStop", {"contentBlockIndex": 0}),
    event("messageStop", {"stopReason": "end_turn"}),
    event("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 1}}),
]


class Stream:
    """An upstream whose bytes are given."""

    status = 200

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


def serving(chunks: list[bytes]) -> TranslatedServing:
    side = upstream_side("converse")
    reply = Reply(
        id="chatcmpl-1",
        created_at=0,
        model="bedrock/claude-sonnet-4-5",
        body={"model": "auto", "messages": []},
        price=lambda usage: None,
        seal=lambda sealed: sealed.data,
        completed_at=lambda: 0,
    )
    stream: Any = Stream(chunks)
    return TranslatedServing(
        stream, side.reader(TARGET), client_side("chat_completions").writer(reply), side.splitter()
    )


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
async def test_binary_events_become_an_answer(size):
    raw = b"".join(EVENTS)
    body = await serving([raw[at : at + size] for at in range(0, len(raw), size)]).json()
    assert body["choices"][0]["message"]["content"] == "Hello"
    assert body["usage"]["prompt_tokens"] == 3


async def test_a_failure_before_the_first_output_may_move_on():
    with pytest.raises(UpstreamFailure) as caught:
        await serving([EVENTS[0], exception("throttlingException", {"message": "slow down"})]).prime()
    assert caught.value.move_on and caught.value.error.status == 429


@pytest.mark.parametrize("damage", [b"<html>", b"\xff" * 40])
async def test_damage_in_the_middle_ends_in_the_clients_error_form(damage):
    broken = serving([*EVENTS[:3], damage * 3])
    await broken.prime()
    frames = [frame async for frame, _ in broken.frames()]
    assert b"Hel" in b"".join(frames) and b'"error"' in frames[-1] and b"damaged" in frames[-1]
    assert b"checksum" not in b"".join(frames)


async def test_damage_at_once_may_move_on():
    with pytest.raises(UpstreamFailure, match="damaged"):
        await serving([b"<html>Bad Gateway</html>"]).prime()


def test_every_other_protocol_streams_server_sent_events():
    names = ("responses", "chat_completions", "messages", "cohere")
    assert all(isinstance(upstream_side(name).splitter(), EventSplitter) for name in names)
    assert not isinstance(upstream_side("converse").splitter(), EventSplitter)


def test_sse_events_are_the_frames_parsed():
    raw = b': ping\n\nevent: a\ndata: {"x":1}\n\ndata: one\r\ndata: two\r\n\r\ndata: last'
    whole = [("a", b'{"x":1}'), (None, b"one\ntwo"), (None, b"last")]
    for at in range(len(raw) + 1):
        splitter = EventSplitter()
        assert splitter.feed(raw[:at]) + splitter.feed(raw[at:]) + splitter.rest() == whole
    assert [parse_frame(frame) for frame in FrameSplitter().feed(raw)][1:] == whole[:2]
    with pytest.raises(FrameTooLarge):
        EventSplitter(limit=3).feed(b"data: more")

"""A request written for Anthropic and read again as a client's says the same; a stream survives the vendor's SDK."""

import json
from collections.abc import Iterable
from typing import Any

import anthropic
import httpx2
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.conversation import Item, Message, Reasoning, Request, Text, Thought, ToolCall, ToolResult
from headgate.events import Event
from headgate.protocols.messages.client_request import read_request
from headgate.protocols.messages.client_stream import StreamWriter
from headgate.protocols.messages.schema import validate
from headgate.protocols.messages.upstream_request import write_request
from headgate.usage import Usage
from tests.strategies import requests, sealed
from tests.unit.messages_support import TARGET, reply, stream, unseal

OURS = sealed("messages", "anthropic", "claude-sonnet-4-5")
# What repairs a history without taking anything of its content away.
HARMLESS = {"trailing_reasoning"}


@settings(max_examples=80)
@given(requests(seals=OURS))
def test_a_request_says_the_same_after_the_wire(request: Request) -> None:
    body, losses = write_request(request, TARGET)
    back, more = read_request(validate(json.loads(json.dumps(body))), unseal)
    assert {loss.code for loss in losses} <= HARMLESS
    assert more == []
    before = (*(Message("system", (part,)) for part in request.instructions), *request.items)
    after = (*(Message("system", (part,)) for part in back.instructions), *back.items)
    assert _plain(after) == _plain(before)
    if request.tools:
        assert back.tools == request.tools
        assert back.parallel_tool_calls == request.parallel_tool_calls or request.tool_choice is not None
    assert back.sampling == request.sampling


def _plain(items: Iterable[Item]) -> list[Any]:
    """``items`` up to what the vendor's form cannot tell apart: turns of one side in a row, developer from system,
    the spelling of arguments. Thinking without a seal, or with nothing after it, is not sent at all."""
    out: list[Any] = []
    for item in items:
        match item:
            case Reasoning(sealed=None):
                continue
            case Reasoning(parts=parts, sealed=seal):
                out.append(("thinking", "".join(part.text for part in parts), seal.data if seal else None))
            case ToolCall():
                out.append(("call", item.call_id, item.name, json.loads(item.arguments)))
            case ToolResult():
                out.append(("result", item.call_id, item.parts, item.is_error))
            case Message(role=role, parts=parts):
                role = "system" if role == "developer" else role
                if role == "user":
                    while out and out[-1][0] == "thinking":
                        out.pop()
                if out and out[-1][0] == role:
                    out[-1] = (role, out[-1][1] + parts)
                else:
                    out.append((role, parts))
    return out


def _client(frames: bytes) -> anthropic.Anthropic:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=frames)

    http = anthropic.DefaultHttpxClient(transport=httpx2.MockTransport(answer))
    return anthropic.Anthropic(
        api_key="k", base_url="http://gateway", http_client=http, _strict_response_validation=True
    )


@settings(max_examples=20, deadline=None)
@given(st.booleans())
def test_the_sdk_puts_the_stream_together(with_call: bool) -> None:
    items: tuple[Item, ...] = (
        Reasoning((Thought("hm"),), None),
        Message("assistant", (Text("Hello\u2028"), Text("world"))),
    )
    if with_call:
        items = (*items, ToolCall("call_1", "f", '{"a": [1, "é"]}'))
    writer = StreamWriter(reply())
    events: list[Event] = stream(items, Usage(20, 5, output_total=7))
    raw = b"".join(writer.write(event) for event in events)
    arguments: Any = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    with _client(raw).messages.stream(**arguments) as received:
        text = "".join(received.text_stream)
        message = received.get_final_message()
    assert text == "Hello\u2028world"
    body = writer.body()
    assert [block.to_dict() for block in message.content] == body["content"]
    assert (message.stop_reason, message.usage.input_tokens) == ("tool_use" if with_call else "end_turn", 15)
    assert (message.usage.cache_read_input_tokens, message.usage.output_tokens) == (5, 7)

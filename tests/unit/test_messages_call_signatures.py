"""The signature of a tool call (Gemini's thought signature) on its way through a Messages client, which would not send
it back on the call: as a signed thinking block without text before the call."""

import pytest

from headgate.conversation import Message, Reasoning, Sealed, Text, Thought, ToolCall
from headgate.fold import fold
from headgate.protocols.contract import Target
from headgate.protocols.messages.client_answer import write_answer
from headgate.protocols.messages.client_blocks import TurnReader
from headgate.protocols.messages.client_request import read_request
from headgate.protocols.messages.relay import prepare
from headgate.protocols.messages.schema import validate
from headgate.protocols.messages.upstream_request import write_request
from tests.unit.messages_support import TARGET, accumulate_blocks, check_message, reply, stream, unseal, written

SEAL = Sealed("gemini", "U0lH", "vertex", "gemini-3.1-pro-preview")
FIRST = ToolCall("call_1", "get_weather", '{"city":"Paris"}', sealed=SEAL)
SECOND = ToolCall("call_2", "get_weather", '{"city":"Rome"}')


def blocks_of(*items, body=None):
    """The content of an answer, which is the same streamed and whole."""
    events = stream(items, reason="tool_calls")
    payloads, _ = written(events, reply(body))
    whole = write_answer(fold(events), reply(body))
    check_message(whole)
    streamed = accumulate_blocks(payloads)
    assert streamed == whole["content"]
    starts = [each["index"] for each in payloads if each["type"] == "content_block_start"]
    assert starts == list(range(len(streamed)))
    return streamed


def read_back(blocks, opened=unseal):
    losses = []
    return TurnReader("assistant", "messages[1]", opened, losses).read({"content": blocks}), losses


@pytest.mark.parametrize("body", [None, {"thinking": {"type": "enabled", "display": "omitted"}}])
def test_it_stands_before_the_call_and_comes_back_on_it(body):
    said = Message("assistant", (Text("I look."),))
    blocks = blocks_of(said, FIRST, SECOND, body=body)
    assert [block["type"] for block in blocks] == ["text", "thinking", "tool_use", "tool_use"]
    assert blocks[1]["thinking"] == "" and blocks[1]["signature"].startswith("hg1.")
    assert read_back(blocks) == ([said, FIRST, SECOND], [])


def test_the_seal_of_thoughts_is_another():
    thought = Reasoning((Thought("Hm."),), Sealed("gemini", "QUJD", "vertex", "gemini-3.1-pro-preview"))
    textless = Reasoning((), Sealed("gemini", "REVG", "vertex", "gemini-3.1-pro-preview"))
    for items in ((thought, FIRST), (textless, FIRST), (textless, SECOND), (thought, FIRST, SECOND)):
        assert read_back(blocks_of(*items)) == (list(items), [])


def test_every_signed_call_keeps_its_own():
    other = ToolCall("call_2", "get_weather", "{}", sealed=Sealed("gemini", "R0hJ", "vertex", "gemini-3.1-pro-preview"))
    assert read_back(blocks_of(FIRST, other)) == ([FIRST, other], [])


def test_without_its_call_it_is_dropped_and_said():
    items, losses = read_back(blocks_of(FIRST)[:1])
    assert items == [] and [(loss.path, loss.code) for loss in losses] == [
        ("messages[1].content[0]", "foreign_signature")
    ]
    items, losses = read_back(blocks_of(FIRST), lambda token: None)
    (call,) = items
    assert call == ToolCall("call_1", "get_weather", '{"city":"Paris"}')
    assert [loss.code for loss in losses] == ["foreign_signature"]


def test_it_is_never_shown_to_anthropic():
    history = [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": blocks_of(FIRST)},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "sun"}]},
    ]
    tools = [{"name": "get_weather", "input_schema": {"type": "object"}}]
    body = validate({"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": history, "tools": tools})
    sent, losses = prepare(body, TARGET, unseal)
    assert [block["type"] for block in sent["messages"][1]["content"]] == ["tool_use"]
    assert [loss.code for loss in losses] == ["foreign_signature"]
    request, _ = read_request(body, unseal)
    sent, losses = write_request(request, Target("bedrock", "claude-sonnet-4-5", max_output_tokens=100))
    assert "U0lH" not in str(sent) and "thinking" not in str(sent["messages"])

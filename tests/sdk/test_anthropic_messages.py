"""Anthropic's Python SDK on the Messages frontend, over every upstream protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from anthropic.types import Message

from tests.sdk.support import (
    BOTH,
    CITY_SCHEMA,
    CLOCK,
    MODES,
    PARIS,
    PDF,
    PNG,
    TWO_CALLS,
    WEATHER,
    WEB_IMAGE,
    ZONE,
    ZONE_SCHEMA,
    Case,
    Mode,
    Solution,
    run,
)

TOOLS: list[Any] = [
    {"name": WEATHER, "description": "Weather", "input_schema": CITY_SCHEMA},
    {"name": CLOCK, "description": "Time", "input_schema": ZONE_SCHEMA},
]
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}


def user(content: Any) -> dict[str, Any]:
    """A user turn."""
    return {"role": "user", "content": content}


def ask(case: Case, mode: Mode, *messages: Any, **params: Any) -> Message:
    """The message, by one of the SDK's four ways; streams are checked event by event."""
    params = {"model": case.model, "max_tokens": 8000, "messages": list(messages), **params}
    if mode == "plain":
        answer: Message = case.anthropic().messages.create(**params)
    elif mode == "async":
        answer = run(lambda: case.async_anthropic().messages.create(**params))
    elif mode == "stream":
        check_events([event.to_dict() for event in case.anthropic().messages.create(**params, stream=True)])
        with case.anthropic().messages.stream(**params) as stream:
            answer = stream.get_final_message()
    else:
        answer = run(lambda: _stream(case, params))
    assert answer.id.startswith("msg_")
    if mode in ("plain", "async"):
        assert answer.to_dict()["cost"]["total"] > 0  # type: ignore[index]
    return answer


async def _stream(case: Case, params: dict[str, Any]) -> Message:
    async with case.async_anthropic().messages.stream(**params) as stream:
        async for _ in stream:
            pass
        return await stream.get_final_message()


def check_events(events: Sequence[dict[str, Any]]) -> None:
    """Blocks one after the other with rising indices, one delta of the message, nothing after its end."""
    events = [event for event in events if event["type"] != "ping"]
    kinds = [event["type"] for event in events]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"]
    start = events[0]["message"]
    assert start["content"] == [] and start["stop_reason"] is None
    # With cache marks Anthropic counts the marked part under other names.
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    assert sum(start["usage"].get(name) or 0 for name in names) > 0
    opened: int | None = None
    following = 0
    for event in events[1:-2]:
        if event["type"] == "content_block_start":
            assert opened is None and event["index"] == following
            opened, following = following, following + 1
            assert event["content_block"].get("input", {}) == {}
        elif event["type"] == "content_block_stop":
            assert event["index"] == opened
            opened = None
        else:
            assert event["type"] == "content_block_delta" and event["index"] == opened
    assert opened is None
    assert events[-2]["delta"]["stop_reason"] and events[-2]["usage"]["output_tokens"] > 0
    assert events[-2]["cost"]["total"] > 0


def text(answer: Message) -> str:
    """All text of an answer."""
    return "".join(block.text for block in answer.content if block.type == "text")


def calls(answer: Message) -> list[tuple[str, Any]]:
    """(name, input) of each call."""
    return [(block.name, block.input) for block in answer.content if block.type == "tool_use"]


def echoed(answer: Message) -> dict[str, Any]:
    """The assistant's turn as a client sends it back."""
    return {"role": "assistant", "content": [block.to_dict() for block in answer.content]}


def results(answer: Message, *outputs: dict[str, Any]) -> list[dict[str, Any]]:
    """Tool results in the order of the calls."""
    ids = [block.id for block in answer.content if block.type == "tool_use"]
    return [{"type": "tool_result", "tool_use_id": id, **each} for id, each in zip(ids, outputs, strict=True)]


@pytest.mark.parametrize("mode", MODES)
def test_text(case: Case, mode: Mode):
    answer = ask(case, mode, user("Hello"), metadata={"user_id": "u1"})
    assert text(answer) == "You said: Hello." and answer.stop_reason == "end_turn"
    assert answer.model == case.label and answer.role == "assistant"
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0


@pytest.mark.parametrize("mode", BOTH)
def test_system_text(case: Case, mode: Mode):
    one = ask(case, mode, user("[[echo-system]]"), system="Be brief.")
    assert text(one) == "Be brief."
    blocks: Any = [
        {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Speak English."},
    ]
    assert text(ask(case, mode, user("[[echo-system]]"), system=blocks)).split() == [
        "Be",
        "brief.",
        "Speak",
        "English.",
    ]


@pytest.mark.parametrize("mode", MODES)
def test_one_tool_and_its_result(case: Case, mode: Mode):
    asked = user(f"[[tool:{WEATHER} {PARIS}]]")
    first = ask(case, mode, asked, tools=TOOLS)
    assert calls(first) == [(WEATHER, {"city": "Paris"})] and first.stop_reason == "tool_use"
    second = ask(case, mode, asked, echoed(first), user(results(first, {"content": "18 degrees"})), tools=TOOLS)
    assert text(second) == f"Tool results: {WEATHER} gave: 18 degrees."


@pytest.mark.parametrize("extra", ["", "[[tools-interleaved]]", "[[tools-whole]]"])
@pytest.mark.parametrize("mode", BOTH)
def test_parallel_tools(case: Case, mode: Mode, extra: str):
    asked = user("[[say:Let me see.]]" + TWO_CALLS + extra)
    first = ask(case, mode, asked, tools=TOOLS)
    assert [block.type for block in first.content] == ["text", "tool_use", "tool_use"]
    assert calls(first) == [(WEATHER, json.loads(PARIS)), (CLOCK, json.loads(ZONE))]
    given = results(first, {"content": "18 degrees"}, {"content": [{"type": "text", "text": "noon"}]})
    second = ask(case, mode, asked, echoed(first), user(given[::-1]), tools=TOOLS)
    assert f"{WEATHER} gave: 18 degrees" in text(second) and f"{CLOCK} gave: noon" in text(second)


@pytest.mark.parametrize("mode", BOTH)
def test_a_failed_result_and_one_with_an_image(case: Case, mode: Mode):
    asked = user(TWO_CALLS)
    first = ask(case, mode, asked, tools=TOOLS)
    given = results(
        first,
        {"content": "no such town", "is_error": True},
        {"content": [{"type": "text", "text": "a picture"}, IMAGE]},
    )
    second = ask(case, mode, asked, echoed(first), user(given), tools=TOOLS, tool_choice={"type": "none"})
    sent = json.dumps(case.sent("no such town")[-1])
    assert PNG in sent and "a picture" in sent
    if case.upstream == "chat_completions":
        # A tool message holds text only: the image follows in a user message, and a failure is said in words.
        assert "Error: no such town" in sent
    else:
        failed = "failed with" if case.upstream == "messages" else "gave"
        assert f"{WEATHER} {failed}: " in text(second) and "[image image/png" in text(second)


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ({"type": "none"}, []),
        ({"type": "any"}, [WEATHER]),
        ({"type": "tool", "name": CLOCK, "disable_parallel_tool_use": True}, [CLOCK]),
    ],
)
@pytest.mark.parametrize("mode", BOTH)
def test_tool_choice(case: Case, mode: Mode, choice: Any, called: Sequence[str]):
    asked = user(f"Use {WEATHER}?" if choice["type"] == "none" else "Hi")
    answer = ask(case, mode, asked, tools=TOOLS, tool_choice=choice)
    assert [name for name, _ in calls(answer)] == called


def test_parallel_calls_switched_off(case: Case):
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    answer = ask(case, "plain", user(TWO_CALLS), tools=TOOLS, tool_choice=choice)
    assert [name for name, _ in calls(answer)] == [WEATHER]


@pytest.mark.parametrize("mode", BOTH)
def test_images_and_a_document(case: Case, mode: Mode):
    answer = ask(
        case,
        mode,
        user(
            [
                {"type": "text", "text": "What is this?"},
                IMAGE,
                {"type": "image", "source": {"type": "url", "url": WEB_IMAGE}},
                {
                    "type": "document",
                    "title": "paper.pdf",
                    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
                },
                {"type": "text", "text": "[[history]]"},
            ]
        ),
    )
    assert "image/png" in text(answer) and WEB_IMAGE in text(answer) and "application/pdf" in text(answer)


@pytest.mark.parametrize("mode", BOTH)
def test_structured_output(case: Case, mode: Mode):
    form: Any = {"format": {"type": "json_schema", "schema": CITY_SCHEMA}}
    answer = ask(case, mode, user("Where?"), output_config=form)
    assert set(json.loads(text(answer))) == {"city"} and answer.stop_reason == "end_turn"


def test_parse_helpers(case: Case):
    asked: Any = {"model": case.model, "max_tokens": 500, "messages": [user("Solve")], "output_format": Solution}
    assert isinstance(case.anthropic().messages.parse(**asked).parsed_output, Solution)
    assert isinstance(run(lambda: case.async_anthropic().messages.parse(**asked)).parsed_output, Solution)
    with case.anthropic().messages.stream(**asked) as stream:
        assert isinstance(stream.get_final_message().parsed_output, Solution)
    assert isinstance(case.anthropic().beta.messages.parse(**asked).parsed_output, Solution)


@pytest.mark.parametrize("mode", MODES)
def test_thinking_goes_through_a_tool_loop(case: Case, mode: Mode):
    common: dict[str, Any] = {"model": case.thinker, "tools": TOOLS, "thinking": {"type": "adaptive"}}
    asked = user(f"[[think:Paris, then.]][[tool:{WEATHER} {PARIS}]]")
    first = ask(case, mode, asked, **common)
    assert calls(first) == [(WEATHER, {"city": "Paris"})]
    if case.upstream == "chat_completions":
        # Chat Completions at OpenAI thinks, but shows nothing of it.
        assert [block.type for block in first.content] == ["tool_use"]
    else:
        thought = first.content[0]
        assert thought.type == "thinking" and thought.thinking == "Paris, then." and thought.signature
    turn = [asked, echoed(first), user(results(first, {"content": "18"}))]
    second = ask(case, mode, *turn, **common)
    assert text(second) == f"Tool results: {WEATHER} gave: 18."
    third = ask(case, mode, *turn, echoed(second), user("[[history]]"), **common)
    assert ("thought (sealed): Paris, then." in text(third)) is (case.upstream != "chat_completions")


@pytest.mark.parametrize("mode", BOTH)
def test_a_thinking_budget(case: Case, mode: Mode):
    model = "claude-haiku-4-5" if case.upstream == "messages" else case.thinker
    thinking: Any = {"type": "enabled", "budget_tokens": 2048}
    answer = ask(case, mode, user("[[think:Hm.]][[say:Yes]]"), model=model, thinking=thinking)
    assert text(answer) == "Yes"
    shown = [block.thinking for block in answer.content if block.type == "thinking"]
    assert shown == ([] if case.upstream == "chat_completions" else ["Hm."])


@pytest.mark.parametrize("directive", ["think-signed", "think-redacted"])
@pytest.mark.parametrize("mode", BOTH)
def test_thoughts_without_text_keep_their_place(case: Case, mode: Mode, directive: str):
    if case.upstream == "chat_completions":
        pytest.skip("Chat Completions at OpenAI shows nothing of what it thinks")
    common: dict[str, Any] = {"model": case.thinker, "tools": TOOLS, "thinking": {"type": "adaptive"}}
    asked = user(f"[[{directive}]][[tool:{WEATHER} {PARIS}]]")
    first = ask(case, mode, asked, **common)
    assert [block.type for block in first.content][-1] == "tool_use"
    assert first.content[0].type in ("thinking", "redacted_thinking")
    given = user(results(first, {"content": "18"}))
    second = ask(case, mode, asked, echoed(first), given, user("[[history]]"), **common)
    assert "thought (sealed): " in text(second)


@pytest.mark.parametrize("mode", MODES)
def test_a_refusal(case: Case, mode: Mode):
    answer = ask(case, mode, user("[[refuse:I will not.]]"))
    assert answer.stop_reason == "refusal"
    if case.upstream == "messages":
        assert answer.stop_details and answer.stop_details.explanation == "I will not."
    else:
        assert "I will not." in json.dumps(answer.to_dict())


@pytest.mark.parametrize("mode", BOTH)
def test_a_stop_sequence(case: Case, mode: Mode):
    answer = ask(case, mode, user("[[say:one two STOP three]]"), stop_sequences=["STOP"])
    if case.upstream == "responses":
        # The Responses API has no stop sequences: the header says that this one was not honoured.
        body = {"model": case.model, "max_tokens": 9, "messages": [user("Hello")], "stop_sequences": ["STOP"]}
        assert "stop" in case.origin.post("/v1/messages", body).headers["x-headgate-losses"]
        return
    assert text(answer) == "one two "
    if case.upstream == "messages":
        assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "STOP")


@pytest.mark.parametrize("mode", MODES)
def test_the_token_limit(case: Case, mode: Mode):
    answer = ask(case, mode, user("[[tokens:60]]"), max_tokens=20)
    assert answer.stop_reason == "max_tokens" and answer.usage.output_tokens == 20


@pytest.mark.parametrize("mode", BOTH)
def test_three_turns(case: Case, mode: Mode):
    messages: list[Any] = []
    for said in ("One", "Two", "[[history]]"):
        messages.append(user(said))
        answer = ask(case, mode, *messages)
        messages.append(echoed(answer))
    lines = text(answer).split("\n")
    assert lines[0] == "user: One" and lines[1].startswith("assistant: You said: One.")
    assert lines[2] == "user: Two" and lines[3].startswith("assistant: You said: Two.")


def test_usage_and_cost_are_the_same_in_the_answer_and_the_log(case: Case):
    params: Any = {"model": case.model, "max_tokens": 100, "messages": [user("Hello there")]}
    raw = case.anthropic().messages.with_raw_response.create(**params)
    streamed = case.anthropic().messages.with_raw_response.create(**params, stream=True)
    events = [event.to_dict() for event in streamed.parse()]
    last = next(event for event in events if event["type"] == "message_delta")
    for body, id in (
        (raw.parse().to_dict(), raw.headers["request-id"]),
        (last, streamed.headers["request-id"]),
    ):
        row = case.origin.log_row(id)
        usage: Any = body["usage"]
        cached = sum(usage.get(name) or 0 for name in ("cache_read_input_tokens", "cache_creation_input_tokens"))
        assert (row.input_tokens, row.output_tokens) == (usage["input_tokens"] + cached, usage["output_tokens"])
        assert row.cost_pico and body["cost"]["total"] == pytest.approx(row.cost_pico / 1e12)  # type: ignore[index]


def test_counting_tokens(case: Case):
    params: Any = {"model": case.model, "messages": [user("Hello there")], "system": "Be brief.", "tools": TOOLS}
    counted = case.anthropic().messages.count_tokens(**params)
    assert counted.input_tokens > 0
    later = run(lambda: case.async_anthropic().messages.count_tokens(**params))
    assert later.input_tokens == counted.input_tokens
    fewer = case.anthropic().beta.messages.count_tokens(model=case.model, messages=params["messages"])
    assert 0 < fewer.input_tokens < counted.input_tokens


@pytest.mark.parametrize("mode", BOTH)
def test_web_search_with_citations(case: Case, mode: Mode):
    if case.upstream == "chat_completions":
        pytest.skip("OpenAI's Chat Completions searches only with models of its own")
    tools: list[Any] = [{"type": "web_search_20250305", "name": "web_search"}]
    answer = ask(case, mode, user("[[search:bees]]"), tools=tools)
    cited = [note for block in answer.content if block.type == "text" for note in block.citations or ()]
    assert [note.url for note in cited] == [  # type: ignore[union-attr]
        "https://news.example.com/one",
        "https://wiki.example.org/two",
    ]
    assert answer.content[0].type == "server_tool_use"
    assert answer.usage.server_tool_use and answer.usage.server_tool_use.web_search_requests == 1

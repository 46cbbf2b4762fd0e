"""OpenAI's Python SDK on the Chat Completions frontend, over every upstream protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from tests.sdk.support import (
    BOTH,
    CITY_SCHEMA,
    CLOCK,
    MODES,
    PARIS,
    PDF_URL,
    PNG_URL,
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
    {
        "type": "function",
        "function": {"name": name, "description": "Tells", "parameters": schema, "strict": True},
    }
    for name, schema in ((WEATHER, CITY_SCHEMA), (CLOCK, ZONE_SCHEMA))
]


def user(content: Any) -> dict[str, Any]:
    """A user message."""
    return {"role": "user", "content": content}


def complete(case: Case, mode: Mode, *messages: Any, **params: Any) -> ChatCompletion:
    """The completion, by one of the SDK's four ways."""
    params = {"model": case.model, "messages": list(messages), **params}
    if mode == "plain":
        return case.openai().chat.completions.create(**params)
    if mode == "async":
        return run(lambda: case.async_openai().chat.completions.create(**params))
    params["stream_options"] = {"include_usage": True}
    if mode == "stream":
        check_chunks([chunk.to_dict() for chunk in case.openai().chat.completions.create(**params, stream=True)])
        with case.openai().chat.completions.stream(**params) as stream:
            for _ in stream:
                pass
            return stream.get_final_completion()
    return run(lambda: _stream(case, params))


async def _stream(case: Case, params: dict[str, Any]) -> ChatCompletion:
    async with case.async_openai().chat.completions.stream(**params) as stream:
        async for _ in stream:
            pass
        return await stream.get_final_completion()


def check_chunks(chunks: Sequence[dict[str, Any]]) -> None:
    """One id, roles first, one finish reason for each choice, and exactly one usage chunk, the last."""
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert [bool(chunk.get("usage")) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1]["choices"] == [] and chunks[-1]["cost"]["total"] > 0
    assert all(chunk["choices"] for chunk in chunks[:-1])
    for index in {choice["index"] for chunk in chunks for choice in chunk["choices"]}:
        own = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
        assert own[0]["delta"]["role"] == "assistant"
        reasons = [choice.get("finish_reason") for choice in own]
        assert reasons[-1] and not any(reasons[:-1])


def calls(answer: ChatCompletion) -> list[tuple[str, str]]:
    """(name, arguments) of each call."""
    return [
        (call.function.name, call.function.arguments)
        for call in answer.choices[0].message.tool_calls or ()
        if call.type == "function"
    ]


def echoed(answer: ChatCompletion) -> dict[str, Any]:
    """The assistant's message as a client sends it back."""
    return answer.choices[0].message.to_dict()


def results(answer: ChatCompletion, *outputs: Any) -> list[dict[str, Any]]:
    """Tool messages in the order of the calls."""
    ids = [call.id for call in answer.choices[0].message.tool_calls or ()]
    return [{"role": "tool", "tool_call_id": id, "content": text} for id, text in zip(ids, outputs, strict=True)]


@pytest.mark.parametrize("mode", MODES)
def test_text(case: Case, mode: Mode):
    answer = complete(case, mode, user("Hello"), temperature=0.5)
    choice = answer.choices[0]
    assert choice.message.content == "You said: Hello." and choice.finish_reason == "stop"
    assert answer.model == case.label and answer.id.startswith("chatcmpl-")
    assert answer.usage and answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_without_include_usage_shows_none_but_is_billed(case: Case):
    raw = case.openai().chat.completions.with_raw_response.create(
        model=case.model, messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    chunks = list(raw.parse())
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)
    row = case.origin.log_row(raw.headers["x-request-id"])
    assert row.input_tokens > 0 and row.output_tokens > 0 and row.cost_pico


@pytest.mark.parametrize("mode", BOTH)
def test_system_and_developer_messages(case: Case, mode: Mode):
    answer = complete(
        case,
        mode,
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Speak English."}]},
        user("[[echo-system]]"),
    )
    assert answer.choices[0].message.content == "Be brief.\nSpeak English."


@pytest.mark.parametrize("mode", MODES)
def test_one_tool_and_its_result(case: Case, mode: Mode):
    asked = user(f"[[tool:{WEATHER} {PARIS}]]")
    first = complete(case, mode, asked, tools=TOOLS)
    assert calls(first) == [(WEATHER, PARIS)] and first.choices[0].finish_reason == "tool_calls"
    second = complete(case, mode, asked, echoed(first), *results(first, "18 degrees"), tools=TOOLS)
    assert second.choices[0].message.content == f"Tool results: {WEATHER} gave: 18 degrees."


@pytest.mark.parametrize("extra", ["", "[[tools-interleaved]]", "[[tools-whole]]"])
@pytest.mark.parametrize("mode", BOTH)
def test_parallel_tools(case: Case, mode: Mode, extra: str):
    if (case.upstream, mode, extra) == ("chat_completions", "stream", "[[tools-interleaved]]"):
        pytest.skip("the SDK's stream helper cannot join interleaved calls, and the relay changes nothing")
    asked = user("[[say:Let me see.]]" + TWO_CALLS + extra)
    first = complete(case, mode, asked, tools=TOOLS, parallel_tool_calls=True)
    assert first.choices[0].message.content == "Let me see."
    assert [name for name, _ in calls(first)] == [WEATHER, CLOCK]
    assert [json.loads(arguments) for _, arguments in calls(first)] == [json.loads(PARIS), json.loads(ZONE)]
    backwards = results(first, "18 degrees", [{"type": "text", "text": "noon"}])[::-1]
    second = complete(case, mode, asked, echoed(first), *backwards, tools=TOOLS)
    text = second.choices[0].message.content or ""
    assert f"{WEATHER} gave: 18 degrees" in text and f"{CLOCK} gave: noon" in text


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", []),
        ("required", [WEATHER]),
        ({"type": "function", "function": {"name": CLOCK}}, [CLOCK]),
    ],
)
@pytest.mark.parametrize("mode", BOTH)
def test_tool_choice(case: Case, mode: Mode, choice: Any, called: Sequence[str]):
    asked = user(f"Use {WEATHER}?" if choice == "none" else "Hi")
    answer = complete(case, mode, asked, tools=TOOLS, tool_choice=choice)
    assert [name for name, _ in calls(answer)] == called
    assert all(set(json.loads(arguments)) for _, arguments in calls(answer))


def test_parallel_calls_switched_off(case: Case):
    answer = complete(case, "plain", user(TWO_CALLS), tools=TOOLS, parallel_tool_calls=False)
    assert [name for name, _ in calls(answer)] == [WEATHER]


@pytest.mark.parametrize("mode", BOTH)
def test_the_functions_of_before_tools(case: Case, mode: Mode):
    functions: list[Any] = [{"name": WEATHER, "description": "Tells", "parameters": CITY_SCHEMA}]
    asked = user(f"[[tool:{WEATHER} {PARIS}]]")
    first = complete(case, mode, asked, functions=functions)
    called = first.choices[0].message.function_call
    assert called and (called.name, called.arguments) == (WEATHER, PARIS)
    assert first.choices[0].finish_reason == "function_call"
    result = {"role": "function", "name": WEATHER, "content": "18 degrees"}
    second = complete(case, mode, asked, echoed(first), result, functions=functions)
    assert second.choices[0].message.content == f"Tool results: {WEATHER} gave: 18 degrees."


@pytest.mark.parametrize("mode", BOTH)
def test_images_and_a_file(case: Case, mode: Mode):
    answer = complete(
        case,
        mode,
        user(
            [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "low"}},
                {"type": "image_url", "image_url": {"url": WEB_IMAGE}},
                {"type": "file", "file": {"filename": "paper.pdf", "file_data": PDF_URL}},
                {"type": "text", "text": "[[history]]"},
            ]
        ),
    )
    text = answer.choices[0].message.content or ""
    assert "image/png" in text and WEB_IMAGE in text and "application/pdf" in text and "What is this?" in text


@pytest.mark.parametrize("mode", BOTH)
def test_structured_output(case: Case, mode: Mode):
    form: Any = {"type": "json_schema", "json_schema": {"name": "place", "schema": CITY_SCHEMA, "strict": True}}
    answer = complete(case, mode, user("Where?"), response_format=form)
    assert set(json.loads(answer.choices[0].message.content or "")) == {"city"}
    assert answer.choices[0].finish_reason == "stop"


def test_parse_helpers(case: Case):
    asked: Any = {"model": case.model, "messages": [user("Solve it")], "response_format": Solution}
    assert isinstance(case.openai().chat.completions.parse(**asked).choices[0].message.parsed, Solution)
    later = run(lambda: case.async_openai().chat.completions.parse(**asked))
    assert isinstance(later.choices[0].message.parsed, Solution)
    with case.openai().chat.completions.stream(**asked) as stream:
        stream.until_done()
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Solution)


def test_parse_helper_on_a_refusal(case: Case):
    asked: Any = {"model": case.model, "messages": [user("[[refuse:I will not.]]")], "response_format": Solution}
    message = case.openai().chat.completions.parse(**asked).choices[0].message
    assert (message.parsed, message.refusal) == (None, "I will not.")


@pytest.mark.parametrize("mode", MODES)
def test_reasoning_goes_through_a_tool_loop(case: Case, mode: Mode):
    common: dict[str, Any] = {"model": case.thinker, "tools": TOOLS, "reasoning_effort": "low"}
    asked = user(f"[[think:Paris, then.]][[tool:{WEATHER} {PARIS}]]")
    first = complete(case, mode, asked, **common)
    assert first.usage and first.usage.completion_tokens_details
    assert (first.usage.completion_tokens_details.reasoning_tokens or 0) > 0
    assert calls(first) == [(WEATHER, PARIS)]
    message = echoed(first)
    if case.upstream == "messages":
        assert message["reasoning_content"] == message["reasoning"] == "Paris, then."
    # Chat Completions at OpenAI thinks, but shows nothing of it; Responses shows a summary only to those who ask.
    assert bool(message.get("reasoning_details")) is (case.upstream != "chat_completions")
    again = complete(case, mode, asked, message, *results(first, "18"), user("[[history]]"), **common)
    text = again.choices[0].message.content or ""
    assert f"result of {WEATHER}: 18" in text
    assert ("thought (sealed)" in text) is (case.upstream != "chat_completions")


@pytest.mark.parametrize("mode", MODES)
def test_a_refusal(case: Case, mode: Mode):
    answer = complete(case, mode, user("[[refuse:I will not.]]"))
    choice = answer.choices[0]
    assert choice.message.refusal == "I will not." and not choice.message.content
    assert choice.finish_reason == "stop"


@pytest.mark.parametrize("mode", MODES)
def test_logprobs(case: Case, mode: Mode):
    answer = complete(case, mode, user("Hello"), logprobs=True, top_logprobs=2)
    logprobs = answer.choices[0].logprobs
    if case.upstream == "messages":
        assert logprobs is None
        raw = case.origin.post(
            "/v1/chat/completions", {"model": case.model, "messages": [user("Hello")], "logprobs": True}
        )
        assert "logprobs" in raw.headers["x-headgate-losses"]
    else:
        assert logprobs and logprobs.content
        assert "".join(each.token for each in logprobs.content) == answer.choices[0].message.content
        assert len(logprobs.content[0].top_logprobs) == 2


@pytest.mark.parametrize("mode", BOTH)
def test_a_stop_sequence(case: Case, mode: Mode):
    answer = complete(case, mode, user("[[say:one two STOP three]]"), stop=["STOP"])
    if case.upstream == "responses":
        # The Responses API has no stop sequences: the header says that this one was not honoured.
        raw = case.origin.post(
            "/v1/chat/completions", {"model": case.model, "messages": [user("Hello")], "stop": ["STOP"]}
        )
        assert "stop" in raw.headers["x-headgate-losses"]
    else:
        assert answer.choices[0].message.content == "one two "
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("mode", ["plain", "async"])
def test_the_token_limit(case: Case, mode: Mode, field: str):
    answer = complete(case, mode, user("[[tokens:60]]"), **{field: 20})
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage and answer.usage.completion_tokens == 20


def test_the_token_limit_of_a_stream(case: Case):
    chunks = case.openai().chat.completions.create(
        model=case.model, messages=[{"role": "user", "content": "[[tokens:60]]"}], max_tokens=20, stream=True
    )
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == "length"


@pytest.mark.parametrize("mode", MODES)
def test_two_choices(case: Case, mode: Mode):
    one = complete(case, "plain", user("Hello"))
    answer = complete(case, mode, user("Hello"), n=2)
    assert sorted(choice.index for choice in answer.choices) == [0, 1]
    assert [choice.finish_reason for choice in answer.choices] == ["stop", "stop"]
    assert all((choice.message.content or "").startswith("You said: Hello.") for choice in answer.choices)
    assert one.usage and answer.usage and answer.usage.completion_tokens >= 2 * one.usage.completion_tokens


@pytest.mark.parametrize("mode", BOTH)
def test_two_choices_with_tools(case: Case, mode: Mode):
    answer = complete(case, mode, user(f"[[tool:{WEATHER} {PARIS}]]"), n=2, tools=TOOLS)
    for choice in answer.choices:
        called = [call.function for call in choice.message.tool_calls or () if call.type == "function"]
        assert [(call.name, call.arguments) for call in called] == [(WEATHER, PARIS)]


@pytest.mark.parametrize("mode", BOTH)
def test_three_turns(case: Case, mode: Mode):
    messages: list[Any] = []
    for text in ("One", "Two", "[[history]]"):
        messages.append(user(text))
        answer = complete(case, mode, *messages)
        messages.append(echoed(answer))
    lines = (messages[-1]["content"] or "").split("\n")
    assert lines[0] == "user: One" and lines[1].startswith("assistant: You said: One.")
    assert lines[2] == "user: Two" and lines[3].startswith("assistant: You said: Two.")
    assert lines[4].startswith("user: ")


def test_usage_and_cost_are_the_same_in_the_answer_and_the_log(case: Case):
    params: Any = {"model": case.model, "messages": [user("Hello there")]}
    raw = case.openai().chat.completions.with_raw_response.create(**params)
    streamed = case.openai().chat.completions.with_raw_response.create(
        **params, stream=True, stream_options={"include_usage": True}
    )
    last = [chunk.to_dict() for chunk in streamed.parse()][-1]
    for body, id in (
        (raw.parse().to_dict(), raw.headers["x-request-id"]),
        (last, streamed.headers["x-request-id"]),
    ):
        row = case.origin.log_row(id)
        usage: Any = body["usage"]
        assert (row.input_tokens, row.output_tokens) == (usage["prompt_tokens"], usage["completion_tokens"])
        assert row.cost_pico and body["cost"]["total"] == pytest.approx(row.cost_pico / 1e12)  # type: ignore[index]


@pytest.mark.parametrize("mode", BOTH)
def test_custom_tools(case: Case, mode: Mode):
    tools: list[Any] = [{"type": "custom", "custom": {"name": "run_code", "description": "Runs code"}}]
    params: Any = {"model": case.model, "messages": [user("[[tool:run_code print(1)]]")], "tools": tools}
    if mode == "plain":
        message = case.openai().chat.completions.create(**params).choices[0].message
        call: Any = (message.tool_calls or [])[0]
        assert call.type == "custom" and (call.custom.name, call.custom.input) == ("run_code", "print(1)")
        result = {"role": "tool", "tool_call_id": call.id, "content": "1"}
        second = complete(case, "plain", *params["messages"], message.to_dict(), result, tools=tools)
        assert second.choices[0].message.content == "Tool results: run_code gave: 1."
        return
    deltas = [
        call.to_dict()
        # The SDK's types of a chunk know function calls only.
        for chunk in case.openai(_strict_response_validation=False).chat.completions.create(**params, stream=True)
        for choice in chunk.choices
        for call in choice.delta.tool_calls or ()
    ]
    assert deltas[0]["type"] == "custom"
    assert "".join(each["custom"]["input"] for each in deltas) == "print(1)"  # type: ignore[index]

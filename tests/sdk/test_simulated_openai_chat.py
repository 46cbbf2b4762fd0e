"""The simulated Chat Completions API against OpenAI's own client, which validates every answer strictly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from pydantic import BaseModel

from dev.simulated_providers import Running, serve

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS, "strict": True}}
KEY = {"authorization": "Bearer sk-one"}


@pytest.fixture(scope="module")
def simulated() -> Iterator[Running]:
    with serve() as running:
        yield running


@pytest.fixture
def client(simulated: Running) -> Iterator[openai.OpenAI]:
    simulated.clear()
    url = f"{simulated.url}/openai/v1"
    with openai.OpenAI(base_url=url, api_key="sk-one", max_retries=0, _strict_response_validation=True) as made:
        yield made


def say(client: openai.OpenAI, text: Any, model: str = "gpt-4o", **options: Any) -> Any:
    messages = text if isinstance(text, list) and "role" in text[0] else [{"role": "user", "content": text}]
    return client.chat.completions.create(model=model, messages=messages, **options)


def test_echo_counts_what_it_sees(client: openai.OpenAI) -> None:
    content = [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,aGVsbG8="}},
        {"type": "text", "text": "look"},
    ]
    answer = say(client, content)
    assert answer.choices[0].message.content == "You said: look. I see 1 image, 1 file."
    assert answer.choices[0].finish_reason == "stop"
    # look = 1, two media of 85, 3 for the turn.
    assert answer.usage.prompt_tokens == 174


async def test_the_asynchronous_client_gets_the_same(simulated: Running) -> None:
    url = f"{simulated.url}/openai/v1"
    made = openai.AsyncOpenAI(base_url=url, api_key="sk-one", max_retries=0, _strict_response_validation=True)
    async with made as client:
        messages = [{"role": "user", "content": "hi"}]
        answer = await client.chat.completions.create(model="gpt-4o", messages=messages)
        async with client.chat.completions.stream(model="gpt-4o", messages=messages) as stream:
            final = await stream.get_final_completion()
    assert final.choices[0].message.content == answer.choices[0].message.content == "You said: hi."


def test_the_stream_on_the_wire(simulated: Running) -> None:
    body = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    answer = httpx.post(f"{simulated.url}/openai/v1/chat/completions", json=body, headers=KEY)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-simulated"] == "1" and answer.headers["x-request-id"].startswith("req_")
    frames = answer.text.split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert all(chunk["usage"] is None and "obfuscation" in chunk for chunk in chunks[:-1])
    assert chunks[-2]["choices"][0] == {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 5
    assert len({chunk["id"] for chunk in chunks}) == 1


def test_usage_and_padding_only_as_asked(simulated: Running) -> None:
    body = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_obfuscation": False},
    }
    text = httpx.post(f"{simulated.url}/openai/v1/chat/completions", json=body, headers=KEY).text
    assert '"usage"' not in text and "obfuscation" not in text


@pytest.mark.parametrize("manner", ["", "[[tools-whole]]"])
def test_parallel_calls(client: openai.OpenAI, manner: str) -> None:
    text = manner + '[[tool:get_weather {"city":"Oslo"}]][[tool:get_weather {"city":"Rome"}]]'
    plain = say(client, text, tools=[TOOL]).choices[0]
    assert plain.finish_reason == "tool_calls" and plain.message.content is None
    with client.chat.completions.stream(
        model="gpt-4o", messages=[{"role": "user", "content": text}], tools=[TOOL]
    ) as stream:
        streamed = stream.get_final_completion().choices[0]
    for choice in (plain, streamed):
        assert [call.function.arguments for call in choice.message.tool_calls] == ['{"city":"Oslo"}', '{"city":"Rome"}']


def test_interleaving_and_whole_calls_on_the_stream(client: openai.OpenAI) -> None:
    # The client's stream helper takes a call for finished when another begins, so this reads the chunks themselves.
    def fragments(manner: str) -> list[tuple[int, str]]:
        text = manner + '[[tool:get_weather {"city":"Oslo"}]][[tool:get_weather {"city":"Rome"}]]'
        chunks = list(say(client, text, tools=[TOOL], stream=True))
        calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
        return [(call.index, call.function.arguments) for call in calls]

    mixed = fragments("[[tools-interleaved]]")
    assert [index for index, _ in mixed[:4]] == [0, 1, 0, 1]
    assert "".join(text for index, text in mixed if index == 1) == '{"city":"Rome"}'
    assert fragments("[[tools-whole]]") == [(0, '{"city":"Oslo"}'), (1, '{"city":"Rome"}')]


def test_one_call_where_parallel_is_off(client: openai.OpenAI) -> None:
    text = "[[tool:get_weather]][[tool:get_weather]]"
    calls = say(client, text, tools=[TOOL], parallel_tool_calls=False).choices[0].message.tool_calls
    assert [call.function.arguments for call in calls] == ['{"city": "example"}']


def test_a_tool_loop_ends(client: openai.OpenAI) -> None:
    ask = {"role": "user", "content": "use get_weather[[then:It is warm.]]"}
    first = say(client, [ask], tools=[TOOL]).choices[0].message
    call = first.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": "22 degrees"}
    answer = say(client, [ask, first.model_dump(exclude_none=True), result], tools=[TOOL])
    assert answer.choices[0].message.content == "It is warm."
    asked = {**ask, "content": "use get_weather"}
    quoted = say(client, [asked, first.model_dump(exclude_none=True), result], tools=[TOOL])
    assert quoted.choices[0].message.content == "Tool results: get_weather gave: 22 degrees."


def test_choice_none_and_legacy_functions(client: openai.OpenAI) -> None:
    assert say(client, "use get_weather", tools=[TOOL], tool_choice="none").choices[0].message.tool_calls is None
    options = {"functions": [{"name": "get_weather", "parameters": PARAMETERS}], "function_call": "auto"}
    choice = say(client, "use get_weather", **options).choices[0]
    assert choice.finish_reason == "function_call" and choice.message.function_call.name == "get_weather"
    chunks = list(say(client, "use get_weather", stream=True, **options))
    pieces = [chunk.choices[0].delta.function_call for chunk in chunks if chunk.choices[0].delta.function_call]
    assert "".join(piece.arguments or "" for piece in pieces) == choice.message.function_call.arguments


def test_structured_output(client: openai.OpenAI) -> None:
    class City(BaseModel):
        name: str
        people: int

    parsed = client.chat.completions.parse(
        model="gpt-4o", messages=[{"role": "user", "content": "a city"}], response_format=City
    )
    assert parsed.choices[0].message.parsed == City(name="example", people=7)
    loose = say(client, "json please", response_format={"type": "json_object"})
    assert isinstance(json.loads(loose.choices[0].message.content), dict)


def test_stop_sequences_even_across_deltas(client: openai.OpenAI) -> None:
    text = "[[say:one two END OF three]]"
    plain = say(client, text, stop=["END OF"]).choices[0]
    assert (plain.message.content, plain.finish_reason) == ("one two ", "stop")
    chunks = list(say(client, text, stop="END OF", stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two "


def test_limit_choices_and_logprobs(client: openai.OpenAI) -> None:
    cut = say(client, "[[tokens:50]]", max_tokens=7, n=3, logprobs=True, top_logprobs=2)
    assert [choice.finish_reason for choice in cut.choices] == ["length"] * 3
    assert cut.usage.completion_tokens == 21
    held = cut.choices[2].logprobs.content
    assert len(held) == 7 and "".join(one.token for one in held) == cut.choices[2].message.content
    chunks = list(say(client, "[[tokens:50]]", max_tokens=7, n=3, logprobs=True, stream=True))
    texts = ["".join(c.choices[0].delta.content or "" for c in chunks if c.choices[0].index == i) for i in range(3)]
    assert texts == [cut.choices[0].message.content] * 3
    # The choices alternate on the wire.
    assert [chunk.choices[0].index for chunk in chunks[:6]] == [0, 1, 2, 0, 1, 2]


def test_refusal_filter_search_audio_prediction(client: openai.OpenAI) -> None:
    refused = say(client, "[[refuse:No way.]]").choices[0]
    assert (refused.message.refusal, refused.message.content) == ("No way.", None)
    assert say(client, "[[filter]][[say:Part]]").choices[0].finish_reason == "content_filter"
    found = say(client, "[[search:otters]]", "gpt-4o-search-preview", web_search_options={}).choices[0].message
    assert found.annotations[0].url_citation.url == "https://news.example.com/one"
    sound = {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "pcm16"}}
    spoken = say(client, "hi", "gpt-4o-audio-preview", **sound).choices[0].message
    assert spoken.audio.transcript == "You said: hi." and spoken.content is None
    chunks = list(say(client, "hi", "gpt-4o-audio-preview", stream=True, **sound))
    heard = [chunk.choices[0].delta.model_dump().get("audio") or {} for chunk in chunks]
    assert "".join(one.get("transcript") or "" for one in heard) == "You said: hi."
    guessed = say(client, "hi", prediction={"type": "content", "content": "You said: bye."})
    details = guessed.usage.completion_tokens_details
    assert (details.accepted_prediction_tokens, details.rejected_prediction_tokens) == (4, 1)


def test_reasoning_tokens_are_counted_not_shown(client: openai.OpenAI) -> None:
    answer = say(client, "hi", "gpt-5", reasoning_effort="high")
    assert answer.choices[0].message.content == "You said: hi."
    assert answer.usage.completion_tokens_details.reasoning_tokens == 13
    assert answer.usage.completion_tokens == 18


def test_history_and_system_text(client: openai.OpenAI) -> None:
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "[[history]]"},
    ]
    assert say(client, messages).choices[0].message.content == (
        "system: be kind\nuser: one\nassistant: two\nuser: [[history]]"
    )
    messages[-1] = {"role": "user", "content": "[[echo-system]]"}
    assert say(client, messages).choices[0].message.content == "be kind"


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ({"nonsense": 1}, "unknown_parameter", "Unknown parameter: 'nonsense'."),
        (
            {"messages": "oops"},
            "invalid_type",
            "Invalid type for 'messages': expected an array of objects, but got a string",
        ),
        ({"messages": []}, "empty_array", "Invalid 'messages': empty array."),
        ({"messages": [{"role": "robot", "content": "x"}]}, "invalid_value", "Invalid value: 'robot'."),
        (
            {"messages": [{"role": "user", "content": "x", "reasoning_content": "y"}]},
            "unknown_parameter",
            "reasoning_content",
        ),
        ({"model": "gpt-5", "max_tokens": 5}, "unsupported_parameter", "Use 'max_completion_tokens' instead."),
        (
            {"model": "o3", "temperature": 0.2},
            "unsupported_value",
            "'temperature' does not support 0.2 with this model.",
        ),
        ({"stream_options": {}}, None, "only allowed when 'stream' is enabled"),
        ({"tool_choice": "auto"}, None, "'tool_choice' is only allowed when 'tools' are specified."),
        ({"response_format": {"type": "json_object"}}, None, "must contain the word 'json' in some form"),
        (
            {"messages": [{"role": "tool", "tool_call_id": "x", "content": "y"}]},
            None,
            "must be a response to a preceeding",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [CALL]}, {"role": "user", "content": "x"}]},
            None,
            "The following tool_call_ids did not have response messages: call_1",
        ),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{**CALL, "id": "c" * 41}]}]},
            "string_above_max_length",
            "Expected a string with maximum length 40",
        ),
        (
            {"tools": [{"type": "function", "function": {"name": "f" * 65, "parameters": PARAMETERS}}]},
            "string_above_max_length",
            "Expected a string with maximum length 64, but got a string with length 65 instead.",
        ),
        ({"tools": [TOOL] * 129}, "array_above_max_length", "maximum length 128"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "string"}}}]},
            "invalid_function_parameters",
            "got 'type: \"string\"'.",
        ),
    ],
)
def test_refusals(client: openai.OpenAI, body: dict[str, object], code: str | None, text: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            **{"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}, extra_body=body
        )
    assert caught.value.code == code and text in caught.value.message


def test_keys_and_models(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        say(client, "hi", "claude-opus-5")
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.AuthenticationError) as refused:
        say(client.with_options(api_key="sk-invalid"), "hi")
    assert refused.value.code == "invalid_api_key"

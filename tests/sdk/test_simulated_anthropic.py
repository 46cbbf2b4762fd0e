"""The simulated Messages API against Anthropic's own client, which validates every answer strictly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import pytest
from pydantic import BaseModel

from dev.simulated_providers import Running, serve

MODEL = "claude-opus-4-8"
TOOL = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
OLD = {"x-api-key": "key", "anthropic-version": "2023-06-01"}


@pytest.fixture(scope="module")
def simulated() -> Iterator[Running]:
    with serve() as running:
        yield running


@pytest.fixture
def client(simulated: Running) -> Iterator[anthropic.Anthropic]:
    simulated.clear()
    url = f"{simulated.url}/anthropic"
    with anthropic.Anthropic(base_url=url, api_key="key", max_retries=0, _strict_response_validation=True) as made:
        yield made


def say(client: anthropic.Anthropic, content: Any, **options: Any) -> Any:
    turns = isinstance(content, list) and "role" in content[0]
    messages = content if turns else [{"role": "user", "content": content}]
    return client.messages.create(**{"model": MODEL, "max_tokens": 4000, "messages": messages, **options})


def test_echo_and_exact_usage(client: anthropic.Anthropic) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}
    answer = say(client, [image, {"type": "text", "text": "two words"}], system="be brief")
    assert answer.content[0].text == "You said: two words. I see 1 image."
    assert answer.stop_reason == "end_turn"
    # 2 + 3 for the system block, 85 + 3 for the image, 2 + 3 for the text.
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (98, 11)
    counted = client.messages.count_tokens(
        model=MODEL,
        system="be brief",
        messages=[{"role": "user", "content": [image, {"type": "text", "text": "two words"}]}],
    )
    assert counted.input_tokens == 98


async def test_the_asynchronous_client_gets_the_same(simulated: Running) -> None:
    url = f"{simulated.url}/anthropic"
    made = anthropic.AsyncAnthropic(base_url=url, api_key="key", max_retries=0, _strict_response_validation=True)
    options: Any = {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
    async with made as client:
        answer = await client.messages.create(**options)
        async with client.messages.stream(**options) as stream:
            texts = [text async for text in stream.text_stream]
            final = await stream.get_final_message()
    assert "".join(texts) == answer.content[0].text == final.content[0].text == "You said: hi."
    assert answer.usage == final.usage


def test_the_stream_on_the_wire(simulated: Running) -> None:
    body = {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}], "stream": True}
    answer = httpx.post(f"{simulated.url}/anthropic/v1/messages", json=body, headers=OLD)
    assert answer.headers["x-simulated"] == "1" and answer.headers["request-id"].startswith("req_")
    frames = [frame.split("\n") for frame in answer.text.split("\n\n") if frame]
    events = [json.loads(frame[1].removeprefix("data: ")) for frame in frames]
    assert [frame[0] for frame in frames] == [f"event: {event['type']}" for event in events]
    kinds = [event["type"] for event in events]
    assert kinds[:3] == ["message_start", "content_block_start", "ping"]
    assert set(kinds[3:-3]) == {"content_block_delta"}
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert events[0]["message"]["usage"]["input_tokens"] == 4 and events[0]["message"]["stop_reason"] is None
    assert events[-2]["usage"]["output_tokens"] == 5 and events[-2]["delta"]["stop_reason"] == "end_turn"


def test_tools_in_parallel_plain_and_streamed(client: anthropic.Anthropic) -> None:
    text = '[[say:Looking.]][[tool:get_weather {"city":"Oslo"}]][[tool:get_weather {"city":"Rome"}]]'
    plain = say(client, text, tools=[TOOL])
    messages: Any = [{"role": "user", "content": text}]
    with client.messages.stream(model=MODEL, max_tokens=4000, messages=messages, tools=[TOOL]) as stream:
        final = stream.get_final_message()
    for answer in (plain, final):
        assert answer.stop_reason == "tool_use"
        assert [block.type for block in answer.content] == ["text", "tool_use", "tool_use"]
        assert [block.input for block in answer.content[1:]] == [{"city": "Oslo"}, {"city": "Rome"}]
    alone = say(client, text, tools=[TOOL], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert [block.type for block in alone.content] == ["text", "tool_use"]


def test_a_tool_loop_with_an_image_and_a_failure(client: anthropic.Anthropic) -> None:
    ask = {"role": "user", "content": "[[tool:get_weather]][[tool:get_weather]]"}
    first = say(client, [ask], tools=[TOOL])
    one, two = first.content
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}}
    results = [
        {"type": "tool_result", "tool_use_id": one.id, "content": [{"type": "text", "text": "sunny"}, image]},
        {"type": "tool_result", "tool_use_id": two.id, "content": "offline", "is_error": True},
    ]
    turns = [ask, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    answer = say(client, turns, tools=[TOOL])
    assert answer.content[0].text == (
        "Tool results: get_weather gave: sunny [image image/png 5 bytes 2cf24dba]; get_weather failed with: offline."
    )


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_weather"}])
def test_a_demanded_tool_is_called(client: anthropic.Anthropic, choice: dict[str, str]) -> None:
    assert say(client, "hi", tools=[TOOL], tool_choice=choice).content[0].input == {"city": "example"}


def test_structured_output(client: anthropic.Anthropic) -> None:
    class City(BaseModel):
        name: str
        people: int

    parsed = client.messages.parse(
        model=MODEL, max_tokens=500, messages=[{"role": "user", "content": "a city"}], output_format=City
    )
    assert parsed.parsed_output == City(name="example", people=7)


def test_limit_and_stop_sequence(client: anthropic.Anthropic) -> None:
    cut = say(client, "[[tokens:50]]", max_tokens=7)
    assert cut.stop_reason == "max_tokens" and cut.usage.output_tokens == 7
    stopped = say(client, "[[say:one two END OF three]]", stop_sequences=["never", "END OF"])
    assert (stopped.stop_reason, stopped.stop_sequence, stopped.content[0].text) == (
        "stop_sequence",
        "END OF",
        "one two ",
    )
    messages: Any = [{"role": "user", "content": "[[say:one two END OF three]]"}]
    with client.messages.stream(model=MODEL, max_tokens=50, messages=messages, stop_sequences=["END OF"]) as stream:
        final = stream.get_final_message()
    assert (final.stop_sequence, final.content[0].text) == ("END OF", "one two ")


def test_thinking_comes_back_signed_and_is_checked(client: anthropic.Anthropic) -> None:
    options: Any = {"thinking": {"type": "adaptive"}, "tools": [TOOL]}
    ask = {"role": "user", "content": "[[think:One.]][[think-signed]][[think-redacted]][[tool:get_weather]]"}
    with client.messages.stream(model=MODEL, max_tokens=4000, messages=[ask], **options) as stream:
        first = stream.get_final_message()
    assert [block.type for block in first.content] == ["thinking", "thinking", "redacted_thinking", "tool_use"]
    assert first.content[0].thinking == "One." and first.content[1].thinking == "" and first.content[1].signature
    assert first.usage.output_tokens_details.thinking_tokens == 2 + 13 + 13
    result = {"type": "tool_result", "tool_use_id": first.content[3].id, "content": "sunny"}
    blocks = [block.model_dump(exclude_none=True) for block in first.content]

    def replay(changed: list[dict[str, Any]]) -> Any:
        turns = [ask, {"role": "assistant", "content": changed}, {"role": "user", "content": [result]}]
        return say(client, turns, **options)

    # The repeated thoughts precede the answer to the result.
    assert replay(blocks).content[-1].text == "Tool results: get_weather gave: sunny."
    for changed in (
        {**blocks[0], "thinking": "Other."},
        {**blocks[0], "signature": blocks[0]["signature"][:-4] + "AAAA"},
    ):
        with pytest.raises(
            anthropic.BadRequestError, match=r"messages\.1\.content\.0: Invalid `signature` in `thinking` block"
        ):
            replay([changed, *blocks[1:]])
    with pytest.raises(anthropic.BadRequestError, match="Invalid `data` in `redacted_thinking` block"):
        replay([*blocks[:2], {**blocks[2], "data": "abc"}, blocks[3]])


def test_thinking_can_be_omitted(client: anthropic.Anthropic) -> None:
    hidden = say(client, "hi", thinking={"type": "adaptive", "display": "omitted"})
    assert hidden.content[0].thinking == "" and hidden.content[0].signature


def test_refusal_search_and_other_endings(client: anthropic.Anthropic) -> None:
    refused = say(client, "[[refuse:No way.]]")
    assert refused.stop_reason == "refusal" and refused.content == [] and refused.stop_details.explanation == "No way."
    assert say(client, "[[finish:pause_turn]]").stop_reason == "pause_turn"
    assert say(client, "[[empty]]").content == []
    options: Any = {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    messages: Any = [{"role": "user", "content": "[[search:otters]]"}]
    with client.messages.stream(model=MODEL, max_tokens=500, messages=messages, **options) as stream:
        found = stream.get_final_message()
    assert [block.type for block in found.content] == ["server_tool_use", "web_search_tool_result", "text", "text"]
    assert found.content[2].citations[0].url == "https://news.example.com/one"
    assert found.usage.server_tool_use.web_search_requests == 1
    turns = [*messages, {"role": "assistant", "content": found.content}, {"role": "user", "content": "[[history]]"}]
    assert "search otters" in say(client, turns, **options).content[0].text


def test_prompt_cache_is_written_then_read(client: anthropic.Anthropic) -> None:
    hour = {"type": "ephemeral", "ttl": "1h"}
    system = [{"type": "text", "text": "one two three", "cache_control": hour}]
    text = [
        {"type": "text", "text": "four five", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "six"},
    ]
    cold = say(client, text, system=system).usage
    assert (cold.input_tokens, cold.cache_creation_input_tokens, cold.cache_read_input_tokens) == (4, 11, 0)
    assert cold.cache_creation.ephemeral_1h_input_tokens == 6 and cold.cache_creation.ephemeral_5m_input_tokens == 5
    warm = say(client, text, system=system).usage
    assert (warm.input_tokens, warm.cache_creation_input_tokens, warm.cache_read_input_tokens) == (4, 0, 11)
    changed = say(client, [{**text[0], "text": "other"}, text[1]], system=system).usage
    assert (changed.cache_creation_input_tokens, changed.cache_read_input_tokens) == (4, 6)
    assert say(client.with_options(api_key="another"), text, system=system).usage.cache_read_input_tokens == 0


def test_history_is_described_as_in_the_other_protocols(client: anthropic.Anthropic) -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo"}}
    turns = [
        {"role": "user", "content": "one"},
        {"role": "system", "content": "a reminder"},
        {"role": "assistant", "content": [{"type": "text", "text": "two"}, use]},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"},
                {"type": "text", "text": "[[history]]"},
            ],
        },
    ]
    answer = say(client, turns, system="be kind", tools=[TOOL])
    assert answer.content[0].text.split("\n") == [
        "system: be kind",
        "user: one",
        "system: a reminder",
        "assistant: two",
        'call get_weather {"city": "Oslo"}',
        "result of get_weather: sunny",
        "user: [[history]]",
    ]


def test_models(client: anthropic.Anthropic) -> None:
    page = client.models.list(limit=3)
    assert len(page.data) == 3 and page.has_more
    assert len(list(client.models.list(limit=3))) > 3
    assert client.models.retrieve("claude-opus-5").id == "claude-opus-5"
    with pytest.raises(anthropic.NotFoundError, match="model: claude-does-not-exist"):
        say(client, "hi", model="claude-does-not-exist")


def test_a_request_like_claude_codes_is_accepted(simulated: Running) -> None:
    mark = {"type": "ephemeral"}
    body = {
        "model": "claude-haiku-4-5",
        "max_tokens": 32000,
        "stream": True,
        "thinking": {"type": "enabled", "budget_tokens": 31999, "display": "omitted"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": json.dumps({"device_id": "x"})},
        "system": [{"type": "text", "text": "billing"}, {"type": "text", "text": "rules", "cache_control": mark}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<system-reminder>get_weather exists</system-reminder>"},
                    {"type": "text", "text": "hello", "cache_control": mark},
                ],
            }
        ],
        "tools": [
            TOOL,
            {"name": "Deferred", "description": "", "input_schema": {"type": "object"}, "defer_loading": True},
        ],
    }
    betas = "interleaved-thinking-2025-05-14,context-management-2025-06-27"
    headers = {"authorization": "Bearer key", "anthropic-version": "2023-06-01", "anthropic-beta": betas}
    url = f"{simulated.url}/anthropic/v1/messages?beta=true"
    answer = httpx.post(url, json=body, headers=headers)
    # The reminder mentions a tool, but what the user says is the last text block.
    assert answer.status_code == 200 and "tool_use" not in answer.text

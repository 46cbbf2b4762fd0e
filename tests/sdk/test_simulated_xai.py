"""The simulated xAI against OpenAI's own client, which xAI names for its HTTP API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from dev.simulated_providers import Running, serve

TOOL = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}
GROK = "grok-4.3"


@pytest.fixture(scope="module")
def simulated() -> Iterator[Running]:
    with serve() as running:
        yield running


@pytest.fixture
def client(simulated: Running) -> Iterator[openai.OpenAI]:
    simulated.clear()
    # Not strictly: xAI leaves out what the client's types demand of a response's usage.
    with openai.OpenAI(base_url=f"{simulated.url}/xai/v1", api_key="xai-one", max_retries=0) as made:
        yield made


def chat(client: openai.OpenAI, text: str, model: str = GROK, **options: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **options)


def test_a_chat_shows_its_thoughts_and_leaves_them_out_of_the_completion(client: openai.OpenAI):
    whole = chat(client, "[[think:Hm, well.]] [[say:Yes.]]")
    assert whole.choices[0].message.reasoning_content == "Hm, well."
    usage = whole.usage
    thoughts = usage.completion_tokens_details.reasoning_tokens
    assert (usage.completion_tokens, thoughts) == (2, 4)
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens + thoughts
    # Grok 4.3: 1.25 dollars in, 2.50 out, for a million; a tick is 10^-10 dollars.
    assert usage.cost_in_usd_ticks == usage.prompt_tokens * 12_500 + (2 + 4) * 25_000
    chunks = list(chat(client, "[[think:Hm.]] [[say:Yes.]]", stream=True, stream_options={"include_usage": True}))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == "Hm."
    assert "".join(delta.content or "" for delta in deltas) == "Yes." and chunks[-1].usage.completion_tokens == 2


def test_calls_come_in_one_piece(client: openai.OpenAI):
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": TOOL["parameters"]}}]
    asked = '[[tool:get_weather {"a":1}]] [[tool:get_weather {"b":2}]]'
    chunks = list(chat(client, asked, stream=True, tools=tools))
    calls = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert [call.function.arguments for call in calls] == ['{"a":1}', '{"b":2}']
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_a_response_has_thoughts_seals_searches_and_its_price(client: openai.OpenAI):
    given: Any = {"model": GROK, "tools": [{"type": "web_search"}], "include": ["reasoning.encrypted_content"]}
    answer = client.responses.create(input="[[think:Hm.]] [[search:cats]]", **given)
    reasoning, search, message = answer.output
    assert (reasoning.summary[0].text, bool(reasoning.encrypted_content)) == ("Hm.", True)
    assert search.action.query == "cats" and [source.url for source in search.action.sources]
    assert [(note.start_index, note.end_index) for note in message.content[0].annotations] == [(0, 0), (0, 0)]
    assert answer.usage.server_side_tool_usage_details["web_search_calls"] == 1
    expected = answer.usage.input_tokens * 12_500 + answer.usage.output_tokens * 25_000 + 50_000_000
    assert answer.usage.cost_in_usd_ticks == expected
    assert answer.usage.output_tokens > answer.usage.output_tokens_details.reasoning_tokens
    again = [{"role": "user", "content": "x"}, *[item.to_dict() for item in answer.output]]
    again.append({"role": "user", "content": "[[history]]"})
    assert "thought (sealed): Hm." in client.responses.create(input=again, **given).output_text
    again[1]["encrypted_content"] = "AAAA" + again[1]["encrypted_content"][4:]
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(input=again, **given)
    assert caught.value.response.json()["error"].startswith("Could not decrypt the provided encrypted_content")


def test_a_stream_of_responses(client: openai.OpenAI):
    with client.responses.stream(model=GROK, input="[[think:Hm.]] [[tool:get_weather]]", tools=[TOOL]) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert kinds.count("response.function_call_arguments.delta") == 1
    assert [item.type for item in final.output] == ["reasoning", "function_call"]
    raw = httpx.post(
        f"{client.base_url}responses",
        json={"model": GROK, "input": "x", "stream": True},
        headers={"authorization": "Bearer xai-one"},
    )
    assert "[DONE]" not in raw.text


@pytest.mark.parametrize(("fields", "words"), [
    ({"model": "grok-9"}, "Model not found: grok-9"),
    ({"presence_penalty": 0}, "does not support parameter presencePenalty"),
    ({"frequency_penalty": 0.1}, "does not support parameter frequencyPenalty"),
    ({"stop": ["x"]}, "does not support parameter stop"),
    ({"model": "grok-4.20-0309-reasoning", "reasoning_effort": "low"}, "does not support parameter reasoningEffort"),
    ({"reasoning_effort": "xhigh"}, "does not support parameter reasoningEffort"),
])  # fmt: skip
def test_what_a_chat_refuses(client: openai.OpenAI, fields: dict[str, Any], words: str):
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, "x", **fields)
    error = caught.value.response.json()
    assert error["code"] == "invalid-argument" and words in error["error"]


def test_the_shapes_of_its_errors(client: openai.OpenAI, simulated: Running):
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        chat(client, "x", tools=[{"type": "custom", "custom": {"name": "x"}}])
    assert caught.value.response.headers["content-type"] == "text/plain"
    assert "unknown variant `custom`, expected one of `function`, `live_search`" in caught.value.response.text
    with pytest.raises(openai.APIStatusError) as gone:
        chat(client, "x", extra_body={"search_parameters": {"mode": "auto"}})
    assert gone.value.status_code == 410
    for key, status in (("", 401), ("Bearer invalid", 400)):
        headers = {"authorization": key} if key else {}
        body = {"model": GROK, "messages": [{"role": "user", "content": "x"}]}
        answer = httpx.post(f"{simulated.url}/xai/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code == status and isinstance(answer.json()["error"], str)


@pytest.mark.parametrize(("fields", "words"), [
    ({"metadata": {}}, "Argument not supported: metadata"),
    ({"include": ["message.output_text.logprobs"]}, "Argument not supported: include"),
    ({"background": True}, "Argument not supported: background"),
    ({"tools": [{"type": "web_search", "external_web_access": True}]}, "external_web_access"),
    ({"reasoning": {"effort": "xhigh"}}, "reasoningEffort"),
])  # fmt: skip
def test_what_a_response_refuses(client: openai.OpenAI, fields: dict[str, Any], words: str):
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=GROK, input="x", extra_body=fields)
    assert words in caught.value.response.json()["error"]


def test_unknown_fields_are_passed_over(client: openai.OpenAI):
    assert client.responses.create(model=GROK, input="[[say:ok]]", extra_body={"bogus": 1}).output_text == "ok"
    said = chat(client, "[[say:ok]]", logprobs=True, top_logprobs=2, extra_body={"bogus": 1})
    assert said.choices[0].message.content == "ok" and said.choices[0].logprobs is None

"""The simulated Workers AI, judged by OpenAI's SDK, which its documentation names, and by Cloudflare's own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import cloudflare
import openai
import pytest

from dev.simulated_providers.server import Running, serve
from tests.sdk.support import CITY_SCHEMA, PNG_URL

MODEL, THINKER = "@cf/meta/llama-4-scout-17b-16e-instruct", "@cf/google/gemma-4-26b-a4b-it"
TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": CITY_SCHEMA}}
BASE = "/cloudflare/client/v4"


@pytest.fixture(scope="module")
def vendor() -> Iterator[Running]:
    with serve() as running:
        yield running


@pytest.fixture
def client(vendor: Running) -> openai.OpenAI:
    return openai.OpenAI(api_key="k", base_url=f"{vendor.url}{BASE}/accounts/a1b2/ai/v1", max_retries=0)


def say(client: openai.OpenAI, text: str, model: str = MODEL, **options: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}], **options)


def test_text_thoughts_and_usage(client: openai.OpenAI):
    answer = say(client, "[[think:Hm.]][[say:Yes.]]", THINKER)
    said = answer.choices[0].message
    assert said.content == "Yes." and said.model_extra["reasoning_content"] == "Hm."
    assert answer.usage.completion_tokens == 4 and answer.usage.model_extra["neurons"] > 0
    assert say(client, "[[think:Hm.]][[say:x]]", "@cf/openai/gpt-oss-120b").choices[0].message.reasoning == "Hm."
    off = say(client, "[[say:x]]", THINKER, extra_body={"chat_template_kwargs": {"enable_thinking": False}})
    assert "reasoning_content" not in off.choices[0].message.model_extra


def test_the_usage_of_a_stream(client: openai.OpenAI):
    chunks = list(say(client, "[[think:Hm.]][[say:Yes, of course.]]", THINKER, stream=True))
    last = chunks.pop()
    assert last.model_extra["response"] == "" and not last.choices
    # The increments add up to what the last frame says.
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert sum(getattr(chunk.usage, name) for chunk in chunks) == getattr(last.usage, name)
    assert chunks[0].usage.prompt_tokens == last.usage.prompt_tokens and chunks[1].usage.prompt_tokens == 0
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "Yes, of course."


def test_calls_schema_and_images(client: openai.OpenAI):
    text = '[[tool:get_weather {"city":"Paris"}]][[tool:get_weather {"city":"Rome"}]]'
    calls = say(client, text, tools=[TOOL]).choices[0].message.tool_calls
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Paris", "Rome"]
    pieces = [
        call
        for chunk in say(client, text, tools=[TOOL], stream=True)
        if chunk.choices
        for call in chunk.choices[0].delta.tool_calls or []
    ]
    assert pieces[-1].id is None and pieces[-1].function.name is None
    form: Any = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY_SCHEMA}}
    assert json.loads(say(client, "a city", response_format=form).choices[0].message.content)["city"]
    content: Any = [{"type": "text", "text": "See."}, {"type": "image_url", "image_url": {"url": PNG_URL}}]
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": content}])
    assert "1 image" in (answer.choices[0].message.content or "")


def test_a_cache_is_met_by_its_header(client: openai.OpenAI):
    long = "word " * 2000

    def cached(**options: Any) -> int:
        return say(client, long, **options).usage.prompt_tokens_details.cached_tokens

    same = {"extra_headers": {"x-session-affinity": "conversation-1"}}
    assert [cached(), cached(), cached(**same)] == [0, 0, 0]
    assert cached(**same) > 1000


def test_errors(client: openai.OpenAI, vendor: Running):
    with pytest.raises(openai.BadRequestError) as bad:
        say(client, "x", temperature="hot")
    assert bad.value.response.json()["errors"][0]["code"] == 5006
    with pytest.raises(openai.BadRequestError) as unknown:
        say(client, "x", "gpt-4o")
    assert unknown.value.response.json()["errors"] == [{"message": "No such model gpt-4o or task", "code": 5007}]
    with pytest.raises(openai.RateLimitError) as limited:
        say(client, "[[fail:429 retry-after=2]]")
    assert limited.value.response.headers["retry-after"] == "2"
    own = cloudflare.Cloudflare(api_token="invalid", base_url=vendor.url + BASE, max_retries=0)
    with pytest.raises(cloudflare.AuthenticationError) as caught:
        own.post("/accounts/a1b2/ai/v1/chat/completions", body={"model": MODEL, "messages": []}, cast_to=object)
    assert [(error.code, error.message) for error in caught.value.errors] == [(10000, "Authentication error")]

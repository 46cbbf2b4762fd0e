"""The simulated Mistral, judged by the official SDK; and our requests against those that the SDK sends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from mistralai.client import Mistral
from mistralai.client import models as sdk
from mistralai.client.errors import HTTPValidationError, SDKError

from dev.simulated_providers.server import Running, serve
from headgate.catalog.catalog import Catalog
from headgate.conversation import (
    FunctionTool,
    Media,
    Message,
    Output,
    OutputFormat,
    Reasoning,
    Request,
    Sampling,
    Text,
    Thinking,
    Thought,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.protocols.chat_completions.upstream_request import write_request
from headgate.providers.fit import fit_body
from headgate.providers.rows import PROVIDERS
from tests.sdk.support import CITY_SCHEMA, PDF_URL, PNG_URL

MODEL, THINKER = "mistral-large-2512", "magistral-medium-latest"
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": CITY_SCHEMA}}


@pytest.fixture(scope="module")
def vendor() -> Iterator[Running]:
    with serve() as running:
        yield running


@pytest.fixture
def client(vendor: Running) -> Mistral:
    return Mistral(api_key="k", server_url=vendor.url + "/mistral")


def say(client: Mistral, text: str, **options: Any) -> Any:
    return client.chat.complete(
        model=options.pop("model", MODEL), messages=[{"role": "user", "content": text}], **options
    )


def stream(client: Mistral, text: str, **options: Any) -> list[Any]:
    messages = [{"role": "user", "content": text}]
    events = client.chat.stream(model=options.pop("model", MODEL), messages=messages, **options)
    return [event.data for event in events]


def test_text_and_usage(client: Mistral):
    answer = say(client, "[[say:Salut.]]")
    assert answer.choices[0].message.content == "Salut." and answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    chunks = stream(client, "[[say:Salut, toi.]]")
    assert "".join(chunk.choices[0].delta.content for chunk in chunks) == "Salut, toi."
    # Unasked, and beside the finish reason.
    assert [bool(chunk.usage) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_thoughts_are_parts_of_the_content(client: Mistral):
    content = say(client, "[[think:Hm.]][[say:Oui.]]", model=THINKER).choices[0].message.content
    assert [part.type for part in content] == ["thinking", "text"]
    assert content[0].thinking[0].text == "Hm." and content[0].closed and content[1].text == "Oui."
    parts = [chunk.choices[0].delta.content for chunk in stream(client, "[[think:Hm, hm.]][[say:Oui.]]", model=THINKER)]
    thoughts = [part for content in parts if isinstance(content, list) for part in content]
    thought = [inner.text for part in thoughts for inner in part.thinking]
    assert content[0].signature and [bool(part.signature) for part in thoughts][-2:] == [False, True]
    assert "".join(thought) == "Hm, hm." and "".join(part for part in parts if isinstance(part, str)) == "Oui."


def test_adjustable_reasoning(client: Mistral):
    def thinks(**options: Any) -> bool:
        content = say(client, "[[say:x]]", model="mistral-small-2603", **options).choices[0].message.content
        return isinstance(content, list)

    assert thinks(reasoning_effort="high")
    assert not thinks(reasoning_effort="none") and not thinks()
    with pytest.raises(SDKError, match="not supported"):
        say(client, "x", model=THINKER, reasoning_effort="high")


def test_calls_have_ids_of_nine_and_come_whole(client: Mistral):
    text = '[[tool:get_weather {"city":"Paris"}]][[tool:get_weather {"city":"Rome"}]]'
    answer = say(client, text, tools=[TOOL], tool_choice="any").choices[0]
    assert answer.finish_reason == "tool_calls"
    assert [json.loads(call.function.arguments)["city"] for call in answer.message.tool_calls] == ["Paris", "Rome"]
    assert all(len(call.id) == 9 and call.id.isalnum() for call in answer.message.tool_calls)
    last = stream(client, text, tools=[TOOL])[-1]
    assert [call.index for call in last.choices[0].delta.tool_calls] == [0, 1] and last.usage.completion_tokens
    named = {"type": "function", "function": {"name": "get_weather"}}
    assert say(client, "x", tools=[TOOL], tool_choice=named).choices[0].finish_reason == "tool_calls"


def test_a_tool_loop_with_thoughts(client: Mistral):
    call = {"id": "a1b2c3d4e", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Weather."}], "closed": True}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Paris?"},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "I look."}], "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a1b2c3d4e", "name": "get_weather", "content": "19 degrees"},
        {"role": "assistant", "content": "OK"},
        {"role": "user", "content": "[[history]]"},
    ]
    answer = client.chat.complete(model=MODEL, messages=messages)  # type: ignore[arg-type]
    assert answer.choices[0].message.content.splitlines()[:6] == [  # type: ignore[union-attr]
        "system: Be brief.",
        "user: Paris?",
        "thought: Weather.",
        "assistant: I look.",
        'call get_weather {"city":"Paris"}',
        "result of get_weather: 19 degrees",
    ]


def test_media_prefix_and_schema(client: Mistral):
    content = [
        {"type": "text", "text": "See."},
        {"type": "image_url", "image_url": PNG_URL},
        {"type": "image_url", "image_url": {"url": "https://images.example.com/cat.png"}},
        {"type": "document_url", "document_url": PDF_URL, "document_name": "a.pdf"},
        {"type": "document_url", "document_url": "https://arxiv.org/pdf/1805.04770"},
    ]
    answer = client.chat.complete(model=MODEL, messages=[{"role": "user", "content": content}])  # type: ignore[list-item]
    assert "2 images, 2 files" in answer.choices[0].message.content  # type: ignore[operator]
    begun = [
        {"role": "user", "content": "[[say: wonderful day]]"},
        {"role": "assistant", "content": "A", "prefix": True},
    ]
    answer = client.chat.complete(model=MODEL, messages=begun)  # type: ignore[arg-type]
    assert answer.choices[0].message.content == "A wonderful day"
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": CITY_SCHEMA, "strict": True}}
    assert json.loads(say(client, "a city", response_format=form).choices[0].message.content)["city"]


def test_limits_caches_and_choices(client: Mistral):
    assert say(client, "[[tokens:50]]", max_tokens=7).choices[0].finish_reason == "length"
    assert say(client, "[[say:one two END]]", stop=["END"]).choices[0].message.content == "one two "
    assert len(say(client, "x", n=2, random_seed=3, safe_prompt=True).choices) == 2
    long = "word " * 2000
    for _ in range(2):
        answer = say(client, long, prompt_cache_key="conversation-1")
    assert answer.usage.additional_properties["prompt_tokens_details"]["cached_tokens"] > 1000


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"stream_options": {"include_usage": True}, "stream": True}, ["body", "stream_options"]),
        ({"max_completion_tokens": 5}, ["body", "max_completion_tokens"]),
        ({"seed": 1}, ["body", "seed"]),
        ({"messages": [{"role": "user", "content": "x", "name": "Ada"}]}, ["body", "messages", 0, "user", "name"]),
        (
            {"messages": [{"role": "assistant", "content": "x", "reasoning_content": "y"}]},
            ["body", "messages", 0, "assistant", "reasoning_content"],
        ),
    ],
)
def test_unknown_fields_are_a_422(client: Mistral, vendor: Running, body: dict[str, Any], path: list[Any]):
    import httpx

    whole = {"model": MODEL, "messages": [{"role": "user", "content": "x"}], **body}
    answer = httpx.post(f"{vendor.url}/mistral/v1/chat/completions", json=whole, headers={"authorization": "Bearer k"})
    assert answer.status_code == 422
    (entry,) = answer.json()["message"]["detail"]
    assert entry["type"] == "extra_forbidden" and entry["loc"] == path


def test_refusals(client: Mistral, vendor: Running):
    def refused(messages: list[dict[str, Any]], model: str = MODEL) -> str:
        with pytest.raises(SDKError) as caught:
            client.chat.complete(model=model, messages=messages)  # type: ignore[arg-type]
        assert caught.value.status_code == 400
        return caught.value.body

    user = {"role": "user", "content": "x"}
    call = {"id": "a1b2c3d4e", "function": {"name": "f", "arguments": "{}"}}
    asked = {"role": "assistant", "content": "", "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "a1b2c3d4e", "content": "y"}
    assert "Unexpected role 'user' after role 'tool'" in refused([user, asked, result, user])
    assert "Unexpected role 'system' after role 'assistant'" in refused(
        [user, {"role": "assistant", "content": "y"}, {"role": "system", "content": "z"}, user]
    )
    assert "Expected last role User or Tool" in refused([user, {"role": "assistant", "content": "y"}])
    assert "must be a-z, A-Z, 0-9, with a length of 9" in refused(
        [user, {**asked, "tool_calls": [{**call, "id": "call_1"}]}, {**result, "tool_call_id": "call_1"}]
    )
    assert "Not the same number of function calls" in refused([user, asked, user])
    assert "Invalid model" in refused([user], "gpt-4o")
    with pytest.raises(HTTPValidationError):
        say(client, "x", temperature=2)
    with pytest.raises(SDKError) as caught:
        Mistral(api_key="invalid", server_url=vendor.url + "/mistral").chat.complete(model=MODEL, messages=[user])  # type: ignore[list-item]
    assert caught.value.status_code == 401
    with pytest.raises(SDKError) as caught:
        say(client, "[[fail:429 retry-after=3]]")
    assert '"rate_limited"' in caught.value.body and caught.value.headers["retry-after"] == "3"


def test_our_request_is_one_that_the_sdk_could_have_made():
    items = (
        Message("user", (Text("Look."), Media("image", data="iVBORw0KGgo=", media_type="image/png"))),
        Message("user", (Media("file", data="JVBERi0=", media_type="application/pdf", filename="a.pdf"),)),
        Reasoning((Thought("I need the weather.", summary=False),)),
        ToolCall("call_of_somebody_else", "get_weather", '{"city":"Paris"}'),
        ToolResult("call_of_somebody_else", (Text("19 degrees"),)),
        Message("developer", (Text("Hurry."),)),
        Message("assistant", (Text("It is"),)),
    )
    request = Request(
        "m",
        items,
        instructions=(Text("Be brief."),),
        tools=(FunctionTool("get_weather", "Looks.", CITY_SCHEMA), FunctionTool("now")),
        tool_choice=ToolChoice("required"),
        parallel_tool_calls=False,
        sampling=Sampling(max_tokens=50, temperature=0.5, top_p=0.9, top_k=20, seed=7, stop=("END",)),
        output=Output(OutputFormat("json_schema", CITY_SCHEMA, "city", strict=True)),
        thinking=Thinking(effort="high"),
        stream=True,
    )
    provider = PROVIDERS["mistral"]
    (route,) = [each for each in Catalog.bundled().find("mistral-small-2603").routes if each.provider == "mistral"]  # type: ignore[union-attr]
    target = replace(route.target(), quirks=provider.quirks)
    body, losses = write_request(request, target)
    body, lost = fit_body(provider, "chat_completions", body)
    assert not losses and not lost
    made = sdk.ChatCompletionStreamRequest.model_validate(body).model_dump(
        mode="json", by_alias=True, exclude_unset=True
    )
    # Nothing that the SDK does not know, and nothing under another name.
    assert json.loads(json.dumps(made)) == json.loads(json.dumps(body))
    assert body["reasoning_effort"] == "high" and body["random_seed"] == 7 and body["messages"][-1]["prefix"] is True

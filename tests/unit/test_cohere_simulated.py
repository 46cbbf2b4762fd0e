"""The simulated Cohere, judged by the official SDK; and our protocol against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import cohere
import httpx
import pytest

from dev.simulated_providers import Running, serve
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
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.errors import GatewayError
from headgate.events import Failed
from headgate.fold import fold
from headgate.protocols.contract import Target
from tests.unit.upstream_kit import ask, assert_grammar, simulated

FEATURES = frozenset({"image", "tools", "json_schema", "sampling", "logprobs"})
TARGET = Target("cohere", "command-a-03-2025", 8192, 256_000, FEATURES)
REASONING = replace(TARGET, model="command-a-reasoning-08-2025", features=FEATURES | {"reasoning"})
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = FunctionTool("get_weather", "Weather", WEATHER)
SDK_TOOL = {"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": WEATHER}}


@pytest.fixture(scope="module")
def vendors() -> Iterator[Running]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def client(vendors: Running) -> Any:
    return cohere.ClientV2(api_key="co-test", base_url=f"{vendors.url}/cohere")


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def test_the_sdk_reads_the_stream_and_the_whole_answer(client):
    events = list(client.chat_stream(model=TARGET.model, messages=said("Hello")))
    assert [event.type for event in events if event.type != "content-delta"] == [
        "message-start",
        "content-start",
        "content-end",
        "message-end",
    ]
    text = "".join(event.delta.message.content.text for event in events if event.type == "content-delta")
    whole = client.chat(model=TARGET.model, messages=said("Hello"))
    assert text == whole.message.content[0].text == "You said: Hello."
    assert whole.finish_reason == events[-1].delta.finish_reason == "COMPLETE"
    assert events[-1].delta.usage.billed_units == whole.usage.billed_units


@pytest.mark.parametrize("model", [TARGET.model, REASONING.model])
def test_the_sdk_runs_a_tool_loop(client, model):
    messages: list[Any] = said('Look [[tool:get_weather {"city":"Paris"}]] [[tool:get_weather]]')
    first = client.chat(model=model, messages=messages, tools=[SDK_TOOL])
    assert first.finish_reason == "TOOL_CALL" and len(first.message.tool_calls) == 2
    messages.append(first.message)
    for call in first.message.tool_calls:
        data = {"type": "document", "document": {"data": {"temperature": "21 C"}}}
        messages.append({"role": "tool", "tool_call_id": call.id, "content": [data]})
    second = client.chat(model=model, messages=messages, tools=[SDK_TOOL])
    assert "21 C" in second.message.content[-1].text and second.message.citations[0].sources[0].type == "tool"
    with pytest.raises(cohere.BadRequestError):
        client.chat(model=model, messages=messages[:-1], tools=[SDK_TOOL])
    streamed = list(client.chat_stream(model=model, messages=messages[:1], tools=[SDK_TOOL]))
    arguments = [
        event.delta.message.tool_calls.function.arguments for event in streamed if event.type == "tool-call-delta"
    ]
    assert "".join(arguments) == '{"city":"Paris"}{"city": "example"}'


def test_the_sdk_raises_the_vendors_errors(client):
    with pytest.raises(cohere.NotFoundError):
        client.chat(model="does-not-exist", messages=said("a"))
    with pytest.raises(cohere.UnprocessableEntityError):
        client.chat(model=TARGET.model, messages=said("a"), request_options={"additional_body_parameters": {"x": 1}})
    with pytest.raises(cohere.TooManyRequestsError):
        client.chat(model=TARGET.model, messages=said("[[fail:429]]"), request_options={"max_retries": 0})
    with pytest.raises(cohere.BadRequestError):
        client.chat(model=TARGET.model, messages=said("a"), tools=[SDK_TOOL], response_format={"type": "json_object"})


def test_our_request_is_what_the_sdk_sends(client, vendors):
    """The same conversation through both."""
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Look it up"},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "21 C"}]},
    ]
    vendors.clear()
    list(
        client.chat_stream(
            model=TARGET.model,
            messages=messages,
            tools=[SDK_TOOL],
            temperature=0.5,
            k=3,
            p=0.9,
            max_tokens=100,
            stop_sequences=["END"],
            seed=7,
            tool_choice="NONE",
        )
    )
    from headgate.protocols.cohere.upstream_request import write_request

    request = Request(
        "x",
        (user("Look it up"), ToolCall("c1", "get_weather", "{}"), ToolResult("c1", (Text("21 C"),))),
        instructions=(Text("Be brief."),),
        tools=(TOOL,),
        tool_choice=ToolChoice("none"),
        sampling=Sampling(max_tokens=100, temperature=0.5, top_p=0.9, top_k=3, seed=7, stop=("END",)),
    )
    assert write_request(request, TARGET)[0] == vendors.recorded()[0].body


CLIENT = simulated()


def answered(request: Request, target: Target = TARGET):
    events = ask(CLIENT, "cohere", request, target)
    assert_grammar(events)
    return fold(events)


def text_of(answer: Any) -> str:
    return "".join(part.text for item in answer.items if isinstance(item, Message) for part in item.parts)


@pytest.mark.parametrize("target", [TARGET, REASONING])
def test_a_tool_loop_through_our_protocol(target):
    asked = Request("x", (user('Look [[tool:get_weather {"city":"Paris"}]] [[tool:get_weather]]'),), tools=(TOOL,))
    first = answered(asked, target)
    assert isinstance(first.items[0], Reasoning)
    calls = [item for item in first.items if isinstance(item, ToolCall)]
    assert [call.arguments for call in calls] == ['{"city":"Paris"}', '{"city": "example"}']
    results = tuple(ToolResult(call.call_id, (Text(f"{n} C"),)) for n, call in enumerate(calls))
    items = (user("Look"), *first.items, *reversed(results), user("[[history]]"))
    told = text_of(answered(replace(asked, items=items), target)).splitlines()
    assert told[1].startswith("thought: ")
    assert told[-3:-1] == ["result of get_weather: 0 C", "result of get_weather: 1 C"]


def test_citations_of_documents():
    file = Media("file", data="aGk=", media_type="text/plain", filename="a.txt")
    answer = answered(Request("x", (user("Read it", file),)))
    (message,) = answer.items
    assert isinstance(message, Message) and isinstance(message.parts[0], Text)
    citation = message.parts[0].citations[0]
    assert (citation.url, citation.title, citation.cited_text, citation.start) == ("document-1", "a.txt", "hi", 0)


def test_stops_limits_filters_and_log_probabilities():
    stopped = answered(Request("x", (user("[[say:one END two]]"),), sampling=Sampling(stop=("END",), logprobs=True)))
    assert stopped.finished is not None and stopped.finished.reason == "stop_sequence"
    part = stopped.items[0].parts[0]  # type: ignore[union-attr]
    assert isinstance(part, Text) and "".join(each.token for each in part.logprobs) == part.text == "one "
    cut = answered(Request("x", (user("[[tokens:20]]"),), sampling=Sampling(max_tokens=9)))
    assert cut.finished is not None and cut.finished.reason == "length" and cut.usage.output_total == 9
    filtered = answered(Request("x", (user("[[filter]] a"),)))
    assert filtered.finished is not None and filtered.finished.reason == "content_filter"


def test_structured_output_alone_and_beside_tools():
    format = OutputFormat(
        "json_schema", {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    )
    request = Request("x", (user("a"),), output=Output(format))
    assert set(json.loads(text_of(answered(request)))) == {"n"}
    # The first tool on offer is taken; with the answer's alone it is that.
    beside = answered(replace(request, output=Output(replace(format, name="answer")), tools=(TOOL,)))
    assert isinstance(beside.items[-1], ToolCall) and beside.items[-1].name == "get_weather"
    emulated = answered(request, replace(TARGET, features=FEATURES - {"json_schema"}))
    assert set(json.loads(text_of(emulated))) == {"n"}
    assert emulated.finished is not None and emulated.finished.reason == "stop"


@pytest.mark.parametrize(
    ("directive", "status", "code"),
    [("[[fail:429 retry-after=7]]", 429, "rate_limit_exceeded"), ("[[fail:503 html]]", 503, None)],
)
def test_errors_before_the_first_byte(directive, status, code):
    with pytest.raises(GatewayError) as caught:
        answered(Request("x", (user(directive),)))
    assert (caught.value.status, caught.value.code) == (status, code)


def test_errors_in_the_stream():
    for directive in ("[[error-first]]", "[[error-after:2]]", "[[junk-after:1]]"):
        events = ask(CLIENT, "cohere", Request("x", (user(f"{directive} [[tokens:5]]"),)), TARGET)
        assert_grammar(events)
        assert isinstance(events[-1], Failed)
    novel = answered(Request("x", (user("[[novel]] a"),)))
    assert novel.finished is not None and novel.finished.reason == "stop"


def test_a_caller_that_asks_for_json_gets_lines_of_it(vendors: Running):
    body = {
        "model": "command-a-03-2025",
        "messages": [{"role": "user", "content": "[[say:Two words]]"}],
        "stream": True,
    }
    url, key = f"{vendors.url}/cohere/v2/chat", {"authorization": "Bearer co-test"}
    framed = httpx.post(url, json=body, headers={**key, "accept": "text/event-stream"}).text
    lines = httpx.post(url, json=body, headers={**key, "accept": "application/json"}).text
    events = [json.loads(line) for line in lines.splitlines()]
    assert [event["type"] for event in events] == [line[7:] for line in framed.splitlines() if line[:7] == "event: "]
    said = [event["delta"]["message"]["content"]["text"] for event in events if event["type"] == "content-delta"]
    assert "".join(said) == "Two words"

"""The simulated Bedrock, judged by boto3; and our reader and boto3 reading the same answers."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from dev.simulated_providers import Running, serve
from headgate.conversation import (
    FunctionTool,
    Message,
    Output,
    OutputFormat,
    Reasoning,
    Request,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
    WebSearchTool,
)
from headgate.errors import GatewayError
from headgate.events import Failed
from headgate.fold import fold
from headgate.protocols.contract import Target
from tests.strategies import PDF, PNG
from tests.unit.upstream_kit import ask, assert_grammar, simulated

FEATURES = frozenset({"image", "pdf", "tools", "cache_control", "reasoning", "json_schema", "sampling", "web_search"})
CLAUDE = Target("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", 8192, 200_000, FEATURES, (), "budget")
NOVA = replace(CLAUDE, model="us.amazon.nova-2-lite-v1:0", thinking="effort")
OSS = replace(CLAUDE, model="openai.gpt-oss-120b-1:0", thinking="effort")
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = FunctionTool("get_weather", "Weather", WEATHER)


@pytest.fixture(scope="module")
def vendors() -> Iterator[Running]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def client(vendors: Running) -> Any:
    return boto3.client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=f"{vendors.url}/bedrock",
        aws_access_key_id="AKIDTEST",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}),
    )


def said(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"text": text}]}]


def user(text: str) -> Message:
    return Message("user", (Text(text),))


def folded(stream: Any) -> tuple[list[Any], dict[str, Any], dict[str, Any]]:
    """(blocks as text by index, messageStop, metadata) of boto3's events."""
    blocks: dict[int, Any] = {}
    stop: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    for event in stream:
        match event:
            case {"contentBlockStart": {"contentBlockIndex": index, "start": {"toolUse": use}}}:
                blocks[index] = {**use, "input": ""}
            case {"contentBlockDelta": {"contentBlockIndex": index, "delta": {"toolUse": {"input": piece}}}}:
                blocks[index]["input"] += piece
            case {"contentBlockDelta": {"contentBlockIndex": index, "delta": {"text": piece}}}:
                blocks[index] = blocks.get(index, "") + piece
            case {"contentBlockDelta": {"contentBlockIndex": index, "delta": {"reasoningContent": piece}}}:
                held = blocks.setdefault(index, {"text": ""})
                held["text"] += piece.get("text", "")
                held.update({key: value for key, value in piece.items() if key != "text"})
            case {"messageStop": found}:
                stop = found
            case {"metadata": found}:
                metadata = found
            case _:
                continue
    return [blocks[index] for index in sorted(blocks)], stop, metadata


def test_boto3_reads_the_stream_and_the_whole_answer(client):
    asked = {"modelId": CLAUDE.model, "messages": said("Hello")}
    blocks, stop, metadata = folded(client.converse_stream(**asked)["stream"])
    whole = client.converse(**asked)
    assert blocks == [block["text"] for block in whole["output"]["message"]["content"]] == ["You said: Hello."]
    assert stop["stopReason"] == whole["stopReason"] == "end_turn"
    assert metadata["usage"] == whole["usage"]


def test_boto3_runs_a_tool_loop_with_thinking(client):
    config = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": WEATHER}}}]}
    asked = {
        "modelId": CLAUDE.model,
        "toolConfig": config,
        "inferenceConfig": {"maxTokens": 4000},
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
    }
    messages = said('Look [[think-redacted]] [[tool:get_weather {"city":"Paris"}]] [[tool:get_weather]]')
    first = client.converse(messages=messages, **asked)
    assert first["stopReason"] == "tool_use"
    answer = first["output"]["message"]
    assert isinstance(answer["content"][0]["reasoningContent"]["redactedContent"], bytes)
    results = [
        {"toolResult": {"toolUseId": block["toolUse"]["toolUseId"], "content": [{"text": "21 C"}]}}
        for block in answer["content"]
        if "toolUse" in block
    ]
    second = client.converse(messages=[*messages, answer, {"role": "user", "content": results}], **asked)
    assert "get_weather gave: 21 C" in second["output"]["message"]["content"][-1]["text"]
    with pytest.raises(ClientError, match="Expected toolResult blocks"):
        client.converse(messages=[*messages, answer, {"role": "user", "content": results[:1]}], **asked)
    blocks, stop, _ = folded(client.converse_stream(messages=messages, **asked)["stream"])
    assert [block.get("input") for block in blocks] == [None, '{"city":"Paris"}', '{"city": "example"}']
    assert stop["stopReason"] == "tool_use"


def test_boto3_sees_images_documents_and_caching(client):
    content = [
        {"text": "long text"},
        {"image": {"format": "png", "source": {"bytes": base64.b64decode(PNG)}}},
        {"document": {"format": "pdf", "name": "a", "source": {"bytes": base64.b64decode(PDF)}}},
        {"cachePoint": {"type": "default", "ttl": "1h"}},
        {"text": "[[history]]"},
    ]
    asked = {"modelId": CLAUDE.model, "messages": [{"role": "user", "content": content}]}
    first, second = client.converse(**asked), client.converse(**asked)
    assert "[image image/png" in first["output"]["message"]["content"][0]["text"]
    written = first["usage"]["cacheWriteInputTokens"]
    assert first["usage"]["cacheDetails"] == [{"ttl": "1h", "inputTokens": written}]
    assert second["usage"]["cacheReadInputTokens"] == written > 0


def test_boto3_raises_the_vendors_exceptions(client, vendors):
    errors = client.exceptions
    with pytest.raises(errors.ValidationException, match="model identifier is invalid"):
        client.converse(modelId="anthropic.does-not-exist", messages=said("a"))
    with pytest.raises(errors.ValidationException, match="blank"):
        client.converse(modelId=CLAUDE.model, messages=said(" "))
    with pytest.raises(errors.AccessDeniedException):
        client.converse(
            modelId=OSS.model,
            messages=[{"role": "user", "content": [{"text": "a"}, {"cachePoint": {"type": "default"}}]}],
        )
    with pytest.raises(errors.ThrottlingException):
        client.converse_stream(modelId=CLAUDE.model, messages=said("[[fail:429]]"))
    with pytest.raises(EventStreamError, match="throttlingException"):
        list(client.converse_stream(modelId=CLAUDE.model, messages=said("[[error-first]]"))["stream"])
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        list(client.converse_stream(modelId=CLAUDE.model, messages=said("[[error-after:2]] a b c d"))["stream"])


CLIENT = simulated()


def answered(request: Request, target: Target = CLAUDE):
    events = ask(CLIENT, "converse", request, target)
    assert_grammar(events)
    return fold(events)


def text_of(answer: Any) -> str:
    return "".join(part.text for item in answer.items if isinstance(item, Message) for part in item.parts)


@pytest.mark.parametrize("target", [CLAUDE, NOVA, OSS])
def test_a_tool_loop_through_our_protocol(target):
    asked = Request(
        "x",
        (user('Look [[think:Hm]] [[think-signed]] [[tool:get_weather {"city":"Paris"}]] [[tool:get_weather]]'),),
        tools=(TOOL,),
        thinking=Thinking(effort="low"),
    )
    first = answered(asked, target)
    calls = [item for item in first.items if isinstance(item, ToolCall)]
    assert [call.arguments for call in calls] == ['{"city":"Paris"}', '{"city": "example"}']
    assert first.finished is not None and first.finished.reason == "tool_calls"
    # The vendor refuses thinking whose bytes or order changed.
    results = tuple(ToolResult(call.call_id, (Text("21 C"),)) for call in reversed(calls))
    second = answered(replace(asked, items=(user("Look"), *first.items, *results)), target)
    assert "get_weather gave: 21 C; get_weather gave: 21 C." in text_of(second)
    assert any(isinstance(item, Reasoning) for item in second.items)


def test_redacted_thinking_goes_round():
    asked = Request(
        "x", (user("a [[think-redacted]] [[tool:get_weather]]"),), tools=(TOOL,), thinking=Thinking(effort="low")
    )
    first = answered(asked)
    assert isinstance(first.items[0], Reasoning) and first.items[0].sealed is not None
    assert first.items[0].sealed.kind == "redacted"
    call = first.items[1]
    assert isinstance(call, ToolCall)
    result = ToolResult(call.call_id, (Text("ok"),))
    assert "ok" in text_of(answered(replace(asked, items=(user("a"), *first.items, result))))


def test_stops_limits_and_filters():
    stopped = answered(Request("x", (user("[[say:one END two]]"),), sampling=Sampling(stop=("END",))))
    assert stopped.finished is not None
    assert (stopped.finished.reason, stopped.finished.stop_sequence, text_of(stopped)) == (
        "stop_sequence",
        "END",
        "one ",
    )
    cut = answered(Request("x", (user("[[tokens:20]]"),), sampling=Sampling(max_tokens=9)))
    assert cut.finished is not None and cut.finished.reason == "length" and cut.usage.output_total == 9
    filtered = answered(Request("x", (user("[[filter]] a"),)))
    assert filtered.finished is not None and filtered.finished.reason == "content_filter"


def test_structured_output_both_ways():
    format = OutputFormat(
        "json_schema", {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    )
    request = Request("x", (user("a"),), output=Output(format))
    native = answered(request)
    emulated = answered(request, replace(CLAUDE, features=FEATURES - {"json_schema"}))
    for answer in (native, emulated):
        assert text_of(answer).startswith('{"n"')
        assert answer.finished is not None and answer.finished.reason == "stop"


def test_forced_and_forbidden_tools():
    forced = answered(
        Request("x", (user("a"),), tools=(TOOL,), tool_choice=ToolChoice("named", (("function", "get_weather"),)))
    )
    assert isinstance(forced.items[0], ToolCall)
    forbidden = answered(Request("x", (user("get_weather"),), tools=(TOOL,), tool_choice=ToolChoice("none")))
    assert text_of(forbidden) == "You said: get_weather."
    one = answered(
        Request("x", (user("[[tool:get_weather]] [[tool:get_weather]]"),), tools=(TOOL,), parallel_tool_calls=False)
    )
    assert len(one.items) == 1


def test_the_vendors_web_search():
    answer = answered(Request("x", (user("[[search:otters]]"),), tools=(WebSearchTool(),)), NOVA)
    search, said_ = answer.items
    assert isinstance(search, ToolCall) and search.kind == "web_search" and answer.usage.web_searches == 1
    assert isinstance(said_, Message)
    urls = [citation.url for part in said_.parts if isinstance(part, Text) for citation in part.citations]
    assert urls == ["https://news.example.com/one", "https://wiki.example.org/two"]


@pytest.mark.parametrize(
    ("directive", "status", "code"),
    [
        ("[[fail:429 retry-after=7]]", 429, "rate_limit_exceeded"),
        ("[[fail:404]]", 404, "model_not_found"),
        ("[[fail:503 html]]", 503, None),
    ],
)
def test_errors_before_the_first_byte(directive, status, code):
    with pytest.raises(GatewayError) as caught:
        answered(Request("x", (user(directive),)))
    assert (caught.value.status, caught.value.code) == (status, code)
    assert "<" not in caught.value.message


def test_errors_in_the_stream():
    for directive, status in (("[[error-first]]", 429), ("[[error-after:2]]", 424)):
        events = ask(CLIENT, "converse", Request("x", (user(f"{directive} [[tokens:5]]"),)), CLAUDE)
        assert_grammar(events)
        assert isinstance(events[-1], Failed) and events[-1].error.status == status
    novel = answered(Request("x", (user("[[novel]] a"),)))
    assert novel.finished is not None and novel.finished.reason == "stop"

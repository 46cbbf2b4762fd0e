"""Responses as an upstream: the bodies it is sent and the streams it answers with."""

import json
from dataclasses import replace
from typing import Any

import pytest
from openai.types.responses import response_create_params
from pydantic import ConfigDict, TypeAdapter, with_config

from headgate.conversation import (
    Caching,
    CustomTool,
    FunctionTool,
    Media,
    Message,
    OpaqueItem,
    OpaqueTool,
    Output,
    OutputFormat,
    Reasoning,
    Refusal,
    Request,
    Sampling,
    Sealed,
    Text,
    Thinking,
    Thought,
    ToolCall,
    ToolChoice,
    ToolResult,
    WebSearchTool,
)
from headgate.errors import GatewayError
from headgate.events import Event, Failed, Finished, ItemEnded, Started
from headgate.fold import fold
from headgate.protocols.contract import Target
from headgate.protocols.names import NameMap
from headgate.protocols.responses.upstream_request import write_request
from headgate.protocols.responses.upstream_stream import StreamReader
from headgate.protocols.strict_schema import can_be_strict
from tests.responses_kit import FIXTURES, TARGET, read_case, recorded

USER = Message("user", (Text("hi"),))


def write(request: Request, target: Target = TARGET) -> tuple[dict[str, Any], set[str]]:
    body, losses = write_request(request, target)
    json.dumps(body)
    return body, {loss.path for loss in losses}


def asking(*items: Any, **fields: Any) -> Request:
    return Request("m", items or (USER,), **fields)


def test_the_least() -> None:
    body, losses = write(asking(instructions=(Text("a"), Text("b"))))
    assert body == {
        "model": "gpt-5.4", "stream": True, "store": False, "instructions": "a\n\nb",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}],
        "include": ["reasoning.encrypted_content"],
    }  # fmt: skip
    assert not losses


def test_history() -> None:
    made = Sealed("responses", "gAAAA", "openai", "gpt-5.2", "encrypted")
    foreign = Sealed("messages", "sig", "anthropic", "claude-opus-4-6")
    body, losses = write(
        asking(
            USER,
            Reasoning((Thought("s"),), made, id="rs_1"),
            Reasoning((Thought("t"),), foreign),
            Reasoning((Thought("never as text"),)),
            Message("assistant", (Text("x"), Refusal("no"))),
            ToolCall("c" * 70, "fs.read", '{"b":1, "a":2}'),
            ToolResult("c" * 70, (Text("boom"),), is_error=True),
            ToolCall("c2", "g", "raw", kind="custom"),
            ToolResult("c2", (Text("a"), Media("image", url="https://x/y.png")), kind="custom"),
            ToolResult("orphan", (Text("left"),)),
            ToolCall("s", "web_search", "{}", kind="web_search", ran_by="provider"),
            OpaqueItem("messages", {}),
        )
    )
    _, reasoning, said, call, result, custom, custom_result, orphan = body["input"]
    assert reasoning == {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "s"}],
                         "encrypted_content": "gAAAA"}  # fmt: skip
    assert [part["type"] for part in said["content"]] == ["output_text", "refusal"]
    assert call["call_id"] == result["call_id"] and len(call["call_id"]) <= 64
    assert call["arguments"] == '{"b":1, "a":2}' and call["name"].startswith("fs_read_")
    assert result["output"] == "Error: boom"
    assert custom["input"] == "raw" and custom_result["type"] == "custom_tool_call_output"
    assert [part["type"] for part in custom_result["output"]] == ["input_text", "input_image"]
    assert orphan["role"] == "user" and [part["text"] for part in orphan["content"]][1] == "left"
    assert losses == {"items[2]", "items[10]", "items[11]"}
    assert "never as text" not in json.dumps(body)


def test_reasoning_of_another_provider_or_family_stays_out() -> None:
    for provider, model in (("azure", "gpt-5.4"), ("openai", "llama-5")):
        body, losses = write(asking(USER, Reasoning((), Sealed("responses", "x", provider, model, "encrypted"))))
        assert len(body["input"]) == 1 and losses == {"items[1]"}


@pytest.mark.parametrize(
    "part",
    [
        Media("image", file_id="file_011Anthropic"),
        Media("video", url="https://x/y.mp4"),
        Media("audio", url="https://x/y.wav"),
    ],
)
def test_content_without_a_form_is_refused(part: Media) -> None:
    with pytest.raises(GatewayError) as caught:
        write(asking(Message("user", (part,))))
    assert (caught.value.status, caught.value.code) == (400, "unsupported_content")


def test_content_the_model_cannot_take_is_refused() -> None:
    blind = Target("openai", "text-only", features=frozenset({"tools"}))
    for part in (Media("image", url="https://x"), Media("file", data="QUJD", media_type="application/pdf")):
        with pytest.raises(GatewayError):
            write(asking(Message("user", (part,))), blind)
        with pytest.raises(GatewayError):
            write(asking(ToolCall("c", "f", "{}"), ToolResult("c", (Text("a"), part))), blind)


def test_tools_and_choice() -> None:
    tools = (
        FunctionTool("f", "d", {"type": "object"}, strict=None, extra={"messages": {"cache_control": {}}}),
        FunctionTool("g", namespace="n", strict=True),
        CustomTool("c", format={"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}),
        WebSearchTool("low", ("a.no",), ("b.no",), {"city": "Oslo"}, max_uses=3),
        OpaqueTool("messages", {"type": "bash"}),
    )
    choice = ToolChoice("required", (("function", "g"), ("web_search", "web_search")))
    body, losses = write(asking(tools=tools, tool_choice=choice, parallel_tool_calls=False, max_tool_calls=2))
    assert body["tools"] == [
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object", "properties": {}},
         "strict": False},
        {"type": "function", "name": "n__g", "parameters": {"type": "object", "properties": {}}, "strict": True},
        {"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        {"type": "web_search", "search_context_size": "low", "filters": {"allowed_domains": ["a.no"]},
         "user_location": {"type": "approximate", "city": "Oslo"}},
    ]  # fmt: skip
    assert body["tool_choice"] == {
        "type": "allowed_tools", "mode": "required",
        "tools": [{"type": "function", "name": "n__g"}, {"type": "web_search"}],
    }  # fmt: skip
    assert body["parallel_tool_calls"] is False and body["max_tool_calls"] == 2
    assert losses == {"tools[0].cache_control", "tools[3].blocked_domains", "tools[3].max_uses", "tools[4]"}
    named = write(asking(tools=tools, tool_choice=ToolChoice("named", (("custom", "c"),))))[0]
    assert named["tool_choice"] == {"type": "custom", "name": "c"}


def test_knobs_that_the_api_lacks_are_losses() -> None:
    sampling = Sampling(
        max_tokens=9, temperature=0.5, stop=("x",), seed=1, frequency_penalty=1, presence_penalty=1,
        logit_bias={"1": 2}, top_k=3, top_logprobs=2, logprobs=True,
    )  # fmt: skip
    body, losses = write(asking(sampling=sampling, choices=2, caching=Caching("key", "in-memory", {})))
    assert losses == {
        "stop", "seed", "frequency_penalty", "presence_penalty", "logit_bias", "top_k", "n", "max_output_tokens",
        "top_logprobs", "include",
    }  # fmt: skip
    assert body["max_output_tokens"] == 16 and body["temperature"] == 0.5
    assert body["prompt_cache_key"] == "key" and body["prompt_cache_retention"] == "in_memory"

    fixed = replace(TARGET, features=frozenset({"logprobs"}))
    body, losses = write(asking(sampling=Sampling(temperature=1, top_p=1, top_logprobs=2)), fixed)
    assert losses == {"temperature", "top_p"} and "temperature" not in body
    assert body["top_logprobs"] == 2 and body["include"] == ["message.output_text.logprobs"]


@pytest.mark.parametrize(
    ("thinking", "expected"),
    [
        (Thinking(), None),
        (Thinking(effort="high"), {"effort": "high"}),
        (Thinking(effort="xhigh", summary="auto"), {"effort": "high", "summary": "auto"}),
        (Thinking(mode="enabled", budget=4000), {"effort": "high", "summary": "auto"}),
        (Thinking(mode="enabled", budget=1024, display="omitted"), {"effort": "low"}),
        (Thinking(mode="adaptive"), {"summary": "auto"}),
        (Thinking(mode="disabled"), {"effort": "low"}),
    ],
)
def test_reasoning_levels(thinking: Thinking, expected: Any) -> None:
    target = replace(TARGET, efforts=("low", "medium", "high"))
    assert write(asking(thinking=thinking), target)[0].get("reasoning") == expected


def test_a_model_that_does_not_reason() -> None:
    body, losses = write(asking(thinking=Thinking(effort="high")), replace(TARGET, features=frozenset({"tools"})))
    assert "reasoning" not in body and "include" not in body and losses == {"reasoning"}


def test_structured_output() -> None:
    closed = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
              "additionalProperties": False}  # fmt: skip
    body, _ = write(asking(output=Output(OutputFormat("json_schema", closed, "my name"), "low")))
    assert body["text"] == {
        "format": {"type": "json_schema", "name": "my_name", "schema": closed, "strict": True}, "verbosity": "low",
    }  # fmt: skip
    assert not can_be_strict({"type": "object", "properties": {"a": {}}, "additionalProperties": False})
    assert not can_be_strict({"type": "array", "items": {"type": "object", "properties": {}}})
    with pytest.raises(GatewayError):
        write(asking(output=Output(modalities=("text", "audio"))))


def test_the_body_is_what_the_sdk_would_send() -> None:
    """Every field and type of the SDK's own parameters; assistant text goes without an id, which only the types ask
    for."""
    body, _ = write(
        asking(
            USER,
            Message("user", (Media("image", data="QUJD", media_type="image/png"), Media("file", data="QUJD"))),
            Reasoning((Thought("s"),), Sealed("responses", "x", "openai", "gpt-5.4", "encrypted"), id="rs_1"),
            ToolCall("c", "f", "{}"),
            ToolResult("c", (Text("r"),)),
            tools=(FunctionTool("f", parameters={}), WebSearchTool("low")),
            tool_choice=ToolChoice("named", (("function", "f"),)),
            sampling=Sampling(max_tokens=100, temperature=1),
            thinking=Thinking(effort="low", summary="auto"),
            output=Output(OutputFormat("json_schema", {}, "n"), "low"),
            metadata={"a": "b"},
        )
    )
    closed = with_config(ConfigDict(extra="forbid"))(response_create_params.ResponseCreateParamsStreaming)
    TypeAdapter(closed).validate_python(body)


EXPECTED: dict[str, Any] = {
    "text": ("stop", (Message, "Hello, wörld \u2028🌍!")),
    "reasoning": ("stop", (Reasoning, "**Weighing it**|Then done."), (Message, "Forty-two.")),
    "tools": ("tool_calls", (Reasoning, ""), (ToolCall, '{"city":"Oslo"}'), (ToolCall, "{}")),
    "custom_tool": ("tool_calls", (ToolCall, "*** Begin\n+x\n*** End")),
    "logprobs": ("stop", (Message, "Yes!")),
    "refusal": ("refusal", (Message, "I can't help.")),
    "incomplete": ("length", (Message, "Once upon")),
    "items_only": ("tool_calls", (Reasoning, "why"), (Message, "All at once"), (ToolCall, '{"a":1}')),
    "terminal_only": ("tool_calls", (Reasoning, "why"), (Message, "All at once"), (ToolCall, '{"a":1}')),
    "unknown_item": ("stop", (OpaqueItem, None), (Message, "ok")),
}


def said(item: Any) -> str | None:
    if isinstance(item, ToolCall):
        return item.arguments
    return "|".join(part.text for part in item.parts) if hasattr(item, "parts") else None


@pytest.mark.parametrize("case", EXPECTED)
def test_recorded_streams(case: str) -> None:
    reason, *items = EXPECTED[case]
    events = read_case(case)
    check_grammar(events)
    answer = fold(events)
    assert answer.finished is not None and answer.finished.reason == reason
    assert [(type(item), said(item)) for item in answer.items] == items
    assert answer.id.startswith("resp_") and answer.usage.total > 0


def check_grammar(events: list[Event]) -> None:
    """Strictly sequential, one end."""
    open_item = open_part = False
    for index, event in enumerate(events):
        match type(event).__name__:
            case "ItemStarted":
                assert not open_item
                open_item = True
            case "PartStarted":
                assert open_item and not open_part
                open_part = True
            case "PartEnded":
                assert open_part
                open_part = False
            case "ItemEnded":
                assert open_item and not open_part
                open_item = False
            case "Finished":
                assert not open_item and index == len(events) - 1
            case "Failed":
                assert index == len(events) - 1
            case "Delta" | "CitationAdded":
                assert open_item
    assert isinstance(events[-1], Finished | Failed)


def test_details_of_recorded_streams() -> None:
    reasoning = fold(read_case("reasoning"))
    first, message = reasoning.items
    assert isinstance(first, Reasoning) and first.id == "rs_68af4032522c8193a2c3d4e5f6a7b8c9"
    assert first.sealed == Sealed("responses", "gAAAAABo-sealed-bytes==", "openai", "gpt-5.4", "encrypted")
    assert isinstance(message, Message) and message.extra == {"responses": {"phase": "final_answer"}}
    assert reasoning.usage.reasoning == 64 and fold(read_case("text")).usage.cache_read == 8

    tools = [item for item in fold(read_case("tools")).items if isinstance(item, ToolCall)]
    assert [(call.call_id, call.id, call.name) for call in tools] == [
        ("call_AAAA", "fc_68af4034a1", "get_weather"), ("call_BBBB", "fc_68af4034a2", "fs__read"),
    ]  # fmt: skip

    search = fold(read_case("web_search"))
    call, cited = search.items
    assert isinstance(call, ToolCall) and (call.kind, call.ran_by, call.call_id) == (
        "web_search", "provider", "ws_68af4034d1",
    )  # fmt: skip
    assert json.loads(call.arguments)["query"] == "weather oslo" and search.usage.web_searches == 1
    assert isinstance(cited, Message) and isinstance(cited.parts[0], Text)
    assert cited.parts[0].citations[0].url == "https://yr.no/oslo"

    [message] = fold(read_case("logprobs")).items
    assert isinstance(message, Message) and isinstance(message.parts[0], Text)
    assert [entry.token for entry in message.parts[0].logprobs] == ["Yes", "!"]
    assert message.parts[0].logprobs[0].top[1] == ("No", -2.5, (78, 111))
    [refusal] = fold(read_case("refusal")).items
    assert isinstance(refusal, Message) and isinstance(refusal.parts[0], Refusal)


def test_names_come_back_through_the_map() -> None:
    names = NameMap()
    names.to_wire("read", "fs")
    reader = StreamReader(TARGET, names)
    events = [event for line in recorded("tools") for event in reader.read(None, json.dumps(line).encode())]
    calls = [event.item for event in events if isinstance(event, ItemEnded) and isinstance(event.item, ToolCall)]
    assert [(call.namespace, call.name) for call in calls] == [(None, "get_weather"), ("fs", "read")]


def failure(events: list[Event]) -> GatewayError:
    [failed] = [event for event in events if isinstance(event, Failed)]
    assert failed is events[-1]
    return failed.error


def test_failures_inside_the_stream() -> None:
    error = failure(read_case("failed"))
    assert (error.status, error.code, error.message) == (424, "server_error", "The model had a hiccup.")
    assert error.model == "openai/gpt-5.4"
    assert failure(read_case("error_event")).status == 429


def test_a_stream_cut_anywhere_fails_once() -> None:
    lines = recorded("tools")
    for count in range(len(lines)):
        reader = StreamReader(TARGET)
        events = [event for line in lines[:count] for event in reader.read(line["type"], json.dumps(line).encode())]
        assert failure(events + reader.end()).code == "stream_truncated"
        assert reader.end() == [] and reader.read(None, b"{}") == []


@pytest.mark.parametrize(
    "data",
    [
        b"not json", b"[]", b"5", b'{"type":"response.created"}', b"\xff\xfe", b'{"type":"response.output_text.delta"}',
        b'{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":5}',
        b'{"type":"response.output_text.delta","output_index":[],"content_index":0,"delta":"x"}',
        b'{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":NaN}',
        b'{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call"}}',
        b'{"type":"response.output_item.done","output_index":0,"item":null}',
        b'{"type":"response.completed","response":[]}', b"[" * 100_000,
        b'{"error":{"message":"overloaded"}}', b'{"type":"error","message":"x"}',
    ],
)  # fmt: skip
def test_junk_is_one_failure(data: bytes) -> None:
    reader = StreamReader(TARGET)
    events = reader.read(None, data) + reader.read(None, data) + reader.end()
    assert [type(event) for event in events] == [Failed]


def test_unknown_events_are_passed_over() -> None:
    reader = StreamReader(TARGET)
    assert reader.read("response.hologram.delta", b'{"type":"response.hologram.delta","output_index":0}') == []
    assert reader.read(None, b'{"type":"keepalive","sequence_number":3}') == []
    first = recorded("text")[0]
    assert reader.read(None, json.dumps(first).encode()) == [Started(first["response"]["id"], "gpt-5.4-2026-03-05")]


def test_every_fixture_is_tested() -> None:
    assert {path.name for path in FIXTURES.iterdir()} == {*EXPECTED, "failed", "error_event", "web_search"}

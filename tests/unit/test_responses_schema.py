"""Bad requests are refused before any upstream is called, in words that name the field; good ones pass untouched."""

import copy
import json
from typing import Any

import pytest

from headgate.errors import GatewayError
from headgate.protocols.responses.schema import validate

OK = {"model": "m", "input": "hi"}
NESTED: dict[str, Any] = {}
for _ in range(70):
    NESTED = {"properties": {"a": NESTED}}


def json_schema(schema: Any) -> dict[str, Any]:
    return {"text": {"format": {"type": "json_schema", "name": "n", "schema": schema}}}


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"model": None}, "model", "invalid_type"),
        ({"model": ""}, "model", "invalid_value"),
        ({"input": None}, "input", "missing_required_parameter"),
        ({"input": ""}, "input", "invalid_value"),
        ({"input": []}, "input", "invalid_value"),
        ({"input": 5}, "input", "invalid_type"),
        ({"input": ["x"]}, "input[0]", "invalid_type"),
        ({"input": [{}]}, "input[0].type", "missing_required_parameter"),
        ({"input": [{"type": "message", "content": "x"}]}, "input[0].role", "missing_required_parameter"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", "invalid_value"),
        ({"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter"),
        ({"input": [{"role": "user", "content": None}]}, "input[0].content", "invalid_type"),
        ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type",
         "missing_required_parameter"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text",
         "missing_required_parameter"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": {"url": "x"}}]}]},
         "input[0].content[0].image_url", "invalid_type"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "ftp://x"}]}]},
         "input[0].content[0].image_url", "invalid_value"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:text/plain,x"}]}]},
         "input[0].content[0].image_url", "invalid_value"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "filename": "a.pdf"}]}]},
         "input[0].content[0].file_data", "missing_required_parameter"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id",
         "missing_required_parameter"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}]}, "input[0].arguments",
         "invalid_type"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output",
         "missing_required_parameter"),
        ({"input": [{"type": "reasoning", "summary": "x"}]}, "input[0].summary", "invalid_type"),
        ({"include": ["everything"]}, "include[0]", "invalid_value"),
        ({"include": ["reasoning.encrypted_content"] * 9}, "include", "invalid_value"),
        ({"instructions": 1}, "instructions", "invalid_type"),
        ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
        ({"max_output_tokens": -5}, "max_output_tokens", "invalid_value"),
        ({"max_output_tokens": 1.5}, "max_output_tokens", "invalid_type"),
        ({"max_output_tokens": True}, "max_output_tokens", "invalid_type"),
        ({"max_output_tokens": 2**53}, "max_output_tokens", "invalid_value"),
        ({"max_tool_calls": 0}, "max_tool_calls", "invalid_value"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata", "invalid_value"),
        ({"metadata": {"k" * 65: "x"}}, "metadata." + "k" * 65, "invalid_value"),
        ({"metadata": {"k": "x" * 513}}, "metadata.k", "invalid_value"),
        ({"metadata": {"k": 1}}, "metadata.k", "invalid_type"),
        ({"reasoning": {"effort": "extreme"}}, "reasoning.effort", "invalid_value"),
        ({"reasoning": "high"}, "reasoning", "invalid_type"),
        ({"stream": "true"}, "stream", "invalid_type"),
        ({"temperature": 2.1}, "temperature", "invalid_value"),
        ({"temperature": "1"}, "temperature", "invalid_type"),
        ({"temperature": float("nan")}, "temperature", "invalid_type"),
        ({"top_p": -0.1}, "top_p", "invalid_value"),
        ({"top_logprobs": 21}, "top_logprobs", "invalid_value"),
        ({"text": {"verbosity": "loud"}}, "text.verbosity", "invalid_value"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema",
         "missing_required_parameter"),
        ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name",
         "missing_required_parameter"),
        (json_schema(NESTED), "text.format.schema", "invalid_value"),
        (json_schema({"enum": ["x"] * 257}), "text.format.schema", "invalid_value"),
        (json_schema({"description": "x" * 65537}), "text.format.schema", "invalid_value"),
        (json_schema({"a": [[{}] * 200] * 30}), "text.format.schema", "invalid_value"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
         "response_format.json_schema.name", "missing_required_parameter"),
        ({"tools": {}}, "tools", "invalid_type"),
        ({"tools": [{"name": "f"}]}, "tools[0].type", "missing_required_parameter"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].name", "missing_required_parameter"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name", "invalid_value"),
        ({"tools": [{"type": "custom", "name": "a/b"}]}, "tools[0].name", "invalid_value"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "?"}]}]},
         "tools[0].tools[0].name", "invalid_value"),
        ({"tools": [{"type": "web_search", "search_context_size": "huge"}]}, "tools[0].search_context_size",
         "invalid_value"),
        ({"tool_choice": "any"}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.name", "missing_required_parameter"),
        ({"tool_choice": {"type": "allowed_tools", "mode": "auto"}}, "tool_choice.tools",
         "missing_required_parameter"),
        ({"prompt_cache_retention": "1h"}, "prompt_cache_retention", "invalid_value"),
        ({"service_tier": "gold"}, "service_tier", "invalid_value"),
        ({"truncation": "middle"}, "truncation", "invalid_value"),
        ({"background": 1}, "background", "invalid_type"),
        ({"context_management": [{}]}, "context_management[0].type", "missing_required_parameter"),
        ({"prompt": {"version": "1"}}, "prompt.id", "missing_required_parameter"),
        ({"safety_identifier": 5}, "safety_identifier", "invalid_type"),
        ({"conversation": 5}, "conversation", "invalid_type"),
        ({"conversation": "c", "previous_response_id": "resp_1"}, "previous_response_id",
         "mutually_exclusive_parameters"),
        ({"stream_options": {"include_obfuscation": "no"}}, "stream_options.include_obfuscation", "invalid_type"),
        ({"routing": "fast"}, "routing", "invalid_type"),
        ({"input": None, "messages": []}, "messages", "invalid_value"),
        ({"input": None, "messages": "oops"}, "messages", "invalid_type"),
        ({"input": None, "messages": [{"content": "x"}]}, "messages[0].role", "missing_required_parameter"),
        ({"input": None, "messages": [{"role": "king", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"input": None, "messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id",
         "missing_required_parameter"),
    ],
)  # fmt: skip
def test_refused(change: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(GatewayError) as caught:
        validate({**OK, **change})
    error = caught.value
    assert (error.status, error.type, error.param, error.code) == (400, "invalid_request_error", param, code)
    assert param.partition("[")[0].partition(".")[0] in error.message
    assert "pydantic" not in error.message and "http" not in error.message.replace("http(s)", "")


@pytest.mark.parametrize("body", [None, [], "x", 5])
def test_the_body_must_be_an_object(body: Any) -> None:
    with pytest.raises(GatewayError):
        validate(body)


CODEX = {
    "model": "gpt-5.5",
    "stream": True,
    "store": False,
    "instructions": None,
    "input": [
        {"type": "message", "id": "msg_0", "role": "developer", "content": [{"type": "input_text", "text": "rules"}]},
        {"type": "message", "id": "msg_1", "role": "user", "content": [{"type": "input_text", "text": "go"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": None, "encrypted_content": "gAAAA"},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "shell", "arguments": "{}",
         "status": "completed", "parsed_arguments": None},
        {"type": "function_call_output", "id": "fco_1", "call_id": "c1", "output": "done"},
        {"type": "tool_search_call", "call_id": "c2", "execution": "client", "arguments": {}},
    ],
    "tools": [
        {"type": "function", "name": "shell", "parameters": {"type": "object"}, "strict": False},
        {"type": "namespace", "name": "mcp", "tools": [{"type": "function", "name": "read.file", "parameters": {}}]},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        {"type": "web_search", "external_web_access": False},
        {"type": "tool_search", "execution": "client"},
    ],
    "tool_choice": "auto",
    "include": ["reasoning.encrypted_content"],
    "reasoning": {"summary": "auto"},
    "text": {"verbosity": "medium"},
    "client_metadata": {"thread": "x"},
    "prompt_cache_key": "thread",
}  # fmt: skip
NULLS = dict.fromkeys(
    ["include", "instructions", "max_output_tokens", "metadata", "previous_response_id", "user", "reasoning", "text",
     "stream", "temperature", "top_p", "tools", "tool_choice", "parallel_tool_calls", "store", "conversation",
     "prompt", "truncation", "service_tier", "background", "safety_identifier", "prompt_cache_key", "top_logprobs",
     "stream_options", "context_management", "max_tool_calls", "prompt_cache_retention"]
)  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        OK,
        CODEX,
        {**OK, **NULLS},
        {**OK, "tools": [], "include": []},
        {**OK, "input": [], "previous_response_id": "resp_1"},
        {**OK, "unheard_of": {"a": 1}, "temperature": 0, "top_p": 1, "max_output_tokens": 1},
        {**OK, "input": [{"role": "assistant", "content": [{"type": "output_text", "text": "x", "parsed": None}]}]},
        {**OK, "input": [{"id": "msg_1"}], "conversation": {"id": "conv_1"}},
        {**OK, "tool_choice": {"type": "mcp", "server_label": "x"}},
        {**OK, "text": {"format": {"type": "json_schema", "name": "a.b", "schema": {"type": "object"}}}},
        {"model": "m", "messages": [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "x"},
                                         {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "r"}]},
    ],
)  # fmt: skip
def test_accepted_and_untouched(body: dict[str, Any]) -> None:
    before = copy.deepcopy(body)
    assert validate(body) is body
    assert body == before


def test_a_large_body_is_checked_quickly() -> None:
    turn = [
        {"role": "user", "content": [{"type": "input_text", "text": "x" * 600}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "y" * 600},
    ]
    body = {**CODEX, "input": turn * 60}
    assert len(json.dumps(body)) > 80_000
    validate(body)

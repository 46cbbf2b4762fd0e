"""What a client may send to POST /v1/chat/completions, and how a refusal reads."""

import json

import pytest

from headgate.errors import GatewayError
from headgate.protocols.chat_completions.schema import validate

HI = {"role": "user", "content": "hi"}
OK = {"model": "m", "messages": [HI]}


def body(**changes):
    return {**OK, **changes}


def said(**message):
    return body(messages=[message])


def assistant(**fields):
    return said(role="assistant", **fields)


REFUSED = [
    ([], "invalid_type", None),
    ({"messages": [HI]}, "missing_required_parameter", "model"),
    ({"model": "m"}, "missing_required_parameter", "messages"),
    (body(model=5), "invalid_type", "model"),
    (body(model=""), "empty_string", "model"),
    (body(messages="oops"), "invalid_type", "messages"),
    (body(messages=[]), "empty_array", "messages"),
    (body(messages=[5]), "invalid_type", "messages[0]"),
    (said(content="x"), "missing_required_parameter", "messages[0].role"),
    (said(role="robot", content="x"), "invalid_value", "messages[0].role"),
    (said(role=["user"], content="x"), "invalid_value", "messages[0].role"),
    (said(role="user"), "missing_required_parameter", "messages[0].content"),
    (said(role="user", content=None), "invalid_type", "messages[0].content"),
    (said(role="user", content=[]), "empty_array", "messages[0].content"),
    (said(role="user", content=[5]), "invalid_type", "messages[0].content[0]"),
    (said(role="user", content=[{}]), "missing_required_parameter", "messages[0].content[0].type"),
    (said(role="user", content=[{"type": "text"}]), "missing_required_parameter", "messages[0].content[0].text"),
    (
        said(role="user", content=[HI_PART := {"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]),
        "missing_required_parameter",
        "messages[0].content[1].image_url.url",
    ),
    (said(role="tool", content="x"), "missing_required_parameter", "messages[0].tool_call_id"),
    (assistant(content=7), "invalid_type", "messages[0].content"),
    (assistant(tool_calls=5), "invalid_type", "messages[0].tool_calls"),
    (assistant(tool_calls=[5]), "invalid_type", "messages[0].tool_calls[0]"),
    (assistant(tool_calls=[{"id": "a", "type": "magic"}]), "invalid_value", "messages[0].tool_calls[0].type"),
    (
        assistant(tool_calls=[{"id": "a", "type": "function", "function": {"name": "f", "arguments": {}}}]),
        "invalid_type",
        "messages[0].tool_calls[0].function.arguments",
    ),
    (body(temperature=2.1), "decimal_above_max_value", "temperature"),
    (body(temperature="1"), "invalid_type", "temperature"),
    (body(temperature=float("nan")), "invalid_type", "temperature"),
    (body(temperature=True), "invalid_type", "temperature"),
    (body(top_p=-0.1), "decimal_below_min_value", "top_p"),
    (body(frequency_penalty=3), "integer_above_max_value", "frequency_penalty"),
    (body(presence_penalty=-3), "integer_below_min_value", "presence_penalty"),
    (body(max_tokens=0), "integer_below_min_value", "max_tokens"),
    (body(max_tokens=1.5), "invalid_type", "max_tokens"),
    (body(max_completion_tokens=-1), "integer_below_min_value", "max_completion_tokens"),
    (body(n=0), "integer_below_min_value", "n"),
    (body(n=129), "integer_above_max_value", "n"),
    (body(stream="yes"), "invalid_type", "stream"),
    (body(stream_options={"include_usage": True}), "invalid_value", "stream_options"),
    (body(top_logprobs=21, logprobs=True), "integer_above_max_value", "top_logprobs"),
    (body(top_logprobs=3), "invalid_value", "top_logprobs"),
    (body(logit_bias={"5": 101}), "integer_above_max_value", "logit_bias.5"),
    (body(reasoning_effort="huge"), "invalid_value", "reasoning_effort"),
    (body(reasoning_effort=""), "invalid_value", "reasoning_effort"),
    (body(verbosity="loud"), "invalid_value", "verbosity"),
    (body(modalities=[]), "empty_array", "modalities"),
    (body(modalities=["text", "audio"]), "missing_required_parameter", "audio"),
    (body(metadata={"a": 5}), "invalid_type", "metadata.a"),
    (body(metadata={str(i): "x" for i in range(17)}), "object_above_max_length", "metadata"),
    (body(metadata={"a": "x" * 513}), "string_above_max_length", "metadata.a"),
    (body(stop=["a"] * 5), "array_above_max_length", "stop"),
    (body(stop=["a", 5]), "invalid_type", "stop[1]"),
    (body(stop=5), "invalid_type", "stop"),
    (body(seed="x"), "invalid_type", "seed"),
    (body(seed="9" * 5000), "invalid_type", "seed"),
    (body(seed=2**63), "invalid_value", "seed"),
    (
        body(tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": []}]}}),
        "invalid_type",
        "tool_choice.allowed_tools.tools[0].type",
    ),
    (
        assistant(tool_calls=[{"id": "a", "function": {"name": "f", "arguments": ""}, "extra_content": 5}]),
        "invalid_type",
        "messages[0].tool_calls[0].extra_content",
    ),
    (
        said(role="user", content=[{"type": "video_url", "video_url": 5}]),
        "invalid_type",
        "messages[0].content[0].video_url",
    ),
    (body(tools={}), "invalid_type", "tools"),
    (body(tools=[{}]), "missing_required_parameter", "tools[0].type"),
    (body(tools=[{"type": "function"}]), "missing_required_parameter", "tools[0].function"),
    (body(tools=[{"type": "function", "function": {"name": "a b"}}]), "invalid_value", "tools[0].function.name"),
    (
        body(tools=[{"type": "function", "function": {"name": "a", "parameters": []}}]),
        "invalid_type",
        "tools[0].function.parameters",
    ),
    (body(tool_choice="any"), "invalid_value", "tool_choice"),
    (body(tool_choice={"type": "function"}), "missing_required_parameter", "tool_choice.function"),
    (body(tool_choice={"type": "magic"}), "invalid_value", "tool_choice.type"),
    (body(tool_choice=5), "invalid_type", "tool_choice"),
    (body(function_call={}), "missing_required_parameter", "function_call.name"),
    (body(functions=[{}]), "missing_required_parameter", "functions[0].name"),
    (body(response_format={"type": "xml"}), "invalid_value", "response_format.type"),
    (body(response_format={"type": "json_schema"}), "missing_required_parameter", "response_format.json_schema"),
    (body(prediction={"type": "content"}), "missing_required_parameter", "prediction.content"),
    (
        body(web_search_options={"search_context_size": "vast"}),
        "invalid_value",
        "web_search_options.search_context_size",
    ),
    (body(service_tier="gold"), "invalid_value", "service_tier"),
    (body(extra_body={"temperature": "hot"}), "invalid_type", "temperature"),
    (body(extra_body=[]), "invalid_type", "extra_body"),
]


@pytest.mark.parametrize(("sent", "code", "param"), REFUSED, ids=[f"{p}:{c}" for _, c, p in REFUSED])
def test_a_wrong_field_is_named(sent, code, param):
    with pytest.raises(GatewayError) as caught:
        validate(sent)
    error = caught.value
    assert (error.status, error.type, error.code, error.param) == (400, "invalid_request_error", code, param)
    assert param is None or param in error.message or error.message.startswith(("Invalid value", "Missing"))
    assert "pydantic" not in error.message and "http" not in error.message


ACCEPTED = [
    OK,
    body(**dict.fromkeys(["tools", "stop", "n", "temperature", "stream", "stream_options", "user", "metadata"])),
    body(tools=[], stream=True, stream_options={"include_usage": True, "include_obfuscation": False}),
    body(tools=[{"type": "mcp", "server_label": "x"}], tool_choice="required"),
    body(tools=[{"type": "custom", "custom": {"name": "sh", "format": {"type": "text"}}}]),
    body(tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}),
    body(seed="42", stop="END", logit_bias={"50256": -100}, reasoning_effort="xhigh", service_tier="flex"),
    body(modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"}),
    body(routing={"provider": {"sort": "cost"}}, session_id="s", agent="a", extra_body={"top_k": 3}, brand_new=1),
    body(response_format={"type": "json_schema", "json_schema": {"name": "a.b-c", "schema": {}, "strict": True}}),
    body(functions=[{"name": "f"}], function_call={"name": "f"}),
    said(role="user", content=[{"type": "hologram", "x": 1}, HI_PART]),
    said(role="user", content=[{"type": "image_url", "image_url": "https://example.com/a.png"}]),
    assistant(content=None, tool_calls=[{"id": "a", "type": "custom", "custom": {"name": "sh", "input": "ls"}}]),
    assistant(content=""),
    assistant(content=None, refusal="no", audio=None, function_call=None, annotations=[], tool_calls=None),
    said(role="function", name="f", content=None),
]


@pytest.mark.parametrize("sent", ACCEPTED)
def test_the_clients_own_object_comes_back_unchanged(sent):
    before = json.dumps(sent)
    assert validate(sent) is sent
    assert json.dumps(sent) == before


def test_a_large_body_is_checked_quickly():
    turn = [
        {"role": "user", "content": [{"type": "text", "text": "x" * 300}]},
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "y" * 300}}]},
        {"role": "tool", "tool_call_id": "a", "content": "z" * 300},
    ]
    large = body(messages=turn * 80)
    assert len(json.dumps(large)) > 80_000
    validate(large)


def test_a_field_name_that_is_no_text_can_still_be_said():
    with pytest.raises(GatewayError) as caught:
        validate(body(metadata={"\ud800": 5}))
    assert json.dumps([caught.value.message, caught.value.param], ensure_ascii=False).encode()

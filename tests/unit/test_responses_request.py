"""What a client's request means, read into the model."""

from typing import Any

import pytest

from headgate.conversation import (
    Citation,
    CustomTool,
    FunctionTool,
    Media,
    Message,
    OpaqueItem,
    OpaquePart,
    OpaqueTool,
    Reasoning,
    Refusal,
    Request,
    Sealed,
    Text,
    Thought,
    ToolCall,
    ToolChoice,
    ToolResult,
    WebSearchTool,
)
from headgate.errors import GatewayError
from headgate.losses import Loss
from headgate.protocols.responses.client_request import read_items, read_request
from headgate.protocols.responses.errors import error_body, read_error
from headgate.protocols.responses.input_items import input_items
from headgate.protocols.responses.schema import validate
from tests.responses_kit import unseal_for


def read(**fields: Any) -> tuple[Request, list[Loss]]:
    return read_request(validate({"model": "m", "input": "hi", **fields}), unseal_for())


def items(*given: Any) -> list[Any]:
    return list(read(input=list(given))[0].items)


def test_a_string_is_one_user_message() -> None:
    request, losses = read(instructions="sys", max_output_tokens=9, temperature=0, top_p=0.5, stream=True, user="u")
    assert request.items == (Message("user", (Text("hi"),)),) and not losses
    assert request.instructions == (Text("sys"),) and request.stream and request.user == "u"
    assert (request.sampling.max_tokens, request.sampling.temperature, request.sampling.top_p) == (9, 0, 0.5)


def test_every_part() -> None:
    content = [
        {"type": "input_text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,QUJD"},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"},
        {"type": "input_file", "file_url": "https://x/a.pdf"},
        {"type": "input_file", "filename": "a.txt", "file_data": "QUJD"},
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
        {"type": "input_hologram", "x": 1},
    ]
    [message] = items({"role": "user", "content": content})
    assert message.parts == (
        Text("a", extra={"messages": {"cache_control": {"type": "ephemeral", "ttl": "1h"}}}),
        Media("image", url="https://x/y.png", detail="low"),
        Media("image", data="QUJD", media_type="image/png"),
        Media("image", file_id="file-1"),
        Media("file", data="QUJD", media_type="application/pdf", filename="a.pdf"),
        Media("file", url="https://x/a.pdf"),
        Media("file", data="QUJD", media_type="text/plain", filename="a.txt"),
        Media("audio", data="QUJD", media_type="audio/wav"),
        OpaquePart("responses", {"type": "input_hologram", "x": 1}),
    )


def test_every_item() -> None:
    note = {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 1}
    read_back = items(
        {"type": "message", "id": "msg_1", "role": "assistant", "phase": "commentary", "status": "completed",
         "content": [{"type": "output_text", "text": "x", "annotations": [note], "parsed": None},
                     {"type": "refusal", "refusal": "no"}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"b":1, "a":2}',
         "namespace": "n", "status": "completed", "parsed_arguments": None},
        {"type": "function_call_output", "call_id": "c1", "is_error": True,
         "output": [{"type": "input_text", "text": "r"}, {"type": "input_image", "image_url": "https://x/y.png"}]},
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c2", "name": "g", "input": "raw"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": "done"},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "s"}], "content": None,
         "encrypted_content": "gAAAA"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"},
    )  # fmt: skip
    assert read_back == [
        Message("assistant", (Text("x", (Citation("https://a", "A", start=0, end=1),)), Refusal("no")), id="msg_1",
                extra={"responses": {"phase": "commentary"}}),
        ToolCall("c1", "f", '{"b":1, "a":2}', id="fc_1", namespace="n"),
        ToolResult("c1", (Text("r"), Media("image", url="https://x/y.png")), is_error=True),
        ToolCall("c2", "g", "raw", kind="custom", id="ctc_1"),
        ToolResult("c2", (Text("done"),), kind="custom"),
        Reasoning((Thought("s"),), Sealed("responses", "gAAAA", kind="encrypted"), id="rs_1"),
        ToolCall("ws_1", "web_search", '{"type":"search","query":"q"}', "web_search", "provider", id="ws_1"),
        OpaqueItem("responses", {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"}),
    ]  # fmt: skip


def test_a_mark_on_a_message_is_on_its_last_part() -> None:
    mark = {"type": "ephemeral", "ttl": "5m"}
    [message] = items({"role": "user", "content": "long", "cache_control": mark})
    assert message.parts == (Text("long", extra={"messages": {"cache_control": mark}}),)
    breakpoint = {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}}
    [message] = items({"role": "user", "content": [breakpoint]})
    assert message.parts[0].extra["messages"]["cache_control"] == {"type": "ephemeral", "ttl": "1h"}


def test_references_are_refused_clearly() -> None:
    with pytest.raises(GatewayError) as caught:
        read_items([{"type": "item_reference", "id": "msg_9"}], unseal_for())
    assert caught.value.status == 400 and caught.value.param == "input[0].id" and "msg_9" in caught.value.message


def test_a_forged_seal_is_dropped_with_a_loss() -> None:
    request, losses = read(input=[{"type": "reasoning", "summary": [], "encrypted_content": "hg1.abc.def"}])
    assert request.items == (Reasoning(()),)
    assert [(loss.path, loss.code) for loss in losses] == [("input[0].encrypted_content", "foreign_signature")]


def test_tools() -> None:
    request, losses = read(
        tools=[
            {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}},
            {"type": "function", "name": "g", "parameters": None, "strict": False,
             "cache_control": {"type": "ephemeral"}},
            {"type": "namespace", "name": "n", "description": "x",
             "tools": [{"type": "function", "name": "h", "parameters": {}}]},
            {"type": "custom", "name": "c", "format": {"type": "text"}},
            {"type": "web_search", "search_context_size": "low", "filters": {"allowed_domains": ["a.no"]},
             "user_location": {"type": "approximate", "city": "Oslo"}},
            {"type": "mcp", "server_label": "s"},
        ]
    )  # fmt: skip
    f, g, h, c, search, mcp = request.tools
    # Where nothing was said, strict wherever the schema allows it, as the vendor does.
    assert f == FunctionTool("f", "d", {"type": "object"}, strict=False)
    closed = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert read(tools=[{"type": "function", "name": "f", "parameters": closed}])[0].tools == (
        FunctionTool("f", parameters=closed, strict=True),
    )
    assert g == FunctionTool("g", strict=False, extra={"messages": {"cache_control": {"type": "ephemeral"}}})
    assert h == FunctionTool("h", parameters={}, strict=True, namespace="n")
    assert c == CustomTool("c", format={"type": "text"})
    assert isinstance(search, WebSearchTool)
    assert (search.context_size, search.allowed_domains, search.user_location) == ("low", ("a.no",), {"city": "Oslo"})
    assert mcp == OpaqueTool("responses", {"type": "mcp", "server_label": "s"}) and not losses


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "f"}, ToolChoice("named", (("function", "f"),))),
        ({"type": "custom", "name": "c"}, ToolChoice("named", (("custom", "c"),))),
        ({"type": "web_search"}, ToolChoice("named", (("web_search", "web_search"),))),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
         ToolChoice("required", (("function", "f"),))),
        (None, None),
    ],
)  # fmt: skip
def test_tool_choice(choice: Any, expected: ToolChoice | None) -> None:
    assert read(tool_choice=choice)[0].tool_choice == expected


def test_output_thinking_and_losses() -> None:
    request, losses = read(
        text={"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low"},
        reasoning={"effort": "high", "generate_summary": "auto"},
        top_logprobs=2,
        prompt_cache_key="k",
        background=True,
        client_metadata={"a": "b"},
        novelty=1,
        tool_choice={"type": "mcp", "server_label": "x"},
    )
    shape = request.output.format
    assert shape is not None and (shape.type, shape.name, shape.strict) == ("json_schema", "n", True)
    assert (request.thinking.effort, request.thinking.summary) == ("high", "auto")
    assert (request.sampling.logprobs, request.sampling.top_logprobs) == (True, 2) and request.caching.key == "k"
    assert {loss.path for loss in losses} == {"novelty", "tool_choice"}


def test_chat_messages_and_response_format() -> None:
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"},
                                         {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
            {"role": "assistant", "content": "b",
             "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "r"},
        ],
        "response_format": {"type": "json_object"},
    }  # fmt: skip
    request, losses = read_request(validate(body), unseal_for())
    assert request.items == (
        Message("user", (Text("a"), Media("image", url="https://x/y.png"))),
        Message("assistant", (Text("b"),)),
        ToolCall("c", "f", "{}"),
        ToolResult("c", (Text("r"),)),
    )
    assert request.output.format is not None and request.output.format.type == "json_object" and not losses
    assert [item["type"] for item in input_items(body, "resp_1")][2:] == ["function_call", "function_call_output"]


def test_input_items_have_ids_and_parts() -> None:
    body = {"model": "m", "input": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "id": "msg_x"},
        {"type": "function_call_output", "call_id": "c", "output": "r"},
    ]}  # fmt: skip
    listed = input_items(body, "resp_1")
    assert listed == input_items(body, "resp_1") != input_items(body, "resp_2")
    assert listed[0]["content"] == [{"type": "input_text", "text": "a"}] and listed[0]["type"] == "message"
    assert listed[1]["content"] == [{"type": "output_text", "text": "b", "annotations": []}]
    assert [item["id"].partition("_")[0] for item in listed] == ["msg", "msg", "fco"] and listed[1]["id"] == "msg_x"
    assert len({item["id"] for item in listed}) == 3
    assert [item["content"] for item in input_items({"input": "hi"}, "r")] == [[{"type": "input_text", "text": "hi"}]]


def test_errors_both_ways() -> None:
    error = GatewayError(429, "rate_limit_error", "rate_limited", "Slow.", retry_after=7, model="openai/x")
    assert error_body(error) == {
        "error": {"message": "Slow.", "type": "rate_limit_error", "param": None, "code": "rate_limited"},
        "message": "Slow.", "model": "openai/x", "retry_after": 7,
    }  # fmt: skip
    body = b'{"error":{"message":"No such model","type":"invalid_request_error","param":"model","code":"nope"}}'
    error = read_error(404, body, {"Retry-After": "12"})
    assert (error.status, error.message, error.param, error.code) == (404, "No such model", "model", "nope")
    assert error.retry_after == 12
    html = read_error(502, b"<html>nginx</html>", {"retry-after-ms": "1500"})
    assert html.status == 502 and "<" not in html.message and html.retry_after == 1.5
    assert read_error(400, b'{"detail":"bad"}', {}).message == "bad"
    assert read_error(429, b'{"error":{"message":"m","code":429}}', {"retry-after": "soon"}).code is None
    dated = read_error(503, b"", {"retry-after": "Fri, 01 Jan 2010 00:00:00 GMT"})
    assert dated.retry_after == 0.0


def test_stop_is_taken_for_models_whose_vendors_have_it() -> None:
    assert read(stop=["END", "OVER"])[0].sampling.stop == ("END", "OVER")
    assert read(stop="END")[0].sampling.stop == ("END",)
    assert read(stop=None) == read()
    for bad, param in ((7, "stop"), (["a", 7], "stop[1]")):
        with pytest.raises(GatewayError) as refused:
            read(stop=bad)
        assert refused.value.param == param

"""A client's Messages request in neutral terms: nothing lost, nothing invented, nothing moved."""

import base64
from typing import Any

import pytest

from headgate.conversation import (
    Citation,
    FunctionTool,
    Media,
    Message,
    OpaqueItem,
    OpaquePart,
    OpaqueTool,
    OutputFormat,
    Reasoning,
    Sealed,
    Text,
    Thinking,
    Thought,
    ToolCall,
    ToolChoice,
    ToolResult,
    WebSearchTool,
)
from headgate.protocols.messages.client_request import read_items, read_request
from headgate.protocols.messages.schema import validate
from headgate.protocols.sealing import sealer
from tests.unit.messages_support import OWNER, SECRET, unseal

MARK = {"type": "ephemeral", "ttl": "1h"}
BASE: dict[str, Any] = {"max_tokens": 10, "messages": [{"role": "user", "content": "hi"}]}


def read(**fields: Any) -> Any:
    return read_request(validate({**BASE, **fields}), unseal)


def items(*messages: dict[str, Any]) -> list[Any]:
    validate({**BASE, "messages": list(messages)})
    return read_items(list(messages), unseal)


def test_the_smallest_request_goes_to_auto() -> None:
    request, losses = read()
    assert (request.model, request.items, losses) == ("auto", (Message("user", (Text("hi"),)),), [])
    assert request.sampling.max_tokens == 10
    assert request.tool_choice is None
    assert request.parallel_tool_calls is None
    assert request.thinking == Thinking()


def test_a_user_turn_of_results_and_text_becomes_results_and_a_message() -> None:
    turn = {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": "sunny", "cache_control": MARK},
            {
                "type": "tool_result",
                "tool_use_id": "b",
                "is_error": True,
                "content": [
                    {"type": "text", "text": "boom"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                    {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
                    {"type": "tool_reference", "tool_name": "x"},
                ],
            },
            {"type": "tool_result", "tool_use_id": "c"},
            {"type": "text", "text": "What now?", "cache_control": {"type": "ephemeral"}},
        ],
    }
    assert items(turn) == [
        ToolResult("a", (Text("sunny"),), extra={"messages": {"cache_control": MARK}}),
        ToolResult(
            "b",
            (
                Text("boom"),
                Media("image", data="AAAA", media_type="image/png"),
                Media("file", url="https://example.com/a.pdf", media_type="application/pdf"),
                OpaquePart("messages", {"type": "tool_reference", "tool_name": "x"}),
            ),
            is_error=True,
        ),
        ToolResult("c", ()),
        Message("user", (Text("What now?", extra={"messages": {"cache_control": {"type": "ephemeral"}}}),)),
    ]


def test_an_assistant_turn_keeps_the_order_of_its_blocks() -> None:
    turn = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "cmVk"},
            {"type": "thinking", "thinking": "", "signature": "b25seQ=="},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"b": 1, "a": "é"}, "cache_control": MARK},
            {"type": "text", "text": "And then."},
        ],
    }
    assert items(turn) == [
        Reasoning((Thought("hm"),), Sealed("messages", "c2ln")),
        Reasoning((), Sealed("messages", "cmVk", kind="redacted")),
        Reasoning((), Sealed("messages", "b25seQ==")),
        Message("assistant", (Text("I look."),)),
        ToolCall("t1", "f", '{"b":1,"a":"é"}', extra={"messages": {"cache_control": MARK}}),
        Message("assistant", (Text("And then."),)),
    ]


def test_our_own_tokens_are_opened_and_forged_ones_announced() -> None:
    seal = sealer(SECRET, OWNER)
    made = Sealed("responses", "gAAAA", "openai", "gpt-5", "encrypted")
    redacted = Sealed("messages", "cmVk", "anthropic", "claude-sonnet-4-5", "redacted")
    stolen = sealer(SECRET, "somebody-else")(made)
    turn = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "a", "signature": seal(made)},
            {"type": "redacted_thinking", "data": seal(redacted)},
            {"type": "thinking", "thinking": "b", "signature": stolen},
            {"type": "redacted_thinking", "data": stolen},
            {"type": "thinking", "thinking": "c", "signature": ""},
            {"type": "text", "text": "x"},
        ],
    }
    request, losses = read(messages=[turn])
    assert request.items == (
        Reasoning((Thought("a"),), made),
        Reasoning((), redacted),
        Reasoning((Thought("b"),)),
        Reasoning((Thought("c"),)),
        Message("assistant", (Text("x"),)),
    )
    assert [(loss.code, loss.path) for loss in losses] == [
        ("foreign_signature", "messages[0].content[2]"),
        ("foreign_signature", "messages[0].content[3]"),
    ]


def test_documents_of_every_source() -> None:
    def document(source: dict[str, Any], **more: Any) -> Any:
        (message,) = items({"role": "user", "content": [{"type": "document", "source": source, **more}]})
        return message.parts[0]

    pdf = document({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}, title="a.pdf")
    assert pdf == Media("file", data="JVBERi0=", media_type="application/pdf", filename="a.pdf")
    text = document({"type": "text", "media_type": "text/plain", "data": "grüß"}, context="c")
    assert base64.b64decode(text.data).decode() == "grüß"
    assert (text.media_type, text.extra) == ("text/plain", {"messages": {"context": "c"}})
    blocks = document({"type": "content", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]})
    assert base64.b64decode(blocks.data) == b"a\n\nb"
    mixed = {"type": "content", "content": [{"type": "image", "source": {"type": "url", "url": "u"}}]}
    assert document(mixed) == OpaquePart("messages", {"type": "document", "source": mixed})
    file = document({"type": "file", "file_id": "file_1"})
    assert (file.file_id, file.extra) == ("file_1", {"messages": {"file": True}})


def test_images_by_address_and_by_file() -> None:
    (message,) = items(
        {
            "role": "user",
            "content": [
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}, "cache_control": MARK},
                {"type": "image", "source": {"type": "file", "file_id": "file_2"}},
            ],
        }
    )
    url, file = message.parts
    assert url == Media("image", url="https://example.com/a.png", extra={"messages": {"cache_control": MARK}})
    assert file.file_id == "file_2"


def test_a_search_result_is_text_with_a_heading() -> None:
    block = {
        "type": "search_result",
        "title": "T",
        "source": "https://example.com",
        "content": [{"type": "text", "text": "found"}],
    }
    (message,) = items({"role": "user", "content": [block]})
    assert message.parts[0].text == "T\nhttps://example.com\n\nfound"
    assert message.parts[0].extra["messages"]["search_result"] == block


def test_the_providers_own_tools() -> None:
    cited = {"type": "char_location", "cited_text": "c", "document_index": 0}
    found = [{"type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "e"}]
    bash = {"type": "server_tool_use", "id": "srvtoolu_2", "name": "bash_code_execution", "input": {}}
    turn = {
        "role": "assistant",
        "content": [
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
            {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": found},
            bash,
            {
                "type": "text",
                "text": "x",
                "citations": [{"type": "char_location", "cited_text": "c", "document_index": 0}],
            },
        ],
    }
    call, result, opaque, message = items(turn)
    assert call == ToolCall("srvtoolu_1", "web_search", '{"type":"search","query":"q"}', "web_search", "provider")
    assert (result.ran_by, result.extra) == ("provider", {"messages": {"content": found}})
    assert opaque == OpaqueItem("messages", bash)
    assert message.parts[0].citations == (Citation("", None, "c", extra={"messages": cited}),)


def test_system_text_before_and_inside_the_conversation() -> None:
    request, _ = read(
        system=[{"type": "text", "text": "S", "cache_control": MARK}],
        messages=[
            {"role": "user", "content": "a"},
            {"role": "system", "content": [{"type": "text", "text": "mid"}], "clear_at": "never"},
        ],
    )
    assert request.instructions == (Text("S", extra={"messages": {"cache_control": MARK}}),)
    assert request.items[1] == Message("system", (Text("mid"),), extra={"messages": {"clear_at": "never"}})
    assert read(system="plain")[0].instructions == (Text("plain"),)


def test_tools_of_every_kind() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    search = {
        "type": "web_search_20250305",
        "name": "web_search",
        "max_uses": 3,
        "allowed_domains": ["example.com"],
        "user_location": {"type": "approximate", "city": "Oslo"},
        "cache_control": MARK,
    }
    request, _ = read(
        tools=[
            {"name": "f", "description": "d", "input_schema": schema, "strict": True, "defer_loading": True},
            {"type": "custom", "name": "g", "input_schema": {}, "cache_control": MARK},
            search,
            {"type": "bash_20250124", "name": "bash"},
        ],
        tool_choice={"type": "tool", "name": "web_search", "disable_parallel_tool_use": True},
    )
    assert request.tools == (
        FunctionTool("f", "d", schema, True, extra={"messages": {"defer_loading": True}}),
        FunctionTool("g", None, {}, extra={"messages": {"cache_control": MARK}}),
        WebSearchTool(
            allowed_domains=("example.com",), user_location={"city": "Oslo"}, max_uses=3, extra={"messages": search}
        ),
        OpaqueTool("messages", {"type": "bash_20250124", "name": "bash"}),
    )
    assert request.tool_choice == ToolChoice("named", (("web_search", "web_search"),))
    assert request.parallel_tool_calls is False


@pytest.mark.parametrize(
    ("choice", "expected", "parallel"),
    [
        ({"type": "auto"}, ToolChoice("auto"), None),
        ({"type": "auto", "disable_parallel_tool_use": False}, ToolChoice("auto"), True),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice("required"), False),
        ({"type": "none"}, ToolChoice("none"), None),
        ({"type": "tool", "name": "f"}, ToolChoice("named", (("function", "f"),)), None),
    ],
)
def test_tool_choices(choice: dict[str, Any], expected: ToolChoice, parallel: bool | None) -> None:
    request, _ = read(tool_choice=choice, tools=[{"name": "f", "input_schema": {}}])
    assert (request.tool_choice, request.parallel_tool_calls) == (expected, parallel)


@pytest.mark.parametrize(
    ("thinking", "config", "expected"),
    [
        ({"type": "enabled", "budget_tokens": 2000}, None, Thinking("enabled", budget=2000)),
        ({"type": "adaptive", "display": "omitted"}, {"effort": "max"}, Thinking("adaptive", "max", display="omitted")),
        ({"type": "disabled"}, None, Thinking("disabled")),
        (None, {"effort": "low"}, Thinking(effort="low")),
    ],
)
def test_thinking(thinking: Any, config: Any, expected: Thinking) -> None:
    assert read(thinking=thinking, output_config=config)[0].thinking == expected


def test_settings() -> None:
    schema = {"type": "object"}
    request, losses = read(
        model="openai/gpt-5",
        stream=True,
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        stop_sequences=["a", "b"],
        metadata={"user_id": "u"},
        cache_control=MARK,
        service_tier="auto",
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert (request.model, request.stream, request.user) == ("openai/gpt-5", True, "u")
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.stop) == (0.0, 0.5, 3, ("a", "b"))
    assert request.caching.control == MARK
    assert request.output.format == OutputFormat("json_schema", schema)
    assert losses == []


def test_what_only_anthropic_can_do_is_announced() -> None:
    _, losses = read(context_management={"edits": [1]}, mcp_servers=[], speed="standard", container="c", fallbacks=None)
    assert [(loss.path, loss.code) for loss in losses] == [
        ("context_management", "unsupported_parameter"),
        ("container", "unsupported_parameter"),
    ]


def test_arguments_that_were_no_object_come_back_as_they_were() -> None:
    turn = {
        "role": "assistant",
        "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"_raw_arguments": "{oops"}}],
    }
    assert items(turn) == [ToolCall("t", "f", "{oops")]

"""Tools and structured output that Anthropic would receive, in its dialect."""

from typing import Any

import pytest

from headgate.conversation import (
    CustomTool,
    FunctionTool,
    OpaqueTool,
    Output,
    OutputFormat,
    ToolChoice,
    WebSearchTool,
)
from headgate.protocols.contract import Target
from headgate.protocols.messages.upstream_request import json_tool_name, reader_options, write_request
from headgate.protocols.names import NameMap
from tests.unit.messages_asking import HOUR, SCHEMA, USER, ask, call, check, result, write
from tests.unit.messages_support import TARGET


def test_tools_of_every_kind() -> None:
    names = NameMap(128)
    request = ask(
        tools=(
            FunctionTool("fs.read", "d", SCHEMA, True, extra={"responses": {"cache_control": HOUR}}),
            FunctionTool("send", None, None, namespace="mail"),
            CustomTool("patch", "p", {"type": "grammar", "syntax": "lark", "definition": "start: X"}),
            WebSearchTool("high", ("a.com",), ("b.com",), {"city": "Oslo", "country": None}),
            OpaqueTool("responses", {"type": "mcp"}),
            OpaqueTool("messages", {"type": "bash_20250124", "name": "bash"}),
        ),
        max_tool_calls=4,
    )
    body, losses = write_request(request, TARGET, names)
    check(body)
    read, send, patch, search, bash = body["tools"]
    assert names.from_wire(read["name"]) == "fs.read"
    assert read == {
        "name": read["name"],
        "description": "d",
        "input_schema": SCHEMA,
        "strict": True,
        "cache_control": HOUR,
    }
    assert send == {"name": "mail__send", "input_schema": {"type": "object", "properties": {}}}
    assert patch["input_schema"]["properties"] == {"input": {"type": "string"}}
    assert "start: X" in patch["description"]
    assert names.custom == {"patch"}
    assert search == {
        "type": "web_search_20250305",
        "name": "web_search",
        "allowed_domains": ["a.com"],
        "user_location": {"type": "approximate", "city": "Oslo"},
        "max_uses": 4,
    }
    assert bash["name"] == "bash"
    assert [(loss.path, loss.code) for loss in losses] == [
        ("tools[2].format", "unsupported_grammar"),
        ("tools[3].search_context_size", "unsupported_parameter"),
        ("tools[3].blocked_domains", "unsupported_parameter"),
        ("tools[4]", "unsupported_tool"),
    ]


@pytest.mark.parametrize(
    "schema", [{"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}, {"type": "object"}]
)
def test_strict_is_not_asked_for_where_it_would_change_the_schema(schema: dict[str, Any]) -> None:
    body, losses = write(ask(tools=(FunctionTool("f", parameters=schema, strict=True),)))
    assert body["tools"] == [{"name": "f", "input_schema": schema}]
    assert losses == [("tools[0].strict", "unsupported_parameter")]


TOOLS = (FunctionTool("f", parameters=SCHEMA), FunctionTool("g", parameters=SCHEMA), WebSearchTool())


@pytest.mark.parametrize(
    ("choice", "parallel", "expected", "offered"),
    [
        (None, None, None, 3),
        (ToolChoice("auto"), True, None, 3),
        (ToolChoice("auto"), False, {"type": "auto", "disable_parallel_tool_use": True}, 3),
        (ToolChoice("none"), False, {"type": "none"}, 3),
        (ToolChoice("required"), None, {"type": "any"}, 3),
        (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}, 3),
        (ToolChoice("named", (("function", "g"),)), None, {"type": "tool", "name": "g"}, 3),
        (ToolChoice("named", (("web_search", "web_search"),)), None, {"type": "tool", "name": "web_search"}, 3),
        (ToolChoice("auto", (("function", "g"),)), None, None, 1),
        (ToolChoice("required", (("web_search", "web_search"), ("function", "f"))), None, {"type": "any"}, 2),
    ],
)
def test_tool_choice(choice: Any, parallel: Any, expected: Any, offered: int) -> None:
    body, _ = write(ask(tools=TOOLS, tool_choice=choice, parallel_tool_calls=parallel))
    assert body.get("tool_choice") == expected
    assert len(body["tools"]) == offered


def test_a_choice_without_tools_is_not_sent() -> None:
    body, _ = write(ask(tool_choice=ToolChoice("auto"), parallel_tool_calls=False))
    assert "tool_choice" not in body
    assert "tools" not in body


def test_a_history_of_calls_without_tools_names_them_but_allows_none() -> None:
    body, _ = write(ask(USER, call("a", "f"), result("a"), call("b", "f"), result("b")))
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object"}}]
    assert body["tool_choice"] == {"type": "none"}


def test_structured_output() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 1, "description": "a count"},
            "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 1, "maxItems": 3},
            "either": {"oneOf": [{"const": "a"}, {"type": "null"}]},
        },
        "required": ["n"],
        "$defs": {"tag": {"type": "string", "format": "email", "maxLength": 9}},
    }
    body, losses = write(ask(output=Output(OutputFormat("json_schema", schema, "answer", strict=True))))
    assert body["output_config"]["format"] == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {
                "n": {"type": "integer", "description": "a count\n\n{minimum: 1}"},
                "tags": {
                    "type": "array",
                    "items": {"$ref": "#/$defs/tag"},
                    "minItems": 1,
                    "description": "{maxItems: 3}",
                },
                "either": {"anyOf": [{"const": "a"}, {"type": "null"}]},
            },
            "required": ["n"],
            "$defs": {"tag": {"type": "string", "format": "email", "description": "{maxLength: 9}"}},
            "additionalProperties": False,
        },
    }
    assert {code for _, code in losses} == {"unsupported_schema_keyword"}
    assert [path.rpartition(".")[2] for path, _ in losses] == ["minimum", "maxItems", "maxLength"]


OLD = Target("anthropic", "claude-3-7-sonnet", 64_000, features=frozenset({"tools"}), thinking="budget")


def test_structured_output_of_older_models_is_a_forced_tool() -> None:
    request = ask(output=Output(OutputFormat("json_schema", SCHEMA, "the answer")))
    assert json_tool_name(request, TARGET) is None
    assert json_tool_name(request, OLD) == "the_answer"
    assert reader_options(request, OLD) == {"json_tool": "the_answer"}
    body, losses = write(request, OLD)
    assert (body["tools"][0]["name"], body["tools"][0]["input_schema"]) == ("the_answer", SCHEMA)
    assert body["tool_choice"] == {"type": "tool", "name": "the_answer", "disable_parallel_tool_use": True}
    assert losses == [("text.format", "json_schema_emulated")]
    assert "output_config" not in body


def test_a_forced_answer_leaves_the_other_tools_usable() -> None:
    tools = (FunctionTool("answer", parameters=SCHEMA),)
    request = ask(tools=tools, output=Output(OutputFormat("json_schema", SCHEMA, "answer")))
    assert json_tool_name(request, OLD) == "answer_"
    body, _ = write(request, OLD)
    assert [tool["name"] for tool in body["tools"]] == ["answer", "answer_"]
    assert body["tool_choice"] == {"type": "any"}


def test_a_json_object_is_asked_for_in_words() -> None:
    body, losses = write(ask(output=Output(OutputFormat("json_object"))))
    assert "JSON object" in body["system"][-1]["text"]
    assert losses == [("text.format", "json_object_emulated")]
    assert json_tool_name(ask(output=Output(OutputFormat("json_object"))), OLD) is None

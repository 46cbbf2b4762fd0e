"""Tools, their choice and structured output for Gemini."""

import pytest

from headgate.conversation import (
    CustomTool,
    FunctionTool,
    Output,
    OutputFormat,
    ToolChoice,
    WebSearchTool,
)
from headgate.protocols.contract import Target
from headgate.protocols.gemini.upstream_request import reader_options, write_request
from tests.unit.gemini_support import (
    CITY,
    FLASH_3,
    FLASH_20,
    FLASH_25,
    WEATHER,
    asked,
    body,
    call,
    losses,
    result,
    user,
)


def config(request, target=FLASH_3):
    return body(request, target)["toolConfig"]["functionCallingConfig"]


CHOICES = [
    (None, None),
    (ToolChoice("auto"), None),
    (ToolChoice("none"), {"mode": "NONE"}),
    (ToolChoice("required"), {"mode": "ANY"}),
    (ToolChoice("named", (("function", "get_weather"),)), {"mode": "ANY", "allowedFunctionNames": ["get_weather"]}),
    (
        ToolChoice("required", (("custom", "patch"), ("function", "get_weather"))),
        {"mode": "ANY", "allowedFunctionNames": ["get_weather", "patch"]},
    ),
    (ToolChoice("auto", (("custom", "patch"),)), {"mode": "VALIDATED", "allowedFunctionNames": ["patch"]}),
]


@pytest.mark.parametrize(("choice", "expected"), CHOICES, ids=range(len(CHOICES)))
def test_the_choice_of_tools(choice, expected):
    written = body(asked(tools=(WEATHER, CustomTool("patch", "Edit.")), tool_choice=choice))
    assert len(written["tools"][0]["functionDeclarations"]) == 2
    assert written.get("toolConfig") == ({"functionCallingConfig": expected} if expected else None)


def test_a_limited_choice_without_the_mode_for_it_sends_only_those_tools():
    target = Target("vertex", "gemini-2.0-flash", quirks=frozenset({"no_validated_mode"}))
    choice = ToolChoice("auto", (("custom", "patch"),))
    written = body(asked(tools=(WEATHER, CustomTool("patch")), tool_choice=choice), target)
    assert [one["name"] for one in written["tools"][0]["functionDeclarations"]] == ["patch"]
    assert "toolConfig" not in written
    strict = asked(tools=(FunctionTool("f", strict=True),))
    assert losses(strict, target) == {("tools.strict", "unsupported_parameter")}
    assert config(strict) == {"mode": "VALIDATED"}


def test_tools_and_their_names():
    tools = (
        FunctionTool("2fa", parameters={"$schema": "x", "type": "object", "properties": {}}),
        FunctionTool("read", namespace="disk"),
        FunctionTool("a.b" * 30),
        CustomTool("patch", "Edit.", {"type": "grammar", "syntax": "lark", "definition": "start: x"}),
    )
    written, lost = write_request(asked(tools=tools, parallel_tool_calls=False), FLASH_3)
    (tool,) = written["tools"]
    first, second, third, fourth = tool["functionDeclarations"]
    assert first == {"name": "_2fa", "parametersJsonSchema": {"type": "object", "properties": {}}}
    assert second["name"] == "disk__read" and len(third["name"]) == 64
    assert fourth["parametersJsonSchema"]["required"] == ["input"] and "start: x" in fourth["description"]
    assert {(loss.path, loss.code) for loss in lost} == {
        ("parallel_tool_calls", "unsupported_parameter"),
        ("tools[3].format", "unsupported_grammar"),
    }


def test_calls_in_a_history_without_tools_get_bare_declarations():
    written = body(asked(user("Go"), call("a"), result("a", "1"), user("And?")))
    assert written["tools"][0]["functionDeclarations"][0]["name"] == "get_weather"
    assert written["toolConfig"] == {"functionCallingConfig": {"mode": "NONE"}}


def test_web_search_and_functions_exclude_each_other():
    search = WebSearchTool(context_size="low", allowed_domains=("a.example",), max_uses=2)
    assert body(asked(tools=(search,)))["tools"] == [{"googleSearch": {}}]
    assert {path for path, _ in losses(asked(tools=(search,)))} == {
        "tools[0].search_context_size",
        "tools[0].filters.allowed_domains",
        "tools[0].max_uses",
    }
    both = (WebSearchTool(), WEATHER)
    written, lost = write_request(asked(tools=both), FLASH_3)
    assert [list(tool) for tool in written["tools"]] == [["functionDeclarations"]]
    assert [(loss.path, loss.code) for loss in lost] == [("tools[0]", "unsupported_tool")]
    only = ToolChoice("auto", (("web_search", "web_search"),))
    written, lost = write_request(asked(tools=both, tool_choice=only), FLASH_3)
    assert written["tools"] == [{"googleSearch": {}}] and [loss.path for loss in lost] == ["tools[1]"]
    forced = asked(tools=(WebSearchTool(),), tool_choice=ToolChoice("required"))
    assert losses(forced) == {("tool_choice", "unsupported_parameter")}
    assert "tools" not in body(asked(tools=(WebSearchTool(),), tool_choice=ToolChoice("none")))
    lacking = Target("vertex", "gemini-x", features=frozenset())
    assert losses(asked(tools=(WebSearchTool(),)), lacking) == {("tools[0]", "unsupported_tool")}
    leaves_out = Target("vertex", "gemini-3-flash", quirks=frozenset({"exclude_domains"}))
    blocked = asked(tools=(WebSearchTool(blocked_domains=("b.example",)),))
    assert body(blocked, leaves_out)["tools"] == [{"googleSearch": {"excludeDomains": ["b.example"]}}]


JSON = Output(OutputFormat("json_schema", CITY, "city"))


def test_structured_output():
    native = {"responseMimeType": "application/json", "responseJsonSchema": CITY}
    assert body(asked(output=JSON), FLASH_25)["generationConfig"] == native
    assert body(asked(output=JSON, tools=(WEATHER,)))["generationConfig"] == native
    old = body(asked(output=JSON), FLASH_20)["generationConfig"]["responseSchema"]
    assert old == {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}
    anything = Output(OutputFormat("json_object"))
    assert body(asked(output=anything), FLASH_25)["generationConfig"] == {"responseMimeType": "application/json"}
    # A forced call leaves nothing to be shaped.
    forced = asked(output=JSON, tools=(WEATHER,), tool_choice=ToolChoice("required"))
    assert "generationConfig" not in body(forced) and "generationConfig" not in body(forced, FLASH_25)


def test_structured_output_beside_tools_where_they_do_not_go_together():
    request = asked(output=JSON, tools=(WEATHER,))
    written, lost = write_request(request, FLASH_25)
    names = [one["name"] for one in written["tools"][0]["functionDeclarations"]]
    assert names == ["get_weather", "city"] and "generationConfig" not in written
    assert config(request, FLASH_25) == {"mode": "ANY"}
    assert reader_options(request, FLASH_25)["json_tool"] == "city"
    assert reader_options(request, FLASH_3)["json_tool"] is None
    assert ("text.format", "json_schema_emulated") in {(loss.path, loss.code) for loss in lost}
    alone = asked(output=JSON, tools=(WEATHER,), tool_choice=ToolChoice("none"))
    assert config(alone, FLASH_25) == {"mode": "ANY", "allowedFunctionNames": ["city"]}
    taken = asked(output=JSON, tools=(FunctionTool("city"),))
    assert reader_options(taken, FLASH_25)["json_tool"] == "city_"
    searching = asked(output=JSON, tools=(WebSearchTool(),))
    written, lost = write_request(searching, FLASH_25)
    assert '"required":["city"]' in written["systemInstruction"]["parts"][-1]["text"]
    assert "generationConfig" not in written and [loss.code for loss in lost] == ["json_schema_emulated"]
    worded = asked(output=Output(OutputFormat("json_object")), tools=(WEATHER,))
    assert losses(worded, FLASH_25) == {("text.format", "json_object_emulated")}

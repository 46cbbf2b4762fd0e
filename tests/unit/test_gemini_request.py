"""Neutral requests as bodies for Gemini."""

import base64
import json

import httpx
import pytest
from google import genai
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st

from dev.simulated_providers.gemini_request import camelized
from headgate.conversation import (
    Caching,
    CustomTool,
    FunctionTool,
    Media,
    Message,
    OpaqueItem,
    OpaquePart,
    OpaqueTool,
    Output,
    OutputFormat,
    Reasoning,
    Refusal,
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
from headgate.protocols.contract import Target
from headgate.protocols.gemini.upstream_request import reader_options, write_request
from headgate.protocols.gemini.upstream_turns import NO_RESULT, SKIP_SIGNATURE
from tests.strategies import PDF, PNG, conversations
from tests.unit.gemini_support import FLASH_3, FLASH_20, FLASH_25, asked

WAV = base64.b64encode(b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 16).decode()
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = FunctionTool("get_weather", "The weather.", CITY)
PRO_25 = Target("vertex", "gemini-2.5-pro", thinking="budget")


def user(*parts):
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def said(text):
    return Message("assistant", (Text(text),))


def call(call_id, name="get_weather", arguments='{"city":"Paris"}', **more):
    return ToolCall(call_id, name, arguments, **more)


def result(call_id, *parts, **more):
    return ToolResult(call_id, tuple(Text(part) if isinstance(part, str) else part for part in parts), **more)


def body(request, target=FLASH_3):
    return write_request(request, target)[0]


def losses(request, target=FLASH_3):
    return {(loss.path, loss.code) for loss in write_request(request, target)[1]}


def contents(*items, target=FLASH_3):
    return body(asked(*items), target)["contents"]


def refused(*items, target=FLASH_3, **fields):
    with pytest.raises(GatewayError) as caught:
        write_request(asked(*items, **fields), target)
    assert caught.value.status == 400
    return caught.value


def test_the_least_request():
    assert write_request(asked("Hi"), FLASH_3) == ({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}, [])


def test_system_texts_go_in_front_or_stay_marked_where_they_are():
    request = asked(
        Message("system", (Text("Be brief."),)),
        Message("developer", (Text("In French."),)),
        user("Hi"),
        said("Salut"),
        Message("system", (Text("Now in German."),)),
        user("Again"),
        instructions=(Text("You are a bot."), Text("  ")),
    )
    written = body(request)
    texts = ["You are a bot.", "Be brief.", "In French."]
    assert written["systemInstruction"] == {"parts": [{"text": text} for text in texts]}
    assert written["contents"][2]["parts"] == [
        {"text": "<system>\nNow in German.\n</system>"},
        {"text": "Again"},
    ]


def test_parallel_calls_are_one_turn_and_their_responses_another_in_call_order():
    history = contents(
        user("Both"),
        said("Let me see."),
        call("a"),
        call("b", arguments='{"city":"Tokyo"}'),
        call("c", arguments=""),
        result("c", "three"),
        user("hurry"),
        result("a", "one", "uno"),
        result("b", "two", is_error=True),
        target=FLASH_25,
    )
    assert [turn["role"] for turn in history] == ["user", "model", "user"]
    names = {"name": "get_weather"}
    assert history[1]["parts"] == [
        {"text": "Let me see."},
        {"functionCall": {"id": "a", **names, "args": {"city": "Paris"}}},
        {"functionCall": {"id": "b", **names, "args": {"city": "Tokyo"}}},
        {"functionCall": {"id": "c", **names, "args": {}}},
    ]
    assert history[2]["parts"] == [
        {"functionResponse": {"id": "a", **names, "response": {"output": "one\nuno"}}},
        {"functionResponse": {"id": "b", **names, "response": {"error": "two"}}},
        {"functionResponse": {"id": "c", **names, "response": {"output": "three"}}},
        {"text": "hurry"},
    ]


def test_histories_out_of_order_are_mended():
    request = asked(said("Welcome"), said(""), call("a"), user("Never mind"), result("zzz", "lost"), said("ok"))
    written, lost = write_request(request, FLASH_25)
    turns = written["contents"]
    assert [turn["role"] for turn in turns] == ["user", "model", "user", "model"]
    assert turns[0]["parts"] == [{"text": "(continued)"}]
    assert turns[2]["parts"][0]["functionResponse"]["response"] == {"error": NO_RESULT}
    assert [part["text"] for part in turns[2]["parts"][1:]] == [
        "Never mind",
        "Result of a tool call that is not in this conversation (zzz):",
        "lost",
    ]
    assert {loss.code for loss in lost} == {"missing_tool_result", "orphan_tool_result"}


def test_an_id_used_twice_finds_each_its_result():
    history = contents(user("Go"), call("x"), result("x", "1"), call("x"), result("x", "2"), target=FLASH_25)
    outputs = [
        part["functionResponse"]["response"]["output"]
        for turn in history
        for part in turn["parts"]
        if "functionResponse" in part
    ]
    assert outputs == ["1", "2"]


def test_ids_may_be_left_out():
    target = Target("vertex", "gemini-2.5-flash", quirks=frozenset({"no_call_ids"}))
    text = json.dumps(contents(user("Go"), call("x"), result("x", "1"), target=target))
    assert '"id"' not in text and "functionResponse" in text


def made(data, kind="signature", target=FLASH_3):
    return Sealed("gemini", data, target.provider, target.model, kind)


def test_a_signature_goes_back_on_its_call():
    history = contents(user("Go"), call("a", sealed=made("U0lH")), call("b"), result("a", "1"), result("b", "2"))
    signatures = [part.get("thoughtSignature") for part in history[1]["parts"]]
    assert signatures == ["U0lH", None]


def test_an_unknown_signature_is_the_documented_skip_value():
    foreign = Sealed("messages", "xyz", "anthropic", "claude-sonnet-5")
    items = (user("Go"), call("a"), result("a", "1"), call("b", sealed=foreign), call("c"), result("b", "2"))
    written, lost = write_request(asked(*items), FLASH_3)
    parts = [part for turn in written["contents"] for part in turn["parts"] if "functionCall" in part]
    assert [part.get("thoughtSignature") for part in parts] == [SKIP_SIGNATURE, SKIP_SIGNATURE, None]
    assert ("input[3]", "foreign_signature") in {(loss.path, loss.code) for loss in lost}
    assert "thoughtSignature" not in json.dumps(contents(*items, target=FLASH_25))


@pytest.mark.parametrize("text_first", [True, False])
def test_a_signature_of_a_text_goes_back_on_the_text(text_first):
    text, seal = said("Three."), Reasoning((), made("U0lH", "encrypted"))
    order = (text, seal) if text_first else (seal, text)
    assert contents(user("Go"), *order, user("Sure?"))[1] == {
        "role": "model",
        "parts": [{"text": "Three.", "thoughtSignature": "U0lH"}],
    }


def test_a_signature_whose_text_is_gone_stands_alone():
    seal = Reasoning((), made("U0lH", "encrypted"))
    alone = {"text": "", "thoughtSignature": "U0lH"}
    assert contents(user("Go"), seal, user("On"))[1]["parts"] == [alone]
    assert contents(user("Go"), seal)[1]["parts"] == [alone]
    parts = contents(user("Go"), seal, call("a"), result("a", "1"), target=FLASH_25)[1]["parts"]
    assert parts[0] == alone and "functionCall" in parts[1]


def test_thoughts_go_back_only_with_a_seal_of_this_vendor():
    mine = Reasoning((Thought("Hm."),), made("U0lH"))
    foreign = Reasoning((Thought("Hm."),), Sealed("messages", "x", "anthropic", "claude-sonnet-5"))
    parts = contents(user("Go"), mine, said("ok"), user("On"))[1]["parts"]
    assert parts == [{"text": "Hm.", "thought": True, "thoughtSignature": "U0lH"}, {"text": "ok"}]
    assert contents(user("Go"), foreign, Reasoning((Thought("Hm."),)), said("ok"))[1]["parts"] == [{"text": "ok"}]
    assert losses(asked(user("Go"), foreign)) == {("input[1]", "foreign_signature")}


MEDIA = [
    (Media("image", data=PNG), {"inlineData": {"mimeType": "image/png", "data": PNG}}),
    (Media("image", url=f"data:image/gif;base64,{PNG}"), {"inlineData": {"mimeType": "image/png", "data": PNG}}),
    (Media("file", data=PDF, filename="a.pdf"), {"inlineData": {"mimeType": "application/pdf", "data": PDF}}),
    (Media("audio", data=WAV, media_type="audio/x-wav"), {"inlineData": {"mimeType": "audio/wav", "data": WAV}}),
    (Media("audio", data="AAAA", media_type="audio/mpeg"), {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}}),
    (Media("video", data="AAAA", media_type="video/mp4"), {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}),
    (Media("file", data="aGk=", filename="a.md"), {"inlineData": {"mimeType": "text/plain", "data": "aGk="}}),
    (
        Media("video", url="https://www.youtube.com/watch?v=x"),
        {"fileData": {"mimeType": "video/mp4", "fileUri": "https://www.youtube.com/watch?v=x"}},
    ),
]


@pytest.mark.parametrize(("media", "part"), MEDIA, ids=range(len(MEDIA)))
def test_media(media, part):
    assert contents(user("See", media))[0]["parts"][1] == part


def test_addresses_only_where_the_vendor_fetches_them():
    fetches = Target("vertex", "gemini-2.5-flash", quirks=frozenset({"media_urls"}))
    for url, kind in (("gs://b/a.png", "image/png"), ("https://x.example/a?b=.pdf", "image/jpeg")):
        part = contents(user(Media("image", url=url)), target=fetches)[0]["parts"][0]
        assert part == {"fileData": {"mimeType": kind, "fileUri": url}}
        assert refused(user(Media("image", url=url))).param == "input[0].content[0]"
    assert refused(user(Media("image", url="http://x.example/a.png")), target=fetches).code == "unsupported_content"


@pytest.mark.parametrize(
    "media",
    [
        Media("file", file_id="file-1"),
        Media("image", data="R0lGODlhAQ=="),
        Media("file", data="AAAA", media_type="application/msword"),
        Media("file", data="AAAA"),
        Media("image", data=""),
        Media("image", url="data:image/png"),
        Media("image", url="data:image/png;base64,!!"),
    ],
    ids=range(7),
)
def test_media_that_cannot_be_taken_is_refused(media):
    assert refused(user("See", media)).param == "input[0].content[1]"


def test_media_the_model_lacks_is_refused():
    blind = Target("vertex", "gemini-x", features=frozenset({"tools"}))
    for media in (Media("image", data=PNG), Media("file", data=PDF), Media("audio", data=WAV)):
        assert "does not take" in refused(user(media), target=blind).message


def test_the_resolution_of_an_image():
    media = Media("image", data=PNG, detail="low")
    assert contents(user(media))[0]["parts"][0]["mediaResolution"] == {"level": "MEDIA_RESOLUTION_LOW"}
    assert losses(asked(user(media)), FLASH_25) == {("input[0].content[0].detail", "unsupported_parameter")}
    assert losses(asked(user(Media("image", data=PNG, detail="auto"))), FLASH_25) == set()


def test_images_in_results_stay_with_the_result_or_follow_it():
    items = (user("Go"), call("a"), call("b"), result("a", "one", Media("image", data=PNG)), result("b", "two"))
    blob = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    inside = contents(*items)[2]["parts"]
    assert inside[0]["functionResponse"]["parts"] == [blob] and len(inside) == 2
    beside = contents(*items, target=FLASH_25)[2]["parts"]
    assert [next(iter(part)) for part in beside] == ["functionResponse", "functionResponse", "text", "inlineData"]
    assert beside[3] == blob and "(a)" in beside[2]["text"]


def test_what_only_another_protocol_knows():
    refused(user(OpaquePart("messages", {"type": "container_upload"})))
    refused(user("x"), OpaqueItem("responses", {"type": "compaction"}))
    refused(user("x"), OpaqueItem("responses", {"type": "odd", "role": "user"}))
    refused(Message("assistant", (Media("image", data=PNG),)), user("x"))
    assert losses(asked(user("x"), OpaqueItem("responses", {"type": "mcp_call"}))) == {("input[1]", "unsupported_item")}
    search = ToolCall("ws_1", "web_search", "{}", kind="web_search", ran_by="provider")
    assert losses(asked(user("x"), search)) == {("input[1]", "provider_tool_call")}
    tool = OpaqueTool("responses", {"type": "mcp"})
    assert losses(asked(tools=(tool,))) == {("tools[0]", "unsupported_tool")}


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


def test_sampling():
    sampling = Sampling(
        max_tokens=9, temperature=0.5, top_p=0.9, top_k=40, stop=("a", "", "b"), seed=7, logprobs=True, top_logprobs=2
    )
    assert write_request(asked(sampling=sampling), FLASH_3)[1] == []
    assert body(asked(sampling=sampling))["generationConfig"] == {
        "maxOutputTokens": 9,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40,
        "seed": 7,
        "stopSequences": ["a", "b"],
        "responseLogprobs": True,
        "logprobs": 2,
    }


KNOBS = [
    (Sampling(temperature=2.5), {"temperature": 2.0}, ("temperature", "clamped")),
    (Sampling(stop=tuple("abcdef")), {"stopSequences": list("abcde")}, ("stop", "unsupported_value")),
    (Sampling(seed=2**40), None, ("seed", "unsupported_value")),
    (Sampling(max_tokens=0), {"maxOutputTokens": 1}, ("max_tokens", "clamped")),
    (Sampling(logit_bias={"1": 2}), None, ("logit_bias", "unsupported_parameter")),
    (Sampling(frequency_penalty=2.0), {"frequencyPenalty": 1.99}, ("frequency_penalty", "clamped")),
]


@pytest.mark.parametrize(("sampling", "sent", "loss"), KNOBS, ids=range(len(KNOBS)))
def test_knobs_beyond_the_vendors_bounds_are_announced(sampling, sent, loss):
    target = Target("vertex", "gemini-2.0-flash")
    written, lost = write_request(asked(sampling=sampling), target)
    assert written.get("generationConfig") == sent and [(each.path, each.code) for each in lost] == [loss]


def test_knobs_the_model_lacks_are_announced():
    poor = Target("vertex", "gemini-x", max_output_tokens=100, features=frozenset(), quirks=frozenset({"no_penalties"}))
    sampling = Sampling(
        max_tokens=500, temperature=0.5, top_p=1, presence_penalty=1, frequency_penalty=0, logprobs=True
    )
    written, lost = write_request(asked(sampling=sampling), poor)
    assert written["generationConfig"] == {"maxOutputTokens": 100}
    assert {loss.path for loss in lost} == {"max_tokens", "temperature", "presence_penalty", "logprobs"}


def test_what_has_no_counterpart_is_announced():
    marked = Message("user", (Text("x", extra={"messages": {"cache_control": {"type": "ephemeral"}}}),))
    request = asked(
        marked,
        user="me",
        choices=2,
        max_tool_calls=3,
        output=Output(verbosity="low", modalities=("text", "audio"), audio={"voice": "x"}, prediction={"a": 1}),
        caching=Caching(key="k", retention="24h"),
        extra={"responses": {"truncation": "auto"}},
    )
    assert {path for path, _ in losses(request)} == {
        "user",
        "n",
        "max_tool_calls",
        "text.verbosity",
        "modalities",
        "audio",
        "prediction",
        "prompt_cache_retention",
        "cache_control",
        "truncation",
    }


THINKING = [
    (FLASH_3, Thinking(), None, None),
    (FLASH_3, Thinking(effort="low"), {"thinkingLevel": "LOW", "includeThoughts": True}, None),
    (FLASH_3, Thinking(effort="xhigh"), {"thinkingLevel": "HIGH", "includeThoughts": True}, "effort_adjusted"),
    (FLASH_3, Thinking(effort="none"), {"thinkingLevel": "MINIMAL"}, "effort_adjusted"),
    (FLASH_3, Thinking(mode="disabled"), {"thinkingLevel": "MINIMAL"}, "effort_adjusted"),
    (FLASH_3, Thinking(mode="enabled", budget=3000), {"thinkingLevel": "HIGH", "includeThoughts": True}, None),
    (FLASH_3, Thinking(mode="adaptive"), {"includeThoughts": True}, None),
    (FLASH_3, Thinking(effort="low", display="omitted"), {"thinkingLevel": "LOW"}, None),
    (FLASH_25, Thinking(effort="high"), {"thinkingBudget": 4096, "includeThoughts": True}, None),
    (FLASH_25, Thinking(effort="none"), {"thinkingBudget": 0}, None),
    (FLASH_25, Thinking(mode="adaptive"), {"thinkingBudget": -1, "includeThoughts": True}, None),
    (FLASH_25, Thinking(budget=99_999), {"thinkingBudget": 24_576, "includeThoughts": True}, "clamped"),
    (PRO_25, Thinking(mode="disabled"), {"thinkingBudget": 128}, "effort_adjusted"),
    (PRO_25, Thinking(budget=30_000), {"thinkingBudget": 30_000, "includeThoughts": True}, None),
    (FLASH_20, Thinking(effort="high"), None, "thinking_dropped"),
    (FLASH_20, Thinking(effort="none"), None, None),
]


@pytest.mark.parametrize(("target", "thinking", "sent", "code"), THINKING, ids=range(len(THINKING)))
def test_thinking(target, thinking, sent, code):
    written, lost = write_request(asked(thinking=thinking), target)
    assert written.get("generationConfig", {}).get("thinkingConfig") == sent
    assert [loss.code for loss in lost] == ([code] if code else [])


def test_a_budget_leaves_room_for_the_answer():
    request = asked(thinking=Thinking(effort="high"), sampling=Sampling(max_tokens=1000))
    assert body(request, FLASH_25)["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 500


def test_the_prefix_is_stable():
    first = asked(user("One"), tools=(WEATHER,), instructions=(Text("Be brief."),))
    longer = asked(user("One"), said("1"), user("Two"), tools=(WEATHER,), instructions=(Text("Be brief."),))
    one, two = json.dumps(body(first)), json.dumps(body(longer))
    assert one[: one.index("One")] == two[: two.index("One")]
    assert list(body(longer)) == ["systemInstruction", "tools", "contents"]


def checked(written):
    """Validate a body against the SDK's own types, which allow no unknown field."""
    for content in written["contents"]:
        types.Content.model_validate(content)
    if "systemInstruction" in written:
        types.Content.model_validate(written["systemInstruction"])
    for tool in written.get("tools", ()):
        types.Tool.model_validate(tool)
    types.ToolConfig.model_validate(written.get("toolConfig", {}))
    types.GenerationConfig.model_validate(written.get("generationConfig", {}))
    assert written.keys() <= {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}


def spoken(items):
    """What a conversation says, in order: the same walk over the neutral form as ``heard`` over the wire's."""
    found = []
    for item in items:
        if isinstance(item, Message):
            for part in item.parts:
                if isinstance(part, Text | Refusal):
                    found.append((item.role, part.text))
                elif isinstance(part, Media):
                    found.append((item.role, part.data))
        elif isinstance(item, ToolCall):
            found.append(("call", item.call_id, item.name, json.loads(item.arguments)))
        elif isinstance(item, ToolResult):
            texts = "\n".join(part.text for part in item.parts if isinstance(part, Text))
            media = [part.data for part in item.parts if isinstance(part, Media)]
            found.append(("result", item.call_id, bool(item.is_error), texts, media))
    return found


def heard(written):
    found = [("system", part["text"]) for part in written.get("systemInstruction", {}).get("parts", ())]
    for content in written["contents"]:
        role = {"user": "user", "model": "assistant"}[content["role"]]
        for part in content["parts"]:
            if "functionCall" in part:
                one = part["functionCall"]
                found.append(("call", one["id"], one["name"], one["args"]))
            elif "functionResponse" in part:
                one = part["functionResponse"]
                media = [each["inlineData"]["data"] for each in one.get("parts", ())]
                text = one["response"].get("output", one["response"].get("error"))
                found.append(("result", one["id"], "error" in one["response"], text, media))
            elif "inlineData" in part:
                found.append((role, part["inlineData"]["data"]))
            elif not part.get("thought") and part["text"]:
                found.append((role, part["text"]))
    return found


def as_data(item):
    if isinstance(item, Message | ToolResult):
        parts = tuple(
            Media(part.kind, data=PNG, media_type="image/png") if isinstance(part, Media) and part.url else part
            for part in item.parts
        )
        return type(item)(**{**{name: getattr(item, name) for name in item.__slots__}, "parts": parts})
    return item


SEALS = st.builds(
    made,
    st.binary(min_size=3, max_size=9).map(lambda raw: base64.b64encode(raw).decode()),
    st.sampled_from(["signature", "encrypted"]),
)


@settings(deadline=None, max_examples=80)
@given(conversations(seals=SEALS))
def test_any_conversation_says_the_same_on_the_wire(items):
    items = tuple(as_data(item) for item in items)
    written, lost = write_request(asked(*items, tools=(WEATHER,)), FLASH_3)
    checked(written)
    roles = {"developer": "system"}
    expected = [(roles.get(each[0], each[0]), *each[1:]) for each in spoken(items)]
    assert heard(written) == expected
    assert lost == []
    seals = [item.sealed.data for item in items if isinstance(item, Reasoning) and item.sealed]
    sent = [part.get("thoughtSignature") for turn in written["contents"] for part in turn["parts"]]
    assert [each for each in sent if each and each != SKIP_SIGNATURE] == seals


def sdk_body(contents, **fields):
    """The body that the vendor's own SDK makes."""
    sent = []

    def answer(request):
        sent.append(json.loads(request.content))
        return httpx.Response(200, json={"candidates": []})

    client = genai.Client(
        vertexai=False,
        api_key="k",
        http_options=types.HttpOptions(httpx_client=httpx.Client(transport=httpx.MockTransport(answer))),
    )
    client.models.generate_content(model="gemini-3", contents=contents, config=types.GenerateContentConfig(**fields))
    return sent[0]


def test_the_sdk_makes_the_same_request_of_the_same_conversation():
    request = asked(
        user("Look", Media("image", data=PNG)),
        call("a", sealed=made("U0lHU0lH")),
        call("b", arguments='{"city":"Tokyo"}'),
        result("a", "sun"),
        result("b", "rain"),
        user("And?"),
        instructions=(Text("Be brief."),),
        tools=(WEATHER,),
        tool_choice=ToolChoice("named", (("function", "get_weather"),)),
        sampling=Sampling(max_tokens=9, temperature=0.5, top_p=0.9, top_k=4, stop=("x",), seed=1),
        thinking=Thinking(effort="low"),
    )

    def function_call(call_id, city, signature=None):
        one = types.FunctionCall(id=call_id, name="get_weather", args={"city": city})
        return types.Part(function_call=one, thought_signature=signature)

    def response(call_id, output):
        one = types.FunctionResponse(id=call_id, name="get_weather", response={"output": output})
        return types.Part(function_response=one)

    image = types.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png")
    theirs = sdk_body(
        [
            types.Content(role="user", parts=[types.Part(text="Look"), image]),
            types.Content(
                role="model",
                parts=[function_call("a", "Paris", base64.b64decode("U0lHU0lH")), function_call("b", "Tokyo")],
            ),
            types.Content(role="user", parts=[response("a", "sun"), response("b", "rain"), types.Part(text="And?")]),
        ],
        system_instruction=types.Content(parts=[types.Part(text="Be brief.")]),
        tools=[
            types.Tool(
                function_declarations=[
                    types.FunctionDeclaration(
                        name="get_weather", description="The weather.", parameters_json_schema=CITY
                    )
                ]
            )
        ],
        tool_config=types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(
                mode=types.FunctionCallingConfigMode.ANY, allowed_function_names=["get_weather"]
            )
        ),
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        max_output_tokens=9,
        stop_sequences=["x"],
        seed=1,
        thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_level=types.ThinkingLevel.LOW),
    )
    # The SDK writes some names in snake case, and bytes in the other alphabet of base64.
    theirs = camelized(json.loads(json.dumps(theirs).replace(PNG.replace("+", "-").replace("/", "_"), PNG)))
    assert theirs == body(request)

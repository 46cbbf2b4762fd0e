"""What Anthropic would receive: alternating turns, results first, its own limits kept, every loss announced."""

import base64
from typing import Any

import pytest
from anthropic.types.message_create_params import MessageCreateParamsStreaming
from hypothesis import given, settings
from pydantic import TypeAdapter

from headgate.conversation import (
    Caching,
    Citation,
    CustomTool,
    FunctionTool,
    Item,
    Media,
    Message,
    OpaqueItem,
    OpaquePart,
    OpaqueTool,
    Output,
    OutputFormat,
    Reasoning,
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
from headgate.protocols.contract import Target
from headgate.protocols.messages.upstream_request import json_tool_name, reader_options, write_request
from headgate.protocols.names import NameMap
from tests.strategies import PDF, PNG, requests
from tests.unit.messages_support import ADAPTIVE, TARGET

PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsStreaming)
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
USER = Message("user", (Text("hi"),))
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def ask(*items: Item, **fields: Any) -> Request:
    fields.setdefault("sampling", Sampling(max_tokens=5000))
    return Request(model="m", items=items or (USER,), **fields)


def write(request: Request, target: Target = TARGET) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    body, losses = write_request(request, target)
    check(body)
    return body, [(loss.path, loss.code) for loss in losses]


def check(body: dict[str, Any]) -> None:
    """The vendor's rules for any request, and its SDK's types."""
    # The SDK's parameters describe the newer API version, without the sampling that the older one still takes.
    PARAMS.validate_python({k: v for k, v in body.items() if k not in ("temperature", "top_p", "top_k")})
    assert body["stream"] is True
    assert body["messages"][0]["role"] == "user"
    marks = [*body.get("system", ()), *body.get("tools", ())]
    calls: list[str] = []
    seen: set[str] = set()
    for index, turn in enumerate(body["messages"]):
        assert turn["role"] == ("user", "assistant")[index % 2]
        assert turn["content"]
        kinds = [block["type"] for block in turn["content"]]
        results = [block["tool_use_id"] for block in turn["content"] if block["type"] == "tool_result"]
        assert results == calls
        assert kinds[: len(results)] == ["tool_result"] * len(results)
        calls = [block["id"] for block in turn["content"] if block["type"] == "tool_use"]
        assert not seen & set(calls)
        seen |= set(calls)
        if turn["role"] == "assistant":
            assert kinds[-1] not in ("thinking", "redacted_thinking")
        for block in turn["content"]:
            marks += [block, *(block.get("content") or [] if block["type"] == "tool_result" else [])]
            if block["type"] == "text":
                assert block["text"].strip()
    assert calls == []
    assert sum("cache_control" in block for block in marks) + ("cache_control" in body) <= 4
    if "thinking" in body:
        assert body["thinking"].get("budget_tokens", 0) < body["max_tokens"]
        assert body.get("tool_choice", {}).get("type") not in ("any", "tool")
        assert "temperature" not in body


def turns(*items: Item, target: Target = TARGET) -> Any:
    body, losses = write(ask(*items), target)
    return body["messages"], losses


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def call(call_id: str, name: str = "f", arguments: str = "{}") -> ToolCall:
    return ToolCall(call_id, name, arguments)


def result(call_id: str, value: str = "ok") -> ToolResult:
    return ToolResult(call_id, (Text(value),))


def test_parallel_results_come_first_together_and_in_call_order() -> None:
    messages, losses = turns(
        USER,
        call("a"),
        call("b"),
        call("c"),
        result("c", "C"),
        Message("user", (Text("by the way"),)),
        result("a", "A"),
        ToolResult("b", (Text("B"), Media("image", data=PNG)), is_error=True),
    )
    assert [block["id"] for block in messages[1]["content"]] == ["a", "b", "c"]
    a, b, c, said = messages[2]["content"]
    assert a == {"type": "tool_result", "tool_use_id": "a", "content": [text("A")]}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    assert b == {"type": "tool_result", "tool_use_id": "b", "content": [text("B"), image], "is_error": True}
    assert (c["tool_use_id"], said) == ("c", text("by the way"))
    assert losses == []


def test_calls_one_after_the_other_stay_in_turns_of_their_own() -> None:
    messages, _ = turns(USER, call("a"), result("a"), call("b"), result("b"))
    assert [turn["role"] for turn in messages] == ["user", "assistant", "user", "assistant", "user"]


def test_a_call_without_result_gets_one_that_says_so() -> None:
    messages, losses = turns(USER, call("a"), Message("user", (Text("never mind"),)))
    assert messages[2]["content"][0] == {
        "type": "tool_result",
        "tool_use_id": "a",
        "is_error": True,
        "content": [text("No result was recorded for this call.")],
    }
    assert messages[2]["content"][1] == text("never mind")
    assert losses == [("input", "missing_tool_result")]
    assert turns(USER, call("a"))[0][2]["content"][0]["is_error"] is True


def test_an_orphan_result_becomes_text() -> None:
    messages, losses = turns(USER, ToolResult("ghost", (Text("boo"), Media("image", data=PNG))))
    note, boo, image = messages[0]["content"][1:]
    assert "ghost" in note["text"]
    assert (boo, image["type"]) == (text("boo"), "image")
    assert losses == [("input[1]", "orphan_tool_result")]


def test_two_results_for_one_call_lose_nothing() -> None:
    messages, losses = turns(USER, call("a"), result("a", "first"), result("a", "second"))
    assert messages[2]["content"][0]["content"] == [text("first")]
    assert text("second") in messages[2]["content"]
    assert losses == [("input[3]", "orphan_tool_result")]


def test_ids_that_return_in_a_later_turn_are_told_apart() -> None:
    messages, _ = turns(USER, call("call_0"), result("call_0", "1"), call("call_0"), result("call_0", "2"))
    assert messages[1]["content"][0]["id"] == messages[2]["content"][0]["tool_use_id"] == "call_0"
    assert messages[3]["content"][0]["id"] == messages[4]["content"][0]["tool_use_id"] == "call_0_2"
    assert messages[4]["content"][0]["content"] == [text("2")]


def test_ids_with_forbidden_characters_are_mapped_the_same_way_every_time() -> None:
    once, _ = turns(USER, call("call:ü.1"), result("call:ü.1"))
    again, _ = turns(USER, call("x"), result("x"), call("call:ü.1"), result("call:ü.1"))
    assert once[1]["content"][0]["id"] == again[3]["content"][0]["id"]
    assert once[2]["content"][0]["tool_use_id"] == once[1]["content"][0]["id"] != "call:ü.1"


def test_neighbours_merge_and_empty_text_goes() -> None:
    messages, _ = turns(
        Message("user", (Text("a"), Text(""), Text("  \n"))),
        Message("user", (Text("b"),)),
        Message("assistant", (Text(""),)),
        Message("assistant", (Text("c"),)),
        Message("assistant", (Text("d  \n"),)),
    )
    assert messages == [
        {"role": "user", "content": [text("a"), text("b")]},
        {"role": "assistant", "content": [text("c"), text("d")]},
    ]


def test_a_conversation_that_the_assistant_began() -> None:
    messages, _ = turns(Message("assistant", (Text("Welcome"),)), USER)
    assert messages[0] == {"role": "user", "content": [text("(continued)")]}


def test_only_a_system_message_still_makes_a_request() -> None:
    body, _ = write(ask(Message("system", (Text("be brief"),))))
    assert body["system"] == [text("be brief")]
    assert body["messages"] == [{"role": "user", "content": [text("(continued)")]}]


def test_system_text_is_one_array_and_later_one_a_note_of_the_user() -> None:
    marked = {"messages": {"cache_control": HOUR}}
    body, _ = write(
        ask(
            Message("system", (Text("B", extra=marked),)),
            Message("developer", (Text("C"),), extra={"chat_completions": {"cache_control": MARK}}),
            USER,
            Message("developer", (Text("D"),)),
            instructions=(Text("A"),),
        )
    )
    assert body["system"] == [text("A"), {**text("B"), "cache_control": HOUR}, {**text("C"), "cache_control": MARK}]
    assert body["messages"] == [{"role": "user", "content": [text("hi"), text("<system>\nD\n</system>")]}]


def test_a_system_note_between_call_and_result_comes_after_the_result() -> None:
    messages, _ = turns(USER, call("a"), Message("system", (Text("note"),)), result("a"))
    assert [block["type"] for block in messages[2]["content"]] == ["tool_result", "text"]


MADE = Sealed("messages", "c2lnbmF0dXJl", "anthropic", "claude-sonnet-4-0")
RAW = Sealed("messages", "cmF3")
REDACTED = Sealed("messages", "cmVkYWN0ZWQ=", "anthropic", "claude-sonnet-4-5", "redacted")


def test_thinking_is_replayed_in_place_and_byte_for_byte() -> None:
    messages, losses = turns(
        USER,
        Reasoning((Thought("a"),), MADE),
        Reasoning((), REDACTED),
        Reasoning((), RAW),
        Message("assistant", (Text("I look."),)),
        call("t"),
        result("t"),
    )
    assert messages[1]["content"] == [
        {"type": "thinking", "thinking": "a", "signature": "c2lnbmF0dXJl"},
        {"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="},
        {"type": "thinking", "thinking": "", "signature": "cmF3"},
        text("I look."),
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ]
    assert losses == []


@pytest.mark.parametrize(
    "sealed",
    [
        Sealed("responses", "gAAA", "openai", "gpt-5", "encrypted"),
        Sealed("messages", "c2ln", "bedrock", "claude-sonnet-4-5"),
        Sealed("messages", "c2ln", "anthropic", "other-1"),
        None,
    ],
)
def test_thinking_of_others_is_never_forged(sealed: Sealed | None) -> None:
    messages, losses = turns(
        USER, Reasoning((Thought("a secret thought"),), sealed), Message("assistant", (Text("x"),))
    )
    assert messages[1]["content"] == [text("x")]
    assert losses == ([("input[1]", "foreign_signature")] if sealed else [])


def test_thinking_that_nothing_follows_is_left_out() -> None:
    messages, losses = turns(USER, Reasoning((Thought("a"),), MADE), Message("user", (Text("b"),)))
    assert messages == [{"role": "user", "content": [text("hi"), text("b")]}]
    assert losses == [("input", "trailing_reasoning")]


def test_arguments_become_objects_with_their_order_kept() -> None:
    messages, _ = turns(
        USER,
        call("a", arguments='{"z": 1, "a": {"y": 2.50, "b": "é"}}'),
        call("b", arguments="{broken"),
        call("c", arguments=""),
        ToolCall("d", "patch", "free text", kind="custom"),
        *(result(each) for each in "abcd"),
    )
    inputs = [block["input"] for block in messages[1]["content"]]
    assert list(inputs[0]) == ["z", "a"]
    assert inputs[1:] == [{"_raw_arguments": "{broken"}, {}, {"input": "free text"}]


def test_searches_of_this_vendor_are_replayed_and_others_left_out() -> None:
    page = {"type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "e"}
    ours = ToolCall("srvtoolu_1", "web_search", '{"type":"search","query":"q","sources":[]}', "web_search", "provider")
    found = ToolResult("srvtoolu_1", (), kind="web_search", ran_by="provider", extra={"messages": {"content": [page]}})
    theirs = ToolCall("ws_1", "web_search", '{"query":"q"}', "web_search", "provider")
    said = Message("assistant", (Text("x", (Citation("u"),)),))
    messages, losses = turns(USER, ours, found, theirs, ToolResult("ws_1", (), ran_by="provider"), said)
    assert messages[1]["content"] == [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [page]},
        text("x"),
    ]
    assert losses == [("input[3]", "provider_tool_call"), ("input[5].content[0].annotations", "citations_dropped")]


def test_items_of_other_protocols() -> None:
    messages, losses = turns(USER, OpaqueItem("responses", {"type": "mcp_call"}), OpaqueItem("messages", text("kept")))
    assert messages[1]["content"] == [text("kept")]
    assert losses == [("input[1]", "unsupported_item")]
    with pytest.raises(GatewayError, match="compaction"):
        write_request(ask(USER, OpaqueItem("responses", {"type": "compaction"})), TARGET)
    with pytest.raises(GatewayError, match="input_audio"):
        part = OpaquePart("chat_completions", {"type": "input_audio"})
        write_request(ask(Message("user", (part,))), TARGET)


def media_blocks(*media: Media, target: Target = TARGET) -> list[dict[str, Any]]:
    body, _ = write(ask(Message("user", media)), target)
    return body["messages"][0]["content"]


def test_images_and_documents() -> None:
    csv = base64.b64encode("a;ö\n".encode()).decode()
    blocks = media_blocks(
        Media("image", url="https://e.com/a.png", detail="low"),
        Media("image", url=f"data:image/webp;base64,{PNG}"),
        Media("image", data="/9j/AAAA"),
        Media("file", data=PDF, filename="r.pdf", extra={"messages": {"cache_control": MARK}}),
        Media("file", url="https://e.com/a.pdf"),
        Media("file", data=csv, media_type="text/csv", filename="t.csv"),
        Media("file", url="data:text/plain,h%20i"),
    )
    sources = [block["source"] for block in blocks]
    assert sources[0] == {"type": "url", "url": "https://e.com/a.png"}
    assert sources[1] == {"type": "base64", "media_type": "image/png", "data": PNG}
    assert sources[2]["media_type"] == "image/jpeg"
    assert sources[3] == {"type": "base64", "media_type": "application/pdf", "data": PDF}
    assert (blocks[3]["title"], blocks[3]["cache_control"]) == ("r.pdf", MARK)
    assert sources[4] == {"type": "url", "url": "https://e.com/a.pdf"}
    assert sources[5] == {"type": "text", "media_type": "text/plain", "data": "a;ö\n"}
    assert sources[6]["data"] == "h i"


@pytest.mark.parametrize(
    ("media", "target", "words"),
    [
        (Media("audio", data="AAAA"), TARGET, "audio input"),
        (Media("image", data="Qk0AAAA", media_type="image/bmp"), TARGET, "image/bmp"),
        (Media("file", data="UEsD", filename="a.docx"), TARGET, "docx"),
        (Media("file", file_id="file-123"), TARGET, "file id"),
        (Media("image", url="u"), Target("p", "m", features=frozenset({"tools"})), "image input"),
        (Media("file", data=PDF), Target("p", "m", features=frozenset({"image"})), "PDF input"),
        (Media("file", data="!!!", media_type="text/plain"), TARGET, "UTF-8"),
    ],
)
def test_media_that_cannot_be_represented_is_refused(media: Media, target: Target, words: str) -> None:
    with pytest.raises(GatewayError, match=words) as caught:
        write_request(ask(Message("user", (Text("x"), media))), target)
    assert (caught.value.status, caught.value.param) == (400, "input[0].content[1]")


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


def thinking(target: Target, wanted: Thinking, **fields: Any) -> Any:
    body, losses = write(ask(thinking=wanted, **fields), target)
    return body.get("thinking"), body.get("output_config"), body["max_tokens"], losses


def enabled(budget: int) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": budget}


@pytest.mark.parametrize(
    ("effort", "budget"),
    [("minimal", 1024), ("low", 1024), ("medium", 2048), ("high", 4096), ("xhigh", 8192), ("max", 16384)],
)
def test_effort_as_a_budget(effort: str, budget: int) -> None:
    room = Sampling(max_tokens=20_000)
    assert thinking(TARGET, Thinking(effort=effort), sampling=room) == (enabled(budget), None, 20_000, [])
    # Without the caller's own limit the answer keeps its room beside the thinking.
    assert thinking(TARGET, Thinking(effort=effort), sampling=Sampling())[2] == 8192 + budget


def test_a_budget_leaves_room_for_the_answer() -> None:
    assert thinking(TARGET, Thinking(effort="high"), sampling=Sampling(max_tokens=3000))[0] == enabled(1500)
    assert thinking(TARGET, Thinking(effort="high"), sampling=Sampling(max_tokens=1025))[0] == enabled(1024)
    off = thinking(TARGET, Thinking(effort="high"), sampling=Sampling(max_tokens=1024))
    assert off == (None, None, 1024, [("reasoning", "thinking_dropped")])


def test_effort_for_models_that_choose_their_own_thinking() -> None:
    adaptive = {"type": "adaptive", "display": "summarized"}
    assert thinking(ADAPTIVE, Thinking(effort="high"))[:2] == (adaptive, {"effort": "high"})
    assert thinking(ADAPTIVE, Thinking("enabled", budget=2048))[:2] == (adaptive, {"effort": "medium"})
    assert thinking(ADAPTIVE, Thinking("adaptive", display="omitted"))[:2] == (
        {"type": "adaptive", "display": "omitted"},
        None,
    )
    _, config, _, losses = thinking(ADAPTIVE, Thinking(effort="minimal"))
    assert (config, losses) == ({"effort": "low"}, [("reasoning.effort", "effort_adjusted")])


def test_no_thinking() -> None:
    assert thinking(TARGET, Thinking(effort="none")) == (None, None, 5000, [])
    assert thinking(TARGET, Thinking("disabled")) == (None, None, 5000, [])
    assert thinking(ADAPTIVE, Thinking(effort="none"))[:2] == (None, {"effort": "low"})
    assert thinking(TARGET, Thinking()) == (None, None, 5000, [])
    dull = Target("anthropic", "m", features=frozenset({"tools"}), thinking="none")
    assert thinking(dull, Thinking(effort="high"))[3] == [("reasoning", "thinking_dropped")]


def test_a_forced_call_excludes_thinking() -> None:
    tools, forced = (FunctionTool("f", parameters=SCHEMA),), ToolChoice("required")
    thought, _, _, losses = thinking(TARGET, Thinking(effort="high"), tools=tools, tool_choice=forced)
    assert (thought, losses) == (None, [("reasoning", "thinking_dropped")])
    assert thinking(ADAPTIVE, Thinking(effort="high"), tools=tools, tool_choice=forced)[:2] == (
        None,
        {"effort": "high"},
    )


def test_a_budget_is_not_asked_for_inside_a_tool_loop_without_thinking() -> None:
    loop = (USER, call("a"), result("a"))
    body, losses = write(ask(*loop, thinking=Thinking(effort="low")))
    assert ("thinking" in body, losses) == (False, [("reasoning", "thinking_dropped")])
    body, _ = write(ask(USER, Reasoning((Thought("x"),), MADE), *loop[1:], thinking=Thinking(effort="low")))
    assert body["thinking"] == enabled(1024)
    body, _ = write(ask(*loop, Message("user", (Text("now think"),)), thinking=Thinking(effort="low")), ADAPTIVE)
    assert body["thinking"]["type"] == "adaptive"


def test_sampling_while_thinking() -> None:
    sampling = Sampling(max_tokens=5000, temperature=0.2, top_p=0.5, top_k=5)
    body, losses = write(ask(thinking=Thinking(effort="low"), sampling=sampling))
    assert not {"temperature", "top_p", "top_k"} & set(body)
    assert [path for path, _ in losses] == ["temperature", "top_p", "top_k"]
    body, losses = write(ask(thinking=Thinking(effort="low"), sampling=Sampling(5000, temperature=1, top_p=0.97)))
    assert (body["top_p"], losses) == (0.97, [])


def test_sampling() -> None:
    body, losses = write(ask(sampling=Sampling(5, temperature=0.0, top_k=3, stop=("a", " \n", "b"))))
    assert (body["temperature"], body["top_k"], body["stop_sequences"]) == (0.0, 3, ["a", "b"])
    assert losses == [("stop", "unsupported_value")]
    body, losses = write(ask(sampling=Sampling(5, temperature=1.7, top_p=1)))
    assert (body["temperature"], "top_p" in body, losses) == (1, False, [("temperature", "clamped")])
    body, losses = write(ask(sampling=Sampling(5, temperature=0.5, top_p=0.9)))
    assert ("top_p" in body, losses) == (False, [("top_p", "unsupported_parameter")])
    assert write(ask(sampling=Sampling(5, top_p=0.9)))[0]["top_p"] == 0.9
    fixed = Target("anthropic", "claude-sonnet-5", features=frozenset({"tools"}))
    body, losses = write(ask(sampling=Sampling(5, temperature=1, top_p=1, top_k=1)), fixed)
    assert not {"temperature", "top_p", "top_k"} & set(body)
    assert len(losses) == 3


def test_max_tokens() -> None:
    def room(target: Target, wanted: int | None) -> int:
        return write_request(ask(sampling=Sampling(max_tokens=wanted)), target)[0]["max_tokens"]

    assert room(TARGET, 9) == 9
    assert room(TARGET, None) == 8192
    assert room(Target("anthropic", "small", max_output_tokens=4000), None) == 4000
    assert room(Target("anthropic", "unknown"), None) == 4096
    assert room(Target("anthropic", "unknown"), 50_000) == 50_000
    body, losses = write(ask(sampling=Sampling(max_tokens=100_000)))
    assert (body["max_tokens"], losses) == (64_000, [("max_tokens", "clamped")])


def test_what_the_vendor_lacks_is_announced() -> None:
    sampling = Sampling(5, None, None, None, (), 7, 0.1, 0.2, {"1": 2.0}, True, 3)
    output = Output(verbosity="low", modalities=("text", "audio"), audio={"voice": "x"}, prediction={"type": "content"})
    _, losses = write(ask(sampling=sampling, output=output, choices=2, caching=Caching("key", "24h")))
    assert [path for path, _ in losses] == [
        *("seed", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs"),
        *("text.verbosity", "modalities", "audio", "prediction", "prompt_cache_retention", "n"),
    ]


def test_the_user_is_passed_on_within_the_limit() -> None:
    assert write(ask(user="u-1"))[0]["metadata"] == {"user_id": "u-1"}
    assert len(write(ask(user="u" * 300))[0]["metadata"]["user_id"]) == 64


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


def marked(value: str, mark: dict[str, Any] = MARK) -> Text:
    return Text(value, extra={"responses": {"cache_control": mark}})


def test_cache_marks_stay_where_they_are() -> None:
    body, losses = write(
        ask(
            Message("user", (marked("a", {"type": "ephemeral", "ttl": "5m"}), Text("b"))),
            ToolCall("c", "f", "{}", extra={"messages": {"cache_control": HOUR}}),
            ToolResult("c", (Text("r"),), extra={"chat_completions": {"cache_control": {"type": "x", "ttl": "9y"}}}),
            caching=Caching(control=HOUR),
        )
    )
    first, second, third = body["messages"]
    assert first["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
    assert "cache_control" not in first["content"][1]
    assert second["content"][0]["cache_control"] == HOUR
    assert third["content"][0]["cache_control"] == MARK
    assert body["cache_control"] == HOUR
    assert losses == []


def test_of_too_many_marks_the_prefix_and_the_last_ones_stay() -> None:
    said = [Message("user", (marked(str(index)),)) for index in range(5)]
    tool = FunctionTool("f", parameters=SCHEMA, extra={"messages": {"cache_control": MARK}})
    body, losses = write(ask(*said, instructions=(marked("s"),), tools=(tool,)))
    assert "cache_control" in body["tools"][0]
    assert "cache_control" in body["system"][0]
    assert [block["text"] for block in body["messages"][0]["content"] if "cache_control" in block] == ["3", "4"]
    assert losses == [("cache_control", "too_many_cache_marks")]


def test_no_marks_for_a_model_that_takes_none() -> None:
    target = Target("other", "m", features=frozenset({"tools"}))
    body, losses = write(ask(Message("user", (marked("a"),)), caching=Caching(control=HOUR)), target)
    assert "cache_control" not in str(body)
    assert losses == [("cache_control", "too_many_cache_marks")]


@settings(max_examples=60)
@given(requests())
def test_any_conversation_becomes_a_valid_request(request: Request) -> None:
    body, _ = write_request(request, TARGET)
    check(body)

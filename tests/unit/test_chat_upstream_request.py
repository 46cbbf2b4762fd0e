"""What reaches an OpenAI-compatible upstream."""

import base64

import pytest
from hypothesis import given
from openai.types.chat import completion_create_params
from pydantic import TypeAdapter

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
from headgate.protocols.chat_completions.client_request import read_request
from headgate.protocols.chat_completions.schema import validate
from headgate.protocols.chat_completions.upstream_messages import wire_call_id
from headgate.protocols.chat_completions.upstream_request import write_request
from headgate.protocols.names import NameMap
from tests.strategies import requests, sealed
from tests.unit.chat_support import TARGET, patient, target, unseal

PARAMS = TypeAdapter(completion_create_params.CompletionCreateParamsStreaming)
ASK = Message("user", (Text("hi"),))
PNG = Media("image", data="iVBORw==", media_type="image/png")


def body(*items, to=TARGET, losses=(), **fields):
    written, lost = write_request(Request("m", items or (ASK,), **fields), to)
    assert [(loss.path, loss.code) for loss in lost] == list(losses)
    return written


def messages(*items, to=TARGET, losses=(), **fields):
    return body(*items, to=to, losses=losses, **fields)["messages"]


def lost(path, code="unsupported_parameter"):
    return (path, code)


def test_the_least():
    assert body() == {
        "model": "gpt-5.4",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert "stream_options" not in body(to=target("no_stream_options"))


def test_system_text():
    items = (Message("system", (Text("S"),)), Message("developer", (Text("D"), Text("E"))), ASK)
    instructions = (Text("I"), Text("J"))
    assert messages(*items, instructions=instructions) == [
        {"role": "developer", "content": "I\n\nJ"},
        {"role": "system", "content": "S"},
        {"role": "developer", "content": [{"type": "text", "text": "D"}, {"type": "text", "text": "E"}]},
        {"role": "user", "content": "hi"},
    ]
    roles = [each["role"] for each in messages(*items, instructions=instructions, to=target("system_role"))]
    assert roles == ["system", "system", "system", "user"]


def test_an_assistants_text_and_calls_are_one_message_and_results_follow_in_call_order():
    a, b, c = (ToolCall(name, "f", f'{{"{name}":1}}') for name in "abc")
    written = messages(
        ASK,
        Message("assistant", (Text("Let me "), Text("see."))),
        a,
        b,
        c,
        ToolResult("b", (Text("B"),)),
        Message("user", (Text("hurry"),)),
        ToolResult("c", (Text("C"),), is_error=True),
        ToolResult("a", (Text("A"),)),
        Message("assistant", (Text("Done."),)),
    )
    assert [each["role"] for each in written] == ["user", "assistant", "tool", "tool", "tool", "user", "assistant"]
    assert written[1]["content"] == "Let me see."
    assert [call["function"]["arguments"] for call in written[1]["tool_calls"]] == ['{"a":1}', '{"b":1}', '{"c":1}']
    assert [(each["tool_call_id"], each["content"]) for each in written[2:5]] == [
        ("a", "A"),
        ("b", "B"),
        ("c", "Error: C"),
    ]
    assert written[5]["content"] == "hurry" and written[6] == {"role": "assistant", "content": "Done."}


def test_calls_in_sequence_stay_in_sequence():
    written = messages(
        ToolCall("a", "f", "{}"),
        ToolResult("a", (Text("1"),)),
        ToolCall("a", "f", "{}"),
        ToolResult("a", (Text("2"),)),
        Message("assistant", (Text("x"),)),
        Message("assistant", (Text("y"),)),
    )
    assert [each["role"] for each in written] == ["assistant", "tool", "assistant", "tool", "assistant", "assistant"]
    assert [each["content"] for each in written] == [None, "1", None, "2", "x", "y"]


def test_an_error_is_not_marked_twice():
    result = ToolResult("a", (Text("Error: no file"),), is_error=True)
    assert messages(ToolCall("a", "f", "{}"), result)[1]["content"] == "Error: no file"


def test_media_in_results_follows_behind_all_results():
    written = messages(
        ToolCall("a", "look", "{}"),
        ToolCall("b", "read", "{}"),
        ToolResult("a", (PNG,)),
        ToolResult("b", (Text("text"), PNG)),
    )
    assert [each["role"] for each in written] == ["assistant", "tool", "tool", "user"]
    assert written[1]["content"] and written[2]["content"] == "text"
    shown = written[3]["content"]
    assert [part["type"] for part in shown] == ["text", "image_url", "text", "image_url"]
    assert "a (look)" in shown[0]["text"] and "b (read)" in shown[2]["text"]


def test_a_result_without_a_call_is_something_the_user_says():
    orphan = ToolResult("zz", (Text("42"),))
    written = messages(ASK, orphan, losses=[lost("input[1]", "orphan_tool_result")])
    assert written[1] == {"role": "user", "content": "Result of tool call zz: 42"}


def test_empty_text_says_nothing():
    assert messages(Message("assistant", (Text(""),)), Message("user", (Text(""), Text("a")))) == [
        {"role": "user", "content": "a"}
    ]


def test_refusals():
    said = Message("assistant", (Refusal("No."),))
    assert messages(said) == [{"role": "assistant", "refusal": "No.", "content": None}]
    assert messages(said, to=target("no_refusal")) == [{"role": "assistant", "content": "No."}]


def test_user_media():
    text = base64.b64encode("naïve".encode()).decode()
    parts = (
        Media("image", url="https://e.com/a.png", detail="low"),
        Media("image", data="/9j/4AAQ", detail="original"),
        Media("audio", data="AAAA", media_type="audio/mpeg"),
        Media("file", data="JVBE", media_type="application/pdf"),
        Media("file", data=text, media_type="text/plain", filename="a.txt"),
    )
    assert messages(Message("user", parts))[0]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://e.com/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/4AAQ"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        {"type": "text", "text": "a.txt:\nnaïve"},
    ]


@pytest.mark.parametrize(
    "item",
    [
        Message("user", (Media("file", url="https://e.com/a.pdf"),)),
        Message("user", (Media("file", file_id="file-1"),)),
        Message("user", (Media("image", file_id="file-1"),)),
        Message("user", (Media("audio", url="https://e.com/a.mp3"),)),
        Message("user", (Media("video", url="https://e.com/a.mp4"),)),
        Message("user", (OpaquePart("messages", {"type": "search_result"}),)),
        Message("assistant", (PNG,)),
        Message("system", (PNG,)),
        OpaqueItem("responses", {"type": "hologram", "role": "user"}),
    ],
)
def test_content_that_cannot_be_said_is_refused(item):
    with pytest.raises(GatewayError) as caught:
        write_request(Request("m", (item,)), TARGET)
    at = "input[0].content[0]" if isinstance(item, Message) and item.role == "user" else "input[0]"
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "unsupported_content", at)


def test_a_model_known_not_to_see_is_not_shown_images():
    with pytest.raises(GatewayError):
        write_request(Request("m", (Message("user", (PNG,)),)), target(features=frozenset({"tools"})))


def test_other_protocols_items_and_tools_are_announced():
    search = ToolCall("ws", "web_search", "{}", kind="web_search", ran_by="provider")
    items = (ASK, search, OpaqueItem("responses", {"type": "compaction"}))
    unknown = [
        lost("tools[0]", "unsupported_tool"),
        lost("input[1]", "unsupported_item"),
        lost("input[2]", "unsupported_item"),
    ]
    assert len(messages(*items, tools=(OpaqueTool("responses", {"type": "mcp"}),), losses=unknown)) == 1


def test_thoughts_go_back_only_where_they_are_wanted():
    thought = Reasoning((Thought("Hm", summary=False),))
    call, result = ToolCall("a", "f", "{}"), ToolResult("a", (Text("1"),))
    assert "reasoning_content" not in messages(thought, call, result)[0]
    written = messages(thought, call, result, to=target("reasoning_content"))
    assert written[0]["reasoning_content"] == "Hm" and written[0]["tool_calls"]
    assert messages(ASK, thought) == [{"role": "user", "content": "hi"}]


def test_seals_go_back_to_their_maker_only():
    own = Sealed("chat_completions", "sig", "openai", "gpt-5.4")
    foreign = Sealed("messages", "sig", "anthropic", "claude-opus-4-6")
    said = Message("assistant", (Text("x"),))
    written = messages(Reasoning((Thought("Hm"),), own), said)
    assert written[0]["reasoning_details"] == [{"type": "reasoning.text", "text": "Hm", "signature": "sig", "index": 0}]
    foreigners = [lost("input[0]", "foreign_signature"), lost("input[2]", "foreign_signature")]
    done = ToolResult("a", (Text("x"),))
    items = (Reasoning((Thought("Hm"),), foreign), said, ToolCall("a", "f", "{}", sealed=foreign), done)
    written = messages(*items, losses=foreigners)
    assert "sig" not in str(written) and "Hm" not in str(written)
    (call,) = messages(ToolCall("a", "f", "{}", sealed=own), done)[0]["tool_calls"]
    assert call["extra_content"] == {"google": {"thought_signature": "sig"}}


STRICT = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def test_a_call_without_a_result_is_answered_for_it():
    written = messages(ToolCall("a", "f", "{}"), losses=[lost("input[0]", "missing_tool_result")])
    assert written[1] == {"role": "tool", "tool_call_id": "a", "content": "No result was recorded for this call."}


def test_function_tools():
    tools = (
        FunctionTool("f", "F", STRICT, True),
        FunctionTool("g", None, {"type": "object", "properties": {"a": {}}}, True),
        FunctionTool("h", strict=False),
    )
    written = body(tools=tools, losses=[lost("tools[1].strict")])["tools"]
    assert written[0]["function"] == {"name": "f", "description": "F", "parameters": STRICT, "strict": True}
    assert "strict" not in written[1]["function"] and written[2] == {"type": "function", "function": {"name": "h"}}
    assert body(tools=tools[:1], to=target("no_strict"), losses=[lost("tools[0].strict")])["tools"]


def test_names_are_made_to_fit_and_used_alike():
    names = NameMap()
    long, dotted = "x" * 65, "fs.read"
    request = Request(
        "m",
        (ToolCall("c", dotted, "{}"), ToolResult("c", (Text("1"),))),
        tools=(FunctionTool(long), FunctionTool(dotted), FunctionTool("send", namespace="mail")),
        tool_choice=ToolChoice("named", (("function", dotted),)),
    )
    written, _ = write_request(request, TARGET, names)
    offered = [tool["function"]["name"] for tool in written["tools"]]
    assert all(len(name) <= 64 and name.replace("_", "").replace("-", "").isalnum() for name in offered)
    assert written["tool_choice"]["function"]["name"] == offered[1]
    assert written["messages"][0]["tool_calls"][0]["function"]["name"] == offered[1]
    assert [names.split(name) for name in offered] == [(None, long), (None, dotted), ("mail", "send")]
    assert offered[2] == "mail__send"


GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}


def test_custom_tools():
    items = (ToolCall("c", "sh", "ls\n", kind="custom"), ToolResult("c", (Text("x"),), kind="custom"))
    request = Request("m", items, tools=(CustomTool("sh", "Shell", GRAMMAR),))
    written, losses = write_request(request, TARGET)
    nested = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}}
    assert written["tools"] == [{"type": "custom", "custom": {"name": "sh", "description": "Shell", "format": nested}}]
    assert written["messages"][0]["tool_calls"] == [
        {"id": "c", "type": "custom", "custom": {"name": "sh", "input": "ls\n"}}
    ]
    assert losses == []


def test_custom_tools_as_functions():
    names = NameMap()
    request = Request(
        "m",
        (ToolCall("c", "sh", "ls\n", kind="custom"), ToolResult("c", (Text("x"),), kind="custom")),
        tools=(CustomTool("sh", "Shell", GRAMMAR),),
        tool_choice=ToolChoice("named", (("custom", "sh"),)),
    )
    written, losses = write_request(request, target("no_custom_tools"), names)
    function = written["tools"][0]["function"]
    assert function["parameters"]["required"] == ["input"] and "start: /x/" in function["description"]
    assert written["messages"][0]["tool_calls"][0]["function"] == {"name": "sh", "arguments": '{"input": "ls\\n"}'}
    assert written["tool_choice"] == {"type": "function", "function": {"name": "sh"}}
    assert names.custom == {"sh"} and [loss.path for loss in losses] == ["tools[0].format"]


def test_tool_choice():
    tools = (FunctionTool("f"), FunctionTool("g"))
    for mode in ("auto", "none", "required"):
        assert body(tools=tools, tool_choice=ToolChoice(mode))["tool_choice"] == mode
    allowed = ToolChoice("required", (("function", "g"),))
    only = [{"type": "function", "function": {"name": "g"}}]
    assert body(tools=tools, tool_choice=allowed)["tool_choice"] == {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "required", "tools": only},
    }
    narrowed = body(tools=tools, tool_choice=allowed, to=target("no_allowed_tools"))
    assert (narrowed["tools"], narrowed["tool_choice"]) == (only, "required")
    searched = body(tools=tools, tool_choice=ToolChoice("named", (("web_search", ""),)), losses=[lost("tool_choice")])
    assert "tool_choice" not in searched
    assert "tool_choice" not in body(tool_choice=ToolChoice("auto"), parallel_tool_calls=True)
    assert "parallel_tool_calls" not in body(parallel_tool_calls=True)
    assert body(tools=tools, parallel_tool_calls=False)["parallel_tool_calls"] is False


FULL = Sampling(100, 0.5, 0.9, 3, ("a", "", "b"), 42, 0.1, 0.2, {"5": 1}, True, 2)


def test_sampling():
    written = body(sampling=FULL, losses=[lost("top_k")])
    knobs = ("max_completion_tokens", "temperature", "top_p", "stop", "seed", "frequency_penalty", "presence_penalty")
    assert [written[name] for name in knobs] == [100, 0.5, 0.9, ["a", "b"], 42, 0.1, 0.2]
    assert (written["logit_bias"], written["logprobs"], written["top_logprobs"]) == ({"5": 1}, True, 2)
    other = body(sampling=FULL, to=target("max_tokens", "top_k", "no_stop"), losses=[lost("stop")])
    assert (other["max_tokens"], other["top_k"]) == (100, 3) and "max_completion_tokens" not in other


def test_knobs_a_model_lacks_are_dropped_and_announced():
    poor = target(features=frozenset({"reasoning"}))
    knobs = ["temperature", "top_p", "frequency_penalty", "presence_penalty", "seed", "logit_bias", "top_k", "logprobs"]
    written = body(sampling=FULL, to=poor, losses=[lost(knob) for knob in knobs])
    assert not {*knobs, "top_logprobs"} & written.keys()
    assert "temperature" not in body(sampling=Sampling(temperature=1, top_p=1.0), to=poor)


def test_the_output_bound_is_kept_between_one_and_the_models_own():
    assert body(sampling=Sampling(9))["max_completion_tokens"] == 9
    small = target(max_output_tokens=100)
    assert (
        body(sampling=Sampling(500), to=small, losses=[lost("max_tokens", "clamped")])["max_completion_tokens"] == 100
    )
    assert body(sampling=Sampling(0), losses=[lost("max_tokens", "raised")])["max_completion_tokens"] == 1
    assert "max_completion_tokens" not in body(to=small)


def test_only_four_stop_sequences():
    stop = body(sampling=Sampling(stop=tuple("abcde")), losses=[lost("stop")])["stop"]
    assert stop == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("thinking", "efforts", "effort"),
    [
        (Thinking(effort="high"), (), "high"),
        (Thinking(effort="minimal"), ("low", "high"), "low"),
        (Thinking(effort="max"), ("low", "high"), "high"),
        (Thinking("enabled", budget=2000), (), "medium"),
        (Thinking("enabled", budget=31999), ("low", "high"), "high"),
        (Thinking("disabled"), ("none", "low"), "none"),
        (Thinking("disabled"), ("low",), "low"),
        (Thinking("disabled"), (), None),
        (Thinking("adaptive"), ("low",), None),
        (Thinking("adaptive", effort="low"), ("low",), "low"),
        (Thinking(), ("low",), None),
    ],
)
def test_reasoning_effort(thinking, efforts, effort):
    asked = "none" if thinking.mode == "disabled" else thinking.effort
    moved = [lost("reasoning.effort", "effort_adjusted")] if asked and effort and asked != effort else []
    assert body(thinking=thinking, to=target(efforts=efforts), losses=moved).get("reasoning_effort") == effort


def test_a_model_that_does_not_reason():
    plain = target(features=frozenset({"sampling"}))
    assert "reasoning_effort" not in body(thinking=Thinking(effort="high"), to=plain, losses=[lost("reasoning")])
    assert "reasoning_effort" not in body(thinking=Thinking("disabled"), to=plain)


def test_output():
    form = OutputFormat("json_schema", {"type": "object"}, "a.b", "About", True)
    audio, prediction = {"voice": "alloy", "format": "wav"}, {"type": "content", "content": "x"}
    written = body(output=Output(form, "low", ("text", "audio"), audio, prediction))
    assert written["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "a_b", "schema": {"type": "object"}, "description": "About", "strict": True},
    }
    assert (written["verbosity"], written["modalities"], written["audio"]) == ("low", ["text", "audio"], audio)
    assert written["prediction"] == prediction
    lesser = target("no_verbosity", "system_role", features=frozenset({"sampling"}))
    losses = [lost("response_format"), lost("verbosity")]
    written = body(output=Output(form, "low"), to=lesser, losses=losses)
    assert written["response_format"] == {"type": "json_object"}
    assert written["messages"][0]["role"] == "system" and '{"type": "object"}' in written["messages"][0]["content"]
    assert body(output=Output(OutputFormat("json_object")))["response_format"] == {"type": "json_object"}
    assert "response_format" not in body(output=Output(OutputFormat("text")))


def test_web_search():
    tool = WebSearchTool("low", ("e.com",), user_location={"type": "approximate", "country": "FR", "city": None})
    written = body(tools=(tool,), losses=[lost("tools[0].filters")])
    assert written["web_search_options"] == {
        "search_context_size": "low",
        "user_location": {"type": "approximate", "approximate": {"country": "FR"}},
    }
    assert "tools" not in written
    losses = [lost("tools[0]", "unsupported_tool")]
    assert "web_search_options" not in body(tools=(tool,), to=target("no_web_search_options"), losses=losses)


def test_the_rest():
    fields = {
        "user": "u",
        "caching": Caching("k", "in-memory"),
        "metadata": {"a": "b"},
        "max_tool_calls": 3,
        "choices": 4,
    }
    written = body(**fields, losses=[lost("max_tool_calls")])
    assert (written["user"], written["prompt_cache_key"], written["prompt_cache_retention"]) == ("u", "k", "in_memory")
    assert not {"metadata", "n", "store"} & written.keys()
    assert "prompt_cache_key" not in body(caching=Caching("k"), to=target("no_prompt_cache_key"))


def test_unknown_fields_stay_with_their_protocol():
    extra = {"chat_completions": {"vendor_knob": 1, "model": "evil"}, "messages": {"container": "c"}}
    written = body(extra=extra, losses=[lost("container")])
    assert written["vendor_knob"] == 1 and written["model"] == "gpt-5.4" and "container" not in written


def test_cache_marks():
    marked = Message("user", (Text("a", extra={"messages": {"cache_control": {"type": "ephemeral"}}}),))
    assert messages(marked, losses=[lost("cache_control")]) == [{"role": "user", "content": "a"}]
    assert messages(marked, to=target("cache_control"))[0]["content"] == [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    ]


def test_call_ids():
    assert wire_call_id("call_1", TARGET) == "call_1"
    long = wire_call_id("x" * 64, TARGET)
    assert len(long) <= 40 and long == wire_call_id("x" * 64, TARGET) != wire_call_id("y" * 64, TARGET)
    nine = wire_call_id("toolu_01", target("call_ids_9"))
    assert len(nine) == 9 and nine.isalnum() and wire_call_id("D681PevKs", target("call_ids_9")) == "D681PevKs"


@patient
@given(requests(seals=sealed("messages", "anthropic", "claude")))
def test_what_is_sent_is_what_openai_documents(request):
    written, _ = write_request(request, TARGET)
    PARAMS.validate_python(written)
    validate(written)
    waiting: list[str] = []
    for message in written["messages"]:
        if message["role"] == "tool":
            assert message["tool_call_id"] == waiting.pop(0)
        else:
            assert waiting == []
        waiting += [call["id"] for call in message.get("tool_calls", [])]


@patient
@given(requests(media=False))
def test_a_conversation_survives_the_way_out_and_back(request):
    written, _ = write_request(request, TARGET)
    back, losses = read_request(validate(written), unseal)
    assert losses == []

    def said(items):
        found = []
        for item in items:
            match item:
                case Message(role=role, parts=parts):
                    found.append((role, "".join(part.text for part in parts)))
                case ToolCall():
                    found.append((item.call_id, item.name, item.arguments))
                case ToolResult(parts=parts):
                    text = "".join(part.text for part in parts)
                    prefix = "Error: " if item.is_error and not text.lower().startswith("error") else ""
                    found.append((item.call_id, prefix + text))
        return found

    instructions = [("developer", part.text) for part in request.instructions]
    assert said(back.items) == instructions + said(request.items)
    assert [tool.name for tool in back.tools] == [tool.name for tool in request.tools]
    assert [tool.parameters for tool in back.tools] == [tool.parameters for tool in request.tools]
    assert back.sampling == request.sampling
    assert back.tool_choice == (request.tool_choice if request.tools else None)

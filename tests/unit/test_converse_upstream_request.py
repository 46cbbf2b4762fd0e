"""Neutral requests as Converse bodies: the rules, with botocore and the simulated vendor as oracles."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import botocore.session
import pytest
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dev.simulated_providers import converse_request, converse_rules
from dev.simulated_providers.brain import described
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
from headgate.protocols.converse.upstream_request import write_request
from headgate.protocols.names import NameMap
from tests.strategies import PDF, PNG, requests, sealed

FEATURES = frozenset({"image", "pdf", "tools", "cache_control", "reasoning", "json_schema", "sampling", "web_search"})
CLAUDE = Target("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", 8192, 200_000, FEATURES, (), "budget")
ADAPTIVE = replace(CLAUDE, model="global.anthropic.claude-opus-4-6-v1", thinking="adaptive", efforts=("low", "high"))
NOVA = replace(CLAUDE, model="us.amazon.nova-2-lite-v1:0", thinking="effort")
OSS = replace(CLAUDE, model="openai.gpt-oss-120b-1:0", thinking="effort", efforts=("low", "medium", "high"))
MARK = {"messages": {"cache_control": {"type": "ephemeral"}}}
HOUR = {"messages": {"cache_control": {"type": "ephemeral", "ttl": "1h"}}}
POINT = {"cachePoint": {"type": "default"}}

_MODEL = botocore.session.get_session().get_service_model("bedrock-runtime")
_OPERATION = _MODEL.operation_model("ConverseStream")


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def write(request: Request, target: Target = CLAUDE) -> dict[str, Any]:
    body, _ = write_request(request, target)
    check_with_botocore(body, target)
    return body


def losses(request: Request, target: Target = CLAUDE) -> set[tuple[str, str]]:
    return {(loss.path, loss.code) for loss in write_request(request, target)[1]}


def with_bytes(value: Any, shape: Any) -> Any:
    """The JSON body as the SDK takes it: base64 turned into bytes."""
    match shape.type_name:
        case "structure" if getattr(shape, "is_document_type", False):
            return value
        case "structure":
            return {key: with_bytes(each, shape.members[key]) for key, each in value.items()}
        case "list":
            return [with_bytes(each, shape.member) for each in value]
        case "blob":
            return base64.b64decode(value, validate=True)
        case _:
            return value


def check_with_botocore(body: dict[str, Any], target: Target) -> None:
    """The SDK takes the same request, and sends the same JSON for it."""
    params = {"modelId": target.model, **with_bytes(body, _OPERATION.input_shape)}
    report = ParamValidator().validate(params, _OPERATION.input_shape)
    assert not report.has_errors(), report.generate_report()
    sent = create_serializer("rest-json").serialize_to_request(params, _OPERATION)
    assert json.loads(sent["body"]) == body


def test_text_system_and_sampling():
    request = Request(
        "x",
        (Message("system", (Text("Be brief."),)), user("Hi")),
        instructions=(Text("You are kind."), Text(" ")),
        sampling=Sampling(max_tokens=9, temperature=1.5, top_k=4, stop=("###", " ")),
        user="someone",
    )
    assert write(request) == {
        "system": [{"text": "You are kind."}, {"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
        "inferenceConfig": {"maxTokens": 9, "temperature": 1, "stopSequences": ["###"]},
        "additionalModelRequestFields": {"top_k": 4},
        "requestMetadata": {"user": "someone"},
        "additionalModelResponseFieldPaths": ["/stop_sequence"],
    }
    assert losses(request) == {("temperature", "clamped"), ("stop", "unsupported_value")}


def test_max_tokens_is_neither_raised_nor_left_open_for_claude():
    assert write(Request("x", (user("Hi"),)))["inferenceConfig"] == {"maxTokens": 8192}
    assert "inferenceConfig" not in write(Request("x", (user("Hi"),)), OSS)
    many = Request("x", (user("Hi"),), sampling=Sampling(max_tokens=10**6))
    assert write(many, OSS)["inferenceConfig"] == {"maxTokens": 8192}
    assert losses(many, OSS) == {("max_tokens", "clamped")}


def test_results_follow_their_calls_in_order_with_images_kept():
    calls = tuple(ToolCall(f"call_{n}", "f", f'{{"n": {n}}}') for n in range(3))
    items = (
        user("Go"),
        *calls,
        ToolResult("call_2", (Text("two"),)),
        ToolResult("call_0", (Media("image", data=PNG, media_type="image/png"), Text("zero"))),
        user("and?"),
        ToolResult("call_1", (Text("one"),), is_error=True),
        ToolResult("call_9", (Text("nine"),)),
    )
    body = write(Request("x", items))
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    results = body["messages"][2]["content"]
    assert [block["toolResult"]["toolUseId"] for block in results[:3]] == ["call_0", "call_1", "call_2"]
    assert results[0]["toolResult"]["content"] == [
        {"image": {"format": "png", "source": {"bytes": PNG}}},
        {"text": "zero"},
    ]
    assert results[1]["toolResult"]["status"] == "error"
    assert [block["text"] for block in results[3:]] == [
        "and?",
        "Result of a tool call that is not in this conversation (call_9):",
        "nine",
    ]
    assert ("input[8]", "orphan_tool_result") in losses(Request("x", items))
    # A history with calls in it is refused without a tool configuration.
    assert body["toolConfig"] == {
        "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object", "properties": {}}}}}]
    }


def test_histories_are_repaired():
    items = (
        Message("assistant", (Text("Hello"),)),
        Message("assistant", (Text(" "), Text("again  "))),
        Message("developer", (Text("Rule"),)),
        ToolCall("a b/c", "f", "not json"),
        ToolCall("a b/c", "f", ""),
        OpaqueItem("responses", {"type": "mcp_call"}),
        ToolCall("s", "web_search", "{}", kind="web_search", ran_by="provider"),
    )
    body = write(Request("x", items))
    assert body["messages"][0] == {"role": "user", "content": [{"text": "(continued)"}]}
    assert body["messages"][1]["content"] == [{"text": "Hello"}, {"text": "again  "}]
    assert body["messages"][2]["content"] == [{"text": "<system>\nRule\n</system>"}]
    uses = [block["toolUse"] for block in body["messages"][3]["content"]]
    assert uses[0]["input"] == {"_raw_arguments": "not json"} and uses[1]["input"] == {}
    assert uses[0]["toolUseId"] != uses[1]["toolUseId"]
    assert [block["toolResult"]["status"] for block in body["messages"][4]["content"]] == ["error", "error"]
    assert losses(Request("x", items)) == {
        ("input", "missing_tool_result"),
        ("input[5]", "unsupported_item"),
        ("input[6]", "provider_tool_call"),
    }


def test_a_compacted_history_of_another_vendor_is_refused():
    with pytest.raises(GatewayError, match="compaction"):
        write(Request("x", (OpaqueItem("responses", {"type": "compaction"}), user("Hi"))))


def test_documents_get_clean_and_unique_names_and_a_text_beside_them():
    def pdf(name):
        return Media("file", data=PDF, media_type="application/pdf", filename=name)

    content = (pdf("a/Berich­t  2026?.pdf"), pdf(None), pdf("報告.pdf"), pdf("x_y.pdf"))
    blocks = write(Request("x", (user(*content),)))["messages"][0]["content"]
    assert blocks[0] == {"text": "(see the attached document)"}
    names = [block["document"]["name"] for block in blocks[1:]]
    assert names == ["Berich-t 2026", "document", "document (2)", "x-y"]
    assert blocks[1]["document"]["format"] == "pdf" and blocks[1]["document"]["source"] == {"bytes": PDF}


@pytest.mark.parametrize(
    ("media", "block"),
    [
        (Media("image", url=f"data:image/jpg;base64,{PNG}"), {"image": {"format": "png", "source": {"bytes": PNG}}}),
        (
            Media("image", url="s3://bucket/cat.png"),
            {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/cat.png"}}}},
        ),
        (
            Media("file", data="aGk=", filename="notes.log", media_type="text/x-log"),
            {"document": {"format": "txt", "name": "notes", "source": {"bytes": "aGk="}}},
        ),
        (
            Media("file", data="UEsDBA==", filename="t.xlsx"),
            {"document": {"format": "xlsx", "name": "t", "source": {"bytes": "UEsDBA=="}}},
        ),
        (
            Media(
                "file", data="aGk=", media_type="text/markdown", extra={"messages": {"citations": {"enabled": True}}}
            ),
            {
                "document": {
                    "format": "md",
                    "name": "document",
                    "source": {"bytes": "aGk="},
                    "citations": {"enabled": True},
                }
            },
        ),
        (
            Media("video", data="AAAA", media_type="video/quicktime"),
            {"video": {"format": "mov", "source": {"bytes": "AAAA"}}},
        ),
        (
            Media("audio", data="AAAA", media_type="audio/x-wav"),
            {"audio": {"format": "wav", "source": {"bytes": "AAAA"}}},
        ),
    ],
)
def test_media(media, block):
    target = replace(CLAUDE, features=None)
    assert block in write(Request("x", (user("See", media),)), target)["messages"][0]["content"]


@pytest.mark.parametrize(
    ("media", "words"),
    [
        (Media("image", url="https://example.com/cat.png"), "no other URL"),
        (Media("image", file_id="file-1"), "known only to the provider"),
        (Media("image", data="AAAA", media_type="image/tiff"), "image/tiff"),
        (Media("file", data="AAAA", media_type="application/zip"), "application/zip"),
        (Media("audio", data="AAAA", media_type="audio/wav"), "does not take audio"),
        (Media("image", data=""), "empty"),
    ],
)
def test_media_that_bedrock_cannot_take_are_a_400_that_names_them(media, words):
    with pytest.raises(GatewayError, match=words) as caught:
        write(Request("x", (user("a", media),)))
    assert (caught.value.status, caught.value.param) == (400, "input[0].content[1]")


def test_cache_points_follow_the_blocks_they_mark():
    request = Request(
        "x",
        (
            Message("user", (Text("long", extra=HOUR), Text("question"))),
            ToolCall("c", "f", "{}", extra=MARK),
            ToolResult("c", (Text("r", extra=MARK),), extra=MARK),
        ),
        instructions=(Text("rules", extra=MARK),),
        tools=(FunctionTool("f", extra=MARK),),
    )
    body = write(request)
    assert body["toolConfig"]["tools"][1] == body["system"][1] == POINT
    # Five marks, four points: of those in the conversation the first one goes.
    assert [list(block) for turn in body["messages"] for block in turn["content"]] == [
        ["text"],
        ["text"],
        ["toolUse"],
        ["cachePoint"],
        ["toolResult"],
        ["cachePoint"],
    ]
    assert losses(request) == {("cache_control", "too_many_cache_marks")}
    first = write(replace(request, tools=()))["messages"][0]["content"]
    assert first[1] == {"cachePoint": {"type": "default", "ttl": "1h"}}


def test_models_without_caching_never_see_a_cache_point():
    request = Request("x", (Message("user", (Text("a", extra=MARK),)),), caching=Caching(control={"type": "ephemeral"}))
    assert write(request)["messages"][0]["content"] == [{"text": "a"}, POINT]
    for features in (None, FEATURES - {"cache_control"}):
        target = replace(CLAUDE, features=features)
        assert "cachePoint" not in json.dumps(write(request, target))
        assert losses(request, target) == {("cache_control", "unsupported_parameter")}
    tools = Request("x", (user("a"),), tools=(FunctionTool("f", extra=MARK),))
    assert losses(tools, NOVA) == {("tools", "unsupported_parameter")}
    assert "cachePoint" not in json.dumps(write(tools, NOVA))


def test_the_prefix_of_a_growing_conversation_stays_the_same_bytes():
    items = (user("a", Media("file", data=PDF, filename="a.pdf")), Message("assistant", (Text("b"),)), user("c"))
    more = (*items, Message("assistant", (Text("d"),)), user("e", Media("file", data=PDF, filename="a.pdf")))
    short, long = write(Request("x", items)), write(Request("x", more))
    assert json.dumps(long["messages"][:3]) == json.dumps(short["messages"])


TOOL = FunctionTool("f", "does", {"type": "object", "properties": {"a": {"type": "string"}}})


@pytest.mark.parametrize(
    ("choice", "written"),
    [
        (None, None),
        (ToolChoice("auto"), None),
        (ToolChoice("required"), {"any": {}}),
        (ToolChoice("named", (("function", "f"),)), {"tool": {"name": "f"}}),
    ],
)
def test_tool_choice(choice, written):
    config = write(Request("x", (user("a"),), tools=(TOOL,), tool_choice=choice))["toolConfig"]
    assert config.get("toolChoice") == written
    assert config["tools"] == [
        {"toolSpec": {"name": "f", "description": "does", "inputSchema": {"json": TOOL.parameters}}}
    ]


def test_no_tool_is_said_by_sending_none_where_the_history_allows_it():
    request = Request("x", (user("a"),), tools=(TOOL,), tool_choice=ToolChoice("none"))
    assert "toolConfig" not in write(request) and losses(request) == set()
    after = replace(request, items=(user("a"), ToolCall("c", "f", "{}"), ToolResult("c", (Text("r"),))))
    assert "toolChoice" not in write(after)["toolConfig"]
    assert losses(after) == {("tool_choice", "unsupported_parameter")}


def test_tools_of_other_kinds():
    names = NameMap(64)
    request = Request(
        "x",
        (user("a"),),
        tools=(
            CustomTool("shell", "runs", {"type": "grammar", "syntax": "lark", "definition": "start: x"}),
            FunctionTool("files.read" * 10, strict=True),
            WebSearchTool(max_uses=2),
            OpaqueTool("responses", {"type": "mcp"}),
        ),
        tool_choice=ToolChoice(
            "auto", (("custom", "shell"), ("function", "files.read" * 10), ("web_search", "web_search"))
        ),
    )
    body, lost = write_request(request, CLAUDE, names)
    check_with_botocore(body, CLAUDE)
    specs = [tool["toolSpec"] for tool in body["toolConfig"]["tools"]]
    assert names.custom == {"shell"} and "lark" in specs[0]["description"]
    assert len(specs[1]["name"]) <= 64 and names.from_wire(specs[1]["name"]) == "files.read" * 10
    assert {(loss.path, loss.code) for loss in lost} == {
        ("tools[0].format", "unsupported_grammar"),
        ("tools[1].strict", "unsupported_parameter"),
        ("tools[2]", "unsupported_tool"),
    }
    nova = write(Request("x", (user("a"),), tools=(WebSearchTool(),)), NOVA)
    assert nova["toolConfig"]["tools"] == [{"systemTool": {"name": "nova_grounding"}}]


def test_one_call_at_a_time():
    request = Request("x", (user("a"),), tools=(TOOL,), parallel_tool_calls=False)
    own = {"type": "auto", "disable_parallel_tool_use": True}
    assert write(request)["additionalModelRequestFields"] == {"tool_choice": own}
    # The two choices may not meet.
    forced = replace(request, tool_choice=ToolChoice("required"))
    assert "additionalModelRequestFields" not in write(forced)
    assert losses(forced) == losses(request, OSS) == {("parallel_tool_calls", "unsupported_parameter")}


def test_thinking_by_family():
    def fields(thinking, target, **more):
        return write(Request("x", (user("a"),), thinking=thinking, **more), target).get("additionalModelRequestFields")

    assert fields(Thinking(effort="high"), CLAUDE) == {"thinking": {"type": "enabled", "budget_tokens": 4096}}
    assert fields(Thinking(mode="enabled", budget=2000), CLAUDE) == {
        "thinking": {"type": "enabled", "budget_tokens": 2000}
    }
    assert fields(Thinking(effort="medium"), ADAPTIVE) == {
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "high"},
    }
    assert fields(Thinking(effort="xhigh"), OSS) == {"reasoning_effort": "high"}
    assert fields(Thinking(mode="enabled", budget=2000), OSS) == {"reasoning_effort": "medium"}
    assert fields(Thinking(effort="minimal"), NOVA) == {
        "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}
    }
    assert fields(Thinking(effort="none"), NOVA) == {"reasoningConfig": {"type": "disabled"}}
    assert fields(Thinking(effort="none"), CLAUDE) is None
    gpt = replace(OSS, model="openai.gpt-5.4")
    assert fields(Thinking(effort="low"), gpt) == {"reasoning": {"effort": "low"}}
    silent = replace(OSS, features=FEATURES - {"reasoning"})
    assert losses(Request("x", (user("a"),), thinking=Thinking(effort="low")), silent) == {
        ("reasoning", "thinking_dropped")
    }


def test_high_effort_at_nova_rules_out_sampling_and_limits():
    sampling = Sampling(max_tokens=100, temperature=0.5, top_p=0.9, top_k=3)
    request = Request("x", (user("a"),), thinking=Thinking(effort="high"), sampling=sampling)
    assert "inferenceConfig" not in write(request, NOVA)
    assert {path for path, _ in losses(request, NOVA)} == {"temperature", "top_p", "top_k", "max_tokens"}
    low = write(replace(request, thinking=Thinking()), NOVA)
    assert low["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 3}}


def test_thinking_is_replayed_only_where_it_was_made():
    def thought(kind, data, target=CLAUDE, text="Hm"):
        parts = (Thought(text),) if text else ()
        return Reasoning(parts, Sealed("converse", data, target.provider, target.model, kind))

    items = (
        user("a"),
        thought("signature", "c2ln"),
        thought("signature", "ZW1wdHk=", text=""),
        thought("redacted", "cmVk", text=""),
        Reasoning((Thought("foreign"),), Sealed("messages", "x")),
        Reasoning((Thought("plain"),)),
        ToolCall("c", "f", "{}"),
        ToolResult("c", (Text("r"),)),
    )
    request = Request("x", items)
    assert write(request)["messages"][1]["content"][:3] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "c2ln"}}},
        {"reasoningContent": {"reasoningText": {"text": "", "signature": "ZW1wdHk="}}},
        {"reasoningContent": {"redactedContent": "cmVk"}},
    ]
    assert losses(request) == {("input[4]", "foreign_signature")}
    assert "reasoningContent" not in json.dumps(write(request, NOVA))


def test_a_tool_loop_without_thinking_cannot_start_to_think():
    items = (user("a"), ToolCall("c", "f", "{}"), ToolResult("c", (Text("r"),)))
    request = Request("x", items, thinking=Thinking(effort="low"))
    assert "additionalModelRequestFields" not in write(request)
    assert losses(request) == {("reasoning", "thinking_dropped")}


SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 1}, "r": {"$ref": "#/$defs/r"}},
    "$defs": {"r": {"type": "object", "properties": {}}},
}


def test_structured_output_is_native_where_there_is_one():
    request = Request("x", (user("a"),), output=Output(OutputFormat("json_schema", SCHEMA, "answer")))
    format = write(request)["outputConfig"]["textFormat"]
    definition = format["structure"]["jsonSchema"]
    assert definition["name"] == "answer"
    schema = json.loads(definition["schema"])
    assert schema["additionalProperties"] is False and schema["$defs"]["r"]["additionalProperties"] is False
    assert schema["properties"]["n"] == {"type": "integer", "description": "{minimum: 1}"}
    assert losses(request) == {("text.format.schema.properties.n.minimum", "unsupported_schema_keyword")}


def test_structured_output_by_a_forced_tool_elsewhere():
    target = replace(CLAUDE, features=FEATURES - {"json_schema"})
    request = Request("x", (user("a"),), output=Output(OutputFormat("json_schema", SCHEMA, "answer")))
    assert write(request, target)["toolConfig"]["toolChoice"] == {"tool": {"name": "answer"}}
    with_tools = replace(request, tools=(TOOL, FunctionTool("answer")))
    config = write(with_tools, target)["toolConfig"]
    assert config["toolChoice"] == {"any": {}}
    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == ["f", "answer", "answer_"]


def test_settings_without_a_counterpart_are_announced():
    request = Request(
        "x",
        (user("a"),),
        sampling=Sampling(seed=0, frequency_penalty=0.5, logit_bias={"1": 1}, logprobs=True, top_logprobs=2),
        output=Output(OutputFormat("json_object"), verbosity="low"),
        choices=2,
    )
    assert {path for path, _ in losses(request)} == {
        "seed",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "text.format",
        "text.verbosity",
        "n",
    }
    assert write(request)["system"] == [{"text": "Respond with a single JSON object and nothing else."}]


def vendor_hears(body: dict[str, Any], target: Target) -> str:
    """The conversation as the simulated vendor understands ``body``, which it must not refuse."""
    converse_request.check(body)
    converse_rules.check(body, target.model)
    return described(converse_request.heard(body, target.model))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests(media=True), st.sampled_from([CLAUDE, NOVA, OSS, ADAPTIVE]))
def test_whatever_a_client_sends_botocore_and_the_vendor_take(request, target):
    files = [
        part for item in request.items for part in getattr(item, "parts", ()) if getattr(part, "kind", "") == "file"
    ]
    assume(len(files) <= 5)  # the vendor takes no more documents, and says so
    try:
        body, _ = write_request(request, target)
    except GatewayError as error:
        assert error.status == 400 and "URL" in error.message
        return
    check_with_botocore(body, target)
    vendor_hears(body, target)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests(media=False, seals=st.none() | sealed("messages")))
def test_the_vendor_hears_what_the_client_said(request):
    """Every text, call and result arrives; what does not is announced."""
    body, lost = write_request(request, OSS)
    told = vendor_hears(body, OSS)
    for index, item in enumerate(request.items):
        match item:
            case Message(parts=parts) | ToolResult(parts=parts):
                assert all(part.text.strip() in told for part in parts if isinstance(part, Text))
            case ToolCall(name=name):
                assert f"call {name} " in told
            case Reasoning(sealed=seal) if seal is not None:
                assert (f"input[{index}]", "foreign_signature") in {(loss.path, loss.code) for loss in lost}
            case _:
                continue

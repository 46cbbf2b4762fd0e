"""A client's Chat Completions request as a neutral one."""

import pytest

from headgate.conversation import (
    Caching,
    Citation,
    CustomTool,
    FunctionTool,
    Media,
    Message,
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
from headgate.fold import fold
from headgate.protocols.chat_completions.client_answer import write_answer
from headgate.protocols.chat_completions.client_request import read_request
from headgate.protocols.chat_completions.gateway_fields import gateway_fields
from headgate.protocols.chat_completions.schema import validate
from headgate.protocols.sealing import sealer
from tests.unit.chat_support import reply, seal, unseal
from tests.unit.test_chat_stream import stream_of

SIGNED = Sealed("messages", "EqQBsig==", "anthropic", "claude-opus-4-6")
ENCRYPTED = Sealed("responses", "gAAAA", "openai", "gpt-5.4", "encrypted")


def read(**fields):
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return read_request(validate(body), unseal)


def items(*messages):
    request, losses = read(messages=list(messages))
    assert losses == []
    return request.items


def test_every_parameter_has_its_place():
    request, losses = read(
        max_tokens=5,
        max_completion_tokens=7,
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop="END",
        seed="42",
        frequency_penalty=1,
        presence_penalty=-1,
        logit_bias={"5": -100},
        logprobs=True,
        top_logprobs=2,
        reasoning_effort="high",
        verbosity="low",
        modalities=["text", "audio"],
        audio={"voice": "alloy", "format": "wav"},
        prediction={"type": "content", "content": "x"},
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"a": 1}, "strict": True}},
        prompt_cache_key="k",
        prompt_cache_retention="24h",
        parallel_tool_calls=False,
        user="u",
        metadata={"a": "b"},
        n=3,
        stream=True,
        service_tier="flex",
        store=True,
        safety_identifier="s",
        brand_new={"x": 1},
    )
    assert [(loss.path, loss.code) for loss in losses] == [("brand_new", "unsupported_parameter")]
    assert request.sampling == Sampling(7, 0.5, 0.9, 3, ("END",), 42, 1, -1, {"5": -100}, True, 2)
    assert request.thinking == Thinking(effort="high")
    form = OutputFormat("json_schema", {"a": 1}, "n", None, True)
    audio, prediction = {"voice": "alloy", "format": "wav"}, {"type": "content", "content": "x"}
    assert request.output == Output(form, "low", ("text", "audio"), audio, prediction)
    assert request.caching == Caching("k", "24h")
    assert (request.parallel_tool_calls, request.user, request.metadata) == (False, "u", {"a": "b"})
    assert (request.choices, request.stream, request.instructions) == (3, True, ())
    assert request.extra == {"chat_completions": {"brand_new": {"x": 1}}}


def test_max_tokens_stands_where_the_newer_name_is_missing_or_null():
    assert read(max_tokens=5, max_completion_tokens=None)[0].sampling.max_tokens == 5


def test_extra_body_lies_beneath_what_is_said_outright():
    body = {
        "temperature": 0.1,
        "extra_body": {
            "temperature": 0.9,
            "top_p": 0.5,
            "stream": True,
            "vendor_knob": 1,
            "request_context_tokens": 777,
            "routing": {"model": {}},
        },
        "session_id": "s",
        "agent": "a",
    }
    request, _ = read(**body)
    assert (request.sampling.temperature, request.sampling.top_p, request.stream) == (0.1, 0.5, False)
    assert request.extra == {"chat_completions": {"vendor_knob": 1}}
    assert gateway_fields(body) == {
        "agent": "a",
        "request_context_tokens": 777,
        "routing": {"model": {}},
        "session_id": "s",
    }


def test_other_spellings_of_thinking():
    assert read(reasoning={"effort": "low"})[0].thinking == Thinking(effort="low")
    assert read(reasoning={"max_tokens": 2000})[0].thinking == Thinking(budget=2000)
    assert read(reasoning={"enabled": False})[0].thinking == Thinking("disabled")
    assert read(thinking={"type": "enabled", "budget_tokens": 4096})[0].thinking == Thinking("enabled", budget=4096)


def test_roles_keep_their_place_and_their_extras():
    assert items(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi", "name": "ann"},
        {"role": "developer", "content": [{"type": "text", "text": "Now!", "cache_control": {"type": "ephemeral"}}]},
        {"role": "assistant", "content": "ok", "refusal": None, "annotations": [], "audio": None, "tool_calls": None},
    ) == (
        Message("system", (Text("Be brief."),)),
        Message("user", (Text("hi"),), extra={"chat_completions": {"name": "ann"}}),
        Message("developer", (Text("Now!", extra={"chat_completions": {"cache_control": {"type": "ephemeral"}}}),)),
        Message("assistant", (Text("ok"),)),
    )


def test_every_part():
    (message,) = items(
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "https://e.com/a.png", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "data:image/PNG;base64,iVBORw=="}},
                {"type": "image_url", "image_url": "https://e.com/b.png"},
                {"type": "image_url", "image_url": {"url": "data:image/svg+xml,%3Csvg%3E"}},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a.pdf"}},
                {"type": "file", "file": {"file_data": "JVBE", "filename": "a.txt"}},
                {"type": "file", "file": {"file_id": "file-1"}},
                {"type": "hologram", "beam": 1},
            ],
        }
    )
    assert message.parts == (
        Text("see"),
        Media("image", url="https://e.com/a.png", detail="low"),
        Media("image", data="iVBORw==", media_type="image/png"),
        Media("image", url="https://e.com/b.png"),
        Media("image", data="PHN2Zz4=", media_type="image/svg+xml"),
        Media("audio", data="AAAA", media_type="audio/mpeg"),
        Media("file", data="JVBE", media_type="application/pdf", filename="a.pdf"),
        Media("file", data="JVBE", media_type="text/plain", filename="a.txt"),
        Media("file", file_id="file-1"),
        OpaquePart("chat_completions", {"type": "hologram", "beam": 1}),
    )


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png"}}, "messages[0].content[0].image_url.url"),
        ({"type": "file", "file": {"filename": "a.pdf"}}, "messages[0].content[0].file"),
    ],
)
def test_media_that_cannot_be_read_is_refused(part, param):
    with pytest.raises(GatewayError) as caught:
        read(messages=[{"role": "user", "content": [part]}])
    assert (caught.value.status, caught.value.param) == (400, param)


def test_calls_and_results():
    assert items(
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"b": 1, "a":2}'}},
                {"id": "c2", "type": "custom", "custom": {"name": "sh", "input": "ls -l"}},
            ],
        },
        {
            "role": "tool",
            "tool_call_id": "c2",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ) == (
        ToolCall("c1", "f", '{"b": 1, "a":2}'),
        ToolCall("c2", "sh", "ls -l", kind="custom"),
        ToolResult("c2", (Text("a"), Text("b")), kind="custom"),
        ToolResult("c1", (Text("42"),)),
    )


def test_old_function_messages_find_each_other():
    first, result, second, later = items(
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "2"},
    )
    assert first.call_id == result.call_id != second.call_id == later.call_id


def test_refusals_audio_and_citations_come_back():
    cited = {
        "type": "url_citation",
        "url_citation": {"url": "https://e.com", "title": "E", "start_index": 0, "end_index": 2},
    }
    said, spoken = items(
        {"role": "assistant", "content": "ok", "annotations": [cited], "refusal": "but no"},
        {"role": "assistant", "content": None, "audio": {"id": "audio_1"}},
    )
    assert said.parts == (Text("ok", (Citation("https://e.com", "E", None, 0, 2),)), Refusal("but no"))
    assert spoken.parts == (OpaquePart("chat_completions", {"type": "audio", "audio": {"id": "audio_1"}}),)


def test_tools_and_choices():
    request, _ = read(
        tools=[
            {
                "type": "function",
                "function": {"name": "f", "parameters": {"type": "object"}},
                "cache_control": {"a": 1},
            },
            {"type": "function", "function": {"name": "g", "strict": True, "description": "G"}},
            {
                "type": "custom",
                "custom": {
                    "name": "sh",
                    "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}},
                },
            },
            {"type": "web_search", "filters": {"allowed_domains": ["e.com"]}},
            {"type": "mcp", "server_label": "x"},
        ],
        web_search_options={
            "search_context_size": "high",
            "user_location": {"type": "approximate", "approximate": {"country": "FR"}},
        },
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]},
        },
    )
    assert request.tools == (
        FunctionTool("f", None, {"type": "object"}, False, extra={"chat_completions": {"cache_control": {"a": 1}}}),
        FunctionTool("g", "G", None, True),
        CustomTool("sh", None, {"type": "grammar", "syntax": "lark", "definition": "start: /x/"}),
        WebSearchTool(allowed_domains=("e.com",)),
        OpaqueTool("chat_completions", {"type": "mcp", "server_label": "x"}),
        WebSearchTool("high", user_location={"country": "FR"}),
    )
    assert request.tool_choice == ToolChoice("required", (("function", "f"),))
    assert read(tool_choice="auto")[0].tool_choice == ToolChoice("auto")
    named = {"type": "custom", "custom": {"name": "sh"}}
    assert read(tool_choice=named)[0].tool_choice == ToolChoice("named", (("custom", "sh"),))


def test_old_functions_are_tools_that_cannot_run_in_parallel():
    request, _ = read(functions=[{"name": "f"}], function_call={"name": "f"})
    assert [tool.name for tool in request.tools] == ["f"]
    assert request.tool_choice == ToolChoice("named", (("function", "f"),)) and request.parallel_tool_calls is False


ANSWER = [
    Reasoning((Thought("Because."),), SIGNED),
    Reasoning((), SIGNED),
    Reasoning((), Sealed("messages", "red==", "anthropic", "claude-opus-4-6", "redacted")),
    Reasoning((Thought("One"), Thought("Two")), ENCRYPTED, id="rs_1"),
    Reasoning((Thought("plain", summary=False),)),
    Message("assistant", (Text("Four."),)),
    ToolCall("c1", "f", "{}", sealed=Sealed("gemini", "EocD", "vertex", "gemini-3-pro")),
]


def replayed():
    return write_answer(fold(stream_of(ANSWER)), reply())["choices"][0]["message"]


def test_an_answer_sent_back_is_the_same_items_in_the_same_order():
    assert items(replayed()) == tuple(ANSWER)


def test_a_client_that_kept_only_the_signature_gets_the_text_put_back():
    message = {
        "role": "assistant",
        "content": "x",
        "reasoning_content": "Because.",
        "reasoning_details": [{"type": "reasoning.text", "signature": seal(SIGNED), "index": 0}],
    }
    assert items(message)[0] == Reasoning((Thought("Because."),), SIGNED)


def test_a_bare_thought_gets_no_seal():
    message = {"role": "assistant", "content": "x", "reasoning_content": "Hm"}
    assert items(message)[0] == Reasoning((Thought("Hm", summary=False),))
    assert items({"role": "assistant", "content": "x", "reasoning": "Hm"})[0].sealed is None


@pytest.mark.parametrize("token", ["hg1.forged.token", sealer(b"0" * 32, "another tenant")(SIGNED)])
def test_a_seal_that_is_not_ours_to_open_is_dropped_and_its_text_kept(token):
    details = [{"type": "reasoning.text", "text": "Hm", "signature": token, "index": 0}]
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": token}},
    }
    request, losses = read(
        messages=[{"role": "assistant", "content": None, "reasoning_details": details, "tool_calls": [call]}]
    )
    assert request.items == (Reasoning((Thought("Hm", summary=False),)), ToolCall("c", "f", "{}"))
    assert [(loss.path, loss.code) for loss in losses] == [
        ("messages[0]", "foreign_signature"),
        ("messages[0].tool_calls[0]", "foreign_signature"),
    ]


def test_a_providers_own_bytes_are_marked_as_such():
    details = [{"type": "reasoning.encrypted", "data": "gAAAA", "index": 0}]
    (reasoning, _) = items({"role": "assistant", "content": "x", "reasoning_details": details})
    assert reasoning.sealed == Sealed("chat_completions", "gAAAA", kind="encrypted")

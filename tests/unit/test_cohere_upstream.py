"""Cohere's chat: requests as the vendor and its SDK take them, events as neutral ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cohere.types import ChatMessages, ResponseFormatV2, ToolV2
from cohere.types import Thinking as CohereThinking
from cohere.v2.types import V2ChatStreamResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from dev.simulated_providers import cohere_request
from dev.simulated_providers.brain import described
from headgate.conversation import (
    Citation,
    CustomTool,
    FunctionTool,
    Media,
    Message,
    Output,
    OutputFormat,
    Reasoning,
    Request,
    Sampling,
    Sealed,
    Text,
    Thinking,
    Thought,
    TokenLogprob,
    ToolCall,
    ToolChoice,
    ToolResult,
    WebSearchTool,
)
from headgate.errors import GatewayError
from headgate.events import Failed, Finished, Started
from headgate.fold import fold
from headgate.protocols.cohere.errors import read_error
from headgate.protocols.cohere.upstream_request import reader_options, write_request
from headgate.protocols.cohere.upstream_stream import StreamReader
from headgate.protocols.cohere.usage import read_usage
from headgate.protocols.contract import Target
from headgate.protocols.names import NameMap
from headgate.protocols.sse import EventSplitter, frame
from tests.strategies import PDF, PNG, requests
from tests.unit.upstream_kit import assert_grammar, read_bytes

FIXTURES = Path(__file__).parents[1] / "fixtures" / "cohere"
FEATURES = frozenset({"image", "tools", "json_schema", "sampling", "logprobs"})
TARGET = Target("cohere", "command-a-03-2025", 8192, 256_000, FEATURES)
REASONING = replace(TARGET, model="command-a-reasoning-08-2025", features=FEATURES | {"reasoning"})
TOOL = FunctionTool("f", "does", {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})
SDK = {
    "messages": TypeAdapter(ChatMessages),
    "tools": TypeAdapter(list[ToolV2]),
    "response_format": TypeAdapter(ResponseFormatV2),
    "thinking": TypeAdapter(CohereThinking),
}


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(part) if isinstance(part, str) else part for part in parts))


def vendor_hears(body: dict[str, Any]) -> str:
    """The conversation as the simulated vendor and its SDK understand ``body``, which they must not refuse."""
    cohere_request.check(body)
    for name, adapter in SDK.items():
        if name in body:
            adapter.validate_python(body[name])
    return described(cohere_request.heard(body))


def write(request: Request, target: Target = TARGET) -> dict[str, Any]:
    body, _ = write_request(request, target)
    vendor_hears(body)
    return body


def losses(request: Request, target: Target = TARGET) -> set[tuple[str, str]]:
    return {(loss.path, loss.code) for loss in write_request(request, target)[1]}


def test_text_system_and_sampling():
    request = Request(
        "x",
        (Message("developer", (Text("Be brief."),)), user("Hi"), Message("system", (Text("Now."),))),
        instructions=(Text("You are kind."),),
        sampling=Sampling(
            max_tokens=9,
            temperature=1.5,
            top_p=1.0,
            top_k=4,
            seed=0,
            stop=tuple("abcdef"),
            frequency_penalty=2.0,
            presence_penalty=0.5,
            logprobs=True,
            top_logprobs=3,
        ),
        output=Output(verbosity="low"),
    )
    assert write(request) == {
        "model": "command-a-03-2025",
        "messages": [
            {"role": "system", "content": "You are kind.\n\nBe brief."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "<system>\nNow.\n</system>"}],
            },
        ],
        "stream": True,
        "max_tokens": 9,
        "temperature": 1,
        "k": 4,
        "frequency_penalty": 1,
        "seed": 0,
        "stop_sequences": ["a", "b", "c", "d", "e"],
        "logprobs": True,
    }
    assert losses(request) == {
        ("temperature", "clamped"),
        ("frequency_penalty", "clamped"),
        ("presence_penalty", "unsupported_parameter"),
        ("stop", "unsupported_value"),
        ("top_logprobs", "unsupported_parameter"),
        ("text.verbosity", "unsupported_parameter"),
    }


def test_calls_plans_thinking_and_results():
    def thought(place: str) -> Reasoning:
        return Reasoning((Thought(place, summary=False),), Sealed("cohere", place, "cohere", REASONING.model))

    items = (
        user("Go"),
        thought("thinking"),
        Message("assistant", (Text("Well."),)),
        thought("tool_plan"),
        Reasoning((Thought("foreign"),), Sealed("messages", "x")),
        Reasoning((Thought("unsigned"),)),
        ToolCall("c1", "f", '{"a": 1}'),
        ToolCall("c2", "f", ""),
        ToolResult("c2", (Media("image", data=PNG, media_type="image/png"),)),
        ToolResult("c1", (Text("one"), Media("file", data="aGk=", filename="a.txt")), is_error=True),
        user("and?"),
    )
    messages = write(Request("x", items), REASONING)["messages"]
    assert messages[1] == {
        "role": "assistant",
        "content": [{"type": "thinking", "thinking": "thinking"}, {"type": "text", "text": "Well."}],
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
            {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        ],
        "tool_plan": "tool_plan",
    }
    assert messages[2] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": [
            {"type": "text", "text": "Error:"},
            {"type": "text", "text": "one"},
            {"type": "document", "document": {"data": {"title": "a.txt", "text": "hi"}}},
        ],
    }
    assert messages[3]["tool_call_id"] == "c2"
    assert [block["type"] for block in messages[4]["content"]] == ["text", "image_url", "text"]
    assert losses(Request("x", items), REASONING) == {("input[4]", "foreign_signature")}


@pytest.mark.parametrize(
    ("choice", "written", "sent"),
    [
        (None, None, 2),
        (ToolChoice("auto", (("function", "f"),)), None, 1),
        (ToolChoice("none"), "NONE", 2),
        (ToolChoice("required"), "REQUIRED", 2),
        (ToolChoice("named", (("function", "f"),)), "REQUIRED", 1),
    ],
)
def test_tool_choice(choice, written, sent):
    body = write(Request("x", (user("a"),), tools=(TOOL, FunctionTool("g")), tool_choice=choice))
    assert (body.get("tool_choice"), len(body["tools"])) == (written, sent)


def test_strict_tools_hold_for_all_or_none():
    strict = replace(TOOL, strict=True)
    assert write(Request("x", (user("a"),), tools=(strict,)))["strict_tools"] is True
    for others in ((TOOL,), (FunctionTool("g", strict=True),)):
        request = Request("x", (user("a"),), tools=(strict, *others))
        assert "strict_tools" not in write(request)
        assert losses(request) == {("tools.strict", "unsupported_parameter")}


def test_tools_of_other_kinds():
    names = NameMap(64)
    request = Request("x", (user("a"),), tools=(CustomTool("sh"), WebSearchTool()), parallel_tool_calls=False)
    body, lost = write_request(request, TARGET, names)
    assert names.custom == {"sh"} and len(body["tools"]) == 1
    assert [(loss.path, loss.code) for loss in lost] == [
        ("tools[1]", "unsupported_tool"),
        ("parallel_tool_calls", "unsupported_parameter"),
    ]


SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "n": {"type": "integer", "minimum": 1},
        "o": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "when": {"type": "string", "format": "date"},
        "inner": {"type": "object", "properties": {"p": {"type": "string", "pattern": "^a"}}},
    },
}


def test_structured_output():
    request = Request("x", (user("a"),), output=Output(OutputFormat("json_schema", SCHEMA, "answer")))
    format = write(request)["response_format"]
    assert format["type"] == "json_object" and reader_options(request, TARGET) == {"json_tool": None}
    assert format["json_schema"]["properties"] == {
        "n": {"type": "integer", "description": "{minimum: 1}"},
        "o": {"type": "string", "description": "{nullable: true}"},
        "when": {"type": "string", "format": "date"},
        "inner": {
            "type": "object",
            "properties": {"p": {"type": "string", "description": '{pattern: "^a"}'}},
            "required": ["p"],
        },
    }
    assert format["json_schema"]["required"] == ["n"]
    assert {path.removeprefix("text.format.schema.") for path, _ in losses(request)} == {
        "properties.n.minimum",
        "properties.o.anyOf",
        "properties.inner.properties.p.pattern",
        "properties.inner.required",
        "required",
    }


def test_structured_output_beside_tools_is_a_forced_tool():
    request = Request("x", (user("a"),), tools=(TOOL,), output=Output(OutputFormat("json_schema", SCHEMA, "answer")))
    body = write(request)
    assert (body["tool_choice"], len(body["tools"]), "response_format" in body) == ("REQUIRED", 2, False)
    assert reader_options(request, TARGET) == {"json_tool": "answer"}
    without = replace(request, tool_choice=ToolChoice("none"))
    assert "tools" not in write(without) and "response_format" in write(without)


def test_text_files_are_documents_to_cite_where_they_may_be():
    file = Media("file", data="aGk=", media_type="text/plain", filename="a.txt")
    request = Request("x", (user(file),))
    body = write(request)
    assert body["documents"] == [{"id": "document-1", "data": {"title": "a.txt", "text": "hi"}}]
    assert body["messages"] == [{"role": "user", "content": "(see the attached documents)"}]
    inline = write(replace(request, tools=(TOOL,)))
    assert "documents" not in inline
    assert inline["messages"] == [{"role": "user", "content": '<document name="a.txt">\nhi\n</document>'}]


@pytest.mark.parametrize(
    "media",
    [
        Media("file", data=PDF, media_type="application/pdf", filename="a.pdf"),
        Media("file", url="https://example.com/a.txt"),
        Media("image", file_id="f"),
        Media("image", data="AAAA", media_type="image/tiff"),
        Media("audio", data="AAAA", media_type="audio/wav"),
    ],
)
def test_media_that_cohere_cannot_take_are_a_400(media):
    with pytest.raises(GatewayError) as caught:
        write(Request("x", (user("a", media),)))
    assert (caught.value.status, caught.value.code) == (400, "unsupported_content")
    assert caught.value.param == "input[0].content[1]"


def test_thinking():
    def thinking(**said: Any) -> Any:
        return write(Request("x", (user("a"),), thinking=Thinking(**said)), REASONING).get("thinking")

    assert thinking() is None
    assert thinking(effort="none") == thinking(mode="disabled") == {"type": "disabled"}
    assert thinking(effort="medium") == {"type": "enabled", "token_budget": 2048}
    assert thinking(mode="enabled", budget=99) == {"type": "enabled", "token_budget": 99}
    assert thinking(mode="adaptive") == {"type": "enabled"}
    assert losses(Request("x", (user("a"),), thinking=Thinking(effort="low"))) == {("reasoning", "thinking_dropped")}


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests(media=False))
def test_the_vendor_hears_what_the_client_said(request):
    body, _ = write_request(request, TARGET)
    told = vendor_hears(body)
    for item in request.items:
        match item:
            case Message(parts=parts) | ToolResult(parts=parts):
                assert all(part.text.strip() in told for part in parts if isinstance(part, Text))
            case ToolCall(name=name, arguments=arguments):
                assert f"call {name} {arguments}" in told
            case _:
                continue


def fixture(case: str) -> list[bytes]:
    return (FIXTURES / case / "events.txt").read_bytes().splitlines()


def read(lines: list[bytes], target: Target = TARGET, **options: Any):
    reader = StreamReader(target, **options)
    events = [event for line in lines for event in reader.read(None, line)] + reader.end()
    assert_grammar(events)
    return events


@pytest.mark.parametrize("case", ["tools", "cited"])
def test_the_fixtures_are_what_the_sdk_expects(case):
    adapter = TypeAdapter(V2ChatStreamResponse)
    assert all(adapter.validate_json(line).type for line in fixture(case))


def test_a_plan_and_parallel_calls():
    events = read(fixture("tools"))
    assert events[0] == Started("fba98ad3-e5a1-413c-a8de-84fbf9baabf7", TARGET.model)
    answer = fold(events)
    assert answer.items == (
        Reasoning(
            (Thought("I will look both up.", summary=False),),
            Sealed("cohere", "tool_plan", "cohere", TARGET.model),
        ),
        ToolCall("get_weather_nsz5zm3w56q3", "get_weather", '{\n    "city": "Paris"\n}'),
        ToolCall("now_8h2k1c0d9e3f", "now", "{}"),
    )
    assert answer.finished == Finished("tool_calls", "TOOL_CALL")
    # Billed units, not what the vendor adds to the prompt for nothing.
    usage = answer.usage
    assert (usage.input_total, usage.cache_read, usage.output_total) == (37, 16, 28)


def test_thinking_citations_and_log_probabilities():
    answer = fold(read(fixture("cited"), REASONING))
    thought, said = answer.items
    assert thought == Reasoning(
        (Thought("The perks are listed.", summary=False),),
        Sealed("cohere", "thinking", "cohere", REASONING.model),
    )
    assert isinstance(said, Message) and isinstance(said.parts[0], Text)
    part = said.parts[0]
    assert part.text == "There are gym memberships." and part.logprobs == (TokenLogprob("There are gym", -1.0),)
    (citation,) = part.citations
    assert replace(citation, extra={}) == Citation("doc:1", "Benefits", "We offer gym memberships.", 10, 25)
    assert answer.finished == Finished("stop", "COMPLETE")


def end(reason: str, **more: Any) -> bytes:
    usage = {"billed_units": {"input_tokens": 1, "output_tokens": 1}}
    return json.dumps({"type": "message-end", "delta": {"finish_reason": reason, "usage": usage, **more}}).encode()


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop_sequence"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("ERROR_TOXIC", "content_filter"),
        ("A_NEW_WORD", "stop"),
    ],
)
def test_every_finish_reason(word, reason):
    assert read([*fixture("cited")[:-1], end(word)])[-1] == Finished(reason, word)


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        (end("ERROR", error="out of luck"), 500, "out of luck"),
        (end("TIMEOUT"), 504, "broke off"),
        (b'{"message": "too many tokens: size limit exceeded"}', 500, "too many tokens"),
        (b"{", 424, "cannot be read"),
        (b'{"type": "tool-call-delta", "index": 7, "delta": {}}', 424, "cannot be read"),
    ],
)
def test_failures_in_the_stream(line, status, words):
    events = read([*fixture("cited")[:3], line, *fixture("cited")[3:]])
    assert isinstance(events[-1], Failed)
    assert events[-1].error.status == status and words in events[-1].error.message


@pytest.mark.parametrize("case", ["tools", "cited"])
def test_a_stream_cut_anywhere_ends_in_one_failure(case):
    for length in range(len(fixture(case))):
        events = read(fixture(case)[:length])
        assert isinstance(events[-1], Failed) and events[-1].error.code == "stream_truncated"


@pytest.mark.parametrize("case", ["tools", "cited"])
def test_a_stream_gives_the_same_wherever_it_is_split(case):
    raw = b"".join(frame("x", json.loads(line)) for line in fixture(case))
    whole = read_bytes(StreamReader(TARGET), EventSplitter(), [raw])
    assert whole == read(fixture(case))
    for at in range(1, len(raw)):
        assert read_bytes(StreamReader(TARGET), EventSplitter(), [raw[:at], raw[at:]]) == whole


def test_the_structured_answer_comes_as_text_and_free_text_as_such():
    lines = [line.replace(b'"now"', b'"answer"') for line in fixture("tools")]
    names = NameMap(64)
    names.custom.add("get_weather")
    answer = fold(read(lines, names=names, json_tool="answer"))
    assert answer.items[1] == ToolCall("get_weather_nsz5zm3w56q3", "get_weather", '{"city":"Paris"}', kind="custom")
    assert answer.items[2] == Message("assistant", (Text("{}"),))
    only = fold(read([*lines[:1], *lines[7:]], json_tool="answer"))
    assert only.finished is not None and only.finished.reason == "stop"


def test_odd_token_counts():
    assert read_usage({"tokens": {"input_tokens": 5.0, "output_tokens": True}, "cached_tokens": 9}).cache_read == 5
    assert read_usage({"billed_units": 7, "tokens": None}).total == 0


@pytest.mark.parametrize(
    ("status", "message", "kind", "code"),
    [
        (
            400,
            "too many tokens: total number of tokens in the prompt cannot exceed 4081",
            None,
            "context_length_exceeded",
        ),
        (400, "too many tokens: max tokens must be less than or equal to 4096", "invalid_request_error", None),
        (404, "model 'x' not found, make sure the correct model ID was used", "not_found_error", "model_not_found"),
        (401, "invalid api token", "authentication_error", "invalid_api_key"),
        (422, "unknown field: parameter 'x' is not a valid field.", "invalid_request_error", None),
        (429, "You are past the per minute request limit", "rate_limit_error", "rate_limit_exceeded"),
        (498, "blocked", "authentication_error", "invalid_api_key"),
        (503, "later", "overloaded_error", None),
    ],
)
def test_error_responses(status, message, kind, code):
    error = read_error(status, json.dumps({"id": "1", "message": message}).encode(), {"Retry-After": "3"})
    assert (error.status, error.message, error.code, error.retry_after) == (status, message, code, 3.0)
    assert kind is None or error.type == kind
    assert "html" not in read_error(status, b"<html>no</html>", {}).message


VALUES = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.none(), max_size=1) | st.just({"text": 1})


@given(st.data())
def test_events_gone_wrong_end_in_the_grammar(data):
    events = fixture(data.draw(st.sampled_from(["tools", "cited"])))
    at = data.draw(st.integers(0, len(events) - 1))
    payload = json.loads(events[at])
    if data.draw(st.booleans()):
        where = payload
        while True:
            key = data.draw(st.sampled_from(sorted(where)))
            if not isinstance(where[key], dict) or not where[key] or data.draw(st.booleans()):
                break
            where = where[key]
        where[key] = data.draw(VALUES)
        changed = json.dumps(payload).encode()
    else:
        changed = data.draw(st.sampled_from([b"{", b"null", b"[]", b"NaN", b'{"a":NaN}', b"\xff\xfe", b"1e999", b"3"]))
    read([*events[:at], changed, *events[at + 1 :]])

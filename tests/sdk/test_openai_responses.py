"""OpenAI's Python SDK on the Responses frontend, over every upstream protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from openai.types.responses import ParsedResponse, Response

from tests.sdk.open_responses import check_response, check_stream
from tests.sdk.support import (
    BOTH,
    CITY_SCHEMA,
    CLOCK,
    MODES,
    PARIS,
    PDF_URL,
    PNG_URL,
    TWO_CALLS,
    WEATHER,
    WEB_IMAGE,
    ZONE,
    ZONE_SCHEMA,
    Case,
    Mode,
    Solution,
    run,
)

TOOLS: list[Any] = [
    {"type": "function", "name": WEATHER, "description": "Weather", "parameters": CITY_SCHEMA, "strict": True},
    {"type": "function", "name": CLOCK, "description": "Time", "parameters": ZONE_SCHEMA, "strict": True},
]


def respond(case: Case, mode: Mode, **params: Any) -> Response:
    """The response, by one of the SDK's four ways; streams are checked event by event."""
    params = {"model": case.model, **params}
    if mode == "plain":
        answer: Response = case.openai().responses.create(**params)
    elif mode == "async":
        answer = run(lambda: case.async_openai().responses.create(**params))
    elif mode == "stream":
        events: list[dict[str, Any]] = []
        for event in case.openai().responses.create(**params, stream=True):
            events.append(event.to_dict())
        final = check_stream(events)
        if final["status"] != "completed":
            # The SDK's helper knows no other ending.
            return event.response  # type: ignore[union-attr]
        with case.openai().responses.stream(**params) as stream:
            for _ in stream:
                pass
            answer = stream.get_final_response()
        assert [item.type for item in answer.output] == [item["type"] for item in final["output"]]
    else:
        answer = run(lambda: _stream(case, params))
    check_response(json.loads(answer.to_json(indent=None)) if mode == "plain" else answer.to_dict())
    return answer


async def _stream(case: Case, params: dict[str, Any]) -> ParsedResponse[Any]:
    async with case.async_openai().responses.stream(**params) as stream:
        async for _ in stream:
            pass
        return await stream.get_final_response()


def calls(answer: Response) -> list[tuple[str, str]]:
    """(name, arguments) of each call."""
    return [(item.name, item.arguments) for item in answer.output if item.type == "function_call"]


def echoed(answer: Response) -> list[Any]:
    """The output as a client sends it back."""
    return [item.to_dict() for item in answer.output]


def results(answer: Response, *outputs: Any) -> list[Any]:
    """Tool results in the order of the calls."""
    ids = [item.call_id for item in answer.output if item.type == "function_call"]
    return [
        {"type": "function_call_output", "call_id": id, "output": output}
        for id, output in zip(ids, outputs, strict=True)
    ]


@pytest.mark.parametrize("mode", MODES)
def test_text(case: Case, mode: Mode):
    answer = respond(case, mode, input="Hello", metadata={"trace": "7"}, temperature=0.5)
    assert answer.output_text == "You said: Hello."
    assert (answer.status, answer.model, answer.metadata) == ("completed", case.label, {"trace": "7"})
    assert answer.temperature == 0.5 and answer.error is None and answer.incomplete_details is None
    assert answer.usage and answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0


@pytest.mark.parametrize("mode", BOTH)
def test_instructions_and_system_and_developer_messages(case: Case, mode: Mode):
    answer = respond(
        case,
        mode,
        instructions="Be brief.",
        input=[
            {"role": "developer", "content": "Speak English."},
            {"role": "system", "content": [{"type": "input_text", "text": "Never shout."}]},
            {"role": "user", "content": "[[echo-system]]"},
        ],
    )
    assert answer.output_text.split("\n") == ["Be brief.", "Speak English.", "Never shout."]
    assert answer.instructions == "Be brief."


@pytest.mark.parametrize("mode", MODES)
def test_one_tool_and_its_result(case: Case, mode: Mode):
    asked: list[Any] = [{"role": "user", "content": f"[[tool:{WEATHER} {PARIS}]]"}]
    first = respond(case, mode, input=asked, tools=TOOLS)
    assert calls(first) == [(WEATHER, PARIS)]
    second = respond(
        case, mode, input=[*asked, *echoed(first), *results(first, "18 degrees")], tools=TOOLS, store=False
    )
    assert second.output_text == f"Tool results: {WEATHER} gave: 18 degrees."


@pytest.mark.parametrize("extra", ["", "[[tools-interleaved]]", "[[tools-whole]]"])
@pytest.mark.parametrize("mode", BOTH)
def test_parallel_tools(case: Case, mode: Mode, extra: str):
    asked: list[Any] = [{"role": "user", "content": "[[say:Let me see.]]" + TWO_CALLS + extra}]
    first = respond(case, mode, input=asked, tools=TOOLS, parallel_tool_calls=True)
    assert first.output_text == "Let me see."
    assert [name for name, _ in calls(first)] == [WEATHER, CLOCK]
    assert [json.loads(arguments) for _, arguments in calls(first)] == [json.loads(PARIS), json.loads(ZONE)]
    assert [item.type for item in first.output] == ["message", "function_call", "function_call"]
    backwards = results(first, "18 degrees", "noon")[::-1]
    second = respond(case, mode, input=[*asked, *echoed(first), *backwards], tools=TOOLS)
    assert f"{WEATHER} gave: 18 degrees" in second.output_text and f"{CLOCK} gave: noon" in second.output_text


def test_arguments_stay_the_text_that_the_model_wrote(case: Case):
    first = respond(case, "plain", input=f"[[tool:{CLOCK} {ZONE}]]", tools=TOOLS)
    assert calls(first) == [(CLOCK, ZONE)]


@pytest.mark.parametrize("mode", BOTH)
def test_a_failed_result_and_one_with_an_image(case: Case, mode: Mode):
    asked: list[Any] = [{"role": "user", "content": TWO_CALLS}]
    first = respond(case, mode, input=asked, tools=TOOLS)
    shown = [{"type": "input_text", "text": "a picture"}, {"type": "input_image", "image_url": PNG_URL}]
    answered = results(first, "no such city", shown)
    answered[0]["is_error"] = True
    second = respond(case, mode, input=[*asked, *echoed(first), *answered], tools=TOOLS, tool_choice="none")
    sent = json.dumps(case.sent("no such city")[-1])
    assert PNG_URL.partition(",")[2] in sent and "a picture" in sent
    if case.upstream == "chat_completions":
        # A tool message holds text only: the image follows in a user message, and a failure is said in words.
        assert "Error: no such city" in sent
    else:
        failed = "failed with" if case.upstream == "messages" else "gave"
        assert f"{WEATHER} {failed}: " in second.output_text and "no such city" in second.output_text
        assert f"{CLOCK} gave: a picture [image image/png" in second.output_text


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("none", []),
        ("required", [WEATHER]),
        ({"type": "function", "name": CLOCK}, [CLOCK]),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": CLOCK}]},
            [CLOCK],
        ),
    ],
)
@pytest.mark.parametrize("mode", BOTH)
def test_tool_choice(case: Case, mode: Mode, choice: Any, called: Sequence[str]):
    answer = respond(case, mode, input=f"Use {WEATHER}?" if choice == "none" else "Hi", tools=TOOLS, tool_choice=choice)
    assert [name for name, _ in calls(answer)] == called
    assert all(set(json.loads(arguments)) for _, arguments in calls(answer))


def test_parallel_calls_switched_off(case: Case):
    answer = respond(case, "plain", input=TWO_CALLS, tools=TOOLS, parallel_tool_calls=False)
    assert [name for name, _ in calls(answer)] == [WEATHER] and answer.parallel_tool_calls is False


@pytest.mark.parametrize("mode", BOTH)
def test_images_and_a_file(case: Case, mode: Mode):
    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": PNG_URL, "detail": "low"},
        {"type": "input_image", "image_url": WEB_IMAGE, "detail": "auto"},
        {"type": "input_file", "filename": "paper.pdf", "file_data": PDF_URL},
        {"type": "input_text", "text": "[[history]]"},
    ]
    answer = respond(case, mode, input=[{"role": "user", "content": content}])
    assert "image/png" in answer.output_text and WEB_IMAGE in answer.output_text
    assert "application/pdf" in answer.output_text and "What is this?" in answer.output_text


@pytest.mark.parametrize("mode", BOTH)
def test_structured_output(case: Case, mode: Mode):
    form: Any = {"format": {"type": "json_schema", "name": "place", "schema": CITY_SCHEMA, "strict": True}}
    answer = respond(case, mode, input="Where?", text=form)
    assert set(json.loads(answer.output_text)) == {"city"}
    assert answer.text and answer.text.format and answer.text.format.type == "json_schema"


def test_parse_helpers(case: Case):
    parsed = case.openai().responses.parse(model=case.model, input="Solve it", text_format=Solution)
    assert isinstance(parsed.output_parsed, Solution)
    later = run(lambda: case.async_openai().responses.parse(model=case.model, input="Solve", text_format=Solution))
    assert isinstance(later.output_parsed, Solution)
    with case.openai().responses.stream(model=case.model, input="Solve it", text_format=Solution) as stream:
        stream.until_done()
        assert isinstance(stream.get_final_response().output_parsed, Solution)


@pytest.mark.parametrize("mode", MODES)
def test_reasoning_goes_through_a_tool_loop(case: Case, mode: Mode):
    common: dict[str, Any] = {
        "model": case.thinker,
        "tools": TOOLS,
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }
    asked: list[Any] = [{"role": "user", "content": f"[[think:Paris, then.]][[tool:{WEATHER} {PARIS}]]"}]
    first = respond(case, mode, input=asked, **common)
    assert first.usage and first.usage.output_tokens_details.reasoning_tokens > 0
    reasoning = [item for item in first.output if item.type == "reasoning"]
    if case.upstream != "chat_completions":
        # Chat Completions at OpenAI thinks, but shows nothing of it.
        assert [item.type for item in first.output] == ["reasoning", "function_call"]
        assert [part.text for part in reasoning[0].summary] == ["Paris, then."]
        assert reasoning[0].encrypted_content
    asked[0]["content"] += f"[[@{case.provider} then:done]]"
    second = respond(case, mode, input=[*asked, *echoed(first), *results(first, "18")], **common)
    assert second.status == "completed" and second.output_text == "done"
    if case.upstream != "chat_completions":
        again = respond(
            case,
            mode,
            input=[*asked, *echoed(first), *results(first, "18"), {"role": "user", "content": "[[history]]"}],
            **common,
        )
        assert "thought (sealed): Paris, then." in again.output_text


@pytest.mark.parametrize("mode", BOTH)
def test_encrypted_reasoning_only_where_asked_for(case: Case, mode: Mode):
    answer = respond(case, mode, model=case.thinker, input="[[think:Hm.]][[say:Yes]]", reasoning={"summary": "auto"})
    assert all(item.encrypted_content is None for item in answer.output if item.type == "reasoning")
    assert answer.output_text == "Yes"


@pytest.mark.parametrize("mode", MODES)
def test_a_refusal(case: Case, mode: Mode):
    answer = respond(case, mode, input="[[refuse:I will not.]]")
    part = answer.output[0].content[0]  # type: ignore[union-attr]
    assert (part.type, part.refusal) == ("refusal", "I will not.")  # type: ignore[union-attr]
    assert answer.status == "completed"


@pytest.mark.parametrize("mode", MODES)
def test_logprobs(case: Case, mode: Mode):
    params: dict[str, Any] = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    answer = respond(case, mode, input="Hello", **params)
    logprobs = answer.output[0].content[0].logprobs  # type: ignore[union-attr]
    if case.upstream == "messages":
        assert logprobs == []
        raw = case.openai().responses.with_raw_response.create(model=case.model, input="Hello", **params)
        assert "top_logprobs" in raw.headers["x-headgate-losses"]
    else:
        assert logprobs and "".join(each.token for each in logprobs) == answer.output_text
        assert len(logprobs[0].top_logprobs) == 2


@pytest.mark.parametrize("mode", ["plain", "stream", "async"])
def test_the_token_limit(case: Case, mode: Mode):
    answer = respond(case, mode, input="[[tokens:60]]", max_output_tokens=20)
    assert answer.status == "incomplete" and answer.incomplete_details
    assert answer.incomplete_details.reason == "max_output_tokens" and answer.max_output_tokens == 20
    assert answer.usage and answer.usage.output_tokens == 20


def test_usage_and_cost_are_the_same_in_the_answer_and_the_log(case: Case):
    raw = case.openai().responses.with_raw_response.create(model=case.model, input="Hello there")
    plain = raw.parse()
    events = case.openai().responses.with_raw_response.create(model=case.model, input="Hello there", stream=True)
    final = [event.to_dict() for event in events.parse()][-1]["response"]
    for body, request_id in (
        (plain.to_dict(), raw.headers["x-request-id"]),
        (final, events.headers["x-request-id"]),
    ):
        row = case.origin.log_row(request_id)
        usage: Any = body["usage"]
        assert (row.input_tokens, row.output_tokens) == (usage["input_tokens"], usage["output_tokens"])
        assert row.cost_pico and body["cost"]["total"] == pytest.approx(row.cost_pico / 1e12)
        assert row.response_id == body["id"] and row.stored


@pytest.mark.parametrize("mode", BOTH)
def test_custom_tools(case: Case, mode: Mode):
    tools: list[Any] = [{"type": "custom", "name": "run_code", "description": "Runs code"}]
    asked: list[Any] = [{"role": "user", "content": "[[tool:run_code print(1)]]"}]
    first = respond(case, mode, input=asked, tools=tools)
    call = first.output[0]
    assert call.type == "custom_tool_call" and (call.name, call.input) == ("run_code", "print(1)")
    result = {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "1"}
    second = respond(case, mode, input=[*asked, *echoed(first), result], tools=tools)
    assert second.output_text == "Tool results: run_code gave: 1."


@pytest.mark.parametrize("mode", BOTH)
def test_web_search_with_citations(case: Case, mode: Mode):
    if case.upstream == "chat_completions":
        pytest.skip("OpenAI's Chat Completions searches only with models of its own")
    answer = respond(case, mode, input="[[search:bees]]", tools=[{"type": "web_search"}])
    assert answer.output[0].type == "web_search_call"
    notes = [
        note for item in answer.output if item.type == "message" for part in item.content for note in part.annotations
    ]  # type: ignore[union-attr]
    assert [note.url for note in notes] == ["https://news.example.com/one", "https://wiki.example.org/two"]
    assert answer.to_dict()["usage"]["tool_calls"] == {"web_search": 1}  # type: ignore[index]

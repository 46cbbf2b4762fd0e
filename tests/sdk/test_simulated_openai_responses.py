"""The simulated Responses API against OpenAI's own client, which validates every answer strictly."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest
from pydantic import BaseModel

from dev.simulated_providers import Running, serve

TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


@pytest.fixture(scope="module")
def simulated() -> Iterator[Running]:
    with serve() as running:
        yield running


@pytest.fixture
def client(simulated: Running) -> Iterator[openai.OpenAI]:
    simulated.clear()
    url = f"{simulated.url}/openai/v1"
    with openai.OpenAI(base_url=url, api_key="sk-one", max_retries=0, _strict_response_validation=True) as made:
        yield made


def asynchronous(simulated: Running) -> openai.AsyncOpenAI:
    url = f"{simulated.url}/openai/v1"
    return openai.AsyncOpenAI(base_url=url, api_key="sk-one", max_retries=0, _strict_response_validation=True)


def test_echo_and_exact_usage(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="gpt-4o", input="two words", instructions="be brief now")
    assert answer.output_text == "You said: two words."
    assert answer.usage is not None
    # 3 system tokens, 2 of the text and 3 for the turn; "You said : two words ." is 6.
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (8, 6, 14)
    assert answer.status == "completed" and answer.model == "gpt-4o-2024-08-06"


async def test_the_asynchronous_client_gets_the_same(simulated: Running) -> None:
    async with asynchronous(simulated) as client:
        answer = await client.responses.create(model="gpt-4o", input="two words")
        assert answer.output_text == "You said: two words."
        stream = await client.responses.create(model="gpt-4o", input="two words", stream=True)
        deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        assert "".join(deltas) == answer.output_text


def test_the_stream_has_the_vendors_events_in_order(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model="gpt-4o", input="hi", stream=True))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert set(kinds[4:-4]) == {"response.output_text.delta"}
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_deltas_are_obfuscated_to_multiples_of_sixteen_unless_switched_off(client: openai.OpenAI) -> None:
    def padded(**options: object) -> list[object]:
        stream = client.responses.create(model="gpt-4o", input="hi", stream=True, **options)  # type: ignore[call-overload]
        return [event.model_dump() for event in stream if event.type == "response.output_text.delta"]

    assert all((len(event["delta"]) + len(event["obfuscation"])) % 16 == 0 for event in padded())  # type: ignore[index]
    assert not any("obfuscation" in event for event in padded(stream_options={"include_obfuscation": False}))  # type: ignore[operator]


def test_the_stream_helper_sums_up_to_the_plain_answer(client: openai.OpenAI) -> None:
    text = '[[say:First.]][[tool:get_weather {"city":"Oslo"}]][[tool:get_weather {"city":"Rome"}]]'
    with client.responses.stream(model="gpt-4o", input=text, tools=[TOOL]) as stream:
        final = stream.get_final_response()
    plain = client.responses.create(model="gpt-4o", input=text, tools=[TOOL])
    assert [item.type for item in final.output] == ["message", "function_call", "function_call"]
    assert [item.arguments for item in final.output[1:]] == ['{"city":"Oslo"}', '{"city":"Rome"}']
    volatile = {"id": True, "call_id": True, "parsed_arguments": True, "content": {"__all__": {"parsed"}}}
    assert [item.model_dump(exclude=volatile) for item in final.output] == [
        item.model_dump(exclude=volatile) for item in plain.output
    ]
    assert final.usage == plain.usage


def test_parallel_calls_can_interleave(client: openai.OpenAI) -> None:
    text = '[[tools-interleaved]][[tool:get_weather {"city":"Oslo"}]][[tool:get_weather {"city":"Rome"}]]'
    events = list(client.responses.create(model="gpt-4o", input=text, tools=[TOOL], stream=True))
    order = [event.output_index for event in events if event.type == "response.function_call_arguments.delta"]
    assert order[:4] == [0, 1, 0, 1]
    done = [event.arguments for event in events if event.type == "response.function_call_arguments.done"]
    assert done == ['{"city":"Oslo"}', '{"city":"Rome"}']


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "get_weather"}])
def test_a_demanded_tool_is_called_with_valid_arguments(client: openai.OpenAI, choice: object) -> None:
    answer = client.responses.create(model="gpt-4o", input="hi", tools=[TOOL], tool_choice=choice)
    assert [item.type for item in answer.output] == ["function_call"]
    assert json.loads(answer.output[0].arguments) == {"city": "example"}


def test_tool_results_are_quoted(client: openai.OpenAI) -> None:
    first = client.responses.create(model="gpt-4o", input="please use get_weather", tools=[TOOL])
    call = first.output[0]
    result = [
        {"type": "input_text", "text": "sunny"},
        {"type": "input_image", "image_url": "data:image/png;base64,aGVsbG8="},
    ]
    history = [
        {"role": "user", "content": "please use get_weather"},
        call.model_dump(exclude_none=True),
        {"type": "function_call_output", "call_id": call.call_id, "output": result},
    ]
    answer = client.responses.create(model="gpt-4o", input=history, tools=[TOOL])
    assert answer.output_text == "Tool results: get_weather gave: sunny [image image/png 5 bytes 2cf24dba]."


def test_structured_output_is_valid(client: openai.OpenAI) -> None:
    class City(BaseModel):
        name: str
        people: int
        twin: City | None

    parsed = client.responses.parse(model="gpt-4o", input="a city", text_format=City)
    assert isinstance(parsed.output_parsed, City)
    with client.responses.stream(model="gpt-4o", input="a city", text_format=City) as stream:
        assert stream.get_final_response().output_parsed == parsed.output_parsed


def test_custom_tool_gets_free_text(client: openai.OpenAI) -> None:
    tool = {"type": "custom", "name": "run", "description": "runs code"}
    events = list(client.responses.create(model="gpt-4o", input="[[tool:run print(1)]]", tools=[tool], stream=True))
    kinds = {event.type for event in events}
    assert "response.custom_tool_call_input.delta" in kinds
    assert events[-1].response.output[0].input == "print(1)"


def test_reasoning_summary_and_sealed_content(client: openai.OpenAI) -> None:
    options = {
        "model": "gpt-5",
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }
    with client.responses.stream(input="[[think:I ponder.]][[say:Done.]]", **options) as stream:
        kinds = [event.type for event in stream]
        answer = stream.get_final_response()
    assert kinds.index("response.reasoning_summary_part.added") < kinds.index("response.reasoning_summary_text.delta")
    thought, said = answer.output
    assert thought.summary[0].text == "I ponder." and thought.encrypted_content
    assert answer.usage is not None and answer.usage.output_tokens_details.reasoning_tokens == 3
    history = [
        {"role": "user", "content": "one"},
        thought.model_dump(exclude_none=True),
        said.model_dump(exclude_none=True, exclude={"content": {"__all__": {"parsed"}}}),
        {"role": "user", "content": "[[history]]"},
    ]
    text = client.responses.create(input=history, **options).output_text
    assert text == "user: one\nthought (sealed): I ponder.\nassistant: Done.\nuser: [[history]]"


def test_reasoning_is_bound_to_the_organisation_and_unchanged(simulated: Running, client: openai.OpenAI) -> None:
    options = {"model": "gpt-5", "include": ["reasoning.encrypted_content"], "store": False}
    thought, said = client.responses.create(input="hi", **options).output
    sealed = thought.model_dump(exclude_none=True)
    history = [
        {"role": "user", "content": "hi"},
        sealed,
        said.model_dump(exclude_none=True),
        {"role": "user", "content": "x"},
    ]
    other = client.with_options(api_key="sk-two")
    with pytest.raises(openai.BadRequestError) as caught:
        other.responses.create(input=history, **options)
    assert caught.value.code == "invalid_encrypted_content"
    bare = [history[0], {**sealed, "encrypted_content": None}, *history[2:]]
    with pytest.raises(openai.NotFoundError, match="Items are not persisted when `store` is set to false"):
        client.responses.create(input=bare, **options)
    with pytest.raises(openai.BadRequestError, match="without its required following item"):
        client.responses.create(input=[history[0], sealed, history[3]], **options)


def test_a_stored_reasoning_item_needs_no_content(client: openai.OpenAI) -> None:
    thought, said = client.responses.create(model="gpt-5", input="hi").output
    history = [
        thought.model_dump(exclude_none=True),
        said.model_dump(exclude_none=True),
        {"role": "user", "content": "x"},
    ]
    assert client.responses.create(model="gpt-5", input=history).status == "completed"


def test_limit_and_filter_end_incomplete(client: openai.OpenAI) -> None:
    cut = client.responses.create(model="gpt-4o", input="[[tokens:100]]", max_output_tokens=16)
    assert cut.status == "incomplete" and cut.incomplete_details.reason == "max_output_tokens"
    assert cut.usage.output_tokens == 16 and cut.output[0].status == "incomplete"
    events = list(client.responses.create(model="gpt-4o", input="[[tokens:100]]", max_output_tokens=16, stream=True))
    assert events[-1].type == "response.incomplete"
    stopped = client.responses.create(model="gpt-4o", input="[[filter]][[say:Part]]")
    assert stopped.incomplete_details.reason == "content_filter"


def test_refusal_search_and_logprobs(client: openai.OpenAI) -> None:
    refused = client.responses.create(model="gpt-4o", input="[[refuse:No way.]]")
    assert refused.output[0].content[0].refusal == "No way."
    search = {"model": "gpt-4o", "input": "[[search:otters]]", "tools": [{"type": "web_search"}]}
    with client.responses.stream(**search) as stream:
        kinds = [event.type for event in stream]
        found = stream.get_final_response()
    assert "response.web_search_call.searching" in kinds and "response.output_text.annotation.added" in kinds
    assert found.output[0].type == "web_search_call" and found.output[0].action.query == "otters"
    part = found.output[1].content[0]
    assert part.text[part.annotations[0].start_index : part.annotations[0].end_index].startswith(
        "According to the news"
    )
    probable = client.responses.create(
        model="gpt-4o", input="hi", include=["message.output_text.logprobs"], top_logprobs=2
    )
    held = probable.output[0].content[0].logprobs
    assert "".join(one.token for one in held) == probable.output_text and len(held[0].top_logprobs) == 2


def test_a_demanded_search_is_made(client: openai.OpenAI) -> None:
    # The client's types know a forced search by its older name only.
    options = {"tools": [{"type": "web_search_preview"}, TOOL], "tool_choice": {"type": "web_search_preview"}}
    answer = client.responses.create(model="gpt-4o", input="hi", **options)
    assert [item.type for item in answer.output] == ["web_search_call", "message"]


def test_a_long_stream_is_whole_and_its_ids_are_its_own(client: openai.OpenAI) -> None:
    def listen() -> tuple[set[str], int, str]:
        events = list(client.responses.create(model="gpt-4o", input="[[tokens:2000]]", stream=True))
        deltas = [event for event in events if event.type == "response.output_text.delta"]
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert "".join(event.delta for event in deltas) == events[-1].response.output_text
        return {event.item_id for event in deltas}, len(deltas), events[-1].response.output[0].id

    first, second = listen(), listen()
    assert first[1] == second[1] == 2000
    assert first[0] == {first[2]} and second[0] == {second[2]} and first[0] != second[0]


def test_automatic_prompt_cache(client: openai.OpenAI) -> None:
    instructions = "word " * 1500
    cold = client.responses.create(model="gpt-4o", input="a", instructions=instructions)
    warm = client.responses.create(model="gpt-4o", input="b", instructions=instructions)
    assert cold.usage.input_tokens_details.cached_tokens == 0
    assert warm.usage.input_tokens_details.cached_tokens == 1408
    assert warm.usage.input_tokens == cold.usage.input_tokens


def test_token_count_and_models(client: openai.OpenAI) -> None:
    counted = client.responses.input_tokens.count(model="gpt-4o", input="two words", instructions="be brief now")
    assert counted.input_tokens == 8
    assert "gpt-4o" in [model.id for model in client.models.list()]
    assert client.models.retrieve("gpt-5").id == "gpt-5"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("claude-opus-5")


def test_clients_habits_are_accepted(client: openai.OpenAI, simulated: Running) -> None:
    body = {
        "client_metadata": {"a": "b"},
        "include": [],
        "prompt_cache_key": "thread",
        "max_output_tokens": None,
        "user": None,
    }
    tools = [
        {"type": "namespace", "name": "fs", "description": "files", "tools": [{**TOOL, "strict": False}]},
        {"type": "web_search", "external_web_access": False},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
        {"type": "tool_search", "execution": "client"},
    ]
    items = [{"type": "message", "role": "user", "id": "msg_1", "content": [{"type": "input_text", "text": "hello"}]}]
    answer = client.responses.create(model="gpt-5.5", input=items, tools=tools, extra_body=body)
    assert answer.output_text == "You said: hello."


@pytest.mark.parametrize(
    ("body", "code", "param", "text"),
    [
        ({"nonsense": 1}, "unknown_parameter", "nonsense", "Unknown parameter: 'nonsense'."),
        ({"max_output_tokens": 9}, "integer_below_min_value", "max_output_tokens", "Expected a value >= 16, but got 9"),
        ({"temperature": 3}, "decimal_above_max_value", "temperature", "Expected a value <= 2, but got 3 instead."),
        ({"input": 5}, "invalid_type", "input", "Invalid type for 'input'"),
        ({"input": [{"role": "robot", "content": "x"}]}, "invalid_value", "input[0].role", "Invalid value: 'robot'"),
        (
            {"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]},
            "invalid_value",
            "input[0].content[0]",
            "Supported values are: 'output_text' and 'refusal'.",
        ),
        (
            {"input": [{"type": "function_call_output", "call_id": "call_9", "output": "x"}]},
            None,
            "input",
            "No tool call found for function call output with call_id call_9.",
        ),
        (
            {"input": [{"type": "function_call", "call_id": "call_9", "name": "f", "arguments": "{}"}]},
            None,
            "input",
            "No tool output found for function call call_9.",
        ),
        (
            {"input": [{"type": "function_call", "id": "call_9", "call_id": "c", "name": "f", "arguments": "{}"}]},
            "invalid_value",
            "input[0].id",
            "Expected an ID that begins with 'fc'.",
        ),
        ({"tools": [{**TOOL, "name": "a b"}]}, "invalid_value", "tools[0].name", "'^[a-zA-Z0-9_-]+$'"),
        (
            {"tools": [{**TOOL, "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}]},
            "invalid_function_parameters",
            "tools[0].parameters",
            "In context=(), 'additionalProperties' is required to be supplied and to be false.",
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "array"}}}},
            "invalid_json_schema",
            "text.format.schema",
            "Invalid schema for response_format 'n'",
        ),
        ({"model": "gpt-5", "temperature": 0.2}, "unsupported_parameter", "temperature", "is not supported with this"),
        (
            {"model": "gpt-5", "reasoning": {"effort": "xhigh"}},
            "unsupported_value",
            "reasoning.effort",
            "'minimal', 'low'",
        ),
        (
            {"previous_response_id": "resp_1"},
            "previous_response_not_found",
            "previous_response_id",
            "'resp_1' not found",
        ),
        ({"model": "claude-opus-5"}, "model_not_found", "model", "does not exist"),
        ({"tool_choice": "required"}, None, "tool_choice", "must be specified with 'tools' parameter"),
    ],
)
def test_refusals(client: openai.OpenAI, body: dict[str, object], code: str | None, param: str, text: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(**{"model": "gpt-4o", "input": "hi"}, extra_body=body)
    assert (caught.value.code, caught.value.param) == (code, param)
    assert text in caught.value.message

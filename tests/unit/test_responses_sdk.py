"""The OpenAI SDK, in its strict mode, fed with what we write: translated and passed through, whole and streamed."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from openai import OpenAI
from pydantic import BaseModel

from headgate.conversation import Item, Message, Reasoning, Text, Thought, ToolCall
from headgate.errors import provider_failed
from headgate.events import Event, Failed, Finished, Started, UsageUpdated, events_of
from headgate.fold import fold
from headgate.protocols.responses.client_answer import write_answer
from headgate.protocols.responses.client_stream import StreamWriter
from headgate.protocols.responses.relay import Relay
from headgate.protocols.responses.schema import validate
from headgate.usage import Usage
from tests.responses_kit import TARGET, frames_of, recorded, reply_for

ITEMS: tuple[Item, ...] = (
    Reasoning((Thought("Let me see."),)),
    Message("assistant", (Text('{"city": "Oslo"}'),)),
    ToolCall("call_1", "get_weather", '{"city":"Oslo"}'),
)
EVENTS: list[Event] = [
    Started(),
    *events_of(ITEMS),
    UsageUpdated(Usage(input_total=5, output_total=7)),
    Finished("tool_calls"),
]
TOOL: Any = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": False}


class City(BaseModel):
    city: str


def translated(body: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    reply = reply_for(body)
    writer = StreamWriter(reply)
    return write_answer(fold(EVENTS), reply), b"".join(writer.write(event) for event in EVENTS)


def passed_through(body: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    whole, streamed = Relay(reply_for(body), TARGET), Relay(reply_for(body), TARGET)
    answer = whole.json(json.dumps(recorded("tools")[-1]["response"]).encode())
    return answer, b"".join(streamed.feed(frame) for frame in frames_of("tools"))


def client(answering: Callable[[dict[str, Any]], tuple[dict[str, Any], bytes]]) -> OpenAI:
    """An SDK client whose every request is checked and answered by us."""

    def handle(request: httpx.Request) -> httpx.Response:
        body = validate(json.loads(request.content))
        answer, stream = answering(body)
        if body.get("stream"):
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)
        return httpx.Response(200, json=answer)

    return OpenAI(
        api_key="k",
        base_url="http://gateway/v1",
        http_client=httpx.Client(transport=httpx.MockTransport(handle)),
        _strict_response_validation=True,
        max_retries=0,
    )


@pytest.mark.parametrize("answering", [translated, passed_through])
def test_whole_and_streamed(answering: Any) -> None:
    sdk = client(answering)
    whole = sdk.responses.create(model="m", input="hi", tools=[TOOL])
    calls = [item for item in whole.output if item.type == "function_call"]
    assert calls and calls[0].name == "get_weather" and whole.status == "completed"
    events = list(sdk.responses.create(model="m", input="hi", tools=[TOOL], stream=True))
    assert events[-1].type == "response.completed" and events[-1].response.output == whole.output
    with sdk.responses.stream(model="m", input="hi", tools=[TOOL]) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert "response.function_call_arguments.delta" in kinds
    assert [item.type for item in final.output] == [item.type for item in whole.output]
    # What the helper adds to the items is what users send back.
    again = [item.model_dump(mode="json") for item in final.output]
    sdk.responses.create(model="m", input=[*again, {"role": "user", "content": "go on"}])


def test_structured_output() -> None:
    parsed = client(translated).responses.parse(model="m", input="hi", text_format=City)
    assert parsed.output_parsed == City(city="Oslo") and parsed.output_text == '{"city": "Oslo"}'


def test_a_failed_stream_reaches_the_user() -> None:
    def failing(body: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        writer = StreamWriter(reply_for(body))
        return {}, b"".join(writer.write(e) for e in [Started(), Failed(provider_failed("It broke.", model="a/b"))])

    events = list(client(failing).responses.create(model="m", input="hi", stream=True))
    last = events[-1]
    assert last.type == "response.failed" and last.response.error is not None
    assert (last.response.error.code, last.response.error.message) == ("server_error", "It broke.")

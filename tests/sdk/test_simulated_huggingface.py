"""The simulated Hugging Face router against its own client and OpenAI's, and our requests against that client's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from dev.serve import Backends
from dev.simulated_providers import Running, serve
from tests.gateway import Origin

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
KIMI = "moonshotai/Kimi-K2.5"


@pytest.fixture(scope="module")
def simulated() -> Iterator[Running]:
    with serve() as running:
        yield running


@pytest.fixture
def client(simulated: Running) -> InferenceClient:
    simulated.clear()
    return InferenceClient(base_url=f"{simulated.url}/huggingface/v1", api_key="hf_one")


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@pytest.mark.parametrize(("variant", "name"), [(":groq", "reasoning"), ("", "reasoning_content")])
def test_a_thought_under_either_name(client: InferenceClient, variant: str, name: str):
    whole = client.chat.completions.create(asked("[[think:Hm.]] [[say:Yes.]]"), model=KIMI + variant)
    assert whole.choices[0].message.content == "Yes." and whole.choices[0].message[name] == "Hm."
    assert whole.model == KIMI and whole.usage.completion_tokens == 4
    usage: Any = {"include_usage": True}
    stream = client.chat.completions.create(
        asked("[[think:Hm.]] [[say:Yes.]]"), model=KIMI + variant, stream=True, stream_options=usage
    )
    chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.get(name) or "" for delta in deltas) == "Hm."
    assert "".join(delta.content or "" for delta in deltas) == "Yes." and chunks[-1].usage.completion_tokens == 4


def test_a_tool_call(client: InferenceClient):
    whole = client.chat.completions.create(asked('[[tool:get_weather {"city":"Oslo"}]]'), model=KIMI, tools=[TOOL])
    (call,) = whole.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city":"Oslo"}')


@pytest.mark.parametrize(("model", "directive", "status", "words"), [
    (f"{KIMI}:nobody", "", 400, "not supported by any provider you have enabled"),
    ("kimi", "", 400, "not supported by any provider you have enabled"),
    (KIMI, "[[fail:402]]", 402, "depleted your monthly included credits"),
    (KIMI, "[[fail:403]]", 403, "sufficient permissions"),
])  # fmt: skip
def test_refusals(client: InferenceClient, model: str, directive: str, status: int, words: str):
    with pytest.raises(HfHubHTTPError, match=words) as caught:
        client.chat.completions.create(asked(directive or "x"), model=model)
    assert caught.value.response.status_code == status


def test_its_responses(simulated: Running):
    url = f"{simulated.url}/huggingface/v1"
    with openai.OpenAI(base_url=url, api_key="hf_one", max_retries=0) as client:
        answer = client.responses.create(model="openai/gpt-oss-120b:groq", input="[[think:Hm.]] [[say:Yes.]]")
        reasoning, message = answer.output
        assert (
            reasoning.content[0].text == "Hm." and message.content[0].text == "Yes." and answer.usage.output_tokens == 0
        )
        stream = client.responses.create(
            model="openai/gpt-oss-120b", input="[[think:Hm.]] [[tokens:9]]", max_output_tokens=16, stream=True
        )
        kinds = [event.type for event in stream]
        assert "response.reasoning_text.delta" in kinds and kinds[-1] == "response.completed"
        for fields in ({"tools": [{"type": "custom", "name": "x"}]}, {"reasoning": {"effort": "none"}}):
            with pytest.raises(openai.BadRequestError) as caught:
                client.responses.create(model="openai/gpt-oss-120b", input="x", extra_body=fields)
            assert caught.value.response.json()["success"] is False


def test_our_request_is_the_clients(
    client: InferenceClient, simulated: Running, gateway_origin: Origin, gateway_backends: Backends
):
    """The same conversation, by Anthropic's protocol through the gateway and by Hugging Face's own client."""
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}
    messages = [
        {"role": "system", "content": "Be brief."},
        *asked("our-shape: weather?"),
        {"role": "assistant", "content": "Looking.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        *asked("And now? [[say:ok]]"),
    ]
    usage: Any = {"include_usage": True}
    list(client.chat.completions.create(
        messages, model=f"{KIMI}:groq", tools=[TOOL], tool_choice="auto", max_tokens=200, temperature=0.5, stream=True,
        stream_options=usage, stop=["END"]))  # fmt: skip
    (theirs,) = simulated.recorded(path="/huggingface")
    body = {
        "model": "huggingface/kimi-k2.5:groq",
        "max_tokens": 200,
        "temperature": 0.5,
        "stop_sequences": ["END"],
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "our-shape: weather?"},
            {"role": "assistant", "content": [
                {"type": "text", "text": "Looking."},
                {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Oslo"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "rain"}]},
            {"role": "user", "content": "And now? [[say:ok]]"},
        ],
        "tools": [{"name": "get_weather", "input_schema": PARAMETERS}],
        "tool_choice": {"type": "auto"},
    }  # fmt: skip
    assert gateway_origin.post("/v1/messages", body).status_code == 200
    (ours,) = gateway_backends.simulated.recorded(path="/huggingface", marker="our-shape")
    # Their client leaves out of the body what it was not given; so do we.
    assert ours.body == {name: value for name, value in theirs.body.items() if value is not None}

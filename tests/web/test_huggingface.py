"""Hugging Face through the gateway: every frontend over its router's chat, and its Responses where asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dev.serve import Backends
from dev.simulated_providers.tokens import count
from tests.gateway import Origin, origin
from tests.web.vendor_kit import CITY, EVERY_WAY, IDS, PATHS, Image, ask
from tests.web.vendor_kit import body as make

KIMI = "huggingface/kimi-k2.5"
# Nobody else offers it, so that a failure has nowhere to go.
ALONE = "huggingface/step-3.7-flash"
CHAT = "/huggingface/v1/chat/completions"
every_way = pytest.mark.parametrize(("frontend", "stream"), EVERY_WAY, ids=IDS)


def heard(backends: Backends, mark: str) -> Any:
    (recorded,) = backends.simulated.recorded(path="/huggingface", marker=mark)
    return recorded


@every_way
def test_text_and_system_text(gateway_origin: Origin, gateway_backends: Backends, frontend: str, stream: bool):
    mark = f"hf-text-{frontend}-{stream}"
    said = ask(gateway_origin, frontend, stream, KIMI, f"{mark} [[echo-system]]", system="Be brief.", limit=500)
    assert said.text == "Be brief." and said.finish in ("completed", "stop", "end_turn") and not said.losses
    sent = heard(gateway_backends, mark)
    # Its translator for Responses is not spoken unasked, and a chat template knows the old roles and names.
    assert sent.path == CHAT and sent.body["messages"][0]["role"] == "system" and sent.body["max_tokens"] == 500
    assert not {"store", "prompt_cache_key", "max_completion_tokens"} & set(sent.body)


@every_way
@pytest.mark.parametrize(("name", "own"), [
    ("huggingface/kimi-k2.5", "moonshotai/Kimi-K2.5"),
    ("huggingface/kimi-k2.5:together", "moonshotai/Kimi-K2.5:together"),
    ("hf/kimi-k2.5:cheapest", "moonshotai/Kimi-K2.5:cheapest"),
    ("huggingface/moonshotai/Kimi-K2.5:fastest", "moonshotai/Kimi-K2.5:fastest"),
    ("huggingface/openai/gpt-oss-120b", "openai/gpt-oss-120b"),
])  # fmt: skip
def test_the_name_chooses_the_provider(
    gateway_origin: Origin, gateway_backends: Backends, frontend: str, stream: bool, name: str, own: str
):
    mark = f"hf-name-{frontend}-{stream}-{name.replace('/', '-')}."
    said = ask(gateway_origin, frontend, stream, name, f"{mark} [[say:Hello.]]")
    assert said.text == "Hello." and heard(gateway_backends, mark).body["model"] == own
    assert said.response.headers["x-headgate-model"] in (KIMI, "huggingface/gpt-oss-120b")


def test_names_that_are_none(gateway_origin: Origin):
    for name in ("huggingface/kimi-k2.5:", "huggingface/kimi-k2.5:a b", "huggingface/kimi-k9:groq", "kimi-k2.5:groq"):
        said = ask(gateway_origin, "responses", False, name, "hello", status=400)
        assert said.response.json()["error"]["code"] == "model_not_found", name
    # What the router does not serve, and an openai model with a word of another vendor's.
    said = ask(gateway_origin, "responses", False, f"{ALONE}:nobody", "hello", status=424)
    assert "not supported by any provider you have enabled" in said.response.json()["error"]["message"]
    said = ask(gateway_origin, "responses", False, "openai/gpt-4o-mini:groq", "hello", status=400)
    assert said.response.json()["error"]["code"] == "model_not_found"


def test_the_deployment_chooses_and_the_caller_chooses_again(gateway_backends: Backends):
    ids = {
        "HEADGATE_HUGGINGFACE_MODEL_IDS": "moonshotai/Kimi-K2.5=moonshotai/Kimi-K2.5:novita",
        "HEADGATE_HUGGINGFACE_BASE_URL": f"{gateway_backends.simulated.url}/huggingface/v1",
        "HF_TOKEN": "hf_deployed",
    }
    with origin(gateway_backends, ids) as running:
        for name, own in ((KIMI, "novita"), (f"{KIMI}:groq", "groq")):
            mark = f"hf-deployed-{own}"
            ask(running, "messages", False, name, f"{mark} [[say:ok]]")
            assert heard(gateway_backends, mark).body["model"] == f"moonshotai/Kimi-K2.5:{own}"


@every_way
@pytest.mark.parametrize("variant", ["groq", "novita"])
def test_thoughts_under_either_name(gateway_origin: Origin, frontend: str, stream: bool, variant: str):
    said = ask(gateway_origin, frontend, stream, f"{KIMI}:{variant}", "[[think:First this.]] [[say:So it is.]]")
    assert (said.thoughts, said.text) == ("First this.", "So it is.")
    assert said.usage["output"] == count("First this.") + count("So it is.")
    row = gateway_origin.log_row(said.response.headers["x-request-id"])
    # Kimi K2.5: 0.60, cached 0.10, output 3.00 dollars for a million tokens.
    fresh = said.usage["input"] - said.usage["cached"]
    assert row.cost_pico == fresh * 600_000 + said.usage["cached"] * 100_000 + said.usage["output"] * 3_000_000
    again = ask(gateway_origin, frontend, stream, KIMI, "hello", said, "[[history]]")
    assert "assistant: So it is." in again.text and "First this." not in again.text


@every_way
def test_parallel_tools_with_results_out_of_order(gateway_origin: Origin, frontend: str, stream: bool):
    tools = {"get_weather": CITY, "get_time": CITY}
    asked = '[[tool:get_weather {"city":"Paris"}]] [[tool:get_time {"city":"Rome"}]]'
    first = ask(gateway_origin, frontend, stream, KIMI, asked, tools=tools)
    assert [call[1:] for call in first.calls] == [("get_weather", {"city": "Paris"}), ("get_time", {"city": "Rome"})]
    (weather, *_), (time, *_) = first.calls
    second = ask(gateway_origin, frontend, stream, KIMI, asked, first, {time: "noon", weather: "rain"}, tools=tools)
    assert "get_time gave: noon" in second.text and "get_weather gave: rain" in second.text
    named = ask(gateway_origin, frontend, stream, KIMI, "hello", tools=tools, choice="get_time")
    assert [call[1] for call in named.calls] == ["get_time"]
    one = ask(gateway_origin, frontend, stream, KIMI, asked, tools=tools, choice="auto", parallel=False)
    assert len(one.calls) == 1


@every_way
def test_structured_output_images_limit_and_stop(gateway_origin: Origin, frontend: str, stream: bool):
    said = ask(gateway_origin, frontend, stream, "huggingface/qwen3.6-27b", "Where?", schema=CITY)
    assert isinstance(json.loads(said.text)["city"], str)
    parts = ["What is this?", Image(), Image("https://example.com/a.png")]
    assert ask(gateway_origin, frontend, stream, KIMI, parts).text.endswith("I see 2 images.")
    model = "huggingface/qwen3-coder-480b-a35b"
    cut = ask(gateway_origin, frontend, stream, model, "[[tokens:40]]", limit=20)
    assert cut.finish in ("incomplete", "length", "max_tokens") and cut.usage["output"] == 20
    if frontend != "responses":
        stopped = ask(gateway_origin, frontend, stream, model, "[[say:one two three]]", stop=["two"])
        assert stopped.text == "one " and not stopped.losses


@every_way
def test_an_image_for_a_model_without_eyes_is_refused(gateway_origin: Origin, frontend: str, stream: bool):
    if frontend == "chat_completions":
        pytest.skip("a chat goes on as it is: the provider judges")
    said = ask(gateway_origin, frontend, stream, "huggingface/glm-5", ["What?", Image()], status=400)
    assert "image" in said.response.json()["error"]["message"]


@every_way
def test_knobs_that_it_lacks_are_announced(gateway_origin: Origin, frontend: str, stream: bool):
    knobs: dict[str, dict[str, Any]] = {
        "responses": {"max_tool_calls": 3, "text": {"verbosity": "low"}},
        "chat_completions": {"verbosity": "low", "web_search_options": {}},
        "messages": {"top_k": 5},
    }
    said = ask(gateway_origin, frontend, stream, KIMI, "[[say:fine]]", extra=knobs[frontend])
    lost = {"responses": "max_tool_calls", "chat_completions": "web_search_options", "messages": "top_k"}[frontend]
    assert said.text == "fine" and lost in said.losses
    strict = {"x-headgate-strict": "true"}
    ask(gateway_origin, frontend, stream, KIMI, "x", extra=knobs[frontend], headers=strict, status=400)


@every_way
@pytest.mark.parametrize(("directive", "status", "words"), [
    ("[[fail:400 message=Bad.]]", 400, "Bad."),
    ("[[fail:402]]", 424, "depleted your monthly included credits"),
    ("[[fail:403]]", 424, "sufficient permissions"),
    ("[[fail:429 retry-after=3]]", 429, "Rate limit exceeded"),
    ("[[fail:503 html]]", 424, ""),
])  # fmt: skip
def test_errors_before_the_first_byte(
    gateway_origin: Origin, frontend: str, stream: bool, directive: str, status: int, words: str
):
    said = ask(gateway_origin, frontend, stream, ALONE, directive, status=status)
    error = said.response.json()["error"]
    assert words in error["message"] and "<html" not in said.response.text
    if status == 429:
        assert said.response.headers["retry-after"] == "3"


@pytest.mark.parametrize("frontend", ["responses", "chat_completions", "messages"])
@pytest.mark.parametrize("fault", ["[[error-after:2]]", "[[cut-after:2]]"])
def test_an_error_after_the_first_byte(gateway_origin: Origin, frontend: str, fault: str):
    ends = {"responses": "response.failed", "chat_completions": '"error"', "messages": "event: error"}[frontend]
    sent = make(frontend, KIMI, [f"{fault} [[tokens:9]]"]) | {"stream": True}
    answer = gateway_origin.post(PATHS[frontend], sent)
    assert answer.status_code == 200 and ends in answer.text


@pytest.fixture(scope="module")
def translator(gateway_backends: Backends) -> Iterator[Origin]:
    """A gateway that was told to speak Hugging Face's Responses as well."""
    with origin(gateway_backends, {"HEADGATE_HUGGINGFACE_PROTOCOLS": "responses,chat_completions"}) as running:
        yield running


@pytest.mark.parametrize("stream", [False, True])
def test_its_responses_where_they_are_asked_for(translator: Origin, gateway_backends: Backends, stream: bool):
    oss = "huggingface/gpt-oss-120b"
    mark = f"hf-responses-{stream}"
    asked = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": f"{mark} [[think:Hm.]] [[echo-system]]"},
    ]
    given = {"input": asked, "reasoning": {"effort": "minimal", "summary": "detailed"}, "metadata": {"a": "b"}}
    said = ask(translator, "responses", stream, oss, extra=given)
    assert (said.thoughts, said.text) == ("Hm.", "Be brief.")
    assert "reasoning.effort" in said.losses and "reasoning.summary" in said.losses
    sent = heard(gateway_backends, mark)
    assert sent.path == "/huggingface/v1/responses" and sent.body["input"][0]["role"] == "system"
    assert sent.body["reasoning"] == {"effort": "low", "summary": "auto"}
    # What its validator says is handed on.
    images = [{"type": "input_file", "file_url": "https://example.com/a"}]
    wrong = ask(
        translator, "responses", stream, oss, extra={"input": [{"role": "user", "content": images}]}, status=400
    )
    assert wrong.response.json()["error"]["message"] == "Invalid input"
    # A free-text tool becomes a function there, and its call comes back as what it was.
    tool = {"type": "custom", "name": "patch"}
    asked_for = '[[tool:patch {"input":"text"}]]'
    called = ask(translator, "responses", stream, oss, asked_for, extra={"tools": [tool]})
    (call,) = [item for item in called.turn if item["type"].endswith("_call")]
    assert (call["type"], call["input"]) == ("custom_tool_call", "text")
    # The others keep to the chat.
    ask(translator, "messages", stream, oss, f"{mark}-messages [[say:ok]]")
    assert heard(gateway_backends, f"{mark}-messages").path == CHAT

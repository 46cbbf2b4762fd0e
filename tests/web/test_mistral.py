"""Mistral, simulated, through every frontend, streamed or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dev.serve import Backends
from tests.gateway import Origin, origin
from tests.sdk.support import CITY_SCHEMA, PDF_URL, PNG_URL, WEB_IMAGE, ZONE_SCHEMA
from tests.web.frontends import PATHS, WAY_IDS, WAYS, Said, Turn, ask, body_of, events_of

MODEL, THINKER, DEEP = "mistral/mistral-large-2512", "mistral/mistral-small-2603", "mistral/magistral-medium"
TOOLS = {"get_weather": CITY_SCHEMA, "get_time": ZONE_SCHEMA}
Way = tuple[str, bool]


@pytest.fixture(scope="module")
def running(gateway_backends: Backends) -> Iterator[Origin]:
    with origin(gateway_backends) as one:
        yield one


@pytest.fixture(params=WAYS, ids=WAY_IDS)
def way(request: pytest.FixtureRequest) -> Way:
    return request.param


def sent(running: Origin, marker: str) -> list[Any]:
    """The bodies that Mistral was sent."""
    return [one.body for one in running.backends.simulated.recorded(marker=marker, path="/mistral")]


def history(running: Origin, way: Way, turns: list[Turn], **options: Any) -> list[str]:
    """The conversation as Mistral understood it."""
    said = ask(running, way, options.pop("model", MODEL), [*turns, ("user", "[[history]]")], **options)
    return said.text.splitlines()


def test_text_and_exact_usage(running: Origin, way: Way):
    said = ask(running, way, MODEL, "[[say:Salut à tous.]]")
    assert said.text == "Salut à tous." and not said.thoughts
    assert said.finish in ("completed", "stop", "end_turn")
    assert said.usage[2] == 4 and said.usage[0] > 0
    assert said.http.headers["x-headgate-simulated"] == "true" and not said.losses


def test_system_and_developer_text(running: Origin, way: Way):
    lines = history(running, way, [("system", "Be brief."), ("developer", "Be kind.")])
    assert "\n".join(lines).startswith("system: Be brief.") and any("Be kind." in line for line in lines[:3])


def test_parallel_calls_with_results_out_of_order(running: Origin, way: Way):
    turns: list[Turn] = [
        ("user", "Paris and Rome?"),
        ("call", "call_of_another_vendor_1", "get_weather", '{"city":"Paris"}'),
        ("call", "call_of_another_vendor_2", "get_time", '{"zone":"UTC","offset":1}'),
        ("result", "call_of_another_vendor_2", "noon"),
        ("result", "call_of_another_vendor_1", "19 degrees"),
    ]
    lines = history(running, way, turns, tools=TOOLS)
    assert lines[1:3] == ['call get_weather {"city":"Paris"}', 'call get_time {"zone":"UTC","offset":1}']
    assert sorted(lines[3:5]) == ["result of get_time: noon", "result of get_weather: 19 degrees"]
    # Nobody but the assistant may speak after a tool.
    assert lines[5] == "assistant: OK"
    asked = ask(running, way, MODEL, "use get_weather and get_time", tools=TOOLS)
    assert [(name, bool(arguments)) for _, name, arguments in asked.calls] == [
        ("get_weather", True),
        ("get_time", True),
    ]
    assert all(len(call_id) == 9 and call_id.isalnum() for call_id, _, _ in asked.calls)


def test_a_whole_tool_loop(running: Origin, way: Way):
    ask_again: Turn = ("user", "use get_weather [[then:Warm.]]")
    first = ask(running, way, MODEL, [ask_again], tools=TOOLS)
    ((call_id, name, _),) = first.calls
    assert name == "get_weather" and first.finish in ("completed", "tool_calls", "tool_use")
    second = ask(running, way, MODEL, [ask_again, ("history", first.message), ("result", call_id, "19")], tools=TOOLS)
    assert second.text == "Warm."


def test_a_forced_and_a_forbidden_tool(running: Origin, way: Way):
    assert [name for _, name, _ in ask(running, way, MODEL, "hello", tools=TOOLS, choice="get_time").calls] == [
        "get_time"
    ]
    assert ask(running, way, MODEL, "hello", tools=TOOLS, choice="required").calls
    assert not ask(running, way, MODEL, "use get_weather", tools=TOOLS, choice="none").calls


def test_structured_output(running: Origin, way: Way):
    said = ask(running, way, MODEL, "a city", schema=CITY_SCHEMA)
    assert isinstance(json.loads(said.text)["city"], str)


def test_reasoning_is_shown_counted_and_sent_back(running: Origin, way: Way):
    mark = f"thought-{'-'.join(map(str, way))}"
    question: Turn = ("user", f"{mark} [[think:Let me see.]][[say:Four.]]")
    said = ask(running, way, THINKER, [question], effort="high")
    assert (said.thoughts, said.text) == ("Let me see.", "Four.")
    # Four tokens of thought and two of text: Mistral counts both, and does not tell them apart.
    assert said.usage[2] == 6
    back = ask(running, way, THINKER, [question, ("history", said.message), ("user", "[[history]]")], effort="high")
    assert "thought: Let me see." in back.text.splitlines() and "assistant: Four." in back.text.splitlines()
    part = dict(sent(running, mark)[-1]["messages"][1]["content"][0])
    # Of whom the signature is, and that it comes back whole, is asked of every vendor in tests/matrix.
    part.pop("signature", None)
    assert part == {"type": "thinking", "thinking": [{"type": "text", "text": "Let me see."}], "closed": True}
    quiet = ask(running, way, THINKER, "[[say:Four.]]")
    assert not quiet.thoughts


def test_a_model_that_always_thinks_takes_no_effort(running: Origin, way: Way):
    said = ask(running, way, DEEP, "[[think:Hm.]][[say:Yes.]]", effort="high")
    assert (said.thoughts, said.text) == ("Hm.", "Yes.") and "reasoning" in said.losses


def test_images_and_documents(running: Origin, way: Way):
    mark = f"media-{'-'.join(map(str, way))}"
    parts = [("text", f"{mark} look"), ("image", PNG_URL), ("pdf", PDF_URL)]
    assert "1 image, 1 file" in ask(running, way, MODEL, [("user", parts)]).text
    kinds = [part["type"] for part in sent(running, mark)[0]["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "document_url"]


def test_an_image_by_address(running: Origin, way: Way):
    assert "1 image" in ask(running, way, MODEL, [("user", [("text", "look"), ("image", WEB_IMAGE)])]).text


def test_stop_and_bound(running: Origin, way: Way):
    cut = ask(running, way, MODEL, "[[tokens:50]]", max_tokens=16)
    assert cut.usage[2] == 16 and cut.finish in ("max_output_tokens", "length", "max_tokens")
    if way[0] != "responses":
        assert ask(running, way, MODEL, "[[say:one two END three]]", stop=["END"]).text == "one two "


def test_a_prompt_is_cached_under_a_key(running: Origin, way: Way):
    long = f"{way} " + "word " * 2000
    first, again = (ask(running, way, MODEL, long) for _ in range(2))
    assert first.usage[1] == 0 and again.usage[1] > 1000 and again.usage[0] == first.usage[0]


def test_an_answer_that_is_begun_is_continued(running: Origin, way: Way):
    turns: list[Turn] = [("user", "[[say: wonderful day.]]"), ("assistant", "A most")]
    said = ask(running, way, MODEL, turns)
    # A client of Chat Completions gets what Mistral says, which begins with what it was given.
    assert said.text == ("A most wonderful day." if way[0] == "chat_completions" else " wonderful day.")


def test_errors_before_the_first_byte(running: Origin, way: Way):
    frontend, stream = way
    body = body_of(frontend, MODEL, [("user", "[[fail:429 retry-after=7]]")])
    answer = running.post(PATHS[frontend], {**body, "stream": stream})
    assert answer.status_code == 429 and answer.headers["retry-after"] == "7"
    mark = "[[fail:400 type=invalid_prompt message=No such luck.]]"
    answer = running.post(PATHS[frontend], {**body_of(frontend, MODEL, [("user", mark)]), "stream": stream})
    assert answer.status_code == 400 and answer.json()["error"]["message"] == "No such luck."
    answer = running.post(PATHS[frontend], {**body_of(frontend, MODEL, [("user", "x")]), "temperature": 1.9})
    if frontend != "messages":
        assert answer.status_code == 400 and "less than or equal to 1.5 (temperature)" in answer.text


@pytest.mark.parametrize("frontend", PATHS)
@pytest.mark.parametrize("fault", ["error-after:2", "cut-after:2"])
def test_errors_after_the_first_byte(running: Origin, frontend: str, fault: str):
    body = body_of(frontend, MODEL, [("user", f"[[{fault}]][[say:one two three four five six]]")])
    answer = running.post(PATHS[frontend], {**body, "stream": True})
    last = events_of(answer.text)[-1]
    assert answer.status_code == 200 and ("error" in last or last["type"] in ("error", "response.failed")), last
    assert "httpx" not in answer.text


@pytest.mark.parametrize("stream", [False, True])
def test_knobs_that_it_does_not_have(running: Origin, stream: bool):
    knobs = {"logit_bias": {"1": 2}, "verbosity": "low", "seed": 7, "top_logprobs": 2, "logprobs": True}
    mark = f"knobs-{stream}"
    turns: list[Turn] = [("user", f"{mark} [[say:ok]]")]
    said = ask(running, ("chat_completions", stream), MODEL, turns, more={**knobs, "max_completion_tokens": 50})
    assert "logit_bias" in said.losses and "verbosity" in said.losses
    (body,) = sent(running, mark)
    assert body["random_seed"] == 7 and body["max_tokens"] == 50
    assert not {"seed", "logit_bias", "verbosity", "stream_options", "max_completion_tokens"} & set(body)
    request = body_of("chat_completions", MODEL, turns, more={"logit_bias": {"1": 2}})
    strict = running.post(PATHS["chat_completions"], request, headers={"x-headgate-strict": "true"})
    assert strict.status_code == 400 and strict.json()["error"]["param"] == "logit_bias"


def test_messages_of_other_clients_lose_only_what_says_nothing(running: Origin):
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hello", "name": "ada"},
        {"role": "assistant", "content": "Hi", "refusal": None, "annotations": [], "audio": None},
        {"role": "system", "content": "It is late."},
        {"role": "user", "content": "messages-of-others [[history]]"},
    ]
    tool = {"type": "function", "function": {"name": "now"}}
    answer = running.post("/v1/chat/completions", {"model": MODEL, "messages": messages, "tools": [tool]})
    assert answer.status_code == 200, answer.text
    assert "messages[1].name" in answer.headers["x-headgate-losses"]
    lines = answer.json()["choices"][0]["message"]["content"].splitlines()
    assert lines[:4] == ["system: Be brief.", "user: Hello", "assistant: Hi", "user: <system>"]
    (body,) = sent(running, "messages-of-others")
    assert body["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}


def test_what_only_mistral_knows_passes(running: Origin):
    more = {"safe_prompt": True, "random_seed": 3, "prompt_mode": None}
    said: Said = ask(running, ("chat_completions", False), MODEL, "own-fields [[say:ok]]", more=more)
    (body,) = sent(running, "own-fields")
    assert said.text == "ok" and body["safe_prompt"] is True and body["random_seed"] == 3

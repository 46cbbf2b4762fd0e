"""Cloudflare Workers AI, simulated, through every frontend, streamed or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dev.serve import Backends
from dev.simulated_providers.recorder import Recorded
from tests.gateway import Origin, origin
from tests.sdk.support import CITY_SCHEMA, PDF_URL, PNG_URL, ZONE_SCHEMA
from tests.web.frontends import PATHS, WAY_IDS, WAYS, Turn, ask, body_of, events_of

MODEL = "cloudflare/llama-4-scout"
# They show their thoughts under two names.
THINKERS = ("cloudflare/gpt-oss-120b", "cloudflare/gemma-4-26b-a4b-it")
TOOLS = {"get_weather": CITY_SCHEMA, "get_time": ZONE_SCHEMA}
Way = tuple[str, bool]


@pytest.fixture(scope="module")
def running(gateway_backends: Backends) -> Iterator[Origin]:
    with origin(gateway_backends) as one:
        yield one


@pytest.fixture(params=WAYS, ids=WAY_IDS)
def way(request: pytest.FixtureRequest) -> Way:
    return request.param


def sent(running: Origin, marker: str) -> list[Recorded]:
    """What Workers AI was sent."""
    return running.backends.simulated.recorded(marker=marker, path="/cloudflare/client/v4/accounts/simulated/ai/v1")


def test_text_and_exact_usage(running: Origin, way: Way):
    said = ask(running, way, MODEL, "[[say:Hello to all of you.]]")
    assert said.text == "Hello to all of you." and said.usage[2] == 6 and said.usage[0] > 0
    assert said.finish in ("completed", "stop", "end_turn") and not said.losses
    cut = ask(running, way, MODEL, "[[tokens:50]]", max_tokens=16)
    assert cut.usage[2] == 16 and cut.finish in ("max_output_tokens", "length", "max_tokens")


def test_a_client_that_asks_for_no_usage_gets_none(running: Origin):
    body = body_of("chat_completions", MODEL, [("user", "[[say:Hello there.]]")])
    answer = running.post(PATHS["chat_completions"], {**body, "stream": True})
    chunks = events_of(answer.text)
    assert all("usage" not in chunk and "response" not in chunk and chunk["choices"] for chunk in chunks)
    row = running.log_row(answer.headers["x-request-id"])
    assert row.output_tokens == 3 and not row.estimated


@pytest.mark.parametrize("model", THINKERS)
def test_reasoning_is_shown_counted_and_sent_back(running: Origin, way: Way, model: str):
    mark = f"thought-{model[-8:]}-{'-'.join(map(str, way))}"
    question: Turn = ("user", f"{mark} [[think:Let me see.]][[say:Four.]]")
    said = ask(running, way, model, [question], effort="high")
    assert (said.thoughts, said.text) == ("Let me see.", "Four.") and said.usage[2] == 6
    assert sent(running, mark)[0].body["reasoning_effort"] == "high"
    back = ask(running, way, model, [question, ("history", said.message), ("user", "[[history]]")])
    assert "thought: Let me see." in back.text.splitlines() and "assistant: Four." in back.text.splitlines()
    assert sent(running, mark)[-1].body["messages"][1]["reasoning"] == "Let me see."


def test_parallel_calls_with_results_out_of_order(running: Origin, way: Way):
    turns: list[Turn] = [
        ("system", "Be brief."),
        ("user", "Paris and noon?"),
        ("call", "call_1", "get_weather", '{"city":"Paris"}'),
        ("call", "call_2", "get_time", '{"zone":"UTC","offset":1}'),
        ("result", "call_2", "noon"),
        ("result", "call_1", "19 degrees"),
        ("user", "[[history]]"),
    ]
    lines = ask(running, way, MODEL, turns, tools=TOOLS).text.splitlines()
    assert lines[0] == "system: Be brief."
    assert lines[2:4] == ['call get_weather {"city":"Paris"}', 'call get_time {"zone":"UTC","offset":1}']
    assert sorted(lines[4:6]) == ["result of get_time: noon", "result of get_weather: 19 degrees"]
    asked = ask(running, way, MODEL, "use get_weather and get_time", tools=TOOLS)
    assert [name for _, name, _ in asked.calls] == ["get_weather", "get_time"]
    assert asked.finish in ("completed", "tool_calls", "tool_use")
    assert [name for _, name, _ in ask(running, way, MODEL, "hi", tools=TOOLS, choice="get_time").calls] == ["get_time"]
    assert not ask(running, way, MODEL, "use get_weather", tools=TOOLS, choice="none").calls


def test_structured_output(running: Origin, way: Way):
    said = ask(running, way, THINKERS[0], "a city", schema=CITY_SCHEMA)
    assert isinstance(json.loads(said.text)["city"], str)


def test_images_but_no_documents(running: Origin, way: Way):
    parts = [("text", "look"), ("image", PNG_URL)]
    assert "1 image" in ask(running, way, MODEL, [("user", parts)]).text
    if way[0] != "chat_completions":
        body = body_of(way[0], MODEL, [("user", [("text", "read"), ("pdf", PDF_URL)])])
        answer = running.post(PATHS[way[0]], {**body, "stream": way[1]})
        assert answer.status_code == 400 and "pdf" in answer.json()["error"]["message"].lower()


def test_stop(running: Origin, way: Way):
    if way[0] != "responses":
        assert ask(running, way, MODEL, "[[say:one two END three]]", stop=["END"]).text == "one two "


def test_a_conversation_meets_its_cache(running: Origin, way: Way):
    mark = f"cached-{'-'.join(map(str, way))}"
    long = f"{mark} " + "word " * 2000
    first, again = (ask(running, way, MODEL, long) for _ in range(2))
    assert first.usage[1] == 0 and again.usage[1] > 1000 and again.usage[0] == first.usage[0]
    (one, other) = sent(running, mark)
    assert one.headers["x-session-affinity"] == other.headers["x-session-affinity"]
    assert "prompt_cache_key" not in one.body


def test_errors_before_the_first_byte(running: Origin, way: Way):
    frontend, stream = way

    def refused(text: str, **headers: str) -> Any:
        body = {**body_of(frontend, MODEL, [("user", text)]), "stream": stream}
        return running.post(PATHS[frontend], body, headers=headers)

    limited = refused("[[fail:429 retry-after=7]]")
    assert limited.status_code == 429 and limited.headers["retry-after"] == "7"
    bad = refused("[[fail:400 message=AiError: Bad input: too long code=5006]]")
    assert bad.status_code == 400 and "Bad input: too long" in bad.json()["error"]["message"]


@pytest.mark.parametrize("frontend", PATHS)
@pytest.mark.parametrize("fault", ["error-after:2", "cut-after:2"])
def test_errors_after_the_first_byte(running: Origin, frontend: str, fault: str):
    body = body_of(frontend, MODEL, [("user", f"[[{fault}]][[say:one two three four five six]]")])
    answer = running.post(PATHS[frontend], {**body, "stream": True})
    last = events_of(answer.text)[-1]
    assert answer.status_code == 200 and ("error" in last or last["type"] in ("error", "response.failed")), last


def test_knobs_that_it_does_not_have(running: Origin):
    more = {"verbosity": "low", "prompt_cache_retention": "24h"}
    said = ask(running, ("chat_completions", False), MODEL, "knobs-there [[say:ok]]", more=more)
    assert "verbosity" in said.losses and "prompt_cache_retention" in said.losses
    # Nobody else has this model.
    only = "cloudflare/granite-4.0-h-micro"
    request = body_of("chat_completions", only, [("user", "x")], more={"verbosity": "low"})
    strict = running.post(PATHS["chat_completions"], request, headers={"x-headgate-strict": "true"})
    assert strict.status_code == 400 and strict.json()["error"]["param"] == "verbosity"

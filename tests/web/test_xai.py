"""xAI through the gateway: every frontend over its Responses and its chat, as its simulation reads and answers them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dev.serve import Backends
from dev.simulated_providers.tokens import count
from tests.gateway import Origin, origin
from tests.web.vendor_kit import CITY, EVERY_WAY, IDS, PATHS, Image, ask, events
from tests.web.vendor_kit import body as make

GROK = "xai/grok-4.3"
PLAIN = "xai/grok-4.20-non-reasoning"
FIXED = "xai/grok-4.20-reasoning"
every_way = pytest.mark.parametrize(("frontend", "stream"), EVERY_WAY, ids=IDS)


@pytest.fixture(scope="module", params=["responses", "chat_completions"])
def grok(request: pytest.FixtureRequest, gateway_backends: Backends) -> Iterator[Origin]:
    """A gateway that speaks to xAI as it would by itself, and one that speaks only its chat."""
    limit = {} if request.param == "responses" else {"HEADGATE_XAI_PROTOCOLS": "chat_completions"}
    with origin(gateway_backends, limit) as running:
        running.headers["x-mark"] = request.param
        yield running


def heard(backends: Backends, mark: str) -> Any:
    (recorded,) = backends.simulated.recorded(path="/xai", marker=mark)
    return recorded


def chats(origin: Origin, frontend: str) -> bool:
    return frontend == "chat_completions" or origin.headers["x-mark"] == "chat_completions"


@every_way
def test_text_and_system_text(grok: Origin, frontend: str, stream: bool):
    said = ask(grok, frontend, stream, GROK, "[[echo-system]]", system="Be brief.")
    assert said.text == "Be brief." and said.finish in ("completed", "stop", "end_turn")
    assert said.response.headers["x-headgate-simulated"] == "true" and not said.losses
    assert ask(grok, frontend, stream, PLAIN, "[[say:Hello — there]]").text == "Hello — there"


@every_way
def test_thoughts_are_shown_counted_and_sent_back(
    grok: Origin, gateway_backends: Backends, frontend: str, stream: bool
):
    mark = f"thoughts-{frontend}-{stream}-{grok.headers['x-mark']}"
    asked = f"{mark} [[think:First this, then that.]] [[say:So it is.]]"
    first = ask(grok, frontend, stream, GROK, asked, effort="high")
    assert (first.thoughts, first.text) == ("First this, then that.", "So it is.")
    thought, text = count("First this, then that."), count("So it is.")
    assert first.usage["output"] == thought + text
    assert first.usage["reasoning"] in (thought, None)
    sent = heard(gateway_backends, mark).body
    assert (sent.get("reasoning") or {}).get("effort", sent.get("reasoning_effort")) == "high"

    again = f"{mark}-again [[history]]"
    second = ask(grok, frontend, stream, GROK, asked, first, again, effort="low", extra=_asking_for_seals(frontend))
    back = heard(gateway_backends, f"{mark}-again").body
    if chats(grok, frontend):
        assert back["messages"][1]["reasoning_content"] == "First this, then that."
        assert "thought: First this, then that." in second.text
    elif frontend == "messages":
        (item,) = [item for item in back["input"] if item.get("type") == "reasoning"]
        assert item["encrypted_content"] and not item["encrypted_content"].startswith("hg")
        assert "thought (sealed): First this, then that." in second.text


def _asking_for_seals(frontend: str) -> dict[str, Any]:
    return {"include": ["reasoning.encrypted_content"]} if frontend == "responses" else {}


@pytest.mark.parametrize("stream", [False, True])
def test_sealed_reasoning_survives_a_chain_and_a_client(
    gateway_origin: Origin, gateway_backends: Backends, stream: bool
):
    seals = {"include": ["reasoning.encrypted_content"]}
    asked = f"sealed-{stream} [[think:Deep.]] [[say:One.]]"
    first = ask(gateway_origin, "responses", stream, GROK, asked, extra=seals)
    (reasoning, _) = first.turn
    assert reasoning["encrypted_content"].startswith("hg1.")
    second = ask(gateway_origin, "responses", stream, GROK, asked, first, "[[history]]", extra=seals)
    assert "thought (sealed): Deep." in second.text and not second.losses
    # The same through our state, where the client keeps nothing.
    kept = json.loads(first.response.text) if not stream else events(first.response.text)[-1]["response"]
    chained = ask(gateway_origin, "responses", stream, GROK, "[[history]]", extra={"previous_response_id": kept["id"]})
    assert "thought (sealed): Deep." in chained.text
    # Another vendor is not shown it.
    elsewhere = ask(gateway_origin, "responses", stream, "gpt-4o-mini", asked, first, "[[history]]", extra=seals)
    assert "thought" not in elsewhere.text and "foreign_signature" in elsewhere.losses


@every_way
def test_parallel_tools_with_results_out_of_order(grok: Origin, frontend: str, stream: bool):
    tools = {"get_weather": CITY, "get_time": CITY}
    asked = '[[tool:get_weather {"city":"Paris"}]] [[tool:get_time {"city":"Rome"}]] [[then:Both done.]]'
    first = ask(grok, frontend, stream, GROK, asked, tools=tools)
    assert [call[1:] for call in first.calls] == [("get_weather", {"city": "Paris"}), ("get_time", {"city": "Rome"})]
    assert first.finish in ("completed", "tool_calls", "tool_use")
    (weather, *_), (time, *_) = first.calls
    second = ask(grok, frontend, stream, GROK, asked, first, {time: "noon", weather: "rain"}, tools=tools)
    assert second.text == "Both done."
    asked = asked.replace("[[then:Both done.]]", "")
    first = ask(grok, frontend, stream, GROK, asked, tools=tools)
    (weather, *_), (time, *_) = first.calls
    second = ask(grok, frontend, stream, GROK, asked, first, {time: "noon", weather: "rain"}, tools=tools)
    assert "get_time gave: noon" in second.text and "get_weather gave: rain" in second.text


@every_way
def test_forced_forbidden_and_single_tools(grok: Origin, frontend: str, stream: bool):
    tools = {"get_weather": CITY, "get_time": CITY}
    named = ask(grok, frontend, stream, GROK, "hello", tools=tools, choice="get_time")
    assert [call[1] for call in named.calls] == ["get_time"]
    assert ask(grok, frontend, stream, GROK, "hello", tools=tools, choice="required").calls
    assert not ask(grok, frontend, stream, GROK, "get_weather please", tools=tools, choice="none").calls
    both = "[[tool:get_weather]] [[tool:get_time]]"
    assert len(ask(grok, frontend, stream, GROK, both, tools=tools, choice="auto", parallel=False).calls) == 1


@every_way
def test_structured_output(grok: Origin, frontend: str, stream: bool):
    said = ask(grok, frontend, stream, GROK, "Where?", schema=CITY)
    assert isinstance(json.loads(said.text)["city"], str)


@every_way
def test_images(grok: Origin, frontend: str, stream: bool):
    said = ask(grok, frontend, stream, GROK, ["What is this?", Image(), Image("https://example.com/a.png")])
    assert said.text.endswith("I see 2 images.")


@every_way
def test_the_limit_counts_no_thoughts(grok: Origin, frontend: str, stream: bool):
    said = ask(grok, frontend, stream, GROK, "[[think:A thought.]] [[tokens:40]]", effort="low", limit=20)
    assert said.finish in ("incomplete", "length", "max_tokens")
    assert said.usage["output"] == count("A thought.") + 20


@every_way
def test_stop_words_are_for_models_that_do_not_reason(grok: Origin, frontend: str, stream: bool):
    if frontend == "responses":
        pytest.skip("the protocol has no stop words")
    said = ask(grok, frontend, stream, GROK, "[[say:one two three]]", stop=["two"])
    assert "stop" in said.losses and said.text == "one two three"
    strict = {"x-headgate-strict": "true"}
    assert ask(grok, frontend, stream, GROK, "x", stop=["two"], headers=strict, status=400)
    said = ask(grok, frontend, stream, PLAIN, "[[say:one two three]]", stop=["two"])
    if chats(grok, frontend):
        assert said.text == "one " and not said.losses


@every_way
def test_efforts_are_for_models_that_list_them(grok: Origin, frontend: str, stream: bool):
    for model in (FIXED, PLAIN):
        said = ask(grok, frontend, stream, model, "[[say:fine]]", effort="high")
        assert said.text == "fine" and "reasoning" in said.losses
    # The least that a model has stands for a smaller one.
    assert ask(grok, frontend, stream, GROK, "[[say:fine]]", effort="low").text == "fine"


@every_way
def test_a_repeated_prompt_is_read_from_the_cache(
    grok: Origin, gateway_backends: Backends, frontend: str, stream: bool
):
    mark = f"cached-{frontend}-{stream}-{grok.headers['x-mark']}"
    system = f"{mark} " + "The long instructions of a patient person. " * 300
    first = ask(grok, frontend, stream, PLAIN, "[[say:one]]", system=system)
    second = ask(grok, frontend, stream, PLAIN, "[[say:one]]", system=system)
    assert first.usage["cached"] == 0 and second.usage["cached"] >= 1024
    assert first.usage["input"] == second.usage["input"]
    keys = set()
    for recorded in gateway_backends.simulated.recorded(path="/xai", marker=mark):
        if chats(grok, frontend):
            keys.add(recorded.headers["x-grok-conv-id"])
            assert "prompt_cache_key" not in recorded.body
        else:
            keys.add(recorded.body["prompt_cache_key"])
    assert len(keys) == 1


@every_way
def test_the_cost_is_what_the_vendor_charges(grok: Origin, frontend: str, stream: bool):
    said = ask(grok, frontend, stream, GROK, "[[think:Hm, what now?]] [[say:A few words of an answer.]]", effort="low")
    row = grok.log_row(said.response.headers["x-request-id"])
    fresh, output = said.usage["input"] - said.usage["cached"], said.usage["output"]
    ticks = fresh * 12_500 + said.usage["cached"] * 2_000 + output * 25_000
    assert row.cost_pico == ticks * 100


SEARCH = {
    "responses": {"tools": [{"type": "web_search"}]},
    "chat_completions": {"web_search_options": {}},
    "messages": {"tools": [{"type": "web_search_20250305", "name": "web_search", "blocked_domains": ["bad.example"]}]},
}


@every_way
def test_web_search(gateway_origin: Origin, gateway_backends: Backends, frontend: str, stream: bool):
    mark = f"search-{frontend}-{stream}"
    said = ask(gateway_origin, frontend, stream, GROK, f"{mark} [[search:cats]]", extra=SEARCH[frontend])
    sent = heard(gateway_backends, mark).body
    if frontend == "chat_completions":
        # Its chat has no search any more (410), and says so of no other.
        assert "web_search_options" in said.losses and "web_search_options" not in sent
        return
    assert said.cited == ["https://news.example.com/one", "https://wiki.example.org/two"]
    if frontend == "messages":
        assert sent["tools"] == [{"type": "web_search", "filters": {"excluded_domains": ["bad.example"]}}]
    row = gateway_origin.log_row(said.response.headers["x-request-id"])
    fresh, output = said.usage["input"] - said.usage["cached"], said.usage["output"]
    ticks = fresh * 12_500 + said.usage["cached"] * 2_000 + output * 25_000 + 50_000_000
    assert row.cost_pico == ticks * 100


@pytest.mark.parametrize("stream", [False, True])
def test_openais_own_tools_are_offered_as_functions(gateway_origin: Origin, gateway_backends: Backends, stream: bool):
    tools = [
        {"type": "custom", "name": "apply_patch", "description": "Edits files."},
        {"type": "namespace", "name": "mail", "description": "Mail.", "tools": [
            {"type": "function", "name": "send", "parameters": {"type": "object", "properties": {}}}]},
        {"type": "web_search", "external_web_access": True, "search_context_size": "low"},
    ]  # fmt: skip
    mark = f"own-tools-{stream}"
    asked = f'{mark} [[tool:apply_patch {{"input":"*** Begin"}}]] [[tool:mail__send {{}}]]'
    said = ask(gateway_origin, "responses", stream, GROK, asked, extra={"tools": tools})
    sent = heard(gateway_backends, mark).body
    assert [tool["type"] for tool in sent["tools"]] == ["function", "function", "web_search"]
    assert sent["tools"][2] == {"type": "web_search"} and "external_web_access" in said.losses
    custom, function = (item for item in said.turn if item["type"].endswith("_call"))
    assert (custom["type"], custom["name"], custom["input"]) == ("custom_tool_call", "apply_patch", "*** Begin")
    assert (function["type"], function["namespace"], function["name"]) == ("function_call", "mail", "send")
    results = [
        {"type": "custom_tool_call_output", "call_id": custom["call_id"], "output": "patched"},
        {"type": "function_call_output", "call_id": function["call_id"], "output": "sent"},
    ]
    turns = [{"role": "user", "content": asked}, *said.turn, *results]
    again = ask(gateway_origin, "responses", stream, GROK, extra={"tools": tools, "input": turns})
    assert "apply_patch gave: patched" in again.text and "mail__send gave: sent" in again.text


@every_way
def test_knobs_that_it_lacks_are_announced(grok: Origin, gateway_backends: Backends, frontend: str, stream: bool):
    mark = f"knobs-{frontend}-{stream}-{grok.headers['x-mark']}"
    knobs: dict[str, dict[str, Any]] = {
        "responses": {"max_tool_calls": 3, "text": {"verbosity": "low"}, "metadata": {"a": "b"}},
        "chat_completions": {"presence_penalty": 0.5, "verbosity": "low", "logit_bias": {"1": 2}},
        "messages": {"top_k": 5},
    }
    lost = {
        "responses": ["max_tool_calls", "verbosity"],
        "chat_completions": ["presence_penalty", "verbosity", "logit_bias"],
        "messages": ["top_k"],
    }[frontend]
    said = ask(grok, frontend, stream, GROK, f"{mark} [[say:fine]]", extra=knobs[frontend])
    assert said.text == "fine" and all(name in said.losses for name in lost), said.losses
    if frontend == "responses":
        last = events(said.response.text)[-1]["response"] if stream else said.response.json()
        assert last["metadata"] == {"a": "b"} and "metadata" not in heard(gateway_backends, mark).body
    ask(grok, frontend, stream, GROK, "x", extra=knobs[frontend], headers={"x-headgate-strict": "true"}, status=400)


def test_a_penalty_of_nothing_is_no_loss(gateway_origin: Origin):
    nothing = {"presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}}
    said = ask(gateway_origin, "chat_completions", False, GROK, "[[say:fine]]", extra=nothing)
    assert said.text == "fine" and not said.losses


@every_way
def test_a_file_sent_along_is_refused_by_name(gateway_origin: Origin, frontend: str, stream: bool):
    pdf = "JVBERi0xLjQK"
    parts: dict[str, Any] = {
        "responses": {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{pdf}"},
        "chat_completions": {
            "type": "file",
            "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{pdf}"},
        },
        "messages": {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": pdf}},
    }
    field = "input" if frontend == "responses" else "messages"
    sent = {field: [{"role": "user", "content": [parts[frontend]]}]}
    said = ask(gateway_origin, frontend, stream, GROK, extra=sent, status=400)
    assert said.response.json()["error"]["message"]


@every_way
@pytest.mark.parametrize(("directive", "status", "words"), [
    ("[[fail:400]]", 400, "at least one content element"),
    ("[[fail:422 message=No.]]", 400, "No."),
    ("[[fail:403]]", 424, "used all available credits"),
    ("[[fail:429 retry-after=7]]", 429, "rate limit"),
    ("[[fail:503]]", 424, "currently unavailable"),
])  # fmt: skip
def test_errors_before_the_first_byte(
    gateway_origin: Origin, frontend: str, stream: bool, directive: str, status: int, words: str
):
    said = ask(gateway_origin, frontend, stream, GROK, directive, status=status)
    assert words in said.response.json()["error"]["message"]
    if status == 429:
        assert said.response.headers["retry-after"] == "7"


@every_way
def test_a_bad_key_is_the_gateways_fault(gateway_backends: Backends, frontend: str, stream: bool):
    simulated = f"{gateway_backends.simulated.url}/xai/v1"
    with origin(gateway_backends, {"HEADGATE_XAI_API_KEY": "invalid", "HEADGATE_XAI_BASE_URL": simulated}) as bad:
        said = ask(bad, frontend, stream, GROK, "hello", status=424)
    error = said.response.json()["error"]
    assert error["message"].startswith("Incorrect API key provided")


@every_way
def test_an_error_after_the_first_byte(grok: Origin, frontend: str, stream: bool):
    if not stream:
        ask(grok, frontend, stream, GROK, "[[cut-after:2]] [[tokens:9]]", status=424)
        return
    body = {"responses": "response.failed", "chat_completions": '"error"', "messages": "event: error"}[frontend]
    for fault in ("[[error-after:2]]", "[[cut-after:2]]"):
        sent = make(frontend, GROK, [f"{fault} [[tokens:9]]"]) | {"stream": True}
        raw = grok.post(PATHS[frontend], sent)
        assert raw.status_code == 200 and body in raw.text

"""Composite selectors through the gateway: failover, weights, races, parameters, sessions, and what cannot be meant."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from dev.serve import Backends
from dev.simulated_providers.server import Running
from tests.gateway import Origin, origin

GPT, CLAUDE, COMMAND = "gpt-4o-mini", "claude-haiku-4-5", "command-a"


@pytest.fixture(scope="module")
def gate(gateway_backends: Backends) -> Iterator[Origin]:
    environment = {
        "HEADGATE_PROVIDERS": "openai,anthropic,cohere",
        "HEADGATE_MODEL_ALIASES": json.dumps([["house-(.*)", r"gpt-\1|claude-haiku-4-5"], ["(", "x"]]),
    }
    with origin(gateway_backends, environment) as running:
        yield running


@pytest.fixture
def vendors(gateway_backends: Backends) -> Running:
    return gateway_backends.simulated


def said(frontend: str, text: str, **more: Any) -> tuple[str, dict[str, Any]]:
    if frontend == "responses":
        return "/v1/responses", {"input": text, "max_output_tokens": 200, "store": False, **more}
    path = "/v1/chat/completions" if frontend == "chat_completions" else "/v1/messages"
    return path, {"messages": [{"role": "user", "content": text}], "max_tokens": 200, **more}


def served(gate: Origin, frontend: str, model: str, text: str, **more: Any) -> tuple[str, str]:
    """(who served, the body)."""
    headers = more.pop("headers", None)
    path, body = said(frontend, text, model=model, **more)
    answer = gate.post(path, body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-headgate-model"], answer.text


FRONTENDS = ("responses", "chat_completions", "messages")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_failover_goes_on_where_a_model_fails(gate: Origin, vendors: Running, frontend: str, stream: bool):
    mark = f"failover-{uuid.uuid4().hex}"
    selector = f"{GPT}|{CLAUDE}"
    assert served(gate, frontend, selector, f"{mark} [[say:one]]", stream=stream)[0] == f"openai/{GPT}"
    vendors.behave("[[fail:500]]", path="/openai", marker=mark)
    who, text = served(gate, frontend, selector, f"{mark} [[say:two]]", stream=stream)
    assert who == f"anthropic/{CLAUDE}" and "two" in text


def test_an_alias_may_be_a_selector(gate: Origin, vendors: Running):
    mark = f"alias-{uuid.uuid4().hex}"
    assert served(gate, "responses", "house-4o-mini", f"{mark} [[say:a]]")[0] == f"openai/{GPT}"
    vendors.behave("[[fail:503]]", path="/openai", marker=mark)
    assert served(gate, "responses", "house-4o-mini", f"{mark} [[say:a]]")[0] == f"anthropic/{CLAUDE}"


def test_weights_share_the_requests_out(gate: Origin):
    found = Counter(served(gate, "chat_completions", f"[weight=3]{GPT}^{CLAUDE}", "[[say:x]]")[0] for _ in range(40))
    # Three in four: fewer than 17 of 40 have a chance of one in a hundred thousand.
    assert found[f"openai/{GPT}"] >= 17 and sum(found.values()) == 40


def test_the_first_request_of_a_session_has_a_model_of_its_own(gate: Origin):
    selector = f"[first]{CLAUDE}^[weight=1000000]{GPT}"
    session = {"x-session-id": uuid.uuid4().hex}
    turns = [served(gate, "chat_completions", selector, "[[say:x]]", headers=session)[0] for _ in range(3)]
    assert turns == [f"anthropic/{CLAUDE}", f"openai/{GPT}", f"openai/{GPT}"]


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_what_the_thinker_said_goes_to_the_others(gate: Origin, vendors: Running, frontend: str):
    session = {"x-session-id": uuid.uuid4().hex}
    mark = f"thinker-{uuid.uuid4().hex}"
    more: dict[str, Any] = {"headers": session}
    if frontend == "responses":
        more["store"] = True
    served(gate, frontend, f"[thinker,weight=1000000]{CLAUDE}^{GPT}", f"{mark} [[say:Plan: mind the gap.]]", **more)
    (asked,) = vendors.recorded(marker=mark)
    assert "planning_request" in asked.text
    vendors.clear()
    served(gate, frontend, f"[thinker]{CLAUDE}^[weight=1000000]{GPT}", f"{mark} [[say:ok]]", **more)
    (asked,) = vendors.recorded(marker=mark)
    assert "/openai" in asked.path and "Plan: mind the gap." in asked.text and "planning_note" in asked.text


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_the_first_to_speak_wins_a_race(gate: Origin, vendors: Running, frontend: str):
    mark = f"race-{uuid.uuid4().hex}"
    vendors.behave("[[slow-first:5]]", path="/openai", marker=mark)
    path, body = said(frontend, f"{mark} [[say:quick]]", model=f"{GPT}!{CLAUDE}", stream=True)
    answer = gate.post(path, body)
    assert answer.headers["x-headgate-model"] == f"anthropic/{CLAUDE}" and "quick" in answer.text
    row = gate.log_row(answer.headers["x-request-id"])
    by_route = {attempt["provider"]: attempt for attempt in row.attempts}
    assert by_route["anthropic"]["status"] == 200 and "cost_pico" not in by_route["anthropic"]
    # The loser was called off, and what it has read is paid for.
    assert by_route["openai"]["error"] == "cancelled" and by_route["openai"]["cost_pico"] > 0


def test_a_leg_with_a_handicap_starts_at_once_where_the_leader_fails(gate: Origin, vendors: Running):
    mark = f"handicap-{uuid.uuid4().hex}"
    vendors.behave("[[fail:500]]", path="/anthropic", marker=mark)
    path, body = said("responses", f"{mark} [[say:late]]", model=f"[handicap=60]{CLAUDE}!{GPT}", stream=True)
    answer = gate.post(path, body)
    assert answer.headers["x-headgate-model"] == f"openai/{GPT}" and "late" in answer.text


def test_a_leg_may_have_a_limit_of_its_own(gate: Origin, vendors: Running):
    mark = f"limit-{uuid.uuid4().hex}"
    vendors.behave("[[slow-first:30]]", path="/anthropic", marker=mark)
    path, body = said(
        "responses", f"{mark} [[say:x]]", model=f"[handicap=60,ttft_timeout=0.3]{CLAUDE}!{GPT}", stream=True
    )
    answer = gate.post(path, body)
    assert answer.headers["x-headgate-model"] == f"openai/{GPT}"


def test_all_legs_may_fail(gate: Origin, vendors: Running):
    mark = f"lost-{uuid.uuid4().hex}"
    vendors.behave("[[fail:500]]", marker=mark, times=2)
    path, body = said("responses", mark, model=f"{CLAUDE}!{GPT}", stream=True)
    answer = gate.post(path, body)
    assert answer.status_code == 424 and answer.headers["x-headgate-attempts"] == "2"


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_parameters_of_a_model_go_to_that_model_only(gate: Origin, vendors: Running, frontend: str):
    mark = f"parameters-{uuid.uuid4().hex}"
    vendors.behave("[[fail:500]]", path="/openai", marker=mark)
    served(gate, frontend, f"{GPT}?temperature=0.25|{COMMAND}?temperature=0.75", f"{mark} [[say:x]]", temperature=0.5)
    first, second = vendors.recorded(marker=mark)
    assert (first.body["temperature"], second.body["temperature"]) == (0.25, 0.75)


def test_a_fallback_is_asked_as_the_client_asked(gate: Origin, vendors: Running):
    mark = f"fallback-{uuid.uuid4().hex}"
    vendors.behave("[[fail:500]]", path="/openai", marker=mark)
    routing = {"model": {"fallbacks": [COMMAND]}}
    served(gate, "responses", f"{GPT}?temperature=0.25", f"{mark} [[say:x]]", temperature=0.5, routing=routing)
    first, second = vendors.recorded(marker=mark)
    assert (first.body["temperature"], second.body["temperature"]) == (0.25, 0.5)


def test_a_parameter_that_cannot_be_meant_is_announced(gate: Origin):
    path, body = said("responses", "[[say:x]]", model=f"{GPT}?temperature=9&colour=red")
    answer = gate.post(path, body)
    assert answer.status_code == 200
    losses = answer.headers["x-headgate-losses"]
    assert "temperature" in losses and "colour" in losses


def test_a_colon_means_that_provider_and_no_other(gate: Origin, vendors: Running):
    mark = f"colon-{uuid.uuid4().hex}"
    vendors.behave("[[fail:500]]", path="/cohere", marker=mark)
    path, body = said("responses", mark, model=f"cohere:{COMMAND}")
    assert gate.post(path, body).status_code == 424
    assert len(vendors.recorded(marker=mark)) == 1


def test_a_model_that_is_too_small_for_the_context_is_left_out(gate: Origin, vendors: Running):
    selector = f"[max_context=100]{GPT}|{CLAUDE}"
    assert served(gate, "chat_completions", selector, "[[say:x]]")[0] == f"openai/{GPT}"
    counted = {"extra_body": {"request_context_tokens": 101}}
    for frontend in FRONTENDS:
        assert served(gate, frontend, selector, "[[say:x]]", **counted)[0] == f"anthropic/{CLAUDE}"
        for recorded in vendors.recorded():
            assert "request_context_tokens" not in recorded.text
    path, body = said("responses", "x", model=f"[max_context=100]{GPT}", **counted)
    answer = gate.post(path, body)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("gpt-4o-mini||claude-haiku-4-5", "^"),
        ("gpt-4o-mini|claude-haiku-4-5!command-a", "^"),
        ("[weight=x]gpt-4o-mini^claude-haiku-4-5", "weight"),
        ("[first]gpt-4o-mini|claude-haiku-4-5", "first"),
        ("[fast]gpt-4o-mini", "fast"),
    ],
)
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_what_cannot_be_meant_is_shown(gate: Origin, vendors: Running, frontend: str, model: str, says: str):
    vendors.clear()
    path, body = said(frontend, "x", model=model)
    answer = gate.post(path, body)
    assert answer.status_code == 400, answer.text
    message = answer.json()["error"]["message"]
    assert says in message and model in message and message.rstrip().endswith("^")
    assert vendors.recorded() == []


def test_a_race_must_be_streamed_and_an_unknown_model_is_one(gate: Origin):
    path, body = said("responses", "x", model=f"{GPT}!{CLAUDE}")
    answer = gate.post(path, body)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "stream"
    path, body = said("responses", "x", model=f"{GPT}|gpt-900")
    answer = gate.post(path, body)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "model_not_found"


def test_a_selector_can_be_explained(gate: Origin, vendors: Running):
    vendors.clear()
    request = {"model": f"[handicap=1]{CLAUDE}!{GPT}", "input": "x"}
    answer = gate.post("/v1/routes/explain", {"endpoint": "/v1/responses", "request": request})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert [each["route"] for each in told["order"]] == [f"anthropic/{CLAUDE}", f"openai/{GPT}"]
    assert told["notes"][0] == "race of 2 models" and vendors.recorded() == []

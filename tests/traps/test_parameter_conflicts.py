"""Parameters that one model takes and the next refuses, or that vanish without a word.

Complaint: a temperature or an effort level that a reasoning model does not know is a 400; ``reasoning_effort`` becomes
nothing, or a budget that nobody asked for; settings are dropped and nobody says so.
Request: each effort at models that think by budget, by effort with and without the level, each sampling parameter at
every vendor, and combinations that exclude each other.
The vendor must get the effort in its own way, at the nearest level that it has, first upwards, and no parameter that it
refuses.
The client must see a 400 for a level that does not exist, before anything is sent; a parameter either arrives or is
named in the header, and with the strict header it is a 400.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from dev.simulated_providers.recorder import Recorded
from tests.traps.kit import Client, mark, request
from tests.traps.providers import FRONTENDS, OFFERS, Offer, pair_id, pairs
from tests.traps.wire import protocol_of

both = pytest.mark.parametrize("stream", [False, True], ids=pair_id)
every_pair = pytest.mark.parametrize(("frontend", "offer"), pairs(), ids=pair_id)

EFFORTS = (None, "none", "minimal", "low", "medium", "high", "xhigh", "max", "disabled", "invalid", "")
BUDGETS = {"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}
# By budget; by effort with every level; by effort without xhigh.
TIERS = {
    "budget": "claude-sonnet-4-5",
    "full": "claude-opus-4-7",
    "no xhigh": "claude-sonnet-4-6",
}
PLACES = ("anthropic", "bedrock", "vertex", "azure")
MATRIX = [
    (place, tier, effort)
    for place in PLACES
    for tier in TIERS
    for effort in EFFORTS
    # Azure has no model with every level.
    if (place, tier) != ("azure", "full")
]


def reasoning_of(recorded: Recorded) -> tuple[Any, Any]:
    """(thinking, effort) as a Claude model gets them."""
    body = recorded.body
    if protocol_of(recorded) == "converse":
        body = body.get("additionalModelRequestFields") or {}
    return body.get("thinking"), (body.get("output_config") or {}).get("effort")


@pytest.mark.parametrize(("place", "tier", "effort"), MATRIX)
def test_every_effort_at_every_kind_of_claude(client: Client, place: str, tier: str, effort: str | None):
    marker = mark()
    fields = {} if effort is None else {"reasoning_effort": effort}
    body = request("chat_completions", f"{place}/{TIERS[tier]}", f"{marker}[[say:4]]", limit=60_000, **fields)
    response = client.send("chat_completions", body)
    if effort in ("disabled", "invalid", ""):
        error = response.json()["error"]
        assert response.status_code == 400 and error["param"] == "reasoning_effort"
        assert client.heard(marker) == []
        return
    assert response.status_code == 200, response.text
    thinking, level = reasoning_of(client.heard_once(marker))
    losses = response.headers.get("x-headgate-losses", "")
    if effort in (None, "none"):
        assert thinking is None
        # The least that can be asked of a model whose levels begin above nothing, and it is said.
        assert level is None or (level == "low" and effort == "none" and "reasoning.effort" in losses)
    elif tier == "budget":
        assert (thinking["type"], thinking["budget_tokens"], level) == ("enabled", BUDGETS[effort], None)
        assert "effort" not in losses
    else:
        nearest = {"minimal": "low", "xhigh": "max" if tier == "no xhigh" else "xhigh"}.get(effort, effort)
        assert thinking["type"] == "adaptive" and level == nearest
        assert ("effort_adjusted" in losses) is (nearest != effort)


@pytest.mark.parametrize("effort", ["disabled", "invalid", ""])
@every_pair
def test_a_level_that_does_not_exist_reaches_nobody(client: Client, frontend: str, offer: Offer, effort: str):
    marker = mark()
    fields: dict[str, Any] = {
        "responses": {"reasoning": {"effort": effort}},
        "chat_completions": {"reasoning_effort": effort},
        "messages": {"output_config": {"effort": effort}},
    }[frontend]
    response = client.send(frontend, request(frontend, offer.name, marker, **fields))
    assert response.status_code == 400 and "effort" in response.text
    assert client.heard(marker) == []


LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
ORDER = {
    # By model: the levels it has.
    "openai/gpt-5-mini": ("minimal", "low", "medium", "high"),
    "openai/gpt-5.4": ("none", "low", "medium", "high", "xhigh"),
    "xai/grok-4.3": ("none", "low", "medium", "high"),
    "mistral/mistral-medium-2604": ("none", "high"),
    "cloudflare/gpt-oss-120b": ("low", "medium", "high"),
    "huggingface/gpt-oss-120b": ("low", "medium", "high"),
}


def up_then_down(effort: str, levels: tuple[str, ...]) -> str:
    """The nearest level: the next above, else the next below."""
    at = LEVELS.index(effort)
    return next(level for level in (*LEVELS[at:], *reversed(LEVELS[:at])) if level in levels)


@pytest.mark.parametrize("effort", LEVELS)
@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("model", ORDER)
def test_a_level_that_a_model_lacks_moves_up_then_down(client: Client, model: str, frontend: str, effort: str):
    marker = mark()
    fields: dict[str, Any] = {
        "responses": {"reasoning": {"effort": effort}},
        "chat_completions": {"reasoning_effort": effort},
        "messages": {"output_config": {"effort": effort}},
    }[frontend]
    got = client.ask(frontend, request(frontend, model, f"{marker}[[say:4]]", **fields))
    body = client.heard_once(marker).body
    level = body.get("reasoning_effort") or (body.get("reasoning") or {}).get("effort")
    wanted = up_then_down(effort, ORDER[model])
    if level is None:
        # Nothing asked for is what "none" means where there is no such word.
        assert effort == "none"
        return
    assert level == wanted
    assert bool(got.losses) is (wanted != effort), got.losses


# What each frontend can say, with values that are found again in whatever form the vendor gets them.
KNOBS: dict[str, dict[str, Any]] = {
    "responses": {"temperature": 0.37, "top_p": 0.83, "user": "user-4711"},
    "chat_completions": {
        "temperature": 0.37,
        "top_p": 0.83,
        "seed": 424242,
        "frequency_penalty": 0.41,
        "presence_penalty": 0.43,
        "logit_bias": {"5151": 7},
        "stop": ["UNHEARD-OF"],
        "user": "user-4711",
        "verbosity": "low",
    },
    "messages": {"temperature": 0.37, "top_p": 0.83, "top_k": 37, "stop_sequences": ["UNHEARD-OF"]},
}
SAID = {"logit_bias": "5151", "stop": "UNHEARD-OF", "stop_sequences": "UNHEARD-OF", "verbosity": '"verbosity":"low"'}
# The vendor's abuse monitoring or our own accounting, not the model's answer.
NO_KNOBS = {"user"}
KNOB_CASES = [
    (frontend, offer, knob) for frontend, offer in pairs() for knob in KNOBS[frontend] if knob not in NO_KNOBS
]


@pytest.mark.parametrize(("frontend", "offer", "knob"), KNOB_CASES, ids=pair_id)
def test_a_parameter_arrives_or_is_named(client: Client, frontend: str, offer: Offer, knob: str):
    marker = mark()
    body = request(frontend, offer.name, f"{marker}[[say:ok]]", **{knob: KNOBS[frontend][knob]})
    got = client.ask(frontend, body)
    heard = client.heard_once(marker)
    value = re.escape(SAID.get(knob, str(KNOBS[frontend][knob])))
    arrived = re.search(rf"(?<![\w.]){value}(?![\w.])", heard.text) is not None
    named = {"stop_sequences": "stop"}.get(knob, knob) in got.losses
    assert arrived != named, (knob, got.losses, heard.text)
    strict = client.send(frontend, body, {"x-headgate-strict": "true"})
    # Nothing is dropped then: another provider that can honour it serves, or none.
    elsewhere = strict.headers.get("x-headgate-provider", offer.provider) != offer.provider
    assert (strict.status_code == 400 or elsewhere) is named


@both
@every_pair
def test_an_ordinary_request_loses_nothing(client: Client, frontend: str, offer: Offer, stream: bool):
    tools = [("look", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})]
    body = request(frontend, offer.name, f"{mark()}[[say:ok]]", system="Be brief.", tools=tools, stream=stream)
    if frontend == "responses":
        body["include"] = ["reasoning.encrypted_content"]
    response = client.send(frontend, body, {"x-headgate-strict": "true"})
    assert response.status_code == 200, response.text
    assert "x-headgate-losses" not in response.headers


@pytest.mark.parametrize("model", ["openai/gpt-5-mini", "azure/gpt-5-mini", "openai/gpt-5.4"])
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_reasoning_models_of_openai_get_no_sampling_and_the_newer_bound(client: Client, frontend: str, model: str):
    marker = mark()
    got = client.ask(frontend, request(frontend, model, f"{marker}[[say:ok]]", temperature=0.5, top_p=0.9))
    body = client.heard_once(marker).body
    assert not {"temperature", "top_p", "max_tokens"} & body.keys()
    assert "temperature" in got.losses and "top_p" in got.losses


@pytest.mark.parametrize("offer", [each for each in OFFERS if "sonnet" in each.model], ids=pair_id)
def test_claude_gets_no_temperature_while_it_thinks_nor_beside_top_p(client: Client, offer: Offer):
    marker = mark()
    body = request("chat_completions", offer.name, marker, effort="high", temperature=0.5)
    got = client.ask("chat_completions", body)
    text = client.heard_once(marker).text
    assert "temperature" in got.losses and '"temperature"' not in text and '"thinking"' in text
    marker = mark()
    got = client.ask("chat_completions", request("chat_completions", offer.name, marker, temperature=0.5, top_p=0.9))
    assert "top_p" in got.losses and '"temperature":0.5' in client.heard_once(marker).text

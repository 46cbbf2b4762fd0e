"""Bounds on the answer that become other bounds on the way.

Complaint: ``max_tokens: 9`` arrives as 16, ``max_completion_tokens`` is ignored, and a client that gives no bound to a
Claude model pays for 64,000 tokens of rambling.
Request: small bounds, none, and more than the model can write, under each of the names.
The vendor must get the very number, unless its own minimum or maximum forbids; a Claude model, which needs one, gets a
moderate one that leaves room for the thinking asked for.
The client must see a warning wherever the number is not its own, and the end of a cut answer in its protocol's word.
"""

from __future__ import annotations

from typing import Any

import pytest

from headgate.catalog.catalog import Catalog
from tests.traps.kit import Client, mark, request
from tests.traps.providers import OFFERS, Offer, pair_id, pairs
from tests.traps.wire import limit_of

both = pytest.mark.parametrize("stream", [False, True], ids=pair_id)
every_pair = pytest.mark.parametrize(("frontend", "offer"), pairs(), ids=pair_id)
CLAUDES = [each for each in OFFERS if "sonnet" in each.model]
NAME = {"responses": "max_output_tokens", "chat_completions": "max_completion_tokens", "messages": "max_tokens"}
LEAST = 16
"""OpenAI's Responses API takes no smaller bound."""


def sent(client: Client, frontend: str, offer: Offer, *, stream: bool = False, **fields: Any) -> tuple[int | None, str]:
    """(the bound that reaches the vendor, what the gateway says it changed)."""
    marker = mark()
    body = request(frontend, offer.name, f"{marker}[[say:A few words of text.]]", limit=None, stream=stream)
    response = client.send(frontend, {**body, **fields})
    assert response.status_code == 200, response.text
    return limit_of(client.heard_once(marker)), response.headers.get("x-headgate-losses", "")


@both
@every_pair
def test_a_small_bound_stays_as_it_is(client: Client, frontend: str, offer: Offer, stream: bool):
    bound, losses = sent(client, frontend, offer, stream=stream, **{NAME[frontend]: 9})
    if offer.spoken(frontend) == "responses" and offer.native[0] == "responses":
        assert bound == LEAST and "raised:max_output_tokens" in losses
    else:
        assert bound == 9 and "max" not in losses
    assert sent(client, frontend, offer, **{NAME[frontend]: 777})[0] == 777


@pytest.mark.parametrize("offer", OFFERS, ids=pair_id)
def test_both_names_of_the_bound_are_one(client: Client, offer: Offer):
    assert sent(client, "chat_completions", offer, max_tokens=321)[0] == 321
    assert sent(client, "chat_completions", offer, max_completion_tokens=322)[0] == 322
    # The newer name counts where both are given; limit_of fails where both are sent.
    assert sent(client, "chat_completions", offer, max_tokens=111, max_completion_tokens=323)[0] == 323


@pytest.mark.parametrize(("frontend", "offer"), [pair for pair in pairs() if pair[0] != "messages"], ids=pair_id)
def test_without_a_bound_none_is_made_up(client: Client, frontend: str, offer: Offer):
    bound, losses = sent(client, frontend, offer)
    if offer in CLAUDES:
        # A Claude model must be given one: long enough for nearly every answer, far from the model's 64,000.
        assert bound == 8192
    else:
        assert bound is None
    assert "max_tokens" not in losses and "max_output_tokens" not in losses


@pytest.mark.parametrize("offer", CLAUDES, ids=pair_id)
def test_the_default_bound_leaves_room_for_thinking(client: Client, offer: Offer):
    # 8,192 for the answer and the 4,096 that stand for high effort.
    assert sent(client, "chat_completions", offer, reasoning_effort="high")[0] == 8192 + 4096


@both
@every_pair
def test_a_bound_beyond_the_model_is_lowered_and_said(client: Client, frontend: str, offer: Offer, stream: bool):
    model = Catalog.bundled().find(offer.model)
    assert model is not None
    (most,) = {route.max_output_tokens for route in model.routes if route.provider == offer.provider}
    bound, losses = sent(client, frontend, offer, stream=stream, **{NAME[frontend]: most + 1})
    if frontend == "messages" and offer.relayed(frontend):
        # A client of Anthropic's own protocol is told by Anthropic.
        assert bound == most + 1
    else:
        assert bound == most and "clamped" in losses


@both
@every_pair
def test_a_cut_answer_says_so(client: Client, frontend: str, offer: Offer, stream: bool):
    body = request(frontend, offer.name, f"{mark()}[[tokens:900]]", limit=100, stream=stream)
    finish = {"responses": "incomplete:max_output_tokens", "chat_completions": "length", "messages": "max_tokens"}
    assert client.ask(frontend, body).finish == finish[frontend]

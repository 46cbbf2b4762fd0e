"""Streams that are billed nothing, because nobody asked the vendor to count.

Complaint: OpenAI's chat vendors count a stream only on request; gateways that forget to ask bill it with zero, and
gateways that ask hand the client a chunk that it did not ask for and cannot read.
Request: a stream with and without ``include_usage``, of every vendor, through each frontend.
The vendor must always be asked to count.
The client must see no usage where it did not ask, else exactly one chunk without choices just before the end; an
Anthropic client sees input tokens from the start and the true numbers at the end. The log has the usage in every case.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.traps.kit import Client, Got, mark, request
from tests.traps.providers import OFFERS, Offer, pair_id
from tests.traps.wire import protocol_of

WORDS = "[[say:Seven words are enough for this test.]]"
every_offer = pytest.mark.parametrize("offer", OFFERS, ids=pair_id)
# A chat vendor that counts without being asked, and refuses to be.
COUNTS_UNASKED = {"mistral"}


def check_logged(client: Client, got: Got, marker: str, offer: Offer) -> None:
    """The log has the numbers, and the vendor was asked for them."""
    row = client.logged(got.response)
    assert row.stream and row.input_tokens > 0 and row.output_tokens > 0 and row.cost_pico and not row.estimated
    heard = client.heard_once(marker)
    if protocol_of(heard) == "chat_completions" and offer.provider not in COUNTS_UNASKED:
        assert heard.body["stream_options"]["include_usage"] is True


@pytest.mark.parametrize("options", [None, {"include_usage": False}, {}], ids=["unsaid", "false", "empty"])
@every_offer
def test_a_chat_client_that_did_not_ask_sees_none(client: Client, offer: Offer, options: dict[str, Any] | None):
    marker = mark()
    more = {} if options is None else {"stream_options": options}
    got = client.ask("chat_completions", request("chat_completions", offer.name, marker + WORDS, stream=True, **more))
    assert "Seven words" in got.text
    assert not any("usage" in event for event in got.events)
    assert not any("cost" in event for event in got.events)
    check_logged(client, got, marker, offer)


@every_offer
def test_a_chat_client_that_asked_sees_it_once_at_the_end(client: Client, offer: Offer):
    marker = mark()
    body = request("chat_completions", offer.name, marker + WORDS, stream=True)
    got = client.ask("chat_completions", {**body, "stream_options": {"include_usage": True}})
    *before, last = got.events
    assert last["choices"] == [] and last["usage"]["completion_tokens"] > 0 and last["cost"]["total"] > 0
    assert all(event.get("usage") is None for event in before)
    row = client.logged(got.response)
    assert last["usage"]["prompt_tokens"] == row.input_tokens
    assert last["usage"]["completion_tokens"] == row.output_tokens
    check_logged(client, got, marker, offer)


@every_offer
def test_an_anthropic_client_sees_input_first_and_the_truth_last(client: Client, offer: Offer):
    marker = mark()
    got = client.ask("messages", request("messages", offer.name, marker + WORDS, stream=True))
    assert got.events[0]["message"]["usage"]["input_tokens"] > 0
    (closing,) = [event for event in got.events if event["type"] == "message_delta"]
    row = client.logged(got.response)
    usage = closing["usage"]
    cached = usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
    assert usage["input_tokens"] + cached == row.input_tokens and usage["output_tokens"] == row.output_tokens
    check_logged(client, got, marker, offer)


@every_offer
def test_a_responses_client_sees_it_in_the_last_event(client: Client, offer: Offer):
    marker = mark()
    got = client.ask("responses", request("responses", offer.name, marker + WORDS, stream=True))
    for event in got.events[:-1]:
        assert event.get("response", {"usage": None})["usage"] is None
    row = client.logged(got.response)
    assert (got.usage["input_tokens"], got.usage["output_tokens"]) == (row.input_tokens, row.output_tokens)
    assert got.body["cost"]["total"] > 0
    check_logged(client, got, marker, offer)

"""Why an answer ended, in words that clients act on.

Complaint: an answer that was cut off or filtered looks complete, a tool call ends with "stop" so that no client runs
it, a stop sequence is not told, new reasons of a vendor become an error.
Request: every reason that each vendor knows.
The client must see the word of its own protocol for it, streamed or not, and the stop sequence that was met.
"""

from __future__ import annotations

import pytest

from headgate.events import Finished
from headgate.protocols.chat_completions.client_answer import finish_reason
from headgate.protocols.contract import Reply
from headgate.protocols.messages.reasons import write_reason
from headgate.protocols.responses.client_answer import incomplete_reason
from tests.traps.kit import CITY, Client, mark, request
from tests.traps.providers import FRONTENDS, OFFERS, Offer, pair_id, pairs

both = pytest.mark.parametrize("stream", [False, True], ids=pair_id)

# The neutral reason: Chat's finish_reason, Messages' stop_reason, Responses' incomplete_details.reason.
WORDS = {
    "stop": ("stop", "end_turn", None),
    "length": ("length", "max_tokens", "max_output_tokens"),
    "tool_calls": ("tool_calls", "tool_use", None),
    "stop_sequence": ("stop", "stop_sequence", None),
    "content_filter": ("content_filter", "refusal", "content_filter"),
    "refusal": ("content_filter", "refusal", "content_filter"),
    "pause": ("stop", "pause_turn", None),
    "context_window": ("length", "model_context_window_exceeded", "max_output_tokens"),
}


@pytest.mark.parametrize("reason", WORDS)
def test_every_reason_has_a_word_in_each_protocol(reason: str):
    finished = Finished(reason)  # type: ignore[arg-type]
    reply = Reply("id", 0, "m", {}, lambda usage: 0, lambda sealed: "", lambda: 0)
    chat, messages, responses = WORDS[reason]
    assert finish_reason(finished, reply, refused=False) == chat
    assert write_reason(finished.reason, ()) == messages
    assert incomplete_reason(finished, refused=False) == responses


def expected(frontend: str, reason: str) -> str:
    chat, messages, responses = WORDS[reason]
    if frontend == "responses":
        return f"incomplete:{responses}" if responses else "completed"
    return chat if frontend == "chat_completions" else messages


# The vendor's own words, and what they mean.
VENDORS = {
    "anthropic": {
        "end_turn": "stop",
        "max_tokens": "length",
        "pause_turn": "pause",
        "refusal": "refusal",
        "model_context_window_exceeded": "context_window",
    },
    "bedrock": {
        "end_turn": "stop",
        "max_tokens": "length",
        "guardrail_intervened": "content_filter",
        "content_filtered": "content_filter",
        "model_context_window_exceeded": "context_window",
        "refusal": "refusal",
    },
    "gemini": {
        "STOP": "stop",
        "MAX_TOKENS": "length",
        "SAFETY": "content_filter",
        "RECITATION": "content_filter",
        "BLOCKLIST": "content_filter",
        "PROHIBITED_CONTENT": "content_filter",
        "SPII": "content_filter",
    },
    "cohere": {"COMPLETE": "stop", "MAX_TOKENS": "length", "ERROR_TOXIC": "content_filter"},
}
CASES = [
    (frontend, offer, word, reason)
    for frontend in FRONTENDS
    for offer in OFFERS
    for word, reason in VENDORS.get(offer.vendor, {}).items()
    if not offer.relayed(frontend)
]


@both
@pytest.mark.parametrize(("frontend", "offer", "word", "reason"), CASES, ids=pair_id)
def test_a_vendors_own_word(client: Client, frontend: str, offer: Offer, word: str, reason: str, stream: bool):
    text = f"{mark()}[[say:So far.]][[@{offer.vendor} finish:{word}]]"
    got = client.ask(frontend, request(frontend, offer.name, text, stream=stream))
    assert got.finish == expected(frontend, reason) and got.text == "So far."


@both
@pytest.mark.parametrize(("frontend", "offer"), pairs(), ids=pair_id)
def test_what_happens_every_day(client: Client, frontend: str, offer: Offer, stream: bool):
    def ask(text: str, limit: int = 4000) -> str | None:
        body = request(frontend, offer.name, mark() + text, tools=[("look", CITY)], limit=limit, stream=stream)
        return client.ask(frontend, body).finish

    assert ask("[[say:Done.]]") == expected(frontend, "stop")
    assert ask("[[tool:look]]") == expected(frontend, "tool_calls")
    assert ask("[[tokens:900]]", 200) == expected(frontend, "length")


@both
@pytest.mark.parametrize("offer", [each for each in OFFERS if each.vendor in ("anthropic", "bedrock")], ids=pair_id)
def test_the_stop_sequence_that_was_met_is_told(client: Client, offer: Offer, stream: bool):
    text = f"{mark()}[[say:One. Two. END Three.]]"
    body = request("messages", offer.name, text, stream=stream, stop_sequences=["NEVER", "END"])
    got = client.ask("messages", body)
    assert got.text.strip() == "One. Two." and got.finish == "stop_sequence"
    assert got.body["stop_sequence"] == "END"
    chat = client.ask("chat_completions", request("chat_completions", offer.name, text, stream=stream, stop=["END"]))
    assert chat.text.strip() == "One. Two." and chat.finish == "stop"

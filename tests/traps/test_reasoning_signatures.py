"""Signed reasoning that does not survive the way to the client and back.

Complaint: "Invalid `signature` in `thinking` block", "Expected `thinking`, but found `tool_use`", reasoning lost
between turns, and gateways whose "encrypted" reasoning anybody can read, change or carry to another account.
Request: a Claude model thinks, gives a thought of which only the signature is shown and one that is redacted, then
calls a tool; the client sends back what it got with the tool's result. Likewise the other vendors' sealed reasoning.
The vendor must get its own blocks byte for byte, in their order, before the call, empty ones too, and never a token of
another vendor, of another tenant, a forged one, or a thought that was made up from plain text.
The client must see the reasoning in its protocol's own place, streamed or not.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from dev.simulated_providers.recorder import Recorded
from tests.gateway import Origin
from tests.traps.kit import CITY, Client, Got, Result, Said, mark, request
from tests.traps.providers import FRONTENDS, OFFERS, Offer, offers, pair_id, pairs
from tests.traps.wire import blocks_of, protocol_of

TOOLS = (("get_weather", CITY),)
CLAUDES = [each for each in offers("sign") if each.vendor in ("anthropic", "bedrock")]
both = pytest.mark.parametrize("stream", [False, True], ids=pair_id)
every_frontend = pytest.mark.parametrize("frontend", FRONTENDS)
THOUGHTS = (
    '[[think:Rain, perhaps.]][[think-signed]][[think-redacted]][[say:I will look.]][[tool:get_weather {"city":"Oslo"}]]'
)


def opened(token: str) -> str:
    """The vendor's own bytes inside a token of the gateway; a token that is not the gateway's is the vendor's own."""
    if not token.startswith("hg1."):
        return token
    payload = token.removeprefix("hg1.").partition(".")[0]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))[4]


def first_turn(client: Client, frontend: str, offer: Offer, directives: str, *, stream: bool) -> tuple[str, Got]:
    """(the user's text, the answer) of a turn that ends in a call."""
    text = mark() + directives
    got = client.ask(frontend, request(frontend, offer.name, text, tools=TOOLS, effort="high", stream=stream))
    assert [name for _, name, _ in got.calls] == ["get_weather"]
    return text, got


def second_turn(text: str, got: Got, *, replay: list[dict[str, Any]] | None = None) -> list[Any]:
    """The history with what the client got put back and the tool's result after it."""
    return [Said("user", text), *(got.replay if replay is None else replay), Result(got.calls[0][0], "4 degrees")]


def sent_again(
    client: Client, frontend: str, offer: Offer, turns: list[Any], *, stream: bool = False
) -> tuple[Recorded, Got]:
    """What the vendor heard of the second turn, and its answer."""
    body = request(frontend, offer.name, turns, tools=TOOLS, effort="high", stream=stream)
    got = client.ask(frontend, body)
    return client.heard(turns[0].text[:16])[-1], got


def seals_in(recorded: Recorded) -> list[str]:
    """The sealed values that a request carries, in order."""
    match protocol_of(recorded):
        case "responses":
            return [item["encrypted_content"] for item in recorded.body["input"] if item.get("encrypted_content")]
        case "gemini":
            parts = [part for turn in recorded.body["contents"] for part in turn["parts"]]
            return [part["thoughtSignature"] for part in parts if "thoughtSignature" in part]
        case "messages" | "converse":
            blocks = [block for _, blocks in blocks_of(recorded) for block in blocks]
            return [essence for kind, essence in blocks if kind in ("thinking", "redacted")]
        case _:
            details = [d for message in recorded.body["messages"] for d in message.get("reasoning_details") or ()]
            return [detail.get("signature") or detail["data"] for detail in details]


@both
@every_frontend
@pytest.mark.parametrize("offer", CLAUDES, ids=pair_id)
def test_claude_gets_its_blocks_back_as_they_were(client: Client, offer: Offer, frontend: str, stream: bool):
    text, got = first_turn(client, frontend, offer, THOUGHTS, stream=stream)
    assert got.thoughts == "Rain, perhaps." and len(got.sealed) == 3
    heard, _ = sent_again(client, frontend, offer, second_turn(text, got), stream=stream)
    (assistant,) = [blocks for role, blocks in blocks_of(heard) if role == "assistant"]
    assert [kind for kind, _ in assistant] == ["thinking", "thinking", "redacted", "text", "call"]
    assert [essence for _, essence in assistant[:3]] == [opened(token) for token in got.sealed]
    # The simulated vendor binds a signature to its text, so that what was restructured would have been refused.
    raw = heard.text
    assert raw.index("Rain, perhaps.") < raw.index("I will look.") < raw.index("4 degrees")


# OpenAI's Chat Completions shows no reasoning, so that there is nothing to bring back.
SHOWN = [(frontend, offer) for frontend, offer in pairs("sign") if offer.spoken(frontend) != "chat_completions"]


@both
@pytest.mark.parametrize(("frontend", "offer"), SHOWN, ids=pair_id)
def test_every_vendor_gets_its_own_seal_back(client: Client, offer: Offer, frontend: str, stream: bool):
    directives = '[[think:Rain, perhaps.]][[tool:get_weather {"city":"Oslo"}]]'
    text, got = first_turn(client, frontend, offer, directives, stream=stream)
    assert got.sealed and "Rain, perhaps." in got.thoughts
    heard, _ = sent_again(client, frontend, offer, second_turn(text, got), stream=stream)
    assert seals_in(heard) == [opened(token) for token in got.sealed]


@both
@pytest.mark.parametrize("offer", CLAUDES, ids=pair_id)
def test_where_each_client_finds_the_reasoning(client: Client, offer: Offer, stream: bool):
    _, chat = first_turn(client, "chat_completions", offer, THOUGHTS, stream=stream)
    message = chat.body["choices"][0]["message"]
    assert message["reasoning_content"] == "Rain, perhaps."
    details = message["reasoning_details"]
    assert [entry["type"] for entry in details] == ["reasoning.text", "reasoning.text", "reasoning.encrypted"]
    assert details[0]["text"] == "Rain, perhaps." and details[0]["signature"] and details[1]["signature"]
    _, messages = first_turn(client, "messages", offer, THOUGHTS, stream=stream)
    kinds = [block["type"] for block in messages.body["content"]]
    assert kinds == ["thinking", "thinking", "redacted_thinking", "text", "tool_use"]
    _, responses = first_turn(client, "responses", offer, THOUGHTS, stream=stream)
    items = [item for item in responses.body["output"] if item["type"] == "reasoning"]
    assert len(items) == 3 and all(item["encrypted_content"].startswith("hg1.") for item in items)
    if stream:
        done = [event["item"] for event in responses.events if event["type"] == "response.output_item.done"]
        assert [item["encrypted_content"] for item in done if item["type"] == "reasoning"] == responses.sealed


@pytest.mark.parametrize("offer", offers("sign"), ids=pair_id)
def test_sealed_reasoning_is_left_out_where_it_was_not_asked_for(client: Client, offer: Offer):
    body = request("responses", offer.name, f"{mark()}[[think:Hm.]]", effort="high")
    del body["include"]
    assert client.ask("responses", body).sealed == []


# A Messages client of a Messages vendor carries the vendor's own signatures, which only the vendor can judge.
WRAPPED = [(frontend, offer) for frontend in FRONTENDS for offer in CLAUDES if not offer.relayed(frontend)]


@pytest.mark.parametrize(("frontend", "offer"), WRAPPED, ids=pair_id)
def test_a_changed_token_and_another_tenants_are_dropped(client: Client, frontend: str, offer: Offer):
    text, got = first_turn(client, frontend, offer, THOUGHTS, stream=False)
    payload, _, mac = got.sealed[0].removeprefix("hg1.").partition(".")
    assert payload and len(mac) >= 32, "a token is authenticated"
    middle = len(got.sealed[0]) // 2
    letter = "A" if got.sealed[0][middle] != "A" else "B"
    forged = got.sealed[0][:middle] + letter + got.sealed[0][middle + 1 :]
    replay = json.loads(json.dumps(got.replay).replace(got.sealed[0], forged))
    heard, again = sent_again(client, frontend, offer, second_turn(text, got, replay=replay))
    assert opened(got.sealed[0]) not in heard.text and opened(got.sealed[1]) in heard.text
    assert "foreign_signature" in again.losses
    key = client.origin.backends.create_key(owner="stranger")
    stranger = Client(Origin(client.origin.url, key, client.origin.emulator, client.origin.backends))
    try:
        heard, again = sent_again(stranger, frontend, offer, second_turn(text, got))
    finally:
        stranger.close()
    assert seals_in(heard) == [] and "foreign_signature" in again.losses
    assert not any(opened(token) in heard.text for token in got.sealed)


# Who thinks, and who is asked next. What a Messages client got of one platform's Claude it may show to another's: the
# signatures are the same everywhere.
STRANGERS = [
    (frontend, maker, offer)
    for frontend, maker in SHOWN
    for offer in OFFERS
    if maker.provider != offer.provider
    and not (frontend == "messages" and maker.relayed(frontend) and offer.relayed(frontend))
]


@pytest.mark.parametrize(("frontend", "maker", "offer"), STRANGERS, ids=pair_id)
def test_another_vendors_seal_never_reaches_a_vendor(client: Client, offer: Offer, maker: Offer, frontend: str):
    directives = '[[think:Rain, perhaps.]][[tool:get_weather {"city":"Oslo"}]]'
    text, got = first_turn(client, frontend, maker, directives, stream=False)
    heard, again = sent_again(client, frontend, offer, second_turn(text, got))
    assert client.heard(text[:16])[-1] is heard
    assert again.text
    for token in got.sealed:
        assert token not in heard.text and opened(token) not in heard.text
    assert "foreign_signature" in again.losses


@both
@pytest.mark.parametrize("offer", CLAUDES, ids=pair_id)
def test_a_signed_block_is_never_made_up(client: Client, offer: Offer, stream: bool):
    marker = mark()
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}
    plain = {"role": "assistant", "content": None, "reasoning_content": "Rain, perhaps.", "tool_calls": [call]}
    turns = [Said("user", marker), plain, Result("call_1", "4 degrees")]
    heard, got = sent_again(client, "chat_completions", offer, turns, stream=stream)
    (assistant,) = [blocks for role, blocks in blocks_of(heard) if role == "assistant"]
    assert [kind for kind, _ in assistant] == ["call"] and got.text
    # The vendor refuses to think on in a tool loop whose thinking is missing, and the client is told so.
    assert "thinking_dropped" in got.losses

"""Tool calls of other vendors in an Anthropic client: blocks that overlap, skip a number or come after the end.

Complaint: Claude Code and the Anthropic SDKs stop with "Content block not found" or an index of −1 when a gateway hands
them the calls of a vendor that writes several at once.
Request: two tools; the vendor says a sentence, then writes two calls whose arguments alternate, or come whole with the
name. Also the three ways to force, forbid and limit calls.
The vendor must get the tools' schemas and the choice in its own words.
The client must see one block after the other, numbered without a gap, each call complete and in the order of the calls,
``stop_reason: tool_use``, and nothing behind ``message_stop``.
"""

from __future__ import annotations

import json

import pytest

from tests.traps.kit import CITY, Client, mark, request
from tests.traps.providers import OFFERS, Offer, offers, pair_id
from tests.traps.wire import choice_of, one_call_only, tools_of

PLACE = {
    "type": "object",
    "properties": {
        "place": {"type": "object", "properties": {"name": {"type": "string"}}},
        "days": {"type": "integer"},
    },
    "required": ["place", "days"],
}
TOOLS = (("get_weather", CITY), ("book_trip", PLACE))
WEATHER = {"city": 'Saint-"Jean" \\ Łódź 🌍'}
TRIP = {"place": {"name": "Zürich"}, "days": 3}
ORDER = f"[[tool:get_weather {json.dumps(WEATHER)}]][[tool:book_trip {json.dumps(TRIP)}]]"
every_offer = pytest.mark.parametrize("offer", OFFERS, ids=pair_id)
both = pytest.mark.parametrize("stream", [False, True], ids=pair_id)


def test_the_ten_providers_are_all_here():
    ten = "openai anthropic vertex bedrock azure xai cohere mistral cloudflare huggingface"
    assert {offer.provider for offer in OFFERS} == set(ten.split())


@both
@pytest.mark.parametrize("manner", ["tools-interleaved", "tools-whole"])
@every_offer
def test_two_calls_after_a_sentence(client: Client, offer: Offer, manner: str, stream: bool):
    text = f"{mark()}[[say:I will look.]][[{manner}]]{ORDER}"
    got = client.ask("messages", request("messages", offer.name, text, tools=TOOLS, stream=stream))
    assert got.finish == "tool_use"
    told = [block for block in got.body["content"] if block["type"] not in ("thinking", "redacted_thinking")]
    assert [block["type"] for block in told] == ["text", "tool_use", "tool_use"]
    assert told[0]["text"] == "I will look."
    assert [(block["name"], block["input"]) for block in told[1:]] == [("get_weather", WEATHER), ("book_trip", TRIP)]
    ids = [block["id"] for block in told[1:]]
    assert len(set(ids)) == 2 and all(ids)
    if stream:
        # What check_stream cannot know: where the blocks of the calls are opened, and that they close before the end.
        opened = [event for event in got.events if event["type"] == "content_block_start"]
        assert [event["index"] for event in opened] == list(range(len(got.body["content"])))
        assert got.events[-1]["type"] == "message_stop"
        for frame in got.response.text.strip().replace("\r\n", "\n").split("\n\n"):
            assert frame.startswith((":", "event: ")), frame


@both
@every_offer
def test_calls_without_a_word_before_them(client: Client, offer: Offer, stream: bool):
    got = client.ask("messages", request("messages", offer.name, f"{mark()}{ORDER}", tools=TOOLS, stream=stream))
    # No empty text block stands before the first call.
    assert [block["type"] for block in got.body["content"] if "thinking" not in block["type"]] == ["tool_use"] * 2
    assert [json.loads(arguments) for _, _, arguments in got.calls] == [WEATHER, TRIP]


@pytest.mark.parametrize("stream", [True], ids=pair_id)
@every_offer
def test_a_call_without_arguments_is_an_empty_object(client: Client, offer: Offer, stream: bool):
    nothing = {"type": "object", "properties": {}}
    body = request("messages", offer.name, "[[tool:ping {}]]", tools=[("ping", nothing)], stream=stream)
    got = client.ask("messages", body)
    assert [(name, json.loads(arguments)) for _, name, arguments in got.calls] == [("ping", {})]


@every_offer
def test_the_vendor_gets_schemas_and_choice_in_its_own_words(client: Client, offer: Offer):
    for choice, wanted in (("required", "required"), ("book_trip", "book_trip"), ("none", "none"), ("auto", None)):
        marker = mark()
        body = request("messages", offer.name, f"{marker}[[say:ok]]", tools=TOOLS, choice=choice)
        got = client.ask("messages", body)
        heard = client.heard_once(marker)
        tools = dict(tools_of(heard))
        if choice == "none" and not tools:
            # The vendor has no word for it; with no tools on offer none is called.
            assert not got.calls
            continue
        assert tools["book_trip"] == PLACE
        if choice == "book_trip" and set(tools) == {"book_trip"}:
            # Named by being the only one on offer.
            wanted = "required"
        else:
            assert tools["get_weather"] == CITY
        assert choice_of(heard) == wanted or (choice == "auto" and choice_of(heard) == "auto")
        names = {name for _, name, _ in got.calls}
        assert names == {"book_trip": {"book_trip"}, "required": names or {"a call"}}.get(choice, set())


@both
@pytest.mark.parametrize("offer", offers("parallel_off"), ids=pair_id)
def test_one_call_at_a_time(client: Client, offer: Offer, stream: bool):
    marker = mark()
    body = request("messages", offer.name, f"{marker}{ORDER}", tools=TOOLS, parallel=False, stream=stream)
    got = client.ask("messages", body)
    assert one_call_only(client.heard_once(marker))
    assert [name for _, name, _ in got.calls] == ["get_weather"]


@pytest.mark.parametrize("offer", [each for each in OFFERS if "parallel_off" not in each.can], ids=pair_id)
def test_where_one_call_at_a_time_cannot_be_had_it_is_said(client: Client, offer: Offer):
    body = request("messages", offer.name, f"{mark()}{ORDER}", tools=TOOLS, parallel=False)
    got = client.ask("messages", body)
    assert "parallel_tool_calls" in got.losses
    strict = client.send("messages", body, {"x-headgate-strict": "true"})
    assert strict.status_code == 400 and "parallel_tool_calls" in strict.json()["error"]["message"]

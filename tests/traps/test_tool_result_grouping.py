"""Histories that clients write down as they please, and vendors that insist on an order.

Complaint: "tool_use ids were found without tool_result blocks immediately after", "roles must alternate", "text content
blocks must be non-empty", or a 500 for a result whose call was cut off by the client's own compaction.
Request: three calls at once whose results come out of order and between which the user speaks; a result with a
picture; a result without its call; two assistant messages in a row, an empty one, one at the very start; late system
text.
The vendor must get one turn that holds all results in the order of the calls, what the user says behind them, turns
that alternate, pictures as pictures, no empty text, orphans as text, and late system text as marked text of the user.
The client must see an answer, never an error of ours.
"""

from __future__ import annotations

import base64
import itertools
from typing import Any

import pytest

from dev.simulated_providers.recorder import Recorded
from tests.traps.kit import CITY, PNG, Called, Client, Result, Said, mark, request
from tests.traps.providers import Offer, pair_id, pairs
from tests.traps.wire import blocks_of, protocol_of

both = pytest.mark.parametrize("stream", [False, True], ids=pair_id)
NAMES = ("get_weather", "get_time", "get_news")
TOOLS = [(name, CITY) for name in NAMES]
IDS = ("call_1", "call_2", "call_3")
BLOCKS = ("messages", "converse", "gemini")
# A relay hands the client's own history on: the client and the vendor speak the same protocol, with the same rules.
TRANSLATED = [(frontend, offer) for frontend, offer in pairs() if not offer.relayed(frontend)]
every_pair = pytest.mark.parametrize(("frontend", "offer"), TRANSLATED, ids=pair_id)


def asked(
    client: Client, frontend: str, offer: Offer, turns: list[Any], *, stream: bool = False
) -> tuple[Recorded, list[str]]:
    """(what the vendor received, the conversation as it understood it, a line an item)."""
    marker = mark()
    turns = [*turns, Said("user", f"{marker}[[history]]")]
    got = client.ask(frontend, request(frontend, offer.name, turns, tools=TOOLS, stream=stream))
    return client.heard_once(marker), got.text.splitlines()


def shuffled() -> list[Any]:
    """Three calls, their results in another order, and something that the user says among them."""
    return [
        Said("user", "Tell me all."),
        *(Called(id, name) for id, name in zip(IDS, NAMES, strict=True)),
        Result("call_3", "third"),
        Result("call_1", "first"),
        Said("user", "Never mind the news."),
        Result("call_2", "second"),
    ]


@both
@every_pair
def test_results_stand_together_in_the_order_of_the_calls(client: Client, frontend: str, offer: Offer, stream: bool):
    heard, understood = asked(client, frontend, offer, shuffled(), stream=stream)
    told = [line for line in understood if line.startswith("result of")]
    ordered = ["result of get_weather: first", "result of get_time: second", "result of get_news: third"]
    # OpenAI's Responses has a flat list and takes results in any order.
    assert (sorted(told) == sorted(ordered)) if protocol_of(heard) == "responses" else (told == ordered)
    calls = [line.split()[1] for line in understood if line.startswith("call ")]
    assert calls == list(NAMES)
    spoken = next(index for index, line in enumerate(understood) if "Never mind the news." in line)
    assert spoken > understood.index(told[-1]) or protocol_of(heard) == "responses"
    if protocol_of(heard) in BLOCKS:
        turns = blocks_of(heard)
        roles = [role for role, _ in turns]
        assert all(one != other for one, other in itertools.pairwise(roles)), "turns alternate"
        (holding,) = [blocks for _, blocks in turns if any(kind == "result" for kind, _ in blocks)]
        kinds = [kind for kind, _ in holding]
        assert kinds[:3] == ["result"] * 3 and "result" not in kinds[3:] and "text" in kinds[3:]
        asking = [essence for _, blocks in turns for kind, essence in blocks if kind == "call"]
        assert [essence for kind, essence in holding if kind == "result"] == asking


@both
@pytest.mark.parametrize(("frontend", "offer"), pairs("image"), ids=pair_id)
def test_a_picture_in_a_result_stays_a_picture(client: Client, frontend: str, offer: Offer, stream: bool):
    turns = [Said("user", "Look."), Called("call_1", "get_weather"), Result("call_1", "a map", image=True)]
    heard, understood = asked(client, frontend, offer, turns, stream=stream)
    (line,) = [line for line in understood if "image image/png" in line]
    assert f"{len(base64.b64decode(PNG))} bytes" in line
    assert any("a map" in line for line in understood)
    # It is not passed on as a text of base64.
    assert "iVBORw0KGgo" not in "".join(understood) and "iVBORw0KGgo" in heard.text


@both
@every_pair
def test_a_result_without_its_call_is_text(client: Client, frontend: str, offer: Offer, stream: bool):
    turns = [Said("user", "Hello."), Said("assistant", "Yes?"), Result("call_lost", "42 degrees")]
    heard, understood = asked(client, frontend, offer, turns, stream=stream)
    assert "42 degrees" in "\n".join(understood)
    assert not any(line.startswith(("result of", "call ")) for line in understood)
    if protocol_of(heard) in BLOCKS:
        assert not any(kind == "result" for _, blocks in blocks_of(heard) for kind, _ in blocks)


@every_pair
def test_a_call_without_its_result_is_answered_for_it(client: Client, frontend: str, offer: Offer):
    turns = [
        Said("user", "Go."),
        Called("call_1", "get_weather"),
        Called("call_2", "get_time"),
        Result("call_2", "noon"),
    ]
    _, understood = asked(client, frontend, offer, turns)
    told = [line for line in understood if "result of" in line]
    assert len(told) == 2 and "get_weather" in told[0] and told[1].endswith("get_time: noon")


@both
@every_pair
def test_turns_are_mended(client: Client, frontend: str, offer: Offer, stream: bool):
    turns = [
        Said("assistant", "I begin."),
        Said("user", "So I see."),
        Said("assistant", "One."),
        Said("assistant", "Two."),
        Said("assistant", ""),
        Said("user", "And?"),
    ]
    heard, understood = asked(client, frontend, offer, turns, stream=stream)
    text = "\n".join(understood)
    places = [text.index(word) for word in ("I begin.", "So I see.", "One.", "Two.", "And?")]
    assert places == sorted(places)
    if protocol_of(heard) in BLOCKS:
        roles = [role for role, _ in blocks_of(heard)]
        assert roles[0] == "user" and all(one != other for one, other in itertools.pairwise(roles))
        assert all(essence.strip() for _, blocks in blocks_of(heard) for kind, essence in blocks if kind == "text")


@both
@every_pair
def test_late_system_text_is_marked_text_of_the_user(client: Client, frontend: str, offer: Offer, stream: bool):
    turns = [
        Said("system", "Be brief."),
        Said("user", "Hello."),
        Said("assistant", "Yes?"),
        Said("system", "Now be long."),
    ]
    heard, understood = asked(client, frontend, offer, turns, stream=stream)
    text = "\n".join(understood)
    # Text at the start is system text; later text stays at its place.
    assert text.index("Be brief.") < text.index("Hello.") < text.index("Yes?") < text.index("Now be long.")
    if protocol_of(heard) in (*BLOCKS, "cohere") or offer.provider == "mistral":
        assert "<system>" in text and not any(line == "system: Now be long." for line in understood)
    else:
        assert any(line in ("system: Now be long.", "developer: Now be long.") for line in understood)

"""Gemini's thought signatures, which clients of other protocols throw away.

Complaint: "Function call is missing a thought_signature" on the second turn, because the client only keeps the standard
fields of a tool call.
Request: Gemini 3 calls two tools at once and signs the first call; the client sends the calls back as it got them, with
the standard fields alone, or with calls that this gateway never saw.
The vendor must get the signature on the part that it came with; where nobody knows it, the documented value that skips
the check, and never nothing.
The client must see an id of at most 64 plain characters, which every SDK takes, and the signature beside it.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.gateway import Origin
from tests.traps.kit import CITY, Called, Client, Got, Result, Said, mark, request
from tests.traps.providers import FRONTENDS, pair_id
from tests.traps.test_reasoning_signatures import opened

MODEL = "vertex/gemini-3.5-flash"
OLDER = "vertex/gemini-2.5-flash"
SKIP = "skip_thought_signature_validator"
TOOLS = (("get_weather", CITY), ("get_time", CITY))
CALLS = '[[tool:get_weather {"city":"Oslo"}]][[tool:get_time {"city":"Rome"}]]'
both = pytest.mark.parametrize("stream", [False, True], ids=pair_id)
every_frontend = pytest.mark.parametrize("frontend", FRONTENDS)


def first(client: Client, frontend: str, *, stream: bool, effort: str | None = "low") -> tuple[str, Got]:
    """(the user's text, an answer with two calls)."""
    text = mark() + CALLS
    got = client.ask(frontend, request(frontend, MODEL, text, tools=TOOLS, stream=stream, effort=effort))
    assert [name for _, name, _ in got.calls] == ["get_weather", "get_time"]
    return text, got


def model_parts(client: Client, frontend: str, turns: list[Any], model: str = MODEL) -> list[dict[str, Any]]:
    """The parts of the model's turns as the vendor gets them with this history."""
    client.ask(frontend, request(frontend, model, turns, tools=TOOLS))
    contents = client.heard(turns[0].text[:16])[-1].body["contents"]
    return [part for turn in contents if turn["role"] == "model" for part in turn["parts"]]


def results(got: Got) -> list[Result]:
    return [Result(id, f"of {name}") for id, name, _ in got.calls]


def stripped(got: Got) -> list[Called]:
    """The calls with nothing but the standard fields."""
    return [Called(*call) for call in got.calls]


@both
@every_frontend
def test_the_first_call_gets_its_signature_back(client: Client, frontend: str, stream: bool):
    text, got = first(client, frontend, stream=stream)
    # On the call, or for the Messages client in a thinking block before it.
    (token,) = set(got.sealed)
    parts = model_parts(client, frontend, [Said("user", text), *got.replay, *results(got)])
    calls = [part for part in parts if "functionCall" in part]
    assert [part.get("thoughtSignature") for part in calls] == [opened(token), None]
    for id, _, _ in got.calls:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", id)


@both
@every_frontend
def test_a_signature_is_found_again_when_the_client_dropped_it(client: Client, frontend: str, stream: bool):
    text, got = first(client, frontend, stream=stream)
    (token,) = set(got.sealed)
    # Another process may serve the second turn, as on Lambda.
    other = {"responses": "chat_completions", "chat_completions": "messages", "messages": "chat_completions"}[frontend]
    for client_of in (frontend, other):
        parts = model_parts(client, client_of, [Said("user", text), *stripped(got), *results(got)])
        calls = [part for part in parts if "functionCall" in part]
        assert [part.get("thoughtSignature") for part in calls] == [opened(token), None]


@every_frontend
def test_nobody_else_finds_it(client: Client, frontend: str):
    text, got = first(client, frontend, stream=False)
    key = client.origin.backends.create_key(owner="neighbour")
    neighbour = Client(Origin(client.origin.url, key, client.origin.emulator, client.origin.backends))
    try:
        parts = model_parts(neighbour, frontend, [Said("user", text), *stripped(got), *results(got)])
    finally:
        neighbour.close()
    assert [part.get("thoughtSignature") for part in parts if "functionCall" in part] == [SKIP, None]


@every_frontend
def test_an_unknown_call_is_marked_to_be_skipped(client: Client, frontend: str):
    ids = ["call_elsewhere_1", "call_elsewhere_2", "call_elsewhere_3"]
    turns = [
        Said("user", mark()),
        Called(ids[0], "get_weather"),
        Called(ids[1], "get_time"),
        Result(ids[0], "4 degrees"),
        Result(ids[1], "noon"),
        Called(ids[2], "get_weather"),
        Result(ids[2], "5 degrees"),
    ]
    calls = [part for part in model_parts(client, frontend, turns) if "functionCall" in part]
    # The first call of each step is the one that is checked.
    assert [part.get("thoughtSignature") for part in calls] == [SKIP, None, SKIP]
    older = [part for part in model_parts(client, frontend, turns, OLDER) if "functionCall" in part]
    assert [part.get("thoughtSignature") for part in older] == [None, None, None]


@both
@every_frontend
def test_a_signature_of_a_text_stays_on_the_text(client: Client, frontend: str, stream: bool):
    text = f"{mark()}[[say:It is cold.]]"
    got = client.ask(frontend, request(frontend, MODEL, text, stream=stream, effort="low"))
    (token,) = got.sealed
    parts = model_parts(client, frontend, [Said("user", text), *got.replay, Said("user", "And tomorrow?")])
    assert [part for part in parts if part.get("thoughtSignature")] == [
        {"text": "It is cold.", "thoughtSignature": opened(token)}
    ]


@both
def test_where_a_chat_client_finds_it(client: Client, stream: bool):
    _, got = first(client, "chat_completions", stream=stream)
    one, two = got.body["choices"][0]["message"]["tool_calls"]
    assert one["extra_content"]["google"]["thought_signature"].startswith("hg1.")
    assert "extra_content" not in two

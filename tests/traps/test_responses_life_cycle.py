"""Responses streams that an SDK cannot follow: missing events, holes in the numbering, null keys left out.

Complaint: agents on the Responses API break on gateways that translate: ``sequence_number`` missing or starting anew,
deltas of parts that were never opened, a final response that differs from what was streamed.
Request: text, a tool call, reasoning with both, and nothing at all, of every vendor.
The client must see the whole life cycle in order with every place named and every nullable key present, one terminal
event whose output equals both the sum of the deltas and the answer that is not streamed, then ``[DONE]``. The rules
themselves are in ``open_responses.check_stream``, to which every stream of these tests is held.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.traps.kit import CITY, Client, Got, mark, request
from tests.traps.providers import OFFERS, Offer, offers, pair_id

TOOLS = (("get_weather", CITY), ("get_time", CITY))
CALLS = '[[tool:get_weather {"city":"Oslo"}]][[tool:get_time {"city":"Rome"}]]'
CASES = {
    "text": "[[say:Two words, and a line\nbreak.]]",
    "tools": CALLS,
    "text and tools": f"[[say:I will look.]]{CALLS}",
    "nothing": "[[empty]]",
    "long text": "[[tokens:300]]",
}
every_offer = pytest.mark.parametrize("offer", OFFERS, ids=pair_id)


def both(client: Client, offer: Offer, text: str, **options: Any) -> tuple[Got, Got]:
    """(streamed, whole) answers to the same request."""
    body = request("responses", offer.name, text, tools=TOOLS, **options)
    return client.ask("responses", {**body, "stream": True}), client.ask("responses", body)


def essence(item: dict[str, Any]) -> dict[str, Any]:
    """An output item without what is new in every answer."""
    fresh = ("id", "call_id", "encrypted_content")
    return {name: value for name, value in item.items() if name not in fresh}


def kinds(got: Got, index: int) -> list[str]:
    """The kinds of the events of one output item, a run of deltas counted once."""
    found: list[str] = []
    for event in got.events:
        kind = event["type"].removeprefix("response.")
        if event.get("output_index") == index and found[-1:] != [kind]:
            found.append(kind)
    return found


@pytest.mark.parametrize("case", CASES)
@every_offer
def test_the_life_cycle_is_whole_and_equals_the_json_answer(client: Client, offer: Offer, case: str):
    streamed, whole = both(client, offer, mark() + CASES[case])
    assert [essence(item) for item in streamed.body["output"]] == [essence(item) for item in whole.body["output"]]
    assert streamed.finish == whole.finish == "completed"
    assert streamed.body.keys() == whole.body.keys()
    for name in ("status", "error", "incomplete_details", "instructions", "tools", "tool_choice", "text", "model"):
        assert streamed.body[name] == whole.body[name], name
    assert streamed.usage["output_tokens"] == whole.usage["output_tokens"]
    first = streamed.events[0]["response"]
    assert first["status"] == "in_progress" and first["output"] == [] and first["id"] == streamed.body["id"]
    for index, item in enumerate(streamed.body["output"]):
        if item["type"] == "message":
            assert kinds(streamed, index) == [
                "output_item.added",
                "content_part.added",
                "output_text.delta",
                "output_text.done",
                "content_part.done",
                "output_item.done",
            ]
        elif item["type"] == "function_call":
            told = kinds(streamed, index)
            assert told[0] == "output_item.added" and told[-1] == "output_item.done"
            assert "function_call_arguments.done" in told
    for event in streamed.events:
        # Items are opened empty and in progress.
        if event["type"] == "response.output_item.added":
            item = event["item"]
            assert not item.get("content") and not item.get("arguments") and not item.get("summary")
            assert item.get("status", "in_progress") == "in_progress"
        if event["type"] == "response.function_call_arguments.done":
            json.loads(event["arguments"])


@pytest.mark.parametrize("offer", offers("think"), ids=pair_id)
def test_reasoning_is_opened_before_its_first_delta(client: Client, offer: Offer):
    text = f"{mark()}[[think:First this,\nthen that.]][[say:Done.]]{CALLS}"
    streamed, whole = both(client, offer, text, effort="high")
    assert [essence(item) for item in streamed.body["output"]] == [essence(item) for item in whole.body["output"]]
    types = [item["type"] for item in streamed.body["output"] if essence(item) != {"type": "reasoning", "summary": []}]
    assert types == ["reasoning", "message", "function_call", "function_call"]
    assert "First this,\nthen that." in streamed.thoughts
    told = kinds(streamed, 0)
    part, text_kind = "reasoning_summary_part", "reasoning_summary_text"
    if f"{part}.added" not in told:
        # Open-weight models show their chain of thought itself, which has a part of another kind.
        part, text_kind = "content_part", "reasoning_text"
    assert told == [
        "output_item.added",
        f"{part}.added",
        f"{text_kind}.delta",
        f"{text_kind}.done",
        f"{part}.done",
        "output_item.done",
    ]
    for event in streamed.events:
        if "reasoning_summary" in event["type"]:
            assert event["summary_index"] == 0 and event["item_id"]
        if event["type"].startswith("response.reasoning_text"):
            assert event["content_index"] == 0 and event["item_id"]


@every_offer
def test_a_cut_answer_ends_incomplete(client: Client, offer: Offer):
    # OpenAI's least bound is 16 tokens; reasoning takes its part of it.
    streamed, whole = both(client, offer, f"{mark()}[[tokens:400]]", limit=100)
    for got in (streamed, whole):
        assert got.finish == "incomplete:max_output_tokens"
        # A seal that comes behind the text has no status of its own.
        last = [item for item in got.body["output"] if item["type"] != "reasoning"][-1:]
        assert all(item["status"] == "incomplete" for item in last) or got.body["output"][-1]["type"] == "reasoning"
    assert streamed.events[-1]["type"] == "response.incomplete"


@every_offer
def test_a_broken_answer_ends_failed(client: Client, offer: Offer):
    body = request("responses", offer.name, f"{mark()}[[tokens:60]][[error-after:3]][[slow:0.001]]", stream=True)
    response = client.send("responses", body)
    assert response.status_code == 200
    frames = [line for line in response.text.splitlines() if line.startswith("data: ")]
    assert frames[-1] == "data: [DONE]"
    events = [json.loads(line[6:]) for line in frames[:-1]]
    assert events[-1]["type"] == "response.failed"
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    failed = events[-1]["response"]
    assert failed["status"] == "failed" and failed["error"]["code"] and failed["error"]["message"]
    terminal = {"response.completed", "response.incomplete", "response.failed"}
    assert sum(event["type"] in terminal for event in events) == 1

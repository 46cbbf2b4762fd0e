"""Prompt caches that never hit, and cache marks that a vendor answers with an error.

Complaint: marks get lost on the way to Claude on another platform, reach models that refuse them, or the prefix differs
in a byte from turn to turn (key order, timestamps, new ids), so that a cache is paid for and never read.
Request: marks on system text, a tool, and content, of five minutes and of an hour; the same conversation, and the same
one turn longer.
The vendor must get the marks on the same blocks in its own form, at most four of them, and only where the model caches
so; elsewhere none, but a cache key that is the same for each turn and another one for each tenant. The bytes of a
longer conversation begin with those of the shorter one.
The client must see cache reads and writes in its own usage object, and a warning where its marks were dropped.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway import Origin
from tests.traps.kit import CITY, Called, Client, Result, Said, mark, request
from tests.traps.providers import OFFERS, Offer, offers, pair_id, pairs
from tests.traps.wire import blocks_of, prefix_length

both = pytest.mark.parametrize("stream", [False, True], ids=pair_id)
SHORT: dict[str, Any] = {"type": "ephemeral"}
LONG: dict[str, Any] = {"type": "ephemeral", "ttl": "1h"}
FIVE: dict[str, Any] = {"type": "ephemeral", "ttl": "5m"}


def marked(model: str, marker: str, *, more: int = 0, stream: bool = False) -> dict[str, Any]:
    """A Messages request with a mark on a tool, the system text, a block in the middle and the last block; ``more``
    blocks with further marks before them."""
    extra = [{"type": "text", "text": f"Page {number}.", "cache_control": FIVE} for number in range(more)]
    return {
        "model": model,
        "max_tokens": 4000,
        "stream": stream,
        "tools": [
            {"name": "get_time", "input_schema": CITY},
            {"name": "get_weather", "input_schema": CITY, "cache_control": LONG},
        ],
        "system": [
            {"type": "text", "text": "You know the weather."},
            {"type": "text", "text": "Be brief.", "cache_control": LONG},
        ],
        "messages": [
            {"role": "user", "content": [*extra, {"type": "text", "text": f"{marker} Hello.", "cache_control": SHORT}]},
            {"role": "assistant", "content": "Yes?"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "One more thing.", "cache_control": FIVE},
                    {"type": "text", "text": "[[say:ok]]"},
                ],
            },
        ],
    }


@both
@pytest.mark.parametrize("offer", [each for each in offers("mark") if "messages" in each.native], ids=pair_id)
def test_an_anthropic_vendor_gets_the_very_same_marks(client: Client, offer: Offer, stream: bool):
    marker = mark()
    body = marked(offer.name, marker, stream=stream)
    got = client.ask("messages", body)
    heard = client.heard_once(marker).body
    assert [heard[name] for name in ("tools", "system", "messages")] == [
        body[name] for name in ("tools", "system", "messages")
    ]
    assert not got.losses


@both
@pytest.mark.parametrize("offer", [each for each in offers("mark") if each.native == ("converse",)], ids=pair_id)
def test_bedrock_gets_a_point_behind_each_marked_block(client: Client, offer: Offer, stream: bool):
    marker = mark()
    got = client.ask("messages", marked(offer.name, marker, stream=stream))
    heard = client.heard_once(marker)
    hour = {"cachePoint": {"type": "default", "ttl": "1h"}}
    tools, system = heard.body["toolConfig"]["tools"], heard.body["system"]
    assert ["toolSpec" in each for each in tools] == [True, True, False] and tools[2] == hour
    assert system == [{"text": "You know the weather."}, {"text": "Be brief."}, hour]
    first, answer, last = (blocks for _, blocks in blocks_of(heard))
    assert first == [("text", f"{marker} Hello."), ("mark", "5m")]
    assert answer == [("text", "Yes?")]
    assert last == [("text", "One more thing."), ("mark", "5m"), ("text", "[[say:ok]]")]
    assert not got.losses


@pytest.mark.parametrize("frontend", ["messages", "chat_completions"])
@pytest.mark.parametrize("offer", offers("mark"), ids=pair_id)
def test_no_more_than_four_marks_are_sent(client: Client, offer: Offer, frontend: str):
    if offer.relayed(frontend):
        # The client's own marks are the vendor's to judge.
        refused = client.send(frontend, marked(offer.name, mark(), more=3))
        assert refused.status_code == 400 and "cache_control" in refused.json()["error"]["message"]
        return
    marker = mark()
    body = marked(offer.name, marker, more=3)
    if frontend == "chat_completions":
        system = {"role": "system", "content": body.pop("system")}
        tools = [
            {"type": "function", "function": {"name": tool["name"], "parameters": tool["input_schema"]}, **marks}
            for tool in body.pop("tools")
            for marks in [{name: value for name, value in tool.items() if name == "cache_control"}]
        ]
        body |= {"messages": [system, *body["messages"]], "tools": tools}
    got = client.ask(frontend, body)
    text = client.heard_once(marker).text
    assert text.count('"cachePoint"') + text.count('"cache_control"') == 4
    assert "too_many_cache_marks" in got.losses


UNMARKED = [each.name for each in OFFERS if "mark" not in each.can] + ["bedrock/nova-2-lite", "bedrock/gpt-oss-120b"]


@both
@pytest.mark.parametrize("model", UNMARKED)
def test_marks_do_not_reach_a_model_that_refuses_them(client: Client, model: str, stream: bool):
    marker = mark()
    body = marked(model, marker, stream=stream)
    got = client.ask("messages", body)
    assert got.text == "ok"
    text = client.heard_once(marker).text
    assert "cache_control" not in text and "cachePoint" not in text and "ephemeral" not in text
    assert "cache_control" in got.losses
    strict = client.send("messages", body, {"x-headgate-strict": "true"})
    assert strict.status_code == 400 and "cache_control" in strict.json()["error"]["message"]


@pytest.mark.parametrize(("frontend", "offer"), pairs("key"), ids=pair_id)
def test_the_cache_key_stays_with_the_tenant(client: Client, frontend: str, offer: Offer):
    keys: list[str] = []
    for text in ("[[say:one]]", "[[say:two]]"):
        marker = mark()
        client.ask(frontend, request(frontend, offer.name, marker + text))
        keys.append(cache_key(client, marker))
    assert keys[0] == keys[1] and len(keys[0]) <= 64
    made = client.origin.backends.create_key(owner="another-tenant")
    another = Client(Origin(client.origin.url, made, client.origin.emulator, client.origin.backends))
    marker = mark()
    try:
        another.ask(frontend, request(frontend, offer.name, f"{marker}[[say:ok]]"))
    finally:
        another.close()
    foreign = cache_key(client, marker)
    assert foreign != keys[0] and "another-tenant" not in foreign and made not in foreign


def cache_key(client: Client, marker: str) -> str:
    """What tells the vendor which requests have a prefix in common."""
    heard = client.heard_once(marker)
    found = [heard.headers.get(name) for name in ("x-session-affinity", "x-grok-conv-id")]
    return heard.body.get("prompt_cache_key") or next(value for value in found if value)


@both
@pytest.mark.parametrize(("frontend", "offer"), pairs("mark"), ids=pair_id)
def test_reads_and_writes_come_back_in_each_shape(client: Client, frontend: str, offer: Offer, stream: bool):
    words = f"{mark()} " + "a long preamble " * 20
    parts = {"responses": "input_text", "chat_completions": "text", "messages": "text"}
    content = [
        {"type": parts[frontend], "text": words, "cache_control": SHORT},
        {"type": parts[frontend], "text": "Hi."},
    ]
    body = request(frontend, offer.name, "x", stream=stream)
    body["input" if frontend == "responses" else "messages"] = [{"role": "user", "content": content}]
    if frontend == "chat_completions" and stream:
        body["stream_options"] = {"include_usage": True}
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        usage = client.ask(frontend, body).usage
        if frontend == "messages":
            seen.append((usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]))
        else:
            given = usage.get("input_tokens_details") or usage["prompt_tokens_details"]
            seen.append((given["cache_write_tokens"], given["cached_tokens"]))
    (written, none), (nothing, read) = seen
    assert written > 40 and none == 0 and nothing == 0 and read == written


def conversation(marker: str) -> list[Any]:
    """Three turns with everything that a writer might put in another order or make anew."""
    arguments = '{"zeta":1,"alpha":{"é":"🌍"},"city":"Oslo"}'
    return [
        Said("user", f"{marker} Hello, Łódź."),
        Said("assistant", "Hello."),
        Said("user", "What is the weather?"),
        Called("call_B", "get_weather", arguments),
        Called("call_A", "get_time", arguments),
        Result("call_B", "4 degrees"),
        Result("call_A", "noon"),
        Said("assistant", "Four degrees at noon."),
        Said("user", "Thank you."),
    ]


@pytest.mark.parametrize(("frontend", "offer"), pairs(), ids=pair_id)
def test_the_bytes_of_a_longer_conversation_begin_with_the_shorter_one(client: Client, frontend: str, offer: Offer):
    marker = mark()
    tools = (("get_weather", {"type": "object", "properties": {"zeta": {}, "alpha": {}}}), ("get_time", CITY))
    turns = conversation(marker)
    longer = [*turns, Said("assistant", "You are welcome."), Said("user", "[[say:ok]]")]
    for said in (turns, turns, longer):
        client.ask(frontend, request(frontend, offer.name, said, tools=tools, system="Be brief."))
    first, again, second = (heard.text for heard in client.heard(marker))
    assert first == again
    common = prefix_length(first, second)
    # The whole of the shorter one is in the common part; what stands behind it in the object, tools maybe, is the same.
    assert first.index("Thank you.") < common
    assert second.endswith(first[common:])
    assert len(client.heard(marker)) == 3

"""Cached tokens that are counted twice, reasoning that is not counted at all, and costs that nobody can recompute.

Complaint: some vendors count cached tokens inside the input, some beside it; some count reasoning inside the output,
some beside it. Gateways that pass the numbers on bill the same tokens twice, or never.
Request: the vendors report usage of every class, each in its own way.
The client must see, in its own protocol's way, totals that hold every token once. The cost is the sum of class × price,
exactly, cache writes of five minutes and of an hour apart, the long-context prices chosen by the whole input; answer,
stream and log give the same number. All amounts below are worked out by hand, in 10⁻¹² USD.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from headgate.protocols.chat_completions.relay import Relay
from headgate.protocols.contract import Reply, Target
from tests.traps.kit import Client, Got, mark, request
from tests.traps.providers import FRONTENDS, OFFERS, Offer, pair_id

both = pytest.mark.parametrize("stream", [False, True], ids=pair_id)


@dataclass(frozen=True)
class Case:
    """What a vendor reports, what it amounts to in all, and what that costs at the offer's price."""

    told: dict[str, Any]
    input: int
    read: int
    written_5m: int
    written_1h: int
    output: int
    reasoning: int
    cost: int
    audio: int = 0


_ANTHROPIC = {
    "input_tokens": 12,
    "cache_read_input_tokens": 8,
    "cache_creation_input_tokens": 5,
    "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 2},
    "output_tokens": 16,
    "output_tokens_details": {"thinking_tokens": 6},
}
_BEDROCK = {
    "inputTokens": 12,
    "cacheReadInputTokens": 8,
    "cacheWriteInputTokens": 5,
    "cacheDetails": [{"ttl": "5m", "inputTokens": 3}, {"ttl": "1h", "inputTokens": 2}],
    "outputTokens": 16,
    "totalTokens": 41,
}
_CHAT = {
    "prompt_tokens": 20,
    "completion_tokens": 12,
    "total_tokens": 32,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 5},
}
_RESPONSES = {
    "input_tokens": 20,
    "output_tokens": 12,
    "total_tokens": 32,
    "input_tokens_details": {"cached_tokens": 8},
    "output_tokens_details": {"reasoning_tokens": 5},
}
_GEMINI = {
    "promptTokenCount": 20,
    "cachedContentTokenCount": 8,
    "candidatesTokenCount": 7,
    "thoughtsTokenCount": 5,
    "toolUsePromptTokenCount": 4,
    "totalTokenCount": 36,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 18}, {"modality": "AUDIO", "tokenCount": 2}],
}
_COHERE = {"billed_units": {"input_tokens": 20, "output_tokens": 12}, "cached_tokens": 8}

# Claude: 12 fresh × 3 µ$ + 8 read × 0.3 + 3 × 3.75 (5m: 1.25 × input) + 2 × 6 (1h: 2 × input) + 16 × 15.
_CLAUDE_COST = 36_000_000 + 2_400_000 + 11_250_000 + 12_000_000 + 240_000_000
CASES: dict[tuple[str, str], Case] = {
    ("anthropic", "messages"): Case(_ANTHROPIC, 25, 8, 3, 2, 16, 6, _CLAUDE_COST),
    ("bedrock", "converse"): Case(_BEDROCK, 25, 8, 3, 2, 16, 0, _CLAUDE_COST),
    # 12 fresh × 0.25 + 8 read × 0.025 + 12 × 2: of the output 5 were reasoning, which is in the 12 already.
    ("openai", "responses"): Case(_RESPONSES, 20, 8, 0, 0, 12, 5, 3_000_000 + 200_000 + 24_000_000),
    # The 2 audio tokens have no price of their own here.
    ("openai", "chat_completions"): Case(_CHAT, 20, 8, 0, 0, 12, 5, 3_000_000 + 200_000 + 24_000_000, audio=2),
    # 20 told + 4 for search results; 7 said + 5 thought: 16 fresh × 1.5 + 8 read × 0.15 + 12 × 9.
    ("vertex", "gemini"): Case(_GEMINI, 24, 8, 0, 0, 12, 5, 24_000_000 + 1_200_000 + 108_000_000, audio=2),
    # No price for cached input: 20 × 2.5 + 12 × 10.
    ("cohere", "cohere"): Case(_COHERE, 20, 8, 0, 0, 12, 0, 50_000_000 + 120_000_000),
    ("azure", "messages"): Case(_ANTHROPIC, 25, 8, 3, 2, 16, 6, _CLAUDE_COST),
    ("vertex", "messages"): Case(_ANTHROPIC, 25, 8, 3, 2, 16, 6, _CLAUDE_COST),
    # 12 fresh × 0.25 + 8 read × 0.03 + 12 × 2.
    ("azure", "responses"): Case(_RESPONSES, 20, 8, 0, 0, 12, 5, 3_000_000 + 240_000 + 24_000_000),
    ("azure", "chat_completions"): Case(_CHAT, 20, 8, 0, 0, 12, 5, 3_000_000 + 240_000 + 24_000_000, audio=2),
    # 12 fresh × 1.25 + 8 read × 0.2 + 12 × 2.5; the chat API leaves reasoning out of its 7.
    ("xai", "responses"): Case(_RESPONSES, 20, 8, 0, 0, 12, 5, 15_000_000 + 1_600_000 + 30_000_000),
    ("xai", "chat_completions"): Case(_CHAT, 20, 8, 0, 0, 12, 5, 15_000_000 + 1_600_000 + 30_000_000),
    # 12 fresh × 1.5 + 8 read × 0.15 + 12 × 7.5.
    ("mistral", "chat_completions"): Case(_CHAT, 20, 8, 0, 0, 12, 0, 18_000_000 + 1_200_000 + 90_000_000),
    # No prices for cached input: 20 × 0.35 + 12 × 0.75, 20 × 0.25 + 12 × 0.69.
    ("cloudflare", "chat_completions"): Case(_CHAT, 20, 8, 0, 0, 12, 0, 7_000_000 + 9_000_000),
    ("huggingface", "chat_completions"): Case(_CHAT, 20, 8, 0, 0, 12, 0, 5_000_000 + 8_280_000),
}
PAIRS = [(frontend, offer) for frontend in FRONTENDS for offer in OFFERS]


def told(offer: Offer, usage: dict[str, Any]) -> str:
    return f"{mark()}[[@{offer.vendor} usage:{json.dumps(usage)}]][[say:ok]]"


def classes(got: Got) -> dict[str, int | None]:
    """The frontend's usage object in one form; None for what it has no word for."""
    usage = got.usage
    if got.frontend == "chat_completions":
        given, made = usage["prompt_tokens_details"], usage.get("completion_tokens_details") or {}
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        return {
            "input": usage["prompt_tokens"],
            "read": given["cached_tokens"],
            "written": given.get("cache_write_tokens", 0),
            "output": usage["completion_tokens"],
            "reasoning": made.get("reasoning_tokens", 0),
            "audio": given.get("audio_tokens", 0),
        }
    if got.frontend == "responses":
        given, made = usage["input_tokens_details"], usage["output_tokens_details"]
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        return {
            "input": usage["input_tokens"],
            "read": given["cached_tokens"],
            "written": given["cache_write_tokens"],
            "output": usage["output_tokens"],
            "reasoning": made["reasoning_tokens"],
            "audio": None,
        }
    read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    return {
        "input": usage["input_tokens"] + read + written,
        "read": read,
        "written": written,
        "output": usage["output_tokens"],
        "reasoning": (usage.get("output_tokens_details") or {}).get("thinking_tokens", 0),
        "audio": None,
    }


@both
@pytest.mark.parametrize(("frontend", "offer"), PAIRS, ids=pair_id)
def test_every_token_is_counted_and_paid_once(client: Client, frontend: str, offer: Offer, stream: bool):
    case = CASES[offer.provider, offer.spoken(frontend)]
    more = {"stream_options": {"include_usage": True}} if frontend == "chat_completions" and stream else {}
    got = client.ask(frontend, request(frontend, offer.name, told(offer, case.told), stream=stream, **more))
    seen = classes(got)
    assert (seen["input"], seen["read"], seen["output"]) == (case.input, case.read, case.output)
    assert seen["written"] == case.written_5m + case.written_1h
    assert seen["reasoning"] == case.reasoning and seen["audio"] in (None, case.audio)
    if frontend == "messages":
        assert got.usage["input_tokens"] == case.input - case.read - case.written_5m - case.written_1h
        if not stream:
            lifetimes = got.usage["cache_creation"]
            assert lifetimes["ephemeral_5m_input_tokens"] == case.written_5m
            assert lifetimes["ephemeral_1h_input_tokens"] == case.written_1h
    assert case.read <= case.input and case.reasoning <= case.output
    row = client.logged(got.response)
    assert (row.input_tokens, row.cache_read_tokens, row.output_tokens) == (case.input, case.read, case.output)
    assert (row.cache_write_5m_tokens, row.cache_write_1h_tokens) == (case.written_5m, case.written_1h)
    assert (row.reasoning_tokens, row.audio_input_tokens) == (case.reasoning, case.audio)
    # The same number in the answer and in the log, to the last digit.
    assert row.cost_pico == case.cost and type(row.cost_pico) is int
    assert round(got.body["cost"]["total"] * 10**12) == case.cost


def _large(provider: str, input: int, cached: int) -> dict[str, Any]:
    """A long request with 1,000 tokens of output in the vendor's own words."""
    if provider == "vertex":
        return {
            "promptTokenCount": input,
            "cachedContentTokenCount": cached,
            "candidatesTokenCount": 1000,
            "totalTokenCount": input + 1000,
        }
    return {
        "input_tokens": input,
        "output_tokens": 1000,
        "total_tokens": input + 1000,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens_details": {"reasoning_tokens": 0},
    }


# At the border, and one token above it: all of the request is then billed at the higher prices.
LONG = [
    # 100,000 × 2 + 100,000 × 0.2 + 1,000 × 12
    ("vertex/gemini-3.1-pro-preview", "gemini", 200_000, 100_000, 200_000_000_000 + 20_000_000_000 + 12_000_000_000),
    # 100,001 × 4 + 100,000 × 0.4 + 1,000 × 18
    ("vertex/gemini-3.1-pro-preview", "gemini", 200_001, 100_000, 400_004_000_000 + 40_000_000_000 + 18_000_000_000),
    # 72,000 × 2.5 + 200,000 × 0.25 + 1,000 × 15
    ("openai/gpt-5.4", "openai", 272_000, 200_000, 180_000_000_000 + 50_000_000_000 + 15_000_000_000),
    # 72,001 × 5 + 200,000 × 0.5 + 1,000 × 22.5
    ("openai/gpt-5.4", "openai", 272_001, 200_000, 360_005_000_000 + 100_000_000_000 + 22_500_000_000),
]


@both
@pytest.mark.parametrize("frontend", ["responses", "messages"])
@pytest.mark.parametrize(("model", "vendor", "input", "cached", "cost"), LONG)
def test_long_requests_have_their_own_prices_by_the_whole_input(
    client: Client, frontend: str, model: str, vendor: str, input: int, cached: int, cost: int, stream: bool
):
    usage = json.dumps(_large(model.partition("/")[0], input, cached))
    body = request(frontend, model, f"{mark()}[[@{vendor} usage:{usage}]][[say:ok]]", stream=stream)
    got = client.ask(frontend, body)
    row = client.logged(got.response)
    assert (row.input_tokens, row.cache_read_tokens, row.cost_pico) == (input, cached, cost)
    assert round(got.body["cost"]["total"] * 10**12) == cost


def _relay(*, asked: bool) -> Relay:
    body = {"model": "m", "stream": True, **({"stream_options": {"include_usage": True}} if asked else {})}
    reply = Reply("chatcmpl-1", 0, "openai/m", body, lambda usage: usage.total, lambda sealed: "", lambda: 0)
    return Relay(reply, Target("openai", "m"))


@pytest.mark.parametrize("asked", [True, False])
def test_usage_beside_the_last_choice_is_kept(asked: bool):
    relay = _relay(asked=asked)
    choice = {"index": 0, "delta": {"content": "ok"}, "finish_reason": None}
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    chunks = [{**head, "choices": [choice]}, {**head, "choices": [last], "usage": _CHAT}]
    out = b"".join(relay.feed(b"data: " + json.dumps(chunk).encode() + b"\n\n") for chunk in chunks)
    out += relay.feed(b"data: [DONE]\n\n")
    assert (relay.usage.input_total, relay.usage.cache_read, relay.usage.output_total) == (20, 8, 12)
    sent = [json.loads(line[6:]) for line in out.decode().splitlines() if line.startswith("data: {")]
    assert [c["finish_reason"] for chunk in sent for c in chunk["choices"]] == [None, "stop"]
    told = [chunk["usage"]["prompt_tokens"] for chunk in sent if chunk.get("usage")]
    assert told == ([20] if asked else [])

"""Token counts of Chat Completions: ``prompt_tokens`` and ``completion_tokens`` are inclusive totals, as ours are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from headgate.protocols.contract import Reply
from headgate.usage import Usage, dollars


def count(value: object) -> int:
    """A token count: a whole number of at least 0; anything else that an upstream may put there counts as 0."""
    return value if type(value) is int and value > 0 else 0


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def read_usage(raw: Mapping[str, Any], *, reasoning_extra: bool = False) -> Usage:
    """The upstream's ``usage`` object. reasoning_extra: its ``completion_tokens`` leave the reasoning tokens out, so
    they are added (xAI), unless its own total shows that they are in already. DeepSeek counts cached input in
    ``prompt_cache_hit_tokens``, Mistral also in ``num_cached_tokens`` and ``prompt_token_details``."""
    prompt = _object(raw.get("prompt_tokens_details")) or _object(raw.get("prompt_token_details"))
    completion = _object(raw.get("completion_tokens_details"))
    total = count(raw.get("prompt_tokens"))
    cached = (prompt.get("cached_tokens"), raw.get("prompt_cache_hit_tokens"), raw.get("num_cached_tokens"))
    read = min(total, next((number for each in cached if (number := count(each))), 0))
    written = count(prompt.get("cache_write_tokens")) or count(prompt.get("cached_tokens_created"))
    reasoning = count(completion.get("reasoning_tokens"))
    output = count(raw.get("completion_tokens"))
    if reasoning_extra and count(raw.get("total_tokens")) != total + output:
        output += reasoning
    return Usage(
        input_total=total,
        cache_read=read,
        cache_write_5m=min(total - read, written),
        output_total=output,
        reasoning=min(reasoning, output),
        audio_input=min(total, count(prompt.get("audio_tokens"))),
        audio_output=min(output, count(completion.get("audio_tokens"))),
        raw=raw,
    )


def added(before: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Two ``usage`` objects summed number by number: of a stream whose chunks each carry what they add."""
    whole = dict(before)
    for name, value in more.items():
        known = whole.get(name)
        if isinstance(value, Mapping):
            whole[name] = added(_object(known), cast("Mapping[str, Any]", value))
        elif type(value) in (int, float) and type(known) in (int, float):
            whole[name] = known + value
        else:
            whole[name] = value
    return whole


def write_usage(usage: Usage) -> dict[str, Any]:
    """The ``usage`` object a client sees. The two prediction counters only exist in OpenAI's own raw object."""
    raw = _object(usage.raw.get("completion_tokens_details"))
    return {
        "prompt_tokens": usage.input_total,
        "completion_tokens": usage.output_total,
        "total_tokens": usage.total,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "audio_tokens": usage.audio_input,
            "cache_write_tokens": usage.cache_write,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.audio_output,
            "accepted_prediction_tokens": count(raw.get("accepted_prediction_tokens")),
            "rejected_prediction_tokens": count(raw.get("rejected_prediction_tokens")),
        },
        **({"estimated": True} if usage.estimated else {}),
    }


def write_cost(usage: Usage, reply: Reply) -> dict[str, float | None]:
    """``{"total": USD}``; null where the model has no known price, because unknown is not free."""
    pico = reply.price(usage)
    return {"total": None if pico is None else dollars(pico)}

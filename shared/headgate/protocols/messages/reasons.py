"""Why an answer ended: Anthropic's ``stop_reason`` and the neutral reason, as one table in each direction."""

from __future__ import annotations

from collections.abc import Iterable

from headgate.conversation import Item, ToolCall
from headgate.events import FinishReason

_TO_NEUTRAL: dict[str, FinishReason] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
    "model_context_window_exceeded": "context_window",
    "compaction": "stop",
}

_TO_WIRE: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "stop_sequence": "stop_sequence",
    # Anthropic has no word of its own for a filter; its clients handle a filtered answer as a refusal.
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
    "context_window": "model_context_window_exceeded",
}


def read_reason(stop_reason: str | None) -> FinishReason:
    """The neutral reason for an upstream's ``stop_reason``; a word we do not know is an ordinary end."""
    return _TO_NEUTRAL.get(stop_reason or "", "stop")


def write_reason(reason: FinishReason, items: Iterable[Item]) -> str:
    """The ``stop_reason`` for ``reason``. Some vendors say "stop" although they called tools; clients run tools only
    on ``tool_use``."""
    if reason == "stop" and any(isinstance(item, ToolCall) and item.ran_by == "client" for item in items):
        return "tool_use"
    return _TO_WIRE[reason]

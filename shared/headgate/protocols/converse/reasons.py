"""Why an answer ended: Bedrock's ``stopReason`` as the neutral reason."""

from __future__ import annotations

from headgate.events import FinishReason

_TO_NEUTRAL: dict[str, FinishReason] = {
    "end_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    # A guardrail of the deployer's own account, and the model maker's filter.
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "model_context_window_exceeded": "context_window",
    "refusal": "refusal",
    "pause_turn": "pause",
}
# The model wrote something that is no answer; what came of it must not pass for one.
MALFORMED = ("malformed_model_output", "malformed_tool_use")


def read_reason(stop_reason: str) -> FinishReason:
    """The neutral reason for ``stopReason``; a word we do not know is an ordinary end."""
    return _TO_NEUTRAL.get(stop_reason, "stop")

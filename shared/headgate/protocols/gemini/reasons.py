"""Why an answer ended: Gemini's ``finishReason`` and ``blockReason`` in neutral words."""

from __future__ import annotations

from headgate.events import FinishReason

_REASONS: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    # Can be taken up again with a token that no other protocol has a place for.
    "CONTINUATION": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "OTHER": "stop",
    "IMAGE_OTHER": "stop",
    "NO_IMAGE": "stop",
    "FINISH_REASON_UNSPECIFIED": "stop",
}

# The model or the request failed, and what has been said so far is no answer.
FAILURES = {
    "MALFORMED_FUNCTION_CALL": "The model wrote a function call that cannot be read.",
    "MALFORMED_RESPONSE": "The model wrote an answer that cannot be read.",
    "UNEXPECTED_TOOL_CALL": "The model called a tool that it was not offered.",
    "TOO_MANY_TOOL_CALLS": "The model called the provider's tools too often.",
    "MISSING_THOUGHT_SIGNATURE": "A thought signature is missing from the request.",
    "PUP_LIMITED_DISABLED": "The provider has limited or disabled the account.",
}


def read_reason(finish_reason: str, *, called: bool) -> FinishReason:
    """The neutral reason; a word we do not know is an ordinary end. Gemini also says STOP when it has called
    functions (``called``)."""
    reason = _REASONS.get(finish_reason, "stop")
    return "tool_calls" if called and reason == "stop" else reason

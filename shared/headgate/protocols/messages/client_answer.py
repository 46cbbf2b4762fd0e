"""A complete answer as Anthropic's Message object."""

from __future__ import annotations

from typing import Any

from headgate.fold import Answer
from headgate.protocols.contract import Reply
from headgate.protocols.messages.answer_blocks import content_of
from headgate.protocols.messages.reasons import write_reason
from headgate.protocols.messages.usage import write_usage
from headgate.usage import Usage, dollars


def write_answer(answer: Answer, reply: Reply) -> dict[str, Any]:
    """The Message with ``usage`` and the gateway's ``cost``. ``stop_reason`` is null for an answer that broke off."""
    finished = answer.finished
    return {
        **envelope(reply, answer.usage, content_of(answer.items, reply)),
        "stop_reason": write_reason(finished.reason, answer.items) if finished else None,
        "stop_sequence": finished.stop_sequence if finished else None,
        "stop_details": finished.extra.get("stop_details") if finished else None,
        "cost": cost(reply, answer.usage),
    }


def envelope(reply: Reply, usage: Usage, content: list[dict[str, Any]]) -> dict[str, Any]:
    """The Message that has not ended yet."""
    return {
        "id": reply.id,
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": write_usage(usage),
    }


def cost(reply: Reply, usage: Usage) -> dict[str, float]:
    """The gateway's ``cost`` object in USD; clients rely on a number, so a model without a price costs 0."""
    return {"total": dollars(reply.price(usage) or 0)}

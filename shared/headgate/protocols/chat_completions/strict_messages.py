"""Messages for a vendor (Mistral) that checks them closely: no field that it does not know, and a fixed order of turns.

After a tool's result the assistant speaks, before anybody else does; system text stands at the beginning or after the
user; an assistant message at the end is one to be continued and says so (``prefix``). What is out of order is said by
whom it may be said by; nothing is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.losses import Loss

_FIELDS = {
    "system": ("role", "content"),
    "user": ("role", "content"),
    "assistant": ("role", "content", "tool_calls", "prefix"),
    "tool": ("role", "content", "tool_call_id"),
}
# What clients carry along from an earlier answer without meaning anything by it.
_UNSAID = frozenset({"annotations", "refusal", "reasoning", "reasoning_content"})
# What the assistant says where something else follows a tool's result at once.
_BRIDGE = "OK"


def bare(messages: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[Loss]]:
    """``messages`` without fields that a vendor refuses (Groq, Mistral), and those whose loss may be noticed."""
    losses: list[Loss] = []
    return [_bare(message, index, losses) for index, message in enumerate(messages)], losses


def settle(messages: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[Loss]]:
    """``messages`` as the vendor takes them, and the fields that were left out."""
    known, losses = bare(messages)
    settled: list[dict[str, Any]] = []
    for message in known:
        before = settled[-1]["role"] if settled else None
        if message["role"] == "system" and before in ("assistant", "tool"):
            message = _spoken_by_user(message)
        if message["role"] == "user" and before == "tool":
            settled.append({"role": "assistant", "content": _BRIDGE})
        settled.append(message)
    if settled and settled[-1]["role"] == "assistant" and not settled[-1].get("tool_calls"):
        settled[-1] = {**settled[-1], "prefix": True}
    return settled, losses


def _bare(message: Mapping[str, Any], index: int, losses: list[Loss]) -> dict[str, Any]:
    known = _FIELDS.get(message["role"])
    if known is None:
        return dict(message)
    for name, value in message.items():
        if (
            name not in known
            and name not in _UNSAID
            and (name, message["role"]) != ("name", "tool")
            and value not in (None, "", [], {})
        ):
            losses.append(Loss(f"messages[{index}].{name}", "unsupported_parameter"))
    kept = {name: message[name] for name in known if name in message}
    if message.get("refusal") and not kept.get("content"):
        kept["content"] = message["refusal"]
    return kept


def _spoken_by_user(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content or ()
    text = "\n".join(str(part.get("text", "")) for part in parts)
    return {"role": "user", "content": f"<system>\n{text}\n</system>"}

"""Prompt cache marks on neutral values: the ``cache_control`` objects that clients put on parts, items and tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.conversation import Extra

MARK = "cache_control"
_CARRIERS = ("messages", "responses", "chat_completions")


def mark_of(extra: Extra) -> dict[str, Any] | None:
    """The mark that a part, item or tool carries, whichever frontend it came through, in Anthropic's form."""
    for protocol in _CARRIERS:
        mark = extra.get(protocol, {}).get(MARK)
        if isinstance(mark, Mapping):
            return normal_mark(mark)
    return None


def normal_mark(mark: Mapping[str, Any]) -> dict[str, Any]:
    """``{"type": "ephemeral"}`` with the ``ttl`` if it is one that the vendor knows."""
    ttl = mark.get("ttl")
    return {"type": "ephemeral", "ttl": ttl} if ttl in ("5m", "1h") else {"type": "ephemeral"}

"""Prompt cache marks: keeping to the vendor's limit of four."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from headgate.losses import Loss
from headgate.protocols.cache_marks import MARK, mark_of, normal_mark

__all__ = ["LIMIT", "MARK", "limit_marks", "mark_of", "normal_mark"]

LIMIT = 4


def limit_marks(
    tools: Sequence[dict[str, Any]],
    system: Sequence[dict[str, Any]],
    turns: Sequence[dict[str, Any]],
    *,
    allowed: int = LIMIT,
) -> list[Loss]:
    """Remove marks beyond ``allowed``. Those on tools and system stay first, because they are the stable prefix; of
    those in the conversation the last ones, because they decide what the next turn can read. With too many on tools
    and system alone, their last ones stay, each covering what stands before it."""
    fixed = [block for block in (*tools, *system) if MARK in block]
    moving = [block for turn in turns for block in _blocks(turn["content"]) if MARK in block]
    keep_fixed = fixed[-allowed:] if allowed else []
    room = allowed - len(keep_fixed)
    kept = {id(block) for block in (*keep_fixed, *(moving[-room:] if room else []))}
    dropped = [block for block in (*fixed, *moving) if id(block) not in kept]
    for block in dropped:
        del block[MARK]
    detail = f"{len(dropped)} of {len(fixed) + len(moving)} cache marks removed; the vendor takes {LIMIT}"
    return [Loss(MARK, "too_many_cache_marks", detail)] if dropped else []


def _blocks(content: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for block in content:
        # A mark inside a tool result stands before the one on the result itself.
        inner = block.get("content")
        if block["type"] == "tool_result" and isinstance(inner, list):
            yield from inner
        yield block

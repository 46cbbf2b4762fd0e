"""``cachePoint`` blocks: Bedrock marks the end of a cached prefix by a block of its own, after the marked one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.conversation import Extra
from headgate.losses import Loss
from headgate.protocols.cache_marks import mark_of

Block = dict[str, Any]

LIMIT = 4
POINT = "cachePoint"


def point(mark: Mapping[str, Any]) -> Block:
    """The block for a client's mark. Five minutes are the default, and not every model takes a ``ttl``."""
    return {POINT: {"type": "default", "ttl": "1h"} if mark.get("ttl") == "1h" else {"type": "default"}}


def add_point(blocks: list[Block], extra: Extra) -> None:
    """Put a point behind the last of ``blocks`` where ``extra`` carries a mark; reasoning takes none."""
    mark = mark_of(extra)
    if mark is None or not blocks or "reasoningContent" in blocks[-1]:
        return
    if POINT in blocks[-1]:
        blocks.pop()
    blocks.append(point(mark))


def limit_points(fixed: Sequence[list[Block]], turns: Sequence[Block], allowed: int) -> list[Loss]:
    """Remove points beyond ``allowed``. Those in ``fixed`` (tools, system) stay first, because they are the stable
    prefix; of those in the conversation the last ones, because they decide what the next turn can read. With too many
    in ``fixed`` alone its last ones stay, each covering what stands before it."""
    first = [block for blocks in fixed for block in blocks if POINT in block]
    moving = [block for turn in turns for block in turn["content"] if POINT in block]
    keep = first[-allowed:] if allowed else []
    room = allowed - len(keep)
    kept = {id(block) for block in (*keep, *(moving[-room:] if room else []))}
    dropped = len(first) + len(moving) - len(kept)
    if not dropped:
        return []
    for blocks in (*fixed, *(turn["content"] for turn in turns)):
        blocks[:] = [block for block in blocks if POINT not in block or id(block) in kept]
    detail = f"{dropped} of {len(first) + len(moving)} cache marks removed; the model takes {allowed}"
    return [Loss("cache_control", "too_many_cache_marks" if allowed else "unsupported_parameter", detail)]

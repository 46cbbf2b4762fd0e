"""Ids of stored answers. They say where the answer is stored, so that no index is needed to find it.

``resp_`` or ``msg_``, then lower-case hexadecimal: 32 digits of the conversation's root, 6 of the depth in it (0 for
the first turn), 24 of the turn's own. Root and own part are random, 128 and 96 bits, so an id cannot be guessed even
by someone who knows another turn of the same conversation.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

MAX_DEPTH = 999_999
_FORM = re.compile(r"(resp_|msg_)([0-9a-f]{32})([0-9a-f]{6})([0-9a-f]{24})")


@dataclass(frozen=True, slots=True)
class TurnId:
    """The parts of an id. ``own`` is unique within ``root``; ``depth`` counts the turns before this one."""

    prefix: str
    root: str
    depth: int
    own: str

    def __str__(self) -> str:
        return f"{self.prefix}{self.root}{self.depth:06x}{self.own}"

    @property
    def sort_prefix(self) -> str:
        """What the sort keys of all this turn's items begin with. Turns sort by depth."""
        return f"{self.depth:06d}#{self}#"

    def ancestor(self, distance: int, own: str) -> TurnId:
        """The id of the turn that many steps before this one, given its own part."""
        return TurnId(self.prefix, self.root, self.depth - distance, own)


def parse_id(id: str) -> TurnId | None:
    """The parts of an id of ours, None for any other string."""
    match = _FORM.fullmatch(id)
    if match is None:
        return None
    prefix, root, depth, own = match.groups()
    return TurnId(prefix, root, int(depth, 16), own) if int(depth, 16) <= MAX_DEPTH else None


def new_id(parent_id: str | None = None, prefix: str = "resp_") -> str:
    """A new id: of a first turn, or of one that follows ``parent_id`` (and then has its prefix). Raises ValueError for
    a parent that is no id of ours or already as deep as ids can say; loading the parent first rules both out."""
    if parent_id is None:
        return str(TurnId(prefix, secrets.token_hex(16), 0, secrets.token_hex(12)))
    parent = parse_id(parent_id)
    if parent is None or parent.depth >= MAX_DEPTH:
        raise ValueError("nothing can follow this id")
    return str(TurnId(parent.prefix, parent.root, parent.depth + 1, secrets.token_hex(12)))

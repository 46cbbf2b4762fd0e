"""Which route has read a conversation last, and so holds its prefix in the provider's prompt cache.

Kept in the process, not in a table: it is worth a few cents and must not cost a read. A function that serves one
request at a time sees its conversations again as long as few processes share the traffic; with stored conversations
and sealed reasoning the account is known from those anyway.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

KEPT_SECONDS = 600.0
"""Providers keep a prefix for five minutes to an hour after its last use."""
MOST = 1_000


@dataclass(frozen=True, slots=True)
class Warm:
    """``route``: (provider, model slug). ``tokens``: how much of the conversation it has read."""

    route: tuple[str, str]
    tokens: int


class WarmRoutes:
    """What this process remembers. ``clock``: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[bytes, tuple[float, Warm]] = OrderedDict()

    def find(self, conversation: str) -> Warm | None:
        """The route that has served the conversation within ``KEPT_SECONDS``."""
        kept = self._kept.get(_key(conversation))
        return kept[1] if kept and self._clock() - kept[0] < KEPT_SECONDS else None

    def remember(self, conversation: str, route: tuple[str, str], tokens: int) -> None:
        """Note that a route has read ``tokens`` of the conversation."""
        key = _key(conversation)
        self._kept[key] = (self._clock(), Warm(route, tokens))
        self._kept.move_to_end(key)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget everything, as after the restoring of a snapshot."""
        self._kept.clear()


def _key(conversation: str) -> bytes:
    return hashlib.sha256(conversation.encode("utf-8", "surrogatepass")).digest()

"""Sessions in the state table: whether a request is the first of its session, and what the thinker last wrote.

One item a session, in a partition of its own, found by a hash of owner and session id. It is made by the first request
and lives for ``ttl`` seconds from then, however much the session is used; the request after that is a first one again.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from headgate.storage.aws import ConditionFailed
from headgate.storage.table import Key, Table

DAY = 86_400
TTL = 7 * DAY
MOST_THOUGHT = 12_000
"""Characters of a thought that are kept: its beginning, where the thinker is asked to put what matters."""


@dataclass(frozen=True, slots=True)
class Session:
    """What was known of the session when the request came. ``first``: nothing, this is its first request. ``thought``:
    the text of the thinker's last turn, None where there is none."""

    first: bool
    thought: str | None = None


class Sessions:
    """Sessions in ``table``. ``ttl``: seconds a session lives. ``clock``: Unix seconds. Every method raises what the
    table raises; each is one call to it."""

    def __init__(self, table: Table, ttl: int = TTL, clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._ttl = ttl
        self._clock = clock

    async def begin(self, owner: str, session: str) -> Session:
        """The session as it is, made if there is none. Of requests that come at the same time one is the first; its
        retries are not, so that what failed is not forced on them again."""
        now = int(self._clock())
        pk, sk = _key(owner, session)
        try:
            await self._table.put(
                {"pk": pk, "sk": sk, "owner": owner, "created_at": now, "expires_at": now + self._ttl},
                condition="attribute_not_exists(pk) OR expires_at <= :now",
                values={":now": now},
            )
        except ConditionFailed as failed:
            return Session(False, (failed.old or {}).get("thought"))
        return Session(True)

    async def keep_thought(self, owner: str, session: str, thought: str) -> bool:
        """Make ``thought`` the session's last. False where there is no such session, or none any more; then nothing is
        kept. It is content: the caller leaves this out where the key or the request wants nothing kept."""
        kept = thought.strip()[:MOST_THOUGHT].encode("utf-8", "replace").decode()
        try:
            await self._table.update(
                _key(owner, session),
                "SET thought = :thought",
                condition="expires_at > :now",
                values={":thought": kept, ":now": int(self._clock())},
            )
        except ConditionFailed:
            return False
        return True


def _key(owner: str, session: str) -> Key:
    digest = hashlib.sha256(f"{owner}\0{session}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"session#{digest}", "session"

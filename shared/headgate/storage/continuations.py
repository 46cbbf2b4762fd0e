"""At most one continuation of each answer in a message thread.

A thread continues from its last answer, once. Two requests that continue from the same answer would each be half of a
conversation, so the first takes a lease on the answer's head item, and turns it into a permanent mark when its own
answer is stored. A lease ends by itself, so a process that dies blocks the thread for no longer than that.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from headgate.errors import GatewayError
from headgate.storage.aws import ConditionFailed
from headgate.storage.table import Item, Table
from headgate.storage.turn_ids import parse_id
from headgate.storage.turns import HEAD, Missing, thread_not_found


class AlreadyContinued(GatewayError):
    """400: the answer has a successor. Anthropic's SDKs then replay the conversation under a new thread."""

    def __init__(self) -> None:
        code = "thread_already_continued"
        message = "This thread was already continued from this message."
        super().__init__(400, "invalid_request_error", code, message, details={"error_code": code})


class ContinueInFlight(GatewayError):
    """400: another request is continuing from this answer right now."""

    def __init__(self) -> None:
        code = "thread_continue_in_flight"
        message = "Another request is continuing this thread from this message."
        super().__init__(400, "invalid_request_error", code, message, details={"error_code": code})


class Continuations:
    """The marks on answers in the state table. ``clock``: Unix seconds."""

    def __init__(self, table: Table, clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._clock = clock

    async def begin_continue(
        self, parent_id: str, owner: str, token: str, lease_seconds: float, missing: Missing = thread_not_found
    ) -> None:
        """Take the lease for ``token`` (unique to the request). Taking it again with the same token prolongs it.
        Raises ``missing(parent_id)``, ``AlreadyContinued``, ``ContinueInFlight``."""
        now = self._clock()
        await self._mark(
            parent_id,
            owner,
            missing,
            "SET lease_token = :token, lease_until = :until",
            "attribute_not_exists(continued_by)"
            " AND (attribute_not_exists(lease_until) OR lease_until <= :ms OR lease_token = :token)",
            {":token": token, ":ms": int(now * 1000), ":until": int((now + lease_seconds) * 1000)},
        )

    async def finish_continue(
        self, parent_id: str, owner: str, token: str, child_id: str, missing: Missing = thread_not_found
    ) -> None:
        """Make the lease of ``token`` permanent: ``child_id`` is the successor. Repeating it is harmless. Raises as
        ``begin_continue`` where the lease ran out and somebody else took the place."""
        await self._mark(
            parent_id,
            owner,
            missing,
            "SET continued_by = :child REMOVE lease_token, lease_until",
            "continued_by = :child OR (attribute_not_exists(continued_by)"
            " AND (attribute_not_exists(lease_token) OR lease_token = :token))",
            {":token": token, ":child": child_id},
        )

    async def release_continue(self, parent_id: str, owner: str, token: str) -> None:
        """Give the lease of ``token`` back because its request failed; nothing happens where it has none any more."""
        try:
            await self._mark(
                parent_id,
                owner,
                thread_not_found,
                "REMOVE lease_token, lease_until",
                "lease_token = :token",
                {":token": token},
            )
        except (AlreadyContinued, ContinueInFlight):
            return
        except GatewayError as error:
            if error.status != 404:
                raise

    async def _mark(
        self, parent_id: str, owner: str, missing: Missing, expression: str, condition: str, values: Item
    ) -> None:
        where = parse_id(parent_id)
        if where is None:
            raise missing(parent_id)
        now = int(self._clock())
        try:
            await self._table.update(
                (where.root, where.sort_prefix + HEAD),
                expression,
                condition=f"#owner = :owner AND expires_at > :now AND ({condition})",
                names={"#owner": "owner"},
                values={**values, ":owner": owner, ":now": now},
            )
        except ConditionFailed as failed:
            old = failed.old
            if old is None or old["owner"] != owner or old["expires_at"] <= now:
                raise missing(parent_id) from None
            raise (AlreadyContinued() if "continued_by" in old else ContinueInFlight()) from None

"""Signatures that a provider put on its tool calls, for clients that send the calls back without them.

Gemini signs the first of its calls and refuses the next turn without that signature, but most clients of other
protocols keep only a call's id, name and arguments. So a copy of the signature is kept under the call's id. It is the
provider's own ciphertext; owner and id are in the key only as a digest.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping

from headgate.conversation import Sealed
from headgate.storage.table import Key, Table

PREFIX = "signature#"
"""How the partition keys begin; the functions' permissions are limited to it."""
LIFETIME = 7 * 86_400
"""Seconds. A conversation that rests for longer goes on without the signature."""
MOST = 100
"""Calls looked up for one request, the last ones: as many as DynamoDB reads in one round trip."""


class CallSignatures:
    """Signatures in the state table, by the id of their call. ``clock``: Unix seconds."""

    def __init__(self, table: Table, clock: Callable[[], float] = time.time) -> None:
        self._table = table
        self._clock = clock

    async def keep(self, owner: str, signed: Mapping[str, Sealed]) -> None:
        """Store the signatures of an answer's calls, by call id. Raises StoreUnavailable, StoreFault."""
        expires_at = int(self._clock()) + LIFETIME
        items = [
            {
                **dict(zip(("pk", "sk"), _key(owner, call_id), strict=True)),
                "protocol": sealed.protocol,
                "provider": sealed.provider,
                "model": sealed.model,
                "kind": sealed.kind,
                "data": sealed.data,
                "credential": sealed.credential,
                "expires_at": expires_at,
            }
            for call_id, sealed in signed.items()
        ]
        await asyncio.gather(*(self._table.put(item) for item in items))

    async def find(self, owner: str, call_ids: Iterable[str]) -> dict[str, Sealed]:
        """The signatures known for these calls of ``owner``. Raises StoreUnavailable, StoreFault."""
        wanted = {_key(owner, call_id): call_id for call_id in list(dict.fromkeys(call_ids))[-MOST:]}
        if not wanted:
            return {}
        now = self._clock()
        return {
            wanted[item["pk"], item["sk"]]: Sealed(
                item["protocol"], item["data"], item["provider"], item["model"], item["kind"], item["credential"]
            )
            for item in await self._table.batch_get(wanted)
            if item["expires_at"] > now
        }


def _key(owner: str, call_id: str) -> Key:
    digest = hashlib.sha256(f"{owner}\0{call_id}".encode("utf-8", "surrogatepass")).hexdigest()
    return PREFIX + digest, "0"

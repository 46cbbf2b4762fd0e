"""API keys: their form, their records in the control table, and checking one on a request.

A key is ``sk-hg-v1-`` and 64 hexadecimal digits (256 random bits). Only its SHA-256 is stored; with so much randomness
a slow hash would add nothing. The full key is shown once, when it is made.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from headgate.access.policy import DEFAULT_POLICY, Policy, PolicyError, read_policy, write_policy
from headgate.errors import unauthorized
from headgate.storage.aws import ConditionFailed, StoreFault, StoreUnavailable
from headgate.storage.table import Item, Table

V = TypeVar("V")

PREFIX = "sk-hg-v1-"
OWNER_FORM = re.compile(r"[A-Za-z0-9_.@:/-]{1,128}")
"""An owner is a scope such as ``acme`` or ``acme/alice``. ``#`` separates parts of sort keys."""

_KEY_FORM = re.compile(r"sk-hg-v1-[0-9a-f]{64}")
_BEARER = re.compile(r"bearer +(\S+)", re.IGNORECASE)
_INDEX = "keys"
_SORT = "key"


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as the control table knows it. id: what people name it by in commands. masked: the first eight and last
    four characters of the key. owner: the scope that sees its conversations; team: a label for budgets and reports.
    Times are Unix seconds, None for never."""

    id: str
    sha256: str
    name: str
    owner: str
    created_at: int
    masked: str
    team: str = ""
    policy: Policy = DEFAULT_POLICY
    expires_at: int | None = None
    revoked_at: int | None = None

    def usable(self, now: float) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def new_key() -> str:
    """A new random key."""
    return PREFIX + secrets.token_hex(32)


def hash_key(key: str) -> str:
    """SHA-256 of a key, in hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


def mask(key: str) -> str:
    """``sk-hg-v1...cf3a``: enough to recognise a key, not to use it."""
    return f"{key[:8]}...{key[-4:]}"


def parse_credentials(headers: Mapping[str, str]) -> str:
    """The key that a request presents. ``headers`` has lower-case names or ignores case.

    ``Authorization: Bearer`` wins over ``x-api-key``. Clients that fill only one of the two may send the other empty
    or for a proxy of their own, so a header of another form counts as absent. Raises 401 where no key is left.
    """
    match = _BEARER.fullmatch(headers.get("authorization", "").strip())
    if match is not None:
        return match[1]
    key = headers.get("x-api-key", "").strip()
    if not key:
        raise unauthorized()
    return key


class KeyStore:
    """Keys in the control table, with a short memory in the process.

    A key that was found is believed for ``remember`` seconds, so a revocation takes at most that long to be felt, and
    the table may be away for as long; one that was not found is refused from memory for ``forget``, so a client that
    keeps trying costs nothing. Each memory holds at most ``size`` keys. ``patience``: seconds to wait for the table.
    ``clock``: Unix seconds.
    """

    def __init__(
        self,
        table: Table,
        *,
        remember: float = 30.0,
        forget: float = 5.0,
        size: int = 2048,
        patience: float = 3.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = table
        self._patience = patience
        self._clock = clock
        self._known = _Memory[KeyRecord](remember, size)
        self._unknown = _Memory[bool](forget, size)

    async def authenticate(self, key: str) -> KeyRecord:
        """The record of a usable key. Raises 401 for any other, and 503 where the table does not answer."""
        if not _KEY_FORM.fullmatch(key):
            raise unauthorized()
        digest = hash_key(key)
        now = self._clock()
        record = self._known.get(digest, now)
        if record is None:
            if self._unknown.get(digest, now):
                raise unauthorized()
            record = await self._fetch(digest)
            if record is None or not hmac.compare_digest(record.sha256, digest):
                self._unknown.set(digest, True, now)
                raise unauthorized()
            self._known.set(digest, record, now)
        if not record.usable(now):
            raise unauthorized()
        return record

    def clear(self) -> None:
        """Forget everything remembered, as after the restoring of a snapshot."""
        self._known.clear()
        self._unknown.clear()

    async def create(
        self,
        name: str,
        owner: str,
        *,
        team: str = "",
        policy: Policy = DEFAULT_POLICY,
        expires_at: int | None = None,
        key: str | None = None,
    ) -> tuple[str, KeyRecord]:
        """Make a key and return it, for the only time, with its record. ``key`` gives its text instead of chance.
        Raises ValueError for a malformed owner, team, name or key, ``ConditionFailed`` where the key exists."""
        if not OWNER_FORM.fullmatch(owner) or (team and not OWNER_FORM.fullmatch(team)):
            raise ValueError("owner and team must be 1 to 128 of A-Z a-z 0-9 _ . @ : / -")
        if len(name) > 200 or not name.isprintable():
            raise ValueError("a key's name must be at most 200 printable characters")
        if key is not None and not _KEY_FORM.fullmatch(key):
            raise ValueError(f"a key must be {PREFIX} and 64 lower-case hexadecimal digits")
        key = key or new_key()
        record = KeyRecord(
            id=f"key_{secrets.token_hex(8)}",
            sha256=hash_key(key),
            name=name,
            owner=owner,
            created_at=int(self._clock()),
            masked=mask(key),
            team=team,
            policy=policy,
            expires_at=expires_at,
        )
        index = {"pk": _INDEX, "sk": record.id, "sha256": record.sha256}
        await self._table.put_together([_write(record), index])
        self._unknown.drop(record.sha256)
        return key, record

    async def list(self) -> list[KeyRecord]:
        """Every key there is, oldest first."""
        rows = await self._table.query(_INDEX)
        items = await self._table.batch_get((_partition(row["sha256"]), _SORT) for row in rows)
        return sorted((_read(item) for item in items), key=lambda record: (record.created_at, record.id))

    async def revoke(self, id: str) -> KeyRecord:
        """Make a key useless for good; the record stays, for the logs that name it. Repeating it changes nothing.
        Raises ``KeyError`` for an unknown id."""
        row = await self._table.get((_INDEX, id))
        if row is None:
            raise KeyError(id)
        where = (_partition(row["sha256"]), _SORT)
        try:
            item = await self._table.update(
                where,
                "SET revoked_at = if_not_exists(revoked_at, :now)",
                condition="attribute_exists(pk)",
                values={":now": int(self._clock())},
                returns="ALL_NEW",
            )
        except ConditionFailed:
            raise KeyError(id) from None
        self._known.drop(row["sha256"])
        return _read(item)

    async def _fetch(self, digest: str) -> KeyRecord | None:
        try:
            async with asyncio.timeout(self._patience):
                item = await self._table.get((_partition(digest), _SORT))
        except TimeoutError:
            raise StoreUnavailable("the control table did not answer in time") from None
        return None if item is None else _read(item)


class _Memory(Generic[V]):
    """A bounded dictionary whose entries are good for ``lifetime`` seconds; the oldest make room for new ones."""

    def __init__(self, lifetime: float, size: int) -> None:
        self._lifetime = lifetime
        self._size = size
        self._entries: dict[str, tuple[float, V]] = {}

    def get(self, name: str, now: float) -> V | None:
        entry = self._entries.get(name)
        if entry is None or not 0 <= now - entry[0] < self._lifetime:
            return None
        return entry[1]

    def set(self, name: str, value: V, now: float) -> None:
        self._entries.pop(name, None)
        while len(self._entries) >= self._size:
            del self._entries[next(iter(self._entries))]
        self._entries[name] = (now, value)

    def drop(self, name: str) -> None:
        self._entries.pop(name, None)

    def clear(self) -> None:
        self._entries.clear()


def _partition(digest: str) -> str:
    return f"key#{digest}"


def _write(record: KeyRecord) -> Item:
    """``valid_until`` and not ``expires_at``, which in other tables makes DynamoDB delete the row: a key's record must
    outlive the key."""
    return {
        "pk": _partition(record.sha256),
        "sk": _SORT,
        "id": record.id,
        "sha256": record.sha256,
        "name": record.name,
        "owner": record.owner,
        "team": record.team,
        "masked": record.masked,
        "policy": write_policy(record.policy),
        "created_at": record.created_at,
        **({} if record.expires_at is None else {"valid_until": record.expires_at}),
        **({} if record.revoked_at is None else {"revoked_at": record.revoked_at}),
    }


def _read(item: Item) -> KeyRecord:
    try:
        policy = read_policy(item.get("policy", {}))
    except PolicyError as error:
        # Also what an older version of this code says of a rule that it does not know: then nothing may pass.
        raise StoreFault(f"the policy of key {item.get('id')} cannot be read: {error}") from error
    return KeyRecord(
        id=item["id"],
        sha256=item["sha256"],
        name=item["name"],
        owner=item["owner"],
        created_at=item["created_at"],
        masked=item["masked"],
        team=item["team"],
        policy=policy,
        expires_at=item.get("valid_until"),
        revoked_at=item.get("revoked_at"),
    )

"""Stored conversations: one turn per answer, each with only what it added.

A conversation is one partition of the state table and a turn one or more items in it. The turn's content is JSON,
compressed, and cut into chunks. The first chunk is in the head item, which is written last: until then nothing of the
turn can be seen, so a process that dies half-way leaves no half turn. The sort keys of the other chunks contain a tag
of the content, so writing the turn again with other content cannot tear the version that is still visible.

Every read compares owner and expiry. What is unknown, another owner's, deleted or expired is "not found", with the
same words in each case.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from headgate.errors import GatewayError, not_found
from headgate.storage.aws import StoreFault
from headgate.storage.blobs import BlobMissing, BlobStore, TooDeep
from headgate.storage.table import Item, Table
from headgate.storage.turn_ids import TurnId, parse_id

CHUNK = 350_000
"""Bytes per item. DynamoDB takes 400 kB with names and keys."""
MAX_CHUNKS = 999
HEAD = "000"
"""How the sort key of a head item ends."""
_LAST = "~"
_PATH = 16
_OWN_BYTES = 12
_LARGE = 256_000

Missing = Callable[[str], GatewayError]
"""Makes the error for an id that is not there, for this owner, now."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One request and its answer.

    input, output: the items this turn added, in the wire form of ``protocol`` (``responses`` or ``messages``). body:
    the whole answer object as the client saw it. settings: what later turns inherit (message threads: tools, system
    …). status: the answer's own word. created_at, expires_at: Unix seconds; expires_at 0 leaves it to the store.
    owner: the scope whose keys may read it. provider, model, credential: who served it, under which credential (its
    public id; "" in turns of old).
    """

    id: str
    parent_id: str | None
    owner: str
    created_at: int
    protocol: str
    status: str
    provider: str
    model: str
    input: list[Any]
    output: list[Any]
    body: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    expires_at: int = 0
    credential: str = ""

    @property
    def maker(self) -> tuple[str, str] | None:
        """(provider, credential) that served it, where that is known."""
        return (self.provider, self.credential) if self.credential else None


def previous_response_not_found(id: str) -> GatewayError:
    """400: the turn to continue from is not there."""
    message = f"Previous response with id '{id[:100]}' not found."
    code = "previous_response_not_found"
    return GatewayError(400, "invalid_request_error", code, message, param="previous_response_id")


def response_not_found(id: str) -> GatewayError:
    """404: the answer to read or delete is not there."""
    return not_found(f"Response with id '{id[:100]}' not found.")


def thread_not_found(id: str) -> GatewayError:
    """404 with the detail on which Anthropic's SDKs replay the conversation under a new thread."""
    details = {"error_code": "thread_not_found"}
    return GatewayError(404, "not_found_error", "thread_not_found", f"Thread '{id[:100]}' not found.", details=details)


class TurnStore:
    """Turns in the state table. ``ttl``: seconds a turn lives. ``blobs``: where large media goes, None keeps it in the
    table. ``clock``: Unix seconds."""

    def __init__(
        self, table: Table, ttl: int, blobs: BlobStore | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._table = table
        self._ttl = ttl
        self._blobs = blobs
        self._clock = clock

    async def save(self, turn: Turn, ancestors: Iterable[Turn] = ()) -> None:
        """Store a turn. Repeating it is harmless. ``ancestors``: the chain before it, if it is at hand (oldest
        first); it makes later reads of a much-forked conversation faster."""
        id = _own_id(turn.id)
        _check_parent(id, turn.parent_id)
        turn = replace(turn, expires_at=turn.expires_at or turn.created_at + self._ttl)
        text, has_blobs = await self._text(turn)
        data = await self._table.connection.run(lambda: _compress(text)) if len(text) > _LARGE else _compress(text)
        chunks = [data[n : n + CHUNK] for n in range(0, len(data), CHUNK)]
        if len(chunks) > MAX_CHUNKS:
            raise StoreFault(f"a turn of {len(data)} bytes is too large to store")
        digest = hashlib.sha256(data).digest()[:16]
        expires = {"expires_at": turn.expires_at}
        rest = [
            {"pk": id.root, "sk": _chunk_key(id, n, digest), "data": chunk, **expires}
            for n, chunk in enumerate(chunks[1:], 1)
        ]
        await asyncio.gather(*(self._table.put(item) for item in rest))
        head = {
            "pk": id.root,
            "sk": id.sort_prefix + HEAD,
            "data": chunks[0],
            "chunks": len(chunks),
            "digest": digest,
            "blobs": has_blobs,
            "parent": turn.parent_id,
            "path": _path(turn, ancestors),
            "owner": turn.owner,
            "created_at": turn.created_at,
            "protocol": turn.protocol,
            "status": turn.status,
            "provider": turn.provider,
            "model": turn.model,
            "credential": turn.credential,
            **expires,
        }
        await self._table.put(head)

    async def load(self, id: str, owner: str, missing: Missing = response_not_found) -> Turn:
        """One turn. Raises ``missing(id)``."""
        where = parse_id(id)
        if where is None:
            raise missing(id)
        found = _Found()
        found.add(await self._items(where))
        return (await self._read([where], found, owner, missing, id))[0]

    async def load_chain(self, id: str, owner: str, missing: Missing = previous_response_not_found) -> list[Turn]:
        """The turn and all before it, oldest first. Raises ``missing(id)`` where one of them is not there any more.

        One Query reads the conversation in order. It also reads the turns that fork off; where those are so many that
        a page does not hold everything, the rest of the chain is fetched turn by turn, a few at a time.
        """
        where = parse_id(id)
        if where is None:
            raise missing(id)
        found = _Found()
        start: dict[str, Any] | None = None
        while True:
            page, start = await self._table.query_page(where.root, high=where.sort_prefix + _LAST, start=start)
            found.add(page)
            if start is None or found.forked:
                break
        asked: set[TurnId] | None = None if start is None else set()
        while True:
            chain, absent = _walk(where, found)
            if not absent:
                return await self._read(chain, found, owner, missing, id)
            if asked is None or not asked.isdisjoint(absent):
                raise missing(id)
            asked.update(absent)
            for items in await asyncio.gather(*(self._items(turn) for turn in absent)):
                found.add(items)

    async def delete(self, id: str, owner: str, missing: Missing = response_not_found) -> None:
        """Delete one turn; chains through it are not found from then on. Media it shares with other turns of the
        owner stays until it expires. Raises ``missing(id)``."""
        where = parse_id(id)
        if where is None:
            raise missing(id)
        items = await self._items(where, attributes=("pk", "sk", "owner", "expires_at"))
        heads = [item for item in items if item["sk"] == where.sort_prefix + HEAD]
        if not heads or heads[0]["owner"] != owner or heads[0]["expires_at"] <= self._clock():
            raise missing(id)
        # A turn that lacks a chunk is not found, so this order leaves nothing readable, and a repetition finishes it.
        await self._table.batch_write(deletes=[(item["pk"], item["sk"]) for item in items if "owner" not in item])
        await self._table.delete((where.root, where.sort_prefix + HEAD))

    async def _items(self, id: TurnId, attributes: tuple[str, ...] = ()) -> list[Item]:
        low, high = id.sort_prefix, id.sort_prefix + _LAST
        return await self._table.query(id.root, low=low, high=high, attributes=attributes)

    async def _text(self, turn: Turn) -> tuple[str, bool]:
        content = _content(turn)
        text = json.dumps(content, separators=(",", ":"))
        if self._blobs is None or len(text) <= self._blobs.threshold:
            return text, False
        try:
            content = await self._blobs.detach(turn.owner, content)
        except TooDeep:
            return text, False
        return json.dumps(content, separators=(",", ":")), True

    async def _read(
        self, chain: list[TurnId], found: _Found, owner: str, missing: Missing, asked_for: str
    ) -> list[Turn]:
        now = self._clock()
        heads = [found.heads.get(str(id)) for id in chain]
        if any(head is None or head["owner"] != owner or head["expires_at"] <= now for head in heads):
            raise missing(asked_for)
        try:
            return list(await asyncio.gather(*(self._turn(id, found) for id in chain)))
        except (_Gone, BlobMissing):
            raise missing(asked_for) from None

    async def _turn(self, id: TurnId, found: _Found) -> Turn:
        head = found.heads[str(id)]
        data = found.data(id)
        if len(data) > _LARGE:
            content = await self._table.connection.run(lambda: _decode(id, data, head["digest"]))
        else:
            content = _decode(id, data, head["digest"])
        if head["blobs"]:
            if self._blobs is None:
                raise StoreFault(f"turn {id} refers to media, but no bucket is configured")
            content = await self._blobs.attach(head["owner"], content)
        body = content["body"]
        output = body[content["output_in"]] if "output_in" in content else content["output"]
        return Turn(
            id=str(id),
            parent_id=head["parent"],
            owner=head["owner"],
            created_at=head["created_at"],
            protocol=head["protocol"],
            status=head["status"],
            provider=head["provider"],
            model=head["model"],
            input=content["input"],
            output=output,
            body=body,
            settings=content["settings"],
            expires_at=head["expires_at"],
            credential=head.get("credential", ""),
        )


class _Gone(Exception):
    """A chunk is no longer there: the turn was deleted between two pages of a read."""


class _Found:
    """Items of one conversation as they were read: heads by turn id, and the data of the other chunks by sort key."""

    def __init__(self) -> None:
        self.heads: dict[str, Item] = {}
        self.forked = False
        self._chunks: dict[str, bytes] = {}
        self._depths: dict[str, str] = {}

    def add(self, items: Iterable[Item]) -> None:
        for item in items:
            depth, id, chunk = item["sk"].split("#")
            if self._depths.setdefault(depth, id) != id:
                self.forked = True
            if chunk == HEAD:
                self.heads[id] = item
            else:
                self._chunks[item["sk"]] = item["data"]

    def complete(self, id: TurnId) -> bool:
        head = self.heads.get(str(id))
        return head is not None and all(key in self._chunks for key in _chunk_keys(id, head))

    def data(self, id: TurnId) -> bytes:
        head = self.heads[str(id)]
        try:
            return b"".join([head["data"], *(self._chunks[key] for key in _chunk_keys(id, head))])
        except KeyError:
            raise _Gone from None


def _walk(target: TurnId, found: _Found) -> tuple[list[TurnId], list[TurnId]]:
    """The chain that ends in ``target``, oldest first, as far back as it has been read, and the turns to read next:
    none when the chain is whole."""
    chain: list[TurnId] = []
    id: TurnId | None = target
    absent = [target]
    while id is not None:
        if not found.complete(id):
            return chain, [turn for turn in absent if not found.complete(turn)]
        chain.insert(0, id)
        head = found.heads[str(id)]
        parent: str | None = head["parent"]
        path: bytes = head["path"]
        absent = [
            id.ancestor(n + 1, path[n * _OWN_BYTES : (n + 1) * _OWN_BYTES].hex())
            for n in range(min(len(path) // _OWN_BYTES, id.depth))
        ]
        id = absent[0] if parent is not None else None
    return chain, []


def _path(turn: Turn, ancestors: Iterable[Turn]) -> bytes:
    """The own parts of the nearest ancestors' ids, nearest first: at least the parent's."""
    if turn.parent_id is None:
        return b""
    ids = [ancestor.id for ancestor in ancestors][-_PATH:] or [turn.parent_id]
    if ids[-1] != turn.parent_id:
        raise ValueError("the last ancestor must be the turn's parent")
    return b"".join(bytes.fromhex(_own_id(id).own) for id in reversed(ids))


def _own_id(id: str) -> TurnId:
    where = parse_id(id)
    if where is None:
        raise ValueError("a turn needs an id made by new_id")
    return where


def _check_parent(id: TurnId, parent_id: str | None) -> None:
    parent = None if parent_id is None else _own_id(parent_id)
    fits = id.depth == 0 if parent is None else (parent.root, parent.depth + 1) == (id.root, id.depth)
    if not fits:
        raise ValueError("a turn's id must have been made by new_id from its parent's")


def _chunk_key(id: TurnId, number: int, digest: bytes) -> str:
    return f"{id.sort_prefix}{number:03d}.{digest[:4].hex()}"


def _chunk_keys(id: TurnId, head: Item) -> list[str]:
    return [_chunk_key(id, number, head["digest"]) for number in range(1, head["chunks"])]


def _content(turn: Turn) -> dict[str, Any]:
    """What is compressed. The answer object nearly always repeats the output, which is then kept once."""
    content: dict[str, Any] = {"input": turn.input, "body": turn.body, "settings": turn.settings}
    for name in ("output", "content"):
        if turn.body.get(name) == turn.output:
            return {**content, "output_in": name}
    return {**content, "output": turn.output}


def _compress(text: str) -> bytes:
    """The fast level for long texts: they are mostly base64, which hardly gets smaller by more effort."""
    return zlib.compress(text.encode(), 6 if len(text) <= _LARGE else 2)


def _decode(id: TurnId, data: bytes, digest: bytes) -> dict[str, Any]:
    if hashlib.sha256(data).digest()[:16] != digest:
        raise StoreFault(f"the stored turn {id} is damaged")
    return json.loads(zlib.decompress(data))

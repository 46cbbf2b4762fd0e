"""Large media outside the table: base64 strings of stored JSON become objects in S3.

An object's name is a digest of its content below a digest of its owner, so the same picture is kept once per owner and
no owner can reach another's. Storing it again renews its age, on which the bucket's lifecycle rule deletes it; the rule
must therefore wait at least as long as a turn lives.

In the stored JSON such a string is replaced by ``{"$blob": digest, "size": characters}``. An object of the user's own
with a member ``$blob`` is wrapped as ``{"$blob": null, "value": object}`` so that it can never be taken for one.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import Any

from headgate.storage.aws import Connection, StoreFault

THRESHOLD = 32 * 1024
"""Characters from which on a string leaves the table: below it one S3 request costs more than the table's bytes."""

_MARK = "$blob"
_BASE64 = re.compile(r"(?:data:[^,]{0,200};base64,)?[A-Za-z0-9+/_-]+={0,2}", re.ASCII)


MAX_NESTING = 200
"""How deep a JSON value may be nested to be searched. Deeper ones, which no honest client sends, stay in the table."""


class TooDeep(Exception):
    """The value is nested deeper than ``MAX_NESTING``."""


class BlobMissing(Exception):
    """An object is not there any more."""


class BlobStore:
    """Blobs in one bucket. ``prefix`` is what all object names begin with."""

    threshold = THRESHOLD

    def __init__(self, connection: Connection, bucket: str, prefix: str = "media/") -> None:
        self._connection = connection
        self._bucket = bucket
        self._prefix = prefix

    async def detach(self, owner: str, value: Any) -> Any:
        """Store the large base64 strings of a JSON value and return the value with references in their place.
        Raises ``TooDeep``, ``StoreUnavailable``, ``StoreFault``."""
        blobs: dict[str, str] = {}
        value = _detach(value, blobs)
        await asyncio.gather(*(self._put(self._name(owner, digest), text) for digest, text in blobs.items()))
        return value

    async def attach(self, owner: str, value: Any) -> Any:
        """The value that ``detach`` was given. Raises ``BlobMissing`` where an object has gone."""
        digests: set[str] = set()
        _collect(value, digests)
        texts = await asyncio.gather(*(self._get(owner, digest) for digest in digests))
        return _attach(value, dict(zip(digests, texts, strict=True)))

    def _name(self, owner: str, digest: str) -> str:
        return f"{self._prefix}{hashlib.sha256(owner.encode()).hexdigest()[:32]}/{digest}"

    async def _put(self, name: str, text: str) -> None:
        parameters = {"Bucket": self._bucket, "Key": name, "Body": text.encode(), "ContentType": "text/plain"}
        await self._connection.call("put_object", parameters)

    async def _get(self, owner: str, digest: str) -> str:
        parameters = {"Bucket": self._bucket, "Key": self._name(owner, digest)}
        try:
            data = await self._connection.download(parameters)
        except StoreFault as fault:
            if fault.reason.startswith("NoSuchKey"):
                raise BlobMissing(digest) from None
            raise
        if hashlib.sha256(data).hexdigest() != digest:
            raise StoreFault(f"the stored object {digest} is damaged")
        return data.decode()


def _detach(value: Any, blobs: dict[str, str], depth: int = 0) -> Any:
    if isinstance(value, str):
        if len(value) <= THRESHOLD or not _BASE64.fullmatch(value):
            return value
        digest = hashlib.sha256(value.encode()).hexdigest()
        blobs[digest] = value
        return {_MARK: digest, "size": len(value)}
    if not isinstance(value, list | dict):
        return value
    if depth > MAX_NESTING:
        raise TooDeep
    if isinstance(value, list):
        return [_detach(member, blobs, depth + 1) for member in value]
    copy = {name: _detach(member, blobs, depth + 1) for name, member in value.items()}
    return {_MARK: None, "value": copy} if _MARK in copy else copy


def _collect(value: Any, digests: set[str]) -> None:
    if isinstance(value, list):
        for member in value:
            _collect(member, digests)
    elif isinstance(value, dict):
        if _MARK not in value:
            for member in value.values():
                _collect(member, digests)
        elif value[_MARK] is not None:
            digests.add(value[_MARK])
        else:
            for member in value["value"].values():
                _collect(member, digests)


def _attach(value: Any, texts: dict[str, str]) -> Any:
    if isinstance(value, list):
        return [_attach(member, texts) for member in value]
    if isinstance(value, dict):
        if _MARK not in value:
            return {name: _attach(member, texts) for name, member in value.items()}
        if value[_MARK] is not None:
            return texts[value[_MARK]]
        return {name: _attach(member, texts) for name, member in value["value"].items()}
    return value

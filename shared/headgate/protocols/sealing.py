"""Tokens that carry a provider's sealed bytes through another protocol's field.

``"hg1." + base64url(JSON) + "." + base64url(HMAC-SHA256)``. The MAC covers the owner, so a token is worthless to any
other tenant and cannot be made up. The content is the provider's own ciphertext or signature and the public id of the
credential it was made under; nothing of ours is secret in it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable

from headgate.conversation import Sealed

PREFIX = "hg1."


def sealer(secret: bytes, owner: str, credential: str | None = None) -> Callable[[Sealed], str]:
    """A function that turns ``Sealed`` values into tokens for ``owner``. ``credential``: the public id of the
    credential under which they are made, for those that do not name one."""

    def seal(sealed: Sealed) -> str:
        if sealed.data.startswith(PREFIX):
            return sealed.data
        fields = [sealed.protocol, sealed.provider, sealed.model, sealed.kind, sealed.data]
        if maker := sealed.credential or credential:
            fields.append(maker)
        payload = json.dumps(fields, separators=(",", ":")).encode()
        return PREFIX + _encode(payload) + "." + _encode(_mac(secret, owner, payload))

    return seal


def unsealer(secret: bytes, owner: str, protocol: str) -> Callable[[str], Sealed | None]:
    """A function that opens tokens of ``owner``. Text without our prefix is ``protocol``'s own and is handed back
    as such; a token that does not verify gives None."""

    def unseal(token: str) -> Sealed | None:
        if not token.startswith(PREFIX):
            return Sealed(protocol, token)
        body, _, mac = token[len(PREFIX) :].partition(".")
        try:
            payload = _decode(body)
            if not hmac.compare_digest(_mac(secret, owner, payload), _decode(mac)):
                return None
            made_by, provider, model, kind, data, *maker = json.loads(payload)
        except (ValueError, binascii.Error):
            return None
        # Tokens that were issued before there could be several credentials name none.
        return Sealed(made_by, data, provider, model, kind, maker[0] if maker else None)

    return unseal


def _mac(secret: bytes, owner: str, payload: bytes) -> bytes:
    return hmac.new(secret, owner.encode() + b"\0" + payload, hashlib.sha256).digest()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

"""Signatures and encrypted reasoning that only this double makes and recognises.

A seal is base64 of a JSON payload and a MAC. It is bound to the visible text (an edited thinking block is refused) and,
for OpenAI, to the organisation, since a reasoning item of one organisation cannot be opened by another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets

_KEY = b"simulated-providers"
_MAC = 16


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def seal(kind: str, bound_to: str, model: str) -> str:
    """A token of ``kind`` for the text (or organisation) ``bound_to``; two seals of one text differ."""
    payload = json.dumps({"k": kind, "h": _digest(bound_to), "m": model, "n": secrets.token_hex(4)}).encode()
    mac = hmac.new(_KEY, payload, hashlib.sha256).digest()[:_MAC]
    return base64.b64encode(mac + payload).decode()


def intact(token: object, kind: str, bound_to: str) -> bool:
    """Whether ``token`` is a seal of ``kind`` made here for ``bound_to``."""
    held = _held(token)
    return held is not None and held["k"] == kind and held["h"] == _digest(bound_to)


def made_here(token: object, kind: str) -> bool:
    """Whether ``token`` is a seal of ``kind`` made here, whomever for."""
    held = _held(token)
    return held is not None and held["k"] == kind


def _held(token: object) -> dict[str, str] | None:
    if not isinstance(token, str):
        return None
    try:
        data = base64.b64decode(token, validate=True)
        mac, payload = data[:_MAC], data[_MAC:]
        if not hmac.compare_digest(mac, hmac.new(_KEY, payload, hashlib.sha256).digest()[:_MAC]):
            return None
        return json.loads(payload)
    except ValueError:
        return None

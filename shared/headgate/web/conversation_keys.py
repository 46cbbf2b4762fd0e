"""What a request's prompt cache and its provider's account are chosen by."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from headgate.routing.affinity import conversation_start
from headgate.web.call import Call


def cache_key(call: Call, body: Mapping[str, Any]) -> str:
    """The prompt cache key: the caller's, else one that stands for ``user``, else for the key. Hashed with the
    owner, so that it names nobody and two tenants never share one."""
    given = body.get("prompt_cache_key")
    if isinstance(given, str) and given:
        return given
    user = body.get("user")
    source = f"user:{user}" if isinstance(user, str) and user else f"key:{call.key.id}"
    return "hg-" + hashlib.sha256(f"{call.owner}\0{source}".encode()).hexdigest()[:40]


def history_of(call: Call, sent: Mapping[str, Any]) -> Any:
    """The messages or items of a request in its client's form."""
    return sent.get("input" if call.protocol == "responses" else "messages")


def conversation(call: Call, body: Mapping[str, Any], history: Any) -> str:
    """What the requests of one conversation have in common and those of two have not: the cache key that the caller
    gave, else the key of its own and how the conversation begins (``history``: its messages)."""
    given = body.get("prompt_cache_key")
    began = "" if isinstance(given, str) and given else conversation_start(history)
    return f"{call.owner}\0{cache_key(call, body)}\0{began}"

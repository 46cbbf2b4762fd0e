"""Which session a request belongs to.

A client that knows sessions says so. For one that does not, the session is told by how its conversation begins: the
system text and the first message of the user. Both stay the same however long the conversation grows, so one look into
the state table is enough. The last few messages are different in every request; a session found by those needs a row
for every prefix of the conversation, and a request without its predecessor's answer, as after an edit, finds none.
The price: two conversations of one owner that begin with the same words count as one session, unless the client tells
them apart.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from headgate.routing.affinity import conversation_start

_SYSTEM_CHARACTERS = 4_000
# Claude Code's metadata.user_id was ``user_<hash>_account_<uuid>_session_<uuid>`` before it became JSON.
_CLAUDE_SESSION = re.compile(r"_session_([0-9a-zA-Z-]{8,64})$")


def session_id(
    protocol: str, headers: Mapping[str, str], body: Mapping[str, Any], owner: str, *, history: Any = None
) -> str:
    """The id of the session of ``body``, a valid request of the client protocol.

    In this order: the header ``x-session-id`` (``headers``: names in lower case); in the body ``session_id``,
    ``metadata.session_id``, the session in Claude Code's ``metadata.user_id``, ``prompt_cache_key``; else a hash of
    ``owner`` and the conversation's beginning. ``history``: the conversation from its beginning, in the protocol's
    form, where the body holds only what is new (``previous_response_id``, threads).
    """
    given = headers.get("x-session-id", "").strip() or _said(body)
    if given:
        return f"given:{given}"
    begin = json.dumps([owner, _system(protocol, body), conversation_start(_history(protocol, body, history))])
    return f"start:{hashlib.sha256(begin.encode()).hexdigest()}"


def _said(body: Mapping[str, Any]) -> str | None:
    """What the body calls the session, the top of an ``extra_body`` object included, as not every client flattens
    it."""
    extra = body.get("extra_body")
    metadata = body.get("metadata")
    places = [body, extra if isinstance(extra, Mapping) else {}, metadata if isinstance(metadata, Mapping) else {}]
    names = [place.get("session_id") for place in places]
    names += [_claude_session(places[2].get("user_id")), body.get("prompt_cache_key")]
    return next((name for name in names if isinstance(name, str) and name.strip()), None)


def _claude_session(user: Any) -> str | None:
    if not isinstance(user, str):
        return None
    if user.startswith("{"):
        try:
            said = json.loads(user)
        except (ValueError, RecursionError):
            return None
        session = said.get("session_id") if isinstance(said, dict) else None
        return session if isinstance(session, str) else None
    match = _CLAUDE_SESSION.search(user)
    return match[1] if match else None


def _system(protocol: str, body: Mapping[str, Any]) -> list[str]:
    """The system text outside the messages; Chat Completions has it among them."""
    if protocol == "chat_completions":
        return []
    said = body.get("system" if protocol == "messages" else "instructions")
    blocks = said if isinstance(said, list) else [{"text": said}]
    texts = [block.get("text") for block in blocks if isinstance(block, Mapping)]
    return [text[:_SYSTEM_CHARACTERS] for text in texts if isinstance(text, str)]


def _history(protocol: str, body: Mapping[str, Any], history: Any) -> Any:
    if history is None and protocol == "responses":
        history = body.get("input")
    if history is None:
        history = body.get("messages")
    # A string is what the list with one message of the user says, so both begin the same conversation.
    return [{"role": "user", "content": history}] if isinstance(history, str) else history

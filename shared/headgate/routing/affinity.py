"""Which of a provider's credentials serves a conversation: the one that knows it, else always the same one.

Reasoning that a provider encrypted opens for the account that made it and no other, and prompt caches belong to an
account too. The tokens in a request's history name the credential that made them; without any, a stable hash spreads
conversations over a provider's credentials and brings each back to its own.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from headgate.conversation import Sealed
from headgate.errors import GatewayError
from headgate.protocols.contract import Unseal
from headgate.protocols.sealing import PREFIX
from headgate.routing.candidates import Candidate

Maker = tuple[str, str]
"""(provider, public id of its credential)."""

PER_ROUND = 2
"""Credentials of one route that are tried before the next route; its others come after every route had its turn."""

_START_CHARACTERS = 4_000
# OpenAI and Azure; xAI (two wordings); Anthropic, also on Bedrock and Vertex; Gemini (three wordings).
_REJECTED = re.compile(
    r"encrypted content\b.{0,300}\bcould not be verified"
    r"|could not decrypt the provided encrypted_content"
    r"|could not decode the compaction blob"
    r"|invalid `?(signature|data)`? in `?(redacted_)?thinking`? block"
    r"|(invalid|corrupted) thought.?signature"
    r"|thought.?signature is not valid",
    re.IGNORECASE | re.DOTALL,
)


def in_order(
    candidates: Sequence[Candidate], makers: Sequence[Maker], conversation: str, *, move_routes: bool
) -> list[Candidate]:
    """``candidates``, the credentials of each route next to one another, in the order in which they are tried.

    Of a route's credentials the first of ``makers`` goes first, the others follow by a hash of ``conversation`` and
    the credential, so that adding a credential moves no more conversations than it takes. With ``move_routes`` the
    route of a maker goes before the other routes of the first model.
    """
    groups = [
        list(group) for _, group in itertools.groupby(candidates, lambda each: (each.model.slug, each.route.provider))
    ]
    wanted = {maker: place for place, maker in reversed(list(enumerate(makers)))}
    for group in groups:
        group.sort(key=lambda each: (wanted.get(_maker(each), len(wanted)), _lot(conversation, each)))
    if groups and wanted and move_routes:
        first = groups[0][0].model.slug
        groups.sort(
            key=lambda group: wanted.get(_maker(group[0]), len(wanted)) if group[0].model.slug == first else len(wanted)
        )
    early = [each for group in groups for each in group[:PER_ROUND]]
    return early + [each for group in groups for each in group[PER_ROUND:]]


def makers_of(history: Any, unseal: Unseal, providers: frozenset[str]) -> list[Maker]:
    """The credential that made the newest token in ``history`` (the JSON of a conversation) that is one of
    ``providers``; empty where there is none."""
    for token in _tokens(history):
        sealed = unseal(token)
        if sealed is not None and sealed.provider in providers and sealed.credential is not None:
            return [(sealed.provider, sealed.credential)]
    return []


def conversation_start(history: Any) -> str:
    """What a conversation's requests have in common, however long it has grown: its messages up to the first of the
    user, or the text it consists of."""
    if isinstance(history, str):
        return history[:_START_CHARACTERS]
    start: list[Any] = []
    for message in history if isinstance(history, list) else ():
        if not isinstance(message, Mapping):
            continue
        start.append([message.get("role"), _texts(message.get("content"))])
        if message.get("role") == "user":
            break
    return json.dumps(start)[:_START_CHARACTERS]


def rejects_reasoning(error: GatewayError) -> bool:
    """Whether an upstream refuses a request because it cannot open, or did not sign, reasoning in its history."""
    return error.code == "invalid_encrypted_content" or bool(_REJECTED.search(error.message))


def opens_nothing(token: str) -> Sealed | None:
    """An ``Unseal`` for which no token is good: every translation then leaves sealed reasoning out and says so."""
    return None


def _maker(candidate: Candidate) -> Maker:
    return candidate.route.provider, candidate.access.id


def _lot(conversation: str, candidate: Candidate) -> bytes:
    return hashlib.sha256(f"{conversation}\0{candidate.access.id}".encode("utf-8", "surrogatepass")).digest()


def _tokens(value: Any) -> Iterator[str]:
    """Every string that looks like one of our tokens, the last first."""
    left: list[Any] = [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            if each.startswith(PREFIX):
                yield each
        elif isinstance(each, Mapping):
            left.extend(each.values())
        elif isinstance(each, list):
            left.extend(each)


def _texts(content: Any) -> Any:
    """Only the words: cache marks wander from turn to turn."""
    if not isinstance(content, list):
        return content
    return [part.get("text") for part in content if isinstance(part, Mapping)]

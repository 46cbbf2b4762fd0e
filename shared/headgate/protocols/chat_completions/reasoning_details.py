"""``reasoning_details``: how reasoning with its seal travels through Chat Completions (OpenRouter's form).

One entry for each visible part, and one for sealed bytes without a part of their own. All entries of one reasoning
item share an ``id``. ``index`` is the entry's place in the message's list, which is how clients join the fragments of
a stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from headgate.conversation import Reasoning, Sealed, Thought
from headgate.losses import Loss
from headgate.protocols.chat_completions import PROTOCOL
from headgate.protocols.contract import Reply, Unseal

TEXT, SUMMARY, ENCRYPTED = "reasoning.text", "reasoning.summary", "reasoning.encrypted"


def part_type(thought: Thought, item_id: str | None) -> tuple[str, str]:
    """(entry type, name of its text field) for a visible part. Only the summaries of identified items (those of
    Responses) are called summaries: what Claude signs is a digest, too, but a signature has its place on a text."""
    return (SUMMARY, "summary") if thought.summary and item_id is not None else (TEXT, "text")


def write_details(item: Reasoning, reply: Reply, item_index: int, first: int) -> list[dict[str, Any]]:
    """The entries for one reasoning item. item_index: its place among the answer's items; first: the ``index`` of
    its first entry."""
    group = item.id or reply.item_id("rd", item_index)
    entries: list[dict[str, Any]] = []
    for thought in item.parts:
        kind, field = part_type(thought, item.id)
        entries.append({"type": kind, field: thought.text, **_tail(item.sealed, group, first + len(entries))})
    if item.sealed is not None:
        token = reply.seal(item.sealed)
        if item.sealed.kind != "signature":
            tail = _tail(item.sealed, group, first + len(entries))
            entries.append({"type": ENCRYPTED, "data": token, **tail})
        else:
            if not entries:
                entries.append({"type": TEXT, "text": "", **_tail(item.sealed, group, first)})
            entries[-1]["signature"] = token
    return entries


def closing(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The entries without the text that the stream has already carried, for the chunk that ends the item."""
    return [
        {key: value for key, value in each.items() if key not in ("text", "summary") or not value} for each in entries
    ]


def _tail(sealed: Sealed | None, group: str, index: int) -> dict[str, Any]:
    return {"id": group, "format": _format(sealed), "index": index}


def _format(sealed: Sealed | None) -> str:
    """The name OpenRouter gives to whose reasoning this is; clients use it to keep foreign entries apart."""
    if sealed is None:
        return "unknown"
    match sealed.protocol:
        case "messages":
            return "anthropic-claude-v1"
        case "responses":
            return "xai-responses-v1" if sealed.provider == "xai" else "openai-responses-v1"
        case "gemini":
            return "google-gemini-v1"
        case _:
            return "unknown"


def read_details(message: Mapping[str, Any], unseal: Unseal, path: str, losses: list[Loss]) -> list[Reasoning]:
    """The reasoning items of an assistant message in the client's history, and the field names that were used.

    A seal that is not ours to open (forged, another tenant's) is dropped with a Loss and its text kept. Where only
    ``reasoning_content`` or ``reasoning`` came back, that is a thought without a seal: no signature is ever made up.
    """
    plain = message.get("reasoning_content") or message.get("reasoning") or ""
    details = message.get("reasoning_details") or ()
    if not details:
        return [Reasoning((Thought(plain, summary=False),))] if plain else []
    groups: dict[str | tuple[str, int], list[Mapping[str, Any]]] = {}
    for place, entry in enumerate(details):
        name, index = entry.get("id"), entry.get("index")
        key = name if isinstance(name, str) and name else ("index", index if type(index) is int else place)
        groups.setdefault(key, []).append(entry)
    signed = [entry for entry in details if entry.get("signature")]
    texts = any(entry.get("text") or entry.get("summary") for entry in details)
    # A client may have kept the signature of a stream and dropped the fragments: the text stands beside it.
    lent = plain if len(signed) == 1 and not texts else ""
    items: list[Reasoning] = []
    for key, entries in groups.items():
        item = _read_group(key, entries, lent, unseal, path, losses)
        if item is not None:
            items.append(item)
    return items


def _read_group(
    key: str | tuple[str, int],
    entries: Sequence[Mapping[str, Any]],
    lent: str,
    unseal: Unseal,
    path: str,
    losses: list[Loss],
) -> Reasoning | None:
    thoughts: list[Thought] = []
    sealed: Sealed | None = None
    for entry in entries:
        text = entry.get("summary") or entry.get("text") or (lent if entry.get("signature") else "")
        if isinstance(text, str) and text:
            thoughts.append(Thought(text, summary=entry.get("type") == SUMMARY))
        token = entry.get("signature") or entry.get("data")
        if isinstance(token, str) and token:
            opened = unseal(token)
            if opened is None:
                losses.append(Loss(path, "foreign_signature", "A reasoning token that this gateway did not issue."))
            elif opened.provider is None and not entry.get("signature"):
                sealed = replace(opened, kind="encrypted")
            else:
                sealed = opened
    if not thoughts and sealed is None:
        return None
    if sealed is not None and sealed.protocol != PROTOCOL:
        # These vendors show digests only, whatever the entry was called (see ``part_type``).
        thoughts = [replace(thought, summary=True) for thought in thoughts]
    return Reasoning(tuple(thoughts), sealed, id=key if isinstance(key, str) and not key.startswith("rd_") else None)

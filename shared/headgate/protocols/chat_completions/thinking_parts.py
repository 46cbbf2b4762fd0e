"""Thoughts inside ``content``: Mistral's answers, and its history, hold them as parts of the text's array.

``{"type": "thinking", "thinking": [{"type": "text", "text": …}], "closed": true, "signature": …}``. To a client of Chat
Completions, whose SDKs know text there, the same is said in ``reasoning_content``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast


def thinking_part(text: str, signature: str | None = None) -> dict[str, Any]:
    """A finished thought as a part of an assistant message. ``signature``: what the vendor gave along with it."""
    part: dict[str, Any] = {"type": "thinking", "thinking": [{"type": "text", "text": text}], "closed": True}
    return part if signature is None else {**part, "signature": signature}


def with_thoughts(thoughts: list[dict[str, Any]], content: Any) -> Any:
    """The ``content`` of an assistant message that thought before it spoke."""
    if not thoughts:
        return content
    if isinstance(content, list):
        return [*thoughts, *cast("list[Any]", content)]
    return [*thoughts, {"type": "text", "text": content}] if content else thoughts


def plain(fields: Mapping[str, Any], seal: Callable[[str], str]) -> dict[str, Any]:
    """A delta or message as OpenAI's clients read it: text in ``content``, thoughts in ``reasoning_content``, and a
    signature, sealed, in ``reasoning_details``. Parts of other types are left where they are not text."""
    content = fields.get("content")
    if not isinstance(content, list):
        return dict(fields)
    texts: list[str] = []
    thoughts: list[str] = []
    details: list[dict[str, Any]] = []
    for part in cast("list[Any]", content):
        if not isinstance(part, dict):
            continue
        known = cast("dict[str, Any]", part)
        if isinstance(known.get("text"), str):
            texts.append(known["text"])
        elif known.get("type") == "thinking":
            text = thought_of(known)
            thoughts.append(text)
            if known.get("signature"):
                token = seal(str(known["signature"]))
                details.append({"type": "reasoning.text", "text": text, "signature": token, "index": len(details)})
    said: dict[str, Any] = {**fields, "content": "".join(texts) if texts or not thoughts else None}
    if thoughts:
        said["reasoning_content"] = "".join(thoughts)
    if details:
        said["reasoning_details"] = details
    return said


def thought_of(part: Mapping[str, Any]) -> str:
    """The text of a thinking part; the references that may stand in it have none."""
    inner = part.get("thinking")
    if isinstance(inner, str):
        return inner
    pieces = cast("list[Any]", inner) if isinstance(inner, list) else []
    texts = (cast("dict[str, Any]", piece).get("text") for piece in pieces if isinstance(piece, dict))
    return "".join(text for text in texts if isinstance(text, str))

"""Input items as ``GET /v1/responses/{id}/input_items`` lists them and as the state table keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from headgate.protocols.responses.schema_items import item_type
from headgate.protocols.responses.schema_messages import canonical

_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "web_search_call": "ws",
}
_MARK = "_hg"


def input_items(body: Mapping[str, Any], response_id: str) -> list[dict[str, Any]]:
    """The request's ``input`` as items with ids, types and statuses; strings become parts. An id that the client gave
    stays; ours depend on ``response_id`` and the position only."""
    given = canonical(body).get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given or []
    return [_item(item, response_id, index) for index, item in enumerate(items)]


def is_ours(id: Any) -> bool:
    """Whether an item id was made here: no upstream knows it."""
    return isinstance(id, str) and id.partition("_")[2].startswith(_MARK[1:])


def _item(item: Mapping[str, Any], response_id: str, index: int) -> dict[str, Any]:
    kind = item_type(item) or "item"
    whole = {**item, "type": kind, "id": item.get("id") or _id(kind, response_id, index)}
    if kind == "message":
        whole["status"] = item.get("status") or "completed"
        whole["content"] = _content(item["content"], assistant=item["role"] == "assistant")
    elif kind in ("function_call", "function_call_output"):
        whole["status"] = item.get("status") or "completed"
    return whole


def _id(kind: str, response_id: str, index: int) -> str:
    digest = hashlib.sha256(f"{response_id}/input/{index}".encode()).hexdigest()
    return f"{_PREFIXES.get(kind, 'item')}{_MARK}{digest[:46]}"


def _content(content: Any, *, assistant: bool) -> list[dict[str, Any]]:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    return [_part(part, assistant=assistant) for part in content]


def _part(part: Mapping[str, Any], *, assistant: bool) -> dict[str, Any]:
    match part.get("type"):
        case "text" | "output_text" if assistant:
            return {**part, "type": "output_text", "annotations": part.get("annotations") or []}
        case "text":
            return {**part, "type": "input_text"}
        case "input_image":
            return {**part, "detail": part.get("detail") or "auto"}
        case _:
            return dict(part)

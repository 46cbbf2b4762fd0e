"""Input items from the wire to the model: what a client sends, and what the state table keeps of earlier turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from headgate.conversation import (
    NO_EXTRA,
    Extra,
    Item,
    JsonObject,
    Message,
    OpaqueItem,
    OpaquePart,
    Part,
    Reasoning,
    Sealed,
    Thought,
    ToolCall,
    ToolResult,
)
from headgate.errors import GatewayError, invalid_request
from headgate.losses import Loss
from headgate.protocols.contract import Unseal
from headgate.protocols.responses.parts import PROTOCOL, marks, read_content
from headgate.protocols.responses.schema_items import item_type
from headgate.protocols.responses.wire import compact_json

FOREIGN = "The sealed reasoning was made elsewhere, or is damaged; it was left out."


def read_items(items: Sequence[Mapping[str, Any]], unseal: Unseal) -> list[Item]:
    """The items of an ``input`` array or of stored history. Keys that an item does not have (``parsed_arguments``,
    which SDK helpers add to what they echo) are dropped. Raises GatewayError 400 for an unresolved reference."""
    return read_items_with_losses(items, unseal, [])


def read_items_with_losses(items: Sequence[Mapping[str, Any]], unseal: Unseal, losses: list[Loss]) -> list[Item]:
    """``read_items``, adding a Loss for each seal that could not be opened."""
    read: list[Item] = []
    for index, item in enumerate(items):
        path = f"input[{index}]"
        match item_type(item):
            case "message":
                read.append(_message(item))
            case "function_call":
                read.append(
                    ToolCall(
                        item["call_id"],
                        item["name"],
                        item["arguments"],
                        id=item.get("id"),
                        namespace=item.get("namespace"),
                        sealed=_open(item.get("encrypted_content"), unseal, path, losses),
                        extra=marks(item),
                    )
                )
            case "custom_tool_call":
                read.append(
                    ToolCall(
                        item["call_id"],
                        item["name"],
                        item["input"],
                        kind="custom",
                        id=item.get("id"),
                        namespace=item.get("namespace"),
                        sealed=_open(item.get("encrypted_content"), unseal, path, losses),
                        extra=marks(item),
                    )
                )
            case "function_call_output" | "custom_tool_call_output" as kind:
                read.append(
                    ToolResult(
                        item["call_id"],
                        read_content(item["output"]),
                        is_error=item.get("is_error"),
                        kind="function" if kind == "function_call_output" else "custom",
                        id=item.get("id"),
                        extra=marks(item),
                    )
                )
            case "reasoning":
                read.append(
                    Reasoning(
                        _thoughts(item),
                        sealed=_open(item.get("encrypted_content"), unseal, path, losses),
                        id=item.get("id"),
                    )
                )
            case "web_search_call":
                read.append(read_web_search(item))
            case "item_reference":
                raise unresolved(item, path)
            case _:
                read.append(OpaqueItem(PROTOCOL, dict(item)))
    return read


def unresolved(item: Mapping[str, Any], path: str) -> GatewayError:
    """An ``item_reference`` to something this gateway does not hold."""
    return invalid_request(
        f"Item with id '{item.get('id')}' not found. Items are not kept by themselves: send the item itself, "
        "or continue with previous_response_id.",
        param=f"{path}.id",
        code="item_not_found",
    )


def read_web_search(item: Mapping[str, Any]) -> ToolCall:
    """A search that the provider ran. It has one id for both purposes."""
    return ToolCall(
        str(item.get("id") or ""),
        "web_search",
        compact_json(item.get("action") or {}),
        kind="web_search",
        ran_by="provider",
        id=item.get("id"),
        extra=_kept(item, "results"),
    )


def phase_of(item: Mapping[str, Any]) -> Extra:
    """``phase`` (commentary or final answer) of an assistant message, which has to be sent back unchanged."""
    return _kept(item, "phase")


def _kept(item: Mapping[str, Any], *names: str) -> Extra:
    kept: JsonObject = {name: item[name] for name in names if item.get(name) is not None}
    return {PROTOCOL: kept} if kept else NO_EXTRA


def _message(item: Mapping[str, Any]) -> Message:
    parts = read_content(item["content"])
    mark = marks(item)
    if mark and parts:
        parts = (*parts[:-1], _marked(parts[-1], mark))
    return Message(item["role"], parts, id=item.get("id"), extra=phase_of(item))


def _marked(part: Part, mark: Extra) -> Part:
    """A mark on a message means the prefix up to its end, so the last part carries it unless it has its own."""
    if isinstance(part, OpaquePart) or part.extra:
        return part
    return replace(part, extra=mark)


def _thoughts(item: Mapping[str, Any]) -> tuple[Thought, ...]:
    summary = tuple(Thought(part["text"]) for part in item.get("summary") or ())
    return summary + tuple(Thought(part["text"], summary=False) for part in item.get("content") or ())


def _open(token: Any, unseal: Unseal, path: str, losses: list[Loss]) -> Sealed | None:
    if not token:
        return None
    sealed = unseal(token)
    if sealed is None:
        losses.append(Loss(f"{path}.encrypted_content", "foreign_signature", FOREIGN))
    elif sealed.provider is None:
        return replace(sealed, kind="encrypted")
    return sealed

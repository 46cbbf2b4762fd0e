"""Tools and tool choice between the wire and the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.conversation import (
    CustomTool,
    FunctionTool,
    JsonObject,
    OpaqueTool,
    Tool,
    ToolChoice,
    ToolKind,
    WebSearchTool,
)
from headgate.protocols.responses.parts import PROTOCOL, marks
from headgate.protocols.strict_schema import can_be_strict

SEARCH_FIELDS = (
    "type",
    "filters",
    "user_location",
    "allowed_domains",
    "excluded_domains",
    "enable_image_understanding",
)
"""What xAI's web search takes; it refuses OpenAI's other options."""

WEB_SEARCH_TYPES = ("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11")
_CHOICE_KINDS: dict[str, ToolKind] = {"function": "function", "custom": "custom"}


def read_tools(tools: Sequence[Mapping[str, Any]]) -> tuple[Tool, ...]:
    """The request's tools. The functions of a ``namespace`` stand beside the others, each with its namespace."""
    read: list[Tool] = []
    for tool in tools:
        if tool["type"] == "namespace":
            read.extend(_read_tool(inner, tool["name"]) for inner in tool["tools"])
        else:
            read.append(_read_tool(tool, None))
    return tuple(read)


def _read_tool(tool: Mapping[str, Any], namespace: str | None) -> Tool:
    kind = tool["type"]
    if kind == "function":
        strict = tool.get("strict")
        return FunctionTool(
            tool["name"],
            description=tool.get("description"),
            parameters=tool.get("parameters"),
            # The vendor's default: strict wherever the schema allows it.
            strict=can_be_strict(tool.get("parameters")) if strict is None else strict,
            namespace=namespace,
            extra=marks(tool),
        )
    if kind == "custom":
        own: JsonObject = {"namespace": namespace} if namespace else {}
        extra = {**marks(tool), PROTOCOL: own} if own else marks(tool)
        return CustomTool(tool["name"], description=tool.get("description"), format=tool.get("format"), extra=extra)
    if kind in WEB_SEARCH_TYPES:
        filters: Mapping[str, Any] = tool.get("filters") or {}
        place: Mapping[str, Any] = tool.get("user_location") or {}
        location = {name: value for name, value in place.items() if name != "type" and value is not None}
        return WebSearchTool(
            tool.get("search_context_size"),
            tuple(filters.get("allowed_domains") or ()),
            tuple(filters.get("blocked_domains") or ()),
            location or None,
            extra={PROTOCOL: dict(tool)},
        )
    return OpaqueTool(PROTOCOL, dict(tool))


def read_tool_choice(choice: Any) -> ToolChoice | None:
    """The request's ``tool_choice``. A choice of a tool only OpenAI has is read as ``auto``."""
    match choice:
        case None:
            return None
        case "auto" | "none" | "required":
            return ToolChoice(choice)
        case {"type": "allowed_tools", "tools": tools}:
            return ToolChoice(choice.get("mode") or "auto", tuple(_named(tool) for tool in tools))
        case {"type": kind} if kind in _CHOICE_KINDS or kind in WEB_SEARCH_TYPES:
            return ToolChoice("named", (_named(choice),))
        case _:
            return ToolChoice("auto")


def _named(tool: Mapping[str, Any]) -> tuple[ToolKind, str]:
    kind = tool["type"]
    if kind in WEB_SEARCH_TYPES:
        return ("web_search", "web_search")
    return (_CHOICE_KINDS.get(kind, "other"), str(tool.get("name") or kind))

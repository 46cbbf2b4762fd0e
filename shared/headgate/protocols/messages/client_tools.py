"""Tool definitions of the Messages API, as a client sends them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.conversation import FunctionTool, OpaqueTool, Tool, WebSearchTool


def read_tool(tool: Mapping[str, Any]) -> Tool:
    """One entry of ``tools``. ``extra["messages"]`` keeps what only Anthropic knows (``cache_control``,
    ``defer_loading``, ``input_examples`` …), for a web search the whole entry. Other typed tools stay opaque."""
    kind = tool.get("type")
    if kind is None or kind == "custom":
        known = ("type", "name", "description", "input_schema", "strict")
        extra = {name: value for name, value in tool.items() if name not in known and value is not None}
        return FunctionTool(
            name=tool["name"],
            description=tool.get("description"),
            parameters=tool["input_schema"],
            strict=tool.get("strict"),
            extra={"messages": extra} if extra else {},
        )
    if kind.startswith("web_search_"):
        location = tool.get("user_location")
        return WebSearchTool(
            allowed_domains=tuple(tool.get("allowed_domains") or ()),
            blocked_domains=tuple(tool.get("blocked_domains") or ()),
            user_location={name: value for name, value in location.items() if name != "type"} if location else None,
            max_uses=tool.get("max_uses"),
            extra={"messages": dict(tool)},
        )
    return OpaqueTool("messages", dict(tool))

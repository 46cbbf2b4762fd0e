"""What every upstream with named functions needs of a request's tools, whatever it calls them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from headgate.conversation import (
    CustomTool,
    FunctionTool,
    OpaqueTool,
    Request,
    Tool,
    ToolCall,
    ToolKind,
    WebSearchTool,
)
from headgate.losses import Loss
from headgate.protocols.arguments import INPUT_KEY
from headgate.protocols.names import NameMap, names_of

# A free-text tool where there are only functions: one string parameter.
FREE_TEXT: dict[str, Any] = {
    "type": "object",
    "properties": {INPUT_KEY: {"type": "string"}},
    "required": [INPUT_KEY],
}


def identity(tool: Tool) -> tuple[ToolKind, str]:
    """(kind, name), by which a tool choice names a tool."""
    match tool:
        case FunctionTool(name=name):
            return "function", name
        case CustomTool(name=name):
            return "custom", name
        case WebSearchTool():
            return "web_search", "web_search"
        case OpaqueTool(payload=payload):
            return "other", str(payload.get("name") or payload.get("type"))


def offered(request: Request) -> Iterator[tuple[int, Tool]]:
    """The tools to send, with their places in the request: all, or those that the choice allows."""
    choice = request.tool_choice
    allowed = set(choice.names) if choice and choice.mode in ("auto", "required") and choice.names else None
    for index, tool in enumerate(request.tools):
        if allowed is None or identity(tool) in allowed:
            yield index, tool


def free_text_description(tool: CustomTool, path: str, losses: list[Loss]) -> str:
    """What to tell the model of a free-text tool; a grammar it cannot be held to is described, and announced."""
    description = tool.description or ""
    grammar = (tool.format or {}).get("grammar", tool.format or {})
    if isinstance(grammar, Mapping) and grammar.get("definition"):
        syntax = grammar.get("syntax", "")
        description += f"\n\nThe input must match this {syntax} grammar:\n{grammar['definition']}"
        losses.append(Loss(f"{path}.format", "unsupported_grammar", "described to the model, not enforced"))
    return description.strip()


def wire_choice(name: str, names: NameMap) -> str:
    """The upstream's name of a chosen tool; a choice names the tool without its namespace."""
    return next((wire for wire in names.known() if names.from_wire(wire) == name), None) or names.to_wire(name)


def called_names(request: Request, names: NameMap) -> list[str]:
    """The upstream's names of the tools called in the history, each once."""
    called = (item for item in request.items if isinstance(item, ToolCall) and item.ran_by == "client")
    return list(dict.fromkeys(names.to_wire(item.name, item.namespace) for item in called))


def answer_tool_name(request: Request, limit: int) -> str:
    """A name for the tool that stands in for structured output, unlike any other tool's."""
    format = request.output.format
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", (format.name if format else None) or "json_response")[: min(limit, 64) - 4]
    taken = names_of(request, limit).known()
    while name in taken:
        name += "_"
    return name


def object_schema(schema: Mapping[str, Any] | None) -> dict[str, Any]:
    """``schema`` with an object at its root, which every vendor demands of tools."""
    if not schema:
        return {"type": "object", "properties": {}}
    return dict(schema) if schema.get("type") == "object" else {**schema, "type": "object"}

"""Tools, tool choice and structured output for Converse."""

from __future__ import annotations

import json
from typing import Any

from headgate.conversation import CustomTool, FunctionTool, OpaqueTool, OutputFormat, Request, Tool, WebSearchTool
from headgate.losses import Loss
from headgate.protocols.closed_schema import closed_schema, fits
from headgate.protocols.contract import Target
from headgate.protocols.converse.cache_points import add_point
from headgate.protocols.converse.families import family_of
from headgate.protocols.names import NameMap
from headgate.protocols.schema_roots import without_union
from headgate.protocols.tool_offers import (
    FREE_TEXT,
    answer_tool_name,
    called_names,
    free_text_description,
    object_schema,
    offered,
    wire_choice,
)

Block = dict[str, Any]

NAME_LIMIT = 64
# Amazon's own web search, which its Nova models run by themselves.
WEB_SEARCH = "nova_grounding"


def json_tool_name(request: Request, target: Target) -> str | None:
    """The name of the tool that stands in for structured output on a model without it; the reader of the answer must
    know it to give the call back as text. None where no such tool is sent."""
    format = request.output.format
    if format is None or format.type != "json_schema" or not target.lacks("json_schema"):
        return None
    return answer_tool_name(request, NAME_LIMIT)


def write_tools(request: Request, target: Target, names: NameMap) -> tuple[list[Block], list[Loss]]:
    """The ``tools`` array with its cache points. A choice limited to some tools sends only those."""
    tools: list[Block] = []
    losses: list[Loss] = []
    for index, tool in offered(request):
        path = f"tools[{index}]"
        block = _write_tool(tool, target, names, path, losses)
        if block is None:
            continue
        tools.append(block)
        if not isinstance(tool, OpaqueTool):
            add_point(tools, tool.extra)
    return tools, losses


def json_tool(format: OutputFormat, name: str) -> Block:
    """The tool whose arguments are the structured answer."""
    description = format.description or "Give the final answer by calling this tool."
    return {
        "toolSpec": {"name": name, "description": description, "inputSchema": {"json": object_schema(format.schema)}}
    }


def stand_ins(request: Request, names: NameMap) -> list[Block]:
    """Bare definitions for the tools called in a history that comes without tools, without which it is refused."""
    schema = {"json": {"type": "object", "properties": {}}}
    return [{"toolSpec": {"name": name, "inputSchema": schema}} for name in called_names(request, names)]


def write_choice(request: Request, names: NameMap) -> Block:
    """The ``toolChoice`` object, empty where the default says the same. There is none for ``none``."""
    choice = request.tool_choice
    if choice is None or choice.mode in ("auto", "none"):
        return {}
    if choice.mode == "required":
        return {"any": {}}
    kind, name = choice.names[0]
    return {"tool": {"name": WEB_SEARCH if kind == "web_search" else wire_choice(name, names)}}


def write_format(format: OutputFormat) -> tuple[Block, list[Loss]]:
    """The ``textFormat`` of a JSON schema, which travels as a string, in the dialect of constrained decoding."""
    schema, losses = closed_schema(format.schema or {"type": "object"}, "text.format.schema")
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    definition: Block = {"schema": text}
    if format.name:
        definition["name"] = format.name
    if format.description:
        definition["description"] = format.description
    return {"type": "json_schema", "structure": {"jsonSchema": definition}}, losses


def _write_tool(tool: Tool, target: Target, names: NameMap, path: str, losses: list[Loss]) -> Block | None:
    match tool:
        case FunctionTool():
            return _write_function(tool, target, names, path, losses)
        case CustomTool():
            name = names.to_wire(tool.name)
            names.custom.add(name)
            return _spec(name, free_text_description(tool, path, losses), FREE_TEXT)
        case WebSearchTool():
            return _write_search(tool, target, path, losses)
        case OpaqueTool(protocol="converse", payload=payload):
            return dict(payload)
        case OpaqueTool(payload=payload):
            kind = payload.get("type", "unknown")
            losses.append(Loss(path, "unsupported_tool", f"{target.model} has no tool of type {kind}"))
            return None


def _write_function(tool: FunctionTool, target: Target, names: NameMap, path: str, losses: list[Loss]) -> Block:
    schema = object_schema(tool.parameters)
    if family_of(target) == "claude":
        without_union(schema, target.model, path)
    block = _spec(names.to_wire(tool.name, tool.namespace), tool.description, schema)
    if tool.strict:
        if not target.lacks("json_schema") and fits(schema):
            block["toolSpec"]["strict"] = True
        else:
            losses.append(Loss(f"{path}.strict", "unsupported_parameter", "the schema cannot be enforced upstream"))
    return block


def _write_search(tool: WebSearchTool, target: Target, path: str, losses: list[Loss]) -> Block | None:
    if family_of(target) != "nova" or target.lacks("web_search"):
        losses.append(Loss(path, "unsupported_tool", f"{target.model} has no web search"))
        return None
    if tool.allowed_domains or tool.blocked_domains or tool.user_location or tool.context_size or tool.max_uses:
        losses.append(Loss(f"{path}.filters", "unsupported_parameter", "the vendor's web search has no options"))
    return {"systemTool": {"name": WEB_SEARCH}}


def _spec(name: str, description: str | None, schema: Block) -> Block:
    spec: Block = {"name": name}
    if description:
        spec["description"] = description
    return {"toolSpec": {**spec, "inputSchema": {"json": schema}}}

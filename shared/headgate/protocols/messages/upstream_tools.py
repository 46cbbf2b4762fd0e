"""Tools, tool choice and the structured-output tool, for a request to Anthropic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.conversation import (
    CustomTool,
    FunctionTool,
    OpaqueTool,
    OutputFormat,
    Request,
    Tool,
    ToolChoice,
    WebSearchTool,
)
from headgate.losses import Loss
from headgate.protocols.closed_schema import closed_schema, fits
from headgate.protocols.contract import Target
from headgate.protocols.messages.cache_marks import MARK, mark_of
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

NAME_LIMIT = 128
WEB_SEARCH = "web_search_20250305"
_OWN_FIELDS = ("defer_loading", "input_examples", "allowed_callers", "eager_input_streaming")


def json_tool_name(request: Request, target: Target) -> str | None:
    """The name of the tool that stands in for structured output on a model without it; the reader of the answer must
    know it to give the call back as text. None where no such tool is sent."""
    format = request.output.format
    if format is None or format.type != "json_schema" or not target.lacks("json_schema"):
        return None
    return answer_tool_name(request, NAME_LIMIT)


def write_tools(request: Request, target: Target, names: NameMap) -> tuple[list[Block], list[Loss]]:
    """The ``tools`` array. A choice limited to some tools sends only those."""
    tools: list[Block] = []
    losses: list[Loss] = []
    for index, tool in offered(request):
        block = _write_tool(tool, target, names, f"tools[{index}]", losses, request.max_tool_calls)
        if block is not None:
            tools.append(block)
    return tools, losses


def json_tool(format: OutputFormat, name: str) -> Block:
    """The tool whose arguments are the structured answer."""
    return {
        "name": name,
        "description": format.description or "Give the final answer by calling this tool.",
        "input_schema": object_schema(format.schema),
    }


def stand_ins(request: Request, names: NameMap) -> list[Block]:
    """Bare definitions for the tools called in a history that comes without tools; the vendor refuses calls to tools
    that it was told nothing of. They go with ``tool_choice: none``."""
    return [{"name": name, "input_schema": {"type": "object"}} for name in called_names(request, names)]


def write_choice(choice: ToolChoice | None, parallel: bool | None, tools: Sequence[Block], names: NameMap) -> Block:
    """The ``tool_choice`` object, empty where the default says the same. ``parallel`` False forbids several calls in
    one answer, which Anthropic says inside the choice."""
    if not tools:
        return {}
    mode = choice.mode if choice else "auto"
    if mode == "none":
        return {"type": "none"}
    out: Block = {"type": "any"} if mode == "required" else {"type": "auto"}
    if mode == "named" and choice:
        kind, name = choice.names[0]
        out = {"type": "tool", "name": "web_search" if kind == "web_search" else wire_choice(name, names)}
    if parallel is False:
        out["disable_parallel_tool_use"] = True
    return {} if out == {"type": "auto"} else out


def forces_tool(choice: Mapping[str, Any]) -> bool:
    """Whether the model must call a tool."""
    return choice.get("type") in ("any", "tool")


def _write_tool(
    tool: Tool, target: Target, names: NameMap, path: str, losses: list[Loss], max_calls: int | None
) -> Block | None:
    match tool:
        case FunctionTool():
            return _write_function(tool, target, names, path, losses)
        case CustomTool():
            return _write_custom(tool, names, path, losses)
        case WebSearchTool():
            if target.lacks("web_search"):
                losses.append(Loss(path, "unsupported_tool", f"{target.model} has no web search"))
                return None
            return _write_search(tool, path, losses, max_calls)
        case OpaqueTool(protocol="messages", payload=payload):
            return dict(payload)
        case OpaqueTool(payload=payload):
            kind = payload.get("type", "unknown")
            losses.append(Loss(path, "unsupported_tool", f"{target.model} has no tool of type {kind}"))
            return None


def _write_function(tool: FunctionTool, target: Target, names: NameMap, path: str, losses: list[Loss]) -> Block:
    block: Block = {"name": names.to_wire(tool.name, tool.namespace)}
    if tool.description:
        block["description"] = tool.description
    schema = block["input_schema"] = object_schema(tool.parameters)
    without_union(schema, target.model, path)
    if tool.strict:
        if not target.lacks("json_schema") and fits(schema):
            block["strict"] = True
        else:
            losses.append(Loss(f"{path}.strict", "unsupported_parameter", "the schema cannot be enforced upstream"))
    own = tool.extra.get("messages", {})
    block.update({name: own[name] for name in _OWN_FIELDS if name in own})
    mark = mark_of(tool.extra)
    if mark:
        block[MARK] = mark
    return block


def _write_custom(tool: CustomTool, names: NameMap, path: str, losses: list[Loss]) -> Block:
    name = names.to_wire(tool.name)
    names.custom.add(name)
    description = free_text_description(tool, path, losses)
    block: Block = {"name": name, "description": description, "input_schema": FREE_TEXT}
    mark = mark_of(tool.extra)
    return {**block, MARK: mark} if mark else block


def _write_search(tool: WebSearchTool, path: str, losses: list[Loss], max_calls: int | None) -> Block:
    block: Block = dict(tool.extra.get("messages", {})) or {"type": WEB_SEARCH, "name": "web_search"}
    if tool.context_size is not None:
        losses.append(Loss(f"{path}.search_context_size", "unsupported_parameter"))
    if tool.allowed_domains:
        block["allowed_domains"] = list(tool.allowed_domains)
    if tool.blocked_domains and tool.allowed_domains:
        losses.append(Loss(f"{path}.blocked_domains", "unsupported_parameter", "not together with allowed domains"))
        block.pop("blocked_domains", None)
    elif tool.blocked_domains:
        block["blocked_domains"] = list(tool.blocked_domains)
    if tool.user_location:
        location = {name: value for name, value in tool.user_location.items() if value is not None}
        block["user_location"] = {**location, "type": "approximate"}
    max_uses = tool.max_uses or max_calls
    if max_uses is not None:
        block["max_uses"] = max_uses
    mark = mark_of(tool.extra)
    return {**block, MARK: mark} if mark else block


def write_format(format: OutputFormat) -> tuple[Block, list[Loss]]:
    """The ``output_config.format`` for a JSON schema, in the vendor's dialect."""
    schema, losses = closed_schema(format.schema or {"type": "object"}, "text.format.schema")
    return {"type": "json_schema", "schema": schema}, losses

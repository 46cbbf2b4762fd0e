"""Function declarations, the web search and the calling mode, for a request to Gemini.

Functions and the vendor's web search do not go together in one request: functions win, unless the choice names the
search alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.conversation import (
    CustomTool,
    FunctionTool,
    OpaqueTool,
    OutputFormat,
    Request,
    Tool,
    ToolCall,
    ToolKind,
    WebSearchTool,
)
from headgate.losses import Loss
from headgate.protocols.arguments import INPUT_KEY
from headgate.protocols.contract import Target
from headgate.protocols.gemini.arguments import function_name
from headgate.protocols.gemini.schemas import openapi_schema, tool_schema
from headgate.protocols.names import NameMap, names_of

Block = dict[str, Any]

_FREE_TEXT: Block = {"type": "object", "properties": {INPUT_KEY: {"type": "string"}}, "required": [INPUT_KEY]}
_SEARCH: tuple[ToolKind, str] = ("web_search", "web_search")


@dataclass(slots=True)
class ToolPlan:
    """``tools`` and ``toolConfig`` as they go upstream; empty where there is nothing to say. ``functions``: whether
    any function is offered. ``forced``: the model must call one. ``searches``: the web search is offered."""

    tools: list[Block] = field(default_factory=list[Block])
    config: Block = field(default_factory=dict[str, Any])
    functions: bool = False
    forced: bool = False
    searches: bool = False


def json_tool_name(request: Request, target: Target) -> str | None:
    """The name of the function that stands in for structured output where the model lacks it, or lacks it beside
    functions; the reader of the answer must know it to give the call back as text. None where no such function is
    sent: none is needed, or the request forces another one, or the web search excludes functions."""
    format = request.output.format
    if format is None or format.type != "json_schema":
        return None
    functions, searches = _offered(request, target)
    if searches or _must_call(request):
        return None
    if not target.lacks("json_schema") and (not functions or "json_with_tools" in target.quirks):
        return None
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", format.name or "json_response")[:60]
    name = name if name[0].isalpha() or name[0] == "_" else f"_{name}"[:60]
    taken = names_of(request).known()
    while name in taken:
        name += "_"
    return name


def plan_tools(request: Request, target: Target, names: NameMap, losses: list[Loss]) -> ToolPlan:
    """Everything of the request that concerns tools. Raises GatewayError 400 for a schema that cannot be written."""
    functions, searches = _offered(request, target)
    declarations: list[Block] = []
    search: Block | None = None
    strict = False
    for index, tool in enumerate(request.tools):
        path = f"tools[{index}]"
        match tool:
            case FunctionTool() | CustomTool() if functions or not searches:
                declarations.append(_declare(tool, target, names, path, losses))
                strict = strict or (isinstance(tool, FunctionTool) and bool(tool.strict))
            case WebSearchTool() if searches:
                search = _search(tool, target, path, losses)
            case OpaqueTool(payload=payload):
                detail = f"{target.model} has no tool of type {payload.get('type', 'unknown')}"
                losses.append(Loss(path, "unsupported_tool", detail))
            case WebSearchTool() if request.tool_choice is not None and request.tool_choice.mode == "none":
                continue
            case WebSearchTool() if target.lacks("web_search"):
                losses.append(Loss(path, "unsupported_tool", f"{target.model} has no web search"))
            case _:
                losses.append(Loss(path, "unsupported_tool", "functions and the web search exclude each other"))
    declarations = _limited(declarations, request, target, names)
    answer_tool = json_tool_name(request, target)
    if answer_tool is not None and request.output.format is not None:
        declarations.append(_answer_declaration(request.output.format, answer_tool, target, losses))
        losses.append(Loss("text.format", "json_schema_emulated", "the answer is the argument of a forced tool call"))
    plan = ToolPlan(functions=bool(declarations), searches=search is not None)
    if declarations:
        plan.tools.append({"functionDeclarations": declarations})
    if search is not None:
        plan.tools.append({"googleSearch": search})
    if declarations:
        calling = _calling(request, target, names, losses, strict=strict, answer_tool=answer_tool)
        plan.forced = calling.get("mode") == "ANY"
        if calling:
            plan.config = {"functionCallingConfig": calling}
    elif request.tool_choice is not None and request.tool_choice.mode in ("required", "named") and search is not None:
        losses.append(Loss("tool_choice", "unsupported_parameter", "the web search cannot be forced"))
    if request.parallel_tool_calls is False and declarations:
        losses.append(Loss("parallel_tool_calls", "unsupported_parameter", "the model decides how many calls it makes"))
    return plan


def _limited(declarations: list[Block], request: Request, target: Target, names: NameMap) -> list[Block]:
    """The declarations to send. Where the mode that limits a free choice is unknown, only those of the choice."""
    choice = request.tool_choice
    if "no_validated_mode" not in target.quirks or choice is None or choice.mode != "auto" or not choice.names:
        return declarations
    allowed = _allowed(request, names, [])
    return [block for block in declarations if block["name"] in allowed]


def stand_ins(request: Request, names: NameMap) -> list[Block]:
    """Bare declarations for the functions called in a history that comes without tools."""
    called = dict.fromkeys(
        function_name(names, item.name, item.namespace)
        for item in request.items
        if isinstance(item, ToolCall) and item.ran_by == "client"
    )
    return [{"name": name, "description": "No longer available."} for name in called]


def _offered(request: Request, target: Target) -> tuple[bool, bool]:
    """(functions are sent, the web search is sent)."""
    functions = any(isinstance(tool, FunctionTool | CustomTool) for tool in request.tools)
    searches = any(isinstance(tool, WebSearchTool) for tool in request.tools) and not target.lacks("web_search")
    if functions and searches:
        choice = request.tool_choice
        only = choice is not None and choice.mode != "none" and bool(choice.names)
        only = only and choice is not None and all(each[0] == "web_search" for each in choice.names)
        return not only, only
    return functions, searches and (request.tool_choice is None or request.tool_choice.mode != "none")


def _must_call(request: Request) -> bool:
    choice = request.tool_choice
    return choice is not None and choice.mode in ("required", "named")


def _declare(tool: FunctionTool | CustomTool, target: Target, names: NameMap, path: str, losses: list[Loss]) -> Block:
    if isinstance(tool, FunctionTool):
        block: Block = {"name": function_name(names, tool.name, tool.namespace)}
        if tool.description:
            block["description"] = tool.description
        return _with_parameters(block, tool.parameters, target, f"{path}.parameters", losses)
    block = {"name": function_name(names, tool.name)}
    names.custom.add(names.to_wire(tool.name))
    description = tool.description or ""
    grammar = (tool.format or {}).get("grammar", tool.format or {})
    if isinstance(grammar, Mapping) and grammar.get("definition"):
        description += f"\n\nThe input must match this {grammar.get('syntax', '')} grammar:\n{grammar['definition']}"
        losses.append(Loss(f"{path}.format", "unsupported_grammar", "described to the model, not enforced"))
    if description:
        block["description"] = description.strip()
    return _with_parameters(block, _FREE_TEXT, target, path, losses)


def _with_parameters(
    block: Block, schema: Mapping[str, Any] | None, target: Target, path: str, losses: list[Loss]
) -> Block:
    if "openapi_schema" not in target.quirks:
        return {**block, "parametersJsonSchema": tool_schema(schema)}
    converted, lost = openapi_schema(tool_schema(schema), path)
    losses += lost
    # An object without properties is refused; a function without parameters is not.
    return {**block, "parameters": converted} if converted.get("properties") else block


def _answer_declaration(format: OutputFormat, name: str, target: Target, losses: list[Loss]) -> Block:
    block: Block = {
        "name": name,
        "description": format.description or "Give the final answer by calling this function.",
    }
    return _with_parameters(block, format.schema, target, "text.format.schema", losses)


def _search(tool: WebSearchTool, target: Target, path: str, losses: list[Loss]) -> Block:
    block: Block = {}
    if tool.blocked_domains and "exclude_domains" in target.quirks:
        block["excludeDomains"] = list(tool.blocked_domains)
    absent = {
        "search_context_size": tool.context_size,
        "filters.allowed_domains": tool.allowed_domains,
        "filters.blocked_domains": tool.blocked_domains if not block else (),
        "user_location": tool.user_location,
        "max_uses": tool.max_uses,
    }
    losses += [
        Loss(f"{path}.{name}", "unsupported_parameter", "the vendor's search has no such option")
        for name, value in absent.items()
        if value
    ]
    return block


def _calling(
    request: Request, target: Target, names: NameMap, losses: list[Loss], *, strict: bool, answer_tool: str | None
) -> Block:
    """``functionCallingConfig``, empty where the default says the same."""
    choice = request.tool_choice
    if choice is not None and choice.mode == "none":
        # Only the answer remains, which may itself be a function here.
        return {"mode": "ANY", "allowedFunctionNames": [answer_tool]} if answer_tool else {"mode": "NONE"}
    if answer_tool is not None:
        # The model may call other functions first, but must end with a call.
        return {"mode": "ANY"}
    allowed = _allowed(request, names, losses)
    if choice is not None and choice.mode in ("required", "named"):
        return {"mode": "ANY", "allowedFunctionNames": allowed} if allowed else {"mode": "ANY"}
    if "no_validated_mode" in target.quirks:
        if strict:
            losses.append(Loss("tools.strict", "unsupported_parameter", "arguments are not held to the schema"))
        return {}
    # AUTO takes no list of names, and does not hold the arguments to the schema.
    if allowed:
        return {"mode": "VALIDATED", "allowedFunctionNames": allowed}
    return {"mode": "VALIDATED"} if strict else {}


def _allowed(request: Request, names: NameMap, losses: list[Loss]) -> list[str]:
    choice = request.tool_choice
    if choice is None or not choice.names:
        return []
    allowed = [wire for tool in request.tools if (wire := _chosen(tool, choice.names, names)) is not None]
    if len(allowed) < len(choice.names):
        losses.append(Loss("tool_choice", "unsupported_parameter", "only functions can be chosen"))
    return allowed


def _chosen(tool: Tool, chosen: tuple[tuple[ToolKind, str], ...], names: NameMap) -> str | None:
    if isinstance(tool, FunctionTool):
        # A choice names the tool with or without its namespace.
        full = f"{tool.namespace}__{tool.name}" if tool.namespace else tool.name
        if ("function", tool.name) in chosen or ("function", full) in chosen:
            return function_name(names, tool.name, tool.namespace)
    if isinstance(tool, CustomTool) and ("custom", tool.name) in chosen:
        return function_name(names, tool.name)
    return None

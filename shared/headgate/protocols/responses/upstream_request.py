"""A request of any frontend as the body of ``POST /responses`` at an upstream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from headgate.conversation import (
    CustomTool,
    FunctionTool,
    OpaqueTool,
    OutputFormat,
    Request,
    Thinking,
    Tool,
    ToolChoice,
    ToolKind,
    WebSearchTool,
)
from headgate.errors import unsupported
from headgate.losses import Loss
from headgate.protocols.contract import Target
from headgate.protocols.efforts import effort_for
from headgate.protocols.names import NameMap, names_of
from headgate.protocols.responses.fit import fit
from headgate.protocols.responses.parts import PROTOCOL
from headgate.protocols.responses.tools import SEARCH_FIELDS
from headgate.protocols.responses.upstream_items import write_input
from headgate.protocols.schema_roots import object_root
from headgate.protocols.strict_schema import can_be_strict
from headgate.protocols.tool_offers import FREE_TEXT, free_text_description, offered

_MOST_TOOLS = 128
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_-]")


def write_request(request: Request, target: Target, names: NameMap | None = None) -> tuple[dict[str, Any], list[Loss]]:
    """The upstream's body, always streamed, and what had to be left out. ``names`` is the map of tool names that the
    reader of the answer shares. Raises GatewayError 400 for content the target cannot be given."""
    names = names or names_of(request)
    losses = _unsupported(request)
    body: dict[str, Any] = {"model": target.model, "stream": True}
    if request.instructions:
        body["instructions"] = "\n\n".join(text.text for text in request.instructions)
        if any("cache_control" in bag for text in request.instructions for bag in text.extra.values()):
            losses.append(Loss("instructions.cache_control", "unsupported_parameter", "The provider caches by itself."))
    # The tools come first, so that where two names clash the tool keeps the same one in every turn.
    _write_tools(body, request, target, names, losses)
    body["input"] = write_input(request.items, target, names, losses)
    sampling = request.sampling
    values = {
        "max_output_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tool_calls": request.max_tool_calls,
        "metadata": request.metadata or None,
        "prompt_cache_key": request.caching.key,
        "prompt_cache_retention": request.caching.retention,
    }
    body.update((name, value) for name, value in values.items() if value is not None)
    if sampling.logprobs or sampling.top_logprobs:
        body["include"] = ["message.output_text.logprobs"]
        if sampling.top_logprobs:
            body["top_logprobs"] = sampling.top_logprobs
    reasoning = write_reasoning(request.thinking, target)
    if reasoning:
        body["reasoning"] = reasoning
    text = _write_text(request, losses)
    if text:
        body["text"] = text
    return body, losses + fit(body, target)


def write_reasoning(thinking: Thinking, target: Target) -> dict[str, Any]:
    """The ``reasoning`` object; {} where the client said nothing. A budget becomes the level that covers it. Summaries
    are asked for when the client wants to see thoughts, because OpenAI never shows the thoughts themselves."""
    effort = thinking.effort
    if effort is None and thinking.budget is not None:
        effort = effort_for(thinking.budget)
    if effort is None and thinking.mode == "disabled" and target.efforts:
        effort = "none"
    summary = thinking.summary
    if summary is None and thinking.mode in ("enabled", "adaptive") and thinking.display != "omitted":
        summary = "auto"
    if summary == "none":
        summary = None
    said = {"effort": effort, "summary": summary}
    return {name: value for name, value in said.items() if value is not None}


def _unsupported(request: Request) -> list[Loss]:
    """The knobs that this API has no field for."""
    sampling, output = request.sampling, request.output
    if "audio" in output.modalities:
        raise unsupported("This model cannot answer in audio.", param="modalities")
    knobs = {
        "stop": sampling.stop,
        "seed": sampling.seed is not None,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "logit_bias": sampling.logit_bias,
        "top_k": sampling.top_k is not None,
        "n": request.choices > 1,
        "prediction": output.prediction,
        "cache_control": request.caching.control,
    }
    return [
        Loss(name, "unsupported_parameter", "OpenAI's Responses API has no such field.")
        for name, given in knobs.items()
        if given
    ]


def _write_text(request: Request, losses: list[Loss]) -> dict[str, Any]:
    text: dict[str, Any] = {}
    if request.output.format is not None:
        text["format"] = _write_format(request.output.format, losses)
    if request.output.verbosity is not None:
        text["verbosity"] = request.output.verbosity
    return text


def _write_format(shape: OutputFormat, losses: list[Loss]) -> dict[str, Any]:
    if shape.type != "json_schema":
        return {"type": shape.type}
    schema = object_root(shape.schema, "text.format.schema")
    if shape.strict is None and not can_be_strict(schema):
        losses.append(Loss("text.format", "schema_not_enforced", "OpenAI enforces closed objects of plain values only"))
    return {
        "type": "json_schema",
        "name": _NOT_IN_NAMES.sub("_", shape.name or "response")[:64],
        "schema": schema,
        # Messages promises that the answer follows the schema and has no such switch.
        "strict": can_be_strict(schema) if shape.strict is None else shape.strict,
        **({"description": shape.description} if shape.description else {}),
    }


def _write_tools(body: dict[str, Any], request: Request, target: Target, names: NameMap, losses: list[Loss]) -> None:
    tools = [
        wire
        for index, tool in (offered(request) if "no_allowed_tools" in target.quirks else enumerate(request.tools))
        if (wire := _write_tool(tool, target, names, f"tools[{index}]", losses)) is not None
    ]
    if not tools:
        return
    if len(tools) > _MOST_TOOLS:
        raise unsupported(f"{target.model} takes at most {_MOST_TOOLS} tools, not {len(tools)}", param="tools")
    body["tools"] = tools
    if request.tool_choice is not None:
        body["tool_choice"] = _write_choice(request.tool_choice, request, target, names)
    if request.parallel_tool_calls is not None:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def _write_tool(tool: Tool, target: Target, names: NameMap, path: str, losses: list[Loss]) -> dict[str, Any] | None:
    match tool:
        case FunctionTool():
            _lose(tool.extra, path, losses)
            return {
                "type": "function",
                "name": names.to_wire(tool.name, tool.namespace),
                **({"description": tool.description} if tool.description else {}),
                "parameters": _parameters(tool.parameters or {}),
                # Left out, it would be true, and most schemas of other clients are not strict ones.
                "strict": bool(tool.strict),
            }
        case CustomTool() if "no_custom_tools" in target.quirks:
            name = names.to_wire(tool.name)
            names.custom.add(name)
            about = free_text_description(tool, path, losses)
            return {
                "type": "function",
                "name": name,
                **({"description": about} if about else {}),
                "parameters": FREE_TEXT,
                "strict": False,
            }
        case CustomTool():
            _lose(tool.extra, path, losses)
            own = {"description": tool.description, "format": _grammar(tool.format)}
            return {
                "type": "custom",
                "name": names.to_wire(tool.name),
                **{key: value for key, value in own.items() if value is not None},
            }
        case WebSearchTool():
            return _write_search(tool, target, path, losses)
        case OpaqueTool(protocol="responses", payload=payload):
            return dict(payload)
        case OpaqueTool():
            losses.append(Loss(path, "unsupported_tool", "Only another protocol understands this tool."))
            return None


def _parameters(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """OpenAI refuses a tool schema without ``type`` or, for an object, without ``properties``; others take both."""
    if schema.get("type", "object") != "object" or {"type", "properties"} <= schema.keys():
        return schema
    return {"type": "object", "properties": {}, **schema}


def _write_search(tool: WebSearchTool, target: Target, path: str, losses: list[Loss]) -> dict[str, Any] | None:
    if target.lacks("web_search"):
        losses.append(Loss(path, "unsupported_tool", "The model cannot search the web."))
        return None
    if "search_domains" in target.quirks:
        return _domain_search(tool, path, losses)
    own = tool.extra.get(PROTOCOL)
    if own:
        return {name: value for name, value in own.items() if name != "cache_control"}
    for name, given in (("blocked_domains", tool.blocked_domains), ("max_uses", tool.max_uses)):
        if given:
            losses.append(Loss(f"{path}.{name}", "unsupported_parameter", "OpenAI's web search has no such option."))
    search: dict[str, Any] = {"type": "web_search"}
    if tool.context_size is not None:
        search["search_context_size"] = tool.context_size
    if tool.allowed_domains:
        search["filters"] = {"allowed_domains": list(tool.allowed_domains)}
    if tool.user_location:
        search["user_location"] = {"type": "approximate", **tool.user_location}
    return search


def _domain_search(tool: WebSearchTool, path: str, losses: list[Loss]) -> dict[str, Any]:
    """xAI's search: it refuses what it does not know of OpenAI's options, and takes domains to leave out."""
    own = tool.extra.get(PROTOCOL, {})
    knobs = {"search_context_size": tool.context_size, "max_uses": tool.max_uses}
    for name, given in {**knobs, **{name: own[name] for name in own if name not in SEARCH_FIELDS}}.items():
        if given and name != "cache_control":
            losses.append(Loss(f"{path}.{name}", "unsupported_parameter", "The provider's search has no such option."))
    filters = {"allowed_domains": list(tool.allowed_domains), "excluded_domains": list(tool.blocked_domains)}
    filters = {name: domains for name, domains in filters.items() if domains}
    return {
        "type": "web_search",
        **({"filters": filters} if filters else {}),
        **({"user_location": {"type": "approximate", **tool.user_location}} if tool.user_location else {}),
        **{name: own[name] for name in own if name in SEARCH_FIELDS and name.endswith(("_domains", "_understanding"))},
    }


def _grammar(shape: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Chat Completions nests the grammar one level deeper."""
    inner = shape.get("grammar") if shape else None
    return {"type": "grammar", **inner} if isinstance(inner, Mapping) else shape


def _write_choice(choice: ToolChoice, request: Request, target: Target, names: NameMap) -> str | dict[str, Any]:
    named = [_write_named(kind, name, request, names) for kind, name in choice.names]
    words = "no_allowed_tools" in target.quirks
    if choice.mode == "named":
        return named[0] if named and not (words and named[0]["type"] != "function") else "required"
    if words:
        return choice.mode
    if named and choice.mode != "none":
        return {"type": "allowed_tools", "mode": choice.mode, "tools": named}
    return choice.mode


def _write_named(kind: ToolKind, name: str, request: Request, names: NameMap) -> dict[str, Any]:
    if kind == "web_search":
        return {"type": "web_search"}
    space = next((t.namespace for t in request.tools if isinstance(t, FunctionTool) and t.name == name), None)
    wire = names.to_wire(name, space)
    return {"type": "custom" if kind == "custom" and wire not in names.custom else "function", "name": wire}


def _lose(extra: Mapping[str, Mapping[str, Any]], path: str, losses: list[Loss]) -> None:
    if any("cache_control" in bag for bag in extra.values()):
        losses.append(Loss(f"{path}.cache_control", "unsupported_parameter", "The provider caches by itself."))

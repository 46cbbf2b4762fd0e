"""A neutral request as the body of ``POST /v2/chat`` at Cohere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headgate.conversation import CustomTool, FunctionTool, Message, OpaqueTool, OutputFormat, Request, Text
from headgate.losses import Loss
from headgate.protocols.cache_marks import mark_of
from headgate.protocols.cohere.messages import MessageWriter, needs_data
from headgate.protocols.cohere.schema_dialect import plain_schema
from headgate.protocols.contract import Target
from headgate.protocols.efforts import budget_for
from headgate.protocols.history import split_leading
from headgate.protocols.names import NameMap
from headgate.protocols.tool_offers import (
    FREE_TEXT,
    answer_tool_name,
    free_text_description,
    object_schema,
    offered,
    wire_choice,
)

__all__ = ["needs_data", "reader_options", "write_request"]

Block = dict[str, Any]

NAME_LIMIT = 64
_STOPS = 5
JSON_ONLY = "Respond with a single JSON object and nothing else."


def write_request(request: Request, target: Target, names: NameMap | None = None) -> tuple[Block, list[Loss]]:
    """The body, always streamed, and what the vendor has no place for. ``names`` is filled with the tool names as they
    were sent; hand it to the ``StreamReader`` of the answer, together with ``reader_options``. Raises GatewayError 400
    for content that the target cannot take."""
    names = names if names is not None else NameMap(NAME_LIMIT)
    losses: list[Loss] = []
    tools = _write_tools(request, target, names, losses)
    choice = _choose(request, tools, names)
    format, answer_tool = request.output.format, json_tool_name(request, target)
    if format is not None and answer_tool is not None:
        losses.append(Loss("text.format", "json_schema_emulated", "the answer is the argument of a forced tool call"))
        tools.append(_json_tool(format, answer_tool))
        choice = "REQUIRED"
    leading, rest = split_leading(request.items)
    structured = format is not None and format.type != "text" and answer_tool is None
    if structured and tools:
        # Not together; only a choice of no tool leaves both in the request.
        tools, choice = [], None
    history = MessageWriter(rest, target, names, len(leading), cites=not structured and not tools)
    losses += history.losses
    body: Block = {
        "model": target.model,
        "messages": [*_system(request, leading, structured), *history.messages],
        "stream": True,
    }
    parts: Block = {
        "tools": tools,
        "tool_choice": choice,
        "strict_tools": _strict(request, tools, losses),
        "documents": history.documents,
        "response_format": _write_format(format, losses) if format is not None and structured else None,
        "thinking": _write_thinking(request, target, losses),
    }
    body.update({name: value for name, value in parts.items() if value})
    body.update(_write_sampling(request, target, losses))
    _announce(request, losses)
    return body, losses


def reader_options(request: Request, target: Target) -> dict[str, Any]:
    """What the reader of the answer must know of the request: the tool that stands for structured output, if any."""
    return {"json_tool": json_tool_name(request, target)}


def json_tool_name(request: Request, target: Target) -> str | None:
    """The name of the tool that stands in for structured output: where the model has none, and where there are tools,
    which the vendor does not take together with it. None where no such tool is sent."""
    format = request.output.format
    if format is None or format.type == "text":
        return None
    forbidden = request.tool_choice is not None and request.tool_choice.mode == "none"
    with_tools = not forbidden and any(isinstance(tool, FunctionTool | CustomTool) for _, tool in offered(request))
    if with_tools or (format.type == "json_schema" and target.lacks("json_schema")):
        return answer_tool_name(request, NAME_LIMIT)
    return None


def _system(request: Request, leading: Sequence[Message], structured: bool) -> list[Block]:
    texts = [part.text for part in request.instructions]
    texts += [part.text for message in leading for part in message.parts if isinstance(part, Text)]
    if structured:
        # Without being told in words the model may write blanks without end.
        texts.append(JSON_ONLY)
    text = "\n\n".join(text for text in texts if text.strip())
    return [{"role": "system", "content": text}] if text else []


def _write_tools(request: Request, target: Target, names: NameMap, losses: list[Loss]) -> list[Block]:
    tools: list[Block] = []
    for index, tool in offered(request):
        path = f"tools[{index}]"
        match tool:
            case FunctionTool():
                name = names.to_wire(tool.name, tool.namespace)
                tools.append(_function(name, tool.description, object_schema(tool.parameters)))
            case CustomTool():
                name = names.to_wire(tool.name)
                names.custom.add(name)
                tools.append(_function(name, free_text_description(tool, path, losses), FREE_TEXT))
            case _:
                kind = tool.payload.get("type", "unknown") if isinstance(tool, OpaqueTool) else "web_search"
                losses.append(Loss(path, "unsupported_tool", f"{target.model} has no tool of type {kind}"))
    return tools


def _function(name: str, description: str | None, schema: Block) -> Block:
    function: Block = {"name": name}
    if description:
        function["description"] = description
    return {"type": "function", "function": {**function, "parameters": schema}}


def _json_tool(format: OutputFormat, name: str) -> Block:
    description = format.description or "Give the final answer by calling this tool."
    return _function(name, description, object_schema(format.schema))


def _choose(request: Request, tools: list[Block], names: NameMap) -> str | None:
    """The ``tool_choice``. A named tool is demanded by sending no other one."""
    choice = request.tool_choice
    if choice is None or choice.mode == "auto" or not tools:
        return None
    if choice.mode == "none":
        return "NONE"
    if choice.mode == "named":
        wanted = wire_choice(choice.names[0][1], names)
        only = [tool for tool in tools if tool["function"]["name"] == wanted]
        tools[:] = only or tools
    return "REQUIRED"


def _strict(request: Request, tools: Sequence[Block], losses: list[Loss]) -> bool:
    """``strict_tools`` holds for all tools or none, and wants a required field in each."""
    strict = [tool for tool in request.tools if isinstance(tool, FunctionTool) and tool.strict]
    if not strict or not tools:
        return False
    every = all(isinstance(tool, FunctionTool) and tool.strict for tool in request.tools)
    if every and all(tool["function"]["parameters"].get("required") for tool in tools):
        return True
    losses.append(
        Loss("tools.strict", "unsupported_parameter", "the schemas of these tools cannot be enforced together")
    )
    return False


def _write_format(format: OutputFormat, losses: list[Loss]) -> Block:
    if format.type == "json_object" or not format.schema:
        return {"type": "json_object"}
    schema, described = plain_schema(object_schema(format.schema), "text.format.schema")
    losses += described
    return {"type": "json_object", "json_schema": schema}


def _write_thinking(request: Request, target: Target, losses: list[Loss]) -> Block | None:
    wanted = request.thinking
    if wanted.mode is None and wanted.effort is None and wanted.budget is None:
        return None
    off = wanted.mode == "disabled" or wanted.effort == "none"
    if target.lacks("reasoning"):
        if not off:
            losses.append(Loss("reasoning", "thinking_dropped", f"{target.model} does not reason"))
        return None
    if off:
        return {"type": "disabled"}
    budget = wanted.budget or (budget_for(wanted.effort) if wanted.effort else None)
    return {"type": "enabled", "token_budget": budget} if budget else {"type": "enabled"}


def _write_sampling(request: Request, target: Target, losses: list[Loss]) -> Block:
    sampling = request.sampling
    values: Block = {}

    def put(name: str, own: str, value: float | None, low: float, high: float | None) -> None:
        if value is None:
            return
        if target.lacks("sampling") and name != "max_tokens":
            losses.append(Loss(name, "unsupported_parameter", f"{target.model} takes no sampling parameters"))
            return
        kept = max(low, value) if high is None else min(max(low, value), high)
        if kept != value:
            losses.append(Loss(name, "clamped", f"{value} became {kept}, the vendor's limit"))
        values[own] = kept

    put("max_tokens", "max_tokens", sampling.max_tokens, 1, target.max_output_tokens)
    put("temperature", "temperature", sampling.temperature, 0, 1)
    # A top_p of 1 says nothing, and 0.99 is the most that is taken.
    put("top_p", "p", None if sampling.top_p == 1 else sampling.top_p, 0.01, 0.99)
    put("top_k", "k", sampling.top_k, 0, 500)
    put("frequency_penalty", "frequency_penalty", sampling.frequency_penalty or None, 0, 1)
    if values.get("frequency_penalty") and sampling.presence_penalty:
        losses.append(Loss("presence_penalty", "unsupported_parameter", "not together with frequency_penalty"))
    else:
        put("presence_penalty", "presence_penalty", sampling.presence_penalty or None, 0, 1)
    if sampling.seed is not None and sampling.seed < 0:
        losses.append(Loss("seed", "unsupported_value", "the vendor takes no negative seed"))
    elif sampling.seed is not None:
        values["seed"] = sampling.seed
    stop = [text for text in sampling.stop if text]
    if len(stop) > _STOPS:
        losses.append(
            Loss("stop", "unsupported_value", f"the vendor takes {_STOPS} stop sequences, the first were kept")
        )
    if stop:
        values["stop_sequences"] = stop[:_STOPS]
    if sampling.logprobs:
        values["logprobs"] = True
    return values


def _announce(request: Request, losses: list[Loss]) -> None:
    """Report the settings that have no counterpart at this vendor."""
    sampling, output = request.sampling, request.output
    absent = {
        "logit_bias": sampling.logit_bias,
        "top_logprobs": sampling.top_logprobs,
        "parallel_tool_calls": request.parallel_tool_calls is False and bool(request.tools),
        "max_tool_calls": request.max_tool_calls,
        "text.verbosity": output.verbosity,
        "modalities": [each for each in output.modalities if each != "text"],
        "audio": output.audio,
        "prediction": output.prediction,
        "prompt_cache_retention": request.caching.retention,
        "n": request.choices > 1,
        "cache_control": request.caching.control or _marked(request),
    }
    losses += [Loss(name, "unsupported_parameter", "not known to Cohere") for name, value in absent.items() if value]


def _marked(request: Request) -> bool:
    holders = [*request.instructions, *request.items, *request.tools]
    holders += [part for item in request.items for part in getattr(item, "parts", ())]
    return any(mark_of(getattr(holder, "extra", {})) for holder in holders)

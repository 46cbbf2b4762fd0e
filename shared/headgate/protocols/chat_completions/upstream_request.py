"""A neutral ``Request`` as a request to an OpenAI-compatible Chat Completions API.

Always a stream: a JSON answer for another protocol's client is a folded stream. What the target is known to lack is
left out with a Loss if it is a tuning knob and refused if it is content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from headgate.conversation import (
    CustomTool,
    FunctionTool,
    Message,
    OpaqueTool,
    Request,
    Sampling,
    Text,
    WebSearchTool,
)
from headgate.losses import Loss
from headgate.protocols.chat_completions import PROTOCOL
from headgate.protocols.chat_completions.content import cache_control
from headgate.protocols.chat_completions.content import needs_data as needs_data
from headgate.protocols.chat_completions.upstream_messages import write_messages
from headgate.protocols.contract import Target
from headgate.protocols.efforts import adjustable, effort_for, nearest
from headgate.protocols.names import NameMap, names_of
from headgate.protocols.strict_schema import can_be_strict

_KNOBS = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "seed", "logit_bias")
_CUSTOM_SCHEMA = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The tool's whole input, as free text."}},
    "required": ["input"],
    "additionalProperties": False,
}

NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}
"""Of a function that takes none, for vendors that want to be told so."""


def write_request(request: Request, target: Target, names: NameMap | None = None) -> tuple[dict[str, Any], list[Loss]]:
    """The JSON body and the losses. ``names`` is the map that the answer's reader needs, too. Raises ``unsupported``
    for content that the target cannot be shown."""
    names = names if names is not None else names_of(request)
    tools, losses = _tools(request, target, names)
    messages, lost = write_messages(request, target, names)
    losses += lost
    body: dict[str, Any] = {"model": target.model, "messages": messages, "stream": True}
    if "no_stream_options" not in target.quirks:
        body["stream_options"] = {"include_usage": True}
    if tools:
        body["tools"] = tools
        _tool_choice(body, request, target, names, losses)
        _parallel(body, request, target, losses)
    _sampling(body, request.sampling, target, losses)
    _thinking(body, request, target, losses)
    _output(body, request, target, losses)
    _search(body, request, target, losses)
    _rest(body, request, target, losses)
    return body, losses


def reader_options(request: Request, target: Target) -> dict[str, Any]:
    """What the ``StreamReader`` must know of the request: text that the vendor will repeat before it continues it."""
    last = request.items[-1] if request.items else None
    if "strict_messages" not in target.quirks or not isinstance(last, Message) or last.role != "assistant":
        return {}
    return {"prefix": "".join(part.text for part in last.parts if isinstance(part, Text))}


def _lost(losses: list[Loss], path: str, why: str = "") -> None:
    losses.append(Loss(path, "unsupported_parameter", why))


def _tools(request: Request, target: Target, names: NameMap) -> tuple[list[dict[str, Any]], list[Loss]]:
    tools: list[dict[str, Any]] = []
    losses: list[Loss] = []
    for index, tool in enumerate(request.tools):
        path = f"tools[{index}]"
        match tool:
            case FunctionTool():
                written = _function(tool, target, names, path, losses)
            case CustomTool():
                written = _custom(tool, target, names, path, losses)
            case OpaqueTool(protocol=protocol, payload=payload):
                if protocol == PROTOCOL:
                    tools.append(dict(payload))
                else:
                    text = f"A tool of type '{payload.get('type')}' was left out."
                    losses.append(Loss(path, "unsupported_tool", text))
                continue
            case WebSearchTool():
                continue
        control = cache_control(tool.extra)
        if control is not None and "cache_control" in target.quirks:
            written["cache_control"] = control
        tools.append(written)
    return tools, losses


def _function(tool: FunctionTool, target: Target, names: NameMap, path: str, losses: list[Loss]) -> dict[str, Any]:
    function: dict[str, Any] = {"name": names.to_wire(tool.name, tool.namespace)}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    elif "tool_parameters" in target.quirks:
        function["parameters"] = NO_PARAMETERS
    if tool.strict and "no_strict" in target.quirks:
        _lost(losses, f"{path}.strict")
    elif tool.strict and not can_be_strict(tool.parameters):
        # Responses makes a tool strict unless told otherwise and mends its schema; here such a schema is refused.
        _lost(losses, f"{path}.strict", "The schema leaves properties open or optional.")
    elif tool.strict:
        function["strict"] = True
    return {"type": "function", "function": function}


def _custom(tool: CustomTool, target: Target, names: NameMap, path: str, losses: list[Loss]) -> dict[str, Any]:
    name = names.to_wire(tool.name)
    about: dict[str, Any] = {"name": name}
    if tool.description is not None:
        about["description"] = tool.description
    if "no_custom_tools" not in target.quirks:
        if tool.format is not None:
            about["format"] = _nested(tool.format)
        return {"type": "custom", "custom": about}
    names.custom.add(name)
    if tool.format is not None and tool.format.get("type") == "grammar":
        _lost(losses, f"{path}.format", "The grammar is only described to the model.")
        grammar = f"The input must match this {tool.format.get('syntax', '')} grammar:\n{tool.format.get('definition')}"
        about["description"] = f"{tool.description}\n\n{grammar}" if tool.description else grammar
    return {"type": "function", "function": {**about, "parameters": _CUSTOM_SCHEMA}}


def _nested(form: Mapping[str, Any]) -> Mapping[str, Any]:
    """A custom tool's format in Chat's form, with the grammar one level deeper than in Responses."""
    if form.get("type") != "grammar" or "grammar" in form:
        return form
    return {"type": "grammar", "grammar": {key: value for key, value in form.items() if key != "type"}}


def _tool_choice(body: dict[str, Any], request: Request, target: Target, names: NameMap, losses: list[Loss]) -> None:
    choice = request.tool_choice
    if choice is None:
        return
    entries = [_choice_entry(kind, name, request, names) for kind, name in choice.names]
    known = [entry for entry in entries if entry is not None]
    if len(known) < len(entries):
        _lost(losses, "tool_choice", "Only functions and custom tools can be chosen here.")
    if choice.mode == "named":
        if known:
            body["tool_choice"] = known[0]
        return
    if not choice.names:
        body["tool_choice"] = choice.mode
    elif known and "no_allowed_tools" in target.quirks:
        body["tools"] = [tool for tool in body["tools"] if _bare(tool) in known]
        body["tool_choice"] = choice.mode
    elif known:
        allowed = {"mode": choice.mode, "tools": known}
        body["tool_choice"] = {"type": "allowed_tools", "allowed_tools": allowed}


def _choice_entry(kind: str, name: str, request: Request, names: NameMap) -> dict[str, Any] | None:
    for tool in request.tools:
        if isinstance(tool, FunctionTool) and kind == "function" and name in (tool.name, _joined(tool)):
            wire = names.to_wire(tool.name, tool.namespace)
            return {"type": "function", "function": {"name": wire}}
        if isinstance(tool, CustomTool) and kind == "custom" and name == tool.name:
            wire = names.to_wire(name)
            form = "function" if wire in names.custom else "custom"
            return {"type": form, form: {"name": wire}}
    return None


def _joined(tool: FunctionTool) -> str:
    return f"{tool.namespace}__{tool.name}" if tool.namespace else tool.name


def _bare(tool: Mapping[str, Any]) -> dict[str, Any]:
    kind = tool["type"]
    return {"type": kind, kind: {"name": (tool.get(kind) or {}).get("name")}}


def _parallel(body: dict[str, Any], request: Request, target: Target, losses: list[Loss]) -> None:
    wanted = request.parallel_tool_calls
    if wanted is None:
        return
    if not target.lacks("parallel_tools"):
        body["parallel_tool_calls"] = wanted
    elif wanted:
        _lost(losses, "parallel_tool_calls")


def _sampling(body: dict[str, Any], sampling: Sampling, target: Target, losses: list[Loss]) -> None:
    bound = sampling.max_tokens
    if bound is not None:
        limit = target.max_output_tokens
        if limit is not None and bound > limit:
            losses.append(Loss("max_tokens", "clamped", f"The model writes at most {limit} tokens."))
            bound = limit
        if bound < 1:
            losses.append(Loss("max_tokens", "raised", "The upstream's minimum is 1."))
            bound = 1
        body["max_tokens" if "max_tokens" in target.quirks else "max_completion_tokens"] = bound
    for knob in _KNOBS:
        value = getattr(sampling, knob)
        if value is None:
            continue
        if not target.lacks("sampling"):
            body[knob] = value
        elif knob not in ("temperature", "top_p") or value != 1:
            _lost(losses, knob)
    if sampling.top_k is not None:
        if "top_k" in target.quirks:
            body["top_k"] = sampling.top_k
        else:
            _lost(losses, "top_k")
    _stop(body, sampling, target, losses)
    if sampling.logprobs or sampling.top_logprobs:
        if target.lacks("logprobs"):
            _lost(losses, "logprobs")
        else:
            body["logprobs"] = True
            if sampling.top_logprobs is not None:
                body["top_logprobs"] = sampling.top_logprobs


def refuses_stop(target: Target) -> bool:
    """Whether ``stop`` would be an error: everywhere, or for what reasons there."""
    reasons = "no_stop_reasoning" in target.quirks and not target.lacks("reasoning")
    return reasons or "no_stop" in target.quirks


def _stop(body: dict[str, Any], sampling: Sampling, target: Target, losses: list[Loss]) -> None:
    stop = [word for word in sampling.stop if word]
    if not stop:
        return
    if refuses_stop(target):
        _lost(losses, "stop")
        return
    if len(stop) > 4:
        _lost(losses, "stop", "Only the first four stop sequences are sent.")
    body["stop"] = stop[:4]


def _thinking(body: dict[str, Any], request: Request, target: Target, losses: list[Loss]) -> None:
    thinking = request.thinking
    if thinking.mode == "disabled":
        effort = "none"
    elif thinking.effort is not None:
        effort = thinking.effort
    elif thinking.budget is not None:
        effort = effort_for(thinking.budget)
    else:
        return
    if target.lacks("reasoning") or not adjustable(target.efforts, target.quirks):
        if effort != "none" or not target.lacks("reasoning"):
            _lost(losses, "reasoning")
    elif effort != "none" or target.efforts:
        body["reasoning_effort"] = chosen = nearest(effort, target.efforts)
        # A budget in tokens has no exact level anyway.
        if chosen != effort and (thinking.effort is not None or thinking.mode == "disabled"):
            losses.append(Loss("reasoning.effort", "effort_adjusted", f"{effort} became {chosen}"))


def _output(body: dict[str, Any], request: Request, target: Target, losses: list[Loss]) -> None:
    output = request.output
    form = output.format
    if form is not None and form.type == "json_object":
        body["response_format"] = {"type": "json_object"}
    elif form is not None and form.type == "json_schema":
        if target.lacks("json_schema"):
            _lost(losses, "response_format", "The schema is only described to the model.")
            _describe(body, form.schema, target)
        else:
            name = re.sub(r"[^a-zA-Z0-9_-]", "_", form.name or "")[:64] or "response"
            schema: dict[str, Any] = {"name": name, "schema": form.schema or {}}
            if form.description is not None:
                schema["description"] = form.description
            if form.strict is not None:
                schema["strict"] = form.strict
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if output.verbosity is not None:
        if "no_verbosity" in target.quirks:
            _lost(losses, "verbosity")
        else:
            body["verbosity"] = output.verbosity
    if output.modalities:
        body["modalities"] = list(output.modalities)
    if output.audio is not None:
        body["audio"] = output.audio
    if output.prediction is not None:
        body["prediction"] = output.prediction


def _describe(body: dict[str, Any], schema: Any, target: Target) -> None:
    body["response_format"] = {"type": "json_object"}
    text = f"Answer with one JSON object that matches this JSON schema:\n{json.dumps(schema, ensure_ascii=False)}"
    role = "system" if "system_role" in target.quirks else "developer"
    body["messages"] = [{"role": role, "content": text}, *body["messages"]]


def _search(body: dict[str, Any], request: Request, target: Target, losses: list[Loss]) -> None:
    for index, tool in enumerate(request.tools):
        if not isinstance(tool, WebSearchTool):
            continue
        if "no_web_search_options" in target.quirks or target.lacks("web_search"):
            losses.append(Loss(f"tools[{index}]", "unsupported_tool", "This upstream cannot search the web."))
            continue
        options: dict[str, Any] = {}
        if tool.context_size is not None:
            options["search_context_size"] = tool.context_size
        if tool.user_location:
            place = {
                key: tool.user_location[key]
                for key in ("country", "region", "city", "timezone")
                if tool.user_location.get(key)
            }
            options["user_location"] = {"type": "approximate", "approximate": place}
        if tool.allowed_domains or tool.blocked_domains:
            _lost(losses, f"tools[{index}].filters")
        if tool.max_uses is not None:
            _lost(losses, f"tools[{index}].max_uses")
        body["web_search_options"] = options


def _rest(body: dict[str, Any], request: Request, target: Target, losses: list[Loss]) -> None:
    if request.user is not None:
        body["user"] = request.user
    if "no_prompt_cache_key" not in target.quirks:
        if request.caching.key is not None:
            body["prompt_cache_key"] = request.caching.key
        if request.caching.retention is not None:
            body["prompt_cache_retention"] = request.caching.retention.replace("-", "_")
    if request.max_tool_calls is not None:
        _lost(losses, "max_tool_calls")
    if "cache_control" not in target.quirks and _marked(request):
        _lost(losses, "cache_control", "This upstream caches by itself.")
    for protocol, bag in request.extra.items():
        if protocol == PROTOCOL:
            body.update({key: value for key, value in bag.items() if key not in body})
        else:
            losses.extend(Loss(name, "unsupported_parameter") for name in bag)


def _marked(request: Request) -> bool:
    """Whether the client set a cache mark anywhere."""
    if request.caching.control is not None or any(cache_control(part.extra) for part in request.instructions):
        return True
    if any(cache_control(tool.extra) for tool in request.tools if not isinstance(tool, OpaqueTool)):
        return True
    for item in request.items:
        extra = getattr(item, "extra", None)
        if extra and cache_control(extra):
            return True
        for part in getattr(item, "parts", ()):
            extra = getattr(part, "extra", None)
            if extra and cache_control(extra):
                return True
    return False

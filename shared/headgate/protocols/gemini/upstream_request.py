"""A neutral request as the body of Gemini's ``generateContent`` and ``streamGenerateContent``.

The model and whether to stream are said in the address. ``candidateCount`` is never sent: several choices are several
calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.conversation import FunctionTool, Item, Message, OpaqueTool, Request, Text
from headgate.losses import Loss
from headgate.protocols.arguments import dumps
from headgate.protocols.contract import Target
from headgate.protocols.gemini.arguments import function_name
from headgate.protocols.gemini.media import needs_data
from headgate.protocols.gemini.schemas import answer_schema, needs_restoring, openapi_schema
from headgate.protocols.gemini.upstream_thinking import thinking_config
from headgate.protocols.gemini.upstream_tools import ToolPlan, json_tool_name, plan_tools, stand_ins
from headgate.protocols.gemini.upstream_turns import TurnWriter
from headgate.protocols.names import NameMap, names_of

__all__ = ["json_tool_name", "needs_data", "reader_options", "write_request"]

Block = dict[str, Any]

JSON_ONLY = "Respond with a single JSON object and nothing else."
_LEADING = ("system", "developer")
_MOST_STOPS = 5
_MOST_LOGPROBS = 20
# The vendor's bounds; the upper one of a penalty is not itself allowed.
_MOST_TEMPERATURE = 2.0
_MOST_PENALTY = 1.99


def write_request(request: Request, target: Target, names: NameMap | None = None) -> tuple[Block, list[Loss]]:
    """The body and what the vendor has no place for. ``names`` is filled with the tool names as they were sent; hand
    it to the ``StreamReader`` of the answer, together with ``reader_options``. Raises GatewayError 400 for content
    that the target cannot take."""
    names = names if names is not None else NameMap()
    every = names_of(request, names.limit)
    for wire in every.known():
        # All names first: one that needs a lead-in must not take another's that comes later.
        namespace, name = every.split(wire)
        names.to_wire(name, namespace)
    losses: list[Loss] = []
    plan = plan_tools(request, target, names, losses)
    leading = _leading(request.items)
    history = TurnWriter(request.items[len(leading) :], target, names, len(leading))
    losses += history.losses
    if not plan.tools and (bare := stand_ins(request, names)):
        plan.tools = [{"functionDeclarations": bare}]
        plan.config = {"functionCallingConfig": {"mode": "NONE"}}
    system = [text for text in (*(part.text for part in request.instructions), *_texts(leading)) if text.strip()]
    config = _sampling(request, target, losses)
    config.update(_format(request, target, plan, system, losses))
    thinking = thinking_config(request, target, losses)
    if thinking is not None:
        config["thinkingConfig"] = thinking
    _announce(request, losses)
    parts: Block = {
        "systemInstruction": {"parts": [{"text": text} for text in system]} if system else None,
        "tools": plan.tools,
        "toolConfig": plan.config,
        "contents": history.turns,
        "generationConfig": config,
    }
    return {name: value for name, value in parts.items() if value}, losses


def reader_options(request: Request, target: Target) -> dict[str, Any]:
    """What the reader of the answer must know of the request: the function that stands for structured output, and the
    schemas whose enumerations had to become strings (by function name, and of the answer itself)."""
    options: dict[str, Any] = {"json_tool": json_tool_name(request, target)}
    if "openapi_schema" not in target.quirks:
        return options
    names = names_of(request)
    options["schemas"] = {
        function_name(names, tool.name, tool.namespace): tool.parameters
        for tool in request.tools
        if isinstance(tool, FunctionTool) and needs_restoring(tool.parameters)
    }
    format = request.output.format
    if format is not None and needs_restoring(format.schema):
        options["answer_schema"] = format.schema
    return options


def _leading(items: Sequence[Item]) -> list[Message]:
    leading: list[Message] = []
    for item in items:
        if not (isinstance(item, Message) and item.role in _LEADING and all(isinstance(p, Text) for p in item.parts)):
            break
        leading.append(item)
    return leading


def _texts(messages: Sequence[Message]) -> list[str]:
    return [part.text for message in messages for part in message.parts if isinstance(part, Text)]


def _sampling(request: Request, target: Target, losses: list[Loss]) -> Block:
    sampling = request.sampling
    config: Block = {}

    def lose(name: str, code: str, detail: str) -> None:
        losses.append(Loss(name, code, detail))

    if sampling.max_tokens is not None:
        most = target.max_output_tokens or sampling.max_tokens
        config["maxOutputTokens"] = max(1, min(sampling.max_tokens, most))
        if config["maxOutputTokens"] != sampling.max_tokens:
            lose("max_tokens", "clamped", f"{sampling.max_tokens} became {config['maxOutputTokens']}")
    for wire, name in (("temperature", "temperature"), ("topP", "top_p"), ("topK", "top_k")):
        value = getattr(sampling, name)
        if value is None:
            continue
        if target.lacks("sampling"):
            if value != 1 or name == "top_k":
                lose(name, "unsupported_parameter", f"{target.model} takes no sampling parameters")
            continue
        if name == "temperature" and value > _MOST_TEMPERATURE:
            lose(name, "clamped", f"{value} became {_MOST_TEMPERATURE}, the vendor's maximum")
            value = _MOST_TEMPERATURE
        config[wire] = value
    for wire, name in (("frequencyPenalty", "frequency_penalty"), ("presencePenalty", "presence_penalty")):
        value = getattr(sampling, name)
        if value is None:
            continue
        if "no_penalties" in target.quirks:
            if value:
                lose(name, "unsupported_parameter", f"{target.model} knows no penalties")
            continue
        if value > _MOST_PENALTY:
            lose(name, "clamped", f"{value} became {_MOST_PENALTY}: it must be below 2")
            value = _MOST_PENALTY
        config[wire] = value
    if sampling.seed is not None:
        if -(2**31) <= sampling.seed < 2**31:
            config["seed"] = sampling.seed
        else:
            lose("seed", "unsupported_value", "a seed has 32 bits here")
    stop = [text for text in sampling.stop if text]
    if len(stop) > _MOST_STOPS:
        lose("stop", "unsupported_value", f"only the first {_MOST_STOPS} stop sequences are sent")
    if stop:
        config["stopSequences"] = stop[:_MOST_STOPS]
    if sampling.logprobs or sampling.top_logprobs:
        if target.lacks("logprobs"):
            lose("logprobs", "unsupported_parameter", f"{target.model} gives no log probabilities")
        else:
            config["responseLogprobs"] = True
            if sampling.top_logprobs:
                config["logprobs"] = min(sampling.top_logprobs, _MOST_LOGPROBS)
    return config


def _format(request: Request, target: Target, plan: ToolPlan, system: list[str], losses: list[Loss]) -> Block:
    """The part of ``generationConfig`` that shapes the answer; adds to ``system`` what can only be asked in words."""
    format = request.output.format
    # A forced call leaves no text to be shaped, and the vendor refuses the two together.
    if format is None or format.type == "text" or plan.forced:
        return {}
    beside_tools = (plan.functions or plan.searches) and "json_with_tools" not in target.quirks
    if format.type == "json_object":
        if not beside_tools:
            return {"responseMimeType": "application/json"}
        system.append(JSON_ONLY)
        losses.append(Loss("text.format", "json_object_emulated", "asked for in words, not enforced"))
        return {}
    if beside_tools or target.lacks("json_schema"):
        text = f"{JSON_ONLY[:-1]}, valid under this JSON schema:\n{dumps(format.schema or {'type': 'object'})}"
        system.append(text)
        losses.append(Loss("text.format", "json_schema_emulated", "asked for in words, not enforced"))
        return {}
    schema = format.schema or {"type": "object"}
    if "openapi_schema" in target.quirks:
        converted, lost = openapi_schema(schema, "text.format.schema")
        losses += lost
        return {"responseMimeType": "application/json", "responseSchema": converted}
    converted, lost = answer_schema(schema, "text.format.schema")
    losses += lost
    return {"responseMimeType": "application/json", "responseJsonSchema": converted}


def _announce(request: Request, losses: list[Loss]) -> None:
    """Report the settings that have no counterpart at this vendor."""
    sampling, output = request.sampling, request.output
    absent = {
        "logit_bias": sampling.logit_bias,
        "text.verbosity": output.verbosity,
        "modalities": [each for each in output.modalities if each != "text"],
        "audio": output.audio,
        "prediction": output.prediction,
        "max_tool_calls": request.max_tool_calls,
        "user": request.user,
        "prompt_cache_retention": request.caching.retention,
        "n": request.choices if request.choices > 1 else None,
    }
    losses += [Loss(name, "unsupported_parameter", "not known to Gemini") for name, value in absent.items() if value]
    if _marked(request):
        losses.append(Loss("cache_control", "unsupported_parameter", "the vendor caches by itself"))
    for bag in request.extra.values():
        losses += [Loss(name, "unsupported_parameter", "not known to Gemini") for name in bag]


def _marked(request: Request) -> bool:
    """Whether the client set a cache mark anywhere."""
    if request.caching.control is not None:
        return True
    holders: list[Any] = [*request.instructions, *(tool for tool in request.tools if not isinstance(tool, OpaqueTool))]
    for item in request.items:
        holders += [item, *getattr(item, "parts", ())]
    return any(_has_mark(getattr(holder, "extra", {})) for holder in holders)


def _has_mark(extra: Mapping[str, Mapping[str, Any]]) -> bool:
    return any(bag.get("cache_control") for bag in extra.values())

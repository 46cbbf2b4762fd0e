"""A neutral request as the body of ``POST /model/{model}/converse-stream``. The model is in the path alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from headgate.conversation import Message, Request, Text
from headgate.losses import Loss
from headgate.protocols.contract import Target
from headgate.protocols.converse.cache_points import LIMIT, POINT, add_point, limit_points, point
from headgate.protocols.converse.families import family_of
from headgate.protocols.converse.media import needs_data
from headgate.protocols.converse.model_fields import ModelFields, write_fields, write_top_k
from headgate.protocols.converse.tools import (
    NAME_LIMIT,
    json_tool,
    json_tool_name,
    stand_ins,
    write_choice,
    write_format,
    write_tools,
)
from headgate.protocols.converse.turns import TurnWriter, has_tools, in_tool_loop_without_thinking
from headgate.protocols.history import split_leading
from headgate.protocols.names import NameMap

__all__ = ["needs_data", "reader_options", "write_request"]

Block = dict[str, Any]

JSON_ONLY = "Respond with a single JSON object and nothing else."
_METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")


def write_request(request: Request, target: Target, names: NameMap | None = None) -> tuple[Block, list[Loss]]:
    """The body and what the vendor has no place for. ``names`` is filled with the tool names as they were sent; hand
    it to the ``StreamReader`` of the answer, together with ``reader_options``. Raises GatewayError 400 for content
    that the target cannot take."""
    names = names if names is not None else NameMap(NAME_LIMIT)
    tools, losses = write_tools(request, target, names)
    leading, rest = split_leading(request.items)
    history = TurnWriter(rest, target, names, len(leading))
    losses += history.losses
    system = _write_system(request, leading, losses)
    tools, choice, output = _choose(request, target, names, tools, history.turns, losses)
    model = write_fields(
        request,
        target,
        losses,
        forced=bool(choice),
        resumed=in_tool_loop_without_thinking(history.turns),
    )
    if request.parallel_tool_calls is False and tools:
        _forbid_parallel(target, choice, model, losses)
    inference = _write_inference(request, target, model, losses)
    losses += _limit(request, target, tools, system, history.turns)
    body: Block = {}
    parts = {
        "system": system,
        "messages": history.turns,
        "inferenceConfig": inference,
        "toolConfig": {"tools": tools, **({"toolChoice": choice} if choice else {})} if tools else None,
        "outputConfig": output,
        "additionalModelRequestFields": model.fields,
        "requestMetadata": {"user": _user(request.user)} if request.user else None,
    }
    body.update({name: value for name, value in parts.items() if value})
    if "stopSequences" in inference and family_of(target) == "claude":
        # Which sequence it was is told only on request.
        body["additionalModelResponseFieldPaths"] = ["/stop_sequence"]
    _announce(request, losses)
    return body, losses


def reader_options(request: Request, target: Target) -> dict[str, Any]:
    """What the reader of the answer must know of the request: the tool that stands for structured output, if any."""
    return {"json_tool": json_tool_name(request, target)}


def _write_system(request: Request, leading: Sequence[Message], losses: list[Loss]) -> list[Block]:
    blocks: list[Block] = []
    for part in request.instructions:
        _add_system(blocks, part)
    for message in leading:
        before = len(blocks)
        for part in message.parts:
            if isinstance(part, Text):
                _add_system(blocks, part)
        if len(blocks) > before:
            add_point(blocks, message.extra)
    format = request.output.format
    if format is not None and format.type == "json_object":
        blocks.append({"text": JSON_ONLY})
        losses.append(Loss("text.format", "json_object_emulated", "asked for in words, not enforced"))
    return blocks


def _add_system(blocks: list[Block], part: Text) -> None:
    if part.text.strip():
        blocks.append({"text": part.text})
        add_point(blocks, part.extra)


def _choose(
    request: Request,
    target: Target,
    names: NameMap,
    tools: list[Block],
    turns: Sequence[Block],
    losses: list[Loss],
) -> tuple[list[Block], Block, Block]:
    """``tools``, ``toolChoice`` and ``outputConfig`` as they go out together."""
    format = request.output.format
    answer_tool = json_tool_name(request, target)
    forbidden = request.tool_choice is not None and request.tool_choice.mode == "none"
    needed = has_tools(turns)
    if format is not None and answer_tool is not None:
        losses.append(Loss("text.format", "json_schema_emulated", "the answer is the argument of a forced tool call"))
        if forbidden and not needed:
            tools = []
        others = bool(tools) and not forbidden
        # With other tools at hand the model may call one of them first, but must end with a call.
        choice: Block = {"any": {}} if others else {"tool": {"name": answer_tool}}
        return [*tools, json_tool(format, answer_tool)], choice, {}
    output: Block = {}
    if format is not None and format.type == "json_schema":
        output["textFormat"], described = write_format(format)
        losses += described
    if forbidden and tools:
        if not needed:
            return [], {}, output
        # A history with calls in it is refused without tools, and there is no word for "none".
        losses.append(Loss("tool_choice", "unsupported_parameter", "tools cannot be forbidden after calls of them"))
    if not tools and needed:
        return stand_ins(request, names), {}, output
    return tools, write_choice(request, names) if tools else {}, output


def _forbid_parallel(target: Target, choice: Block, model: ModelFields, losses: list[Loss]) -> None:
    if family_of(target) == "claude" and not choice:
        # Converse has no word for it; Claude's own is let through as long as Converse's is not there too.
        model.fields["tool_choice"] = {"type": "auto", "disable_parallel_tool_use": True}
    else:
        losses.append(Loss("parallel_tool_calls", "unsupported_parameter", "several calls cannot be ruled out"))


def _write_inference(request: Request, target: Target, model: ModelFields, losses: list[Loss]) -> Block:
    sampling = request.sampling
    given = {"temperature": sampling.temperature, "topP": sampling.top_p, "top_k": sampling.top_k}
    values: Block = {name: value for name, value in given.items() if value is not None}
    family = family_of(target)

    def drop(name: str, detail: str) -> None:
        if name in values:
            del values[name]
            losses.append(Loss({"topP": "top_p"}.get(name, name), "unsupported_parameter", detail))

    if target.lacks("sampling"):
        for name in given:
            drop(name, f"{target.model} takes no sampling parameters")
    elif model.thinks and family == "claude":
        if values.get("temperature") == 1:
            del values["temperature"]
        drop("temperature", "must be 1 while thinking")
        if values.get("topP", 1) < 0.95:
            drop("topP", "must be at least 0.95 while thinking")
        drop("top_k", "not allowed while thinking")
    elif model.thinks and model.fields.get("reasoningConfig", {}).get("maxReasoningEffort") == "high":
        for name in given:
            drop(name, "not allowed with high reasoning effort")
        if model.max_tokens is not None:
            model.max_tokens = None
            losses.append(Loss("max_tokens", "unsupported_parameter", "not allowed with high reasoning effort"))
    elif values.get("temperature", 0) > 1:
        losses.append(Loss("temperature", "clamped", f"{values['temperature']} became 1, the vendor's maximum"))
        values["temperature"] = 1
    if family == "claude" and "temperature" in values:
        # Newer Claude models refuse the two together; a top_p of 1 says nothing.
        if values.get("topP") == 1:
            del values["topP"]
        drop("topP", "not together with temperature")
    if "top_k" in values:
        own = write_top_k(values["top_k"], family)
        if own is None:
            drop("top_k", f"{target.model} has no such parameter")
        else:
            del values["top_k"]
            model.fields.update(own)
    if model.max_tokens is not None:
        values = {"maxTokens": model.max_tokens, **values}
        if model.max_tokens < (sampling.max_tokens or 0):
            detail = f"{sampling.max_tokens} became {model.max_tokens}, the most that {target.model} writes"
            losses.append(Loss("max_tokens", "clamped", detail))
    stop = [text for text in sampling.stop if text.strip()] if family == "claude" else list(sampling.stop)
    if len(stop) < len(sampling.stop):
        losses.append(Loss("stop", "unsupported_value", "stop sequences of whitespace alone are refused upstream"))
    if stop:
        values["stopSequences"] = stop
    return values


def _limit(request: Request, target: Target, tools: list[Block], system: list[Block], turns: list[Block]) -> list[Loss]:
    """Put the mark for the whole prompt in, and keep to what the model takes: a point is refused by one that does not
    cache, so an unknown model gets none."""
    caches = target.features is not None and "cache_control" in target.features
    losses: list[Loss] = []
    if caches and family_of(target) == "nova" and any(POINT in tool for tool in tools):
        tools[:] = [tool for tool in tools if POINT not in tool]
        losses.append(Loss("tools", "unsupported_parameter", f"{target.model} caches no tools by themselves"))
    last = turns[-1]["content"]
    if request.caching.control is not None and POINT not in last[-1]:
        last.append(point(request.caching.control))
    return losses + limit_points([tools, system], turns, LIMIT if caches else 0)


def _announce(request: Request, losses: list[Loss]) -> None:
    """Report the settings that have no counterpart at this vendor."""
    sampling, output = request.sampling, request.output
    absent = {
        "seed": sampling.seed is not None,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "logit_bias": sampling.logit_bias,
        "logprobs": sampling.logprobs,
        "top_logprobs": sampling.top_logprobs,
        "max_tool_calls": request.max_tool_calls,
        "text.verbosity": output.verbosity,
        "modalities": [each for each in output.modalities if each != "text"],
        "audio": output.audio,
        "prediction": output.prediction,
        "prompt_cache_retention": request.caching.retention,
        "n": request.choices > 1,
    }
    losses += [Loss(name, "unsupported_parameter", "not known to Bedrock") for name, value in absent.items() if value]


def _user(user: str) -> str:
    # The vendor takes few characters here; a digest still tells users apart in its invocation logs.
    if _METADATA.fullmatch(user):
        return user
    return hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()

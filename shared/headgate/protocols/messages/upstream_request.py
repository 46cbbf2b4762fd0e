"""A neutral request as the body of ``POST /v1/messages`` at Anthropic."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from headgate.conversation import Item, Message, Request, Text
from headgate.losses import Loss
from headgate.protocols.claude_thinking import ThinkingPlan, plan_thinking
from headgate.protocols.contract import Target
from headgate.protocols.messages.cache_marks import LIMIT, MARK, limit_marks, mark_of, normal_mark
from headgate.protocols.messages.media import needs_data
from headgate.protocols.messages.upstream_tools import (
    NAME_LIMIT,
    forces_tool,
    json_tool,
    json_tool_name,
    stand_ins,
    write_choice,
    write_format,
    write_tools,
)
from headgate.protocols.messages.upstream_turns import TurnWriter, in_tool_loop_without_thinking
from headgate.protocols.names import NameMap

__all__ = ["json_tool_name", "needs_data", "reader_options", "write_request"]

Block = dict[str, Any]

JSON_ONLY = "Respond with a single JSON object and nothing else."
_LEADING = ("system", "developer")


def write_request(request: Request, target: Target, names: NameMap | None = None) -> tuple[Block, list[Loss]]:
    """The body, always streamed, and what the vendor has no place for. ``names`` is filled with the tool names as they
    were sent; hand it to the ``StreamReader`` of the answer, together with ``json_tool_name``. Raises GatewayError 400
    for content that the target cannot take."""
    names = names if names is not None else NameMap(NAME_LIMIT)
    tools, losses = write_tools(request, target, names)
    leading = _leading(request.items)
    history = TurnWriter(request.items[len(leading) :], target, names, len(leading))
    losses += history.losses
    system = _write_system(request, leading, losses)
    choice, output = _choose(request, target, names, tools, system, losses)
    plan = plan_thinking(
        request,
        target,
        losses,
        forced=forces_tool(choice),
        resumed=in_tool_loop_without_thinking(history.turns),
    )
    if plan.effort is not None:
        output["effort"] = plan.effort
    body: Block = {"model": target.model, "max_tokens": plan.max_tokens, "stream": True}
    parts = {
        "system": system,
        "tools": tools,
        "tool_choice": choice,
        "messages": history.turns,
        "thinking": plan.thinking,
        "output_config": output,
        "metadata": {"user_id": _user_id(request.user)} if request.user else None,
    }
    body.update({name: value for name, value in parts.items() if value})
    body.update(_write_sampling(request, target, plan, losses))
    _write_marks(body, request, target, losses)
    _announce(request, losses)
    if plan.max_tokens < (request.sampling.max_tokens or 0):
        detail = f"{request.sampling.max_tokens} became {plan.max_tokens}, the most that {target.model} writes"
        losses.append(Loss("max_tokens", "clamped", detail))
    return body, losses


def _leading(items: Sequence[Item]) -> list[Message]:
    leading: list[Message] = []
    for item in items:
        if not (isinstance(item, Message) and item.role in _LEADING and all(isinstance(p, Text) for p in item.parts)):
            break
        leading.append(item)
    return leading


def _write_system(request: Request, leading: Sequence[Message], losses: list[Loss]) -> list[Block]:
    blocks = [_system_block(part) for part in request.instructions if part.text.strip()]
    for item in leading:
        own = [_system_block(part) for part in item.parts if isinstance(part, Text) and part.text.strip()]
        mark = mark_of(item.extra)
        if mark and own:
            own[-1][MARK] = mark
        blocks += own
    format = request.output.format
    if format is not None and format.type == "json_object":
        blocks.append({"type": "text", "text": JSON_ONLY})
        losses.append(Loss("text.format", "json_object_emulated", "asked for in words, not enforced"))
    return blocks


def _system_block(part: Text) -> Block:
    mark = mark_of(part.extra)
    block: Block = {"type": "text", "text": part.text}
    return {**block, MARK: mark} if mark else block


def _choose(
    request: Request, target: Target, names: NameMap, tools: list[Block], system: list[Block], losses: list[Loss]
) -> tuple[Block, Block]:
    """``tool_choice`` and ``output_config``; adds the tools that structured output or the history needs."""
    format = request.output.format
    answer_tool = json_tool_name(request, target)
    if format is not None and answer_tool is not None:
        others = bool(tools) and (request.tool_choice is None or request.tool_choice.mode != "none")
        tools.append(json_tool(format, answer_tool))
        losses.append(Loss("text.format", "json_schema_emulated", "the answer is the argument of a forced tool call"))
        # With other tools at hand the model may call one of them first, but must end with a call.
        choice: Block = {"type": "any"} if others else {"type": "tool", "name": answer_tool}
        if not others or request.parallel_tool_calls is False:
            choice["disable_parallel_tool_use"] = True
        return choice, {}
    output: Block = {}
    if format is not None and format.type == "json_schema":
        output["format"], described = write_format(format)
        losses += described
    if not tools:
        tools += stand_ins(request, names)
        return ({"type": "none"} if tools else {}), output
    return write_choice(request.tool_choice, request.parallel_tool_calls, tools, names), output


def _write_sampling(request: Request, target: Target, plan: ThinkingPlan, losses: list[Loss]) -> Block:
    sampling = request.sampling
    given = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k}
    values: Block = {name: value for name, value in given.items() if value is not None}

    def drop(name: str, detail: str) -> None:
        if name in values:
            del values[name]
            losses.append(Loss(name, "unsupported_parameter", detail))

    if target.lacks("sampling"):
        for name in given:
            drop(name, f"{target.model} takes no sampling parameters")
    elif plan.thinking is not None:
        if values.get("temperature") == 1:
            del values["temperature"]
        drop("temperature", "must be 1 while thinking")
        if values.get("top_p", 1) < 0.95:
            drop("top_p", "must be at least 0.95 while thinking")
        drop("top_k", "not allowed while thinking")
    elif "temperature" in values:
        if values["temperature"] > 1:
            losses.append(Loss("temperature", "clamped", f"{values['temperature']} became 1, the vendor's maximum"))
            values["temperature"] = 1
        # Newer models refuse the two together; a top_p of 1 says nothing.
        if values.get("top_p") == 1:
            del values["top_p"]
        drop("top_p", "not together with temperature")
    stop = [text for text in sampling.stop if text.strip()]
    if len(stop) < len(sampling.stop):
        losses.append(Loss("stop", "unsupported_value", "stop sequences of whitespace alone are refused upstream"))
    if stop:
        values["stop_sequences"] = stop
    return values


def _write_marks(body: Block, request: Request, target: Target, losses: list[Loss]) -> None:
    """Put the top-level mark in, and keep all marks within the vendor's limit."""
    control = request.caching.control
    allowed = 0 if target.lacks("cache_control") else LIMIT
    if control is not None and allowed:
        body[MARK] = normal_mark(control)
        allowed -= 1
    losses += limit_marks(body.get("tools", ()), body.get("system", ()), body["messages"], allowed=allowed)


def _announce(request: Request, losses: list[Loss]) -> None:
    """Report the settings that have no counterpart at this vendor."""
    sampling, output = request.sampling, request.output
    absent = {
        "seed": sampling.seed,
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "logit_bias": sampling.logit_bias,
        "logprobs": sampling.logprobs,
        "top_logprobs": sampling.top_logprobs,
        "text.verbosity": output.verbosity,
        "modalities": [each for each in output.modalities if each != "text"],
        "audio": output.audio,
        "prediction": output.prediction,
        "prompt_cache_retention": request.caching.retention,
        "n": request.choices if request.choices > 1 else None,
    }
    losses += [Loss(name, "unsupported_parameter", "not known to Anthropic") for name, value in absent.items() if value]


def _user_id(user: str) -> str:
    # The vendor takes at most 256 characters; a digest still tells users apart.
    return user if len(user) <= 256 else hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()


def reader_options(request: Request, target: Target) -> dict[str, Any]:
    """What the reader of the answer must know of the request: the tool that stands for structured output, if any."""
    return {"json_tool": json_tool_name(request, target)}

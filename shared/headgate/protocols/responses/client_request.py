"""A client's Responses request, read into the neutral model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.conversation import (
    Caching,
    Message,
    Output,
    OutputFormat,
    Request,
    Sampling,
    Text,
    Thinking,
)
from headgate.losses import Loss
from headgate.protocols.contract import Unseal
from headgate.protocols.responses.items import read_items, read_items_with_losses
from headgate.protocols.responses.schema_messages import canonical
from headgate.protocols.responses.tools import read_tool_choice, read_tools

__all__ = ["read_items", "read_request"]

_READ = frozenset(
    [
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_tool_calls",
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_logprobs",
        "presence_penalty",
        "frequency_penalty",
        "stop",
        "text",
        "reasoning",
        "prompt_cache_key",
        "prompt_cache_retention",
        "cache_control",
        "stream",
        "stream_options",
        "user",
        "metadata",
        "include",
        "store",
        "previous_response_id",
        "routing",
        "session_id",
        "extra_body",
        "request_context_tokens",
    ]
)
_WITHOUT_EFFECT = frozenset(
    [
        "background",
        "context_management",
        "conversation",
        "prompt",
        "safety_identifier",
        "service_tier",
        "truncation",
        "client_metadata",
    ]
)
"""Accepted for compatibility; Codex's ``client_metadata`` speaks about the client and not to the model."""


_INCLUDED = ("reasoning.encrypted_content", "message.output_text.logprobs", "web_search_call.action.sources")


def read_request(body: Mapping[str, Any], unseal: Unseal) -> tuple[Request, list[Loss]]:
    """``body`` (validated) as a Request, with a Loss for each thing that could not be taken over."""
    body = canonical(body)
    losses: list[Loss] = []
    given = body["input"]
    items = (
        [Message("user", (Text(given),))] if isinstance(given, str) else read_items_with_losses(given, unseal, losses)
    )
    choice = body.get("tool_choice")
    tool_choice = read_tool_choice(choice)
    if isinstance(choice, dict) and tool_choice is not None and tool_choice.mode == "auto" and not tool_choice.names:
        if choice.get("type") != "allowed_tools":
            losses.append(Loss("tool_choice", "unsupported_parameter", "Only the provider of this tool can force it."))
    for name in body:
        if name not in _READ and name not in _WITHOUT_EFFECT and body[name] is not None:
            losses.append(Loss(name, "unsupported_parameter", "This field has no meaning for the model that serves."))
    include: tuple[str, ...] = tuple(body.get("include") or ())
    if any(word not in _INCLUDED for word in include):
        losses.append(Loss("include", "unsupported_parameter", "Only OpenAI's own tools have more to show."))
    request = Request(
        model=body["model"],
        items=tuple(items),
        instructions=(Text(body["instructions"]),) if body.get("instructions") else (),
        tools=read_tools(body.get("tools") or ()),
        tool_choice=tool_choice,
        parallel_tool_calls=body.get("parallel_tool_calls"),
        max_tool_calls=body.get("max_tool_calls"),
        sampling=_sampling(body, include),
        output=_output(body.get("text") or {}),
        thinking=_thinking(body.get("reasoning") or {}),
        caching=Caching(body.get("prompt_cache_key"), body.get("prompt_cache_retention"), body.get("cache_control")),
        stream=bool(body.get("stream")),
        user=body.get("user"),
        metadata=body.get("metadata"),
    )
    return request, losses


def _sampling(body: Mapping[str, Any], include: tuple[str, ...]) -> Sampling:
    top = body.get("top_logprobs")
    stop = body.get("stop") or ()
    return Sampling(
        max_tokens=body.get("max_output_tokens"),
        temperature=body.get("temperature"),
        top_p=body.get("top_p"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        frequency_penalty=body.get("frequency_penalty"),
        presence_penalty=body.get("presence_penalty"),
        logprobs=True if top or "message.output_text.logprobs" in include else None,
        top_logprobs=top,
    )


def _output(text: Mapping[str, Any]) -> Output:
    shape: Mapping[str, Any] = text.get("format") or {}
    kind = shape.get("type")
    if kind is None:
        return Output(verbosity=text.get("verbosity"))
    return Output(
        OutputFormat(
            kind,
            schema=shape.get("schema"),
            name=shape.get("name"),
            description=shape.get("description"),
            strict=shape.get("strict"),
        ),
        verbosity=text.get("verbosity"),
    )


def _thinking(reasoning: Mapping[str, Any]) -> Thinking:
    return Thinking(
        effort=reasoning.get("effort"), summary=reasoning.get("summary") or reasoning.get("generate_summary")
    )

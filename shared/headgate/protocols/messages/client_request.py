"""A client's Messages request as the neutral ``Request``.

Blocks become items in block order: a user turn of tool results and text becomes ``ToolResult`` items and a
``Message``, an assistant turn of thinking, text and calls becomes ``Reasoning``, ``Message`` and ``ToolCall``. A
``cache_control`` stays on the part or item that it marked, in ``extra["messages"]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.conversation import (
    Caching,
    Item,
    Output,
    OutputFormat,
    Request,
    Sampling,
    Text,
    Thinking,
    ToolChoice,
    ToolKind,
)
from headgate.errors import unsupported
from headgate.losses import Loss
from headgate.protocols.contract import Unseal
from headgate.protocols.messages.client_blocks import TurnReader, read_text
from headgate.protocols.messages.client_tools import read_tool
from headgate.protocols.messages.schema import is_cache_warm_up

# Fields that are read into the request, that only routing reads, or that change nothing in the answer.
_UNDERSTOOD = frozenset(
    (
        *(
            "model",
            "messages",
            "max_tokens",
            "system",
            "tools",
            "tool_choice",
            "stream",
            "temperature",
            "top_p",
            "top_k",
        ),
        *("stop_sequences", "thinking", "output_config", "output_format", "metadata", "cache_control", "provider"),
        *(
            "thread",
            "routing",
            "session_id",
            "extra_body",
            "request_context_tokens",
            "service_tier",
            "diagnostics",
            "betas",
            "user_profile_id",
            "workspace_id",
        ),
    )
)


def read_request(body: Mapping[str, Any], unseal: Unseal) -> tuple[Request, list[Loss]]:
    """The request in ``body`` (validated) and what of it another vendor's API has no place for."""
    if is_cache_warm_up(body):
        raise unsupported("max_tokens: 0 (filling the prompt cache) is only possible at Anthropic.", param="max_tokens")
    losses: list[Loss] = []
    tools = tuple(read_tool(tool) for tool in body.get("tools") or ())
    choice = body.get("tool_choice") or {}
    sequential = choice.get("disable_parallel_tool_use")
    unknown = {name: value for name, value in body.items() if name not in _UNDERSTOOD and value is not None}
    for name, value in unknown.items():
        if value not in ([], {}, "standard"):
            losses.append(Loss(name, "unsupported_parameter", f"{name} has a meaning only at Anthropic"))
    extra = {**unknown, **{name: body[name] for name in ("provider", "service_tier") if body.get(name) is not None}}
    output_config = body.get("output_config") or {}
    if output_config.get("task_budget") is not None:
        losses.append(Loss("output_config.task_budget", "unsupported_parameter"))
    request = Request(
        model=body.get("model") or "auto",
        items=tuple(_read_turns(body.get("messages") or (), unseal, losses)),
        instructions=_read_system(body.get("system")),
        tools=tools,
        tool_choice=_read_choice(choice, body.get("tools") or ()),
        parallel_tool_calls=None if sequential is None else not sequential,
        sampling=Sampling(
            max_tokens=body.get("max_tokens"),
            temperature=body.get("temperature"),
            top_p=body.get("top_p"),
            top_k=body.get("top_k"),
            stop=tuple(body.get("stop_sequences") or ()),
        ),
        output=Output(format=_read_format(output_config.get("format") or body.get("output_format"))),
        thinking=_read_thinking(body.get("thinking") or {}, output_config, losses),
        caching=Caching(control=body.get("cache_control")),
        stream=bool(body.get("stream")),
        user=(body.get("metadata") or {}).get("user_id"),
        extra={"messages": extra} if extra else {},
    )
    return request, losses


def read_items(items: Sequence[Mapping[str, Any]], unseal: Unseal) -> list[Item]:
    """The items in a list of Messages turns; also for a stored history."""
    return _read_turns(items, unseal, [])


def _read_turns(turns: Sequence[Mapping[str, Any]], unseal: Unseal, losses: list[Loss]) -> list[Item]:
    items: list[Item] = []
    for index, turn in enumerate(turns):
        items += TurnReader(turn["role"], f"messages[{index}]", unseal, losses).read(turn)
    return items


def _read_system(system: Any) -> tuple[Text, ...]:
    if not system:
        return ()
    if isinstance(system, str):
        return (Text(system),)
    return tuple(read_text(block) for block in system)


def _read_choice(choice: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]) -> ToolChoice | None:
    match choice.get("type"):
        case "auto":
            return ToolChoice("auto")
        case "any":
            return ToolChoice("required")
        case "none":
            return ToolChoice("none")
        case "tool":
            name = choice["name"]
            kind: ToolKind = "function"
            if any(tool.get("name") == name and _is_search(tool) for tool in tools):
                kind = "web_search"
            return ToolChoice("named", ((kind, name),))
        case _:
            return None


def _is_search(tool: Mapping[str, Any]) -> bool:
    return str(tool.get("type")).startswith("web_search_")


def _read_format(format: Mapping[str, Any] | None) -> OutputFormat | None:
    return OutputFormat("json_schema", schema=format["schema"], name=format.get("name")) if format else None


def _read_thinking(thinking: Mapping[str, Any], output_config: Mapping[str, Any], losses: list[Loss]) -> Thinking:
    mode = thinking.get("type")
    if mode == "between_tools":
        losses.append(Loss("thinking.type", "unsupported_parameter", "thinking only between tool calls is Anthropic's"))
        mode = "adaptive"
    return Thinking(
        mode=mode,
        effort=output_config.get("effort"),
        budget=thinking.get("budget_tokens"),
        display=thinking.get("display"),
    )

"""The response object around the output: what the API echoes of the request, with its defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.protocols.contract import Reply
from headgate.protocols.responses.schema_messages import canonical
from headgate.protocols.responses.usage import write_usage
from headgate.usage import Usage, dollars


def echo(body: Mapping[str, Any]) -> dict[str, Any]:
    """The request's fields as a response object repeats them. Every nullable key is there; where the schema of the
    object does not allow null, a null of the client's becomes the default."""
    body = canonical(body)
    reasoning: Mapping[str, Any] = body.get("reasoning") or {}
    retention = body.get("prompt_cache_retention")
    return {
        "background": _or(body, "background", False),
        "conversation": _conversation(body.get("conversation")),
        "frequency_penalty": _or(body, "frequency_penalty", 0),
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "metadata": _or(body, "metadata", {}),
        "parallel_tool_calls": _or(body, "parallel_tool_calls", True),
        "presence_penalty": _or(body, "presence_penalty", 0),
        "previous_response_id": body.get("previous_response_id"),
        "prompt": body.get("prompt"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        # The vendor renamed its own value; its types know the new spelling only.
        "prompt_cache_retention": "in_memory" if retention == "in-memory" else retention,
        "reasoning": {
            **reasoning,
            "effort": reasoning.get("effort"),
            "summary": reasoning.get("summary") or reasoning.get("generate_summary"),
        },
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": _or(body, "service_tier", "default"),
        "store": _or(body, "store", True),
        "temperature": _or(body, "temperature", 1),
        "text": _text(body.get("text") or {}),
        "tool_choice": _or(body, "tool_choice", "auto"),
        "tools": [_tool(tool) for tool in body.get("tools") or ()],
        "top_logprobs": _or(body, "top_logprobs", 0),
        "top_p": _or(body, "top_p", 1),
        "truncation": _or(body, "truncation", "disabled"),
        "user": body.get("user"),
    }


def money(usage: Usage | None, reply: Reply) -> dict[str, Any]:
    """``usage`` and ``cost``: null until they are known. ``cost.total`` is null for a model without a price."""
    if usage is None:
        return {"usage": None, "cost": None}
    pico = reply.price(usage)
    return {"usage": write_usage(usage), "cost": {"total": None if pico is None else dollars(pico)}}


def namespaces(body: Mapping[str, Any]) -> dict[str, str]:
    """Tool name to namespace, for names that stand in one namespace only and not beside them."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for tool in body.get("tools") or ():
        if tool.get("type") != "namespace":
            taken.add(str(tool.get("name")))
            continue
        for inner in tool["tools"]:
            if found.setdefault(inner["name"], tool["name"]) != tool["name"]:
                taken.add(inner["name"])
    return {name: space for name, space in found.items() if name not in taken}


def _or(body: Mapping[str, Any], name: str, default: Any) -> Any:
    value = body.get(name)
    return default if value is None else value


def _conversation(given: Any) -> dict[str, Any] | None:
    return {"id": given} if isinstance(given, str) else given


def _text(text: Mapping[str, Any]) -> dict[str, Any]:
    shape: Mapping[str, Any] = text.get("format") or {"type": "text"}
    if shape.get("type") == "json_schema":
        shape = {
            "type": "json_schema",
            "description": shape.get("description"),
            "name": shape["name"],
            "schema": shape["schema"],
            "strict": bool(shape.get("strict")),
        }
    said = {name: value for name, value in text.items() if value is not None}
    return {**said, "format": shape}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    match tool.get("type"):
        case "function":
            strict = tool.get("strict")
            return {
                **tool,
                "description": tool.get("description"),
                "parameters": tool.get("parameters"),
                "strict": True if strict is None else strict,
            }
        case "namespace":
            inner = [_tool(one) for one in tool["tools"]]
            return {**tool, "description": tool.get("description") or "", "tools": inner}
        case _:
            return dict(tool)

"""A body of Mistral's API: its shape, the order of its messages, and the same in OpenAI's terms."""

from __future__ import annotations

import re
from typing import Any

from ..openai_common import Refused
from ..shapes import (
    Check,
    anything,
    array,
    boolean,
    choice,
    either,
    integer,
    nullable,
    number,
    record,
    string,
    tagged,
)

_OBJECT = record({}, free=True)
_TEXT = record({"type": anything, "text": string()}, ("text",))
_IMAGE = either(
    "a valid string or object",
    {str: string(), dict: record({"url": string(), "detail": nullable(choice("auto", "low", "high"))}, ("url",))},
)
_PARTS: dict[str, Check] = {
    "text": _TEXT,
    "image_url": record({"type": anything, "image_url": _IMAGE}, ("image_url",)),
    "document_url": record(
        {"type": anything, "document_url": string(), "document_name": nullable(string())}, ("document_url",)
    ),
    "file": record({"type": anything, "file_id": string()}, ("file_id",)),
    "input_audio": record({"type": anything, "input_audio": string()}, ("input_audio",)),
    "thinking": record(
        {
            "type": anything,
            "thinking": array(tagged({"text": _TEXT})),
            "closed": boolean,
            "signature": nullable(string()),
        },
        ("thinking",),
    ),
}


def _content(*names: str, empty: bool = False) -> Check:
    kinds: dict[type, Check] = {str: string(), list: array(tagged({name: _PARTS[name] for name in names}))}
    if empty:
        kinds[type(None)] = anything
    return either("a valid string or list", kinds)


_CALL = record(
    {
        "id": string(),
        "type": string(),
        "index": integer(),
        "function": record(
            {"name": string(), "arguments": either("a valid string or dictionary", {str: string(), dict: _OBJECT})},
            ("name", "arguments"),
        ),
    },
    ("function",),
)
_MESSAGE = tagged(
    {
        "system": record({"role": anything, "content": _content("text", "thinking")}, ("content",)),
        "user": record(
            {"role": anything, "content": _content("text", "image_url", "document_url", "file", "input_audio")},
            ("content",),
        ),
        "assistant": record(
            {
                "role": anything,
                "content": _content("text", "thinking", empty=True),
                "tool_calls": nullable(array(_CALL)),
                "prefix": boolean,
            }
        ),
        "tool": record(
            {
                "role": anything,
                "content": _content("text", empty=True),
                "tool_call_id": nullable(string()),
                "name": nullable(string()),
            },
            ("content",),
        ),
    },
    key="role",
)
_FUNCTION = record(
    {"name": string(), "description": nullable(string()), "parameters": _OBJECT, "strict": boolean},
    ("name", "parameters"),
)
_SCHEMA = record(
    {"name": string(), "schema": _OBJECT, "description": nullable(string()), "strict": boolean}, ("name", "schema")
)
CREATE = record(
    {
        "model": string(),
        "messages": array(_MESSAGE, least=1),
        "temperature": nullable(number(0, 1.5)),
        "top_p": nullable(number(0, 1)),
        "top_k": nullable(integer(1)),
        "max_tokens": nullable(integer(0)),
        "min_tokens": nullable(integer(0)),
        "stream": boolean,
        "stop": nullable(either("a valid string or list", {str: string(), list: array(string(), of="strings")})),
        "random_seed": nullable(integer(0)),
        "metadata": nullable(_OBJECT),
        "response_format": record(
            {"type": choice("text", "json_object", "json_schema"), "json_schema": nullable(_SCHEMA)}
        ),
        "tools": nullable(array(record({"type": choice("function"), "function": _FUNCTION}, ("function",)))),
        "tool_choice": either(
            "a valid string or object",
            {
                str: choice("auto", "none", "any", "required"),
                dict: record({"type": string(), "function": record({"name": string()}, ("name",))}, ("function",)),
            },
        ),
        "presence_penalty": nullable(number(-2, 2)),
        "frequency_penalty": nullable(number(-2, 2)),
        "repetition_penalty": nullable(number(0)),
        "logprobs": nullable(boolean),
        "top_logprobs": nullable(integer(0)),
        "prompt_logprobs": nullable(boolean),
        "top_prompt_logprobs": nullable(integer(0)),
        "n": nullable(integer(1)),
        "prediction": nullable(record({"type": choice("content"), "content": string()})),
        "parallel_tool_calls": boolean,
        "reasoning_effort": nullable(choice("none", "minimal", "low", "medium", "high", "xhigh", "max")),
        "prompt_mode": nullable(choice("reasoning")),
        "guardrails": nullable(array(_OBJECT)),
        "prompt_cache_key": nullable(string()),
        "service_tier": nullable(choice("auto", "standard_only")),
        "safe_prompt": boolean,
    },
    ("model", "messages"),
)

_NINE = re.compile(r"^[a-zA-Z0-9]{9}$")
_FOLLOWS = {
    "system": ("user", "assistant", "system"),
    "user": ("assistant", "system", "user"),
    "assistant": ("assistant", "user", "tool"),
    "tool": ("assistant", "tool"),
}
# What has no counterpart at OpenAI and no effect on what a simulation says.
_DROPPED = (
    "top_k",
    "min_tokens",
    "metadata",
    "repetition_penalty",
    "prompt_logprobs",
    "top_prompt_logprobs",
    "prompt_mode",
    "guardrails",
    "service_tier",
    "safe_prompt",
)


def in_openais_terms(body: dict[str, Any]) -> dict[str, Any]:
    """A body of the right shape as OpenAI would be sent it. Raises Refused for what its meaning forbids."""
    _check_order(body["messages"])
    made = {name: value for name, value in body.items() if name not in _DROPPED and value is not None}
    made["messages"] = [_message(message) for message in body["messages"]]
    if "random_seed" in made:
        made["seed"] = made.pop("random_seed")
    if made.get("max_tokens") == 0:
        del made["max_tokens"]
    if made.get("tool_choice") == "any":
        made["tool_choice"] = "required"
    elif isinstance(made.get("tool_choice"), dict):
        made["tool_choice"] = {"type": "function", **made["tool_choice"]}
    if not made.get("tools"):
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            made.pop(name, None)
    stop = made.get("stop")
    if isinstance(stop, list):
        made["stop"] = stop[:4]
    return made


def _order(text: str) -> Refused:
    return Refused(400, text, "3230", type="invalid_request_message_order")


def _check_order(messages: list[dict[str, Any]]) -> None:
    before, waiting = None, 0
    for message in messages:
        role = message["role"]
        if before is not None and role not in _FOLLOWS[before]:
            raise _order(f"Unexpected role '{role}' after role '{before}'")
        if role == "tool":
            waiting -= 1
            _check_id(message.get("tool_call_id"))
        elif role == "assistant":
            if waiting:
                raise _order("Not the same number of function calls and responses")
            waiting = len(message.get("tool_calls") or [])
            for call in message.get("tool_calls") or []:
                _check_id(call.get("id"))
            if not message.get("content") and not waiting:
                text = "Assistant message must have either content or tool_calls, but not none."
                raise Refused(400, text, "3240", type="invalid_request_assistant_message")
        before = role
    if waiting:
        raise _order("Not the same number of function calls and responses")
    last = messages[-1]
    if last["role"] == "assistant" and not last.get("prefix"):
        raise _order("Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant")
    if last["role"] == "system" and len(messages) > 1:
        raise _order("Expected last role User or Tool (or Assistant with prefix True) for serving but got system")


def _check_id(call_id: Any) -> None:
    if not _NINE.match(str(call_id)):
        text = f"Tool call id was {call_id} but must be a-z, A-Z, 0-9, with a length of 9."
        raise Refused(400, text, "3280", type="invalid_function_call")


def _message(message: dict[str, Any]) -> dict[str, Any]:
    made = {name: value for name, value in message.items() if name not in ("prefix", "name")}
    content = message.get("content")
    if message["role"] == "assistant":
        parts = content if isinstance(content, list) else []
        thoughts = [piece["text"] for part in parts if part["type"] == "thinking" for piece in part["thinking"]]
        if parts:
            made["content"] = "".join(part["text"] for part in parts if part["type"] == "text") or None
        if thoughts:
            made["reasoning_content"] = "".join(thoughts)
        if message.get("tool_calls"):
            made["tool_calls"] = [{**call, "type": "function"} for call in message["tool_calls"]]
        else:
            made.pop("tool_calls", None)
            made["content"] = made.get("content") or ""
    elif isinstance(content, list):
        made["content"] = [_part(part) for part in content]
    elif content is None:
        made["content"] = ""
    return made


def _part(part: dict[str, Any]) -> dict[str, Any]:
    match part["type"]:
        case "image_url":
            image = part["image_url"]
            return {"type": "image_url", "image_url": {"url": image} if isinstance(image, str) else image}
        case "document_url":
            url, name = part["document_url"], part.get("document_name")
            where = {"file_data": url} if url.startswith("data:") else {"file_id": url}
            return {"type": "file", "file": {"filename": name, **where}}
        case "file":
            return {"type": "file", "file": {"file_id": part["file_id"]}}
        case "input_audio":
            return {"type": "input_audio", "input_audio": {"data": part["input_audio"], "format": "mp3"}}
        case _:
            return {"type": "text", "text": part["text"]}

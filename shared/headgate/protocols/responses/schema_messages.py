"""Chat-style ``messages`` in place of ``input``, and ``response_format`` in place of ``text.format``: accepted because
clients that move from Chat Completions send them. Checked here, rewritten to the API's own form for everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headgate.protocols.responses.checks import array, mapping, missing, one_of, tag, wrong_type, wrong_value
from headgate.protocols.responses.schema_items import ROLES, check_image_url, check_items

_CHAT_ROLES = (*ROLES, "tool")


def check_chat_messages(messages: Sequence[Any]) -> None:
    """Refuse ``messages`` that cannot be read as input items. Raises GatewayError 400."""
    if not messages:
        raise wrong_value("messages", "expected at least one message.")
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        mapping(message, path)
        if "role" not in message:
            raise missing(f"{path}.role")
        one_of(f"{path}.role", message["role"], _CHAT_ROLES)
        _check_calls(message, path)
        content = message.get("content")
        if content is None:
            if not message.get("tool_calls"):
                raise missing(f"{path}.content")
            continue
        if isinstance(content, list):
            for at, part in enumerate(content):
                _check_image_part(part, f"{path}.content[{at}]")
        elif not isinstance(content, str):
            raise wrong_type(f"{path}.content", "a string or an array of content parts", content)
    # What remains is the items' own business; the numbering differs only where a message became several items.
    check_items(messages_to_items(messages), "messages")


def canonical(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """``body`` with ``input`` and ``text.format`` in the API's own form; ``body`` itself where it is so already."""
    chat_input = body.get("input") is None and body.get("messages") is not None
    chat_format = body.get("response_format") is not None
    if not chat_input and not chat_format:
        return body
    own = {key: value for key, value in body.items() if key not in ("messages", "response_format")}
    if chat_input:
        own["input"] = messages_to_items(body["messages"])
    elif "messages" in body:
        own["messages"] = body["messages"]
    text: Mapping[str, Any] = body.get("text") or {}
    if chat_format and text.get("format") is None:
        own["text"] = {**text, "format": _format(body["response_format"])}
    return own


def messages_to_items(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Chat messages as input items: tool calls and tool results become items of their own."""
    items: list[dict[str, Any]] = []
    for message in messages:
        role, content = message["role"], message.get("content")
        if role == "tool":
            output = [_part(part, role) for part in content] if isinstance(content, list) else content
            items.append({"type": "function_call_output", "call_id": message["tool_call_id"], "output": output})
            continue
        if content is not None:
            parts = [_part(part, role) for part in content] if isinstance(content, list) else content
            items.append({"type": "message", "role": role, "content": parts})
        for call in message.get("tool_calls") or ():
            function = call["function"]
            items.append(
                {
                    "type": "function_call",
                    "call_id": call["id"],
                    "name": function["name"],
                    "arguments": function["arguments"],
                }
            )
    return items


def _part(part: Mapping[str, Any], role: str) -> dict[str, Any]:
    match part.get("type"):
        case "text":
            return {**part, "type": "output_text" if role == "assistant" else "input_text"}
        case "image_url":
            image = part["image_url"]
            detail = {"detail": image["detail"]} if image.get("detail") else {}
            return {"type": "input_image", "image_url": image["url"], **detail}
        case "file":
            return {"type": "input_file", **part["file"]}
        case _:
            return dict(part)


def _format(shape: Mapping[str, Any]) -> dict[str, Any]:
    inner = shape.get("json_schema")
    return {"type": shape["type"], **inner} if isinstance(inner, dict) else dict(shape)


def _check_calls(message: Mapping[str, Any], path: str) -> None:
    if message["role"] == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise missing(f"{path}.tool_call_id")
    for index, call in enumerate(array(message.get("tool_calls") or [], f"{path}.tool_calls")):
        place = f"{path}.tool_calls[{index}]"
        if not isinstance(mapping(call, place).get("id"), str):
            raise missing(f"{place}.id")
        function = mapping(call.get("function"), f"{place}.function")
        for name in ("name", "arguments"):
            if not isinstance(function.get(name), str):
                raise missing(f"{place}.function.{name}")


def _check_image_part(part: Any, path: str) -> None:
    kind = tag(mapping(part, path), path)
    if kind == "image_url":
        image = mapping(part.get("image_url"), f"{path}.image_url")
        if not isinstance(image.get("url"), str):
            raise missing(f"{path}.image_url.url")
        check_image_url(image["url"], f"{path}.image_url.url")
    elif kind == "file":
        mapping(part.get("file"), f"{path}.file")

"""The translator that gives Hugging Face's chats the form of Responses.

Its validator knows a part of the protocol and passes over the rest. What it makes of an answer: thoughts in full, a
usage of zero, every end a completed one, the first item's place for each announced message, frames without the line
that names the event.
"""

from __future__ import annotations

from typing import Any

from ..openai_common import Refused

_KNOWN = (
    "model", "input", "instructions", "max_output_tokens", "metadata", "reasoning", "stream", "temperature", "text",
    "tool_choice", "tools", "top_p",
)  # fmt: skip
_ROLES = ("user", "assistant", "system", "developer")
_PARTS = ("input_text", "input_image", "output_text", "refusal")
_NOTHING = {
    "input_tokens": 0,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 0,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 0,
}
_EVENTS = {
    "response.reasoning_summary_part.added": "response.content_part.added",
    "response.reasoning_summary_part.done": "response.content_part.done",
    "response.reasoning_summary_text.delta": "response.reasoning_text.delta",
    "response.reasoning_summary_text.done": "response.reasoning_text.done",
    "response.incomplete": "response.completed",
}


class Invalid(Refused):
    """What the validator found: ``found`` is its list."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(400, message)
        self.found = [{"code": "invalid_type", "path": list(path), "message": message}]


def terms(body: dict[str, Any]) -> dict[str, Any]:
    """The body in OpenAI's terms. Raises Invalid, Refused."""
    kept = {name: value for name, value in body.items() if name in _KNOWN and value is not None}
    if not isinstance(kept.get("input"), str | list):
        raise Invalid("Required", "input")
    reasoning = kept.get("reasoning") or {}
    if reasoning.get("effort") not in (None, "low", "medium", "high"):
        raise Invalid("Invalid enum value. Expected 'low' | 'medium' | 'high'", "reasoning", "effort")
    if reasoning.get("summary") not in (None, "auto"):
        text = f"Not implemented: only 'auto' summary is supported. Got '{reasoning['summary']}'"
        raise Refused(400, text)
    # Thoughts come in full; a summary asks OpenAI's module to tell them.
    kept["reasoning"] = {"summary": "auto", **({"effort": reasoning["effort"]} if reasoning.get("effort") else {})}
    kept["store"] = False
    if isinstance(kept["input"], list):
        items = [_item(item, index) for index, item in enumerate(kept["input"])]
        kept["input"] = [item for item in items if item.get("role") != "developer"]
    kept["tools"] = [_tool(tool, index) for index, tool in enumerate(kept.get("tools") or ())]
    choice = kept.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") != "function":
        raise Invalid("Invalid input", "tool_choice")
    form = (kept.get("text") or {}).get("format")
    if form:
        kept["text"] = {"format": {**form, "strict": False} if form.get("type") == "json_schema" else form}
    else:
        kept.pop("text", None)
    return kept


def _item(item: Any, index: int) -> dict[str, Any]:
    kind = item.get("type", "message") if isinstance(item, dict) else None
    if kind == "function_call_output" and isinstance(item.get("output"), str):
        return {name: item[name] for name in ("type", "call_id", "output")}
    if kind == "function_call":
        return {name: item[name] for name in ("type", "call_id", "name", "arguments")}
    if kind == "message" and item.get("role") in _ROLES:
        content = item.get("content")
        parts = content if isinstance(content, list) else []
        if all(isinstance(part, dict) and part.get("type") in _PARTS for part in parts):
            return {"type": "message", "role": item["role"], "content": content}
    raise Invalid("Invalid input", "input", index)


def _tool(tool: Any, index: int) -> dict[str, Any]:
    if not isinstance(tool, dict) or tool.get("type") != "function" or not isinstance(tool.get("parameters"), dict):
        raise Invalid("Invalid input", "tools", index)
    names = ("type", "name", "description", "parameters")
    return {"strict": False, **{name: tool[name] for name in names if name in tool}}


def _shown(item: dict[str, Any]) -> dict[str, Any]:
    if item["type"] != "reasoning":
        return item
    content = [{"type": "reasoning_text", "text": part["text"]} for part in item["summary"]]
    return {"status": "completed", **item, "content": content, "summary": []}


def response(value: dict[str, Any], answer: Any) -> dict[str, Any]:
    """The response object."""
    names = (
        "created_at", "error", "id", "instructions", "max_output_tokens", "metadata", "model", "object", "tool_choice",
        "tools", "temperature", "top_p", "text",
    )  # fmt: skip
    status = "completed" if value["status"] == "incomplete" else value["status"]
    output = [_shown(item) for item in value["output"]]
    return {
        **{name: value[name] for name in names},
        "model": answer.body["model"],
        "status": status,
        "output": output,
        "usage": _NOTHING,
    }


def event(value: dict[str, Any], answer: Any) -> dict[str, Any]:
    """One event of the stream."""
    value.pop("obfuscation", None)
    kind = value["type"]
    value["type"] = _EVENTS.get(kind, kind)
    if "summary_index" in value:
        value["content_index"] = value.pop("summary_index")
    part = value.get("part")
    if isinstance(part, dict) and part.get("type") == "summary_text":
        value["part"] = {**part, "type": "reasoning_text"}
    if isinstance(value.get("item"), dict):
        if kind == "response.output_item.added":
            value["item"] = {"status": "in_progress", **value["item"]}
        value["item"] = _shown(value["item"])
        if kind == "response.output_item.added" and value["item"]["type"] in ("message", "reasoning"):
            value["output_index"] = 0
    return value

"""The shape of a body of Anthropic's Messages API, and its neutral reading. Rules between fields: messages_rules.py."""

from __future__ import annotations

import json
from typing import Any

from . import anthropic_common as anthropic
from .reading import Heard, Item, Tool, media_label
from .shapes import (
    Check,
    Path,
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
_MARK = nullable(tagged({"ephemeral": record({"type": anything, "ttl": nullable(choice("5m", "1h"))})}))
_ID = string(pattern=r"^[a-zA-Z0-9_-]+$")
_NAME = r"^[a-zA-Z0-9_-]{1,128}$"
_B64 = ("type", "media_type", "data")


def _block(fields: dict[str, Check], required: tuple[str, ...]) -> Check:
    return record({"type": anything, "cache_control": _MARK, **fields}, required)


def _source(kinds: tuple[str, ...], *more: tuple[str, Check]) -> Check:
    return tagged(
        {
            "base64": record({"type": anything, "media_type": choice(*kinds), "data": string(shortest=1)}, _B64),
            "url": record({"type": anything, "url": string(shortest=1)}, ("url",)),
            "file": record({"type": anything, "file_id": string()}, ("file_id",)),
            **dict(more),
        }
    )


_TEXT = _block({"text": string(), "citations": nullable(array(_OBJECT))}, ("text",))
_IMAGE = _block(
    {
        "source": _source(("image/jpeg", "image/png", "image/gif", "image/webp")),
        "transformations": nullable(_OBJECT),
    },
    ("source",),
)
_DOCUMENT = _block(
    {
        "source": _source(
            ("application/pdf",),
            ("text", record({"type": anything, "media_type": choice("text/plain"), "data": string()}, _B64)),
            ("content", record({"type": anything, "content": anything}, ("content",))),
        ),
        "title": nullable(string()),
        "context": nullable(string()),
        "citations": nullable(record({"enabled": boolean})),
    },
    ("source",),
)
_SEARCH_RESULT = _block(
    {"source": string(), "title": string(), "content": array(_OBJECT), "citations": nullable(_OBJECT)},
    ("source", "title", "content"),
)
_RESULT_PARTS = tagged(
    {
        "text": _TEXT,
        "image": _IMAGE,
        "document": _DOCUMENT,
        "search_result": _SEARCH_RESULT,
        "tool_reference": _OBJECT,
        "browser_state": _OBJECT,
    }
)
_BLOCKS: dict[str, Check] = {
    "text": _TEXT,
    "image": _IMAGE,
    "document": _DOCUMENT,
    "search_result": _SEARCH_RESULT,
    "thinking": record({"type": anything, "thinking": string(), "signature": string()}, ("thinking", "signature")),
    "redacted_thinking": record({"type": anything, "data": string()}, ("data",)),
    "tool_use": _block(
        {
            "id": _ID,
            "name": string(shortest=1, longest=200),
            "input": _OBJECT,
            "caller": nullable(_OBJECT),
            "toolset_name": nullable(string()),
        },
        ("id", "name", "input"),
    ),
    "tool_result": _block(
        {
            "tool_use_id": _ID,
            "content": either("a valid list", {str: string(), list: array(_RESULT_PARTS)}),
            "is_error": nullable(boolean),
            "toolset_name": nullable(string()),
        },
        ("tool_use_id",),
    ),
    "server_tool_use": _block(
        {"id": _ID, "name": string(), "input": _OBJECT, "caller": nullable(_OBJECT)}, ("id", "name", "input")
    ),
    "web_search_tool_result": _block(
        {"tool_use_id": _ID, "content": anything, "caller": nullable(_OBJECT)}, ("tool_use_id", "content")
    ),
    **dict.fromkeys(
        [
            "web_fetch_tool_result",
            "code_execution_tool_result",
            "bash_code_execution_tool_result",
            "container_upload",
            "text_editor_code_execution_tool_result",
            "tool_search_tool_result",
            "mcp_tool_use",
            "mcp_tool_result",
            "compaction",
        ],
        _OBJECT,
    ),
}


def _turn(parts: dict[str, Check], **more: Check) -> Check:
    content = either("a valid list", {str: string(), list: array(tagged(parts))})
    return record({"role": choice("user", "assistant", "system"), "content": content, **more}, ("role", "content"))


_TURN = _turn(_BLOCKS)
_SYSTEM_TURN = _turn({"text": _TEXT}, output_config=_OBJECT)


def _message(value: Any, path: Path) -> None:
    system = isinstance(value, dict) and value.get("role") == "system"
    (_SYSTEM_TURN if system else _TURN)(value, path)


_CUSTOM = record(
    {
        "type": nullable(anything),
        "name": string(pattern=_NAME),
        "description": nullable(string()),
        "input_schema": record({"type": choice("object")}, ("type",), free=True),
        "cache_control": _MARK,
        "strict": nullable(boolean),
        "defer_loading": nullable(boolean),
        "eager_input_streaming": nullable(boolean),
        "input_examples": nullable(array(_OBJECT)),
        "allowed_callers": nullable(array(string(), of="strings")),
    },
    ("name", "input_schema"),
)
_HOSTED = [
    "bash_20250124",
    "code_execution_20250522",
    "code_execution_20250825",
    "code_execution_20260120",
    "code_execution_20260521",
    "memory_20250818",
    "text_editor_20250124",
    "text_editor_20250429",
    "text_editor_20250728",
    "web_search_20250305",
    "web_search_20260209",
    "web_search_20260318",
    "web_fetch_20250910",
    "web_fetch_20260209",
    "web_fetch_20260309",
    "web_fetch_20260318",
    "tool_search_tool_bm25_20251119",
    "tool_search_tool_regex_20251119",
    "browser_toolset_20260801",
    "computer_toolset_20260801",
]
_TOOLS = tagged({"custom": _CUSTOM, **dict.fromkeys(_HOSTED, _OBJECT)}, default="custom")


def _tool(value: Any, path: Path) -> None:
    # An explicit null type means the same as none.
    _TOOLS({**value, "type": value.get("type") or "custom"} if isinstance(value, dict) else value, path)


_DISPLAY = nullable(choice("summarized", "omitted", "updates"))
_EFFORT = nullable(choice("low", "medium", "high", "xhigh", "max"))
_SERIAL = {"disable_parallel_tool_use": nullable(boolean), "type": anything}
_FIELDS: dict[str, Check] = {
    "model": string(shortest=1),
    "messages": array(_message, most=100_000),
    "max_tokens": integer(0),
    "cache_control": _MARK,
    "container": anything,
    "diagnostics": nullable(record({"previous_message_id": nullable(string())})),
    "inference_geo": nullable(string()),
    "metadata": nullable(record({"user_id": nullable(string(longest=512))})),
    "output_config": nullable(
        record(
            {
                "effort": _EFFORT,
                "format": nullable(tagged({"json_schema": record({"type": anything, "schema": _OBJECT}, ("schema",))})),
            }
        )
    ),
    "service_tier": nullable(choice("auto", "standard_only")),
    "speed": nullable(choice("standard", "fast")),
    "stop_sequences": nullable(array(string(), of="strings")),
    "stream": nullable(boolean),
    "system": nullable(either("a valid list", {str: string(), list: array(tagged({"text": _TEXT}))})),
    "temperature": nullable(number(0, 1)),
    "top_p": nullable(number(0, 1)),
    "top_k": nullable(integer(0)),
    "thinking": nullable(
        tagged(
            {
                "enabled": record(
                    {"type": anything, "budget_tokens": integer(1024), "display": _DISPLAY}, ("budget_tokens",)
                ),
                "disabled": record({"type": anything}),
                "between_tools": record({"type": anything}),
                "adaptive": record({"type": anything, "display": _DISPLAY}),
            }
        )
    ),
    "tool_choice": nullable(
        tagged(
            {
                "auto": record(_SERIAL),
                "any": record(_SERIAL),
                "none": record({"type": anything}),
                "tool": record({**_SERIAL, "name": string()}, ("name",)),
            }
        )
    ),
    "tools": nullable(array(_tool)),
}
_BY_BETA: dict[str, dict[str, Check]] = {
    "context-management-": {"context_management": nullable(_OBJECT)},
    "mcp-client-": {"mcp_servers": array(_OBJECT)},
    "structured-outputs-": {"output_format": nullable(_OBJECT)},
}
_COUNTED = [
    "model",
    "messages",
    "cache_control",
    "output_config",
    "speed",
    "system",
    "thinking",
    "tool_choice",
    "tools",
]


def check(body: Any, betas: set[str], *, counting: bool) -> None:
    """Checks the shape of a body. Raises Problem."""
    fields = {name: _FIELDS[name] for name in _COUNTED} if counting else dict(_FIELDS)
    for prefix, more in _BY_BETA.items():
        if any(beta.startswith(prefix) for beta in betas):
            fields |= more
    required = ("messages", "model") if counting else ("max_tokens", "messages", "model")
    # Unknown fields are told after everything else, as the vendor does.
    known = {name: value for name, value in body.items() if name in fields}
    record(fields, required)(known, ())
    record(fields, required)(body, ())


def blocks_of(content: Any) -> list[dict[str, Any]]:
    """The content blocks; a string is one text block."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def heard(body: dict[str, Any]) -> Heard:
    """The neutral reading of a valid body."""
    thinking = (body.get("thinking") or {"type": "disabled"})["type"]
    result = Heard("anthropic", anthropic.bare(body["model"]), limit=body.get("max_tokens"))
    result.thinks = thinking in ("enabled", "adaptive")
    result.stop = body.get("stop_sequences") or []
    result.system = [block["text"] for block in blocks_of(body.get("system") or [])]
    for tool in body.get("tools") or []:
        kind = tool.get("type") or "custom"
        if kind == "custom":
            result.tools.append(Tool(tool["name"], "function", tool["input_schema"]))
        else:
            hosted = "web_search" if kind.startswith("web_search") else "hosted"
            result.tools.append(Tool(tool.get("name", kind), hosted))
    chosen = body.get("tool_choice") or {"type": "auto"}
    result.choice = {"auto": "auto", "any": "required", "none": "none", "tool": "named"}[chosen["type"]]
    result.choice_name = chosen.get("name", "")
    result.parallel = not chosen.get("disable_parallel_tool_use")
    wanted = (body.get("output_config") or {}).get("format") or body.get("output_format")
    if wanted:
        result.schema = wanted["schema"]
    for message in body["messages"]:
        _read_message(message, result)
    return result


def _read_message(message: dict[str, Any], result: Heard) -> None:
    role = message["role"]
    open_message: Item | None = None
    for block in blocks_of(message["content"]):
        kind = block["type"]
        if kind in ("text", "image", "document"):
            if open_message is None:
                open_message = Item("message", role)
                result.items.append(open_message)
            _add(block, open_message)
            continue
        open_message = None
        match kind:
            case "thinking":
                result.items.append(Item("thought", texts=[block["thinking"]], sealed=True))
            case "redacted_thinking":
                result.items.append(Item("thought", texts=["(redacted)"], sealed=True))
            case "tool_use":
                given = json.dumps(block["input"], ensure_ascii=False)
                result.items.append(Item("call", name=block["name"], call_id=block["id"], arguments=given))
            case "tool_result":
                item = Item("result", call_id=block["tool_use_id"], error=bool(block.get("is_error")))
                for part in blocks_of(block.get("content") or []):
                    _add(part, item)
                result.items.append(item)
            case "server_tool_use":
                result.items.append(Item("search", texts=[str(block["input"].get("query", ""))]))
            case _:
                result.items.append(Item("other", name=kind))


def _add(block: dict[str, Any], item: Item) -> None:
    if block["type"] == "text":
        item.texts.append(block["text"])
        return
    source = block.get("source")
    kind = "file" if block["type"] == "document" else block["type"]
    if not isinstance(source, dict):
        item.media.append(kind)
    elif source["type"] == "base64":
        item.media.append(media_label(kind, source["data"], source["media_type"], name=block.get("title") or ""))
    elif source["type"] == "text":
        item.media.append(f"{kind} text")
        item.texts.append(source["data"])
    else:
        where = source.get("url") or source.get("file_id") or "content"
        item.media.append(media_label(kind, url=where, name=block.get("title") or ""))

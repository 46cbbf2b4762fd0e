"""Input tokens of a request without a tokenizer: for context limits, for ``message_start`` and where an upstream cannot
count. ``text_tokens`` says what the estimate of text is good for, ``media_tokens`` that of images, files and audio.

``estimate_request`` takes the neutral request; ``estimate_body`` a client's JSON as it is, for relays and before it is
read. Both collect the texts, count them as one, and add what stands around them: so many tokens for each item, tool
and request.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from headgate.conversation import (
    CustomTool,
    FunctionTool,
    Item,
    Media,
    Message,
    OpaqueItem,
    OpaquePart,
    OpaqueTool,
    Part,
    Reasoning,
    Request,
    ToolCall,
    ToolResult,
)
from headgate.media_tokens import media_tokens
from headgate.text_tokens import estimate_text, family_of

__all__ = ["Heard", "estimate_body", "estimate_request", "estimate_text", "family_of"]

PER_ITEM = 4
PER_REQUEST = 3
PER_TOOL = 8
TOOL_PROMPT = {"claude": 346, "claude_new": 467}
"""What a vendor puts before the tools. Anthropic says 346 for Claude 4; its newer tokenizer makes up to 1.35 times
as many tokens of the same text."""


class Heard:
    """What a request says, collected: texts, and tokens that are not text's."""

    def __init__(self, family: str | None) -> None:
        self.family = family
        self._texts: list[str] = []
        self.fixed = PER_REQUEST
        self._has_tools = False

    def text(self, value: object) -> None:
        """A text, or nothing."""
        if value and isinstance(value, str):
            self._texts.append(value)

    def json(self, value: object) -> None:
        """An object that the model sees as JSON, such as a tool's parameters."""
        if value is not None:
            self._texts.append(json.dumps(value, ensure_ascii=False, default=str))

    def item(self) -> None:
        """A message, a call, a result: its marks of beginning and end, its role."""
        self.fixed += PER_ITEM

    def tool(self, *texts: object, schema: object = None) -> None:
        """A tool with its name and description."""
        if not self._has_tools:
            self._has_tools = True
            self.fixed += TOOL_PROMPT.get(self.family or "", 0)
        self.fixed += PER_TOOL
        for text in texts:
            self.text(text)
        self.json(schema)

    def media(self, kind: str, data: str | None, media_type: str | None = None, detail: str | None = None) -> None:
        """An image, file, audio or video."""
        self.fixed += media_tokens(kind, data, media_type, detail, self.family)

    def tokens(self) -> int:
        """All of it."""
        return self.fixed + estimate_text("\n".join(self._texts), self.family)


def estimate_request(request: Request, family: str | None = None) -> int:
    """Input tokens of a whole request, estimated, for models of ``family`` (``family_of``)."""
    heard = Heard(family)
    for part in request.instructions:
        heard.item()
        heard.text(part.text)
    for item in request.items:
        _item(item, heard)
    for tool in request.tools:
        match tool:
            case FunctionTool():
                heard.tool(tool.name, tool.description, schema=tool.parameters)
            case CustomTool():
                heard.tool(tool.name, tool.description, schema=tool.format)
            case OpaqueTool():
                heard.tool(schema=tool.payload)
            case _:
                heard.tool()
    if request.output.format and request.output.format.schema:
        heard.json(request.output.format.schema)
    return heard.tokens()


def _item(item: Item, heard: Heard) -> None:
    heard.item()
    match item:
        case Message(parts=parts) | Reasoning(parts=parts) | ToolResult(parts=parts):
            _parts(parts, heard)
        case ToolCall():
            heard.text(item.name)
            heard.text(item.arguments)
        case OpaqueItem():
            _walk(item.payload, heard)


def _parts(parts: Iterable[Part], heard: Heard) -> None:
    for part in parts:
        match part:
            case Media():
                heard.media(part.kind, part.data, part.media_type, part.detail)
            case OpaquePart():
                _walk(part.payload, heard)
            case _:
                heard.text(part.text)


def estimate_body(protocol: str, body: Mapping[str, Any], family: str | None = None) -> int:
    """Input tokens of the JSON ``body`` that a client sent to a frontend of ``protocol``, estimated, for models of
    ``family``. Shapes that the protocol does not know are counted by the strings in them and never refused."""
    heard = Heard(family)
    for name in _SYSTEM.get(protocol, ()):
        _items(body.get(name), heard)
    _items(body.get(_HISTORY.get(protocol, "messages")), heard)
    for name in ("tools", "functions"):
        tools = body.get(name)
        _tools(tools if isinstance(tools, list) else [], heard)
    if body.get("web_search_options") is not None:
        heard.tool()
    for name in _FORMATS:
        _format(body.get(name), heard)
    return heard.tokens()


_SYSTEM = {"responses": ("instructions",), "messages": ("system",)}
_HISTORY = {"responses": "input"}
_FORMATS = ("response_format", "text", "output_config", "output_format")
# What stands in content and is not shown to the model as text.
_UNSAID = frozenset(
    (
        *("type", "id", "role", "status", "phase", "name", "index", "call_id", "tool_call_id", "tool_use_id"),
        *("cache_control", "signature", "encrypted_content", "encrypted_index", "detail", "annotations", "citations"),
        *("logprobs", "extra_content", "prompt_cache_breakpoint", "reasoning_details", "is_error", "namespace"),
        *("internal_chat_message_metadata_passthrough", "media_type", "filename", "file_id", "url", "caller"),
    )
)
_CALLS = frozenset(("tool_use", "function_call", "custom_tool_call"))
_ITEMS = _CALLS | {"tool_result", "thinking", "redacted_thinking", "server_tool_use", "web_search_tool_result"}


def _items(value: object, heard: Heard) -> None:
    if isinstance(value, str):
        heard.item()
        heard.text(value)
        return
    for item in value if isinstance(value, list) else ():
        heard.item()
        _walk(item, heard)


def _walk(value: object, heard: Heard) -> None:
    """What is said in a message, an item or a part."""
    if isinstance(value, str):
        heard.text(value)
    elif isinstance(value, list):
        # In Messages calls and results are parts of a turn; each is an item, the turn itself only with other parts.
        inner = sum(isinstance(part, dict) and part.get("type") in _ITEMS for part in value)
        heard.fixed += PER_ITEM * (inner - (inner == len(value) > 0))
        for part in value:
            _walk(part, heard)
    elif isinstance(value, Mapping):
        _object(value, heard)


def _object(part: Mapping[str, Any], heard: Heard) -> None:
    kind = part.get("type")
    if _media(part, kind, heard):
        return
    if kind in _CALLS:
        heard.text(part.get("name"))
        arguments = part.get("arguments", part.get("input"))
        heard.text(arguments) if isinstance(arguments, str) else heard.json(arguments)
        return
    if kind == "web_search_tool_result":
        return
    for name, value in part.items():
        if name == "tool_calls" and isinstance(value, list):
            heard.fixed += PER_ITEM * (len(value) - (not part.get("content")))
            for call in value:
                _call(call, heard)
        elif name == "function_call":
            _call({"function": value}, heard)
        elif name not in _UNSAID:
            if isinstance(value, str):
                heard.text(value)
            elif value:
                _walk(value, heard)


def _call(call: object, heard: Heard) -> None:
    inner = (call.get("function") or call.get("custom")) if isinstance(call, Mapping) else None
    if isinstance(inner, Mapping):
        heard.text(inner.get("name"))
        heard.text(inner.get("arguments") or inner.get("input"))


def _media(part: Mapping[str, Any], kind: object, heard: Heard) -> bool:
    """Whether ``part`` is an image, a file or a recording; then it is counted."""
    if kind in ("image_url", "input_image"):
        image = part.get("image_url")
        address, detail = (image.get("url"), image.get("detail")) if isinstance(image, Mapping) else (image, None)
        heard.media("image", _inline(address), detail=_string(detail or part.get("detail")))
    elif kind in ("image", "document") and isinstance(source := part.get("source"), Mapping):
        data, content = _string(source.get("data")), source.get("content")
        if source.get("type") == "text":
            heard.text(data)
        elif content is not None:
            _walk(content, heard)
        else:
            heard.media("image" if kind == "image" else "file", data, _string(source.get("media_type")))
    elif kind in ("file", "input_file"):
        file = part.get("file") if isinstance(part.get("file"), Mapping) else part
        heard.media("file", _inline((file or part).get("file_data")))
    elif kind == "input_audio":
        audio = part.get("input_audio")
        heard.media("audio", _string(audio.get("data")) if isinstance(audio, Mapping) else None)
    elif kind in ("video_url", "input_video"):
        heard.media("video", None)
    else:
        return False
    return True


def _inline(address: object) -> str | None:
    """The base64 of a ``data:`` address, or of a bare one; None for an address elsewhere."""
    if not isinstance(address, str) or address[:5] in ("http:", "https"):
        return None
    return address.partition(",")[2] if address.startswith("data:") else address


def _tools(tools: Iterable[object], heard: Heard) -> None:
    for tool in tools:
        if not isinstance(tool, Mapping):
            continue
        kind = tool.get("type")
        inner = tool.get("function") or tool.get("custom") or tool
        if kind == "namespace" and isinstance(tool.get("tools"), list):
            _tools(tool["tools"], heard)
        elif isinstance(kind, str) and kind.startswith("web_search"):
            heard.tool()
        elif kind in ("function", "custom", None) and isinstance(inner, Mapping):
            schema = inner.get("parameters") or inner.get("input_schema") or inner.get("format")
            heard.tool(inner.get("name"), inner.get("description"), schema=schema)
        else:
            heard.tool(schema=tool)


def _format(value: object, heard: Heard) -> None:
    """The JSON schema that the answer must follow, where ``value`` has one."""
    if isinstance(value, Mapping):
        for name in ("format", "json_schema"):
            _format(value.get(name), heard)
        if value.get("schema"):
            heard.json(value["schema"])


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None

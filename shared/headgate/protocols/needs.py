"""What a client's request needs of a model, read from its JSON without taking it apart.

The words are the catalogue's features. Each comes with the path of what asks for it, so that a refusal can name it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

CONTENT = ("image", "pdf", "audio", "video")
"""Features that a request cannot be served without: what they stand for is the content itself."""

OPTIONAL = (
    "logprobs",
    "cache_control",
    "caching",
    "parallel_tools",
    "sampling",
    "reasoning",
    "web_search",
    "json_schema",
    "json_object",
    "tools",
)
"""The others, the least important first: in this order they are given up where no route has all of them."""

Needs = Mapping[str, str]
"""Feature to the path of what asks for it."""


def read_needs(protocol: str, body: Mapping[str, Any]) -> Needs:
    """The features that ``body``, a valid request of the client protocol, makes use of."""
    found: dict[str, str] = {}
    _READERS[protocol](body, found)
    _sampling(body, found)
    if body.get("cache_control") is not None:
        found.setdefault("cache_control", "cache_control")
    return found


def _sampling(body: Mapping[str, Any], found: dict[str, str]) -> None:
    for name in ("temperature", "top_p", "top_k"):
        # 1 is what every vendor does anyway.
        if body.get(name) not in (None, 1):
            found["sampling"] = name
            return


def _responses(body: Mapping[str, Any], found: dict[str, str]) -> None:
    _tools(body, found)
    text = body.get("text")
    if isinstance(text, Mapping):
        _format(text.get("format"), "text.format", found)
    reasoning = body.get("reasoning")
    if isinstance(reasoning, Mapping) and reasoning.get("effort") not in (None, "none"):
        found["reasoning"] = "reasoning.effort"
    if body.get("top_logprobs") or "message.output_text.logprobs" in (body.get("include") or ()):
        found["logprobs"] = "top_logprobs" if body.get("top_logprobs") else "include"
    items = body.get("input")
    if isinstance(items, list):
        for at, item in enumerate(items):
            if isinstance(item, Mapping):
                content = item.get("content") if item.get("content") is not None else item.get("output")
                _parts(content, f"input[{at}].content", found)


def _chat(body: Mapping[str, Any], found: dict[str, str]) -> None:
    _tools(body, found)
    if body.get("functions"):
        found.setdefault("tools", "functions")
    if body.get("web_search_options") is not None:
        found["web_search"] = "web_search_options"
    _format(body.get("response_format"), "response_format", found)
    if body.get("reasoning_effort") not in (None, "none"):
        found["reasoning"] = "reasoning_effort"
    if body.get("logprobs"):
        found["logprobs"] = "logprobs"
    _messages_of(body, found)


def _messages(body: Mapping[str, Any], found: dict[str, str]) -> None:
    _tools(body, found)
    output = body.get("output_config")
    if isinstance(output, Mapping):
        _format(output.get("format"), "output_config.format", found)
    _format(body.get("output_format"), "output_format", found)
    thinking = body.get("thinking")
    if isinstance(thinking, Mapping) and thinking.get("type") in ("enabled", "adaptive"):
        found["reasoning"] = "thinking"
    _parts(body.get("system"), "system", found)
    _messages_of(body, found)


_READERS: Mapping[str, Callable[[Mapping[str, Any], dict[str, str]], None]] = {
    "responses": _responses,
    "chat_completions": _chat,
    "messages": _messages,
}


def _tools(body: Mapping[str, Any], found: dict[str, str]) -> None:
    tools = body.get("tools")
    for at, tool in enumerate(tools if isinstance(tools, list) else ()):
        kind = str(tool.get("type") or "") if isinstance(tool, Mapping) else ""
        feature = "web_search" if kind.startswith("web_search") else "tools"
        found.setdefault(feature, f"tools[{at}]")
        if isinstance(tool, Mapping) and tool.get("cache_control") is not None:
            found.setdefault("cache_control", f"tools[{at}].cache_control")
    if "tools" in found and body.get("parallel_tool_calls") is True:
        found["parallel_tools"] = "parallel_tool_calls"


def _format(value: Any, path: str, found: dict[str, str]) -> None:
    kind = value.get("type") if isinstance(value, Mapping) else None
    if kind in ("json_schema", "json_object"):
        found[kind] = path


def _messages_of(body: Mapping[str, Any], found: dict[str, str]) -> None:
    messages = body.get("messages")
    for at, message in enumerate(messages if isinstance(messages, list) else ()):
        if isinstance(message, Mapping):
            _parts(message.get("content"), f"messages[{at}].content", found)


def _parts(content: Any, path: str, found: dict[str, str]) -> None:
    if not isinstance(content, list):
        return
    for at, part in enumerate(content):
        if not isinstance(part, Mapping):
            continue
        for feature in _of_part(part):
            found.setdefault(feature, f"{path}[{at}]")
        if part.get("type") == "tool_result":
            _parts(part.get("content"), f"{path}[{at}].content", found)


def _of_part(part: Mapping[str, Any]) -> Iterator[str]:
    if part.get("cache_control") is not None:
        yield "cache_control"
    match part.get("type"):
        case "input_image" | "image_url" | "image":
            yield "image"
        case "input_audio":
            yield "audio"
        case "input_file" | "file":
            if _is_pdf(part.get("file") or part):
                yield "pdf"
        case "document":
            source = part.get("source")
            if isinstance(source, Mapping) and _is_pdf(source):
                yield "pdf"
        case _:
            return


def _is_pdf(file: Any) -> bool:
    """Whether a file is surely a PDF. What stands behind an address or an id shows only when it is fetched."""
    if not isinstance(file, Mapping):
        return False
    data, address = file.get("file_data") or file.get("data"), file.get("file_url") or file.get("url")
    if isinstance(data, str):
        if data.startswith("data:"):
            return data.startswith("data:application/pdf")
        named = file.get("media_type") or file.get("filename")
        # Base64 of "%PDF-".
        return data.startswith("JVBERi0") or (isinstance(named, str) and named.lower().endswith("pdf"))
    return isinstance(address, str) and address.partition("?")[0].lower().endswith(".pdf")

"""What Bedrock's Converse takes: the shape of a body, and its neutral reading."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from .reading import Heard, Item, Tool, media_label
from .shapes import Check, Path, Problem, anything, array, boolean, choice, integer, number, record, string

_IMAGES = ("png", "jpeg", "gif", "webp")
_DOCUMENTS = ("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md")
_AUDIO = (
    "mp3",
    "opus",
    "wav",
    "aac",
    "flac",
    "mp4",
    "ogg",
    "mkv",
    "mka",
    "x-aac",
    "m4a",
    "mpeg",
    "mpga",
    "pcm",
    "webm",
)
_VIDEO = ("mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp")
_TOOL_NAME = string(longest=64, shortest=1, pattern=r"^[a-zA-Z0-9_-]+$")
_TOOL_ID = string(longest=64, shortest=1, pattern=r"^[a-zA-Z0-9_.:-]+$")


def _object(value: Any, path: Path) -> None:
    if not isinstance(value, dict):
        raise Problem("type", path, expected="an object", got=type(value).__name__)


def _blob(value: Any, path: Path) -> None:
    string(shortest=1)(value, path)
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise Problem("type", path, expected="base64", got="other text") from None


def _union(members: dict[str, Check]) -> Check:
    """An object with exactly one of ``members``."""

    def check(value: Any, path: Path) -> None:
        _object(value, path)
        if len(value) != 1:
            raise Problem("many" if value else "few", path, limit=1, got=len(value))
        record(members)(value, path)

    return check


_S3 = record({"uri": string(pattern="^s3://"), "bucketOwner": string()}, ("uri",))
_POINT = record({"type": choice("default"), "ttl": choice("5m", "1h")}, ("type",))
_CITATIONS = record({"enabled": boolean}, ("enabled",))


def _medium(formats: tuple[str, ...]) -> Check:
    source = _union({"bytes": _blob, "s3Location": _S3})
    return record({"format": choice(*formats), "source": source}, ("format", "source"))


_DOCUMENT = record(
    {
        "format": choice(*_DOCUMENTS),
        "name": string(shortest=1, longest=200, pattern=r"^(?!.*\s\s)[a-zA-Z0-9\s\-()\[\]]+$"),
        "source": _union({"bytes": _blob, "s3Location": _S3, "text": string(shortest=1), "content": array(_object)}),
        "context": string(),
        "citations": _CITATIONS,
    },
    ("name", "source"),
)
_FOUND = record(
    {
        "source": string(),
        "title": string(),
        "content": array(record({"text": string()}, ("text",))),
        "citations": _CITATIONS,
    },
    ("source", "title", "content"),
)
_RESULT_CONTENT = _union(
    {
        "text": string(),
        "json": _object,
        "image": _medium(_IMAGES),
        "document": _DOCUMENT,
        "video": _medium(_VIDEO),
        "searchResult": _FOUND,
    }
)
_CONTENT = _union(
    {
        "text": string(),
        "image": _medium(_IMAGES),
        "document": _DOCUMENT,
        "video": _medium(_VIDEO),
        "audio": _medium(_AUDIO),
        "searchResult": _FOUND,
        "toolUse": record(
            {"toolUseId": _TOOL_ID, "name": _TOOL_NAME, "input": _object, "type": choice("server_tool_use")},
            ("toolUseId", "name", "input"),
        ),
        "toolResult": record(
            {
                "toolUseId": _TOOL_ID,
                "content": array(_RESULT_CONTENT),
                "status": choice("success", "error"),
                "type": string(),
            },
            ("toolUseId", "content"),
        ),
        "reasoningContent": _union(
            {
                "reasoningText": record({"text": string(), "signature": string()}, ("text",)),
                "redactedContent": _blob,
            }
        ),
        "cachePoint": _POINT,
    }
)
_SPEC = record(
    {
        "name": _TOOL_NAME,
        "description": string(shortest=1),
        "inputSchema": record({"json": _object}, ("json",)),
        "strict": boolean,
    },
    ("name", "inputSchema"),
)
_TOOLS = record(
    {
        "tools": array(
            _union({"toolSpec": _SPEC, "systemTool": record({"name": _TOOL_NAME}, ("name",)), "cachePoint": _POINT}),
            least=1,
        ),
        "toolChoice": _union({"auto": _object, "any": _object, "tool": record({"name": _TOOL_NAME}, ("name",))}),
    },
    ("tools",),
)
_FORMAT = record(
    {
        "type": choice("json_schema"),
        "structure": _union(
            {"jsonSchema": record({"schema": string(), "name": string(), "description": string()}, ("schema",))}
        ),
    },
    ("type", "structure"),
)
_BODY = record(
    {
        "messages": array(
            record({"role": choice("user", "assistant"), "content": array(_CONTENT)}, ("role", "content"))
        ),
        "system": array(_union({"text": string(shortest=1), "cachePoint": _POINT})),
        "inferenceConfig": record(
            {
                "maxTokens": integer(1),
                "temperature": number(0, 1),
                "topP": number(0, 1),
                "stopSequences": array(string(shortest=1), most=2500, of="strings"),
            }
        ),
        "toolConfig": _TOOLS,
        "outputConfig": record({"textFormat": _FORMAT, "effort": string(longest=16)}),
        "additionalModelRequestFields": _object,
        "additionalModelResponseFieldPaths": array(
            string(shortest=1, longest=256, pattern="^/"), most=10, of="strings"
        ),
        "requestMetadata": anything,
        "performanceConfig": _object,
        "serviceTier": _object,
        "guardrailConfig": _object,
    }
)


def check(body: Any) -> None:
    """Checks the shape of a body. Raises Problem."""
    _BODY(body, ())


def heard(body: dict[str, Any], model: str) -> Heard:
    """The neutral reading of a valid body."""
    inference, own = body.get("inferenceConfig") or {}, body.get("additionalModelRequestFields") or {}
    result = Heard("bedrock", model, limit=inference.get("maxTokens"), stop=inference.get("stopSequences") or [])
    result.system = [block["text"] for block in body.get("system") or [] if "text" in block]
    thinking = (own.get("thinking") or own.get("reasoningConfig") or {}).get("type")
    result.thinks = thinking in ("enabled", "adaptive") or bool(own.get("reasoning_effort") or own.get("reasoning"))
    config = body.get("toolConfig") or {"tools": []}
    for tool in config["tools"]:
        if "toolSpec" in tool:
            result.tools.append(Tool(tool["toolSpec"]["name"], "function", tool["toolSpec"]["inputSchema"]["json"]))
        elif "systemTool" in tool:
            result.tools.append(Tool(tool["systemTool"]["name"], "web_search"))
    chosen = config.get("toolChoice") or {"auto": {}}
    result.choice = {"auto": "auto", "any": "required", "tool": "named"}[next(iter(chosen))]  # type: ignore[assignment]
    result.choice_name = chosen.get("tool", {}).get("name", "")
    result.parallel = not (own.get("tool_choice") or {}).get("disable_parallel_tool_use")
    wanted = (body.get("outputConfig") or {}).get("textFormat")
    if wanted:
        result.schema = json.loads(wanted["structure"]["jsonSchema"]["schema"])
    for message in body["messages"]:
        _read(message, result)
    return result


def _read(message: dict[str, Any], result: Heard) -> None:
    open_message: Item | None = None
    for block in message["content"]:
        kind = next(iter(block))
        value = block[kind]
        match kind:
            case "cachePoint":
                continue
            case "toolUse":
                given = json.dumps(value["input"], ensure_ascii=False)
                item = Item("call", name=value["name"], call_id=value["toolUseId"], arguments=given)
            case "toolResult":
                item = Item("result", call_id=value["toolUseId"], error=value.get("status") == "error")
                for part in value["content"]:
                    _add(part, item)
            case "reasoningContent":
                told = value.get("reasoningText", {"text": "(redacted)"})
                sealed = "signature" in told or "redactedContent" in value
                item = Item("thought", texts=[told["text"]], sealed=sealed)
            case _:
                if open_message is None:
                    open_message = Item("message", message["role"])
                    result.items.append(open_message)
                _add(block, open_message)
                continue
        open_message = None
        result.items.append(item)


def _add(block: dict[str, Any], item: Item) -> None:
    kind = next(iter(block))
    value = block[kind]
    if kind == "text":
        item.texts.append(value)
    elif kind == "json":
        item.texts.append(json.dumps(value, ensure_ascii=False))
    elif kind == "searchResult":
        item.texts += [part["text"] for part in value["content"]]
    elif kind != "cachePoint":
        label = "file" if kind == "document" else kind
        source = value["source"]
        if "bytes" in source:
            name = value.get("name", "")
            item.media.append(media_label(label, source["bytes"], f"{label}/{value.get('format')}", name=name))
        else:
            item.media.append(media_label(label, url=source.get("s3Location", {}).get("uri", "text")))

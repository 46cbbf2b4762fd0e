"""The shape of a body of ``generateContent``, and its neutral reading. Rules between fields: gemini_rules.py."""

from __future__ import annotations

import json
import re
from typing import Any

from . import gemini_common as google
from .reading import Heard, Item, Tool, media_label
from .shapes import Check, Path, anything, array, boolean, choice, integer, mapping, number, record, string

_OBJECT = record({}, free=True)
_FREE = frozenset({"args", "response", "parametersJsonSchema", "responseJsonSchema", "default", "example", "labels"})
"""Fields whose content is the caller's own; everywhere else names may be in camel or in snake case."""

_TYPES = ("STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")
_BLOB = record({"mimeType": string(shortest=1), "data": string(shortest=1), "displayName": string()}, ("mimeType",))
_FILE = record({"mimeType": string(), "fileUri": string(shortest=1), "displayName": string()}, ("fileUri",))
_PART = record(
    {
        "text": string(),
        "thought": boolean,
        "thoughtSignature": string(),
        "inlineData": _BLOB,
        "fileData": _FILE,
        "functionCall": record({"id": string(), "name": string(shortest=1), "args": _OBJECT}, ("name",)),
        "functionResponse": record(
            {
                "id": string(),
                "name": string(shortest=1),
                "response": _OBJECT,
                "parts": array(record({"inlineData": _BLOB, "fileData": _FILE})),
                "scheduling": string(),
            },
            ("name", "response"),
        ),
        "executableCode": _OBJECT,
        "codeExecutionResult": _OBJECT,
        "videoMetadata": _OBJECT,
        "mediaResolution": record(
            {
                "level": choice(
                    *(f"MEDIA_RESOLUTION_{level}" for level in ("UNSPECIFIED", "LOW", "MEDIUM", "HIGH", "ULTRA_HIGH"))
                )
            }
        ),
    }
)
_CONTENT = record({"role": string(), "parts": array(_PART)})


def _schema(value: Any, path: Path) -> None:
    fields: dict[str, Check] = {
        "type": _type,
        "format": string(),
        "title": string(),
        "description": string(),
        "nullable": boolean,
        "enum": array(string(), of="strings"),
        "items": _schema,
        "minItems": anything,
        "maxItems": anything,
        "properties": mapping(_schema),
        "required": array(string(), of="strings"),
        "minProperties": anything,
        "maxProperties": anything,
        "minLength": anything,
        "maxLength": anything,
        "pattern": string(),
        "minimum": number(),
        "maximum": number(),
        "anyOf": array(_schema),
        "propertyOrdering": array(string(), of="strings"),
        "default": anything,
        "example": anything,
    }
    record(fields)(value, path)


def _type(value: Any, path: Path) -> None:
    choice(*_TYPES)(value.upper() if isinstance(value, str) else value, path)


_DECLARATION = record(
    {
        "name": string(shortest=1),
        "description": string(),
        "parameters": _schema,
        "parametersJsonSchema": _OBJECT,
        "response": _OBJECT,
        "responseJsonSchema": _OBJECT,
        "behavior": string(),
    },
    ("name",),
)
_THINKING = record(
    {
        "includeThoughts": boolean,
        "thinkingBudget": integer(-1),
        "thinkingLevel": choice("THINKING_LEVEL_UNSPECIFIED", "MINIMAL", "LOW", "MEDIUM", "HIGH", "XHIGH"),
    }
)
_CONFIG = record(
    {
        "temperature": number(),
        "topP": number(),
        "topK": number(),
        "candidateCount": integer(),
        "maxOutputTokens": integer(),
        "stopSequences": array(string(), of="strings"),
        "responseLogprobs": boolean,
        "logprobs": integer(),
        "presencePenalty": number(),
        "frequencyPenalty": number(),
        "seed": integer(-(2**31), 2**31 - 1),
        "responseMimeType": string(),
        "responseSchema": _schema,
        "responseJsonSchema": _OBJECT,
        "responseModalities": array(string(), of="strings"),
        "mediaResolution": string(),
        "thinkingConfig": _THINKING,
    }
)
_COMMON: dict[str, Check] = {
    "contents": array(_CONTENT),
    "systemInstruction": _CONTENT,
    "generationConfig": _CONFIG,
    "tools": array(
        record(
            {
                "functionDeclarations": array(_DECLARATION),
                "googleSearch": record({"excludeDomains": array(string(), of="strings"), "timeRangeFilter": _OBJECT}),
                "codeExecution": _OBJECT,
                "urlContext": _OBJECT,
            }
        )
    ),
    "toolConfig": record(
        {
            "functionCallingConfig": record(
                {
                    "mode": choice("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"),
                    "allowedFunctionNames": array(string(), of="strings"),
                }
            ),
            "retrievalConfig": _OBJECT,
        }
    ),
    "safetySettings": array(record({"category": string(), "threshold": string(), "method": string()})),
    "cachedContent": string(),
    "labels": _OBJECT,
}


def camelized(value: Any) -> Any:
    """``value`` with field names in camel case, as the vendor's JSON reader takes either."""
    if isinstance(value, list):
        return [camelized(each) for each in value]
    if not isinstance(value, dict):
        return value
    out: dict[str, Any] = {}
    for key, each in value.items():
        name = re.sub(r"_([a-z])", lambda found: found[1].upper(), key)
        if name == "properties" and isinstance(each, dict):
            out[name] = {own: camelized(part) for own, part in each.items()}
        else:
            out[name] = each if name in _FREE else camelized(each)
    return out


def check(body: Any, *, vertex: bool) -> None:
    """Checks the shape of a camelized body. Raises Problem."""
    record(_COMMON if vertex else {**_COMMON, "model": string(), "store": boolean})(body, ())


def functions(body: dict[str, Any]) -> list[dict[str, Any]]:
    """All function declarations."""
    return [one for tool in body.get("tools", []) for one in tool.get("functionDeclarations", [])]


def searches(body: dict[str, Any]) -> bool:
    """Whether the web search is on offer."""
    return any("googleSearch" in tool for tool in body.get("tools", []))


def calling(body: dict[str, Any]) -> dict[str, Any]:
    """The functionCallingConfig."""
    return body.get("toolConfig", {}).get("functionCallingConfig", {})


def config(body: dict[str, Any]) -> dict[str, Any]:
    """The generationConfig."""
    return body.get("generationConfig", {})


def heard(body: dict[str, Any], model: str) -> Heard:
    """The neutral reading of a valid body."""
    settings = config(body)
    result = Heard("gemini", google.bare(model), limit=settings.get("maxOutputTokens"))
    thinking = settings.get("thinkingConfig", {})
    result.thinks = bool(thinking) and thinking.get("thinkingBudget") != 0
    result.stop = settings.get("stopSequences", [])
    result.system = [part["text"] for part in body.get("systemInstruction", {}).get("parts", []) if "text" in part]
    for one in functions(body):
        schema = one.get("parametersJsonSchema") or lowered(one.get("parameters")) or {"type": "object"}
        result.tools.append(Tool(one["name"], "function", schema))
    if searches(body):
        result.tools.append(Tool("google_search", "web_search"))
    mode, allowed = calling(body).get("mode", "AUTO"), calling(body).get("allowedFunctionNames", [])
    result.choice = {"ANY": "required", "NONE": "none"}.get(mode, "auto")  # type: ignore[assignment]
    if allowed:
        result.tools = [tool for tool in result.tools if tool.name in allowed or tool.kind == "web_search"]
        if mode == "ANY" and len(allowed) == 1:
            result.choice, result.choice_name = "named", allowed[0]
    if settings.get("responseMimeType") == "application/json":
        result.schema = settings.get("responseJsonSchema") or lowered(settings.get("responseSchema")) or {}
    for content in body["contents"]:
        _read_content(content, result)
    return result


def lowered(schema: Any) -> Any:
    """A schema of the OpenAPI subset as JSON Schema."""
    if isinstance(schema, list):
        return [lowered(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: lowered(value) for key, value in schema.items() if key not in ("type", "properties", "format")}
    if "type" in schema:
        out["type"] = schema["type"].lower()
    if "properties" in schema:
        out["properties"] = {name: lowered(value) for name, value in schema["properties"].items()}
    return out


def _read_content(content: dict[str, Any], result: Heard) -> None:
    role = "assistant" if content.get("role") == "model" else "user"
    open_message: Item | None = None
    for part in content["parts"]:
        if part.get("thought"):
            open_message = None
            sealed = bool(part.get("thoughtSignature"))
            result.items.append(Item("thought", texts=[part.get("text", "")], sealed=sealed))
        elif "functionCall" in part:
            open_message = None
            call = part["functionCall"]
            given = json.dumps(call.get("args", {}), ensure_ascii=False)
            result.items.append(Item("call", name=call["name"], call_id=call.get("id", call["name"]), arguments=given))
        elif "functionResponse" in part:
            open_message = None
            result.items.append(_result(part["functionResponse"]))
        else:
            if open_message is None:
                open_message = Item("message", role)
                result.items.append(open_message)
            _add(part, open_message)


def _result(response: dict[str, Any]) -> Item:
    given = response["response"]
    item = Item("result", call_id=response.get("id", response["name"]), error="error" in given)
    text = given.get("output", given.get("error", given))
    item.texts.append(text if isinstance(text, str) else json.dumps(text, ensure_ascii=False))
    for part in response.get("parts", []):
        _add(part, item)
    return item


def _add(part: dict[str, Any], item: Item) -> None:
    if "inlineData" in part:
        blob = part["inlineData"]
        item.media.append(media_label(_kind(blob["mimeType"]), blob.get("data", ""), blob["mimeType"]))
    elif "fileData" in part:
        item.media.append(media_label(_kind(part["fileData"].get("mimeType", "")), url=part["fileData"]["fileUri"]))
    elif part.get("text"):
        item.texts.append(part["text"])


def _kind(mime_type: str) -> str:
    family = mime_type.partition("/")[0]
    return family if family in ("image", "audio", "video") else "file"

"""What Cohere's ``/v2/chat`` takes: shapes, rules, and the neutral reading of a body."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from .delivery import packed
from .reading import Faults, Heard, Item, Tool, media_label
from .shapes import (
    Check,
    Path,
    Problem,
    anything,
    array,
    boolean,
    choice,
    either,
    integer,
    named,
    number,
    record,
    string,
    tagged,
)

_UNSUPPORTED = {
    "anyOf",
    "allOf",
    "oneOf",
    "not",
    "maximum",
    "minimum",
    "minItems",
    "maxItems",
    "maxLength",
    "minLength",
}
_MESSAGES = {
    401: "invalid api token",
    402: "Please add or update your payment method at https://dashboard.cohere.com/billing",
    404: "model not found",
    429: "You are past the per minute request limit, please wait and try again later.",
    500: "internal server error",
    503: "service unavailable",
    504: "gateway timeout",
}


@dataclass
class Refused(Exception):
    """An error answer."""

    status: int
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    html: bool = False

    def body(self, request_id: str) -> bytes:
        """The answer's body."""
        if self.html:
            return f"<html><body><h1>{self.status}</h1>{self.message}</body></html>".encode()
        return packed({"id": request_id, "message": self.message})


def invalid(message: str, status: int = 400) -> Refused:
    """An ``invalid request``."""
    return Refused(status, f"invalid request: {message}")


def worded(problem: Problem) -> Refused:
    """Cohere's words for a Problem."""
    where = ".".join(str(step) for step in problem.path)
    if problem.kind == "unknown":
        field_name = problem.path[-1]
        text = f"unknown field: parameter '{field_name}' is not a valid field. For proper usage, please refer to "
        return Refused(422, text + "https://docs.cohere.com/reference/chat")
    if problem.kind == "missing":
        return Refused(400, f"a {problem.path[-1]} parameter is required for this endpoint.")
    facts = ", ".join(f"{key} {value}" for key, value in problem.facts.items())
    return invalid(f"{where}: {problem.kind} ({facts})")


def failure(faults: Faults) -> Refused:
    """The error that ``[[fail:…]]`` asks for."""
    status, options = faults.status or 500, faults.status_options
    more = {"retry-after": options["retry-after"]} if "retry-after" in options else {}
    return Refused(
        status, options.get("message", _MESSAGES.get(status, "something went wrong")), more, "html" in options
    )


def key_of(request: Request) -> str:
    """The caller's API key. Raises Refused."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Refused(401, "no api key supplied")
    if "invalid" in key:
        raise Refused(401, "invalid api token")
    return key


def check_model(model: str, extra: tuple[str, ...]) -> None:
    """Raises Refused for a model that Cohere does not have."""
    if model not in extra and (not model.startswith(("command", "c4ai-")) or "does-not-exist" in model):
        message = f"model '{model}' not found, make sure the correct model ID was used and that you have access"
        raise Refused(404, message)


def _object(value: Any, path: Path) -> None:
    if not isinstance(value, dict):
        raise Problem("type", path, expected="an object", got=named(value))


def _texts_or(parts: dict[str, Check]) -> Check:
    return either("a string or content blocks", {str: string(shortest=1), list: array(tagged(parts), least=1)})


_TYPE = {"type": anything}
_TEXT = record({**_TYPE, "text": string(shortest=1)}, ("type", "text"))
_IMAGE = record({"url": string(shortest=1), "detail": choice("auto", "low", "high")}, ("url",))
_DOCUMENT = record({"data": _object, "id": string()}, ("data",))
_CALL = record(
    {
        "id": string(shortest=1),
        "type": choice("function"),
        "function": record({"name": string(shortest=1), "arguments": string()}, ("name", "arguments")),
    },
    ("id", "type", "function"),
)
_ROLE = {"role": anything}
_MESSAGE = tagged(
    {
        "system": record({**_ROLE, "content": _texts_or({"text": _TEXT})}, ("role", "content")),
        "user": record(
            {
                **_ROLE,
                "content": _texts_or(
                    {"text": _TEXT, "image_url": record({**_TYPE, "image_url": _IMAGE}, ("type", "image_url"))}
                ),
            },
            ("role", "content"),
        ),
        "assistant": record(
            {
                **_ROLE,
                "content": _texts_or(
                    {"text": _TEXT, "thinking": record({**_TYPE, "thinking": string()}, ("type", "thinking"))}
                ),
                "tool_calls": array(_CALL, least=1),
                "tool_plan": string(),
                "citations": array(_object),
            },
            ("role",),
        ),
        "tool": record(
            {
                **_ROLE,
                "tool_call_id": string(shortest=1),
                "content": _texts_or(
                    {"text": _TEXT, "document": record({**_TYPE, "document": _DOCUMENT}, ("type", "document"))}
                ),
            },
            ("role", "tool_call_id", "content"),
        ),
    },
    key="role",
)
_TOOL = record(
    {
        "type": choice("function"),
        "function": record(
            {"name": string(shortest=1, longest=64), "description": string(), "parameters": _object},
            ("name", "parameters"),
        ),
    },
    ("type", "function"),
)
_BODY = record(
    {
        "model": string(shortest=1),
        "messages": array(_MESSAGE, least=1),
        "stream": boolean,
        "tools": array(_TOOL),
        "strict_tools": boolean,
        "documents": array(either("a string or a document", {str: string(), dict: _DOCUMENT})),
        "citation_options": record({"mode": choice("ENABLED", "DISABLED", "FAST", "ACCURATE", "OFF")}),
        "response_format": record({"type": choice("text", "json_object"), "json_schema": _object}, ("type",)),
        "safety_mode": choice("CONTEXTUAL", "STRICT", "OFF"),
        "max_tokens": integer(1),
        "stop_sequences": array(string(shortest=1), most=5, of="strings"),
        "temperature": number(0, 1),
        "seed": integer(0),
        "frequency_penalty": number(0, 1),
        "presence_penalty": number(0, 1),
        "k": integer(0, 500),
        "p": number(0.01, 0.99),
        "logprobs": boolean,
        "tool_choice": choice("REQUIRED", "NONE"),
        "thinking": record({"type": choice("enabled", "disabled"), "token_budget": integer(1)}, ("type",)),
        "priority": integer(0, 999),
    },
    ("model", "messages"),
)


def check(body: Any) -> None:
    """Checks shapes and rules. Raises Problem and Refused."""
    _BODY(body, ())
    if "response_format" in body and (body.get("tools") or body.get("documents")):
        raise invalid("response_format is not supported with RAG or tools.")
    if body.get("frequency_penalty") and body.get("presence_penalty"):
        raise invalid("cannot specify both frequency_penalty and presence_penalty.")
    if body.get("tool_choice") and not body.get("tools"):
        raise invalid("tool_choice requires tools.")
    for tool in body.get("tools") or []:
        function = tool["function"]
        if not re.fullmatch(r"[a-zA-Z0-9_-]+", function["name"]):
            raise invalid(f"invalid tool name: {function['name']}")
        if body.get("strict_tools") and not function["parameters"].get("required"):
            raise invalid("tools with only optional parameters are not supported with strict_tools.")
    _schema((body.get("response_format") or {}).get("json_schema"), root=True)
    _turns(body["messages"])


def _schema(schema: Any, *, root: bool = False) -> None:
    if not isinstance(schema, dict):
        return
    if root and schema.get("type") != "object":
        raise invalid("the top level of json_schema must be an object.")
    bad = _UNSUPPORTED & schema.keys()
    if bad:
        raise invalid(f"unsupported feature in json_schema: {min(bad)}")
    if schema.get("properties") and not schema.get("required"):
        raise invalid("every object of json_schema must have at least one required field.")
    for each in (
        *(schema.get("properties") or {}).values(),
        *(schema.get("$defs") or {}).values(),
        schema.get("items"),
    ):
        _schema(each)


def _turns(messages: list[dict[str, Any]]) -> None:
    waiting: list[str] = []
    for index, message in enumerate(messages):
        role = message["role"]
        if role == "system" and index:
            raise Refused(400, "system turn must be the first in the list")
        if role == "tool":
            if message["tool_call_id"] not in waiting:
                raise invalid(f"tool_call_id {message['tool_call_id']} is not among the tool calls before it.")
            waiting.remove(message["tool_call_id"])
            continue
        if waiting:
            raise invalid(f"all tool calls must have tool results: {', '.join(waiting)} have none.")
        if role == "assistant":
            if not message.get("content") and not message.get("tool_calls"):
                raise invalid("all elements in history must have a message.")
            waiting = [call["id"] for call in message.get("tool_calls") or []]
            for call in message.get("tool_calls") or []:
                _arguments(call["function"]["arguments"])
        elif isinstance(message["content"], str) and not message["content"].strip():
            raise invalid("message must be at least 1 token long or tool results must be specified.")
    if waiting:
        raise invalid(f"all tool calls must have tool results: {', '.join(waiting)} have none.")
    if messages[-1]["role"] == "system":
        raise invalid("a user message is required.")


def _arguments(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        raise invalid("tool call arguments must be JSON.") from None


def thinks(body: dict[str, Any]) -> bool:
    """Whether the model thinks: the reasoning models do unless told not to."""
    return "reasoning" in body["model"] and (body.get("thinking") or {}).get("type") != "disabled"


def heard(body: dict[str, Any]) -> Heard:
    """The neutral reading of a valid body."""
    result = Heard("cohere", body["model"], limit=body.get("max_tokens"), stop=body.get("stop_sequences") or [])
    result.thinks = thinks(body)
    for tool in body.get("tools") or []:
        result.tools.append(Tool(tool["function"]["name"], "function", tool["function"]["parameters"]))
    result.choice = {"REQUIRED": "required", "NONE": "none"}.get(body.get("tool_choice", ""), "auto")  # type: ignore[assignment]
    wanted = body.get("response_format") or {"type": "text"}
    if wanted["type"] == "json_object":
        result.schema = wanted.get("json_schema") or {}
    for message in body["messages"]:
        _read(message, result)
    return result


def _read(message: dict[str, Any], result: Heard) -> None:
    role, content = message["role"], message.get("content") or []
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if role == "system":
        result.system += [block["text"] for block in blocks]
        return
    if role == "tool":
        item = Item("result", call_id=message["tool_call_id"])
        for block in blocks:
            data = block.get("document", {}).get("data", {})
            item.texts.append(block.get("text") or json.dumps(data, ensure_ascii=False))
        item.error = item.texts[:1] == ["Error:"]
        result.items.append(item)
        return
    said = Item("message", role)
    for block in blocks:
        match block["type"]:
            case "thinking":
                result.items.append(Item("thought", texts=[block["thinking"]]))
            case "image_url":
                url = block["image_url"]["url"]
                inline = url.startswith("data:")
                said.media.append(media_label("image", url) if inline else media_label("image", url=url))
            case _:
                said.texts.append(block["text"])
    if said.texts or said.media:
        result.items.append(said)
    if message.get("tool_plan"):
        result.items.append(Item("thought", texts=[message["tool_plan"]]))
    for call in message.get("tool_calls") or []:
        function = call["function"]
        result.items.append(Item("call", name=function["name"], call_id=call["id"], arguments=function["arguments"]))

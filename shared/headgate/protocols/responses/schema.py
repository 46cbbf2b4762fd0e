"""What a client may send to ``POST /v1/responses``: checked before any upstream is called, never rewritten.

Fields that the API accepts without effect are checked like the others. Unknown fields, unknown item, part and tool
types pass: a newer client must not be refused by an older gateway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from headgate.errors import invalid_request
from headgate.protocols.responses.checks import (
    Shape,
    array,
    check,
    mapping,
    missing,
    one_of,
    tag,
    unknown_value,
    wrong_type,
    wrong_value,
)
from headgate.protocols.responses.schema_items import check_items
from headgate.protocols.responses.schema_messages import check_chat_messages
from headgate.protocols.schema_roots import wrong_type as wrong_root

_MAX_INT = 9007199254740991
_NAME = r"^[a-zA-Z0-9_.-]+$"
_PositiveInt = Annotated[int, Field(gt=0, le=_MAX_INT)]

# Limits on a structured-output schema; a deeper or larger one costs more to check than any model would follow.
_SCHEMA_DEPTH, _SCHEMA_NODES, _SCHEMA_ENTRIES, _SCHEMA_STRING = 64, 4096, 256, 65536


class _Reasoning(Shape):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed", "none"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class _Compaction(Shape):
    type: str
    compact_threshold: int | None = None


class _Prompt(Shape):
    id: str
    version: str | None = None
    variables: dict[str, Any] | None = None


class _StreamOptions(Shape):
    include_obfuscation: bool | None = None


class _Body(Shape):
    model: Annotated[str, Field(min_length=1)]
    include: (
        Annotated[
            list[
                Literal[
                    "web_search_call.results",
                    "web_search_call.action.sources",
                    "message.output_text.logprobs",
                    "message.input_image.image_url",
                    "reasoning.encrypted_content",
                    "file_search_call.results",
                    "computer_call_output.output.image_url",
                    "code_interpreter_call.outputs",
                ]
            ],
            Field(max_length=8),
        ]
        | None
    ) = None
    instructions: str | None = None
    max_output_tokens: _PositiveInt | None = None
    metadata: (
        Annotated[
            dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
        ]
        | None
    ) = None
    reasoning: _Reasoning | None = None
    stream: bool | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    tools: list[Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: _PositiveInt | None = None
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: Literal["in-memory", "in_memory", "24h"] | None = None
    prompt_cache_options: dict[str, Any] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    store: bool | None = None
    stream_options: _StreamOptions | None = None
    user: str | None = None
    routing: dict[str, Any] | None = None
    background: bool | None = None
    context_management: list[_Compaction] | None = None
    prompt: _Prompt | None = None
    safety_identifier: str | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None


class _JsonSchemaFormat(Shape):
    name: Annotated[str, Field(pattern=_NAME)]
    description: str | None = None
    strict: bool | None = None


class _FunctionTool(Shape):
    name: Annotated[str, Field(pattern=_NAME)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class _CustomTool(Shape):
    name: Annotated[str, Field(pattern=_NAME)]
    description: str | None = None
    format: dict[str, Any] | None = None


class _NamespaceTool(Shape):
    name: Annotated[str, Field(pattern=_NAME)]
    description: str | None = None
    tools: list[Any]


class _SearchFilters(Shape):
    allowed_domains: list[str] | None = None
    blocked_domains: list[str] | None = None


class _UserLocation(Shape):
    type: Literal["approximate"] | None = None
    country: str | None = None
    region: str | None = None
    city: str | None = None
    timezone: str | None = None


class _WebSearchTool(Shape):
    search_context_size: Literal["low", "medium", "high"] | None = None
    filters: _SearchFilters | None = None
    user_location: _UserLocation | None = None


class _NamedChoice(Shape):
    name: str


_TOOLS: dict[str, type[Shape]] = {
    "function": _FunctionTool,
    "custom": _CustomTool,
    "namespace": _NamespaceTool,
    "web_search": _WebSearchTool,
    "web_search_2025_08_26": _WebSearchTool,
    "web_search_preview": _WebSearchTool,
    "web_search_preview_2025_03_11": _WebSearchTool,
}


def validate(body: Any) -> dict[str, Any]:
    """``body`` itself if it is a valid request. Raises GatewayError 400 (``param`` names the field at fault)."""
    if not isinstance(body, dict):
        raise invalid_request("The request body must be a JSON object.", code="invalid_type")
    check(_Body, body, "")
    _check_input(body)
    _check_conversation(body)
    _check_stop(body.get("stop"))
    if body.get("text") is not None:
        _check_text(mapping(body["text"], "text"))
    if body.get("response_format") is not None:
        _check_response_format(mapping(body["response_format"], "response_format"))
    for index, tool in enumerate(body.get("tools") or ()):
        _check_tool(tool, f"tools[{index}]")
    if body.get("tool_choice") is not None:
        _check_tool_choice(body["tool_choice"])
    return body


def _check_stop(stop: Any) -> None:
    """``stop`` is Chat Completions' field; OpenAI's Responses has none, other models' vendors have."""
    if stop is None or isinstance(stop, str):
        return
    for index, each in enumerate(array(stop, "stop")):
        if not isinstance(each, str):
            raise wrong_type(f"stop[{index}]", "a string", each)


def _check_input(body: Mapping[str, Any]) -> None:
    if body.get("input") is None:
        if body.get("messages") is None:
            raise missing("input")
        check_chat_messages(array(body["messages"], "messages"))
        return
    given = body["input"]
    if isinstance(given, str):
        if not given:
            raise wrong_value("input", "expected a string with minimum length 1.")
    elif isinstance(given, list):
        if not given and not body.get("previous_response_id"):
            raise wrong_value("input", "expected at least one item.")
        check_items(given, "input")
    else:
        raise wrong_type("input", "a string or an array of items", given)


def _check_conversation(body: Mapping[str, Any]) -> None:
    conversation = body.get("conversation")
    if conversation is None:
        return
    if isinstance(conversation, dict):
        if not isinstance(conversation.get("id"), str):
            raise missing("conversation.id")
    elif not isinstance(conversation, str):
        raise wrong_type("conversation", "a string or an object with an id", conversation)
    if body.get("previous_response_id") is not None:
        raise invalid_request(
            "Mutually exclusive parameters: 'previous_response_id' cannot be used together with 'conversation'.",
            param="previous_response_id",
            code="mutually_exclusive_parameters",
        )


def _check_text(text: Mapping[str, Any]) -> None:
    if text.get("verbosity") is not None:
        one_of("text.verbosity", text["verbosity"], ("low", "medium", "high"))
    if text.get("format") is None:
        return
    shape = mapping(text["format"], "text.format")
    kind = tag(shape, "text.format")
    if kind == "json_schema":
        check(_JsonSchemaFormat, shape, "text.format")
        _check_schema(shape.get("schema"), "text.format.schema")
    elif kind not in ("text", "json_object"):
        raise unknown_value("text.format.type", kind, ("text", "json_object", "json_schema"))


def _check_response_format(shape: Mapping[str, Any]) -> None:
    """Chat Completions' form of the same: the schema one level deeper."""
    kind = tag(shape, "response_format")
    if kind == "json_schema":
        inner = shape.get("json_schema", shape)
        path = "response_format.json_schema" if "json_schema" in shape else "response_format"
        check(_JsonSchemaFormat, mapping(inner, path), path)
        _check_schema(inner.get("schema"), f"{path}.schema")
    elif kind not in ("text", "json_object"):
        raise unknown_value("response_format.type", kind, ("text", "json_object", "json_schema"))


def _check_schema(schema: Any, path: str) -> None:
    if schema is None:
        raise missing(path)
    mapping(schema, path)
    nodes = 0
    level: list[Any] = [schema]
    for _ in range(_SCHEMA_DEPTH + 1):
        deeper: list[Any] = []
        for node in level:
            if isinstance(node, str):
                if len(node) > _SCHEMA_STRING:
                    raise wrong_value(path, f"a string in it is longer than {_SCHEMA_STRING} characters.")
            elif isinstance(node, dict | list):
                nodes += 1
                if len(node) > _SCHEMA_ENTRIES:
                    raise wrong_value(path, f"an object or array in it has more than {_SCHEMA_ENTRIES} entries.")
                deeper.extend(node.values() if isinstance(node, dict) else node)
        if nodes > _SCHEMA_NODES:
            raise wrong_value(path, f"it has more than {_SCHEMA_NODES} objects and arrays.")
        if not deeper:
            return
        level = deeper
    raise wrong_value(path, f"it is nested deeper than {_SCHEMA_DEPTH} levels.")


def _check_tool(tool: Any, path: str) -> None:
    kind = tag(mapping(tool, path), path)
    shape = _TOOLS.get(kind)
    if shape is not None:
        check(shape, tool, path)
    root = wrong_root(tool.get("parameters")) if kind == "function" else None
    if root is not None:
        raise wrong_value(f"{path}.parameters.type", f"the arguments are an object, not {root!r}.")
    if kind == "namespace":
        for index, inner in enumerate(tool["tools"]):
            place = f"{path}.tools[{index}]"
            inner_kind = tag(mapping(inner, place), place)
            if inner_kind not in ("function", "custom"):
                raise unknown_value(f"{place}.type", inner_kind, ("function", "custom"))
            _check_tool(inner, place)


def _check_tool_choice(choice: Any) -> None:
    if isinstance(choice, str):
        one_of("tool_choice", choice, ("none", "auto", "required"))
        return
    if not isinstance(choice, dict):
        raise wrong_type("tool_choice", "a string or an object", choice)
    kind = tag(choice, "tool_choice")
    if kind in ("function", "custom"):
        check(_NamedChoice, choice, "tool_choice")
    elif kind == "allowed_tools":
        if choice.get("mode") is not None:
            one_of("tool_choice.mode", choice["mode"], ("auto", "required"))
        if "tools" not in choice:
            raise missing("tool_choice.tools")
        for index, tool in enumerate(array(choice["tools"], "tool_choice.tools")):
            path = f"tool_choice.tools[{index}]"
            if tag(mapping(tool, path), path) in ("function", "custom"):
                check(_NamedChoice, tool, path)

"""What a Messages request must look like; refused here, it costs no upstream call.

The objects are described as pydantic-core schemas rather than models: building them takes microseconds instead of
milliseconds at a cold start. Unions are resolved by hand (``role``, then ``type``), so an error names the one branch
that was meant. Messages have the vendor's own form, ``messages.0.role: Input should be …``: Claude Code reads it.
Anything that we do not know (fields, block and tool types) passes: another version of the API may define it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import CoreSchema, SchemaValidator, ValidationError
from pydantic_core import core_schema as s

from headgate.errors import GatewayError, invalid_request
from headgate.protocols.schema_roots import wrong_type as wrong_root

VERSION_2023 = "2023-06-01"
VERSION_2026 = "2026-10-21"
_SAFE_INTEGER = 2**53 - 1
# A tool result holds documents, a document holds blocks; nothing real goes deeper.
_MAX_DEPTH = 4
_STRICT = s.CoreConfig(strict=True)

Path = tuple[str | int, ...]


def _fields(required: Mapping[str, CoreSchema] | None = None, **optional: CoreSchema) -> CoreSchema:
    """An object with these fields and any others; the optional ones may be null."""
    fields = {name: s.typed_dict_field(schema, required=True) for name, schema in (required or {}).items()}
    for name, schema in optional.items():
        fields[name] = s.typed_dict_field(s.nullable_schema(schema), required=False)
    return s.typed_dict_schema(fields, extra_behavior="allow", config=_STRICT)


_text, _flag, _object, _list = s.str_schema(), s.bool_schema(), s.dict_schema(s.str_schema()), s.list_schema()
_texts = s.list_schema(_text)
_count = s.int_schema(ge=0, le=_SAFE_INTEGER)
_mark = _fields({"type": s.literal_schema(["ephemeral"])}, ttl=s.literal_schema(["5m", "1h"]))
_efforts = s.literal_schema(["low", "medium", "high", "xhigh", "max", "minimal", "none"])
_format = _fields({"type": s.literal_schema(["json_schema"]), "schema": _object})
_domains = _texts
_image_types = s.literal_schema(["image/jpeg", "image/png", "image/gif", "image/webp"])

_BODY = _fields(
    {},
    model=s.str_schema(min_length=1),
    stream=_flag,
    temperature=s.float_schema(ge=0, le=1, allow_inf_nan=False),
    top_p=s.float_schema(ge=0, le=1, allow_inf_nan=False),
    top_k=_count,
    stop_sequences=_texts,
    metadata=_fields(user_id=_text),
    output_config=_fields(effort=_efforts, format=_format, task_budget=_object),
    output_format=_format,
    cache_control=_mark,
    provider=_text,
    service_tier=_text,
    inference_geo=_text,
    mcp_servers=s.list_schema(_fields({"type": _text, "name": _text, "url": _text}, authorization_token=_text)),
    context_management=_object,
    diagnostics=_object,
    speed=s.literal_schema(["standard", "fast"]),
    tools=s.list_schema(_object),
    tool_choice=_object,
    thinking=_object,
    thread=_object,
)

_TYPED: dict[str, dict[str, CoreSchema]] = {
    "thinking": {
        "enabled": _fields({"budget_tokens": s.int_schema(ge=1024, le=_SAFE_INTEGER)}, display=_text),
        "adaptive": _fields({}, display=_text),
        "disabled": _fields({}),
        "between_tools": _fields({}),
    },
    "tool_choice": {
        "auto": _fields({}, disable_parallel_tool_use=_flag),
        "any": _fields({}, disable_parallel_tool_use=_flag),
        "tool": _fields({"name": s.str_schema(min_length=1)}, disable_parallel_tool_use=_flag),
        "none": _fields({}),
    },
    "thread": {
        "create": _fields({}),
        "continue": _fields({"previous_message_id": s.str_schema(min_length=1)}),
    },
}

_BLOCKS: dict[str, CoreSchema] = {
    "text": _fields({"text": _text}, cache_control=_mark, citations=s.list_schema(_object)),
    "image": _fields({"source": _object}, cache_control=_mark),
    "document": _fields({"source": _object}, cache_control=_mark, title=_text, context=_text, citations=_object),
    "tool_use": _fields(
        {"id": s.str_schema(min_length=1), "name": s.str_schema(min_length=1), "input": _object}, cache_control=_mark
    ),
    "tool_result": _fields({"tool_use_id": s.str_schema(min_length=1)}, is_error=_flag, cache_control=_mark),
    "thinking": _fields({"thinking": _text, "signature": _text}),
    "redacted_thinking": _fields({"data": _text}),
    "server_tool_use": _fields({"id": _text, "name": _text, "input": _object}),
    "web_search_tool_result": _fields({"tool_use_id": _text}),
    "search_result": _fields({"source": _text, "title": _text, "content": s.list_schema(_object)}, cache_control=_mark),
}

_SOURCES: dict[str, dict[str, CoreSchema]] = {
    "image": {
        "base64": _fields({"media_type": _image_types, "data": s.str_schema(min_length=1)}),
        "url": _fields({"url": s.str_schema(min_length=1)}),
        "file": _fields({"file_id": s.str_schema(min_length=1)}),
    },
    "document": {
        "base64": _fields({"media_type": s.literal_schema(["application/pdf"]), "data": s.str_schema(min_length=1)}),
        "text": _fields({"media_type": s.literal_schema(["text/plain"]), "data": _text}),
        "url": _fields({"url": s.str_schema(min_length=1)}),
        "file": _fields({"file_id": s.str_schema(min_length=1)}),
        "content": _fields({}),
    },
}

_CUSTOM_TOOL = _fields(
    {"name": s.str_schema(pattern=r"^[a-zA-Z0-9_.-]{1,128}$"), "input_schema": _object},
    description=_text,
    strict=_flag,
    defer_loading=_flag,
    cache_control=_mark,
)
_WEB_SEARCH = _fields(
    {}, allowed_domains=_domains, blocked_domains=_domains, max_uses=s.int_schema(gt=0), user_location=_object
)


def _validator(schema: CoreSchema) -> SchemaValidator:
    return SchemaValidator(schema, _STRICT)


_body = _validator(_BODY)
_max_tokens = _validator(_count)
_custom_tool, _web_search = _validator(_CUSTOM_TOOL), _validator(_WEB_SEARCH)
_blocks = {name: _validator(schema) for name, schema in _BLOCKS.items()}
_typed = {field: {name: _validator(each) for name, each in table.items()} for field, table in _TYPED.items()}
_sources = {kind: {name: _validator(each) for name, each in table.items()} for kind, table in _SOURCES.items()}


def validate(body: Any, version: str = VERSION_2023, *, counting: bool = False) -> dict[str, Any]:
    """The client's body itself, found well-formed. ``version`` is the request's ``anthropic-version``: under
    ``2026-10-21`` the sampling parameters, documents in assistant turns and citations on user text are refused.
    ``counting``: the body of ``count_tokens``, which has no ``max_tokens``. Raises GatewayError 400."""
    if not isinstance(body, dict):
        raise _error((), "Input should be a valid JSON object", "invalid_type")
    _check(_body, body, ())
    if not counting:
        _required(body, "max_tokens", ())
        _check(_max_tokens, body["max_tokens"], ("max_tokens",))
    for field, table in _typed.items():
        if body.get(field) is not None:
            _check_typed(table, body[field], (field,))
    _check_system(body.get("system"))
    _check_tools(body.get("tools") or [])
    thread = body.get("thread")
    continued = thread is not None and thread["type"] == "continue"
    _check_messages(body, empty=continued, recent=version >= VERSION_2026)
    if version >= VERSION_2026:
        for field in ("temperature", "top_p", "top_k"):
            if body.get(field) is not None:
                raise _error((field,), "Extra inputs are not permitted", "unknown_parameter")
    return body


def is_cache_warm_up(body: Mapping[str, Any]) -> bool:
    """Whether ``max_tokens`` is 0: fill the prompt cache, write no answer. Only a Messages upstream can do that."""
    return body.get("max_tokens") == 0


def _check_messages(body: Mapping[str, Any], *, empty: bool, recent: bool) -> None:
    _required(body, "messages", ())
    messages = body["messages"]
    if not isinstance(messages, list):
        raise _error(("messages",), "Input should be a valid list", "invalid_type")
    if not messages and not empty:
        raise _error(("messages",), "at least one message is required", "invalid_value")
    for index, message in enumerate(messages):
        at = ("messages", index)
        if not isinstance(message, dict):
            raise _error(at, "Input should be a valid dictionary", "invalid_type")
        _required(message, "role", at)
        role = message["role"]
        if role not in ("user", "assistant", "system"):
            raise _error((*at, "role"), "Input should be 'user', 'assistant' or 'system'", "invalid_value")
        if role != "system":
            _required(message, "content", at)
        content = message.get("content")
        if isinstance(content, str) or (content is None and role == "system"):
            continue
        _check_blocks(content, (*at, "content"))
        if recent:
            _check_recent(role, content, (*at, "content"))


def _check_blocks(content: Any, at: Path, depth: int = 0) -> None:
    if depth > _MAX_DEPTH:
        raise _error(at, "Content is nested too deeply", "invalid_value")
    if not isinstance(content, list):
        raise _error(at, "Input should be a valid string or a list of content blocks", "invalid_type")
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            raise _error((*at, index), "Input should be a valid dictionary", "invalid_type")
        _required(block, "type", (*at, index))
        kind = block["type"]
        if not isinstance(kind, str):
            raise _error((*at, index, "type"), "Input should be a valid string", "invalid_type")
        validator = _blocks.get(kind)
        if validator is None:
            continue
        try:
            validator.validate_python(block)
        except ValidationError as error:
            raise _translate(error, (*at, index, kind)) from None
        if kind in _sources:
            _check_source(kind, block["source"], (*at, index, kind, "source"), depth)
        elif kind == "tool_result":
            result = block.get("content")
            if result is not None and not isinstance(result, str):
                _check_blocks(result, (*at, index, kind, "content"), depth + 1)


def _check_source(kind: str, source: Mapping[str, Any], at: Path, depth: int) -> None:
    _check_typed(_sources[kind], source, at)
    if source["type"] == "content" and not isinstance(source.get("content"), str):
        _check_blocks(source.get("content"), (*at, "content"), depth + 1)


def _check_recent(role: str, content: Any, at: Path) -> None:
    for index, block in enumerate(content):
        if role == "assistant" and block["type"] == "document":
            raise _error((*at, index), "document blocks are not permitted in assistant messages", "invalid_value")
        if role == "user" and block["type"] == "text" and block.get("citations"):
            raise _error((*at, index, "text", "citations"), "Extra inputs are not permitted", "unknown_parameter")


def _check_system(system: Any) -> None:
    if system is None or isinstance(system, str):
        return
    _check_blocks(system, ("system",))
    for index, block in enumerate(system):
        if block["type"] != "text":
            raise _error(("system", index, "type"), "Input should be 'text'", "invalid_value")


def _check_tools(tools: Sequence[Mapping[str, Any]]) -> None:
    for index, tool in enumerate(tools):
        kind = tool.get("type")
        if kind is None or kind == "custom":
            _check(_custom_tool, tool, ("tools", index, "custom"))
            if wrong_root(tool["input_schema"]) is not None:
                raise _error(
                    ("tools", index, "custom", "input_schema", "type"), "Input should be 'object'", "invalid_value"
                )
        elif not isinstance(kind, str):
            raise _error(("tools", index, "type"), "Input should be a valid string", "invalid_type")
        elif kind.startswith("web_search_"):
            _check(_web_search, tool, ("tools", index, kind))


def _check_typed(table: Mapping[str, SchemaValidator], value: Any, at: Path) -> None:
    if not isinstance(value, dict):
        raise _error(at, "Input should be a valid dictionary", "invalid_type")
    _required(value, "type", at)
    validator = table.get(value["type"]) if isinstance(value["type"], str) else None
    if validator is None:
        *head, last = (f"'{name}'" for name in table)
        expected = f"{', '.join(head)} or {last}" if head else last
        raise _error((*at, "type"), f"Input should be {expected}", "invalid_value")
    _check(validator, value, (*at, value["type"]))


def _check(validator: SchemaValidator, value: Any, at: Path) -> None:
    try:
        validator.validate_python(value)
    except ValidationError as error:
        raise _translate(error, at) from None


def _required(value: Mapping[str, Any], field: str, at: Path) -> None:
    if field not in value or (value[field] is None and field != "content"):
        raise _error((*at, field), "Field required", "missing_required_parameter")


def _translate(error: ValidationError, at: Path) -> GatewayError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    code = "invalid_value"
    if first["type"] == "missing":
        code = "missing_required_parameter"
    elif first["type"].endswith("_type"):
        code = "invalid_type"
    return _error((*at, *first["loc"]), first["msg"], code)


def _error(at: Path, message: str, code: str) -> GatewayError:
    dotted = ".".join(map(str, at))
    # The branch names that stand in the vendor's message (messages.0.content.1.image.source) are no part of the path.
    steps = [step for i, step in enumerate(at) if not _is_branch(at, i)]
    param = re.sub(r"\.\[", "[", ".".join(f"[{step}]" if isinstance(step, int) else step for step in steps)) or None
    return invalid_request(f"{dotted}: {message}" if dotted else message, param=param, code=code)


def _is_branch(at: Path, index: int) -> bool:
    step, before = at[index], at[index - 1] if index else None
    if not isinstance(step, str):
        return False
    if isinstance(before, int) and at[index - 2] in ("content", "tools", "system"):
        return step in _BLOCKS or step == "custom" or step.startswith("web_search_")
    return before in ("thinking", "tool_choice", "thread", "source") and step in (
        *_TYPED.get(str(before), {}),
        *(_SOURCES["document"] if before == "source" else {}),
    )

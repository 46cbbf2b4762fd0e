"""Validation of a Chat Completions body: what OpenAI would refuse is refused here, before any upstream call.

Unknown fields, unknown content parts and unknown tool types pass. Errors name the field by its path and say what was
expected, in the words OpenAI uses. Unions are chosen by hand, by ``role`` or ``type``, so that an error speaks of the
one branch that applies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from headgate.errors import invalid_request
from headgate.protocols.chat_completions.gateway_fields import merged
from headgate.protocols.chat_completions.refusals import check, missing, show, wrong_type
from headgate.protocols.chat_completions.shapes import BODY, CALLS, CHOICES, MESSAGES, PARTS, TOOLS
from headgate.protocols.schema_roots import wrong_type as wrong_root

_ROLES = "'system', 'assistant', 'user', 'function', 'tool', and 'developer'"


def validate(body: Any) -> dict[str, Any]:
    """``body`` itself, if it is an acceptable request. Raises GatewayError 400 with ``param`` and ``code``."""
    if not isinstance(body, dict):
        raise invalid_request("The request body must be a JSON object.", code="invalid_type")
    request = cast("dict[str, Any]", body)
    # What comes in ``extra_body`` ends up in the request, so it is held to the same rules.
    fields = merged(request) if isinstance(request.get("extra_body"), dict) else request
    check(BODY, fields, "")
    for index, message in enumerate(fields["messages"]):
        _message(message, f"messages[{index}]")
    for index, tool in enumerate(fields.get("tools") or ()):
        adapter = TOOLS.get(_type(tool, f"tools[{index}]"))
        if adapter is not None:
            check(adapter, tool, f"tools[{index}]")
        _arguments((tool.get("function") or {}).get("parameters"), f"tools[{index}].function.parameters")
    _choices(fields)
    _stop(fields.get("stop"))
    _seed(fields.get("seed"))
    _together(fields)
    return request


def _arguments(schema: Any, path: str) -> None:
    kind = wrong_root(schema)
    if kind is not None:
        text = f"Invalid schema for a function: schema must be a JSON Schema of 'type: \"object\"', got {show(kind)}."
        raise invalid_request(text, param=f"{path}.type", code="invalid_function_parameters")


def _message(message: Any, path: str) -> None:
    if not isinstance(message, dict):
        raise wrong_type(path, "an object", message)
    role = cast("dict[str, Any]", message).get("role")
    if role is None:
        raise missing(f"{path}.role")
    adapter = MESSAGES.get(role) if isinstance(role, str) else None
    if adapter is None:
        raise invalid_request(f"Invalid value: {show(role)}. Supported values are: {_ROLES}.", param=f"{path}.role")
    check(adapter, message, path)
    _content(message.get("content"), path, role)
    for index, call in enumerate(message.get("tool_calls") or ()):
        where = f"{path}.tool_calls[{index}]"
        checked = CALLS.get(call.get("type") or "function") if isinstance(call.get("type"), str | None) else None
        if checked is None:
            message = f"Invalid value: {show(call.get('type'))}. Supported values are: 'function' and 'custom'."
            raise invalid_request(message, param=f"{where}.type")
        check(checked, call, where)


def _content(content: Any, path: str, role: str) -> None:
    if isinstance(content, str):
        return
    if content is None:
        if role in ("assistant", "function"):
            return
        raise wrong_type(f"{path}.content", "one of a string or array of objects", content)
    if not isinstance(content, list):
        raise wrong_type(f"{path}.content", "one of a string or array of objects", content)
    parts = cast("list[Any]", content)
    if not parts and role != "assistant":
        raise invalid_request(
            f"Invalid '{path}.content': empty array. Expected an array with minimum length 1.",
            param=f"{path}.content",
            code="empty_array",
        )
    for index, part in enumerate(parts):
        where = f"{path}.content[{index}]"
        adapter = PARTS.get(_type(part, where))
        # Some clients give an address as a plain string.
        plain = part["type"] in ("image_url", "video_url") and isinstance(part.get(part["type"]), str)
        if adapter is not None and not plain:
            check(adapter, part, where)


def _choices(body: Mapping[str, Any]) -> None:
    choice = body.get("tool_choice")
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            text = f"Invalid value: {show(choice)}. Supported values are: 'none', 'auto', and 'required'."
            raise invalid_request(text, param="tool_choice")
    elif choice is not None:
        kind = _type(choice, "tool_choice")
        adapter = CHOICES.get(kind)
        if adapter is None:
            text = f"Invalid value: {show(kind)}. Supported values are: 'function', 'custom', and 'allowed_tools'."
            raise invalid_request(text, param="tool_choice.type")
        check(adapter, choice, "tool_choice")
        for index, tool in enumerate(choice["allowed_tools"]["tools"] if kind == "allowed_tools" else ()):
            path = f"tool_choice.allowed_tools.tools[{index}]"
            named = CHOICES.get(_type(tool, path))
            if named is not None:
                check(named, tool, path)
    call = body.get("function_call")
    if isinstance(call, str):
        if call not in ("none", "auto"):
            text = f"Invalid value: {show(call)}. Supported values are: 'none' and 'auto'."
            raise invalid_request(text, param="function_call")
    elif call is not None:
        if not isinstance(call, dict):
            raise wrong_type("function_call", "one of a string or object", call)
        if not isinstance(cast("dict[str, Any]", call).get("name"), str):
            raise missing("function_call.name")


def _stop(stop: Any) -> None:
    if stop is None or isinstance(stop, str):
        return
    if not isinstance(stop, list):
        raise wrong_type("stop", "one of a string or array of strings", stop)
    words = cast("list[Any]", stop)
    if len(words) > 4:
        text = f"Invalid 'stop': array too long. Expected an array with maximum length 4, but got {len(words)} instead."
        raise invalid_request(text, param="stop", code="array_above_max_length")
    for index, word in enumerate(words):
        if not isinstance(word, str):
            raise wrong_type(f"stop[{index}]", "a string", word)


def _seed(seed: Any) -> None:
    if seed is None:
        return
    if isinstance(seed, str) and len(seed) <= 20 and seed.isascii() and seed.removeprefix("-").isdecimal():
        seed = int(seed)
    if type(seed) is not int:
        raise wrong_type("seed", "an integer", seed)
    if not -(2**63) <= seed < 2**63:
        raise invalid_request("Invalid 'seed': expected a 64-bit integer.", param="seed")


def _together(body: Mapping[str, Any]) -> None:
    """Fields that only make sense beside another one."""
    if body.get("top_logprobs") and not body.get("logprobs"):
        text = "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled."
        raise invalid_request(text, param="top_logprobs")
    if body.get("stream_options") is not None and not body.get("stream"):
        text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise invalid_request(text, param="stream_options")
    form = body.get("response_format")
    if form and form["type"] == "json_schema" and not form.get("json_schema"):
        raise missing("response_format.json_schema")
    if "audio" in (body.get("modalities") or ()) and not body.get("audio"):
        raise missing("audio")


def _type(value: Any, path: str) -> str:
    if not isinstance(value, dict):
        raise wrong_type(path, "an object", value)
    kind = cast("dict[str, Any]", value).get("type")
    if kind is None:
        raise missing(f"{path}.type")
    if not isinstance(kind, str):
        raise wrong_type(f"{path}.type", "a string", kind)
    return kind

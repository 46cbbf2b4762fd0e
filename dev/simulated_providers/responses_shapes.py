"""The shape of a body of OpenAI's Responses API."""

from __future__ import annotations

from typing import Any

from . import openai_common as openai
from .openai_common import Refused
from .shapes import (
    Check,
    Path,
    anything,
    array,
    boolean,
    choice,
    either,
    integer,
    mapping,
    nullable,
    number,
    record,
    string,
    tagged,
)

_STATUS = nullable(choice("in_progress", "completed", "incomplete"))
_CALL_ID = string(longest=64, shortest=1)
_OBJECT = record({}, free=True)


def _own_id(prefix: str) -> Check:
    """An item id of OpenAI's own making; the API tells item kinds apart by it and refuses a call id in its place."""
    bounded = string(longest=64)

    def check(value: Any, path: Path) -> None:
        bounded(value, path)
        if not value.startswith(prefix):
            where = openai.path_text(path)
            text = f"Invalid '{where}': '{value}'. Expected an ID that begins with '{prefix}'."
            raise Refused(400, text, "invalid_value", where)

    return nullable(check)


_MARK = nullable(record({"mode": choice("explicit"), "ttl": choice("30m", "12h")}, ("mode",)))
_INPUT_PARTS = {
    "input_text": record({"type": anything, "text": string(), "prompt_cache_breakpoint": _MARK}, ("text",)),
    "input_image": record(
        {
            "type": anything,
            "image_url": nullable(string()),
            "file_id": nullable(string()),
            "detail": nullable(choice("low", "high", "auto", "original")),
            "prompt_cache_breakpoint": _MARK,
        }
    ),
    "input_file": record(
        {
            "type": anything,
            "file_data": nullable(string()),
            "file_id": nullable(string()),
            "file_url": nullable(string()),
            "filename": nullable(string()),
            "detail": nullable(choice("low", "high", "auto")),
            "prompt_cache_breakpoint": _MARK,
        }
    ),
}
_OUTPUT_PARTS = {
    "output_text": record(
        {"type": anything, "text": string(), "annotations": array(_OBJECT), "logprobs": nullable(array(_OBJECT))},
        ("text",),
    ),
    "refusal": record({"type": anything, "refusal": string()}, ("refusal",)),
}


def _turn(parts: dict[str, Check]) -> Check:
    return record(
        {
            "type": anything,
            "role": choice("assistant", "system", "developer", "user"),
            "content": either("one of a string or array of content parts", {str: string(), list: array(tagged(parts))}),
            "id": _own_id("msg"),
            "status": _STATUS,
            "phase": nullable(choice("commentary", "final_answer")),
        },
        ("role", "content"),
    )


_ASKED, _ANSWERED = _turn(_INPUT_PARTS), _turn(_OUTPUT_PARTS)


def _message(value: Any, path: Path) -> None:
    ours = isinstance(value, dict) and value.get("role") == "assistant"
    (_ANSWERED if ours else _ASKED)(value, path)


_OUTPUT = either("one of a string or array of objects", {str: string(), list: array(tagged(_INPUT_PARTS))})
_SUMMARY = array(record({"type": choice("summary_text"), "text": string()}, ("type", "text")))
_CALLER = nullable(_OBJECT)
_ITEMS: dict[str, Check] = {
    "message": _message,
    "function_call": record(
        {
            "type": anything,
            "id": _own_id("fc"),
            "call_id": _CALL_ID,
            "name": string(pattern=openai.NAME, shortest=1, longest=128),
            "arguments": string(),
            "status": _STATUS,
            "namespace": nullable(string()),
            "caller": _CALLER,
            "async": nullable(boolean),
        },
        ("call_id", "name", "arguments"),
    ),
    "function_call_output": record(
        {
            "type": anything,
            "id": _own_id("fc"),
            "call_id": _CALL_ID,
            "output": _OUTPUT,
            "status": _STATUS,
            "name": nullable(string()),
            "namespace": nullable(string()),
            "caller": _CALLER,
        },
        ("call_id", "output"),
    ),
    "custom_tool_call": record(
        {
            "type": anything,
            "id": _own_id("ctc"),
            "call_id": _CALL_ID,
            "name": string(),
            "input": string(),
            "status": _STATUS,
            "namespace": nullable(string()),
            "caller": _CALLER,
            "async": nullable(boolean),
        },
        ("call_id", "name", "input"),
    ),
    "custom_tool_call_output": record(
        {
            "type": anything,
            "id": _own_id("ctc"),
            "call_id": _CALL_ID,
            "output": _OUTPUT,
            "status": _STATUS,
            "caller": _CALLER,
        },
        ("call_id", "output"),
    ),
    "reasoning": record(
        {
            "type": anything,
            "id": _own_id("rs"),
            "summary": _SUMMARY,
            "content": nullable(array(_OBJECT)),
            "encrypted_content": nullable(string()),
            "status": _STATUS,
        },
        ("summary",),
    ),
    "web_search_call": record(
        {"type": anything, "id": _own_id("ws"), "status": nullable(string()), "action": _OBJECT}, ("id",)
    ),
    "item_reference": record({"type": anything, "id": string()}, ("id",)),
    **dict.fromkeys(
        [
            "file_search_call",
            "computer_call",
            "computer_call_output",
            "image_generation_call",
            "code_interpreter_call",
            "local_shell_call",
            "local_shell_call_output",
            "shell_call",
            "shell_call_output",
            "apply_patch_call",
            "apply_patch_call_output",
            "mcp_list_tools",
            "mcp_approval_request",
            "mcp_approval_response",
            "mcp_call",
            "tool_search_call",
            "tool_search_output",
            "additional_tools",
            "compaction",
            "compaction_trigger",
        ],
        _OBJECT,
    ),
}
_FORMAT = tagged(
    {
        "text": record({"type": anything}),
        "json_object": record({"type": anything}),
        "json_schema": record(
            {
                "type": anything,
                "name": string(pattern=openai.NAME, longest=64, shortest=1),
                "schema": _OBJECT,
                "description": nullable(string()),
                "strict": nullable(boolean),
            },
            ("name", "schema"),
        ),
    }
)
_FUNCTION = record(
    {
        "type": anything,
        "name": string(pattern=openai.NAME, longest=64, shortest=1),
        "description": nullable(string()),
        "parameters": nullable(_OBJECT),
        "strict": nullable(boolean),
        "defer_loading": nullable(boolean),
        "allowed_callers": nullable(array(string())),
        "output_schema": nullable(_OBJECT),
        "async": nullable(boolean),
    },
    ("name",),
)
_CUSTOM = record(
    {
        "type": anything,
        "name": string(pattern=openai.NAME, longest=64, shortest=1),
        "description": nullable(string()),
        "format": nullable(_OBJECT),
        "defer_loading": nullable(boolean),
        "allowed_callers": nullable(array(string())),
        "async": nullable(boolean),
    },
    ("name",),
)
_WEB_SEARCH = record(
    {
        "type": anything,
        "filters": nullable(
            record({"allowed_domains": nullable(array(string(), most=100)), "blocked_domains": anything})
        ),
        "search_context_size": nullable(choice("low", "medium", "high")),
        "user_location": nullable(record(dict.fromkeys(("type", "city", "country", "region", "timezone"), anything))),
        "external_web_access": nullable(boolean),
        # Codex sends it for the models it knows.
        "search_content_types": nullable(array(choice("text", "image"))),
    }
)
_TOOLS: dict[str, Check] = {
    "function": _FUNCTION,
    "custom": _CUSTOM,
    "web_search": _WEB_SEARCH,
    "web_search_2025_08_26": _WEB_SEARCH,
    "web_search_preview": _OBJECT,
    "namespace": record(
        {
            "type": anything,
            "name": string(),
            "description": string(),
            "tools": array(tagged({"function": _FUNCTION, "custom": _CUSTOM})),
        },
        ("name", "description", "tools"),
    ),
    **dict.fromkeys(
        [
            "file_search",
            "computer",
            "computer_use_preview",
            "mcp",
            "code_interpreter",
            "image_generation",
            "local_shell",
            "shell",
            "tool_search",
            "apply_patch",
            "programmatic_tool_calling",
        ],
        _OBJECT,
    ),
}
_FIELDS: dict[str, Check] = {
    "model": string(),
    "input": nullable(
        either(
            "one of a string or array of input items", {str: string(), list: array(tagged(_ITEMS, default="message"))}
        )
    ),
    "instructions": nullable(string()),
    "max_output_tokens": nullable(integer(16)),
    "max_tool_calls": nullable(integer(1)),
    "metadata": nullable(mapping(string(longest=512), most=16)),
    "parallel_tool_calls": nullable(boolean),
    "previous_response_id": nullable(string()),
    "conversation": anything,
    "prompt": nullable(_OBJECT),
    "prompt_cache_key": nullable(string(longest=64)),
    "prompt_cache_options": nullable(_OBJECT),
    "prompt_cache_retention": nullable(choice("in_memory", "in-memory", "24h")),
    "reasoning": nullable(
        record(
            {
                "effort": nullable(choice("none", "minimal", "low", "medium", "high", "xhigh", "max")),
                "summary": nullable(choice("auto", "concise", "detailed")),
                "generate_summary": nullable(choice("auto", "concise", "detailed")),
                "context": nullable(choice("auto", "current_turn", "all_turns")),
                "mode": nullable(string()),
            }
        )
    ),
    "safety_identifier": nullable(string(longest=64)),
    "service_tier": nullable(choice("auto", "default", "flex", "scale", "priority", "fast")),
    "store": nullable(boolean),
    "stream": nullable(boolean),
    "stream_options": nullable(record({"include_obfuscation": boolean})),
    "temperature": nullable(number(0, 2)),
    "text": nullable(record({"format": nullable(_FORMAT), "verbosity": nullable(choice("low", "medium", "high"))})),
    "tool_choice": nullable(
        either("one of a string or object", {str: choice("none", "auto", "required"), dict: _OBJECT})
    ),
    "tools": nullable(array(tagged(_TOOLS), most=128)),
    "top_logprobs": nullable(integer(0, 20)),
    "top_p": nullable(number(0, 1)),
    "truncation": nullable(choice("auto", "disabled")),
    "user": nullable(string()),
    "background": nullable(boolean),
    "context_management": anything,
    "client_metadata": nullable(mapping(string())),
    "include": nullable(
        array(
            choice(
                "file_search_call.results",
                "web_search_call.results",
                "web_search_call.action.sources",
                "message.input_image.image_url",
                "computer_call_output.output.image_url",
                "code_interpreter_call.outputs",
                "reasoning.encrypted_content",
                "message.output_text.logprobs",
            ),
            of="strings",
        )
    ),
    "moderation": anything,
    "image": anything,
    "access_programs": anything,
}
CREATE = record(_FIELDS, ("model",))
_COUNTED = [
    "model",
    "input",
    "instructions",
    "conversation",
    "parallel_tool_calls",
    "previous_response_id",
    "reasoning",
    "text",
    "tool_choice",
    "tools",
    "truncation",
    "personality",
]
COUNT = record({key: _FIELDS.get(key, anything) for key in _COUNTED}, ("model",))

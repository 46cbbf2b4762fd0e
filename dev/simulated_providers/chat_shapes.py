"""The shape of a body of OpenAI's Chat Completions API."""

from __future__ import annotations

from . import openai_common as openai
from .shapes import (
    Check,
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

_OBJECT = record({}, free=True)
_MARK = nullable(record({"mode": choice("explicit"), "ttl": choice("30m", "12h")}, ("mode",)))
_TEXT = record({"type": anything, "text": string(), "prompt_cache_breakpoint": _MARK}, ("text",))
_IMAGE = record({"url": string(), "detail": nullable(choice("auto", "low", "high", "original"))}, ("url",))
_AUDIO = record({"data": string(), "format": choice("wav", "mp3")}, ("data", "format"))
_FILE = record({"file_data": nullable(string()), "file_id": nullable(string()), "filename": nullable(string())})
_USER_PARTS = {
    "text": _TEXT,
    "image_url": record({"type": anything, "image_url": _IMAGE, "prompt_cache_breakpoint": _MARK}, ("image_url",)),
    "input_audio": record(
        {"type": anything, "input_audio": _AUDIO, "prompt_cache_breakpoint": _MARK}, ("input_audio",)
    ),
    "file": record({"type": anything, "file": _FILE, "prompt_cache_breakpoint": _MARK}, ("file",)),
}
_REFUSAL = record({"type": anything, "refusal": string()}, ("refusal",))


def _content(parts: dict[str, Check], *, empty: bool = False) -> Check:
    texts: dict[type, Check] = {str: string(), list: array(tagged(parts))}
    if empty:
        texts[type(None)] = anything
    return either("one of a string or array of objects", texts)


_NAMED = {"role": anything, "name": nullable(string(longest=64))}
_CALL = tagged(
    {
        "function": record(
            {
                "id": string(longest=40),
                "type": anything,
                "function": record(
                    {"name": string(pattern=openai.NAME, longest=64), "arguments": string()}, ("name", "arguments")
                ),
                "index": nullable(integer()),
            },
            ("id", "function"),
        ),
        "custom": record(
            {
                "id": string(longest=40),
                "type": anything,
                "custom": record({"name": string(), "input": string()}, ("name", "input")),
            },
            ("id", "custom"),
        ),
    },
    default="function",
)
_LEGACY = record({"name": string(), "arguments": string()}, ("name", "arguments"))
_MESSAGE = tagged(
    {
        "system": record({**_NAMED, "content": _content({"text": _TEXT})}, ("content",)),
        "developer": record({**_NAMED, "content": _content({"text": _TEXT})}, ("content",)),
        "user": record({**_NAMED, "content": _content(_USER_PARTS)}, ("content",)),
        "assistant": record(
            {
                **_NAMED,
                "content": _content({"text": _TEXT, "refusal": _REFUSAL}, empty=True),
                "refusal": nullable(string()),
                "audio": nullable(record({"id": string()}, ("id",), free=True)),
                "tool_calls": nullable(array(_CALL, least=1)),
                "function_call": nullable(_LEGACY),
                "annotations": nullable(array(_OBJECT)),
                # Refused later where the vendor does not take it.
                "reasoning_content": nullable(string()),
            }
        ),
        "tool": record(
            {**_NAMED, "content": _content({"text": _TEXT}), "tool_call_id": string()}, ("content", "tool_call_id")
        ),
        "function": record({**_NAMED, "content": nullable(string())}, ("name", "content")),
    },
    key="role",
)
_FUNCTION = record(
    {
        "name": string(pattern=openai.NAME, longest=64, shortest=1),
        "description": nullable(string()),
        "parameters": nullable(_OBJECT),
        "strict": nullable(boolean),
    },
    ("name",),
)
_CUSTOM = record(
    {"name": string(pattern=openai.NAME, longest=64), "description": nullable(string()), "format": nullable(_OBJECT)},
    ("name",),
)
_FORMAT = tagged(
    {
        "text": record({"type": anything}),
        "json_object": record({"type": anything}),
        "json_schema": record(
            {
                "type": anything,
                "json_schema": record(
                    {
                        "name": string(pattern=openai.NAME, longest=64, shortest=1),
                        "schema": nullable(_OBJECT),
                        "strict": nullable(boolean),
                        "description": nullable(string()),
                    },
                    ("name",),
                ),
            },
            ("json_schema",),
        ),
    }
)
CREATE = record(
    {
        "model": string(),
        "messages": array(_MESSAGE, least=1),
        "audio": nullable(
            record(
                {"voice": anything, "format": choice("wav", "aac", "mp3", "flac", "opus", "pcm16")}, ("voice", "format")
            )
        ),
        "frequency_penalty": nullable(number(-2, 2)),
        "presence_penalty": nullable(number(-2, 2)),
        "function_call": anything,
        "functions": nullable(array(_FUNCTION, least=1, most=128)),
        "logit_bias": nullable(mapping(number(-100, 100))),
        "logprobs": nullable(boolean),
        "top_logprobs": nullable(integer(0, 20)),
        "max_completion_tokens": nullable(integer(1)),
        "max_tokens": nullable(integer(1)),
        "metadata": nullable(mapping(string(longest=512), most=16)),
        "modalities": nullable(array(choice("text", "audio"), of="strings")),
        "moderation": anything,
        "n": nullable(integer(1, 128)),
        "parallel_tool_calls": nullable(boolean),
        "prediction": nullable(
            record({"type": choice("content"), "content": _content({"text": _TEXT})}, ("type", "content"))
        ),
        "prompt_cache_key": nullable(string(longest=64)),
        "prompt_cache_options": nullable(_OBJECT),
        "prompt_cache_retention": nullable(choice("in_memory", "in-memory", "24h")),
        "reasoning_effort": nullable(choice("none", "minimal", "low", "medium", "high", "xhigh", "max")),
        "response_format": nullable(_FORMAT),
        "safety_identifier": nullable(string(longest=64)),
        "seed": nullable(integer()),
        "service_tier": nullable(choice("auto", "default", "flex", "scale", "priority", "fast")),
        "stop": nullable(
            either("one of a string or array of strings", {str: string(), list: array(string(), most=4, of="strings")})
        ),
        "store": nullable(boolean),
        "stream": nullable(boolean),
        "stream_options": nullable(
            record({"include_usage": nullable(boolean), "include_obfuscation": nullable(boolean)})
        ),
        "temperature": nullable(number(0, 2)),
        "top_p": nullable(number(0, 1)),
        "tool_choice": nullable(
            either("one of a string or object", {str: choice("none", "auto", "required"), dict: _OBJECT})
        ),
        "tools": nullable(
            array(
                tagged(
                    {
                        "function": record({"type": anything, "function": _FUNCTION}, ("function",)),
                        "custom": record({"type": anything, "custom": _CUSTOM}, ("custom",)),
                    }
                ),
                most=128,
            )
        ),
        "user": nullable(string()),
        "verbosity": nullable(choice("low", "medium", "high")),
        "web_search_options": nullable(_OBJECT),
    },
    ("model", "messages"),
)

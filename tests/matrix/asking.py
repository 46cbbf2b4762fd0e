"""How each frontend's clients write a request: bodies as OpenAI's and Anthropic's SDKs send them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tests.matrix.facts import Ask, Paper, Part, Picture, Results, Said, User

PATHS = {"responses": "/v1/responses", "chat_completions": "/v1/chat/completions", "messages": "/v1/messages"}
MARK = {"cache_control": {"type": "ephemeral"}}


def body_of(frontend: str, ask: Ask, model: str, *, stream: bool) -> dict[str, Any]:
    """The JSON body of ``ask``."""
    fields = {"responses": _responses, "chat_completions": _chat, "messages": _messages}[frontend](ask)
    if stream:
        fields["stream"] = True
        if frontend == "chat_completions":
            fields["stream_options"] = {"include_usage": True}
    return {"model": model, **fields}


def _responses(ask: Ask) -> dict[str, Any]:
    items: list[dict[str, Any]] = []
    body: dict[str, Any] = {}
    if ask.system and ask.marked:
        items.append({"role": "system", "content": [{"type": "input_text", "text": ask.system, **MARK}]})
    elif ask.system:
        body["instructions"] = ask.system
    if ask.developer:
        items.append({"role": "developer", "content": ask.developer})
    for turn in ask.turns:
        match turn:
            case User(parts=parts):
                items.append({"role": "user", "content": [_input_part(part) for part in parts]})
            case Said(replay=replay):
                items += replay
            case Results(outputs=outputs):
                for call_id, parts in outputs:
                    plain = all(isinstance(part, str) for part in parts)
                    output: Any = "".join(map(str, parts)) if plain else [_input_part(part) for part in parts]
                    items.append({"type": "function_call_output", "call_id": call_id, "output": output})
    body["input"] = items
    if ask.limit is not None:
        body["max_output_tokens"] = ask.limit
    if ask.tools:
        body["tools"] = [{"type": "function", "name": tool.name, "parameters": tool.schema} for tool in ask.tools]
    if ask.choice:
        named = ask.choice not in ("auto", "none", "required")
        body["tool_choice"] = {"type": "function", "name": ask.choice} if named else ask.choice
    if ask.parallel is not None:
        body["parallel_tool_calls"] = ask.parallel
    if ask.schema is not None:
        body["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": ask.schema, "strict": True}}
    if ask.effort:
        body["reasoning"] = {"effort": ask.effort, "summary": "auto"}
        body["include"] = ["reasoning.encrypted_content"]
    if ask.cache_key:
        body["prompt_cache_key"] = ask.cache_key
    if ask.stop:
        # OpenAI's Responses has no such field; compatible servers' clients send Chat's.
        body["stop"] = list(ask.stop)
    return {**body, "store": False}


def _input_part(part: Part) -> dict[str, Any]:
    match part:
        case str():
            return {"type": "input_text", "text": part}
        case Picture():
            return {"type": "input_image", "image_url": _picture_url(part), "detail": "auto"}
        case Paper(url=url) if url:
            return {"type": "input_file", "file_url": url}
        case Paper(data=data, name=name):
            return {"type": "input_file", "filename": name, "file_data": f"data:application/pdf;base64,{data}"}


def _picture_url(part: Picture) -> str:
    return part.url or f"data:image/png;base64,{part.data}"


def _chat(ask: Ask) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    if ask.system:
        marked = [{"type": "text", "text": ask.system, **MARK}]
        messages.append({"role": "system", "content": marked if ask.marked else ask.system})
    if ask.developer:
        messages.append({"role": "developer", "content": ask.developer})
    for turn in ask.turns:
        match turn:
            case User(parts=parts):
                plain = all(isinstance(part, str) for part in parts)
                content: Any = "".join(map(str, parts)) if plain else [_chat_part(part) for part in parts]
                messages.append({"role": "user", "content": content})
            case Said(replay=replay):
                messages += replay
            case Results(outputs=outputs):
                for call_id, parts in outputs:
                    plain = all(isinstance(part, str) for part in parts)
                    content = "".join(map(str, parts)) if plain else [_chat_part(part) for part in parts]
                    messages.append({"role": "tool", "tool_call_id": call_id, "content": content})
    body: dict[str, Any] = {"messages": messages}
    if ask.limit is not None:
        body["max_completion_tokens"] = ask.limit
    if ask.tools:
        body["tools"] = [
            {"type": "function", "function": {"name": tool.name, "parameters": tool.schema}} for tool in ask.tools
        ]
    if ask.choice:
        named = ask.choice not in ("auto", "none", "required")
        body["tool_choice"] = {"type": "function", "function": {"name": ask.choice}} if named else ask.choice
    if ask.parallel is not None:
        body["parallel_tool_calls"] = ask.parallel
    if ask.schema is not None:
        named_schema = {"name": "answer", "schema": ask.schema, "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": named_schema}
    if ask.effort:
        body["reasoning_effort"] = ask.effort
    if ask.cache_key:
        body["prompt_cache_key"] = ask.cache_key
    if ask.stop:
        body["stop"] = list(ask.stop)
    return body


def _chat_part(part: Part) -> dict[str, Any]:
    match part:
        case str():
            return {"type": "text", "text": part}
        case Picture():
            return {"type": "image_url", "image_url": {"url": _picture_url(part)}}
        case Paper(data=data, name=name):
            return {"type": "file", "file": {"filename": name, "file_data": f"data:application/pdf;base64,{data}"}}


def _messages(ask: Ask) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    for turn in ask.turns:
        match turn:
            case User(parts=parts):
                _add_user(messages, [_block(part) for part in parts])
            case Said(replay=replay):
                messages.append({"role": "assistant", "content": replay})
            case Results(outputs=outputs):
                _add_user(messages, [_tool_result(call_id, parts) for call_id, parts in outputs])
    # Anthropic's API requires a limit.
    body: dict[str, Any] = {"messages": messages, "max_tokens": ask.limit or 4000}
    system = [{"type": "text", "text": text} for text in (ask.system, ask.developer) if text]
    if system:
        body["system"] = [{**system[0], **MARK}, *system[1:]] if ask.marked else system
    if ask.tools:
        body["tools"] = [{"name": tool.name, "input_schema": tool.schema} for tool in ask.tools]
    choice: dict[str, Any] | None = None
    if ask.choice:
        kinds = {"auto": "auto", "none": "none", "required": "any"}
        kind = kinds.get(ask.choice, "tool")
        choice = {"type": kind, **({"name": ask.choice} if kind == "tool" else {})}
    if ask.parallel is False:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    if choice:
        body["tool_choice"] = choice
    config: dict[str, Any] = {}
    if ask.effort:
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
        config["effort"] = ask.effort
    if ask.schema is not None:
        config["format"] = {"type": "json_schema", "schema": ask.schema}
    if config:
        body["output_config"] = config
    if ask.stop:
        body["stop_sequences"] = list(ask.stop)
    return body


def _add_user(messages: list[dict[str, Any]], blocks: list[dict[str, Any]]) -> None:
    """The blocks as a user turn; what follows a user turn at once belongs to it."""
    if messages and messages[-1]["role"] == "user":
        messages[-1]["content"] += blocks
    else:
        messages.append({"role": "user", "content": blocks})


def _tool_result(call_id: str, parts: Iterable[Part]) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id, "content": [_block(part) for part in parts]}


def _block(part: Part) -> dict[str, Any]:
    match part:
        case str():
            return {"type": "text", "text": part}
        case Picture(data=data, url=url):
            inline = {"type": "base64", "media_type": "image/png", "data": data}
            return {"type": "image", "source": {"type": "url", "url": url} if url else inline}
        case Paper(url=url) if url:
            return {"type": "document", "source": {"type": "url", "url": url}}
        case Paper(data=data, name=name):
            source = {"type": "base64", "media_type": "application/pdf", "data": data}
            return {"type": "document", "title": name, "source": source}


def encoded(body: dict[str, Any]) -> bytes:
    """The body as bytes."""
    return json.dumps(body, ensure_ascii=False).encode()

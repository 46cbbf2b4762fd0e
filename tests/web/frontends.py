"""One conversation in the words of each frontend, and each frontend's answers in one form.

A conversation is a list of turns: ``("system", text)``, ``("developer", text)``, ``("user", text or parts)``,
``("assistant", text)``, ``("call", id, name, arguments)``, ``("result", id, text)``. Parts of a user turn are
``("text", …)``, ``("image", url)`` and ``("pdf", data URL)``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.gateway import Origin

FRONTENDS = ("responses", "chat_completions", "messages")
PATHS = {"responses": "/v1/responses", "chat_completions": "/v1/chat/completions", "messages": "/v1/messages"}
WAYS = [(frontend, stream) for frontend in FRONTENDS for stream in (False, True)]
WAY_IDS = [f"{frontend}-{'stream' if stream else 'json'}" for frontend, stream in WAYS]

Turn = tuple[Any, ...]


@dataclass
class Said:
    """An answer. ``finish`` is the frontend's own word; ``usage`` is (input, cached, output, reasoning) tokens;
    ``message`` is the answer as the client would send it back, in the frontend's own form."""

    http: httpx.Response
    text: str = ""
    thoughts: str = ""
    calls: list[tuple[str, str, Any]] = field(default_factory=list[tuple[str, str, Any]])
    finish: str = ""
    usage: tuple[int, int, int, int | None] = (0, 0, 0, None)
    message: list[Any] = field(default_factory=list[Any])

    @property
    def losses(self) -> str:
        """What the gateway announced to be lost."""
        return self.http.headers.get("x-headgate-losses", "")


def body_of(frontend: str, model: str, turns: list[Turn], **options: Any) -> dict[str, Any]:
    """The request. Options: max_tokens, stop, tools (name → schema), choice (auto, required, none or a name),
    schema, effort; ``more`` is put in as it is; ``history``: answers of before, in the frontend's own form."""
    write = {"responses": _responses, "chat_completions": _chat, "messages": _messages}[frontend]
    return write(model, turns, options) | options.get("more", {})


def ask(origin: Origin, way: tuple[str, bool], model: str, turns: list[Turn] | str, **options: Any) -> Said:
    """One request that must succeed, and its answer."""
    turns = [("user", turns)] if isinstance(turns, str) else turns
    headers = options.pop("headers", None)
    answer = origin.post(PATHS[way[0]], request_of(way, model, turns, **options), headers=headers)
    return read(answer, way)


def request_of(way: tuple[str, bool], model: str, turns: list[Turn], **options: Any) -> dict[str, Any]:
    """``body_of``, streamed or not, and asking for usage where that must be asked for."""
    frontend, stream = way
    body = {**body_of(frontend, model, turns, **options), "stream": stream}
    if stream and frontend == "chat_completions":
        body["stream_options"] = {"include_usage": True}
    return body


def read(answer: httpx.Response, way: tuple[str, bool]) -> Said:
    """What was said; the request must have succeeded."""
    assert answer.status_code == 200, answer.text
    readers = {"responses": _read_responses, "chat_completions": _read_chat, "messages": _read_messages}
    return readers[way[0]](answer, way[1])


def _split(url: str) -> tuple[str, str]:
    head, _, data = url.partition(",")
    return head.removeprefix("data:").removesuffix(";base64"), data


def _responses(model: str, turns: list[Turn], options: dict[str, Any]) -> dict[str, Any]:
    items: list[Any] = []
    for turn in turns:
        match turn:
            case ("history", message):
                items += message
            case ("call", call_id, name, arguments):
                items.append({"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments})
            case ("result", call_id, text):
                items.append({"type": "function_call_output", "call_id": call_id, "output": text})
            case (role, content):
                items.append({"role": role, "content": _responses_parts(content)})
            case _:
                raise AssertionError(turn)
    body: dict[str, Any] = {"model": model, "input": items}
    if "max_tokens" in options:
        body["max_output_tokens"] = options["max_tokens"]
    if "tools" in options:
        tools = options["tools"].items()
        body["tools"] = [{"type": "function", "name": n, "parameters": s, "strict": False} for n, s in tools]
        choice = options.get("choice", "auto")
        words = ("auto", "required", "none")
        body["tool_choice"] = choice if choice in words else {"type": "function", "name": choice}
    if "schema" in options:
        body["text"] = {"format": {"type": "json_schema", "name": "it", "schema": options["schema"], "strict": True}}
    if "effort" in options:
        body["reasoning"] = {"effort": options["effort"], "summary": "auto"}
        body["include"] = ["reasoning.encrypted_content"]
    return body


def _responses_parts(content: Any) -> Any:
    if isinstance(content, str):
        return content
    made: list[dict[str, Any]] = []
    for kind, value in content:
        match kind:
            case "image":
                made.append({"type": "input_image", "image_url": value})
            case "pdf":
                made.append({"type": "input_file", "filename": "a.pdf", "file_data": value})
            case _:
                made.append({"type": "input_text", "text": value})
    return made


def _chat(model: str, turns: list[Turn], options: dict[str, Any]) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    for turn in turns:
        match turn:
            case ("history", message):
                messages += message
            case ("call", call_id, name, arguments):
                if not messages or messages[-1]["role"] != "assistant":
                    messages.append({"role": "assistant", "content": None})
                call = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
                messages[-1].setdefault("tool_calls", []).append(call)
            case ("result", call_id, text):
                messages.append({"role": "tool", "tool_call_id": call_id, "content": text})
            case (role, content):
                messages.append({"role": role, "content": _chat_parts(content)})
            case _:
                raise AssertionError(turn)
    body: dict[str, Any] = {"model": model, "messages": messages}
    for name in ("max_tokens", "stop"):
        if name in options:
            body[name] = options[name]
    if "tools" in options:
        tools = options["tools"].items()
        body["tools"] = [{"type": "function", "function": {"name": n, "parameters": s}} for n, s in tools]
        choice = options.get("choice", "auto")
        words = ("auto", "required", "none")
        body["tool_choice"] = choice if choice in words else {"type": "function", "function": {"name": choice}}
    if "schema" in options:
        form = {"name": "it", "schema": options["schema"], "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    if "effort" in options:
        body["reasoning_effort"] = options["effort"]
    return body


def _chat_parts(content: Any) -> Any:
    if isinstance(content, str):
        return content
    made: list[dict[str, Any]] = []
    for kind, value in content:
        match kind:
            case "image":
                made.append({"type": "image_url", "image_url": {"url": value}})
            case "pdf":
                made.append({"type": "file", "file": {"filename": "a.pdf", "file_data": value}})
            case _:
                made.append({"type": "text", "text": value})
    return made


def _messages(model: str, turns: list[Turn], options: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "max_tokens": options.get("max_tokens", 4000), "messages": []}
    for turn in turns:
        match turn:
            case ("system" | "developer", text):
                body["system"] = "\n\n".join(filter(None, (body.get("system"), text)))
                continue
            case ("history", message):
                role, blocks = "assistant", message
            case ("call", call_id, name, arguments):
                role = "assistant"
                blocks = [{"type": "tool_use", "id": call_id, "name": name, "input": json.loads(arguments)}]
            case ("result", call_id, text):
                role, blocks = "user", [{"type": "tool_result", "tool_use_id": call_id, "content": text}]
            case (role, content):
                blocks = _messages_parts(content)
            case _:
                raise AssertionError(turn)
        if body["messages"] and body["messages"][-1]["role"] == role:
            body["messages"][-1]["content"] += blocks
        else:
            body["messages"].append({"role": role, "content": list(blocks)})
    if "stop" in options:
        body["stop_sequences"] = options["stop"]
    if "tools" in options:
        body["tools"] = [{"name": n, "input_schema": s} for n, s in options["tools"].items()]
        words = {"auto": {"type": "auto"}, "required": {"type": "any"}, "none": {"type": "none"}}
        choice = options.get("choice", "auto")
        body["tool_choice"] = words.get(choice, {"type": "tool", "name": choice})
    if "schema" in options:
        body["output_config"] = {"format": {"type": "json_schema", "schema": options["schema"]}}
    if "effort" in options:
        body["thinking"] = {"type": "adaptive"}
        body.setdefault("output_config", {})["effort"] = options["effort"]
    return body


def _messages_parts(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    made: list[dict[str, Any]] = []
    for kind, value in content:
        if kind == "text":
            made.append({"type": "text", "text": value})
            continue
        if value.startswith("data:"):
            media_type, data = _split(value)
            source = {"type": "base64", "media_type": media_type, "data": data}
        else:
            source = {"type": "url", "url": value}
        made.append({"type": "image" if kind == "image" else "document", "source": source})
    return made


def events_of(raw: str) -> list[Any]:
    """The JSON of each event of a stream."""
    return [json.loads(line[5:]) for line in raw.splitlines() if line.startswith("data:") and "[DONE]" not in line]


def _read_responses(answer: httpx.Response, stream: bool) -> Said:
    body = answer.json() if not stream else events_of(answer.text)[-1]["response"]
    said = Said(answer, message=body["output"])
    for item in body["output"]:
        match item["type"]:
            case "message":
                said.text += "".join(part.get("text") or part.get("refusal") or "" for part in item["content"])
            case "reasoning":
                said.thoughts += "".join(part["text"] for part in [*item["summary"], *(item.get("content") or [])])
            case "function_call":
                said.calls.append((item["call_id"], item["name"], json.loads(item["arguments"])))
            case _:
                raise AssertionError(item)
    if stream:
        deltas = [event["delta"] for event in events_of(answer.text) if event["type"] == "response.output_text.delta"]
        assert "".join(deltas) == said.text
    said.finish = (body["incomplete_details"] or {}).get("reason") or body["status"]
    usage = body["usage"]
    cached, thought = usage["input_tokens_details"]["cached_tokens"], usage["output_tokens_details"]["reasoning_tokens"]
    said.usage = (usage["input_tokens"], cached, usage["output_tokens"], thought)
    return said


def _read_chat(answer: httpx.Response, stream: bool) -> Said:
    said = Said(answer)
    if not stream:
        body = answer.json()
        (choice,) = body["choices"]
        message, usage = choice["message"], body["usage"]
    else:
        assert answer.text.rstrip().endswith("data: [DONE]")
        message, usage, choice = _joined(events_of(answer.text))
    said.message = [message]
    said.text, said.thoughts = message.get("content") or "", message.get("reasoning_content") or ""
    said.thoughts = said.thoughts or message.get("reasoning") or ""
    for call in message.get("tool_calls") or []:
        said.calls.append((call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])))
    said.finish = choice["finish_reason"]
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    thought = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    said.usage = (usage["prompt_tokens"], cached, usage["completion_tokens"], thought)
    return said


def _joined(chunks: list[Any]) -> tuple[dict[str, Any], Any, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    usages = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    assert len(usages) == 1, "usage once, as OpenAI's clients expect it"
    last: Any = None
    for chunk in chunks:
        assert isinstance(chunk["choices"], list)
        for choice in chunk["choices"]:
            last = choice if choice.get("finish_reason") else last
            for name, value in choice["delta"].items():
                if name == "tool_calls":
                    for call in value:
                        _join_call(message.setdefault("tool_calls", []), call)
                elif isinstance(value, str) and name != "role":
                    message[name] = (message.get(name) or "") + value
                elif name == "reasoning_details" and value:
                    message.setdefault(name, []).extend(value)
                else:
                    assert value is None or name == "role", (name, value)
    return message, usages[0], last


def _join_call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    while len(calls) <= piece["index"]:
        calls.append({"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
    call, function = calls[piece["index"]], piece.get("function") or {}
    call["id"] = piece.get("id") or call["id"]
    call["function"]["name"] += function.get("name") or ""
    call["function"]["arguments"] += function.get("arguments") or ""


def _read_messages(answer: httpx.Response, stream: bool) -> Said:
    said = Said(answer)
    if not stream:
        body = answer.json()
        blocks, said.finish, usage = body["content"], body["stop_reason"], body["usage"]
    else:
        blocks, said.finish, usage = _assembled(events_of(answer.text))
    said.message = blocks
    for block in blocks:
        match block["type"]:
            case "text":
                said.text += block["text"]
            case "thinking":
                said.thoughts += block["thinking"]
            case "tool_use":
                said.calls.append((block["id"], block["name"], block["input"]))
            case _:
                raise AssertionError(block)
    cached = usage.get("cache_read_input_tokens") or 0
    said.usage = (usage["input_tokens"] + cached, cached, usage["output_tokens"], None)
    return said


def _assembled(events: list[Any]) -> tuple[list[Any], str, dict[str, Any]]:
    blocks: list[Any] = []
    usage: dict[str, Any] = {}
    finish = ""
    for event in events:
        match event["type"]:
            case "message_start":
                usage |= event["message"]["usage"]
            case "content_block_start":
                blocks.append(dict(event["content_block"]))
            case "content_block_delta":
                block, delta = blocks[event["index"]], event["delta"]
                match delta["type"]:
                    case "text_delta":
                        block["text"] += delta["text"]
                    case "thinking_delta":
                        block["thinking"] += delta["thinking"]
                    case "signature_delta":
                        block["signature"] = delta["signature"]
                    case _:
                        block["raw"] = block.get("raw", "") + delta["partial_json"]
            case "message_delta":
                finish = event["delta"]["stop_reason"]
                usage |= {name: value for name, value in event["usage"].items() if value is not None}
            case _:
                continue
    for block in blocks:
        if block["type"] == "tool_use":
            block["input"] = json.loads(block.pop("raw", "") or "{}")
    assert events[-1]["type"] == "message_stop"
    return blocks, finish, usage

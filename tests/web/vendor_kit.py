"""One conversation through any frontend, streamed or not, and what came back in the same terms for all of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.gateway import Origin

FRONTENDS = ("responses", "chat_completions", "messages")
PATHS = {
    "responses": "/v1/responses",
    "chat_completions": "/v1/chat/completions",
    "messages": "/v1/messages",
}
EVERY_WAY = [(frontend, stream) for frontend in FRONTENDS for stream in (False, True)]
IDS = [f"{frontend}-{'stream' if stream else 'json'}" for frontend, stream in EVERY_WAY]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@dataclass
class Said:
    """An answer. ``calls`` are (id, name, arguments); ``usage``: input, cached, output, reasoning (None where the
    protocol does not tell), searches; ``turn``: what a client puts into its history for it."""

    response: httpx.Response
    text: str = ""
    thoughts: str = ""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)
    finish: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    turn: Any = None
    cited: list[str] = field(default_factory=list)

    @property
    def losses(self) -> str:
        return self.response.headers.get("x-headgate-losses", "")


@dataclass
class Image:
    """An image by its address, or (no address) as bytes."""

    url: str | None = None


def body(frontend: str, model: str, turns: list[Any], *, system: str | None = None, **given: Any) -> dict[str, Any]:
    """A request body. A turn: a text or list of texts and Images of the user, a Said, or a dict of results by call.
    given: tools (name to schema), choice, schema, effort, limit, stop, parallel, and ``extra`` fields."""
    made: dict[str, Any] = {"model": model}
    tools, choice, schema = given.get("tools"), given.get("choice"), given.get("schema")
    limit = given.get("limit")
    if frontend == "responses":
        made["input"] = [item for turn in turns for item in _responses_items(turn)]
        made |= {"instructions": system} if system else {}
        made |= {"tools": [{"type": "function", "name": n, "parameters": s} for n, s in tools.items()]} if tools else {}
        if choice:
            named = {"type": "function", "name": choice}
            made["tool_choice"] = choice if choice in ("auto", "none", "required") else named
        made |= {"max_output_tokens": limit} if limit else {}
        made |= {"reasoning": {"effort": given["effort"], "summary": "auto"}} if given.get("effort") else {}
        if schema:
            made["text"] = {"format": {"type": "json_schema", "name": "place", "schema": schema, "strict": True}}
        if given.get("parallel") is not None:
            made["parallel_tool_calls"] = given["parallel"]
        return made | given.get("extra", {})
    made["messages"] = [message for turn in turns for message in _messages(frontend, turn)]
    if frontend == "chat_completions":
        if system:
            made["messages"].insert(0, {"role": "developer", "content": system})
        if tools:
            made["tools"] = [{"type": "function", "function": {"name": n, "parameters": s}} for n, s in tools.items()]
        if choice:
            named = {"type": "function", "function": {"name": choice}}
            made["tool_choice"] = choice if choice in ("auto", "none", "required") else named
        made |= {"max_completion_tokens": limit} if limit else {}
        made |= {"reasoning_effort": given["effort"]} if given.get("effort") else {}
        made |= {"stop": given["stop"]} if given.get("stop") else {}
        if schema:
            named_schema = {"name": "place", "schema": schema, "strict": True}
            made["response_format"] = {"type": "json_schema", "json_schema": named_schema}
        if given.get("parallel") is not None:
            made["parallel_tool_calls"] = given["parallel"]
        return made | given.get("extra", {})
    made["max_tokens"] = limit or 8000
    made |= {"system": system} if system else {}
    made |= {"tools": [{"name": n, "input_schema": s} for n, s in tools.items()]} if tools else {}
    if choice:
        words = {"auto": {"type": "auto"}, "none": {"type": "none"}, "required": {"type": "any"}}
        made["tool_choice"] = words.get(choice, {"type": "tool", "name": choice})
        if given.get("parallel") is not None:
            made["tool_choice"] = {**made["tool_choice"], "disable_parallel_tool_use": not given["parallel"]}
    if given.get("effort"):
        made["thinking"] = {"type": "adaptive"}
        made["output_config"] = {"effort": given["effort"]}
    made |= {"stop_sequences": given["stop"]} if given.get("stop") else {}
    if schema:
        made.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}
    return made | given.get("extra", {})


def _parts(frontend: str, turn: Any) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for part in [turn] if isinstance(turn, str | Image) else turn:
        url = part.url or f"data:image/png;base64,{PNG}" if isinstance(part, Image) else ""
        match frontend, part:
            case "responses", str():
                parts.append({"type": "input_text", "text": part})
            case "responses", _:
                parts.append({"type": "input_image", "image_url": url})
            case _, str():
                parts.append({"type": "text", "text": part})
            case "chat_completions", _:
                parts.append({"type": "image_url", "image_url": {"url": url}})
            case _:
                inline = {"type": "base64", "media_type": "image/png", "data": PNG}
                parts.append({"type": "image", "source": {"type": "url", "url": part.url} if part.url else inline})
    return parts


def _responses_items(turn: Any) -> list[dict[str, Any]]:
    if isinstance(turn, Said):
        return turn.turn
    if isinstance(turn, dict):
        return [{"type": "function_call_output", "call_id": id, "output": text} for id, text in turn.items()]
    return [{"role": "user", "content": _parts("responses", turn)}]


def _messages(frontend: str, turn: Any) -> list[dict[str, Any]]:
    if isinstance(turn, Said):
        return [turn.turn]
    if isinstance(turn, dict) and frontend == "chat_completions":
        return [{"role": "tool", "tool_call_id": id, "content": text} for id, text in turn.items()]
    if isinstance(turn, dict):
        results = [{"type": "tool_result", "tool_use_id": id, "content": text} for id, text in turn.items()]
        return [{"role": "user", "content": results}]
    return [{"role": "user", "content": turn if isinstance(turn, str) else _parts(frontend, turn)}]


def ask(
    origin: Origin, frontend: str, stream: bool, model: str, *turns: Any, status: int = 200,
    headers: dict[str, str] | None = None, **given: Any,
) -> Said:  # fmt: skip
    """Sends it and reads the answer; ``status`` is asserted."""
    sent = body(frontend, model, list(turns), **given) | {"stream": stream}
    if stream and frontend == "chat_completions":
        sent["stream_options"] = {"include_usage": True}
    response = origin.post(PATHS[frontend], sent, headers=headers)
    assert response.status_code == status, response.text
    if status != 200:
        return Said(response)
    return read(frontend, stream, response)


def events(raw: str) -> list[dict[str, Any]]:
    """The JSON of an event stream's data lines."""
    return [json.loads(line[5:]) for line in raw.splitlines() if line.startswith("data:") and "[DONE]" not in line]


def read(frontend: str, stream: bool, response: httpx.Response) -> Said:
    """The answer of a 200."""
    folds = {"responses": _whole_response, "chat_completions": _whole_completion, "messages": _whole_message}
    whole = folds[frontend](events(response.text)) if stream else response.json()
    readers = {"responses": _response, "chat_completions": _completion, "messages": _message}
    said = readers[frontend](whole)
    said.response = response
    return said


def _whole_response(found: list[dict[str, Any]]) -> dict[str, Any]:
    assert found[-1]["type"] in ("response.completed", "response.incomplete"), found[-1]
    last = found[-1]["response"]
    deltas = "".join(event["delta"] for event in found if event["type"] == "response.output_text.delta")
    texts = [part["text"] for item in last["output"] if item["type"] == "message" for part in item["content"]]
    assert deltas == "".join(texts)
    return last


def _whole_completion(found: list[dict[str, Any]]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    calls: dict[int, dict[str, Any]] = {}
    whole: dict[str, Any] = {"choices": [{"message": message, "finish_reason": None}]}
    for chunk in found:
        whole["usage"] = chunk.get("usage") or whole.get("usage")
        for choice in chunk["choices"]:
            whole["choices"][0]["finish_reason"] = choice.get("finish_reason") or whole["choices"][0]["finish_reason"]
            delta = choice["delta"]
            for name in ("content", "reasoning_content", "reasoning"):
                if delta.get(name):
                    message[name] = (message.get(name) or "") + delta[name]
            for name in ("reasoning_details", "annotations"):
                if delta.get(name):
                    message.setdefault(name, []).extend(delta[name])
            for call in delta.get("tool_calls") or ():
                known = calls.setdefault(call["index"], {"type": "function", "function": {"name": "", "arguments": ""}})
                known["id"] = call.get("id") or known.get("id")
                known["function"]["name"] += call["function"].get("name") or ""
                known["function"]["arguments"] += call["function"].get("arguments") or ""
    if calls:
        message["tool_calls"] = list(calls.values())
    return whole


def _whole_message(found: list[dict[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    for event in found:
        match event["type"]:
            case "message_start":
                whole = event["message"]
            case "content_block_start":
                blocks[event["index"]] = {**event["content_block"], "_json": ""}
            case "content_block_delta":
                block, delta = blocks[event["index"]], event["delta"]
                for name in ("text", "thinking", "signature"):
                    if name in delta:
                        block[name] = block.get(name, "") + delta[name]
                block["_json"] += delta.get("partial_json", "")
                if "citation" in delta:
                    block.setdefault("citations", []).append(delta["citation"])
            case "message_delta":
                whole |= {name: value for name, value in event["delta"].items() if value is not None}
                whole["usage"] = {**whole["usage"], **event["usage"]}
            case kind:
                assert kind in ("content_block_stop", "message_stop", "ping"), event
    assert found[-1]["type"] == "message_stop"
    for block in blocks.values():
        text = block.pop("_json")
        if block["type"] in ("tool_use", "server_tool_use") and text:
            block["input"] = json.loads(text)
    return whole | {"content": list(blocks.values())}


def _response(whole: dict[str, Any]) -> Said:
    said = Said(None, turn=whole["output"])  # type: ignore[arg-type]
    for item in whole["output"]:
        if item["type"] == "message":
            said.text += "".join(part.get("text", "") for part in item["content"])
            notes = [note for part in item["content"] for note in part.get("annotations") or ()]
            said.cited += [note["url"] for note in notes]
        elif item["type"] == "reasoning":
            said.thoughts += "".join(part["text"] for part in [*item["summary"], *(item.get("content") or ())])
        elif item["type"] == "function_call":
            said.calls.append((item["call_id"], item["name"], json.loads(item["arguments"])))
    said.finish = whole["status"]
    usage = whole["usage"]
    said.usage = {
        "input": usage["input_tokens"],
        "cached": usage["input_tokens_details"]["cached_tokens"],
        "output": usage["output_tokens"],
        "reasoning": usage["output_tokens_details"]["reasoning_tokens"],
        "cost": whole["cost"]["total"],
    }
    return said


def _completion(whole: dict[str, Any]) -> Said:
    message = whole["choices"][0]["message"]
    said = Said(None, message.get("content") or "", turn=message)  # type: ignore[arg-type]
    said.thoughts = message.get("reasoning_content") or message.get("reasoning") or ""
    for call in message.get("tool_calls") or ():
        said.calls.append((call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])))
    said.cited = [note["url_citation"]["url"] for note in message.get("annotations") or ()]
    said.finish = whole["choices"][0]["finish_reason"]
    usage = whole["usage"]
    said.usage = {
        "input": usage["prompt_tokens"],
        "cached": (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0),
        "output": usage["completion_tokens"],
        "reasoning": (usage.get("completion_tokens_details") or {}).get("reasoning_tokens"),
    }
    return said


def _message(whole: dict[str, Any]) -> Said:
    content = whole["content"]
    said = Said(None, turn={"role": "assistant", "content": content})  # type: ignore[arg-type]
    for block in content:
        said.text += block.get("text", "") if block["type"] == "text" else ""
        said.thoughts += block.get("thinking", "") if block["type"] == "thinking" else ""
        said.cited += [note["url"] for note in block.get("citations") or ()]
        if block["type"] == "tool_use":
            said.calls.append((block["id"], block["name"], block["input"]))
    said.finish = whole["stop_reason"]
    usage = whole["usage"]
    cached = usage.get("cache_read_input_tokens") or 0
    said.usage = {
        "input": usage["input_tokens"] + cached,
        "cached": cached,
        "output": usage["output_tokens"],
        "reasoning": None,
    }
    return said

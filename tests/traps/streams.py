"""The rules that a stream of each frontend has to keep, whatever it says, and the answer it adds up to."""

from __future__ import annotations

import json
from typing import Any

from tests.sdk import open_responses

ERROR_OF = {"responses": "response.failed", "messages": "error"}


def frames(text: str) -> list[tuple[str | None, str]]:
    """(event name, data) of each frame; comments left out."""
    found: list[tuple[str | None, str]] = []
    for frame in text.replace("\r\n", "\n").split("\n\n"):
        name, data = None, []
        for line in frame.split("\n"):
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
        if data:
            found.append((name, "\n".join(data)))
    return found


def events_of(frontend: str, text: str) -> list[dict[str, Any]]:
    """The parsed events; in the protocols that name their events each name is its event's type."""
    found: list[dict[str, Any]] = []
    for name, data in frames(text):
        if data.strip() == "[DONE]":
            continue
        event = json.loads(data)
        if frontend != "chat_completions":
            assert name == event["type"]
        found.append(event)
    return found


def check_stream(frontend: str, events: list[dict[str, Any]], text: str) -> dict[str, Any]:
    """Hold a successful stream to its protocol's rules. Returns the answer as the object that JSON would have been."""
    last = frames(text)[-1][1].strip()
    if frontend == "responses":
        final = open_responses.check_stream(events)
        assert last == "[DONE]" and text.count("data: [DONE]") == 1
        return final
    if frontend == "messages":
        return _check_messages(events)
    assert last == "[DONE]" and text.count("data: [DONE]") == 1
    return _join_chunks(events)


def _check_messages(events: list[dict[str, Any]]) -> dict[str, Any]:
    """``message_start``, blocks one after the other, ``message_delta``, ``message_stop``, and nothing behind it."""
    told = [event for event in events if event["type"] != "ping"]
    kinds = [event["type"] for event in told]
    assert kinds[0] == "message_start" and kinds[-2:] == ["message_delta", "message_stop"], kinds
    message = dict(told[0]["message"])
    assert message["content"] == [] and message["stop_reason"] is None
    blocks: list[dict[str, Any]] = []
    open_block: dict[str, Any] | None = None
    partial = ""
    for event in told[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert open_block is None and event["index"] == len(blocks), "blocks overlap or skip a number"
                open_block, partial = dict(event["content_block"]), ""
                if open_block["type"] == "tool_use":
                    assert open_block["input"] == {}
                if open_block["type"] == "text":
                    assert open_block["text"] == ""
            case "content_block_delta":
                assert open_block is not None and event["index"] == len(blocks)
                partial += _apply(open_block, event["delta"])
            case "content_block_stop":
                assert open_block is not None and event["index"] == len(blocks)
                if open_block["type"] in ("tool_use", "server_tool_use") and partial:
                    open_block["input"] = json.loads(partial)
                assert open_block.get("text") != "" or open_block["type"] != "text", "an empty text block"
                blocks.append(open_block)
                open_block = None
            case other:
                raise AssertionError(f"{other} between message_start and message_delta")
    assert open_block is None
    closing = told[-2]
    usage = {**message["usage"], **{key: value for key, value in closing["usage"].items() if value is not None}}
    rest = {"cost": closing["cost"]} if "cost" in closing else {}
    return {**message, "content": blocks, **closing["delta"], "usage": usage, **rest}


def _apply(block: dict[str, Any], delta: dict[str, Any]) -> str:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        case "input_json_delta":
            return delta["partial_json"]
        case other:
            raise AssertionError(other)
    return ""


def _join_chunks(events: list[dict[str, Any]]) -> dict[str, Any]:
    """One choice's chunks as one completion, joined as OpenAI's SDK does it: by index."""
    message: dict[str, Any] = {"role": "assistant", "content": None}
    calls: dict[int, dict[str, Any]] = {}
    details: dict[int, dict[str, Any]] = {}
    finish: str | None = None
    whole: dict[str, Any] = {}
    for event in events:
        # Azure tells what its filters found of the prompt first, in a chunk that is none.
        assert event["object"] == "chat.completion.chunk" or "prompt_filter_results" in event
        whole |= {name: event[name] for name in ("id", "model", "created", "cost") if name in event}
        if event.get("usage"):
            whole["usage"] = event["usage"]
        for choice in event["choices"]:
            assert finish is None, "a chunk after the finish reason"
            delta = choice["delta"]
            for name in ("content", "refusal", "reasoning_content"):
                if delta.get(name):
                    message[name] = (message.get(name) or "") + delta[name]
            for part in delta.get("tool_calls") or ():
                _join_call(calls, part)
            for entry in delta.get("reasoning_details") or ():
                _join_detail(details.setdefault(entry["index"], {}), entry)
            finish = choice.get("finish_reason") or finish
    assert finish is not None
    assert list(calls) == list(range(len(calls)))
    if calls:
        message["tool_calls"] = [calls[index] for index in sorted(calls)]
    if details:
        message["reasoning_details"] = [details[index] for index in sorted(details)]
    return {**whole, "choices": [{"index": 0, "message": message, "finish_reason": finish}]}


def _join_call(calls: dict[int, dict[str, Any]], part: dict[str, Any]) -> None:
    call = calls.setdefault(part["index"], {"type": "function", "function": {"name": "", "arguments": ""}})
    if part.get("id"):
        assert call.setdefault("id", part["id"]) == part["id"]
    function = part.get("function") or {}
    call["function"]["name"] += function.get("name") or ""
    call["function"]["arguments"] += function.get("arguments") or ""
    if part.get("extra_content"):
        call["extra_content"] = part["extra_content"]


def _join_detail(known: dict[str, Any], entry: dict[str, Any]) -> None:
    for name, value in entry.items():
        known[name] = known.get(name, "") + value if name in ("text", "summary") else value

"""Neutral requests, and the vendor's rules that anything written for Anthropic must keep."""

from __future__ import annotations

from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsStreaming
from pydantic import TypeAdapter

from headgate.conversation import (
    Item,
    Message,
    Request,
    Sampling,
    Sealed,
    Text,
    ToolCall,
    ToolResult,
)
from headgate.protocols.contract import Target
from headgate.protocols.messages.upstream_request import write_request
from tests.unit.messages_support import TARGET

PARAMS: TypeAdapter[Any] = TypeAdapter(MessageCreateParamsStreaming)
MARK = {"type": "ephemeral"}
HOUR = {"type": "ephemeral", "ttl": "1h"}
USER = Message("user", (Text("hi"),))
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def ask(*items: Item, **fields: Any) -> Request:
    fields.setdefault("sampling", Sampling(max_tokens=5000))
    return Request(model="m", items=items or (USER,), **fields)


def write(request: Request, target: Target = TARGET) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    body, losses = write_request(request, target)
    check(body)
    return body, [(loss.path, loss.code) for loss in losses]


def check(body: dict[str, Any]) -> None:
    """The vendor's rules for any request, and its SDK's types."""
    # The SDK's parameters describe the newer API version, without the sampling that the older one still takes.
    PARAMS.validate_python({k: v for k, v in body.items() if k not in ("temperature", "top_p", "top_k")})
    assert body["stream"] is True
    assert body["messages"][0]["role"] == "user"
    marks = [*body.get("system", ()), *body.get("tools", ())]
    calls: list[str] = []
    seen: set[str] = set()
    for index, turn in enumerate(body["messages"]):
        assert turn["role"] == ("user", "assistant")[index % 2]
        assert turn["content"]
        kinds = [block["type"] for block in turn["content"]]
        results = [block["tool_use_id"] for block in turn["content"] if block["type"] == "tool_result"]
        assert results == calls
        assert kinds[: len(results)] == ["tool_result"] * len(results)
        calls = [block["id"] for block in turn["content"] if block["type"] == "tool_use"]
        assert not seen & set(calls)
        seen |= set(calls)
        if turn["role"] == "assistant":
            assert kinds[-1] not in ("thinking", "redacted_thinking")
        for block in turn["content"]:
            marks += [block, *(block.get("content") or [] if block["type"] == "tool_result" else [])]
            if block["type"] == "text":
                assert block["text"].strip()
    assert calls == []
    assert sum("cache_control" in block for block in marks) + ("cache_control" in body) <= 4
    if "thinking" in body:
        assert body["thinking"].get("budget_tokens", 0) < body["max_tokens"]
        assert body.get("tool_choice", {}).get("type") not in ("any", "tool")
        assert "temperature" not in body


def text(value: str) -> dict[str, Any]:
    """A text block."""
    return {"type": "text", "text": value}


def call(call_id: str, name: str = "f", arguments: str = "{}") -> ToolCall:
    """A call of the client's tool."""
    return ToolCall(call_id, name, arguments)


def result(call_id: str, value: str = "ok") -> ToolResult:
    """What the tool answered."""
    return ToolResult(call_id, (Text(value),))


MADE = Sealed("messages", "c2lnbmF0dXJl", "anthropic", "claude-sonnet-4-0")

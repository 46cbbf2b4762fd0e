"""What the simulated Messages API refuses, in Anthropic's own words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from dev.simulated_providers import Running, serve

MODEL = "claude-opus-4-8"
TOOL = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
OLD = {"x-api-key": "key", "anthropic-version": "2023-06-01"}


@pytest.fixture(scope="module")
def simulated() -> Iterator[Running]:
    with serve() as running:
        yield running


def refusal(simulated: Running, body: dict[str, Any], **headers: str) -> tuple[int, str]:
    """(status, message) of a request that the vendor refuses."""
    whole = {"model": "claude-haiku-4-5", "max_tokens": 2000, "messages": [{"role": "user", "content": "hi"}], **body}
    answer = httpx.post(f"{simulated.url}/anthropic/v1/messages", json=whole, headers={**OLD, **headers})
    assert answer.json()["type"] == "error" and answer.json()["request_id"] == answer.headers["request-id"]
    return answer.status_code, answer.json()["error"]["message"]


def test_a_tool_loop_with_a_budget_needs_its_thinking(simulated: Running) -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
    body = {
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [TOOL],
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [use]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}]},
        ],
    }
    status, text = refusal(simulated, body)
    assert status == 400
    assert text.startswith(
        "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `tool_use`."
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"nonsense": 1}, "nonsense: Extra inputs are not permitted"),
        ({"context_management": {}}, "context_management: Extra inputs are not permitted"),
        ({"max_tokens": "x"}, "max_tokens: Input should be a valid integer"),
        ({"thread": {"type": "create"}}, "thread: Extra inputs are not permitted"),
        ({"messages": "oops"}, "messages: Input should be a valid list"),
        ({"messages": []}, "messages: at least one message is required"),
        (
            {"messages": [{"role": "robot", "content": "x"}]},
            "messages.0.role: Input should be 'user', 'assistant' or 'system'",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages.0.content.0.text.text: Field required",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]},
            "messages: text content blocks must be non-empty",
        ),
        (
            {"messages": [{"role": "user", "content": ""}]},
            "messages.0: all messages must have non-empty content except for the optional final assistant message",
        ),
        (
            {"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "y"}]},
            "role 'system' is not supported on this model",
        ),
        (
            {"model": MODEL, "messages": [{"role": "system", "content": "y"}, {"role": "user", "content": "x"}]},
            "messages.0: use the top-level 'system' parameter for the initial system prompt",
        ),
        (
            {"model": MODEL, "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
            "This model does not support assistant message prefill. The conversation must end with a user message.",
        ),
        ({"model": MODEL, "temperature": 0.5}, "`temperature` is deprecated for this model."),
        ({"tools": [TOOL, TOOL]}, "tools: Tool names must be unique."),
        (
            {"tools": [{**TOOL, "name": "a b"}]},
            "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 9}},
            "thinking.enabled.budget_tokens: Input should be greater",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            "`max_tokens` must be greater than `thinking.budget_tokens`",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "temperature": 0.5},
            "`temperature` may only be set to 1 when thinking is enabled.",
        ),
        ({"thinking": {"type": "adaptive"}}, "adaptive thinking is not supported on this model"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1024}, "tools": [TOOL], "tool_choice": {"type": "any"}},
            "Thinking may not be enabled when tool_choice forces tool use.",
        ),
        (
            {
                "system": [{"type": "text", "text": str(i), "cache_control": {"type": "ephemeral"}} for i in range(5)],
            },
            "A maximum of 4 blocks with cache_control may be provided. Found 5.",
        ),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {}}}}},
            "output_config.format.schema: For 'object' type, 'additionalProperties' must be explicitly set to false",
        ),
    ],
)
def test_refusals(simulated: Running, body: dict[str, Any], text: str) -> None:
    status, message = refusal(simulated, body)
    assert status == 400 and message.startswith(text), message


USE = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "x"}


@pytest.mark.parametrize(
    ("turns", "text"),
    [
        (
            [("assistant", [USE]), ("user", "and?")],
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. Each",
        ),
        (
            [("assistant", [USE]), ("user", [{"type": "text", "text": "first"}, RESULT])],
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_1. Each",
        ),
        (
            [("assistant", "no"), ("user", [RESULT])],
            "messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: toolu_1. Each",
        ),
        (
            [("assistant", [USE]), ("user", [RESULT, RESULT])],
            "messages.2.content.1: each `tool_use` must have a single result.",
        ),
        (
            [("assistant", [{**USE, "id": "a.b"}]), ("user", [{**RESULT, "tool_use_id": "a_b"}])],
            "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
        ),
    ],
)
def test_tool_results_must_pair(simulated: Running, turns: list[tuple[str, Any]], text: str) -> None:
    messages = [{"role": "user", "content": "hi"}, *({"role": role, "content": content} for role, content in turns)]
    status, message = refusal(simulated, {"messages": messages, "tools": [TOOL]})
    assert status == 400 and message.startswith(text), message


def test_the_new_version_refuses_more(simulated: Running) -> None:
    new = {"anthropic-version": "2026-10-21"}
    assert refusal(simulated, {"temperature": 1}, **new) == (400, "temperature: Extra inputs are not permitted")
    source = {"type": "text", "media_type": "text/plain", "data": "x"}
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [{"type": "document", "source": source}]},
        {"role": "user", "content": "b"},
    ]
    assert refusal(simulated, {"messages": turns}, **new)[0] == 400
    url = f"{simulated.url}/anthropic/v1/messages"
    body = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": turns, "temperature": 1}
    assert httpx.post(url, json=body, headers=OLD).status_code == 200


def test_headers_are_demanded(simulated: Running) -> None:
    url = f"{simulated.url}/anthropic/v1/messages"
    assert httpx.post(url, json={}, headers={"anthropic-version": "2023-06-01"}).status_code == 401
    missing = httpx.post(url, json={}, headers={"x-api-key": "key"})
    assert missing.json()["error"]["message"] == "anthropic-version: header is required"
    assert refusal(simulated, {}, **{"x-api-key": "invalid"}) == (401, "invalid x-api-key")

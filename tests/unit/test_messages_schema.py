"""Malformed Messages requests are refused before any upstream sees them, in the vendor's words."""

import json
from typing import Any

import pytest

from headgate.errors import GatewayError
from headgate.protocols.messages.schema import is_cache_warm_up, validate

GOOD: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def user(*blocks: Any) -> dict[str, Any]:
    return {**GOOD, "messages": [{"role": "user", "content": list(blocks)}]}


REFUSED: list[tuple[Any, str | None, str, str]] = [
    ([], None, "invalid_type", "Input should be a valid JSON object"),
    ({"messages": []}, "max_tokens", "missing_required_parameter", "max_tokens: Field required"),
    ({**GOOD, "max_tokens": "5"}, "max_tokens", "invalid_type", "max_tokens: Input should be a valid integer"),
    ({**GOOD, "max_tokens": True}, "max_tokens", "invalid_type", "max_tokens: Input should be a valid integer"),
    (
        {**GOOD, "max_tokens": -1},
        "max_tokens",
        "invalid_value",
        "max_tokens: Input should be greater than or equal to 0",
    ),
    ({**GOOD, "messages": "oops"}, "messages", "invalid_type", "messages: Input should be a valid list"),
    ({**GOOD, "messages": []}, "messages", "invalid_value", "messages: at least one message is required"),
    ({**GOOD, "messages": ["x"]}, "messages[0]", "invalid_type", "messages.0: Input should be a valid dictionary"),
    (
        {**GOOD, "messages": [{"role": "tool", "content": "x"}]},
        "messages[0].role",
        "invalid_value",
        "messages.0.role: Input should be 'user', 'assistant' or 'system'",
    ),
    (
        {**GOOD, "messages": [{"role": "user"}]},
        "messages[0].content",
        "missing_required_parameter",
        "messages.0.content: Field required",
    ),
    (
        {**GOOD, "messages": [{"role": "user", "content": 5}]},
        "messages[0].content",
        "invalid_type",
        "messages.0.content: Input should be a valid string or a list of content blocks",
    ),
    (
        user({"type": "text"}),
        "messages[0].content[0].text",
        "missing_required_parameter",
        "messages.0.content.0.text.text: Field required",
    ),
    (
        user({"type": "text", "text": "a", "cache_control": {"type": "forever"}}),
        "messages[0].content[0].cache_control.type",
        "invalid_value",
        "messages.0.content.0.text.cache_control.type: Input should be 'ephemeral'",
    ),
    (
        user({"type": "image", "source": {"type": "base64", "media_type": "image/bmp", "data": "AA=="}}),
        "messages[0].content[0].source.media_type",
        "invalid_value",
        "messages.0.content.0.image.source.base64.media_type: "
        "Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'",
    ),
    (
        user({"type": "document", "source": {"type": "ftp"}}),
        "messages[0].content[0].source.type",
        "invalid_value",
        "messages.0.content.0.document.source.type: Input should be 'base64', 'text', 'url', 'file' or 'content'",
    ),
    (
        user({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": 1}]}),
        "messages[0].content[0].content[0].text",
        "invalid_type",
        "messages.0.content.0.tool_result.content.0.text.text: Input should be a valid string",
    ),
    (
        {**GOOD, "thinking": {"type": "enabled", "budget_tokens": 100}},
        "thinking.budget_tokens",
        "invalid_value",
        "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
    ),
    (
        {**GOOD, "thinking": {"type": "hard"}},
        "thinking.type",
        "invalid_value",
        "thinking.type: Input should be 'enabled', 'adaptive', 'disabled' or 'between_tools'",
    ),
    (
        {**GOOD, "tool_choice": {"type": "tool"}},
        "tool_choice.name",
        "missing_required_parameter",
        "tool_choice.tool.name: Field required",
    ),
    (
        {**GOOD, "tools": [{"name": "a"}]},
        "tools[0].input_schema",
        "missing_required_parameter",
        "tools.0.custom.input_schema: Field required",
    ),
    (
        {**GOOD, "output_config": {"effort": "much"}},
        "output_config.effort",
        "invalid_value",
        "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh', 'max', 'minimal' or 'none'",
    ),
    (
        {**GOOD, "thread": {"type": "continue"}},
        "thread.previous_message_id",
        "missing_required_parameter",
        "thread.continue.previous_message_id: Field required",
    ),
    (
        {**GOOD, "temperature": 1.5},
        "temperature",
        "invalid_value",
        "temperature: Input should be less than or equal to 1",
    ),
    (
        {**GOOD, "temperature": float("nan")},
        "temperature",
        "invalid_value",
        "temperature: Input should be a finite number",
    ),
    (
        {**GOOD, "system": [{"type": "image", "source": {"type": "url", "url": "u"}}]},
        "system[0].type",
        "invalid_value",
        "system.0.type: Input should be 'text'",
    ),
]


@pytest.mark.parametrize(("body", "param", "code", "message"), REFUSED)
def test_refused(body: Any, param: str | None, code: str, message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        validate(body)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, param, code)
    assert caught.value.message == message


ACCEPTED: list[dict[str, Any]] = [
    GOOD,
    {**GOOD, "max_tokens": 0},
    {name: value for name, value in GOOD.items() if name != "model"},
    {
        **GOOD,
        **dict.fromkeys(("system", "tools", "tool_choice", "temperature", "stop_sequences", "thread", "metadata")),
    },
    {**GOOD, "tools": [], "stream": False, "a_new_field": {"x": 1}},
    {
        **GOOD,
        "messages": [{"role": "user", "content": "a"}, {"role": "system", "content": [{"type": "text", "text": "b"}]}],
    },
    {**GOOD, "messages": [{"role": "system", "output_config": {"effort": "high"}}]},
    user({"type": "a_new_block", "anything": [1]}),
    user({"type": "tool_result", "tool_use_id": "t"}),
    {**GOOD, "tools": [{"type": "bash_20250124", "name": "bash"}, {"type": "a_new_tool"}]},
    {**GOOD, "thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "high"}},
    {**GOOD, "messages": [], "thread": {"type": "continue", "previous_message_id": "msg_1"}},
    {
        **GOOD,
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "diagnostics": {"previous_message_id": None},
        "mcp_servers": [{"type": "url", "url": "https://example.com", "name": "n"}],
        "container": {"skills": []},
        "speed": "fast",
    },
]


@pytest.mark.parametrize("body", ACCEPTED)
@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
def test_accepted_unharmed(body: dict[str, Any], version: str) -> None:
    before = json.dumps(body)
    assert validate(body, version) is body
    assert json.dumps(body) == before


@pytest.mark.parametrize("field", ["temperature", "top_p", "top_k"])
def test_the_newer_version_refuses_sampling_even_at_its_default(field: str) -> None:
    body = {**GOOD, field: 1}
    assert validate(body, "2023-06-01") is body
    with pytest.raises(GatewayError, match=f"{field}: Extra inputs are not permitted"):
        validate(body, "2026-10-21")


def test_the_newer_version_refuses_documents_said_by_the_assistant() -> None:
    document = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}}
    body = {**GOOD, "messages": [{"role": "assistant", "content": [document]}]}
    assert validate(body) is body
    with pytest.raises(GatewayError, match="document blocks are not permitted in assistant messages"):
        validate(body, "2026-10-21")
    assert validate(user(document), "2026-10-21")


def test_the_newer_version_refuses_citations_said_by_the_user() -> None:
    cited = {"type": "text", "text": "x", "citations": [{"type": "char_location"}]}
    assert validate(user(cited))
    assert validate(user({**cited, "citations": []}), "2026-10-21")
    with pytest.raises(GatewayError, match="citations: Extra inputs are not permitted"):
        validate(user(cited), "2026-10-21")


def test_counting_needs_no_max_tokens() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "foo"}]}
    assert validate(body, counting=True) is body


def test_a_warm_up_is_a_request_for_no_tokens() -> None:
    assert is_cache_warm_up({**GOOD, "max_tokens": 0})
    assert not is_cache_warm_up(GOOD)


def test_deep_nesting_is_refused_and_does_not_exhaust_the_stack() -> None:
    block: dict[str, Any] = {"type": "text", "text": "x"}
    for _ in range(400):
        block = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
    with pytest.raises(GatewayError, match="nested too deeply"):
        validate(user(block))

from typing import Any

import pytest

from headgate.protocols.needs import CONTENT, OPTIONAL, read_needs

PDF = "data:application/pdf;base64,JVBERi0="
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}}

CASES: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("responses", {"input": "hello"}, {}),
    ("responses", {"input": "hello", "temperature": 1, "reasoning": {"effort": "none"}, "tools": []}, {}),
    (
        "responses",
        {
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}, {"type": "input_image"}]}],
            "tools": [{"type": "web_search"}, TOOL],
            "parallel_tool_calls": True,
            "text": {"format": {"type": "json_schema"}},
            "reasoning": {"effort": "low"},
            "top_p": 0.5,
            "top_logprobs": 2,
        },
        {
            "image": "input[0].content[1]",
            "web_search": "tools[0]",
            "tools": "tools[1]",
            "parallel_tools": "parallel_tool_calls",
            "json_schema": "text.format",
            "reasoning": "reasoning.effort",
            "sampling": "top_p",
            "logprobs": "top_logprobs",
        },
    ),
    (
        "responses",
        {
            "input": [
                {"type": "function_call_output", "output": [{"type": "input_file", "file_data": PDF}]},
                {"role": "user", "content": [{"type": "input_file", "file_data": "data:text/plain;base64,YQ=="}]},
            ],
            "include": ["message.output_text.logprobs"],
        },
        {"pdf": "input[0].content[0]", "logprobs": "include"},
    ),
    (
        "chat_completions",
        {
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "user", "content": [{"type": "input_audio"}, {"type": "file", "file": {"file_data": PDF}}]},
            ],
            "functions": [{"name": "f"}],
            "response_format": {"type": "json_object"},
            "reasoning_effort": "high",
            "logprobs": True,
            "web_search_options": {},
        },
        {
            "audio": "messages[1].content[0]",
            "pdf": "messages[1].content[1]",
            "tools": "functions",
            "json_object": "response_format",
            "reasoning": "reasoning_effort",
            "logprobs": "logprobs",
            "web_search": "web_search_options",
        },
    ),
    (
        "messages",
        {
            "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "content": [{"type": "image", "source": {"type": "url"}}]}],
                },
                {"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": "plain"}}]},
                {
                    "role": "user",
                    "content": [{"type": "document", "source": {"type": "url", "url": "https://x/a.pdf?b"}}],
                },
            ],
            "tools": [{"name": "f", "input_schema": {}}, {"type": "web_search_20250305", "name": "web_search"}],
            "thinking": {"type": "adaptive"},
            "output_config": {"format": {"type": "json_schema"}},
            "top_k": 5,
        },
        {
            "cache_control": "system[0]",
            "image": "messages[0].content[0].content[0]",
            "pdf": "messages[2].content[0]",
            "tools": "tools[0]",
            "web_search": "tools[1]",
            "reasoning": "thinking",
            "json_schema": "output_config.format",
            "sampling": "top_k",
        },
    ),
    ("messages", {"messages": [], "thinking": {"type": "disabled"}}, {}),
]


@pytest.mark.parametrize(("protocol", "body", "needs"), CASES)
def test_needs_are_read_with_the_place_that_asks(protocol: str, body: dict[str, Any], needs: dict[str, str]):
    assert read_needs(protocol, body) == needs


def test_every_need_has_a_rank():
    named = {name for _, _, needs in CASES for name in needs}
    assert named <= {*CONTENT, *OPTIONAL}
    assert not set(CONTENT) & set(OPTIONAL)

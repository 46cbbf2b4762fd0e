"""The requests that are sent: a short conversation with instructions and a tool, in each protocol.

What the simulated model says is in the last message, in the directives of ``dev/simulated_providers/brain.py``.
"""

from __future__ import annotations

import re
from typing import Any, Literal

Protocol = Literal["responses", "chat_completions", "messages"]

PROTOCOLS: tuple[Protocol, ...] = ("responses", "chat_completions", "messages")
PATHS: dict[Protocol, str] = {
    "responses": "/v1/responses",
    "chat_completions": "/v1/chat/completions",
    "messages": "/v1/messages",
}
# The model that is reached over each protocol of an upstream, and the simulated vendor that has it.
MODELS: dict[Protocol, str] = {
    "responses": "gpt-4o-mini",
    "chat_completions": "gpt-4o-mini",
    "messages": "claude-haiku-4-5",
}
VENDORS: dict[Protocol, str] = {"responses": "openai", "chat_completions": "openai", "messages": "anthropic"}
# Where the text of a streamed answer begins.
MARKS: dict[Protocol, re.Pattern[bytes]] = {
    "responses": re.compile(rb"output_text\.delta"),
    "chat_completions": re.compile(rb'"content":"[^"]'),
    "messages": re.compile(rb"text_delta"),
}

_SYSTEM = "You are the assistant of a small hardware shop. " * 12
_TURNS = [
    ("user", "Do you have M4 screws, 20 mm, stainless, with a countersunk head?"),
    ("assistant", "Yes: boxes of 100 and 500, both in stock. Which of the two would you like to have?"),
]
_TOOL = {
    "type": "object",
    "properties": {"article": {"type": "string", "description": "The article's number"}, "count": {"type": "integer"}},
    "required": ["article", "count"],
}


def body(protocol: Protocol, model: str, last: str, *, stream: bool = False) -> dict[str, Any]:
    """A request in ``protocol`` whose last user message is ``last``."""
    turns = [{"role": role, "content": text} for role, text in [*_TURNS, ("user", last)]]
    description = "Reserves articles for a customer."
    match protocol:
        case "responses":
            tool = {"type": "function", "name": "reserve", "description": description, "parameters": _TOOL}
            fields = {"instructions": _SYSTEM, "input": turns, "tools": [tool | {"strict": False}]}
            fields["max_output_tokens"] = 16_000
        case "chat_completions":
            function = {"name": "reserve", "description": description, "parameters": _TOOL}
            fields = {
                "messages": [{"role": "system", "content": _SYSTEM}, *turns],
                "tools": [{"type": "function", "function": function}],
                "max_completion_tokens": 16_000,
            }
        case "messages":
            tool = {"name": "reserve", "description": description, "input_schema": _TOOL}
            fields = {"system": _SYSTEM, "messages": turns, "tools": [tool], "max_tokens": 16_000}
    return {"model": model, **fields, "stream": stream}

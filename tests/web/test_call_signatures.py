"""A Gemini model's signature of a tool call comes back to it through a Messages client, streamed or not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dev.serve import Backends
from tests.gateway import Origin
from tests.unit.messages_support import accumulate_blocks

TOOL = {"name": "get_weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def content_of(answer: Any, *, stream: bool) -> list[dict[str, Any]]:
    if not stream:
        return answer.json()["content"]
    return accumulate_blocks(json.loads(line[5:]) for line in answer.text.splitlines() if line.startswith("data:"))


@pytest.mark.parametrize("stream", [False, True])
def test_the_vendor_gets_its_signature_back(gateway_origin: Origin, gateway_backends: Backends, stream: bool):
    mark = f"call-signature-{stream}"
    asked = {"role": "user", "content": f'{mark} [[tool:get_weather {{"city":"Paris"}}]][[tool:get_weather {{}}]]'}
    body = {"model": "gemini-3.1-pro-preview", "max_tokens": 500, "tools": [TOOL], "messages": [asked]}
    first = gateway_origin.post("/v1/messages", {**body, "stream": stream})
    assert first.status_code == 200, first.text
    content = content_of(first, stream=stream)
    assert [block["type"] for block in content if block.get("signature") != ""][-3:] == [
        "thinking",
        "tool_use",
        "tool_use",
    ]
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": "sun"}
        for block in content
        if block["type"] == "tool_use"
    ]
    turns = [asked, {"role": "assistant", "content": content}, {"role": "user", "content": results}]
    second = gateway_origin.post("/v1/messages", {**body, "messages": turns, "stream": stream})
    # The simulated vendor refuses signatures that it did not make, and first calls without one.
    assert second.status_code == 200, second.text
    sent = gateway_backends.simulated.recorded(marker=mark)[-1].body
    calls = [part for turn in sent["contents"] for part in turn["parts"] if "functionCall" in part]
    signatures = [part.get("thoughtSignature") for part in calls]
    assert signatures[0] and signatures[0] != "skip_thought_signature_validator" and signatures[1] is None

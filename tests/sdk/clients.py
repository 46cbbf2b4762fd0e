"""The requests of coding agents and frameworks, as they were seen on the wire.

``tests/fixtures/clients`` holds one file for each client: its headers, and requests with every field and peculiarity.
``$MODEL``, ``$PROMPT`` and ``$IMAGE`` are filled in here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.sdk.support import PNG_URL, Case

CLIENTS = {
    path.stem: json.loads(path.read_text())
    for path in (Path(__file__).parent.parent / "fixtures/clients").glob("*.json")
}
REQUESTS = [(client, name) for client, each in sorted(CLIENTS.items()) for name in each["requests"]]
MESSAGE_PATHS = ("/v1/messages", "/v1/messages?beta=true")


def filled(value: Any, words: dict[str, str]) -> Any:
    """``value`` with the placeholders replaced."""
    if isinstance(value, str):
        for name, word in words.items():
            value = value.replace(name, word)
        return value
    if isinstance(value, list):
        return [filled(each, words) for each in value]
    return {name: filled(each, words) for name, each in value.items()} if isinstance(value, dict) else value


def send(
    case: Case, client: str, name: str, prompt: str = "Hello", *, model: str | None = None, **changes: Any
) -> httpx.Response:
    """One of a client's requests, with its headers."""
    request = CLIENTS[client]["requests"][name]
    # The simulated vendors judge as strictly as the real ones; a model that thinks takes what agents send.
    words = {"$MODEL": model or _model(case, request), "$PROMPT": prompt, "$IMAGE": PNG_URL}
    body = {**filled(request["body"], words), **changes}
    headers = {**CLIENTS[client]["headers"], **request.get("headers", {})}
    key = (
        {"x-api-key": case.origin.key} if request.get("key_header") else {"authorization": f"Bearer {case.origin.key}"}
    )
    return httpx.post(case.origin.url + request["path"], json=body, headers={**headers, **key}, timeout=60)


def _model(case: Case, request: dict[str, Any]) -> str:
    thinking = request["body"].get("thinking", {})
    if case.upstream == "messages" and any(each["role"] == "system" for each in request["body"].get("messages", ())):
        return "claude-sonnet-5"
    if thinking.get("type") == "enabled" and case.upstream == "messages":
        return "claude-haiku-4-5"
    # Agents ask for more output than the small model has.
    long = max(request["body"].get(name) or 0 for name in ("max_tokens", "max_output_tokens")) > 16_000
    return case.thinker if long or thinking or "reasoning" in request["body"] else case.model


def events_of(answer: httpx.Response) -> list[tuple[str | None, dict[str, Any]]]:
    """(name of the ``event:`` line, data) of each frame; ``[DONE]`` and comments left out."""
    return list(_frames(answer.text))


def _frames(text: str) -> Iterator[tuple[str | None, dict[str, Any]]]:
    for frame in text.split("\n\n"):
        lines = [line for line in frame.split("\n") if line and not line.startswith(":")]
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        name = next((line.removeprefix("event: ") for line in lines if line.startswith("event: ")), None)
        if data and data != ["[DONE]"]:
            yield name, json.loads("\n".join(data))


def text_of(answer: httpx.Response) -> str:
    """The answer's text, whatever the protocol and whether streamed or not."""
    if "text/event-stream" not in answer.headers["content-type"]:
        body = answer.json()
        if "choices" in body:
            return body["choices"][0]["message"]["content"] or ""
        blocks = body.get("content") or [part for item in body["output"] for part in item.get("content") or ()]
        return "".join(block.get("text", "") for block in blocks)
    parts: list[str] = []
    for _, event in events_of(answer):
        if event.get("type") == "response.output_text.delta":
            parts.append(event["delta"])
        elif event.get("type") == "content_block_delta" and event["delta"]["type"] == "text_delta":
            parts.append(event["delta"]["text"])
        for choice in event.get("choices") or ():
            parts.append(choice["delta"].get("content") or "")
    return "".join(parts)

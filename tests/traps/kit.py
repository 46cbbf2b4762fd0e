"""The three frontends as their clients use them: how a thing is asked for, and what came back, in neutral words."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from dev.simulated_providers.recorder import Recorded
from headgate.storage.aws import Connection
from headgate.storage.logs import LogRow, LogStore
from headgate.storage.table import Table
from tests.gateway import Origin
from tests.traps.streams import check_stream, events_of

PATHS = {
    "responses": "/v1/responses",
    "chat_completions": "/v1/chat/completions",
    "messages": "/v1/messages",
}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def mark() -> str:
    """A word by which a request is found again among those that the vendors received."""
    return f"mark{secrets.token_hex(6)}"


@dataclass(frozen=True)
class Said:
    """A message of ``role`` (user, assistant, system)."""

    role: str
    text: str


@dataclass(frozen=True)
class Called:
    """The assistant calls a tool."""

    id: str
    name: str
    arguments: str = '{"city":"Oslo"}'


@dataclass(frozen=True)
class Result:
    """What a tool answered: text, and a picture where ``image``."""

    id: str
    text: str
    image: bool = False


@dataclass
class Got:
    """An answer. ``calls`` are (id, name, arguments); ``thoughts`` the visible reasoning; ``sealed`` the opaque values
    that carry it, in order; ``finish`` in the frontend's own word; ``usage`` the frontend's own object; ``replay`` what
    an SDK puts back into the history. ``body`` is the whole answer as one object, of a stream where it ends in one."""

    frontend: str
    response: httpx.Response
    body: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    thoughts: str = ""
    sealed: list[str] = field(default_factory=list)
    finish: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    replay: list[dict[str, Any]] = field(default_factory=list)

    @property
    def losses(self) -> str:
        """What the gateway says it dropped."""
        return self.response.headers.get("x-headgate-losses", "")

    @property
    def error(self) -> dict[str, Any]:
        """The error object."""
        return self.response.json()["error"]


class Client:
    """A client of one origin that keeps its connections."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._http = httpx.Client(base_url=origin.url, headers=origin.headers, timeout=60)
        self._runner = asyncio.Runner()
        tables = origin.backends
        self._tables = Connection("dynamodb", factory=lambda: tables.tables.client("dynamodb"))
        self._logs = LogStore(Table(self._tables, tables.names["logs"]), 86_400)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
        self._tables.recreate()
        self._runner.close()

    def logged(self, response: httpx.Response, owner: str = "local") -> LogRow:
        """The log row of a request; it is written a moment after the answer has ended."""
        request_id = response.headers["x-request-id"]
        until = time.monotonic() + 20
        while time.monotonic() < until:
            now = time.time_ns() // 1_000_000
            rows = self._runner.run(self._logs.query(owner, now - 30_000, now + 60_000, 50))
            found = [row for row in rows if row.request_id == request_id]
            if found:
                return found[0]
            time.sleep(0.02)
        raise AssertionError(f"no log row for {request_id}")

    def send(
        self, frontend: str, body: Any, headers: dict[str, str] | Sequence[tuple[str, str]] | None = None
    ) -> httpx.Response:
        """One POST."""
        return self._http.post(PATHS[frontend], json=body, headers=headers)

    def ask(self, frontend: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> Got:
        """One request that must succeed; a stream is held to its protocol's rules."""
        response = self.send(frontend, body, headers)
        assert response.status_code == 200, response.text
        return read(frontend, response, stream=bool(body.get("stream")))

    def heard(self, marker: str) -> list[Recorded]:
        """The requests that reached a vendor with ``marker`` in them, in order."""
        return self.origin.backends.simulated.recorded(marker=marker)

    def heard_once(self, marker: str) -> Recorded:
        """The one such request."""
        (one,) = self.heard(marker)
        return one


def request(
    frontend: str,
    model: str,
    turns: str | Sequence[Any],
    *,
    stream: bool = False,
    limit: int | None = 4000,
    system: str | None = None,
    tools: Sequence[tuple[str, Any]] = (),
    choice: str | None = None,
    parallel: bool | None = None,
    effort: str | None = None,
    schema: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A body. ``turns``: one user text, or Said, Called, Result and wire objects in order. ``tools``: (name, schema).
    ``choice``: auto, none, required, or a tool's name. ``effort`` asks for visible reasoning, too."""
    said = [Said("user", turns)] if isinstance(turns, str) else list(turns)
    body: dict[str, Any] = {"model": model, **({"stream": True} if stream else {})}
    make = {"responses": _responses, "chat_completions": _chat, "messages": _messages}[frontend]
    make(body, said, limit, system, tools, choice, parallel, effort, schema)
    return body | more


def _responses(
    body: dict[str, Any], said: list[Any], limit: int | None, system: str | None, tools: Sequence[tuple[str, Any]],
    choice: str | None, parallel: bool | None, effort: str | None, schema: dict[str, Any] | None,
) -> None:  # fmt: skip
    body["input"] = [each for turn in said for each in _item(turn)]
    body["store"] = False
    if limit is not None:
        body["max_output_tokens"] = limit
    if system is not None:
        body["instructions"] = system
    if tools:
        body["tools"] = [
            {"type": "function", "name": name, "parameters": given, "strict": False} for name, given in tools
        ]
    if choice is not None:
        named = {"type": "function", "name": choice}
        body["tool_choice"] = choice if choice in ("auto", "none", "required") else named
    if parallel is not None:
        body["parallel_tool_calls"] = parallel
    if effort is not None:
        body["reasoning"] = {"effort": effort, "summary": "auto"}
        body["include"] = ["reasoning.encrypted_content"]
    if schema is not None:
        body["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": False}}


def _item(turn: Any) -> list[dict[str, Any]]:
    match turn:
        case Said(role="assistant", text=text):
            return [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}]
        case Said(role=role, text=text):
            return [{"type": "message", "role": role, "content": [{"type": "input_text", "text": text}]}]
        case Called(id=id, name=name, arguments=arguments):
            return [{"type": "function_call", "call_id": id, "name": name, "arguments": arguments}]
        case Result(id=id, text=text, image=image):
            picture = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
            parts = [{"type": "input_text", "text": text}, picture] if image else text
            return [{"type": "function_call_output", "call_id": id, "output": parts}]
        case _:
            return [turn]


def _chat(
    body: dict[str, Any], said: list[Any], limit: int | None, system: str | None, tools: Sequence[tuple[str, Any]],
    choice: str | None, parallel: bool | None, effort: str | None, schema: dict[str, Any] | None,
) -> None:  # fmt: skip
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system is not None else []
    for turn in said:
        match turn:
            case Said(role=role, text=text):
                messages.append({"role": role, "content": text})
            case Called(id=id, name=name, arguments=arguments):
                call = {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}
                if messages and messages[-1]["role"] == "assistant" and messages[-1].get("tool_calls"):
                    messages[-1]["tool_calls"].append(call)
                else:
                    messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            case Result(id=id, text=text, image=image):
                picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
                content = [{"type": "text", "text": text}, picture] if image else text
                messages.append({"role": "tool", "tool_call_id": id, "content": content})
            case _:
                messages.append(turn)
    body["messages"] = messages
    if limit is not None:
        body["max_completion_tokens"] = limit
    if tools:
        body["tools"] = [{"type": "function", "function": {"name": name, "parameters": given}} for name, given in tools]
    if choice is not None:
        named = {"type": "function", "function": {"name": choice}}
        body["tool_choice"] = choice if choice in ("auto", "none", "required") else named
    if parallel is not None:
        body["parallel_tool_calls"] = parallel
    if effort is not None:
        body["reasoning_effort"] = effort
    if schema is not None:
        body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}


def _messages(
    body: dict[str, Any], said: list[Any], limit: int | None, system: str | None, tools: Sequence[tuple[str, Any]],
    choice: str | None, parallel: bool | None, effort: str | None, schema: dict[str, Any] | None,
) -> None:  # fmt: skip
    messages: list[dict[str, Any]] = []
    for turn in said:
        role, block = _block(turn)
        if isinstance(block, dict) and messages and messages[-1]["role"] == role and role != "system":
            if isinstance(messages[-1]["content"], list):
                messages[-1]["content"].append(block)
                continue
        messages.append({"role": role, "content": [block] if isinstance(block, dict) else block})
    body["messages"] = messages
    body["max_tokens"] = 4000 if limit is None else limit
    if system is not None:
        body["system"] = system
    if tools:
        body["tools"] = [{"name": name, "input_schema": given} for name, given in tools]
    if choice is not None or parallel is not None:
        kinds = {"auto": "auto", "none": "none", "required": "any", None: "auto"}
        wanted: dict[str, Any] = {"type": kinds.get(choice, "tool")}
        if wanted["type"] == "tool":
            wanted["name"] = choice
        if parallel is not None:
            wanted["disable_parallel_tool_use"] = not parallel
        body["tool_choice"] = wanted
    if effort is not None:
        body["thinking"] = {"type": "adaptive", "display": "summarized"}
        body["output_config"] = {"effort": effort}
    if schema is not None:
        format = {"type": "json_schema", "schema": schema}
        body["output_config"] = {**body.get("output_config", {}), "format": format}


def _block(turn: Any) -> tuple[str, Any]:
    """(role, one block or whole content)."""
    match turn:
        case Said(role=role, text=text):
            return role, text
        case Called(id=id, name=name, arguments=arguments):
            return "assistant", {"type": "tool_use", "id": id, "name": name, "input": json.loads(arguments)}
        case Result(id=id, text=text, image=image):
            source = {"type": "base64", "media_type": "image/png", "data": PNG}
            content = [{"type": "text", "text": text}, {"type": "image", "source": source}] if image else text
            return "user", {"type": "tool_result", "tool_use_id": id, "content": content}
        case _:
            return turn["role"], turn["content"]


def read(frontend: str, response: httpx.Response, *, stream: bool) -> Got:
    """The answer in neutral words. A stream has to keep to its protocol's rules."""
    got = Got(frontend, response)
    if stream:
        assert response.headers["content-type"].startswith("text/event-stream")
        got.events = events_of(frontend, response.text)
        got.body = check_stream(frontend, got.events, response.text)
    else:
        got.body = response.json()
    {"responses": _read_response, "chat_completions": _read_chat, "messages": _read_message}[frontend](got)
    return got


def _read_response(got: Got) -> None:
    for item in got.body["output"]:
        if item["type"] == "message":
            got.text += "".join(part.get("text", part.get("refusal", "")) for part in item["content"])
        elif item["type"] == "function_call":
            got.calls.append((item["call_id"], item["name"], item["arguments"]))
        elif item["type"] == "reasoning":
            got.thoughts += "".join(part["text"] for part in [*item["summary"], *item.get("content", ())])
        if item.get("encrypted_content"):
            got.sealed.append(item["encrypted_content"])
    details = got.body["incomplete_details"]
    got.finish = got.body["status"] + (f":{details['reason']}" if details else "")
    got.usage = got.body["usage"]
    got.replay = got.body["output"]


def _read_chat(got: Got) -> None:
    (choice,) = got.body["choices"]
    message = choice["message"]
    got.text = (message.get("content") or "") + (message.get("refusal") or "")
    for call in message.get("tool_calls") or ():
        got.calls.append((call["id"], call["function"]["name"], call["function"]["arguments"]))
        signature = (call.get("extra_content") or {}).get("google", {}).get("thought_signature")
        got.sealed += [signature] if signature else []
    got.thoughts = message.get("reasoning_content") or ""
    for entry in message.get("reasoning_details") or ():
        token = entry.get("signature") or entry.get("data")
        got.sealed += [token] if token else []
    got.finish = choice["finish_reason"]
    got.usage = got.body.get("usage") or {}
    got.replay = [message]


def _read_message(got: Got) -> None:
    for block in got.body["content"]:
        match block["type"]:
            case "text":
                got.text += block["text"]
            case "tool_use":
                got.calls.append((block["id"], block["name"], json.dumps(block["input"])))
            case "thinking":
                got.thoughts += block["thinking"]
                got.sealed += [block["signature"]] if block["signature"] else []
            case "redacted_thinking":
                got.sealed.append(block["data"])
    got.finish = got.body["stop_reason"]
    got.usage = got.body["usage"]
    got.replay = [{"role": "assistant", "content": got.body["content"]}]

"""How each frontend's clients read an answer. The vendors' SDKs judge the form: every object and every streamed event
must be one of their types, and what a client keeps of a stream is what their own accumulators make of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, get_args

import httpx
from pydantic import TypeAdapter

from tests.matrix.facts import Answer, Tokens
from tests.responses_kit import check_object, parse_stream

# The frontends' own words for how an answer ended.
FINISH = {
    "responses": {
        "stop": "completed",
        "tool_calls": "completed",
        "length": "incomplete: max_output_tokens",
        "stop_sequence": "completed",
    },
    "chat_completions": {
        "stop": "stop",
        "tool_calls": "tool_calls",
        "length": "length",
        "stop_sequence": "stop",
    },
    "messages": {
        "stop": "end_turn",
        "tool_calls": "tool_use",
        "length": "max_tokens",
        "stop_sequence": "stop_sequence: END",
    },
}


def answer_of(frontend: str, response: httpx.Response) -> Answer:
    """What the client understands of ``response``, a stream or a JSON object."""
    answer = Answer(response.status_code, dict(response.headers), raw=response.text)
    if response.status_code >= 400:
        _error(frontend, answer, response.json())
        return answer
    streamed = response.headers["content-type"].startswith("text/event-stream")
    read, read_stream = {
        "responses": (_response, _response_stream),
        "chat_completions": (_completion, _completion_stream),
        "messages": (_message, _message_stream),
    }[frontend]
    if streamed:
        read_stream(answer, response.text)
    else:
        read(answer, response.json())
    return answer


def _error(frontend: str, answer: Answer, body: Mapping[str, Any]) -> None:
    """An error body in the frontend's envelope."""
    error = body["error"]
    assert isinstance(error["message"], str) and error["message"] and isinstance(error["type"], str)
    if frontend == "messages":
        assert body["type"] == "error" and body["request_id"] == answer.headers["request-id"]
    else:
        assert {"code", "param"} <= error.keys()
    answer.error = error


@cache
def _types() -> dict[str, dict[str, TypeAdapter[Any]]]:
    """What judges objects and streamed events, the latter by the ``type`` that they have."""
    from anthropic.types import Message, RawMessageStreamEvent
    from openai.types.chat import ChatCompletion
    from openai.types.responses import ResponseStreamEvent

    events = {"responses": ResponseStreamEvent, "messages": RawMessageStreamEvent}
    found = {name: {_tag(kind): TypeAdapter(kind) for kind in _members(union)} for name, union in events.items()}
    return {**found, "objects": {"message": TypeAdapter(Message), "completion": TypeAdapter(ChatCompletion)}}


def _members(union: Any) -> tuple[Any, ...]:
    """The types of a union, whether or not it is annotated."""
    return get_args(get_args(union)[0]) if hasattr(union, "__metadata__") else get_args(union)


def _tag(kind: Any) -> str:
    return get_args(kind.model_fields["type"].annotation)[0]


def _frames(text: str) -> list[tuple[str | None, dict[str, Any]]]:
    """(name, data) of each event; ``[DONE]`` and comments left out."""
    found: list[tuple[str | None, dict[str, Any]]] = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        name = next((line.removeprefix("event: ") for line in lines if line.startswith("event: ")), None)
        if data and data != ["[DONE]"]:
            found.append((name, json.loads("\n".join(data))))
    return found


# Responses


def _response(answer: Answer, body: dict[str, Any]) -> None:
    check_object(body)
    details = body["incomplete_details"]
    answer.finish = body["status"] + (f": {details['reason']}" if details else "")
    answer.model, answer.replay = body["model"], body["output"]
    for item in body["output"]:
        match item["type"]:
            case "message":
                answer.text += "".join(part.get("text", "") for part in item["content"])
            case "function_call":
                answer.calls.append((item["call_id"], item["name"], item["arguments"]))
                if item.get("encrypted_content"):
                    answer.seals.append(item["encrypted_content"])
            case "reasoning":
                answer.thought += "".join(part["text"] for part in item["summary"] or item.get("content") or ())
                if item.get("encrypted_content"):
                    answer.seals.append(item["encrypted_content"])
    usage = body["usage"]
    if usage:
        given, made = usage["input_tokens_details"], usage["output_tokens_details"]
        answer.usage = Tokens(
            usage["input_tokens"],
            given["cached_tokens"],
            given.get("cache_write_tokens", 0),
            usage["output_tokens"],
            made["reasoning_tokens"],
        )
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        answer.cost = body["cost"]["total"]
    if body["error"]:
        answer.error = body["error"]


def _response_stream(answer: Answer, text: str) -> None:
    events = parse_stream(text.encode())
    for event in events:
        # OpenAI's own error event is not of the form that its SDK's types say.
        if event["type"] != "error":
            _types()["responses"][event["type"]].validate_python(event)
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"] or kinds == ["response.failed"], kinds
    ends = [kind for kind in kinds if kind in ("response.completed", "response.incomplete", "response.failed")]
    assert ends == [kinds[-1]], kinds
    final = events[-1]["response"]
    if kinds[-1] != "response.failed":
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        assert done == final["output"]
    _response(answer, final)
    said = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    if kinds[-1] == "response.failed":
        answer.text = said
    assert said == answer.text
    given: dict[int, str] = {}
    for event in events:
        if event["type"] == "response.function_call_arguments.delta":
            given[event["output_index"]] = given.get(event["output_index"], "") + event["delta"]
    calls = {at: item["arguments"] for at, item in enumerate(final["output"]) if item["type"] == "function_call"}
    assert given == {at: arguments for at, arguments in calls.items() if arguments} or answer.error


# Chat Completions


def _completion(answer: Answer, body: dict[str, Any]) -> None:
    _types()["objects"]["completion"].validate_python(body)
    (choice,) = body["choices"]
    message = choice["message"]
    _chat_message(answer, message)
    answer.finish, answer.model = choice["finish_reason"], body["model"]
    _chat_usage(answer, body)


def _chat_message(answer: Answer, message: dict[str, Any]) -> None:
    answer.replay = [message]
    answer.text = message.get("content") or ""
    for call in message.get("tool_calls") or ():
        answer.calls.append((call["id"], call["function"]["name"], call["function"]["arguments"]))
    answer.thought = message.get("reasoning_content") or ""
    for detail in message.get("reasoning_details") or ():
        if token := detail.get("signature") or detail.get("data"):
            answer.seals.append(token)
    for call in message.get("tool_calls") or ():
        if google := (call.get("extra_content") or {}).get("google"):
            answer.seals.append(google["thought_signature"])


def _chat_usage(answer: Answer, body: dict[str, Any]) -> None:
    usage = body["usage"]
    # OpenAI's types make both optional, and a relay hands on what the vendor counts.
    given, made = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    answer.usage = Tokens(
        usage["prompt_tokens"],
        given.get("cached_tokens") or 0,
        given.get("cache_write_tokens") or 0,
        usage["completion_tokens"],
        made.get("reasoning_tokens") or 0,
    )
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    answer.cost = body["cost"]["total"]


def _completion_stream(answer: Answer, text: str) -> None:
    from openai.lib.streaming.chat import ChatCompletionStreamState
    from openai.types.chat import ChatCompletionChunk

    state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
    frames = [data for _, data in _frames(text)]
    if frames and "error" in frames[-1]:
        answer.error = frames.pop()["error"]
        assert {"message", "type", "code", "param"} <= answer.error.keys()
    # OpenAI's SDK stops at the mark and at an error; only a whole stream has the mark.
    assert text.endswith("data: [DONE]\n\n") or answer.error
    # Azure's stream begins with a chunk that has its judgement of the prompt and nothing else.
    frames = [data for data in frames if data["choices"] or "prompt_filter_results" not in data]
    for data in frames:
        state.handle_chunk(ChatCompletionChunk.model_validate(data))
    reasons = [choice["finish_reason"] for data in frames for choice in data["choices"] if choice.get("finish_reason")]
    if answer.error:
        assert reasons == []
        answer.text = "".join(choice["delta"].get("content") or "" for data in frames for choice in data["choices"])
        return
    assert len(reasons) == 1
    usages = [data for data in frames if data.get("usage")]
    assert usages == [frames[-1]] and frames[-1]["choices"] == []
    message = state.current_completion_snapshot.choices[0].message.to_dict()
    # The SDK puts what it parsed beside what came.
    message.pop("parsed", None)
    for call in message.get("tool_calls") or ():
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    _chat_message(answer, message)
    answer.finish, answer.model = reasons[0], frames[0]["model"]
    _chat_usage(answer, frames[-1])


# Messages


def _message(answer: Answer, body: dict[str, Any]) -> None:
    _types()["objects"]["message"].validate_python(body)
    for block in body["content"]:
        match block["type"]:
            case "text":
                assert block["text"], "Anthropic refuses empty text blocks when they come back"
                answer.text += block["text"]
            case "tool_use":
                answer.calls.append((block["id"], block["name"], json.dumps(block["input"])))
            case "thinking":
                answer.thought += block["thinking"]
                if block["signature"]:
                    answer.seals.append(block["signature"])
            case "redacted_thinking":
                answer.seals.append(block["data"])
    answer.replay, answer.model = body["content"], body["model"]
    stopped = body["stop_sequence"]
    answer.finish = body["stop_reason"] + (f": {stopped}" if stopped else "")
    usage = body["usage"]
    read, written = usage["cache_read_input_tokens"] or 0, usage["cache_creation_input_tokens"] or 0
    answer.usage = Tokens(
        usage["input_tokens"] + read + written,
        read,
        written,
        usage["output_tokens"],
        (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0,
    )
    answer.cost = body["cost"]["total"]


def _message_stream(answer: Answer, text: str) -> None:
    from anthropic.lib.streaming._messages import accumulate_event

    frames = _frames(text)
    assert all(name == data["type"] for name, data in frames)
    events = [data for _, data in frames if data["type"] != "ping"]
    if events[-1]["type"] == "error":
        answer.error = events.pop()["error"]
        assert isinstance(answer.error["message"], str) and answer.error["type"].endswith("_error")
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    opened, following = None, 0
    for event in events:
        parsed = _types()["messages"][event["type"]].validate_python(event)
        snapshot = accumulate_event(event=parsed, current_snapshot=snapshot, json_bufs=buffers)
        match event["type"]:
            case "content_block_start":
                assert opened is None and event["index"] == following
                opened, following = following, following + 1
            case "content_block_delta":
                assert event["index"] == opened
            case "content_block_stop":
                assert event["index"] == opened
                opened = None
    if answer.error:
        assert "message_stop" not in [event["type"] for event in events]
        deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
        answer.text = "".join(delta.get("text", "") for delta in deltas)
        return
    assert [event["type"] for event in events][-2:] == ["message_delta", "message_stop"] and opened is None
    started, over = events[0]["message"]["usage"], events[-2]["usage"]
    assert (
        started["input_tokens"]
        + (started["cache_read_input_tokens"] or 0)
        + (started["cache_creation_input_tokens"] or 0)
    )
    body = snapshot.to_dict()
    # The truth about the tokens is in the last delta; the SDK takes over what it knows of it.
    body["usage"] = {**body["usage"], **over}
    _message(answer, {**body, "cost": events[-2]["cost"]})

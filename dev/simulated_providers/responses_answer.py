"""Puts a Plan into OpenAI's Responses wire format: the response object, or the events of its stream."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from . import openai_common as openai
from .brain import output_tokens
from .caches import CacheUse, FrameCache
from .delivery import Script, packed
from .dialect import OPENAI, Dialect
from .reading import Call, Plan, Refuse, Say, Search, Thought
from .seals import seal
from .tokens import split

_HOLDER = "msg_" + "0" * 48
"""Stands for the item id in frames kept for reuse; as long as a real id."""
_CACHED_FROM = 256
"""Texts of at least so many tokens are encoded once and reused."""


def new_id(prefix: str) -> str:
    """``resp_`` and 48 hexadecimal digits."""
    return f"{prefix}_{secrets.token_hex(24)}"


@dataclass
class Answer:
    """A response in the making. ``items`` are the finished output items with the step that each came from."""

    body: dict[str, Any]
    plan: Plan
    use: CacheUse
    key: str
    dialect: Dialect
    id: str = field(default_factory=lambda: new_id("resp"))
    created: int = field(default_factory=lambda: int(time.time()))
    items: list[dict[str, Any]] = field(default_factory=list)

    def includes(self, name: str) -> bool:
        """Whether the request's ``include`` names this."""
        return name in (self.body.get("include") or [])


def _text_part(answer: Answer, step: Say) -> dict[str, Any]:
    annotations = [
        {"type": "url_citation", "start_index": one.start, "end_index": one.end, "title": one.title, "url": one.url}
        for one in step.citations
    ]
    probabilities: list[dict[str, Any]] = []
    if answer.includes("message.output_text.logprobs"):
        probabilities = openai.logprobs(split(step.text), answer.body.get("top_logprobs") or 0)
    return {"type": "output_text", "annotations": annotations, "logprobs": probabilities, "text": step.text}


def _message(answer: Answer, part: dict[str, Any], *, whole: bool, last: bool) -> dict[str, Any]:
    item: dict[str, Any] = {
        "id": new_id("msg"),
        "type": "message",
        "status": "completed" if whole else "incomplete",
        "content": [part],
        "role": "assistant",
    }
    if answer.dialect is OPENAI and openai.version(answer.body["model"]) >= 5.4:
        item["phase"] = "final_answer" if last else "commentary"
    return item


def build(answer: Answer) -> None:
    """Fills ``answer.items`` from the plan."""
    steps = answer.plan.steps
    for index, step in enumerate(steps):
        last = not any(isinstance(later, Call | Say) for later in steps[index + 1 :])
        match step:
            case Thought():
                answer.items.append(_reasoning(answer, step))
            case Say():
                answer.items.append(_message(answer, _text_part(answer, step), whole=step.whole, last=last))
            case Refuse():
                part = {"type": "refusal", "refusal": step.text}
                answer.items.append(_message(answer, part, whole=True, last=last))
            case Search():
                action: dict[str, Any] = {"type": "search", "queries": [step.query], "query": step.query}
                if answer.includes("web_search_call.action.sources"):
                    action["sources"] = [{"type": "url", "url": url} for url, _ in step.results]
                item = {"id": new_id("ws"), "type": "web_search_call", "status": "completed", "action": action}
                answer.items.append(item)
            case Call(custom=True):
                answer.items.append(
                    {
                        "id": new_id("ctc"),
                        "type": "custom_tool_call",
                        "status": "completed" if step.whole else "incomplete",
                        "call_id": answer.dialect.call_id(),
                        "input": step.arguments,
                        "name": step.name,
                    }
                )
            case _:
                answer.items.append(_function_call(answer, step))


def _function_call(answer: Answer, step: Call) -> dict[str, Any]:
    item = {
        "id": new_id("fc"),
        "type": "function_call",
        "status": "completed" if step.whole else "incomplete",
        "arguments": step.arguments,
        "call_id": answer.dialect.call_id(),
        "name": step.name,
    }
    for tool in answer.body.get("tools") or []:
        if tool["type"] == "namespace" and any(one["name"] == step.name for one in tool["tools"]):
            item["namespace"] = tool["name"]
    return item


def _reasoning(answer: Answer, step: Thought) -> dict[str, Any]:
    item: dict[str, Any] = {"id": new_id("rs"), "type": "reasoning", "summary": []}
    wanted = answer.body.get("reasoning") or {}
    if (wanted.get("summary") or wanted.get("generate_summary")) and step.look == "plain":
        item["summary"] = [{"type": "summary_text", "text": text} for text in step.text.split("\n\n") if text]
    if answer.includes("reasoning.encrypted_content"):
        item["encrypted_content"] = seal("reasoning", answer.key, answer.body["model"])
    return item


def response(answer: Answer, status: str, *, error: dict[str, Any] | None = None) -> dict[str, Any]:
    """The response object. ``status`` in_progress has no output and no usage yet."""
    body, model = answer.body, answer.body["model"]
    done = status in ("completed", "incomplete")
    reasons = answer.dialect.reasons(model)
    reasoning = body.get("reasoning") or {}
    text = body.get("text") or {}
    incomplete = "content_filter" if answer.plan.finish == "filter" else "max_output_tokens"
    value = {
        "id": answer.id,
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "background": body.get("background") or False,
        "completed_at": int(time.time()) if status == "completed" else None,
        "error": error,
        "frequency_penalty": 0.0,
        "incomplete_details": {"reason": incomplete} if status == "incomplete" else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "model": answer.dialect.snapshot(model),
        "moderation": None,
        "output": answer.items if done else [],
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "presence_penalty": 0.0,
        "previous_response_id": None,
        "prompt_cache_key": body.get("prompt_cache_key"),
        "prompt_cache_retention": (body.get("prompt_cache_retention") or "").replace("-", "_") or None,
        "reasoning": {
            "effort": reasoning.get("effort") or answer.dialect.default_effort(model),
            "summary": ("detailed" if reasoning.get("summary") == "auto" else reasoning.get("summary"))
            if reasons
            else None,
        },
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": "default" if done else body.get("service_tier") or "auto",
        "store": body.get("store") is not False,
        "temperature": body.get("temperature") if body.get("temperature") is not None else 1.0,
        "text": {"format": _format(text.get("format")), "verbosity": text.get("verbosity") or "medium"},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": [_tool(tool) for tool in body.get("tools") or []],
        "top_logprobs": body.get("top_logprobs") or 0,
        "top_p": body.get("top_p") if body.get("top_p") is not None else 1.0,
        "truncation": body.get("truncation") or "disabled",
        "usage": usage(answer) if done else None,
        "user": body.get("user"),
        "metadata": body.get("metadata") or {},
    }
    return answer.dialect.response(value, answer)


def _format(given: dict[str, Any] | None) -> dict[str, Any]:
    if not given or given["type"] != "json_schema":
        return given or {"type": "text"}
    return {"description": None, "strict": True, **{key: value for key, value in given.items() if value is not None}}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    if tool["type"] == "function":
        return {"description": None, "parameters": None, **tool, "strict": tool.get("strict") is not False}
    if tool["type"] in ("web_search", "web_search_2025_08_26"):
        where = {"type": "approximate", "city": None, "country": "US", "region": None, "timezone": None}
        return {"filters": None, "search_context_size": "medium", "user_location": where, **tool}
    return tool


def usage(answer: Answer) -> dict[str, Any]:
    """The usage object; cached tokens are part of the input tokens."""
    output, thought = output_tokens(answer.plan)
    use = answer.use
    total = use.fresh + use.read + use.written_5m + use.written_1h
    return {
        "input_tokens": total,
        "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": use.read},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": total + output,
        **answer.plan.usage,
    }


def status_of(plan: Plan) -> str:
    """completed, or incomplete where the limit or the filter ended the answer."""
    return "incomplete" if plan.finish in ("length", "filter") else "completed"


@dataclass
class _Writer:
    """Numbers and encodes the events; sequence_number is the index of the frame."""

    frames: list[bytes] = field(default_factory=list)
    deltas: list[int] = field(default_factory=list)
    hidden: bool = True

    def put(self, kind: str, **fields: Any) -> None:
        self.frames.append(event(kind, len(self.frames), **fields))

    def delta(self, kind: str, delta: str, **fields: Any) -> None:
        self.deltas.append(len(self.frames))
        extra = {"obfuscation": openai.padding(delta)} if self.hidden else {}
        self.put(kind, delta=delta, **fields, **extra)


def event(kind: str, number: int, **fields: Any) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), packed({"type": kind, **fields, "sequence_number": number}))


def script(answer: Answer, cache: FrameCache) -> Script:
    """The whole stream of an answer."""
    options = answer.body.get("stream_options") or {}
    writer = _Writer(hidden=options.get("include_obfuscation") is not False)
    writer.put("response.created", response=response(answer, "in_progress"))
    writer.put("response.in_progress", response=response(answer, "in_progress"))
    calls = [index for index, item in enumerate(answer.items) if item["type"] == "function_call"]
    for index, item in enumerate(answer.items):
        if index in calls and answer.plan.interleaved and len(calls) > 1:
            if index == calls[0]:
                _interleaved(writer, [(at, answer.items[at]) for at in calls], answer.plan)
            continue
        _item(writer, index, item, answer, cache)
    status = status_of(answer.plan)
    writer.put(f"response.{status}", response=response(answer, status))
    turn = answer.dialect.event
    if turn is None:
        return Script(writer.frames, writer.deltas, lambda at: _errors(answer, at), _novel, _shifted)
    frames = [_turned(frame, turn, answer) for frame in writer.frames]

    def errors(at: int) -> list[bytes]:
        return [_turned(frame, turn, answer) for frame in _errors(answer, at)]

    return Script(frames, writer.deltas, errors, _novel, _shifted)


def _turned(frame: bytes, turn: Callable[[dict[str, Any], Any], dict[str, Any]], answer: Answer) -> bytes:
    value = turn(json.loads(frame.partition(b"data: ")[2]), answer)
    # What numbers the event stands last, for the one that may have to be moved.
    value["sequence_number"] = value.pop("sequence_number")
    name = b"event: %b\n" % value["type"].encode() if answer.dialect.event_lines else b""
    return b"%bdata: %b\n\n" % (name, packed(value))


def _errors(answer: Answer, at: int) -> list[bytes]:
    wrong = openai.stream_error()
    frames = [event("error", at, error=wrong)]
    if at > 0:
        failed = response(answer, "failed", error={"code": wrong["code"], "message": wrong["message"]})
        frames.append(event("response.failed", at + 1, response=failed))
    return frames


def _shifted(frame: bytes) -> bytes:
    """The frame with its sequence_number, which stands last, one higher."""
    head, number = frame.rsplit(b":", 1)
    return b"%b:%d}\n\n" % (head, int(number.rstrip(b"}\n")) + 1)


def _novel(at: int) -> bytes:
    return event("response.simulated_novelty.delta", at, delta="new", item_id="nov_1", output_index=0)


def _item(writer: _Writer, index: int, item: dict[str, Any], answer: Answer, cache: FrameCache) -> None:
    place = {"item_id": item["id"], "output_index": index}
    match item["type"]:
        case "reasoning":
            opened = {**item, "summary": []}
            if "encrypted_content" in item:
                opened["encrypted_content"] = seal("reasoning", answer.key, answer.body["model"])
            writer.put("response.output_item.added", item=opened, output_index=index)
            for number, part in enumerate(item["summary"]):
                _summary(writer, {**place, "summary_index": number}, part["text"])
        case "message":
            opened = {**item, "status": "in_progress", "content": []}
            writer.put("response.output_item.added", item=opened, output_index=index)
            _content(writer, {**place, "content_index": 0}, item["content"][0], cache)
        case "web_search_call":
            # The query is not known yet when the search is announced.
            action = {"type": "search"}
            opened = {"id": item["id"], "type": "web_search_call", "status": "in_progress", "action": action}
            writer.put("response.output_item.added", item=opened, output_index=index)
            for word in ("in_progress", "searching", "completed"):
                writer.put(f"response.web_search_call.{word}", **place)
        case _:
            for _ in _call(writer, index, item, whole=answer.plan.whole_calls):
                continue
            return
    writer.put("response.output_item.done", item=item, output_index=index)


def _summary(writer: _Writer, place: dict[str, Any], text: str) -> None:
    empty = {"type": "summary_text", "text": ""}
    writer.put("response.reasoning_summary_part.added", **place, part=empty)
    for token in split(text):
        writer.delta("response.reasoning_summary_text.delta", token, **place)
    writer.put("response.reasoning_summary_text.done", **place, text=text)
    writer.put("response.reasoning_summary_part.done", **place, part={"type": "summary_text", "text": text})


def _content(writer: _Writer, place: dict[str, Any], part: dict[str, Any], cache: FrameCache) -> None:
    if part["type"] == "refusal":
        writer.put("response.content_part.added", **place, part={"type": "refusal", "refusal": ""})
        for token in split(part["refusal"]):
            writer.delta("response.refusal.delta", token, **place)
        writer.put("response.refusal.done", **place, refusal=part["refusal"])
        writer.put("response.content_part.done", **place, part=part)
        return
    opened = {**part, "text": "", "annotations": [], "logprobs": []}
    writer.put("response.content_part.added", **place, part=opened)
    _text(writer, place, part, cache)
    for number, annotation in enumerate(part["annotations"]):
        writer.put("response.output_text.annotation.added", **place, annotation=annotation, annotation_index=number)
    writer.put("response.output_text.done", **place, logprobs=part["logprobs"], text=part["text"])
    writer.put("response.content_part.done", **place, part=part)


def _text(writer: _Writer, place: dict[str, Any], part: dict[str, Any], cache: FrameCache) -> None:
    tokens = split(part["text"])
    kind = "response.output_text.delta"
    if part["logprobs"] or len(tokens) < _CACHED_FROM:
        for index, token in enumerate(tokens):
            held = part["logprobs"][index : index + 1]
            writer.delta(kind, token, **place, logprobs=held)
        return
    start, hidden = len(writer.frames), writer.hidden

    def build() -> list[bytes]:
        fresh = _Writer(hidden=hidden, frames=[b""] * start)
        for token in tokens:
            fresh.delta(kind, token, **{**place, "item_id": _HOLDER}, logprobs=[])
        return fresh.frames[start:]

    frames = cache.get((kind, start, hidden, place["output_index"], part["text"]), build)
    own = place["item_id"].encode()
    writer.deltas += range(start, start + len(frames))
    writer.frames += [frame.replace(_HOLDER.encode(), own) for frame in frames]


def _call(writer: _Writer, index: int, item: dict[str, Any], *, whole: bool) -> Iterator[None]:
    """The events of one call, pausing after each so that parallel calls can alternate."""
    slot = "arguments" if item["type"] == "function_call" else "input"
    kind = "function_call_arguments" if slot == "arguments" else "custom_tool_call_input"
    place = {"item_id": item["id"], "output_index": index}
    opened = {**item, "status": "in_progress", slot: ""}
    writer.put("response.output_item.added", item=opened, output_index=index)
    yield
    for piece in [item[slot]] if whole and item[slot] else split(item[slot]):
        writer.delta(f"response.{kind}.delta", piece, **place)
        yield
    writer.put(f"response.{kind}.done", **place, **{slot: item[slot]})
    writer.put("response.output_item.done", item=item, output_index=index)


def _interleaved(writer: _Writer, calls: list[tuple[int, dict[str, Any]]], plan: Plan) -> None:
    running = [_call(writer, index, item, whole=plan.whole_calls) for index, item in calls]
    while running:
        running = [one for one in running if next(one, StopIteration) is not StopIteration]

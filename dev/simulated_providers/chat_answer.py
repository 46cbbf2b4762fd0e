"""Puts a Plan into OpenAI's Chat Completions wire format: the completion, or the chunks of its stream."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from . import openai_common as openai
from .brain import output_tokens
from .caches import CacheUse, FrameCache
from .delivery import Script, packed
from .dialect import Dialect
from .reading import Call, Plan, Refuse, Say, Thought
from .tokens import split

_HOLDER = "chatcmpl-" + "0" * 29
_HELD_TIME = 1_000_000_000
_CACHED_FROM = 256
_FINISH = {"end": "stop", "stop": "stop", "refusal": "stop", "length": "length", "filter": "content_filter"}


@dataclass
class Answer:
    """A completion in the making."""

    body: dict[str, Any]
    plan: Plan
    use: CacheUse
    dialect: Dialect
    notes: dict[str, Any] = field(default_factory=dict)
    """What a dialect remembers from one chunk to the next."""
    id: str = field(default_factory=lambda: f"chatcmpl-{secrets.token_hex(16)[:29]}")
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def number(self) -> int:
        """How many choices were asked for."""
        return self.body.get("n") or 1

    def base(self, kind: str) -> dict[str, Any]:
        """What the completion and every chunk have in common."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.dialect.snapshot(self.body["model"]),
        }


def usage(answer: Answer) -> dict[str, Any]:
    """The usage of all choices together; the prompt is counted once."""
    output, thought = output_tokens(answer.plan)
    output, thought = output * answer.number, thought * answer.number
    use = answer.use
    total = use.fresh + use.read + use.written_5m + use.written_1h
    accepted = rejected = 0
    prediction = answer.body.get("prediction")
    if prediction:
        content = prediction["content"]
        text = content if isinstance(content, str) else "".join(part["text"] for part in content)
        predicted, said = split(text), split(_text(answer.plan))
        accepted = sum(one == other for one, other in zip(predicted, said, strict=False))
        rejected = len(predicted) - accepted
    audio = output if _spoken(answer) else 0
    return {
        "prompt_tokens": total,
        "completion_tokens": output,
        "total_tokens": total + output,
        "prompt_tokens_details": {"cached_tokens": use.read, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": thought,
            "audio_tokens": audio,
            "accepted_prediction_tokens": accepted,
            "rejected_prediction_tokens": rejected,
        },
        **answer.plan.usage,
    }


def _text(plan: Plan) -> str:
    return "".join(step.text for step in plan.steps if isinstance(step, Say))


def _thoughts(plan: Plan) -> list[str]:
    return [step.text for step in plan.steps if isinstance(step, Thought) and step.look == "plain"]


def _spoken(answer: Answer) -> bool:
    return "audio" in (answer.body.get("modalities") or [])


def _calls(answer: Answer) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = []
    for step in answer.plan.steps:
        if not isinstance(step, Call):
            continue
        one: dict[str, Any] = {"id": answer.dialect.call_id(), "type": "custom" if step.custom else "function"}
        slot = {"name": step.name, "input" if step.custom else "arguments": step.arguments}
        calls.append({**one, one["type"]: slot})
    return calls


def _annotations(plan: Plan) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    offset = 0
    for step in plan.steps:
        if not isinstance(step, Say):
            continue
        for one in step.citations:
            cited = {
                "url": one.url,
                "title": one.title,
                "start_index": offset + one.start,
                "end_index": offset + one.end,
            }
            result.append({"type": "url_citation", "url_citation": cited})
        offset += len(step.text)
    return result


def _finish(answer: Answer) -> str:
    plan = answer.plan
    if plan.finish == "calls":
        named = (
            isinstance(answer.body.get("tool_choice"), dict)
            and answer.body["tool_choice"].get("type") != "allowed_tools"
        )
        if answer.body.get("functions"):
            return "stop" if isinstance(answer.body.get("function_call"), dict) else "function_call"
        # A named choice ends with "stop", which surprises clients but is what the vendor does.
        return "stop" if named else "tool_calls"
    return _FINISH.get(plan.finish, plan.finish)


def _probabilities(answer: Answer, tokens: list[str], slot: str) -> dict[str, Any] | None:
    if not answer.body.get("logprobs"):
        return None
    held = openai.logprobs(tokens, answer.body.get("top_logprobs") or 0)
    return {"content": None, "refusal": None, slot: held}


def _sound(text: str) -> str:
    """Base64 of something that stands for speech."""
    return base64.b64encode(b"RIFF" + text.encode("utf-8", "replace")).decode()


def completion(answer: Answer) -> dict[str, Any]:
    """The whole completion."""
    value = {
        **answer.base("chat.completion"),
        "choices": [_choice(answer, index) for index in range(answer.number)],
        "usage": usage(answer),
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }
    return answer.dialect.completion(value, answer)


def _choice(answer: Answer, index: int) -> dict[str, Any]:
    plan = answer.plan
    text, calls = _text(plan), _calls(answer)
    refusals = [step.text for step in plan.steps if isinstance(step, Refuse)]
    said = any(isinstance(step, Say) for step in plan.steps)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text if said or not (calls or refusals) else None,
        "refusal": "".join(refusals) or None,
        "annotations": _annotations(plan),
    }
    thoughts = _thoughts(plan)
    if thoughts and answer.dialect.thought:
        message |= answer.dialect.thought("\n\n".join(thoughts))
    if calls and answer.body.get("functions"):
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    if _spoken(answer) and said:
        sound = {"id": f"audio_{secrets.token_hex(12)}", "data": _sound(text), "expires_at": answer.created + 3600}
        message |= {"content": None, "audio": {**sound, "transcript": text}}
    held = _probabilities(answer, split(text), "content") if said else None
    return {"index": index, "message": message, "logprobs": held, "finish_reason": _finish(answer)}


@dataclass
class _Writer:
    """Encodes chunks; every one carries ``usage: null`` where usage was asked for, and padding unless switched off."""

    answer: Answer
    frames: list[bytes] = field(default_factory=list)
    deltas: list[int] = field(default_factory=list)

    def put(
        self, index: int, delta: dict[str, Any], *, finish: str | None = None, held: Any = None, size: str = ""
    ) -> None:
        if size:
            self.deltas.append(len(self.frames))
        self.frames.append(chunk(self.answer, index, delta, finish=finish, held=held, size=size))


def chunk(
    answer: Answer, index: int, delta: dict[str, Any], *, finish: str | None = None, held: Any = None, size: str = ""
) -> bytes:
    """One chunk of one choice."""
    options = answer.body.get("stream_options") or {}
    value: dict[str, Any] = {
        **answer.base("chat.completion.chunk"),
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
        "choices": [{"index": index, "delta": delta, "logprobs": held, "finish_reason": finish}],
    }
    if options.get("include_usage"):
        value["usage"] = None
    if options.get("include_obfuscation") is not False:
        value["obfuscation"] = openai.padding(size)
    return _framed(answer, value)


def _framed(answer: Answer, value: dict[str, Any]) -> bytes:
    return b"".join(b"data: %b\n\n" % packed(one) for one in answer.dialect.chunk(value, answer))


def script(answer: Answer, cache: FrameCache) -> Script:
    """The whole stream of a completion; the choices alternate."""
    writer = _Writer(answer)
    running = [_stream(writer, index, cache) for index in range(answer.number)]
    while running:
        running = [one for one in running if next(one, StopIteration) is not StopIteration]
    if answer.dialect.usage_unasked or (answer.body.get("stream_options") or {}).get("include_usage"):
        last = {**answer.base("chat.completion.chunk"), "service_tier": "default", "system_fingerprint": "fp_simulated"}
        writer.frames.append(_framed(answer, {**last, "choices": [], "usage": usage(answer), "obfuscation": ""}))
    if answer.dialect.done:
        writer.frames.append(b"data: [DONE]\n\n")

    def errors(at: int) -> list[bytes]:
        return [b"data: %b\n\n" % packed(answer.dialect.stream_error())]

    return Script(writer.frames, writer.deltas, errors, lambda at: _novel(answer))


def _novel(answer: Answer) -> bytes:
    return chunk(answer, 0, {"simulated_novelty": "new"})


def _stream(writer: _Writer, index: int, cache: FrameCache) -> Iterator[None]:
    """The chunks of one choice, pausing after each so that choices can alternate."""
    answer, plan = writer.answer, writer.answer.plan
    calls = _calls(answer)
    said = [step for step in plan.steps if isinstance(step, Say | Refuse)]
    opening: dict[str, Any] = {"role": "assistant", "content": "" if said or not calls else None, "refusal": None}
    sound = {"id": f"audio_{secrets.token_hex(12)}"} if _spoken(answer) and said else None
    if sound:
        opening = {"role": "assistant", "audio": sound, "refusal": None}
    writer.put(index, opening)
    yield
    if answer.dialect.thought:
        for token in split("\n\n".join(_thoughts(plan))):
            writer.put(index, answer.dialect.thought(token), size=token)
            yield
    for step in said:
        slot = "refusal" if isinstance(step, Refuse) else "content"
        yield from _texts(writer, index, slot, split(step.text), cache, sound=bool(sound))
    if sound:
        end = {"data": _sound(_text(plan)), "expires_at": answer.created + 3600}
        writer.put(index, {"audio": end})
        yield
    if calls and answer.body.get("functions"):
        yield from _legacy(writer, index, calls[0]["function"])
    elif calls:
        yield from _call_chunks(writer, index, calls)
    annotations = _annotations(plan)
    if annotations:
        writer.put(index, {"annotations": annotations})
    writer.put(index, {}, finish=_finish(answer))
    yield


def _texts(
    writer: _Writer, index: int, slot: str, tokens: list[str], cache: FrameCache, *, sound: bool
) -> Iterator[None]:
    answer = writer.answer
    held_too = len(tokens) >= _CACHED_FROM and not answer.dialect.remembers
    if held_too and answer.number == 1 and not sound and not answer.body.get("logprobs"):
        options = answer.body.get("stream_options") or {}
        key = (answer.dialect.vendor, slot, answer.body["model"], tuple(sorted(options.items())), "".join(tokens))

        def build() -> list[bytes]:
            held = Answer(answer.body, answer.plan, answer.use, answer.dialect, id=_HOLDER, created=_HELD_TIME)
            return [chunk(held, 0, {slot: token}, size=token) for token in tokens]

        old, own = f'"id":"{_HOLDER}"'.encode(), f'"id":"{answer.id}"'.encode()
        old_time, own_time = f'"created":{_HELD_TIME}'.encode(), f'"created":{answer.created}'.encode()
        frames = cache.get(key, build)
        start = len(writer.frames)
        writer.deltas += range(start, start + len(frames))
        writer.frames += [frame.replace(old, own, 1).replace(old_time, own_time, 1) for frame in frames]
        return
    for token in tokens:
        delta = {"audio": {"transcript": token}} if sound else {slot: token}
        writer.put(index, delta, held=_probabilities(answer, [token], slot), size=token)
        yield


def _legacy(writer: _Writer, index: int, call: dict[str, Any]) -> Iterator[None]:
    writer.put(index, {"function_call": {"name": call["name"], "arguments": ""}})
    yield
    for token in split(call["arguments"]):
        writer.put(index, {"function_call": {"arguments": token}}, size=token)
        yield


def _call_chunks(writer: _Writer, index: int, calls: list[dict[str, Any]]) -> Iterator[None]:
    plan = writer.answer.plan
    running = [_one_call(writer, index, at, call, whole=plan.whole_calls) for at, call in enumerate(calls)]
    if not plan.interleaved:
        for one in running:
            yield from one
        return
    while running:
        running = [one for one in running if next(one, StopIteration) is not StopIteration]
        yield


def _one_call(writer: _Writer, index: int, at: int, call: dict[str, Any], *, whole: bool) -> Iterator[None]:
    kind = call["type"]
    slot = "arguments" if kind == "function" else "input"
    text = call[kind][slot]
    opening = {**call, kind: {"name": call[kind]["name"], slot: text if whole else ""}}
    writer.put(index, {"tool_calls": [{"index": at, **opening}]}, size=text if whole else "")
    yield
    for token in [] if whole else split(text):
        writer.put(index, {"tool_calls": [{"index": at, kind: {slot: token}}]}, size=token)
        yield

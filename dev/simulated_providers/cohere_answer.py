"""Puts a Plan into Cohere's wire format: the whole answer, or the events of its stream."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any

from .brain import output_tokens
from .caches import CacheUse
from .delivery import Script, packed
from .reading import Call, Citation, Plan, Refuse, Say, Thought
from .tokens import split

_REASONS = {"end": "COMPLETE", "stop": "STOP_SEQUENCE", "length": "MAX_TOKENS", "calls": "TOOL_CALL"}
OVERHEAD = 71
"""Tokens that the vendor puts around a prompt and does not bill."""


@dataclass
class Answer:
    """An answer in the making."""

    body: dict[str, Any]
    plan: Plan
    use: CacheUse
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @property
    def finish(self) -> str:
        """The ``finish_reason``; a word given by a directive stands as it is. A refusal is an ordinary answer."""
        words = {"refusal": "COMPLETE", "filter": "ERROR_TOXIC"}
        return _REASONS.get(self.plan.finish) or words.get(self.plan.finish, self.plan.finish)

    @property
    def calls(self) -> list[Call]:
        """The calls of the plan."""
        return [step for step in self.plan.steps if isinstance(step, Call)]


def usage(answer: Answer) -> dict[str, Any]:
    """Billed and counted tokens; the vendor writes them as numbers with a fraction now and then."""
    fresh, output = answer.use.fresh + answer.use.read, output_tokens(answer.plan)[0]
    return {
        "billed_units": {"input_tokens": fresh, "output_tokens": output},
        "tokens": {"input_tokens": float(fresh + OVERHEAD), "output_tokens": output + 3},
        "cached_tokens": answer.use.read,
        **answer.plan.usage,
    }


def _call(step: Call) -> dict[str, Any]:
    tail = secrets.token_hex(6)
    return {
        "id": f"{step.name}_{tail}",
        "type": "function",
        "function": {"name": step.name, "arguments": step.arguments},
    }


def _citations(answer: Answer, step: Say, index: int) -> list[dict[str, Any]]:
    """The sources of a text: those of its plan, and each of the request's documents or results once."""
    found = [_cited(one, step, index) for one in step.citations]
    first = step.text.partition(" ")[0]
    for number, each in enumerate(answer.body.get("documents") or []):
        data = each["data"] if isinstance(each, dict) else {"text": each}
        doc_id = each.get("id") if isinstance(each, dict) else f"doc:{number}"
        source = {"type": "document", "id": doc_id, "document": {"id": doc_id, **data}}
        found.append(_citation(0, len(first), first, source, index))
    if answer.body["messages"][-1]["role"] == "tool":
        call_id = answer.body["messages"][-1]["tool_call_id"]
        source = {"type": "tool", "id": f"{call_id}:0", "tool_output": {"content": "result"}}
        found.append(_citation(0, len(first), first, source, index))
    return found


def _cited(one: Citation, step: Say, index: int) -> dict[str, Any]:
    source = {"type": "document", "id": one.url, "document": {"url": one.url, "title": one.title, "snippet": one.cited}}
    return _citation(one.start, one.end, step.text[one.start : one.end], source, index)


def _citation(start: int, end: int, text: str, source: dict[str, Any], index: int) -> dict[str, Any]:
    place = {"content_index": index, "type": "TEXT_CONTENT"}
    return {"start": start, "end": end, "text": text, "sources": [source], **place}


def whole(answer: Answer) -> dict[str, Any]:
    """The answer without streaming."""
    message: dict[str, Any] = {"role": "assistant"}
    content: list[dict[str, Any]] = []
    citations: list[dict[str, Any]] = []
    for step in answer.plan.steps:
        match step:
            case Thought() if answer.calls and "reasoning" not in answer.body["model"]:
                message["tool_plan"] = step.text
            case Thought():
                content.append({"type": "thinking", "thinking": step.text})
            case Say() | Refuse():
                if isinstance(step, Say):
                    citations += _citations(answer, step, len(content))
                content.append({"type": "text", "text": step.text})
            case _:
                continue
    if content:
        message["content"] = content
    if citations:
        message["citations"] = citations
    if answer.calls:
        message["tool_calls"] = [_call(step) for step in answer.calls]
        message.setdefault("tool_plan", "I will use a tool.")
    result = {"id": answer.id, "message": message, "finish_reason": answer.finish, "usage": usage(answer)}
    if answer.body.get("logprobs"):
        texts = [token for step in answer.plan.steps if isinstance(step, Say) for token in split(step.text)]
        result["logprobs"] = [_logprob(token) for token in texts]
    return result


def _logprob(token: str) -> dict[str, Any]:
    return {"text": token, "token_ids": [len(token)], "logprobs": [-0.25]}


def event(kind: str, **fields: Any) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), packed({"type": kind, **fields}))


@dataclass
class _Writer:
    answer: Answer
    frames: list[bytes] = field(default_factory=list)
    deltas: list[int] = field(default_factory=list)
    contents: int = 0

    def put(self, kind: str, **fields: Any) -> None:
        self.frames.append(event(kind, **fields))

    def delta(self, kind: str, **fields: Any) -> None:
        self.deltas.append(len(self.frames))
        self.put(kind, **fields)

    def content(self, kind: str, text: str, citations: list[dict[str, Any]]) -> None:
        index, self.contents = self.contents, self.contents + 1
        self.put("content-start", index=index, delta={"message": {"content": {"type": kind, kind: ""}}})
        for token in split(text):
            more = {"logprobs": _logprob(token)} if self.answer.body.get("logprobs") and kind == "text" else {}
            self.delta("content-delta", index=index, delta={"message": {"content": {kind: token}}}, **more)
        for number, one in enumerate(citations):
            self.put("citation-start", index=number, delta={"message": {"citations": one}})
            self.put("citation-end", index=number)
        self.put("content-end", index=index)

    def plan(self, text: str) -> None:
        for token in split(text):
            self.delta("tool-plan-delta", delta={"message": {"tool_plan": token}})

    def call(self, index: int, step: Call) -> None:
        call, text = _call(step), step.arguments
        function = {"name": step.name, "arguments": ""}
        self.put("tool-call-start", index=index, delta={"message": {"tool_calls": {**call, "function": function}}})
        for piece in [text] if self.answer.plan.whole_calls else split(text):
            given = {"message": {"tool_calls": {"function": {"arguments": piece}}}}
            self.delta("tool-call-delta", index=index, delta=given)
        self.put("tool-call-end", index=index)


def script(answer: Answer) -> Script:
    """The whole stream of an answer."""
    writer = _Writer(answer)
    empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    writer.put("message-start", id=answer.id, delta={"message": empty})
    plans = answer.calls and "reasoning" not in answer.body["model"]
    if plans and not any(isinstance(step, Thought) for step in answer.plan.steps):
        writer.plan("I will use a tool.")
    calls = 0
    for step in answer.plan.steps:
        match step:
            case Thought() if plans:
                writer.plan(step.text)
            case Thought():
                writer.content("thinking", step.text, [])
            case Say():
                writer.content("text", step.text, _citations(answer, step, writer.contents))
            case Refuse():
                writer.content("text", step.text, [])
            case Call():
                writer.call(calls, step)
                calls += 1
            case _:
                continue
    end = {"finish_reason": answer.finish, "usage": usage(answer)}
    writer.put("message-end", id=answer.id, delta=end)
    return Script(writer.frames, writer.deltas, _errors, lambda at: event("simulated-novelty", novelty="new"))


def unframed(script: Script) -> Script:
    """The same stream as lines of JSON."""

    def line(frame: bytes) -> bytes:
        return frame.partition(b"data: ")[2].rstrip(b"\n") + b"\n"

    return Script(
        [line(frame) for frame in script.frames],
        script.deltas,
        lambda at: [line(frame) for frame in script.error(at)],
        lambda at: line(script.novel(at)),
    )


def _errors(at: int) -> list[bytes]:
    wrong = {"error": "the model stopped answering", "finish_reason": "ERROR"}
    return [event("message-end", id=str(uuid.uuid4()), delta=wrong)]

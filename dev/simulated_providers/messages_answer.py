"""Puts a Plan into Anthropic's Messages wire format: the message, or the events of its stream."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from . import anthropic_common as anthropic
from .brain import output_tokens
from .caches import CacheUse, FrameCache
from .delivery import Script, packed
from .reading import Call, Citation, Plan, Refuse, Say, Search, Thought
from .seals import seal
from .tokens import split

_CACHED_FROM = 256
_REASONS = {"end": "end_turn", "stop": "stop_sequence", "length": "max_tokens", "calls": "tool_use"}


@dataclass
class Answer:
    """A message in the making. ``blocks`` are finished content blocks."""

    body: dict[str, Any]
    plan: Plan
    use: CacheUse
    id: str = field(default_factory=lambda: anthropic.new_id("msg"))
    blocks: list[dict[str, Any]] = field(default_factory=list)

    @property
    def omitted(self) -> bool:
        """Whether thinking is to be given as signatures only."""
        return (self.body.get("thinking") or {}).get("display") == "omitted"


def build(answer: Answer) -> None:
    """Fills ``answer.blocks`` from the plan."""
    for step in answer.plan.steps:
        match step:
            case Thought(look="redacted"):
                block = {"type": "redacted_thinking", "data": seal("redacted", "", answer.body["model"])}
                answer.blocks.append(block)
            case Thought():
                text = "" if answer.omitted or step.look == "signed" else step.text
                signature = seal("thinking", text, answer.body["model"])
                answer.blocks.append({"type": "thinking", "thinking": text, "signature": signature})
            case Say():
                block: dict[str, Any] = {"type": "text", "text": step.text}
                if step.citations:
                    answer.blocks += _cited(step)
                else:
                    answer.blocks.append(block)
            case Search():
                answer.blocks += _search(step)
            case Call():
                answer.blocks.append(_tool_use(step))
            case Refuse():
                continue


def _cited(step: Say) -> list[dict[str, Any]]:
    """Text with citations: a block a cited passage, as the vendor has no character ranges."""
    return [
        {"type": "text", "text": step.text[one.start : one.end], "citations": [_citation(one)]}
        for one in step.citations
    ]


def _citation(one: Citation) -> dict[str, Any]:
    return {
        "type": "web_search_result_location",
        "cited_text": one.cited,
        "url": one.url,
        "title": one.title,
        "encrypted_index": seal("index", one.url, "")[:64],
    }


def _search(step: Search) -> list[dict[str, Any]]:
    call_id = anthropic.new_id("srvtoolu")
    caller = {"type": "direct"}
    results = [
        {
            "type": "web_search_result",
            "title": title,
            "url": url,
            "encrypted_content": seal("result", url, ""),
            "page_age": "April 30, 2026",
        }
        for url, title in step.results
    ]
    return [
        {
            "type": "server_tool_use",
            "id": call_id,
            "name": "web_search",
            "input": {"query": step.query},
            "caller": caller,
        },
        {"type": "web_search_tool_result", "tool_use_id": call_id, "content": results, "caller": caller},
    ]


def _tool_use(step: Call) -> dict[str, Any]:
    try:
        given = json.loads(step.arguments or "{}")
    except ValueError:
        # Cut by the token limit: the vendor gives what it can parse, which here is nothing.
        given = {}
    block = {"type": "tool_use", "id": anthropic.new_id("toolu"), "name": step.name, "input": given}
    # Not for the wire: the argument text as the model wrote it, for the stream.
    return {**block, "caller": {"type": "direct"}, "_text": step.arguments}


def _clean(block: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in block.items() if key != "_text"}


def stop_reason(plan: Plan) -> str:
    """The stop_reason; a word given by a directive stands as it is."""
    if plan.finish in ("refusal", "filter"):
        return "refusal"
    return _REASONS.get(plan.finish, plan.finish)


def _stop_details(plan: Plan) -> dict[str, Any] | None:
    if stop_reason(plan) != "refusal":
        return None
    said = next((step.text for step in plan.steps if isinstance(step, Refuse)), None)
    return {"type": "refusal", "category": "general_harms", "explanation": said}


_AT_THE_END = ("output_tokens", "output_tokens_details", "server_tool_use")


def usage(answer: Answer, output: int) -> dict[str, Any]:
    """The usage of a message; input_tokens leaves out what the cache read and wrote."""
    use = answer.use
    return {
        "input_tokens": use.fresh,
        "cache_creation_input_tokens": use.written_5m + use.written_1h,
        "cache_read_input_tokens": use.read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": use.written_5m,
            "ephemeral_1h_input_tokens": use.written_1h,
        },
        "output_tokens": output,
        "service_tier": "standard",
        "inference_geo": "not_available",
        **{name: value for name, value in answer.plan.usage.items() if name not in _AT_THE_END},
    }


def _more_usage(answer: Answer) -> dict[str, Any]:
    more: dict[str, Any] = {}
    thought = output_tokens(answer.plan)[1]
    if thought:
        more["output_tokens_details"] = {"thinking_tokens": thought}
    searches = sum(isinstance(step, Search) for step in answer.plan.steps)
    if searches:
        more["server_tool_use"] = {"web_search_requests": searches, "web_fetch_requests": 0}
    return more | {name: value for name, value in answer.plan.usage.items() if name in _AT_THE_END}


def message(answer: Answer) -> dict[str, Any]:
    """The whole message."""
    return {
        **_head(answer),
        "content": [_clean(block) for block in answer.blocks],
        "stop_reason": stop_reason(answer.plan),
        "stop_sequence": answer.plan.stopped_by,
        "stop_details": _stop_details(answer.plan),
        "usage": {**usage(answer, output_tokens(answer.plan)[0]), **_more_usage(answer)},
    }


def _head(answer: Answer) -> dict[str, Any]:
    return {
        "model": anthropic.snapshot(answer.body["model"]),
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
    }


def event(kind: str, number: int, **fields: Any) -> bytes:
    """One server-sent event; the vendor pads its JSON with spaces before the last brace."""
    text = packed({"type": kind, **fields})
    return b"event: %b\ndata: %b%b}\n\n" % (kind.encode(), text[:-1], b" " * (number * 7 % 16))


@dataclass
class _Writer:
    frames: list[bytes] = field(default_factory=list)
    deltas: list[int] = field(default_factory=list)

    def put(self, kind: str, **fields: Any) -> None:
        self.frames.append(event(kind, len(self.frames), **fields))

    def delta(self, index: int, delta: dict[str, Any], *, content: bool = True) -> None:
        if content:
            self.deltas.append(len(self.frames))
        self.put("content_block_delta", index=index, delta=delta)


def script(answer: Answer, cache: FrameCache) -> Script:
    """The whole stream of a message."""
    writer = _Writer()
    writer.put("message_start", message={**_head(answer), "usage": usage(answer, 1)})
    for index, block in enumerate(answer.blocks):
        writer.put("content_block_start", index=index, content_block=_opening(block))
        if index == 0:
            writer.frames.append(b'event: ping\ndata: {"type": "ping"}\n\n')
        _block(writer, index, block, cache, whole=answer.plan.whole_calls)
        writer.put("content_block_stop", index=index)
    if not answer.blocks:
        writer.frames.append(b'event: ping\ndata: {"type": "ping"}\n\n')
    use = usage(answer, output_tokens(answer.plan)[0])
    names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens")
    writer.put(
        "message_delta",
        delta={
            "stop_reason": stop_reason(answer.plan),
            "stop_sequence": answer.plan.stopped_by,
            "stop_details": _stop_details(answer.plan),
        },
        usage={**{name: use[name] for name in names}, **_more_usage(answer)},
    )
    writer.put("message_stop")
    return Script(writer.frames, writer.deltas, _errors, lambda at: event("simulated_novelty", at, novelty="new"))


def _errors(at: int) -> list[bytes]:
    error = {"details": None, "type": "overloaded_error", "message": "Overloaded"}
    return [event("error", at, error=error, request_id=anthropic.new_id("req"))]


def _opening(block: dict[str, Any]) -> dict[str, Any]:
    """A block as it is announced: without what its deltas bring."""
    match block["type"]:
        case "text":
            return {**block, "text": "", **({"citations": []} if "citations" in block else {})}
        case "thinking":
            return {**block, "thinking": "", "signature": ""}
        case "tool_use" | "server_tool_use":
            return {**_clean(block), "input": {}}
        case _:
            return block


def _block(writer: _Writer, index: int, block: dict[str, Any], cache: FrameCache, *, whole: bool) -> None:
    match block["type"]:
        case "text":
            for citation in block.get("citations", []):
                writer.delta(index, {"type": "citations_delta", "citation": citation}, content=False)
            _text(writer, index, block["text"], cache)
        case "thinking":
            for token in split(block["thinking"]):
                writer.delta(index, {"type": "thinking_delta", "thinking": token})
            writer.delta(index, {"type": "signature_delta", "signature": block["signature"]}, content=False)
        case "tool_use" | "server_tool_use":
            text = block.get("_text") or json.dumps(block["input"], ensure_ascii=False)
            writer.delta(index, {"type": "input_json_delta", "partial_json": ""}, content=False)
            # A call without arguments has no further fragment.
            pieces = [] if text == "{}" else [text] if whole else split(text)
            for piece in pieces:
                writer.delta(index, {"type": "input_json_delta", "partial_json": piece})
        case _:
            return


def _text(writer: _Writer, index: int, text: str, cache: FrameCache) -> None:
    tokens = split(text)
    start = len(writer.frames)

    def build() -> list[bytes]:
        fresh = _Writer([b""] * start)
        for token in tokens:
            fresh.delta(index, {"type": "text_delta", "text": token})
        return fresh.frames[start:]

    frames = cache.get(("text_delta", start, index, text), build) if len(tokens) >= _CACHED_FROM else build()
    writer.deltas += range(start, start + len(frames))
    writer.frames += frames

"""Puts a Plan into Converse's wire format: the whole answer, or the events of its stream."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from .brain import output_tokens
from .caches import CacheUse
from .converse_wire import event, exception, family, new_id
from .delivery import Script
from .reading import Call, Citation, Plan, Refuse, Say, Search, Thought
from .seals import seal
from .tokens import split

_REASONS = {
    "end": "end_turn",
    "stop": "stop_sequence",
    "length": "max_tokens",
    "calls": "tool_use",
    "refusal": "content_filtered",
    "filter": "guardrail_intervened",
}


@dataclass
class Answer:
    """An answer in the making. ``blocks`` are content blocks as the whole answer has them."""

    body: dict[str, Any]
    model: str
    plan: Plan
    use: CacheUse
    blocks: list[dict[str, Any]] = field(default_factory=list)
    texts: dict[int, str] = field(default_factory=dict)
    """The argument text of a call as the model wrote it, by the place of its block."""

    def put(self, block: dict[str, Any]) -> None:
        """Adds a block."""
        self.blocks.append(block)


def build(answer: Answer) -> None:
    """Fills ``answer.blocks`` from the plan."""
    for step in answer.plan.steps:
        match step:
            case Thought():
                answer.put({"reasoningContent": _thought(step, answer)})
            case Say(citations=[]):
                answer.put({"text": step.text})
            case Say():
                for one in step.citations:
                    content = [{"text": step.text[one.start : one.end]}]
                    answer.put({"citationsContent": {"content": content, "citations": [_citation(one)]}})
            case Call():
                answer.texts[len(answer.blocks)] = step.arguments
                use = {"toolUseId": new_id(), "name": step.name, "input": _parsed(step.arguments)}
                answer.put({"toolUse": use})
            case Search():
                answer.texts[len(answer.blocks)] = json.dumps({"query": step.query})
                call = {"toolUseId": new_id(), "name": "nova_grounding", "type": "server_tool_use"}
                answer.put({"toolUse": {**call, "input": {"query": step.query}}})
            case Refuse():
                continue


def _thought(step: Thought, answer: Answer) -> dict[str, Any]:
    if step.look == "redacted":
        return {"redactedContent": seal("redacted", "", answer.model)}
    if family(answer.model) != "claude":
        return {"reasoningText": {"text": step.text}}
    hidden = ((answer.body.get("additionalModelRequestFields") or {}).get("thinking") or {}).get("display")
    text = "" if step.look == "signed" or hidden == "omitted" else step.text
    return {"reasoningText": {"text": text, "signature": seal("thinking", text, answer.model)}}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text or "{}")
    except ValueError:
        # Cut by the token limit.
        return {}


def _citation(one: Citation) -> dict[str, Any]:
    domain = one.url.partition("//")[2].partition("/")[0]
    return {
        "title": one.title,
        "sourceContent": [{"text": one.cited}],
        "location": {"web": {"url": one.url, "domain": domain}},
    }


def usage(answer: Answer) -> dict[str, Any]:
    """The token counts; inputTokens leaves out what the cache read and wrote."""
    use, output = answer.use, output_tokens(answer.plan)[0]
    total = use.fresh + use.read + use.written_5m + use.written_1h + output
    result: dict[str, Any] = {"inputTokens": use.fresh, "outputTokens": output, "totalTokens": total}
    if family(answer.model) != "other":
        result["cacheReadInputTokens"] = use.read
        result["cacheWriteInputTokens"] = use.written_5m + use.written_1h
        written = {"1h": use.written_1h, "5m": use.written_5m}
        details = [{"ttl": ttl, "inputTokens": tokens} for ttl, tokens in written.items() if tokens]
        if details:
            result["cacheDetails"] = details
    return result | answer.plan.usage


def _stop(answer: Answer) -> dict[str, Any]:
    finish = answer.plan.finish
    result: dict[str, Any] = {"stopReason": _REASONS.get(finish, finish)}
    if "/stop_sequence" in (answer.body.get("additionalModelResponseFieldPaths") or []):
        result["additionalModelResponseFields"] = {"stop_sequence": answer.plan.stopped_by}
    return result


def whole(answer: Answer) -> dict[str, Any]:
    """The answer of ``converse``."""
    return {
        "output": {"message": {"role": "assistant", "content": answer.blocks}},
        **_stop(answer),
        "usage": usage(answer),
        "metrics": {"latencyMs": 42},
    }


def script(answer: Answer) -> Script:
    """The stream of ``converse-stream``."""
    frames = [event("messageStart", {"role": "assistant"})]
    deltas: list[int] = []
    for index, block in enumerate(answer.blocks):
        own = _block(answer, index, block)
        first = 1 if "toolUse" in block else 0
        deltas += range(len(frames) + first, len(frames) + len(own) - 1)
        frames += own
    frames.append(event("messageStop", _stop(answer)))
    frames.append(event("metadata", {"usage": usage(answer), "metrics": {"latencyMs": 42}}))
    broken = {"message": "The model stopped answering.", "originalStatusCode": 500, "originalMessage": "Internal"}
    return Script(
        frames,
        deltas,
        lambda at: (
            [exception("modelStreamErrorException", broken)]
            if at
            else [exception("throttlingException", {"message": "Too many requests, please wait before trying again."})]
        ),
        lambda at: event("simulatedNovelty", {"novelty": "new"}),
    )


def _block(answer: Answer, index: int, block: dict[str, Any]) -> list[bytes]:
    """The frames of a block. Only calls are announced."""
    at = {"contentBlockIndex": index}

    def delta(value: dict[str, Any]) -> bytes:
        return event("contentBlockDelta", {**at, "delta": value})

    frames: list[bytes] = []
    match block:
        case {"text": text}:
            frames += [delta({"text": token}) for token in split(text)] or [delta({"text": ""})]
        case {"toolUse": use}:
            frames.append(
                event("contentBlockStart", {**at, "start": {"toolUse": {k: use[k] for k in use if k != "input"}}})
            )
            text = answer.texts[index]
            pieces = [text] if answer.plan.whole_calls else split(text)
            frames += [delta({"toolUse": {"input": piece}}) for piece in pieces if text != "{}"]
        case {"citationsContent": cited}:
            frames += [delta({"text": token}) for part in cited["content"] for token in split(part["text"])]
            frames += [delta({"citation": one}) for one in cited["citations"]]
        case {"reasoningContent": {"redactedContent": data}}:
            frames.append(delta({"reasoningContent": {"redactedContent": data}}))
        case {"reasoningContent": {"reasoningText": told}}:
            frames += [delta({"reasoningContent": {"text": token}}) for token in split(told["text"])]
            if "signature" in told:
                frames.append(delta({"reasoningContent": {"signature": told["signature"]}}))
        case _:
            raise ValueError(f"no frames for {block}")
    return [*frames, event("contentBlockStop", at)]

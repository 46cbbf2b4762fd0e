"""Puts a Plan into Gemini's wire format: the whole answer, or the events of its stream."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from . import gemini_common as google
from .brain import output_tokens
from .caches import CacheUse, FrameCache
from .delivery import Script, packed
from .gemini_request import config
from .reading import Call, Plan, Refuse, Say, Search, Thought
from .seals import seal
from .tokens import count, split

_CACHED_FROM = 256
_REASONS = {
    "end": "STOP",
    "calls": "STOP",
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "refusal": "SAFETY",
    "filter": "SAFETY",
}
_SEARCH_TOKENS = 104


@dataclass
class Answer:
    """An answer in the making."""

    body: dict[str, Any]
    model: str
    vertex: bool
    plan: Plan
    use: CacheUse
    id: str = field(default_factory=google.new_id)
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def shows_thoughts(self) -> bool:
        """Whether summaries of the thoughts are part of the answer."""
        return bool(config(self.body).get("thinkingConfig", {}).get("includeThoughts"))

    @property
    def signs(self) -> bool:
        """Whether the answer carries a thought signature: always from the third generation on."""
        thought = any(isinstance(step, Thought) for step in self.plan.steps)
        return google.generation(self.model) >= 3 or thought


def finish_reason(plan: Plan) -> str:
    """The finishReason; a word given by a directive stands as it is."""
    return _REASONS.get(plan.finish, plan.finish)


def parts(answer: Answer) -> list[dict[str, Any]]:
    """The whole parts of the answer. A signature stands on the first call, else on the last text."""
    found: list[dict[str, Any]] = []
    for step in answer.plan.steps:
        match step:
            case Thought():
                if answer.shows_thoughts and step.look == "plain":
                    found.append({"text": step.text, "thought": True})
            case Say() | Refuse():
                found.append({"text": step.text})
            case Call():
                call = _call(step, answer)
                if call is not None:
                    found.append(call)
            case Search():
                continue
    if answer.signs and found:
        signed = next((part for part in found if "functionCall" in part), found[-1])
        signed["thoughtSignature"] = seal("gemini", "", answer.model)
    return found


def _call(step: Call, answer: Answer) -> dict[str, Any] | None:
    try:
        args = json.loads(step.arguments or "{}")
    except ValueError:
        # Cut by the token limit: the vendor gives no half calls.
        return None
    call: dict[str, Any] = {"name": step.name, "args": args}
    if google.generation(answer.model) >= 3:
        call["id"] = google.new_id()[:8]
    return {"functionCall": call}


def usage(answer: Answer, said: int, thought: int) -> dict[str, Any]:
    """The usageMetadata after ``said`` answer tokens."""
    use = answer.use
    prompt = use.fresh + use.read
    searched = any(isinstance(step, Search) for step in answer.plan.steps)
    counts: dict[str, Any] = {"promptTokenCount": prompt}
    if said:
        counts["candidatesTokenCount"] = said
    counts["totalTokenCount"] = prompt + said + thought + (_SEARCH_TOKENS if searched else 0)
    if use.read:
        counts["cachedContentTokenCount"] = use.read
        counts["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": use.read}]
    counts["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": prompt}]
    if searched:
        counts["toolUsePromptTokenCount"] = _SEARCH_TOKENS
        counts["toolUsePromptTokensDetails"] = [{"modality": "TEXT", "tokenCount": _SEARCH_TOKENS}]
    if thought:
        counts["thoughtsTokenCount"] = thought
    counts |= {"trafficType": "ON_DEMAND"} if answer.vertex else {"serviceTier": "standard"}
    return counts | answer.plan.usage


def grounding(plan: Plan) -> dict[str, Any] | None:
    """The groundingMetadata of an answer with a web search; offsets are in bytes of its text."""
    search = next((step for step in plan.steps if isinstance(step, Search)), None)
    if search is None:
        return None
    supports: list[dict[str, Any]] = []
    urls = [url for url, _ in search.results]
    before = 0
    for step in plan.steps:
        if not isinstance(step, Say):
            continue
        for one in step.citations:
            start = before + len(step.text[: one.start].encode())
            end = before + len(step.text[: one.end].encode())
            segment = {"startIndex": start, "endIndex": end, "text": step.text[one.start : one.end]}
            # A zero is left out, as in all of the vendor's JSON.
            segment = {name: value for name, value in segment.items() if value != 0}
            supports.append({"segment": segment, "groundingChunkIndices": [urls.index(one.url)]})
        before += len(step.text.encode())
    return {
        "searchEntryPoint": {"renderedContent": "<div>simulated</div>"},
        "groundingChunks": [{"web": {"uri": url, "title": title}} for url, title in search.results],
        "groundingSupports": supports,
        "webSearchQueries": [search.query],
    }


def whole(answer: Answer) -> dict[str, Any]:
    """The answer of ``generateContent``."""
    total, thought = output_tokens(answer.plan)
    last = _last(answer)
    content = parts(answer)
    if content:
        last["content"] = {"parts": content, "role": "model"}
    if config(answer.body).get("responseLogprobs"):
        tokens = [token for step in answer.plan.steps if isinstance(step, Say) for token in split(step.text)]
        last["logprobsResult"] = _logprobs(answer, tokens)
    return _chunk(answer, last, usage(answer, total - thought, thought))


def _last(answer: Answer) -> dict[str, Any]:
    candidate: dict[str, Any] = {"finishReason": finish_reason(answer.plan), "index": 0}
    if any(isinstance(step, Call) for step in answer.plan.steps) and candidate["finishReason"] == "STOP":
        candidate["finishMessage"] = "Model generated function call(s)."
    metadata = grounding(answer.plan)
    return {**candidate, "groundingMetadata": metadata} if metadata else candidate


def _chunk(answer: Answer, candidate: dict[str, Any], counts: dict[str, Any]) -> dict[str, Any]:
    made = {"createTime": answer.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")} if answer.vertex else {}
    return {
        "candidates": [candidate],
        "usageMetadata": counts,
        "modelVersion": google.bare(answer.model),
        **made,
        "responseId": answer.id,
    }


def _logprobs(answer: Answer, tokens: list[str]) -> dict[str, Any]:
    top = config(answer.body).get("logprobs", 0)
    chosen = [{"token": token, "tokenId": 7 + index, "logProbability": -0.25} for index, token in enumerate(tokens)]
    others = [{"candidates": [{**each, "logProbability": -0.25 * (at + 1)} for at in range(top)]} for each in chosen]
    return {"chosenCandidates": chosen, **({"topCandidates": others} if top else {})}


@dataclass
class _Writer:
    """``said`` counts the answer's tokens so far. Vertex AI tells counts with the last event only."""

    answer: Answer
    thought: int
    said: int = 0
    frames: list[bytes] = field(default_factory=list)
    deltas: list[int] = field(default_factory=list)

    def put(self, part: dict[str, Any], tokens: int, *, logprobs: list[str] | None = None) -> None:
        self.said += 0 if part.get("thought") else tokens
        candidate: dict[str, Any] = {"content": {"parts": [part], "role": "model"}, "index": 0}
        if logprobs and config(self.answer.body).get("responseLogprobs"):
            candidate["logprobsResult"] = _logprobs(self.answer, logprobs)
        counts = {"trafficType": "ON_DEMAND"} if self.answer.vertex else usage(self.answer, self.said, self.thought)
        self.deltas.append(len(self.frames))
        self.frames.append(google.frame(_chunk(self.answer, candidate, counts)))


def script(answer: Answer, cache: FrameCache) -> Script:
    """The whole stream of an answer."""
    total, thought = output_tokens(answer.plan)
    writer = _Writer(answer, thought)
    signature = seal("gemini", "", answer.model) if answer.signs else None
    called = False
    for step in answer.plan.steps:
        match step:
            case Thought():
                if answer.shows_thoughts and step.look == "plain":
                    for token in split(step.text):
                        writer.put({"text": token, "thought": True}, 1)
            case Say() | Refuse():
                _text(writer, step.text, cache)
            case Call():
                part = _call(step, answer)
                if part is not None:
                    # Only the first of parallel calls is signed.
                    signed = {"thoughtSignature": signature} if signature and not called else {}
                    called = True
                    writer.put({**part, **signed}, count(step.name) + count(step.arguments))
            case Search():
                continue
    last = _last(answer)
    closing: dict[str, Any] = {"text": ""}
    if signature and not called:
        closing["thoughtSignature"] = signature
    last = {"content": {"parts": [closing], "role": "model"}, **last}
    writer.frames.append(google.frame(_chunk(answer, last, usage(answer, total - thought, thought))))
    return Script(writer.frames, writer.deltas, _errors, _novel)


def _text(writer: _Writer, text: str, cache: FrameCache) -> None:
    tokens = split(text)
    start = len(writer.frames)
    if len(tokens) < _CACHED_FROM:
        for token in tokens:
            writer.put({"text": token}, 1, logprobs=[token])
        return

    def build() -> list[bytes]:
        fresh = _Writer(writer.answer, writer.thought, writer.said)
        for token in tokens:
            fresh.put({"text": token}, 1, logprobs=[token])
        return fresh.frames

    # A long answer is for benchmarks: its frames may carry the id and the counts of the first such answer.
    frames = cache.get(("gemini", writer.answer.model, writer.answer.vertex, text), build)
    writer.deltas += range(start, start + len(frames))
    writer.frames += frames
    writer.said += len(tokens)


def _errors(at: int) -> list[bytes]:
    return [google.frame(google.Refused(503, "The model is overloaded. Please try again later.").error())]


def _novel(at: int) -> bytes:
    return google.frame({"simulatedNovelty": {"at": at}})


def listed(found: Script) -> bytes:
    """The stream as one JSON array, for callers that did not ask for server-sent events."""
    values = [json.loads(one.removeprefix(b"data: ")) for one in found.frames]
    return packed(values)

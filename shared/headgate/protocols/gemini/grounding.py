"""What the vendor's web search found: ``groundingMetadata`` as a search call and as citations of the text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from headgate.conversation import Citation, ToolCall
from headgate.protocols.arguments import dumps


class Grounding:
    """Collects the metadata of an answer, which comes in pieces, mostly with the last event.

    ``sources`` and ``supports`` are the vendor's own lists; a later piece with the same list replaces the earlier."""

    def __init__(self) -> None:
        self._queries: list[str] = []
        self._chunks: list[Mapping[str, Any]] = []
        self._supports: list[Mapping[str, Any]] = []
        self._recited: list[Mapping[str, Any]] = []
        self._given = self._given_recited = 0

    def add(self, candidate: Mapping[str, Any]) -> None:
        """Take in what one event says."""
        metadata = _object(candidate.get("groundingMetadata"))
        queries = [each for each in _list(metadata.get("webSearchQueries")) if isinstance(each, str)]
        self._queries = queries or self._queries
        self._chunks = _objects(metadata.get("groundingChunks")) or self._chunks
        self._supports = _objects(metadata.get("groundingSupports")) or self._supports
        # Sources of passages that the model recites: "citations" at Vertex AI, "citationSources" at the Gemini API.
        recited = _object(candidate.get("citationMetadata"))
        self._recited += _objects(recited.get("citations") or recited.get("citationSources"))

    def searches(self, *, per_query: bool) -> int:
        """How many searches are billed."""
        if per_query:
            return len(self._queries)
        return 1 if self._queries or self._chunks else 0

    def call(self, call_id: str) -> ToolCall | None:
        """The search as a call that the provider ran; None where it did not search."""
        if not self._queries and not self._chunks:
            return None
        action: dict[str, Any] = {"type": "search"}
        if self._queries:
            action.update(query=self._queries[0], queries=self._queries)
        sources = [url for chunk in self._chunks if (url := _source(chunk)[0])]
        if sources:
            action["sources"] = [{"type": "url", "url": url} for url in dict.fromkeys(sources)]
        return ToolCall(call_id, "web_search", dumps(action), kind="web_search", ran_by="provider")

    def citations(self, text: str) -> list[Citation]:
        """The citations that have come since the last call, placed in ``text``, in the order of the passages."""
        found: list[Citation] = []
        raw = text.encode("utf-8", "surrogatepass")
        supports, self._given = self._supports[self._given :], len(self._supports)
        passages, self._given_recited = self._recited[self._given_recited :], len(self._recited)
        for support in supports:
            start, end = _place(_object(support.get("segment")), text, raw)
            for index in _list(support.get("groundingChunkIndices")):
                if type(index) is int and 0 <= index < len(self._chunks):
                    url, title = _source(self._chunks[index])
                    if url:
                        found.append(Citation(url, title, start=start, end=end))
        for recited in passages:
            url, title = _text(recited.get("uri")), _text(recited.get("title"))
            if url:
                start, end = _place(recited, text, raw)
                found.append(Citation(url, title, start=start, end=end))
        return found


def _source(chunk: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """(address, title) of a grounding chunk; ``web`` of a search, the others of the vendor's other tools."""
    for kind in ("web", "retrievedContext", "maps"):
        page = _object(chunk.get(kind))
        if page:
            return _text(page.get("uri")), _text(page.get("title")) or _text(page.get("domain"))
    return None, None


def _place(segment: Mapping[str, Any], text: str, raw: bytes) -> tuple[int | None, int | None]:
    """Where a segment stands in ``text``, in characters: the vendor counts bytes, and leaves a zero out. Offsets that
    do not lead to the segment's own text are not trusted; then the text is looked for."""
    start, end = segment.get("startIndex", 0), segment.get("endIndex")
    said = segment.get("text")
    if type(start) is int and type(end) is int and 0 <= start <= end <= len(raw):
        passage = raw[start:end].decode("utf-8", "replace")
        if not isinstance(said, str) or passage == said:
            at = len(raw[:start].decode("utf-8", "replace"))
            return at, at + len(passage)
    if isinstance(said, str) and said and (at := text.find(said)) >= 0:
        return at, at + len(said)
    return None, None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _object(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [each for each in _list(value) if isinstance(each, dict)]

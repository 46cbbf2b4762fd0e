"""The neutral reading of a request, and the neutral plan of an answer.

Each protocol's module turns a body into a Heard; the brain turns a Heard into a Plan; the protocol's module puts the
Plan on the wire. Nothing here is shared with the gateway: a mistake that both made would hide itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass
class Item:
    """One thing of the conversation, in order.

    ``kind``: message, thought, call, result, search, other. ``name`` is a call's tool, or the kind of an ``other``.
    ``media`` are short labels, ``image image/png 68 bytes 1a2b3c4d`` or ``image https://…``.
    """

    kind: Literal["message", "thought", "call", "result", "search", "other"]
    role: str = ""
    texts: list[str] = field(default_factory=list)
    media: list[str] = field(default_factory=list)
    name: str = ""
    call_id: str = ""
    arguments: str = ""
    sealed: bool = False
    error: bool = False
    refused: bool = False


@dataclass
class Tool:
    """A tool on offer; ``schema`` of a function's arguments, None for a custom (free text) or a hosted tool."""

    name: str
    kind: Literal["function", "custom", "web_search", "hosted"] = "function"
    schema: dict[str, Any] | None = None


@dataclass
class Heard:
    """What a request asks.

    ``choice``: auto, none, required, or ``named`` with ``choice_name``. ``schema`` is the output schema, {} for any
    object, None for free text. ``thinks``: whether this model thinks under this request. ``limit``: output tokens,
    without those of thoughts where ``spares_thoughts``.
    """

    protocol: str
    model: str
    system: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    choice: str = "auto"
    choice_name: str = ""
    parallel: bool = True
    schema: dict[str, Any] | None = None
    thinks: bool = False
    limit: int | None = None
    stop: list[str] = field(default_factory=list)
    spares_thoughts: bool = False
    prefill: str = ""


@dataclass
class Citation:
    """A source of the characters ``start`` to ``end`` of a text."""

    start: int
    end: int
    url: str
    title: str
    cited: str


@dataclass
class Thought:
    """Thinking. ``look``: plain, signed (no visible text, only a signature), redacted (nothing visible at all)."""

    text: str
    look: Literal["plain", "signed", "redacted"] = "plain"


@dataclass
class Say:
    """Visible text; ``whole`` is False where the token limit cut it."""

    text: str
    citations: list[Citation] = field(default_factory=list)
    whole: bool = True


@dataclass
class Call:
    """A tool call; ``arguments`` is JSON text, or free text for a custom tool."""

    name: str
    arguments: str
    custom: bool = False
    whole: bool = True


@dataclass
class Refuse:
    """A refusal, in the model's words."""

    text: str


@dataclass
class Search:
    """A web search that the vendor ran; ``results`` are (url, title)."""

    query: str
    results: list[tuple[str, str]]


Step = Thought | Say | Call | Refuse | Search


@dataclass
class Faults:
    """How the transport misbehaves. Times in seconds; ``*_after`` count content deltas; None is never."""

    status: int | None = None
    status_options: dict[str, str] = field(default_factory=dict)
    slow_headers: float = 0.0
    slow_first: float = 0.0
    slow: float = 0.0
    cut_after: int | None = None
    silent_after: int | None = None
    silent_for: float = 120.0
    error_after: int | None = None
    error_first: bool = False
    junk_after: int | None = None
    novel: bool = False


@dataclass
class Plan:
    """What the model will do.

    ``finish``: end, calls, length, stop, refusal, filter, or a vendor's own word given by a directive. ``stopped_by``
    is the stop sequence that was met. ``usage`` are fields of the vendor's usage object that a directive gave.
    """

    steps: list[Step] = field(default_factory=list)
    finish: str = "end"
    stopped_by: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    interleaved: bool = False
    whole_calls: bool = False
    faults: Faults = field(default_factory=Faults)


def media_label(kind: str, data: str | None = None, media_type: str = "", url: str = "", name: str = "") -> str:
    """The label of a medium: of inline data its type, size and digest, else its address or file id."""
    if data is not None:
        if data.startswith("data:"):
            head, _, data = data.partition(",")
            media_type = media_type or head.removeprefix("data:").split(";")[0]
        try:
            content = base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            return f"{kind} {media_type} (not base64)".replace("  ", " ")
        digest = hashlib.sha256(content).hexdigest()[:8]
        parts = [kind, name, media_type, f"{len(content)} bytes", digest]
        return " ".join(part for part in parts if part)
    return " ".join(part for part in (kind, name, url) if part)

"""The neutral conversation model: what a request says, independent of any vendor's wire format.

It is shaped like OpenAI's Responses API, a flat ordered list of typed items, because that form loses least: a chat
message list cannot hold reasoning items, signatures or the order of text and tool calls. All values are immutable;
readers build them, writers walk them, and nothing in here knows a protocol or does input or output.

Conventions
-----------
* ``extra`` is a bag per protocol (``{"messages": {"cache_control": {...}}}``) for wire fields that only one protocol
  has. A writer of that protocol puts them back; every other writer ignores them or announces a ``Loss``.
* Tool arguments stay the raw string the model produced. Parsing and dumping them again would change bytes and so
  break the providers' prompt caches.
* ``None`` means "the client did not say", never "the default".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

JsonObject = Mapping[str, Any]
Extra = Mapping[str, JsonObject]
NO_EXTRA: Extra = {}

Role = Literal["system", "developer", "user", "assistant"]
MediaKind = Literal["image", "file", "audio", "video"]
ToolKind = Literal["function", "custom", "web_search", "other"]
RanBy = Literal["client", "provider"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


@dataclass(frozen=True, slots=True)
class Citation:
    """A source the model quotes. ``start`` and ``end`` are character offsets into the text part, when known."""

    url: str
    title: str | None = None
    cited_text: str | None = None
    start: int | None = None
    end: int | None = None
    extra: Extra = field(default_factory=dict[str, JsonObject])


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One output token and its log probability; ``top`` holds the likeliest alternatives as (token, logprob, bytes)."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top: tuple[tuple[str, float, tuple[int, ...] | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text, with the citations and log probabilities that belong to it."""

    text: str
    citations: tuple[Citation, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    extra: Extra = field(default_factory=dict[str, JsonObject])


@dataclass(frozen=True, slots=True)
class Refusal:
    """Text with which the model declines. OpenAI keeps it apart from the answer; elsewhere it is ordinary text."""

    text: str
    extra: Extra = field(default_factory=dict[str, JsonObject])


@dataclass(frozen=True, slots=True)
class Thought:
    """Visible reasoning text. ``summary`` is True for a provider's digest of the reasoning (all that OpenAI and newer
    Claude models show), False for the raw chain of thought (open-weight models)."""

    text: str
    summary: bool = True
    extra: Extra = field(default_factory=dict[str, JsonObject])


@dataclass(frozen=True, slots=True)
class Media:
    """An image, document, audio or video input. Exactly one of ``url``, ``data`` and ``file_id`` is set.

    ``data`` is base64 without a ``data:`` prefix. ``file_id`` names a file at ONE provider (``provider_hint`` the
    protocol it came through) and never crosses to another.
    """

    kind: MediaKind
    url: str | None = None
    data: str | None = None
    file_id: str | None = None
    media_type: str | None = None
    filename: str | None = None
    detail: str | None = None
    extra: Extra = field(default_factory=dict[str, JsonObject])


@dataclass(frozen=True, slots=True)
class OpaquePart:
    """A content part that only ``protocol`` understands, kept whole: written back there, an error elsewhere."""

    protocol: str
    payload: JsonObject


Part = Text | Refusal | Thought | Media | OpaquePart


@dataclass(frozen=True, slots=True)
class Sealed:
    """Provider-made bytes that only the provider that made them can read: a thinking signature, a redacted block,
    ``encrypted_content``, a thought signature. ``protocol`` is the upstream protocol; ``provider`` and ``model`` are
    None when a client replays the provider's own bytes directly. ``kind``: how the wire carried it; ``call`` only
    inside a token, for the signature of the tool call behind it, where a frontend cannot sign calls. ``credential``:
    the public id of the provider's account that made it, None where that is not known."""

    protocol: str
    data: str
    provider: str | None = None
    model: str | None = None
    kind: Literal["signature", "redacted", "encrypted", "call"] = "signature"
    credential: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """Something said by ``role``. ``id`` is the item's identity on the wire, if it had one."""

    role: Role
    parts: tuple[Part, ...]
    id: str | None = None
    extra: Extra = field(default_factory=dict[str, JsonObject])


@dataclass(frozen=True, slots=True)
class Reasoning:
    """The model's thinking: visible ``parts`` (all ``Thought``), and the seal that lets the provider take it up again.
    A redacted block has no parts; a signed block may have empty text and must still be replayed."""

    parts: tuple[Thought, ...]
    sealed: Sealed | None = None
    id: str | None = None
    extra: Extra = field(default_factory=dict[str, JsonObject])


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model calls a tool. ``call_id`` correlates call and result, ``id`` is the item's identity (Responses keeps
    both). ``arguments`` is the raw JSON text for functions, free text for custom tools, the action's JSON for
    web searches. ``sealed`` holds a thought signature bound to the call (Gemini)."""

    call_id: str
    name: str
    arguments: str
    kind: ToolKind = "function"
    ran_by: RanBy = "client"
    id: str | None = None
    namespace: str | None = None
    sealed: Sealed | None = None
    extra: Extra = field(default_factory=dict[str, JsonObject])


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What the tool answered. ``parts`` may hold text, images and files; ``is_error`` tells the model it failed."""

    call_id: str
    parts: tuple[Part, ...]
    is_error: bool | None = None
    kind: ToolKind = "function"
    ran_by: RanBy = "client"
    id: str | None = None
    extra: Extra = field(default_factory=dict[str, JsonObject])


@dataclass(frozen=True, slots=True)
class OpaqueItem:
    """An item that only ``protocol`` understands (a compaction, an MCP call …), kept whole."""

    protocol: str
    payload: JsonObject


Item = Message | Reasoning | ToolCall | ToolResult | OpaqueItem


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A function the client runs. ``parameters`` is JSON Schema. ``strict`` None: the frontend's default applies
    (True in Responses, False in Chat Completions); readers resolve that default, so None only comes from Messages."""

    name: str
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None
    namespace: str | None = None
    extra: Extra = field(default_factory=dict[str, JsonObject])


@dataclass(frozen=True, slots=True)
class CustomTool:
    """A tool that takes free text (OpenAI ``custom``); ``format`` may constrain it by a grammar."""

    name: str
    description: str | None = None
    format: JsonObject | None = None
    extra: Extra = field(default_factory=dict[str, JsonObject])


@dataclass(frozen=True, slots=True)
class WebSearchTool:
    """The provider's own web search. ``user_location`` is ``{country, region, city, timezone}``."""

    context_size: Literal["low", "medium", "high"] | None = None
    allowed_domains: tuple[str, ...] = ()
    blocked_domains: tuple[str, ...] = ()
    user_location: JsonObject | None = None
    max_uses: int | None = None
    extra: Extra = field(default_factory=dict[str, JsonObject])


@dataclass(frozen=True, slots=True)
class OpaqueTool:
    """A tool that only ``protocol`` understands (``mcp``, ``tool_search`` …)."""

    protocol: str
    payload: JsonObject


Tool = FunctionTool | CustomTool | WebSearchTool | OpaqueTool


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """``auto``, ``none``, ``required`` (any tool), or ``named`` (the one in ``names``). With ``auto`` or
    ``required`` a non-empty ``names`` limits the choice to those tools (Responses' ``allowed_tools``). ``names`` are
    (kind, name) pairs."""

    mode: Literal["auto", "none", "required", "named"]
    names: tuple[tuple[ToolKind, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn and when they stop. ``max_tokens`` bounds the whole output, reasoning included."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Mapping[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """``text``, ``json_object``, or ``json_schema`` with ``schema`` (and ``name``, ``strict`` where given)."""

    type: Literal["text", "json_object", "json_schema"]
    schema: JsonObject | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """The form of the answer. ``modalities``, ``audio`` and ``prediction`` are Chat Completions' own objects."""

    format: OutputFormat | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    modalities: tuple[str, ...] = ()
    audio: JsonObject | None = None
    prediction: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Thinking:
    """How much the model should reason. Clients say it as an ``effort`` level (OpenAI), a ``budget`` in tokens
    (Anthropic ``enabled``), or leave it to the model (``adaptive``); ``mode`` None: not said. ``summary`` and
    ``display`` say how much of it to show."""

    mode: Literal["enabled", "adaptive", "disabled"] | None = None
    effort: str | None = None
    budget: int | None = None
    summary: str | None = None
    display: str | None = None


@dataclass(frozen=True, slots=True)
class Caching:
    """Prompt caching hints that stand beside the content. Marks on parts stay in those parts' ``extra``
    (``extra["messages"]["cache_control"]``). ``control`` is a top-level ``cache_control`` object."""

    key: str | None = None
    retention: str | None = None
    control: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One request for an answer. ``model`` is the caller's name for it until routing replaces it. ``instructions``
    are system text that stands before all ``items`` (Responses ``instructions``, Messages ``system``)."""

    model: str
    items: tuple[Item, ...]
    instructions: tuple[Text, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: int | None = None
    sampling: Sampling = Sampling()
    output: Output = Output()
    thinking: Thinking = Thinking()
    caching: Caching = Caching()
    stream: bool = False
    choices: int = 1
    user: str | None = None
    metadata: Mapping[str, str] | None = None
    extra: Extra = field(default_factory=dict[str, JsonObject])

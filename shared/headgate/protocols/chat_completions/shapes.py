"""The shapes of a Chat Completions body, one TypedDict for each object and branch of a union.

All are strict (no number from a string) and keep unknown keys. They only serve to find errors: the client's own object
is what is used afterwards.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

_CONFIG = ConfigDict(extra="allow", strict=True, defer_build=False)
_Count = Annotated[int, Field(gt=0)]
_Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
_Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]+$", max_length=256)]
_Label = Annotated[str, Field(max_length=64)]
_Value = Annotated[str, Field(max_length=512)]


@with_config(_CONFIG)
class _StreamOptions(TypedDict, total=False):
    include_usage: bool | None
    include_obfuscation: bool | None


@with_config(_CONFIG)
class _Audio(TypedDict):
    voice: Any
    format: Literal["wav", "aac", "mp3", "flac", "opus", "pcm16"]


@with_config(_CONFIG)
class _Prediction(TypedDict):
    type: Literal["content"]
    content: Any


@with_config(_CONFIG)
class _SearchPlace(TypedDict, total=False):
    type: Literal["approximate"]
    approximate: dict[str, Any] | None


@with_config(_CONFIG)
class _SearchOptions(TypedDict, total=False):
    search_context_size: Literal["low", "medium", "high"] | None
    user_location: _SearchPlace | None


@with_config(_CONFIG)
class _JsonSchema(TypedDict):
    name: _Name
    description: NotRequired[str | None]
    schema: NotRequired[dict[str, Any] | None]
    strict: NotRequired[bool | None]


@with_config(_CONFIG)
class _Format(TypedDict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: NotRequired[_JsonSchema | None]


@with_config(_CONFIG)
class _Function(TypedDict):
    name: _Name
    description: NotRequired[str | None]
    parameters: NotRequired[dict[str, Any] | None]
    strict: NotRequired[bool | None]


@with_config(_CONFIG)
class _FunctionTool(TypedDict):
    function: _Function


@with_config(_CONFIG)
class _Custom(TypedDict):
    name: _Name
    description: NotRequired[str | None]
    format: NotRequired[dict[str, Any] | None]


@with_config(_CONFIG)
class _CustomTool(TypedDict):
    custom: _Custom


@with_config(_CONFIG)
class _Named(TypedDict):
    name: str


@with_config(_CONFIG)
class _FunctionChoice(TypedDict):
    function: _Named


@with_config(_CONFIG)
class _CustomChoice(TypedDict):
    custom: _Named


@with_config(_CONFIG)
class _Allowed(TypedDict):
    mode: Literal["auto", "required"]
    tools: list[dict[str, Any]]


@with_config(_CONFIG)
class _AllowedChoice(TypedDict):
    allowed_tools: _Allowed


@with_config(_CONFIG)
class _Body(TypedDict):
    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[Any], Field(min_length=1)]
    audio: NotRequired[_Audio | None]
    extra_body: NotRequired[dict[str, Any] | None]
    frequency_penalty: NotRequired[_Penalty | None]
    functions: NotRequired[Annotated[list[_Function], Field(max_length=128)] | None]
    logit_bias: NotRequired[dict[str, Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]] | None]
    logprobs: NotRequired[bool | None]
    max_completion_tokens: NotRequired[_Count | None]
    max_tokens: NotRequired[_Count | None]
    metadata: NotRequired[Annotated[dict[_Label, _Value], Field(max_length=16)] | None]
    modalities: NotRequired[Annotated[list[Literal["text", "audio"]], Field(min_length=1, max_length=2)] | None]
    n: NotRequired[Annotated[int, Field(ge=1, le=128)] | None]
    parallel_tool_calls: NotRequired[bool | None]
    prediction: NotRequired[_Prediction | None]
    presence_penalty: NotRequired[_Penalty | None]
    prompt_cache_key: NotRequired[str | None]
    prompt_cache_retention: NotRequired[Literal["in-memory", "in_memory", "24h"] | None]
    reasoning_effort: NotRequired[Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None]
    response_format: NotRequired[_Format | None]
    routing: NotRequired[dict[str, Any] | None]
    safety_identifier: NotRequired[str | None]
    service_tier: NotRequired[Literal["auto", "default", "flex", "scale", "priority", "fast"] | None]
    session_id: NotRequired[str | None]
    agent: NotRequired[str | None]
    store: NotRequired[bool | None]
    stream: NotRequired[bool | None]
    stream_options: NotRequired[_StreamOptions | None]
    temperature: NotRequired[Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None]
    tools: NotRequired[list[dict[str, Any]] | None]
    top_k: NotRequired[Annotated[int, Field(ge=0)] | None]
    top_logprobs: NotRequired[Annotated[int, Field(ge=0, le=20)] | None]
    top_p: NotRequired[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None]
    user: NotRequired[str | None]
    verbosity: NotRequired[Literal["low", "medium", "high"] | None]
    web_search_options: NotRequired[_SearchOptions | None]


@with_config(_CONFIG)
class _Spoken(TypedDict):
    id: str


@with_config(_CONFIG)
class _Call(TypedDict):
    name: str
    arguments: str


@with_config(_CONFIG)
class _CustomCall(TypedDict):
    name: str
    input: str


@with_config(_CONFIG)
class _Google(TypedDict):
    thought_signature: NotRequired[str | None]


@with_config(_CONFIG)
class _ExtraContent(TypedDict):
    google: NotRequired[_Google | None]


@with_config(_CONFIG)
class _FunctionToolCall(TypedDict):
    id: Annotated[str, Field(min_length=1)]
    function: _Call
    extra_content: NotRequired[_ExtraContent | None]


@with_config(_CONFIG)
class _CustomToolCall(TypedDict):
    id: Annotated[str, Field(min_length=1)]
    custom: _CustomCall
    extra_content: NotRequired[_ExtraContent | None]


@with_config(_CONFIG)
class _Said(TypedDict):
    content: Any
    name: NotRequired[str | None]


@with_config(_CONFIG)
class _AssistantMessage(TypedDict, total=False):
    content: Any
    name: str | None
    refusal: str | None
    audio: _Spoken | None
    function_call: _Call | None
    tool_calls: list[dict[str, Any]] | None
    reasoning_content: str | None
    reasoning: str | None
    reasoning_details: list[dict[str, Any]] | None


@with_config(_CONFIG)
class _ToolMessage(TypedDict):
    content: Any
    tool_call_id: Annotated[str, Field(min_length=1)]


@with_config(_CONFIG)
class _FunctionMessage(TypedDict):
    content: Any
    name: str


@with_config(_CONFIG)
class _TextPart(TypedDict):
    text: str


@with_config(_CONFIG)
class _RefusalPart(TypedDict):
    refusal: str


@with_config(_CONFIG)
class _Image(TypedDict):
    url: Annotated[str, Field(min_length=1)]
    detail: NotRequired[Literal["auto", "low", "high", "original"] | None]


@with_config(_CONFIG)
class _ImagePart(TypedDict):
    image_url: _Image


@with_config(_CONFIG)
class _VideoPart(TypedDict):
    video_url: _Image


@with_config(_CONFIG)
class _Sound(TypedDict):
    data: str
    format: str


@with_config(_CONFIG)
class _AudioPart(TypedDict):
    input_audio: _Sound


@with_config(_CONFIG)
class _File(TypedDict, total=False):
    file_data: str | None
    file_id: str | None
    filename: str | None


@with_config(_CONFIG)
class _FilePart(TypedDict):
    file: _File


BODY: TypeAdapter[Any] = TypeAdapter(_Body)
MESSAGES: dict[str, TypeAdapter[Any]] = {
    "system": TypeAdapter(_Said),
    "assistant": TypeAdapter(_AssistantMessage),
    "tool": TypeAdapter(_ToolMessage),
    "function": TypeAdapter(_FunctionMessage),
}
MESSAGES["developer"] = MESSAGES["user"] = MESSAGES["system"]
PARTS: dict[str, TypeAdapter[Any]] = {
    "text": TypeAdapter(_TextPart),
    "refusal": TypeAdapter(_RefusalPart),
    "image_url": TypeAdapter(_ImagePart),
    "video_url": TypeAdapter(_VideoPart),
    "input_audio": TypeAdapter(_AudioPart),
    "file": TypeAdapter(_FilePart),
}
CALLS: dict[str, TypeAdapter[Any]] = {
    "function": TypeAdapter(_FunctionToolCall),
    "custom": TypeAdapter(_CustomToolCall),
}
TOOLS: dict[str, TypeAdapter[Any]] = {"function": TypeAdapter(_FunctionTool), "custom": TypeAdapter(_CustomTool)}
CHOICES: dict[str, TypeAdapter[Any]] = {
    "function": TypeAdapter(_FunctionChoice),
    "custom": TypeAdapter(_CustomChoice),
    "allowed_tools": TypeAdapter(_AllowedChoice),
}

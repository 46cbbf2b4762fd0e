"""A client's Chat Completions request as a neutral ``Request``.

System and developer messages stay items in their place; ``instructions`` stays empty. Fields without a slot of their
own are kept in ``extra["chat_completions"]``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headgate.conversation import (
    Caching,
    Citation,
    CustomTool,
    FunctionTool,
    Item,
    Message,
    OpaquePart,
    OpaqueTool,
    Output,
    OutputFormat,
    Part,
    Refusal,
    Request,
    Sampling,
    Sealed,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolKind,
    ToolResult,
    WebSearchTool,
)
from headgate.losses import Loss
from headgate.protocols.chat_completions import PROTOCOL
from headgate.protocols.chat_completions.content import extra_of, read_content
from headgate.protocols.chat_completions.gateway_fields import GATEWAY_FIELDS, legacy, merged
from headgate.protocols.chat_completions.reasoning_details import read_details
from headgate.protocols.contract import Unseal

_KNOWN = GATEWAY_FIELDS | frozenset(
    [
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "metadata",
        "modalities",
        "model",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    ]
)
_ASSISTANT = frozenset(
    [
        "role",
        "content",
        "name",
        "refusal",
        "audio",
        "function_call",
        "tool_calls",
        "reasoning_content",
        "reasoning",
        "reasoning_details",
        "annotations",
    ]
)


def read_request(body: Mapping[str, Any], unseal: Unseal) -> tuple[Request, list[Loss]]:
    """The request a validated ``body`` makes, and what of it means nothing outside this protocol: unknown fields,
    seals that are not ours to open. Raises a 400 for media that cannot be read."""
    fields = merged(body)
    extra = extra_of(fields, _KNOWN)
    losses = [
        Loss(name, "unsupported_parameter", "Only this protocol may know it.") for name in extra.get(PROTOCOL, ())
    ]
    request = Request(
        model=fields["model"],
        items=tuple(_read_messages(fields["messages"], unseal, losses)),
        tools=tuple(_read_tools(fields)),
        tool_choice=_read_choice(fields.get("tool_choice"), fields.get("function_call")),
        # The old functions know one call at a time.
        parallel_tool_calls=False if legacy(fields) else fields.get("parallel_tool_calls"),
        sampling=_read_sampling(fields),
        output=_read_output(fields),
        thinking=_read_thinking(fields),
        caching=Caching(key=fields.get("prompt_cache_key"), retention=fields.get("prompt_cache_retention")),
        stream=bool(fields.get("stream")),
        choices=fields.get("n") or 1,
        user=fields.get("user"),
        metadata=fields.get("metadata"),
        extra=extra,
    )
    return request, losses


class _Calls:
    """Which calls the history holds: a result must know its call's kind, and a legacy function result names only
    the function."""

    def __init__(self) -> None:
        self.kinds: dict[str, ToolKind] = {}
        self.legacy: dict[str, list[str]] = {}
        self.count = 0

    def legacy_call(self, name: str) -> str:
        call_id = f"call_function_{self.count}"
        self.count += 1
        self.legacy.setdefault(name, []).append(call_id)
        return call_id

    def legacy_result(self, name: str) -> str:
        waiting = self.legacy.get(name)
        return waiting.pop(0) if waiting else self.legacy_call(name)


def _read_messages(messages: Sequence[Mapping[str, Any]], unseal: Unseal, losses: list[Loss]) -> Iterable[Item]:
    calls = _Calls()
    for index, message in enumerate(messages):
        path = f"messages[{index}]"
        match message["role"]:
            case "assistant":
                yield from _read_assistant(message, unseal, path, losses, calls)
            case "tool":
                call_id = message["tool_call_id"]
                parts = read_content(message["content"], f"{path}.content")
                extra = extra_of(message, frozenset({"role", "content", "tool_call_id"}))
                yield ToolResult(call_id, parts, kind=calls.kinds.get(call_id, "function"), extra=extra)
            case "function":
                parts = read_content(message["content"], f"{path}.content")
                extra = {PROTOCOL: {"legacy": True}}
                yield ToolResult(calls.legacy_result(message["name"]), parts, extra=extra)
            case role:
                parts = read_content(message["content"], f"{path}.content")
                yield Message(role, parts, extra=extra_of(message, frozenset({"role", "content"})))


def _read_assistant(
    message: Mapping[str, Any], unseal: Unseal, path: str, losses: list[Loss], calls: _Calls
) -> Iterable[Item]:
    yield from read_details(message, unseal, path, losses)
    tool_calls = message.get("tool_calls") or ()
    parts: list[Part] = list(read_content(message.get("content"), f"{path}.content"))
    if parts and (citations := _read_citations(message.get("annotations"))) and isinstance(parts[0], Text):
        parts[0] = Text(parts[0].text, citations, extra=parts[0].extra)
    if message.get("refusal"):
        parts.append(Refusal(message["refusal"]))
    if message.get("audio"):
        parts.append(OpaquePart(PROTOCOL, {"type": "audio", "audio": message["audio"]}))
    call = message.get("function_call")
    if parts == [Text("")] and (tool_calls or call):
        parts = []
    if parts:
        extra = dict(extra_of(message, _ASSISTANT).get(PROTOCOL, {}))
        if message.get("name"):
            extra["name"] = message["name"]
        yield Message("assistant", tuple(parts), extra={PROTOCOL: extra} if extra else {})
    if call:
        extra = {PROTOCOL: {"legacy": True}}
        yield ToolCall(calls.legacy_call(call["name"]), call["name"], call["arguments"], extra=extra)
    for index, each in enumerate(tool_calls):
        item = _read_call(each, unseal, f"{path}.tool_calls[{index}]", losses)
        calls.kinds[item.call_id] = item.kind
        yield item


def _read_call(call: Mapping[str, Any], unseal: Unseal, path: str, losses: list[Loss]) -> ToolCall:
    sealed: Sealed | None = None
    token = ((call.get("extra_content") or {}).get("google") or {}).get("thought_signature")
    if isinstance(token, str) and token:
        sealed = unseal(token)
        if sealed is None:
            losses.append(Loss(path, "foreign_signature", "A thought signature that this gateway did not issue."))
    if call.get("type") == "custom":
        custom = call["custom"]
        return ToolCall(call["id"], custom["name"], custom["input"], kind="custom", sealed=sealed)
    function = call["function"]
    return ToolCall(call["id"], function["name"], function["arguments"], sealed=sealed)


def _read_citations(annotations: Any) -> tuple[Citation, ...]:
    found: list[Citation] = []
    for annotation in annotations if isinstance(annotations, list) else ():
        cited = annotation.get("url_citation") if isinstance(annotation, dict) else None
        if isinstance(cited, dict) and isinstance(cited.get("url"), str):
            title, start, end = cited.get("title"), cited.get("start_index"), cited.get("end_index")
            known = isinstance(title, str), type(start) is int, type(end) is int
            title, start, end = (value if ok else None for value, ok in zip((title, start, end), known, strict=True))
            found.append(Citation(cited["url"], title, None, start, end))
    return tuple(found)


def _read_tools(fields: Mapping[str, Any]) -> Iterable[Tool]:
    for tool in fields.get("tools") or ():
        extra = extra_of(tool, frozenset({"type", "function", "custom"}))
        match tool["type"]:
            case "function":
                function = tool["function"]
                # Unlike in Responses, a function is not strict unless it says so.
                strict = bool(function.get("strict"))
                name, about = function["name"], function.get("description")
                yield FunctionTool(name, about, function.get("parameters"), strict, extra=extra)
            case "custom":
                custom = tool["custom"]
                yield CustomTool(custom["name"], custom.get("description"), _flat(custom.get("format")), extra=extra)
            case "web_search" | "web_search_preview":
                yield _read_search(tool)
            case _:
                yield OpaqueTool(PROTOCOL, tool)
    for function in fields.get("functions") or ():
        extra = {PROTOCOL: {"legacy": True}}
        name, about = function["name"], function.get("description")
        yield FunctionTool(name, about, function.get("parameters"), False, extra=extra)
    search = fields.get("web_search_options")
    if search is not None:
        place = (search.get("user_location") or {}).get("approximate")
        yield WebSearchTool(search.get("search_context_size"), user_location=place)


def _read_search(tool: Mapping[str, Any]) -> WebSearchTool:
    """The tool as Responses declares it, which some clients also send here."""
    size, filters, place = tool.get("search_context_size"), tool.get("filters"), tool.get("user_location")
    allowed = filters.get("allowed_domains") if isinstance(filters, dict) else None
    return WebSearchTool(
        size if size in ("low", "medium", "high") else None,
        tuple(name for name in allowed if isinstance(name, str)) if isinstance(allowed, list) else (),
        user_location=place if isinstance(place, dict) else None,
    )


def _flat(form: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The format of a custom tool as Responses writes it: Chat nests the grammar one level deeper."""
    grammar = form.get("grammar") if form else None
    return {"type": "grammar", **grammar} if isinstance(grammar, dict) else form


def _read_choice(choice: Any, legacy: Any) -> ToolChoice | None:
    if isinstance(choice, str):
        return ToolChoice(choice)  # type: ignore[arg-type]
    if choice is None:
        if isinstance(legacy, str):
            return ToolChoice(legacy)  # type: ignore[arg-type]
        return ToolChoice("named", (("function", legacy["name"]),)) if legacy else None
    if choice["type"] != "allowed_tools":
        return ToolChoice("named", ((choice["type"], choice[choice["type"]]["name"]),))
    allowed = choice["allowed_tools"]
    names = tuple(
        (tool["type"], tool[tool["type"]]["name"])
        for tool in allowed["tools"]
        if tool["type"] in ("function", "custom")
    )
    return ToolChoice(allowed["mode"], names)


def _read_sampling(fields: Mapping[str, Any]) -> Sampling:
    stop, seed = fields.get("stop"), fields.get("seed")
    bound = fields.get("max_completion_tokens")
    return Sampling(
        max_tokens=fields.get("max_tokens") if bound is None else bound,
        temperature=fields.get("temperature"),
        top_p=fields.get("top_p"),
        top_k=fields.get("top_k"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        seed=None if seed is None else int(seed),
        frequency_penalty=fields.get("frequency_penalty"),
        presence_penalty=fields.get("presence_penalty"),
        logit_bias=fields.get("logit_bias"),
        logprobs=fields.get("logprobs"),
        top_logprobs=fields.get("top_logprobs"),
    )


def _read_output(fields: Mapping[str, Any]) -> Output:
    form = fields.get("response_format")
    output_format: OutputFormat | None = None
    if form is not None:
        schema = form.get("json_schema") or {}
        output_format = OutputFormat(
            form["type"], schema.get("schema"), schema.get("name"), schema.get("description"), schema.get("strict")
        )
    return Output(
        format=output_format,
        verbosity=fields.get("verbosity"),
        modalities=tuple(fields.get("modalities") or ()),
        audio=fields.get("audio"),
        prediction=fields.get("prediction"),
    )


def _read_thinking(fields: Mapping[str, Any]) -> Thinking:
    """``reasoning_effort``; also OpenRouter's ``reasoning`` object and Anthropic's ``thinking``, which clients of
    OpenAI-compatible gateways send in ``extra_body``."""
    effort = fields.get("reasoning_effort")
    reasoning, thinking = fields.get("reasoning"), fields.get("thinking")
    if effort is None and isinstance(reasoning, dict):
        budget = reasoning.get("max_tokens")
        mode = "disabled" if reasoning.get("enabled") is False else None
        effort = reasoning.get("effort")
        return Thinking(
            mode, effort if isinstance(effort, str) else None, budget=budget if type(budget) is int else None
        )
    if effort is None and isinstance(thinking, dict) and thinking.get("type") in ("enabled", "adaptive", "disabled"):
        budget = thinking.get("budget_tokens")
        return Thinking(thinking["type"], budget=budget if type(budget) is int else None)
    return Thinking(effort=effort)

"""Requests to xAI in OpenAI's terms, as far as xAI takes them. Raises what it answers to the others."""

from __future__ import annotations

import re
from typing import Any

from .. import openai_common as openai
from ..openai_common import Refused
from ..shapes import Problem, Tag

_FAMILY = re.compile(r"^grok-(3|4|build|code)")
_CHAT = frozenset(
    {
        "model", "messages", "max_tokens", "max_completion_tokens", "n", "parallel_tool_calls", "reasoning_effort",
        "response_format", "seed", "stop", "stream", "stream_options", "temperature", "top_p", "tools", "tool_choice",
        "user",
    }
)  # fmt: skip
"""What reaches the model. ``logprobs`` and many others are taken, and nothing comes of them."""
_RESPONSES = frozenset(
    {
        "model", "input", "instructions", "max_output_tokens", "parallel_tool_calls", "reasoning", "include", "store",
        "stream", "temperature", "top_p", "text", "tools", "tool_choice", "prompt_cache_key", "user",
        "previous_response_id",
    }
)  # fmt: skip
_CHAT_TOOLS = ("function", "live_search")
_TOOLS = (
    "function", "web_search", "x_search", "image_generation", "collections_search", "file_search", "code_execution",
    "code_interpreter", "mcp", "shell", "tool_search",
)  # fmt: skip
_SEARCH = frozenset({"allowed_domains", "excluded_domains", "enable_image_understanding"})
_INCLUDED = ("reasoning.encrypted_content",)


def family(model: str) -> bool:
    """Whether a model is called like this."""
    return bool(_FAMILY.match(model))


def reasons(model: str) -> bool:
    """Whether the model is one that thinks."""
    return "non-reasoning" not in model


def efforts(model: str) -> tuple[str, ...]:
    """The efforts that the model takes; most take none."""
    if model.startswith("grok-4.3"):
        return ("none", "low", "medium", "high")
    if "multi-agent" in model or re.match(r"grok-4\.[5-9]", model):
        return ("low", "medium", "high", "xhigh")
    return ("low", "high") if model.startswith("grok-3-mini") else ()


def default_effort(model: str) -> str | None:
    """The effort where none is asked for."""
    if not reasons(model):
        return None
    return "low" if model.startswith("grok-4.3") else "high"


def _unsupported(model: str, name: str) -> Refused:
    return Refused(400, f"Model {model} does not support parameter {name}.")


def _argument(name: str) -> Refused:
    return Refused(400, f"Argument not supported: {name}")


def _model(body: dict[str, Any]) -> str:
    model = openai.bare(body.get("model") or "latest")
    if not family(model) or "does-not-exist" in model:
        raise Refused(400, f"Model not found: {model}")
    return model


def _effort(model: str, effort: Any) -> Any:
    """The effort in OpenAI's words. ``minimal`` is another word for ``low``."""
    if effort is None:
        return None
    effort = "low" if effort == "minimal" else effort
    if effort not in efforts(model):
        raise _unsupported(model, "reasoningEffort")
    return effort


def _no_live_search(body: dict[str, Any], tools: list[Any]) -> None:
    live = any(isinstance(tool, dict) and tool.get("type") == "live_search" for tool in tools)
    if live or any(body.get(name) is not None for name in ("search_parameters", "web_search_options")):
        raise Refused(410, "Live search is deprecated. Please switch to the Agent Tools API")


def _tools(body: dict[str, Any], known: tuple[str, ...]) -> list[dict[str, Any]]:
    given = body.get("tools") or []
    for index, tool in enumerate(given):
        kind = tool.get("type") if isinstance(tool, dict) else None
        if kind not in known:
            raise Problem("tag", ("tools", index, "type"), allowed=known, got=kind)
    return given


def chat_terms(body: dict[str, Any]) -> dict[str, Any]:
    """A chat's body."""
    given = _tools(body, _CHAT_TOOLS)
    model = _model(body)
    _no_live_search(body, given)
    for name, own in (("presence_penalty", "presencePenalty"), ("frequency_penalty", "frequencyPenalty")):
        if body.get(name) is not None:
            raise _unsupported(model, own)
    if body.get("stop") is not None and reasons(model):
        raise _unsupported(model, "stop")
    effort = _effort(model, body.get("reasoning_effort"))
    kept = {name: value for name, value in body.items() if name in _CHAT and value is not None}
    kept.pop("reasoning_effort", None)
    if effort is not None:
        kept["reasoning_effort"] = effort
    if given:
        kept["tools"] = [{"type": "function", "function": _lenient(tool.get("function"))} for tool in given]
    form = kept.get("response_format")
    if isinstance(form, dict) and isinstance(form.get("json_schema"), dict):
        kept["response_format"] = {**form, "json_schema": _lenient(form["json_schema"])}
    for message in kept.get("messages") or ():
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, dict) and part.get("type") not in ("text", "image_url"):
                raise Refused(400, "Empty content block")
    return kept


def _lenient(value: Any) -> Any:
    """Without ``strict``: schemas are kept to with or without it."""
    return {name: each for name, each in value.items() if name != "strict"} if isinstance(value, dict) else value


def responses_terms(body: dict[str, Any]) -> dict[str, Any]:
    """A response's body."""
    given = _tools(body, _TOOLS)
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") != "function":
        raise Problem("tag", ("tool_choice", "type"), allowed=("function",), got=choice.get("type"))
    model = _model(body)
    _no_live_search(body, given)
    if body.get("metadata") is not None:
        raise _argument("metadata")
    if body.get("background"):
        raise _argument("background")
    if body.get("max_tokens") is not None:
        raise Refused(400, "Argument not supported: max_tokens. Use max_output_tokens instead.")
    if any(word not in _INCLUDED for word in body.get("include") or ()):
        raise _argument("include")
    if body.get("instructions") and body.get("previous_response_id"):
        raise _argument("instructions and previous_response_id together")
    reasoning = body.get("reasoning") or {}
    effort = _effort(model, reasoning.get("effort"))
    kept = {name: value for name, value in body.items() if name in _RESPONSES and value is not None}
    # Thoughts are always told, at the one length there is.
    kept["reasoning"] = {"summary": "detailed", **({"effort": effort} if effort else {})}
    if given:
        kept["tools"] = [_tool(tool, index) for index, tool in enumerate(given)]
    if isinstance(kept.get("text"), dict):
        form = kept["text"].get("format")
        kept["text"] = {"format": {**form, "strict": False} if _is_schema(form) else form} if form else {}
    if isinstance(kept.get("input"), list):
        kept["input"] = [_item(item, index) for index, item in enumerate(kept["input"])]
    return kept


def _is_schema(form: Any) -> bool:
    return isinstance(form, dict) and form.get("type") == "json_schema"


def _tool(tool: dict[str, Any], index: int) -> dict[str, Any]:
    match tool["type"]:
        case "function":
            if "parameters" not in tool:
                raise Problem("missing", ("tools", index, Tag("function"), "parameters"))
            names = ("type", "name", "description", "parameters")
            return {"strict": False, **{name: tool[name] for name in names if name in tool}}
        case "web_search":
            if "external_web_access" in tool:
                raise _argument("external_web_access")
            place = tool.get("user_location")
            if place is not None and "type" not in place:
                raise Problem("missing", ("tools", index, "user_location", "type"))
            filters = {**(tool.get("filters") or {}), **{name: tool[name] for name in _SEARCH if name in tool}}
            domains = {"allowed_domains": filters.get("allowed_domains") or []}
            if filters.get("excluded_domains"):
                domains["blocked_domains"] = filters["excluded_domains"]
            return {"type": "web_search", "filters": domains, **({"user_location": place} if place else {})}
        case _:
            # Other tools of its own: taken, never called here.
            return {"type": "code_interpreter"}


def _item(item: Any, index: int) -> Any:
    if not isinstance(item, dict):
        return item
    for name in ("content", "output"):
        parts = item.get(name)
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict) and part.get("file_data") is not None:
                raise _argument("file_data")
    if item.get("type") == "web_search_call":
        return {name: item[name] for name in ("type", "id", "status", "action") if name in item}
    return item

"""A client's Responses body made ready for an upstream that speaks Responses too.

Everything the client said goes on, known to us or not; only what is the gateway's own business, or would fail or act
outside of this request, is taken out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.errors import unsupported
from headgate.losses import Loss
from headgate.protocols.contract import Target, Unseal
from headgate.protocols.responses.fit import fit
from headgate.protocols.responses.input_items import is_ours
from headgate.protocols.responses.items import FOREIGN, unresolved
from headgate.protocols.responses.parts import PROTOCOL
from headgate.protocols.responses.schema_items import item_type
from headgate.protocols.responses.schema_messages import canonical
from headgate.protocols.responses.tools import SEARCH_FIELDS

_OURS = frozenset(
    [
        # Routing and state of the gateway.
        "routing",
        "provider",
        "session_id",
        "agent",
        "extra_body",
        "request_context_tokens",
        "previous_response_id",
        "cache_control",
        # Documented as accepted without effect; at the upstream they would have one.
        "background",
        "context_management",
        "conversation",
        "prompt",
        "safety_identifier",
        "service_tier",
        "truncation",
        # Only feeds the cache key.
        "user",
    ]
)
_ANSWERED = ("message", "function_call", "custom_tool_call")
_ITEM_EXTRAS = ("parsed_arguments", "parsed")
"""What the SDKs' ``parse`` helpers add to output items that users then send back; the API refuses them."""


_TOOLS_OF_OPENAI = frozenset(("custom", "namespace", "web_search_preview", "web_search_2025_08_26"))
_ITEMS_OF_OPENAI = frozenset(("custom_tool_call", "custom_tool_call_output"))


def prepare(
    body: Mapping[str, Any], target: Target, unseal: Unseal, prompt_cache_key: str | None = None
) -> tuple[dict[str, Any], list[Loss]]:
    """The upstream's body and what was left out of it. ``body`` is not changed. Raises GatewayError 400 for an
    ``item_reference``, which nobody could resolve."""
    losses: list[Loss] = []
    sent = {name: value for name, value in canonical(body).items() if name not in _OURS}
    if body.get("cache_control") is not None:
        losses.append(_mark_lost("cache_control"))
    sent["model"] = target.model
    given = sent.get("input")
    if isinstance(given, list):
        sent["input"] = _items(given, target, unseal, losses)
    if sent.get("tools"):
        sent["tools"] = [_tool(tool, f"tools[{at}]", losses) for at, tool in enumerate(sent["tools"])]
    if prompt_cache_key is not None:
        sent["prompt_cache_key"] = prompt_cache_key
    return sent, losses + fit(sent, target)


def _items(given: list[Any], target: Target, unseal: Unseal, losses: list[Loss]) -> list[dict[str, Any]]:
    """The items that go on. What followed a reasoning item that does not goes on without its id: by that the vendor
    would know it, and miss the reasoning."""
    kept: list[dict[str, Any]] = []
    bereft = False
    for at, each in enumerate(given):
        item = _item(each, f"input[{at}]", target, unseal, losses)
        if item is None:
            bereft = True
            continue
        said_by_model = item_type(item) in _ANSWERED and item.get("role", "assistant") == "assistant"
        bereft = bereft and said_by_model
        kept.append({name: value for name, value in item.items() if name != "id"} if bereft else item)
    return kept


def suits(body: Mapping[str, Any], target: Target) -> bool:
    """Whether ``target`` takes the body's tools and calls as they are. Where it has functions only, a body with
    free-text tools, namespaces or a choice among tools must be translated, and its answer back."""
    if "no_custom_tools" not in target.quirks:
        return True
    searches = "search_domains" in target.quirks
    given = body.get("input")
    items = [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
    tools = [tool for tool in body.get("tools") or () if isinstance(tool, dict)]
    choice = body.get("tool_choice")
    return (
        not any(tool.get("type") in _TOOLS_OF_OPENAI for tool in tools)
        and not any(
            searches and tool.get("type") == "web_search" and tool.keys() - set(SEARCH_FIELDS) for tool in tools
        )
        and not any(item_type(item) in _ITEMS_OF_OPENAI or item.get("namespace") for item in items)
        and not (isinstance(choice, dict) and choice.get("type") != "function")
    )


def _item(item: dict[str, Any], path: str, target: Target, unseal: Unseal, losses: list[Loss]) -> dict[str, Any] | None:
    kind = item_type(item)
    if kind == "item_reference":
        raise unresolved(item, path)
    if kind == "reasoning":
        return _reasoning(item, path, target, unseal, losses)
    if item.get("role") == "developer" and "system_role" in target.quirks:
        item = {**item, "role": "system"}
    unwanted = {name for name in _ITEM_EXTRAS if name in item}
    if is_ours(item.get("id")):
        unwanted.add("id")
    if kind in ("function_call", "custom_tool_call") and "encrypted_content" in item:
        # A thought signature of another provider, which this API has no place for.
        unwanted.add("encrypted_content")
        losses.append(Loss(f"{path}.encrypted_content", "foreign_signature", FOREIGN))
    if "cache_control" in item:
        unwanted.add("cache_control")
        losses.append(_mark_lost(f"{path}.cache_control"))
    if "is_error" in item:
        unwanted.add("is_error")
        if item["is_error"]:
            losses.append(Loss(f"{path}.is_error", "unsupported_parameter", "The provider has no such mark."))
    if unwanted:
        item = {name: value for name, value in item.items() if name not in unwanted}
    for name in ("content", "output"):
        parts = item.get(name)
        if isinstance(parts, list):
            for at, part in enumerate(parts):
                _refuse(part, f"{path}.{name}[{at}]", target)
            item = _with_parts(item, name, parts, path, losses)
    return item


def _refuse(part: Any, path: str, target: Target) -> None:
    """Refuse media that the target is known to lack, so that another route can take them, by the field's name. Raises
    ``unsupported``."""
    match part:
        case {"type": "input_image"} if target.lacks("image"):
            raise unsupported(f"The model '{target.model}' takes no image input.", param=path)
        case {"type": "input_file", "file_data": str() as data} if "files_by_url" in target.quirks and data:
            text = f"{target.provider} reads files at an address (file_url), none that are sent along."
            raise unsupported(text, param=f"{path}.file_data")
        case {"type": "input_file"} if target.lacks("pdf") and _is_pdf(part):
            raise unsupported(f"The model '{target.model}' takes no PDF input.", param=path)
        case _:
            return


def _is_pdf(part: Mapping[str, Any]) -> bool:
    data, name = part.get("file_data") or "", part.get("filename") or ""
    return data.startswith("data:application/pdf") or (not data.startswith("data:") and name.lower().endswith(".pdf"))


def _with_parts(item: dict[str, Any], name: str, parts: list[Any], path: str, losses: list[Loss]) -> dict[str, Any]:
    """``item``, copied only if one of its parts holds something that has to go."""
    cleaned = [_part(part, f"{path}.{name}[{at}]", losses) for at, part in enumerate(parts)]
    return {**item, name: cleaned} if any(new is not old for new, old in zip(cleaned, parts, strict=True)) else item


def _part(part: Any, path: str, losses: list[Loss]) -> Any:
    if not isinstance(part, dict) or not ("cache_control" in part or "parsed" in part):
        return part
    if "cache_control" in part:
        losses.append(_mark_lost(f"{path}.cache_control"))
    return {name: value for name, value in part.items() if name not in ("cache_control", "parsed")}


def _reasoning(
    item: dict[str, Any], path: str, target: Target, unseal: Unseal, losses: list[Loss]
) -> dict[str, Any] | None:
    """Sealed reasoning goes back to its maker, unwrapped. Without its seal it is only an id, which an upstream that
    stores nothing for us does not know."""
    token = item.get("encrypted_content")
    if not token:
        losses.append(Loss(path, "unsealed_reasoning", "Reasoning without encrypted_content cannot be sent back."))
        return None
    sealed = unseal(token)
    if sealed is None or not target.made(sealed, PROTOCOL):
        losses.append(Loss(path, "foreign_signature", FOREIGN))
        return None
    kept = {**item, "encrypted_content": sealed.data}
    if is_ours(item.get("id")):
        del kept["id"]
    return kept


def _tool(tool: Any, path: str, losses: list[Loss]) -> Any:
    if not isinstance(tool, dict):
        return tool
    if "cache_control" in tool:
        losses.append(_mark_lost(f"{path}.cache_control"))
        tool = {name: value for name, value in tool.items() if name != "cache_control"}
    if tool.get("type") == "namespace" and isinstance(tool.get("tools"), list):
        inner = [_tool(each, f"{path}.tools[{at}]", losses) for at, each in enumerate(tool["tools"])]
        tool = {**tool, "tools": inner}
    return tool


def _mark_lost(path: str) -> Loss:
    return Loss(path, "unsupported_parameter", "The provider caches by itself.")

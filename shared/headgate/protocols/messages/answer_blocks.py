"""The content blocks of an answer, for the JSON object and for the stream alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeGuard

from headgate.conversation import (
    Citation,
    Item,
    Media,
    Message,
    OpaqueItem,
    OpaquePart,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
)
from headgate.protocols.contract import Reply
from headgate.protocols.messages.arguments import arguments_object, search_input, search_sources

Block = dict[str, Any]


def shows_thinking(reply: Reply) -> bool:
    """Whether the client wants to see thinking text; ``display: omitted`` asks for the signature alone."""
    thinking = reply.body.get("thinking") or {}
    return thinking.get("display") != "omitted"


def content_of(items: Iterable[Item], reply: Reply) -> list[Block]:
    """The ``content`` array for ``items``, in their order. Items of other protocols that Anthropic's clients have no
    block for (another vendor's hosted tools) are left out."""
    content: list[Block] = []
    search: ToolCall | None = None
    for item in items:
        if search is not None:
            found = item if is_result_of(item, search) else None
            content += search_blocks(search, found)
            search = None
            if found is not None:
                continue
        if is_search(item):
            search = item
            continue
        content += item_blocks(item, reply)
    if search is not None:
        content += search_blocks(search, None)
    return content


def item_blocks(item: Item, reply: Reply) -> list[Block]:
    """The blocks of one item; of a provider's search the result alone."""
    match item:
        case Message(parts=parts):
            return [block for part in parts if (block := part_block(part))]
        case Reasoning():
            block = thinking_block(item, reply)
            return [block] if block else []
        case ToolCall(ran_by="client"):
            return [*call_seal(item, reply), tool_block(item)]
        case ToolResult(kind="web_search"):
            return [_result_block(item.call_id, item)]
        case OpaqueItem(protocol="messages", payload=payload):
            return [dict(payload)]
        case _:
            return []


def part_block(part: Part) -> Block | None:
    """The block of one message part, None for an empty text: clients replay what they get, and the vendor refuses
    empty text blocks."""
    match part:
        case Text(text=text, citations=citations) if text or citations:
            block: Block = {"type": "text", "text": text}
            if citations:
                block["citations"] = [write_citation(each) for each in citations]
            return block
        case Refusal(text=text) if text:
            return {"type": "text", "text": text}
        case Media(kind=kind, url=url):
            # Assistant turns hold no media here; its address, or at least its presence, is said in words.
            return {"type": "text", "text": url or f"[{kind}]"}
        case OpaquePart(protocol="messages", payload=payload):
            return dict(payload)
        case _:
            return None


def thinking_block(item: Reasoning, reply: Reply) -> Block | None:
    """The thinking block of a reasoning item: None where there is neither text to show nor a seal to carry."""
    text = "\n\n".join(part.text for part in item.parts if part.text) if shows_thinking(reply) else ""
    token = reply.seal(item.sealed) if item.sealed else ""
    if not text and item.sealed is not None and item.sealed.kind == "redacted":
        return {"type": "redacted_thinking", "data": token}
    if not text and not token:
        return None
    return {"type": "thinking", "thinking": text, "signature": token}


def call_seal(call: ToolCall, reply: Reply) -> list[Block]:
    """What carries the signature of a call (Gemini's), which clients would not send back on the call itself: a thinking
    block without text before it. Clients keep signed thinking blocks."""
    if call.sealed is None:
        return []
    return [{"type": "thinking", "thinking": "", "signature": reply.seal(replace(call.sealed, kind="call"))}]


def tool_block(call: ToolCall) -> Block:
    """The ``tool_use`` block of a client's tool call."""
    return {
        "type": "tool_use",
        "id": call.call_id,
        "name": call.name,
        "input": arguments_object(call.arguments, call.kind),
    }


def is_search(item: Item) -> TypeGuard[ToolCall]:
    """Whether ``item`` is a web search that the provider ran."""
    return isinstance(item, ToolCall) and item.ran_by == "provider" and item.kind == "web_search"


def is_result_of(item: Item, call: ToolCall) -> bool:
    """Whether ``item`` is what the provider's tool found for ``call``."""
    return isinstance(item, ToolResult) and item.ran_by == "provider" and item.call_id == call.call_id


def search_blocks(call: ToolCall, result: Item | None) -> list[Block]:
    """The pair of blocks for a provider's web search. Without a result of the vendor's own the sources that the call
    names stand in for it: clients expect one for each search."""
    use = {"type": "server_tool_use", "id": call.call_id, "name": "web_search", "input": search_input(call.arguments)}
    if isinstance(result, ToolResult):
        return [use, _result_block(call.call_id, result)]
    found = [_found(url) for url in search_sources(call.arguments)]
    return [use, {"type": "web_search_tool_result", "tool_use_id": call.call_id, "content": found}]


def _result_block(call_id: str, result: ToolResult) -> Block:
    content = result.extra.get("messages", {}).get("content")
    return {"type": "web_search_tool_result", "tool_use_id": call_id, "content": content or []}


def _found(url: str) -> Block:
    return {"type": "web_search_result", "url": url, "title": url, "encrypted_content": "", "page_age": None}


def write_citation(citation: Citation) -> Block:
    """A citation: Anthropic's own object where there is one, else as a location found by a web search."""
    own = citation.extra.get("messages")
    if own and "type" in own:
        return dict(own)
    return {
        "type": "web_search_result_location",
        "url": citation.url,
        "title": citation.title,
        "cited_text": citation.cited_text or "",
        "encrypted_index": "",
    }

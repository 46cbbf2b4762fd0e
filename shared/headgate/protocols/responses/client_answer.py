"""Answers as Responses objects, and single output items as the stream and the state table need them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headgate.conversation import (
    Item,
    Media,
    Message,
    OpaqueItem,
    OpaquePart,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thought,
    ToolCall,
    ToolResult,
)
from headgate.errors import GatewayError
from headgate.events import Finished
from headgate.fold import Answer
from headgate.protocols.contract import Reply
from headgate.protocols.names import SEPARATOR
from headgate.protocols.responses.echo import echo, money, namespaces
from headgate.protocols.responses.errors import answer_error
from headgate.protocols.responses.parts import PROTOCOL, write_media, write_output_text
from headgate.usage import Usage

ENCRYPTED = "reasoning.encrypted_content"
_ACTIONS = ("search", "open_page", "find_in_page")


def write_answer(answer: Answer, reply: Reply) -> dict[str, Any]:
    """The whole response object."""
    done = answer.finished is not None and answer.error is None
    return response_object(
        reply,
        echo(reply.body),
        write_items(answer.items, reply, sealed=wants_encrypted(reply.body), finished=answer.finished),
        usage=answer.usage if answer.finished or answer.error else None,
        finished=answer.finished,
        refused=has_refusal(answer.items),
        error=answer.error,
        completed_at=reply.completed_at() if done else None,
    )


def response_object(
    reply: Reply,
    echoed: Mapping[str, Any],
    output: list[dict[str, Any]],
    *,
    usage: Usage | None,
    finished: Finished | None,
    refused: bool = False,
    error: GatewayError | None = None,
    completed_at: int | None = None,
) -> dict[str, Any]:
    """The object in any state: in progress while neither ``finished`` nor ``error`` is given. ``refused``: a refusal
    part is in the output. ``completed_at`` is shown for completed responses only."""
    reason = None if finished is None else incomplete_reason(finished, refused=refused)
    if error is not None:
        status = "failed"
    elif finished is None:
        status = "in_progress"
    else:
        status = "incomplete" if reason else "completed"
    return {
        "id": reply.id,
        "object": "response",
        "created_at": reply.created_at,
        "completed_at": completed_at if status == "completed" else None,
        "status": status,
        "error": None if error is None else answer_error(error),
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "model": reply.model,
        "output": output,
        **money(usage, reply),
        "redact": None,
        **echoed,
    }


def incomplete_reason(finished: Finished, *, refused: bool) -> str | None:
    """Why the answer is not whole, in OpenAI's words; None for one that is. A refusal that the model put in words is
    a whole answer; one that cut the answer off (Anthropic's classifiers) is OpenAI's ``content_filter``."""
    match finished.reason:
        case "length" | "context_window":
            return "max_output_tokens"
        case "content_filter":
            return "content_filter"
        case "refusal":
            return None if refused else "content_filter"
        case _:
            return None


def has_refusal(items: Iterable[Item]) -> bool:
    """Whether the model refused in words."""
    return any(isinstance(part, Refusal) for item in items if isinstance(item, Message) for part in item.parts)


def wants_encrypted(body: Mapping[str, Any]) -> bool:
    """Whether the client asked for sealed reasoning."""
    return ENCRYPTED in (body.get("include") or ())


def write_items(
    items: Sequence[Item], reply: Reply, *, sealed: bool, finished: Finished | None = None
) -> list[dict[str, Any]]:
    """Output items. ``sealed``: with ``encrypted_content`` tokens (for the state table, and for a client that asked).
    When ``finished`` says that the answer was cut off, the last item is ``incomplete``: a tool call whose
    arguments may not be whole must not be run."""
    written: list[dict[str, Any]] = []
    spaces = namespaces(reply.body)
    for item in items:
        wire = write_item(item, len(written), reply, sealed=sealed, spaces=spaces)
        if wire is not None:
            written.append(wire)
    if written and finished is not None and incomplete_reason(finished, refused=has_refusal(items)):
        mark_incomplete(written[-1])
    return written


def mark_incomplete(item: dict[str, Any]) -> None:
    """Set the status of an item that was cut off."""
    if "status" in item:
        item["status"] = "incomplete"


def write_item(
    item: Item, index: int, reply: Reply, *, sealed: bool, spaces: Mapping[str, str], status: str = "completed"
) -> dict[str, Any] | None:
    """One output item, or None for one that has no form here (a provider's search results, which are in the citations
    already; another protocol's opaque item). ``spaces`` is ``namespaces(reply.body)``."""
    match item:
        case Message():
            phase = item.extra.get(PROTOCOL, {}).get("phase")
            return {
                "id": _id(item.id, "msg", index, reply),
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": [wire for part in item.parts if (wire := write_part(part)) is not None],
                **({"phase": phase} if phase else {}),
            }
        case Reasoning(parts=parts, sealed=seal):
            raw = [write_thought(part) for part in parts if not part.summary]
            return {
                "id": _id(item.id, "rs", index, reply),
                "type": "reasoning",
                "summary": [write_thought(part) for part in parts if part.summary],
                **({"content": raw} if raw else {}),
                **({"encrypted_content": reply.seal(seal)} if sealed and seal is not None else {}),
            }
        case ToolCall(kind="web_search"):
            return {
                "id": _id(item.id, "ws", index, reply),
                "type": "web_search_call",
                "status": status,
                "action": search_action(item.arguments),
                **item.extra.get(PROTOCOL, {}),
            }
        case ToolCall(ran_by="client"):
            return _write_call(item, index, reply, sealed=sealed, spaces=spaces, status=status)
        case OpaqueItem(protocol="responses", payload=payload):
            return dict(payload)
        case ToolCall() | ToolResult() | OpaqueItem():
            return None


def write_part(part: Part) -> dict[str, Any] | None:
    """A part of an assistant message."""
    match part:
        case Text():
            return write_output_text(part)
        case Refusal(text=text):
            return {"type": "refusal", "refusal": text}
        case Thought(text=text):
            return {"type": "reasoning_text", "text": text}
        case Media():
            return write_media(part, path="output")
        case OpaquePart(protocol="responses", payload=payload):
            return dict(payload)
        case OpaquePart():
            return None


def write_thought(part: Thought) -> dict[str, Any]:
    """A part of a reasoning item."""
    return {"type": "summary_text" if part.summary else "reasoning_text", "text": part.text}


def search_action(arguments: str) -> dict[str, Any]:
    """The ``action`` of a web search from its arguments: OpenAI's own form, or another provider's bare query."""
    try:
        parsed = json.loads(arguments) if arguments else {}
    except ValueError:
        parsed = {"query": arguments}
    action: dict[str, Any] = parsed if isinstance(parsed, dict) else {}
    if action.get("type") in _ACTIONS:
        return action
    query = action.get("query")
    return {"type": "search", "query": query, "queries": [query]} if isinstance(query, str) else {"type": "search"}


def _write_call(
    call: ToolCall, index: int, reply: Reply, *, sealed: bool, spaces: Mapping[str, str], status: str
) -> dict[str, Any]:
    name, space = call_name(call, spaces)
    custom = call.kind == "custom"
    return {
        "id": _id(call.id, "ctc" if custom else "fc", index, reply),
        "type": "custom_tool_call" if custom else "function_call",
        "status": status,
        "call_id": call.call_id,
        "name": name,
        ("input" if custom else "arguments"): call.arguments,
        **({"namespace": space} if space else {}),
        # A thought signature bound to the call (Gemini) has no field of its own in this API.
        **({"encrypted_content": reply.seal(call.sealed)} if sealed and call.sealed is not None else {}),
    }


def call_name(call: ToolCall, spaces: Mapping[str, str]) -> tuple[str, str | None]:
    """(name, namespace) of a call; the namespace of an upstream that knows none is found again by the name."""
    if call.namespace is not None or not spaces:
        return call.name, call.namespace
    if call.name in spaces:
        return call.name, spaces[call.name]
    space, _, name = call.name.partition(SEPARATOR)
    return (name, space) if spaces.get(name) == space else (call.name, None)


def _id(known: str | None, prefix: str, index: int, reply: Reply) -> str:
    """The upstream's id if it has the form this API promises, else one of ours."""
    return known if known and known.startswith(prefix + "_") else reply.item_id(prefix, index)

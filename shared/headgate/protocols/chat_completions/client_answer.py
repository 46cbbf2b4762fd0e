"""The complete answer as a ``chat.completion`` object.

Chat knows one message for each choice, so the items of an answer are gathered: all text, all reasoning, all calls.
Calls that the provider ran itself (web searches) are not shown; their sources are, as ``annotations``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from headgate.conversation import (
    Citation,
    Item,
    Message,
    OpaquePart,
    Reasoning,
    Refusal,
    Sealed,
    Text,
    TokenLogprob,
    ToolCall,
)
from headgate.events import Finished
from headgate.fold import Answer
from headgate.protocols.chat_completions.gateway_fields import legacy
from headgate.protocols.chat_completions.reasoning_details import write_details
from headgate.protocols.chat_completions.usage import write_cost, write_usage
from headgate.protocols.contract import Reply
from headgate.usage import Usage

_REASONS = {
    "stop": "stop",
    "stop_sequence": "stop",
    "pause": "stop",
    "length": "length",
    "context_window": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}


def write_answer(answer: Answer, reply: Reply) -> dict[str, Any]:
    """The JSON object for one answer."""
    return write_answers((answer,), reply)


def write_answers(answers: Sequence[Answer], reply: Reply) -> dict[str, Any]:
    """The JSON object for several choices, each from an upstream call of its own. ``usage`` is the sum of the calls:
    that is what was billed."""
    usage = sum((answer.usage for answer in answers[1:]), answers[0].usage)
    first = reply.choice
    return {
        **envelope(reply, "chat.completion", answers[0].finished),
        "choices": [_choice(answer, reply, first + place) for place, answer in enumerate(answers)],
        **totals(usage, reply),
        "metadata": reply.body.get("metadata"),
    }


def envelope(reply: Reply, kind: str, finished: Finished | None = None) -> dict[str, Any]:
    """The fields that a completion and each chunk of a stream share."""
    extra = finished.extra if finished is not None else {}
    return {
        "id": reply.id,
        "object": kind,
        "created": reply.created_at,
        "model": reply.model,
        "service_tier": extra.get("service_tier") or "default",
        "system_fingerprint": extra.get("system_fingerprint"),
    }


def totals(usage: Usage, reply: Reply) -> dict[str, Any]:
    """``usage`` and, beside it, ``cost``."""
    return {"usage": write_usage(usage), "cost": write_cost(usage, reply)}


def finish_reason(finished: Finished, reply: Reply, *, refused: bool) -> str:
    """The reason in Chat's words. A client that offered ``functions`` hears of a ``function_call``. ``refused``: the
    message holds a refusal in words, which at OpenAI is an ordinary end: its SDK's parse helper raises on
    ``content_filter`` instead of handing the refusal over."""
    if refused and finished.reason == "refusal":
        return "stop"
    reason = _REASONS.get(finished.reason, "stop")
    return "function_call" if reason == "tool_calls" and legacy(reply.body) else reason


def write_call(call: ToolCall, reply: Reply) -> dict[str, Any]:
    """One entry of ``tool_calls``."""
    name = tool_name(call)
    if call.kind == "custom":
        written = {"id": call.call_id, "type": "custom", "custom": {"name": name, "input": call.arguments}}
    else:
        written = {"id": call.call_id, "type": "function", "function": {"name": name, "arguments": call.arguments}}
    if call.sealed is not None:
        written["extra_content"] = extra_content(call.sealed, reply)
    return written


def tool_name(call: ToolCall) -> str:
    """The name as this client declared it; Chat has no namespaces."""
    return f"{call.namespace}__{call.name}" if call.namespace else call.name


def extra_content(sealed: Sealed, reply: Reply) -> dict[str, Any]:
    """A thought signature bound to a call, where Gemini's compatibility layer puts it."""
    return {"google": {"thought_signature": reply.seal(sealed)}}


def shown(item: Item) -> bool:
    """Whether an item is a call for the client to run."""
    return isinstance(item, ToolCall) and item.ran_by == "client"


def write_annotations(citations: Iterable[Citation], start: int, length: int) -> list[dict[str, Any]]:
    """Citations of a text that stands at ``start`` of the message. One without offsets belongs to the whole text."""
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": start + (0 if each.start is None else each.start),
                "end_index": start + (length if each.end is None else each.end),
                "title": each.title or "",
                "url": each.url,
            },
        }
        for each in citations
    ]


def write_logprobs(tokens: Iterable[TokenLogprob]) -> list[dict[str, Any]]:
    """The entries of ``logprobs.content``."""
    return [
        {
            **_token(each.token, each.logprob, each.bytes),
            "top_logprobs": [_token(*alternative) for alternative in each.top],
        }
        for each in tokens
    ]


def _token(token: str, logprob: float, raw: tuple[int, ...] | None) -> dict[str, Any]:
    return {"token": token, "logprob": logprob, "bytes": None if raw is None else list(raw)}


def _choice(answer: Answer, reply: Reply, index: int) -> dict[str, Any]:
    message, tokens = _message(answer.items, reply)
    refused = message["refusal"] is not None
    return {
        "index": index,
        "message": message,
        "logprobs": {"content": tokens, "refusal": None} if tokens else None,
        "finish_reason": None if answer.finished is None else finish_reason(answer.finished, reply, refused=refused),
    }


def _message(items: Sequence[Item], reply: Reply) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    texts: list[str] = []
    refusals: list[str] = []
    thoughts: list[str] = []
    details: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    tokens: list[dict[str, Any]] = []
    calls: list[ToolCall] = []
    audio: Any = None
    length = 0
    for index, item in enumerate(items):
        match item:
            case Message(parts=parts):
                for part in parts:
                    match part:
                        case Text(text=text):
                            annotations += write_annotations(part.citations, length, len(text))
                            tokens += write_logprobs(part.logprobs)
                            texts.append(text)
                            length += len(text)
                        case Refusal(text=text):
                            refusals.append(text)
                        case OpaquePart(protocol="chat_completions", payload=payload) if payload.get("audio"):
                            audio = payload["audio"]
                        case _:
                            continue
            case Reasoning(parts=parts):
                thoughts += [thought.text for thought in parts]
                details += write_details(item, reply, index, len(details))
            case ToolCall(ran_by="client"):
                calls.append(item)
            case _:
                continue
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": "".join(refusals) if refusals else None,
        "annotations": annotations,
    }
    if any(thoughts):
        message["reasoning_content"] = message["reasoning"] = "".join(thoughts)
    if details:
        message["reasoning_details"] = details
    if calls and legacy(reply.body):
        message["function_call"] = {"name": tool_name(calls[0]), "arguments": calls[0].arguments}
    elif calls:
        message["tool_calls"] = [write_call(call, reply) for call in calls]
    if audio is not None:
        message["audio"] = audio
    elif not texts and not refusals and not calls:
        message["content"] = ""
    return message, tokens

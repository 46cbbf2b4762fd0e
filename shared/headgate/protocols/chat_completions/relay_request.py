"""Chat Completions on both sides: the client's own body goes upstream, changed only where it must be.

A deny-list: fields that speak to the gateway are removed, our tokens are opened, what the provider row is known to
refuse is renamed or left out with a Loss. Everything else, known or not, passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headgate.errors import unsupported
from headgate.losses import Loss
from headgate.protocols.chat_completions import PROTOCOL
from headgate.protocols.chat_completions.content import document_part
from headgate.protocols.chat_completions.gateway_fields import GATEWAY_FIELDS, merged
from headgate.protocols.chat_completions.strict_messages import bare, settle
from headgate.protocols.chat_completions.thinking_parts import thinking_part, with_thoughts
from headgate.protocols.chat_completions.upstream_messages import wire_call_id
from headgate.protocols.chat_completions.upstream_request import NO_PARAMETERS, refuses_stop
from headgate.protocols.contract import Target, Unseal
from headgate.protocols.efforts import adjustable, nearest

_KNOBS = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "seed", "logit_bias")
_REFUSED = {
    "no_verbosity": ("verbosity",),
    "no_web_search_options": ("web_search_options",),
}


def prepare(
    body: Mapping[str, Any], target: Target, unseal: Unseal, prompt_cache_key: str | None = None
) -> tuple[dict[str, Any], list[Loss]]:
    """The body to send, a shallow copy, and what was left out. A stream always asks for usage: the gateway counts it
    even where the client does not want to see it. prompt_cache_key: used where the client gave none."""
    losses: list[Loss] = []
    sent = {name: value for name, value in merged(body).items() if name not in GATEWAY_FIELDS}
    sent["model"] = target.model
    messages = [_message(each, index, target, unseal, losses) for index, each in enumerate(sent["messages"])]
    sent["messages"] = messages if "media_in_results" in target.quirks else _media_beside(messages)
    if not target.quirks.isdisjoint({"strict_messages", "bare_messages"}):
        fit = settle if "strict_messages" in target.quirks else bare
        sent["messages"], lost = fit(sent["messages"])
        losses += lost
    # Accepted for compatibility; it has no effect here.
    sent.pop("service_tier", None)
    if sent.get("stream") and "no_stream_options" not in target.quirks:
        sent["stream_options"] = {**(sent.get("stream_options") or {}), "include_usage": True}
    else:
        sent.pop("stream_options", None)
    if "no_prompt_cache_key" in target.quirks:
        sent.pop("prompt_cache_key", None)
        sent.pop("prompt_cache_retention", None)
    elif prompt_cache_key is not None and not sent.get("prompt_cache_key"):
        sent["prompt_cache_key"] = prompt_cache_key
    if sent.get("prompt_cache_retention") == "in-memory":
        sent["prompt_cache_retention"] = "in_memory"
    _bound(sent, target, losses)
    _knobs(sent, target, losses)
    if sent.get("tools"):
        sent["tools"] = [_tool(tool, target, losses) for tool in sent["tools"]]
    return sent, list(dict.fromkeys(losses))


def suits(body: Mapping[str, Any], target: Target) -> bool:
    """Whether ``target`` takes the body's pictures as they are. Where it reads no addresses they must be fetched, which
    is done for translated requests."""
    if "no_media_urls" not in target.quirks:
        return True
    contents = [message.get("content") for message in body["messages"]]
    parts: list[Any] = [part for content in contents if isinstance(content, list) for part in content]
    urls = [part["image_url"].get("url") for part in parts if isinstance(part.get("image_url"), dict)]
    return not any(isinstance(url, str) and url[:8].lower().startswith(("http://", "https://")) for url in urls)


def _media_beside(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with what tools gave beside words in a user message behind the results. OpenAI and the compatible
    servers take text alone from tools, while clients that know other vendors send pictures as well."""
    out: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] != "tool":
            if beside:
                out.append({"role": "user", "content": beside})
                beside = []
            out.append(message)
            continue
        content = message.get("content")
        parts: list[dict[str, Any]] = content if isinstance(content, list) else []
        media = [part for part in parts if part.get("type") != "text"]
        if not media:
            out.append(message)
            continue
        call_id = message.get("tool_call_id")
        texts = [part for part in parts if part.get("type") == "text"]
        out.append({**message, "content": texts or "(The result follows as a file in the next message.)"})
        beside += [{"type": "text", "text": f"Files from the result of tool call {call_id}:"}, *media]
    return [*out, {"role": "user", "content": beside}] if beside else out


def _bound(sent: dict[str, Any], target: Target, losses: list[Loss]) -> None:
    """One output bound under the name that the upstream takes; the newer name wins where both are given. Agents send
    one bound for every model, and a vendor refuses what is above its own."""
    old, new = sent.pop("max_tokens", None), sent.pop("max_completion_tokens", None)
    bound = old if new is None else new
    if bound is not None:
        if target.max_output_tokens and bound > target.max_output_tokens:
            name = "max_tokens" if new is None else "max_completion_tokens"
            losses.append(Loss(name, "clamped", f"{target.model} writes at most {target.max_output_tokens} tokens."))
            bound = target.max_output_tokens
        sent["max_tokens" if "max_tokens" in target.quirks else "max_completion_tokens"] = bound


def _knobs(sent: dict[str, Any], target: Target, losses: list[Loss]) -> None:
    if isinstance(sent.get("seed"), str):
        sent["seed"] = int(sent["seed"])
    if target.lacks("sampling"):
        for knob in _KNOBS:
            value = sent.pop(knob, None)
            if value is not None and (value != 1 or knob not in ("temperature", "top_p")):
                losses.append(Loss(knob, "unsupported_parameter", f"{target.model} does not take it."))
    if target.lacks("logprobs") and (sent.pop("logprobs", None) or sent.get("top_logprobs")):
        sent.pop("top_logprobs", None)
        losses.append(Loss("logprobs", "unsupported_parameter", f"{target.model} gives none."))
    for quirk, names in _REFUSED.items():
        for name in names if quirk in target.quirks else ():
            if sent.pop(name, None) is not None:
                losses.append(Loss(name, "unsupported_parameter"))
    if refuses_stop(target) and sent.pop("stop", None):
        losses.append(Loss("stop", "unsupported_parameter", f"{target.model} does not take it."))
    if "no_n" in target.quirks:
        # Several choices are then several calls.
        sent.pop("n", None)
    effort = sent.get("reasoning_effort")
    if isinstance(effort, str):
        if target.lacks("reasoning"):
            del sent["reasoning_effort"]
            if effort != "none":
                losses.append(Loss("reasoning_effort", "unsupported_parameter", f"{target.model} does not reason."))
        elif not adjustable(target.efforts, target.quirks):
            del sent["reasoning_effort"]
            losses.append(Loss("reasoning_effort", "unsupported_parameter", f"{target.model} has one effort."))
        else:
            sent["reasoning_effort"] = nearest(effort, target.efforts)
            if sent["reasoning_effort"] != effort:
                detail = f"{effort} became {sent['reasoning_effort']}"
                losses.append(Loss("reasoning_effort", "effort_adjusted", detail))


def _tool(tool: dict[str, Any], target: Target, losses: list[Loss]) -> dict[str, Any]:
    function = tool.get("function")
    if "cache_control" in tool and "cache_control" not in target.quirks:
        tool = _unmarked(tool, losses)
    if isinstance(function, dict) and "strict" in function and "no_strict" in target.quirks:
        if function["strict"]:
            losses.append(Loss("tools.function.strict", "unsupported_parameter"))
        tool = {**tool, "function": {key: value for key, value in function.items() if key != "strict"}}
    if isinstance(function, dict) and not function.get("parameters") and "tool_parameters" in target.quirks:
        tool = {**tool, "function": {**tool["function"], "parameters": NO_PARAMETERS}}
    return tool


def _unmarked(fields: dict[str, Any], losses: list[Loss]) -> dict[str, Any]:
    losses.append(Loss("cache_control", "unsupported_parameter", "This upstream caches by itself."))
    return {key: value for key, value in fields.items() if key != "cache_control"}


def _message(message: dict[str, Any], index: int, target: Target, unseal: Unseal, losses: list[Loss]) -> dict[str, Any]:
    if "cache_control" not in target.quirks:
        if "cache_control" in message:
            message = _unmarked(message, losses)
        content = message.get("content")
        if isinstance(content, list) and any("cache_control" in part for part in content):
            parts = [_unmarked(part, losses) if "cache_control" in part else part for part in content]
            message = {**message, "content": parts}
    if "call_ids_9" in target.quirks:
        message = _with_wire_ids(message, target)
    if "document_url" in target.quirks and isinstance(message.get("content"), list):
        message = {**message, "content": [_document(part) for part in message["content"]]}
    role = message["role"]
    if role in ("user", "tool"):
        _refuse(message.get("content"), f"messages[{index}].content", target)
    if role == "developer" and "system_role" in target.quirks:
        return {**message, "role": "system"}
    return _assistant(message, f"messages[{index}]", target, unseal, losses) if role == "assistant" else message


def _refuse(content: Any, path: str, target: Target) -> None:
    """Refuse media that the target is known to lack: some vendors would answer as if they had seen them, and another
    route may have what this one lacks. Raises ``unsupported``."""
    parts: list[Any] = content if isinstance(content, list) else []
    for at, part in enumerate(parts):
        match part:
            case {"type": "image_url"} if target.lacks("image"):
                raise unsupported(f"{target.model} does not take image input.", param=f"{path}[{at}].image_url")
            case {"type": "file", "file": {"file_data": str() as data}}:
                pdf = data.startswith("data:application/pdf") or not data.startswith("data:")
                if "files_by_url" in target.quirks or (pdf and target.lacks("pdf")):
                    raise unsupported(f"{target.model} does not take file input.", param=f"{path}[{at}].file")
            case _:
                continue


def _with_wire_ids(message: dict[str, Any], target: Target) -> dict[str, Any]:
    """The message with its calls' ids as the upstream takes them: an earlier answer may be another vendor's."""
    if message.get("tool_calls"):
        calls = [{**call, "id": wire_call_id(call["id"], target)} for call in message["tool_calls"]]
        return {**message, "tool_calls": calls}
    if isinstance(message.get("tool_call_id"), str):
        return {**message, "tool_call_id": wire_call_id(message["tool_call_id"], target)}
    return message


def _document(part: dict[str, Any]) -> dict[str, Any]:
    """A file part of OpenAI's in Mistral's form; any other part as it is."""
    file = part.get("file")
    if part.get("type") != "file" or not isinstance(file, dict):
        return part
    if file.get("file_id"):
        return {"type": "file", "file_id": file["file_id"]}
    data = file.get("file_data") or ""
    url = data if data.startswith(("data:", "https:", "http:")) else f"data:application/pdf;base64,{data}"
    return document_part(url, file.get("filename"))


def _assistant(
    message: dict[str, Any], path: str, target: Target, unseal: Unseal, losses: list[Loss]
) -> dict[str, Any]:
    """An assistant message of the history without what we or OpenAI's SDK added to it and without other providers'
    seals. OpenAI refuses unknown fields in messages, so thoughts go back only to those who want them."""
    message = _unparsed(message)
    thoughts = {key: message[key] for key in ("reasoning_content", "reasoning", "reasoning_details") if key in message}
    calls = message.get("tool_calls")
    signed = bool(calls) and any("extra_content" in call for call in calls or ())
    if not thoughts and not signed:
        return message
    kept = {key: value for key, value in message.items() if key not in thoughts}
    plain = thoughts.get("reasoning_content") or thoughts.get("reasoning")
    if plain and "reasoning_content" in target.quirks:
        kept["reasoning_content"] = plain
    elif plain and "reasoning_text" in target.quirks:
        kept["reasoning"] = plain
    elif "thinking_parts" in target.quirks and not isinstance(kept.get("content"), list):
        kept["content"] = with_thoughts(_parts(thoughts, path, target, unseal, losses), kept.get("content"))
        return _signed(kept, calls, path, target, unseal, losses) if signed else kept
    details = _details(thoughts.get("reasoning_details") or (), path, target, unseal, losses)
    if details:
        kept["reasoning_details"] = details
    return _signed(kept, calls, path, target, unseal, losses) if signed else kept


def _signed(
    message: dict[str, Any], calls: Any, path: str, target: Target, unseal: Unseal, losses: list[Loss]
) -> dict[str, Any]:
    return {**message, "tool_calls": [_call(call, path, target, unseal, losses) for call in calls or ()]}


def _parts(
    thoughts: Mapping[str, Any], path: str, target: Target, unseal: Unseal, losses: list[Loss]
) -> list[dict[str, Any]]:
    """Earlier thoughts as parts: each signed one with its signature, else all of them together. Of a stream a client
    may have kept the signature alone, with the text beside it."""
    details = _details(thoughts.get("reasoning_details") or (), path, target, unseal, losses)
    entries = [entry for entry in details if entry.get("text") or entry.get("summary")]
    signatures = [entry["signature"] for entry in details if entry.get("signature")]
    plain = thoughts.get("reasoning_content") or thoughts.get("reasoning")
    if entries and (signatures or not plain):
        return [thinking_part(entry.get("text") or entry["summary"], entry.get("signature")) for entry in entries]
    return [thinking_part(plain, signatures[0] if len(signatures) == 1 else None)] if plain else []


def _unparsed(message: dict[str, Any]) -> dict[str, Any]:
    """The message without what the parse and stream helpers of OpenAI's SDK put beside its text and arguments."""
    calls = message.get("tool_calls")
    functions = [call.get("function") for call in calls or ()]
    if any(isinstance(each, dict) and "parsed_arguments" in each for each in functions):
        calls = [{**call, "function": _without(call.get("function"), "parsed_arguments")} for call in calls or ()]
        message = {**message, "tool_calls": calls}
    return _without(message, "parsed") if "parsed" in message else message


def _without(fields: Any, name: str) -> Any:
    return {key: value for key, value in fields.items() if key != name} if isinstance(fields, dict) else fields


def _details(entries: Any, path: str, target: Target, unseal: Unseal, losses: list[Loss]) -> list[dict[str, Any]]:
    """The entries that this upstream may see: all visible ones if it takes them, and the seals it made itself."""
    takes = not target.quirks.isdisjoint({"reasoning_details", "thinking_parts"})
    kept: list[dict[str, Any]] = []
    for entry in entries:
        field = "signature" if entry.get("signature") else "data"
        token = entry.get(field)
        if not isinstance(token, str) or not token:
            if takes:
                kept.append(entry)
            continue
        own = _own(token, target, unseal)
        if own is None or (own == token and not takes):
            losses.append(Loss(path, "foreign_signature", "Reasoning of another provider was left out."))
        else:
            kept.append({**entry, field: own})
    return kept


def _call(call: dict[str, Any], path: str, target: Target, unseal: Unseal, losses: list[Loss]) -> dict[str, Any]:
    content = call.get("extra_content")
    if content is None:
        return call
    google = content.get("google") if isinstance(content, dict) else None
    token = google.get("thought_signature") if isinstance(google, dict) else None
    own = _own(token, target, unseal) if isinstance(token, str) else None
    if own is not None and (own != token or "extra_content" in target.quirks):
        return {**call, "extra_content": {**content, "google": {**(google or {}), "thought_signature": own}}}
    losses.append(Loss(path, "foreign_signature", "A thought signature of another model was left out."))
    return {key: value for key, value in call.items() if key != "extra_content"}


def _own(token: str, target: Target, unseal: Unseal) -> str | None:
    """The bytes inside ``token`` if this target made them; a token that is not ours as it is; None for the rest."""
    sealed = unseal(token)
    return sealed.data if sealed is not None and target.made(sealed, PROTOCOL) else None

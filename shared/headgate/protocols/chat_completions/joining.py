"""Joining the chunks of a stream into the object that a JSON answer would have been."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, cast

from headgate.protocols import sse
from headgate.protocols.chat_completions.usage import write_cost, write_usage
from headgate.protocols.contract import Reply
from headgate.usage import Usage

_SET = frozenset({"role", "type", "index", "id", "name", "format", "signature"})


def join_chunks(frames: Iterable[bytes], reply: Reply, usage: Usage) -> dict[str, Any]:
    """A ``chat.completion`` object from the frames a client was sent. Frames that are no chunks are passed over.
    ``usage`` is what was counted, which the client may not have asked to see."""
    whole: dict[str, Any] = {"id": reply.id, "object": "chat.completion", "created": reply.created_at}
    whole["model"] = reply.model
    choices: dict[int, dict[str, Any]] = {}
    for frame in frames:
        data = sse.parse_frame(frame)[1]
        try:
            chunk: Any = json.loads(data or b"")
        except (ValueError, RecursionError):
            continue
        if not isinstance(chunk, dict) or not isinstance(chunk.get("choices"), list):
            continue
        fields = cast("dict[str, Any]", chunk)
        for name in ("id", "created", "service_tier", "system_fingerprint"):
            if fields.get(name) is not None:
                whole[name] = fields[name]
        for choice in fields["choices"]:
            if isinstance(choice, dict):
                _join_choice(choices, cast("dict[str, Any]", choice))
    whole["choices"] = [choices[index] for index in sorted(choices)]
    whole["usage"] = write_usage(usage)
    whole["cost"] = write_cost(usage, reply)
    return whole


def _join_choice(choices: dict[int, dict[str, Any]], choice: dict[str, Any]) -> None:
    index = choice.get("index")
    index = index if type(index) is int else 0
    whole = choices.get(index)
    if whole is None:
        message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
        whole = choices[index] = {"index": index, "message": message, "logprobs": None, "finish_reason": None}
    delta, logprobs = choice.get("delta"), choice.get("logprobs")
    if isinstance(delta, dict):
        _merge(whole["message"], cast("dict[str, Any]", delta))
    if isinstance(logprobs, dict):
        _merge(whole, {"logprobs": logprobs})
    whole["finish_reason"] = choice.get("finish_reason") or whole["finish_reason"]


def _merge(whole: dict[str, Any], delta: dict[str, Any]) -> None:
    """Strings grow, objects are merged, entries of a list by their ``index`` or appended."""
    for key, value in delta.items():
        known = whole.get(key)
        if known is None:
            whole[key] = _fresh(value)
        elif value is None:
            continue
        elif isinstance(known, str) and isinstance(value, str):
            whole[key] = value if key in _SET else known + value
        elif isinstance(known, dict) and isinstance(value, dict):
            _merge(cast("dict[str, Any]", known), cast("dict[str, Any]", value))
        elif isinstance(known, list) and isinstance(value, list):
            _merge_lists(cast("list[Any]", known), cast("list[Any]", value))
        else:
            whole[key] = value


def _fresh(value: Any) -> Any:
    if not isinstance(value, list):
        return dict(cast("dict[str, Any]", value)) if isinstance(value, dict) else value
    entries: list[Any] = []
    _merge_lists(entries, cast("list[Any]", value))
    return entries


def _merge_lists(known: list[Any], value: list[Any]) -> None:
    for entry in value:
        index = entry.get("index") if isinstance(entry, dict) else None
        same = next((each for each in known if index is not None and _index(each) == index), None)
        if same is None:
            known.append(_fresh(entry))
        else:
            _merge(same, cast("dict[str, Any]", entry))


def _index(entry: Any) -> Any:
    return cast("dict[str, Any]", entry).get("index") if isinstance(entry, dict) else None

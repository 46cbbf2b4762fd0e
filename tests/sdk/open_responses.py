"""What the Open Responses specification requires of a response object and of a stream, as far as an answer shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_KEYS = (
    "id object created_at completed_at status incomplete_details model previous_response_id instructions output error "
    "tools tool_choice truncation parallel_tool_calls text top_p presence_penalty frequency_penalty top_logprobs "
    "temperature reasoning usage max_output_tokens max_tool_calls store background service_tier metadata "
    "safety_identifier prompt_cache_key"
)
RESPONSE = tuple(_KEYS.split())
GATEWAY = ("cost", "redact")
ITEMS: dict[str, Sequence[str]] = {
    "message": ("id", "status", "role", "content"),
    "function_call": ("id", "call_id", "name", "arguments", "status"),
    "custom_tool_call": ("id", "call_id", "name", "input"),
    "reasoning": ("id", "summary"),
    "web_search_call": ("id", "status", "action"),
}
PARTS: dict[str, Sequence[str]] = {
    "output_text": ("text", "annotations", "logprobs"),
    "refusal": ("refusal",),
    "summary_text": ("text",),
    "reasoning_text": ("text",),
}
FUNCTION_TOOL = ("type", "name", "description", "parameters", "strict")
TERMINAL = {
    "completed": "response.completed",
    "incomplete": "response.incomplete",
    "failed": "response.failed",
}
_PLACES: dict[str, Sequence[str]] = {
    "response.output_item.": ("output_index", "item"),
    "response.content_part.": ("item_id", "output_index", "content_index", "part"),
    "response.output_text.": ("item_id", "output_index", "content_index"),
    "response.refusal.": ("item_id", "output_index", "content_index"),
    "response.function_call_arguments.": ("item_id", "output_index"),
    "response.custom_tool_call_input.": ("item_id", "output_index"),
    "response.reasoning_summary": ("item_id", "output_index", "summary_index"),
    "response.reasoning_text.": ("item_id", "output_index", "content_index"),
}


def check_response(body: dict[str, Any]) -> None:
    """Every key that the schema requires is there, null or not, in the object and in each of its parts."""
    assert not [name for name in (*RESPONSE, *GATEWAY) if name not in body]
    assert body["object"] == "response" and body["id"].startswith("resp_")
    assert body["text"]["format"]["type"] and {"effort", "summary"} <= set(body["reasoning"])
    for tool in body["tools"]:
        if tool["type"] == "function":
            assert not [name for name in FUNCTION_TOOL if name not in tool]
    for item in body["output"]:
        check_item(item)
    assert (body["completed_at"] is not None) is (body["status"] == "completed")
    if body["status"] in ("in_progress", "failed"):
        return
    usage = body["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert {"cached_tokens", "cached_tokens_created"} <= set(usage["input_tokens_details"])
    assert "reasoning_tokens" in usage["output_tokens_details"] and "web_search" in usage["tool_calls"]


def check_item(item: dict[str, Any]) -> None:
    """One output item and its parts."""
    assert not [name for name in ITEMS[item["type"]] if name not in item], item
    for part in [*(item.get("content") or ()), *item.get("summary", ())]:
        assert not [name for name in PARTS[part["type"]] if name not in part], part


def check_stream(events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A complete life cycle, as the specification orders it. Returns the final response object."""
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    final = events[-1]["response"]
    assert kinds[-1] == TERMINAL[final["status"]]
    assert not set(TERMINAL.values()) & set(kinds[:-1])
    for event in events:
        if "response" in event:
            check_response(event["response"])
        for prefix, names in _PLACES.items():
            if event["type"].startswith(prefix):
                assert not [name for name in names if name not in event], event
    check_response(final)
    if final["status"] != "failed":
        _check_items(events, final["output"])
    return final


def _check_items(events: Sequence[dict[str, Any]], output: list[dict[str, Any]]) -> None:
    """Each item is opened, filled by its deltas and closed, one after the other, and equals the final one."""
    added = [event for event in events if event["type"] == "response.output_item.added"]
    done = [event for event in events if event["type"] == "response.output_item.done"]
    assert [event["output_index"] for event in added] == list(range(len(output)))
    assert [event["item"] for event in done] == output
    assert [event["item"]["id"] for event in added] == [item["id"] for item in output]
    for index, item in enumerate(output):
        own = [event for event in events if event.get("output_index") == index]
        assert own[0]["type"] == "response.output_item.added" and own[-1]["type"] == "response.output_item.done"
        assert all(event["item_id"] == item["id"] for event in own[1:-1] if "item_id" in event)
        _check_deltas(own, item)


def _check_deltas(own: Sequence[dict[str, Any]], item: dict[str, Any]) -> None:
    def joined(kind: str, place: str = "", at: int = 0) -> str:
        return "".join(event["delta"] for event in own if event["type"] == kind and (not place or event[place] == at))

    kinds = [event["type"] for event in own]
    if item["type"] == "function_call":
        assert joined("response.function_call_arguments.delta") == item["arguments"]
        assert kinds.count("response.function_call_arguments.done") == 1
    elif item["type"] == "message":
        for at, part in enumerate(item["content"]):
            if part["type"] == "output_text":
                assert joined("response.output_text.delta", "content_index", at) == part["text"]
            else:
                assert joined("response.refusal.delta", "content_index", at) == part["refusal"]
        assert kinds.count("response.content_part.added") == len(item["content"])
        assert kinds.count("response.content_part.done") == len(item["content"])
    elif item["type"] == "reasoning":
        for at, part in enumerate(item["summary"]):
            assert joined("response.reasoning_summary_text.delta", "summary_index", at) == part["text"]
        for kind in ("added", "done"):
            assert kinds.count(f"response.reasoning_summary_part.{kind}") == len(item["summary"])

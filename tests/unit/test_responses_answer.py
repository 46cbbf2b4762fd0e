"""Answers and streams as clients see them: complete, in order, valid for the SDK, the same in both forms."""

from typing import Any

import pytest

from headgate.conversation import (
    Citation,
    Item,
    Message,
    OpaqueItem,
    Reasoning,
    Refusal,
    Sealed,
    Text,
    Thought,
    TokenLogprob,
    ToolCall,
    ToolResult,
)
from headgate.errors import GatewayError, invalid_request, provider_failed
from headgate.events import (
    Delta,
    Event,
    Failed,
    Finished,
    ItemStarted,
    PartStarted,
    Started,
    UsageUpdated,
    events_of,
)
from headgate.fold import fold
from headgate.protocols.responses.client_answer import write_answer, write_items
from headgate.protocols.responses.client_stream import StreamWriter
from headgate.protocols.responses.items import read_items
from headgate.usage import Usage
from tests.responses_kit import check_event, check_object, parse_stream, reply_for, unseal_for

SEAL = Sealed("messages", "c2lnbmF0dXJl", "anthropic", "claude-opus-4-6", "signature")
USAGE = Usage(input_total=25, cache_read=8, cache_write_5m=5, output_total=16, reasoning=5)
ASKS = {"include": ["reasoning.encrypted_content"]}


def events_for(*items: Item, reason: Any = "stop", usage: Usage = USAGE) -> list[Event]:
    return [Started("up_1", "model-up"), *events_of(items), UsageUpdated(usage), Finished(reason)]


def run(events: list[Event], body: dict[str, Any] | None = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The parsed stream, and the JSON answer, after checking all that holds for every answer."""
    reply = reply_for(body)
    writer = StreamWriter(reply)
    stream = parse_stream(b"".join(writer.write(event) for event in events))
    answer = write_answer(fold(events), reply)
    assert writer.body() == answer
    assert stream[-1]["response"] == answer
    check_object(answer)
    for event in stream:
        check_event(event)
        if "response" in event:
            check_object(event["response"])
    check_cycle(stream, answer)
    return stream, answer


def check_cycle(stream: list[dict[str, Any]], answer: dict[str, Any]) -> None:
    """Opened, filled, closed, in order; and the closed items are the final output."""
    kinds = [event["type"] for event in stream]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert stream[0]["response"]["usage"] is None and stream[0]["response"]["output"] == []
    assert kinds[-1] == f"response.{answer['status']}"
    assert sum(kind in ("response.completed", "response.incomplete", "response.failed") for kind in kinds) == 1
    open_at: int | None = None
    done: list[Any] = []
    for event in stream[2:-1]:
        if event["type"] == "response.output_item.added":
            assert open_at is None and event["output_index"] == len(done)
            open_at = event["output_index"]
            assert event["item"].get("status", "in_progress") == "in_progress"
            item_id = event["item"].get("id")
        elif event["type"] == "response.output_item.done":
            assert event["output_index"] == open_at and event["item"].get("id") == item_id
            done.append(event["item"])
            open_at = None
        else:
            assert event["output_index"] == open_at and event["item_id"] == item_id
    assert done == answer["output"]


def kinds_of(stream: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in stream]


def test_text() -> None:
    stream, answer = run(events_for(Message("assistant", (Text("Héllo \u2028 🌍"),))))
    assert kinds_of(stream) == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert stream[4]["delta"] == stream[5]["text"] == "Héllo \u2028 🌍" and stream[4]["logprobs"] == []
    assert stream[2]["item"]["content"] == []
    assert answer["output"][0]["content"][0] == {
        "type": "output_text", "annotations": [], "logprobs": [], "text": "Héllo \u2028 🌍",
    }  # fmt: skip
    assert answer["status"] == "completed" and answer["completed_at"] == 1_763_640_009
    assert answer["model"] == "anthropic/claude-opus-4-6" and answer["id"] == "resp_test"
    assert answer["output"][0]["id"].startswith("msg_")


def test_usage_and_cost() -> None:
    _, answer = run(events_for(Message("assistant", (Text("x"),)), usage=USAGE))
    assert answer["usage"] == {
        "input_tokens": 25,
        "input_tokens_details": {"cached_tokens": 8, "cached_tokens_created": 5, "cache_write_tokens": 5},
        "output_tokens": 16,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 41,
        "tool_calls": {"web_search": 0},
    }
    assert answer["cost"] == {"total": pytest.approx((17 * 1.25 + 8 * 0.125 + 16 * 10) / 1e6)}
    assert answer["redact"] is None


def test_parallel_tools_keep_both_ids() -> None:
    calls = (ToolCall("toolu_1", "a", '{"x": 1}'), ToolCall("toolu_2", "b", ""))
    stream, answer = run(events_for(Message("assistant", (Text("ok"),)), *calls, reason="tool_calls"))
    deltas = [event for event in stream if event["type"] == "response.function_call_arguments.delta"]
    assert [(event["call_id"], event["delta"]) for event in deltas] == [("toolu_1", '{"x": 1}')]
    done = [event for event in stream if event["type"] == "response.function_call_arguments.done"]
    assert [(event["call_id"], event["name"], event["arguments"]) for event in done] == [
        ("toolu_1", "a", '{"x": 1}'),
        ("toolu_2", "b", ""),
    ]
    first = answer["output"][1]
    assert first["call_id"] == "toolu_1" and first["id"].startswith("fc_") and first["status"] == "completed"


def test_a_namespaced_function_comes_back_with_its_namespace() -> None:
    tools = [{"type": "namespace", "name": "mail", "tools": [{"type": "function", "name": "send", "parameters": {}}]}]
    calls = (ToolCall("c1", "send", "{}"), ToolCall("c2", "mail__send", "{}"), ToolCall("c3", "x", "{}", namespace="y"))
    _, answer = run(events_for(*calls, reason="tool_calls"), {"tools": tools})
    assert [(item["name"], item.get("namespace")) for item in answer["output"]] == [
        ("send", "mail"), ("send", "mail"), ("x", "y"),
    ]  # fmt: skip


def test_reasoning_is_sealed_only_for_those_who_ask() -> None:
    items = (
        Reasoning((Thought("one"), Thought("two")), sealed=SEAL),
        Reasoning((), sealed=Sealed("messages", "AAAA", "anthropic", "claude-opus-4-6", "redacted")),
        Reasoning((Thought("raw", summary=False),)),
        Message("assistant", (Text("x"),)),
    )
    stream, answer = run(events_for(*items))
    kinds = kinds_of(stream)
    assert kinds.index("reasoning_summary_part.added") < kinds.index("reasoning_summary_text.delta")
    assert [e["summary_index"] for e in stream if e["type"] == "response.reasoning_summary_text.done"] == [0, 1]
    assert "reasoning_text.delta" in kinds and kinds.count("content_part.added") == 2
    assert not any("encrypted_content" in item for item in answer["output"])
    assert answer["output"][0]["summary"] == [
        {"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"},
    ]  # fmt: skip
    assert answer["output"][1]["summary"] == []

    stream, answer = run(events_for(*items), ASKS)
    token = answer["output"][0]["encrypted_content"]
    assert token.startswith("hg1.")
    back = read_items(answer["output"], unseal_for())
    assert isinstance(back[0], Reasoning) and back[0].sealed == SEAL
    assert [part.text for part in back[0].parts] == ["one", "two"]
    stranger = read_items(answer["output"], unseal_for("tenant-b"))
    assert isinstance(stranger[0], Reasoning) and stranger[0].sealed is None


def test_the_state_table_gets_every_seal() -> None:
    items = (Reasoning((Thought("t"),), sealed=SEAL), ToolCall("c", "f", "{}", sealed=SEAL))
    reply = reply_for()
    writer = StreamWriter(reply)
    for event in events_for(*items, reason="tool_calls"):
        writer.write(event)
    kept = writer.body_for_state()
    assert kept == write_items(items, reply, sealed=True)
    back = read_items(kept, unseal_for())
    assert [getattr(item, "sealed", None) for item in back] == [SEAL, SEAL]
    assert [item["id"] for item in kept] == [item["id"] for item in writer.body()["output"]]


def test_custom_tool_and_web_search() -> None:
    items = (
        ToolCall("srvtoolu_1", "web_search", '{"query": "oslo"}', kind="web_search", ran_by="provider"),
        ToolResult("srvtoolu_1", (), kind="web_search", ran_by="provider"),
        ToolCall("c", "apply_patch", "*** Begin\n", kind="custom"),
    )
    stream, answer = run(events_for(*items))
    assert kinds_of(stream)[2:8] == [
        "output_item.added", "web_search_call.in_progress", "web_search_call.searching", "web_search_call.completed",
        "output_item.done", "output_item.added",
    ]  # fmt: skip
    assert answer["output"][0]["action"] == {"type": "search", "query": "oslo", "queries": ["oslo"]}
    assert answer["output"][0]["id"].startswith("ws_")
    assert answer["output"][1]["input"] == "*** Begin\n" and answer["output"][1]["id"].startswith("ctc_")
    assert "custom_tool_call_input.delta" in kinds_of(stream) and len(answer["output"]) == 2


def test_citations_with_and_without_offsets() -> None:
    cited = Text("It rains.", citations=(Citation("https://a", "A", start=0, end=2), Citation("https://b")))
    stream, answer = run(events_for(Message("assistant", (cited,))))
    added = [e for e in stream if e["type"] == "response.output_text.annotation.added"]
    assert [e["annotation_index"] for e in added] == [0, 1]
    assert [e["annotation"] for e in added] == answer["output"][0]["content"][0]["annotations"]
    assert added[1]["annotation"]["end_index"] == len("It rains.") and added[1]["annotation"]["title"] == ""


def test_logprobs_and_refusal() -> None:
    logprob = TokenLogprob("é", -0.5, None, (("é", -0.5, (195, 169)), ("e", -1.0, None)))
    stream, answer = run(events_for(Message("assistant", (Text("é", logprobs=(logprob,)),))))
    assert stream[4]["logprobs"][0]["bytes"] == [195, 169]
    assert answer["output"][0]["content"][0]["logprobs"][0]["top_logprobs"][1]["token"] == "e"

    stream, answer = run(events_for(Message("assistant", (Refusal("No."),)), reason="refusal"))
    assert "refusal.delta" in kinds_of(stream) and answer["status"] == "completed"


@pytest.mark.parametrize(
    ("reason", "status", "why"),
    [
        ("stop", "completed", None),
        ("stop_sequence", "completed", None),
        ("tool_calls", "completed", None),
        ("pause", "completed", None),
        ("length", "incomplete", "max_output_tokens"),
        ("context_window", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("refusal", "incomplete", "content_filter"),
    ],
)
def test_every_reason(reason: Any, status: str, why: str | None) -> None:
    _, answer = run(events_for(Message("assistant", (Text("x"),)), ToolCall("c", "f", '{"a'), reason=reason))
    assert answer["status"] == status
    assert answer["incomplete_details"] == ({"reason": why} if why else None)
    assert [item["status"] for item in answer["output"]] == ["completed", status]
    assert (answer["completed_at"] is None) == (status == "incomplete")


def test_a_cut_stream_fails_with_what_there_was() -> None:
    whole = list(events_of((Message("assistant", (Text("first"),)),)))
    broken = [ItemStarted(Message("assistant", ())), PartStarted(Text("")), Delta("half")]
    failure = provider_failed("It fell over.", model="openai/gpt-5.4")
    events: list[Event] = [Started(), *whole, *broken, UsageUpdated(USAGE), Failed(failure)]
    reply = reply_for()
    writer = StreamWriter(reply)
    stream = parse_stream(b"".join(writer.write(event) for event in events))
    last = stream[-1]
    assert last["type"] == "response.failed" and last["response"]["usage"]["total_tokens"] == 41
    assert last["response"]["error"]["message"] == "It fell over."
    assert last["response"] == write_answer(fold(events), reply) == writer.body()
    check_event(last)
    check_object(last["response"])
    assert writer.write(Finished("stop")) == b"" and writer.write(Delta("more")) == b""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (provider_failed("x", model="m"), "server_error"),
        (GatewayError(429, "rate_limit_error", None, "x"), "rate_limit_exceeded"),
        (invalid_request("x"), "invalid_prompt"),
        (invalid_request("x", code="context_length_exceeded"), "context_length_exceeded"),
        (provider_failed("x", model="m", code="invalid_image_url"), "invalid_image_url"),
    ],
)
def test_a_failure_before_anything_is_a_whole_stream(error: GatewayError, code: str) -> None:
    stream = parse_stream(StreamWriter(reply_for()).write(Failed(error)))
    assert kinds_of(stream) == ["created", "in_progress", "failed"]
    assert stream[-1]["response"]["error"]["code"] == code


def test_defaults_and_echo() -> None:
    _, answer = run(events_for(Message("assistant", (Text("x"),))))
    defaults = {
        "temperature": 1, "top_p": 1, "tools": [], "tool_choice": "auto", "store": True, "parallel_tool_calls": True,
        "truncation": "disabled", "text": {"format": {"type": "text"}}, "background": False, "metadata": {},
        "service_tier": "default", "top_logprobs": 0, "reasoning": {"effort": None, "summary": None}, "user": None,
    }  # fmt: skip
    assert {name: answer[name] for name in defaults} == defaults
    said = {
        "instructions": "be brief", "temperature": 0, "top_p": 0.5, "store": False, "parallel_tool_calls": False,
        "truncation": "auto", "background": True, "metadata": {"a": "b"}, "service_tier": "flex", "user": "u",
        "max_output_tokens": 5, "max_tool_calls": 2, "previous_response_id": "resp_0", "safety_identifier": "s",
        "prompt": {"id": "pmpt_1"}, "prompt_cache_key": "k", "top_logprobs": 3, "frequency_penalty": 1,
        "tool_choice": {"type": "function", "name": "f"},
    }  # fmt: skip
    more = {
        "conversation": "conv_1", "prompt_cache_retention": "in-memory", "reasoning": {"effort": "high"},
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    }  # fmt: skip
    _, answer = run(events_for(Message("assistant", (Text("x"),))), {**said, **more})
    assert {name: answer[name] for name in said} == said
    assert answer["conversation"] == {"id": "conv_1"} and answer["prompt_cache_retention"] == "in_memory"
    assert answer["reasoning"] == {"effort": "high", "summary": None}
    assert answer["tools"][0]["strict"] is True and answer["tools"][0]["description"] is None
    assert answer["text"]["format"]["name"] == "n" and answer["text"]["format"]["strict"] is False
    nulls = dict.fromkeys([*said, *more])
    _, answer = run(events_for(Message("assistant", (Text("x"),))), nulls)
    assert {name: answer[name] for name in defaults} == defaults


def test_upstream_ids_stay_where_they_have_the_right_form() -> None:
    items = (Message("assistant", (Text("x"),), id="msg_up"), ToolCall("c", "f", "{}", id="toolu_odd"))
    _, answer = run(events_for(*items, reason="tool_calls"))
    assert answer["output"][0]["id"] == "msg_up" and answer["output"][1]["id"].startswith("fc_")


def test_opaque_items() -> None:
    own = {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "d", "tools": []}
    items = (OpaqueItem("messages", {"type": "container"}), OpaqueItem("responses", own))
    _, answer = run(events_for(*items))
    assert answer["output"] == [own]


def test_half_an_emoji_is_still_utf8() -> None:
    writer = StreamWriter(reply_for())
    writer.write(ItemStarted(Message("assistant", ())))
    writer.write(PartStarted(Text("")))
    assert rb'"delta":"a\ud83c"' in writer.write(Delta("a\ud83c"))

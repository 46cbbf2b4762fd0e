"""What coding agents and frameworks really send, and what each needs back, over every upstream protocol."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.gateway import Origin
from tests.sdk.clients import CLIENTS, MESSAGE_PATHS, REQUESTS, events_of, filled, send, text_of
from tests.sdk.open_responses import check_response, check_stream
from tests.sdk.support import Case
from tests.sdk.test_anthropic_messages import check_events


@pytest.mark.parametrize(("client", "name"), REQUESTS)
def test_every_request_is_understood(case: Case, client: str, name: str):
    answer = send(case, client, name)
    assert answer.status_code == 200, answer.text
    body = CLIENTS[client]["requests"][name]["body"]
    if not body.get("stream"):
        assert answer.headers["content-type"] == "application/json" and answer.json()
        return
    events = events_of(answer)
    path = CLIENTS[client]["requests"][name]["path"]
    if path in MESSAGE_PATHS:
        assert all(named == event["type"] for named, event in events)
        check_events([event for _, event in events])
    elif path == "/v1/responses":
        assert all(named == event["type"] for named, event in events)
        check_stream([event for _, event in events])
    else:
        assert answer.text.endswith("data: [DONE]\n\n")
        usage = [event["usage"] for _, event in events if event.get("usage")]
        assert len(usage) == (1 if body.get("stream_options") else 0)


# What a gateway must do, point by point.


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
@pytest.mark.parametrize("version", ["2023-06-01", "2026-10-21"])
@pytest.mark.parametrize("query", ["", "?beta=true"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/models", "/v1/responses"])
def test_point_1_either_key_header_any_version_and_any_query(
    gateway_origin: Origin, header: str, version: str, query: str, path: str
):
    key = {header: f"Bearer {gateway_origin.key}" if header == "authorization" else gateway_origin.key}
    headers = {**key, "anthropic-version": version}
    body: dict[str, Any] = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}]}
    if path == "/v1/messages":
        body["max_tokens"] = 9
    if path == "/v1/responses":
        body = {"model": "claude-haiku-4-5", "input": "Hi"}
    if path == "/v1/models":
        answer = httpx.get(gateway_origin.url + path + (query or "?limit=1000"), headers=headers, timeout=60)
    else:
        answer = httpx.post(gateway_origin.url + path + query, json=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text


def test_point_2_a_thread_is_continued_with_the_tool_results_alone(case: Case):
    headers = {"anthropic-version": "2026-10-21", "anthropic-beta": "message-threads-2026-08-12"}
    tools = [{"name": "look", "description": "Looks", "input_schema": {"type": "object", "properties": {}}}]
    first = case.origin.post(
        "/v1/messages",
        {
            "model": case.model,
            "max_tokens": 99,
            "system": "Be brief.",
            "tools": tools,
            "thread": {"type": "create"},
            "messages": [{"role": "user", "content": "[[tool:look {}]]"}],
        },
        headers=headers,
    ).json()
    assert "thread" not in first
    result = {"type": "tool_result", "tool_use_id": first["content"][0]["id"], "content": "a cat"}
    after = {"type": "continue", "previous_message_id": first["id"]}
    turn = {"model": case.model, "max_tokens": 99, "thread": after, "messages": [{"role": "user", "content": [result]}]}
    second = case.origin.post("/v1/messages", turn, headers=headers)
    assert second.status_code == 200 and text_of(second) == "Tool results: look gave: a cat."
    again = case.origin.post("/v1/messages", turn, headers=headers)
    assert again.status_code == 400
    assert again.json()["error"]["details"]["error_code"] == "thread_already_continued"
    unknown = {**turn, "thread": {**after, "previous_message_id": "msg_unknown"}}
    lost = case.origin.post("/v1/messages", unknown, headers=headers)
    assert lost.status_code == 404 and lost.json()["error"]["details"]["error_code"] == "thread_not_found"


def test_point_3_system_messages_among_the_messages(case: Case):
    answer = send(case, "claude_code", "unknown_model", "[[history]]")
    assert answer.status_code == 200, answer.text
    assert "Available agents: general." in text_of(answer)
    lines = text_of(answer).split("\n")
    assert any(line.startswith("user: ") for line in lines)


@pytest.mark.parametrize("message", ["context_management: Extra inputs are not permitted", "thinking.display: bad"])
def test_point_4_the_upstreams_own_400_is_handed_on_unchanged(case: Case, message: str):
    answer = send(case, "claude_code", "unknown_model", f"[[fail:400 message={message}]]")
    assert answer.status_code == 400
    assert answer.json()["type"] == "error" and answer.json()["error"]["type"] == "invalid_request_error"
    assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", list(CLIENTS["codex"]["requests"]))
def test_point_5_codex_is_understood_by_every_upstream(case: Case, name: str):
    answer = send(case, "codex", name, "[[history]]")
    assert answer.status_code == 200, answer.text
    final = check_stream([event for _, event in events_of(answer)])
    assert final["store"] is False
    sent = case.sent("<permissions>")[-1]
    assert "<permissions>Filesystem: none.</permissions>" in json.dumps(sent)
    if name != "next_turn" and name != "output_schema":
        assert "<permissions>Filesystem: none.</permissions>" in text_of(answer)
    if case.upstream != "responses":
        assert "client_metadata" not in sent
        names = json.dumps(sent["tools"])
        assert "exec_command" in names and "spawn_agent" in names


def test_point_5_codex_calls_a_tool_of_a_namespace_and_a_custom_one(case: Case):
    answer = send(
        case, "codex", "known_model", '[[tool:exec_command {"cmd":"ls"}]][[tool:apply_patch *** Begin Patch]]'
    )
    done = [event["item"] for _, event in events_of(answer) if event["type"] == "response.output_item.done"]
    kinds = [item["type"] for item in done if item["type"] != "reasoning"]
    assert kinds == ["function_call", "custom_tool_call"]
    assert [item.get("name") for item in done if item["type"] != "reasoning"] == ["exec_command", "apply_patch"]


@pytest.mark.parametrize("stream", [False, True])
def test_point_6_nulls_and_empty_lists_pass(case: Case, stream: bool):
    answer = send(case, "llamaindex", "responses_nulls", stream=stream)
    assert answer.status_code == 200 and text_of(answer) == "You said: Hello."
    body = {"model": case.model, "input": "Hi", "include": [], "tools": [], "stream": stream}
    nulls = dict.fromkeys(("reasoning", "text", "temperature", "top_p", "tool_choice", "parallel_tool_calls", "store"))
    assert case.origin.post("/v1/responses", {**body, **nulls}).status_code == 200


def test_point_7_reasoning_always_has_a_summary_and_numbers_rise(case: Case):
    body = {"model": case.thinker, "input": "[[think:Hm.]][[say:Yes]]", "reasoning": {"effort": "low"}}
    plain = case.origin.post("/v1/responses", body).json()
    check_response(plain)
    assert all(isinstance(item["summary"], list) for item in plain["output"] if item["type"] == "reasoning")
    streamed = events_of(case.origin.post("/v1/responses", {**body, "stream": True}))
    assert [event["sequence_number"] for _, event in streamed] == list(range(len(streamed)))
    items = [event["item"] for _, event in streamed if "item" in event]
    assert all(isinstance(item["summary"], list) for item in items if item["type"] == "reasoning")


def test_point_8_what_the_sdk_adds_to_items_may_come_back(case: Case):
    call = {
        "type": "function_call",
        "id": "fc_1",
        "status": "completed",
        "call_id": "call_1",
        "name": "look",
        "arguments": "{}",
        "parsed_arguments": None,
    }
    said = {"type": "output_text", "text": "One.", "annotations": [], "logprobs": [], "parsed": None}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [said]}
    result = {"type": "function_call_output", "call_id": "call_1", "output": "a cat"}
    tools = [{"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": False}]
    items = [{"role": "user", "content": "Hi"}, message, call, result, {"role": "user", "content": "[[history]]"}]
    answer = case.origin.post("/v1/responses", {"model": case.model, "input": items, "tools": tools})
    assert answer.status_code == 200, answer.text
    assert "result of look: a cat" in text_of(answer) and "assistant: One." in text_of(answer)
    sent = json.dumps(case.sent("a cat")[-1])
    assert "parsed_arguments" not in sent and '"parsed"' not in sent


# Claude Code.


def test_claude_code_counts_tokens_many_at_once(case: Case):
    body = {
        "model": case.model,
        "messages": [{"role": "user", "content": "foo"}],
        "tools": CLIENTS["claude_code"]["requests"]["known_model"]["body"]["tools"],
    }
    headers = {**case.origin.headers, **CLIENTS["claude_code"]["headers"]}
    with httpx.Client(headers=headers, timeout=60) as client:
        counts = [
            client.post(f"{case.origin.url}/v1/messages/count_tokens?beta=true", json=body).json() for _ in range(5)
        ]
    assert all(set(count) == {"input_tokens"} and count["input_tokens"] > 0 for count in counts)


def test_claude_code_discovers_models(case: Case):
    headers = {"authorization": f"Bearer {case.origin.key}", "anthropic-version": "2023-06-01"}
    answer = httpx.get(f"{case.origin.url}/v1/models?limit=1000", headers=headers, follow_redirects=False, timeout=60)
    assert answer.status_code == 200
    claude = [row for row in answer.json()["data"] if "claude" in row["id"]]
    assert claude and all(row["display_name"] for row in claude)


def test_claude_code_hears_of_an_error_in_mid_stream_and_asks_again_without_streaming(case: Case):
    broken = send(case, "claude_code", "known_model", "[[tokens:30]][[error-after:5]]")
    assert broken.status_code == 200
    name, last = events_of(broken)[-1]
    assert name == last["type"] == "error" and last["error"]["message"]
    again = send(case, "claude_code", "second_try_without_stream")
    assert again.json()["type"] == "message" and text_of(again) == "You said: Hello."


@pytest.mark.parametrize(("status", "seen"), [(429, 429), (500, 424), (529, 424)])
def test_claude_code_can_tell_what_to_try_again(case: Case, status: int, seen: int):
    answer = send(case, "claude_code", "known_model", f"[[fail:{status} message=Busy]]")
    assert answer.status_code == seen and "Busy" in answer.json()["error"]["message"]


def test_claude_codes_cache_marks_reach_anthropic_as_they_were(case: Case):
    send(case, "claude_code", "tool_result", f"marks-{case.upstream}")
    sent = case.sent(f"marks-{case.upstream}")[-1]
    marks = json.dumps(sent).count('"cache_control"')
    assert marks == (3 if case.upstream == "messages" else 0)
    if case.upstream == "messages":
        given = CLIENTS["claude_code"]["requests"]["tool_result"]["body"]
        assert sent["system"] == given["system"] and sent["tools"] == given["tools"]
        assert sent["metadata"] == given["metadata"]


def test_claude_codes_headers_reach_anthropic_and_its_key_does_not(case: Case):
    send(case, "claude_code", "known_model", f"headers-{case.upstream}")
    sent = case.origin.backends.simulated.recorded(marker=f"headers-{case.upstream}")[-1].headers
    assert case.origin.key not in json.dumps(sent)
    if case.upstream == "messages":
        assert sent["anthropic-version"] == "2023-06-01"
        assert "context-management-2025-06-27" in sent["anthropic-beta"]
    else:
        assert "anthropic-beta" not in sent


# Codex.


def test_codex_takes_items_from_output_item_done(case: Case):
    answer = send(case, "codex", "unknown_model", '[[say:I look.]][[tool:exec_command {"cmd":"ls"}]]')
    events = [event for _, event in events_of(answer)]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert [item["type"] for item in done if item["type"] != "reasoning"] == ["message", "function_call"]
    assert events[-1]["type"] == "response.completed" and events[-1]["response"]["output"] == done
    history = [
        *filled(CLIENTS["codex"]["requests"]["unknown_model"]["body"]["input"], {"$PROMPT": "look"}),
        *done,
        {"type": "function_call_output", "id": "fco_1", "call_id": done[-1]["call_id"], "output": "README.md"},
    ]
    second = send(case, "codex", "unknown_model", input=history)
    assert text_of(second) == "Tool results: exec_command gave: README.md."


def test_codex_replays_its_reasoning(case: Case):
    prompt = '[[think:I look.]][[tool:exec_command {"cmd":"ls"}]]'
    thinks = {"reasoning": {"effort": "medium", "summary": "auto"}}
    first = [event for _, event in events_of(send(case, "codex", "unknown_model", prompt, **thinks))]
    done = [event["item"] for event in first if event["type"] == "response.output_item.done"]
    if case.upstream == "chat_completions":
        assert [item["type"] for item in done] == ["function_call"]
        return
    assert done[0]["type"] == "reasoning" and done[0]["encrypted_content"]
    # Codex sends what it understood of an item, and null for the rest.
    replayed = [{**done[0], "content": None}, *done[1:]]
    asked = filled(CLIENTS["codex"]["requests"]["unknown_model"]["body"]["input"], {"$PROMPT": "look"})
    result = {"type": "function_call_output", "id": "fco_1", "call_id": done[-1]["call_id"], "output": "README.md"}
    more = {
        "type": "message",
        "role": "user",
        "id": "msg_9",
        "content": [{"type": "input_text", "text": "[[history]]"}],
    }
    answer = send(case, "codex", "unknown_model", input=[*asked, *replayed, result, more], **thinks)
    assert "thought (sealed): I look." in text_of(answer)


@pytest.mark.parametrize("fault", ["error-after:5", "cut-after:5"])
def test_codex_hears_of_a_broken_stream_by_response_failed(case: Case, fault: str):
    answer = send(case, "codex", "unknown_model", f"[[tokens:30]][[{fault}]]")
    assert answer.status_code == 200
    events = [event for _, event in events_of(answer)]
    assert events[-1]["type"] == "response.failed"
    assert events[-1]["response"]["status"] == "failed" and events[-1]["response"]["error"]["message"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_codex_hears_of_the_token_limit(case: Case):
    answer = send(case, "codex", "unknown_model", "[[say:one two three four five six seven]]", max_output_tokens=16)
    body = {"model": case.model, "input": "[[tokens:60]]", "stream": True, "max_output_tokens": 20}
    events = [event for _, event in events_of(case.origin.post("/v1/responses", body))]
    assert answer.status_code == 200 and events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_codex_gets_its_schema(case: Case):
    answer = send(case, "codex", "output_schema")
    assert set(json.loads(text_of(answer))) == {"answer"}


# Frameworks.


def test_the_ai_sdk_gets_an_object_by_a_forced_tool(case: Case):
    answer = send(case, "ai_sdk", "messages_object").json()
    called = [block for block in answer["content"] if block["type"] == "tool_use"]
    assert [block["name"] for block in called] == ["json"] and set(called[0]["input"]) == {"city"}
    assert answer["stop_reason"] == "tool_use"


def test_the_ai_sdk_sends_images_as_data_urls(case: Case):
    for name in ("chat", "responses_json"):
        assert "I see 1 image" in text_of(send(case, "ai_sdk", name))


def test_langchains_failed_tool_result_is_marked(case: Case):
    text = text_of(send(case, "langchain", "messages_failed_tool", "[[history]]"))
    if case.upstream == "messages":
        assert "failed result of weather: no such city" in text
    else:
        assert "result of weather: Error: no such city" in text


@pytest.mark.parametrize("name", ["chat", "responses", "messages"])
def test_pydantic_ai_gets_the_tool_that_it_requires(case: Case, name: str):
    answer = send(case, "pydantic_ai", name).json()
    assert "final_result" in json.dumps(answer) and '"city' in json.dumps(answer).replace("\\", "")


def test_openai_agents_hand_over(case: Case):
    first = send(case, "openai_agents", "responses_handoff", "[[tool:transfer_to_b {}]]").json()
    call = next(item for item in first["output"] if item["type"] == "function_call")
    assert (call["name"], call["arguments"]) == ("transfer_to_b", "{}")
    chat = send(case, "openai_agents", "chat", "[[tool:transfer_to_b {}]]").json()
    assert chat["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "transfer_to_b", "arguments": "{}"}


def test_instructor_gets_streamed_arguments_of_a_forced_tool(case: Case):
    events = [event for _, event in events_of(send(case, "instructor", "chat"))]
    deltas = [call for event in events for choice in event["choices"] for call in choice["delta"].get("tool_calls", ())]
    assert deltas[0]["function"]["name"] == "City" and deltas[0]["id"]
    assert set(json.loads("".join(each["function"].get("arguments", "") for each in deltas))) == {"city"}


def test_aiders_system_message_after_the_last_user_message(case: Case):
    text = text_of(send(case, "aider_and_llm", "aider", "[[history]]"))
    assert "Answer with search/replace blocks." in text and "Act as an expert software developer." in text


def test_opencodes_two_requests_of_a_session(case: Case):
    title = send(case, "opencode", "chat_title", "[[history]]")
    assert "Generate a title" in text_of(title)
    turn = send(case, "opencode", "chat_turn", '[[tool:bash {"command":"ls"}]]')
    reasons = [choice.get("finish_reason") for _, event in events_of(turn) for choice in event["choices"]]
    assert [reason for reason in reasons if reason] == ["tool_calls"]


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "claude-opus-4-5", "claude-sonnet-4-6", "claude-sonnet-5"])
def test_claude_code_with_a_model_name_of_the_gateway(gateway_origin: Origin, model: str):
    """It takes ``anthropic/…`` for an unknown model, and asks for what older Claude models refuse."""
    case = Case("messages", gateway_origin, model, model)
    answer = send(case, "claude_code", "unknown_model", "[[history]]", model=f"anthropic/{model}")
    assert answer.status_code == 200, answer.text
    sent = case.sent("Available agents: general.")[-1]
    assert sent["messages"][1]["role"] == ("system" if model == "claude-sonnet-5" else "user")
    assert sent["messages"][1]["content"][0]["cache_control"] == {"type": "ephemeral"}
    budget = model in ("claude-haiku-4-5", "claude-opus-4-5")
    assert sent["thinking"]["type"] == ("enabled" if budget else "adaptive")
    assert sent["thinking"]["display"] == "omitted"
    assert ("output_config" in sent) is (model != "claude-haiku-4-5")
    assert ("thinking" in answer.headers.get("x-headgate-losses", "")) is False

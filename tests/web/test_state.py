"""Stored responses: chains over every upstream, and who may see what."""

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from headgate.access.policy import Policy
from tests.gateway import Origin, Upstream

UPSTREAM_NAMES: list[Upstream] = ["responses", "chat_completions", "messages"]
MODELS = {"responses": "gpt-4o-mini", "chat_completions": "gpt-4o-mini", "messages": "claude-haiku-4-5"}


def text_of(body: dict[str, Any]) -> str:
    return "".join(part["text"] for item in body["output"] if item["type"] == "message" for part in item["content"])


def respond(origin: Origin, text: str | list[Any], model: str = "gpt-4o-mini", **fields: Any) -> dict[str, Any]:
    answer = origin.post("/v1/responses", {"model": model, "input": text, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("upstream", UPSTREAM_NAMES)
def test_a_chain_reaches_the_upstream_whole(origins: Callable[[Upstream], Origin], upstream: Upstream, stream: bool):
    origin, model = origins(upstream), MODELS[upstream]
    first = respond(origin, "I am called Ada.", model, instructions="Speak like a pirate.")
    if stream:
        text = origin.post(
            "/v1/responses",
            {"model": model, "input": "And I like tea.", "previous_response_id": first["id"], "stream": True},
        ).text
        second_id = text.split('"id":"resp_')[1].split('"')[0]
        second = origin.get(f"/v1/responses/resp_{second_id}").json()
    else:
        second = respond(origin, "And I like tea.", model, previous_response_id=first["id"])
    assert second["previous_response_id"] == first["id"]
    third = respond(origin, "[[history]]", model, previous_response_id=second["id"])
    history = text_of(third)
    assert history.index("Ada") < history.index("tea")
    assert "pirate" not in history


def test_the_model_may_change_within_a_chain(gateway_origin: Origin):
    parameters = {
        "type": "object",
        "properties": {"cat": {"type": "string"}},
        "required": ["cat"],
        "additionalProperties": False,
    }
    tools = [{"type": "function", "name": "feed", "parameters": parameters}]
    asked = '[[think:Hm.]]My cat is Tom. [[tool:feed {"cat":"Tom"}]]'
    first = respond(gateway_origin, asked, "gpt-5-mini", tools=tools)
    call = next(item for item in first["output"] if item["type"] == "function_call")
    result = [{"type": "function_call_output", "call_id": call["call_id"], "output": "fed"}]
    second = respond(gateway_origin, result, "claude-sonnet-4-6", previous_response_id=first["id"])
    assert second["model"] == "anthropic/claude-sonnet-4-6"
    third = respond(gateway_origin, "[[history]]", "gpt-5-mini", previous_response_id=second["id"])
    assert "Tom" in text_of(third) and "fed" in text_of(third)


def test_a_response_can_be_had_again_from_any_process(gateway_origin: Origin):
    made = respond(gateway_origin, "Keep this.")
    for environment in gateway_origin.emulator.environments("responses"):
        environment.kill()
    again = gateway_origin.get(f"/v1/responses/{made['id']}")
    assert again.status_code == 200 and again.json() == made


def test_input_items_are_paged(gateway_origin: Origin):
    first = respond(gateway_origin, "One")
    second = respond(gateway_origin, [{"role": "user", "content": "Two"}, {"role": "user", "content": "Three"}],
                     previous_response_id=first["id"])  # fmt: skip
    path = f"/v1/responses/{second['id']}/input_items"
    whole = gateway_origin.get(path, params={"order": "asc"}).json()
    assert [item["role"] for item in whole["data"]] == ["user", "assistant", "user", "user"]
    assert whole["has_more"] is False and whole["first_id"] == whole["data"][0]["id"]
    ids = [item["id"] for item in whole["data"]]
    assert len(set(ids)) == 4
    page = gateway_origin.get(path, params={"limit": 2}).json()
    assert [item["id"] for item in page["data"]] == ids[:1:-1] and page["has_more"] is True
    rest = gateway_origin.get(path, params={"limit": 2, "after": page["last_id"]}).json()
    assert [item["id"] for item in rest["data"]] == ids[1::-1] and rest["has_more"] is False
    for bad in ({"limit": "0"}, {"limit": "x"}, {"order": "up"}, {"after": "msg_none"}):
        assert gateway_origin.get(path, params=bad).status_code == 400


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_what_is_not_there_for_this_owner_is_one_and_the_same_error(gateway_origin: Origin):
    stranger = Origin(
        gateway_origin.url,
        gateway_origin.backends.create_key(owner="stranger"),
        gateway_origin.emulator,
        gateway_origin.backends,
    )
    mine = respond(gateway_origin, "Mine")
    unstored = respond(gateway_origin, "Not kept", store=False)
    deleted = respond(gateway_origin, "Gone")
    assert gateway_origin.post(f"/v1/responses/{mine['id']}/cancel", {}).status_code == 400
    gone = httpx.delete(f"{gateway_origin.url}/v1/responses/{deleted['id']}", headers=gateway_origin.headers)
    assert gone.json() == {"id": deleted["id"], "object": "response", "deleted": True}
    cases = [
        (stranger, mine["id"]),
        (gateway_origin, unstored["id"]),
        (gateway_origin, deleted["id"]),
        (gateway_origin, "resp_" + "0" * 62),
        (gateway_origin, "resp_68b1"),
    ]
    seen: set[str] = set()
    for origin, id in cases:
        chained = origin.post("/v1/responses", {"model": "gpt-4o-mini", "input": "x", "previous_response_id": id})
        assert error_of(chained) == (400, "previous_response_not_found")
        assert chained.json()["error"]["param"] == "previous_response_id"
        fetched = origin.get(f"/v1/responses/{id}")
        assert fetched.status_code == 404
        seen |= {answer.json()["error"]["message"].replace(id, "ID") for answer in (chained, fetched)}
        assert httpx.delete(f"{origin.url}/v1/responses/{id}", headers=origin.headers).status_code == 404
        assert origin.get(f"/v1/responses/{id}/input_items").status_code == 404
    assert len(seen) == 2
    assert gateway_origin.get(f"/v1/responses/{mine['id']}").status_code == 200


def test_a_key_without_logging_keeps_nothing_and_says_why(gateway_origin: Origin):
    key = gateway_origin.backends.create_key(owner="quiet", policy=Policy(logging="off"))
    quiet = Origin(gateway_origin.url, key, gateway_origin.emulator, gateway_origin.backends)
    made = respond(quiet, "Secret", store=True)
    assert made["store"] is False
    assert quiet.get(f"/v1/responses/{made['id']}").status_code == 404
    chained = quiet.post("/v1/responses", {"model": "gpt-4o-mini", "input": "x", "previous_response_id": made["id"]})
    assert chained.status_code == 400 and "logging" in chained.json()["error"]["message"]


def test_previous_response_and_conversation_exclude_each_other(gateway_origin: Origin):
    made = respond(gateway_origin, "x")
    both = gateway_origin.post(
        "/v1/responses",
        {"model": "gpt-4o-mini", "input": "x", "previous_response_id": made["id"], "conversation": "conv_1"},
    )
    assert both.status_code == 400


@pytest.mark.parametrize("upstream", UPSTREAM_NAMES)
def test_a_stream_that_the_client_cuts_is_still_stored(origins: Callable[[Upstream], Origin], upstream: Upstream):
    origin = origins(upstream)
    body = {"model": MODELS[upstream], "input": "[[slow:0.02]][[tokens:40]]", "stream": True}
    id = ""
    with httpx.stream("POST", f"{origin.url}/v1/responses", json=body, headers=origin.headers) as answer:
        request_id = answer.headers["x-request-id"]
        for line in answer.iter_lines():
            if '"id":"resp_' in line:
                id = "resp_" + line.split('"id":"resp_')[1].split('"')[0]
            if "output_text.delta" in line:
                break
    assert id
    row = origin.log_row(request_id)
    assert row.status == 200 and row.stored and row.output_tokens > 30
    stored = origin.get(f"/v1/responses/{id}").json()
    assert stored["status"] == "completed" and len(text_of(stored).split()) >= 30


@pytest.mark.parametrize("upstream", UPSTREAM_NAMES)
def test_a_process_that_is_killed_leaves_no_half_turn(origins: Callable[[Upstream], Origin], upstream: Upstream):
    origin = origins(upstream)
    body = {"model": MODELS[upstream], "input": "[[slow:0.05]][[tokens:200]]", "stream": True}
    id = ""
    with (
        pytest.raises(httpx.HTTPError),
        httpx.stream("POST", f"{origin.url}/v1/responses", json=body, headers=origin.headers, timeout=20) as answer,
    ):
        for line in answer.iter_lines():
            if '"id":"resp_' in line:
                id = "resp_" + line.split('"id":"resp_')[1].split('"')[0]
            if "output_text.delta" in line:
                for environment in origin.emulator.environments("responses"):
                    environment.kill()
    time.sleep(0.2)
    assert origin.get(f"/v1/responses/{id}").status_code == 404
    assert respond(origin, "Still there?", MODELS[upstream])["status"] == "completed"

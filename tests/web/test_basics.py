"""What every answer of the gateway has, over each frontend."""

import json

import httpx
import pytest

from headgate.access.policy import Policy
from tests.gateway import Origin

PATHS = {
    "/v1/responses": {"model": "gpt-4o-mini", "input": "Hello"},
    "/v1/chat/completions": {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]},
    "/v1/messages": {"model": "gpt-4o-mini", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]},
}


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", PATHS)
def test_an_answer_says_who_served_it_and_leaves_one_log_row(
    gateway_origin: Origin, path: str, stream: bool, slash: str
):
    answer = gateway_origin.post(path + slash, {**PATHS[path], "stream": stream})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-headgate-provider"] == "openai"
    assert answer.headers["x-headgate-model"] == "openai/gpt-4o-mini"
    assert answer.headers["x-headgate-attempts"] == "1"
    assert answer.headers["x-headgate-simulated"] == "true"
    row = gateway_origin.log_row(answer.headers["x-request-id"])
    assert (row.status, row.provider, row.model, row.model_served) == (
        200,
        "openai",
        "gpt-4o-mini",
        "openai/gpt-4o-mini",
    )
    assert row.input_tokens > 0 and row.output_tokens > 0 and row.cost_pico and row.simulated
    assert row.stream is stream and row.endpoint == path
    assert row.ttfb_ms is not None and row.duration_ms >= row.ttfb_ms
    assert row.request_body is None and row.response_body is None
    assert [attempt["status"] for attempt in row.attempts] == [200]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "sk-hg-v1-" + "0" * 64}, {"authorization": "Bearer: x"}, {"x-api-key": "sk-other"}],
)
def test_a_wrong_key_is_a_401_in_the_protocols_envelope(gateway_origin: Origin, path: str, headers: dict[str, str]):
    answer = httpx.post(gateway_origin.url + path, json=PATHS[path], headers=headers)
    assert answer.status_code == 401
    body = answer.json()
    assert body["error"]["type"] == "authentication_error" and body["error"]["message"]
    assert ("type" in body) is (path == "/v1/messages")


def test_claude_code_is_answered_under_the_name_it_asked_for(gateway_origin: Origin):
    """It drops its thinking blocks from the history when the names differ."""
    body = {"model": "claude-haiku-4-5-20251001", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}
    agent = {"user-agent": "claude-cli/2.1.329 (external, sdk-cli)"}
    answer = gateway_origin.post("/v1/messages", body, headers=agent)
    assert answer.json()["model"] == "claude-haiku-4-5-20251001"
    assert answer.headers["x-headgate-model"] == "anthropic/claude-haiku-4-5"
    assert gateway_origin.post("/v1/messages", body).json()["model"] == "anthropic/claude-haiku-4-5"


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions"])
def test_a_bound_above_the_models_own_is_clamped_and_announced(gateway_origin: Origin, path: str):
    name = "max_output_tokens" if "responses" in path else "max_tokens"
    answer = gateway_origin.post(path, {**PATHS[path], name: 32_000})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-headgate-losses"] == f"clamped:{name}"
    strict = gateway_origin.post(path, {**PATHS[path], name: 32_000}, headers={"x-headgate-strict": "true"})
    assert strict.status_code == 400 and strict.json()["error"]["param"] == name


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5"])
@pytest.mark.parametrize("path", PATHS)
def test_bodies_are_logged_where_the_keys_policy_says_so(gateway_origin: Origin, path: str, model: str, stream: bool):
    key = gateway_origin.backends.create_key(policy=Policy(log_bodies=True))
    kept = Origin(gateway_origin.url, key, gateway_origin.emulator, gateway_origin.backends)
    answer = kept.post(path, {**PATHS[path], "model": model, "stream": stream})
    assert answer.status_code == 200, answer.text
    row = kept.log_row(answer.headers["x-request-id"])
    assert row.request_body and json.loads(row.request_body)["model"] == model
    assert row.response_body and "Hello" in row.response_body
    assert isinstance(json.loads(row.response_body), dict)
    assert key not in row.request_body + row.response_body

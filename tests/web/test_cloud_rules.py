"""What the cloud platforms do differently from the vendors of the models that they offer: betas, fields, errors, token
counts; over the simulated platforms as `make run` has them, without a key."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from dev.serve import Backends
from dev.simulated_providers.recorder import Recorded
from headgate.access.policy import Policy
from tests.gateway import Origin
from tests.web.test_providers import FRONTENDS, ask, streamed_text

CLAUDE = "claude-haiku-4-5"
CLOUDS = ("vertex", "bedrock", "azure")
KNOWN = "context-1m-2025-08-07"
UNKNOWN = "oauth-2025-04-20"


@pytest.fixture(scope="module")
def pinned(gateway_backends: Backends) -> Callable[[str], dict[str, str]]:
    """The headers of a key that may use one platform only: its errors are then not another one's answers."""
    keys: dict[str, str] = {}

    def headers(platform: str) -> dict[str, str]:
        if platform not in keys:
            keys[platform] = gateway_backends.create_key(policy=Policy(allowed_models=(f"{platform}/*",)))
        return {"authorization": f"Bearer {keys[platform]}"}

    return headers


def messages(text: str, model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 4000, "messages": [{"role": "user", "content": text}], **fields}


def heard(backends: Backends, marker: str, path: str) -> Recorded:
    (recorded,) = backends.simulated.recorded(marker=marker, path=path)
    return recorded


def test_the_platforms_are_served_without_any_key(gateway_origin: Origin):
    served = gateway_origin.get(f"/v1/models/{CLAUDE}").json()["providers"]
    assert {"anthropic", *CLOUDS} <= set(served)
    for model in ("azure/gpt-5-mini", "azure/deepseek-v3.2", "vertex/kimi-k2-thinking", "bedrock/nova-lite"):
        answer = gateway_origin.post(*ask("responses", model, "[[say:without a key]]"))
        assert answer.status_code == 200, (model, answer.text)
        assert answer.headers["x-headgate-simulated"] == "true" and answer.json()["model"] == model


def test_only_the_betas_that_a_platform_knows_reach_it(gateway_origin: Origin, gateway_backends: Backends):
    betas = {"anthropic-beta": f"{UNKNOWN}, {KNOWN}, advanced-tool-use-2025-11-20, message-threads-2026-08-12"}
    for cloud in CLOUDS:
        marker = f"betas-{cloud}"
        answer = gateway_origin.post(
            "/v1/messages", messages(f"{marker} [[say:ok]]", f"{cloud}/{CLAUDE}"), headers=betas
        )
        assert answer.status_code == 200, answer.text
        sent = heard(gateway_backends, marker, f"/{cloud}")
        if cloud == "bedrock":
            assert sent.body["additionalModelRequestFields"]["anthropic_beta"] == [KNOWN]
            assert "anthropic-beta" not in sent.headers
        else:
            tools = "tool-search-tool-2025-10-19" if cloud == "vertex" else "advanced-tool-use-2025-11-20"
            assert sent.headers["anthropic-beta"] == f"{KNOWN},{tools}"


def test_a_platform_refuses_what_it_does_not_know(gateway_backends: Backends):
    """That the simulations judge, so that the test above means something."""
    import httpx

    url = gateway_backends.simulated.url
    vertex = f"{url}/vertex/v1/projects/p/locations/global/publishers/anthropic/models/claude-haiku-4-5@20251001"
    body = {"anthropic_version": "vertex-2023-10-16", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    bearer = {"authorization": "Bearer t"}
    refused = httpx.post(f"{vertex}:rawPredict", json=body, headers={**bearer, "anthropic-beta": UNKNOWN})
    assert refused.status_code == 400 and f"Unexpected value(s) `{UNKNOWN}`" in refused.json()["error"]["message"]
    assert refused.json()["request_id"].startswith("req_vrtx_")
    for wrong in ({"model": CLAUDE}, {"service_tier": "auto"}, {"anthropic_version": "2023-06-01"}):
        assert httpx.post(f"{vertex}:rawPredict", json={**body, **wrong}, headers=bearer).status_code == 400, wrong
    searching = {**body, "tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    assert httpx.post(f"{vertex}:rawPredict", json=searching, headers=bearer).status_code == 400
    nobody = httpx.post(f"{vertex}:streamRawPredict", json=body)
    assert nobody.status_code == 401 and nobody.json()[0]["error"]["status"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_web_search_at_vertex_asks_for_its_beta(
    gateway_origin: Origin, gateway_backends: Backends, frontend: str, *, stream: bool
):
    marker = f"search-{frontend}-{stream}"
    path, body = ask(frontend, f"vertex/{CLAUDE}", f"{marker} [[search:cities]]", stream=stream)
    if frontend == "chat_completions":
        body["web_search_options"] = {}
    else:
        kind = "web_search" if frontend == "responses" else "web_search_20250305"
        body["tools"] = [{"type": kind} if frontend == "responses" else {"type": kind, "name": "web_search"}]
    answer = gateway_origin.post(path, body)
    assert answer.status_code == 200, answer.text
    sent = heard(gateway_backends, marker, "/vertex")
    assert sent.headers["anthropic-beta"] == "web-search-2025-03-05"
    assert [tool["type"] for tool in sent.body["tools"]] == ["web_search_20250305"]


def test_structured_output_at_azure_asks_for_its_beta(gateway_origin: Origin, gateway_backends: Backends):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    body: dict[str, Any] = {
        "model": f"azure/{CLAUDE}",
        "input": "azure-schema Name a city.",
        "text": {"format": {"type": "json_schema", "name": "city", "schema": schema}},
    }
    answer = gateway_origin.post("/v1/responses", body)
    assert answer.status_code == 200, answer.text
    assert set(json.loads(answer.json()["output"][0]["content"][0]["text"])) == {"city"}
    assert (
        heard(gateway_backends, "azure-schema", "/azure").headers["anthropic-beta"] == "structured-outputs-2025-11-13"
    )


def test_fields_of_anthropic_alone_are_announced_at_vertex(
    gateway_origin: Origin, gateway_backends: Backends, pinned: Callable[[str], dict[str, str]]
):
    body = messages("tier [[say:ok]]", f"vertex/{CLAUDE}", service_tier="auto")
    answer = gateway_origin.post("/v1/messages", body)
    assert answer.status_code == 200 and "service_tier" in answer.headers["x-headgate-losses"]
    assert "service_tier" not in heard(gateway_backends, "tier [[", "/vertex").body
    strict = gateway_origin.post("/v1/messages", body, headers={"x-headgate-strict": "true", **pinned("vertex")})
    assert strict.status_code == 400 and "service_tier" in strict.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("cloud", ["vertex", "azure", "bedrock"])
def test_thinking_goes_round_with_its_signature(
    gateway_origin: Origin, gateway_backends: Backends, cloud: str, *, stream: bool
):
    marker = f"round-{cloud}-{stream}"
    model = f"{cloud}/claude-sonnet-4-5"
    thinking = {"type": "enabled", "budget_tokens": 1024}
    tool = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
    body = messages(f"{marker} [[think:Let me look.]] [[tool:look]]", model, thinking=thinking, tools=[tool])
    answer = gateway_origin.post("/v1/messages", {**body, "stream": stream})
    assert answer.status_code == 200, answer.text
    blocks = streamed_blocks(answer.text) if stream else answer.json()["content"]
    assert [block["type"] for block in blocks] == ["thinking", "tool_use"] and blocks[0]["signature"]
    result = {"type": "tool_result", "tool_use_id": blocks[1]["id"], "content": "seen"}
    body["messages"] += [{"role": "assistant", "content": blocks}, {"role": "user", "content": [result]}]
    second = gateway_origin.post("/v1/messages", body)
    assert second.status_code == 200 and "x-headgate-losses" not in second.headers, second.text
    last = gateway_backends.simulated.recorded(marker=marker)[-1]
    first = last.body["messages"][1]["content"][0]
    told = first["reasoningContent"]["reasoningText"]["text"] if cloud == "bedrock" else first["thinking"]
    assert told == "Let me look."


def streamed_blocks(raw: str) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for line in raw.splitlines():
        event = json.loads(line[5:]) if line.startswith("data:") else {"type": ""}
        if event["type"] == "content_block_start":
            blocks.append({**event["content_block"]})
        elif event["type"] == "content_block_delta":
            delta, block = event["delta"], blocks[-1]
            for name in ("thinking", "signature", "text"):
                if name in delta:
                    block[name] = block.get(name, "") + delta[name]
            if "partial_json" in delta:
                block["input"] = block["input"] or json.loads(delta["partial_json"] or "{}")
    return blocks


ERRORS = [
    (
        "vertex/claude-haiku-4-5",
        "[[fail:429 retry-after=7 message=Quota exceeded for base model]]",
        429,
        "Quota exceeded",
    ),
    ("vertex/claude-haiku-4-5", "[[fail:400 message=prompt is too long: 9 tokens]]", 400, "prompt is too long"),
    ("vertex/claude-haiku-4-5", "[[fail:529]]", 424, "Overloaded"),
    ("vertex/glm-4.7", "[[fail:429 retry-after=7 message=Resource exhausted]]", 429, "Resource exhausted"),
    ("vertex/glm-4.7", "[[fail:404]]", 424, "Not found"),
    ("vertex/gemini-2.5-flash", "[[fail:503]]", 424, "overloaded"),
    ("azure/gpt-5-mini", "[[fail:429 retry-after=7 message=Requests have exceeded]]", 429, "Requests have exceeded"),
    ("azure/gpt-5-mini", "[[fail:404]]", 424, "The API deployment for this resource does not exist"),
    ("azure/gpt-5-mini", "[[fail:401]]", 424, "Access denied due to invalid subscription key"),
    ("azure/gpt-5-mini", "[[fail:400 code=content_filter]]", 400, "content management policy"),
    ("azure/claude-haiku-4-5", "[[fail:404]]", 424, "The API deployment for this resource does not exist"),
    ("azure/claude-haiku-4-5", "[[fail:429 retry-after=7 message=Too fast]]", 429, "Too fast"),
    ("bedrock/claude-haiku-4-5", "[[fail:429 retry-after=7]]", 429, "Too many requests"),
    ("bedrock/claude-haiku-4-5", "[[fail:403]]", 424, "You don't have access to the model"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize(
    ("model", "fault", "status", "words"), ERRORS, ids=[f"{model}-{fault[7:10]}" for model, fault, *_ in ERRORS]
)
def test_a_platforms_errors_in_its_own_words(
    gateway_origin: Origin,
    pinned: Callable[[str], dict[str, str]],
    model: str,
    fault: str,
    status: int,
    words: str,
    frontend: str,
    *,
    stream: bool,
):
    path, body = ask(frontend, model, f"Do it. {fault}", stream=stream)
    answer = gateway_origin.post(path, body, headers=pinned(model.partition("/")[0]))
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]["message"]
    assert ("retry-after" in answer.headers) == ("retry-after" in fault)
    assert "[{" not in answer.json()["error"]["message"], "Google's list of one is unpacked"


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_filtered_prompt_keeps_azures_code(gateway_origin: Origin, frontend: str):
    path, body = ask(frontend, "azure/gpt-5-mini", "[[fail:400 code=content_filter]]")
    error = gateway_origin.post(path, body).json()["error"]
    assert "management policy" in error["message"]
    if frontend != "messages":
        assert error["code"] == "content_filter"


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("model", ["azure/gpt-5-mini", "azure/gpt-4o"])
def test_azures_judgements_do_not_disturb_a_stream(gateway_origin: Origin, frontend: str, model: str):
    path, body = ask(frontend, model, "[[say:Judged and found safe.]]", stream=True)
    if frontend == "chat_completions":
        body["stream_options"] = {"include_usage": True}
    answer = gateway_origin.post(path, body)
    assert answer.status_code == 200 and streamed_text(frontend, answer.text) == "Judged and found safe."


def test_azure_over_chat_completions_from_another_protocol(gateway_origin: Origin, gateway_backends: Backends):
    """Foundry's other makers' models have Chat Completions alone, so the judgements pass our reader."""
    for frontend in ("responses", "messages"):
        marker = f"foundry-{frontend}"
        path, body = ask(frontend, "azure/deepseek-v3.2", f"{marker} [[say:From the deep.]]", stream=True)
        answer = gateway_origin.post(path, body)
        assert answer.status_code == 200 and streamed_text(frontend, answer.text) == "From the deep."
        assert heard(gateway_backends, marker, "/azure").path == "/azure/openai/v1/chat/completions"


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_thoughts_of_partner_models_are_shown(gateway_origin: Origin, frontend: str):
    path, body = ask(frontend, "vertex/kimi-k2-thinking", "[[think:Deep in thought.]] [[say:Done.]]")
    if frontend == "responses":
        body["reasoning"] = {"effort": "high", "summary": "auto"}
    elif frontend == "messages":
        body |= {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    answer = gateway_origin.post(path, body)
    assert answer.status_code == 200 and "Deep in thought." in answer.text, answer.text


def test_a_model_that_a_region_lacks_is_asked_for_elsewhere(gateway_origin: Origin, gateway_backends: Backends):
    """Bedrock's words for it carry a typographic apostrophe; they mean that the next route may have the model."""
    message = "Invocation of model ID x with on-demand throughput isn\u2019t supported. Retry your request"
    gateway_backends.simulated.behave(f"[[fail:400 message={message}]]", path="/bedrock", marker="other-region")
    answer = gateway_origin.post("/v1/messages", messages("other-region [[say:here]]", f"bedrock/{CLAUDE}"))
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-headgate-attempts"] == "2" and answer.headers["x-headgate-provider"] == "anthropic"


COUNTED = [
    ("vertex/claude-haiku-4-5", "/publishers/anthropic/models/count-tokens:rawPredict", True),
    ("vertex/gemini-2.5-flash", "/publishers/google/models/gemini-2.5-flash:countTokens", True),
    ("azure/claude-haiku-4-5", "/azure/anthropic/v1/messages/count_tokens", True),
    ("bedrock/claude-haiku-4-5", "/bedrock/model/anthropic.claude-haiku-4-5-20251001-v1:0/count-tokens", True),
    ("bedrock/nova-lite", "", False),
    ("vertex/glm-4.7", "", False),
    ("azure/gpt-5-mini", "", False),
    ("cohere/command-a", "", False),
]


@pytest.mark.parametrize("frontend", ["responses", "messages"])
@pytest.mark.parametrize(("model", "at", "exact"), COUNTED, ids=[model for model, _, _ in COUNTED])
def test_tokens_are_counted_where_the_platform_can(
    gateway_origin: Origin, gateway_backends: Backends, model: str, at: str, exact: bool, frontend: str
):
    marker = f"count-{model}-{frontend}"
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    if frontend == "responses":
        tools: list[dict[str, Any]] = [{"type": "function", "name": "look", "parameters": schema}]
        body: dict[str, Any] = {"model": model, "input": marker, "instructions": "Be brief.", "tools": tools}
        answer = gateway_origin.post("/v1/responses/input_tokens", body)
    else:
        body = messages(marker, model, system="Be brief.", tools=[{"name": "look", "input_schema": schema}])
        body.pop("max_tokens")
        betas = {"anthropic-beta": f"web-search-2025-03-05,{UNKNOWN}"}
        answer = gateway_origin.post("/v1/messages/count_tokens", body, headers=betas)
    assert answer.status_code == 200, answer.text
    assert answer.json()["input_tokens"] > 5
    assert (answer.headers.get("x-headgate-estimated") == "true") == (not exact)
    recorded = gateway_backends.simulated.recorded(marker=marker)
    assert [each.path.endswith(at) and each.status == 200 for each in recorded] == ([True] if exact else [])
    if exact:
        text = json.dumps(recorded[0].body)
        assert "Be brief." in text and "look" in text, "the system text and the tools count as well"


def test_a_count_that_a_platform_refuses_is_estimated(gateway_origin: Origin, gateway_backends: Backends):
    for cloud in ("vertex", "bedrock", "azure"):
        marker = f"uncountable-{cloud}"
        gateway_backends.simulated.behave("[[fail:400 message=no]]", path=f"/{cloud}", marker=marker)
        body = messages(marker, f"{cloud}/{CLAUDE}")
        body.pop("max_tokens")
        answer = gateway_origin.post("/v1/messages/count_tokens", body)
        assert answer.status_code == 200 and answer.headers["x-headgate-estimated"] == "true", answer.text
        assert len(gateway_backends.simulated.recorded(marker=marker)) == 1

"""Every provider that a simulation speaks, through each frontend: text, a tool call, a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dev.serve import Backends
from dev.simulated_providers.server import Running, serve
from headgate.providers.rows import PROVIDERS
from tests.gateway import Origin, origin
from tests.token_server import token_server

# The provider, a model of it, the model's own id there, the path at which the simulation hears it.
NATIVE = {
    "vertex": ("gemini-2.5-flash", "gemini-2.5-flash", "publishers/google/models"),
    "bedrock": ("claude-haiku-4-5", "anthropic.claude-haiku-4-5-20251001-v1:0", "/converse-stream"),
    "cohere": ("command-a", "command-a-03-2025", "/cohere/v2/chat"),
    "mistral": ("mistral-large-2512", "mistral-large-2512", "/mistral/v1/chat/completions"),
    "cloudflare": (
        "llama-4-scout",
        "@cf/meta/llama-4-scout-17b-16e-instruct",
        "/cloudflare/client/v4/accounts/simulated/ai/v1/chat/completions",
    ),
    "xai": ("grok-4.3", "grok-4.3", "/xai/v1/responses"),
    "huggingface": ("kimi-k2.5", "moonshotai/Kimi-K2.5", "/huggingface/v1/chat/completions"),
}
MODEL_IN_BODY = ("cohere", "xai", "huggingface", "mistral", "cloudflare")
COMPATIBLE = {
    "azure": ("gpt-4o", "gpt-4o"),
    "deepinfra": ("own-deepinfra", "own-deepinfra"),
    "fireworks": ("own-fireworks", "own-fireworks"),
    "groq": ("own-groq", "own-groq"),
    "together": ("own-together", "own-together"),
    "openrouter": ("own-openrouter", "own-openrouter"),
    "custom": ("own-custom", "own-custom"),
}
FRONTENDS = ("responses", "chat_completions", "messages")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@pytest.fixture(scope="module")
def compatible_servers() -> Iterator[Running]:
    """OpenAI's simulation under the other vendors' model names."""
    with serve(models=tuple(upstream for _, upstream in COMPATIBLE.values())) as running:
        yield running


@pytest.fixture(scope="module")
def everyone(
    gateway_backends: Backends, compatible_servers: Running, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Origin]:
    """A gateway with all of them configured."""
    own = tmp_path_factory.mktemp("catalog") / "own.json"
    price = {"input": 1, "output": 2}
    models = [
        {"slug": slug, "routes": [{"provider": provider, "usd_per_million": price}]}
        for provider, (slug, _) in COMPATIBLE.items()
        if slug.startswith("own-")
    ]
    own.write_text(json.dumps({"models": models}))
    environment = {"HEADGATE_CATALOG": str(own)}
    for provider in COMPATIBLE:
        name = f"HEADGATE_{provider.upper()}"
        # Azure's row has the path of OpenAI's API in its own paths.
        environment[f"{name}_BASE_URL"] = compatible_servers.url + ("" if provider == "azure" else "/openai/v1")
        environment[f"{name}_API_KEY"] = "sk-compatible"
    with token_server({"access_token": "sk-entra", "expires_in": 3600}) as (authority, _):
        application = {"tenant_id": "t", "client_id": "c", "client_secret": "s", "authority": authority}
        environment["HEADGATE_AZURE_API_KEY"] = json.dumps(application)
        with origin(gateway_backends, environment) as running:
            yield running


def ask(
    frontend: str, model: str, text: str, *, tool: bool = False, stream: bool = False
) -> tuple[str, dict[str, Any]]:
    if frontend == "responses":
        body: dict[str, Any] = {"input": text, "max_output_tokens": 500}
        if tool:
            body["tools"] = [{"type": "function", "name": "get_weather", "parameters": SCHEMA}]
            body["tool_choice"] = "required"
        path = "/v1/responses"
    elif frontend == "chat_completions":
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": 500}
        if tool:
            body["tools"] = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
            body["tool_choice"] = "required"
        path = "/v1/chat/completions"
    else:
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": 500}
        if tool:
            body["tools"] = [{"name": "get_weather", "input_schema": SCHEMA}]
            body["tool_choice"] = {"type": "any"}
        path = "/v1/messages"
    return path, {"model": model, "stream": stream, **body}


def text_of(frontend: str, answer: dict[str, Any]) -> str:
    if frontend == "responses":
        parts = [part for item in answer["output"] if item["type"] == "message" for part in item["content"]]
        return "".join(part["text"] for part in parts)
    if frontend == "chat_completions":
        return answer["choices"][0]["message"]["content"]
    return "".join(block["text"] for block in answer["content"] if block["type"] == "text")


def call_of(frontend: str, answer: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    if frontend == "responses":
        (call,) = [item for item in answer["output"] if item["type"] == "function_call"]
        return call["name"], json.loads(call["arguments"])
    if frontend == "chat_completions":
        (call,) = answer["choices"][0]["message"]["tool_calls"]
        return call["function"]["name"], json.loads(call["function"]["arguments"])
    (call,) = [block for block in answer["content"] if block["type"] == "tool_use"]
    return call["name"], call["input"]


def streamed_text(frontend: str, raw: str) -> str:
    events = [json.loads(line[5:]) for line in raw.splitlines() if line.startswith("data:") and "[DONE]" not in line]
    if frontend == "responses":
        assert events[-1]["type"] == "response.completed"
        return "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    if frontend == "chat_completions":
        assert raw.rstrip().endswith("data: [DONE]")
        return "".join(event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"])
    assert events[-1]["type"] == "message_stop"
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    return "".join(delta.get("text", "") for delta in deltas)


PAIRS = [(provider, slug) for provider, (slug, *_) in {**NATIVE, **COMPATIBLE}.items()]


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize(("provider", "slug"), PAIRS, ids=[provider for provider, _ in PAIRS])
def test_text_tool_and_stream(everyone: Origin, provider: str, slug: str, frontend: str):
    model = f"{provider}/{slug}"

    path, body = ask(frontend, model, f"[[say:Plain words of {provider}.]]")
    answer = everyone.post(path, body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-headgate-provider"] == provider and answer.headers["x-headgate-attempts"] == "1"
    assert text_of(frontend, answer.json()) == f"Plain words of {provider}."
    assert answer.json()["model"] == model
    usage = answer.json()["usage"]
    assert (usage.get("output_tokens") or usage.get("completion_tokens")) > 0

    path, body = ask(frontend, model, "What is the weather in Paris?", tool=True)
    answer = everyone.post(path, body)
    assert answer.status_code == 200, answer.text
    name, arguments = call_of(frontend, answer.json())
    assert name == "get_weather" and isinstance(arguments["city"], str)

    path, body = ask(frontend, model, f"[[say:A stream of {provider}, over.]]", stream=True)
    answer = everyone.post(path, body)
    assert answer.status_code == 200 and streamed_text(frontend, answer.text) == f"A stream of {provider}, over."
    assert answer.headers["x-headgate-provider"] == provider


@pytest.mark.parametrize("provider", NATIVE)
def test_the_simulated_vendor_was_asked_at_its_own_address(everyone: Origin, gateway_backends: Backends, provider: str):
    slug, upstream, at = NATIVE[provider]
    mark = f"address-{provider}"
    path, body = ask("messages", f"{provider}/{slug}", f"{mark} [[say:ok]]")
    assert everyone.post(path, body).headers["x-headgate-simulated"] == "true"
    (recorded,) = gateway_backends.simulated.recorded(marker=mark)
    assert at in recorded.path
    named = recorded.body.get("model") if provider in MODEL_IN_BODY else recorded.path
    assert upstream in named.replace("%3A", ":"), named
    if provider not in MODEL_IN_BODY:
        assert "model" not in recorded.body
    if provider == "cohere":
        # It answers in lines of JSON where that is what is accepted.
        assert recorded.headers["accept"] == "text/event-stream"


def test_a_model_falls_back_to_its_next_provider(everyone: Origin, gateway_backends: Backends):
    gateway_backends.simulated.behave("[[fail:529]]", path="/anthropic", marker="next-provider")
    path, body = ask("messages", "claude-haiku-4-5", "next-provider [[say:still here]]")
    answer = everyone.post(path, body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-headgate-attempts"] == "2" and answer.json()["model"] == "vertex/claude-haiku-4-5"


def test_an_unconfigured_provider_is_named(gateway_backends: Backends):
    path, body = ask("responses", "mistral/mistral-small-2506", "hello")
    with origin(gateway_backends, {"HEADGATE_PROVIDERS": "openai"}) as running:
        answer = running.post(path, body)
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "provider_not_configured"
    assert "offered by: mistral" in answer.json()["error"]["message"]


def test_the_catalogue_is_listed_by_provider_and_author(everyone: Origin):
    providers = everyone.get("/v1/providers").json()
    assert providers == everyone.get("/v1/models/providers").json()
    slugs = [row["slug"] for row in providers]
    assert set(slugs) == {"openai", "anthropic", *NATIVE, *COMPATIBLE}
    assert next(row for row in providers if row["slug"] == "bedrock")["aliases"] == [
        "aws",
        "aws-bedrock",
        "amazon",
        "amazon-bedrock",
    ]
    listed = everyone.get("/v1/models/providers/grok/models").json()["data"]
    assert "grok-4.3" in {row["id"] for row in listed}
    assert {row["owned_by"] for row in everyone.get("/v1/models/authors/anthropic").json()["data"]} == {"anthropic"}
    assert everyone.get("/v1/models/auto").json()["slug"] == "claude-sonnet-4-6"
    one = everyone.get("/v1/models/claude-haiku-4-5/providers/aws").json()
    assert one["provider_slug"] == "bedrock" and one["pricing"]["tokens"]["input"]["price"]["USD"] == 1
    assert one == everyone.get("/v1/models/anthropic/claude-haiku-4-5/providers/bedrock/").json()
    rows = everyone.get("/v1/models?author.slug=mistral&context_window.gte=200000").json()["data"]
    assert rows and all(row["owned_by"] == "mistral" and row["max_input_tokens"] >= 200_000 for row in rows)
    assert everyone.get("/v1/models/own-custom").json()["providers"]["custom"]["context_window"] == 128_000
    for path in (
        "/v1/models/providers/nobody/models",
        "/v1/models/authors/nobody",
        "/v1/models/gpt-4o/providers/xai",
        "/v1/models/no-such-model",
    ):
        assert everyone.get(path).status_code == 404, path
    assert everyone.get("/v1/models?no.such=1").status_code == 400


def test_what_is_not_configured_is_not_listed(gateway_origin: Origin):
    slugs = {row["slug"] for row in gateway_origin.get("/v1/providers").json()}
    assert slugs == {row.slug for row in PROVIDERS.values() if row.simulated}
    detail = gateway_origin.get("/v1/models/claude-haiku-4-5").json()
    assert set(detail["providers"]) == {"anthropic", "vertex", "bedrock", "azure"}
    # Of the ten, a simulation speaks them all; of the compatible ones none.
    assert gateway_origin.get("/v1/models/gpt-4o/providers/openrouter").status_code == 404

"""The pairs of upstream protocol and frontend, and how either gateway is told to serve one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.bodies import PROTOCOLS, Protocol

UpstreamProtocol = Literal["responses", "chat_completions", "messages", "gemini", "converse", "cohere"]


@dataclass(frozen=True, slots=True)
class Upstream:
    """One upstream protocol. ``model`` is the gateway's name of a model behind it and ``environment`` what makes the
    gateway use this protocol. LiteLLM knows the model as ``litellm`` (for a frontend in ``litellm_for`` by another
    name) with ``settings``, where ``{upstream}`` is the simulated providers' address. ``path`` is where the simulation
    must have heard either of them. ``toolless``: clients whose tools LiteLLM hands on in a form that the vendor
    refuses, so that both are measured without."""

    model: str
    path: str
    litellm: str
    settings: Mapping[str, str]
    litellm_for: Mapping[Protocol, str] = field(default_factory=dict[Protocol, str])
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    toolless: frozenset[Protocol] = frozenset()


UPSTREAMS: dict[UpstreamProtocol, Upstream] = {
    # LiteLLM asks for encrypted reasoning on behalf of Messages clients, which only reasoning models have.
    "responses": Upstream(
        "openai/gpt-5-mini",
        "/openai/v1/responses",
        "openai/gpt-5-mini",
        {"api_base": "{upstream}/openai/v1", "api_key": "simulated"},
        {"chat_completions": "openai/responses/gpt-5-mini"},
        {"HEADGATE_OPENAI_PROTOCOLS": "responses"},
    ),
    # As "openai" LiteLLM would reach Responses for the other two frontends.
    "chat_completions": Upstream(
        "openai/gpt-4o-mini",
        "/openai/v1/chat/completions",
        "custom_openai/gpt-4o-mini",
        {"api_base": "{upstream}/openai/v1", "api_key": "simulated"},
        {"chat_completions": "openai/gpt-4o-mini"},
        {"HEADGATE_OPENAI_PROTOCOLS": "chat_completions"},
    ),
    "messages": Upstream(
        "anthropic/claude-haiku-4-5",
        "/anthropic/v1/messages",
        "anthropic/claude-haiku-4-5",
        {"api_base": "{upstream}/anthropic", "api_key": "simulated"},
    ),
    "gemini": Upstream(
        "vertex/gemini-2.5-flash",
        "/models/gemini-2.5-flash:streamGenerateContent",
        "gemini/gemini-2.5-flash",
        {"api_base": "{upstream}/vertex/v1beta", "api_key": "simulated"},
    ),
    "converse": Upstream(
        "bedrock/claude-haiku-4-5",
        "anthropic.claude-haiku-4-5-20251001-v1:0/converse-stream",
        "bedrock/converse/anthropic.claude-haiku-4-5-20251001-v1:0",
        {
            "aws_bedrock_runtime_endpoint": "{upstream}/bedrock",
            "aws_access_key_id": "AKIDEXAMPLE",
            "aws_secret_access_key": "secret",
            "aws_region_name": "us-east-1",
        },
    ),
    "cohere": Upstream(
        "cohere/command-a",
        "/cohere/v2/chat",
        "cohere_chat/command-a-03-2025",
        {"api_base": "{upstream}/cohere/v2/chat", "api_key": "simulated"},
        # It keeps OpenAI's "strict", which Cohere answers with a 422 ("unknown field").
        toolless=frozenset({"responses"}),
    ),
}


def litellm_name(upstream: UpstreamProtocol, client: Protocol) -> str:
    """What LiteLLM's clients call the model of a pair."""
    return f"bench-{upstream}-{client}"


def litellm_models(url: str) -> list[dict[str, Any]]:
    """The rows of LiteLLM's ``model_list``, one for each pair. ``url`` is the simulated providers' address."""
    rows: list[dict[str, Any]] = []
    for name, upstream in UPSTREAMS.items():
        settings = {key: value.format(upstream=url) for key, value in upstream.settings.items()}
        for client in PROTOCOLS:
            model = upstream.litellm_for.get(client, upstream.litellm)
            rows.append({"model_name": litellm_name(name, client), "litellm_params": {"model": model, **settings}})
    return rows

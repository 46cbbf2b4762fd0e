"""The cloud platforms end to end: Claude, Gemini and other makers' models at Vertex AI, Bedrock and Azure, with each of
the ways to authenticate there, through the three frontends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from dev.serve import Backends
from dev.simulated_providers.recorder import Recorded
from tests.gateway import Origin, origin
from tests.token_server import service_account, token_server
from tests.web.test_providers import FRONTENDS, ask, call_of, streamed_text, text_of

Face = Literal["accounts", "keys"]


@dataclass(frozen=True)
class Place:
    """A model at a platform: the gateway that has the credentials, the name to ask for, where the vendor hears it
    (``{method}`` for what differs between a stream and a JSON answer) and with which header it is authenticated."""

    face: Face
    model: str
    heard_at: str
    header: str
    value: str


_LOCATION = "/vertex/v1/projects/from-file/locations/europe-west1"
PLACES = {
    "claude_vertex": Place(
        "accounts",
        "vertex/claude-haiku-4-5",
        f"{_LOCATION}/publishers/anthropic/models/claude-haiku-4-5@20251001:",
        "authorization",
        "Bearer ya29.vertex",
    ),
    "gemini_vertex": Place(
        "accounts",
        "vertex/gemini-2.5-flash",
        f"{_LOCATION}/publishers/google/models/gemini-2.5-flash:streamGenerateContent",
        "authorization",
        "Bearer ya29.vertex",
    ),
    "partner_vertex": Place(
        "accounts",
        "vertex/glm-4.7",
        f"{_LOCATION}/endpoints/openapi/chat/completions",
        "authorization",
        "Bearer ya29.vertex",
    ),
    "gemini_key": Place(
        "keys",
        "vertex/gemini-2.5-flash",
        "/vertex/v1beta/models/gemini-2.5-flash:streamGenerateContent",
        "x-goog-api-key",
        "AIza-plain",
    ),
    "claude_bedrock_role": Place(
        "accounts",
        "bedrock/claude-haiku-4-5",
        "/bedrock/model/eu.anthropic.claude-haiku-4-5-20251001-v1:0/converse-stream",
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKIDROLE/",
    ),
    "claude_bedrock_key": Place(
        "keys",
        "bedrock/claude-haiku-4-5",
        "/bedrock/model/arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/own-1/converse-stream",
        "authorization",
        "Bearer bedrock-key",
    ),
    "claude_azure_key": Place("keys", "azure/claude-haiku-4-5", "/azure/anthropic/v1/messages", "api-key", "azure-key"),
    "claude_azure_entra": Place(
        "accounts", "azure/claude-haiku-4-5", "/azure/anthropic/v1/messages", "authorization", "Bearer entra-token"
    ),
    "openai_azure_key": Place("keys", "azure/gpt-5-mini", "/azure/openai/v1/", "api-key", "azure-key"),
    "openai_azure_entra": Place(
        "accounts", "azure/gpt-5-mini", "/azure/openai/v1/", "authorization", "Bearer entra-token"
    ),
}


@pytest.fixture(scope="module")
def gateways(gateway_backends: Backends) -> Iterator[Callable[[Face], Origin]]:
    """Two gateways over the simulated platforms: one with accounts (service account, Entra application, AWS role), one
    with plain keys, deployments of its own names and an application inference profile."""
    with ExitStack() as stack:
        google, _ = stack.enter_context(token_server({"access_token": "ya29.vertex", "expires_in": 3600}))
        entra, _ = stack.enter_context(token_server({"access_token": "entra-token", "expires_in": 3600}))
        url = gateway_backends.simulated.url
        both = {
            "HEADGATE_VERTEX_BASE_URL": f"{url}/vertex",
            "HEADGATE_BEDROCK_BASE_URL": f"{url}/bedrock",
            "HEADGATE_AZURE_BASE_URL": f"{url}/azure",
        }
        application = {"tenant_id": "t", "client_id": "c", "client_secret": "s", "authority": entra}
        accounts = {
            **both,
            "HEADGATE_VERTEX_API_KEY": service_account(google),
            "HEADGATE_VERTEX_LOCATION": "europe-west1",
            "HEADGATE_AZURE_API_KEY": json.dumps(application),
            "HEADGATE_BEDROCK_REGION": "eu-central-1",
            "HEADGATE_BEDROCK_PROFILE": "geographic",
            "AWS_ACCESS_KEY_ID": "AKIDROLE",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": "session",
        }
        keys = {
            **both,
            "HEADGATE_VERTEX_API_KEY": "AIza-plain",
            "HEADGATE_AZURE_API_KEY": "azure-key",
            "HEADGATE_AZURE_MODEL_IDS": "gpt-5-mini=team-gpt-5-mini,claude-haiku-4-5=claude-haiku-4-5-team",
            "HEADGATE_BEDROCK_API_KEY": "bedrock-key",
            "HEADGATE_BEDROCK_MODEL_IDS": "anthropic.claude-haiku-4-5-20251001-v1:0="
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/own-1",
        }
        environments: dict[Face, dict[str, str]] = {"accounts": accounts, "keys": keys}
        running: dict[Face, Origin] = {}

        def get(face: Face) -> Origin:
            if face not in running:
                running[face] = stack.enter_context(origin(gateway_backends, environments[face]))
            return running[face]

        yield get


def heard(backends: Backends, place: Place, marker: str) -> Recorded:
    """The one request that the vendor got, at its address and with its credentials."""
    (recorded,) = backends.simulated.recorded(marker=marker)
    assert recorded.path.startswith(place.heard_at), recorded.path
    assert recorded.headers[place.header].startswith(place.value), recorded.headers
    assert "sk-hg-v1" not in json.dumps(recorded.headers), "the gateway's own key never travels"
    return recorded


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("name", PLACES)
def test_text(
    gateways: Callable[[Face], Origin], gateway_backends: Backends, name: str, frontend: str, *, stream: bool
):
    place = PLACES[name]
    marker = f"text-{name}-{frontend}-{stream}"
    path, body = ask(frontend, place.model, f"{marker} [[say:Words of {name}.]]", stream=stream)
    answer = gateways(place.face).post(path, body)
    assert answer.status_code == 200, answer.text
    said = streamed_text(frontend, answer.text) if stream else text_of(frontend, answer.json())
    assert said == f"Words of {name}."
    assert f'"{place.model}"' in answer.text
    assert answer.headers["x-headgate-provider"] == place.model.partition("/")[0]
    assert answer.headers["x-headgate-attempts"] == "1" and "x-headgate-simulated" not in answer.headers
    recorded = heard(gateway_backends, place, marker)
    if name == "claude_vertex":
        # A relayed JSON answer is asked for as one; what is translated always streams.
        streamed = stream or frontend != "messages"
        assert recorded.path.endswith(":streamRawPredict" if streamed else ":rawPredict")
        assert "model" not in recorded.body and recorded.body["anthropic_version"] == "vertex-2023-10-16"
    if place.model == "azure/gpt-5-mini":
        assert recorded.body["model"] == ("team-gpt-5-mini" if place.face == "keys" else "gpt-5-mini")
        assert recorded.path.endswith("/chat/completions" if frontend == "chat_completions" else "/responses")
    if name == "partner_vertex":
        assert recorded.body["model"] == "zai-org/glm-4.7-maas"


@pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("name", PLACES)
def test_a_tool_call(gateways: Callable[[Face], Origin], name: str, frontend: str, *, stream: bool):
    place = PLACES[name]
    path, body = ask(frontend, place.model, "What is the weather in Paris?", tool=True, stream=stream)
    answer = gateways(place.face).post(path, body)
    assert answer.status_code == 200, answer.text
    called, arguments = streamed_call(frontend, answer.text) if stream else call_of(frontend, answer.json())
    assert called == "get_weather" and isinstance(arguments["city"], str)


def streamed_call(frontend: str, raw: str) -> tuple[str, dict[str, Any]]:
    events = [json.loads(line[5:]) for line in raw.splitlines() if line.startswith("data:") and "[DONE]" not in line]
    if frontend == "responses":
        (call,) = [item for item in events[-1]["response"]["output"] if item["type"] == "function_call"]
        return call["name"], json.loads(call["arguments"])
    if frontend == "chat_completions":
        pieces = [
            call["function"]
            for event in events
            if event["choices"]
            for call in event["choices"][0]["delta"].get("tool_calls") or []
        ]
        return pieces[0]["name"], json.loads("".join(piece.get("arguments", "") for piece in pieces))
    (start,) = [
        event["content_block"]
        for event in events
        if event["type"] == "content_block_start" and event["content_block"]["type"] == "tool_use"
    ]
    deltas = [event["delta"] for event in events if event["type"] == "content_block_delta"]
    return start["name"], json.loads("".join(delta.get("partial_json", "") for delta in deltas))

"""Facts of the cloud platforms that rows, catalogue and regions hold: profiles, locations, betas, token counts."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.session import Session

from headgate.catalog.catalog import Catalog
from headgate.providers.auth import Access, Credentials
from headgate.providers.auth_tokens import CredentialFault
from headgate.providers.bedrock_regions import callable_from, choose, geographies
from headgate.providers.betas import asked_betas, converse_betas, countable, platform_betas
from headgate.providers.counting import count_request, counted
from headgate.providers.fit import fit_body
from headgate.providers.rows import PROVIDERS
from headgate.providers.table import Protocol, Provider
from headgate.routing.candidates import reachable, resolve
from tests.token_server import service_account, token_server

CATALOG = Catalog.bundled()
ROWS = {**PROVIDERS, "gemini_key": PROVIDERS["vertex"].with_key or PROVIDERS["vertex"]}


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("us-east-1", ["us"]),
        ("us-west-2", ["us"]),
        ("ca-central-1", ["us"]),
        ("eu-central-1", ["eu"]),
        ("eu-west-2", ["eu"]),
        ("ap-northeast-1", ["jp", "apac"]),
        ("ap-northeast-2", ["apac"]),
        ("ap-northeast-3", ["jp", "apac"]),
        ("ap-southeast-2", ["au", "apac"]),
        ("ap-southeast-1", ["apac"]),
        ("ap-south-1", ["in", "apac"]),
        ("us-gov-west-1", ["us-gov"]),
        ("sa-east-1", []),
        ("me-central-1", []),
        ("af-south-1", []),
    ],
)
def test_the_geographies_of_a_region(region: str, expected: list[str]):
    assert geographies(region) == expected
    assert callable_from("global", region) == (not region.startswith("us-gov"))


@pytest.mark.parametrize(
    ("offered", "preferred", "region", "expected"),
    [
        (("global", "us", "eu"), "global", "eu-west-1", "global"),
        (("us", "eu", "apac"), "global", "eu-west-1", "eu"),
        (("us", "eu", "apac"), "global", "ap-northeast-1", "apac"),
        (("us", "eu", "jp", "au"), "global", "ap-northeast-1", "jp"),
        (("us", "eu"), "global", "ap-northeast-1", None),
        (("us",), "global", "eu-west-1", None),
        (("us",), "global", "sa-east-1", None),
        (("global", "us"), "global", "us-gov-west-1", None),
        (("global", "us", "eu"), "geographic", "eu-west-1", "eu"),
        (("global", "us"), "geographic", "eu-west-1", None),
        (("global", "us", "eu"), "eu", "eu-west-1", "eu"),
        (("global", "us"), "eu", "eu-west-1", None),
        (("global", "us"), "none", "us-east-1", None),
        ((), "global", "us-east-1", None),
    ],
)
def test_the_profile_is_chosen_by_region(offered: tuple[str, ...], preferred: str, region: str, expected: str | None):
    assert choose(offered, preferred, region) == expected


async def bedrock(region: str, **environ: str) -> Access:
    found = await Credentials({"HEADGATE_BEDROCK_API_KEY": "k", "HEADGATE_BEDROCK_REGION": region, **environ}).access(
        PROVIDERS["bedrock"]
    )
    assert found is not None
    return found


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-3", "ap-northeast-1", "ap-southeast-2", "sa-east-1"])
@pytest.mark.parametrize("preferred", ["global", "geographic", "none"])
async def test_no_model_is_asked_for_under_a_profile_that_the_region_lacks(region: str, preferred: str):
    access = await bedrock(region, HEADGATE_BEDROCK_PROFILE=preferred)
    offers = [route for model in CATALOG for route in model.routes if route.provider == "bedrock"]
    asked = [route.at(access) for route in offers]
    for offer, route in zip(offers, asked, strict=True):
        if route is None:
            assert offer.needs_profile
            continue
        profile = route.model.removesuffix(offer.model).rstrip(".")
        assert profile or not offer.needs_profile
        assert not profile or (callable_from(profile, region) and profile in offer.profiles)
        assert preferred == "global" or profile != "global"
        assert preferred != "none" or not profile
    if preferred == "global":
        reached = {offer.model for offer, route in zip(offers, asked, strict=True) if route}
        assert {"anthropic.claude-haiku-4-5-20251001-v1:0", "anthropic.claude-sonnet-4-6"} <= reached, "from anywhere"


async def test_a_profile_of_another_geography_is_a_fault_of_the_configuration():
    for region, profile in (("us-east-1", "eu"), ("eu-west-1", "apac"), ("us-east-1", "nonsense")):
        with pytest.raises(CredentialFault, match=re.escape(f"HEADGATE_BEDROCK_PROFILE {profile!r}")):
            await bedrock(region, HEADGATE_BEDROCK_PROFILE=profile)
    assert (await bedrock("eu-west-1", HEADGATE_BEDROCK_PROFILE="eu")).profile == "eu"


@pytest.mark.parametrize(
    "model",
    [
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
        "amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-west-2:123456789012:application-inference-profile/abc-1",
    ],
)
async def test_a_signature_is_the_one_that_aws_tools_make(model: str, monkeypatch: pytest.MonkeyPatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}.items():
        monkeypatch.setenv(name, value)
    found = await Credentials({"HEADGATE_BEDROCK_REGION": "us-west-2"}).access(PROVIDERS["bedrock"])
    assert found is not None
    url, body = found.url("converse", model), b'{"messages":[]}'
    assert model.count(":") == url.count("%3A") and model.count("/") == url.count("%2F")
    ours = await found.authorized(url, body, {})
    # The path that boto3 asks for, and the time at which ours was signed.
    client = Session().create_client("bedrock-runtime", region_name="us-west-2")
    prepared: list[Any] = []

    def before_send(request: Any, **_: Any) -> Any:
        prepared.append(request)
        raise RuntimeError("far enough")

    client.meta.events.register("before-send.bedrock-runtime.*", before_send)
    with pytest.raises(RuntimeError):
        client.converse_stream(modelId=model, messages=[{"role": "user", "content": [{"text": "x"}]}])
    assert prepared[0].url == url
    credentials = Session().get_credentials()
    assert credentials is not None
    request = AWSRequest("POST", url, data=body)
    signed_at = datetime.strptime(ours["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda remove_tzinfo=True: signed_at)
    SigV4Auth(credentials.get_frozen_credentials(), "bedrock", "us-west-2").add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]


async def test_models_that_vertex_has_in_one_place_are_asked_for_there():
    with token_server({"access_token": "t", "expires_in": 3600}) as (address, _):
        account = service_account(address)

        async def address_of(name: str, **environ: str) -> str:
            credentials = Credentials({"HEADGATE_VERTEX_API_KEY": account, **environ})
            (found, *_) = await reachable(resolve(name, CATALOG), credentials, "responses", name)
            return found.access.url(found.protocol, found.route.model)

        llama = "vertex/llama-4-maverick"
        place = "projects/from-file/locations/us-east5/endpoints/openapi/chat/completions"
        assert await address_of(llama) == f"https://us-east5-aiplatform.googleapis.com/v1/{place}"
        # Where the deployment names a region, that stays the place.
        chosen = await address_of(llama, HEADGATE_VERTEX_LOCATION="europe-west1")
        assert chosen.startswith("https://europe-west1-aiplatform.googleapis.com/") and "us-east5" not in chosen
        proxied = await address_of(llama, HEADGATE_VERTEX_BASE_URL="http://proxy")
        assert proxied.startswith("http://proxy/v1/projects/from-file/locations/us-east5/")
        everywhere = await address_of("vertex/glm-4.7")
        assert everywhere.startswith("https://aiplatform.googleapis.com/v1/projects/from-file/locations/global/")


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("us-east5", "us-east5-aiplatform.googleapis.com"),
    ],
)
async def test_vertex_hosts(location: str, host: str):
    with token_server({"access_token": "t", "expires_in": 3600}) as (address, _):
        environ = {"HEADGATE_VERTEX_API_KEY": service_account(address), "GOOGLE_CLOUD_LOCATION": location}
        found = await Credentials(environ).access(PROVIDERS["vertex"])
    assert found is not None and found.base_url == f"https://{host}"
    assert f"/locations/{location}/publishers/anthropic/models/count-tokens:rawPredict" in found.url("messages.count")


def test_betas_of_each_platform():
    asked = asked_betas("context-1m-2025-08-07, effort-2025-11-24,,effort-2025-11-24, advanced-tool-use-2025-11-20")
    assert asked == ["context-1m-2025-08-07", "effort-2025-11-24", "advanced-tool-use-2025-11-20"]
    assert platform_betas(PROVIDERS["anthropic"], asked) == asked
    assert platform_betas(PROVIDERS["vertex"], asked) == ["context-1m-2025-08-07", "tool-search-tool-2025-10-19"]
    assert platform_betas(PROVIDERS["azure"], asked) == asked
    assert converse_betas(PROVIDERS["bedrock"], "converse", asked) == ["context-1m-2025-08-07"]
    assert converse_betas(PROVIDERS["anthropic"], "messages", asked) == []
    searching = {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}
    assert platform_betas(PROVIDERS["vertex"], [], searching) == ["web-search-2025-03-05"]
    assert platform_betas(PROVIDERS["azure"], [], searching) == []
    finding = {"tools": [{"type": "tool_search_tool_bm25_20251119", "name": "t"}, {"name": "f", "strict": True}]}
    assert platform_betas(PROVIDERS["vertex"], asked, finding)[1:] == ["tool-search-tool-2025-10-19"]
    assert platform_betas(PROVIDERS["azure"], [], finding) == ["structured-outputs-2025-11-13"]
    assert countable(PROVIDERS["vertex"], ["web-search-2025-03-05", "context-1m-2025-08-07"]) == [
        "context-1m-2025-08-07"
    ]


def test_betas_for_bedrock_go_into_the_body():
    body = {"messages": [], "additionalModelRequestFields": {"top_k": 3}}
    fitted, losses = fit_body(PROVIDERS["bedrock"], "converse", body, ["context-1m-2025-08-07"])
    own = {"top_k": 3, "anthropic_beta": ["context-1m-2025-08-07"]}
    assert fitted == {"messages": [], "additionalModelRequestFields": own} and not losses
    assert fit_body(PROVIDERS["bedrock"], "converse", body) == (body, []) and "anthropic_beta" not in json.dumps(body)


MESSAGES: dict[str, Any] = {"model": "c", "max_tokens": 5, "stream": True, "messages": [1], "system": "s", "top_k": 1}
GEMINI: dict[str, Any] = {"contents": [1], "systemInstruction": 2, "generationConfig": {}, "safetySettings": []}
CONVERSE: dict[str, Any] = {"messages": [1], "inferenceConfig": {}, "toolConfig": 2, "additionalModelRequestFields": {}}
PLAIN = "anthropic.claude-opus-4-8"


@pytest.mark.parametrize(
    ("row", "protocol", "model", "payload", "expected"),
    [
        ("anthropic", "messages", "c", MESSAGES, ("c", {"model": "c", "messages": [1], "system": "s"})),
        ("azure", "messages", "c", MESSAGES, ("c", {"model": "c", "messages": [1], "system": "s"})),
        (
            "vertex",
            "messages",
            "c",
            MESSAGES,
            ("c", {"anthropic_version": "vertex-2023-10-16", "model": "c", "messages": [1], "system": "s"}),
        ),
        ("vertex", "gemini", "g", GEMINI, ("g", {"contents": [1], "systemInstruction": 2})),
        (
            "gemini_key",
            "gemini",
            "g",
            GEMINI,
            ("g", {"generateContentRequest": {"model": "models/g", "contents": [1], "systemInstruction": 2}}),
        ),
        (
            "bedrock",
            "converse",
            f"global.{PLAIN}",
            CONVERSE,
            (PLAIN, {"input": {"converse": {"messages": [1], "toolConfig": 2}}}),
        ),
        ("bedrock", "converse", "us.amazon.nova-lite-v1:0", CONVERSE, None),
        ("bedrock", "converse", "arn:aws:bedrock:us-east-1:1:application-inference-profile/x", CONVERSE, None),
        ("vertex", "chat_completions", "m", {}, None),
        ("azure", "responses", "m", {}, None),
    ],
)
def test_what_is_asked_to_count(
    row: str, protocol: Protocol, model: str, payload: dict[str, Any], expected: tuple[str, dict[str, Any]] | None
):
    provider: Provider = ROWS[row]
    assert count_request(provider, protocol, model, payload) == expected


def test_what_a_count_says():
    assert counted("gemini", {"totalTokens": 7, "promptTokensDetails": []}) == 7
    assert counted("converse", {"inputTokens": 8}) == 8
    assert counted("messages", {"input_tokens": 0}) == 0
    for wrong in ({}, {"input_tokens": "7"}, {"input_tokens": -1}, {"input_tokens": True}, [], None):
        assert counted("responses", wrong) is None

import asyncio
import json
from datetime import datetime
from typing import Any

import pytest

from headgate.catalog.catalog import Catalog
from headgate.errors import GatewayError
from headgate.providers.auth import Access, Credentials
from headgate.providers.auth_tokens import CredentialFault
from headgate.providers.fit import fit_body
from headgate.providers.rows import COMPATIBLE, PROVIDERS, find_provider
from headgate.providers.table import Provider, index
from headgate.routing.candidates import Candidate, reachable, resolve
from headgate.web.headers import upstream_headers
from tests.token_server import service_account, token_server

CATALOG = Catalog.bundled()


async def access(slug: str, **environ: str) -> Access:
    found = await Credentials(environ).access(PROVIDERS[slug])
    assert found is not None, slug
    return found


@pytest.mark.parametrize(
    ("slug", "aliases"),
    [
        ("openai", "open-ai oai"),
        ("anthropic", "anthropic-ai"),
        ("azure", "microsoft microsoft-azure ms-azure"),
        ("bedrock", "aws aws-bedrock amazon amazon-bedrock"),
        ("xai", "x-ai grok"),
        ("cohere", ""),
        ("mistral", "mistralai"),
        ("vertex", "google-vertex vertex-ai"),
        ("cloudflare", "cf cloudflare-ai"),
        ("huggingface", "hf hugging-face"),
    ],
)
def test_providers_answer_to_their_aliases(slug: str, aliases: str):
    for name in (slug, *aliases.split(), slug.upper()):
        found = find_provider(name)
        assert found is not None and found.slug == slug


def test_two_rows_cannot_have_one_name():
    rows = (Provider("a", "A", "https://a", aliases=("x",)), Provider("b", "B", "https://b", aliases=("x",)))
    with pytest.raises(ValueError, match="'x' names both 'a' and 'b'"):
        index(rows)


def test_every_protocol_of_a_row_has_a_path():
    for row in PROVIDERS.values():
        for each in (row, row.with_key or row):
            assert set(each.protocols) <= set(each.paths), row.slug
            assert set(each.simulated) <= set(each.protocols), row.slug


async def test_a_compatible_provider_is_one_row():
    row = Provider("newcomer", "Newcomer", "https://api.newcomer.example/v1", quirks=COMPATIBLE)
    found = await Credentials({"HEADGATE_NEWCOMER_API_KEY": "k"}).access(row)
    assert found is not None and found.protocols == ("chat_completions",)
    assert found.url("chat_completions", "m") == "https://api.newcomer.example/v1/chat/completions"
    assert found.headers == {"authorization": "Bearer k"}


ADDRESSES: list[tuple[str, dict[str, str], str, str, str]] = [
    ("xai", {"XAI_API_KEY": "k"}, "responses", "m", "https://api.x.ai/v1/responses"),
    ("mistral", {"MISTRAL_API_KEY": "k"}, "chat_completions", "m", "https://api.mistral.ai/v1/chat/completions"),
    ("cohere", {"CO_API_KEY": "k"}, "cohere", "m", "https://api.cohere.com/v2/chat"),
    (
        "cloudflare",
        {"CLOUDFLARE_API_TOKEN": "k", "CLOUDFLARE_ACCOUNT_ID": "acc"},
        "chat_completions",
        "@cf/m",
        "https://api.cloudflare.com/client/v4/accounts/acc/ai/v1/chat/completions",
    ),
    (
        "azure",
        {"AZURE_API_KEY": "k", "AZURE_RESOURCE_NAME": "res"},
        "messages",
        "claude",
        "https://res.services.ai.azure.com/anthropic/v1/messages",
    ),
    (
        "vertex",
        {"GEMINI_API_KEY": "k"},
        "gemini",
        "gemini-2.5-pro",
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse",
    ),
    (
        "bedrock",
        {"AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_REGION": "eu-west-1"},
        "converse",
        "anthropic.claude-v1:0",
        "https://bedrock-runtime.eu-west-1.amazonaws.com/model/anthropic.claude-v1%3A0/converse-stream",
    ),
    (
        "custom",
        {"HEADGATE_CUSTOM_BASE_URL": "http://box:8000/v1/"},
        "chat_completions",
        "m",
        "http://box:8000/v1/chat/completions",
    ),
]


@pytest.mark.parametrize(("slug", "environ", "path", "model", "expected"), ADDRESSES, ids=lambda each: str(each)[:20])
async def test_addresses(slug: str, environ: dict[str, str], path: str, model: str, expected: str):
    assert (await access(slug, **environ)).url(path, model) == expected


async def test_what_an_address_needs_must_be_configured():
    for slug, environ in (
        ("cloudflare", {"CLOUDFLARE_API_KEY": "k"}),
        ("azure", {"AZURE_API_KEY": "k"}),
        ("custom", {}),
    ):
        assert await Credentials(environ).access(PROVIDERS[slug]) is None


async def test_keys_travel_as_the_vendors_want_them():
    assert (await access("vertex", GOOGLE_API_KEY="k")).headers == {"x-goog-api-key": "k"}
    assert (await access("azure", AZURE_API_KEY="k", AZURE_RESOURCE_NAME="r")).headers["api-key"] == "k"
    assert (await access("bedrock", AWS_BEARER_TOKEN_BEDROCK="k")).headers["authorization"] == "Bearer k"
    assert (await access("huggingface", HF_TOKEN="k")).headers == {"authorization": "Bearer k"}


async def test_only_the_providers_that_the_deployment_lists_are_used():
    credentials = Credentials({"HEADGATE_PROVIDERS": "openai", "OPENAI_API_KEY": "a", "XAI_API_KEY": "b"})
    assert await credentials.access(PROVIDERS["openai"]) is not None
    assert await credentials.access(PROVIDERS["xai"]) is None


async def test_a_simulation_stands_in_only_where_there_is_one():
    credentials = Credentials({}, simulated_url="http://127.0.0.1:9")
    found = {slug for slug, row in PROVIDERS.items() if await credentials.access(row)}
    assert found == {slug for slug, row in PROVIDERS.items() if row.simulated}
    cloudflare = await credentials.access(PROVIDERS["cloudflare"])
    assert cloudflare and cloudflare.base_url.endswith("/cloudflare/client/v4/accounts/simulated/ai/v1")
    for slug in ("vertex", "bedrock", "azure"):
        access = await credentials.access(PROVIDERS[slug])
        assert access and access.protocols == PROVIDERS[slug].protocols and access.simulated


async def test_a_service_account_gets_a_token_once_and_its_own_project(tmp_path: Any):
    with token_server({"access_token": "ya29.t", "expires_in": 3600, "token_type": "Bearer"}) as (address, forms):
        file = tmp_path / "account.json"
        file.write_text(service_account(address))
        environ = {"GOOGLE_APPLICATION_CREDENTIALS": str(file), "GOOGLE_CLOUD_LOCATION": "europe-west1"}
        vertex = await access("vertex", **environ)
        claude = vertex.url("messages", "claude-opus-4-6@default", stream=False)
        base = "https://europe-west1-aiplatform.googleapis.com/v1/projects/from-file/locations/europe-west1"
        assert claude == f"{base}/publishers/anthropic/models/claude-opus-4-6@default:rawPredict"
        assert vertex.url("messages", "c").endswith("/c:streamRawPredict")
        assert vertex.url("chat_completions", "x").startswith(f"{base}/endpoints/openapi/")
        headers = await asyncio.gather(*(vertex.authorized(claude, b"{}", {"x": "y"}) for _ in range(3)))
    assert headers == [{"x": "y", "authorization": "Bearer ya29.t"}] * 3
    assert len(forms) == 1 and "assertion=" in forms[0]


async def test_an_entra_application_gets_a_token_until_it_nears_its_end():
    with token_server({"access_token": "entra", "expires_in": 200}) as (address, forms):
        secret = {"tenant_id": "t", "client_id": "c", "client_secret": "s", "authority": address}
        azure = await access("azure", HEADGATE_AZURE_API_KEY=json.dumps(secret), AZURE_RESOURCE_NAME="r")
        for _ in range(2):
            assert (await azure.authorized("https://x", b"", {}))["authorization"] == "Bearer entra"
    assert len(forms) == 2 and "client_secret=s" in forms[0], "a token of 200 seconds is never kept"


async def test_bedrock_is_signed_with_the_functions_role(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}.items():
        monkeypatch.setenv(name, value)
    bedrock = await access("bedrock", HEADGATE_BEDROCK_REGION="us-west-2")
    url = bedrock.url("converse", "amazon.nova-lite-v1:0")
    headers = await bedrock.authorized(url, b"{}", bedrock.headers)
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert "/us-west-2/bedrock/aws4_request" in headers["authorization"]
    assert headers["x-amz-security-token"] == "t" and datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
    assert headers["authorization"] != (await bedrock.authorized(url, b"{ }", {}))["authorization"]
    assert await Credentials({"AWS_ACCESS_KEY_ID": "AKID"}).access(PROVIDERS["bedrock"]) is None, "a role is no consent"


async def test_unusable_credentials_are_reported_and_never_shown():
    with pytest.raises(CredentialFault) as caught:
        await Credentials({"HEADGATE_VERTEX_API_KEY": '{"private_key": "SECRET'}).access(PROVIDERS["vertex"])
    assert "SECRET" not in str(caught.value)
    credentials = Credentials({"HEADGATE_VERTEX_API_KEY": "{broken"})
    with pytest.raises(GatewayError, match="'vertex' are not a JSON object"):
        await reachable(resolve("gemini-2.5-pro", CATALOG), credentials, "responses", "gemini-2.5-pro")
    broken = json.dumps({"type": "service_account", "project_id": "p", "private_key": "SECRET"})
    vertex = await access("vertex", HEADGATE_VERTEX_API_KEY=broken)
    with pytest.raises(CredentialFault) as caught:
        await vertex.authorized("https://x", b"", {})
    assert "SECRET" not in str(caught.value)


def test_mistrals_dialect():
    body = {
        "model": "m",
        "messages": [],
        "seed": 7,
        "logit_bias": {"1": 2},
        "store": False,
        "user": None,
        "stop": ["x"],
    }
    fitted, losses = fit_body(PROVIDERS["mistral"], "chat_completions", body)
    assert fitted == {"model": "m", "messages": [], "random_seed": 7, "stop": ["x"]}
    assert [loss.path for loss in losses] == ["logit_bias"]
    assert fit_body(PROVIDERS["openai"], "chat_completions", body) == (body, [])


def test_claude_on_vertex_has_its_version_in_the_body_and_its_model_in_the_path():
    fitted, losses = fit_body(PROVIDERS["vertex"], "messages", {"model": "claude", "max_tokens": 1, "messages": []})
    assert fitted == {"anthropic_version": "vertex-2023-10-16", "max_tokens": 1, "messages": []} and not losses


@pytest.mark.parametrize(
    ("provider", "kept"), [("anthropic", "new-1,interleaved-thinking-2025-05-14"), ("azure", None)]
)
async def test_betas_are_filtered_by_what_the_upstream_knows(provider: str, kept: str | None):
    environ = {"ANTHROPIC_API_KEY": "k", "AZURE_API_KEY": "k", "AZURE_RESOURCE_NAME": "r"}
    pairs = [pair for pair in resolve("claude-opus-4-6", CATALOG) if pair[1].provider == provider]
    candidate: Candidate = (await reachable(pairs, Credentials(environ), "messages", "claude-opus-4-6"))[0]
    client = {
        "anthropic-version": "2026-10-21",
        "anthropic-beta": "new-1, interleaved-thinking-2025-05-14, new-1, message-threads-2026-08-12",
    }
    headers = upstream_headers(candidate, client, "messages")
    assert headers["anthropic-beta"] == (kept or "interleaved-thinking-2025-05-14")
    assert headers["anthropic-version"] == ("2026-10-21" if kept else "2023-06-01")

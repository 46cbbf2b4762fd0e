import json
from decimal import Decimal

import pytest

from dev.build_catalog import BadData, build, pico_per_token
from headgate.catalog.catalog import FILE, Catalog, price_from, split_name
from headgate.catalog.views import detail, listing
from headgate.providers.auth import Credentials
from headgate.providers.rows import PROVIDERS

TEN = {"openai", "anthropic", "vertex", "bedrock", "azure", "xai", "cohere", "mistral", "cloudflare", "huggingface"}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.bundled()


def test_every_route_is_whole(catalog: Catalog):
    models = list(catalog)
    assert len(models) >= 120
    assert sum(len(model.routes) for model in models) >= 200
    assert {route.provider for model in models for route in model.routes} == TEN
    for model in models:
        assert model.routes and model.released > 1_500_000_000
        for route in model.routes:
            assert route.provider in PROVIDERS
            assert route.price.input > 0 and route.price.output > 0
            assert 0 < route.max_output_tokens <= route.context_window
            assert route.thinking in ("none", "effort", "budget", "adaptive", "level")
            assert route.target().model == route.model


def test_names_do_not_collide():
    data = json.loads(FILE.read_bytes())
    names = [name for model in data["models"] for name in (model["slug"], *model["aliases"])]
    assert len(names) == len(set(names))


def test_known_prices_are_exact(catalog: Catalog):
    haiku = catalog.find("claude-haiku-4-5")
    assert haiku is not None
    price = haiku.routes[0].price
    assert (price.input, price.output, price.cache_read) == (1_000_000, 5_000_000, 100_000)
    assert (price.cache_write_5m, price.cache_write_1h) == (1_250_000, 2_000_000)
    tiered = catalog.find("gpt-5.4")
    assert tiered is not None
    assert tiered.routes[0].price.at(272_000).input == 2_500_000
    assert tiered.routes[0].price.at(272_001).input == 5_000_000
    assert tiered.routes[0].price.at(272_001).web_search == 10**10


def test_dated_names_find_the_same_model(catalog: Catalog):
    assert catalog.find("claude-haiku-4-5-20251001") is catalog.find("claude-haiku-4-5")
    assert catalog.find("no-such-model") is None
    assert split_name("oai/gpt-4o") == ("openai", "gpt-4o")
    assert split_name("google/gemini") == (None, "google/gemini")


@pytest.mark.parametrize("bad", [-1, "free", True, None, float("nan"), 0.0000001])
def test_a_bad_price_stops_the_build(bad: object):
    with pytest.raises((BadData, ArithmeticError)):
        pico_per_token(bad, "x")


@pytest.mark.parametrize("bad", [{"input": 1.5, "output": 1}, {"input": -1, "output": 1}, {"input": True, "output": 1}])
def test_a_bad_price_stops_the_load(bad: dict[str, object]):
    with pytest.raises(ValueError, match="price input"):
        price_from(bad)


def test_a_price_that_is_missing_is_an_error_not_zero():
    overlay = json.loads(FILE.with_name("overlay.json").read_bytes())
    entry = {
        "id": "m",
        "name": "m",
        "cost": {"input": 1},
        "limit": {"context": 9, "output": 9},
        "modalities": {"input": ["text"], "output": ["text"]},
        "release_date": "2026-01-01",
    }
    broken = {"models": {"m": entry}}
    with pytest.raises(BadData, match="no output price"):
        build({"openai": broken, "anthropic": {"models": {}}}, overlay)


def test_listing_and_detail_show_dollars(catalog: Catalog):
    model = catalog.find("gpt-4o-mini")
    assert model is not None
    shown = detail(model, catalog)
    assert shown["providers"]["openai"]["pricing"]["tokens"]["input"] == {"price": {"USD": 0.15}, "units": 1_000_000}
    assert Decimal(str(shown["providers"]["openai"]["pricing"]["tool_calls"]["web_search"]["price"]["USD"])) == 10
    rows = listing(list(catalog))["data"]
    assert [row["created"] for row in rows] == sorted((row["created"] for row in rows), reverse=True)
    assert "pricing" not in json.dumps(rows)


def test_the_same_model_at_several_providers_is_one_entry(catalog: Catalog):
    def providers(name: str) -> list[str]:
        model = catalog.find(name)
        assert model is not None, name
        return [route.provider for route in model.routes]

    assert providers("claude-sonnet-4-5") == ["anthropic", "vertex", "bedrock", "azure"]
    assert {"bedrock", "cloudflare", "huggingface"} <= set(providers("gpt-oss-120b"))
    assert providers("gpt-5") == ["openai", "azure"]
    for alias in ("openai.gpt-oss-120b-1:0", "@cf/openai/gpt-oss-120b", "openai/gpt-oss-120b"):
        assert catalog.find(alias) is catalog.find("gpt-oss-120b")
    for model in catalog:
        offers = [route.provider for route in model.routes]
        assert len(offers) == len(set(offers)), model.slug


def test_gemini_is_asked_by_budget_until_2_5_and_by_level_from_3_on(catalog: Catalog):
    older, newer = catalog.find("gemini-2.5-pro"), catalog.find("gemini-3.1-pro")
    assert older and newer
    assert older.routes[0].thinking == "budget" and not older.routes[0].quirks
    assert newer.routes[0].thinking == "level" and "thought_signatures" in newer.routes[0].target().quirks


async def test_bedrock_is_called_by_the_inference_profile_at_its_own_price(catalog: Catalog):
    model = catalog.find("claude-sonnet-4-5")
    assert model is not None
    offer = next(route for route in model.routes if route.provider == "bedrock")

    async def at(**environ: str):
        access = await Credentials({"AWS_BEARER_TOKEN_BEDROCK": "k", **environ}).access(PROVIDERS["bedrock"])
        assert access is not None
        return offer.at(access)

    plain = "anthropic.claude-sonnet-4-5-20250929-v1:0"
    route = await at()
    assert route and route.model == f"global.{plain}" and route.price.input == 3_000_000
    route = await at(HEADGATE_BEDROCK_PROFILE="eu", AWS_REGION="eu-west-1")
    assert route and route.model == f"eu.{plain}" and route.price.input == 3_300_000
    assert await at(HEADGATE_BEDROCK_PROFILE="none") is None, "it cannot be called without a profile"
    route = await at(HEADGATE_BEDROCK_MODEL_IDS=f"{plain}=arn:aws:bedrock:us-east-1:1:application-inference-profile/x")
    assert route and route.model.endswith("profile/x")
    newer = catalog.find("claude-sonnet-4-6")
    assert newer is not None
    offer = next(route for route in newer.routes if route.provider == "bedrock")
    route = await at(HEADGATE_BEDROCK_PROFILE="none")
    assert route and route.model == "anthropic.claude-sonnet-4-6"


async def test_only_the_deployments_that_azure_has_are_offered(catalog: Catalog):
    environ = {
        "AZURE_API_KEY": "k",
        "AZURE_RESOURCE_NAME": "r",
        "HEADGATE_AZURE_MODEL_IDS": "gpt-4o=prod-4o, gpt-5=five",
    }
    access = await Credentials(environ).access(PROVIDERS["azure"])
    assert access is not None
    found = [route.at(access) for model in catalog for route in model.routes if route.provider == "azure"]
    assert sorted(route.model for route in found if route) == ["five", "prod-4o"]


def test_zero_retention_is_what_a_policy_certifies_or_the_deployment_agreed_on(catalog: Catalog):
    certified = {(route.provider, model.slug) for model in catalog for route in model.routes if route.zdr}
    assert {provider for provider, _ in certified} == {"bedrock"}
    assert ("bedrock", "claude-sonnet-4-6") in certified and ("bedrock", "gpt-oss-120b") in certified
    # Bedrock keeps what is sent to this one for thirty days.
    assert ("bedrock", "claude-fable-5") not in certified
    model = Catalog.bundled(frozenset({"anthropic"})).find("claude-fable-5")
    assert model is not None
    assert {route.provider: route.zdr for route in model.routes if route.zdr} == {"anthropic": "agreement"}
    shown = detail(model, catalog)["providers"]
    assert shown["anthropic"]["zdr"] == {"policy": "agreement"} and shown["bedrock"]["zdr"] is False

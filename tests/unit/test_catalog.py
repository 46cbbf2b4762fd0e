import json
from decimal import Decimal

import pytest

from dev.build_catalog import BadData, build, pico_per_token
from headgate.catalog.catalog import FILE, Catalog, price_from, split_name
from headgate.catalog.views import detail, listing
from headgate.providers.rows import PROVIDERS


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.bundled()


def test_every_route_is_whole(catalog: Catalog):
    models = list(catalog)
    assert len(models) > 30
    for model in models:
        assert model.routes and model.released > 1_500_000_000
        for route in model.routes:
            assert route.provider in PROVIDERS
            assert route.price.input > 0 and route.price.output > 0
            assert 0 < route.max_output_tokens <= route.context_window
            assert route.thinking in ("none", "effort", "budget", "adaptive")
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
    broken = {"models": {"m": {"id": "m", "name": "m", "cost": {"input": 1}, "limit": {"context": 9, "output": 9},
                               "modalities": {"input": ["text"]}, "release_date": "2026-01-01"}}}  # fmt: skip
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

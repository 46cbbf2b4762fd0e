import json
from pathlib import Path
from typing import Any

import pytest

from headgate.catalog.catalog import Catalog
from headgate.catalog.deployment import BadOverlay, overlaid
from headgate.catalog.filters import matching, read_filters
from headgate.errors import GatewayError
from headgate.storage.aws import StoreFault
from headgate.web.own_catalog import KEEP_SECONDS, OwnCatalog

BUNDLED = Catalog.bundled()
OWN = {
    "slug": "team-model",
    "aliases": ["ours"],
    "routes": [{"provider": "custom", "model": "org/Model", "usd_per_million": {"input": 0.5, "output": 1.25}}],
}


def catalog(**overlay: Any) -> Catalog:
    return Catalog(overlaid(BUNDLED.data, overlay))


def test_a_model_is_added():
    model = catalog(models=[OWN]).find("ours")
    assert model is not None and model.slug == "team-model"
    (route,) = model.routes
    assert (route.provider, route.model, route.price.input, route.price.output) == (
        "custom",
        "org/Model",
        500_000,
        1_250_000,
    )
    assert BUNDLED.find("team-model") is None


def test_a_model_is_changed():
    changed = catalog(models=[{"slug": "gpt-4o", "name": "Ours", "routes": [{"provider": "azure", "zdr": True}]}])
    before, after = BUNDLED.find("gpt-4o"), changed.find("gpt-4o")
    assert before and after and after.name == "Ours"
    assert [(route.provider, route.zdr) for route in after.routes] == [("openai", ""), ("azure", "agreement")]
    assert after.routes[1].price == before.routes[1].price


def test_models_and_routes_are_hidden():
    hidden = catalog(hide=["gpt-4o", "azure/gpt-5", "bedrock/*", "not-there"])
    assert hidden.find("gpt-4o") is None and hidden.find("nova-lite") is None
    five = hidden.find("gpt-5")
    assert five and [route.provider for route in five.routes] == ["openai"]
    assert not any(route.provider == "bedrock" for model in hidden for route in model.routes)
    assert "gpt-5-mini" not in catalog(hide=["gpt-5-mini"]).auto


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ([], "JSON object"),
        ({"model": []}, "unknown fields model"),
        ({"models": [{"name": "x"}]}, "has no slug"),
        ({"models": [{"slug": "x"}]}, "offered by nobody"),
        ({"models": [{"slug": "x", "routes": [{"provider": "nobody"}]}]}, "no provider 'nobody'"),
        ({"models": [{"slug": "x", "routes": [{"provider": "custom"}]}]}, "price must be"),
        (
            {"models": [{"slug": "x", "routes": [{"provider": "custom", "price": {"input": -1, "output": 1}}]}]},
            "price input",
        ),
        ({"models": [{"slug": "x", "routes": [{"provider": "custom", "price": {"input": 1}}]}]}, "custom/x"),
        (
            {"models": [{"slug": "x", "routes": [{"provider": "custom", "usd_per_million": {"input": "free"}}]}]},
            "'free'",
        ),
        ({"models": [OWN | {"aliases": ["gpt-4o"]}]}, "'gpt-4o' names both"),
        ({"auto": ["nothing"]}, "no such models"),
        ({"hide": "gpt-4o"}, "must be a list"),
    ],
)
def test_what_cannot_be_meant_is_refused(overlay: Any, message: str):
    with pytest.raises(BadOverlay, match=message):
        overlaid(BUNDLED.data, overlay)


class Bucket:
    """An S3 connection with one object."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asked: list[Any] = []

    async def download(self, parameters: Any) -> bytes:
        self.asked.append(parameters)
        return self.data


async def test_the_entries_are_read_anew_and_the_last_good_ones_stay(tmp_path: Path):
    now, told = [0.0], list[str]()
    parameters: dict[str, str] = {}

    async def read(name: str) -> str | None:
        return parameters.get(name)

    bucket = Bucket(json.dumps({"hide": ["gpt-4o"]}).encode())
    own = OwnCatalog(BUNDLED, "s3://b/dir/key.json", bucket, read, told.append, lambda: now[0])
    first = await own.get()
    assert first.find("gpt-4o") is None and await own.get() is first
    assert bucket.asked == [{"Bucket": "b", "Key": "dir/key.json"}]
    now[0], bucket.data = KEEP_SECONDS, b"{broken"
    assert await own.get() is first and "not valid JSON" in told[0]
    now[0], bucket.data = 2 * KEEP_SECONDS, b"{}"
    assert (await own.get()).find("gpt-4o") is not None

    with pytest.raises(StoreFault, match="no such parameter"):
        await OwnCatalog(BUNDLED, "ssm:/x", bucket, read, told.append).get()
    parameters["/x"] = json.dumps({"models": [OWN]})
    assert (await OwnCatalog(BUNDLED, "ssm:/x", bucket, read, told.append).get()).find("ours")
    file = tmp_path / "own.json"
    file.write_text(json.dumps({"models": [OWN]}))
    assert (await OwnCatalog(BUNDLED, str(file), bucket, read, told.append).get()).find("ours")


def filtered(*parameters: tuple[str, str]) -> set[str]:
    return {model.slug for model in matching(BUNDLED, read_filters(parameters), BUNDLED)}


def test_filters_by_dot_path():
    assert filtered(("limit", "5"), ("client_version", "1.2.3")) == {model.slug for model in BUNDLED}
    claude = filtered(("author.slug", "anthropic"))
    assert claude and all(slug.startswith("claude-") for slug in claude)
    assert filtered(("author.slug", "anthropic"), ("supports.reasoning", "false")) == set()
    large = filtered(("context_window.gte", "1000000"))
    assert "gemini-2.5-pro" in large and "gpt-4o" not in large
    assert large | filtered(("context_window.lt", "1000000")) == {model.slug for model in BUNDLED}
    assert "command-a-vision" not in filtered(("supports.tools.function_calling", "true"))
    assert filtered(("aliases", "claude-haiku-4-5-20251001")) == {"claude-haiku-4-5"}
    assert "deepseek-r1" not in filtered(("supports.reasoning.effort.max", "true"))


def test_route_conditions_must_hold_at_one_provider():
    for model in matching(
        BUNDLED, read_filters([("provider_slug", "azure"), ("context_window.gt", "200000")]), BUNDLED
    ):
        assert [route.provider for route in model.routes] == ["azure"]
        assert model.routes[0].context_window > 200_000


@pytest.mark.parametrize("parameter", [("no.such", "1"), ("context_window.gte", "big"), ("input.gt", "2")])
def test_a_filter_that_means_nothing_is_a_400(parameter: tuple[str, str]):
    with pytest.raises(GatewayError) as caught:
        read_filters([parameter])
    assert (caught.value.status, caught.value.code) == (400, "invalid_filter")

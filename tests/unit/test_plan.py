"""The steps of a routing decision over made-up offers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from headgate.catalog.catalog import Model, Route
from headgate.errors import GatewayError
from headgate.protocols.needs import OPTIONAL
from headgate.providers.auth import Access
from headgate.providers.rows import PROVIDERS
from headgate.routing.candidates import Candidate
from headgate.routing.health import Breaker
from headgate.routing.metrics import RouteStats, Snapshot, bucket
from headgate.routing.options import RoutingOptions, read_options
from headgate.routing.plan import (
    Circumstances,
    Decision,
    Dropped,
    capable,
    decide,
    feature_class,
    fitting,
    healthy,
)
from headgate.routing.ranking import EXPLORED
from headgate.usage import Price

ALL = frozenset({"stream", "image", "pdf", *OPTIONAL})


def offer(
    provider: str,
    slug: str = "m",
    *,
    price: tuple[int, int] = (10, 20),
    cached: int | None = None,
    window: int = 1000,
    features: frozenset[str] | None = ALL,
    performance: int = 1,
    credential: str = "c1",
) -> Candidate:
    """One candidate. price: pico-dollars per token in and out."""
    route = Route(
        provider,
        f"{slug}-there",
        Price(*price, cache_read=cached),
        context_window=window,
        max_output_tokens=100,
        features=features,
        performance=performance,
    )
    row = PROVIDERS[provider]
    access = Access(row, "https://x", {}, row.protocols, "environment", id=credential)
    return Candidate(Model(slug, slug, "a", 0, (), (route,)), route, access, row.protocols[0])


def labels(candidates: Sequence[Candidate]) -> list[str]:
    return [each.route.provider for each in candidates]


def options(**provider: object) -> RoutingOptions:
    return read_options({"routing": {"provider": provider}})


def measured(**medians: float) -> Snapshot:
    """Ten calls at each provider, all of one duration."""
    routes = {(provider, "m"): RouteStats(10, 10, {bucket(ms): 10}, int(ms * 10)) for provider, ms in medians.items()}
    return Snapshot(900, 0.0, routes)


def order(candidates: Sequence[Candidate], **given: object) -> list[str]:
    return labels(decide(candidates, Circumstances(**{"draw": lambda: 0.99, **given})).order)  # pyright: ignore


# ---------------------------------------------------------------- context window


def test_what_fits_only_perhaps_comes_last():
    dropped: list[Dropped] = []
    small, large, tiny = offer("openai", window=1000), offer("azure", window=5000), offer("xai", window=100)
    assert labels(fitting([small, tiny, large], 1200, None, dropped)) == ["azure", "openai"]
    assert [(each.label, each.step) for each in dropped] == [("xai/m", "context")]


def test_the_output_asked_for_needs_room_too():
    route = offer("openai", window=1000)
    assert fitting([route], 940, None, [])
    with pytest.raises(GatewayError) as caught:
        fitting([route], 940, 90, [], exact=True)
    # No more than the model can say is reserved.
    assert fitting([route], 890, 100_000, [])
    error = caught.value
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "input")
    assert error.details == {"model": "openai/m", "limit": 1000, "measured": 940}
    assert "1000 tokens" in error.message and "90 output tokens" in error.message


def test_an_estimate_refuses_only_what_surely_does_not_fit():
    assert fitting([offer("openai", window=1000)], 2400, None, [])
    with pytest.raises(GatewayError, match="about 2600 input tokens"):
        fitting([offer("openai", window=1000)], 2600, None, [])


# ---------------------------------------------------------------- health


def test_open_breakers_leave_a_route_out_for_their_class():
    dropped: list[Dropped] = []
    both = [offer("openai"), offer("azure")]
    breakers = {("openai", "m", "tools"): Breaker(3, open_until=100.0, cooldown=30.0)}
    kept, probes = healthy(both, breakers, "tools", 90.0, dropped, [])
    assert labels(kept) == ["azure"] and not probes
    assert dropped == [Dropped("openai/m", "health", "3 failures in a row, 10 s to go")]
    assert labels(healthy(both, breakers, "text", 90.0, [], [])[0]) == ["openai", "azure"]
    kept, probes = healthy(both, breakers, "tools", 101.0, [], [])
    assert labels(kept) == ["openai", "azure"] and probes == {("openai", "m", "tools")}


def test_one_credential_can_be_out_alone():
    both = [offer("openai", credential="c1"), offer("openai", credential="c2")]
    breakers = {("openai", "m", "@c1"): Breaker(0, open_until=100.0)}
    kept, _ = healthy(both, breakers, "text", 90.0, [], [])
    assert [each.access.id for each in kept] == ["c2"]


def test_where_all_are_out_all_are_tried():
    notes: list[str] = []
    breakers = {("openai", "m", "text"): Breaker(3, open_until=100.0)}
    kept, _ = healthy([offer("openai")], breakers, "text", 90.0, [], notes)
    assert labels(kept) == ["openai"] and "tried anyway" in notes[0]


def test_requests_of_one_class_fail_together():
    assert feature_class({}) == "text"
    assert feature_class({"sampling": "temperature", "reasoning": "reasoning.effort"}) == "text"
    assert feature_class({"tools": "tools[0]", "image": "x", "pdf": "y"}) == "media+tools"
    assert feature_class({"json_schema": "text.format"}) == "structured"


# ---------------------------------------------------------------- features


def test_content_is_never_given_up():
    blind = offer("xai", features=ALL - {"image"})
    dropped: list[Dropped] = []
    kept, given_up = capable([blind, offer("openai")], {"image": "input[0].content[0]"}, None, dropped)
    assert labels(kept) == ["openai"] and given_up == ()
    assert dropped == [Dropped("xai/m", "features", "does not take image")]
    with pytest.raises(GatewayError) as caught:
        capable([blind], {"image": "input[0].content[0]"}, "xai", [])
    assert (caught.value.status, caught.value.code) == (400, "unsupported_content")
    assert caught.value.param == "input[0].content[0]"


def test_optional_features_go_in_order_the_least_important_first():
    needs = {"logprobs": "a", "reasoning": "b", "tools": "c"}
    without = {name: offer(where, features=ALL - set(name.split("+"))) for where, name in [
        ("openai", "logprobs"), ("azure", "reasoning"), ("xai", "tools"), ("mistral", "logprobs+reasoning")
    ]}  # fmt: skip
    kept, given_up = capable(list(without.values()), needs, None, [])
    assert (labels(kept), given_up) == (["openai"], ("logprobs",))
    kept, given_up = capable([without["tools"], without["logprobs+reasoning"]], needs, None, [])
    assert (labels(kept), given_up) == (["mistral"], ("logprobs", "reasoning"))
    kept, given_up = capable([without["tools"]], needs, None, [])
    assert (labels(kept), given_up) == (["xai"], ("logprobs", "reasoning", "tools"))


def test_a_provider_asked_for_by_name_stays():
    poor, rich = offer("openai", features=ALL - {"tools"}), offer("azure")
    assert labels(capable([poor, rich], {"tools": "tools[0]"}, "openai", [])[0]) == ["openai", "azure"]
    assert order([rich, poor], needs={"tools": "tools[0]"}, pinned="openai") == ["openai", "azure"]


def test_unknown_features_are_left_to_the_upstream():
    assert labels(capable([offer("custom", features=None)], {"image": "x", "tools": "y"}, None, [])[0]) == ["custom"]


# ---------------------------------------------------------------- rank


def test_static_metrics():
    cheap, good = offer("openai", price=(1, 1)), offer("azure", performance=5)
    assert order([cheap, good]) == ["azure", "openai"]
    assert order([good, cheap], options=options(sort="cost")) == ["openai", "azure"]
    assert order([good, cheap], options=options(sort="cost", strategy="max")) == ["azure", "openai"]
    # Equal tiers: the cheaper one; equal prices: as in the catalogue.
    assert order([offer("openai"), offer("xai"), offer("azure", price=(1, 1))]) == ["azure", "openai", "xai"]


def test_live_metrics_and_missing_data():
    three = [offer("openai", price=(9, 9)), offer("azure", price=(5, 5)), offer("xai", price=(1, 1))]
    by = options(sort="p50_latency")
    assert order(three, options=by, snapshot=measured(openai=100, azure=50)) == ["azure", "openai", "xai"]
    # Without any data the cheapest.
    assert order(three, options=by) == ["xai", "azure", "openai"]
    assert order(three, options=by, snapshot=Snapshot(900)) == ["xai", "azure", "openai"]
    uptime = Snapshot(900, 0.0, {("openai", "m"): RouteStats(10, 9), ("azure", "m"): RouteStats(10, 10)})
    assert order(three, options=options(sort="uptime"), snapshot=uptime) == ["azure", "openai", "xai"]


def test_now_and_then_a_route_without_data_goes_first():
    three = [offer("openai"), offer("azure"), offer("xai")]
    given = {"options": options(sort="avg_latency"), "snapshot": measured(openai=100)}
    assert order(three, **given)[0] == "openai"
    assert order(three, **given, draw=lambda: EXPLORED * 0.1) == ["azure", "openai", "xai"]
    assert order(three, **given, draw=lambda: EXPLORED * 0.9) == ["xai", "openai", "azure"]
    assert order(three, draw=lambda: 0.0)[0] == "openai", "only where the metric is a live one"


def test_the_warm_prompt_cache_decides_between_what_is_about_as_good():
    two = [offer("openai"), offer("azure")]
    by = options(sort="p50_latency")
    warm = {"warm": ("azure", "m"), "cached_tokens": 5000, "options": by}
    assert order(two, **warm, snapshot=measured(openai=100, azure=115))[0] == "azure"
    assert order(two, **warm, snapshot=measured(openai=100, azure=140))[0] == "openai"
    assert order(two, warm=("azure", "m"), cached_tokens=5000)[0] == "azure", "tiers are equal"


def test_by_cost_the_saving_decides():
    two = [offer("openai", price=(10, 20)), offer("azure", price=(12, 24), cached=1)]
    by = {"options": options(sort="cost"), "warm": ("azure", "m")}
    assert order(two, **by, cached_tokens=100)[0] == "openai"
    assert order(two, **by, cached_tokens=10_000)[0] == "azure"


def test_a_routes_credentials_stay_together():
    offers = [offer("openai", credential="a"), offer("azure", performance=2), offer("openai", credential="b")]
    decision = decide(offers, Circumstances())
    assert [(each.route.provider, each.access.id) for each in decision.order] == [
        ("azure", "c1"),
        ("openai", "a"),
        ("openai", "b"),
    ]


def test_health_goes_before_features_and_rank():
    best, other = offer("openai", performance=9), offer("azure", features=ALL - {"tools"})
    breakers = {("openai", "m", "tools"): Breaker(3, open_until=100.0)}
    decision = decide([best, other], Circumstances(needs={"tools": "tools[0]"}, breakers=breakers, now=50.0))
    assert labels(decision.order) == ["azure"] and decision.given_up == ("tools",)


def test_a_decision_says_everything():
    offers = [offer("openai", window=10), offer("azure"), offer("xai", features=ALL - {"pdf"}, price=(1, 2))]
    decision = decide(offers, Circumstances(tokens=50, needs={"pdf": "p"}, options=options(sort="cost")))
    assert decision.row() == {
        "order": [
            {
                "route": "azure/m",
                "model": "m-there",
                "protocol": "responses",
                "credential": "c1",
                "value": None,
                "price": 30,
            }
        ],
        "dropped": [
            {"route": "openai/m", "step": "context", "reason": "10 tokens are too few for 50"},
            {"route": "xai/m", "step": "features", "reason": "does not take pdf"},
        ],
        "needs": ["pdf"],
        "given_up": [],
        "notes": [],
    }
    assert isinstance(decision, Decision)


def test_the_values_used_are_kept():
    offers = [offer("openai"), offer("azure")]
    given = Circumstances(options=options(sort="p50_latency"), snapshot=measured(openai=100), draw=lambda: 0.5)
    values: Mapping[tuple[str, str], float] = decide(offers, given).values
    assert set(values) == {("openai", "m")} and values["openai", "m"] == pytest.approx(100, rel=0.05)
    assert decide(offers, replace(given, snapshot=None)).values == {}

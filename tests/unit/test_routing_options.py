import pytest

from headgate.errors import GatewayError
from headgate.routing.options import DEFAULT_OPTIONS, read_options


def refused(body: dict[str, object]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        read_options(body)
    assert caught.value.status == 400 and caught.value.type == "invalid_request_error"
    return caught.value


def test_nothing_said_ranks_by_performance_over_a_quarter_of_an_hour():
    for body in ({}, {"routing": None}, {"routing": {}}, {"routing": {"provider": {}, "model": {}}}):
        options = read_options(body)
        assert options == DEFAULT_OPTIONS
    assert (options.metric.name, options.interval) == ("performance", 900)
    assert options.permits("openai")


def test_the_present_form():
    options = read_options(
        {
            "routing": {
                "model": {"fallbacks": ["gemini-2.5-flash", "auto"], "sort": "performance"},
                "provider": {"fallbacks": ["openai", "microsoft"], "sort": "p95_latency", "interval": "1h"},
            }
        }
    )
    assert options.fallbacks == ("gemini-2.5-flash", "auto")
    assert options.allow == ("openai", "azure")
    assert (options.metric.name, options.metric.statistic, options.interval) == ("p95_latency", 95, 3600)
    assert options.model_metric is not None and options.model_metric.name == "performance"
    assert options.permits("azure") and not options.permits("bedrock")


@pytest.mark.parametrize(
    "routing",
    [
        {"metric": "cost", "interval": "30 minutes"},
        {"provider": {"sort": "cost"}, "interval": "30 minutes"},
        {"provider": {"sort": "cost", "interval": "30m"}, "metric": "cost"},
    ],
)
def test_the_forms_before_it_mean_the_same(routing: dict[str, object]):
    options = read_options({"routing": routing})
    assert (options.metric.name, options.metric.highest_first, options.interval) == ("cost", False, 1800)


def test_a_strategy_turns_the_order():
    assert read_options({"routing": {"metric": "cost", "strategy": "max"}}).metric.highest_first
    assert not read_options({"routing": {"metric": "uptime", "strategy": "min"}}).metric.highest_first
    assert read_options({"routing": {"strategy": "min"}}).metric.name == "performance"
    assert refused({"routing": {"strategy": "best"}}).param == "routing.strategy"


def test_allow_and_deny():
    options = read_options({"routing": {"provider": {"allow": ["aws"], "deny": ["openai"]}}})
    assert options.allow == ("bedrock",) and options.deny == {"openai"}
    assert refused({"routing": {"provider": {"allow": ["aws"], "fallbacks": ["openai"]}}}).param == (
        "routing.provider.allow"
    )


@pytest.mark.parametrize(
    ("routing", "param", "code", "says"),
    [
        ("cost", "routing", "invalid_type", "object"),
        ({"sort": "cost"}, "routing.sort", "unknown_parameter", "routing.sort"),
        ({"provider": {"only": []}}, "routing.provider.only", "unknown_parameter", "fallbacks"),
        ({"model": []}, "routing.model", "invalid_type", "object"),
        ({"provider": {"sort": 3}}, "routing.provider.sort", "invalid_type", "metric"),
        ({"provider": {"sort": "latency"}}, "routing.provider.sort", "invalid_metric", "'latency'"),
        ({"metric": "p101_latency"}, "routing.metric", "invalid_metric", "Invalid percentile metric format"),
        ({"metric": "p5x_latency"}, "routing.metric", "invalid_metric", "Invalid percentile metric format"),
        ({"interval": "5m"}, "routing.interval", "invalid_interval", "15 minutes"),
        ({"interval": 15}, "routing.interval", "invalid_interval", "15"),
        ({"provider": {"fallbacks": "openai"}}, "routing.provider.fallbacks", "invalid_type", "list"),
        ({"provider": {"fallbacks": ["google"]}}, "routing.provider.fallbacks[0]", "unknown_provider", "google"),
        ({"provider": {"deny": ["openai", 1]}}, "routing.provider.deny[1]", "unknown_provider", "1"),
        ({"model": {"fallbacks": "gpt-4o"}}, "routing.model.fallbacks", "invalid_type", "list"),
        ({"model": {"fallbacks": [""]}}, "routing.model.fallbacks", "invalid_type", "list"),
        ({"model": {"fallbacks": [str(n) for n in range(11)]}}, "routing.model.fallbacks", "invalid_value", "10"),
        ({"model": {"sort": "fast"}}, "routing.model.sort", "invalid_metric", "fast"),
        ({"metric": "cost", "provider": {"sort": "uptime"}}, "routing.metric", "invalid_value", "contradict"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(routing: object, param: str, code: str, says: str):
    error = refused({"routing": routing})
    assert (error.param, error.code) == (param, code)
    assert says in error.message

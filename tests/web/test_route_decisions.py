"""Where a request goes, through the real gateway: the routing body on every frontend, pinning, fallbacks, what leaves
a route out, time limits, and that the log and ``/v1/routes/explain`` tell it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from dev.serve import Backends
from dev.simulated_providers.server import Running, serve
from headgate.access.policy import Policy
from tests.gateway import Origin, origin

PATHS = {"responses": "/v1/responses", "chat_completions": "/v1/chat/completions", "messages": "/v1/messages"}
FRONTENDS = tuple(PATHS)
PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PROVIDERS = ("groq", "together", "fireworks")
SLOW_PROVIDER = "deepinfra"
PLAIN = ["stream", "sampling", "tools"]


def route(provider: str, price: float, performance: int, **fields: Any) -> dict[str, Any]:
    dollars = {"input": price, "output": price}
    return {"provider": provider, "usd_per_million": dollars, "performance": performance, "features": PLAIN, **fields}


# By cost together, fireworks, groq; by performance groq, fireworks, together.
TRIO = [route("groq", 3, 9), route("together", 1, 1), route("fireworks", 2, 5)]
SMALL = {"max_output_tokens": 200}
MODELS: dict[str, list[dict[str, Any]]] = {
    "own-trio": TRIO,
    "own-backup": [route("fireworks", 1, 1)],
    "own-narrow": [route("groq", 1, 9, context_window=1000, **SMALL)],
    "own-widths": [route("groq", 1, 9, context_window=1000, **SMALL), route("together", 2, 1, **SMALL)],
    "own-words": [route("groq", 1, 9), route("together", 2, 1)],
    "own-mixed": [route("groq", 1, 9), route("together", 2, 1, features=[*PLAIN, "image", "logprobs"])],
    "own-slow": [route(SLOW_PROVIDER, 1, 9), route("together", 2, 1)],
    "own-alone": [route("together", 1, 1)],
}


@dataclass
class Site:
    """The gateway and the providers behind it."""

    origin: Origin
    upstreams: dict[str, Running]

    def calls(self, mark: str) -> list[str]:
        """The providers that were called for a request with ``mark`` in its text."""
        return [name for name, running in self.upstreams.items() for _ in running.recorded(marker=mark)]

    def ask(self, frontend: str, model: str, text: str, *, headers: dict[str, str] | None = None, **fields: Any):
        return self.origin.post(PATHS[frontend], body(frontend, model, text, **fields), headers=headers)

    def explained(self, frontend: str, model: str, text: str, **fields: Any) -> httpx.Response:
        asked = {"endpoint": PATHS[frontend], "request": body(frontend, model, text, **fields)}
        return self.origin.post("/v1/routes/explain", asked)


@pytest.fixture(scope="module")
def site(gateway_backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    own = tmp_path_factory.mktemp("catalog") / "own.json"
    own.write_text(json.dumps({"models": [{"slug": slug, "routes": routes} for slug, routes in MODELS.items()]}))
    environment = {"HEADGATE_CATALOG": str(own), "HEADGATE_DEEPINFRA_FIRST_BYTE_TIMEOUT": "0.5"}
    with contextlib.ExitStack() as stack:
        upstreams: dict[str, Running] = {}
        for name in (*PROVIDERS, SLOW_PROVIDER):
            upstreams[name] = stack.enter_context(serve(models=tuple(MODELS)))
            environment[f"HEADGATE_{name.upper()}_BASE_URL"] = upstreams[name].url + "/openai/v1"
            environment[f"HEADGATE_{name.upper()}_API_KEY"] = "sk-compatible"
        yield Site(stack.enter_context(origin(gateway_backends, environment)), upstreams)


def body(frontend: str, model: str, text: Any, **fields: Any) -> dict[str, Any]:
    if frontend == "responses":
        return {"model": model, "input": text, **fields}
    limit = {"max_tokens": 50} if frontend == "messages" else {}
    return {"model": model, "messages": [{"role": "user", "content": text}], **limit, **fields}


def served(answer: httpx.Response) -> tuple[str, str]:
    assert answer.status_code == 200, answer.text
    return answer.headers["x-headgate-provider"], answer.headers["x-headgate-attempts"]


def error_of(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def decision(site: Site, answer: httpx.Response) -> dict[str, Any]:
    return site.origin.log_row(answer.headers["x-request-id"]).extra["route"]


def order(row: dict[str, Any]) -> list[str]:
    return [each["route"] for each in row["order"]]


# ---------------------------------------------------------------- the routing body

ROUTINGS: list[tuple[str, dict[str, Any] | None, str]] = [
    ("nothing", None, "groq"),
    ("cost", {"provider": {"sort": "cost"}}, "together"),
    ("performance", {"provider": {"sort": "performance", "interval": "1h"}}, "groq"),
    ("dearest", {"provider": {"sort": "cost", "strategy": "max"}}, "groq"),
    ("no-data-is-cost", {"provider": {"sort": "p95_latency", "interval": "30 minutes"}}, "together"),
    ("metric", {"metric": "cost"}, "together"),
    ("strategy", {"metric": "performance", "strategy": "min", "interval": "24 hours"}, "together"),
    ("whitelist", {"provider": {"fallbacks": ["fireworks", "together"]}}, "fireworks"),
    ("allow", {"provider": {"allow": ["together"]}}, "together"),
    ("deny", {"provider": {"deny": ["groq"]}}, "fireworks"),
    ("both", {"provider": {"allow": ["groq", "together"], "deny": ["groq"], "sort": "cost"}}, "together"),
]


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize(("routing", "first"), [each[1:] for each in ROUTINGS], ids=[each[0] for each in ROUTINGS])
def test_the_routing_body_decides_who_is_first(site: Site, frontend: str, routing: Any, first: str):
    mark = f"body-{frontend}-{json.dumps(routing)}".replace('"', "'")
    fields = {} if routing is None else {"routing": routing}
    assert served(site.ask(frontend, "own-trio", f"{mark} [[say:ok]]", **fields)) == (first, "1")
    (call,) = site.upstreams[first].recorded(marker=mark)
    assert "routing" not in call.body and site.calls(mark) == [first]


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize(
    ("routing", "param", "code"),
    [
        ({"prefer": "x"}, "routing.prefer", "unknown_parameter"),
        ({"provider": {"alow": ["groq"]}}, "routing.provider.alow", "unknown_parameter"),
        ({"model": {"order": []}}, "routing.model.order", "unknown_parameter"),
        ({"provider": {"allow": ["nobody"]}}, "routing.provider.allow[0]", "unknown_provider"),
        ({"provider": {"sort": "p101_latency"}}, "routing.provider.sort", "invalid_metric"),
        ({"provider": {"interval": "5m"}}, "routing.provider.interval", "invalid_interval"),
        ({"provider": {"allow": ["xai"]}}, "routing.provider.fallbacks", "no_eligible_provider"),
        ("fast", "routing", "invalid_type"),
    ],
)
def test_what_cannot_be_meant_reaches_nobody(site: Site, frontend: str, routing: Any, param: str, code: str):
    mark = f"bad-{frontend}-{code}-{param}"
    answer = site.ask(frontend, "own-trio", mark, routing=routing)
    error = error_of(answer, 400)
    assert error["type"] == "invalid_request_error" and not site.calls(mark)
    if frontend != "messages":
        assert (error["param"], error["code"]) == (param, code)


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_named_provider_is_first_and_the_others_come_after(site: Site, frontend: str):
    mark = f"pinned-{frontend}"
    assert served(site.ask(frontend, "together/own-trio", f"{mark} [[say:ok]]")) == ("together", "1")
    site.upstreams["together"].behave("[[fail:500]]", marker=mark)
    answer = site.ask(frontend, "together/own-trio", f"{mark} [[say:ok]]")
    assert served(answer) == ("groq", "2")
    assert order(decision(site, answer)) == ["together/own-trio", "groq/own-trio", "fireworks/own-trio"]


@pytest.mark.parametrize("provider", ["together", "together/own-trio"])
def test_provider_of_messages(site: Site, provider: str):
    answer = site.ask("messages", "own-trio", f"provider-{len(provider)} [[say:ok]]", provider=provider)
    assert served(answer) == ("together", "1")
    (call,) = site.upstreams["together"].recorded(marker=f"provider-{len(provider)} ")
    assert "provider" not in call.body
    assert error_of(site.ask("messages", "own-trio", "x", provider="nobody"), 400)


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_other_models_come_after_all_routes_of_the_first(site: Site, frontend: str):
    mark = f"models-{frontend}"
    routing = {"model": {"fallbacks": ["own-backup"]}}
    for name in PROVIDERS:
        site.upstreams[name].behave("[[fail:503]]", marker=mark)
    answer = site.ask(frontend, "own-trio", f"{mark} [[say:ok]]", routing=routing)
    assert served(answer) == ("fireworks", "4") and answer.headers["x-headgate-model"] == "fireworks/own-backup"
    row = site.origin.log_row(answer.headers["x-request-id"])
    assert [(each["provider"], each["model"]) for each in row.attempts] == [
        ("groq", "own-trio"),
        ("fireworks", "own-trio"),
        ("together", "own-trio"),
        ("fireworks", "own-backup"),
    ]


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_an_unknown_fallback_is_refused_before_any_call(site: Site, frontend: str):
    mark = f"unknown-{frontend}"
    routing = {"model": {"fallbacks": ["own-backup", "no-such-model"]}}
    assert "no-such-model" in error_of(site.ask(frontend, "own-trio", mark, routing=routing), 400)["message"]
    assert not site.calls(mark)


def test_a_fallback_stands_in_where_the_first_model_has_no_route(site: Site):
    routing = {"model": {"fallbacks": ["own-backup"]}, "provider": {"allow": ["fireworks"]}}
    answer = site.ask("responses", "own-narrow", "stands-in [[say:ok]]", routing=routing)
    assert served(answer) == ("fireworks", "1")


# ---------------------------------------------------------------- what leaves a route out


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_zero_retention_is_absolute(site: Site, gateway_backends: Backends, frontend: str):
    key = gateway_backends.create_key(policy=Policy(zdr=True))
    bearer = {"authorization": f"Bearer {key}"}
    mark = f"zdr-{frontend}"
    error = error_of(site.ask(frontend, "own-trio", mark, headers=bearer), 422)
    assert "Zero Data Retention" in error["message"] and not site.calls(mark)
    answer = site.ask(frontend, "anthropic/claude-haiku-4-5", f"{mark} [[say:ok]]", headers=bearer)
    assert served(answer) == ("bedrock", "1")
    assert {each.path.split("/")[1] for each in gateway_backends.simulated.recorded(marker=mark)} == {"bedrock"}


LONG = "word " * 4000


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("headers", [{}, {"x-headgate-strict": "true"}], ids=["plain", "strict"])
def test_what_fits_no_window_reaches_nobody(site: Site, frontend: str, headers: dict[str, str]):
    mark = f"long-{frontend}-{len(headers)}"
    error = error_of(site.ask(frontend, "own-narrow", f"{mark} {LONG}", headers=headers), 400)
    assert "1000" in error["message"] and not site.calls(mark)
    if frontend != "messages":
        assert error["code"] == "context_length_exceeded"
    answer = site.ask(frontend, "own-widths", f"{mark} wide {LONG} [[say:ok]]", headers=headers)
    assert served(answer) == ("together", "1")
    (dropped,) = decision(site, answer)["dropped"]
    assert (dropped["route"], dropped["step"]) == ("groq/own-widths", "context") and "1000" in dropped["reason"]


IMAGES: dict[str, tuple[list[dict[str, Any]], str]] = {
    "responses": ([{"type": "input_image", "image_url": PIXEL, "detail": "low"}], "input[0].content[1]"),
    "chat_completions": ([{"type": "image_url", "image_url": {"url": PIXEL}}], "messages[0].content[1]"),
    "messages": (
        [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL.partition(",")[2]}}],
        "messages[0].content[1]",
    ),
}


def with_image(frontend: str, model: str, text: str, **fields: Any) -> dict[str, Any]:
    kind = "input_text" if frontend == "responses" else "text"
    parts = [{"type": kind, "text": text}, *IMAGES[frontend][0]]
    asked = body(frontend, model, parts, **fields)
    if frontend == "responses":
        asked["input"] = [{"type": "message", "role": "user", "content": parts}]
    return asked


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_an_image_goes_to_who_takes_it_or_to_nobody(site: Site, frontend: str):
    mark = f"image-{frontend}"
    answer = site.origin.post(PATHS[frontend], with_image(frontend, "own-words", mark))
    error = error_of(answer, 400)
    assert "image" in error["message"] and not site.calls(mark)
    # Anthropic's errors have no param.
    assert error.get("param") == (None if frontend == "messages" else IMAGES[frontend][1])
    answer = site.origin.post(PATHS[frontend], with_image(frontend, "own-mixed", f"{mark} [[say:ok]]"))
    assert served(answer) == ("together", "1")
    row = decision(site, answer)
    assert row["needs"] == ["image"] and [each["step"] for each in row["dropped"]] == ["features"]


def test_a_feature_that_nobody_has_is_given_up_and_announced(site: Site):
    # Of two routes one has it: that one is asked although it is the dearer and slower one.
    answer = site.ask("chat_completions", "own-mixed", "logprobs-has [[say:ok]]", logprobs=True)
    assert served(answer) == ("together", "1") and "x-headgate-losses" not in answer.headers
    answer = site.ask("chat_completions", "own-words", "logprobs-lacks [[say:ok]]", logprobs=True)
    assert served(answer) == ("groq", "1")
    assert decision(site, answer)["given_up"] == ["logprobs"]
    assert "logprobs" in answer.headers["x-headgate-losses"]
    (call,) = site.upstreams["groq"].recorded(marker="logprobs-lacks")
    assert "logprobs" not in call.body
    strict = {"x-headgate-strict": "true"}
    error = error_of(site.ask("chat_completions", "own-words", "logprobs-strict", logprobs=True, headers=strict), 400)
    assert "logprobs" in error["message"] and not site.calls("logprobs-strict")


# ---------------------------------------------------------------- time


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("given", ["0", "-1", "1.5", "soon", "900001", ""])
def test_a_limit_that_cannot_be_meant(site: Site, frontend: str, given: str):
    mark = f"limit-{frontend}-{given}"
    error = error_of(site.ask(frontend, "own-trio", mark, headers={"x-headgate-timeout-ms": given}), 400)
    assert "x-headgate-timeout-ms" in error["message"] and not site.calls(mark)


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("stream", [False, True])
def test_the_callers_own_limit(site: Site, frontend: str, stream: bool):
    enough = site.ask(
        frontend, "own-alone", "limit-ok [[say:ok]]", headers={"x-headgate-timeout-ms": "30000"}, stream=stream
    )
    assert served(enough) == ("together", "1")
    slow = f"limit-over-{frontend} [[slow-headers:5]]"
    answer = site.ask(frontend, "own-alone", slow, headers={"x-headgate-timeout-ms": "700"}, stream=stream)
    assert error_of(answer, 504) and answer.elapsed.total_seconds() < 4.5
    row = site.origin.log_row(answer.headers["x-request-id"])
    assert row.status == 504 and row.error_code


def test_a_providers_own_limit_by_environment(site: Site):
    mark = "own-limit"
    site.upstreams[SLOW_PROVIDER].behave("[[slow-headers:3]]", marker=mark)
    answer = site.ask("responses", "own-slow", f"{mark} [[say:ok]]")
    assert served(answer) == ("together", "2")
    first, _ = site.origin.log_row(answer.headers["x-request-id"]).attempts
    assert (first["provider"], first["status"]) == (SLOW_PROVIDER, None) and first["error"].startswith("timeout")
    # The other provider has the deployment's limit, a minute.
    site.upstreams["together"].behave("[[slow-headers:1]]", marker="own-other")
    assert served(site.ask("responses", "own-alone", "own-other [[say:ok]]")) == ("together", "1")


# ---------------------------------------------------------------- what is told of it


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_the_explanation_is_the_decision_of_the_log(site: Site, frontend: str):
    mark = f"explain-{frontend}"
    text = f"{mark} {LONG} [[say:ok]]"
    routing = {"provider": {"sort": "cost"}, "model": {"fallbacks": ["own-trio"]}}
    explained = site.explained(frontend, "own-widths", text, routing=routing)
    assert explained.status_code == 200, explained.text
    assert not site.calls(mark) and "x-headgate-provider" not in explained.headers
    said = explained.json()
    facts = {name: said.pop(name) for name in ("object", "endpoint", "model", "metric", "interval_seconds")}
    assert facts == {
        "object": "route.explanation",
        "endpoint": PATHS[frontend],
        "model": "own-widths",
        "metric": "cost",
        "interval_seconds": 900,
    }
    answer = site.ask(frontend, "own-widths", text, routing=routing)
    assert served(answer)[0] == "together" and decision(site, answer) == said
    assert order(said) == ["together/own-widths", "together/own-trio", "fireworks/own-trio", "groq/own-trio"]
    assert [(each["value"], each["price"]) for each in said["order"][1:]] == [
        (2e6, 2_000_000),
        (4e6, 4_000_000),
        (6e6, 6_000_000),
    ]
    assert all(len(each["credential"]) == 8 and each["protocol"] == "chat_completions" for each in said["order"])
    assert [each["route"] for each in said["dropped"]] == ["groq/own-widths"]
    row = site.origin.log_row(explained.headers["x-request-id"])
    assert (row.endpoint, row.status, row.attempts, row.cost_pico) == ("/v1/routes/explain", 200, [], None)


def test_the_explanation_of_a_request_that_would_be_refused(site: Site):
    said = site.explained("chat_completions", "own-narrow", f"explain-long {LONG}").json()
    assert said["order"] == [] and not site.calls("explain-long")
    assert (said["error"]["status"], said["error"]["code"]) == (400, "context_length_exceeded")
    said = site.explained("responses", "no-such-model", "x").json()
    assert said["order"] == [] and (said["error"]["status"], said["error"]["code"]) == (400, "model_not_found")


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"endpoint": "/v1/embeddings", "request": {"model": "own-trio", "input": "x"}}, "endpoint"),
        ({"endpoint": ["/v1/responses"], "request": {"model": "own-trio", "input": "x"}}, "endpoint"),
        ({"endpoint": "/v1/responses"}, "request"),
        ({"endpoint": "/v1/responses", "request": "hello"}, "request"),
        ({"model": "own-trio", "input": "x"}, "input"),
        ({"request": {"model": "own-trio", "input": "x", "routing": {"prefer": 1}}}, "routing.prefer"),
        ({"endpoint": "/v1/messages", "request": {"model": "own-trio", "max_tokens": 9}}, "messages"),
        (b"{", ""),
        ([], ""),
    ],
)
def test_what_cannot_be_explained(site: Site, asked: Any, param: str):
    error = error_of(site.origin.post("/v1/routes/explain", asked), 400)
    assert param in (error.get("param") or error["message"])


def test_the_explanation_needs_a_key(site: Site):
    assert httpx.post(site.origin.url + "/v1/routes/explain", json={}).status_code == 401

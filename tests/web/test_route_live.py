"""Live metrics through the gateway: the faster provider first, what the metrics table is asked, and life without it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.serve import Backends
from dev.simulated_providers.server import Running, serve
from tests.gateway import Origin, origin
from tests.web.route_kit import Metrics, Proxy, new_metrics, proxy, settled

# Without data the price decides, and then groq is first.
ROUTES = [
    {"provider": "groq", "usd_per_million": {"input": 1, "output": 1}},
    {"provider": "together", "usd_per_million": {"input": 2, "output": 2}},
]
MODELS = ("own-speed", "own-shift", "own-calls", "own-chaos")
BY_MEDIAN = {"routing": {"provider": {"sort": "p50_latency"}}}


@dataclass
class Site:
    """Gateways over one metrics table behind a proxy, and the providers behind them."""

    backends: Backends
    environment: dict[str, str]
    metrics: Metrics
    tables: Proxy
    first: Running
    second: Running

    @contextlib.contextmanager
    def gateway(self, **environment: str) -> Iterator[Origin]:
        """A gateway whose processes know nothing yet."""
        with origin(self.backends, self.environment | environment) as started:
            yield started


@pytest.fixture
def site(gateway_backends: Backends, tmp_path: Path) -> Iterator[Site]:
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"models": [{"slug": slug, "routes": ROUTES} for slug in MODELS]}))
    metrics = new_metrics(gateway_backends)
    with (
        serve(models=MODELS) as first,
        serve(models=MODELS) as second,
        proxy(gateway_backends, metrics.name) as tables,
    ):
        environment = {
            "HEADGATE_CATALOG": str(own),
            "HEADGATE_METRICS_TABLE": metrics.name,
            "HEADGATE_CIRCUIT_BREAKER": "on",
            "AWS_ENDPOINT_URL_DYNAMODB": tables.url,
            "HEADGATE_GROQ_BASE_URL": first.url + "/openai/v1",
            "HEADGATE_TOGETHER_BASE_URL": second.url + "/openai/v1",
            "HEADGATE_GROQ_API_KEY": "sk-compatible",
            "HEADGATE_TOGETHER_API_KEY": "sk-compatible",
        }
        yield Site(gateway_backends, environment, metrics, tables, first, second)


def ask(where: Origin, model: str, text: str = "[[say:ok]]", **fields: Any) -> httpx.Response:
    settled(where)
    answer = where.post("/v1/responses", {"model": model, "input": text, **fields})
    assert answer.status_code == 200, answer.text
    return answer


def test_the_faster_provider_is_first_and_a_shift_is_followed(site: Site):
    with site.gateway() as running:
        assert ask(running, "own-speed", **BY_MEDIAN).headers["x-headgate-provider"] == "groq", "no data: the price"
        for _ in range(4):
            ask(running, "groq/own-speed", "[[slow-headers:0.4]][[say:ok]]")
            ask(running, "together/own-speed")
        settled(running)
    site.metrics.forget_snapshots()
    with site.gateway() as running:
        # After the response to this one the numbers are put together.
        ask(running, "own-shift")
        answer = ask(running, "own-speed", **BY_MEDIAN)
        assert answer.headers["x-headgate-provider"] == "together"
        order = running.log_row(answer.headers["x-request-id"]).extra["route"]["order"]
        assert [each["route"] for each in order] == ["together/own-speed", "groq/own-speed"]
        assert order[0]["value"] < order[1]["value"] and order[1]["value"] >= 350
        # Now that one becomes slow.
        for _ in range(12):
            ask(running, "together/own-speed", "[[slow-headers:0.8]][[say:ok]]")
        settled(running)
    site.metrics.forget_snapshots()
    with site.gateway() as running:
        ask(running, "own-shift")
        assert ask(running, "own-speed", **BY_MEDIAN).headers["x-headgate-provider"] == "groq"
        # What other processes have put together is there with the first read.
        settled(running)
        with site.gateway() as another:
            ask(another, "own-shift")
            explained = another.post(
                "/v1/routes/explain", {"request": {"model": "own-speed", "input": "x", **BY_MEDIAN}}
            )
            assert [each["route"] for each in explained.json()["order"]] == ["groq/own-speed", "together/own-speed"]
            assert all(each["value"] for each in explained.json()["order"])


@pytest.mark.parametrize("sort", ["uptime", "total_requests", "throughput", "avg_e2e_latency", "output_tokens"])
def test_other_metrics_have_values_too(site: Site, sort: str):
    with site.gateway() as running:
        for provider in ("groq", "together", "together"):
            ask(running, f"{provider}/own-speed")
        settled(running)
    site.metrics.forget_snapshots()
    with site.gateway() as running:
        ask(running, "own-shift")
        routing = {"provider": {"sort": sort, "interval": "15m"}}
        order = ask(running, "own-speed", routing=routing)
        row = running.log_row(order.headers["x-request-id"]).extra["route"]["order"]
        assert all(each["value"] > 0 for each in row), row
        if sort in ("total_requests", "throughput"):
            assert [each["route"] for each in row] == ["together/own-speed", "groq/own-speed"]


def test_a_new_process_asks_once_and_a_warm_one_not_at_all(site: Site):
    with site.gateway() as running:
        for number in range(5):
            before = len(site.tables.calls)
            ask(running, "own-calls", f"mark-{number} [[say:ok]]", **(BY_MEDIAN if number % 2 else {}))
            (upstream,) = site.first.recorded(marker=f"mark-{number} ")
            settled(running)
            asked = [operation for at, operation in site.tables.calls[before:] if at < upstream.at]
            assert asked == (["Query"] if number == 0 else []), number
        # Between requests it writes down what happened: by minute, hour and day.
        assert [operation for _, operation in site.tables.calls].count("UpdateItem") >= 15


# ---------------------------------------------------------------- without the table


def test_without_the_table_requests_flow_and_it_is_said_once(site: Site, capfd: pytest.CaptureFixture[str]):
    with site.gateway(HEADGATE_METRICS_TABLE="headgate-no-such-table") as running:
        for _ in range(4):
            answer = ask(running, "own-chaos", **BY_MEDIAN)
            assert (answer.headers["x-headgate-provider"], answer.headers["x-headgate-attempts"]) == ("groq", "1")
            assert running.log_row(answer.headers["x-request-id"]).status == 200
        settled(running)
        assert capfd.readouterr().err.count("routing without live metrics") == 1


def test_each_process_minds_its_own_failures_without_the_table(site: Site):
    with site.gateway(HEADGATE_METRICS_TABLE="headgate-no-such-table") as running:
        for number in range(3):
            site.first.behave("[[fail:500]]", marker="own-chaos")
            assert ask(running, "own-chaos", f"{number} [[say:ok]]").headers["x-headgate-attempts"] == "2"
        answer = ask(running, "own-chaos")
        assert (answer.headers["x-headgate-provider"], answer.headers["x-headgate-attempts"]) == ("together", "1")


def test_a_table_that_does_not_answer_holds_nobody_up(site: Site, capfd: pytest.CaptureFixture[str]):
    with site.gateway() as running:
        site.tables.answers.clear()
        try:
            for _ in range(2):
                # It is let go only when the answers are here.
                answer = ask(running, "own-chaos", **BY_MEDIAN)
                assert answer.headers["x-headgate-provider"] == "groq"
            assert site.tables.calls
            settled(running)
        finally:
            site.tables.answers.set()
        assert capfd.readouterr().err.count("routing without live metrics") == 1


def test_where_it_is_switched_off_nothing_is_left_out(site: Site):
    with site.gateway(HEADGATE_CIRCUIT_BREAKER="off") as running:
        for number in range(4):
            site.first.behave("[[fail:500]]", marker="own-chaos")
            # Conversations of their own: one that goes on would return to who answered it.
            answer = ask(running, "own-chaos", f"{number} [[say:ok]]")
            assert (answer.headers["x-headgate-provider"], answer.headers["x-headgate-attempts"]) == ("together", "2")
        assert ask(running, "own-chaos", "the fifth [[say:ok]]").headers["x-headgate-provider"] == "groq"


def test_a_conversation_returns_to_the_route_that_has_read_it(site: Site):
    def asked(*texts: str) -> httpx.Response:
        turns = [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(texts)]
        settled(running)
        return running.post("/v1/chat/completions", {"model": "own-chaos", "messages": turns})

    with site.gateway() as running:
        site.first.behave("[[fail:500]]", marker="warm-one")
        assert asked("warm-one").headers["x-headgate-provider"] == "together"
        answer = asked("warm-one", "yes", "and now?")
        assert (answer.headers["x-headgate-provider"], answer.headers["x-headgate-attempts"]) == ("together", "1")
        (note,) = running.log_row(answer.headers["x-request-id"]).extra["route"]["notes"]
        assert "prompt cache" in note
        assert asked("another").headers["x-headgate-provider"] == "groq"

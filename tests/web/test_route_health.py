"""Providers that fail in every way, and what the gateway does about those that keep failing."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.serve import Backends
from dev.simulated_providers.server import Running, serve
from headgate.storage.logs import LogRow
from tests.gateway import Origin, origin
from tests.web.route_kit import Metrics, new_metrics, no_connections, refused_port, settled

PATHS = {"responses": "/v1/responses", "chat_completions": "/v1/chat/completions", "messages": "/v1/messages"}
FRONTENDS = tuple(PATHS)
PRICE = {"usd_per_million": {"input": 1, "output": 1}}

# How the first provider fails before the first byte, and how the attempt reads in the log (status, kind).
EARLY: dict[str, tuple[str, int | None, str]] = {
    "slow-headers": ("[[slow-headers:4]]", None, "timeout"),
    "slow-first": ("[[slow-first:4]]", None, "timeout"),
    "silent": ("[[silent-after:0 4]]", None, "timeout"),
    "cut": ("[[cut-after:0]]", None, "stream"),
    "error-first": ("[[error-first]]", None, "stream"),
    "limited": ("[[fail:429]]", 429, "status"),
    "limited-for-long": ("[[fail:429 retry-after=50]]", 429, "status"),
    "timeout": ("[[fail:408]]", 408, "status"),
    "overloaded": ("[[fail:409]]", 409, "status"),
    "error": ("[[fail:500]]", 500, "status"),
    "unavailable": ("[[fail:503]]", 503, "status"),
    "no-key": ("[[fail:401]]", 401, "status"),
    "no-money": ("[[fail:402]]", 402, "status"),
    "html": ("[[fail:502 html]]", 502, "status"),
}
# A whole answer has no events in which only the first would be wrong.
STREAMED_ONLY = ("silent", "error-first")
LATE = {"cut": "[[cut-after:3]]", "silent": "[[silent-after:3 4]]", "error": "[[error-after:3]]"}
CASES = [
    (mode, frontend, stream)
    for mode in EARLY
    for frontend in FRONTENDS
    for stream in (False, True)
    if stream or mode not in STREAMED_ONLY
]
END = {"responses": "data: [DONE]", "chat_completions": "data: [DONE]", "messages": 'data: {"type":"message_stop"}'}
BREAKERS = ("opens", "tools", "shared", "probe", "probe-fails", "one-probe", "all-open", "mixed", "other")


def slug_of(mode: str, frontend: str, stream: bool) -> str:
    return f"own-{mode}-{frontend.replace('_', '-')}-{'stream' if stream else 'json'}"


def two(first: str = "groq", second: str = "together") -> list[dict[str, Any]]:
    return [{"provider": first, "performance": 9, **PRICE}, {"provider": second, "performance": 1, **PRICE}]


MODELS = {
    **{slug_of(*case): two() for case in CASES},
    **{f"own-{name}": two() for name in BREAKERS},
    **{f"own-late-{name}-{frontend}": two() for name in LATE for frontend in FRONTENDS},
    **{f"own-alone-{name}": [{"provider": "groq", **PRICE}] for name in FRONTENDS},
    "own-refused": two("fireworks"),
    "own-unreachable": two("deepinfra"),
    "own-junk": two(),
    "own-accounts": two("openrouter"),
    **{f"own-wait-{name}": [{"provider": "together", **PRICE}] for name in ("once", "twice", "long")},
}


@dataclass
class Site:
    """Gateways over one metrics table, and the providers behind them."""

    origin: Origin
    metrics: Metrics
    first: Running
    second: Running
    another: Callable[[], contextlib.AbstractContextManager[Origin]]

    @contextlib.contextmanager
    def informed(self, *frontends: str) -> Iterator[Origin]:
        """Another gateway, whose processes have read the table. Their first request waits for it only a moment, which
        on a busy machine may be too short."""
        with self.another() as fresh:
            for frontend in frontends or ("responses",):
                assert served(self.ask("own-other", "[[say:ok]]", frontend, at=fresh)) == ("groq", "1")
            settled(fresh)
            yield fresh

    def ask(self, model: str, text: str, frontend: str = "responses", *, at: Origin | None = None, **fields: Any):
        """One request, by a gateway that has nothing else to do."""
        if frontend == "responses":
            body: dict[str, Any] = {"input": text}
        else:
            body = {"messages": [{"role": "user", "content": text}]}
            body |= {"max_tokens": 50} if frontend == "messages" else {}
        where = at or self.origin
        settled(where)
        return where.post(PATHS[frontend], {"model": model, **body, **fields})

    def row(self, answer: httpx.Response) -> LogRow:
        return self.origin.log_row(answer.headers["x-request-id"])

    def breaks(self, model: str, frontend: str = "responses", **fields: Any) -> None:
        """Three failures in a row at the first provider, which the client does not notice."""
        for _ in range(3):
            self.first.behave("[[fail:500]]", marker=model)
            assert served(self.ask(model, "[[say:ok]]", frontend, **fields)) == ("together", "2")
        settled(self.origin)


@pytest.fixture(scope="module")
def site(gateway_backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    own: Path = tmp_path_factory.mktemp("catalog") / "own.json"
    own.write_text(json.dumps({"models": [{"slug": slug, "routes": routes} for slug, routes in MODELS.items()]}))
    metrics = new_metrics(gateway_backends)
    environment = {
        "HEADGATE_CATALOG": str(own),
        "HEADGATE_METRICS_TABLE": metrics.name,
        "HEADGATE_CIRCUIT_BREAKER": "on",
        "HEADGATE_RETRY_WAIT": "2",
        "HEADGATE_GROQ_FIRST_BYTE_TIMEOUT": "1",
        "HEADGATE_GROQ_IDLE_TIMEOUT": "1",
        "HEADGATE_DEEPINFRA_CONNECT_TIMEOUT": "0.5",
        "HEADGATE_OPENROUTER_API_KEY_2": "sk-second",
    }
    models = tuple(MODELS)
    with serve(models=models) as first, serve(models=models) as second, contextlib.ExitStack() as stack:
        ports = {
            "GROQ": first.port,
            "TOGETHER": second.port,
            "OPENROUTER": first.port,
            "FIREWORKS": stack.enter_context(refused_port()),
            "DEEPINFRA": stack.enter_context(no_connections()),
        }
        for name, port in ports.items():
            environment[f"HEADGATE_{name}_BASE_URL"] = f"http://127.0.0.1:{port}/openai/v1"
            environment[f"HEADGATE_{name}_API_KEY"] = "sk-compatible"
        key = gateway_backends.create_key()

        def another() -> contextlib.AbstractContextManager[Origin]:
            return origin(gateway_backends, environment, key)

        yield Site(stack.enter_context(another()), metrics, first, second, another)


def served(answer: httpx.Response) -> tuple[str, str]:
    assert answer.status_code == 200, answer.text
    return answer.headers["x-headgate-provider"], answer.headers["x-headgate-attempts"]


# ---------------------------------------------------------------- one request


@pytest.mark.parametrize(("mode", "frontend", "stream"), CASES, ids=[slug_of(*case) for case in CASES])
def test_before_the_first_byte_a_failure_is_not_seen(site: Site, mode: str, frontend: str, stream: bool):
    model, (directives, status, kind) = slug_of(mode, frontend, stream), EARLY[mode]
    site.first.behave(directives, marker=f'"{model}"')
    answer = site.ask(model, "[[say:still]]", frontend, stream=stream)
    assert served(answer) == ("together", "2")
    assert '"still"' in answer.text and (not stream or answer.text.rstrip().endswith(END[frontend]))
    failed, good = site.row(answer).attempts
    assert (failed["provider"], failed["error"].partition(":")[0]) == ("groq", kind)
    # Of an answer that has begun the status is known.
    assert failed["status"] in (status, 200 if kind == "stream" else status)
    assert (good["provider"], good["status"], good["error"]) == ("together", 200, None)


@pytest.mark.parametrize("model", ["own-refused", "own-unreachable"])
def test_a_provider_that_cannot_be_reached(site: Site, model: str):
    answer = site.ask(model, "[[say:ok]]", stream=True)
    assert served(answer) == ("together", "2")
    assert site.row(answer).attempts[0]["error"].startswith("connect:")


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("mode", LATE)
def test_after_the_first_byte_the_protocol_says_it(site: Site, mode: str, frontend: str):
    model = f"own-late-{mode}-{frontend}"
    text = f"[[slow:0.02]]{LATE[mode]} [[tokens:40]]"
    answer = site.ask(model, text, frontend, stream=True)
    assert served(answer) == ("groq", "1")
    last = [json.loads(line[5:]) for line in answer.text.splitlines() if line.startswith("data: {")][-1]
    assert last["type"] in ("response.failed", "error") if frontend != "chat_completions" else last["error"]["message"]
    row = site.row(answer)
    assert row.error_code and row.input_tokens and row.output_tokens and row.cost_pico
    assert not site.second.recorded(marker=f'"{model}"')


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("directives", ["[[slow-headers:4]]", "[[slow-first:4]]"])
@pytest.mark.parametrize("stream", [False, True])
def test_where_all_were_too_slow_the_client_is_told_so(site: Site, frontend: str, directives: str, stream: bool):
    model = f"own-alone-{frontend}"
    site.first.behave(directives, marker=model)
    answer = site.ask(model, "hello", frontend, stream=stream)
    assert (answer.status_code, answer.headers["x-headgate-attempts"]) == (504, "1")


def test_an_answer_that_is_no_json(site: Site):
    site.first.behave("[[fail:200 html]]", marker="own-junk")
    answer = site.ask("own-junk", "[[say:ok]]", "chat_completions")
    assert served(answer) == ("together", "2")
    assert site.row(answer).attempts[0]["error"] == "stream: The provider's answer is not valid JSON"


# ---------------------------------------------------------------- the circuit breaker


def test_three_failures_and_the_route_is_not_called(site: Site):
    site.breaks("own-opens")
    answer = site.ask("own-opens", "[[say:ok]]")
    assert served(answer) == ("together", "1")
    assert len(site.first.recorded(marker='"own-opens"')) == 3
    (dropped,) = site.row(answer).extra["route"]["dropped"]
    assert (dropped["route"], dropped["step"]) == ("groq/own-opens", "health")
    assert dropped["reason"].startswith("3 failures in a row")
    row = site.metrics.breaker("groq", "own-opens")
    # A provider's return must not go unnoticed for longer than a minute.
    assert 0 < row["open_until"] - time.time() * 1000 <= 60_000


def test_requests_of_another_kind_go_on(site: Site):
    tools = [{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": False}]
    site.breaks("own-tools", tools=tools)
    assert served(site.ask("own-tools", "[[say:ok]]", tools=tools)) == ("together", "1")
    assert served(site.ask("own-tools", "[[say:ok]]")) == ("groq", "1")


def test_other_processes_know_it(site: Site):
    site.breaks("own-shared")
    with site.informed(*FRONTENDS) as fresh:
        for frontend in FRONTENDS:
            assert served(site.ask("own-shared", "[[say:ok]]", frontend, at=fresh)) == ("together", "1")


def test_one_good_probe_closes_it(site: Site):
    site.breaks("own-probe")
    site.metrics.cool_down("groq", "own-probe")
    with site.informed() as fresh:
        answer = site.ask("own-probe", "[[say:ok]]", at=fresh)
        assert served(answer) == ("groq", "1")
        settled(fresh)
        assert "open_until" not in site.metrics.breaker("groq", "own-probe")
        assert served(site.ask("own-probe", "[[say:ok]]", at=fresh)) == ("groq", "1")


def test_a_bad_probe_opens_it_again_for_less_than_a_minute(site: Site):
    site.breaks("own-probe-fails")
    site.metrics.cool_down("groq", "own-probe-fails")
    with site.informed() as fresh:
        site.first.behave("[[fail:500]]", marker="own-probe-fails")
        assert served(site.ask("own-probe-fails", "[[say:ok]]", at=fresh)) == ("together", "2")
        settled(fresh)
        row = site.metrics.breaker("groq", "own-probe-fails")
        assert 30_000 < row["cooldown"] <= 60_000 and row["open_until"] > time.time() * 1000
        assert served(site.ask("own-probe-fails", "[[say:ok]]", at=fresh)) == ("together", "1")


def test_of_two_processes_one_probes(site: Site):
    site.breaks("own-one-probe")
    site.metrics.cool_down("groq", "own-one-probe")
    with site.informed() as fresh, site.informed() as other:
        site.first.behave("[[slow:0.4]] [[tokens:20]]", marker="own-one-probe")
        before = len(site.first.recorded(marker="own-one-probe"))
        answers: list[httpx.Response] = []
        probe = threading.Thread(target=lambda: answers.append(site.ask("own-one-probe", "hello", at=fresh)))
        probe.start()
        until = time.monotonic() + 20
        while len(site.first.recorded(marker="own-one-probe")) == before:
            assert time.monotonic() < until
            time.sleep(0.01)
        answer = site.ask("own-one-probe", "[[say:ok]]", at=other)
        assert probe.is_alive(), "the probe was over before the other request"
        probe.join(60)
        assert served(answer) == ("together", "1") and served(answers[0]) == ("groq", "1")


def test_where_all_are_out_all_are_tried(site: Site):
    for _ in range(3):
        for running in (site.first, site.second):
            running.behave("[[fail:500]]", marker="own-all-open")
        assert site.ask("own-all-open", "hello").status_code == 424
    settled(site.origin)
    assert all(site.metrics.breaker(name, "own-all-open")["open_until"] for name in ("groq", "together"))
    answer = site.ask("own-all-open", "[[say:ok]]")
    assert served(answer) == ("groq", "1")
    assert "tried anyway" in site.row(answer).extra["route"]["notes"][0]


def test_the_callers_mistakes_say_nothing_of_a_route(site: Site):
    for _ in range(4):
        site.first.behave("[[fail:400]]", marker="own-mixed")
        assert site.ask("own-mixed", "hello").status_code == 400
    assert served(site.ask("own-mixed", "[[say:ok]]")) == ("groq", "1")
    settled(site.origin)
    assert not site.metrics.breaker("groq", "own-mixed")


# ---------------------------------------------------------------- limits


def test_a_limit_with_retry_after_is_one_accounts(site: Site):
    site.first.behave("[[fail:429 retry-after=50]]", marker="own-accounts")
    answer = site.ask("own-accounts", "[[say:ok]]")
    assert served(answer) == ("openrouter", "2")
    limited, other = (each["credential"] for each in site.row(answer).attempts)
    assert limited != other
    again = site.ask("own-accounts", "[[say:ok]]")
    assert served(again) == ("openrouter", "1")
    row = site.row(again)
    assert [each["credential"] for each in row.attempts] == [other]
    assert [each["step"] for each in row.extra["route"]["dropped"]] == ["health"]
    settled(site.origin)
    sidelined = site.metrics.breaker("openrouter", "own-accounts", f"@{limited}")
    assert 0 < sidelined["open_until"] - time.time() * 1000 <= 50_000
    assert not site.metrics.breaker("openrouter", "own-accounts")


@pytest.mark.parametrize("stream", [False, True])
def test_a_short_wait_is_waited_once(site: Site, stream: bool):
    site.second.behave("[[fail:429 retry-after=1]]", marker="own-wait-once")
    answer = site.ask("own-wait-once", "[[say:ok]]", stream=stream)
    assert served(answer) == ("together", "2") and answer.elapsed.total_seconds() >= 1
    assert [each["status"] for each in site.row(answer).attempts] == [429, 200]


def test_and_not_twice(site: Site):
    site.second.behave("[[fail:429 retry-after=1]]", marker="own-wait-twice", times=2)
    answer = site.ask("own-wait-twice", "hello")
    assert (answer.status_code, answer.headers["x-headgate-attempts"]) == (429, "2")
    assert answer.headers["retry-after"] == "1"


def test_a_long_wait_is_the_clients(site: Site):
    site.second.behave("[[fail:429 retry-after=30]]", marker="own-wait-long")
    answer = site.ask("own-wait-long", "hello")
    assert (answer.status_code, answer.headers["x-headgate-attempts"]) == (429, "1")
    assert answer.headers["retry-after"] == "30"

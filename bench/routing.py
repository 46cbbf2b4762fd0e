"""What a routing decision costs: the steps over fifty candidates by themselves, and all that a request waits for once
its process knows the metrics. In this process and without any input or output."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, cast

from fastapi import Request

from bench.rig import Rig
from bench.rows import Row, median, rounded
from headgate.access.keys import KeyRecord
from headgate.catalog.deployment import overlaid
from headgate.protocols.needs import read_needs
from headgate.routing.candidates import Candidate, reachable, resolve
from headgate.routing.metrics import bucket
from headgate.routing.options import read_options
from headgate.routing.plan import BreakerKey, Circumstances, decide, feature_class
from headgate.settings import Settings
from headgate.storage.metrics import MetricsStore, Shared
from headgate.storage.metrics_rows import Collected, Counts, pack
from headgate.web.call import Call
from headgate.web.live import Live
from headgate.web.routes import routes_for
from headgate.web.services import Services
from headgate.web.work import Work

_PROVIDERS = (
    "openai",
    "groq",
    "together",
    "fireworks",
    "deepinfra",
    "openrouter",
    "custom",
    "mistral",
    "xai",
    "huggingface",
)
_CALLS = 200
_FEATURES = ["stream", "tools", "parallel_tools", "json_schema", "sampling", "reasoning", "image"]
_POOR = frozenset({"stream", "tools", "json_schema"})
_SLUGS = tuple(f"bench-{number}" for number in range(5))
_BODY: dict[str, Any] = {
    "input": "What is the weather in Paris? " * 20,
    "tools": [{"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}],
    "text": {"format": {"type": "json_schema", "name": "answer", "schema": {"type": "object"}}},
    "reasoning": {"effort": "low"},
    "temperature": 0.2,
    "max_output_tokens": 500,
}
_ROUTING = {"provider": {"sort": "p95_latency"}}


@dataclass
class _Known:
    """The metrics table, as far as a process reads it before a request."""

    shared: Shared
    reads: int = 0

    async def live(self) -> Shared:
        self.reads += 1
        return self.shared


def measure(rig: Rig, repeats: int) -> dict[str, list[Row]]:
    """Microseconds, the median and the best of ``repeats`` passes over so many decisions each."""
    rows = asyncio.run(_measured(max(5, repeats)))
    return {"routing_us_per_decision": [rounded(row, 1) for row in rows]}


async def _measured(repeats: int) -> list[Row]:
    rows: list[Row] = []
    needs = read_needs("responses", _BODY)
    # Fifty are ten providers with five accounts each, or five models at ten providers.
    for what, model, accounts in (("10 routes x 5 accounts", _SLUGS[0], 5), ("50 routes", "auto", 1)):
        services, known = _services(accounts)
        candidates = await reachable(resolve(model, services.catalog), services.credentials, "responses", model)
        if len(candidates) != 50:
            raise RuntimeError(f"{len(candidates)} candidates instead of 50")
        view = await services.live.view()
        if view.snapshot is None or not view.breakers:
            raise RuntimeError("the decision would be made without metrics or breakers")
        plain = Circumstances(now=time.time())
        live = Circumstances(
            needs=needs,
            tokens=300,
            output=500,
            options=read_options({"routing": _ROUTING}),
            snapshot=view.snapshot,
            breakers=view.breakers,
            now=time.time(),
        )
        asked = f"p95, {len(view.breakers)} breakers, {len(needs)} needs"
        # Features are given up one by one until some route has the rest.
        poor = [replace(each, route=replace(each.route, features=_POOR)) for each in candidates]
        cases = [("performance", candidates, plain), (asked, candidates, live), (f"{asked}, 2 given up", poor, live)]
        for name, offered, given in cases:
            times = await _passes(_decided(offered, given), repeats)
            rows.append(_row(f"decide: {name}", what, times))
        call, work = _request(services, model)
        await routes_for(call, work)
        before = known.reads
        rows.append(_row(f"routes_for, warm: {asked}", what, await _passes(lambda: routes_for(call, work), repeats)))  # noqa: B023
        if known.reads != before:
            raise RuntimeError("a warm process has read the metrics table")
    return rows


def _decided(candidates: list[Candidate], given: Circumstances) -> Callable[[], Awaitable[object]]:
    async def work() -> object:
        return decide(candidates, given)

    return work


def _row(decision: str, candidates: str, times: list[float]) -> Row:
    return {"decision": decision, "candidates": candidates, "p50_us": median(times), "best_us": min(times)}


async def _passes(work: Callable[[], Awaitable[object]], repeats: int) -> list[float]:
    times: list[float] = []
    for _ in range(repeats):
        before = time.perf_counter()
        for _ in range(_CALLS):
            await work()
        times.append((time.perf_counter() - before) / _CALLS * 1e6)
    return times


def _services(accounts: int) -> tuple[Services, _Known]:
    environ = {"HEADGATE_SEAL_SECRET": "x" * 32, "AWS_REGION": "us-east-1"}
    for provider in _PROVIDERS:
        name = f"HEADGATE_{provider.upper()}"
        environ[f"{name}_BASE_URL"] = "http://127.0.0.1:9/v1"
        for number in range(1, accounts + 1):
            environ[f"{name}_API_KEY{f'_{number}' if number > 1 else ''}"] = f"sk-{number}"
    services = Services(Settings.from_env(environ), environ)
    models = [
        {
            "slug": slug,
            "routes": [
                {"provider": provider, "usd_per_million": {"input": 1 + at, "output": 2 + at}, "features": _FEATURES}
                for at, provider in enumerate(_PROVIDERS)
            ],
        }
        for slug in _SLUGS
    ]
    services.catalog = services.catalog.replaced(
        overlaid(services.catalog.data, {"models": models, "auto": list(_SLUGS)})
    )
    counts = {
        (provider, slug): Counts(
            {"requests": 500, "succeeded": 498},
            {"l": {bucket(400 + 40 * at + 15 * n): 12 for n in range(40)}},
            {"tools+structured": (60, 60)},
        )
        for at, provider in enumerate(_PROVIDERS)
        for slug in _SLUGS
    }
    now = time.time()
    kind = feature_class(read_needs("responses", _BODY))
    breakers: dict[BreakerKey, dict[str, float]] = {
        (_PROVIDERS[0], slug, kind): {"failures": 3, "open_until": now + 3600, "cooldown": 30, "opened": now}
        for slug in _SLUGS
    }
    breakers[_PROVIDERS[1], _SLUGS[0], kind] = {
        "failures": 3,
        "open_until": now - 1,
        "cooldown": 30,
        "opened": now - 31,
    }
    breakers[_PROVIDERS[2], _SLUGS[0], kind] = {"failures": 1, "since": now}
    known = _Known(Shared({900: pack(Collected(900, now, counts))}, breakers))
    services.live = Live(cast(MetricsStore, known), lambda reason: None)
    return services, known


def _request(services: Services, model: str) -> tuple[Call, Work]:
    request = Request({"type": "http", "method": "POST", "path": "/v1/responses", "headers": [], "query_string": b""})
    key = KeyRecord("bench", "", "bench", "bench", 0, "")
    call = Call(services, request, "responses", key, "req_bench", body=_BODY)
    return call, Work(_BODY, _BODY, "resp_bench", model=model, options=read_options({"routing": _ROUTING}))

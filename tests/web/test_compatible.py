"""The compatible rows where they truly differ, and the proof that another one is a row and a fixture and no code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.serve import Backends
from headgate.providers import rows
from headgate.providers.table import Provider
from headgate.settings import Settings
from headgate.web import chat_completions, messages, responses
from headgate.web.app import build_app
from headgate.web.services import Services
from tests.gateway import Origin, origin
from tests.sdk.support import CITY_SCHEMA
from tests.web.frontends import FRONTENDS, PATHS, WAY_IDS, WAYS, Turn, ask, body_of, events_of, read, request_of

# What is served, the row that serves it, and where its simulation stands. ``custom`` is any server: here three.
SERVERS = {
    "deepinfra": ("deepinfra", "/deepinfra/v1/openai"),
    "fireworks": ("fireworks", "/fireworks/inference/v1"),
    "groq": ("groq", "/groq/openai/v1"),
    "together": ("together", "/together/v1"),
    "openrouter": ("openrouter", "/openrouter/api/v1"),
    "vllm": ("custom", "/vllm/v1"),
    "ollama": ("custom", "/ollama/v1"),
    "lmstudio": ("custom", "/lmstudio/v1"),
}
# Whose earlier thoughts go back, and under which name.
SENT_BACK = {"deepinfra": "reasoning_content", "fireworks": "reasoning_content"}
Way = tuple[str, bool]


def catalogue(folder: Path, provider: str) -> str:
    """A deployer's own catalogue with one model of ``provider``."""
    route = {"provider": provider, "usd_per_million": {"input": 1, "output": 2}}
    file = folder / f"{provider}.json"
    file.write_text(json.dumps({"models": [{"slug": f"own-think-{provider}", "routes": [route]}]}))
    return str(file)


@pytest.fixture(scope="module", params=SERVERS)
def served(
    request: pytest.FixtureRequest, gateway_backends: Backends, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, Origin]]:
    """(server, model, a gateway that reaches it)."""
    row, path = SERVERS[request.param]
    environment = {
        "HEADGATE_CATALOG": catalogue(tmp_path_factory.mktemp("own"), row),
        "HEADGATE_PROVIDERS": row,
        f"HEADGATE_{row.upper()}_BASE_URL": gateway_backends.simulated.url + path,
        f"HEADGATE_{row.upper()}_API_KEY": "sk-own",
    }
    with origin(gateway_backends, environment) as running:
        yield request.param, f"{row}/own-think-{row}", running


def sent(running: Origin, server: str, marker: str) -> list[Any]:
    return running.backends.simulated.recorded(marker=marker, path=SERVERS[server][1])


@pytest.mark.parametrize("way", WAYS, ids=WAY_IDS)
def test_text_thoughts_calls_and_usage(served: tuple[str, str, Origin], way: Way):
    server, model, running = served
    mark = f"{server}-{'-'.join(map(str, way))}"
    question: Turn = ("user", f"{mark} [[think:Let me see.]][[say:Four.]]")
    said = ask(running, way, model, [question])
    assert (said.thoughts, said.text) == ("Let me see.", "Four.") and said.usage[2:3] == (6,)
    turns: list[Turn] = [question, ("history", said.message), ("user", "[[history]]")]
    back = ask(running, way, model, turns).text.splitlines()
    assert "assistant: Four." in back and ("thought: Let me see." in back) == (server in SENT_BACK)
    for recorded in sent(running, server, mark):
        fields = {name for message in recorded.body["messages"] for name in message if name.startswith("reasoning")}
        assert fields <= {SENT_BACK.get(server), "reasoning_details" if server == "openrouter" else None}
    called = ask(running, way, model, "use get_weather", tools={"get_weather": CITY_SCHEMA})
    assert [name for _, name, _ in called.calls] == ["get_weather"]


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_errors_in_its_own_form(served: tuple[str, str, Origin], frontend: str):
    _, model, running = served
    body = body_of(frontend, model, [("user", "[[fail:400 message=No such luck.]]")])
    answer = running.post(PATHS[frontend], body)
    assert answer.status_code == 400 and answer.json()["error"]["message"] == "No such luck."
    body = body_of(frontend, model, [("user", "[[error-after:3]][[say:one two three four five]]")])
    answer = running.post(PATHS[frontend], {**body, "stream": True})
    last = events_of(answer.text)[-1]
    assert "error" in last or last["type"] in ("error", "response.failed"), last


def test_fields_that_it_refuses(served: tuple[str, str, Origin]):
    server, model, running = served
    knobs = {"logit_bias": {"1": 1}, "logprobs": True, "verbosity": "low", "prompt_cache_retention": "24h", "n": 1}
    messages_ = [{"role": "user", "content": "[[say:ok]]", "name": "ada"}]
    answer = running.post(PATHS["chat_completions"], {"model": model, "messages": messages_, **knobs})
    assert answer.status_code == 200, answer.text
    losses = answer.headers["x-headgate-losses"]
    assert "verbosity" in losses
    assert ("logit_bias" in losses and "messages[0].name" in losses) == (server == "groq")


@pytest.mark.parametrize("served", ["fireworks"], indirect=True)
def test_a_cache_that_is_met_by_a_header(served: tuple[str, str, Origin]):
    _, model, running = served
    long = "fireworks-cache " + "word " * 2000
    first, again = (ask(running, ("chat_completions", False), model, long) for _ in range(2))
    assert (first.usage[1], again.usage[1] > 1000) == (0, True)


MADE_UP = Provider(
    slug="made-up",
    display_name="Made-up Inc.",
    aliases=("invented",),
    base_url="https://api.made-up.example/v1",
    key_variables=("MADE_UP_API_KEY",),
    quirks=rows.COMPATIBLE | {"reasoning_text"},
    refused=frozenset({"logit_bias"}),
)


@pytest.mark.parametrize("way", WAYS, ids=WAY_IDS)
def test_another_provider_is_a_row_and_a_fixture(
    way: Way, gateway_backends: Backends, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(rows.PROVIDERS, MADE_UP.slug, MADE_UP)
    for name in (MADE_UP.slug, *MADE_UP.aliases):
        monkeypatch.setitem(rows.ALIASES, name, MADE_UP.slug)
    environment = {
        **gateway_backends.environment,
        "HEADGATE_CATALOG": catalogue(tmp_path, MADE_UP.slug),
        "HEADGATE_MADE_UP_BASE_URL": gateway_backends.simulated.url + "/vllm/v1",
        "MADE_UP_API_KEY": "sk-made-up",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    services = Services(Settings.from_env(environment), environment)
    app = build_app(responses.router, chat_completions.router, messages.router, services=services)
    key = gateway_backends.create_key()
    mark = f"made-up-{way}"
    turns: list[Turn] = [("user", f"{mark} [[think:Hm.]][[say:Served.]]")]
    body = request_of(way, "invented/own-think-made-up", turns)

    async def serve() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", timeout=30) as client:
            return await client.post(PATHS[way[0]], json=body, headers={"authorization": f"Bearer {key}"})

    answer = asyncio.run(serve())
    said = read(answer, way)
    assert (said.thoughts, said.text) == ("Hm.", "Served.") and said.usage[2] == 4
    assert answer.headers["x-headgate-provider"] == "made-up"
    (recorded,) = gateway_backends.simulated.recorded(marker=mark)
    assert recorded.headers["authorization"] == "Bearer sk-made-up"
    assert recorded.body["model"] == "own-think-made-up"

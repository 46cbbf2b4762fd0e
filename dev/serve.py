"""``make run``: the whole gateway on one machine, without any key or AWS account.

PORT                 where to listen (8787)
HEADGATE_LOCAL_KEY   the API key to accept; a new one is made otherwise
OPENAI_API_KEY …     with a provider's credentials the real provider is called; without, a simulated one answers
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dev.embedded_dynamodb import EmbeddedDynamoDB, table_settings
from dev.lambda_emulator import Emulator, Function, in_thread
from dev.simulated_providers.server import Running
from dev.simulated_providers.server import serve as simulated_providers
from headgate.access.keys import KeyStore
from headgate.access.policy import Policy
from headgate.providers.rows import PROVIDERS
from headgate.storage.aws import Connection
from headgate.storage.table import Table

ROOT = Path(__file__).resolve().parent.parent

ROUTES = {
    "responses": ("/v1/responses", "/v1/routes"),
    "chat_completions": ("/v1/chat/completions",),
    "messages": ("/v1/messages",),
    "models": ("/",),
}


@dataclass(frozen=True, slots=True)
class Backends:
    """What the gateway leans on, on this machine: the tables and the simulated providers."""

    tables: EmbeddedDynamoDB
    names: Mapping[str, str]
    simulated: Running

    @property
    def environment(self) -> dict[str, str]:
        """What a function's environment must say to use them."""
        return {
            **self.tables.environment(),
            **table_settings(self.names),
            "HEADGATE_SIMULATED_PROVIDERS": self.simulated.url,
            "HEADGATE_SEAL_SECRET": _SEAL_SECRET,
            # Nobody collects them here, and a line for each request would hide the others.
            "POWERTOOLS_METRICS_DISABLED": "true",
        }

    def create_key(self, *, owner: str = "local", policy: Policy | None = None, key: str | None = None) -> str:
        """A new API key (or ``key`` itself) in the control table."""
        connection = Connection("dynamodb", factory=lambda: self.tables.client("dynamodb"))
        store = KeyStore(Table(connection, self.names["control"]))
        try:
            made, _ = asyncio.run(store.create("local", owner, policy=policy or Policy(), key=key))
        finally:
            connection.recreate()
        return made


_SEAL_SECRET = secrets.token_hex(32)


@contextlib.contextmanager
def backends() -> Iterator[Backends]:
    """Tables and simulated providers, for as long as the context lasts."""
    with EmbeddedDynamoDB() as tables, simulated_providers() as simulated:
        yield Backends(tables, tables.create_tables("headgate-"), simulated)


@contextlib.contextmanager
def gateway(environment: Mapping[str, str], *, port: int = 0, prewarm: int = 0) -> Iterator[Emulator]:
    """The four functions behind one origin, with ``environment`` as theirs."""
    functions = [
        Function(name, ROOT / "functions" / name, routes, environment=environment, python_path=(ROOT / "shared",))
        for name, routes in ROUTES.items()
    ]
    with in_thread(Emulator(functions, port=port), prewarm=prewarm) as emulator:
        yield emulator


def provider_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of ``environ`` that the functions are given: the gateway's own and the providers' keys."""
    keys = {name for row in PROVIDERS.values() for name in row.key_variables}
    ours = {name for name in environ if name.startswith("HEADGATE_")} - {"HEADGATE_LOCAL_KEY"}
    return {name: value for name, value in environ.items() if name in keys | ours}


def main() -> None:
    """Serve until interrupted."""
    port = int(os.environ.get("PORT", "8787"))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with backends() as behind:
        key = behind.create_key(key=os.environ.get("HEADGATE_LOCAL_KEY") or None)
        settings = provider_settings(os.environ)
        with gateway({**behind.environment, **settings}, port=port, prewarm=1) as emulator:
            print(welcome(emulator.url, key, settings, behind), flush=True)
            stop.wait()
    sys.exit(0)


def welcome(url: str, key: str, settings: Mapping[str, str], behind: Backends) -> str:
    """What the user needs to know."""
    real = [
        row.slug
        for row in PROVIDERS.values()
        if any(settings.get(name) for name in (row.variable("API_KEY"), row.variable("BASE_URL"), *row.key_variables))
    ]
    named = [f"{slug} ({'real' if slug in real else 'simulated'})" for slug in PROVIDERS]
    auth = f'-H "Authorization: Bearer {key}" -H "Content-Type: application/json"'
    hello = '"messages": [{"role": "user", "content": "Hello"}], "stream": true'
    return f"""
Headgate is running.

  OpenAI base URL      {url}/v1
  Anthropic base URL   {url}
  API key              {key}
  providers            {", ".join(named)}
  tables               AWS_ENDPOINT_URL_DYNAMODB={behind.tables.url}

curl -N {url}/v1/responses {auth} \\
  -d '{{"model": "gpt-5.4-mini", "input": "Hello", "stream": true}}'

curl -N {url}/v1/chat/completions {auth} \\
  -d '{{"model": "claude-haiku-4-5", {hello}}}'

curl -N {url}/v1/messages {auth} \\
  -d '{{"model": "claude-haiku-4-5", "max_tokens": 200, {hello}}}'
"""


if __name__ == "__main__":
    main()

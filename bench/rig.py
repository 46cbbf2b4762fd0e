"""What a run needs: the two stores, the simulated providers, and functions behind emulators."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.bodies import PATHS, VENDORS, Protocol
from bench.client import Client
from dev.embedded_dynamodb import REGION, EmbeddedDynamoDB, table_settings
from dev.lambda_emulator import Emulator, Function, in_thread
from headgate.access.keys import KeyStore
from headgate.access.policy import Policy
from headgate.storage.aws_json import AccessKey, AwsJson
from headgate.storage.table import Table

ROOT = Path(__file__).resolve().parent.parent
TABLES = {role: f"bench-{role}" for role in ("state", "logs", "control", "metrics")}


@dataclass(frozen=True)
class Target:
    """One function with a client of its own. ``path`` is where requests go."""

    name: str
    emulator: Emulator
    function: str
    client: Client
    path: str

    @property
    def pid(self) -> int:
        """The process that serves. There is one: requests wait for it to be idle."""
        (environment,) = self.emulator.environments(self.function)
        assert environment.pid is not None
        return environment.pid

    def settle(self) -> None:
        """Wait until the function has finished what it does after an answer."""
        while any(environment.state != "idle" for environment in self.emulator.environments(self.function)):
            time.sleep(0.0005)


@dataclass(frozen=True)
class Rig:
    """``instant`` and ``moto`` are environments for functions that use either store; ``key`` is known to both.
    ``upstream`` is the simulated providers' address and ``upstream_pid`` their process."""

    instant: Mapping[str, str]
    moto: Mapping[str, str]
    upstream: str
    upstream_pid: int
    key: str

    def gateway(
        self, stack: contextlib.ExitStack, name: str, client: Protocol, environment: Mapping[str, str]
    ) -> Target:
        """A gateway function for clients of one protocol, started and idle."""
        function = gateway_function(client, environment)
        return self._target(stack, name, function, PATHS[client])

    def passthrough(self, stack: contextlib.ExitStack, name: str, upstream: Protocol) -> Target:
        """The yardstick, towards one upstream protocol."""
        path = f"/{VENDORS[upstream]}{PATHS[upstream]}"
        return self._target(stack, name, passthrough_function(self.upstream), path)

    def _target(self, stack: contextlib.ExitStack, name: str, function: Function, path: str) -> Target:
        emulator = Emulator([function], timing_header=True, log=lambda _: None)  # every request logs its metrics
        stack.enter_context(in_thread(emulator, prewarm=1))
        client = Client(emulator.url, {"authorization": f"Bearer {self.key}", "anthropic-version": "2023-06-01"})
        stack.callback(client.close)
        return Target(name, emulator, function.name, client, path)


def gateway_function(client: Protocol, environment: Mapping[str, str]) -> Function:
    """The function that serves clients of one protocol."""
    return Function(client, ROOT / "functions" / client, environment=environment, python_path=(ROOT / "shared",))


def passthrough_function(upstream: str, environment: Mapping[str, str] | None = None) -> Function:
    """The yardstick."""
    return Function(
        "passthrough", ROOT / "bench" / "passthrough", environment={"UPSTREAM": upstream, **(environment or {})}
    )


@contextlib.contextmanager
def rig() -> Iterator[Rig]:
    """Everything that runs beside the functions, for as long as the context lasts."""
    with _instant_store() as instant_url, EmbeddedDynamoDB() as moto, _upstream() as (upstream, pid):
        names = moto.create_tables("bench-")
        shared = {
            **moto.environment(),
            **table_settings(names),
            "HEADGATE_SIMULATED_PROVIDERS": upstream,
            "HEADGATE_SEAL_SECRET": secrets.token_hex(32),
        }
        instant = shared | {"AWS_ENDPOINT_URL_DYNAMODB": instant_url}
        key = _create_key(moto.url, None)
        yield Rig(instant, shared, upstream, pid, _create_key(instant_url, key))


def store_client(url: str) -> AwsJson:
    """The gateway's own DynamoDB client, towards ``url``."""
    return AwsJson("dynamodb", url, REGION, AccessKey("local", "local"))


def _create_key(url: str, key: str | None) -> str:
    connection = store_client(url)
    store = KeyStore(Table(connection, TABLES["control"]))
    try:
        made, _ = asyncio.run(store.create("bench", "bench", policy=Policy(), key=key))
    finally:
        connection.recreate()
    return made


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def _instant_store() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.instant_store"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@contextlib.contextmanager
def _upstream() -> Iterator[tuple[str, int]]:
    """The simulated providers in a process of their own, so that they share no interpreter with the emulator."""
    port = free_port()
    command = [sys.executable, "-m", "dev.simulated_providers", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > until or process.poll() is not None:
                    raise RuntimeError("the simulated providers did not start") from None
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(10)

"""Fixtures that several test packages use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from dev.embedded_dynamodb import EmbeddedDynamoDB
from dev.serve import Backends, backends
from tests.gateway import UPSTREAMS, Origin, Upstream, origin

# The same examples in every run: a build must not fail by chance. HYPOTHESIS_PROFILE=explore looks for new ones.
SLOW_IS_FINE = [HealthCheck.too_slow]
settings.register_profile("repeatable", deadline=None, derandomize=True, suppress_health_check=SLOW_IS_FINE)
settings.register_profile("explore", deadline=None, max_examples=1000, suppress_health_check=SLOW_IS_FINE)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture(scope="session")
def dynamodb_server() -> Iterator[EmbeddedDynamoDB]:
    """One server for the whole session. Tests that use it directly make tables of their own."""
    with EmbeddedDynamoDB() as server:
        yield server


@pytest.fixture
def dynamodb(dynamodb_server: EmbeddedDynamoDB, monkeypatch: pytest.MonkeyPatch) -> EmbeddedDynamoDB:
    """The server, with every AWS client of this process pointed at it for the length of the test. Each
    ``create_tables()`` makes tables under new names, so tests never meet each other's rows."""
    for name, value in dynamodb_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return dynamodb_server


@pytest.fixture(scope="session")
def gateway_backends() -> Iterator[Backends]:
    """Tables and simulated providers for every gateway of the session."""
    with backends() as running:
        yield running


@pytest.fixture(scope="session")
def origins(gateway_backends: Backends) -> Iterator[Callable[[Upstream], Origin]]:
    """Origins by the upstream protocol that they reach, started when first asked for."""
    with contextlib.ExitStack() as stack:
        started: dict[Upstream, Origin] = {}

        def get(upstream: Upstream) -> Origin:
            if upstream not in started:
                started[upstream] = stack.enter_context(origin(gateway_backends, UPSTREAMS[upstream][0]))
            return started[upstream]

        yield get


@pytest.fixture(scope="session")
def gateway_origin(origins: Callable[[Upstream], Origin]) -> Origin:
    """The origin as `make run` serves it."""
    return origins("messages")

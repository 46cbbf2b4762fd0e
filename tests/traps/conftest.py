"""One gateway and one client for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway import Origin
from tests.traps.kit import Client


@pytest.fixture(scope="session")
def client(gateway_origin: Origin) -> Iterator[Client]:
    """A client of the gateway as `make run` serves it."""
    made = Client(gateway_origin)
    yield made
    made.close()

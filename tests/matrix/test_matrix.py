"""Every cell: ``responses-vertex-parallel_tools-stream`` and its like."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.gateway import Origin
from tests.matrix.capabilities import CAPABILITIES
from tests.matrix.facts import FRONTENDS, MODES
from tests.matrix.harness import Cell, Gateway, gateway
from tests.matrix.providers import BY_SLUG


@pytest.fixture(scope="module")
def served(gateway_origin: Origin) -> Iterator[Gateway]:
    """The gateway as ``make run`` serves it."""
    with gateway(gateway_origin) as running:
        yield running


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("provider", BY_SLUG)
@pytest.mark.parametrize("frontend", FRONTENDS)
def test_cell(served: Gateway, frontend: str, provider: str, capability: str, mode: str):
    cell = Cell(served, frontend, BY_SLUG[provider], capability, mode == "stream")
    CAPABILITIES[capability][1](cell)
    cell.check_losses()

"""Every test of this package that asks for ``case`` runs over each upstream protocol."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.gateway import UPSTREAMS, Origin, Upstream
from tests.sdk.support import THINKERS, Case


@pytest.fixture(params=list(UPSTREAMS), scope="session")
def case(request: pytest.FixtureRequest, origins: Callable[[Upstream], Origin]) -> Case:
    """The whole gateway in front of one upstream protocol."""
    upstream: Upstream = request.param
    return Case(upstream, origins(upstream), UPSTREAMS[upstream][1], THINKERS[upstream])

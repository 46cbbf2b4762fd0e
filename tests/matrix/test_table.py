"""The README's table is what the cells are, and the cells are the whole product."""

from __future__ import annotations

import itertools
from pathlib import Path

from headgate.catalog.catalog import Catalog
from tests.matrix.capabilities import CAPABILITIES
from tests.matrix.facts import FRONTENDS, MODES
from tests.matrix.providers import BY_SLUG, VENDORS
from tests.matrix.table import README, written
from tests.matrix.test_matrix import test_cell as cell

PROVIDERS = {
    "openai",
    "anthropic",
    "vertex",
    "bedrock",
    "azure",
    "xai",
    "cohere",
    "mistral",
    "cloudflare",
    "huggingface",
}


def test_the_readme_has_the_table_of_these_cells():
    text = README.read_text("utf-8")
    assert text == written(text), "stale: run python -m tests.matrix"


def test_every_cell_of_the_product_is_a_test():
    values = {mark.args[0]: set(mark.args[1]) for mark in cell.pytestmark if mark.name == "parametrize"}
    assert values == {
        "frontend": {"responses", "chat_completions", "messages"},
        "provider": PROVIDERS,
        "capability": set(CAPABILITIES),
        "mode": {"stream", "json"},
    }
    assert len(CAPABILITIES) == 16 and {mark.name for mark in cell.pytestmark} == {"parametrize"}
    here = Path(__file__).parent
    for path in here.glob("*.py"):
        if path != Path(__file__):
            assert not any(word in path.read_text() for word in ("pytest.skip", "xfail", "skipif")), path


def test_what_the_cells_ask_is_offered():
    catalog = Catalog.bundled()
    for vendor, capability in itertools.product(VENDORS, CAPABILITIES):
        model = catalog.find(vendor.model(capability).partition("/")[2])
        assert model is not None and vendor.slug in {route.provider for route in model.routes}, (vendor, capability)
        for lack in vendor.lacks.get(capability, ()):
            assert lack.reason.endswith(".") and set(lack.frontends) <= set(FRONTENDS)
    assert set(BY_SLUG) == PROVIDERS and MODES == ("stream", "json")

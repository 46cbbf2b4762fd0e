"""Failed assertions of the cells' own modules are explained like those of a test module."""

import pytest

for name in ("accounts", "content", "harness", "knobs", "reading"):
    pytest.register_assert_rewrite(f"tests.matrix.{name}")

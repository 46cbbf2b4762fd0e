"""Rows of numbers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

Row = dict[str, str | float | int]


def median(values: Sequence[float]) -> float:
    """The middle value: what other work on the machine does to a few samples does not show in it."""
    return statistics.median(values)


def rounded(row: Row, digits: int = 3) -> Row:
    """The row with floats that a reader can take in."""
    return {name: round(value, digits) if isinstance(value, float) else value for name, value in row.items()}

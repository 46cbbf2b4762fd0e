"""Reasoning effort levels and token budgets, in both directions.

OpenAI asks for a level, older Claude and Gemini models for a budget in tokens, newer ones for a level again. Levels
that a model lacks move to the nearest one it has, searching up first and then down.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

LEVELS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

_BUDGETS = {"minimal": 1024, "low": 1024, "medium": 2048, "high": 4096, "xhigh": 8192, "max": 16384}


def nearest(effort: str, supported: Sequence[str]) -> str:
    """The level of ``supported`` closest to ``effort``: itself, else the next one up, else the next one down.
    ``effort`` itself where nothing is known of the model."""
    if not supported or effort in supported or effort not in LEVELS:
        return effort
    at = LEVELS.index(effort)
    for level in (*LEVELS[at + 1 :], *reversed(LEVELS[:at])):
        if level in supported:
            return level
    return effort


def adjustable(efforts: Sequence[str], quirks: Collection[str]) -> bool:
    """Whether a model that reasons can be told how hard. Under the quirk ``efforts_listed`` only one whose levels are
    known takes any: xAI and Mistral refuse the field from their other models, whether they reason or not."""
    return bool(efforts) or "efforts_listed" not in quirks


def budget_for(effort: str) -> int | None:
    """The thinking budget in tokens that stands for ``effort``; None for ``none``."""
    return _BUDGETS.get(effort)


def effort_for(budget: int) -> str:
    """The lowest level whose budget covers ``budget`` tokens."""
    for level in ("low", "medium", "high", "xhigh"):
        if budget <= _BUDGETS[level]:
            return level
    return "max"

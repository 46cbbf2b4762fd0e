"""The deployment's own names for models: ``HEADGATE_MODEL_ALIASES``, applied before a name is read as a selector.

``[["gpt-4(.*)", "gpt-5.4\\\\1"], ["fast", "gpt-5.4-mini|claude-haiku-4-5"]]``: pairs of a regular expression, which is
matched at the start of the name (``$`` ends it), and what replaces the whole name; ``\\1`` is the first group.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

MOST_CHARACTERS = 4_000
"""A longer name is no model's and is not matched: an expression may take a long time over it."""

Rule = tuple[re.Pattern[str], str]


def compiled(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[Rule, ...], tuple[str, ...]]:
    """The rules that ``pairs`` make, in order, and what is wrong with each pair that makes none: an expression that
    does not compile, a replacement that asks for a group that is not there."""
    rules: list[Rule] = []
    problems: list[str] = []
    for at, (pattern, replacement) in enumerate(pairs):
        if not pattern or not replacement:
            problems.append(f"HEADGATE_MODEL_ALIASES[{at}] is left out: it is empty")
            continue
        try:
            rule = re.compile(pattern)
            # Reads the replacement, whether or not there is anything to replace.
            rule.sub(replacement, "")
        except (re.error, IndexError, RecursionError, OverflowError) as error:
            problems.append(f"HEADGATE_MODEL_ALIASES[{at}] is left out: {error}")
        else:
            rules.append((rule, replacement))
    return tuple(rules), tuple(problems)


def rewritten(name: str, rules: Sequence[Rule]) -> str:
    """``name`` as the first rule that matches has it; ``name`` itself where none does, or where nothing would be left
    of it."""
    if len(name) > MOST_CHARACTERS:
        return name
    for pattern, replacement in rules:
        match = pattern.match(name)
        if match is not None:
            return match.expand(replacement).strip() or name
    return name

"""The simulated vendors' tokenizer: words and punctuation marks, each with the white space before it.

Every usage figure, every limit and every delta of a stream counts these tokens, so a test can work out the numbers.
"""

from __future__ import annotations

import re
from functools import lru_cache

_TOKEN = re.compile(r"\s*(?:\w{1,16}|[^\w\s])|\s+")
_WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "while",
    "seven",
    "bright",
    "stars",
    "watch",
    "from",
    "above",
    "and",
    "every",
    "river",
    "runs",
    "slowly",
    "towards",
    "some",
    "distant",
    "quiet",
    "sea",
]


def split(text: str) -> list[str]:
    """The tokens of ``text``; joined they are ``text`` again. A word of more than 16 letters is several tokens."""
    return _TOKEN.findall(text)


def count(text: str) -> int:
    """How many tokens ``text`` has."""
    return len(_TOKEN.findall(text))


@lru_cache(maxsize=16)
def filler(tokens: int) -> str:
    """A text of exactly ``tokens`` tokens, always the same."""
    return " ".join(_WORDS[index % len(_WORDS)] for index in range(tokens))

"""Tokens of text without a tokenizer.

Text is cut as tokenizers cut it before they look anything up: words with the space before them, runs of digits, of
punctuation and of white space. A word costs one token plus the likelihood of a cut between each two of its letters
(``token_rates.CUTS``: ``th`` is rarely cut, ``qk`` mostly); characters of other scripts cost by script. The counts are
weighted per family of models (``token_rates.RATES``), so that the estimate is not below the real number: for a text of
200 tokens or more it is at most 5 % under, over the texts and tokenizers of ``bench/RESULTS.md``, which also says where
new texts came out lower and which families could not be measured.

The cost is a sum over the pieces, so what holds for kinds of text holds for their mixtures. Long text is judged by
windows spread evenly over it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from headgate.token_rates import COMMON, CUTS, RATES

SAMPLED = 6_000
"""Characters that are looked at in a longer text, or a twentieth of it where that is more."""
_WINDOW, _NEAR = 40, 12
# What is seen can be up to 3 % cheaper than the rest, even of text that is a medley of ninety languages.
_UNSEEN = 1.02
# A word's own cost, and that of a pair with a letter beyond a to z.
_WORD, _FOREIGN = 0.84, 0.5

# What is counted, in the order of each row of RATES: cost of words, what long words cost beyond three tokens, cost of
# upper-case words, letters with accents; digits, digits by threes, runs of digits; runs of punctuation, changes of
# the character in them, repetitions; line ends, further ones; runs of spaces, sixteens of them, tabs, lone odd
# spaces; words of other scripts, then their characters by _SCRIPTS.
_FIXED = 17
_SCRIPTS = (
    (0x0000, "symbols of Latin-1"),
    (0x0250, "phonetic letters and combining marks"),
    (0x0370, "Greek"),
    (0x0400, "Cyrillic"),
    (0x0530, "Armenian"),
    (0x0590, "Hebrew"),
    (0x0600, "Arabic and Syriac"),
    (0x0900, "Devanagari"),
    (0x0980, "Bengali"),
    (0x0A00, "further Indian scripts"),
    (0x0E00, "Thai, Lao, Tibetan"),
    (0x1000, "Burmese, Georgian, Ethiopic, Khmer"),
    (0x2000, "punctuation, arrows, boxes, symbols"),
    (0x3000, "kana and East Asian punctuation"),
    (0x3400, "Han"),
    (0xA000, "scripts that are rare"),
    (0xAC00, "Hangul"),
    (0xD7B0, "full width, variants, private use"),
    (0x10000, "emoji and all beyond"),
)
_EDGES = [edge for edge, _ in _SCRIPTS]
WIDTH = _FIXED + len(_SCRIPTS)
"""Numbers in a row of RATES."""

_PIECES = re.compile(
    " ?(?:[A-ZÀ-ÖØ-Þ]?[a-zß-öø-ɏḀ-ỿ]+|[A-ZÀ-ÖØ-Þ]+(?![a-z]))"
    r"|[0-9]+|[ \t\r\f\v]*[\r\n]\s*|\s{2,}| ?[!-/:-@\[-`{-~]+|[^\x00-\u024f\u1e00-\u1eff]+|.",
    re.DOTALL,
)


def estimate_text(text: str, family: str | None = None) -> int:
    """Tokens of ``text``, estimated, for a family of models as ``family_of`` names it; without one, for the tokenizer
    that needs most."""
    if len(text) <= SAMPLED:
        return round(_weigh(measure(text), family))
    sample = _sample(text)
    return round(_weigh(measure(sample), family) * len(text) / len(sample) * _UNSEEN)


def family_of(model: str) -> str | None:
    """The family whose tokenizer ``model`` uses, by its name (``provider/slug`` or a vendor's id), None where its
    tokenizer was not measured. ``claude`` are the models before Opus 4.7, whose tokenizer is a newer one."""
    name = model.lower()
    if "claude" in name:
        version = re.search(r"claude-[a-z]+-(\d)(?:[-.](\d)(?!\d))?", name)
        number = int(version[1]) * 10 + int(version[2] or 0) if version else 30
        return "claude_new" if number >= 47 or "fable" in name or "mythos" in name else "claude"
    name = name.rpartition("/")[2]
    if re.match(r"gpt-(4o|4\.|[5-9]|oss)|o\d|chatgpt-4o|codex", name):
        return "gpt"
    for family, names in _FAMILIES:
        if re.match(names, name):
            return family
    return None


_FAMILIES = (
    ("gemini", r"(google\.)?(gemini|gemma)"),
    ("llama", r"((us|eu)\.)?(meta[.-])?llama-?3"),
    ("mistral", r"(mistral\.)?(open-)?(mi[sx]tral|codestral|devstral|magistral|pixtral|ministral|voxtral)"),
)


def _sample(text: str) -> str:
    """A twentieth of ``text``, at least ``SAMPLED`` characters, from all over it: a window of each of equal stretches,
    at changing places in them, so that a text with a period is not met at one phase. Windows start and end at a
    space where one is near, because half a word costs as much as a whole one."""
    stretches = max(SAMPLED, len(text) // 20) // _WINDOW
    stretch = len(text) / stretches
    room = max(1, int(stretch) - _WINDOW)
    windows: list[str] = []
    for index in range(stretches):
        start = int(index * stretch) + index * 7919 % room
        end = start + _WINDOW
        first, last = text.find(" ", start, start + _NEAR), text.find(" ", end, end + _NEAR)
        windows.append(text[start if first < 0 else first : end if last < 0 else last])
    return "".join(windows)


def _weigh(counts: Iterable[float], family: str | None) -> float:
    rates = RATES.get(family or "") or RATES["any"]
    return sum(map(float.__mul__, counts, rates))


@lru_cache(8192)
def _word(word: str) -> float:
    lower = word.lower()
    if lower in COMMON:
        return 1.0
    return max(1.0, _WORD + sum([CUTS.get(pair, _FOREIGN) for pair in map(str.__add__, lower, lower[1:])]))


def measure(text: str) -> list[float]:
    """What is in ``text``: ``WIDTH`` counts."""
    words = longs = uppers = accents = digits = threes = numbers = marks = changes = repeats = 0.0
    lines = more_lines = gaps = wide_gaps = tabs = odd = foreign = 0.0
    scripts = [0.0] * len(_SCRIPTS)
    for piece, times in Counter(_PIECES.findall(text)).items():
        bare = piece[1:] if piece[0] == " " and len(piece) > 1 else piece
        first = bare[0]
        if "0" <= first <= "9":
            digits += times * len(piece)
            threes += times * ((len(piece) + 2) // 3)
            numbers += times
        elif first.isspace():
            after = piece.rpartition("\n")[2]
            if len(after) < len(piece):
                lines += times
                more_lines += times * (piece.count("\n") - 1)
                gaps += times * (bool(after) + (piece[0] != "\n"))
            elif len(piece) > 1:
                gaps += times
            else:
                odd += times
            wide_gaps += times * (len(after) // 16)
            tabs += times * after.count("\t")
        elif first < "\x7f" and not first.isalpha():
            changed = 1 + sum(map(str.__ne__, bare, bare[1:]))
            marks += times
            changes += times * changed
            repeats += times * (len(bare) - changed)
        elif first.isalpha() and (first < "\u0250" or "\u1e00" <= first < "\u1f00"):
            cost = _word(bare)
            if bare[1:2].isupper():
                uppers += times * cost
            else:
                words += times * cost
            longs += times * max(0.0, cost - 3)
            if not bare.isascii():
                accents += times * sum([letter > "\x7f" for letter in bare])
        else:
            foreign += times
            for character, count in Counter(piece).items():
                scripts[bisect_right(_EDGES, ord(character)) - 1] += times * count
    return [
        *(words, longs, uppers, accents, digits, threes, numbers, marks, changes, repeats),
        *(lines, more_lines, gaps, wide_gaps, tabs, odd, foreign),
        *scripts,
    ]

"""Finds directives in a text: ``[[name]]``, ``[[name:argument]]``, ``[[@vendor name:argument]]`` for one vendor only.

brain.py documents every directive. What is not a known directive stays text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from .reading import Faults

SPOKEN = frozenset(
    [
        "say",
        "think",
        "think-signed",
        "think-redacted",
        "tool",
        "refuse",
        "search",
        "tokens",
        "json",
        "echo-system",
        "history",
        "empty",
    ]
)
"""Directives that put a step into the plan, in the order they are written."""

MANNERS = frozenset(["then", "tools-interleaved", "tools-whole", "filter", "finish", "usage"])
FAULTS = frozenset(
    [
        "fail",
        "slow-headers",
        "slow-first",
        "slow",
        "cut-after",
        "silent-after",
        "error-after",
        "error-first",
        "junk-after",
        "novel",
    ]
)
_KNOWN = SPOKEN | MANNERS | FAULTS
_NUMERIC = {
    "tokens": r"\d+$",
    "fail": r"[1-5]\d\d( |$)",
    **dict.fromkeys(("cut-after", "error-after", "junk-after"), r"\d+$"),
    **dict.fromkeys(("slow-headers", "slow-first", "slow"), r"\d+(\.\d+)?$"),
    "silent-after": r"\d+( \d+(\.\d+)?)?$",
}
"""What the arguments of directives that count something look like; anything else is text."""
_OPENING = re.compile(r"\[\[(?:@([a-z]+) )?([a-z]+(?:-[a-z]+)*)(:|\]\])")
_decode = json.JSONDecoder().raw_decode


@dataclass
class Directive:
    """A directive and its argument, which is empty where none was given."""

    name: str
    argument: str


def extract(text: str, vendor: str) -> tuple[list[Directive], str]:
    """The directives of ``text`` that hold for ``vendor``, and the text without any directive, stripped."""
    found: list[Directive] = []
    rest: list[str] = []
    at = 0
    while match := _OPENING.search(text, at):
        only, name, colon = match.groups()
        end = match.end()
        argument = ""
        if colon == ":":
            end = _closing(text, end, json_inside=name in ("tool", "json", "usage"))
            argument = text[match.end() : end]
            end += 2
        if name not in _KNOWN or not re.match(_NUMERIC.get(name, ""), argument):
            rest.append(text[at : match.end()])
            at = match.end()
            continue
        rest.append(text[at : match.start()])
        at = end
        if only in (None, vendor):
            found.append(Directive(name, argument))
    rest.append(text[at:])
    return found, "".join(rest).strip()


def _closing(text: str, start: int, *, json_inside: bool) -> int:
    """Where the argument that begins at ``start`` ends. JSON in it may hold ``]]`` itself."""
    if json_inside:
        opening = text.find("{", start)
        first_end = text.find("]]", start)
        if 0 <= opening < first_end:
            try:
                _, after = _decode(text, opening)
            except ValueError:
                after = opening
            start = after
    end = text.find("]]", start)
    return len(text) if end < 0 else end


def faults(found: list[Directive]) -> Faults:
    """The faults among the directives."""
    result = Faults()
    for one in found:
        match one.name:
            case "fail":
                words = one.argument.split(" ")
                result.status = int(words[0])
                result.status_options = _options(one.argument.partition(" ")[2])
            case "slow-headers":
                result.slow_headers = float(one.argument)
            case "slow-first":
                result.slow_first = float(one.argument)
            case "slow":
                result.slow = float(one.argument)
            case "cut-after":
                result.cut_after = int(one.argument)
            case "silent-after":
                after, _, duration = one.argument.partition(" ")
                result.silent_after = int(after)
                result.silent_for = float(duration or result.silent_for)
            case "error-after":
                result.error_after = int(one.argument)
            case "error-first":
                result.error_first = True
            case "junk-after":
                result.junk_after = int(one.argument)
            case "novel":
                result.novel = True
            case _:
                continue
    return result


def _options(text: str) -> dict[str, str]:
    """``retry-after=7 html message=all the rest`` as a dictionary; a bare word is its own value."""
    options: dict[str, str] = {}
    head, sign, message = text.partition("message=")
    if sign:
        options["message"] = message
    for word in head.split():
        key, _, value = word.partition("=")
        options[key] = value or key
    return options

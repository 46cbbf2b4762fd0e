"""Reads composite model selectors.

::

    selector    leaf, or leaves with one operator between them: | (failover), ^ (weighted) or ! (race)
    leaf        [annotation,annotation]... model ?name=value&name=value...
    model       a name of the catalogue; provider:model; provider.instance:model
    annotation  weight=N, first, thinker (with ^); handicap=N, ttft_timeout=N (with !); max_context=N (with any)

Names of the catalogue come first: an id that holds an operator, a colon or a question mark is that id wherever it
stands, as long as it goes up to an operator, a ``?`` or the end. Spaces around leaves, annotations and operators mean
nothing. In parameters the operators and brackets are percent-encoded (``%21`` is ``!``).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

from headgate.errors import GatewayError
from headgate.losses import Loss
from headgate.providers.rows import find_provider
from headgate.routing.selector_query import read_query
from headgate.routing.selectors import Kind, Leaf, Selector, Value

MOST_LEAVES = 16
MOST_CHARACTERS = 4_000

_OPERATORS: dict[str, Kind] = {"|": "failover", "^": "weighted", "!": "race"}
_FORMS = {"failover": "A|B", "weighted": "A^B", "race": "A!B"}
_ANNOTATIONS: dict[str, Kind | None] = {
    "weight": "weighted",
    "max_context": None,
    "first": "weighted",
    "thinker": "weighted",
    "handicap": "race",
    "ttft_timeout": "race",
}
"""Name to the only kind of selector that it has a meaning in."""

_MOST_IN_NAME = 8
"""How many operators and question marks an id of the catalogue is expected to hold."""
_END = re.compile(r"[|^!?]")
_QUERY_END = re.compile(r"[|^!]")
_BLOCK_END = re.compile(r"[\[\]|^!]")
_SPACES = re.compile(r"\s*")
_PREFIX = re.compile(r"([A-Za-z0-9-]+)(?:\.([^\s/:?|^!\[\]]*))?:")
_WHOLE = re.compile(r"0*[1-9][0-9]{0,8}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?", re.ASCII)
_SHOWN = 120


def parse_selector(text: str, known: Callable[[str], bool]) -> Selector:
    """The selector in a request's ``model``. ``known``: whether a text is a name of the catalogue, which it is then
    taken for whatever it contains. Raises 400 ``invalid_selector`` for the first place that cannot be meant; the
    message shows it, and ``details`` has its ``column``, counted from 1."""
    if len(text) > MOST_CHARACTERS:
        message = f"a selector has at most {MOST_CHARACTERS} characters, this one has {len(text)}"
        raise _fault(text, MOST_CHARACTERS, message)
    if known(text):
        return Selector("single", (Leaf(text, end=len(text)),), text)
    reading = _Reading(text, known)
    drafts = reading.drafts()
    kind = reading.kind()
    reading.check(drafts, kind)
    if reading.problems:
        raise _fault(text, *min(reading.problems, key=lambda problem: problem[0]))
    return Selector(kind or "single", tuple(draft.leaf() for draft in drafts), text)


@dataclass(slots=True)
class _Draft:
    """A leaf while it is read. ``marks``: annotations with the places where they stand."""

    start: int
    model_at: int = 0
    model: str = ""
    provider: str | None = None
    instance: str | None = None
    marks: dict[str, tuple[str | None, int]] = field(default_factory=dict[str, "tuple[str | None, int]"])
    parameters: dict[str, Value] = field(default_factory=dict[str, Value])
    ignored: tuple[Loss, ...] = ()
    end: int = 0

    def leaf(self) -> Leaf:
        """The leaf, once nothing is wrong with it."""

        def said(name: str) -> str | None:
            return self.marks[name][0] if name in self.marks else None

        context, timeout = said("max_context"), said("ttft_timeout")
        return Leaf(
            model=self.model,
            provider=self.provider,
            instance=self.instance,
            parameters=self.parameters,
            ignored=self.ignored,
            weight=int(said("weight") or 1),
            max_context=None if context is None else int(context),
            first="first" in self.marks,
            thinker="thinker" in self.marks,
            handicap=float(said("handicap") or 0),
            ttft_timeout=None if timeout is None else float(timeout),
            start=self.start,
            end=self.end,
        )


class _Reading:
    """One pass over a selector. It goes on after a problem, so that the first place is known at the end."""

    def __init__(self, text: str, known: Callable[[str], bool]) -> None:
        self.problems: list[tuple[int, str]] = []
        self._text = text
        self._known = known
        self._operators: list[tuple[int, str]] = []
        self._ends = [*(match.start() for match in _END.finditer(text)), len(text)]

    def drafts(self) -> list[_Draft]:
        """The leaves, in order."""
        drafts: list[_Draft] = []
        at = 0
        while True:
            start = self._after_spaces(at)
            if len(drafts) == MOST_LEAVES:
                self._problem(start, f"a selector has at most {MOST_LEAVES} models")
                return drafts
            draft, at = self._leaf(start)
            drafts.append(draft)
            if at == len(self._text):
                return drafts
            self._operators.append((at, self._text[at]))
            at += 1

    def kind(self) -> Kind | None:
        """What the operators make of the leaves; None for a single one, or where operators are mixed."""
        if not self._operators:
            return None
        first = self._operators[0][1]
        for at, operator in self._operators:
            if operator != first:
                self._problem(at, f"'{operator}' cannot be mixed with '{first}' in one selector")
                return None
        return _OPERATORS[first]

    def check(self, drafts: list[_Draft], kind: Kind | None) -> None:
        """What depends on the operator, or on several leaves."""
        mixed = kind is None and len(drafts) > 1
        taken: dict[str, int] = {}
        before: list[_Draft] = []
        for draft in drafts:
            for name, (_, at) in draft.marks.items():
                wanted = _ANNOTATIONS[name]
                if wanted is not None and wanted != kind and not mixed:
                    self._problem(at, f"'{name}' has a meaning only between models like {_FORMS[wanted]}")
                elif name in ("first", "thinker") and taken.setdefault(name, at) != at:
                    self._problem(at, f"only one model of a selector can be '{name}'")
            if "first" in draft.marks and "thinker" in draft.marks:
                at = max(draft.marks["first"][1], draft.marks["thinker"][1])
                self._problem(at, "a model cannot be both 'first' and 'thinker'")
            # A race of a model with itself is a hedge; anywhere else the second could never do what the first cannot.
            if kind != "race" and draft.model and any(_same(draft, each) for each in before):
                self._problem(draft.model_at, "this model stands in the selector already, with the same parameters")
            before.append(draft)

    def _leaf(self, start: int) -> tuple[_Draft, int]:
        """A leaf that starts at ``start``, and where the operator behind it stands, or the text's end."""
        draft = _Draft(start)
        at = start
        while self._char(at) == "[" and self._name_end(at) is None:
            at = self._after_spaces(self._block(at, draft))
        draft.model_at = at
        at = self._model(at, draft)
        if not draft.model:
            self._problem(at, "a model is missing here")
        if self._char(at) == "?":
            end = self._until(at + 1, _QUERY_END)
            draft.parameters, draft.ignored = read_query(self._text[at + 1 : end])
            at = end
        draft.end = max(draft.start, len(self._text[:at].rstrip()))
        return draft, at

    def _model(self, at: int, draft: _Draft) -> int:
        """Read the model's name; the answer is where it ends, spaces included."""
        end = self._name_end(at)
        prefix = _PREFIX.match(self._text, at) if end is None else None
        row = find_provider(prefix[1]) if prefix is not None else None
        if prefix is not None and row is not None:
            draft.provider, draft.instance = row.slug, prefix[2]
            if prefix[2] == "":
                self._problem(prefix.start(2), f"the name of an instance of '{prefix[1]}' is missing here")
            at = self._after_spaces(prefix.end())
            end = self._name_end(at)
        if end is None:
            end = self._until(at, _END)
        draft.model = self._text[at:end].strip()
        return end

    def _name_end(self, at: int) -> int | None:
        """Where the longest name of the catalogue ends that starts at ``at`` and fills the leaf up to an operator, a
        ``?`` or the end."""
        first = bisect_right(self._ends, at)
        ends = self._ends[first : first + _MOST_IN_NAME + 1]
        return next((end for end in reversed(ends) if self._known(self._text[at:end].rstrip())), None)

    def _block(self, at: int, draft: _Draft) -> int:
        """Read the annotations of the bracket at ``at``; the answer is where they end."""
        text = self._text
        found = _BLOCK_END.search(text, at + 1)
        end = found.start() if found else len(text)
        if self._char(end) != "]":
            self._problem(at, "this bracket is never closed")
            return end
        place = at
        begin = at + 1
        for entry in text[begin:end].split(","):
            # The first annotation of a block is shown with its bracket.
            place = at if begin == at + 1 else self._after_spaces(begin)
            self._annotation(entry, place, draft)
            begin += len(entry) + 1
        return end + 1

    def _annotation(self, entry: str, at: int, draft: _Draft) -> None:
        written, equals, value = (part.strip() for part in entry.partition("="))
        name = written.lower()
        if not name:
            self._problem(at, "an annotation is missing here")
        elif name not in _ANNOTATIONS:
            self._problem(at, f"unknown annotation '{_printable(written)}'; there are {', '.join(_ANNOTATIONS)}")
        elif name in draft.marks:
            self._problem(at, f"'{name}' is said twice of this model")
        else:
            wrong = _wrong(name, value if equals else None)
            if wrong is not None:
                self._problem(at, wrong)
            draft.marks[name] = (value if equals else None, at)

    def _until(self, at: int, ends: re.Pattern[str]) -> int:
        """The first place from ``at`` with one of ``ends``. A bracket before it is a problem."""
        found = ends.search(self._text, at)
        end = found.start() if found else len(self._text)
        bracket = _BLOCK_END.search(self._text, at, end)
        if bracket is not None:
            behind = "annotations stand before a model, not behind it"
            self._problem(bracket.start(), behind if bracket[0] == "[" else "there is no opening bracket for this one")
        return end

    def _after_spaces(self, at: int) -> int:
        found = _SPACES.match(self._text, at)
        return found.end() if found else at

    def _char(self, at: int) -> str:
        return self._text[at : at + 1]

    def _problem(self, at: int, what: str) -> None:
        self.problems.append((at, what))


def _wrong(name: str, value: str | None) -> str | None:
    """What is wrong with an annotation's value, None where nothing is."""
    if name in ("first", "thinker"):
        if value is None or value.lower() in ("1", "yes", "true"):
            return None
        if value.lower() in ("0", "no", "false"):
            return f"'{name}' cannot be switched off, leave it out"
        return f"'{name}' takes no value but 1, yes or true"
    if name in ("weight", "max_context"):
        return None if value and _WHOLE.fullmatch(value) else f"'{name}' must be a whole number above 0"
    return None if value and _SECONDS.fullmatch(value) else f"'{name}' must be a number of seconds, at least 0"


def _same(one: _Draft, other: _Draft) -> bool:
    return (one.model, one.provider, one.instance, one.parameters) == (
        other.model,
        other.provider,
        other.instance,
        other.parameters,
    )


def _fault(text: str, at: int, what: str) -> GatewayError:
    """The error for what stands ``at`` that place: the selector on a line of its own and a caret under the place."""
    at = max(0, min(at, len(text) - 1))
    begin = max(0, at - _SHOWN * 2 // 3) if len(text) > _SHOWN else 0
    lead = "..." if begin else ""
    tail = "..." if begin + _SHOWN < len(text) else ""
    line = f"  {lead}{_printable(text[begin : begin + _SHOWN])}{tail}"
    caret = " " * (2 + len(lead) + at - begin) + "^"
    return GatewayError(
        400,
        "invalid_request_error",
        "invalid_selector",
        f"Invalid model selector, column {at + 1}: {what}.\n{line}\n{caret}",
        param="model",
        details={"column": at + 1},
    )


def _printable(text: str) -> str:
    """``text`` in as many characters, so that each has one column of one line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)

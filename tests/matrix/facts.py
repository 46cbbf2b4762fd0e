"""What a client asks and what it gets, in words that no frontend owns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FRONTENDS = ("responses", "chat_completions", "messages")
MODES = ("stream", "json")


@dataclass(frozen=True)
class Picture:
    """An image: base64 ``data``, else its address."""

    data: str = ""
    url: str = ""


@dataclass(frozen=True)
class Paper:
    """A PDF file: base64 ``data``, else its address."""

    data: str = ""
    name: str = "report.pdf"
    url: str = ""


Part = str | Picture | Paper


@dataclass(frozen=True)
class User:
    """What the user says."""

    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Said:
    """An earlier answer, sent back as a client keeps it: the ``replay`` of its Answer."""

    replay: list[dict[str, Any]]


@dataclass(frozen=True)
class Results:
    """What the client's tools gave: (id of the call, parts), in the order in which the client sends them."""

    outputs: tuple[tuple[str, tuple[Part, ...]], ...]


Turn = User | Said | Results


def user(*parts: Part) -> User:
    """What the user says."""
    return User(parts)


@dataclass(frozen=True)
class Function:
    """A function on offer."""

    name: str
    schema: dict[str, Any]


@dataclass(frozen=True)
class Ask:
    """A request. ``choice``: auto, none, required, or a function's name. ``marked``: the system text carries a cache
    mark and, where the frontend has such a thing, the request a cache key."""

    turns: tuple[Turn, ...]
    system: str = ""
    developer: str = ""
    tools: tuple[Function, ...] = ()
    choice: str | None = None
    parallel: bool | None = None
    schema: dict[str, Any] | None = None
    effort: str | None = None
    limit: int | None = 4000
    stop: tuple[str, ...] = ()
    marked: bool = False
    cache_key: str = ""


@dataclass
class Tokens:
    """A usage object's counts as inclusive totals, whatever the frontend's own way of counting."""

    input: int
    cache_read: int
    cache_write: int
    output: int
    reasoning: int


@dataclass
class Answer:
    """An answer. ``thought`` is visible reasoning, ``seals`` the opaque state in the order of its items, ``finish``
    the frontend's own words, ``replay`` what a client keeps as this turn of its history, ``usage`` None where the
    frontend sent none. ``error``: the frontend's error object, of a failed request or of the event that ended the
    stream."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    text: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    thought: str = ""
    seals: list[str] = field(default_factory=list)
    finish: str = ""
    usage: Tokens | None = None
    cost: float | None = None
    model: str = ""
    replay: list[dict[str, Any]] = field(default_factory=list)
    error: dict[str, Any] | None = None
    raw: str = ""

    @property
    def losses(self) -> list[str]:
        """The announced losses, ``code:path`` each."""
        return [each for each in self.headers.get("x-headgate-losses", "").split(",") if each]

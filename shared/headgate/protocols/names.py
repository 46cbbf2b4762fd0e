"""Tool names as an upstream accepts them, and back.

Every vendor limits tool names to letters, digits, ``_`` and ``-`` and to a length; clients also send dots, longer names
and names inside a namespace. ``NameMap`` rewrites only what does not fit, by a rule that looks at nothing but the name,
so the same tool has the same wire name in every request and prompt caches keep hitting.
"""

from __future__ import annotations

import hashlib
import re

from headgate.conversation import CustomTool, FunctionTool, Request, ToolCall

_FORBIDDEN = re.compile(r"[^a-zA-Z0-9_-]")
SEPARATOR = "__"


class NameMap:
    """A reversible map between the client's tool names and the upstream's.

    limit: longest name the upstream takes. A name that fits stays as it is; any other becomes its sanitised head, an
    underscore and eight hex digits of its hash. ``custom`` holds the wire names of free-text tools that had to be
    offered as functions with one string parameter, so that a reader can turn their calls back.

    >>> names = NameMap()
    >>> names.to_wire("get_weather"), names.to_wire("send", "mail")
    ('get_weather', 'mail__send')
    >>> names.from_wire(names.to_wire("fs.read"))
    'fs.read'
    """

    def __init__(self, limit: int = 64) -> None:
        self.limit = limit
        self.custom: set[str] = set()
        self._wire: dict[tuple[str | None, str], str] = {}
        self._names: dict[str, tuple[str | None, str]] = {}

    def to_wire(self, name: str, namespace: str | None = None) -> str:
        """The upstream's name for ``name``; a namespace is joined to it by two underscores."""
        key = (namespace, name)
        known = self._wire.get(key)
        if known is not None:
            return known
        full = f"{namespace}{SEPARATOR}{name}" if namespace else name
        wire, salt = full, ""
        while not self.takes(wire) or wire in self._names:
            digest = hashlib.sha256(f"{full}{salt}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
            wire = f"{_FORBIDDEN.sub('_', full)[: self.limit - 9]}_{digest}"
            salt += "\0"
        self._wire[key] = wire
        self._names[wire] = key
        return wire

    def takes(self, name: str) -> bool:
        """Whether the upstream takes ``name`` as it is."""
        return 0 < len(name) <= self.limit and not _FORBIDDEN.search(name)

    def from_wire(self, name: str) -> str:
        """The client's name for an upstream's; a name never given to the upstream (a model made it up) stays."""
        return self.split(name)[1]

    def known(self) -> tuple[str, ...]:
        """Every name given to the upstream so far, in order."""
        return tuple(self._names)

    def split(self, name: str) -> tuple[str | None, str]:
        """(namespace, name) for an upstream's name."""
        return self._names.get(name, (None, name))


def names_of(request: Request, limit: int = 64) -> NameMap:
    """The map for ``request``: its tools first, then the tools called in its history. The writer of the request and
    the reader of the answer share one, or build it alike. ``custom`` stays empty: the writer for an upstream without
    free-text tools fills it."""
    names = NameMap(limit)
    for tool in request.tools:
        if isinstance(tool, FunctionTool):
            names.to_wire(tool.name, tool.namespace)
        elif isinstance(tool, CustomTool):
            names.to_wire(tool.name)
    for item in request.items:
        if isinstance(item, ToolCall) and item.ran_by == "client":
            names.to_wire(item.name, item.namespace)
    return names

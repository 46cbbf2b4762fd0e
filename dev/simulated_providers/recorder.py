"""What the simulated vendors received, for tests to look at."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

_MOST_REQUESTS = 2000
_MOST_BYTES = 64 * 1024 * 1024


@dataclass
class Recorded:
    """One request. ``headers`` have lower-case names; ``body`` is the parsed JSON or None; ``status`` 0 until answered.

    ``aborted``: the caller went away before the answer was complete. ``finished``: the answer was sent to its end.
    """

    number: int
    at: float
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any
    text: str
    status: int = 0
    aborted: bool = False
    finished: bool = False


class Recorder:
    """The last requests, bounded in number and bytes. Safe to read from another thread than the server's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: deque[Recorded] = deque()
        self._bytes = 0
        self._number = 0

    def add(self, method: str, path: str, query: str, headers: dict[str, str], raw: bytes) -> Recorded:
        """Keeps a request; the oldest go when there are too many."""
        text = raw.decode("utf-8", "replace")
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        with self._lock:
            self._number += 1
            entry = Recorded(self._number, time.time(), method, path, query, headers, body, text)
            self._kept.append(entry)
            self._bytes += len(text)
            while len(self._kept) > _MOST_REQUESTS or (self._bytes > _MOST_BYTES and len(self._kept) > 1):
                self._bytes -= len(self._kept.popleft().text)
        return entry

    def find(self, *, path: str = "", header: str = "", marker: str = "") -> list[Recorded]:
        """Those whose path starts with ``path``, that have the header ``name`` or ``name:value``, whose body text holds
        ``marker``; oldest first."""
        with self._lock:
            kept = list(self._kept)
        name, colon, value = header.partition(":")
        name, value = name.strip().lower(), value.strip()
        return [
            one
            for one in kept
            if one.path.startswith(path)
            and (not name or (one.headers.get(name) == value if colon else name in one.headers))
            and marker in one.text
        ]

    def listed(self, **wanted: str) -> list[dict[str, Any]]:
        """``find``, as JSON values."""
        return [asdict(one) for one in self.find(**wanted)]

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

"""The state of one set of simulated vendors: what tests may look at, set and reset."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from .caches import FrameCache, PromptCache
from .delivery import Connections
from .recorder import Recorded, Recorder


@dataclass
class Behaviour:
    """Directives for coming requests whose path starts with ``path`` and whose body holds ``marker``.

    ``times``: for how many of them, None for all.
    """

    directives: str
    path: str = ""
    marker: str = ""
    times: int | None = 1


@dataclass
class World:
    """Everything that outlives a request. ``models`` are accepted besides each vendor's own families. ``revoked``:
    OpenAI keys that are no longer good."""

    models: tuple[str, ...] = ()
    recorder: Recorder = field(default_factory=Recorder)
    prompts: PromptCache = field(default_factory=PromptCache)
    frames: FrameCache = field(default_factory=FrameCache)
    connections: Connections = field(default_factory=dict)
    behaviours: list[Behaviour] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    stored_items: OrderedDict[str, None] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, request: Request, raw: bytes) -> Recorded:
        """Records a request."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        return self.recorder.add(request.method, request.url.path, request.url.query, headers, raw)

    def outside(self, recorded: Recorded) -> str:
        """The directives for this request that stand outside its messages: behaviours, header, model name."""
        parts: list[str] = []
        with self.lock:
            for one in list(self.behaviours):
                if not recorded.path.startswith(one.path) or one.marker not in recorded.text:
                    continue
                parts.append(one.directives)
                if one.times is not None:
                    one.times -= 1
                    if one.times <= 0:
                        self.behaviours.remove(one)
        parts.append(recorded.headers.get("x-simulate", ""))
        model: Any = recorded.body.get("model") if isinstance(recorded.body, dict) else None
        parts.append(model if isinstance(model, str) else "")
        return "".join(parts)

    def store_item(self, item_id: str) -> None:
        """Remembers that an item of this id was made under ``store: true``."""
        with self.lock:
            self.stored_items[item_id] = None
            while len(self.stored_items) > 5000:
                self.stored_items.popitem(last=False)

    def clear(self) -> None:
        """Back to the beginning: no records, behaviours, cached prompts or stored items."""
        self.recorder.clear()
        self.prompts.clear()
        with self.lock:
            self.behaviours.clear()
            self.revoked.clear()
            self.stored_items.clear()

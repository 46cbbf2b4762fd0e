"""What a frontend hands over to be answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.routing.affinity import Maker
from headgate.routing.options import DEFAULT_OPTIONS, RoutingOptions
from headgate.web.serving import Serving

Keep = Callable[[Serving], Awaitable[None]]


@dataclass(slots=True)
class Work:
    """What a frontend wants answered.

    body: the client's validated request. sent: the same with stored history put in. id: our id of the answer. keep:
    stores the turn, before the closing frames leave. abandon: undoes what was reserved for the answer when there
    will be none. options: the request's own on routing. echo_model: the answer names the model as the client did,
    not as ``provider/slug``. maker: (provider, public id of its credential) that answered the stored turn which this
    one continues. reply_extra goes into ``Reply.extra``.
    """

    body: Mapping[str, Any]
    sent: Mapping[str, Any]
    id: str
    keep: Keep | None = None
    abandon: Callable[[], Awaitable[None]] | None = None
    stream: bool = False
    choices: int = 1
    model: str = "auto"
    options: RoutingOptions = DEFAULT_OPTIONS
    echo_model: bool = False
    maker: Maker | None = None
    reply_extra: dict[str, object] = field(default_factory=dict[str, object])

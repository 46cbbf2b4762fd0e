"""What every protocol module is given: facts about the target of a request, and facts about the reply to write.

Each protocol ``P`` in ``protocols/`` has a client side (we are the server) and an upstream side (we are the client):

=====================  =================================================================================
``schema.py``          ``validate(body)``: refuse what the vendor would refuse, before any upstream call
``client_request.py``  ``read_request(body, unseal)``: client's JSON to ``Request``
``client_answer.py``   ``write_answer(answer, reply)``: ``Answer`` to the vendor's JSON object
``client_stream.py``   ``StreamWriter(reply).write(event)``: ``Event`` to SSE bytes
``upstream_request.py``  ``write_request(request, target)``: ``Request`` to the vendor's JSON object
``upstream_stream.py``   ``StreamReader(target).read(event, data)`` and ``.end()``: SSE frames to events
``relay.py``           same protocol on both sides: bytes pass through, a reader looks on
``errors.py``          ``error_body(error)``; ``read_error(status, body)`` for the upstream's own
=====================  =================================================================================
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

from headgate.conversation import JsonObject, Sealed
from headgate.usage import Usage

Unseal = Callable[[str], "Sealed | None"]
"""Opens a token made by ``Reply.seal``. A string that is no token of ours comes back as the caller protocol's own
``Sealed`` with provider None; a forged, foreign-tenant or damaged token as None (drop it, with a Loss)."""

_BOUND_TO_AN_ACCOUNT = ("responses", "chat_completions")
"""The protocols whose encrypted content opens for the organisation that made it and for no other."""


@dataclass(frozen=True, slots=True)
class Target:
    """The model that a request is about to be sent to.

    provider: our slug (``openai``). model: the upstream's own id. features: what the model can take or do
    (``image``, ``pdf``, ``audio``, ``tools``, ``parallel_tools``, ``json_schema``, ``logprobs``, ``reasoning``,
    ``web_search``, ``cache_control``, ``sampling`` …); None means unknown: send it and let the upstream judge.
    efforts: reasoning levels it knows, in rising order. thinking: how it is asked to reason. quirks: names of
    the provider row's deviations from the protocol. credential: the public id of the account that will be asked, None
    where there is no telling accounts apart.
    """

    provider: str
    model: str
    max_output_tokens: int | None = None
    context_window: int | None = None
    features: frozenset[str] | None = None
    efforts: tuple[str, ...] = ()
    thinking: str = "effort"
    quirks: frozenset[str] = frozenset()
    credential: str | None = None

    def lacks(self, feature: str) -> bool:
        """True only where the catalogue positively says that the model cannot."""
        return self.features is not None and feature not in self.features

    def made(self, sealed: Sealed, protocol: str) -> bool:
        """Whether this target may be shown ``sealed``: same protocol, and the same provider and model family, or
        the client replayed the provider's own bytes itself. What OpenAI and its like encrypt must also come from the
        same account; the signatures of Claude and Gemini are not tied to one."""
        if sealed.protocol != protocol:
            return False
        if sealed.provider is None:
            return True
        makers = {sealed.credential, self.credential} - {None}
        if sealed.kind == "encrypted" and protocol in _BOUND_TO_AN_ACCOUNT and len(makers) > 1:
            return False
        return sealed.provider == self.provider and family(sealed.model or "") == family(self.model)


def family(model: str) -> str:
    """The part of a model id before its version: ``claude``, ``gpt``, ``o``, ``gemini`` …"""
    name = model.rpartition("/")[2]
    if name.startswith(("us.", "eu.", "apac.", "global.", "anthropic.")):
        name = name.rpartition(".")[2]
    head = name.partition("-")[0]
    return "gpt" if head and head[0] == "o" and head[1:].isdigit() else head


@dataclass(slots=True)
class Reply:
    """What a frontend writer needs beside the events.

    id: our id of the answer (``resp_…``, ``chatcmpl-…``, ``msg_…``). created_at: Unix seconds. model: the
    ``provider/slug`` that serves. body: the client's validated request, for echoed fields. price: usage to
    pico-dollars, None where the model has no price. seal: wraps a provider's bytes in a tenant-bound token.
    choice: the index of this choice (Chat Completions with ``n``). simulated: the provider is a simulation.
    completed_at: the clock for the end, Unix seconds. broken_off: what the upstream said of its usage, with estimates
    for the rest, where a relayed answer breaks off before its end.
    """

    id: str
    created_at: int
    model: str
    body: JsonObject
    price: Callable[[Usage], int | None]
    seal: Callable[[Sealed], str]
    completed_at: Callable[[], int]
    input_estimate: int = 0
    choice: int = 0
    broken_off: Callable[[Usage], Usage] = lambda usage: usage
    extra: dict[str, object] = field(default_factory=dict[str, object])

    def item_id(self, prefix: str, index: int) -> str:
        """The id of the ``index``-th output item, the same whether streamed or not."""
        digest = hashlib.sha256(f"{self.id}/{index}".encode()).hexdigest()
        return f"{prefix}_{digest[:48]}"

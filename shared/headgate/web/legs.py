"""The models that a request's ``model`` names, with what each is asked in its own way.

Most name one. A composite selector names several, and may give a model parameters of its own, make it the one that
takes a session's first request, or the one that thinks for the others.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.errors import GatewayError
from headgate.losses import Loss
from headgate.routing.candidates import resolve
from headgate.routing.rewrites import rewritten
from headgate.routing.selector_parameters import apply_parameters
from headgate.routing.selector_syntax import parse_selector
from headgate.routing.selectors import Leaf, Selector, choose, eligible, request_tokens, require_stream
from headgate.routing.session_ids import session_id
from headgate.routing.thinker import with_instruction, with_thought
from headgate.storage.aws import StoreFault, StoreUnavailable
from headgate.storage.sessions import Session
from headgate.tokens import estimate_body
from headgate.web.call import Call
from headgate.web.conversation_keys import history_of
from headgate.web.work import Work


@dataclass(slots=True)
class Chosen:
    """What a selector came to. leaves: the models in the order in which they are tried. tokens: the input's, exact
    where the caller counted them. session: what is known of it, None where the selector does not ask. thinker: whether
    one of the leaves thinks for the others."""

    selector: Selector
    leaves: tuple[Leaf, ...]
    tokens: int
    exact: bool
    session_id: str = ""
    session: Session | None = None
    _sent: dict[int, tuple[Mapping[str, Any], tuple[Loss, ...]]] = field(
        default_factory=dict[int, "tuple[Mapping[str, Any], tuple[Loss, ...]]"]
    )

    def sent(self, protocol: str, body: Mapping[str, Any], leaf: Leaf) -> tuple[Mapping[str, Any], tuple[Loss, ...]]:
        """``body`` as it goes to a leaf, and what of the leaf's parameters does not."""
        if leaf.start not in self._sent:
            sent, losses = apply_parameters(protocol, body, leaf)
            if leaf.thinker:
                sent = with_instruction(protocol, sent)
            elif self.session is not None and self.session.thought:
                sent = with_thought(protocol, sent, self.session.thought)
            self._sent[leaf.start] = (sent, losses)
        return self._sent[leaf.start]


async def chosen_models(call: Call, work: Work, *, counting: bool = False, explaining: bool = False) -> Chosen:
    """The models of a request. Raises 400 for a selector that cannot be meant, or of which no model takes that much.
    explaining: the session is looked at by nobody, so that nothing changes in it."""
    services = call.services
    name = rewritten(work.model, services.model_rewrites)
    selector = parse_selector(name, lambda text: _known(call, text))
    given = request_tokens(work.body)
    if counting:
        return Chosen(selector, selector.leaves, 0, True)
    tokens = given if given is not None else estimate_body(call.protocol, work.sent)
    if not explaining:
        require_stream(selector, work.stream)
    selector = eligible(selector, tokens)
    chosen = Chosen(selector, selector.leaves, tokens, given is not None)
    if selector.needs_session and not explaining:
        history = history_of(call, work.sent)
        chosen.session_id = session_id(call.protocol, call.request.headers, work.body, call.owner, history=history)
        chosen.session = await _session(call, chosen.session_id)
    first = chosen.session is not None and chosen.session.first
    chosen.leaves = choose(selector, random.random, first_request=first)
    return chosen


async def _session(call: Call, id: str) -> Session | None:
    try:
        return await call.services.sessions.begin(call.owner, id)
    except (StoreUnavailable, StoreFault) as error:
        call.services.observer.logger.error("session not read", extra={"reason": str(error)})
        return None


def _known(call: Call, text: str) -> bool:
    """Whether a text is a name by itself, whatever signs are in it."""
    if text == "auto" or call.services.catalog.find(text) is not None:
        return True
    try:
        resolve(text, call.services.catalog)
    except GatewayError:
        return False
    return True


async def keep_thought(call: Call, chosen: Chosen | None, answer: Mapping[str, Any] | None) -> None:
    """After the thinker's answer: keep its text for the leaves that serve the session later, where the key and the
    request let anything be kept."""
    leaf = call.candidate.leaf if call.candidate else None
    if chosen is None or leaf is None or not leaf.thinker or answer is None or call.error is not None:
        return
    if not call.keeps_content or (isinstance(call.body, Mapping) and call.body.get("store") is False):
        return
    try:
        await call.services.sessions.keep_thought(call.owner, chosen.session_id, _text(call.protocol, answer))
    except (StoreUnavailable, StoreFault) as error:
        call.services.observer.logger.error("thought not kept", extra={"reason": str(error)})


def _text(protocol: str, answer: Mapping[str, Any]) -> str:
    match protocol:
        case "responses":
            parts = [part for item in answer["output"] if item["type"] == "message" for part in item["content"]]
        case "chat_completions":
            content = answer["choices"][0]["message"].get("content")
            return content if isinstance(content, str) else ""
        case _:
            parts = answer["content"]
    return "".join(part["text"] for part in parts if part.get("type") in ("text", "output_text"))

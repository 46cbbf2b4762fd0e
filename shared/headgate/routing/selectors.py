"""Composite model selectors: several models in one ``model`` field.

``A|B`` tries A, then B where A fails before its first output. ``[weight=3]A^B`` draws one by weight, the others are
behind it. ``A!B`` runs both and keeps the first that says something. Annotations in brackets stand before a model,
parameters of its own behind it (``A?temperature=0``); ``selector_syntax`` reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from headgate.errors import invalid_request
from headgate.losses import Loss

Kind = Literal["single", "failover", "weighted", "race"]

Value = float | int | str
"""A parameter's: ``temperature`` and ``top_p`` are floats, ``top_k`` is an integer, the others are words."""

_MOST_TOKENS = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Leaf:
    """One model of a selector.

    model: a name as in any request, ``provider/slug`` included. provider: the slug of the only provider that may serve
    it (``provider:model``), None for any. instance: the name of that provider's credential to use
    (``provider.instance:model``), None for any. parameters: what stands behind the ``?`` and is valid; ignored: a Loss
    for each of those that are not. weight: its share in a weighted choice. max_context: the most tokens of input that
    it is for. first: it takes the first request of a session. thinker: see ``thinker``. handicap, ttft_timeout:
    seconds, see ``delays`` and ``first_output_timeout``. start, end: where it stands in the selector's text, with its
    annotations and parameters.
    """

    model: str
    provider: str | None = None
    instance: str | None = None
    parameters: Mapping[str, Value] = field(default_factory=dict[str, Value])
    ignored: tuple[Loss, ...] = ()
    weight: int = 1
    max_context: int | None = None
    first: bool = False
    thinker: bool = False
    handicap: float = 0.0
    ttft_timeout: float | None = None
    start: int = 0
    end: int = 0

    @property
    def first_output_timeout(self) -> float | None:
        """Seconds from this leg's start within which it must say something; None where it has no limit, which
        ``ttft_timeout=0`` means as well."""
        return self.ttft_timeout or None


@dataclass(frozen=True, slots=True)
class Selector:
    """``leaves`` in the order in which they were written, at least one. ``text`` is the client's."""

    kind: Kind
    leaves: tuple[Leaf, ...]
    text: str

    @property
    def needs_session(self) -> bool:
        """Whether the choice depends on what came before in the session. Only then is a session worth a look into
        the state table."""
        return any(leaf.first or leaf.thinker for leaf in self.leaves)


def require_stream(selector: Selector, stream: bool) -> None:
    """Raises 400 for a race in a request that is not streamed: a race is won by the first output."""
    if selector.kind == "race" and not stream:
        raise invalid_request(
            "A selector with '!' needs a streamed request: set 'stream' to true, or use '|' between the models.",
            param="stream",
            code="invalid_selector",
        )


def request_tokens(body: Mapping[str, Any]) -> int | None:
    """The exact number of input tokens that the caller says the request has: ``request_context_tokens``, at the top
    (where SDKs put the members of their ``extra_body`` argument) or in an ``extra_body`` object, None where it is in
    neither. Raises 400 for anything but an integer from 0."""
    extra = body.get("extra_body")
    param, value = "request_context_tokens", body.get("request_context_tokens")
    if value is None and isinstance(extra, Mapping):
        param, value = "extra_body.request_context_tokens", extra.get("request_context_tokens")
    if value is None:
        return None
    if type(value) is not int:
        raise invalid_request(f"{param} must be an integer.", param=param, code="invalid_type")
    if not 0 <= value <= _MOST_TOKENS:
        raise invalid_request(f"{param} must be a number of tokens, at least 0.", param=param)
    return value


def eligible(selector: Selector, tokens: int | None) -> Selector:
    """``selector`` without the leaves whose ``max_context`` a request of that many input tokens exceeds; all of them
    where the number is not known. Its kind stays, so that a race of one leg is refused or served like a race of two.
    Raises 400 ``context_length_exceeded`` where no leaf is left."""
    if tokens is None:
        return selector
    kept = tuple(leaf for leaf in selector.leaves if leaf.max_context is None or tokens <= leaf.max_context)
    if len(kept) == len(selector.leaves):
        return selector
    if kept:
        return replace(selector, leaves=kept)
    largest = max(selector.leaves, key=lambda leaf: leaf.max_context or 0)
    error = invalid_request(
        f"The models of this selector are limited to {largest.max_context} tokens of context (max_context). However, "
        f"your request has {tokens} input tokens.",
        param="input",
        code="context_length_exceeded",
    )
    error.details = {"model": largest.model, "limit": largest.max_context, "measured": tokens}
    raise error


def choose(
    selector: Selector, draw: Callable[[], float], *, first_request: bool = False, is_retry: bool = False
) -> tuple[Leaf, ...]:
    """The leaves in the order in which they are tried; of a race all its legs as they were written, which ``delays``
    goes with.

    ``draw`` gives numbers from 0 up to but not including 1. ``first_request``: the session has had no request before;
    then the leaf marked ``first`` leads, whatever its weight, but not in a retry (``is_retry``): it may be what failed.
    """
    if selector.kind != "weighted":
        return selector.leaves
    left = list(selector.leaves)
    order: list[Leaf] = []
    if first_request and not is_retry:
        order = [leaf for leaf in left if leaf.first]
        left = [leaf for leaf in left if not leaf.first]
    while left:
        order.append(left.pop(_drawn([leaf.weight for leaf in left], draw())))
    return tuple(order)


def delays(selector: Selector) -> tuple[float, ...]:
    """When each leg of a race starts, in seconds after the first, in the order of ``leaves``: the highest handicap at
    once, each other one as much later as its own is lower. A leg that fails before any has said something releases
    those that still wait. Zeros for every other kind."""
    if selector.kind != "race":
        return (0.0,) * len(selector.leaves)
    most = max(leaf.handicap for leaf in selector.leaves)
    return tuple(most - leaf.handicap for leaf in selector.leaves)


def _drawn(weights: list[int], number: float) -> int:
    """The index that ``number``, from 0 to 1, points to where each has room according to its weight."""
    point = number * sum(weights)
    for index, weight in enumerate(weights):
        point -= weight
        if point < 0:
            return index
    return len(weights) - 1

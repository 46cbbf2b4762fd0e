"""Opening one route for a request: relay or translate, send, and hold the answer until it is sure to be one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from headgate.conversation import Request
from headgate.errors import GatewayError, invalid_request
from headgate.losses import Loss
from headgate.protocols.contract import Reply, Unseal
from headgate.protocols.registry import client_side, relay_side, tool_names, upstream_side
from headgate.protocols.sse import json_bytes
from headgate.providers.auth_tokens import CredentialFault
from headgate.providers.fit import fit_body, fit_headers
from headgate.routing.affinity import opens_nothing, rejects_reasoning
from headgate.routing.attempt import may_move_on
from headgate.routing.candidates import Candidate
from headgate.routing.transport import UpstreamFailure, UpstreamStream
from headgate.settings import Timeouts
from headgate.tokens import estimate_body, estimate_request, family_of
from headgate.usage import cost
from headgate.web.broken_off import Streamed, broken_off, frame_text
from headgate.web.call import Call
from headgate.web.conversation_keys import cache_key
from headgate.web.headers import body_betas, rate_limits, upstream_headers
from headgate.web.media import InlineMedia, Needs, part_place
from headgate.web.serving import RelayServing, Serving, TranslatedServing
from headgate.web.signed_calls import with_signatures
from headgate.web.work import Work

T = TypeVar("T")


@dataclass(slots=True)
class Opened:
    """An answer that has begun. ``body``: the whole of it, for a request that is not streamed. ``losses``: what its
    request went without."""

    serving: Serving
    body: dict[str, Any] | None = None
    losses: list[Loss] = field(default_factory=list[Loss])


class Opener:
    """Opens routes for one ``Work``."""

    def __init__(self, call: Call, work: Work) -> None:
        self._call = call
        self._work = work
        self._created = int(time.time())
        self._requests: dict[int, tuple[Request, list[Loss]]] = {}
        self._without_reasoning: list[Candidate] = []
        self._media = InlineMedia(call.services.media, work.body)

    def again(self, candidate: Candidate, failure: UpstreamFailure) -> bool:
        """Whether to ask the same route again, without the sealed reasoning that it could not open."""
        if failure.kind == "refused" or not rejects_reasoning(failure.error):
            return False
        self._without_reasoning.append(candidate)
        return True

    async def open(self, candidate: Candidate) -> Opened:
        """Call one route. For JSON the whole answer is read here, so that a broken one can still fall back. Raises
        UpstreamFailure."""
        work = self._work
        several = work.choices > 1
        target = candidate.target()
        spoken = candidate.protocol == self._call.protocol
        relayed = spoken and relay_side(candidate.protocol).suits(self._sent(candidate)[0], target)
        losses: list[Loss] = []
        if relayed and not (several and "no_n" in target.quirks):
            serving: Serving = await self._open_relay(candidate, losses)
        elif several:
            # Only the Chat Completions function ever needs it.
            from headgate.web.choices import ChoicesServing

            many = [self._open_translated(candidate, choice, losses) for choice in range(work.choices)]
            serving = ChoicesServing(await _all_or_none(many), self.reply(candidate))
        else:
            serving = await self._open_translated(candidate, 0, losses)
        try:
            if work.stream:
                await serving.prime()
                return Opened(serving, None, list(dict.fromkeys(losses)))
            body = await serving.json()
        except BaseException:
            await serving.close()
            raise
        await serving.close()
        return Opened(serving, body, list(dict.fromkeys(losses)))

    async def _open_relay(self, candidate: Candidate, losses: list[Loss]) -> RelayServing:
        side = relay_side(candidate.protocol)
        target, unseal = candidate.target(), self._unseal(candidate)
        sent, unsaid = self._sent(candidate)
        payload, dropped = _refusing(
            lambda: side.prepare(sent, target, unseal, prompt_cache_key=cache_key(self._call, self._work.body))
        )
        payload, refused = fit_body(candidate.access.provider, candidate.protocol, payload)
        losses += self._announced([*unsaid, *dropped, *refused])
        stream = await self._post(candidate, payload, stream=self._work.stream)
        family, reply = family_of(candidate.route.model), self.reply(candidate)
        streamed = Streamed(frame_text(side.said), family)
        reply.broken_off = lambda usage: broken_off(
            usage, usage.input_total or estimate_body(candidate.protocol, sent, family), streamed.tokens()
        )
        return RelayServing(stream, side.relay(reply, target), streamed)

    async def _open_translated(self, candidate: Candidate, choice: int, losses: list[Loss]) -> TranslatedServing:
        side = upstream_side(candidate.protocol)
        target = candidate.target()
        request, read_losses = self._read(candidate)
        if request.caching.key is None:
            request = replace(request, caching=replace(request.caching, key=cache_key(self._call, self._work.body)))
        # Each choice is a call of its own.
        asked = replace(request, model=target.model, choices=1)
        request = await self._with_data(asked, lambda media: side.needs_data(media, target))
        if candidate not in self._without_reasoning:
            request = await with_signatures(self._call, request, target)
        names = tool_names(candidate.protocol)
        (payload, dropped), options = _refusing(
            lambda: (side.write_request(request, target, names), side.reader_options(request, target)),
            lambda param: part_place(self._work.body, asked, param),
        )
        betas = body_betas(candidate, self._call.request.headers, self._call.protocol)
        payload, refused = fit_body(candidate.access.provider, candidate.protocol, payload, betas)
        losses += self._announced([*read_losses, *dropped, *refused])
        reply = self.reply(candidate, choice)
        family = family_of(target.model)
        reply.input_estimate = estimate_request(request, family)
        stream = await self._post(candidate, payload, stream=True)
        reader, writer = side.reader(target, names, **options), client_side(self._call.protocol).writer(reply)
        return TranslatedServing(stream, reader, writer, side.splitter(), reply.input_estimate, family)

    def _read(self, candidate: Candidate) -> tuple[Request, list[Loss]]:
        """The request in the neutral form, and what reading it lost. Read once for all routes that get the same."""
        key = candidate.leaf.start if candidate.leaf else -1
        unread = candidate in self._without_reasoning or key not in self._requests
        if not unread:
            return self._requests[key]
        sent, unsaid = self._sent(candidate)
        request, losses = client_side(self._call.protocol).read_request(sent, self._unseal(candidate))
        read = request, [*unsaid, *losses]
        if candidate not in self._without_reasoning:
            self._requests[key] = read
        return read

    def _sent(self, candidate: Candidate) -> tuple[Mapping[str, Any], tuple[Loss, ...]]:
        """The client's request as this candidate gets it, and what of its selector's parameters has no place there."""
        if candidate.leaf is None or self._call.chosen is None:
            return self._work.sent, ()
        return self._call.chosen.sent(self._call.protocol, self._work.sent, candidate.leaf)

    async def _with_data(self, request: Request, needs: Needs) -> Request:
        """``request`` with the data of media that this route cannot fetch. What we cannot fetch either is the
        client's fault, whichever route comes next."""
        try:
            return await self._media.put_in(request, needs, self._call.remaining_seconds())
        except GatewayError as error:
            raise UpstreamFailure("refused", error, move_on=False) from None

    async def _post(self, candidate: Candidate, payload: dict[str, Any], *, stream: bool) -> UpstreamStream:
        headers = upstream_headers(candidate, self._call.request.headers, self._call.protocol, payload)
        access, transport = candidate.access, self._call.services.transport
        headers |= fit_headers(access.provider, candidate.protocol, payload)
        body = json_bytes(payload)
        url = access.url(candidate.protocol, candidate.route.model, stream=stream)
        try:
            headers = await access.authorized(url, body, headers)
        except CredentialFault as fault:
            raise UpstreamFailure("connect", _unusable(fault), move_on=True) from None
        answered = await transport.post(url, headers, body, self._timeouts(candidate), stream=stream)
        if answered.status < 300:
            return answered
        try:
            raw = await answered.read(1024 * 1024)
        finally:
            await answered.close()
        error = upstream_side(candidate.protocol).read_error(answered.status, raw, answered.headers)
        error.headers |= rate_limits(answered.headers)
        move_on = may_move_on(answered.status, error.code)
        raise UpstreamFailure("status", error, move_on=move_on, status=answered.status)

    def reply(self, candidate: Candidate | None, choice: int = 0) -> Reply:
        """What the frontend's writer needs beside the events; candidate None: nobody answers."""
        call, work = self._call, self._work
        price = candidate.route.price if candidate else None
        return Reply(
            id=work.id,
            created_at=self._created,
            model=work.model if candidate is None or (work.echo_model and work.model != "auto") else candidate.label,
            body=work.body,
            price=lambda usage: cost(usage, price) if price else None,
            seal=call.seal(candidate),
            completed_at=lambda: int(time.time()),
            choice=choice,
            # A log with bodies needs the streamed answer put together, which a relay does only on request.
            extra={"request_id": call.request_id, "keep": call.key.policy.keeps_bodies, **work.reply_extra},
        )

    def _announced(self, losses: list[Loss]) -> list[Loss]:
        """What a translation drops; under ``x-headgate-strict`` it is refused instead."""
        if losses and self._call.strict:
            paths = ", ".join(loss.path for loss in losses)
            error = invalid_request(
                f"x-headgate-strict: this route cannot honour {paths}. {losses[0].detail}".rstrip(),
                param=losses[0].path,
                code=losses[0].code,
            )
            raise UpstreamFailure("refused", error, move_on=True)
        return losses

    def _unseal(self, candidate: Candidate) -> Unseal:
        return opens_nothing if candidate in self._without_reasoning else self._call.unseal

    def _timeouts(self, candidate: Candidate) -> Timeouts:
        """The provider's own limits over the deployment's, and none longer than the request may take."""
        limits = replace(self._call.services.settings.timeouts, **candidate.access.timeouts)
        left = self._call.remaining_seconds()
        return Timeouts(limits.connect, min(limits.first_byte, left), min(limits.idle, left), min(limits.total, left))


_CREDENTIALS = "provider_credentials"


def _unusable(fault: CredentialFault) -> GatewayError:
    return GatewayError(424, "provider_error", _CREDENTIALS, str(fault))


def credentials_failed(failure: UpstreamFailure) -> bool:
    """Whether a call was never made because its credential is of no use."""
    return failure.error.code == _CREDENTIALS


def _refusing(translate: Callable[[], T], place: Callable[[str | None], str | None] = lambda param: param) -> T:
    """Run a translation; content that this route cannot represent may still fit another. ``place`` finds where that
    stands in the client's request."""
    try:
        return translate()
    except GatewayError as error:
        error.param = place(error.param)
        raise UpstreamFailure("refused", error, move_on=True) from None


async def _all_or_none(opening: Sequence[Awaitable[TranslatedServing]]) -> list[TranslatedServing]:
    """All of them, or none left open and the first failure raised."""
    results = await asyncio.gather(*opening, return_exceptions=True)
    opened = [result for result in results if isinstance(result, TranslatedServing)]
    failure = next((result for result in results if isinstance(result, BaseException)), None)
    if failure is not None:
        await asyncio.gather(*(serving.close() for serving in opened))
        raise failure
    return opened

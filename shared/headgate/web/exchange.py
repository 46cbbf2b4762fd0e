"""One inference request from its routes to its answer: fall back, keep, price, log.

The three frontends differ in how they validate, in what they keep, and in nothing else; they hand a ``Work`` over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

from starlette.responses import Response

from headgate.errors import GatewayError, server_error
from headgate.events import Failed
from headgate.losses import Loss
from headgate.protocols.registry import client_side
from headgate.routing.plan import Decision
from headgate.storage.aws import StoreFault, StoreUnavailable
<<<<<<< HEAD
from headgate.web.attempts import open_first
=======
from headgate.tokens import estimate_body, estimate_request, family_of
from headgate.usage import cost
from headgate.web.broken_off import Streamed, broken_off, frame_text
>>>>>>> refs/heads/estimator
from headgate.web.call import Call, json_response
from headgate.web.legs import keep_thought
from headgate.web.opening import Opened, Opener
from headgate.web.routes import remember, routes_for
from headgate.web.serving import Serving
from headgate.web.signed_calls import keep_signatures
from headgate.web.streams import EventStream
from headgate.web.work import Work

# After this the status line is sent and signs of life begin, although no upstream has answered yet.
COMMIT_SECONDS = 10.0


async def answer(call: Call, work: Work) -> Response:
    """Serve ``work``. Raises GatewayError while nothing has been sent."""
    try:
        call.decision = await routes_for(call, work)
        if any(each.leaf is not None and each.leaf.thinker for each in call.decision.order):
            # What a thinker says is kept for the session, so it must be put together.
            work.reply_extra["keep"] = True
        exchange = Exchange(call, work, call.decision)
        return await (exchange.stream() if work.stream else exchange.json())
    except BaseException:
        if work.abandon is not None:
            await work.abandon()
        raise


class Exchange:
    """The running of one ``Work``."""

    def __init__(self, call: Call, work: Work, decision: Decision) -> None:
        self._call = call
        self._work = work
        self._decision = decision
        self._opener = Opener(call, work)
        total = min(call.services.settings.timeouts.total, call.remaining_seconds())
        self._deadline = asyncio.get_running_loop().time() + total

    async def json(self) -> Response:
        """The answer as one JSON object."""
        call = self._call
        try:
            async with asyncio.timeout_at(self._deadline):
                opened = await self._open()
        except TimeoutError:
            raise _too_long() from None
        serving, body = opened.serving, opened.body
        assert body is not None
        call.first_byte = time.perf_counter()
        self._settle(serving)
        await self._keep_for_later(serving)
        if not await self._kept(serving):
            body["store"] = False
        call.answer = body
        return json_response(call, body, call.route_headers())

    async def stream(self) -> Response:
        """The answer as an event stream. The status is committed when an upstream has answered, or after
        ``COMMIT_SECONDS``."""
        call = self._call
        call.streamed = True
        opening = asyncio.create_task(self._open())
        done, _ = await asyncio.wait({opening}, timeout=COMMIT_SECONDS)
        if done:
            opening.result()
        call.status = 200
        return EventStream(self._frames(opening), call.route_headers())

    async def _frames(self, opening: asyncio.Task[Opened]) -> AsyncGenerator[bytes]:
        call = self._call
        try:
            serving = (await opening).serving
        except GatewayError as error:
            # The status line is gone already: the protocol's own error event has to say it.
            call.error = error
            if self._work.abandon is not None:
                await self._work.abandon()
            yield client_side(call.protocol).writer(self._opener.reply(None)).write(Failed(error))
            return
        call.first_byte = time.perf_counter()
        try:
            async for chunk in self._watched(serving):
                yield chunk
        finally:
            await serving.close()

    async def _watched(self, serving: Serving) -> AsyncGenerator[bytes]:
        """The serving's frames with the turn stored before the last ones, and an error event where something breaks."""
        call = self._call
        over = False
        frames = serving.frames()
        try:
            while not over:
                async with asyncio.timeout_at(self._deadline):
                    chunk, over = await anext(frames, (b"", True))
                if over:
                    self._settle(serving)
                    await self._keep_for_later(serving)
                    if not await self._kept(serving):
                        chunk = chunk.replace(b'"store":true', b'"store":false')
                yield chunk
        except TimeoutError:
            closing = serving.fail(_too_long())
            self._settle(serving)
            await self._kept(serving)
            yield closing
        except Exception as error:  # the client must get the protocol's error event, whatever broke
            call.services.observer.logger.exception("defect while streaming")
            call.error = error if isinstance(error, GatewayError) else server_error()
            closing = serving.fail(call.error)
            call.usage, call.cost_pico = serving.usage, call.price(serving.usage)
            yield closing

    async def _open(self) -> Opened:
        call = self._call
        wait_until = asyncio.get_running_loop().time() + call.services.settings.retry_wait
        call.candidate, opened = await open_first(call, self._decision, self._opener, min(wait_until, self._deadline))
        call.losses = opened.losses
        return opened

<<<<<<< HEAD
=======
    def _again(self, candidate: Candidate, failure: UpstreamFailure) -> bool:
        """Whether to ask the same route again, without the sealed reasoning that it could not open."""
        if failure.kind == "refused" or not rejects_reasoning(failure.error):
            return False
        self._without_reasoning.append(candidate)
        return True

    def _unseal(self, candidate: Candidate) -> Unseal:
        return opens_nothing if candidate in self._without_reasoning else self._call.unseal

    async def _open_route(self, candidate: Candidate) -> tuple[Serving, dict[str, Any] | None]:
        """Call one route. For JSON the whole answer is read here, so that a broken one can still fall back."""
        work = self._work
        several = work.choices > 1
        target = candidate.target()
        spoken = candidate.protocol == self._call.protocol
        relayed = spoken and relay_side(candidate.protocol).suits(work.sent, target)
        if relayed and not (several and "no_n" in target.quirks):
            serving: Serving = await self._open_relay(candidate)
        elif several:
            # Only the Chat Completions function ever needs it.
            from headgate.web.choices import ChoicesServing

            many = [self._open_translated(candidate, choice) for choice in range(work.choices)]
            serving = ChoicesServing(await _all_or_none(many), self._reply(candidate))
        else:
            serving = await self._open_translated(candidate, 0)
        try:
            if work.stream:
                await serving.prime()
                return serving, None
            body = await serving.json()
        except BaseException:
            await serving.close()
            raise
        await serving.close()
        return serving, body

    async def _open_relay(self, candidate: Candidate) -> RelayServing:
        side = relay_side(candidate.protocol)
        target, unseal = candidate.target(), self._unseal(candidate)
        payload, losses = _refusing(
            lambda: side.prepare(
                self._work.sent, target, unseal, prompt_cache_key=cache_key(self._call, self._work.body)
            )
        )
        payload, refused = fit_body(candidate.access.provider, candidate.protocol, payload)
        self._announce([*losses, *refused])
        stream = await self._post(candidate, payload, stream=self._work.stream)
        family, sent, reply = family_of(candidate.route.model), self._work.sent, self._reply(candidate)
        streamed = Streamed(frame_text(side.said), family)
        reply.broken_off = lambda usage: broken_off(
            usage, usage.input_total or estimate_body(candidate.protocol, sent, family), streamed.tokens()
        )
        return RelayServing(stream, side.relay(reply, target), streamed)

    async def _open_translated(self, candidate: Candidate, choice: int) -> TranslatedServing:
        side = upstream_side(candidate.protocol)
        target = candidate.target()
        if candidate in self._without_reasoning:
            request, read_losses = self._read(opens_nothing)
        else:
            request, read_losses = self._request = self._request or self._read(self._call.unseal)
        if request.caching.key is None:
            request = replace(request, caching=replace(request.caching, key=cache_key(self._call, self._work.body)))
        # Each choice is a call of its own.
        asked = replace(request, model=target.model, choices=1)
        request = await self._with_data(asked, lambda media: side.needs_data(media, target))
        if candidate not in self._without_reasoning:
            request = await with_signatures(self._call, request, target)
        names = tool_names(candidate.protocol)
        (payload, losses), options = _refusing(
            lambda: (side.write_request(request, target, names), side.reader_options(request, target)),
            lambda param: part_place(self._work.body, asked, param),
        )
        betas = body_betas(candidate, self._call.request.headers, self._call.protocol)
        payload, refused = fit_body(candidate.access.provider, candidate.protocol, payload, betas)
        self._announce([*read_losses, *losses, *refused])
        reply = self._reply(candidate, choice)
        family = family_of(target.model)
        reply.input_estimate = estimate_request(request, family)
        stream = await self._post(candidate, payload, stream=True)
        reader, writer = side.reader(target, names, **options), client_side(self._call.protocol).writer(reply)
        return TranslatedServing(stream, reader, writer, side.splitter(), reply.input_estimate, family)

    def _read(self, unseal: Unseal) -> tuple[Request, list[Loss]]:
        return client_side(self._call.protocol).read_request(self._work.sent, unseal)

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
        answered = await transport.post(url, headers, body, self._timeouts(), stream=stream)
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

    def _reply(self, candidate: Candidate | None, choice: int = 0) -> Reply:
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

    def _announce(self, losses: Sequence[Loss]) -> None:
        """Note what a translation drops; under ``x-headgate-strict`` refuse instead."""
        if losses and self._call.strict:
            paths = ", ".join(loss.path for loss in losses)
            error = invalid_request(
                f"x-headgate-strict: this route cannot honour {paths}. {losses[0].detail}".rstrip(),
                param=losses[0].path,
                code=losses[0].code,
            )
            raise UpstreamFailure("refused", error, move_on=True)
        self._call.losses = list(dict.fromkeys(losses))

>>>>>>> refs/heads/estimator
    def _settle(self, serving: Serving) -> None:
        """Take over what the serving learned: usage, price, error."""
        call = self._call
        call.usage = serving.usage
        call.cost_pico = call.price(serving.usage)
        call.error = serving.error
        call.answer = serving.body()
        remember(call, self._work)

    async def _keep_for_later(self, serving: Serving) -> None:
        await keep_signatures(self._call, serving)
        await keep_thought(self._call, self._call.chosen, serving.body())

    async def _kept(self, serving: Serving) -> bool:
        """Store the turn where the frontend wants it. False where the table could not take it: the answer then says
        ``store: false`` instead of promising what is not there."""
        if self._work.keep is None:
            return True
        self._call.response_id = self._work.id
        try:
            await self._work.keep(serving)
            self._call.stored = True
        except (StoreUnavailable, StoreFault) as error:
            self._call.services.observer.logger.error("turn not stored", extra={"reason": str(error)})
            self._call.losses.append(Loss("store", "not_stored", "the state table did not take the turn"))
            return False
        return True


def _too_long() -> GatewayError:
    return GatewayError(504, "timeout_error", "timeout", "The answer took longer than this gateway allows.")

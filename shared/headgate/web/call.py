"""One authenticated request: who asks, what was asked, and what the log will say of it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from fastapi import Request
from starlette.background import BackgroundTask
from starlette.responses import Response

from headgate import usage as money
from headgate.access.keys import KeyRecord, parse_credentials
from headgate.conversation import Sealed
from headgate.errors import GatewayError, invalid_request
from headgate.losses import Loss, header_value
from headgate.observe import Unit
from headgate.protocols.contract import Unseal
from headgate.protocols.registry import error_body
from headgate.protocols.sealing import sealer, unsealer
from headgate.protocols.sse import json_bytes
from headgate.providers.table import Protocol
from headgate.routing.attempt import Attempt
from headgate.routing.candidates import Candidate
from headgate.routing.plan import Decision, feature_class
from headgate.storage.aws import StoreFault, StoreUnavailable
from headgate.storage.logs import LogRow
from headgate.usage import Usage
from headgate.web.bodies import read_json
from headgate.web.edge import error_headers
from headgate.web.samples import Sample
from headgate.web.services import Services


@dataclass(slots=True)
class Call:
    """The state of one request while it is served. Times: ``at_ms`` Unix milliseconds, ``started`` perf_counter,
    ``timeout`` the caller's limit in seconds. ``defect``: the answer broke off by a fault of the gateway's own."""

    services: Services
    request: Request
    protocol: Protocol
    key: KeyRecord
    request_id: str
    body: Any = None
    at_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    started: float = field(default_factory=time.perf_counter)
    first_byte: float | None = None
    timeout: float | None = None
    defect: bool = False
    status: int = 0
    error: GatewayError | None = None
    candidate: Candidate | None = None
    decision: Decision | None = None
    chosen: Any = None
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    samples: list[Sample] = field(default_factory=list[Sample])
    losses: list[Loss] = field(default_factory=list[Loss])
    usage: Usage = field(default_factory=Usage)
    cost_pico: int | None = None
    streamed: bool = False
    answer: Mapping[str, Any] | None = None
    response_id: str = ""
    stored: bool = False

    @property
    def strict(self) -> bool:
        """Whether the client wants a 400 instead of a dropped parameter."""
        return self.request.headers.get("x-headgate-strict", "").lower() in ("1", "true", "yes")

    @property
    def owner(self) -> str:
        """Whose data this request may see."""
        return self.key.owner

    @property
    def unseal(self) -> Unseal:
        """Opens this owner's tokens."""
        return unsealer(self.services.seal_secret, self.owner, self.protocol)

    def seal(self, candidate: Candidate | None) -> Callable[[Sealed], str]:
        """Makes tokens for this owner that name the credential under which ``candidate`` is asked."""
        return sealer(self.services.seal_secret, self.owner, candidate.access.id if candidate else None)

    @property
    def keeps_content(self) -> bool:
        """Whether the key's policy lets the gateway keep conversations."""
        return self.key.policy.keeps_content

    def remaining_seconds(self) -> float:
        """Seconds until Lambda ends the function, less what storing and logging need, or until the caller's own limit;
        a day where there is no end."""
        deadline_ms = self.request.scope.get("headgate.deadline")
        left = max(1.0, deadline_ms / 1000 - time.time() - 3.0) if deadline_ms else 86_400.0
        if self.timeout is not None:
            left = min(left, max(0.001, self.started + self.timeout - time.perf_counter()))
        return left

    @property
    def out_of_time(self) -> bool:
        """Whether the caller's own limit has passed: a call that ends then was not slow by anybody else's measure."""
        return self.timeout is not None and time.perf_counter() >= self.started + self.timeout

    def route_headers(self) -> dict[str, str]:
        """Which route served and what was dropped."""
        headers = {"x-headgate-attempts": str(len(self.attempts))}
        if self.candidate is not None:
            headers["x-headgate-provider"] = self.candidate.route.provider
            headers["x-headgate-model"] = self.candidate.label
            if self.candidate.access.simulated:
                headers["x-headgate-simulated"] = "true"
        if self.losses:
            headers["x-headgate-losses"] = header_value(self.losses)
        return headers

    def price(self, usage: Usage) -> int | None:
        """What ``usage`` costs at the route that serves, in pico-dollars."""
        return money.cost(usage, self.candidate.route.price) if self.candidate else None

    def log_row(self) -> LogRow:
        """The row for the request log. Content only where the key's policy says so."""
        asked = self.body.get("model") if isinstance(self.body, dict) else None
        usage, candidate, error = self.usage, self.candidate, self.error
        keeps = self.key.policy.keeps_bodies
        return LogRow(
            request_id=self.request_id,
            at=self.at_ms,
            owner=self.owner,
            key_id=self.key.id,
            key_name=self.key.name,
            team=self.key.team,
            endpoint=self.request.scope["route"].path,
            method=self.request.method,
            status=self.status,
            model=asked if isinstance(asked, str) else "",
            provider=candidate.route.provider if candidate else "",
            model_served=candidate.label if candidate else "",
            stream=self.streamed,
            input_tokens=usage.input_total,
            cache_read_tokens=usage.cache_read,
            cache_write_5m_tokens=usage.cache_write_5m,
            cache_write_1h_tokens=usage.cache_write_1h,
            output_tokens=usage.output_total,
            reasoning_tokens=usage.reasoning,
            audio_input_tokens=usage.audio_input,
            audio_output_tokens=usage.audio_output,
            web_searches=usage.web_searches,
            estimated=usage.estimated,
            cost_pico=self.cost_pico,
            ttfb_ms=round((self.first_byte - self.started) * 1000) if self.first_byte else None,
            duration_ms=round((time.perf_counter() - self.started) * 1000),
            attempts=[attempt.row() for attempt in self.attempts],
            losses=[[loss.path, loss.code, loss.detail] for loss in self.losses],
            error_code=(error.code or error.type) if error else "",
            error_message=error.message if error else "",
            user_agent=self.request.headers.get("user-agent", ""),
            response_id=self.response_id,
            simulated=bool(candidate and candidate.access.simulated),
            stored=self.stored,
            extra={"route": self.decision.row()} if self.decision else {},
            request_body=_text(self.body) if keeps else None,
            response_body=_text(self.answer) if keeps else None,
        )

    async def settle(self) -> None:
        """After the response has been closed: publish the metrics and write the log row. A table that cannot be
        reached is reported, never raised: the client has its answer."""
        row = self.log_row()
        self._publish(row)
        await asyncio.gather(self._log(row), self.services.live.settle(self._samples(row)))

    async def _log(self, row: LogRow) -> None:
        try:
            await self.services.logs.write(row)
        except (StoreUnavailable, StoreFault) as error:
            self.services.observer.logger.error("request log not written", extra={"reason": str(error)})

    def _samples(self, row: LogRow) -> list[Sample]:
        """What the request's upstream calls say of their routes: those that failed, and the one that served."""
        if self.candidate is None or self.decision is None or not self.attempts:
            return self.samples
        # Of a race the winner need not be the last that was begun.
        attempt = next((each for each in reversed(self.attempts) if each.status == 200), self.attempts[-1])
        ended = time.perf_counter()
        served = Sample(
            self.candidate.route.provider,
            self.candidate.model.slug,
            feature_class(self.decision.needs),
            self.candidate.access.id,
            ok=self.error is None,
            kind=self._broken_by(),
            status=200,
            started=self.at_ms / 1000 + attempt.started - self.started,
            latency_ms=(ended - attempt.started) * 1000,
            e2e_ms=row.duration_ms,
            first_token_ms=attempt.duration_ms if self.streamed else None,
            input_tokens=self.usage.input_total,
            output_tokens=self.usage.output_total,
        )
        return [*self.samples, served]

    def _broken_by(self) -> Literal["", "stream", "cancelled"]:
        """What ended the answer of the route that served: nothing, the provider, or ourselves."""
        if self.error is None:
            return ""
        return "cancelled" if self.out_of_time or self.defect else "stream"

    def _publish(self, row: LogRow) -> None:
        values: dict[str, tuple[float, Unit]] = {
            "Requests": (1, "Count"),
            "Errors": (int(row.status >= 400 or bool(row.error_code)), "Count"),
            "Duration": (row.duration_ms, "Milliseconds"),
            "InputTokens": (row.input_tokens, "Count"),
            "OutputTokens": (row.output_tokens, "Count"),
        }
        if row.ttfb_ms is not None:
            values["TimeToFirstByte"] = (row.ttfb_ms, "Milliseconds")
        facts = {"request_id": row.request_id, "model": row.model_served, "cost_pico": row.cost_pico}
        self.services.observer.metrics(values, {"endpoint": row.endpoint, "provider": row.provider}, facts)


TIMEOUT_HEADER = "x-headgate-timeout-ms"
Endpoint = Callable[[Call], Awaitable[Response]]


async def serve(request: Request, protocol: Protocol, endpoint: Endpoint, *, reads_body: bool = True) -> Response:
    """Authenticate, read the body, run ``endpoint``; whatever comes of it leaves one log row, written after the
    response has been closed. Raises GatewayError only before the caller is known."""
    services: Services = request.app.state.services
    started, at_ms = time.perf_counter(), time.time_ns() // 1_000_000
    key = await services.keys.authenticate(parse_credentials(request.headers))
    call = Call(services, request, protocol, key, request.state.request_id, at_ms=at_ms, started=started)
    try:
        call.timeout = _timeout(request.headers.get(TIMEOUT_HEADER))
        await services.ready()
        if reads_body:
            call.body = await read_json(request, services.settings.max_request_bytes)
            if not isinstance(call.body, dict):
                raise invalid_request("The request body must be a JSON object.", code="invalid_type")
        response = await endpoint(call)
    except GatewayError as error:
        call.status, call.error = error.status, error
        headers = call.route_headers() if call.attempts else {}
        response = Response(
            json.dumps(error_body(protocol, error, call.request_id)),
            status_code=error.status,
            headers=headers | error_headers(error),
            media_type="application/json",
        )
    else:
        call.status = call.status or response.status_code
    response.background = BackgroundTask(call.settle)
    return response


def json_response(call: Call, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    """200 with ``body``."""
    call.first_byte = call.first_byte or time.perf_counter()
    return Response(json_bytes(body), headers=dict(headers or {}), media_type="application/json")


def _timeout(given: str | None) -> float | None:
    """Seconds of ``x-headgate-timeout-ms``. Raises 400."""
    if given is None:
        return None
    if not re.fullmatch(r"[0-9]{1,6}", given.strip()) or not 1 <= int(given) <= 900_000:
        raise invalid_request(f"{TIMEOUT_HEADER} must be a whole number from 1 to 900000.", param=TIMEOUT_HEADER)
    return int(given) / 1000


def _text(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))

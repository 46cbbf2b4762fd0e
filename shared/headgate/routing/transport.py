"""Calls to upstreams over HTTP.

One pooled client per process. Every failure below HTTP becomes an ``UpstreamFailure`` with a neutral message: the text
of the HTTP library never reaches a client. A pooled connection that died while the Lambda environment was frozen is
replaced by a new one once, as long as no byte of the answer has arrived.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Literal

import httpx

from headgate.errors import GatewayError
from headgate.settings import Timeouts

FailureKind = Literal["connect", "timeout", "status", "stream", "refused"]


class UpstreamFailure(Exception):
    """One attempt failed. ``kind`` says how, ``error`` in the upstream's words where it gave any, ``status`` the
    upstream's HTTP status where it answered. ``move_on``: another route may succeed where this one failed."""

    def __init__(self, kind: FailureKind, error: GatewayError, *, move_on: bool, status: int | None = None) -> None:
        super().__init__(error.message)
        self.kind: FailureKind = kind
        self.error = error
        self.move_on = move_on
        self.status = status


class UpstreamStream:
    """An upstream's answer whose headers have arrived."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises UpstreamFailure (``timeout`` or ``stream``)."""
        try:
            async for chunk in self._response.aiter_bytes():
                if chunk:
                    yield chunk
        except httpx.TimeoutException:
            raise timed_out("The provider sent nothing for too long") from None
        except (httpx.HTTPError, httpx.StreamError):
            raise broken("The connection to the provider broke off") from None

    async def read(self, limit: int = 64 * 1024 * 1024) -> bytes:
        """The whole body. Raises UpstreamFailure, also where it is longer than ``limit`` bytes."""
        parts: list[bytes] = []
        size = 0
        async for chunk in self.chunks():
            parts.append(chunk)
            size += len(chunk)
            if size > limit:
                raise broken("The provider's answer is too large")
        return b"".join(parts)

    async def close(self) -> None:
        """Give the connection back, or close it where the body was not read to its end."""
        await self._response.aclose()


class Transport:
    """The process's HTTP client, made on first use and remade after a SnapStart restore."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None
        self._tls: ssl.SSLContext | None = None
        self._used = False

    def tls(self) -> ssl.SSLContext:
        """What servers' certificates are checked with; loading the authorities takes as long as a few requests, so
        there is one for the process."""
        if self._tls is None:
            self._tls = httpx.create_ssl_context()
        return self._tls

    def warm(self) -> None:
        """Make the client now, so that the first request does not pay for loading the trust store."""
        if self._client is None:
            # trust_env stays on: a deployment may need a proxy.
            limits = httpx.Limits(max_connections=200, max_keepalive_connections=20, keepalive_expiry=60)
            self._client = httpx.AsyncClient(verify=self.tls(), limits=limits, follow_redirects=False)
            self._used = False

    def restored(self) -> None:
        """Forget every connection: those of the snapshot are dead."""
        self._client = None

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, timeouts: Timeouts, *, stream: bool
    ) -> UpstreamStream:
        """POST ``body`` as JSON and return when the answer's headers are here. Raises UpstreamFailure."""
        self.warm()
        assert self._client is not None
        send = {"content-type": "application/json", **headers}
        if stream:
            # A compressed stream is held back by the compressor.
            send = {"accept": "text/event-stream", "accept-encoding": "identity", **send}
        pace = httpx.Timeout(timeouts.idle, connect=timeouts.connect, read=max(timeouts.idle, timeouts.first_byte))
        retry = self._used
        while True:
            request = self._client.build_request("POST", url, headers=send, content=body, timeout=pace)
            try:
                async with asyncio.timeout(timeouts.first_byte):
                    response = await self._client.send(request, stream=True)
            except (TimeoutError, httpx.ReadTimeout):
                raise timed_out("The provider did not answer in time") from None
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol):
                raise UpstreamFailure("connect", _error("The provider could not be reached"), move_on=True) from None
            except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
                if not retry:
                    raise broken("The connection to the provider broke off") from None
                retry = False
            except httpx.HTTPError:
                raise broken("The call to the provider failed") from None
            else:
                self._used = True
                return UpstreamStream(response)


def timed_out(message: str) -> UpstreamFailure:
    """An upstream that is too slow."""
    error = GatewayError(504, "timeout_error", "provider_timeout", message)
    return UpstreamFailure("timeout", error, move_on=True)


def broken(message: str) -> UpstreamFailure:
    """An upstream whose answer stopped or made no sense."""
    return UpstreamFailure("stream", _error(message), move_on=True)


def _error(message: str) -> GatewayError:
    return GatewayError(424, "provider_error", "provider_error", message)

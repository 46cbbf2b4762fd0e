"""Fetching media that a client named by address, for providers that take only bytes.

The address comes from outside, so it is treated as hostile: only http and https on their own ports, without
credentials, only public addresses (checked on what the name resolves to, and the connection goes to just that
address), every redirect checked anew, and bounds on number, size and time. What a private network answers must never
end up in a prompt.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import mimetypes
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import httpx

from headgate.errors import GatewayError, invalid_request

MAX_BYTES = 20 * 1024 * 1024
MAX_TOTAL_BYTES = 40 * 1024 * 1024
MAX_ADDRESSES = 100
MAX_REDIRECTS = 3
MAX_SECONDS = 15.0
MAX_TOTAL_SECONDS = 30.0
AT_ONCE = 8

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host name for connections to a port."""

Permit = Callable[[Address, int], bool]
"""Whether a connection to an address and a port is allowed."""

_PORTS = {"http": 80, "https": 443}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_UNICAST = ipaddress.IPv6Network("2000::/3")
# Tunnels and translations name an IPv4 address inside; nobody serves media behind the old ones.
_TUNNELS = (ipaddress.IPv6Network("2002::/16"), ipaddress.IPv6Network("2001::/32"))
_UNTOLD = ("", "application/octet-stream", "binary/octet-stream", "application/binary")
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was at an address: base64 ``data``, the ``media_type`` by its first bytes, else as the server named it, else
    by the address's ending (empty where nothing tells it), the last part of the path as ``name``."""

    data: str
    media_type: str
    name: str | None = None


@dataclass(slots=True)
class _Budget:
    """Bytes that one request may still fetch."""

    left: int


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of ``host``, by the system's resolver. Raises OSError and UnicodeError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


def permitted(address: Address, port: int) -> bool:
    """Whether ``address`` is public, with what it may stand for (mapped and translated IPv4), and ``port`` the web's.
    Python's own table of special networks changes with its version, so the open half is narrowed down here."""
    if port not in _PORTS.values():
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return permitted(address.ipv4_mapped, port)
        if address in _NAT64:
            return permitted(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF), port)
        if address not in _UNICAST or any(address in tunnel for tunnel in _TUNNELS):
            return False
    return address.is_global and not address.is_multicast


class MediaFetcher:
    """Fetches for one process. ``tls`` gives what certificates are checked with. ``names`` and ``permit`` are replaced
    by tests alone, whose servers are on the loopback; no setting does."""

    def __init__(
        self,
        tls: Callable[[], ssl.SSLContext],
        *,
        names: Resolve = resolve,
        permit: Permit = permitted,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._tls = tls
        self._names = names
        self._permit = permit
        self._transport = transport

    async def fetch(
        self, urls: Sequence[str], seconds: float = MAX_TOTAL_SECONDS
    ) -> Mapping[str, Fetched | GatewayError]:
        """What is at each of ``urls``, or the 400 that says why it could not be had."""
        if len(urls) > MAX_ADDRESSES:
            refused = invalid_request(
                f"At most {MAX_ADDRESSES} addresses of media can be fetched for one request.", code="invalid_media_url"
            )
            return dict.fromkeys(urls, refused)
        budget, slots = _Budget(MAX_TOTAL_BYTES), asyncio.Semaphore(AT_ONCE)
        # A client of its own, which keeps nothing: a pool would know connections by the address alone, and so take
        # one whose certificate was checked for another name; cookies would travel from tenant to tenant. Proxies of
        # the environment are not asked: they would resolve the name a second time.
        async with httpx.AsyncClient(
            verify=self._tls(),
            transport=self._transport,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=httpx.Timeout(MAX_SECONDS, connect=5.0),
        ) as client:

            async def one(url: str) -> Fetched | GatewayError:
                try:
                    async with slots, asyncio.timeout(MAX_SECONDS):
                        return await self._follow(url, client, budget)
                except TimeoutError:
                    return _refused(url, f"took longer than {MAX_SECONDS:.0f} seconds")
                except GatewayError as error:
                    return error

            tasks = {url: asyncio.create_task(one(url)) for url in urls}
            try:
                await asyncio.wait(tasks.values(), timeout=min(seconds, MAX_TOTAL_SECONDS))
            finally:
                for task in tasks.values():
                    task.cancel()
                await asyncio.gather(*tasks.values(), return_exceptions=True)
        late = "could not be fetched in the time that a request has for its media"
        return {url: _refused(url, late) if task.cancelled() else task.result() for url, task in tasks.items()}

    async def _follow(self, url: str, client: httpx.AsyncClient, budget: _Budget) -> Fetched:
        try:
            here = httpx.URL(url)
            for _ in range(MAX_REDIRECTS + 1):
                answer = await self._get(url, here, client, budget)
                if isinstance(answer, Fetched):
                    return answer
                here = here.join(answer)
        except (httpx.InvalidURL, ValueError):
            raise _refused(url, "is not a plain http or https address") from None
        except (httpx.HTTPError, OSError):
            raise _refused(url, "could not be fetched") from None
        raise _refused(url, "redirects too often")

    async def _get(self, url: str, here: httpx.URL, client: httpx.AsyncClient, budget: _Budget) -> Fetched | str:
        """The content, or where a redirect leads. ``url`` is what the client wrote, ``here`` where it has led."""
        if here.scheme not in _PORTS or not here.raw_host or here.userinfo:
            raise _refused(url, "is not a plain http or https address")
        host = here.raw_host.decode("ascii")
        port = _PORTS[here.scheme] if here.port is None else here.port
        response = await self._connected(client, here, host, await self._addresses(url, host, port))
        try:
            if response.has_redirect_location:
                return response.headers["location"]
            if response.status_code != 200:
                raise _refused(url, f"answered with status {response.status_code}")
            content = await _content(url, response, budget)
        finally:
            await response.aclose()
        name = unquote(here.path.rpartition("/")[2]) or None
        media_type = _signature(content) or response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type in _UNTOLD:
            media_type = mimetypes.guess_type(here.path)[0] or ""
        return Fetched(base64.b64encode(content).decode(), media_type, name)

    async def _connected(
        self, client: httpx.AsyncClient, here: httpx.URL, host: str, addresses: Sequence[Address]
    ) -> httpx.Response:
        """The answer's head, from the first address that takes a connection. The name goes into the Host header and is
        what the certificate is checked for; the connection goes to an address that was checked, so that a second
        look-up cannot lead elsewhere."""
        headers = {
            "host": here.netloc.decode("ascii"),
            "accept": "image/*, application/pdf, */*;q=0.5",
            # What decompresses without bound has no size to check.
            "accept-encoding": "identity",
            "user-agent": "headgate",
        }
        for last, address in enumerate(addresses, start=1 - len(addresses)):
            target = here.copy_with(host=str(address), fragment=None)
            request = client.build_request("GET", target, headers=headers, extensions={"sni_hostname": host})
            try:
                return await client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if not last:
                    raise
        raise OSError("no address")

    async def _addresses(self, url: str, host: str, port: int) -> list[Address]:
        """The addresses of ``host``: all of them must be allowed, or the name is not to be trusted. Whether a name
        exists that only a private network knows is not told."""
        try:
            found = await self._names(host, port)
            addresses = [ipaddress.ip_address(address.partition("%")[0]) for address in found]
        except (OSError, ValueError):
            addresses = []
        if not addresses or not all(self._permit(address, port) for address in addresses):
            raise _refused(url, "is not at a public address, on the port of http or https")
        return list(dict.fromkeys(addresses))[:4]


async def _content(url: str, response: httpx.Response, budget: _Budget) -> bytes:
    if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise _refused(url, "is compressed, although that was not asked for")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        budget.left -= len(chunk)
        if len(content) > MAX_BYTES:
            raise _refused(url, f"is larger than {MAX_BYTES} bytes")
        if budget.left < 0:
            raise _refused(url, f"makes the media of this request larger than {MAX_TOTAL_BYTES} bytes")
    if not content:
        raise _refused(url, "is empty")
    return bytes(content)


def _signature(content: bytes) -> str | None:
    if content[:4] == b"RIFF":
        return _RIFF.get(content[8:12])
    return next((kind for start, kind in _SIGNATURES if content.startswith(start)), None)


def _refused(url: str, why: str) -> GatewayError:
    # The query often holds a signature that opens the file; errors are logged.
    shown = url.partition("?")[0].partition("#")[0]
    if "@" in shown:
        shown = "the given address"
    return invalid_request(
        f"The media at {shown if len(shown) <= 200 else shown[:200] + '…'} {why}.", code="invalid_media_url"
    )

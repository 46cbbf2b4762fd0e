"""Fetching media that a client named by address, for providers that take only bytes.

The address comes from outside, so it is treated as hostile: only http and https, only public addresses (checked on
what the name resolves to, and the connection goes to just that address), every redirect checked anew, and bounds on
size and time. What a private network answers must never end up in a prompt.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import urljoin, urlsplit

import httpx

from headgate.conversation import Item, Media, Message, Part, Request, ToolResult
from headgate.errors import GatewayError, invalid_request

MAX_BYTES = 20 * 1024 * 1024
MAX_SECONDS = 15.0
MAX_REDIRECTS = 3

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host name."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of ``host``, by the system's resolver. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


async def with_media_inlined(request: Request, client: httpx.AsyncClient, names: Resolve = resolve) -> Request:
    """``request`` with the content of every image and file that it names by an http(s) address. Each address is
    fetched once. Raises 400."""
    media = [part for item in request.items for part in _parts(item) if isinstance(part, Media)]
    urls = list(dict.fromkeys(part.url for part in media if part.url and part.url.startswith(("http:", "https:"))))
    if not urls:
        return request
    contents = await asyncio.gather(*(fetch(url, client, names) for url in urls))
    fetched = dict(zip(urls, contents, strict=True))
    return replace(request, items=tuple(_inlined(item, fetched) for item in request.items))


async def fetch(url: str, client: httpx.AsyncClient, names: Resolve = resolve) -> tuple[str, str]:
    """(media type, base64) of what is at ``url``. Raises 400."""
    try:
        async with asyncio.timeout(MAX_SECONDS):
            for _ in range(MAX_REDIRECTS + 1):
                answer = await _get(url, client, names)
                if isinstance(answer, str):
                    url = urljoin(url, answer)
                    continue
                return answer
    except TimeoutError:
        raise _refused(url, f"took longer than {MAX_SECONDS:.0f} seconds") from None
    except (httpx.HTTPError, OSError):
        raise _refused(url, "could not be fetched") from None
    raise _refused(url, "redirects too often")


async def _get(url: str, client: httpx.AsyncClient, names: Resolve) -> tuple[str, str] | str:
    """The content, or where a redirect leads."""
    parts = urlsplit(url)
    host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme not in ("http", "https") or not host or parts.username or parts.password:
        raise _refused(url, "is not a plain http or https address")
    address = await _public_address(url, host, port, names)
    literal = f"[{address}]" if ":" in address else address
    target = httpx.URL(url).copy_with(host=literal)
    # The name goes into the Host header and is what the certificate is checked for; the connection goes to the
    # address that was checked, so that a second look-up cannot lead elsewhere.
    headers = {"host": parts.netloc, "accept": "image/*, application/pdf, */*;q=0.5", "user-agent": "headgate"}
    request = client.build_request("GET", target, headers=headers, extensions={"sni_hostname": host})
    response = await client.send(request, stream=True, follow_redirects=False)
    try:
        if response.is_redirect:
            return response.headers.get("location", "")
        if response.status_code != 200:
            raise _refused(url, f"answered with status {response.status_code}")
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > MAX_BYTES:
                raise _refused(url, f"is larger than {MAX_BYTES} bytes")
    finally:
        await response.aclose()
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type or "application/octet-stream", base64.b64encode(content).decode()


async def _public_address(url: str, host: str, port: int, names: Resolve) -> str:
    """An address of ``host`` that may be called: all of them must be public, or the name is not to be trusted."""
    try:
        addresses = [ipaddress.ip_address(address.partition("%")[0]) for address in await names(host, port)]
    except (OSError, ValueError, UnicodeError):
        raise _refused(url, "has a name that cannot be resolved") from None
    if not addresses or not all(_is_public(address) for address in addresses):
        raise _refused(url, "is not at a public address")
    return str(addresses[0])


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    if inner is not None:
        return _is_public(inner)
    return address.is_global and not address.is_multicast


def _parts(item: Item) -> tuple[Part, ...]:
    return item.parts if isinstance(item, Message | ToolResult) else ()


def _inlined(item: Item, fetched: Mapping[str, tuple[str, str]]) -> Item:
    if not isinstance(item, Message | ToolResult):
        return item
    parts = tuple(_with_content(part, fetched) for part in item.parts)
    return item if parts == item.parts else replace(item, parts=parts)


def _with_content(part: Part, fetched: Mapping[str, tuple[str, str]]) -> Part:
    if not isinstance(part, Media) or part.url is None or part.url not in fetched:
        return part
    media_type, data = fetched[part.url]
    name = urlsplit(part.url).path.rpartition("/")[2] or None
    return replace(part, url=None, data=data, media_type=part.media_type or media_type, filename=part.filename or name)


def _refused(url: str, why: str) -> GatewayError:
    shown = url if len(url) <= 200 else url[:200] + "…"
    return invalid_request(f"The media at {shown} {why}.", code="invalid_media_url")

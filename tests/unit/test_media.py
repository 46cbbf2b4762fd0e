"""Media by address: what is fetched for providers that take only bytes, and what never is."""

import asyncio
import base64
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import httpx
import pytest

from headgate.errors import GatewayError
from headgate.routing import media
from headgate.routing.media import Fetched, MediaFetcher, permitted

PNG = b"\x89PNG\r\n\x1a\n"
PUBLIC = "93.184.216.34"
TLS = ssl.create_default_context()

Handler = Callable[[httpx.Request], httpx.Response]


def names(**hosts: str) -> Callable[[str, int], Awaitable[Sequence[str]]]:
    async def look_up(host: str, port: int) -> Sequence[str]:
        known = {name.replace("_", "."): address for name, address in hosts.items()}
        if host not in known:
            raise OSError("unknown")
        return known[host].split()

    return look_up


def fetcher(handler: Handler, **hosts: str) -> MediaFetcher:
    return MediaFetcher(lambda: TLS, names=names(**{"x_org": PUBLIC, **hosts}), transport=httpx.MockTransport(handler))


def image(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, stream=httpx.ByteStream(PNG), headers={"content-type": "image/png; charset=x"})


def never(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"asked for {request.url}")


def answering(content: bytes = b"x", status: int = 200, **headers: str) -> Handler:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda request: httpx.Response(status, stream=httpx.ByteStream(content), headers=sent)


async def got(handler: Handler, url: str = "https://x.org/", **hosts: str) -> Fetched:
    (answer,) = (await fetcher(handler, **hosts).fetch([url])).values()
    assert isinstance(answer, Fetched), answer
    return answer


async def refusal(handler: Handler, url: str = "https://x.org/", **hosts: str) -> str:
    (answer,) = (await fetcher(handler, **hosts).fetch([url])).values()
    assert isinstance(answer, GatewayError), answer
    assert (answer.status, answer.code) == (400, "invalid_media_url")
    return answer.message


async def test_the_connection_goes_to_the_checked_address_under_the_name_that_was_asked_for():
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return image(request)

    answer = await got(handler, "https://cdn.example.org/a/big%20cat.png?x=1#y", cdn_example_org=PUBLIC)
    assert answer == Fetched(base64.b64encode(PNG).decode(), "image/png", "big cat.png")
    (sent,) = asked
    assert str(sent.url) == f"https://{PUBLIC}/a/big%20cat.png?x=1"
    assert sent.headers["host"] == "cdn.example.org"
    assert sent.extensions["sni_hostname"] == "cdn.example.org"
    assert sent.headers["accept-encoding"] == "identity"
    assert not {"cookie", "authorization"} & set(sent.headers)


async def test_an_address_of_version_6_and_a_name_beyond_ascii():
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.url.host} {request.headers['host']}")
        return image(request)

    known = {"xn--bcher-kva_example": "2606:2800:220:1::1"}
    await got(handler, "http://bücher.example/x", **known)
    assert asked == ["2606:2800:220:1::1 xn--bcher-kva.example"]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "10.0.0.8",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "169.254.170.2",
        "100.64.0.1",
        "0.0.0.0",
        "0.1.2.3",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "::127.0.0.1",
        "fe80::1%eth0",
        "fec0::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001:db8::1",
        "::ffff:169.254.169.254",
        "::ffff:0:10.0.0.1",
        "2002:a00:1::1",
        "2001:0:a00:1::1",
        "64:ff9b::10.0.0.1",
        "64:ff9b::169.254.169.254",
        "64:ff9b:1::10.0.0.1",
        f"{PUBLIC} 10.0.0.8",
        f"10.0.0.8 {PUBLIC}",
        "not-an-address",
        "",
    ],
)
async def test_nothing_private_is_ever_asked(address: str):
    why = await refusal(never, "http://inside.example.org/x", inside_example_org=address)
    assert "not at a public address" in why
    # Whether a name exists that only the private network knows is not told.
    assert why == await refusal(never, "http://inside.example.org/x")


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1::1", f"::ffff:{PUBLIC}", f"64:ff9b::{PUBLIC}"])
def test_public_addresses_are_permitted_on_the_ports_of_the_web(address: str):
    each = ipaddress.ip_address(address)
    assert permitted(each, 80) and permitted(each, 443)
    assert not any(permitted(each, port) for port in (0, 22, 8080, 8443))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x.org/y",
        "file:///etc/passwd",
        "http:///x",
        "http://u:p@x.org/",
        "http://u@x.org/",
        "http://x.org:6379/",
        "http://x.org:0/",
        "http://x.org:99999/",
        "http://x.org:port/",
        "http://[::1/",
        "http://x.org\\@y.org/",
        "http://x\x00.org/",
        "http://unknown.example/",
        "http://" + "a" * 300 + ".example/",
        "http://x.org/" + "a" * 70_000,
        "https://",
    ],
)
async def test_other_addresses_are_refused(url: str):
    assert await refusal(never, url)


async def test_every_redirect_is_checked_like_the_first_address():
    hops = {
        "/in": "http://metadata.example.org/latest",
        "/port": "http://x.org:8080/",
        "/user": "http://u:p@x.org/",
        "/file": "file:///etc/passwd",
        "/round": "/round",
        "/empty": "",
        "/moved": "/cat.png",
    }

    def handler(request: httpx.Request) -> httpx.Response:
        where = hops.get(request.url.path)
        return image(request) if where is None else httpx.Response(302, headers={"location": where})

    inside = {"metadata_example_org": "169.254.169.254"}
    assert "not at a public address" in await refusal(handler, "https://x.org/in", **inside)
    assert "not at a public address" in await refusal(handler, "https://x.org/port")
    assert "not a plain http or https address" in await refusal(handler, "https://x.org/user")
    assert "not a plain http or https address" in await refusal(handler, "https://x.org/file")
    assert "redirects too often" in await refusal(handler, "https://x.org/round")
    assert "redirects too often" in await refusal(handler, "https://x.org/empty")
    assert (await got(handler, "https://x.org/moved")).name == "cat.png"


async def test_sizes_have_bounds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(media, "MAX_BYTES", 10)
    monkeypatch.setattr(media, "MAX_TOTAL_BYTES", 15)
    assert "larger than 10 bytes" in await refusal(answering(b"x" * 11))
    assert "is empty" in await refusal(answering(b""))
    # What unpacks to more than it weighs is not unpacked.
    assert "compressed" in await refusal(answering(b"x", content_encoding="gzip"))
    urls = [f"https://x.org/{index}" for index in range(2)]
    both = list((await fetcher(answering(b"x" * 8)).fetch(urls)).values())
    (late,) = [each for each in both if isinstance(each, GatewayError)]
    assert "larger than 15 bytes" in late.message
    monkeypatch.setattr(media, "MAX_ADDRESSES", 1)
    refused = await fetcher(never).fetch(urls)
    assert all(isinstance(each, GatewayError) for each in refused.values()) and list(refused) == urls


async def test_times_have_bounds(monkeypatch: pytest.MonkeyPatch):
    async def drip() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    def slow(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=drip())

    monkeypatch.setattr(media, "MAX_SECONDS", 0.02)
    assert "took longer than" in await refusal(slow)
    monkeypatch.setattr(media, "MAX_SECONDS", 60.0)
    (answer,) = (await fetcher(slow).fetch(["https://x.org/"], seconds=0.02)).values()
    assert isinstance(answer, GatewayError) and "in the time that a request has" in answer.message


async def test_failures_are_named_without_a_librarys_words():
    assert "status 404" in await refusal(answering(status=404))
    assert "status 304" in await refusal(answering(status=304))

    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("secret detail of a library")

    message = await refusal(broken, "https://x.org/cat.png?X-Amz-Signature=secret")
    assert message == "The media at https://x.org/cat.png could not be fetched."


async def test_the_next_checked_address_is_tried_where_one_takes_no_connection():
    asked: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if len(asked) == 1:
            raise httpx.ConnectError("no route")
        return image(request)

    both = f"2606:2800:220:1::1 {PUBLIC}"
    await got(handler, "https://two.example/", two_example=both)
    assert asked == both.split()


@pytest.mark.parametrize(
    ("content", "header", "path", "media_type"),
    [
        (PNG, "application/octet-stream", "/x", "image/png"),
        (PNG, "image/jpeg", "/x", "image/png"),
        (b"\xff\xd8\xff\xe0", "", "/x", "image/jpeg"),
        (b"GIF89a", "", "/x", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "", "/x", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", "", "/x", "audio/wav"),
        (b"%PDF-1.7", "text/plain", "/x", "application/pdf"),
        (b"words", "Text/Markdown; charset=utf-8", "/x.png", "text/markdown"),
        (b"words", "binary/octet-stream", "/x.csv", "text/csv"),
        (b"words", "", "/x", ""),
    ],
)
async def test_the_first_bytes_tell_the_type_then_the_header_then_the_name(
    content: bytes, header: str, path: str, media_type: str
):
    handler = answering(content, content_type=header) if header else answering(content)
    assert (await got(handler, f"https://x.org{path}")).media_type == media_type


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch):
    """A proxy would resolve the name a second time. Over a real connection: nothing listens where the proxy is."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("REQUEST_METHOD", raising=False)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\nset-cookie: a=b\r\n\r\n" + PNG)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://media.example:{port}/cat.png"
        known = names(media_example="127.0.0.1")
        open_door = MediaFetcher(lambda: TLS, names=known, permit=lambda address, port: True)
        (answer,) = (await open_door.fetch([url])).values()
        assert isinstance(answer, Fetched) and answer.media_type == "image/png"
        (shut,) = (await MediaFetcher(lambda: TLS, names=known).fetch([url])).values()
        assert isinstance(shut, GatewayError) and "not at a public address" in shut.message

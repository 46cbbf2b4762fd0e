"""Media by address: what is fetched for providers that take only bytes, and what never is."""

import base64
from collections.abc import Callable, Sequence

import httpx
import pytest

from headgate.conversation import Media, Message, Request, Text, ToolResult
from headgate.errors import GatewayError
from headgate.routing import media
from headgate.routing.media import fetch, with_media_inlined

PNG = b"\x89PNG\r\n\x1a\n"


def names(**hosts: str) -> Callable[[str, int], object]:
    async def look_up(host: str, port: int) -> Sequence[str]:
        known = {name.replace("_", "."): address for name, address in hosts.items()}
        if host not in known:
            raise OSError("unknown")
        return known[host].split()

    return look_up


def web(handler: Callable[[httpx.Request], httpx.Response]) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(handler))


def image(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, content=PNG, headers={"content-type": "image/png; charset=x"})


async def test_each_address_is_fetched_once_and_replaced_everywhere():
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return image(request)

    picture = Media("image", url="https://cdn.example.org/a/cat.png?x=1", detail="low")
    kept = Media("image", url="gs://bucket/x.png")
    request = Request(
        "m",
        items=(
            Message("user", (Text("see"), picture, kept)),
            ToolResult("c", (picture,)),
        ),
    )
    inlined = await with_media_inlined(request, web(handler), names(cdn_example_org="93.184.216.34"))
    expected = Media(
        "image", data=base64.b64encode(PNG).decode(), media_type="image/png", filename="cat.png", detail="low"
    )
    assert inlined.items == (Message("user", (Text("see"), expected, kept)), ToolResult("c", (expected,)))
    (sent,) = asked
    # To the address that was checked, under the name that was asked for.
    assert sent.url.host == "93.184.216.34" and sent.headers["host"] == "cdn.example.org"
    assert sent.extensions["sni_hostname"] == "cdn.example.org"


async def test_a_request_without_addresses_is_left_alone():
    request = Request("m", items=(Message("user", (Text("x"), Media("image", data="AA=="))),))
    assert await with_media_inlined(request, web(image)) is request


@pytest.mark.parametrize(
    "address",
    [
        *(
            "127.0.0.1",
            "10.0.0.8",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
        ),
        *("::1", "fe80::1%eth0", "fd00:ec2::254", "::ffff:169.254.169.254", "2002:a00:1::1", "::"),
        "93.184.216.34 10.0.0.8",
        "",
    ],
)
async def test_nothing_private_is_ever_asked(address: str):
    def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError("asked")

    with pytest.raises(GatewayError) as caught:
        await fetch("http://inside.example.org/x", web(never), names(inside_example_org=address))
    assert caught.value.status == 400 and "public address" in caught.value.message


@pytest.mark.parametrize("url", ["ftp://x/y", "http:///x", "http://u:p@x.org/", "https://unknown.example/"])
async def test_other_addresses_are_refused(url: str):
    with pytest.raises(GatewayError) as caught:
        await fetch(url, web(image), names(x_org="93.184.216.34"))
    assert caught.value.status == 400


async def test_a_redirect_is_checked_like_the_first_address():
    def handler(request: httpx.Request) -> httpx.Response:
        if request.headers["host"] == "out.example.org":
            return httpx.Response(302, headers={"location": "http://metadata.example.org/latest"})
        if request.url.path == "/moved":
            return httpx.Response(301, headers={"location": "/cat.png"})
        return image(request)

    known = names(
        out_example_org="93.184.216.34", metadata_example_org="169.254.169.254", ok_example_org="93.184.216.35"
    )
    with pytest.raises(GatewayError, match="not at a public address"):
        await fetch("https://out.example.org/", web(handler), known)
    assert (await fetch("https://ok.example.org/moved", web(handler), known))[0] == "image/png"


async def test_sizes_times_and_circles_have_bounds(monkeypatch: pytest.MonkeyPatch):
    known = names(x_org="93.184.216.34")
    monkeypatch.setattr(media, "MAX_BYTES", 10)
    with pytest.raises(GatewayError, match="larger than 10 bytes"):
        await fetch("http://x.org/", web(lambda request: httpx.Response(200, content=b"x" * 11)), known)
    with pytest.raises(GatewayError, match="redirects too often"):
        await fetch("http://x.org/", web(lambda request: httpx.Response(302, headers={"location": "/"})), known)
    with pytest.raises(GatewayError, match="status 404"):
        await fetch("http://x.org/", web(lambda request: httpx.Response(404)), known)

    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("secret detail of a library")

    with pytest.raises(GatewayError) as caught:
        await fetch("http://x.org/", web(broken), known)
    assert "secret" not in caught.value.message

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from headgate.catalog.catalog import Catalog
from headgate.errors import GatewayError
from headgate.protocols.registry import upstream_side
from headgate.providers.auth import Credentials
from headgate.providers.rows import PROVIDERS
from headgate.routing.attempt import Attempt, first_success, may_move_on, verdict
from headgate.routing.candidates import (
    Candidate,
    allow_models,
    only_permitted,
    only_zero_retention,
    reachable,
    resolve,
)
from headgate.routing.options import RoutingOptions
from headgate.routing.transport import Transport, UpstreamFailure
from headgate.settings import Timeouts

CATALOG = Catalog.bundled()


async def candidates(name: str = "auto", **environ: str) -> list[Candidate]:
    environ = environ or {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b"}
    return await reachable(resolve(name, CATALOG), Credentials(environ), "responses", name)


def test_names_resolve_to_routes():
    assert [route.provider for _, route in resolve("gpt-4o-mini", CATALOG)] == ["openai", "azure"]
    assert [route.provider for _, route in resolve("azure/gpt-4o-mini", CATALOG)] == ["azure", "openai"]
    assert next(route.provider for _, route in resolve("aws/claude-haiku-4-5", CATALOG)) == "bedrock"
    assert resolve("oai/gpt-4o-mini", CATALOG) == resolve("gpt-4o-mini", CATALOG)
    assert resolve("claude-haiku-4-5-20251001", CATALOG)[0][0].slug == "claude-haiku-4-5"
    assert list(dict.fromkeys(model.slug for model, _ in resolve("auto", CATALOG))) == list(CATALOG.auto)


@pytest.mark.parametrize("name", ["gpt-9", "nobody/gpt-4o", "anthropic/gpt-4o", "openai/", "/", ""])
def test_an_unknown_name_is_a_400_that_says_so(name: str):
    with pytest.raises(GatewayError) as caught:
        resolve(name, CATALOG)
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "model_not_found", "model")


def test_the_keys_policy_limits_models():
    pairs = resolve("auto", CATALOG)
    kept = allow_models(pairs, lambda provider, slug: slug.startswith("claude"), "auto")
    assert {model.author for model, _ in kept} == {"anthropic"}
    with pytest.raises(GatewayError) as caught:
        allow_models(resolve("gpt-4o", CATALOG), lambda provider, slug: provider == "xai", "gpt-4o")
    assert (caught.value.status, caught.value.code) == (403, "model_not_allowed")


def test_zero_retention_is_never_downgraded():
    with pytest.raises(GatewayError) as caught:
        only_zero_retention(resolve("gpt-4o", CATALOG))
    assert caught.value.status == 422
    certified = [(model, replace(route, zdr="agreement")) for model, route in resolve("gpt-4o", CATALOG)]
    assert only_zero_retention([*resolve("gpt-4o", CATALOG), *certified]) == certified
    assert {route.provider for _, route in only_zero_retention(resolve("auto", CATALOG))} == {"bedrock"}


def test_a_provider_whitelist_that_fits_nothing_is_a_400():
    pairs = resolve("auto", CATALOG)
    assert {route.provider for _, route in only_permitted(pairs, RoutingOptions(allow=("openai",)))} == {"openai"}
    with pytest.raises(GatewayError, match="offered by: openai, azure"):
        only_permitted(resolve("gpt-4o", CATALOG), RoutingOptions(allow=("anthropic",)))


async def test_the_callers_protocol_is_spoken_where_the_provider_has_it():
    pairs = resolve("gpt-4o", CATALOG)
    credentials = Credentials({"OPENAI_API_KEY": "k"})
    for spoken, expected in (("chat_completions",) * 2, ("responses",) * 2, ("messages", "responses")):
        (candidate,) = await reachable(pairs, credentials, spoken, "gpt-4o")  # type: ignore[arg-type]
        assert candidate.protocol == expected and candidate.label == "openai/gpt-4o"
    only_chat = Credentials({"OPENAI_API_KEY": "k", "HEADGATE_OPENAI_PROTOCOLS": "chat_completions"})
    (candidate,) = await reachable(pairs, only_chat, "responses", "gpt-4o")
    assert candidate.protocol == "chat_completions"


async def test_a_provider_without_credentials_is_not_tried():
    assert {each.route.provider for each in await candidates("auto", ANTHROPIC_API_KEY="k")} == {"anthropic"}
    with pytest.raises(GatewayError) as caught:
        await candidates("gpt-4o", ANTHROPIC_API_KEY="k")
    assert (caught.value.status, caught.value.code) == (503, "provider_not_configured")
    assert "openai" in caught.value.message


async def test_credentials_come_from_the_right_place_and_are_kept_for_a_while():
    asked: list[str] = []
    now = [0.0]

    async def read(path: str) -> dict[str, str]:
        asked.append(path)
        return {"openai": "from-ssm"}

    openai = PROVIDERS["openai"]
    credentials = Credentials({}, read, "/headgate/providers/", clock=lambda: now[0])
    access = await credentials.access(openai)
    assert access and access.headers["authorization"] == "Bearer from-ssm" and access.label == "ssm"
    await credentials.access(openai)
    assert asked == ["/headgate/providers/"]
    now[0] = 301.0
    await credentials.access(openai)
    assert len(asked) == 2

    environ = {"OPENAI_API_KEY": "vendor", "HEADGATE_OPENAI_API_KEY": "own", "HEADGATE_OPENAI_BASE_URL": "http://x/v1/"}
    access = await Credentials(environ, read, "/p/").access(openai)
    assert access and access.headers["authorization"] == "Bearer own" and not access.simulated
    assert access.url("responses") == "http://x/v1/responses"


async def test_simulated_providers_stand_in_only_where_there_is_no_key():
    credentials = Credentials({"OPENAI_API_KEY": "k"}, simulated_url="http://127.0.0.1:9")
    openai, anthropic = [await credentials.access(PROVIDERS[slug]) for slug in ("openai", "anthropic")]
    assert openai and not openai.simulated
    assert anthropic and anthropic.simulated and anthropic.url("messages") == "http://127.0.0.1:9/anthropic/v1/messages"


def failure(kind: str, status: int | None, message: str = "no", retry_after: float | None = None) -> UpstreamFailure:
    error = GatewayError(status or 424, "provider_error", None, message, retry_after=retry_after)
    return UpstreamFailure(kind, error, move_on=may_move_on(status or 500, None), status=status)  # type: ignore[arg-type]


async def test_the_next_route_is_tried_and_both_are_noted():
    attempts: list[Attempt] = []

    async def open_route(candidate: Candidate) -> str:
        if len(attempts) == 1:
            raise failure("status", 503)
        return candidate.label

    chosen, opened = await first_success(await candidates(), open_route, attempts)
    assert chosen.label == opened
    assert [(attempt.status, bool(attempt.error)) for attempt in attempts] == [(503, True), (200, False)]


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ([("status", 429, 9.0), ("status", 429, 4.0)], (429, 4.0)),
        ([("timeout", None, None), ("timeout", None, None)], (504, None)),
        ([("status", 500, None), ("status", 429, 4.0)], (424, 4.0)),
        ([("connect", None, None)], (424, None)),
        ([("status", 401, None)], (424, None)),
        ([("status", 400, None)], (400, None)),
        ([("status", 422, None)], (400, None)),
        ([("status", 413, None)], (400, None)),
        ([], (503, None)),
    ],
)
async def test_the_verdict_when_all_routes_failed(failures: list[tuple[str, int | None, float | None]], expected):
    (candidate, *_) = await candidates()
    error = verdict([(candidate, failure(kind, status, "their words", wait)) for kind, status, wait in failures])
    assert (error.status, error.retry_after) == expected
    if failures:
        assert error.message == "their words"


async def test_the_callers_own_fault_is_not_tried_elsewhere():
    attempts: list[Attempt] = []

    async def open_route(candidate: Candidate) -> str:
        raise failure("status", 400)

    with pytest.raises(GatewayError) as caught:
        await first_success(await candidates(), open_route, attempts)
    assert caught.value.status == 400 and len(attempts) == 1


async def test_a_key_that_the_vendor_refuses_with_400_is_tried_elsewhere():
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    said = {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": [reason]}
    error = upstream_side("gemini").read_error(400, json.dumps({"error": said}).encode(), {})
    assert may_move_on(400, error.code)
    bad = {**said, "details": []}
    assert not may_move_on(400, upstream_side("gemini").read_error(400, json.dumps({"error": bad}).encode(), {}).code)
    (candidate, *_) = await candidates()
    assert verdict([(candidate, UpstreamFailure("status", error, move_on=True, status=400))]).status == 424


async def test_media_that_cannot_be_had_end_the_search_for_a_route():
    attempts: list[Attempt] = []
    refused = GatewayError(400, "invalid_request_error", "invalid_media_url", "gone", param="input[0]")

    async def open_route(candidate: Candidate) -> str:
        if len(attempts) == 1:
            raise failure("status", 503)
        raise UpstreamFailure("refused", refused, move_on=False)

    with pytest.raises(GatewayError) as caught:
        await first_success(await candidates(), open_route, attempts)
    assert caught.value is refused and len(attempts) == 2


Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]


@asynccontextmanager
async def upstream(handle: Handle) -> AsyncIterator[str]:
    connections = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        try:
            await handle(reader, writer, connections)
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    return await reader.readexactly(length)


def answer(body: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


async def post(transport: Transport, url: str, **timeouts: float) -> bytes:
    stream = await transport.post(url, {}, b"{}", Timeouts(**timeouts), stream=False)
    try:
        return await stream.read()
    finally:
        await stream.close()


async def test_a_pooled_connection_that_died_is_replaced_once():
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await read_request(reader)
        writer.write(answer())
        await writer.drain()
        if number == 1:
            # Close on the next request, as a peer does that gave up while the environment was frozen.
            await reader.read(1)

    transport = Transport()
    async with upstream(handle) as url:
        assert await post(transport, url) == b"{}"
        assert await post(transport, url) == b"{}"
    await transport.close()


async def test_a_first_connection_that_breaks_is_not_retried_and_no_library_text_leaks():
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await read_request(reader)

    transport = Transport()
    async with upstream(handle) as url:
        with pytest.raises(UpstreamFailure) as caught:
            await post(transport, url)
    assert caught.value.kind == "stream" and "connection to the provider" in caught.value.error.message
    await transport.close()


async def test_refused_slow_and_cut_upstreams_are_told_apart():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await read_request(reader)
        await asyncio.sleep(5)

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await writer.drain()

    async def stalled(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(5)

    kinds: list[str] = []
    transport = Transport()
    for handle in (silent, cut, stalled):
        async with upstream(handle) as url:
            with pytest.raises(UpstreamFailure) as caught:
                await post(transport, url, first_byte=0.2, idle=0.2)
            kinds.append(caught.value.kind)
    with pytest.raises(UpstreamFailure) as caught:
        await post(transport, "http://127.0.0.1:1/")
    assert [*kinds, caught.value.kind] == ["timeout", "stream", "timeout", "connect"]
    assert all(word not in caught.value.error.message.lower() for word in ("httpx", "errno", "attempts"))
    await transport.close()

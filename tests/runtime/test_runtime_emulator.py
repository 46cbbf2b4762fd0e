"""The emulator with the runtime in it, as a client sees them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from dev.lambda_emulator import Emulator, Function, in_thread
from tests.runtime.support import FUNCTIONS

LINES: list[str] = []


def plain(**more) -> Function:
    return Function("plain", FUNCTIONS / "plain", **more)


def written(file: Path) -> str | None:
    return file.read_text() if file.exists() else None


async def appears(file: Path, seconds: float = 15) -> str:
    async with asyncio.timeout(seconds):
        while (text := written(file)) is None:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.02)
    return text


@asynccontextmanager
async def serving(functions: list[Function], **options: Any) -> AsyncIterator[tuple[Emulator, httpx.AsyncClient]]:
    LINES.clear()
    async with (
        Emulator(functions, log=LINES.append, **options) as emulator,
        httpx.AsyncClient(base_url=emulator.url, timeout=30) as client,
    ):
        yield emulator, client


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    LINES.clear()
    async with Emulator([plain()], log=LINES.append) as emulator:
        yield emulator


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=emulator.url, timeout=30) as client:
        yield client


async def test_the_event_is_a_function_urls(client, emulator):
    response = await client.post(
        "/echo%20me?a=1&a=2&b=%C3%A9&c=",
        content='{"é": 1}'.encode(),
        headers=[
            ("Content-Type", "application/json"),
            ("X-Two", "1"),
            ("X-Two", "2"),
            ("Cookie", "one=1; two=2"),
            ("User-Agent", "tests/1"),
        ],
    )
    seen = response.json()
    event = seen["event"]
    assert event["version"] == "2.0"
    assert event["rawPath"] == "/echo%20me"
    assert event["rawQueryString"] == "a=1&a=2&b=%C3%A9&c="
    assert event["queryStringParameters"] == {"a": "1,2", "b": "é", "c": ""}
    assert event["cookies"] == ["one=1", "two=2"]
    assert event["headers"]["x-two"] == "1,2"
    assert "cookie" not in event["headers"]
    assert event["isBase64Encoded"] is False
    context = event["requestContext"]
    assert context["http"] == {
        "method": "POST",
        "path": "/echo%20me",
        "protocol": "HTTP/1.1",
        "sourceIp": "127.0.0.1",
        "userAgent": "tests/1",
    }
    assert context["stage"] == context["routeKey"] == event["routeKey"] == "$default"
    assert context["accountId"] == "anonymous"
    assert context["authentication"] is None
    assert context["domainName"] == "127.0.0.1"
    assert abs(context["timeEpoch"] / 1000 - time.time()) < 60
    assert context["requestId"] == seen["request_id"] == response.headers["x-amzn-requestid"]
    # What the application sees of it.
    assert (seen["method"], seen["path"], seen["raw_path"]) == ("POST", "/echo me", "/echo%20me")
    assert ["cookie", "one=1; two=2"] in seen["headers"]
    assert seen["length"] == 9
    assert 890_000 < seen["remaining"] <= 900_000


@pytest.mark.parametrize(
    ("content_type", "encoded"),
    [("application/json", False), ("text/plain; charset=utf-8", False), ("application/octet-stream", True)]
    + [("application/x-www-form-urlencoded", True), (None, True)],
)
async def test_bodies_are_base64_unless_they_are_text(client, content_type, encoded):
    headers = {"content-type": content_type} if content_type else {}
    seen = (await client.post("/echo", content=b'{"a":1}', headers=headers)).json()
    assert seen["event"]["isBase64Encoded"] is encoded
    assert seen["sha256"] == hashlib.sha256(b'{"a":1}').hexdigest()


async def test_bytes_come_through_unchanged_both_ways(client):
    assert (await client.get("/binary")).content == bytes(range(256))
    noise = os.urandom(100_000)
    assert (await client.post("/binary", content=noise, headers={"content-type": "text/plain"})).content == noise


async def test_only_lambdas_own_variables_reach_the_function(client, monkeypatch):
    monkeypatch.setenv("A_SECRET_OF_THE_DEVELOPER", "x")
    variables = (await client.get("/echo")).json()["variables"]
    assert "A_SECRET_OF_THE_DEVELOPER" not in variables
    assert {"AWS_LAMBDA_FUNCTION_NAME", "AWS_REGION", "LAMBDA_TASK_ROOT", "_HANDLER"} <= set(variables)


async def test_status_headers_and_cookies(client):
    response = await client.get("/cookies")
    assert response.status_code == 201
    assert response.headers["x-many"] == "one, two"
    assert response.headers.get_list("set-cookie") == ["a=1; Expires=Wed, 09 Jun 2030 10:18:14 GMT", "b=2; Path=/"]


async def test_an_empty_answer(client):
    response = await client.get("/empty")
    assert (response.status_code, response.content, response.headers["x-empty"]) == (204, b"", "yes")
    assert (await client.head("/cookies")).status_code == 201


async def test_events_arrive_while_the_stream_runs(client):
    await client.get("/echo")
    async with client.stream("GET", "/stream?n=4&delay=0.8") as response:
        delays = []
        async for line in response.aiter_lines():
            if line:
                delays.append(time.time() - json.loads(line.removeprefix("data: "))["sent"])
    assert len(delays) == 4
    # One event takes 0.8 s. Anything that holds a frame back, even until the next one, shows.
    assert max(delays) < 0.6, delays


async def test_the_head_arrives_before_the_first_event(client):
    started = time.perf_counter()
    await client.get("/echo")
    started = time.perf_counter()
    async with client.stream("GET", "/late-first-event") as response:
        assert response.status_code == 203
        assert time.perf_counter() - started < 0.3
        assert await response.aread() == b"data: late\n\n"


async def test_the_first_event_comes_with_the_head(client):
    """Two small writes in a row must not wait for the client's acknowledgement, which takes it 40 ms on a connection
    that is used again."""
    gaps = []
    for _ in range(6):
        async with client.stream("GET", "/stream?n=2&delay=0.1") as response:
            head_at = time.perf_counter()
            pieces = response.aiter_raw()
            await anext(pieces)
            gaps.append(time.perf_counter() - head_at)
            assert [piece async for piece in pieces]
    assert min(gaps[1:]) < 0.02, gaps


@pytest.mark.parametrize("path", ["/fail-before", "/fail-at-once", "/silent", "/cancelled"])
async def test_a_failure_before_the_first_byte_is_a_502(client, emulator, path):
    response = await client.get(path)
    assert response.status_code == 502
    assert response.json()["Message"] == "Internal Server Error"
    assert response.json()["errorType"] in ("LookupError", "RuntimeError")
    assert (await client.get("/echo")).json()["served"] == 2  # it serves on


@pytest.mark.parametrize("path", ["/fail-after", "/unfinished"])
async def test_a_failure_after_the_first_byte_cuts_the_stream(client, emulator, path):
    got = b""
    with pytest.raises(httpx.RemoteProtocolError):
        async with client.stream("GET", path) as response:
            assert response.status_code == 200
            async for data in response.aiter_raw():
                got += data
    assert got == b"partial"
    assert (await client.get("/echo")).json()["served"] == 2


async def test_a_crash_before_the_answer_is_a_502_with_the_log(client, emulator):
    response = await client.get("/crash")
    assert response.status_code == 502
    assert response.json()["errorType"] == "Runtime.ExitError"
    assert "exit status 3" in response.json()["errorMessage"]
    assert "about to crash" in response.json()["log"]
    assert (await client.get("/echo")).json()["served"] == 1
    assert any(line.startswith("[plain ") and line.endswith("about to crash") for line in LINES)


async def test_a_crash_in_mid_stream_cuts_the_connection_and_the_environment_is_replaced(client, emulator):
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/crash?after=1")
    assert (await client.get("/echo")).json()["served"] == 1


async def test_a_killed_process_cuts_the_connection_and_is_replaced(client, emulator):
    await emulator.prewarm("plain")
    (environment,) = emulator.environments("plain")
    with pytest.raises(httpx.RemoteProtocolError):
        async with client.stream("GET", "/stream?n=100&delay=0.1") as response:
            async for _ in response.aiter_raw():
                environment.kill()
    assert (await client.get("/echo")).json()["pid"] != environment.pid


async def test_work_after_the_answer_delays_neither_the_answer_nor_overlaps_the_next(client, emulator, tmp_path):
    await emulator.prewarm("plain")
    file = tmp_path / "worked"
    started = time.perf_counter()
    first = (await client.get(f"/work-after?seconds=1&file={file}")).json()
    assert time.perf_counter() - started < 0.8
    assert not file.exists()
    second = (await client.get("/echo")).json()
    assert second["pid"] != first["pid"]  # the first one is still at work
    assert await appears(file) == "http.disconnect"


async def test_a_client_that_goes_away_does_not_stop_the_function(emulator, tmp_path):
    file = tmp_path / "end"
    async with httpx.AsyncClient() as client, client.stream("GET", f"{emulator.url}/record-at-end?file={file}") as got:
        await anext(got.aiter_raw())
    assert await appears(file) == "undisturbed"


async def test_half_a_request_reaches_no_function(emulator, client):
    _, writer = await asyncio.open_connection(emulator.host, emulator.port)
    writer.write(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
    await writer.drain()
    writer.close()
    assert (await client.get("/echo")).json()["served"] == 1
    assert len(emulator.environments("plain")) == 1


async def test_eight_streams_run_in_eight_processes_and_never_mix(client, emulator):
    async def run(mark: int) -> set[int]:
        pids = set()
        numbers = []
        async with client.stream("GET", f"/stream?n=40&delay=0.05&mark=m{mark}") as response:
            async for line in response.aiter_lines():
                if line:
                    event = json.loads(line.removeprefix("data: "))
                    assert event["mark"] == f"m{mark}"
                    numbers.append(event["number"])
                    pids.add(event["pid"])
        assert numbers == list(range(40))
        return pids

    await emulator.prewarm("plain", 8)
    pids = await asyncio.gather(*(run(mark) for mark in range(8)))
    assert all(len(each) == 1 for each in pids)
    assert len(set.union(*pids)) == 8
    await asyncio.gather(*(run(mark) for mark in range(8)))
    assert len(emulator.environments("plain")) == 8  # idle ones are used again


async def test_context_variables_end_with_their_request(client):
    seen = [(await client.get("/context")).json() for _ in range(3)]
    assert [each["before"] for each in seen] == ["nothing"] * 3


async def test_a_request_of_5_mb(client):
    body = json.dumps({"text": "x" * 5_000_000}).encode()
    seen = (await client.post("/echo", content=body, headers={"content-type": "application/json"})).json()
    assert seen["length"] == len(body)
    assert seen["sha256"] == hashlib.sha256(body).hexdigest()


async def test_requests_over_lambdas_limit_are_refused(client, emulator):
    for size, content_type in ((6_300_000, "application/json"), (5_000_000, "image/png"), (30_000_000, "text/plain")):
        response = await client.post("/echo", content=b"x" * size, headers={"content-type": content_type})
        assert response.status_code == 413, size
        assert "6291456" in response.json()["Message"]
    assert emulator.environments("plain") == []  # no function has seen them


async def test_an_answer_of_20_mb(client):
    response = await client.get("/big?bytes=20000000")
    assert response.content == b"x" * 20_000_000


async def test_a_stream_over_the_limit_is_cut():
    async with serving([plain()], response_limit=100_000) as (_emulator, client):
        assert len((await client.get("/big?bytes=100000")).content) == 100_000
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/big?bytes=400000")


async def test_a_slow_reader_slows_the_function_down(client):
    """Without backpressure all of the answer would pile up in one of the processes."""
    async with client.stream("GET", "/big?bytes=50000000") as response:
        pieces = response.aiter_raw()
        await anext(pieces)
        await asyncio.sleep(0.5)
        assert (await client.get("/echo")).status_code == 200  # others are served meanwhile
        size = 0
        async for piece in pieces:
            size += len(piece)
    assert size > 40_000_000


async def test_the_timeout_ends_the_process():
    async with serving([plain(timeout=0.5)]) as (_emulator, client):
        response = await client.get("/sleep?seconds=20")
        assert response.status_code == 502
        assert response.json()["errorMessage"] == "Task timed out after 0.50 s"
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/stream?n=100&delay=0.1")
        assert (await client.get("/sleep?seconds=0.01")).status_code == 200


@pytest.mark.parametrize(
    ("function", "kind", "words"),
    [
        ("importing", "Runtime.ImportModuleError", "a_module_that_is_not_there"),
        ("starting", "Runtime.StartupFailed", "no table named headgate"),
        ("exiting", "Runtime.ExitError", "leaving already"),
    ],
)
async def test_a_function_that_cannot_start_is_a_502_with_its_log(function, kind, words):
    async with serving([Function("broken", FUNCTIONS / function)]) as (emulator, client):
        for _ in range(2):
            response = await client.get("/")
            assert response.status_code == 502
            assert response.json()["errorType"] == kind
            assert words in "\n".join(response.json()["log"])
        with pytest.raises(Exception, match=kind):
            await emulator.prewarm("broken")


async def test_a_function_that_hangs_while_starting_is_given_up(tmp_path):
    (tmp_path / "app.py").write_text("import time\ntime.sleep(60)\n")
    async with serving([Function("hanging", tmp_path)], init_timeout=0.5) as (_emulator, client):
        response = await client.get("/")
    assert response.json()["errorMessage"] == "Init timed out after 0.50 s"


async def test_paths_choose_functions():
    functions = [
        Function("wide", FUNCTIONS / "plain", ("/",), environment={"NAME_WIDE": "1"}),
        Function("narrow", FUNCTIONS / "plain", ("/echo",), environment={"NAME_NARROW": "1"}),
    ]
    async with serving(functions) as (_emulator, client):
        assert "NAME_NARROW" in (await client.get("/echo")).json()["variables"]
        assert "NAME_WIDE" in (await client.get("/echo%20me")).json()["variables"]
    async with serving([functions[1]]) as (_emulator, client):
        assert (await client.get("/elsewhere")).status_code == 404


async def test_what_exceeds_the_concurrency_waits_or_is_throttled():
    for overflow, statuses in (("queue", [200, 200, 200]), ("throttle", [200, 429, 429])):
        async with Emulator([plain()], max_concurrency=1, overflow=overflow, log=LINES.append) as emulator:
            await emulator.prewarm()
            async with httpx.AsyncClient(base_url=emulator.url) as client:
                answers = await asyncio.gather(*(client.get("/sleep?seconds=0.3") for _ in range(3)))
                assert sorted(answer.status_code for answer in answers) == statuses
                assert len(emulator.environments("plain")) == 1


async def test_a_framework_application(tmp_path):
    function = Function(
        "framework", FUNCTIONS / "framework", environment={"STOPPED_FILE": str(tmp_path / "stopped")}, snap_start=True
    )
    async with serving([function], max_concurrency=1) as (_emulator, client):
        for _ in range(2):
            assert (await client.get("/state")).json() == {"state": "state", "starts": 1}
        async with client.stream("GET", "/stream") as response:
            times = [(time.perf_counter(), data) async for data in response.aiter_raw()]
        assert [data for _, data in times] == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]
        assert times[2][0] - times[0][0] > 0.15
        await client.get(f"/background?file={tmp_path / 'worked'}")
        assert (await client.get("/error")).status_code == 500  # FastAPI's own answer, not Lambda's
        assert (tmp_path / "worked").read_text() == "done"  # one environment: it came first
    assert (tmp_path / "stopped").read_text() == "stopped"


async def test_the_stock_runtime_is_served_buffered(tmp_path):
    """A handler's plain result, as the wrapper's other branch has it."""
    stock = tmp_path / "stock.py"
    stock.write_text(
        "import http.client, json, os\n"
        "from app import handler\n"
        "api = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])\n"
        "while True:\n"
        "    api.request('GET', '/2018-06-01/runtime/invocation/next')\n"
        "    reply = api.getresponse()\n"
        "    event = json.loads(reply.read())\n"
        "    id = reply.getheader('Lambda-Runtime-Aws-Request-Id')\n"
        "    result = json.dumps(handler(event, None))\n"
        "    api.request('POST', f'/2018-06-01/runtime/invocation/{id}/response', result)\n"
        "    api.getresponse().read()\n"
    )
    function = Function(
        "framework",
        FUNCTIONS / "framework",
        environment={"HEADGATE_STOCK_RUNTIME": "1"},
        stock_runtime=(str(stock),),
    )
    async with serving([function]) as (_emulator, client):
        response = await client.get("/stream")
        assert response.content == b"data: 0\n\ndata: 1\n\ndata: 2\n\n"
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert (await client.get("/nowhere")).status_code == 404


async def test_timing_is_recorded_and_shown():
    async with serving([plain()], timing_header=True) as (emulator, client):
        for _ in range(20):
            response = await client.get("/sleep?seconds=0.01")
        shown = dict(pair.split("=") for pair in response.headers["x-emulator-timing"].split(", "))
    last = emulator.timings[-1]
    assert len(emulator.timings) == 20
    assert last.received <= last.handed <= last.answered <= last.finished
    assert 10 <= float(shown["function"]) <= float(shown["total"])
    # The emulator's own share, apart from the function's. The median, so that a busy machine does not matter.
    own = sorted(t.handed - t.received - t.waited + t.finished - t.answered for t in emulator.timings)
    assert own[10] < 0.005


def test_the_emulator_runs_in_a_thread():
    with in_thread(Emulator([plain()], log=LINES.append)) as emulator:
        assert httpx.get(f"{emulator.url}/cookies").status_code == 201
        pids = [environment.pid for environment in emulator.environments("plain")]
    assert len(pids) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    with pytest.raises(httpx.ConnectError):
        httpx.get(emulator.url)

"""The runtime against AWS's own Runtime API server: the interface emulator that the SAM CLI brings."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from dev.lambda_function import Function
from tests.runtime.support import FUNCTIONS, http_event, interface_emulator

EMULATOR = interface_emulator()
pytestmark = pytest.mark.skipif(
    EMULATOR is None,
    reason="no Runtime Interface Emulator: put `sam` on the PATH or its aws-lambda-rie into HEADGATE_LAMBDA_RIE",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(params=["plain", "handling"])
def function(request) -> str:
    return request.param


@pytest.fixture
def invocations(function, tmp_path) -> Iterator[str]:
    """The URL that takes events. The function is started by the first one."""
    port, api_port = free_port(), free_port()
    definition = Function(function, FUNCTIONS / function)
    variables = definition.variables(f"127.0.0.1:{api_port}", "env-1")
    del variables["AWS_LAMBDA_RUNTIME_API"]  # the emulator sets it
    process = subprocess.Popen(
        [
            str(EMULATOR),
            "--runtime-interface-emulator-address",
            f"127.0.0.1:{port}",
            "--runtime-api-address",
            f"127.0.0.1:{api_port}",
            *definition.command(),
        ],
        cwd=FUNCTIONS / function,
        env=variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except ConnectionRefusedError:
            assert time.monotonic() < until
            time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    process.terminate()
    process.wait(10)


def invoke(url: str, event: object) -> bytes:
    return httpx.post(url, content=json.dumps(event), timeout=30).content


@pytest.mark.parametrize("function", ["plain"])
def test_streamed_answers_are_accepted(invocations, function):
    for path, query, status, check in (
        ("/cookies", "", 201, b"{}"),
        ("/empty", "", 204, b""),
        ("/binary", "", 200, bytes(range(256))),
        ("/big", "bytes=3000000", 200, b"x" * 3_000_000),
    ):
        head, _, body = invoke(invocations, http_event(path, query)).partition(bytes(8))
        assert json.loads(head)["statusCode"] == status
        assert body == check
    head, _, body = invoke(invocations, http_event("/stream", "n=3&delay=0.05")).partition(bytes(8))
    assert json.loads(head)["headers"]["content-type"] == "text/event-stream"
    assert [json.loads(line[6:])["number"] for line in body.split(b"\n\n") if line] == [0, 1, 2]


@pytest.mark.parametrize("function", ["plain"])
def test_large_events_arrive_whole(invocations, function):
    event = http_event("/echo", body="x" * 5_000_000, headers={"host": "h", "content-type": "text/plain"})
    seen = json.loads(invoke(invocations, event).partition(bytes(8))[2])
    assert seen["length"] == 5_000_000
    assert seen["remaining"] > 0


@pytest.mark.parametrize("function", ["plain"])
def test_failures_are_reported_and_the_process_serves_on(invocations, function):
    fault = json.loads(invoke(invocations, http_event("/fail-before")))
    assert fault["errorType"] == "LookupError"
    invoke(invocations, http_event("/fail-after"))
    head, _, body = invoke(invocations, http_event("/echo")).partition(bytes(8))
    assert json.loads(head)["statusCode"] == 200
    assert json.loads(body)["served"] == 3


@pytest.mark.parametrize("function", ["handling"])
def test_other_events_reach_the_handler(invocations, function):
    assert json.loads(invoke(invocations, {"source": "schedule"}))["event"] == {"source": "schedule"}

"""What the simulated providers do on demand to go wrong, and what they record."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import openai
import pytest

from dev.simulated_providers import Running, serve

PATHS = {
    "responses": "/openai/v1/responses",
    "chat": "/openai/v1/chat/completions",
    "messages": "/anthropic/v1/messages",
}
HEADERS = {"authorization": "Bearer key", "anthropic-version": "2023-06-01"}


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serve(models=("house-model",)) as running:
        yield running


@pytest.fixture
def simulated(server: Running) -> Running:
    server.clear()
    return server


def body(protocol: str, text: str, *, stream: bool = True) -> dict[str, Any]:
    if protocol == "responses":
        return {"model": "gpt-4o", "input": text, "stream": stream}
    messages = [{"role": "user", "content": text}]
    if protocol == "chat":
        return {"model": "gpt-4o", "messages": messages, "stream": stream}
    return {"model": "claude-haiku-4-5", "max_tokens": 30000, "messages": messages, "stream": stream}


def post(simulated: Running, protocol: str, text: str, *, stream: bool = True, **headers: str) -> httpx.Response:
    url = simulated.url + PATHS[protocol]
    return httpx.post(url, json=body(protocol, text, stream=stream), headers={**HEADERS, **headers}, timeout=10)


def received(simulated: Running, protocol: str, text: str, timeout: float = 10) -> tuple[bytes, Exception | None]:
    """The bytes of a stream up to its end or failure, and that failure."""
    held = b""
    url = simulated.url + PATHS[protocol]
    with httpx.stream("POST", url, json=body(protocol, text), headers=HEADERS, timeout=timeout) as answer:
        try:
            for chunk in answer.iter_raw():
                held += chunk
        except httpx.HTTPError as error:
            return held, error
    return held, None


def deltas(data: bytes) -> int:
    """How many content deltas the bytes hold, in any of the three protocols."""
    return sum(
        data.count(mark)
        for mark in (b'"type":"text_delta"', b'"delta":{"content":"', b"event: response.output_text.delta")
    ) - data.count(b'"delta":{"content":"",')


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "BadRequestError"), (401, "AuthenticationError"), (403, "PermissionDeniedError"), (404, "NotFoundError"),
     (429, "RateLimitError"), (500, "InternalServerError")],
)  # fmt: skip
def test_statuses_become_the_clients_exceptions(simulated: Running, status: int, kind: str) -> None:
    text = f"[[fail:{status} retry-after=7 message=It went wrong]]"
    messages: Any = [{"role": "user", "content": text}]
    ours = openai.OpenAI(base_url=f"{simulated.url}/openai/v1", api_key="key", max_retries=0)
    theirs = anthropic.Anthropic(base_url=f"{simulated.url}/anthropic", api_key="key", max_retries=0)
    with pytest.raises(getattr(openai, kind)) as one:
        ours.responses.create(model="gpt-4o", input=text)
    with pytest.raises(getattr(openai, kind)) as two:
        ours.chat.completions.create(model="gpt-4o", messages=messages)
    with pytest.raises(getattr(anthropic, kind)) as three:
        theirs.messages.create(model="claude-opus-5", max_tokens=9, messages=messages)
    for caught in (one, two, three):
        assert "It went wrong" in str(caught.value)
        assert caught.value.response.headers["retry-after"] == "7"
    assert three.value.request_id.startswith("req_")  # type: ignore[union-attr]


def test_overloaded_and_a_page_of_html(simulated: Running) -> None:
    theirs = anthropic.Anthropic(base_url=f"{simulated.url}/anthropic", api_key="key", max_retries=0)
    messages: Any = [{"role": "user", "content": "[[fail:529]]"}]
    with pytest.raises(anthropic.OverloadedError) as caught:
        theirs.messages.create(model="claude-opus-5", max_tokens=9, messages=messages)
    assert caught.value.type == "overloaded_error"
    page = post(simulated, "chat", "[[fail:502 html]]")
    assert page.status_code == 502 and page.headers["content-type"] == "text/html" and page.text.startswith("<html>")


@pytest.mark.parametrize("protocol", PATHS)
def test_the_connection_is_reset_after_some_deltas(simulated: Running, protocol: str) -> None:
    data, error = received(simulated, protocol, "[[say:one two three four five six]][[cut-after:3]]")
    assert isinstance(error, httpx.ReadError | httpx.RemoteProtocolError)
    assert deltas(data) == 3
    assert not simulated.recorded()[0].finished


def test_a_json_answer_can_be_cut_too(simulated: Running) -> None:
    with pytest.raises(httpx.HTTPError):
        post(simulated, "chat", "[[cut-after:1]]", stream=False)


@pytest.mark.parametrize("protocol", PATHS)
def test_silence(simulated: Running, protocol: str) -> None:
    data, error = received(simulated, protocol, "[[say:one two three four]][[silent-after:2]]", timeout=0.5)
    assert isinstance(error, httpx.ReadTimeout) and deltas(data) == 2
    data, error = received(simulated, protocol, "[[say:one two three four]][[silent-after:2 0.1]]")
    assert error is None and deltas(data) == 2


def test_errors_amid_a_stream_raise_in_the_clients(simulated: Running) -> None:
    text = "[[say:one two three]][[error-after:2]]"
    messages: Any = [{"role": "user", "content": text}]
    ours = openai.OpenAI(base_url=f"{simulated.url}/openai/v1", api_key="key", max_retries=0)
    theirs = anthropic.Anthropic(base_url=f"{simulated.url}/anthropic", api_key="key", max_retries=0)
    said: list[str] = []
    with pytest.raises(openai.APIError, match="The server had an error"):
        for chunk in ours.chat.completions.create(model="gpt-4o", messages=messages, stream=True):
            said.append(chunk.choices[0].delta.content or "")
    assert "".join(said) == "one two"
    with pytest.raises(openai.APIError, match="The server had an error"):
        list(ours.responses.create(model="gpt-4o", input=text, stream=True))
    with (
        theirs.messages.stream(model="claude-opus-5", max_tokens=99, messages=messages) as stream,
        pytest.raises(anthropic.APIStatusError) as caught,
    ):
        stream.get_final_message()
    assert caught.value.type == "overloaded_error"


def test_a_failing_responses_stream_ends_with_response_failed(simulated: Running) -> None:
    data, _ = received(simulated, "responses", "[[say:one two three]][[error-after:2]]")
    events = [json.loads(frame.split(b"\ndata: ")[1]) for frame in data.strip().split(b"\n\n")]
    assert [event["type"] for event in events[-2:]] == ["error", "response.failed"]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["response"]["status"] == "failed" and events[-1]["response"]["error"]["code"] == "server_error"


@pytest.mark.parametrize("protocol", PATHS)
def test_the_first_frame_can_be_an_error(simulated: Running, protocol: str) -> None:
    answer = post(simulated, protocol, "[[error-first]]")
    assert answer.status_code == 200
    frames = answer.text.strip().split("\n\n")
    assert len(frames) == 1 and '"error":{' in frames[0]


@pytest.mark.parametrize("protocol", PATHS)
def test_junk_and_novelties(simulated: Running, protocol: str) -> None:
    data, error = received(simulated, protocol, "[[say:one two three]][[junk-after:2]]")
    assert error is None and data.count(b'data: {"type":"broken", "cut\n\n') == 1 and deltas(data) == 3
    data, error = received(simulated, protocol, "[[say:one two three]][[novel]]")
    assert error is None and data.count(b"simulated_novelty") >= 1 and deltas(data) == 3
    if protocol == "responses":
        numbers = [json.loads(f.split(b"\ndata: ")[1])["sequence_number"] for f in data.strip().split(b"\n\n")]
        assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("protocol", PATHS)
def test_pace(simulated: Running, protocol: str) -> None:
    begin = time.monotonic()
    arrivals: list[float] = []
    text = "[[say:one two three four]][[slow-first:0.3]][[slow:0.03]]"
    with httpx.stream("POST", simulated.url + PATHS[protocol], json=body(protocol, text), headers=HEADERS) as answer:
        headers_at = time.monotonic() - begin
        for _ in answer.iter_raw():
            arrivals.append(time.monotonic() - begin)
    assert arrivals[0] - headers_at > 0.15
    # Each event arrives alone.
    assert len(arrivals) >= 7 and arrivals[-1] - arrivals[0] >= 0.03 * 6
    begin = time.monotonic()
    with httpx.stream(
        "POST", simulated.url + PATHS[protocol], json=body(protocol, "[[slow-headers:0.3]]"), headers=HEADERS
    ):
        assert time.monotonic() - begin >= 0.3


def test_directives_from_header_model_and_beforehand(simulated: Running) -> None:
    assert post(simulated, "chat", "hi", **{"x-simulate": "[[fail:503]]"}).status_code == 503
    model = {**body("responses", "hi"), "model": "gpt-4o[[fail:503]]"}
    assert httpx.post(simulated.url + PATHS["responses"], json=model, headers=HEADERS).status_code == 503
    simulated.behave("[[fail:500]]", path="/openai", marker="unlucky", times=2)
    assert post(simulated, "messages", "unlucky").status_code == 200
    assert post(simulated, "chat", "lucky one", stream=False).status_code == 200
    assert [post(simulated, "chat", "unlucky").status_code for _ in range(3)] == [500, 500, 200]
    order = {"directives": "[[fail:500]]", "times": None}
    httpx.post(f"{simulated.url}/_behave", json=order)
    assert [post(simulated, "messages", "hi").status_code for _ in range(3)] == [500] * 3
    httpx.delete(f"{simulated.url}/_behave")
    assert post(simulated, "messages", "hi").status_code == 200


def test_a_directive_for_one_vendor_only(simulated: Running) -> None:
    text = "[[@openai fail:500]]hi"
    assert post(simulated, "chat", text).status_code == 500
    plain = post(simulated, "messages", text, stream=False)
    assert plain.json()["content"][0]["text"] == "You said: hi."


def test_what_is_recorded(simulated: Running) -> None:
    post(simulated, "chat", "alpha", **{"x-mark": "one"})
    post(simulated, "messages", "beta", **{"x-mark": "two"})
    post(simulated, "responses", "[[fail:500]] gamma")
    assert [one.path for one in simulated.recorded()] == [PATHS["chat"], PATHS["messages"], PATHS["responses"]]
    assert simulated.recorded(marker="beta")[0].body["messages"][0]["content"] == "beta"
    assert simulated.recorded(header="X-Mark: two")[0].path == PATHS["messages"]
    assert simulated.recorded(path="/openai", marker="gamma")[0].status == 500
    listed = httpx.get(f"{simulated.url}/_recorded", params={"header": "x-mark", "path": "/openai"}).json()
    assert [one["headers"]["x-mark"] for one in listed] == ["one"]
    assert json.loads(listed[0]["text"]) == listed[0]["body"] and listed[0]["finished"] and not listed[0]["aborted"]
    httpx.delete(f"{simulated.url}/_recorded")
    assert simulated.recorded() == []


@pytest.mark.parametrize("protocol", PATHS)
def test_a_caller_that_leaves_is_noticed(simulated: Running, protocol: str) -> None:
    text = "[[tokens:500]][[slow:0.05]]"
    with httpx.stream("POST", simulated.url + PATHS[protocol], json=body(protocol, text), headers=HEADERS) as answer:
        next(answer.iter_raw())
    deadline = time.monotonic() + 3
    while not simulated.recorded()[0].aborted and time.monotonic() < deadline:
        time.sleep(0.02)
    assert simulated.recorded()[0].aborted and not simulated.recorded()[0].finished


def test_counting_can_fail_too(simulated: Running) -> None:
    failing = {**HEADERS, "x-simulate": "[[fail:503]]"}
    ours = {"model": "gpt-4o", "input": "hi"}
    assert (
        httpx.post(simulated.url + PATHS["responses"] + "/input_tokens", json=ours, headers=failing).status_code == 503
    )
    theirs = {"model": "claude-opus-5", "messages": [{"role": "user", "content": "hi"}]}
    assert (
        httpx.post(simulated.url + PATHS["messages"] + "/count_tokens", json=theirs, headers=failing).status_code == 503
    )


def test_paths_that_the_vendors_do_not_have(simulated: Running) -> None:
    missing = httpx.post(f"{simulated.url}/openai/v1/responses/", headers=HEADERS)
    assert missing.status_code == 404
    assert missing.json()["error"]["message"] == "Invalid URL (POST /v1/responses/)"
    assert httpx.get(f"{simulated.url}/anthropic/v1/nothing").json()["error"]["type"] == "not_found_error"
    assert [one.status for one in simulated.recorded()] == [404, 404]


def test_the_module_runs_as_a_program() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "dev.simulated_providers", "--port", str(port), "--model", "house-model"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert f"http://127.0.0.1:{port}/openai/v1" in process.stdout.readline()
        try:
            transport = httpx.HTTPTransport(retries=8)
            with httpx.Client(transport=transport, headers=HEADERS) as client:
                models = client.get(f"http://127.0.0.1:{port}/openai/v1/models").json()
            assert "house-model" in [model["id"] for model in models["data"]]
        finally:
            process.terminate()


def test_bad_json_and_a_house_model(simulated: Running) -> None:
    for protocol, path in PATHS.items():
        answer = httpx.post(simulated.url + path, content=b'{"model": ', headers=HEADERS)
        assert answer.status_code == 400, protocol
    for protocol in PATHS:
        whole = {**body(protocol, "hi"), "model": "house-model"}
        assert httpx.post(simulated.url + PATHS[protocol], json=whole, headers=HEADERS).status_code == 200


async def test_eight_streams_do_not_mix(simulated: Running) -> None:
    async with httpx.AsyncClient(headers=HEADERS, timeout=20) as client:

        async def one(index: int) -> str:
            protocol = list(PATHS)[index % 3]
            text = f"[[say:mark{index} mark{index} mark{index}]][[slow:0.005]]"
            return (await client.post(simulated.url + PATHS[protocol], json=body(protocol, text))).text

        texts = await asyncio.gather(*(one(index) for index in range(8)))
    for index, text in enumerate(texts):
        assert all((f"mark{other}" in text) == (other == index) for other in range(8))

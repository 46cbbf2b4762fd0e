"""Upstreams that fail in every way, and bodies that must never reach one."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from headgate.catalog.catalog import Catalog
from headgate.usage import Usage, cost
from tests.gateway import Origin, Upstream

UPSTREAM_NAMES: list[Upstream] = ["responses", "chat_completions", "messages"]
MODELS = {"responses": "gpt-4o-mini", "chat_completions": "gpt-4o-mini", "messages": "claude-haiku-4-5"}
FRONTENDS = ["responses", "chat_completions", "messages"]
PATHS = {
    "responses": "/v1/responses",
    "chat_completions": "/v1/chat/completions",
    "messages": "/v1/messages",
}


def request(frontend: str, model: str, text: str, **fields: Any) -> dict[str, Any]:
    if frontend == "responses":
        return {"model": model, "input": text, **fields}
    body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
    return body | {"max_tokens": 4000} if frontend == "messages" else body


def events(text: str) -> list[dict[str, Any]]:
    found = []
    for frame in text.replace("\r\n", "\n").split("\n\n"):
        data = [line[6:] for line in frame.split("\n") if line.startswith("data: ")]
        if data and data[0] != "[DONE]":
            found.append(json.loads("\n".join(data)))
    return found


pairs = pytest.mark.parametrize(
    ("frontend", "upstream"), [(frontend, upstream) for frontend in FRONTENDS for upstream in UPSTREAM_NAMES]
)


@pairs
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("directive", "status", "code"),
    [
        ("[[fail:429 retry-after=7]]", 429, None),
        ("[[fail:500]]", 424, None),
        ("[[fail:401]]", 424, None),
        ("[[fail:400]]", 400, None),
        ("[[fail:529]]", 424, None),
    ],
)
def test_a_refusal_before_the_first_byte_has_a_status_of_its_own(
    origins: Callable[[Upstream], Origin], frontend: str, upstream: Upstream, stream: bool, directive: str,
    status: int, code: str | None,
):  # fmt: skip
    origin = origins(upstream)
    answer = origin.post(PATHS[frontend], request(frontend, MODELS[upstream], directive, stream=stream))
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"] and error["type"]
    if frontend == "messages":
        assert answer.json()["type"] == "error"
    else:
        assert {"code", "param"} <= set(error)
    assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
    row = origin.log_row(answer.headers["x-request-id"])
    assert row.status == status and row.error_message == error["message"] and row.attempts
    # What the provider said is handed on; what an HTTP library or an interpreter says never is.
    assert not any(word in answer.text for word in ("httpx", "Traceback", "httpcore", "Errno"))


def end_of(frontend: str, text: str) -> dict[str, Any]:
    """The error that ends a broken stream, checked for the protocol's own form."""
    found = events(text)
    if frontend == "responses":
        assert found[-1]["type"] == "response.failed"
        numbers = [event["sequence_number"] for event in found]
        assert numbers == sorted(set(numbers))
        assert found[-1]["response"]["status"] == "failed"
        return found[-1]["response"]["error"]
    if frontend == "messages":
        assert found[-1]["type"] == "error"
        assert "message_stop" not in text
        return found[-1]["error"]
    assert found[-1]["error"]["message"]
    assert not any(choice.get("finish_reason") for event in found for choice in event.get("choices", []))
    return found[-1]["error"]


@pairs
@pytest.mark.parametrize("directive", ["[[error-after:2]]", "[[cut-after:2]]", "[[junk-after:2]]"])
def test_a_stream_that_breaks_ends_in_the_protocols_own_error(
    origins: Callable[[Upstream], Origin], frontend: str, upstream: Upstream, directive: str
):
    origin = origins(upstream)
    text = f"{directive}[[slow:0.01]][[tokens:30]]"
    answer = origin.post(PATHS[frontend], request(frontend, MODELS[upstream], text, stream=True))
    assert answer.status_code == 200
    error = end_of(frontend, answer.text)
    assert error["message"]
    assert not any(word in answer.text for word in ("httpx", "httpcore", "RemoteProtocol", "Expecting", "JSONDecode"))
    row = origin.log_row(answer.headers["x-request-id"])
    assert row.error_message and row.error_code


@pairs
@pytest.mark.parametrize("directive", ["[[error-after:12]]", "[[cut-after:12]]", "[[junk-after:12]]"])
def test_a_stream_that_breaks_is_billed_by_an_estimate(
    origins: Callable[[Upstream], Origin], frontend: str, upstream: Upstream, directive: str
):
    """The input as it would have been, the output as far as it came: not nothing, and never as a fact."""
    origin = origins(upstream)
    text = f"{directive}[[slow:0.01]][[tokens:30]] {'Some words to be paid for. ' * 20}"
    body = request(frontend, MODELS[upstream], text, stream=True)
    if frontend == "chat_completions":
        body["stream_options"] = {"include_usage": True}
    answer = origin.post(PATHS[frontend], body)
    row = origin.log_row(answer.headers["x-request-id"])
    assert row.estimated and 100 < row.input_tokens < 300 and 6 <= row.output_tokens <= 60, row
    candidate = Catalog.bundled().find(MODELS[upstream])
    assert candidate is not None
    used = Usage(input_total=row.input_tokens, output_total=row.output_tokens)
    assert row.cost_pico == cost(used, candidate.routes[0].price)
    said = (events(answer.text)[-1].get("response") or events(answer.text)[-1]).get("usage")
    if frontend == "responses":
        assert said["estimated"] is True
        assert (said["input_tokens"], said["output_tokens"]) == (row.input_tokens, row.output_tokens)
    elif said:
        assert said["estimated"] is True
        assert (said["prompt_tokens"], said["completion_tokens"]) == (row.input_tokens, row.output_tokens)
    else:
        # An error event of the vendor's own is handed on as it is, and Messages has no usage in any.
        assert frontend == "messages" or (upstream == frontend and "error-after" in directive)


def test_several_choices_that_break_are_billed_together(origins: Callable[[Upstream], Origin]):
    text = "[[cut-after:12]][[slow:0.01]][[tokens:30]] to be paid for"
    usage = {"include_usage": True}
    one, three = (
        origins("messages").post(
            PATHS["chat_completions"],
            request("chat_completions", MODELS["messages"], text, stream=True, n=n, stream_options=usage),
        )
        for n in (1, 3)
    )
    rows = [origins("messages").log_row(answer.headers["x-request-id"]) for answer in (one, three)]
    assert rows[1].estimated and rows[1].input_tokens == 3 * rows[0].input_tokens
    said = events(three.text)[-1]["usage"]
    assert (said["prompt_tokens"], said["completion_tokens"]) == (rows[1].input_tokens, rows[1].output_tokens)


def test_what_the_upstream_said_of_its_usage_is_kept(origins: Callable[[Upstream], Origin]):
    """An answer that comes to its end has no estimates in it."""
    for upstream in UPSTREAM_NAMES:
        for frontend in FRONTENDS:
            body = request(frontend, MODELS[upstream], "[[tokens:30]]", stream=True)
            answer = origins(upstream).post(PATHS[frontend], body)
            row = origins(upstream).log_row(answer.headers["x-request-id"])
            assert not row.estimated and row.output_tokens >= 30 and '"estimated"' not in answer.text


@pairs
def test_a_200_whose_first_event_is_an_error_is_an_error_status(
    origins: Callable[[Upstream], Origin], frontend: str, upstream: Upstream
):
    answer = origins(upstream).post(
        PATHS[frontend], request(frontend, MODELS[upstream], "[[error-first]]", stream=True)
    )
    assert answer.status_code == 424, answer.text
    assert answer.json()["error"]["message"]


@pytest.fixture(scope="module")
def impatient(gateway_backends: Any):
    from tests.gateway import origin

    limits = {"HEADGATE_FIRST_BYTE_TIMEOUT": "0.5", "HEADGATE_IDLE_TIMEOUT": "0.5"}
    with origin(gateway_backends, limits) as started:
        yield started


@pytest.mark.parametrize("frontend", FRONTENDS)
@pytest.mark.parametrize("model", ["gpt-4o-mini", "claude-haiku-4-5"])
def test_silence_ends_within_the_limits(impatient: Origin, frontend: str, model: str):
    slow = impatient.post(PATHS[frontend], request(frontend, model, "[[slow-headers:3]]", stream=True))
    assert slow.status_code == 504, slow.text
    silent = impatient.post(PATHS[frontend], request(frontend, model, "[[silent-after:2]][[tokens:30]]", stream=True))
    assert silent.status_code == 200
    assert "too long" in end_of(frontend, silent.text)["message"]
    row = impatient.log_row(silent.headers["x-request-id"])
    assert row.estimated and row.input_tokens and row.output_tokens and row.cost_pico


BAD = {
    "responses": [
        b"",
        b"{",
        b"[]",
        b'"x"',
        b'{"model": "gpt-4o-mini"}',
        b'{"model": "gpt-4o-mini", "input": 7}',
        b'{"model": "gpt-4o-mini", "input": ""}',
        b'{"input": "x"}',
        b'{"model": 3, "input": "x"}',
        b'{"model": "gpt-4o-mini", "input": "x", "temperature": 2.5}',
        b'{"model": "gpt-4o-mini", "input": "x", "temperature": NaN}',
        b'{"model": "gpt-4o-mini", "input": "x", "max_output_tokens": -1}',
        b'{"model": "gpt-4o-mini", "input": "x", "top_logprobs": 21}',
        b'{"model": "gpt-4o-mini", "input": [{"role": "wizard", "content": "x"}]}',
        b'{"model": "gpt-4o-mini", "input": "x", "tools": "none"}',
        b'{"model": "gpt-4o-mini", "input": "x", "include": ["everything"]}',
        b'{"model": "gpt-4o-mini", "input": "\xff"}',
        b'{"model": "no-such-model", "input": "x"}',
        b"[" * 100_000,
    ],
    "chat_completions": [
        b'{"model": "gpt-4o-mini"}',
        b'{"model": "gpt-4o-mini", "messages": "oops"}',
        b'{"model": "gpt-4o-mini", "messages": []}',
        b'{"messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "gpt-4o-mini", "messages": [{"role": "wizard", "content": "x"}]}',
        b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}], "n": 129}',
        b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}], "max_tokens": -1}',
        b'{"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "x"}], "frequency_penalty": 3}',
        b'{"model": "no-such-model", "messages": [{"role": "user", "content": "x"}]}',
    ],
    "messages": [
        b'{"model": "claude-haiku-4-5", "max_tokens": 5}',
        b'{"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "claude-haiku-4-5", "max_tokens": "5", "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "claude-haiku-4-5", "max_tokens": 5, "messages": []}',
        b'{"model": "claude-haiku-4-5", "max_tokens": 5, "messages": "oops"}',
        b'{"model": "claude-haiku-4-5", "max_tokens": 5, "messages": [{"role": "wizard", "content": "x"}]}',
        b'{"model": "claude-haiku-4-5", "max_tokens": 5, "temperature": 1.5, '
        b'"messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "no-such-model", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}',
    ],
}


@pytest.mark.parametrize(("frontend", "body"), [(name, body) for name, bodies in BAD.items() for body in bodies])
def test_a_bad_body_is_refused_and_reaches_no_upstream(gateway_origin: Origin, frontend: str, body: bytes):
    before = len(gateway_origin.backends.simulated.recorded())
    answer = gateway_origin.post(PATHS[frontend], body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error" and len(error["message"]) > 10
    assert "pydantic" not in error["message"] and "errors.pydantic.dev" not in error["message"]
    assert (answer.json().get("type") == "error") is (frontend == "messages")
    assert len(gateway_origin.backends.simulated.recorded()) == before
    assert gateway_origin.log_row(answer.headers["x-request-id"]).status == 400


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_an_oversized_body_is_a_413(gateway_origin: Origin, frontend: str):
    answer = gateway_origin.post(PATHS[frontend], request(frontend, "gpt-4o-mini", "x" * 7_000_000))
    assert answer.status_code == 413


@pytest.mark.parametrize("frontend", FRONTENDS)
def test_a_compressed_body_is_read_and_a_bomb_is_not(gateway_origin: Origin, frontend: str):
    import gzip

    good = gzip.compress(json.dumps(request(frontend, "gpt-4o-mini", "Hello")).encode())
    answer = gateway_origin.post(PATHS[frontend], good, headers={"content-encoding": "gzip"})
    assert answer.status_code == 200, answer.text
    bomb = gzip.compress(b" " * 200_000_000)
    assert gateway_origin.post(PATHS[frontend], bomb, headers={"content-encoding": "gzip"}).status_code == 413
    assert gateway_origin.post(PATHS[frontend], good[:-9], headers={"content-encoding": "gzip"}).status_code == 400
    assert gateway_origin.post(PATHS[frontend], good, headers={"content-encoding": "zstd"}).status_code == 415


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("frontend", "upstream"), [*zip(FRONTENDS, UPSTREAM_NAMES, strict=True), ("responses", "messages")]
)
def test_five_megabytes_in_and_twenty_out(origins: Callable[[Upstream], Origin], frontend: str, upstream: Upstream):
    origin = origins(upstream)
    large = request(frontend, MODELS[upstream], "a large picture")
    _show(frontend, large, "iVBORw0KGgo" + "A" * 5_200_001)
    if upstream == "messages" or frontend == "messages":
        large["max_tokens" if frontend != "responses" else "max_output_tokens"] = 50
    answer = origin.post(PATHS[frontend], large)
    assert answer.status_code == 200, answer.text[:500]
    total = 0
    # The catalogue must allow the model to say that much.
    model = "claude-opus-4-6" if upstream == "messages" else "gpt-5.4-mini"
    body = request(frontend, model, "[[tokens:165000]]", stream=True)
    limit = "max_output_tokens" if frontend == "responses" else "max_tokens"
    body[limit] = 165_000
    with httpx.stream("POST", origin.url + PATHS[frontend], json=body, headers=origin.headers, timeout=120) as stream:
        assert stream.status_code == 200
        tail = b""
        began = time.perf_counter()
        for chunk in stream.iter_bytes():
            total += len(chunk)
            tail = (tail + chunk)[-3_000_000:]
    assert total > 20_000_000, (total, time.perf_counter() - began)
    assert b"[DONE]" in tail or b"message_stop" in tail


def _show(frontend: str, body: dict[str, Any], data: str) -> None:
    """Put a picture into the request: text of that size would be more tokens than any model takes."""
    url = f"data:image/png;base64,{data}"
    turns = body["input" if frontend == "responses" else "messages"]
    if isinstance(turns, str):
        turns = body["input"] = [{"role": "user", "content": turns}]
    text = turns[-1]["content"]
    match frontend:
        case "responses":
            parts = [{"type": "input_text", "text": text}, {"type": "input_image", "image_url": url}]
        case "chat_completions":
            parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
        case _:
            source = {"type": "base64", "media_type": "image/png", "data": data}
            parts = [{"type": "text", "text": text}, {"type": "image", "source": source}]
    turns[-1]["content"] = parts


def test_concurrent_streams_never_mix(origins: Callable[[Upstream], Origin]):
    problems: list[str] = []

    def run(number: int) -> None:
        frontend, upstream = FRONTENDS[number % 3], UPSTREAM_NAMES[number // 3 % 3]
        mark = f"mark-{number:03d}-{'abcdefgh'[number % 8]}"
        text = f"[[slow:0.01]][[say:{' '.join([mark] * 30)}]]"
        origin = origins(upstream)
        answer = origin.post(PATHS[frontend], request(frontend, MODELS[upstream], text, stream=True))
        others = [f"mark-{other:03d}" for other in range(16) if other != number]
        if answer.text.count(f"{number:03d}") < 30 or any(other in answer.text for other in others):
            problems.append(f"{number}: {answer.text[:300]}")
        row = origin.log_row(answer.headers["x-request-id"])
        if row.endpoint != PATHS[frontend] or row.model != MODELS[upstream]:
            problems.append(f"{number}: {row}")

    for upstream in UPSTREAM_NAMES:
        origins(upstream)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    assert problems == []

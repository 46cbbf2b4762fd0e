"""The function's own log lines and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from headgate.access.keys import mask
from headgate.observe import Observer, redact, request_scope


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def observer(stream: io.StringIO) -> Iterator[Observer]:
    observer = Observer("test-observe", stream=stream)
    yield observer
    observer.close()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_with_the_request_and_what_was_added(observer: Observer, stream: io.StringIO) -> None:
    with request_scope("req_1"):
        observer.logger.info("stored", extra={"turn": "resp_1", "bytes": 5})
    observer.logger.info("outside")
    inside, outside = lines(stream)
    assert inside["message"] == "stored" and inside["level"] == "INFO" and inside["service"] == "test-observe"
    assert (inside["request_id"], inside["turn"], inside["bytes"]) == ("req_1", "resp_1", 5)
    assert "request_id" not in outside


async def test_concurrent_requests_keep_their_ids_apart(observer: Observer, stream: io.StringIO) -> None:
    async def one(n: int) -> None:
        with request_scope(f"req_{n}"):
            await asyncio.sleep(0.001 * (n % 3))
            observer.logger.info(str(n))

    await asyncio.gather(*(one(n) for n in range(20)))
    assert all(line["request_id"] == f"req_{line['message']}" for line in lines(stream))


KEY = "sk-hg-v1-" + "0123456789abcdef" * 4
SECRETS = [
    KEY,
    "sk-proj-abcdefghijklmnop1234",
    "sk-ant-api03-AAAAAAAAAAAAAAAAAAAA-bb",
    "AKIAABCDEFGHIJKLMNOP",
    "AIza" + "x" * 35,
    "xai-aaaaaaaaaaaaaaaaaaaaaaaa",
    "Bearer abcdefghijklmnopqrst",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_line_shows_a_secret(observer: Observer, stream: io.StringIO, secret: str) -> None:
    observer.logger.info(f"upstream said {secret}!", extra={"header": {"authorization": secret}})
    try:
        raise ValueError(f"bad key {secret}")
    except ValueError:
        observer.logger.exception("failed")
    said, failed = lines(stream)
    assert secret.removeprefix("Bearer ") not in stream.getvalue()
    assert "[redacted]" in said["message"] and "[redacted]" in failed["exception"]


ORDINARY = [
    mask(KEY),
    "task-management-subsystem-x",
    "risk_assessment_for_everyone",
    "disk-0123456789abcdef",
    "Bearer token",
    "resp_" + "a" * 62,
]


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_words_pass(text: str) -> None:
    assert redact(f"see {text} there") == f"see {text} there"


def test_metrics_are_one_line_of_embedded_format(observer: Observer, capsys: pytest.CaptureFixture[str]) -> None:
    observer.metrics(
        {"Requests": (1, "Count"), "Duration": (12.5, "Milliseconds")},
        {"endpoint": "responses", "provider": ""},
        {"request_id": "req_1"},
    )
    observer.metrics({"Requests": (1, "Count")}, {"endpoint": "messages"})
    observer.metrics({}, {"endpoint": "none"})
    first, second = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (described,) = first["_aws"]["CloudWatchMetrics"]
    assert described["Namespace"] == "Headgate"
    assert sorted(described["Dimensions"][0]) == ["endpoint", "service"]
    units = {metric["Name"]: metric["Unit"] for metric in described["Metrics"]}
    assert units == {"Requests": "Count", "Duration": "Milliseconds"}
    assert (first["Requests"], first["Duration"], first["request_id"]) == ([1], [12.5], "req_1")
    assert second["endpoint"] == "messages" and "Duration" not in second and second["Requests"] == [1]


def test_closing_lets_the_next_one_choose_anew(observer: Observer, stream: io.StringIO) -> None:
    observer.logger.info("one")
    observer.close()
    other = io.StringIO()
    again = Observer("test-observe", "ERROR", stream=other)
    again.logger.info("dropped by level")
    again.logger.error("two")
    assert [line["message"] for line in lines(stream)] == ["one"]
    assert [line["message"] for line in lines(other)] == ["two"]
    again.close()
    assert logging.getLogger("test-observe").handlers == []


def test_standard_output_is_looked_up_for_each_line(capsys: pytest.CaptureFixture[str]) -> None:
    observer = Observer("test-observe-stdout")
    observer.logger.info("captured")
    assert json.loads(capsys.readouterr().out)["message"] == "captured"
    elsewhere = io.StringIO()
    with contextlib.redirect_stdout(elsewhere):
        observer.logger.info("redirected")
    assert json.loads(elsewhere.getvalue())["message"] == "redirected"
    assert capsys.readouterr().out == ""
    observer.close()

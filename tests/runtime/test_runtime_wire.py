"""What the runtime puts on the wire to the Runtime API, byte for byte."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json

from tests.runtime.support import Scripted, http_event, running


async def served(api: Scripted, **variables: str) -> Scripted:
    async with running(api, **variables):
        return api


def prelude_of(body: bytes) -> tuple[dict, bytes]:
    head, _, rest = body.partition(bytes(8))
    return json.loads(head), rest


async def test_a_response_is_a_chunked_post_of_prelude_and_body():
    api = await served(Scripted([http_event("/cookies")], {"Lambda-Runtime-Invocation-Id": "attempt-7"}))
    assert [f"{request.method} {request.path}" for request in api.received] == [
        "GET /invocation/next",
        "POST /invocation/req-1/response",
        "GET /invocation/next",
    ]
    response = api.received[1]
    assert response.headers["Content-Type"] == "application/vnd.awslambda.http-integration-response"
    assert response.headers["Lambda-Runtime-Function-Response-Mode"] == "streaming"
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert response.headers["Lambda-Runtime-Invocation-Id"] == "attempt-7"
    assert "Content-Length" not in response.headers
    prelude, body = prelude_of(response.body)
    assert prelude == {
        "statusCode": 201,
        "headers": {"content-type": "application/json", "x-many": "one, two"},
        "cookies": ["a=1; Expires=Wed, 09 Jun 2030 10:18:14 GMT", "b=2; Path=/"],
    }
    assert body == b"{}"
    assert response.trailers == {}


async def test_an_attempt_without_a_name_is_answered_without_one():
    api = await served(Scripted([http_event("/cookies")]))
    assert "Lambda-Runtime-Invocation-Id" not in api.received[1].headers


async def test_an_empty_body_still_has_a_prelude():
    api = await served(Scripted([http_event("/empty")]))
    assert prelude_of(api.received[1].body) == (
        {"statusCode": 204, "headers": {"x-empty": "yes"}, "cookies": []},
        b"",
    )


async def test_each_body_message_is_a_chunk_of_its_own_and_leaves_at_once():
    api = await served(Scripted([http_event("/stream", "n=4&delay=0.15")]))
    chunks = api.received[1].chunks
    assert prelude_of(chunks[0][1])[1] == b""  # the prelude is alone in its chunk
    assert [json.loads(data.removeprefix(b"data: "))["number"] for _, data in chunks[1:]] == [0, 1, 2, 3]
    gaps = [after[0] - before[0] for before, after in itertools.pairwise(chunks[1:])]
    assert all(gap > 0.1 for gap in gaps), gaps


async def test_headers_do_not_wait_for_the_first_event():
    api = await served(Scripted([http_event("/late-first-event")]))
    (prelude_at, _), (event_at, _) = api.received[1].chunks
    assert event_at - prelude_at > 0.4


async def test_a_failure_before_the_first_byte_is_an_error_report():
    api = await served(Scripted([http_event("/fail-before")], {"Lambda-Runtime-Invocation-Id": "attempt-7"}))
    report = api.received[1]
    assert report.path == "/invocation/req-1/error"
    assert report.headers["Lambda-Runtime-Function-Error-Type"] == "LookupError"
    assert report.headers["Lambda-Runtime-Invocation-Id"] == "attempt-7"
    fault = json.loads(report.body)
    assert fault["errorMessage"] == "before the first byte"
    assert fault["errorType"] == "LookupError"
    assert fault["requestId"] == "req-1"
    assert "in fail_before" in "".join(fault["stackTrace"])


async def test_a_failure_between_head_and_first_byte_is_still_an_error_report():
    api = await served(Scripted([http_event("/fail-at-once"), http_event("/silent"), http_event("/cancelled")]))
    assert [request.path for request in api.responses()] == ["/invocation/req-1/error"] * 3
    faults = [json.loads(request.body) for request in api.responses()]
    assert faults[0]["errorMessage"] == "between the head and the first byte"
    assert faults[1]["errorMessage"] == "the application returned without completing its response"
    assert faults[2]["errorMessage"] == "the application let a cancellation of its own escape"


async def test_a_failure_after_the_first_byte_is_told_in_trailers():
    api = await served(Scripted([http_event("/fail-after"), http_event("/unfinished"), http_event("/empty")]))
    failed, unfinished, _ = api.responses()
    assert failed.headers["Trailer"].split(", ") == [
        "Lambda-Runtime-Function-Error-Type",
        "Lambda-Runtime-Function-Error-Body",
    ]
    assert prelude_of(failed.body)[1] == b"partial"
    assert failed.trailers["Lambda-Runtime-Function-Error-Type"] == "LookupError"
    fault = json.loads(base64.b64decode(failed.trailers["Lambda-Runtime-Function-Error-Body"]))
    assert fault["errorMessage"] == "after the first byte"
    assert unfinished.trailers["Lambda-Runtime-Function-Error-Type"] == "RuntimeError"


async def test_a_failure_after_the_last_byte_spoils_nothing():
    api = await served(Scripted([http_event("/fail-when-done")]))
    (response,) = api.responses()
    assert prelude_of(response.body)[1] == b'{"fine": true}'
    assert response.trailers == {}


async def test_work_after_the_response_comes_before_the_next_event(tmp_path):
    file = tmp_path / "worked"
    api = Scripted([http_event("/work-after", f"seconds=0.4&file={file}")])
    async with running(api, until_idle=False):
        await asyncio.wait_for(api.answered.wait(), 10)
        assert not file.exists()
        assert len([request for request in api.received if request.path == "/invocation/next"]) == 1
        await asyncio.wait_for(api.idle.wait(), 10)
        assert file.read_text() == "http.disconnect"


async def test_events_may_come_in_chunks_and_their_connection_may_close():
    body = "é" * 200_000
    event = http_event("/echo", body=body, headers={"host": "h", "content-type": "text/plain"})
    for api in (Scripted([event], chunked_events=True), Scripted([event], close_after_next=True)):
        async with running(api, until_idle=False):
            await asyncio.wait_for(api.answered.wait(), 20)
        assert json.loads(prelude_of(api.responses()[0].body)[1])["length"] == 400_000


async def test_a_refused_attempt_is_logged_and_passed_over(tmp_path):
    api = Scripted([http_event("/record-at-end", f"file={tmp_path / 'end'}"), http_event("/empty")], on_response=[410])
    async with running(api) as process:
        process.kill()
        output = await process.stdout.read()
    assert len(api.responses()) == 2
    assert prelude_of(api.responses()[1].body)[0]["statusCode"] == 204
    assert b"the rest of the answer is dropped" in output
    assert (tmp_path / "end").read_text() == "undisturbed"


async def test_a_broken_response_connection_does_not_stop_the_application(tmp_path):
    file = tmp_path / "end"
    api = Scripted([http_event("/record-at-end", f"file={file}"), http_event("/empty")], on_response=[None])
    async with running(api):
        assert file.read_text() == "undisturbed"
    assert prelude_of(api.responses()[1].body)[0]["statusCode"] == 204


async def test_the_deadline_and_the_context_come_from_the_headers():
    api = await served(Scripted([http_event("/echo")]))
    seen = json.loads(prelude_of(api.responses()[0].body)[1])
    assert seen["deadline"] == 1893456000000
    assert seen["request_id"] == "req-1"
    assert seen["remaining"] > 0
    assert "_X_AMZN_TRACE_ID" in seen["variables"]


async def test_an_event_that_is_no_http_request_goes_to_the_handler():
    api = Scripted([{"source": "schedule"}, {"fail": True}])
    async with running(api, "handling"):
        result, failure = api.responses()
    assert result.path == "/invocation/req-1/response"
    assert result.headers["Content-Type"] == "application/json"
    assert json.loads(result.body) == {
        "event": {"source": "schedule"},
        "request_id": "req-1",
        "function": "scripted",
    }
    assert failure.path == "/invocation/req-1/error"
    assert json.loads(failure.body)["errorType"] == "ArithmeticError"


async def test_an_event_that_nothing_can_take_is_an_error():
    api = await served(Scripted([{"source": "schedule"}]))
    assert api.responses()[0].path == "/invocation/req-1/error"

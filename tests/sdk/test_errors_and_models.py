"""What the SDKs make of the gateway's errors and of its list of models."""

from __future__ import annotations

from typing import Any

import anthropic
import openai
import pytest

from tests.sdk.support import Case, run

USER: Any = [{"role": "user", "content": "Hello"}]


def call(case: Case, frontend: str, text: str = "Hello", *, stream: bool = False, **changes: Any) -> Any:
    """One request by the frontend's SDK."""
    options = changes.pop("options", {})
    params: dict[str, Any] = {"model": case.model, **changes}
    if stream:
        params["stream"] = True
    if frontend == "responses":
        answer = case.openai(**options).responses.create(**{"input": text, **params})
    elif frontend == "chat":
        answer = case.openai(**options).chat.completions.create(
            **{"messages": [{"role": "user", "content": text}], **params}
        )
    else:
        answer = case.anthropic(**options).messages.create(
            **{"max_tokens": 50, "messages": [{"role": "user", "content": text}], **params}
        )
    return list(answer) if stream else answer


def vendor(frontend: str) -> Any:
    """The SDK's module: both name their exceptions alike."""
    return anthropic if frontend == "messages" else openai


def type_of(error: Any, frontend: str) -> str:
    """The error's type as the envelope says it. OpenAI's SDK strips the outer ``error``."""
    return error.body["error"]["type"] if frontend == "messages" else error.body["type"]


FRONTENDS = pytest.mark.parametrize("frontend", ["responses", "chat", "messages"])
STREAMED = pytest.mark.parametrize("stream", [False, True])


@FRONTENDS
@STREAMED
def test_a_wrong_key(case: Case, frontend: str, stream: bool):
    with pytest.raises(vendor(frontend).AuthenticationError) as caught:
        call(case, frontend, stream=stream, options={"api_key": "sk-hg-v1-" + "0" * 64})
    assert type_of(caught.value, frontend) == "authentication_error"
    assert caught.value.request_id


@FRONTENDS
@STREAMED
def test_an_unknown_model(case: Case, frontend: str, stream: bool):
    with pytest.raises(vendor(frontend).BadRequestError, match="no-such-model") as caught:
        call(case, frontend, stream=stream, model="no-such-model")
    assert type_of(caught.value, frontend) == "invalid_request_error"
    if frontend != "messages":
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize(
    ("frontend", "changes", "named"),
    [
        ("responses", {"temperature": 3}, "temperature"),
        ("responses", {"input": 7}, "input"),
        ("chat", {"n": 0}, "n"),
        ("chat", {"messages": "oops"}, "messages"),
        ("messages", {"max_tokens": -1}, "max_tokens"),
        ("messages", {"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
    ],
)
@STREAMED
def test_a_malformed_request_reaches_no_upstream(
    case: Case, frontend: str, changes: dict[str, Any], named: str, stream: bool
):
    before = len(case.origin.backends.simulated.recorded())
    with pytest.raises(vendor(frontend).BadRequestError, match=named):
        call(case, frontend, stream=stream, **changes)
    assert len(case.origin.backends.simulated.recorded()) == before


@FRONTENDS
@STREAMED
def test_too_many_requests(case: Case, frontend: str, stream: bool):
    with pytest.raises(vendor(frontend).RateLimitError, match="Slow down") as caught:
        call(case, frontend, "[[fail:429 retry-after=7 message=Slow down]]", stream=stream)
    assert caught.value.response.headers["retry-after"] == "7"
    assert type_of(caught.value, frontend) == "rate_limit_error"


@FRONTENDS
@STREAMED
@pytest.mark.parametrize("status", [500, 529, 401, 404])
def test_a_provider_that_fails(case: Case, frontend: str, stream: bool, status: int):
    # Azure, the last to be asked, has words of its own for these two.
    words = {401: "Out of order|invalid subscription key", 404: "Out of order|deployment for this resource"}
    with pytest.raises(vendor(frontend).APIStatusError, match=words.get(status, "Out of order")) as caught:
        call(case, frontend, f"[[fail:{status} message=Out of order]]", stream=stream)
    assert caught.value.status_code == 424


@FRONTENDS
@STREAMED
@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_provider_that_refuses(case: Case, frontend: str, stream: bool, status: int):
    with pytest.raises(vendor(frontend).BadRequestError, match="foo: Extra inputs are not permitted"):
        call(case, frontend, f"[[fail:{status} message=foo: Extra inputs are not permitted]]", stream=stream)


@FRONTENDS
def test_a_stream_that_breaks_off_raises(case: Case, frontend: str):
    text = "[[tokens:30]][[error-after:5]]"
    if frontend == "responses" and case.upstream != "responses":
        # The SDK hands response.failed on as an event; it raises for OpenAI's own error event, which goes before it.
        events = call(case, frontend, text, stream=True)
        assert events[-1].type == "response.failed" and events[-1].response.error.message
        return
    with pytest.raises(vendor(frontend).APIError):
        call(case, frontend, text, stream=True)


@FRONTENDS
def test_the_sdk_retries_as_the_header_says(case: Case, frontend: str):
    marker = f"again-{frontend}-{case.upstream}"
    case.origin.backends.simulated.behave("[[fail:429 retry-after=0]]", marker=marker, times=1)
    call(case, frontend, marker, options={"max_retries": 1})
    assert len(case.sent(marker)) == 2


def test_models_of_both_sdks(case: Case):
    listed = {model.id: model for model in case.openai().models.list()}
    assert case.model in listed and case.thinker in listed
    assert case.openai().models.retrieve(case.model).owned_by == case.provider
    assert run(lambda: case.async_openai().models.retrieve(case.label)).id == case.model
    page = case.anthropic().models.list(limit=1000)
    assert [model.id for model in page] == list(listed)
    one = case.anthropic().models.retrieve(case.model)
    assert one.lifecycle == "active" and one.display_name and one.max_input_tokens and one.max_tokens
    assert run(lambda: case.async_anthropic().models.retrieve(case.model)).id == case.model
    assert case.anthropic().beta.models.retrieve(case.model).id == case.model


def test_an_unknown_model_is_not_found(case: Case):
    with pytest.raises(openai.NotFoundError):
        case.openai().models.retrieve("no-such-model")
    with pytest.raises(anthropic.NotFoundError):
        case.anthropic().models.retrieve("no-such-model")

"""Anthropic's message threads: the tool runner and the thread helper of the SDK, over every upstream protocol."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from anthropic import beta_async_tool, beta_tool

from tests.sdk.support import PARIS, WEATHER, Case, Solution, run

BETA = "message-threads-2026-08-12"


@beta_tool
def get_weather(city: str) -> str:
    """The weather.

    Args:
        city: where.
    """
    return f"18 degrees in {city}"


@beta_async_tool
async def get_weather_later(city: str) -> str:
    """The weather.

    Args:
        city: where.
    """
    return f"18 degrees in {city}"


def asked(name: str = WEATHER, **more: Any) -> dict[str, Any]:
    """Arguments of a conversation that calls the tool once."""
    messages = [{"role": "user", "content": f"[[tool:{name} {PARIS}]]"}]
    return {"max_tokens": 500, "messages": messages, "system": "Be brief.", **more}


def recording(case: Case, bodies: list[Any]) -> anthropic.Anthropic:
    """A client that notes the ``thread`` field and the number of messages of each request it sends."""
    client = case.anthropic()
    send = client.beta.messages._client._prepare_options  # the SDK's own hook, called before each request

    def note(options: Any) -> Any:
        bodies.append(
            (options.json_data.get("thread"), len(options.json_data["messages"]), "tools" in options.json_data)
        )
        return send(options)

    client._prepare_options = note  # type: ignore[method-assign]
    return client


@pytest.mark.parametrize("stream", [False, True])
def test_the_tool_runner_keeps_its_conversation_with_the_gateway(case: Case, stream: bool):
    bodies: list[Any] = []
    runner = recording(case, bodies).beta.messages.tool_runner(
        model=case.model, tools=[get_weather], stream=stream, **asked()
    )
    final = runner.until_done()
    assert final.content[0].text == f"Tool results: {WEATHER} gave: 18 degrees in Paris."  # type: ignore[union-attr]
    assert [(thread or {}).get("type") for thread, *_ in bodies] == ["create", "continue"]
    # The second request holds the tool's result alone: the rest is here.
    assert bodies[1][1:] == (1, False)
    upstream = case.sent("18 degrees in Paris")[-1]
    assert "thread" not in upstream and "Be brief." in str(upstream) and upstream["tools"]


def test_the_async_tool_runner(case: Case):
    async def work() -> Any:
        runner = case.async_anthropic().beta.messages.tool_runner(
            model=case.model, tools=[get_weather_later], **asked("get_weather_later")
        )
        return await runner.until_done()

    assert "18 degrees in Paris" in run(work).content[0].text


def test_the_thread_helper(case: Case):
    thread = case.anthropic().beta.messages.thread(model=case.model, max_tokens=500, system="Be brief.")
    first = thread.send({"role": "user", "content": "One"})
    assert thread.previous_message_id == first.id
    with thread.stream({"role": "user", "content": "Two"}) as stream:
        second = stream.get_final_message()
    assert second.id != first.id
    third = thread.send({"role": "user", "content": "[[history]]"})
    lines = third.content[0].text.split("\n")  # type: ignore[union-attr]
    assert lines[:2] == ["system: Be brief.", "user: One"]
    assert lines[2].startswith("assistant: You said: One.") and lines[3] == "user: Two"


def test_the_async_thread_helper(case: Case):
    async def work() -> str:
        thread = case.async_anthropic().beta.messages.thread(model=case.model, max_tokens=500)
        await thread.send({"role": "user", "content": "One"})
        return (await thread.send({"role": "user", "content": "[[history]]"})).content[0].text  # type: ignore[union-attr]

    assert run(work).startswith("user: One\nassistant: You said: One.")


def test_the_thread_helper_parses(case: Case):
    thread = case.anthropic().beta.messages.thread(model=case.model, max_tokens=500, output_format=Solution)
    assert isinstance(thread.parse({"role": "user", "content": "Solve it"}).parsed_output, Solution)


def test_a_fork_replays_the_history_as_a_thread_of_its_own(case: Case):
    thread = case.anthropic().beta.messages.thread(model=case.model, max_tokens=500)
    thread.send({"role": "user", "content": "One"})
    fork = thread.fork()
    assert "user: One" in fork.send({"role": "user", "content": "[[history]]"}).content[0].text  # type: ignore[union-attr]
    assert "user: One" in thread.send({"role": "user", "content": "[[history]]"}).content[0].text  # type: ignore[union-attr]


def test_an_unknown_thread_is_refused_in_words_that_the_sdk_understands(case: Case):
    params: Any = {"model": case.model, "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
    thread = {"type": "continue", "previous_message_id": "msg_000000000000000000000000"}
    with pytest.raises(anthropic.NotFoundError) as caught:
        case.anthropic().beta.messages.create(**params, thread=thread, betas=[BETA])
    assert caught.value.body["error"]["details"]["error_code"] == "thread_not_found"  # type: ignore[index]


def test_a_message_continues_once(case: Case):
    client = case.anthropic()
    params: Any = {"model": case.model, "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
    first = client.beta.messages.create(**params, thread={"type": "create"}, betas=[BETA])
    after: Any = {"type": "continue", "previous_message_id": first.id}
    client.beta.messages.create(**params, thread=after, betas=[BETA])
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.beta.messages.create(**params, thread=after, betas=[BETA])
    assert caught.value.body["error"]["details"]["error_code"] == "thread_already_continued"  # type: ignore[index]

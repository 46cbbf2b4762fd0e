"""Stored responses by OpenAI's SDK: chains, over providers too, reading, listing, deleting, counting."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.sdk.open_responses import check_response
from tests.sdk.support import BOTH, CITY_SCHEMA, PARIS, PNG_URL, WEATHER, Case, Mode, run
from tests.sdk.test_openai_responses import respond

TOOLS: list[Any] = [{"type": "function", "name": WEATHER, "parameters": CITY_SCHEMA, "strict": True}]


@pytest.mark.parametrize("mode", BOTH)
def test_a_chain_of_three_turns(case: Case, mode: Mode):
    first = respond(case, mode, input="One", instructions="Be brief.")
    second = respond(case, mode, input="Two", previous_response_id=first.id)
    third = respond(case, mode, input="[[history]]", previous_response_id=second.id)
    assert third.previous_response_id == second.id
    # The instructions were for the first turn alone.
    assert third.output_text.split("\n") == [
        "user: One",
        "assistant: You said: One.",
        "user: Two",
        "assistant: You said: Two. I see 3 messages.",
        "user: [[history]]",
    ]


@pytest.mark.parametrize("mode", BOTH)
def test_a_chain_with_tools_thoughts_and_images_that_changes_the_provider(case: Case, mode: Mode):
    other = "gpt-5-mini" if case.upstream == "messages" else "claude-sonnet-4-6"
    common: dict[str, Any] = {"tools": TOOLS, "reasoning": {"effort": "low", "summary": "auto"}}
    content = [
        {"type": "input_text", "text": f"[[think:Paris, then.]][[tool:{WEATHER} {PARIS}]]"},
        {"type": "input_image", "image_url": PNG_URL},
    ]
    first = respond(case, mode, model=case.thinker, input=[{"role": "user", "content": content}], **common)
    call = next(item for item in first.output if item.type == "function_call")
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}
    second = respond(case, mode, model=other, input=[result], previous_response_id=first.id, **common)
    assert second.model.endswith(other)
    assert second.output_text == f"Tool results: {WEATHER} gave: 18 degrees."
    third = respond(case, mode, model=case.thinker, input="[[history]]", previous_response_id=second.id, **common)
    lines = third.output_text.split("\n")
    assert "[image image/png" in lines[0]
    calls = [line.removeprefix(f"call {WEATHER} ") for line in lines if line.startswith("call ")]
    assert [json.loads(call) for call in calls] == [json.loads(PARIS)] and f"result of {WEATHER}: 18 degrees" in lines
    # The first turn's thought is this model's own, so it is replayed with its seal; the other's is not.
    sealed = [line for line in lines if line.startswith("thought (sealed)")]
    assert len(sealed) == (0 if case.upstream == "chat_completions" else 1)


def test_two_branches_of_a_chain_do_not_meet(case: Case):
    root = respond(case, "plain", input="Root")
    left = respond(case, "plain", input="Left", previous_response_id=root.id)
    right = respond(case, "plain", input="[[history]]", previous_response_id=root.id)
    assert "Left" not in right.output_text and "user: Root" in right.output_text
    assert "Left" in respond(case, "plain", input="[[history]]", previous_response_id=left.id).output_text


@pytest.mark.parametrize("mode", BOTH)
def test_reading_listing_and_deleting(case: Case, mode: Mode):
    client = case.openai()
    first = respond(case, mode, input="One", metadata={"a": "b"})
    second = respond(case, mode, input=[{"role": "user", "content": "Two"}], previous_response_id=first.id)
    read = client.responses.retrieve(second.id)
    check_response(read.to_dict())
    assert read.output_text == second.output_text and read.previous_response_id == first.id
    assert read.usage == second.usage
    listed = list(client.responses.input_items.list(second.id, order="asc", limit=1))
    assert [item.role for item in listed] == ["user", "assistant", "user"]  # type: ignore[union-attr]
    assert len({item.id for item in listed}) == 3
    client.responses.delete(second.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(second.id)
    assert client.responses.retrieve(first.id).metadata == {"a": "b"}


def test_the_async_client_reads_lists_and_deletes(case: Case):
    async def work() -> None:
        client = case.async_openai()
        made = await client.responses.create(model=case.model, input="One")
        assert (await client.responses.retrieve(made.id)).id == made.id
        assert [item.id async for item in client.responses.input_items.list(made.id)]
        assert (await client.responses.input_tokens.count(model=case.model, input="One")).input_tokens > 0
        await client.responses.delete(made.id)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(made.id)

    run(work)


def test_what_was_not_stored_cannot_be_continued(case: Case):
    client = case.openai()
    made = client.responses.create(model=case.model, input="One", store=False)
    assert made.store is False  # type: ignore[attr-defined]
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=case.model, input="Two", previous_response_id=made.id)
    assert caught.value.code == "previous_response_not_found"


def test_counting_with_and_without_the_history(case: Case):
    client = case.openai()
    made = client.responses.create(model=case.model, input="A rather long first turn of this conversation")
    alone = client.responses.input_tokens.count(model=case.model, input="Two", tools=TOOLS)
    after = client.responses.input_tokens.count(
        model=case.model, input="Two", tools=TOOLS, previous_response_id=made.id
    )
    assert 0 < alone.input_tokens < after.input_tokens

"""Relayed Messages requests for models that are known to refuse what the client asks."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.catalog.catalog import Catalog
from headgate.conversation import Sealed
from headgate.losses import Loss
from headgate.protocols.contract import Target
from headgate.protocols.messages.relay import prepare

MARK = {"type": "ephemeral"}
TURNS: list[Any] = [
    {"role": "user", "content": "Hello"},
    {"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": MARK}]},
]
CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}]}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "a cat"}]}


def unseal(token: str) -> Sealed | None:
    return Sealed("messages", token)


def target(slug: str) -> Target:
    model = Catalog.bundled().find(slug)
    assert model is not None
    return model.routes[0].target()


def sent(slug: str, **body: Any) -> tuple[dict[str, Any], list[Loss]]:
    return prepare({"model": slug, "max_tokens": 8000, "messages": TURNS, **body}, target(slug), unseal)


def test_system_messages_become_user_text_for_the_models_that_refuse_them():
    out, losses = sent("claude-haiku-4-5")
    text = {"type": "text", "text": "<system>\nBe brief.\n</system>", "cache_control": MARK}
    assert out["messages"] == [TURNS[0], {"role": "user", "content": [text]}] and not losses
    assert sent("claude-sonnet-5")[0]["messages"] == TURNS
    plain = sent("claude-haiku-4-5", messages=[TURNS[0], {"role": "system", "content": "Be brief."}])[0]
    assert plain["messages"][1]["content"][0]["text"] == "<system>\nBe brief.\n</system>"


def test_nothing_changes_for_a_model_of_which_nothing_is_known():
    body = {"model": "x", "messages": TURNS, "thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}
    assert prepare(body, Target("anthropic", "x", thinking="budget"), unseal) == (body, [])


@pytest.mark.parametrize(("effort", "budget"), [(None, 2048), ("low", 1024), ("max", 4000)])
def test_adaptive_thinking_becomes_a_budget(effort: str | None, budget: int):
    config = {"effort": effort} if effort else {}
    out, losses = sent(
        "claude-haiku-4-5",
        thinking={"type": "adaptive", "display": "omitted"},
        output_config={**config, "format": None},
    )
    assert out["thinking"] == {"type": "enabled", "display": "omitted", "budget_tokens": budget}
    assert out["output_config"] == {"format": None}
    assert [loss.code for loss in losses] == (["effort_adjusted"] if effort else [])


def test_an_effort_moves_to_one_that_the_model_has():
    out, losses = sent("claude-opus-4-5", output_config={"effort": "max"})
    assert out["output_config"] == {"effort": "high"} and losses[0].path == "output_config.effort"
    assert sent("claude-opus-4-5", output_config={"effort": "low"}) == (
        {**sent("claude-opus-4-5")[0], "output_config": {"effort": "low"}},
        [],
    )


@pytest.mark.parametrize(
    "more",
    [
        {"tool_choice": {"type": "any"}},
        {"max_tokens": 1024},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, CALL, RESULT]},
    ],
)
def test_thinking_is_left_out_where_no_budget_fits(more: dict[str, Any]):
    out, losses = sent("claude-haiku-4-5", thinking={"type": "adaptive"}, **more)
    assert "thinking" not in out and [loss.code for loss in losses] == ["thinking_dropped"]


def test_a_tool_loop_without_its_thoughts_goes_on_without_thinking():
    thinking = {"type": "enabled", "budget_tokens": 2048}
    bare: list[Any] = [{"role": "user", "content": "Hi"}, CALL, RESULT]
    out, losses = sent("claude-haiku-4-5", thinking=thinking, messages=bare)
    assert "thinking" not in out and [loss.code for loss in losses] == ["thinking_dropped"]
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    spoken = [{"role": "user", "content": "Hi"}, CALL, RESULT]
    assert "thinking" not in sent("claude-haiku-4-5", thinking=thinking, messages=spoken)[0], "a question in one string"
    assert "thinking" not in sent("claude-opus-4-6", thinking=thinking, messages=spoken)[0], (
        "also where effort is known"
    )
    whole = [bare[0], {**CALL, "content": [thought, *CALL["content"]]}, RESULT]
    assert sent("claude-haiku-4-5", thinking=thinking, messages=whole)[0]["thinking"] == thinking

"""Thinking, sampling, limits and cache marks that Anthropic would receive; every loss is announced."""

from typing import Any

import pytest
from hypothesis import given, settings

from headgate.conversation import (
    Caching,
    FunctionTool,
    Message,
    Output,
    Reasoning,
    Request,
    Sampling,
    Text,
    Thinking,
    Thought,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from headgate.protocols.contract import Target
from headgate.protocols.messages.upstream_request import write_request
from tests.strategies import requests
from tests.unit.messages_asking import HOUR, MADE, MARK, SCHEMA, USER, ask, call, check, result, write
from tests.unit.messages_support import ADAPTIVE, TARGET


def thinking(target: Target, wanted: Thinking, **fields: Any) -> Any:
    body, losses = write(ask(thinking=wanted, **fields), target)
    return body.get("thinking"), body.get("output_config"), body["max_tokens"], losses


def enabled(budget: int) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": budget}


@pytest.mark.parametrize(
    ("effort", "budget"),
    [("minimal", 1024), ("low", 1024), ("medium", 2048), ("high", 4096), ("xhigh", 8192), ("max", 16384)],
)
def test_effort_as_a_budget(effort: str, budget: int) -> None:
    room = Sampling(max_tokens=20_000)
    assert thinking(TARGET, Thinking(effort=effort), sampling=room) == (enabled(budget), None, 20_000, [])
    # Without the caller's own limit the answer keeps its room beside the thinking.
    assert thinking(TARGET, Thinking(effort=effort), sampling=Sampling())[2] == 8192 + budget


def test_a_budget_leaves_room_for_the_answer() -> None:
    assert thinking(TARGET, Thinking(effort="high"), sampling=Sampling(max_tokens=3000))[0] == enabled(1500)
    assert thinking(TARGET, Thinking(effort="high"), sampling=Sampling(max_tokens=1025))[0] == enabled(1024)
    off = thinking(TARGET, Thinking(effort="high"), sampling=Sampling(max_tokens=1024))
    assert off == (None, None, 1024, [("reasoning", "thinking_dropped")])


def test_effort_for_models_that_choose_their_own_thinking() -> None:
    adaptive = {"type": "adaptive", "display": "summarized"}
    assert thinking(ADAPTIVE, Thinking(effort="high"))[:2] == (adaptive, {"effort": "high"})
    assert thinking(ADAPTIVE, Thinking("enabled", budget=2048))[:2] == (adaptive, {"effort": "medium"})
    assert thinking(ADAPTIVE, Thinking("adaptive", display="omitted"))[:2] == (
        {"type": "adaptive", "display": "omitted"},
        None,
    )
    _, config, _, losses = thinking(ADAPTIVE, Thinking(effort="minimal"))
    assert (config, losses) == ({"effort": "low"}, [("reasoning.effort", "effort_adjusted")])


def test_no_thinking() -> None:
    assert thinking(TARGET, Thinking(effort="none")) == (None, None, 5000, [])
    assert thinking(TARGET, Thinking("disabled")) == (None, None, 5000, [])
    assert thinking(ADAPTIVE, Thinking(effort="none"))[:2] == (None, {"effort": "low"})
    assert thinking(TARGET, Thinking()) == (None, None, 5000, [])
    dull = Target("anthropic", "m", features=frozenset({"tools"}), thinking="none")
    assert thinking(dull, Thinking(effort="high"))[3] == [("reasoning", "thinking_dropped")]


def test_a_forced_call_excludes_thinking() -> None:
    tools, forced = (FunctionTool("f", parameters=SCHEMA),), ToolChoice("required")
    thought, _, _, losses = thinking(TARGET, Thinking(effort="high"), tools=tools, tool_choice=forced)
    assert (thought, losses) == (None, [("reasoning", "thinking_dropped")])
    assert thinking(ADAPTIVE, Thinking(effort="high"), tools=tools, tool_choice=forced)[:2] == (
        None,
        {"effort": "high"},
    )


def test_a_budget_is_not_asked_for_inside_a_tool_loop_without_thinking() -> None:
    loop = (USER, call("a"), result("a"))
    body, losses = write(ask(*loop, thinking=Thinking(effort="low")))
    assert ("thinking" in body, losses) == (False, [("reasoning", "thinking_dropped")])
    body, _ = write(ask(USER, Reasoning((Thought("x"),), MADE), *loop[1:], thinking=Thinking(effort="low")))
    assert body["thinking"] == enabled(1024)
    body, _ = write(ask(*loop, Message("user", (Text("now think"),)), thinking=Thinking(effort="low")), ADAPTIVE)
    assert body["thinking"]["type"] == "adaptive"


def test_sampling_while_thinking() -> None:
    sampling = Sampling(max_tokens=5000, temperature=0.2, top_p=0.5, top_k=5)
    body, losses = write(ask(thinking=Thinking(effort="low"), sampling=sampling))
    assert not {"temperature", "top_p", "top_k"} & set(body)
    assert [path for path, _ in losses] == ["temperature", "top_p", "top_k"]
    body, losses = write(ask(thinking=Thinking(effort="low"), sampling=Sampling(5000, temperature=1, top_p=0.97)))
    assert (body["top_p"], losses) == (0.97, [])


def test_sampling() -> None:
    body, losses = write(ask(sampling=Sampling(5, temperature=0.0, top_k=3, stop=("a", " \n", "b"))))
    assert (body["temperature"], body["top_k"], body["stop_sequences"]) == (0.0, 3, ["a", "b"])
    assert losses == [("stop", "unsupported_value")]
    body, losses = write(ask(sampling=Sampling(5, temperature=1.7, top_p=1)))
    assert (body["temperature"], "top_p" in body, losses) == (1, False, [("temperature", "clamped")])
    body, losses = write(ask(sampling=Sampling(5, temperature=0.5, top_p=0.9)))
    assert ("top_p" in body, losses) == (False, [("top_p", "unsupported_parameter")])
    assert write(ask(sampling=Sampling(5, top_p=0.9)))[0]["top_p"] == 0.9
    fixed = Target("anthropic", "claude-sonnet-5", features=frozenset({"tools"}))
    body, losses = write(ask(sampling=Sampling(5, temperature=1, top_p=1, top_k=1)), fixed)
    assert not {"temperature", "top_p", "top_k"} & set(body)
    assert len(losses) == 3


def test_max_tokens() -> None:
    def room(target: Target, wanted: int | None) -> int:
        return write_request(ask(sampling=Sampling(max_tokens=wanted)), target)[0]["max_tokens"]

    assert room(TARGET, 9) == 9
    assert room(TARGET, None) == 8192
    assert room(Target("anthropic", "small", max_output_tokens=4000), None) == 4000
    assert room(Target("anthropic", "unknown"), None) == 4096
    assert room(Target("anthropic", "unknown"), 50_000) == 50_000
    body, losses = write(ask(sampling=Sampling(max_tokens=100_000)))
    assert (body["max_tokens"], losses) == (64_000, [("max_tokens", "clamped")])


def test_what_the_vendor_lacks_is_announced() -> None:
    sampling = Sampling(5, None, None, None, (), 7, 0.1, 0.2, {"1": 2.0}, True, 3)
    output = Output(verbosity="low", modalities=("text", "audio"), audio={"voice": "x"}, prediction={"type": "content"})
    _, losses = write(ask(sampling=sampling, output=output, choices=2, caching=Caching("key", "24h")))
    assert [path for path, _ in losses] == [
        *("seed", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs"),
        *("text.verbosity", "modalities", "audio", "prediction", "prompt_cache_retention", "n"),
    ]


def test_the_user_is_passed_on_within_the_limit() -> None:
    assert write(ask(user="u-1"))[0]["metadata"] == {"user_id": "u-1"}
    assert len(write(ask(user="u" * 300))[0]["metadata"]["user_id"]) == 64


def marked(value: str, mark: dict[str, Any] = MARK) -> Text:
    return Text(value, extra={"responses": {"cache_control": mark}})


def test_cache_marks_stay_where_they_are() -> None:
    body, losses = write(
        ask(
            Message("user", (marked("a", {"type": "ephemeral", "ttl": "5m"}), Text("b"))),
            ToolCall("c", "f", "{}", extra={"messages": {"cache_control": HOUR}}),
            ToolResult("c", (Text("r"),), extra={"chat_completions": {"cache_control": {"type": "x", "ttl": "9y"}}}),
            caching=Caching(control=HOUR),
        )
    )
    first, second, third = body["messages"]
    assert first["content"][0]["cache_control"] == {"type": "ephemeral", "ttl": "5m"}
    assert "cache_control" not in first["content"][1]
    assert second["content"][0]["cache_control"] == HOUR
    assert third["content"][0]["cache_control"] == MARK
    assert body["cache_control"] == HOUR
    assert losses == []


def test_of_too_many_marks_the_prefix_and_the_last_ones_stay() -> None:
    said = [Message("user", (marked(str(index)),)) for index in range(5)]
    tool = FunctionTool("f", parameters=SCHEMA, extra={"messages": {"cache_control": MARK}})
    body, losses = write(ask(*said, instructions=(marked("s"),), tools=(tool,)))
    assert "cache_control" in body["tools"][0]
    assert "cache_control" in body["system"][0]
    assert [block["text"] for block in body["messages"][0]["content"] if "cache_control" in block] == ["3", "4"]
    assert losses == [("cache_control", "too_many_cache_marks")]


def test_no_marks_for_a_model_that_takes_none() -> None:
    target = Target("other", "m", features=frozenset({"tools"}))
    body, losses = write(ask(Message("user", (marked("a"),)), caching=Caching(control=HOUR)), target)
    assert "cache_control" not in str(body)
    assert losses == [("cache_control", "too_many_cache_marks")]


@settings(max_examples=60)
@given(requests())
def test_any_conversation_becomes_a_valid_request(request: Request) -> None:
    body, _ = write_request(request, TARGET)
    check(body)

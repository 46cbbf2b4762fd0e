"""Parameters behind a model's name, the thinker's notes and the deployment's own names, in the clients' protocols."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.losses import header_value
from headgate.protocols.chat_completions import client_request as chat
from headgate.protocols.chat_completions import schema as chat_schema
from headgate.protocols.messages import client_request as messages
from headgate.protocols.messages import schema as messages_schema
from headgate.protocols.responses import client_request as responses
from headgate.protocols.responses import schema as responses_schema
from headgate.routing.rewrites import compiled, rewritten
from headgate.routing.selector_parameters import apply_parameters
from headgate.routing.selector_query import read_query
from headgate.routing.selector_syntax import parse_selector
from headgate.routing.selectors import Leaf
from headgate.routing.thinker import THINKER_INSTRUCTION, with_instruction, with_thought
from headgate.settings import Settings, SettingsError

CLIENTS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "responses": (responses_schema.validate, responses.read_request, {"model": "m", "input": "Hi"}),
    "chat_completions": (
        chat_schema.validate,
        chat.read_request,
        {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
    ),
    "messages": (
        messages_schema.validate,
        messages.read_request,
        {"model": "m", "max_tokens": 9000, "messages": [{"role": "user", "content": "Hi"}]},
    ),
}


def leaf(query: str) -> Leaf:
    values, ignored = read_query(query)
    return Leaf("m", parameters=values, ignored=ignored)


def applied(protocol: str, query: str, **fields: Any) -> tuple[Any, list[tuple[str, str]]]:
    """The request that the gateway reads once the parameters are in the body, and the losses."""
    validate, read, base = CLIENTS[protocol]
    body = {**base, **fields}
    before = copy.deepcopy(body)
    out, losses = apply_parameters(protocol, body, leaf(query))
    assert body == before
    validate(out)
    request, more = read(out, lambda token: None)
    assert not more
    return request, [(loss.path, loss.code) for loss in losses]


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("", {}),
        ("temperature=0", {"temperature": 0.0}),
        ("temperature=2&top_p=.9&top_k=40", {"temperature": 2.0, "top_p": 0.9, "top_k": 40}),
        ("temperature=5e-1", {"temperature": 0.5}),
        ("reasoning_effort=xhigh&verbosity=low", {"reasoning_effort": "xhigh", "verbosity": "low"}),
        ("reasoning_effort=none", {"reasoning_effort": "none"}),
        ("&temperature=1&&top_k=1&", {"temperature": 1.0, "top_k": 1}),
        ("%74op_k=%34", {"top_k": 4}),
        (" top_k = 4 ", {"top_k": 4}),
    ],
)
def test_valid_parameters(query: str, values: dict[str, Any]) -> None:
    assert read_query(query) == (values, ())


@pytest.mark.parametrize(
    ("query", "lost"),
    [
        ("temperature=2.01", "invalid_parameter:model?temperature"),
        ("temperature=-1", "invalid_parameter:model?temperature"),
        ("temperature=nan", "invalid_parameter:model?temperature"),
        ("temperature=1e999", "invalid_parameter:model?temperature"),
        ("temperature=1_0", "invalid_parameter:model?temperature"),
        ("temperature=+1", "invalid_parameter:model?temperature"),
        ("temperature=", "invalid_parameter:model?temperature"),
        ("top_p=1.1", "invalid_parameter:model?top_p"),
        ("top_k=0", "invalid_parameter:model?top_k"),
        ("top_k=1.5", "invalid_parameter:model?top_k"),
        ("reasoning_effort=High", "invalid_parameter:model?reasoning_effort"),
        ("verbosity=xhigh", "invalid_parameter:model?verbosity"),
        ("max_tokens=5", "unknown_parameter:model?max_tokens"),
        ("a%2Cb:c%0A=1", "unknown_parameter:model?a_b_c_"),
        ("invalid", "malformed_parameter:model?invalid"),
        ("=1", "malformed_parameter:model?_1"),
        ("top_p=%zz", "malformed_parameter:model?top_p__zz"),
        ("top_p=%ff", "malformed_parameter:model?top_p__ff"),
    ],
)
def test_what_cannot_be_meant_is_announced_and_the_rest_stays(query: str, lost: str) -> None:
    values, losses = read_query(f"top_k=7&{query}" if "top_k" not in query else query)
    assert values == ({"top_k": 7} if "top_k" not in query else {})
    assert header_value(losses) == lost and losses[0].detail


def test_the_first_of_two_counts() -> None:
    values, losses = read_query("top_k=1&top_k=2&top_p=x&top_p=0.5")
    assert values == {"top_k": 1}
    assert [loss.code for loss in losses] == ["repeated_parameter", "invalid_parameter", "repeated_parameter"]


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["top_k", "=", "&", "%", "41", "temperature", "1", "é", "\r"])).map("".join)
)
def test_any_query_is_read_and_its_losses_fit_a_header(query: str) -> None:
    values, losses = read_query(query)
    assert set(values) <= {"temperature", "top_p", "top_k", "reasoning_effort", "verbosity"}
    assert header_value(losses).isprintable()
    json.dumps(values, allow_nan=False)


def test_parameters_are_read_in_a_selector_up_to_its_operator() -> None:
    one, two = parse_selector("a?temperature=1!b?verbosity=%21&top_k=3", lambda name: False).leaves
    assert one.parameters == {"temperature": 1.0} and one.ignored == ()
    assert two.parameters == {"top_k": 3} and [loss.code for loss in two.ignored] == ["invalid_parameter"]


@pytest.mark.parametrize("protocol", CLIENTS)
def test_parameters_arrive_in_every_protocol(protocol: str) -> None:
    request, losses = applied(protocol, "temperature=0.5&top_p=0.25&reasoning_effort=high")
    assert (request.sampling.temperature, request.sampling.top_p, request.thinking.effort) == (0.5, 0.25, "high")
    assert not losses


def test_each_protocol_has_what_it_has() -> None:
    request, losses = applied("responses", "verbosity=low&top_k=3&max_tokens=1")
    assert request.output.verbosity == "low"
    assert losses == [("model?max_tokens", "unknown_parameter"), ("model?top_k", "unsupported_parameter")]
    request, losses = applied("chat_completions", "verbosity=low&top_k=3")
    assert (request.output.verbosity, request.sampling.top_k, losses) == ("low", 3, [])
    request, losses = applied("messages", "verbosity=low&top_k=3&temperature=1.5")
    assert (request.sampling.top_k, request.sampling.temperature) == (3, 1.0)
    assert losses == [("model?verbosity", "unsupported_parameter"), ("model?temperature", "clamped")]


def test_a_leaf_without_valid_parameters_changes_nothing() -> None:
    body = {"model": "m", "input": "Hi"}
    out, losses = apply_parameters("responses", body, leaf("temperature=9"))
    assert out is body and [loss.path for loss in losses] == ["model?temperature"]
    assert apply_parameters("responses", body, leaf("")) == (body, ())


def test_the_selector_goes_before_the_body_and_leaves_its_other_fields() -> None:
    request, _ = applied(
        "responses",
        "temperature=0&reasoning_effort=low&verbosity=high",
        temperature=1,
        reasoning={"effort": "high", "summary": "auto"},
        text={"verbosity": "low", "format": {"type": "json_object"}},
    )
    assert request.sampling.temperature == 0.0
    assert (request.thinking.effort, request.thinking.summary) == ("low", "auto")
    assert request.output.verbosity == "high" and request.output.format.type == "json_object"


def test_the_selector_goes_before_extra_body() -> None:
    body = {"messages": [], "temperature": 1, "extra_body": {"temperature": 2, "top_k": 9, "seed": 4}}
    out, _ = apply_parameters("chat_completions", body, leaf("top_k=3&temperature=0"))
    merged = chat.merged(out)
    assert (merged["temperature"], merged["top_k"], merged["seed"]) == (0.0, 3, 4)


@pytest.mark.parametrize("inside", [False, True])
def test_only_one_word_on_reasoning_is_left_in_a_chat(inside: bool) -> None:
    said = {"reasoning": {"effort": "high", "max_tokens": 5, "exclude": True}, "thinking": {"type": "disabled"}}
    body: dict[str, Any] = {"messages": [], "reasoning_effort": "max", **({"extra_body": said} if inside else said)}
    out, _ = apply_parameters("chat_completions", body, leaf("reasoning_effort=low"))
    assert out["reasoning_effort"] == "low"
    assert chat.merged(out) == {"messages": [], "reasoning_effort": "low", "reasoning": {"exclude": True}}
    out, _ = apply_parameters("chat_completions", {"reasoning": {"enabled": False}}, leaf("reasoning_effort=low"))
    assert out == {"reasoning_effort": "low"}


@pytest.mark.parametrize(
    ("effort", "fields", "thinking", "config"),
    [
        ("high", {}, None, {"effort": "high"}),
        ("high", {"output_config": {"effort": "low", "x": 1}}, None, {"effort": "high", "x": 1}),
        ("high", {"thinking": {"type": "disabled"}}, None, {"effort": "high"}),
        ("max", {"thinking": {"type": "adaptive"}}, {"type": "adaptive"}, {"effort": "max"}),
        (
            "low",
            {"thinking": {"type": "enabled", "budget_tokens": 4000, "display": "omitted"}},
            {"type": "adaptive", "display": "omitted"},
            {"effort": "low"},
        ),
        ("none", {"thinking": {"type": "adaptive"}}, {"type": "disabled"}, None),
        ("none", {"output_config": {"effort": "low", "x": 1}}, {"type": "disabled"}, {"x": 1}),
        ("minimal", {}, None, {"effort": "low"}),
    ],
)
def test_effort_in_messages(effort: str, fields: dict[str, Any], thinking: Any, config: Any) -> None:
    out, losses = apply_parameters("messages", fields, leaf(f"reasoning_effort={effort}"))
    assert (out.get("thinking"), out.get("output_config")) == (thinking, config)
    assert [loss.code for loss in losses] == (["effort_adjusted"] if effort == "minimal" else [])


def test_a_budget_gives_way_to_the_effort_that_is_asked_for() -> None:
    request, _ = applied("messages", "reasoning_effort=low", thinking={"type": "enabled", "budget_tokens": 8000})
    assert (request.thinking.budget, request.thinking.effort) == (None, "low")


@pytest.mark.parametrize("protocol", CLIENTS)
def test_a_thought_comes_last_and_is_read_as_the_users(protocol: str) -> None:
    validate, read, base = CLIENTS[protocol]
    before = copy.deepcopy(base)
    for out, text in (
        (with_thought(protocol, base, "Look at the <b>index</b> first."), "Look at the <b>index</b> first."),
        (with_instruction(protocol, base), THINKER_INSTRUCTION),
    ):
        validate(out)
        request, losses = read(out, lambda token: None)
        texts = [part.text for item in request.items for part in item.parts]
        assert base == before and not losses
        assert texts[0] == "Hi" and text in texts[-1] and {item.role for item in request.items} == {"user"}


@pytest.mark.parametrize("protocol", CLIENTS)
def test_nothing_thought_changes_nothing(protocol: str) -> None:
    base = CLIENTS[protocol][2]
    assert with_thought(protocol, base, "  \n") is base


def test_a_thought_cannot_close_its_own_frame() -> None:
    thought = "one</planning_note> <PLANNING_REQUEST x>two</ planning_note"
    out = with_thought("chat_completions", {"messages": []}, thought)
    text = out["messages"][0]["content"]
    assert text.count("planning_") == 2 and text.endswith("\none two\n</planning_note>")


def test_a_thought_stands_behind_tool_results() -> None:
    call = {"type": "function_call_output", "call_id": "c", "output": "4"}
    out = with_thought("responses", {"input": [call]}, "x")
    assert out["input"][0] is call and out["input"][1]["content"][0]["type"] == "input_text"
    out = with_thought("responses", {"messages": [{"role": "user", "content": "Hi"}]}, "x")
    assert [turn["role"] for turn in out["messages"]] == ["user", "user"] and "input" not in out
    result = {"type": "tool_result", "tool_use_id": "t", "content": "4"}
    out = with_thought("messages", {"messages": [{"role": "user", "content": [result]}]}, "x")
    assert [block["type"] for block in out["messages"][0]["content"]] == ["tool_result", "text"]


def test_a_thought_stands_before_an_answer_to_go_on_with() -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "{"}]
    out = with_thought("messages", {"messages": turns}, "x")
    assert [turn["role"] for turn in out["messages"]] == ["user", "assistant"]
    assert len(out["messages"][0]["content"]) == 2 and out["messages"][1] is turns[1]
    out = with_thought("messages", {"messages": turns[1:]}, "x")
    assert [turn["role"] for turn in out["messages"]] == ["user", "assistant"]


def test_the_first_rule_that_matches_replaces_the_name() -> None:
    rules, problems = compiled(
        [("gpt-4o$", "gpt-5.4"), ("gpt-4(.*)", r"openai:gpt-5\1|auto"), ("(?P<who>.)-best", r"\g<who>x")]
    )
    assert problems == ()
    names = ["gpt-4o", "gpt-4o-mini", "my-gpt-4o", "a-best-model", "other", "gpt-4" + "x" * 5000]
    assert [rewritten(name, rules) for name in names[:5]] == [
        "gpt-5.4",
        "openai:gpt-5o-mini|auto",
        "my-gpt-4o",
        "ax",
        "other",
    ]
    assert rewritten(names[5], rules) == names[5]
    assert rewritten("a", compiled([("a(b)?", r"\1")])[0]) == "a"


def test_rules_that_cannot_work_are_left_out_and_reported() -> None:
    rules, problems = compiled([("(", "x"), ("a", r"\1"), ("b", r"\g<no>"), ("c", "y"), ("", "z"), ("d", "")])
    assert [pattern.pattern for pattern, _ in rules] == ["c"]
    assert [problem.split(":")[0] for problem in problems] == [
        f"HEADGATE_MODEL_ALIASES[{at}] is left out" for at in (0, 1, 2, 4, 5)
    ]


def test_the_setting() -> None:
    def read(text: str) -> tuple[tuple[str, str], ...]:
        return Settings.from_env({"HEADGATE_MODEL_ALIASES": text}).model_aliases

    assert read("") == read("[]") == ()
    assert read('[["a", "b|c"], {"pattern": "^(.*)$", "replacement": "x\\\\1"}]') == (("a", "b|c"), ("^(.*)$", "x\\1"))
    for text in ("{", "{}", "[1]", '["ab"]', '[["a"]]', '[["a", 1]]', '[{"pattern": "a"}]', '[["a", "b", "c"]]'):
        with pytest.raises(SettingsError, match="HEADGATE_MODEL_ALIASES must be a JSON list"):
            read(text)

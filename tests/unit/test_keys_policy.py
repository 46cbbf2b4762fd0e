"""Policies of keys."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.access.policy import Policy, PolicyError, chaining_forbidden, read_policy, write_policy


def test_defaults_keep_conversations_but_no_logged_bodies() -> None:
    policy = read_policy({})
    assert policy == Policy()
    assert policy.keeps_content and not policy.keeps_bodies and not policy.zdr
    assert policy.allows("openai", "gpt-5.4")


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        Policy(logging="off", zdr=True),
        Policy(log_bodies=True, allowed_models=("a", "b/*"), denied_models=("c",)),
    ],
)
def test_round_trip(policy: Policy) -> None:
    assert read_policy(write_policy(policy)) == policy


@pytest.mark.parametrize(
    "value,field",
    [
        ({"loging": "off"}, "loging"),
        ({"logging": "OFF"}, "logging"),
        ({"logging": False}, "logging"),
        ({"zdr": 1}, "zdr"),
        ({"zdr": "false"}, "zdr"),
        ({"log_bodies": None}, "log_bodies"),
        ({"logging": "off", "log_bodies": True}, "log_bodies"),
        ({"allowed_models": "gpt-5"}, "allowed_models"),
        ({"denied_models": [""]}, "denied_models"),
        ({"denied_models": [5]}, "denied_models"),
    ],
)
def test_what_is_not_understood_is_refused(value: dict[str, Any], field: str) -> None:
    with pytest.raises(PolicyError, match=field):
        read_policy(value)


def test_models_by_slug_or_provider() -> None:
    policy = Policy(allowed_models=("gpt-5*", "anthropic/*"), denied_models=("*-mini", "bedrock/*"))
    assert policy.allows("openai", "gpt-5.4")
    assert policy.allows("anthropic", "claude-opus-4-6")
    assert not policy.allows("openai", "gpt-5-mini")
    assert not policy.allows("vertex", "claude-opus-4-6")
    assert not policy.allows("bedrock", "gpt-5.4")
    assert not policy.allows("openai", "GPT-5.4")
    assert Policy(denied_models=("o1",)).allows("openai", "o1-pro")


def test_the_refusal_to_chain_names_the_setting() -> None:
    error = chaining_forbidden()
    assert (error.status, error.param) == (400, "previous_response_id")
    assert "logging" in error.message and "off" in error.message
    assert "thread" in chaining_forbidden("thread").message

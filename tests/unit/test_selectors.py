"""Several models in one model field: what is read, what is refused and where, who is tried in which order."""

from __future__ import annotations

import re
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import GatewayError
from headgate.routing.selector_syntax import MOST_CHARACTERS, MOST_LEAVES, parse_selector
from headgate.routing.selectors import Leaf, Selector, choose, delays, eligible, request_tokens, require_stream

NAMES = {"gpt-4o", "claude", "auto", "openai/gpt-4o", "odd!id", "odd!id|more", "q?x=1", "[x]y", "llama3:8b", "nova:0"}


def read(text: str) -> Selector:
    return parse_selector(text, NAMES.__contains__)


def refused(text: str) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        read(text)
    error = caught.value
    assert (error.status, error.type, error.code) == (400, "invalid_request_error", "invalid_selector")
    assert error.param == "model"
    return error


def shape(leaf: Leaf) -> dict[str, Any]:
    """What a leaf says beside its model, without what is as usual."""
    usual = Leaf(leaf.model)
    names = ("provider", "instance", "weight", "max_context", "first", "thinker", "handicap", "ttft_timeout")
    said = {name: getattr(leaf, name) for name in names if getattr(leaf, name) != getattr(usual, name)}
    return said | ({"parameters": dict(leaf.parameters)} if leaf.parameters else {})


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_name_of_the_catalogue_is_that_name(name: str) -> None:
    assert read(name) == Selector("single", (Leaf(name, end=len(name)),), name)


@pytest.mark.parametrize(
    ("text", "model", "said"),
    [
        ("new-model", "new-model", {}),
        (" new-model ", "new-model", {}),
        ("openai:gpt-4o", "gpt-4o", {"provider": "openai"}),
        ("OAI:gpt-4o", "gpt-4o", {"provider": "openai"}),
        ("aws:anthropic.claude-v1:0", "anthropic.claude-v1:0", {"provider": "bedrock"}),
        ("azure.west-2:gpt-4o", "gpt-4o", {"provider": "azure", "instance": "west-2"}),
        ("azure.a.b_1:gpt-4o", "gpt-4o", {"provider": "azure", "instance": "a.b_1"}),
        ("openrouter:openai/gpt-4o", "openai/gpt-4o", {"provider": "openrouter"}),
        ("vendor/model", "vendor/model", {}),
        ("vendor/model:free", "vendor/model:free", {}),
        ("openai/model:free", "openai/model:free", {}),
        ("openai.x/model:free", "openai.x/model:free", {}),
        ("nobody:gpt-4o", "nobody:gpt-4o", {}),
        ("@cf/meta/llama", "@cf/meta/llama", {}),
        ("openai:odd!id", "odd!id", {"provider": "openai"}),
        ("gpt-4o?temperature=0.5", "gpt-4o", {"parameters": {"temperature": 0.5}}),
        ("q?x=1?top_k=4", "q?x=1", {"parameters": {"top_k": 4}}),
        ("[max_context=8000]gpt-4o", "gpt-4o", {"max_context": 8000}),
        ("[max_context=8000][x]y", "[x]y", {"max_context": 8000}),
    ],
)
def test_a_single_model(text: str, model: str, said: dict[str, Any]) -> None:
    selector = read(text)
    assert selector.kind == "single"
    (leaf,) = selector.leaves
    assert (leaf.model, shape(leaf)) == (model, said)


@pytest.mark.parametrize(
    ("text", "kind", "leaves"),
    [
        ("a|b|c", "failover", [("a", {}), ("b", {}), ("c", {})]),
        ("a | openai:b", "failover", [("a", {}), ("b", {"provider": "openai"})]),
        ("[weight=3]a^b", "weighted", [("a", {"weight": 3}), ("b", {})]),
        ("odd!id!gpt-4o", "race", [("odd!id", {}), ("gpt-4o", {})]),
        ("odd!id|more|b", "failover", [("odd!id|more", {}), ("b", {})]),
        ("odd!id|most", "failover", [("odd!id", {}), ("most", {})]),
        ("odd!idea", "race", [("odd", {}), ("idea", {})]),
        ("auto|openai/gpt-4o", "failover", [("auto", {}), ("openai/gpt-4o", {})]),
        ("nova:0^llama3:8b", "weighted", [("nova:0", {}), ("llama3:8b", {})]),
        ("a!a", "race", [("a", {}), ("a", {})]),
        ("a?top_k=1|a?top_k=2", "failover", [("a", {"parameters": {"top_k": 1}}), ("a", {"parameters": {"top_k": 2}})]),
        ("openai:a|azure:a|a", "failover", [("a", {"provider": "openai"}), ("a", {"provider": "azure"}), ("a", {})]),
        ("[max_context=9]a!b", "race", [("a", {"max_context": 9}), ("b", {})]),
        (
            "[handicap=2.5,ttft_timeout=10]a![ttft_timeout=0]b",
            "race",
            [("a", {"handicap": 2.5, "ttft_timeout": 10.0}), ("b", {"ttft_timeout": 0.0})],
        ),
        (
            "[first,max_context=5,weight=4]a^b",
            "weighted",
            [("a", {"first": True, "max_context": 5, "weight": 4}), ("b", {})],
        ),
        (
            "[weight=4][first] [ Max_Context = 5 ]a^b",
            "weighted",
            [("a", {"first": True, "max_context": 5, "weight": 4}), ("b", {})],
        ),
        ("[thinker]a^[first]b", "weighted", [("a", {"thinker": True}), ("b", {"first": True})]),
    ],
)
def test_several_models(text: str, kind: str, leaves: list[tuple[str, dict[str, Any]]]) -> None:
    selector = read(text)
    assert selector.kind == kind and selector.text == text
    assert [(leaf.model, shape(leaf)) for leaf in selector.leaves] == leaves


@pytest.mark.parametrize("mark", ["first", "thinker"])
def test_marks_are_set_in_four_spellings_and_never_unset(mark: str) -> None:
    for spelling in ("", "=1", "=yes", "=true", "=TRUE"):
        assert getattr(read(f"[{mark}{spelling}]a^b").leaves[0], mark)
    for spelling in ("=0", "=no", "=false"):
        assert "cannot be switched off" in refused(f"[{mark}{spelling}]a^b").message
    for spelling in ("=", "=2", "=on"):
        assert "takes no value but" in refused(f"[{mark}{spelling}]a^b").message


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 1, "a model is missing"),
        ("   ", 3, "a model is missing"),
        ("|a", 1, "a model is missing"),
        ("a||b", 3, "a model is missing"),
        ("a|", 2, "a model is missing"),
        ("a| |b", 4, "a model is missing"),
        ("[weight=2]^b", 11, "a model is missing"),
        ("?temperature=1|b", 1, "a model is missing"),
        ("openai:|b", 8, "a model is missing"),
        ("openai.:a", 8, "the name of an instance of 'openai' is missing"),
        ("a|b^c", 4, "'^' cannot be mixed with '|'"),
        ("a!b!c|d", 6, "'|' cannot be mixed with '!'"),
        ("a?x=1|2^b", 8, "'^' cannot be mixed with '|'"),
        ("gpt-4o|[weight=2]x", 8, "'weight' has a meaning only between models like A^B"),
        ("[weight=2]a", 1, "'weight' has a meaning only between models like A^B"),
        ("[first]a|b", 1, "'first' has a meaning only between models like A^B"),
        ("[thinker]a!b", 1, "'thinker' has a meaning only between models like A^B"),
        ("a^[handicap=1]b", 3, "'handicap' has a meaning only between models like A!B"),
        ("a|[max_context=1,ttft_timeout=1]b", 18, "'ttft_timeout' has a meaning only between models like A!B"),
        ("[first]a^b^[first]c", 12, "only one model of a selector can be 'first'"),
        ("[thinker]a^[thinker]b", 12, "only one model of a selector can be 'thinker'"),
        ("[first][thinker]a^b", 8, "both 'first' and 'thinker'"),
        ("[weight=0]a^b", 1, "'weight' must be a whole number above 0"),
        ("[weight=-1]a^b", 1, "'weight' must be"),
        ("[weight=1.5]a^b", 1, "'weight' must be"),
        ("[weight]a^b", 1, "'weight' must be"),
        ("[weight=٣]a^b", 1, "'weight' must be"),
        ("[weight=99999999999]a^b", 1, "'weight' must be"),
        ("[max_context=0]a", 1, "'max_context' must be a whole number above 0"),
        ("[max_context=8k]a", 1, "'max_context' must be"),
        ("[handicap=-1]a!b", 1, "'handicap' must be a number of seconds, at least 0"),
        ("[handicap=nan]a!b", 1, "'handicap' must be"),
        ("a![ttft_timeout=inf]b", 3, "'ttft_timeout' must be"),
        ("[weight=1,weight=2]a^b", 11, "'weight' is said twice"),
        ("[weight=1] [first] [weight=1]a^b", 20, "'weight' is said twice"),
        ("[cost=1]a^b", 1, "unknown annotation 'cost'; there are weight, max_context, first"),
        ("[]a^b", 1, "an annotation is missing"),
        ("[first,]a^b", 8, "an annotation is missing"),
        ("[=1]a^b", 1, "an annotation is missing"),
        ("[weight=2a^b", 1, "this bracket is never closed"),
        ("a^[first", 3, "this bracket is never closed"),
        ("[first[weight=2]a^b", 1, "this bracket is never closed"),
        ("a[weight=2]^b", 2, "annotations stand before a model"),
        ("a^b?top_k=1[weight=2]", 12, "annotations stand before a model"),
        ("a]|b", 2, "no opening bracket"),
        ("a|b|a", 5, "stands in the selector already"),
        ("[weight=2]openai:a?top_k=1^oai:a?top_k=1", 28, "stands in the selector already"),
        # Of several mistakes the first.
        ("[cost=1]a|b^c", 1, "unknown annotation"),
        ("a|b^[cost=1]c", 4, "cannot be mixed"),
        # A mixture hides what the annotations would have meant.
        ("[weight=2]a|b^c", 14, "cannot be mixed"),
    ],
)
def test_mistakes_are_shown_in_their_place(text: str, column: int, says: str) -> None:
    error = refused(text)
    first, line, caret = error.message.split("\n")
    assert first.startswith(f"Invalid model selector, column {column}: ") and says in first
    assert line == f"  {text}" and caret == " " * (column + 1) + "^"
    assert error.details == {"column": column}


def test_at_most_sixteen_models() -> None:
    names = [f"m{n}" for n in range(MOST_LEAVES)]
    assert len(read("|".join(names)).leaves) == MOST_LEAVES == 16
    assert "at most 16 models" in refused("|".join([*names, "x"])).message
    assert refused("|".join([*names, "x", "y", ""])).details == {"column": len("|".join(names)) + 2}


def test_a_long_selector_is_shown_around_the_place() -> None:
    text = f"[max_context=1]{'a' * 400}|{'b' * 50}[weight=2]|c"
    _, line, caret = refused(text).message.split("\n")
    assert len(line) < 140 and line.startswith("  ...aaa") and line[len(caret) - 1] == "["
    error = refused("x|" * MOST_CHARACTERS)
    assert f"at most {MOST_CHARACTERS} characters" in error.message and len(error.message) < 400


def test_what_cannot_be_printed_keeps_its_column() -> None:
    assert refused("\n\ud800\x1b|[a").message.split("\n")[1:] == ["  \ufffd\ufffd\ufffd|[a", "      ^"]


PIECES = st.sampled_from(
    ["a", "gpt-4o", "odd!id", "odd!id|more", "openai", "azure.eu", "q?x=1", "[x]y", "|", "^", "!", "?", "&", "=", ":"]
    + [".", "/", "@", "[", "]", ",", " ", "\n", "%21", "%", "weight=2", "first", "max_context=5", "handicap=1"]
    + ["[first]", "[weight=2]", "temperature=1", "\ud800", "ß", "0"]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=14).map("".join) | st.text(max_size=40)


@given(TEXTS)
def test_every_text_is_read_or_refused_with_a_caret_inside_it(text: str) -> None:
    try:
        selector = read(text)
    except GatewayError as error:
        assert error.code == "invalid_selector" and error.details is not None
        assert 1 <= error.details["column"] <= max(1, len(text))
        _, line, caret = error.message.split("\n")
        assert re.fullmatch(" +\\^", caret) and 2 < len(caret) <= max(3, len(line))
        return
    ends = [-1]
    for leaf in selector.leaves:
        assert ends[-1] < leaf.start < leaf.end <= len(text) and leaf.model in text[leaf.start : leaf.end]
        ends.append(leaf.end)
    assert (selector.kind == "single") == (len(selector.leaves) == 1)


@given(TEXTS)
def test_the_pieces_of_a_selector_make_the_same_selector(text: str) -> None:
    try:
        selector = read(text)
    except GatewayError:
        return
    operator = {"single": "", "failover": "|", "weighted": "^", "race": "!"}[selector.kind]
    again = read(operator.join(text[leaf.start : leaf.end] for leaf in selector.leaves))
    assert again.kind == selector.kind
    assert [(leaf.model, shape(leaf)) for leaf in again.leaves] == [
        (leaf.model, shape(leaf)) for leaf in selector.leaves
    ]


def models(leaves: tuple[Leaf, ...]) -> str:
    return "".join(leaf.model for leaf in leaves)


def test_failover_and_race_keep_their_order_without_a_draw() -> None:
    def never() -> float:
        raise AssertionError

    assert models(choose(read("b|a|c"), never)) == "bac"
    assert models(choose(read("[handicap=1]b![handicap=2]a!c"), never)) == "bac"
    assert models(choose(read("a"), never)) == "a"


def test_a_weighted_choice_draws_without_putting_back() -> None:
    selector = read("[weight=6]a^[weight=3]b^c")
    draws = iter([0.59, 0.0, 0.9, 0.61, 0.99, 0.5, 0.91, 0.67, 0.5])
    orders = [models(choose(selector, lambda: next(draws))) for _ in range(3)]
    assert orders == ["abc", "bca", "cba"]
    assert models(choose(read("a^b"), lambda: 0.5)) == "ba"  # the border belongs to the second


def test_draws_follow_the_weights() -> None:
    random, selector = Random(7), read("[weight=6]a^[weight=3]b^c")
    counted = Counter(models(choose(selector, random.random)) for _ in range(20_000))
    expected = {"abc": 0.45, "acb": 0.15, "bac": 0.3 * 6 / 7, "bca": 0.3 / 7, "cab": 0.1 * 2 / 3, "cba": 0.1 / 3}
    assert {order: counted[order] / 20_000 for order in expected} == pytest.approx(expected, abs=0.015)


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=4, max_size=4))
def test_a_weighted_choice_has_every_leaf_once(draws: list[float]) -> None:
    numbers = iter(draws)
    order = choose(read("[weight=3]a^b^[weight=999999999]c^d"), lambda: next(numbers))
    assert sorted(models(order)) == ["a", "b", "c", "d"]


def test_first_leads_once_and_not_in_a_retry() -> None:
    selector = read("[weight=1000]a^[first]b^c")
    assert models(choose(selector, lambda: 0.0, first_request=True)) == "bac"
    assert models(choose(selector, lambda: 0.0, first_request=False)) == "abc"
    assert models(choose(selector, lambda: 0.0, first_request=True, is_retry=True)) == "abc"
    assert models(choose(read("a^b"), lambda: 0.99, first_request=True)) == "ba"


def test_only_first_and_thinker_need_a_session() -> None:
    needs = {
        text: read(text).needs_session for text in ("a", "a|b", "[weight=2]a^b", "a!b", "[first]a^b", "a^[thinker]b")
    }
    assert [text for text, wanted in needs.items() if wanted] == ["[first]a^b", "a^[thinker]b"]


def test_the_legs_of_a_race_start_by_handicap() -> None:
    assert delays(read("[handicap=10]a![handicap=2.5]b!c")) == (0.0, 7.5, 10.0)
    assert delays(read("a!b")) == (0.0, 0.0)
    assert delays(read("a|b")) == (0.0, 0.0)
    legs = read("[ttft_timeout=3]a![ttft_timeout=0]b!c").leaves
    assert [leg.first_output_timeout for leg in legs] == [3.0, None, None]


def test_a_race_is_streamed() -> None:
    require_stream(read("a!b"), True)
    require_stream(read("a|b"), False)
    require_stream(read("odd!id"), False)
    with pytest.raises(GatewayError) as caught:
        require_stream(read("a!b"), False)
    assert (caught.value.status, caught.value.param, caught.value.code) == (400, "stream", "invalid_selector")


def test_max_context_drops_leaves() -> None:
    selector = read("[max_context=1000]a![max_context=2000,handicap=3]b![max_context=9000]c")
    assert eligible(selector, None) is selector and eligible(selector, 1000) is selector
    smaller = eligible(selector, 1001)
    assert (models(smaller.leaves), smaller.kind, delays(smaller)) == ("bc", "race", (0.0, 3.0))
    assert models(eligible(selector, 9000).leaves) == "c" and eligible(selector, 9000).kind == "race"
    with pytest.raises(GatewayError) as caught:
        eligible(selector, 9001)
    error = caught.value
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "input")
    assert error.details == {"model": "c", "limit": 9000, "measured": 9001} and "9000" in error.message
    with pytest.raises(GatewayError):
        eligible(read("[max_context=5]a"), 6)


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({}, None),
        ({"extra_body": None}, None),
        ({"extra_body": {}}, None),
        ({"extra_body": {"request_context_tokens": 9000}}, 9000),
        ({"request_context_tokens": 0}, 0),
        ({"request_context_tokens": 5, "extra_body": {"request_context_tokens": 6}}, 5),
    ],
)
def test_a_caller_may_know_its_tokens(body: dict[str, Any], tokens: int | None) -> None:
    assert request_tokens(body) == tokens


@pytest.mark.parametrize("value", [-1, 2**53, 1.5, True, "9000", [1]])
def test_a_number_of_tokens_is_an_integer(value: Any) -> None:
    for body, param in (
        ({"request_context_tokens": value}, "request_context_tokens"),
        ({"extra_body": {"request_context_tokens": value}}, "extra_body.request_context_tokens"),
    ):
        with pytest.raises(GatewayError) as caught:
            request_tokens(body)
        assert caught.value.status == 400 and caught.value.param == param

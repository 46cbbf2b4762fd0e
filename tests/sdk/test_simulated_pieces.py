"""The pieces of the simulated providers that stand alone: tokens, schema instances, directives, seals."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dev.simulated_providers import directives
from dev.simulated_providers.caches import Block, PromptCache
from dev.simulated_providers.instances import anthropic_objection, instance, strict_objection
from dev.simulated_providers.seals import intact, seal
from dev.simulated_providers.tokens import count, filler, split


@given(st.text())
def test_tokens_join_to_the_text(text: str) -> None:
    assert "".join(split(text)) == text and len(split(text)) == count(text)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_filler_has_exactly_so_many_tokens(size: int) -> None:
    assert count(filler(size)) == size


NODE = {
    "type": "object",
    "properties": {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
    "required": ["value", "next"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {}},
        {"type": "object", "properties": {"a": {"const": 5}, "b": {"enum": [3, 4]}}, "required": ["a", "b"]},
        {"type": "array", "items": {"type": "number", "exclusiveMinimum": 8, "maximum": 9}, "minItems": 3},
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}], "items": False},
        {"type": "integer", "multipleOf": 4, "minimum": 9},
        {"type": "integer", "exclusiveMaximum": 3},
        {"type": ["null", "string"], "minLength": 20},
        {"type": "string", "maxLength": 3},
        {"type": "string", "format": "date-time"},
        {"type": "string", "format": "uuid"},
        {"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["ABC"]},
        {"anyOf": [{"type": "null"}, {"type": "string"}]},
        {"allOf": [{"type": "object", "properties": {"a": {"type": "null"}}}, {"required": ["a"]}]},
        {"$defs": {"node": NODE}, "$ref": "#/$defs/node"},
        {"type": "object", "properties": {"a": True}},
    ],
)
def test_instances_are_valid(schema: Any) -> None:
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(instance(schema))


def test_a_schema_that_is_only_recursive_still_ends() -> None:
    both = {"left": {"$ref": "#/$defs/n"}, "right": {"$ref": "#/$defs/n"}, "value": {"type": "integer"}}
    endless = {"$defs": {"n": {"type": "object", "properties": both, "required": ["value"]}}, "$ref": "#/$defs/n"}
    jsonschema.validate(instance(endless), endless)


def test_strict_objections() -> None:
    closed = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
    assert strict_objection({**closed, "required": ["a"]}) is None
    assert "Missing 'a'" in str(strict_objection(closed))
    inner = {
        "type": "object",
        "properties": {"b": {"type": "object"}},
        "required": ["b"],
        "additionalProperties": False,
    }
    assert str(strict_objection(inner)).startswith("In context=('properties', 'b'), 'additionalProperties'")
    assert (
        anthropic_objection({"type": "integer", "minimum": 1})
        == "For 'integer' type, properties minimum are not supported"
    )


def test_directives_and_what_is_left() -> None:
    text = 'go [[tool:f {"a":[[1]],"b":"]]"}]] on [[unknown:x]] [[@anthropic say:no]][[slow:0.5]]'
    found, rest = directives.extract(text, "openai")
    assert [(one.name, one.argument) for one in found] == [("tool", 'f {"a":[[1]],"b":"]]"}'), ("slow", "0.5")]
    assert rest == "go  on [[unknown:x]]"
    assert directives.faults(found).slow == 0.5


@pytest.mark.parametrize(
    "text", ["[[tokens:many]]", "[[fail:abc]]", "[[slow]]", "[[cut-after:-1]]", "[[silent-after:x]]"]
)
def test_a_directive_that_makes_no_sense_is_text(text: str) -> None:
    assert directives.extract(text, "openai") == ([], text)


def test_a_reference_to_nothing_is_filled_in_all_the_same() -> None:
    assert instance({"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}}) == {"a": "example"}


@given(st.text(max_size=40))
def test_arbitrary_text_is_no_directive(text: str) -> None:
    found, rest = directives.extract(text, "openai")
    assert found or rest == text.strip()


def test_seals_are_bound_and_cannot_be_forged() -> None:
    token = seal("thinking", "text", "model")
    assert intact(token, "thinking", "text")
    assert not intact(token, "thinking", "other") and not intact(token, "reasoning", "text")
    assert not intact(token[:-4] + "AAAA", "thinking", "text") and not intact("garbage", "thinking", "text")
    assert seal("thinking", "text", "model") != token


def test_the_double_shares_no_code_with_the_gateway() -> None:
    folder = Path(directives.__file__).parent
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "headgate" for name in names), file.name


def test_cache_classes_always_add_up() -> None:
    cache = PromptCache()
    blocks = [Block("a", 5), Block("b", 7, "1h"), Block("c", 11), Block("d", 13, "5m"), Block("e", 17)]
    for _ in range(2):
        use = cache.explicit("owner", blocks)
        assert use.fresh + use.read + use.written_5m + use.written_1h == 53
    assert use.read == 36 and use.fresh == 17

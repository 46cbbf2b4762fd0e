"""JSON Schema in the dialects that Gemini takes."""

import json

import pytest
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st

from dev.simulated_providers.gemini_common import Refused
from dev.simulated_providers.gemini_request import _schema as proto_schema
from dev.simulated_providers.gemini_rules import _subset as proto_rules
from dev.simulated_providers.shapes import Problem
from headgate.conversation import FunctionTool, Output, OutputFormat
from headgate.errors import GatewayError
from headgate.protocols.gemini.schemas import answer_schema, needs_restoring, openapi_schema, restored, tool_schema
from headgate.protocols.gemini.upstream_request import reader_options, write_request
from tests.unit.gemini_support import FLASH_3, FLASH_20, asked

TYPED = [
    ({"type": "string", "minLength": 1, "pattern": "^a"}, {"type": "STRING", "minLength": 1, "pattern": "^a"}, 0),
    ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}, 0),
    ({"type": ["string", "integer"]}, {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]}, 0),
    ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "STRING", "nullable": True}, 0),
    (
        {"oneOf": [{"type": "string"}, {"type": "number"}], "title": "T"},
        {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}], "title": "T"},
        0,
    ),
    ({"enum": ["a", "b"]}, {"type": "STRING", "format": "enum", "enum": ["a", "b"]}, 0),
    ({"type": "integer", "enum": [1, 2]}, {"type": "STRING", "format": "enum", "enum": ["1", "2"]}, 0),
    (
        {"type": ["integer", "null"], "enum": [1, None]},
        {"type": "STRING", "format": "enum", "enum": ["1"], "nullable": True},
        0,
    ),
    ({"const": True}, {"type": "STRING", "format": "enum", "enum": ["true"]}, 0),
    ({"const": None}, {"type": "STRING", "nullable": True}, 0),
    ({"type": "null"}, {"type": "STRING", "nullable": True}, 0),
    (
        {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9},
        {"type": "INTEGER", "minimum": 1, "maximum": 8},
        0,
    ),
    (
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "NUMBER", "description": "{exclusiveMinimum: 0}"},
        1,
    ),
    ({"type": "string", "format": "date-time"}, {"type": "STRING", "format": "date-time"}, 0),
    (
        {"type": "string", "format": "uuid", "description": "An id."},
        {"type": "STRING", "description": 'An id.\n\n{format: "uuid"}'},
        1,
    ),
    (
        {
            "type": "object",
            "properties": {"a": {"type": "boolean"}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
        {"type": "OBJECT", "properties": {"a": {"type": "BOOLEAN"}}, "required": ["a"]},
        0,
    ),
    ({"type": "object", "additionalProperties": {"type": "string"}}, None, 1),
    (
        {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        {"type": "ARRAY", "items": {"type": "STRING"}, "maxItems": 3},
        0,
    ),
    (
        {"type": "array", "prefixItems": [{"type": "string"}]},
        {"type": "ARRAY", "items": {"anyOf": [{"type": "STRING"}]}},
        1,
    ),
    ({"$schema": "x", "type": "string", "default": "a", "examples": ["b"]}, {"type": "STRING"}, 0),
    (
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                {"properties": {"b": {"type": "string"}}, "required": ["b"]},
            ]
        },
        {"type": "OBJECT", "properties": {"a": {"type": "STRING"}, "b": {"type": "STRING"}}, "required": ["a", "b"]},
        0,
    ),
    (
        {"$ref": "#/$defs/A", "description": "mine", "$defs": {"A": {"type": "string", "description": "theirs"}}},
        {"type": "STRING", "description": "mine"},
        0,
    ),
    ({"$ref": "#/definitions/a~1b", "definitions": {"a/b": {"type": "string"}}}, {"type": "STRING"}, 0),
    (True, None, 1),
    ({}, None, 1),
    ({"type": "string", "not": {"const": "x"}}, {"type": "STRING", "description": '{not: {"const":"x"}}'}, 1),
]


def accepted(schema):
    """Whether the vendor, as simulated, and its SDK's type take ``schema``."""
    types.Schema.model_validate(schema)
    proto_schema(schema, ())
    proto_rules(schema, "schema")


@pytest.mark.parametrize(("schema", "expected", "lost"), TYPED, ids=range(len(TYPED)))
def test_the_openapi_subset(schema, expected, lost):
    converted, losses = openapi_schema(schema, "s")
    assert expected is None or converted == expected
    assert len(losses) == lost and all(loss.code == "unsupported_schema_keyword" for loss in losses)
    accepted(converted)


RECURSIVE = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/Node"}}}}
    },
}
BOMB = {
    "$ref": "#/$defs/a0",
    "$defs": {
        **{
            f"a{i}": {"type": "object", "properties": {k: {"$ref": f"#/$defs/a{i + 1}"} for k in "abcd"}}
            for i in range(12)
        },
        "a12": {"type": "string"},
    },
}


@pytest.mark.parametrize(
    "schema", [RECURSIVE, BOMB, {"$ref": "https://x.example/s.json"}, {"$ref": "#/nowhere"}, {"$ref": 7}], ids=range(5)
)
def test_references_that_cannot_be_written_out_are_refused_by_name(schema):
    tool = FunctionTool(
        "f",
        parameters={"type": "object", "properties": {"x": schema}, **{k: v for k, v in schema.items() if k == "$defs"}},
    )
    with pytest.raises(GatewayError) as caught:
        write_request(asked(tools=(tool,)), FLASH_20)
    assert caught.value.status == 400 and "$ref" in caught.value.message
    assert caught.value.param.startswith("tools[0].parameters")


def test_json_schema_takes_references_and_recursion():
    tool = FunctionTool("f", parameters={**RECURSIVE, "$schema": "x"})
    output = Output(OutputFormat("json_schema", RECURSIVE))
    written, lost = write_request(asked(tools=(tool,), output=output), FLASH_3)
    assert written["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == RECURSIVE
    assert written["generationConfig"]["responseJsonSchema"] == RECURSIVE and lost == []


def test_a_tool_needs_an_object_at_its_root():
    assert tool_schema(None) == tool_schema({}) == {"type": "object", "properties": {}}
    assert tool_schema({"properties": {}}) == {"properties": {}, "type": "object"}
    bare = write_request(asked(tools=(FunctionTool("f"),)), FLASH_20)[0]
    assert bare["tools"] == [{"functionDeclarations": [{"name": "f"}]}]


def test_what_an_answers_schema_does_not_enforce_is_described_and_announced():
    schema = {
        "$schema": "x",
        "type": "object",
        "properties": {
            "a": {"type": "string", "minLength": 2, "description": "A."},
            "b": {"const": 3},
            "c": {"oneOf": [{"type": "string"}, {"type": "null"}]},
            "d": {"allOf": [{"$ref": "#/$defs/D"}], "description": "mine"},
        },
        "required": ["a"],
        "additionalProperties": False,
        "$defs": {"D": {"type": "integer", "multipleOf": 5}},
    }
    converted, losses = answer_schema(schema, "s")
    assert converted == {
        "type": "object",
        "properties": {
            "a": {"type": "string", "description": "A.\n\n{minLength: 2}"},
            "b": {"enum": [3]},
            "c": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "d": {"$ref": "#/$defs/D", "description": "mine"},
        },
        "required": ["a"],
        "additionalProperties": False,
        "$defs": {"D": {"type": "integer", "description": "{multipleOf: 5}"}},
    }
    assert {loss.path for loss in losses} == {"s.properties.a.minLength", "s.$defs.D.multipleOf"}


def test_deep_nesting_is_a_clear_refusal():
    deep = {"type": "string"}
    for _ in range(3000):
        deep = {"type": "array", "items": deep}
    for convert in (openapi_schema, answer_schema):
        with pytest.raises(GatewayError) as caught:
            convert(deep, "s")
        assert "deep" in caught.value.message


ENUMS = {
    "type": "object",
    "properties": {
        "enum": {"enum": [1, "1x", 2.5]},
        "list": {"type": "array", "items": {"$ref": "#/$defs/Level"}},
        "either": {"anyOf": [{"const": False}, {"type": "string"}]},
        "map": {"additionalProperties": {"enum": [7]}},
    },
    "$defs": {"Level": {"type": "integer", "enum": [1, 2]}},
}


def test_values_of_enumerations_come_back_as_they_were():
    given = {"enum": "2.5", "list": ["1", "2", "3"], "either": "false", "map": {"x": "7"}, "other": "1"}
    expected = {"enum": 2.5, "list": [1, 2, "3"], "either": False, "map": {"x": 7}, "other": "1"}
    assert restored(given, ENUMS, ENUMS) == expected
    assert restored({"enum": "1x"}, ENUMS, ENUMS) == {"enum": "1x"}
    assert needs_restoring(ENUMS) and not needs_restoring({"properties": {"a": {"enum": ["x", None]}}})
    tool = FunctionTool("set.level", parameters=ENUMS)
    request = asked(tools=(tool, FunctionTool("f")), output=Output(OutputFormat("json_schema", ENUMS)))
    options = reader_options(request, FLASH_20)
    (name,) = options["schemas"]
    assert name.startswith("set_level_") and options["answer_schema"] is ENUMS
    assert set(reader_options(request, FLASH_3)) == {"json_tool"}


def schemas():
    leaf = st.sampled_from([{"type": kind} for kind in ("string", "integer", "number", "boolean", "null")]) | st.lists(
        st.integers(0, 3) | st.sampled_from(["a", "b"]) | st.none(), min_size=1, max_size=3
    ).map(lambda values: {"enum": values})
    names = st.sampled_from(["a", "b", "enum", "type", "properties"])

    def more(inner):
        return st.one_of(
            st.builds(
                lambda properties, required: {"type": "object", "properties": properties, "required": required},
                st.dictionaries(names, inner, min_size=1, max_size=3),
                st.lists(names, max_size=2),
            ),
            st.builds(lambda items: {"type": "array", "items": items}, inner),
            st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
            st.builds(lambda part: {"allOf": [part], "description": "d"}, inner),
            st.builds(lambda part: {**part, "format": "uri", "minLength": 1, "x-own": [1]}, inner),
        )

    return st.recursive(leaf, more, max_leaves=8)


@settings(deadline=None, max_examples=200)
@given(schemas())
def test_whatever_can_be_written_is_accepted(schema):
    converted, _ = openapi_schema(schema, "s")
    try:
        accepted(converted)
    except (Problem, Refused) as refused:
        raise AssertionError(f"{json.dumps(converted)}: {refused}") from refused

"""JSON schemas and tool names that one vendor takes and the next answers with an error.

Complaint: a schema with references, nulls, integer enumerations or bounds works at one vendor and is a 400 at another;
tool names with a dot or 65 letters are refused; with a schema of ones own the answer arrives as a tool call.
Request: such schemas on a tool and on the answer, such names, and 130 tools, through each frontend.
The vendor must get each schema in its own dialect, names of letters it knows, and never a schema that it refuses.
The client must see its own names and types in the call, the answer as text with an ordinary end, also in a stream; what
cannot be said at a vendor is a 400 that names the keyword and reaches nobody.
"""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest

from headgate.conversation import FunctionTool, Output, OutputFormat, Request
from headgate.protocols.contract import Target
from headgate.protocols.gemini.schemas import openapi_schema, restored
from headgate.protocols.gemini.upstream_request import write_request
from headgate.protocols.names import NameMap
from tests.traps.kit import CITY, Client, mark, request
from tests.traps.providers import FRONTENDS, OFFERS, Offer, pair_id, pairs
from tests.traps.wire import tools_of

both = pytest.mark.parametrize("stream", [False, True], ids=pair_id)
every_pair = pytest.mark.parametrize(("frontend", "offer"), pairs(), ids=pair_id)


def closed(**properties: Any) -> dict[str, Any]:
    """An object with these properties, all required, and no others."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


PLACE = closed(name={"type": "string"}, country={"type": "string"})
NODE = closed(value={"type": "integer"}, next={"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]})
ENDS = ("stop", "end_turn", "completed")
# Models that enforce no schema themselves, through every frontend that is translated for them.
EMULATED = [("responses", "anthropic/claude-opus-4-0"), ("chat_completions", "anthropic/claude-opus-4-0")] + [
    (frontend, "bedrock/nova-pro") for frontend in FRONTENDS
]
KEYWORDS: dict[str, dict[str, Any]] = {
    "references": closed(place={"$ref": "#/$defs/Place"}) | {"$defs": {"Place": PLACE}},
    "recursion": closed(list={"$ref": "#/$defs/Node"}) | {"$defs": {"Node": NODE}},
    "nullable": closed(nickname={"anyOf": [{"type": "string"}, {"type": "null"}]}, age={"type": ["integer", "null"]}),
    "const": closed(kind={"const": "city"}, name={"type": "string"}),
    "integers to choose from": closed(level={"type": "integer", "enum": [1, 2, 3]}),
    "bounds": closed(count={"type": "integer", "exclusiveMinimum": 0, "maximum": 50}),
    "format": closed(at={"type": "string", "format": "date-time"}),
    "default": closed(unit={"type": "string", "default": "celsius"}),
    "dialect": closed(name={"type": "string"}) | {"$schema": "http://json-schema.org/draft-07/schema#"},
    "no properties": {"type": "object", "properties": {}},
    "union": closed(id={"anyOf": [{"type": "string"}, {"type": "integer"}]}),
    "array": closed(names={"type": "array", "items": {"type": "string"}, "minItems": 1}),
    "all at once": closed(
        place={"$ref": "#/$defs/Place"},
        list={"$ref": "#/$defs/Node"},
        level={"type": "integer", "enum": [1, 2, 3]},
        kind={"const": "city"},
        nickname={"anyOf": [{"type": "string"}, {"type": "null"}]},
        count={"type": "integer", "exclusiveMinimum": 0},
    )
    | {"$defs": {"Place": PLACE, "Node": NODE}, "$schema": "https://json-schema.org/draft/2020-12/schema"},
}
# What an Anthropic client may not ask of Anthropic itself: the vendor's word on it stands.
REFUSED = ("bounds", "no properties", "all at once")
OWN = [each for each in OFFERS if each.native == ("messages",)]
# Frontends read a schema alike, vendors do not: each vendor gets each keyword through one frontend in turn, and the
# schema that has them all through every one.
ROTATED = [
    (frontend, offer, case)
    for place, offer in enumerate(OFFERS)
    for number, case in enumerate(KEYWORDS)
    for frontend in (FRONTENDS if case == "all at once" else [FRONTENDS[(place + number) % 3]])
]
ANSWERS = [
    (frontend, offer, case, stream)
    for frontend, offer, case in ROTATED
    if not (frontend == "messages" and offer in OWN and case in REFUSED)
    # A stream differs in how the answer arrives, not in its schema.
    for stream in ((False, True) if case in ("references", "integers to choose from", "all at once") else (False,))
]


def valid(value: Any, schema: dict[str, Any], *, null_may_be_missing: bool = False) -> None:
    """Fail unless ``value`` is what the client's own schema describes."""
    if null_may_be_missing:
        schema = json.loads(json.dumps(schema).replace('"required"', '"x-required"'))
    jsonschema.validate(value, {**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"})


@pytest.mark.parametrize(("frontend", "offer", "case"), ROTATED, ids=pair_id)
def test_a_tools_schema_reaches_every_vendor(client: Client, frontend: str, offer: Offer, case: str):
    schema = KEYWORDS[case]
    got = client.ask(frontend, request(frontend, offer.name, f"{mark()}[[tool:look]]", tools=[("look", schema)]))
    ((_, name, arguments),) = got.calls
    assert name == "look"
    valid(json.loads(arguments), schema)


@pytest.mark.parametrize(("frontend", "offer", "case", "stream"), ANSWERS, ids=pair_id)
def test_an_answers_schema_reaches_every_vendor(client: Client, frontend: str, offer: Offer, case: str, stream: bool):
    schema = KEYWORDS[case]
    body = request(frontend, offer.name, f"{mark()} Answer in JSON.", schema=schema, stream=stream)
    got = client.ask(frontend, body)
    assert got.calls == [] and got.finish in ENDS
    # Cohere has no null: such a value may be missing, and the client is told so.
    missing = offer.provider == "cohere" and "unsupported_schema_keyword" in got.losses
    valid(json.loads(got.text), schema, null_may_be_missing=missing)


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("offer", OWN, ids=pair_id)
def test_an_anthropic_client_of_anthropic_gets_its_own_word(client: Client, offer: Offer, case: str):
    response = client.send("messages", request("messages", offer.name, mark(), schema=KEYWORDS[case]))
    assert response.status_code == 400 and "output_config.format.schema" in response.json()["error"]["message"]


@both
@pytest.mark.parametrize(("frontend", "model"), EMULATED)
def test_without_a_schema_of_its_own_a_forced_call_becomes_the_answer(
    client: Client, frontend: str, model: str, stream: bool
):
    marker = mark()
    schema = KEYWORDS["all at once"]
    got = client.ask(frontend, request(frontend, model, f"{marker} Answer in JSON.", schema=schema, stream=stream))
    assert got.calls == [] and got.finish in ENDS
    valid(json.loads(got.text), schema)
    assert "json_schema_emulated" in got.losses
    ((name, sent),) = tools_of(client.heard_once(marker))
    assert sent["properties"].keys() == schema["properties"].keys() and name
    # With tools at hand the model may call one of them first.
    tools = [("look", CITY)]
    got = client.ask(frontend, request(frontend, model, f"{mark()}[[tool:look]]", schema=schema, tools=tools))
    assert [name for _, name, _ in got.calls] == ["look"]


ODD_NAMES = ("a" * 65, "fs.read_file", "b" * 64)


@both
@every_pair
def test_odd_names_are_rewritten_and_restored(client: Client, frontend: str, offer: Offer, stream: bool):
    tools = [(name, CITY) for name in ODD_NAMES]
    for name in ODD_NAMES:
        marker = mark()
        got = client.ask(frontend, request(frontend, offer.name, marker, tools=tools, choice=name, stream=stream))
        assert [each for _, each, _ in got.calls] == [name]
        heard = client.heard_once(marker)
        limit = 128 if offer.spoken(frontend) == "messages" else 64
        for sent, _ in tools_of(heard):
            assert re.fullmatch(rf"[a-zA-Z0-9_-]{{1,{limit}}}", sent)
        assert len({sent for sent, _ in tools_of(heard)}) == len(tools_of(heard))


def test_a_rewritten_name_is_the_same_in_every_request_and_unlike_any_other():
    dots, again = NameMap(), NameMap()
    again.to_wire("something.else")
    assert dots.to_wire("fs.read") == again.to_wire("fs.read") != dots.to_wire("fs/read")
    assert dots.from_wire(dots.to_wire("fs/read")) == "fs/read"
    assert len(dots.to_wire("x" * 300)) == 64


@every_pair
def test_130_tools_are_taken_or_refused_by_name(client: Client, frontend: str, offer: Offer):
    marker = mark()
    tools = [(f"tool_{number}", CITY) for number in range(130)]
    response = client.send(frontend, request(frontend, offer.name, f"{marker}[[tool:tool_129]]", tools=tools))
    if response.status_code == 200:
        assert len(tools_of(client.heard_once(marker))) == 130 and "tool_129" in response.text
        return
    assert response.status_code == 400 and "tools" in response.json()["error"]["message"]
    # A client of the vendor's own protocol gets the vendor's own word, as where the vendor's limit is not known.
    assert len(client.heard(marker)) == int(offer.relayed(frontend) or offer.spoken(frontend) == "chat_completions")


@every_pair
def test_arguments_that_are_no_object_reach_nobody(client: Client, frontend: str, offer: Offer):
    marker = mark()
    array = {"type": "array", "items": {"type": "string"}}
    response = client.send(frontend, request(frontend, offer.name, marker, tools=[("look", array)]))
    error = response.json()["error"]
    assert response.status_code == 400 and "object" in error["message"]
    assert "type" in (error.get("param") or error["message"])
    assert client.heard(marker) == []


CANNOT = {
    "type": {"type": "array", "items": {"type": "string"}},
    "anyOf": {"anyOf": [CITY, closed(name={"type": "string"})]},
}


@pytest.mark.parametrize("keyword", CANNOT)
@pytest.mark.parametrize("offer", [each for each in OFFERS if each.native[0] == "responses"], ids=pair_id)
def test_an_answer_that_is_no_object_is_refused_by_keyword(client: Client, offer: Offer, keyword: str):
    marker = mark()
    response = client.send("messages", request("messages", offer.name, marker, schema=CANNOT[keyword]))
    assert response.status_code == 400 and f"'{keyword}'" in response.json()["error"]["message"]
    assert client.heard(marker) == []


@pytest.mark.parametrize("offer", [each for each in OFFERS if "sonnet" in each.model], ids=pair_id)
def test_a_union_of_arguments_is_refused_by_keyword(client: Client, offer: Offer):
    marker = mark()
    body = request("chat_completions", offer.name, marker, tools=[("look", {"type": "object", **CANNOT["anyOf"]})])
    response = client.send("chat_completions", body)
    error = response.json()["error"]
    assert response.status_code == 400 and "'anyOf'" in error["message"] and error["param"].endswith("anyOf")
    assert client.heard(marker) == []


def test_gemini_of_openapi_schemas_gets_them_inlined_and_nullable():
    schema, losses = openapi_schema(KEYWORDS["references"], "schema")
    text = {"type": "STRING"}
    place = {"type": "OBJECT", "properties": {"name": text, "country": text}, "required": ["name", "country"]}
    assert schema == {"type": "OBJECT", "properties": {"place": place}, "required": ["place"]} and not losses
    nullable, _ = openapi_schema(KEYWORDS["nullable"], "schema")
    assert nullable["properties"] == {
        "nickname": {"type": "STRING", "nullable": True},
        "age": {"type": "INTEGER", "nullable": True},
    }
    bounds, _ = openapi_schema(KEYWORDS["bounds"], "schema")
    assert bounds["properties"] == {"count": {"type": "INTEGER", "minimum": 1, "maximum": 50}}


def test_gemini_gets_integers_as_strings_and_gives_integers_back():
    schema = KEYWORDS["integers to choose from"]
    converted, _ = openapi_schema(schema, "schema")
    assert converted["properties"]["level"] == {"type": "STRING", "format": "enum", "enum": ["1", "2", "3"]}
    assert restored({"level": "2"}, schema, schema) == {"level": 2}


def test_gemini_of_openapi_schemas_refuses_recursion_by_name():
    target = Target("vertex", "gemini-old", quirks=frozenset({"openapi_schema"}))
    asked = Request("gemini-old", (), output=Output(OutputFormat("json_schema", KEYWORDS["recursion"])))
    with pytest.raises(Exception, match=r"'\$ref'") as caught:
        write_request(asked, target)
    assert getattr(caught.value, "status", None) == 400
    tooled = Request("gemini-old", (), tools=(FunctionTool("look", parameters=KEYWORDS["recursion"]),))
    with pytest.raises(Exception, match=r"'\$ref'"):
        write_request(tooled, target)

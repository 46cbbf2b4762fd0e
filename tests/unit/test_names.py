"""Tool names survive the trip to an upstream with a narrower alphabet and back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.conversation import CustomTool, FunctionTool, Request, ToolCall
from headgate.protocols.names import NameMap, names_of


@pytest.mark.parametrize("name", ["get_weather", "a", "A-b_9", "x" * 64])
def test_a_name_that_fits_is_untouched(name: str) -> None:
    assert NameMap().to_wire(name) == name


@given(st.lists(st.tuples(st.none() | st.text(min_size=1, max_size=20), st.text(max_size=90)), max_size=12))
def test_every_name_fits_and_comes_back(keys: list[tuple[str | None, str]]) -> None:
    names = NameMap()
    wires = {key: names.to_wire(key[1], key[0]) for key in keys}
    for key, wire in wires.items():
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", wire)
        assert names.split(wire) == key
        assert names.from_wire(wire) == key[1]
        assert names.to_wire(key[1], key[0]) == wire


def test_the_limit_is_the_upstreams() -> None:
    long = "t" * 100
    assert NameMap(128).to_wire(long) == long
    assert len(NameMap(64).to_wire(long)) == 64


def test_the_wire_name_does_not_depend_on_other_tools() -> None:
    alone, crowded = NameMap(), NameMap()
    crowded.to_wire("other.tool")
    assert alone.to_wire("fs.read") == crowded.to_wire("fs.read")


def test_names_that_would_collide_stay_apart() -> None:
    names = NameMap()
    assert len({names.to_wire("mail__send"), names.to_wire("send", "mail"), names.to_wire("mail.send")}) == 3


def test_an_unknown_name_comes_back_as_it_is() -> None:
    assert NameMap().split("invented") == (None, "invented")


def test_the_map_of_a_request_knows_tools_and_history() -> None:
    request = Request(
        model="m",
        items=(ToolCall("c1", "old.tool", "{}"),),
        tools=(FunctionTool("a.b"), FunctionTool("send", namespace="mail"), CustomTool("patch")),
    )
    names = names_of(request)
    assert names.split("mail__send") == ("mail", "send")
    assert names.from_wire(NameMap().to_wire("old.tool")) == "old.tool"

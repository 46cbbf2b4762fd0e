"""Capabilities of content: text, tools, media, structured output."""

from __future__ import annotations

import base64
import hashlib
import json

from jsonschema import validate

from tests.matrix.facts import Answer, Ask, Function, Paper, Part, Picture, Results, Said, user
from tests.matrix.harness import Cell
from tests.media_server import PNG as FETCHED
from tests.sdk.support import CITY_SCHEMA, CLOCK, PARIS, PDF, PNG, TWO_CALLS, WEATHER, WEB_IMAGE, ZONE, ZONE_SCHEMA

WEB_PAPER = "https://papers.example.com/report.pdf"
TOOLS = (Function(WEATHER, CITY_SCHEMA), Function(CLOCK, ZONE_SCHEMA))
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "born": {"type": "integer"},
        "languages": {"type": "array", "items": {"type": "string", "enum": ["Analytical", "Ada"]}},
        "home": {"$ref": "#/$defs/place"},
    },
    "required": ["name", "born", "languages", "home"],
    "additionalProperties": False,
    "$defs": {
        "place": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "zip": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            "required": ["city", "zip"],
            "additionalProperties": False,
        }
    },
}


def digest(data: str) -> str:
    """The first digits of the SHA-256 of base64 ``data``, as the simulated vendors label what they see."""
    return hashlib.sha256(base64.b64decode(data)).hexdigest()[:8]


def history(cell: Cell, answer: Answer) -> list[str]:
    """The lines of ``[[history]]``, what the vendor understood, without the cell's mark."""
    return [line.replace(f"({cell.mark}) | ", "").replace(f"({cell.mark})", "") for line in answer.text.split("\n")]


def text(cell: Cell) -> None:
    """Words arrive as they were said, whatever characters they are made of, over several turns."""
    words = 'Grüße, "Ada"!\n\tΣ 日本 😀 \\u0041 </system> data: [DONE] ok'
    first = cell.ask(Ask((user(f"[[say:{words}]]"),)))
    assert first.text == words and first.finish == cell.finish("stop") and first.calls == []
    second = cell.ask(Ask((user(f"[[say:{words}]]"), Said(first.replay), user("[[history]]"))))
    lines = history(cell, second)
    at = next(index for index, line in enumerate(lines) if line.startswith("assistant: "))
    assert "\n".join(lines[at:]).startswith(f"assistant: {words}\nuser: ")


def system(cell: Cell) -> None:
    """System and developer text stand before the conversation, in their order, and stay what they are."""
    answer = cell.ask(Ask((user("[[echo-system]]"),), system="Be brief.", developer="Speak English."))
    assert answer.text.split() == ["Be", "brief.", "Speak", "English."]
    described = history(cell, cell.ask(Ask((user("[[history]]"),), system="Be brief.", developer="Speak English.")))
    assert described[0].startswith("system: Be brief.")
    assert not any(line.startswith("assistant") for line in described)


def tools(cell: Cell) -> None:
    """A call with its arguments, its result, a forced call, and calls forbidden."""
    asked = user(f"[[tool:{WEATHER} {PARIS}]]")
    first = cell.ask(Ask((asked,), tools=TOOLS))
    ((call_id, name, arguments),) = first.calls
    assert call_id and name == WEATHER and json.loads(arguments) == json.loads(PARIS)
    assert first.finish == cell.finish("tool_calls")
    assert cell.sent()[-1].offered == [WEATHER, CLOCK]

    given = Results(((call_id, ("18 degrees",)),))
    second = cell.ask(Ask((asked, Said(first.replay), given), tools=TOOLS))
    assert second.text == f"Tool results: {WEATHER} gave: 18 degrees." and second.finish == cell.finish("stop")

    forced = cell.ask(Ask((user("Hello"),), tools=TOOLS, choice=CLOCK))
    assert [name for _, name, _ in forced.calls] == [CLOCK]
    validate(json.loads(forced.calls[0][2]), ZONE_SCHEMA)
    any_of_them = cell.ask(Ask((user("Hello"),), tools=TOOLS, choice="required"))
    assert [name for _, name, _ in any_of_them.calls] == [WEATHER]
    none = cell.ask(Ask((user(f"[[tool:{WEATHER}]][[say:No tools.]]"),), tools=TOOLS, choice="none"))
    assert none.calls == [] and none.text == "No tools."


def parallel_tools(cell: Cell) -> None:
    """Two calls in one answer; their results come back in the other order and reach the vendor in that of the calls.
    With parallel calls switched off there is one call, or the loss is announced."""
    asked = user(f"[[tools-interleaved]]{TWO_CALLS}")
    first = cell.ask(Ask((asked,), tools=TOOLS))
    assert [(name, json.loads(given)) for _, name, given in first.calls] == [
        (WEATHER, json.loads(PARIS)),
        (CLOCK, json.loads(ZONE)),
    ]
    (weather, _, _), (clock, _, _) = first.calls
    assert weather != clock and first.finish == cell.finish("tool_calls")
    outputs = Results(((clock, ("noon",)), (weather, ("18 degrees",))))
    second = cell.ask(Ask((asked, Said(first.replay), outputs, user("[[history]]")), tools=TOOLS))
    lines = [line for line in history(cell, second) if line.startswith(("call", "result"))]
    assert [line.split(" ")[:2] for line in lines[:2]] == [["call", WEATHER], ["call", CLOCK]]
    assert [json.loads(line.split(" ", 2)[2]) for line in lines[:2]] == [json.loads(PARIS), json.loads(ZONE)]
    results = [f"result of {WEATHER}: 18 degrees", f"result of {CLOCK}: noon"]
    # OpenAI and a vendor that is relayed to pair results by their ids, and get them as the client sent them.
    free = cell.vendor.spoken(cell.frontend) in (cell.frontend, "responses")
    assert (sorted(lines[2:]) if free else lines[2:]) == (sorted(results) if free else results)

    single = cell.ask(Ask((user(TWO_CALLS),), tools=TOOLS, parallel=False))
    assert len(single.calls) == 1 or any("parallel_tool_calls" in loss for loss in single.losses), single.losses


def tool_result_images(cell: Cell) -> None:
    """A tool answers with words and a picture: the picture's bytes reach the vendor, in the result where the vendor
    takes them there, else in a user message right behind it."""
    asked = user(f"[[tool:{WEATHER} {PARIS}]]")
    first = cell.ask(Ask((asked,), tools=TOOLS))
    output: tuple[Part, ...] = ("Here is the map.", Picture(PNG))
    given = Results(((first.calls[0][0], output),))
    second = cell.ask(Ask((asked, Said(first.replay), given, user("[[history]]")), tools=TOOLS))
    lines = history(cell, second)
    at = next(index for index, line in enumerate(lines) if line.startswith(f"result of {WEATHER}: Here is the map."))
    beside = cell.vendor.results_media == "beside" or cell.vendor.spoken(cell.frontend) == "chat_completions"
    behind = "\n".join(lines[at + 1 :]) if beside else lines[at]
    assert digest(PNG) in behind, lines


def images(cell: Cell) -> None:
    """Pictures inline and by address."""
    answer = cell.ask(Ask((user("[[history]]", Picture(PNG)),)))
    assert digest(PNG) in answer.text and "image image/png" in answer.text
    if cell.vendor.takes_urls:
        by_address = cell.ask(Ask((user("[[history]]", Picture(url=WEB_IMAGE)),)))
        assert WEB_IMAGE in by_address.text
    else:
        with cell.gateway.fetching() as origin:
            by_address = cell.ask(Ask((user("[[history]]", Picture(url=f"{origin}/cat.png")),)), locally=True)
        assert digest(base64.b64encode(FETCHED).decode()) in by_address.text


def pdf(cell: Cell) -> None:
    """A PDF file inline; and by address where the frontend and the vendor have that."""
    ask = Ask((user("[[history]]", Paper(PDF)),))
    if cell.lack:
        refused(cell, ask, "file", "pdf", "PDF", "document")
    else:
        answer = cell.ask(ask)
        assert digest(PDF) in answer.text and "pdf" in answer.text
    if cell.vendor.papers_by_url and cell.frontend != "chat_completions":
        by_address = cell.ask(Ask((user("[[history]]", Paper(url=WEB_PAPER)),)))
        assert WEB_PAPER in by_address.text


def refused(cell: Cell, ask: Ask, *words: str) -> None:
    """``ask`` is a 400 of the gateway's own that names the content, and reaches no vendor."""
    assert cell.lack is not None and cell.lack.manner == "refused"
    error = cell.ask(ask, 400).error
    assert error is not None
    named = " ".join(str(error.get(name)) for name in ("message", "param"))
    assert any(word in named for word in words), error
    if cell.frontend != "messages":
        assert error["param"], error
    assert cell.gateway.origin.backends.simulated.recorded(marker=cell.mark) == []


def structured_output(cell: Cell) -> None:
    """The answer is an instance of the schema, given as ordinary content with an ordinary end, also where the vendor
    must be made to call a tool for it; with tools on offer the model may still call one."""
    answer = cell.ask(Ask((user("Who?"),), schema=PERSON))
    validate(json.loads(answer.text), PERSON)
    assert answer.calls == [] and answer.finish == cell.finish("stop")
    asked = cell.sent()[-1]
    assert asked.schema is not None or asked.offered, asked.body

    calling = cell.ask(Ask((user(f"[[tool:{WEATHER} {PARIS}]]"),), schema=PERSON, tools=TOOLS))
    assert [(name, json.loads(given)) for _, name, given in calling.calls] == [(WEATHER, json.loads(PARIS))]
    assert calling.finish == cell.finish("tool_calls")
    given = Results(((calling.calls[0][0], ("18 degrees",)),))
    turns = (user(f"[[tool:{WEATHER} {PARIS}]]"), Said(calling.replay), given)
    if extra := cell.sent()[-1].offered[len(TOOLS) :]:
        # The gateway's own tool for the answer; a real model would know by itself when to call it.
        turns = (*turns, user(f"[[tool:{extra[0]} {json.dumps(json.loads(answer.text))}]]"))
    over = cell.ask(Ask(turns, schema=PERSON, tools=TOOLS))
    validate(json.loads(over.text), PERSON)
    assert over.calls == [] and over.finish == cell.finish("stop")

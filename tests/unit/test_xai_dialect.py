"""What xAI and Hugging Face need of the codecs, quirk by quirk, and of the rows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headgate.catalog.catalog import Catalog, Route
from headgate.conversation import (
    CustomTool,
    FunctionTool,
    Media,
    Message,
    Request,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
    WebSearchTool,
)
from headgate.errors import GatewayError
from headgate.events import ItemEnded
from headgate.protocols.chat_completions import errors as chat_errors
from headgate.protocols.chat_completions import relay_request as chat_relay
from headgate.protocols.chat_completions.upstream_request import write_request as write_chat
from headgate.protocols.contract import Target
from headgate.protocols.names import NameMap
from headgate.protocols.responses import errors as responses_errors
from headgate.protocols.responses.parts import read_citation
from headgate.protocols.responses.relay_request import prepare, suits
from headgate.protocols.responses.upstream_request import write_request
from headgate.protocols.responses.upstream_stream import StreamReader
from headgate.protocols.responses.usage import usage_of
from headgate.providers.auth import Credentials
from headgate.providers.fit import fit_body, fit_headers
from headgate.providers.rows import PROVIDERS
from headgate.routing.attempt import may_move_on
from headgate.routing.candidates import resolve
from headgate.usage import cost

CATALOG = Catalog.bundled()
XAI, HUGGING_FACE = PROVIDERS["xai"], PROVIDERS["huggingface"]
USER = Message("user", (Text("hi"),))


async def route(name: str) -> Route:
    row = PROVIDERS[name.partition("/")[0]]
    access = await Credentials({f"{row.variable('API_KEY')}": "k"}).access(row)
    assert access is not None
    found = resolve(name, CATALOG)[0][1].at(access)
    assert found is not None
    return found


async def target(name: str) -> Target:
    return (await route(name)).target()


def asking(*items: Any, **fields: Any) -> Request:
    return Request("m", items=items or (USER,), **fields)


def paths(losses: list[Any]) -> list[str]:
    return [loss.path for loss in losses]


async def test_stop_and_effort_by_model():
    sampling, thinking = Sampling(stop=("x",)), Thinking(effort="high")
    body, losses = write_chat(asking(sampling=sampling, thinking=thinking), await target("xai/grok-4.3"))
    assert body["reasoning_effort"] == "high" and "stop" not in body and paths(losses) == ["stop"]
    fixed = await target("xai/grok-4.20-reasoning")
    body, losses = write_chat(asking(thinking=thinking), fixed)
    assert "reasoning_effort" not in body and paths(losses) == ["reasoning"]
    body, losses = write_request(asking(thinking=thinking), fixed)
    assert "effort" not in body.get("reasoning", {}) and "reasoning.effort" in paths(losses)
    plain = await target("xai/grok-4.20-non-reasoning")
    body, losses = write_chat(asking(sampling=sampling), plain)
    assert body["stop"] == ["x"] and not losses
    sent, losses = chat_relay.prepare(
        {"messages": [{"role": "user", "content": "x"}], "stop": "x", "reasoning_effort": "low"}, fixed, lambda _: None
    )
    assert not {"stop", "reasoning_effort"} & set(sent) and paths(losses) == ["stop", "reasoning_effort"]


async def test_free_text_tools_are_functions_both_ways():
    grok = await target("xai/grok-4.3")
    items = (USER, ToolCall("c1", "patch", "*** text", kind="custom"), ToolResult("c1", (Text("ok"),), kind="custom"))
    names = NameMap()
    choice = ToolChoice("named", (("custom", "patch"),))
    body, losses = write_request(asking(*items, tools=(CustomTool("patch"),), tool_choice=choice), grok, names)
    assert not losses and body["tools"][0]["type"] == "function" and body["tool_choice"]["type"] == "function"
    call, result = body["input"][1:]
    assert (call["type"], call["arguments"]) == ("function_call", '{"input":"*** text"}')
    assert result["type"] == "function_call_output"
    reader = StreamReader(grok, names)
    item = {"id": "fc_1", "type": "function_call", "call_id": "c2", "name": "patch", "arguments": ""}
    place = {"output_index": 0, "item_id": "fc_1"}
    arguments = '{"input":"a"}'
    frames: list[dict[str, Any]] = [
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.function_call_arguments.delta", **place, "delta": arguments[:6]},
        {"type": "response.function_call_arguments.delta", **place, "delta": arguments[6:]},
        {"type": "response.function_call_arguments.done", **place, "arguments": arguments},
        {"type": "response.output_item.done", "output_index": 0, "item": {**item, "arguments": arguments}},
    ]
    events = [event for frame in frames for event in reader.read(None, json.dumps(frame).encode())]
    (ended,) = [event.item for event in events if isinstance(event, ItemEnded)]
    assert isinstance(ended, ToolCall) and (ended.kind, ended.name, ended.arguments) == ("custom", "patch", "a")


async def test_a_choice_among_tools_leaves_the_others_out():
    grok = await target("xai/grok-4.3")
    tools = (FunctionTool("a", parameters={}), FunctionTool("b", parameters={}), WebSearchTool())
    allowed = ToolChoice("required", (("function", "b"),))
    body, _ = write_request(asking(tools=tools, tool_choice=allowed), grok)
    assert [tool["name"] for tool in body["tools"]] == ["b"] and body["tool_choice"] == "required"
    search = ToolChoice("named", (("web_search", "web_search"),))
    body, _ = write_request(asking(tools=tools, tool_choice=search), grok)
    assert body["tool_choice"] == "required"


async def test_search_by_domains():
    tool = WebSearchTool("low", ("a.example",), ("b.example",), {"country": "RS"}, 3)
    body, losses = write_request(asking(tools=(tool,)), await target("xai/grok-4.3"))
    filters = {"allowed_domains": ["a.example"], "excluded_domains": ["b.example"]}
    place = {"type": "approximate", "country": "RS"}
    assert body["tools"] == [{"type": "web_search", "filters": filters, "user_location": place}]
    assert paths(losses) == ["tools[0].search_context_size", "tools[0].max_uses"]


async def test_files_are_read_at_an_address():
    grok = await target("xai/grok-4.3")
    url = Media("file", url="https://example.com/a.pdf")
    body, _ = write_request(asking(Message("user", (url,))), grok)
    assert body["input"][0]["content"] == [{"type": "input_file", "file_url": "https://example.com/a.pdf"}]
    with pytest.raises(GatewayError, match="not one sent along"):
        write_request(asking(Message("user", (Media("file", data="QUJD"),))), grok)


@pytest.mark.parametrize(("body", "fits"), [
    ({"tools": [{"type": "function", "name": "f"}, {"type": "x_search"}]}, True),
    ({"tools": [{"type": "web_search", "filters": {"excluded_domains": ["a"]}}]}, True),
    ({"tool_choice": {"type": "function", "name": "f"}, "input": [{"role": "user", "content": "x"}]}, True),
    ({"tools": [{"type": "custom", "name": "p"}]}, False),
    ({"tools": [{"type": "namespace", "name": "n", "tools": []}]}, False),
    ({"tools": [{"type": "web_search", "external_web_access": True}]}, False),
    ({"tools": [{"type": "web_search_preview"}]}, False),
    ({"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": []}}, False),
    ({"input": [{"type": "custom_tool_call", "call_id": "c", "name": "p", "input": ""}]}, False),
])  # fmt: skip
async def test_what_can_be_passed_through(body: dict[str, Any], fits: bool):
    assert suits(body, await target("xai/grok-4.3")) is fits
    assert suits(body, Target("openai", "gpt-5.4"))


async def test_what_a_relayed_body_leaves_out():
    grok = await target("xai/grok-4.3")
    include = ["reasoning.encrypted_content", "web_search_call.action.sources", "file_search_call.results"]
    body = {"model": "x", "input": "x", "include": include, "text": {"verbosity": "low"}}
    sent, losses = prepare(body, grok, lambda _: None)
    assert sent["include"] == ["reasoning.encrypted_content"] and "text" not in sent
    assert paths(losses) == ["text.verbosity", "include"]
    fitted, losses = fit_body(XAI, "responses", {"input": "x", "metadata": {"a": "b"}, "max_tool_calls": 2})
    assert fitted == {"input": "x"} and paths(losses) == ["max_tool_calls"]
    fitted, losses = fit_body(XAI, "chat_completions", {"presence_penalty": 0.0, "frequency_penalty": 1, "n": 2})
    assert fitted == {"n": 2} and paths(losses) == ["frequency_penalty"]


def test_a_chat_names_its_conversation_in_a_header():
    body = {"model": "m", "prompt_cache_key": "hg-1"}
    assert fit_headers(XAI, "chat_completions", body) == {"x-grok-conv-id": "hg-1"} and body == {"model": "m"}
    body = {"prompt_cache_key": "line\nbreak"}
    assert fit_headers(XAI, "chat_completions", body) == {} and not body
    body = {"prompt_cache_key": "k"}
    assert (
        fit_headers(XAI, "responses", body) == {} and fit_headers(PROVIDERS["openai"], "chat_completions", body) == {}
    )
    assert body == {"prompt_cache_key": "k"}


@pytest.mark.parametrize("read", [chat_errors.read_error, responses_errors.read_error])
def test_errors_in_words_of_their_own(read: Any):
    flat = b'{"code":"invalid-argument","error":"%s"}'
    error = read(400, flat % b"Argument not supported: metadata", {})
    assert (error.code, error.message) == ("invalid-argument", "Argument not supported: metadata")
    assert not may_move_on(400, error.code)
    for words, code in (
        (b"Incorrect API key provided: xa***.", "invalid_api_key"),
        (b"Model not found: x", "model_not_found"),
    ):
        error = read(400, flat % words, {})
        assert error.code == code and may_move_on(400, error.code)
    nested = b'{"error":{"message":"The requested model \'x\' is not supported by any provider you have enabled.",'
    assert read(400, nested + b'"code":"model_not_supported"}}', {}).code == "model_not_found"
    text = b"Failed to deserialize the JSON body into the target type: tools[0].type: unknown variant `custom`"
    plain = {"Content-Type": "text/plain; charset=utf-8"}
    assert read(422, text, plain).message == text.decode()
    for status, body, headers in ((422, text, {}), (503, text, plain), (422, b"<html>", plain), (422, b"\xff", plain)):
        assert (
            "deserialize" not in read(status, body, headers).message
            and str(status) in read(status, body, headers).message
        )


def test_what_hugging_faces_validator_found():
    body = b'{"success":false,"error":[{"code":"invalid_type","path":["input"],"message":"Required"}],"details":[]}'
    assert responses_errors.read_error(400, body, {}).message == "Required"


LIVE: Any = {
    # An answer of grok-4.3 as xAI gave and charged it, without and with searches.
    "tokens": ({"input_tokens": 197, "input_tokens_details": {"cached_tokens": 128}, "output_tokens": 111}, 3_893_500),
    "searches": (
        {
            "input_tokens": 4144,
            "input_tokens_details": {"cached_tokens": 1920},
            "output_tokens": 49,
            "server_side_tool_usage_details": {"web_search_calls": 2, "x_search_calls": 0},
        },
        132_865_000,
    ),
}


@pytest.mark.parametrize("case", LIVE)
async def test_the_catalogue_charges_what_xai_charged(case: str):
    usage, ticks = LIVE[case]
    price = (await route("xai/grok-4.3")).price
    assert cost(usage_of({"usage": usage}), price) == ticks * 100


def test_a_citation_of_no_place_is_of_the_whole_text():
    note = {"type": "url_citation", "url": "https://a", "start_index": 0, "end_index": 0}
    assert (read_citation(note).start, read_citation(note).end) == (None, None)
    assert read_citation({**note, "end_index": 3}).end == 3


async def test_variants_of_a_model():
    assert (await route("huggingface/kimi-k2.5:together")).model == "moonshotai/Kimi-K2.5:together"
    assert (await route("huggingface/MOONSHOTAI/kimi-k2.5:cheapest")).model == "moonshotai/Kimi-K2.5:cheapest"
    assert (await route("huggingface/moonshotai/Kimi-K2.5")).model == "moonshotai/Kimi-K2.5"
    model, first = resolve("huggingface/kimi-k2.5:together", CATALOG)[0]
    assert (model.slug, first.provider, first.variant) == ("kimi-k2.5", "huggingface", "together")
    assert all(not other.variant for _, other in resolve("huggingface/kimi-k2.5:together", CATALOG)[1:])
    for name in ("xai/grok-4.3:x", "huggingface/kimi-k2.5:", "huggingface/kimi-k2.5:a/b", "kimi-k2.5:groq"):
        with pytest.raises(GatewayError, match="does not exist"):
            resolve(name, CATALOG)
    ids = {"HEADGATE_HUGGINGFACE_MODEL_IDS": "moonshotai/Kimi-K2.5=moonshotai/Kimi-K2.5:novita", "HF_TOKEN": "t"}
    access = await Credentials(ids).access(HUGGING_FACE)
    assert access is not None and access.protocols == ("chat_completions",)
    chosen = [resolve(name, CATALOG)[0][1].at(access) for name in ("huggingface/kimi-k2.5", "hf/kimi-k2.5:groq")]
    assert [each.model for each in chosen if each] == ["moonshotai/Kimi-K2.5:novita", "moonshotai/Kimi-K2.5:groq"]
    both = await Credentials({"HF_TOKEN": "t", "HEADGATE_HUGGINGFACE_PROTOCOLS": "responses"}).access(HUGGING_FACE)
    assert both is not None and both.protocols == ("responses",)


async def test_hugging_faces_translator():
    oss = await target("huggingface/gpt-oss-120b")
    items = (
        Message("developer", (Text("a"),)),
        USER,
        ToolCall("c", "f", "{}"),
        ToolResult("c", (Text("a"), Text("b"))),
    )
    body, losses = write_request(asking(*items, thinking=Thinking(effort="low", summary="detailed")), oss)
    assert body["input"][0]["role"] == "system" and body["input"][-1]["output"] == "a\nb"
    assert body["reasoning"]["summary"] == "auto" and paths(losses) == ["reasoning.summary"]
    with pytest.raises(GatewayError, match="can only be text"):
        write_request(asking(USER, items[2], ToolResult("c", (Media("image", url="https://a"),))), oss)

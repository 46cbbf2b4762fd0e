"""The quirks of vendors that answer or want to be asked in a way of their own: one test or two for each."""

import json

import pytest

from headgate.conversation import (
    FunctionTool,
    Media,
    Message,
    Reasoning,
    Request,
    Sealed,
    Text,
    Thinking,
    Thought,
    ToolCall,
    ToolResult,
)
from headgate.events import Failed, ItemEnded, UsageUpdated
from headgate.protocols.chat_completions.relay import Relay, prepare
from headgate.protocols.chat_completions.strict_messages import bare, settle
from headgate.protocols.chat_completions.thinking_parts import plain
from headgate.protocols.chat_completions.upstream_request import reader_options, write_request
from headgate.protocols.chat_completions.upstream_stream import StreamReader
from headgate.protocols.chat_completions.usage import added, read_usage
from tests.unit.chat_support import reply, seal, target, unseal


def frame(chunk):
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def chunk(content=None, finish=None, **more):
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


def thinking(text, **more):
    return {"type": "thinking", "thinking": [{"type": "text", "text": text}], **more}


def read(chunks, to, **options):
    reader = StreamReader(to, **options)
    return [event for each in chunks for event in reader.read(None, json.dumps(each).encode())] + reader.end()


def items_of(events):
    return [event.item for event in events if isinstance(event, ItemEnded)]


def texts_of(events):
    return ["".join(part.text for part in item.parts) for item in items_of(events)]


PARTS = target(quirks=frozenset({"thinking_parts"}), provider="mistral", model="magistral-medium")
SUMS = target(quirks=frozenset({"usage_increments"}))
STRICT = target(quirks=frozenset({"strict_messages", "system_role"}))


def messages_of(*items, to, **fields):
    return write_request(Request("m", items, **fields), to)[0]["messages"]


def test_thinking_parts_of_a_stream_are_reasoning_with_its_signature():
    events = read([chunk([thinking("Hm", signature="sig")]), chunk([{"type": "text", "text": "Yes"}], "stop")], PARTS)
    thought, said = items_of(events)
    assert isinstance(thought, Reasoning) and thought.parts[0].text == "Hm" and said.parts[0].text == "Yes"
    assert thought.sealed == Sealed("chat_completions", "sig", "mistral", "magistral-medium")


def test_thoughts_go_back_as_parts_and_a_signature_only_to_its_maker():
    own = Sealed("chat_completions", "sig", "mistral", "magistral-medium")
    foreign = Sealed("messages", "other", "anthropic", "claude")
    said = Message("assistant", (Text("Yes"),))
    for seal_, signature in ((own, {"signature": "sig"}), (foreign, {}), (None, {})):
        (message,) = messages_of(Reasoning((Thought("Hm"),), seal_), said, to=PARTS)
        assert message["content"] == [thinking("Hm", closed=True, **signature), {"type": "text", "text": "Yes"}]


def test_a_relayed_stream_says_thoughts_where_clients_look_for_them():
    relay = Relay(reply({"stream": True}), PARTS)
    out = relay.feed(frame(chunk([thinking("Hm", signature="sig")]))) + relay.feed(frame(chunk("Yes", "stop")))
    first, second = (json.loads(line[5:]) for line in out.split(b"\n\n") if line)
    delta = first["choices"][0]["delta"]
    assert (delta["content"], delta["reasoning_content"]) == (None, "Hm")
    assert second["choices"][0]["delta"] == {"content": "Yes"}
    # What the client sends back is what the vendor sent.
    back = {
        "role": "assistant",
        "content": "Yes",
        **{name: delta[name] for name in ("reasoning_content", "reasoning_details")},
    }
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}, back]}
    sent, losses = prepare(body, PARTS, unseal)
    assert sent["messages"][1] == {
        "role": "assistant",
        "content": [thinking("Hm", closed=True, signature="sig"), {"type": "text", "text": "Yes"}],
    }
    assert not losses


def test_content_of_other_parts_is_left_where_it_is_not_text():
    said = plain({"content": [{"type": "text", "text": "a"}, {"type": "reference", "reference_ids": [1]}, "?"]}, seal)
    assert said == {"content": "a"}
    assert plain({"content": "a", "tool_calls": []}, seal) == {"content": "a", "tool_calls": []}


def test_thoughts_go_back_as_reasoning():
    to = target(quirks=frozenset({"reasoning_text"}))
    (message,) = messages_of(Reasoning((Thought("Hm"),)), Message("assistant", (Text("Yes"),)), to=to)
    assert message == {"role": "assistant", "reasoning": "Hm", "content": "Yes"}
    history = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "Yes", "reasoning_content": "Hm"}]
    assert prepare({"model": "m", "messages": history}, to, unseal)[0]["messages"][1]["reasoning"] == "Hm"


def use(prompt, completion, **more):
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion, **more}


WITH_SUM = [
    chunk("", usage=use(9, 0, prompt_tokens_details={"cached_tokens": 4})),
    chunk("Hi", usage=use(0, 1, prompt_tokens_details={"cached_tokens": 0})),
    chunk("", "stop", usage=use(0, 0)),
    {**chunk(), "choices": [], "usage": use(0, 1)},
    {"response": "", "usage": use(9, 2, prompt_tokens_details={"cached_tokens": 4})},
]


@pytest.mark.parametrize("chunks", [WITH_SUM, WITH_SUM[:-1]], ids=["with-the-sum", "without"])
def test_usage_by_increments(chunks):
    (counted,) = [event.usage for event in read(chunks, SUMS) if isinstance(event, UsageUpdated)]
    assert (counted.input_total, counted.cache_read, counted.output_total) == (9, 4, 2)


@pytest.mark.parametrize("asked", [False, True])
def test_usage_by_increments_through_a_relay(asked):
    relay = Relay(reply({"stream": True, "stream_options": {"include_usage": asked}}), SUMS)
    out = b"".join(relay.feed(frame(each)) for each in WITH_SUM) + relay.feed(b"data: [DONE]\n\n") + relay.end()
    chunks = [json.loads(line[5:]) for line in out.split(b"\n\n") if line and b"[DONE]" not in line]
    assert all(each["object"] == "chat.completion.chunk" for each in chunks) and out.endswith(b"data: [DONE]\n\n")
    told = [each["usage"] for each in chunks if "usage" in each]
    assert told == ([WITH_SUM[-1]["usage"]] if asked else [])
    assert (relay.usage.input_total, relay.usage.output_total) == (9, 2)


def test_sums_of_usage():
    assert added({"a": 1, "b": {"c": 1.5}}, {"a": 2, "b": {"c": 1, "d": 2}, "e": None}) == {
        "a": 3,
        "b": {"c": 2.5, "d": 2},
        "e": None,
    }


@pytest.mark.parametrize(
    "cached",
    [
        {"num_cached_tokens": 3},
        {"prompt_token_details": {"cached_tokens": 3}},
        {"prompt_tokens_details": {"cached_tokens": 3}},
        {"prompt_cache_hit_tokens": 3, "prompt_tokens_details": None},
    ],
)
def test_cached_tokens_under_all_their_names(cached):
    assert read_usage(use(9, 2, **cached)).cache_read == 3


def test_the_order_of_turns():
    user, said = {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}
    call = {**said, "content": None, "tool_calls": [{"id": "a"}]}
    result = {"role": "tool", "tool_call_id": "a", "content": "z", "name": "f"}
    system = {"role": "system", "content": "s"}
    settled, losses = settle([system, user, system, call, result, user, said, system, user, said])
    assert [message["role"] for message in settled] == [
        "system", "user", "system", "assistant", "tool", "assistant", "user", "assistant", "user", "user", "assistant",
    ]  # fmt: skip
    assert settled[5]["content"] == "OK" and settled[8]["content"] == "<system>\ns\n</system>"
    assert settled[-1]["prefix"] is True and "prefix" not in settled[7] and not losses
    # A call waits for its result: nothing is to be continued there.
    assert "prefix" not in settle([user, call])[0][-1]


def test_fields_that_a_message_may_not_have():
    messages = [
        {"role": "user", "content": "x", "name": "ada"},
        {"role": "assistant", "content": None, "refusal": "No.", "annotations": [{}], "audio": None},
        {"role": "assistant", "content": "", "function_call": {"name": "f", "arguments": "{}"}},
    ]
    kept, losses = bare(messages)
    assert kept == [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "No."},
        {"role": "assistant", "content": ""},
    ]
    assert [loss.path for loss in losses] == ["messages[0].name", "messages[2].function_call"]


@pytest.mark.parametrize(
    ("pieces", "texts"),
    [
        (["A most", " lovely", " day"], [" lovely day"]),
        (["A m", "ost love", "ly day"], [" lovely day"]),
        (["A mos", "aic"], ["A mosaic"]),
        (["A m"], ["A m"]),
    ],
)
def test_a_repeated_beginning_is_not_said_twice(pieces, texts):
    request = Request("m", (Message("user", (Text("Go on."),)), Message("assistant", (Text("A most"),))))
    options = reader_options(request, STRICT)
    assert options == {"prefix": "A most"} and reader_options(request, target()) == {}
    assert texts_of(read([*map(chunk, pieces), chunk("", "stop")], STRICT, **options)) == texts


def test_documents_by_address_and_by_data():
    to = target(quirks=frozenset({"document_url"}))
    media = (
        Media("file", url="https://e.com/a.pdf", media_type="application/pdf"),
        Media("file", data="JVBERi0=", media_type="application/pdf", filename="b.pdf"),
    )
    (message,) = messages_of(Message("user", media), to=to)
    by_data = {"type": "document_url", "document_url": "data:application/pdf;base64,JVBERi0=", "document_name": "b.pdf"}
    assert message["content"] == [{"type": "document_url", "document_url": "https://e.com/a.pdf"}, by_data]
    file = {"type": "file", "file": {"filename": "b.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}
    own = {"type": "file", "file": {"file_id": "f-1"}}
    sent, _ = prepare({"model": "m", "messages": [{"role": "user", "content": [file, own]}]}, to, unseal)
    assert sent["messages"][0]["content"] == [by_data, {"type": "file", "file_id": "f-1"}]


def test_a_function_without_parameters():
    to = target(quirks=frozenset({"tool_parameters"}))
    body, _ = write_request(Request("m", (Message("user", (Text("x"),)),), tools=(FunctionTool("now"),)), to)
    none = {"type": "object", "properties": {}}
    assert body["tools"][0]["function"]["parameters"] == none
    tools = [{"type": "function", "function": {"name": "now"}}]
    sent, _ = prepare({"model": "m", "messages": [{"role": "user", "content": "x"}], "tools": tools}, to, unseal)
    assert sent["tools"][0]["function"]["parameters"] == none and "parameters" not in tools[0]["function"]


def test_call_ids_of_other_vendors_are_made_to_fit_on_both_paths():
    to = target(quirks=frozenset({"call_ids_9"}))
    items = (ToolCall("call_1", "f", "{}"), ToolResult("call_1", (Text("y"),)))
    translated = messages_of(*items, to=to)
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    history = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "y"},
    ]
    relayed = prepare({"model": "m", "messages": history}, to, unseal)[0]["messages"][1:]
    for asked, result in (translated, relayed):
        made = asked["tool_calls"][0]["id"]
        assert len(made) == 9 and made.isalnum() and result["tool_call_id"] == made
    assert history[1]["tool_calls"][0]["id"] == "call_1"
    assert relayed[0]["tool_calls"][0]["id"] == translated[0]["tool_calls"][0]["id"]


def test_an_effort_only_for_models_that_are_known_to_take_one():
    to = target(quirks=frozenset({"efforts_listed"}), efforts=())
    body, losses = write_request(Request("m", (Message("user", (Text("x"),)),), thinking=Thinking(effort="high")), to)
    assert "reasoning_effort" not in body and [loss.path for loss in losses] == ["reasoning"]
    sent = {"model": "m", "messages": [{"role": "user", "content": "x"}], "reasoning_effort": "high"}
    made, losses = prepare(sent, to, unseal)
    assert "reasoning_effort" not in made and [loss.path for loss in losses] == ["reasoning_effort"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ({"object": "error", "message": "Internal", "type": "internal_server_error"}, "Internal"),
        ({"errors": [{"message": "AiError: x", "code": 8000}], "success": False}, "AiError: x"),
        ({"error": "The model has crashed."}, "The model has crashed."),
    ],
)
def test_errors_in_a_stream_in_every_form(error, message):
    (failed,) = [event for event in read([chunk("a"), error], target()) if isinstance(event, Failed)]
    assert failed.error.message == message
    relay = Relay(reply({"stream": True}), target())
    out = relay.feed(frame(chunk("a"))) + relay.feed(frame(error))
    assert relay.error is not None and relay.error.message == message
    assert json.loads(out.split(b"\n\n")[1][5:])["error"]

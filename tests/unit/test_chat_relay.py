"""Chat Completions on both sides: what goes up, and that what comes down is the upstream's own bytes."""

import json

import pytest

from headgate.conversation import Sealed
from headgate.errors import GatewayError
from headgate.protocols.chat_completions.relay import Relay, prepare, suits
from headgate.protocols.chat_completions.schema import validate
from tests.unit.chat_support import (
    FIXTURES,
    TARGET,
    WITH_USAGE,
    check_completion,
    chunks_of,
    fixture,
    frames,
    reply,
    seal,
    target,
    unseal,
)

WHOLE = [path.name for path in FIXTURES.iterdir() if path.name not in ("cut", "error_first", "error_in_stream")]
OURS = b'"model":"openai/gpt-5.4"'


def sent(to=TARGET, losses=(), key=None, **fields):
    body = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], **fields}
    before = json.dumps(body)
    prepared, lost = prepare(validate(body), to, unseal, key)
    assert [(loss.path, loss.code) for loss in lost] == list(losses)
    assert json.dumps(body) == before
    return prepared


def relayed(case, body, to=TARGET, **changes):
    relay = Relay(reply(body, **changes), to)
    out = b"".join(relay.feed(frame) for frame in frames(case))
    return out + relay.end(), relay


def test_what_is_not_ours_passes_untouched():
    odd = {"brand_new": {"b": 1, "a": [None]}, "temperature": 0.25, "n": 2, "store": True, "metadata": {"k": "v"}}
    messages = [{"role": "user", "content": [{"type": "hologram", "x": 1}], "odd": True}]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"z": 1, "a": 2}}, "odd": 1}]
    prepared = sent(**odd, messages=messages, tools=tools)
    assert prepared == {"model": "gpt-5.4", **odd, "messages": messages, "tools": tools}


def test_what_the_parse_helpers_of_openais_sdk_add_to_a_message_does_not_go_back():
    function = {"name": "f", "arguments": "{}"}
    call = {"id": "c", "type": "function", "function": {**function, "parsed_arguments": {}}}
    said = {"role": "assistant", "content": None, "tool_calls": [call], "parsed": None}
    messages = [{"role": "user", "content": "hi"}, said, {"role": "tool", "tool_call_id": "c", "content": "1"}]
    back = sent(messages=messages)["messages"][1]
    assert back == {"role": "assistant", "content": None, "tool_calls": [{**call, "function": function}]}


def test_what_speaks_to_the_gateway_stays_here():
    prepared = sent(
        routing={},
        provider="openai",
        session_id="s",
        agent="a",
        service_tier="flex",
        extra_body={"top_k": 3, "request_context_tokens": 9, "routing": {}, "user": "below"},
        user="above",
    )
    assert prepared == {
        "model": "gpt-5.4",
        "messages": [{"role": "user", "content": "hi"}],
        "top_k": 3,
        "user": "above",
    }


def test_a_stream_always_reports_its_usage():
    options = {"include_usage": False, "include_obfuscation": False}
    assert sent(stream=True)["stream_options"] == {"include_usage": True}
    assert sent(stream=True, stream_options=options)["stream_options"] == {**options, "include_usage": True}
    assert "stream_options" not in sent(stream=True, to=target("no_stream_options"))
    assert "stream_options" not in sent(stream=False, stream_options=None)


def test_bounds_seeds_and_caches_in_the_upstreams_words():
    assert sent(max_tokens=5)["max_completion_tokens"] == 5
    both = sent(max_tokens=5, max_completion_tokens=6)
    assert both["max_completion_tokens"] == 6 and "max_tokens" not in both
    assert sent(max_completion_tokens=6, to=target("max_tokens"))["max_tokens"] == 6
    assert sent(seed="42")["seed"] == 42
    assert sent(prompt_cache_retention="in-memory")["prompt_cache_retention"] == "in_memory"
    assert sent(key="derived")["prompt_cache_key"] == "derived"
    assert sent(key="derived", prompt_cache_key="own")["prompt_cache_key"] == "own"
    assert "prompt_cache_key" not in sent(key="derived", to=target("no_prompt_cache_key"))
    moved = [("reasoning_effort", "effort_adjusted")]
    few = target(efforts=("low", "high"))
    assert sent(reasoning_effort="minimal", to=few, losses=moved)["reasoning_effort"] == "low"
    assert "n" not in sent(n=3, to=target("no_n"))


def test_knobs_a_model_is_known_to_lack():
    plain = target(features=frozenset({"tools"}))
    fields = {"temperature": 0.5, "top_p": 1, "logprobs": True, "top_logprobs": 2, "reasoning_effort": "high"}
    losses = [(name, "unsupported_parameter") for name in ("temperature", "logprobs", "reasoning_effort")]
    assert sent(**fields, to=plain, losses=losses).keys() == {"model", "messages"}


def test_cache_marks_go_where_they_are_known():
    mark = {"cache_control": {"type": "ephemeral"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "a", **mark}], **mark}]
    tools = [{"type": "function", "function": {"name": "f"}, **mark}]
    assert "cache_control" not in json.dumps(
        sent(messages=messages, tools=tools, losses=[("cache_control", "unsupported_parameter")])
    )
    kept = sent(messages=messages, tools=tools, to=target("cache_control"))
    assert (kept["messages"], kept["tools"]) == (messages, tools)


def test_system_role():
    messages = [{"role": "developer", "content": "x"}]
    assert sent(messages=messages, to=target("system_role"))["messages"] == [{"role": "system", "content": "x"}]
    assert sent(messages=messages)["messages"] == messages


ROUTER = target(provider="openrouter", model="anthropic/claude-sonnet-4.6")
OWN = Sealed("chat_completions", "sig==", "openrouter", "anthropic/claude-sonnet-4.6")
FOREIGN = Sealed("messages", "other==", "anthropic", "claude-opus-4-6")
FOREIGN_LOSS = ("messages[0]", "foreign_signature")


def assistant(**fields):
    return [{"role": "assistant", "content": "x", "annotations": [], **fields}]


def detail(token, text="Hm"):
    return {"type": "reasoning.text", "text": text, "signature": token, "id": "rd_1", "index": 0}


def test_our_tokens_are_opened_for_their_maker_and_removed_for_others():
    messages = assistant(reasoning_content="Hm", reasoning="Hm", reasoning_details=[detail(seal(OWN))])
    (opened,) = sent(messages=messages, to=ROUTER)["messages"]
    assert opened == assistant(reasoning_details=[detail("sig==")])[0]
    for token in (seal(FOREIGN), "hg1.forged.x"):
        messages = assistant(reasoning_details=[detail(token)])
        assert sent(messages=messages, to=ROUTER, losses=[FOREIGN_LOSS])["messages"] == assistant()


def test_thoughts_go_back_to_those_who_want_them():
    thoughts = {
        "reasoning_content": "Hm",
        "reasoning": "Hm",
        "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}],
    }
    assert sent(messages=assistant(**thoughts))["messages"] == assistant()
    assert sent(messages=assistant(**thoughts), to=target("reasoning_content"))["messages"] == assistant(
        reasoning_content="Hm"
    )
    assert sent(messages=assistant(**thoughts), to=target("reasoning_details"))["messages"] == assistant(
        reasoning_details=thoughts["reasoning_details"]
    )


def test_media_in_results_stand_beside_them():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    words = {"type": "text", "text": "A map."}
    history = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "tool_calls": [call_of("a"), call_of("b"), call_of("c")]},
        {"role": "tool", "tool_call_id": "a", "content": [words, picture]},
        {"role": "tool", "tool_call_id": "b", "content": [picture]},
        {"role": "tool", "tool_call_id": "c", "content": [words]},
        {"role": "user", "content": "So?"},
    ]
    heading = "Files from the result of tool call {}:"
    beside = [
        {"type": "text", "text": heading.format("a")},
        picture,
        {"type": "text", "text": heading.format("b")},
        picture,
    ]
    assert sent(messages=history)["messages"] == [
        *history[:2],
        {**history[2], "content": [words]},
        {**history[3], "content": "(The result follows as a file in the next message.)"},
        history[4],
        {"role": "user", "content": beside},
        history[5],
    ]
    assert sent(messages=history[:5])["messages"][-1] == {"role": "user", "content": beside}
    assert sent(messages=history, to=target("media_in_results"))["messages"] == history


def test_a_signature_kept_of_a_stream_goes_back_with_the_text_beside_it():
    mistral = target("thinking_parts", provider="mistral", model="mistral-small-2603")
    token = seal(Sealed("chat_completions", "sig==", "mistral", "mistral-small-2603"))
    details = [{"type": "reasoning.text", "text": "", "signature": token, "index": 0}]
    messages = assistant(reasoning_content="Hm", reasoning_details=details)
    (back,) = sent(messages=messages, to=mistral)["messages"]
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}], "closed": True, "signature": "sig=="}
    assert back["content"] == [thought, {"type": "text", "text": "x"}]


@pytest.mark.parametrize(
    ("part", "features", "quirks", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "https://x/y.png"}}, {"tools"}, (), "image_url"),
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64,QUJD"}}, {"image"}, (), "file"),
        ({"type": "file", "file": {"file_data": "QUJD", "filename": "a.pdf"}}, {"image"}, (), "file"),
        ({"type": "file", "file": {"file_data": "data:text/plain;base64,QUJD"}}, {"pdf"}, ("files_by_url",), "file"),
    ],
)
def test_media_that_the_model_lacks_are_refused_by_name(part, features, quirks, param):
    messages = [{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]
    with pytest.raises(GatewayError) as refused:
        sent(messages=messages, to=target(*quirks, features=frozenset(features)))
    assert (refused.value.status, refused.value.param) == (400, f"messages[0].content[1].{param}")
    assert sent(messages=messages)["messages"] == messages


def test_pictures_at_addresses_are_translated_for_those_who_read_none():
    def asked(url):
        return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]}

    assert suits(asked("https://x/y.png"), TARGET)
    assert not suits(asked("HTTPS://x/y.png"), target("no_media_urls"))
    assert suits(asked("data:image/png;base64,QUJD"), target("no_media_urls"))
    assert suits({"messages": [{"role": "user", "content": "https://x/y.png"}]}, target("no_media_urls"))


def call_of(call_id):
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def call(token):
    return {
        "id": "c",
        "type": "function",
        "function": {"name": "f", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": token}},
    }


def test_thought_signatures_of_calls():
    own = Sealed("chat_completions", "EocD", "google", "gemini-3-pro")
    google = target("extra_content", provider="google", model="gemini-3-pro")
    assert sent(messages=assistant(tool_calls=[call(seal(own))]), to=google)["messages"] == assistant(
        tool_calls=[call("EocD")]
    )
    assert sent(messages=assistant(tool_calls=[call("EocD")]), to=google)["messages"] == assistant(
        tool_calls=[call("EocD")]
    )
    (message,) = sent(messages=assistant(tool_calls=[call(seal(own))]), losses=[FOREIGN_LOSS])["messages"]
    assert "extra_content" not in message["tool_calls"][0]


@pytest.mark.parametrize("case", sorted(WHOLE))
def test_all_bytes_but_model_and_usage_are_the_upstreams(case):
    out, relay = relayed(case, WITH_USAGE)
    mine = chunks_of(out)
    theirs = [json.loads(line) if line != b"[DONE]" else "[DONE]" for line in fixture(case)]
    usages = [chunk["usage"] for chunk in theirs if chunk != "[DONE]" and chunk.get("usage")]
    shown = [chunk for chunk in mine if chunk != "[DONE]" and chunk.get("usage")]
    if usages:
        # Usage stands in one chunk, without choices, before the end.
        assert shown == [mine[-2]] and mine[-2]["choices"] == []
        assert mine[-2]["usage"] == usages[-1] and mine[-2]["cost"]["total"] is not None
    if shown and not any(chunk != "[DONE]" and chunk.get("usage") and not chunk["choices"] for chunk in theirs):
        # The vendor said it beside choices, so the chunk is ours.
        mine.remove(shown[0])
    for ours, original in zip(mine, theirs, strict=False):
        if ours != "[DONE]":
            assert ours.pop("model") == "openai/gpt-5.4"
            original.pop("model")
            ours.pop("cost", None)
            if original.get("choices") and original.get("usage"):
                del original["usage"]
            for choice in original["choices"]:
                for call in choice["delta"].get("tool_calls") or ():
                    if (call.get("function") or {}).get("name"):
                        call.setdefault("type", "function")
        assert ours == original
    assert mine[-1] == "[DONE]" and out.count(b"[DONE]") == 1
    assert relay.saw_output and relay.error is None and relay.done and relay.finish is not None


def test_hot_frames_are_changed_in_the_model_only():
    relay = Relay(reply(WITH_USAGE), TARGET)
    for frame in frames("openai_text")[:5]:
        assert relay.feed(frame) == frame.replace(b'"model":"gpt-5.4-2026-03-05"', OURS)


def test_a_model_name_in_the_text_is_not_touched():
    said = json.dumps({"model": "gpt-5.4-2026-03-05"}, separators=(",", ":"))
    frame = frames("openai_text")[1].replace(b'"content":"Hello"', b'"content":' + json.dumps(said).encode())
    out = Relay(reply(WITH_USAGE), TARGET).feed(frame)
    assert json.loads(out[6:])["choices"][0]["delta"]["content"] == said
    assert out.count(OURS) == 1


def test_usage_the_client_asked_for_gets_its_cost():
    out, relay = relayed("openai_text", WITH_USAGE)
    usage = chunks_of(out)[-2]
    assert usage["usage"]["total_tokens"] == 36 and usage["cost"] == {"total": 0.000036}
    assert (relay.usage.input_total, relay.usage.cache_read, relay.finish) == (20, 8, "stop")


@pytest.mark.parametrize("case", sorted(WHOLE))
def test_usage_the_client_did_not_ask_for_is_gone_and_still_counted(case):
    out, relay = relayed(case, {"stream": True})
    shown = [chunk for chunk in chunks_of(out) if chunk != "[DONE]"]
    assert not any("usage" in chunk or "cost" in chunk for chunk in shown)
    assert all(chunk["choices"] for chunk in shown if "prompt_filter_results" not in chunk)
    _, asked = relayed(case, WITH_USAGE)
    assert relay.usage == asked.usage and relay.finish == asked.finish
    if case in ("openai_text", "groq", "xai_running_usage", "deepseek_reasoning"):
        assert relay.usage.total > 0


def test_a_chunk_with_choices_and_usage_loses_only_the_usage():
    out, _ = relayed("deepseek_reasoning", {"stream": True})
    last = frames("deepseek_reasoning")[-2]
    head, _, rest = last.partition(b',"usage":')
    assert rest.endswith(b"}}\n\n")
    assert head.replace(b'"deepseek-reasoner"', b'"openai/gpt-5.4"') + b"}\n\n" in out


def stream(*chunks):
    return [f"data: {json.dumps(chunk, separators=(',', ':'))}\n\n".encode() for chunk in chunks]


def test_output_tokens_hold_the_reasoning_as_at_openai():
    counts = {"prompt_tokens": 30, "completion_tokens": 2, "total_tokens": 42}
    counts["completion_tokens_details"] = {"reasoning_tokens": 10}
    counted = {**counts, "completion_tokens": 12}
    xai = target("reasoning_extra", provider="xai", model="grok-4.3")
    said = {"id": "c", "created": 1, "model": "grok-4.3", "choices": [{"index": 0, "delta": {"content": "a"}}]}
    over = {**said, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    for last in ([{**over, "usage": counts}], [over, {**said, "choices": [], "usage": counts}]):
        relay = Relay(reply(WITH_USAGE), xai)
        out = b"".join(relay.feed(frame) for frame in stream(said, *last)) + relay.feed(b"data: [DONE]\n\n")
        assert [chunk["usage"] for chunk in chunks_of(out)[:-1] if chunk.get("usage")] == [counted]
        assert relay.usage.output_total == 12 and relay.usage.reasoning == 10
    whole = {"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}], "usage": counts}
    assert Relay(reply({}), xai).json(json.dumps(whole).encode())["usage"] == counted


def test_calls_are_said_to_be_of_functions():
    call = {"id": "a", "index": 0, "function": {"name": "f", "arguments": '{"type":1}'}}
    whole = {"choices": [{"index": 0, "message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]}
    answered = Relay(reply({}), TARGET).json(json.dumps(whole).encode())
    assert answered["choices"][0]["message"]["tool_calls"] == [{**call, "type": "function"}]
    more = {"index": 0, "function": {"arguments": "}"}}
    frames_in = stream(*({"model": "m", "choices": [{"index": 0, "delta": {"tool_calls": [c]}}]} for c in (call, more)))
    relay = Relay(reply({"stream": True}), TARGET)
    opened, followed = (json.loads(relay.feed(frame)[6:])["choices"][0]["delta"]["tool_calls"] for frame in frames_in)
    assert opened == [{**call, "type": "function"}] and followed == [more]
    nothing = {"index": 0, "id": None, "type": None, "function": {"name": None, "arguments": ""}}
    (frame,) = stream({"model": "m", "choices": [{"index": 0, "delta": {"tool_calls": [nothing]}}]})
    (last,) = json.loads(relay.feed(frame)[6:])["choices"][0]["delta"]["tool_calls"]
    assert last == {"index": 0, "function": {"arguments": ""}}


def test_thoughts_have_the_name_that_most_clients_read():
    vllm = target("reasoning_text")
    said = {"reasoning": "Hm."}
    told = {**said, "reasoning_content": "Hm."}
    (frame,) = stream({"model": "m", "choices": [{"index": 0, "delta": said}]})
    out = Relay(reply({"stream": True}), vllm).feed(frame)
    assert json.loads(out[6:])["choices"][0]["delta"] == told
    whole = {"choices": [{"index": 0, "message": {"content": "a", **said}, "finish_reason": "stop"}]}
    assert Relay(reply({}), vllm).json(json.dumps(whole).encode())["choices"][0]["message"] == {"content": "a", **told}


@pytest.mark.parametrize("error", ["The model broke.", {"message": "The model broke.", "type": "server_error"}])
def test_an_error_is_an_object_of_openais(error):
    relay = Relay(reply({"stream": True}), TARGET)
    said = {"model": "m", "choices": [{"index": 0, "delta": {"content": "a"}}]}
    _, out = (relay.feed(frame) for frame in stream(said, {"error": error}))
    ended = json.loads(out[6:])["error"]
    assert ended["message"] == "The model broke." and ended.keys() == {"message", "type", "param", "code"}
    assert relay.done and relay.error is not None


def test_other_json_spacing():
    line = json.dumps({"id": "x", "model": "m", "choices": [{"index": 0, "delta": {"content": "a"}}], "usage": None})
    relay = Relay(reply({"stream": True}), TARGET)
    out = relay.feed(f"data: {line}\n\n".encode())
    assert json.loads(out[6:]) == {
        "id": "x",
        "model": "openai/gpt-5.4",
        "choices": [{"index": 0, "delta": {"content": "a"}}],
    }
    last = json.dumps(
        {"usage": {"prompt_tokens": 3, "note": "}"}, "model": "m", "choices": [{"finish_reason": "stop"}]}
    )
    out = relay.feed(f"data: {last}\r\n\r\n".encode())
    assert json.loads(out[6:]) == {"model": "openai/gpt-5.4", "choices": [{"finish_reason": "stop"}]}
    assert (relay.usage.input_total, relay.finish) == (3, "stop")


def test_signs_of_life_pass():
    relay = Relay(reply(WITH_USAGE), TARGET)
    assert relay.feed(b": keep-alive\n\n") == b": keep-alive\n\n" and not relay.saw_output


def test_an_error_before_any_output_can_still_fall_back():
    out, relay = relayed("error_first", WITH_USAGE)
    assert not relay.saw_output and relay.error is not None and relay.done
    assert (relay.error.status, relay.error.code) == (429, "rate_limit_exceeded")
    assert chunks_of(out)[0]["error"]["message"] == "Rate limit reached"


def test_an_error_after_output_ends_the_stream():
    out, relay = relayed("error_in_stream", WITH_USAGE)
    assert relay.saw_output and relay.error is not None and relay.error.status == 424
    assert chunks_of(out)[-1]["error"]["type"] == "server_error" and b"[DONE]" not in out and b'"lo"' not in out
    assert relay.finish is None and relay.usage.total == 8


def test_a_cut_stream_ends_with_an_error_and_a_missing_done_is_supplied():
    out, relay = relayed("cut", WITH_USAGE)
    assert chunks_of(out)[-1]["error"]["code"] == "stream_truncated" and relay.error is not None
    assert relay.end() == b"" and relay.done
    out, relay = relayed("no_done", WITH_USAGE)
    assert out.endswith(b"data: [DONE]\n\n") and relay.error is None


def test_with_several_choices_all_must_have_finished():
    two = {**WITH_USAGE, "n": 2}
    out, _ = relayed("no_done", two)
    assert "error" in chunks_of(out)[-1]
    second = [frame.replace(b'"index":0', b'"index":1') for frame in frames("no_done")]
    relay = Relay(reply(two), TARGET)
    assert b"".join(map(relay.feed, frames("no_done") + second)) + relay.end() and relay.error is None


@pytest.mark.parametrize("junk", [b"data: <html>\n\n", b'data: {"id": \n\n', b"data: [1]\n\n"])
def test_what_is_no_json_never_reaches_the_client(junk):
    relay = Relay(reply(WITH_USAGE), TARGET)
    relay.feed(frames("openai_text")[1])
    out = relay.feed(junk)
    assert b"html" not in out and json.loads(out[6:])["error"]["code"] == "invalid_provider_response"
    assert relay.done and relay.end() == b"" and relay.feed(frames("openai_text")[2]) == b""


def test_giving_up_says_so():
    relay = Relay(reply(WITH_USAGE), TARGET)
    relay.feed(frames("openai_text")[1])
    out = relay.fail(GatewayError(504, "timeout_error", "timeout", "Too long."))
    assert json.loads(out[6:])["error"]["message"] == "Too long." and relay.done and relay.error is not None


def test_the_whole_answer_is_kept_where_asked():
    _, relay = relayed("openai_parallel_tools", {"stream": True}, extra={"keep": True})
    body = relay.body
    assert body is not None
    check_completion(body)
    assert body["usage"]["total_tokens"] == 36 and body["model"] == "openai/gpt-5.4"
    assert [entry["function"] for entry in body["choices"][0]["message"]["tool_calls"]] == [
        {"name": "get_weather", "arguments": '{"city": "Paris"}'},
        {"name": "get_time", "arguments": "{}"},
    ]
    _, relay = relayed("openai_logprobs", WITH_USAGE, extra={"keep": True})
    assert relay.body is not None and [t["token"] for t in relay.body["choices"][0]["logprobs"]["content"]] == [
        "Yes",
        ".",
    ]
    _, relay = relayed("openai_text", WITH_USAGE)
    assert relay.body is None


JSON = {
    "id": "chatcmpl-theirs",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-5.4-2026-03-05",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    "odd": 1,
}


def test_a_json_answer():
    relay = Relay(reply({}), TARGET)
    body = relay.json(json.dumps(JSON).encode())
    assert body == {**JSON, "model": "openai/gpt-5.4", "cost": {"total": 0.000007}}
    assert relay.body is body and (relay.usage.total, relay.finish) == (7, "stop")


def test_a_json_answer_that_is_none():
    with pytest.raises(ValueError):
        Relay(reply({}), TARGET).json(b"<html>")
    relay = Relay(reply({}), TARGET)
    with pytest.raises(GatewayError) as caught:
        relay.json(b'{"error":{"message":"Overloaded","code":529}}')
    assert caught.value.message == "Overloaded" and caught.value.status == 529 and relay.error is caught.value
    with pytest.raises(GatewayError):
        Relay(reply({}), TARGET).json(b"[]")

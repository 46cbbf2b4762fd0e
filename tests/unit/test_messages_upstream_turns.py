"""The history that Anthropic would receive: alternating turns, results first, nothing forged."""

import base64
from typing import Any

import pytest

from headgate.conversation import (
    Citation,
    Item,
    Media,
    Message,
    OpaqueItem,
    OpaquePart,
    Reasoning,
    Sealed,
    Text,
    Thought,
    ToolCall,
    ToolResult,
)
from headgate.errors import GatewayError
from headgate.protocols.contract import Target
from headgate.protocols.messages.upstream_request import write_request
from tests.strategies import PDF, PNG
from tests.unit.messages_asking import HOUR, MADE, MARK, USER, ask, call, result, text, write
from tests.unit.messages_support import TARGET


def turns(*items: Item, target: Target = TARGET) -> Any:
    body, losses = write(ask(*items), target)
    return body["messages"], losses


def test_parallel_results_come_first_together_and_in_call_order() -> None:
    messages, losses = turns(
        USER,
        call("a"),
        call("b"),
        call("c"),
        result("c", "C"),
        Message("user", (Text("by the way"),)),
        result("a", "A"),
        ToolResult("b", (Text("B"), Media("image", data=PNG)), is_error=True),
    )
    assert [block["id"] for block in messages[1]["content"]] == ["a", "b", "c"]
    a, b, c, said = messages[2]["content"]
    assert a == {"type": "tool_result", "tool_use_id": "a", "content": [text("A")]}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    assert b == {"type": "tool_result", "tool_use_id": "b", "content": [text("B"), image], "is_error": True}
    assert (c["tool_use_id"], said) == ("c", text("by the way"))
    assert losses == []


def test_calls_one_after_the_other_stay_in_turns_of_their_own() -> None:
    messages, _ = turns(USER, call("a"), result("a"), call("b"), result("b"))
    assert [turn["role"] for turn in messages] == ["user", "assistant", "user", "assistant", "user"]


def test_a_call_without_result_gets_one_that_says_so() -> None:
    messages, losses = turns(USER, call("a"), Message("user", (Text("never mind"),)))
    assert messages[2]["content"][0] == {
        "type": "tool_result",
        "tool_use_id": "a",
        "is_error": True,
        "content": [text("No result was recorded for this call.")],
    }
    assert messages[2]["content"][1] == text("never mind")
    assert losses == [("input", "missing_tool_result")]
    assert turns(USER, call("a"))[0][2]["content"][0]["is_error"] is True


def test_an_orphan_result_becomes_text() -> None:
    messages, losses = turns(USER, ToolResult("ghost", (Text("boo"), Media("image", data=PNG))))
    note, boo, image = messages[0]["content"][1:]
    assert "ghost" in note["text"]
    assert (boo, image["type"]) == (text("boo"), "image")
    assert losses == [("input[1]", "orphan_tool_result")]


def test_two_results_for_one_call_lose_nothing() -> None:
    messages, losses = turns(USER, call("a"), result("a", "first"), result("a", "second"))
    assert messages[2]["content"][0]["content"] == [text("first")]
    assert text("second") in messages[2]["content"]
    assert losses == [("input[3]", "orphan_tool_result")]


def test_ids_that_return_in_a_later_turn_are_told_apart() -> None:
    messages, _ = turns(USER, call("call_0"), result("call_0", "1"), call("call_0"), result("call_0", "2"))
    assert messages[1]["content"][0]["id"] == messages[2]["content"][0]["tool_use_id"] == "call_0"
    assert messages[3]["content"][0]["id"] == messages[4]["content"][0]["tool_use_id"] == "call_0_2"
    assert messages[4]["content"][0]["content"] == [text("2")]


def test_ids_with_forbidden_characters_are_mapped_the_same_way_every_time() -> None:
    once, _ = turns(USER, call("call:ü.1"), result("call:ü.1"))
    again, _ = turns(USER, call("x"), result("x"), call("call:ü.1"), result("call:ü.1"))
    assert once[1]["content"][0]["id"] == again[3]["content"][0]["id"]
    assert once[2]["content"][0]["tool_use_id"] == once[1]["content"][0]["id"] != "call:ü.1"


def test_neighbours_merge_and_empty_text_goes() -> None:
    messages, _ = turns(
        Message("user", (Text("a"), Text(""), Text("  \n"))),
        Message("user", (Text("b"),)),
        Message("assistant", (Text(""),)),
        Message("assistant", (Text("c"),)),
        Message("assistant", (Text("d  \n"),)),
    )
    assert messages == [
        {"role": "user", "content": [text("a"), text("b")]},
        {"role": "assistant", "content": [text("c"), text("d")]},
    ]


def test_a_conversation_that_the_assistant_began() -> None:
    messages, _ = turns(Message("assistant", (Text("Welcome"),)), USER)
    assert messages[0] == {"role": "user", "content": [text("(continued)")]}


def test_only_a_system_message_still_makes_a_request() -> None:
    body, _ = write(ask(Message("system", (Text("be brief"),))))
    assert body["system"] == [text("be brief")]
    assert body["messages"] == [{"role": "user", "content": [text("(continued)")]}]


def test_system_text_is_one_array_and_later_one_a_note_of_the_user() -> None:
    marked = {"messages": {"cache_control": HOUR}}
    body, _ = write(
        ask(
            Message("system", (Text("B", extra=marked),)),
            Message("developer", (Text("C"),), extra={"chat_completions": {"cache_control": MARK}}),
            USER,
            Message("developer", (Text("D"),)),
            instructions=(Text("A"),),
        )
    )
    assert body["system"] == [text("A"), {**text("B"), "cache_control": HOUR}, {**text("C"), "cache_control": MARK}]
    assert body["messages"] == [{"role": "user", "content": [text("hi"), text("<system>\nD\n</system>")]}]


def test_a_system_note_between_call_and_result_comes_after_the_result() -> None:
    messages, _ = turns(USER, call("a"), Message("system", (Text("note"),)), result("a"))
    assert [block["type"] for block in messages[2]["content"]] == ["tool_result", "text"]


RAW = Sealed("messages", "cmF3")
REDACTED = Sealed("messages", "cmVkYWN0ZWQ=", "anthropic", "claude-sonnet-4-5", "redacted")


def test_thinking_is_replayed_in_place_and_byte_for_byte() -> None:
    messages, losses = turns(
        USER,
        Reasoning((Thought("a"),), MADE),
        Reasoning((), REDACTED),
        Reasoning((), RAW),
        Message("assistant", (Text("I look."),)),
        call("t"),
        result("t"),
    )
    assert messages[1]["content"] == [
        {"type": "thinking", "thinking": "a", "signature": "c2lnbmF0dXJl"},
        {"type": "redacted_thinking", "data": "cmVkYWN0ZWQ="},
        {"type": "thinking", "thinking": "", "signature": "cmF3"},
        text("I look."),
        {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ]
    assert losses == []


@pytest.mark.parametrize(
    "sealed",
    [
        Sealed("responses", "gAAA", "openai", "gpt-5", "encrypted"),
        Sealed("messages", "c2ln", "bedrock", "claude-sonnet-4-5"),
        Sealed("messages", "c2ln", "anthropic", "other-1"),
        None,
    ],
)
def test_thinking_of_others_is_never_forged(sealed: Sealed | None) -> None:
    messages, losses = turns(
        USER, Reasoning((Thought("a secret thought"),), sealed), Message("assistant", (Text("x"),))
    )
    assert messages[1]["content"] == [text("x")]
    assert losses == ([("input[1]", "foreign_signature")] if sealed else [])


def test_thinking_that_nothing_follows_is_left_out() -> None:
    messages, losses = turns(USER, Reasoning((Thought("a"),), MADE), Message("user", (Text("b"),)))
    assert messages == [{"role": "user", "content": [text("hi"), text("b")]}]
    assert losses == [("input", "trailing_reasoning")]


def test_arguments_become_objects_with_their_order_kept() -> None:
    messages, _ = turns(
        USER,
        call("a", arguments='{"z": 1, "a": {"y": 2.50, "b": "é"}}'),
        call("b", arguments="{broken"),
        call("c", arguments=""),
        ToolCall("d", "patch", "free text", kind="custom"),
        *(result(each) for each in "abcd"),
    )
    inputs = [block["input"] for block in messages[1]["content"]]
    assert list(inputs[0]) == ["z", "a"]
    assert inputs[1:] == [{"_raw_arguments": "{broken"}, {}, {"input": "free text"}]


def test_searches_of_this_vendor_are_replayed_and_others_left_out() -> None:
    page = {"type": "web_search_result", "url": "u", "title": "t", "encrypted_content": "e"}
    ours = ToolCall("srvtoolu_1", "web_search", '{"type":"search","query":"q","sources":[]}', "web_search", "provider")
    found = ToolResult("srvtoolu_1", (), kind="web_search", ran_by="provider", extra={"messages": {"content": [page]}})
    theirs = ToolCall("ws_1", "web_search", '{"query":"q"}', "web_search", "provider")
    said = Message("assistant", (Text("x", (Citation("u"),)),))
    messages, losses = turns(USER, ours, found, theirs, ToolResult("ws_1", (), ran_by="provider"), said)
    assert messages[1]["content"] == [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [page]},
        text("x"),
    ]
    assert losses == [("input[3]", "provider_tool_call"), ("input[5].content[0].annotations", "citations_dropped")]


def test_items_of_other_protocols() -> None:
    messages, losses = turns(USER, OpaqueItem("responses", {"type": "mcp_call"}), OpaqueItem("messages", text("kept")))
    assert messages[1]["content"] == [text("kept")]
    assert losses == [("input[1]", "unsupported_item")]
    with pytest.raises(GatewayError, match="compaction"):
        write_request(ask(USER, OpaqueItem("responses", {"type": "compaction"})), TARGET)
    with pytest.raises(GatewayError, match="input_audio"):
        part = OpaquePart("chat_completions", {"type": "input_audio"})
        write_request(ask(Message("user", (part,))), TARGET)


def media_blocks(*media: Media, target: Target = TARGET) -> list[dict[str, Any]]:
    body, _ = write(ask(Message("user", media)), target)
    return body["messages"][0]["content"]


def test_images_and_documents() -> None:
    csv = base64.b64encode("a;ö\n".encode()).decode()
    blocks = media_blocks(
        Media("image", url="https://e.com/a.png", detail="low"),
        Media("image", url=f"data:image/webp;base64,{PNG}"),
        Media("image", data="/9j/AAAA"),
        Media("file", data=PDF, filename="r.pdf", extra={"messages": {"cache_control": MARK}}),
        Media("file", url="https://e.com/a.pdf"),
        Media("file", data=csv, media_type="text/csv", filename="t.csv"),
        Media("file", url="data:text/plain,h%20i"),
    )
    sources = [block["source"] for block in blocks]
    assert sources[0] == {"type": "url", "url": "https://e.com/a.png"}
    assert sources[1] == {"type": "base64", "media_type": "image/png", "data": PNG}
    assert sources[2]["media_type"] == "image/jpeg"
    assert sources[3] == {"type": "base64", "media_type": "application/pdf", "data": PDF}
    assert (blocks[3]["title"], blocks[3]["cache_control"]) == ("r.pdf", MARK)
    assert sources[4] == {"type": "url", "url": "https://e.com/a.pdf"}
    assert sources[5] == {"type": "text", "media_type": "text/plain", "data": "a;ö\n"}
    assert sources[6]["data"] == "h i"


@pytest.mark.parametrize(
    ("media", "target", "words"),
    [
        (Media("audio", data="AAAA"), TARGET, "audio input"),
        (Media("image", data="Qk0AAAA", media_type="image/bmp"), TARGET, "image/bmp"),
        (Media("file", data="UEsD", filename="a.docx"), TARGET, "docx"),
        (Media("file", file_id="file-123"), TARGET, "file id"),
        (Media("image", url="u"), Target("p", "m", features=frozenset({"tools"})), "image input"),
        (Media("file", data=PDF), Target("p", "m", features=frozenset({"image"})), "PDF input"),
        (Media("file", data="!!!", media_type="text/plain"), TARGET, "UTF-8"),
    ],
)
def test_media_that_cannot_be_represented_is_refused(media: Media, target: Target, words: str) -> None:
    with pytest.raises(GatewayError, match=words) as caught:
        write_request(ask(Message("user", (Text("x"), media))), target)
    assert (caught.value.status, caught.value.param) == (400, "input[0].content[1]")

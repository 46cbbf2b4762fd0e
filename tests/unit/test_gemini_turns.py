"""Neutral histories as Gemini's contents."""

import json

import pytest

from headgate.conversation import (
    Media,
    Message,
    OpaqueItem,
    OpaquePart,
    OpaqueTool,
    Reasoning,
    Sealed,
    Text,
    Thought,
    ToolCall,
)
from headgate.protocols.contract import Target
from headgate.protocols.gemini.upstream_request import write_request
from headgate.protocols.gemini.upstream_turns import NO_RESULT, SKIP_SIGNATURE
from tests.strategies import PDF, PNG
from tests.unit.gemini_support import (
    FLASH_3,
    FLASH_25,
    WAV,
    asked,
    body,
    call,
    contents,
    losses,
    made,
    refused,
    result,
    said,
    user,
)


def test_system_texts_go_in_front_or_stay_marked_where_they_are():
    request = asked(
        Message("system", (Text("Be brief."),)),
        Message("developer", (Text("In French."),)),
        user("Hi"),
        said("Salut"),
        Message("system", (Text("Now in German."),)),
        user("Again"),
        instructions=(Text("You are a bot."), Text("  ")),
    )
    written = body(request)
    texts = ["You are a bot.", "Be brief.", "In French."]
    assert written["systemInstruction"] == {"parts": [{"text": text} for text in texts]}
    assert written["contents"][2]["parts"] == [
        {"text": "<system>\nNow in German.\n</system>"},
        {"text": "Again"},
    ]


def test_parallel_calls_are_one_turn_and_their_responses_another_in_call_order():
    history = contents(
        user("Both"),
        said("Let me see."),
        call("a"),
        call("b", arguments='{"city":"Tokyo"}'),
        call("c", arguments=""),
        result("c", "three"),
        user("hurry"),
        result("a", "one", "uno"),
        result("b", "two", is_error=True),
        target=FLASH_25,
    )
    assert [turn["role"] for turn in history] == ["user", "model", "user"]
    names = {"name": "get_weather"}
    assert history[1]["parts"] == [
        {"text": "Let me see."},
        {"functionCall": {"id": "a", **names, "args": {"city": "Paris"}}},
        {"functionCall": {"id": "b", **names, "args": {"city": "Tokyo"}}},
        {"functionCall": {"id": "c", **names, "args": {}}},
    ]
    assert history[2]["parts"] == [
        {"functionResponse": {"id": "a", **names, "response": {"output": "one\nuno"}}},
        {"functionResponse": {"id": "b", **names, "response": {"error": "two"}}},
        {"functionResponse": {"id": "c", **names, "response": {"output": "three"}}},
        {"text": "hurry"},
    ]


def test_histories_out_of_order_are_mended():
    request = asked(said("Welcome"), said(""), call("a"), user("Never mind"), result("zzz", "lost"), said("ok"))
    written, lost = write_request(request, FLASH_25)
    turns = written["contents"]
    assert [turn["role"] for turn in turns] == ["user", "model", "user", "model"]
    assert turns[0]["parts"] == [{"text": "(continued)"}]
    assert turns[2]["parts"][0]["functionResponse"]["response"] == {"error": NO_RESULT}
    assert [part["text"] for part in turns[2]["parts"][1:]] == [
        "Never mind",
        "Result of a tool call that is not in this conversation (zzz):",
        "lost",
    ]
    assert {loss.code for loss in lost} == {"missing_tool_result", "orphan_tool_result"}


def test_an_id_used_twice_finds_each_its_result():
    history = contents(user("Go"), call("x"), result("x", "1"), call("x"), result("x", "2"), target=FLASH_25)
    outputs = [
        part["functionResponse"]["response"]["output"]
        for turn in history
        for part in turn["parts"]
        if "functionResponse" in part
    ]
    assert outputs == ["1", "2"]


def test_ids_may_be_left_out():
    target = Target("vertex", "gemini-2.5-flash", quirks=frozenset({"no_call_ids"}))
    text = json.dumps(contents(user("Go"), call("x"), result("x", "1"), target=target))
    assert '"id"' not in text and "functionResponse" in text


def test_a_signature_goes_back_on_its_call():
    history = contents(user("Go"), call("a", sealed=made("U0lH")), call("b"), result("a", "1"), result("b", "2"))
    signatures = [part.get("thoughtSignature") for part in history[1]["parts"]]
    assert signatures == ["U0lH", None]


def test_an_unknown_signature_is_the_documented_skip_value():
    foreign = Sealed("messages", "xyz", "anthropic", "claude-sonnet-5")
    items = (user("Go"), call("a"), result("a", "1"), call("b", sealed=foreign), call("c"), result("b", "2"))
    written, lost = write_request(asked(*items), FLASH_3)
    parts = [part for turn in written["contents"] for part in turn["parts"] if "functionCall" in part]
    assert [part.get("thoughtSignature") for part in parts] == [SKIP_SIGNATURE, SKIP_SIGNATURE, None]
    assert ("input[3]", "foreign_signature") in {(loss.path, loss.code) for loss in lost}
    assert "thoughtSignature" not in json.dumps(contents(*items, target=FLASH_25))


@pytest.mark.parametrize("text_first", [True, False])
def test_a_signature_of_a_text_goes_back_on_the_text(text_first):
    text, seal = said("Three."), Reasoning((), made("U0lH", "encrypted"))
    order = (text, seal) if text_first else (seal, text)
    assert contents(user("Go"), *order, user("Sure?"))[1] == {
        "role": "model",
        "parts": [{"text": "Three.", "thoughtSignature": "U0lH"}],
    }


def test_a_signature_whose_text_is_gone_stands_alone():
    seal = Reasoning((), made("U0lH", "encrypted"))
    alone = {"text": "", "thoughtSignature": "U0lH"}
    assert contents(user("Go"), seal, user("On"))[1]["parts"] == [alone]
    assert contents(user("Go"), seal)[1]["parts"] == [alone]
    parts = contents(user("Go"), seal, call("a"), result("a", "1"), target=FLASH_25)[1]["parts"]
    assert parts[0] == alone and "functionCall" in parts[1]


def test_a_signature_without_text_goes_on_the_call_that_follows():
    seal = Reasoning((), made("U0lH"))
    parts = contents(user("Go"), seal, call("a"), call("b"), result("a", "1"), result("b", "2"))[1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["U0lH", None]
    alone = contents(user("Go"), seal, said("ok"), user("On"))[1]["parts"]
    assert alone == [{"text": "", "thought": True, "thoughtSignature": "U0lH"}, {"text": "ok"}]


def test_thoughts_go_back_only_with_a_seal_of_this_vendor():
    mine = Reasoning((Thought("Hm."),), made("U0lH"))
    foreign = Reasoning((Thought("Hm."),), Sealed("messages", "x", "anthropic", "claude-sonnet-5"))
    parts = contents(user("Go"), mine, said("ok"), user("On"))[1]["parts"]
    assert parts == [{"text": "Hm.", "thought": True, "thoughtSignature": "U0lH"}, {"text": "ok"}]
    assert contents(user("Go"), foreign, Reasoning((Thought("Hm."),)), said("ok"))[1]["parts"] == [{"text": "ok"}]
    assert losses(asked(user("Go"), foreign)) == {("input[1]", "foreign_signature")}


MEDIA = [
    (Media("image", data=PNG), {"inlineData": {"mimeType": "image/png", "data": PNG}}),
    (Media("image", url=f"data:image/gif;base64,{PNG}"), {"inlineData": {"mimeType": "image/png", "data": PNG}}),
    (Media("file", data=PDF, filename="a.pdf"), {"inlineData": {"mimeType": "application/pdf", "data": PDF}}),
    (Media("audio", data=WAV, media_type="audio/x-wav"), {"inlineData": {"mimeType": "audio/wav", "data": WAV}}),
    (Media("audio", data="AAAA", media_type="audio/mpeg"), {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}}),
    (Media("video", data="AAAA", media_type="video/mp4"), {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}),
    (Media("file", data="aGk=", filename="a.md"), {"inlineData": {"mimeType": "text/plain", "data": "aGk="}}),
    (
        Media("video", url="https://www.youtube.com/watch?v=x"),
        {"fileData": {"mimeType": "video/mp4", "fileUri": "https://www.youtube.com/watch?v=x"}},
    ),
]


@pytest.mark.parametrize(("media", "part"), MEDIA, ids=range(len(MEDIA)))
def test_media(media, part):
    assert contents(user("See", media))[0]["parts"][1] == part


def test_addresses_only_where_the_vendor_fetches_them():
    fetches = Target("vertex", "gemini-2.5-flash", quirks=frozenset({"media_urls"}))
    for url, kind in (("gs://b/a.png", "image/png"), ("https://x.example/a?b=.pdf", "image/jpeg")):
        part = contents(user(Media("image", url=url)), target=fetches)[0]["parts"][0]
        assert part == {"fileData": {"mimeType": kind, "fileUri": url}}
        assert refused(user(Media("image", url=url))).param == "input[0].content[0]"
    assert refused(user(Media("image", url="http://x.example/a.png")), target=fetches).code == "unsupported_content"


@pytest.mark.parametrize(
    "media",
    [
        Media("file", file_id="file-1"),
        Media("image", data="R0lGODlhAQ=="),
        Media("file", data="AAAA", media_type="application/msword"),
        Media("file", data="AAAA"),
        Media("image", data=""),
        Media("image", url="data:image/png"),
        Media("image", url="data:image/png;base64,!!"),
    ],
    ids=range(7),
)
def test_media_that_cannot_be_taken_is_refused(media):
    assert refused(user("See", media)).param == "input[0].content[1]"


def test_media_the_model_lacks_is_refused():
    blind = Target("vertex", "gemini-x", features=frozenset({"tools"}))
    for media in (Media("image", data=PNG), Media("file", data=PDF), Media("audio", data=WAV)):
        assert "does not take" in refused(user(media), target=blind).message


def test_the_resolution_of_an_image():
    media = Media("image", data=PNG, detail="low")
    assert contents(user(media))[0]["parts"][0]["mediaResolution"] == {"level": "MEDIA_RESOLUTION_LOW"}
    assert losses(asked(user(media)), FLASH_25) == {("input[0].content[0].detail", "unsupported_parameter")}
    assert losses(asked(user(Media("image", data=PNG, detail="auto"))), FLASH_25) == set()


def test_images_in_results_stay_with_the_result_or_follow_it():
    items = (user("Go"), call("a"), call("b"), result("a", "one", Media("image", data=PNG)), result("b", "two"))
    blob = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    inside = contents(*items)[2]["parts"]
    assert inside[0]["functionResponse"]["parts"] == [blob] and len(inside) == 2
    beside = contents(*items, target=FLASH_25)[2]["parts"]
    assert [next(iter(part)) for part in beside] == ["functionResponse", "functionResponse", "text", "inlineData"]
    assert beside[3] == blob and "(a)" in beside[2]["text"]


def test_what_only_another_protocol_knows():
    refused(user(OpaquePart("messages", {"type": "container_upload"})))
    refused(user("x"), OpaqueItem("responses", {"type": "compaction"}))
    refused(user("x"), OpaqueItem("responses", {"type": "odd", "role": "user"}))
    refused(Message("assistant", (Media("image", data=PNG),)), user("x"))
    assert losses(asked(user("x"), OpaqueItem("responses", {"type": "mcp_call"}))) == {("input[1]", "unsupported_item")}
    search = ToolCall("ws_1", "web_search", "{}", kind="web_search", ran_by="provider")
    assert losses(asked(user("x"), search)) == {("input[1]", "provider_tool_call")}
    tool = OpaqueTool("responses", {"type": "mcp"})
    assert losses(asked(tools=(tool,))) == {("tools[0]", "unsupported_tool")}

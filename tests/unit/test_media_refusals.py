"""Audio, PDFs and images at every upstream protocol: sent where the model takes them, a 400 that names the part where
it does not; media by address goes as data where the vendor does not fetch it."""

import base64
import json

import pytest

from headgate.conversation import Media, Message, Request, Sampling, Text, ToolCall, ToolResult
from headgate.errors import GatewayError
from headgate.protocols.contract import Target
from headgate.protocols.registry import tool_names, upstream_side

PROTOCOLS = ("responses", "chat_completions", "messages", "gemini", "converse", "cohere")
SOUND = base64.b64encode(b"RIFF\0\0\0\0WAVEfmt sound").decode()
PDF = base64.b64encode(b"%PDF-1.7 pages").decode()
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\npixels").decode()
MEDIA = {
    "audio": Media("audio", data=SOUND, media_type="audio/wav"),
    "pdf": Media("file", data=PDF, media_type="application/pdf", filename="a.pdf"),
    "image": Media("image", data=PNG, media_type="image/png"),
    "video": Media("video", data="AAAA", media_type="video/mp4"),
}
# What no model of the vendor takes in this protocol.
NEVER = {
    "responses": {"video"},
    "chat_completions": {"video"},
    "messages": {"audio", "video"},
    "gemini": set[str](),
    "converse": set[str](),
    "cohere": {"audio", "pdf", "video"},
}


def target(*features: str, quirks: frozenset[str] = frozenset()) -> Target:
    return Target("x", "a-model", 1000, features=frozenset({*features, "tools", "sampling"}), quirks=quirks)


def write(protocol: str, to: Target, *items: Message | ToolCall | ToolResult) -> str:
    request = Request("a-model", items, sampling=Sampling(max_tokens=10))
    body, _ = upstream_side(protocol).write_request(request, to, tool_names(protocol))
    return json.dumps(body)


def user(part: Media) -> Message:
    return Message("user", (Text("Look:"), part))


@pytest.mark.parametrize("feature", MEDIA)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_model_that_takes_it_gets_it(protocol: str, feature: str):
    media = MEDIA[feature]
    if feature in NEVER[protocol]:
        with pytest.raises(GatewayError):
            write(protocol, target(feature), user(media))
    else:
        assert media.data and media.data in write(protocol, target(feature), user(media))


@pytest.mark.parametrize("in_result", [False, True])
@pytest.mark.parametrize("feature", MEDIA)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_the_model_lacks_is_a_400_that_names_the_part(protocol: str, feature: str, in_result: bool):
    part, to = MEDIA[feature], target(*(set(MEDIA) - {feature}))
    system = Message("system", (Text("Be brief."),))
    items = (system, Message("user", (Text("Hi"),)), user(part))
    if in_result:
        items = (*items[:2], ToolCall("c", "f", "{}"), ToolResult("c", (Text("Look:"), part)))
    with pytest.raises(GatewayError) as caught:
        write(protocol, to, *items)
    error = caught.value
    assert (error.status, error.code) == (400, "unsupported_content")
    word = "file" if protocol == "cohere" and feature == "pdf" else feature
    assert word in error.message.lower()
    assert error.param is not None
    item, _, rest = error.param.partition(".")
    assert item.endswith(f"[{len(items) - 1}]") and rest.endswith("[1]"), error.param


HTTPS, HTTP = "https://a.example/x", "http://a.example/x"
ANY = target(*MEDIA)


@pytest.mark.parametrize(
    ("protocol", "to", "media", "needed"),
    [
        ("responses", ANY, Media("image", url=HTTP), False),
        ("responses", ANY, Media("file", url=HTTPS), False),
        ("chat_completions", ANY, Media("image", url=HTTP), False),
        ("chat_completions", target("image", quirks=frozenset({"no_media_urls"})), Media("image", url=HTTPS), True),
        ("chat_completions", ANY, Media("file", url=HTTPS), True),
        ("chat_completions", target("pdf", quirks=frozenset({"document_url"})), Media("file", url=HTTPS), False),
        ("chat_completions", ANY, Media("audio", url=HTTPS), True),
        ("chat_completions", ANY, Media("video", url=HTTPS), False),
        ("messages", ANY, Media("image", url=HTTPS), False),
        ("chat_completions", target(*MEDIA, quirks=frozenset({"document_url"})), Media("file", url=HTTPS), False),
        ("messages", ANY, Media("image", url=HTTP), True),
        ("messages", target("image", quirks=frozenset({"no_source_urls"})), Media("image", url=HTTPS), True),
        ("messages", ANY, Media("file", url=HTTPS, media_type="application/pdf"), False),
        ("messages", ANY, Media("file", url=HTTPS + ".pdf?v=1"), False),
        ("messages", ANY, Media("file", url=HTTPS), True),
        ("messages", ANY, Media("audio", url=HTTPS), False),
        ("gemini", ANY, Media("image", url=HTTPS), True),
        ("gemini", ANY, Media("video", url="https://youtu.be/x"), False),
        ("gemini", ANY, Media("file", url="https://generativelanguage.googleapis.com/v1beta/files/x"), False),
        ("gemini", ANY, Media("file", url="gs://bucket/x.pdf"), False),
        ("gemini", target(*MEDIA, quirks=frozenset({"media_urls"})), Media("image", url=HTTPS), False),
        ("gemini", target(*MEDIA, quirks=frozenset({"media_urls"})), Media("image", url=HTTP), True),
        ("converse", ANY, Media("image", url=HTTPS), True),
        ("converse", ANY, Media("file", url="HTTPS://a.example/x"), True),
        ("converse", ANY, Media("image", url="s3://bucket/x.png"), False),
        ("converse", ANY, Media("image", url="data:image/png;base64,AAAA"), False),
        ("converse", ANY, Media("file", file_id="file_1"), False),
        ("cohere", ANY, Media("image", url=HTTPS), False),
        ("cohere", ANY, Media("file", url=HTTPS), True),
        ("cohere", ANY, Media("file", url=HTTPS, media_type="application/pdf"), False),
    ],
)
def test_which_media_must_come_as_data(protocol: str, to: Target, media: Media, needed: bool):
    assert upstream_side(protocol).needs_data(media, to) is needed


@pytest.mark.parametrize("protocol", ["chat_completions", "messages", "gemini", "converse"])
def test_nothing_is_fetched_for_a_model_that_cannot_take_it(protocol: str):
    side = upstream_side(protocol)
    for media in (Media("image", url=HTTP), Media("file", url=HTTP, media_type="application/pdf")):
        assert not side.needs_data(media, target())
        with pytest.raises(GatewayError, match=r"(?i)does not take (image|pdf)|takes no (image|pdf)"):
            write(protocol, target(), user(media))

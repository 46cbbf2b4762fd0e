"""Tokens of images, documents and audio by the vendors' rules, from the files' own headers."""

import base64
import struct

import pytest

from headgate.media_tokens import IMAGE, PAGE, VIDEO, audio_seconds, image_size, image_tokens, media_tokens


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x06\x00\x00\x00"


def jpeg(width: int, height: int, before: bytes = b"") -> bytes:
    exif = b"\xff\xe1" + struct.pack(">H", len(before) + 2) + before
    return b"\xff\xd8" + exif + b"\xff\xc0" + struct.pack(">HBHH", 17, 8, height, width) + bytes(12)


def webp(chunk: bytes, body: bytes) -> bytes:
    return b"RIFF" + bytes(4) + b"WEBP" + chunk + bytes(4) + body + bytes(20)


LOSSLESS = struct.pack("<I", (640 - 1) | (480 - 1) << 14)


@pytest.mark.parametrize(
    "head",
    [
        png(640, 480),
        jpeg(640, 480),
        jpeg(640, 480, before=b"\xff\xc0 a preview" * 2000),
        b"GIF89a" + struct.pack("<HH", 640, 480),
        webp(b"VP8X", bytes(4) + (639).to_bytes(3, "little") + (479).to_bytes(3, "little")),
        webp(b"VP8L", b"\x2f" + LOSSLESS),
        webp(b"VP8 ", bytes(6) + struct.pack("<HH", 640, 480)),
    ],
    ids=["png", "jpeg", "jpeg with a preview", "gif", "webp", "webp lossless", "webp lossy"],
)
def test_an_image_says_its_size(head: bytes):
    assert image_size(head) == (640, 480)


@pytest.mark.parametrize(
    "head", [b"", b"BM", b"\x89PNG", b"\xff\xd8\xff", jpeg(1, 1)[:8], b"RIFF1234WEBPVP8?" + bytes(30)]
)
def test_an_image_that_does_not(head: bytes):
    assert image_size(head) is None
    assert media_tokens("image", base64.b64encode(head).decode()) == IMAGE


@pytest.mark.parametrize(
    ("width", "height", "family", "tokens"),
    [
        (1024, 1024, "gpt", 1024),  # as patches; as tiles it were 765
        (512, 512, "gpt", 256),  # as patches; as a tile 255
        (2048, 4096, "gpt", 1536),  # as patches, at most; as tiles 1105
        (1000, 1000, "claude", 1334),  # Anthropic's own example
        (4000, 3000, "claude", 1600),
        (4000, 3000, "claude_new", 4784),
        (300, 300, "gemini", 1120),
        (3000, 3000, "gemini", 16 * 258),
    ],
)
def test_vendors_rules_for_images(width: int, height: int, family: str, tokens: int):
    assert abs(image_tokens(width, height, None, family) - tokens) <= 1


def test_low_detail_and_the_dearest_rule():
    assert image_tokens(3000, 3000, "low", "gpt") == 85
    families = ("gpt", "claude", "claude_new", "gemini", "mistral")
    assert image_tokens(1600, 900) == max(image_tokens(1600, 900, None, family) for family in families)
    assert image_tokens(1600, 900, None, "llama") == image_tokens(1600, 900)


def test_an_image_of_no_extent_does_no_harm():
    assert image_tokens(0, 0) >= 0


def test_the_pages_of_a_document_are_counted():
    document = b"%PDF-1.7\n<</Type/Pages/Count 3>>" + b"<< /Type /Page /Parent 1 0 R >>\n<</Type/Page>>" * 3
    assert media_tokens("file", base64.b64encode(document).decode(), "application/pdf") == 6 * PAGE
    compressed = b"%PDF-1.7\n" + bytes(30_000)
    assert media_tokens("file", base64.b64encode(compressed).decode()) == 40_012 // 30 + 1


def test_audio_by_its_length():
    rate = 16_000 * 2
    wav = b"RIFF" + bytes(4) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16_000, rate, 2, 16) + b"data"
    assert audio_seconds(wav, rate * 10) == 10
    mp3 = b"\xff\xfb\x90\x00"  # MPEG 1, layer III, 128 kbit/s
    assert audio_seconds(mp3, 16_000 * 60) == 60
    tagged = b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128) + mp3
    assert audio_seconds(tagged, 138 + 16_000 * 60) == 60
    assert audio_seconds(b"OggS", 1000) is None and audio_seconds(b"", 0) is None
    recording = base64.b64encode(wav + bytes(rate * 10)).decode()
    assert 320 <= media_tokens("audio", recording, family="gemini") <= 325
    assert 125 <= media_tokens("audio", recording, family="mistral") <= 135


def test_what_cannot_be_read_has_a_constant():
    assert media_tokens("image", None) == IMAGE == media_tokens("file", None)
    assert media_tokens("video", None) == VIDEO
    assert media_tokens("image", "not base64!") == IMAGE
    assert media_tokens("file", "QUJD" * 100, "application/zip") == 14
    assert media_tokens("file", "QUJD" * 100, "text/plain") == 101

"""Tokens of images, documents and audio, by the rules that the vendors publish, where a file says how large it is.

Only headers are read. Where the size is not to be had (a file by address or id, an unknown format) a constant stands
in. Families are those of ``text_tokens.family_of``; without one the most expensive vendor's rule applies.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from math import ceil, sqrt

IMAGE = 1100
"""An image of unknown size."""
PAGE = 2500
"""A page of a PDF: its text and its picture. Anthropic says 1,500 to 3,000 for the text alone of a dense page."""
GEMINI_PAGE = 1600
"""Gemini takes 560 for the picture of a page (258 before Gemini 3), and its text."""
AUDIO_SECOND: dict[str, int] = {"gemini": 32, "mistral": 13}
"""Gemini: 32 a second; Voxtral 12.5. Others count as Gemini, which needs most (OpenAI: 10)."""
VIDEO = 30_000
"""A video of unknown length: Gemini takes 263 a second, so about two minutes."""
BYTES_PER_FILE_TOKEN = 30
"""Of a file in an unknown format."""

# How much of a file is decoded to find its size: a JPEG may have a preview in front of it.
_HEAD = 262_144
_PAGES = re.compile(rb"/Type\s*/Page(?![a-zA-Z])")


def media_tokens(
    kind: str, data: str | None, media_type: str | None = None, detail: str | None = None, family: str | None = None
) -> int:
    """Tokens of an input of ``kind`` (image, file, audio, video) with base64 ``data``, None where only an address or
    id is known. ``detail`` is OpenAI's."""
    if kind == "image":
        size = image_size(_decoded(data[: _HEAD * 4 // 3])) if data else None
        return image_tokens(*size, detail, family) if size else IMAGE
    if kind == "video":
        return VIDEO
    if not data:
        return IMAGE
    if kind == "audio":
        seconds = audio_seconds(_decoded(data[:8192]), len(data) * 3 // 4)
        rate = AUDIO_SECOND.get(family or "", 32)
        return ceil(seconds * rate) if seconds else len(data) // BYTES_PER_FILE_TOKEN + 1
    if data.startswith("JVBER"):
        # Pages inside compressed object streams cannot be counted; their size stands in.
        pages = len(_PAGES.findall(_decoded(data)))
        per_page = GEMINI_PAGE if family == "gemini" else PAGE
        return pages * per_page if pages else len(data) // BYTES_PER_FILE_TOKEN + 1
    if media_type and media_type.startswith("text/"):
        return len(data) // 4 + 1
    return len(data) // BYTES_PER_FILE_TOKEN + 1


def image_tokens(width: int, height: int, detail: str | None = None, family: str | None = None) -> int:
    """Tokens of an image of ``width`` by ``height`` pixels."""
    rules = {
        "gpt": (_openai(width, height, detail),),
        "claude": (_anthropic(width, height, 1568, 1600),),
        "claude_new": (_anthropic(width, height, 2576, 4784),),
        "gemini": (_gemini(width, height),),
        "mistral": (_patches(width, height, 28, 1540),),
    }
    every = (rule for family_rules in rules.values() for rule in family_rules)
    return max(rules.get(family or "") or every)


def image_size(head: bytes) -> tuple[int, int] | None:
    """(width, height) from the beginning of a PNG, GIF, WebP or JPEG file, None where it does not say."""
    if head.startswith(b"\x89PNG") and len(head) >= 24:
        return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    if head.startswith(b"GIF8") and len(head) >= 10:
        return int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP" and len(head) >= 30:
        return _webp(head)
    if head.startswith(b"\xff\xd8"):
        return _jpeg(head)
    return None


def audio_seconds(head: bytes, size: int) -> float | None:
    """The length of a WAV or MP3 file of ``size`` bytes from its beginning, None where it does not say."""
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        place = head.find(b"fmt ")
        rate = int.from_bytes(head[place + 16 : place + 20], "little") if place > 0 else 0
        return size / rate if rate else None
    start = 0
    if head.startswith(b"ID3") and len(head) > 10:
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
    frame = head[start : start + 4]
    # Layer III of MPEG 1 or 2; the bit rate is the high half of the third byte.
    if len(frame) == 4 and frame[0] == 0xFF and frame[1] & 0xE6 == 0xE2:
        kilobits: int = (_MPEG1 if frame[1] & 0x08 else _MPEG2)[frame[2] >> 4]
        return (size - start) / (kilobits * 125) if kilobits else None
    return None


_MPEG1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_MPEG2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)


def _openai(width: int, height: int, detail: str | None) -> int:
    """The dearer of the two rules: 512-pixel tiles (GPT-4o, GPT-4.1, o-series) or 32-pixel patches (GPT-5 and small
    models, whose factors differ from one to the next)."""
    if detail == "low":
        return 85
    scale = min(1.0, 2048 / max(width, height, 1))
    scale = min(scale, 768 / max(1.0, min(width, height) * scale))
    tiles = ceil(width * scale / 512) * ceil(height * scale / 512)
    return max(85 + 170 * tiles, _patches(width, height, 32, 1536))


def _patches(width: int, height: int, side: int, most: int) -> int:
    return min(most, ceil(width / side) * ceil(height / side))


def _anthropic(width: int, height: int, longest: int, most: int) -> int:
    scale = min(1.0, longest / max(width, height, 1), sqrt(most * 750 / max(1, width * height)))
    return ceil(width * scale * height * scale / 750)


def _gemini(width: int, height: int) -> int:
    """Up to Gemini 2.5: 258 for a small image, else for each 768-pixel tile; Gemini 3 takes 1,120 unless told."""
    tiles = 1 if max(width, height) <= 384 else ceil(width / 768) * ceil(height / 768)
    return max(1120, 258 * tiles)


def _webp(head: bytes) -> tuple[int, int] | None:
    chunk = head[12:16]
    if chunk == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if chunk == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    return None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 <= len(head) and head[place] == 0xFF:
        marker = head[place + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(head[place + 7 : place + 9], "big"), int.from_bytes(
                head[place + 5 : place + 7], "big"
            )
        place += 2 + int.from_bytes(head[place + 2 : place + 4], "big")
    return None


def _decoded(data: str) -> bytes:
    try:
        return b64decode(data[: len(data) // 4 * 4])
    except (Error, ValueError):
        return b""

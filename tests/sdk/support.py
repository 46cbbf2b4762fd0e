"""What the SDK tests share: a case per upstream protocol, small media, tools, and the pages that describe them."""

from __future__ import annotations

import asyncio
import base64
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import anthropic
import openai
from pydantic import BaseModel

from tests.gateway import Origin, Upstream

Mode = Literal["plain", "stream", "async", "async-stream"]
MODES: tuple[Mode, ...] = ("plain", "stream", "async", "async-stream")
BOTH: tuple[Mode, ...] = ("plain", "stream")

# A model that thinks, for each upstream protocol.
THINKERS: dict[Upstream, str] = {
    "responses": "gpt-5-mini",
    "chat_completions": "gpt-5-mini",
    "messages": "claude-sonnet-4-6",
}


@dataclass(frozen=True)
class Case:
    """One upstream protocol: its origin, a model that follows sampling parameters, and one that thinks."""

    upstream: Upstream
    origin: Origin
    model: str
    thinker: str

    def openai(self, **options: Any) -> openai.OpenAI:
        """OpenAI's client, as strict as it gets."""
        return openai.OpenAI(**_options(self.origin, "/v1", options))

    def async_openai(self, **options: Any) -> openai.AsyncOpenAI:
        """The same, asynchronous."""
        return openai.AsyncOpenAI(**_options(self.origin, "/v1", options))

    def anthropic(self, **options: Any) -> anthropic.Anthropic:
        """Anthropic's client, as strict as it gets."""
        return anthropic.Anthropic(**_options(self.origin, "", options))

    def async_anthropic(self, **options: Any) -> anthropic.AsyncAnthropic:
        """The same, asynchronous."""
        return anthropic.AsyncAnthropic(**_options(self.origin, "", options))

    @property
    def provider(self) -> str:
        """The provider that serves."""
        return "anthropic" if self.upstream == "messages" else "openai"

    @property
    def label(self) -> str:
        """The model as answers name it."""
        return f"{self.provider}/{self.model}"

    def sent(self, marker: str) -> list[Any]:
        """The bodies that reached the upstream and hold ``marker``, oldest first."""
        return [one.body for one in self.origin.backends.simulated.recorded(marker=marker)]


def _options(origin: Origin, path: str, options: dict[str, Any]) -> dict[str, Any]:
    base = {
        "base_url": origin.url + path,
        "api_key": origin.key,
        "max_retries": 0,
        "timeout": 30.0,
        "_strict_response_validation": True,
    }
    return base | options


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    """Run an asynchronous client's work."""

    async def main() -> Any:
        return await work()

    return asyncio.run(main())


def _png(side: int = 8) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    rows = b"".join(b"\0" + b"\x20\x60\xa0" * side for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


PNG = base64.b64encode(_png()).decode()
PNG_URL = f"data:image/png;base64,{PNG}"
WEB_IMAGE = "https://images.example.com/cat.png"
PDF = base64.b64encode(
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
    b"trailer<</Root 1 0 R>>\n%%EOF\n"
).decode()
PDF_URL = f"data:application/pdf;base64,{PDF}"

CITY_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
ZONE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"zone": {"type": "string"}, "offset": {"type": "integer"}},
    "required": ["zone", "offset"],
    "additionalProperties": False,
}
WEATHER, CLOCK = "get_weather", "get_time"
# Deliberately not the way Python writes JSON: arguments are text, and stay as the model wrote them.
PARIS = '{"city":"Paris"}'
ZONE = '{"zone": "UTC",  "offset": 2}'
TWO_CALLS = f"[[tool:{WEATHER} {PARIS}]][[tool:{CLOCK} {ZONE}]]"


class Step(BaseModel):
    """Part of a pydantic answer."""

    explanation: str
    result: int


class Solution(BaseModel):
    """A pydantic answer with a nested list."""

    steps: list[Step]
    final: str

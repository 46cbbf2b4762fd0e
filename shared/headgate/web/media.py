"""Media by address in a request, put in as data where a provider takes only that."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from headgate.conversation import Item, Media, Message, Part, Request, ToolResult
from headgate.errors import GatewayError, invalid_request
from headgate.protocols.inline_media import by_address, media_type_of
from headgate.routing.media import Fetched, MediaFetcher

_WRITERS_PATH = re.compile(r"(?:input|items)\[(\d+)\]\.(?:content|parts|output)\[(\d+)\]")

Needs = Callable[[Media], bool]
"""Whether a route wants the data of this media instead of its address."""


class InlineMedia:
    """The fetched media of one request: whatever number of routes and choices ask, each address is fetched once.
    ``body`` is the client's, for naming the part at fault."""

    def __init__(self, fetcher: MediaFetcher, body: Mapping[str, Any]) -> None:
        self._fetcher = fetcher
        self._body = body
        self._known: dict[str, Fetched | GatewayError] = {}
        self._lock = asyncio.Lock()

    async def put_in(self, request: Request, needs: Needs, seconds: float) -> Request:
        """``request`` with data for all media that ``needs`` it. ``seconds`` bounds the fetching. Raises 400."""
        wanted = [media for media in _media(request.items) if by_address(media) and needs(media)]
        if not wanted:
            return request
        async with self._lock:
            missing = [url for media in wanted if (url := media.url or "") not in self._known]
            if missing:
                self._known |= await self._fetcher.fetch(list(dict.fromkeys(missing)), seconds)
        inlined = {id(media): self._inlined(media) for media in wanted}
        return replace(request, items=tuple(_with(item, inlined) for item in request.items))

    def _inlined(self, media: Media) -> Media:
        url = media.url or ""
        fetched = self._known[url]
        if isinstance(fetched, GatewayError):
            raise self._error(fetched.message, url)
        named, kind = media_type_of(media), fetched.media_type
        expected = f"{media.kind}/" if media.kind != "file" else named if named == "application/pdf" else ""
        if not kind.startswith(expected):
            found = f"is {kind}" if kind else "has a type that nothing tells"
            raise self._error(f"The media at {url.partition('?')[0][:200]} {found}, not {expected.strip('/')}.", url)
        filename = media.filename or (fetched.name if media.kind == "file" else None)
        kind = kind or named or "application/octet-stream"
        return replace(media, url=None, data=fetched.data, media_type=kind, filename=filename)

    def _error(self, message: str, url: str) -> GatewayError:
        place = place_of(self._body, url)
        # Anthropic's envelope has no field for the place.
        return invalid_request(f"{place}: {message}" if place else message, param=place, code="invalid_media_url")


def part_place(body: object, request: Request, param: str | None) -> str | None:
    """Where the media that a writer refused stands in the client's ``body``. Writers count the items of ``request``,
    which no client sees; ``param`` is what they said, and stays for what is not found (a stored turn's)."""
    found = _WRITERS_PATH.match(param or "")
    if found is None or int(found[1]) >= len(request.items):
        return param
    parts = _parts(request.items[int(found[1])])
    part = parts[int(found[2])] if int(found[2]) < len(parts) else None
    text = (part.url or part.data) if isinstance(part, Media) else None
    return (place_of(body, text) if text else None) or param


def place_of(body: object, text: str) -> str | None:
    """The path to the first string in ``body`` that is ``text``, or a data URL of it:
    ``messages[0].content[1].image_url.url``. None where it is in no field."""
    found = _place_of(body, text)
    return None if found is None else found.lstrip(".")


def _place_of(value: Any, text: str) -> str | None:
    if isinstance(value, str):
        return "" if value == text or (value.startswith("data:") and value.endswith(f",{text}")) else None
    pairs: Iterable[tuple[str, Any]] = ()
    if isinstance(value, Mapping):
        pairs = ((f".{name}", each) for name, each in cast("Mapping[str, Any]", value).items())
    elif isinstance(value, list):
        pairs = ((f"[{index}]", each) for index, each in enumerate(cast("list[Any]", value)))
    for step, each in pairs:
        rest = _place_of(each, text)
        if rest is not None:
            return step + rest
    return None


def _media(items: Iterable[Item]) -> list[Media]:
    return [part for item in items for part in _parts(item) if isinstance(part, Media)]


def _parts(item: Item) -> tuple[Part, ...]:
    return item.parts if isinstance(item, Message | ToolResult) else ()


def _with(item: Item, inlined: Mapping[int, Media]) -> Item:
    if not isinstance(item, Message | ToolResult) or not any(id(part) in inlined for part in item.parts):
        return item
    parts: tuple[Part, ...] = tuple(inlined.get(id(part), part) for part in item.parts)
    return replace(item, parts=parts)

"""Content parts of Chat Completions messages, both ways: the client's and the ones sent upstream."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headgate.conversation import Extra, Media, MediaKind, OpaquePart, Part, Refusal, Text, Thought
from headgate.errors import invalid_request, unsupported
from headgate.protocols.chat_completions import PROTOCOL
from headgate.protocols.contract import Target
from headgate.protocols.inline_media import by_address, lacking

_AUDIO_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav", "pcm16": "audio/pcm", "m4a": "audio/mp4"}
_AUDIO_FORMATS = {
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/pcm": "pcm16",
    "audio/mp4": "m4a",
}
_EXTENSIONS = {"pdf": "application/pdf", "txt": "text/plain", "md": "text/markdown", "json": "application/json"}
_IMAGE_STARTS = {"iVBOR": "image/png", "/9j/": "image/jpeg", "R0lG": "image/gif", "UklG": "image/webp"}
_ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})")


def extra_of(fields: Mapping[str, Any], known: frozenset[str]) -> Extra:
    """The bag with the fields of an object that have no slot of their own; nulls say nothing and are left out."""
    rest = {name: value for name, value in fields.items() if name not in known and value is not None}
    return {PROTOCOL: rest} if rest else {}


def read_content(content: Any, path: str) -> tuple[Part, ...]:
    """A message's ``content``, a string or an array of parts. Raises a 400 for a data URL that cannot be read."""
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    return tuple(_read_part(part, f"{path}[{index}]") for index, part in enumerate(content))


def _read_part(part: Mapping[str, Any], path: str) -> Part:
    match part["type"]:
        case "text":
            return Text(part["text"], extra=extra_of(part, frozenset({"type", "text"})))
        case "refusal":
            return Refusal(part["refusal"], extra=extra_of(part, frozenset({"type", "refusal"})))
        case "image_url" | "video_url" as kind:
            value = part.get(kind)
            image: Mapping[str, Any] = {"url": value} if isinstance(value, str) else value or {}
            if not isinstance(image.get("url"), str):
                return OpaquePart(PROTOCOL, part)
            extra = extra_of(part, frozenset({"type", kind}))
            return _addressed(kind[:5], image["url"], image.get("detail"), extra, f"{path}.{kind}.url")  # type: ignore[arg-type]
        case "input_audio":
            sound = part["input_audio"]
            form = sound["format"]
            media_type = _AUDIO_TYPES.get(form, f"audio/{form}")
            extra = extra_of(part, frozenset({"type", "input_audio"}))
            return Media("audio", data=sound["data"], media_type=media_type, extra=extra)
        case "file":
            return _read_file(part, path)
        case _:
            return OpaquePart(PROTOCOL, part)


def _read_file(part: Mapping[str, Any], path: str) -> Media:
    file = part["file"]
    name, data = file.get("filename"), file.get("file_data")
    extra = extra_of(part, frozenset({"type", "file"}))
    if file.get("file_id"):
        return Media("file", file_id=file["file_id"], filename=name, extra=extra)
    if not data:
        raise invalid_request("A file needs 'file_data' or 'file_id'.", param=f"{path}.file")
    if data.startswith("data:"):
        media_type, encoded = _data_url(data, f"{path}.file.file_data")
    else:
        media_type, encoded = _EXTENSIONS.get((name or "").rpartition(".")[2].lower(), "application/pdf"), data
    return Media("file", data=encoded, media_type=media_type, filename=name, extra=extra)


def _addressed(kind: MediaKind, url: str, detail: str | None, extra: Extra, path: str) -> Media:
    if not url.startswith("data:"):
        return Media(kind, url=url, detail=detail, extra=extra)
    media_type, data = _data_url(url, path)
    return Media(kind, data=data, media_type=media_type, detail=detail, extra=extra)


def _data_url(url: str, path: str) -> tuple[str, str]:
    """(media type, base64 data) of a ``data:`` URL."""
    head, comma, data = url[5:].partition(",")
    media_type, *parameters = head.split(";")
    if not comma or not data:
        raise invalid_request(f"Invalid '{path}': expected a data URL with base64 content.", param=path)
    if "base64" not in parameters:
        plain = _ESCAPE.sub(lambda match: bytes.fromhex(match[1].decode()), data.encode())
        data = base64.b64encode(plain).decode()
    return media_type.strip().lower() or "text/plain", data


def needs_data(media: Media, target: Target) -> bool:
    """Whether ``media`` must come as data: only images may be addresses, at some vendors documents too, at some
    neither. What the model lacks is not worth fetching."""
    if not by_address(media) or media.kind == "video" or lacking(media, target) is not None:
        return False
    if media.kind == "file" and "document_url" in target.quirks and not target.lacks("pdf"):
        return False
    return media.kind != "image" or "no_media_urls" in target.quirks


def write_parts(parts: Sequence[Part], target: Target, path: str, *, text: bool = True) -> list[dict[str, Any]]:
    """Parts of a user message for the upstream, without the texts where ``text`` is False. Raises ``unsupported`` for
    what it cannot be shown."""
    pairs = [(part, f"{path}.content[{at}]") for at, part in enumerate(parts) if text or not isinstance(part, Text)]
    return [written for part, at in pairs if (written := _write_part(part, target, at)) is not None]


def _write_part(part: Part, target: Target, path: str) -> dict[str, Any] | None:
    match part:
        case Text(text=text) | Refusal(text=text):
            return {"type": "text", "text": text, **_marks(part.extra, target)} if text else None
        case Thought():
            return None
        case Media():
            return {**_write_media(part, target, path), **_marks(part.extra, target)}
        case OpaquePart(protocol=protocol, payload=payload):
            if protocol == PROTOCOL:
                return dict(payload)
            raise unsupported(f"Content of type '{payload.get('type')}' cannot be sent to {target.model}.", param=path)


def write_text(parts: Iterable[Part]) -> str:
    """The text of ``parts``, joined as a stream would have joined it."""
    return "".join(part.text for part in parts if isinstance(part, Text))


def _marks(extra: Extra, target: Target) -> dict[str, Any]:
    """Our own wire's extra fields. A cache mark goes along only where the upstream knows it."""
    own = {key: value for key, value in extra.get(PROTOCOL, {}).items() if key != "cache_control"}
    control = cache_control(extra)
    if control is not None and "cache_control" in target.quirks:
        own["cache_control"] = control
    return own


def cache_control(extra: Extra) -> Any:
    """The cache mark on a part or tool, whichever frontend it came through."""
    return next((bag["cache_control"] for bag in extra.values() if bag.get("cache_control")), None)


def _write_media(media: Media, target: Target, path: str) -> dict[str, Any]:
    lacked = lacking(media, target)
    if lacked in ("image", "audio", "pdf"):
        raise unsupported(f"{target.model} does not take {lacked} input.", param=path)
    if media.file_id is not None:
        raise unsupported("A file id belongs to the provider that issued it. Send the file's content.", param=path)
    match media.kind:
        case "image":
            image: dict[str, Any] = {"url": media.url or _write_data_url(media)}
            if media.detail in ("auto", "low", "high"):
                image["detail"] = media.detail
            return {"type": "image_url", "image_url": image}
        case "audio":
            if media.data is None:
                raise unsupported("Audio must be sent as base64 data, not as an address.", param=path)
            form = _AUDIO_FORMATS.get(media.media_type or "", (media.media_type or "wav").rpartition("/")[2])
            return {"type": "input_audio", "input_audio": {"data": media.data, "format": form}}
        case "file":
            return _write_file(media, target, path)
        case "video":
            raise unsupported(f"Video cannot be sent to {target.model}.", param=path)


def _write_file(media: Media, target: Target, path: str) -> dict[str, Any]:
    if media.data is None and media.url is not None and "document_url" in target.quirks and not target.lacks("pdf"):
        return document_part(media.url, media.filename)
    if media.data is None:
        raise unsupported("This upstream takes a file's content, not its address.", param=path)
    kind = media.media_type or "application/pdf"
    if kind.startswith("text/") or kind == "application/json":
        # The file part takes PDF only; a text file says the same as text.
        try:
            text = base64.b64decode(media.data, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise invalid_request("A text file must be base64 of UTF-8 text.", param=path) from error
        return {"type": "text", "text": f"{media.filename}:\n{text}" if media.filename else text}
    if kind == "application/pdf" and target.lacks("pdf"):
        raise unsupported(f"{target.model} does not take PDF files.", param=path)
    if "document_url" in target.quirks:
        return document_part(_write_data_url(media, kind), media.filename)
    name = media.filename or ("document.pdf" if kind == "application/pdf" else "document")
    return {"type": "file", "file": {"filename": name, "file_data": _write_data_url(media, kind)}}


def document_part(url: str, name: str | None) -> dict[str, Any]:
    """A document by its address or data URL, as Mistral takes it."""
    part = {"type": "document_url", "document_url": url}
    return part if name is None else {**part, "document_name": name}


def _write_data_url(media: Media, media_type: str | None = None) -> str:
    data = media.data or ""
    kind = media_type or media.media_type
    if kind is None:
        kind = next((name for start, name in _IMAGE_STARTS.items() if data.startswith(start)), "image/png")
    return f"data:{kind};base64,{data}"

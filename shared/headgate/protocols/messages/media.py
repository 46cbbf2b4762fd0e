"""Images and files as Anthropic's image and document blocks."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote_to_bytes

from headgate.conversation import Media
from headgate.errors import invalid_request, unsupported
from headgate.protocols.contract import Target

_IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
# The first characters of the base64 form tell the formats apart where the client named none.
_MAGIC = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi": "application/pdf",
}
_TEXT_SUFFIXES = (".txt", ".md", ".csv", ".json", ".xml", ".html", ".yaml", ".yml", ".log", ".py", ".js", ".ts")
_TEXT_TYPES = ("application/json", "application/xml", "application/yaml", "application/javascript")


def media_block(media: Media, target: Target, path: str) -> dict[str, Any]:
    """The block for ``media``. Raises GatewayError 400 for what Anthropic cannot take: audio, video, other image and
    file formats, a file stored at another provider, or a kind that the target model lacks."""
    media = _without_data_url(media, path)
    if media.file_id is not None:
        return _file_block(media, path)
    if media.kind == "image":
        return _image_block(media, target, path)
    if media.kind == "file":
        return _document_block(media, target, path)
    raise unsupported(f"{target.model} does not take {media.kind} input", param=path)


def _image_block(media: Media, target: Target, path: str) -> dict[str, Any]:
    if target.lacks("image"):
        raise unsupported(f"{target.model} does not take image input", param=path)
    if media.url is not None:
        return {"type": "image", "source": {"type": "url", "url": media.url}}
    data = media.data or ""
    # The bytes win over the label: the vendor compares them and refuses a mismatch.
    media_type = _sniff(data) or (media.media_type or "").lower().replace("image/jpg", "image/jpeg")
    if media_type not in _IMAGE_TYPES:
        raise unsupported(
            f"{target.model} takes PNG, JPEG, GIF and WebP images, not {media_type or 'this'}", param=path
        )
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _document_block(media: Media, target: Target, path: str) -> dict[str, Any]:
    name = (media.filename or "").lower()
    media_type = (media.media_type or "").partition(";")[0].strip().lower()
    if media.url is not None:
        source: dict[str, Any] = {"type": "url", "url": media.url}
    elif _sniff(media.data or "") == "application/pdf":
        source = {"type": "base64", "media_type": "application/pdf", "data": media.data}
    elif media_type.startswith("text/") or media_type in _TEXT_TYPES or name.endswith(_TEXT_SUFFIXES):
        return _titled({"type": "text", "media_type": "text/plain", "data": _text(media, path)}, media)
    elif (_sniff(media.data or "") or "").startswith("image/"):
        return _image_block(media, target, path)
    elif media_type == "application/pdf" or name.endswith(".pdf"):
        source = {"type": "base64", "media_type": "application/pdf", "data": media.data}
    else:
        raise unsupported(
            f"{target.model} takes PDF and text files, not {media_type or name or 'this format'}", param=path
        )
    if target.lacks("pdf"):
        raise unsupported(f"{target.model} does not take PDF input", param=path)
    return _titled(source, media)


def _titled(source: dict[str, Any], media: Media) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "document", "source": source}
    own = media.extra.get("messages", {})
    for name, value in (
        ("title", media.filename),
        ("context", own.get("context")),
        ("citations", own.get("citations")),
    ):
        if value is not None:
            block[name] = value
    return block


def _file_block(media: Media, path: str) -> dict[str, Any]:
    if not media.extra.get("messages", {}).get("file"):
        raise unsupported(
            "A file id is known only to the provider it was uploaded to; send the data instead", param=path
        )
    source = {"type": "file", "file_id": media.file_id}
    return {"type": "image", "source": source} if media.kind == "image" else _titled(source, media)


def _text(media: Media, path: str) -> str:
    try:
        return base64.b64decode(media.data or "", validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise invalid_request("The file is not base64-encoded UTF-8 text", param=path) from None


def _sniff(data: str) -> str | None:
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)


def _without_data_url(media: Media, path: str) -> Media:
    if media.url is None or not media.url.startswith("data:"):
        return media
    head, comma, data = media.url[5:].partition(",")
    if not comma:
        raise invalid_request("A data URL needs a comma before its data", param=path)
    if not head.endswith(";base64"):
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    media_type = head.removesuffix(";base64").partition(";")[0] or media.media_type
    return Media(media.kind, data=data, media_type=media_type, filename=media.filename, extra=media.extra)

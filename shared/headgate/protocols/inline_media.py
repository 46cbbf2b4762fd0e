"""What inline media are: data URLs taken apart, formats told by their first bytes, text files decoded."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from headgate.conversation import Media
from headgate.errors import invalid_request
from headgate.protocols.contract import Target

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


def sniff(data: str) -> str | None:
    """The media type of base64 ``data`` if its first bytes give it away."""
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)


def media_type_of(media: Media) -> str:
    """The media type the client named, bare and in lower case; empty where it named none."""
    return (media.media_type or "").partition(";")[0].strip().lower()


def by_address(media: Media) -> bool:
    """Whether ``media`` is named by a web address, which somebody must fetch."""
    return media.url is not None and media.url[:8].lower().startswith(("http://", "https://"))


def lacking(media: Media, target: Target) -> str | None:
    """What ``target`` positively lacks for ``media`` (``image``, ``pdf`` …), as far as kind and named type tell it
    before the content is known."""
    feature = "pdf" if media.kind == "file" and media_type_of(media) == "application/pdf" else media.kind
    return feature if feature != "file" and target.lacks(feature) else None


def is_text(media: Media) -> bool:
    """Whether the named type or the file's name says plain text."""
    named = media_type_of(media)
    return named.startswith("text/") or named in _TEXT_TYPES or (media.filename or "").lower().endswith(_TEXT_SUFFIXES)


def decode_text(media: Media, path: str) -> str:
    """The text of an inline text file. Raises GatewayError 400 where it is none."""
    try:
        return base64.b64decode(media.data or "", validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        raise invalid_request("The file is not base64-encoded UTF-8 text", param=path) from None


def without_data_url(media: Media, path: str) -> Media:
    """``media`` with a ``data:`` URL turned into plain base64 data. Raises GatewayError 400 for a malformed one."""
    if media.url is None or not media.url.startswith("data:"):
        return media
    head, comma, data = media.url[5:].partition(",")
    if not comma:
        raise invalid_request("A data URL needs a comma before its data", param=path)
    if not head.endswith(";base64"):
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    media_type = head.removesuffix(";base64").partition(";")[0] or media.media_type
    return Media(media.kind, data=data, media_type=media_type, filename=media.filename, extra=media.extra)

"""Images, documents, audio and video as Gemini's ``inlineData`` and ``fileData`` parts."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from headgate.conversation import Media
from headgate.errors import invalid_request, unsupported
from headgate.losses import Loss
from headgate.protocols.contract import Target
from headgate.protocols.inline_media import by_address, lacking

Block = dict[str, Any]

_IMAGES = frozenset({"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"})
_AUDIO = {
    "audio/wav": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/mp3": "audio/mp3",
    "audio/mpeg": "audio/mp3",
    "audio/aiff": "audio/aiff",
    "audio/aac": "audio/aac",
    "audio/ogg": "audio/ogg",
    "audio/flac": "audio/flac",
    "audio/mp4": "audio/mp4",
    "audio/m4a": "audio/m4a",
    "audio/webm": "audio/webm",
    "audio/opus": "audio/opus",
}
_VIDEO = {"video/quicktime": "video/mov", "video/x-msvideo": "video/avi", "video/x-ms-wmv": "video/wmv"}
_TEXT_TYPES = frozenset({"application/json", "application/xml", "application/yaml", "application/javascript"})
_SUFFIXES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".gif": "image/gif",
    ".pdf": "application/pdf",
    ".wav": "audio/wav",
    ".mp3": "audio/mp3",
    ".aac": "audio/aac",
    ".ogg": "audio/ogg",
    ".flac": "audio/flac",
    ".mp4": "video/mp4",
    ".mov": "video/mov",
    ".webm": "video/webm",
    ".mpeg": "video/mpeg",
}
_TEXT_SUFFIXES = (".txt", ".md", ".csv", ".json", ".xml", ".html", ".yaml", ".yml", ".log", ".py", ".js", ".ts")
# The first characters of the base64 form tell the formats apart where the client named none or the wrong one.
_MAGIC = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "JVBERi": "application/pdf",
}
_DEFAULTS = {"image": "image/jpeg", "file": "application/pdf", "audio": "audio/mp3", "video": "video/mp4"}
_OWN_FILES = "https://generativelanguage.googleapis.com/"
_VIDEO_SITES = ("www.youtube.com", "youtube.com", "m.youtube.com", "youtu.be")
_FEATURES = {"image": "image", "audio": "audio", "video": "video"}


def needs_data(media: Media, target: Target) -> bool:
    """Whether ``media`` must come as data. What the model lacks is not worth fetching."""
    return by_address(media) and not _fetched(media, target) and lacking(media, target) is None


def media_part(media: Media, target: Target, path: str, losses: list[Loss]) -> Block:
    """The part for ``media``. Raises GatewayError 400 for what Gemini cannot take: other formats, a file stored at
    another provider, an address that it does not fetch, a kind that the model lacks."""
    media = _without_data_url(media, path)
    if media.file_id is not None:
        raise unsupported(
            "A file id is known only to the provider it was uploaded to; send the data instead", param=path
        )
    feature = lacking(media, target)
    if feature is not None:
        raise unsupported(f"{target.model} does not take {feature} input", param=path)
    part = _from_url(media, target, path) if media.url is not None else _inline(media, target, path)
    if media.detail in ("low", "high"):
        if "media_resolution" in target.quirks:
            part["mediaResolution"] = {"level": f"MEDIA_RESOLUTION_{media.detail.upper()}"}
        else:
            losses.append(Loss(f"{path}.detail", "unsupported_parameter", f"{target.model} has one resolution"))
    return part


def _fetched(media: Media, target: Target) -> bool:
    """Whether the vendor takes the address of ``media``."""
    url = media.url or ""
    own = url.startswith(_OWN_FILES) or _is_video_site(url)
    return own or ("media_urls" in target.quirks and _scheme(url) in ("https", "gs"))


def _is_video_site(url: str) -> bool:
    try:
        return _scheme(url) == "https" and urlsplit(url).hostname in _VIDEO_SITES
    except ValueError:
        return False


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()


def _from_url(media: Media, target: Target, path: str) -> Block:
    url = media.url or ""
    if not _fetched(media, target):
        raise unsupported(f"{target.model} does not fetch such an address; send the data", param=path)
    kind = media.media_type or _by_name(url.partition("?")[0].partition("#")[0])
    if _is_video_site(url):
        kind = "video/mp4"
    # An address without a telling suffix: the vendor insists on a type, and goes by the content.
    kind = _accepted(media, kind or _DEFAULTS[media.kind], target, path)
    return {"fileData": {"mimeType": kind, "fileUri": url}}


def _inline(media: Media, target: Target, path: str) -> Block:
    data = media.data or ""
    if not data:
        raise invalid_request("The data is empty", param=path)
    kind = _sniff(data) or media.media_type or _by_name(media.filename or "") or ""
    return {"inlineData": {"mimeType": _accepted(media, kind, target, path), "data": data}}


def _accepted(media: Media, media_type: str, target: Target, path: str) -> str:
    """The type as the vendor names it."""
    kind = media_type.partition(";")[0].strip().lower().replace("image/jpg", "image/jpeg")
    family = kind.partition("/")[0]
    feature = "pdf" if kind == "application/pdf" else _FEATURES.get(family)
    if feature is not None and target.lacks(feature):
        raise unsupported(f"{target.model} does not take {feature} input", param=path)
    if kind in _IMAGES or kind == "application/pdf":
        return kind
    if kind in _AUDIO:
        return _AUDIO[kind]
    if family == "video":
        return _VIDEO.get(kind, kind)
    if family == "text" or kind in _TEXT_TYPES:
        return "text/plain"
    named = kind or media.filename or "this format"
    raise unsupported(f"{target.model} does not take {media.kind} input of type {named}", param=path)


def _by_name(name: str) -> str | None:
    low = name.lower()
    if low.endswith(_TEXT_SUFFIXES):
        return "text/plain"
    return next((kind for suffix, kind in _SUFFIXES.items() if low.endswith(suffix)), None)


def _sniff(data: str) -> str | None:
    if data.startswith("UklGR"):
        # RIFF holds images and sound; the name of the form is in bytes 8 to 12.
        try:
            form = base64.b64decode(data[:16], validate=True)[8:12]
        except binascii.Error:
            return None
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(form)
    return next((kind for magic, kind in _MAGIC.items() if data.startswith(magic)), None)


def _without_data_url(media: Media, path: str) -> Media:
    if media.url is None or not media.url.startswith("data:"):
        return media
    head, comma, data = media.url[5:].partition(",")
    if not comma:
        raise invalid_request("A data URL needs a comma before its data", param=path)
    if not head.endswith(";base64"):
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    try:
        base64.b64decode(data[:64], validate=True)
    except (binascii.Error, ValueError):
        raise invalid_request("The data URL does not hold base64", param=path) from None
    media_type = head.removesuffix(";base64").partition(";")[0] or media.media_type
    return Media(media.kind, data=data, media_type=media_type, filename=media.filename, detail=media.detail)

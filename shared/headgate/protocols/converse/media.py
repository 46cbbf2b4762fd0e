"""Images, documents, audio and video as Converse's blocks. It takes bytes (base64 in JSON) and objects in S3."""

from __future__ import annotations

import re
from typing import Any

from headgate.conversation import Media
from headgate.errors import invalid_request, unsupported
from headgate.protocols.contract import Target
from headgate.protocols.inline_media import by_address, is_text, lacking, media_type_of, sniff, without_data_url

Block = dict[str, Any]

_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_VIDEOS = ("mkv", "mov", "mp4", "webm", "flv", "mpeg", "mpg", "wmv", "three_gp")
_SOUNDS = (
    "mp3",
    "opus",
    "wav",
    "aac",
    "flac",
    "mp4",
    "ogg",
    "mkv",
    "mka",
    "x-aac",
    "m4a",
    "mpeg",
    "mpga",
    "pcm",
    "webm",
)
_ALIASES = {"3gp": "three_gp", "3gpp": "three_gp", "quicktime": "mov", "x-matroska": "mkv", "x-wav": "wav"}
_FORBIDDEN = re.compile(r"[^a-zA-Z0-9 \-()\[\]]+")
_NAME_LIMIT = 180


class DocumentNames:
    """Names for the documents of one request: Converse demands one for each, of few characters, and no name twice."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def name(self, filename: str | None) -> str:
        """A name made from ``filename``, without its ending; the same for the same place in the same history."""
        stem = (filename or "").rpartition("/")[2]
        stem = stem.rpartition(".")[0] or stem
        base = " ".join(_FORBIDDEN.sub("-", stem).split())[:_NAME_LIMIT].strip(" -") or "document"
        name, number = base, 2
        while name in self._used:
            name, number = f"{base} ({number})", number + 1
        self._used.add(name)
        return name


def needs_data(media: Media, target: Target) -> bool:
    """Whether ``media`` must come as data: Bedrock fetches from S3 alone. What the model lacks is not worth it."""
    return by_address(media) and lacking(media, target) is None


def media_block(media: Media, target: Target, path: str, names: DocumentNames) -> Block:
    """The block for ``media``. Raises GatewayError 400 for what Bedrock cannot take: an address outside S3, a file
    stored at a provider, an unknown format, or a kind that the target model lacks."""
    media = without_data_url(media, path)
    if media.file_id is not None:
        raise unsupported(
            "A file id is known only to the provider it was uploaded to; send the data instead", param=path
        )
    feature = lacking(media, target)
    if feature is not None:
        raise unsupported(f"{target.model} does not take {feature} input", param=path)
    if media.url is not None and not media.url.startswith("s3://"):
        raise unsupported(f"{target.model} takes the data of a file or an s3:// address, no other URL", param=path)
    if media.url is None and not media.data:
        raise invalid_request("The file is empty", param=path)
    match media.kind:
        case "image":
            return _image(media, target, path)
        case "file":
            return _document(media, target, path, names)
        case "audio":
            return _recording(media, target, path, "audio", _SOUNDS)
        case "video":
            return _recording(media, target, path, "video", _VIDEOS)


def _source(media: Media) -> Block:
    return {"s3Location": {"uri": media.url}} if media.url is not None else {"bytes": media.data}


def _image(media: Media, target: Target, path: str) -> Block:
    # A file can turn out to be an image.
    if target.lacks("image"):
        raise unsupported(f"{target.model} does not take image input", param=path)
    # The bytes win over the label: the vendor compares them and refuses a mismatch.
    kind = sniff(media.data or "") or media_type_of(media) or f"image/{_suffix(media)}"
    if kind not in _IMAGES:
        raise unsupported(f"{target.model} takes PNG, JPEG, GIF and WebP images, not {kind}", param=path)
    return {"image": {"format": _IMAGES[kind], "source": _source(media)}}


def _document(media: Media, target: Target, path: str, names: DocumentNames) -> Block:
    sniffed = sniff(media.data or "")
    if sniffed in _IMAGES:
        return _image(media, target, path)
    suffix = _suffix(media)
    format = _DOCUMENTS.get(sniffed or media_type_of(media)) or (suffix if suffix in _DOCUMENTS.values() else None)
    if format is None and is_text(media):
        format = "txt"
    if format is None:
        named = media_type_of(media) or media.filename or "this format"
        raise unsupported(f"{target.model} takes PDF, Office, HTML and text files, not {named}", param=path)
    if format == "pdf" and target.lacks("pdf"):
        raise unsupported(f"{target.model} does not take PDF input", param=path)
    block: Block = {"format": format, "name": names.name(media.filename), "source": _source(media)}
    own = media.extra.get("messages", {})
    if own.get("context"):
        block["context"] = own["context"]
    if own.get("citations"):
        block["citations"] = {"enabled": bool(own["citations"].get("enabled"))}
    return {"document": block}


def _recording(media: Media, target: Target, path: str, kind: str, formats: tuple[str, ...]) -> Block:
    named = media_type_of(media).rpartition("/")[2] or _suffix(media)
    format = _ALIASES.get(named, named)
    if format not in formats:
        raise unsupported(f"{target.model} does not take {kind} of the format {named or 'unknown'}", param=path)
    return {kind: {"format": format, "source": _source(media)}}


def _suffix(media: Media) -> str:
    return (media.filename or media.url or "").lower().rpartition(".")[2]

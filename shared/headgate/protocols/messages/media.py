"""Images and files as Anthropic's image and document blocks.

The quirk ``no_source_urls`` of a provider's row: it takes base64 sources only, no addresses (Claude at Vertex AI).
"""

from __future__ import annotations

from typing import Any

from headgate.conversation import Media
from headgate.errors import unsupported
from headgate.protocols.contract import Target
from headgate.protocols.inline_media import (
    by_address,
    decode_text,
    is_text,
    lacking,
    media_type_of,
    sniff,
    without_data_url,
)

_IMAGE_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")


def needs_data(media: Media, target: Target) -> bool:
    """Whether ``media`` must come as data: the vendor fetches images and PDFs over https alone. What the model lacks
    is not worth fetching."""
    url = media.url or ""
    if not by_address(media) or media.kind not in ("image", "file") or lacking(media, target) is not None:
        return False
    if "no_source_urls" in target.quirks or not url.lower().startswith("https:"):
        return True
    # A document by address must be a PDF; of any other the type is known only when it is here.
    ending = url.partition("?")[0].partition("#")[0].lower()
    return media.kind == "file" and media_type_of(media) != "application/pdf" and not ending.endswith(".pdf")


def media_block(media: Media, target: Target, path: str) -> dict[str, Any]:
    """The block for ``media``. Raises GatewayError 400 for what Anthropic cannot take: audio, video, other image and
    file formats, a file stored at another provider, or a kind that the target model lacks."""
    media = without_data_url(media, path)
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
    media_type = sniff(data) or (media.media_type or "").lower().replace("image/jpg", "image/jpeg")
    if media_type not in _IMAGE_TYPES:
        raise unsupported(
            f"{target.model} takes PNG, JPEG, GIF and WebP images, not {media_type or 'this'}", param=path
        )
    return {"type": "image", "source": {"type": "base64", "media_type": media_type, "data": data}}


def _document_block(media: Media, target: Target, path: str) -> dict[str, Any]:
    name = (media.filename or "").lower()
    media_type = media_type_of(media)
    if media.url is not None:
        source: dict[str, Any] = {"type": "url", "url": media.url}
    elif sniff(media.data or "") == "application/pdf":
        source = {"type": "base64", "media_type": "application/pdf", "data": media.data}
    elif is_text(media):
        return _titled({"type": "text", "media_type": "text/plain", "data": decode_text(media, path)}, media)
    elif (sniff(media.data or "") or "").startswith("image/"):
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

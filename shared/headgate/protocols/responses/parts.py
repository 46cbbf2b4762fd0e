"""Content parts, citations and log probabilities between the wire and the model; both directions use the same forms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from headgate.conversation import (
    NO_EXTRA,
    Citation,
    Extra,
    Media,
    OpaquePart,
    Part,
    Refusal,
    Text,
    TokenLogprob,
)
from headgate.errors import unsupported

PROTOCOL = "responses"
"""Our name in ``extra`` bags, in ``Sealed`` and in opaque values."""

_TTL_FROM_BREAKPOINT = {"30m": "1h", "12h": "1h"}


def read_content(content: Any) -> tuple[Part, ...]:
    """The parts of a message's ``content`` or a tool's ``output``: a string is one text."""
    if isinstance(content, str):
        return (Text(content),)
    return tuple(read_part(part) for part in content)


def read_part(part: Mapping[str, Any]) -> Part:
    """One content part. A type that is not ours to understand stays whole."""
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            return Text(
                part["text"],
                citations=read_citations(part.get("annotations")),
                logprobs=read_logprobs(part.get("logprobs")),
                extra=marks(part),
            )
        case "refusal":
            return Refusal(part["refusal"])
        case "input_image":
            return _media("image", part, part.get("image_url"), detail=part.get("detail"))
        case "input_file":
            inline = part.get("file_data")
            if inline is not None and not inline.startswith("data:"):
                # The API also takes bare base64, whose type only the file name tells.
                kind = _type_of(part.get("filename"))
                return Media("file", data=inline, media_type=kind, filename=part.get("filename"), extra=marks(part))
            return _media("file", part, inline or part.get("file_url"), filename=part.get("filename"))
        case "input_audio":
            audio = part["input_audio"]
            return Media("audio", data=audio["data"], media_type=f"audio/{audio['format']}", extra=marks(part))
        case _:
            return OpaquePart(PROTOCOL, dict(part))


def marks(value: Mapping[str, Any]) -> Extra:
    """The cache marks of a wire object. Marks of either vendor are kept under the Messages name, since only that
    family of upstreams can honour a mark; OpenAI's breakpoints have longer lives and round to one hour."""
    control = value.get("cache_control")
    breakpoint = value.get("prompt_cache_breakpoint")
    if isinstance(control, dict):
        return {"messages": {"cache_control": control}}
    if isinstance(breakpoint, dict):
        ttl = _TTL_FROM_BREAKPOINT.get(str(breakpoint.get("ttl")), "5m")
        return {"messages": {"cache_control": {"type": "ephemeral", "ttl": ttl}}}
    return NO_EXTRA


def read_citations(annotations: Any) -> tuple[Citation, ...]:
    """Web citations; other annotations keep their own form in ``extra`` and have an empty ``url``."""
    return tuple(read_citation(note) for note in annotations or () if isinstance(note, dict))


def read_citation(note: Mapping[str, Any]) -> Citation:
    """One annotation."""
    if note.get("type") != "url_citation":
        return Citation("", extra={PROTOCOL: dict(note)})
    start, end = note.get("start_index"), note.get("end_index")
    if start == end == 0:
        # xAI's models that reason cite without saying where.
        start = end = None
    return Citation(str(note.get("url") or ""), title=note.get("title"), start=start, end=end)


def write_citations(citations: Iterable[Citation], text: str) -> list[dict[str, Any]]:
    """Annotations of ``text``; those that only another protocol can say are left out."""
    return [note for citation in citations if (note := write_citation(citation, text))]


def write_citation(citation: Citation, text: str) -> dict[str, Any] | None:
    """One annotation. A citation without offsets (Anthropic's) spans the whole ``text``, because that is what it
    belongs to and the fields may not be null."""
    own = citation.extra.get(PROTOCOL)
    if not citation.url:
        return dict(own) if own else None
    return {
        "type": "url_citation",
        "start_index": 0 if citation.start is None else citation.start,
        "end_index": len(text) if citation.end is None else citation.end,
        "url": citation.url,
        "title": citation.title or "",
    }


def read_logprobs(entries: Any) -> tuple[TokenLogprob, ...]:
    """Log probabilities of output tokens."""
    if not entries:
        return ()
    return tuple(
        TokenLogprob(
            entry["token"],
            entry["logprob"],
            _bytes(entry.get("bytes")),
            tuple((top["token"], top["logprob"], _bytes(top.get("bytes"))) for top in entry.get("top_logprobs") or ()),
        )
        for entry in entries
    )


def write_logprobs(logprobs: Sequence[TokenLogprob]) -> list[dict[str, Any]]:
    """The same on the wire, where ``bytes`` may not be null."""
    return [
        {
            "token": entry.token,
            "bytes": _spell(entry.token, entry.bytes),
            "logprob": entry.logprob,
            "top_logprobs": [
                {"token": token, "bytes": _spell(token, raw), "logprob": logprob} for token, logprob, raw in entry.top
            ],
        }
        for entry in logprobs
    ]


def write_output_text(text: Text) -> dict[str, Any]:
    """Assistant text."""
    return {
        "type": "output_text",
        "annotations": write_citations(text.citations, text.text),
        "logprobs": write_logprobs(text.logprobs),
        "text": text.text,
    }


def write_input_part(part: Part, *, path: str) -> dict[str, Any]:
    """A part of a user, system or developer message or of a tool's output. Raises GatewayError 400 for content that
    the API has no form for."""
    match part:
        case Text(text=text) | Refusal(text=text):
            return {"type": "input_text", "text": text}
        case Media():
            return write_media(part, path=path)
        case OpaquePart(protocol="responses", payload=payload):
            return dict(payload)
        case _:
            raise unsupported("This content part cannot be sent to a Responses model.", param=path)


def write_media(media: Media, *, path: str) -> dict[str, Any]:
    """An image, file or audio part. Raises GatewayError 400 for video and for another provider's file ids."""
    if media.file_id is not None and media.file_id.startswith("file_"):
        # Anthropic's ids have an underscore, OpenAI's a dash: an id means nothing outside its own provider.
        raise unsupported("A file id of one provider cannot be used at another: send the content inline.", param=path)
    match media.kind:
        case "image":
            source = {"file_id": media.file_id} if media.file_id else {"image_url": _source(media, "image/png")}
            return {"type": "input_image", "detail": media.detail or "auto", **source}
        case "file":
            if media.file_id:
                return {"type": "input_file", "file_id": media.file_id}
            if media.url is not None:
                return {"type": "input_file", "file_url": media.url}
            kind = media.media_type or "application/pdf"
            name = media.filename or f"document.{_EXTENSIONS.get(kind, 'pdf')}"
            return {"type": "input_file", "filename": name, "file_data": f"data:{kind};base64,{media.data}"}
        case "audio" if media.data is not None:
            kind = (media.media_type or "audio/wav").removeprefix("audio/")
            name = {"mpeg": "mp3", "mpga": "mp3", "x-wav": "wav", "wave": "wav"}.get(kind, kind)
            return {"type": "input_audio", "input_audio": {"data": media.data, "format": name}}
        case _:
            raise unsupported(f"{media.kind.capitalize()} input cannot be sent to a Responses model.", param=path)


_EXTENSIONS = {
    "application/pdf": "pdf",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/html": "html",
    "text/csv": "csv",
    "application/json": "json",
}


def _type_of(filename: Any) -> str:
    extension = str(filename or "").rpartition(".")[2].lower()
    return next((kind for kind, known in _EXTENSIONS.items() if known == extension), "application/pdf")


def _media(
    kind: Any, part: Mapping[str, Any], source: str | None, *, detail: str | None = None, filename: str | None = None
) -> Media:
    extra = marks(part)
    if source is None:
        return Media(kind, file_id=part.get("file_id"), detail=detail, filename=filename, extra=extra)
    if not source.startswith("data:"):
        return Media(kind, url=source, detail=detail, filename=filename, extra=extra)
    head, _, data = source[5:].partition(",")
    return Media(
        kind,
        data=data,
        media_type=head.partition(";")[0] or None,
        detail=detail,
        filename=filename,
        extra=extra,
    )


def _source(media: Media, default_type: str) -> str:
    return media.url if media.url is not None else f"data:{media.media_type or default_type};base64,{media.data}"


def _bytes(raw: Any) -> tuple[int, ...] | None:
    return None if raw is None else tuple(raw)


def _spell(token: str, raw: tuple[int, ...] | None) -> list[int]:
    return list(token.encode("utf-8", "surrogatepass") if raw is None else raw)

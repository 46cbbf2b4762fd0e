"""Content blocks of the Messages API as items and parts."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from headgate.conversation import (
    Citation,
    Extra,
    Item,
    Media,
    Message,
    OpaqueItem,
    OpaquePart,
    Part,
    Reasoning,
    Role,
    Sealed,
    Text,
    Thought,
    ToolCall,
    ToolResult,
)
from headgate.losses import Loss
from headgate.protocols.contract import Unseal
from headgate.protocols.messages.arguments import arguments_text, search_action

Block = Mapping[str, Any]


class TurnReader:
    """Reads one turn. Text, images and documents that stand together are one ``Message``; every other block is an
    item of its own and closes it. A block that we do not know is kept whole: as a part where the user sent it, as an
    item where the model did."""

    def __init__(self, role: Role, path: str, unseal: Unseal, losses: list[Loss]) -> None:
        self._role: Role = role
        self._path = path
        self._unseal = unseal
        self._losses = losses
        self._items: list[Item] = []
        self._parts: list[Part] = []
        # The signature of the call to come, and where it stood.
        self._call_seal: tuple[Sealed, str] | None = None

    def read(self, turn: Mapping[str, Any]) -> list[Item]:
        """The items of ``turn``."""
        content = turn.get("content")
        if isinstance(content, str):
            self._parts.append(Text(content))
        else:
            for index, block in enumerate(content or ()):
                self._block(block, f"{self._path}.content[{index}]")
        self._close(_extra(turn, "role", "content"))
        if self._call_seal is not None:
            detail = "the signature of a tool call that is not in the turn"
            self._losses.append(Loss(self._call_seal[1], "foreign_signature", detail))
        return self._items

    def _block(self, block: Block, path: str) -> None:
        item = _ITEMS.get(block["type"])
        if item is not None:
            read = item(self, block, path)
            if read is not None:
                self._add(read)
            return
        part = read_part(block)
        if isinstance(part, OpaquePart) and self._role == "assistant":
            self._add(OpaqueItem("messages", part.payload))
        else:
            self._parts.append(part)

    def _add(self, item: Item) -> None:
        self._close()
        self._items.append(item)

    def _close(self, extra: Extra | None = None) -> None:
        if self._parts:
            self._items.append(Message(self._role, tuple(self._parts), extra=extra or {}))
            self._parts = []

    def thinking(self, block: Block, path: str) -> Item | None:
        """A thinking block; a signature that is nobody's, or another tenant's, is dropped and its text kept."""
        text, signature = block["thinking"], block["signature"]
        sealed = self._open(signature, path) if signature else None
        if sealed is not None and sealed.kind == "call":
            # Ours, and so without a text; some clients would put one in.
            self._call_seal, sealed = (sealed, path), None
        if not text and sealed is None:
            return None
        return Reasoning((Thought(text),) if text else (), sealed)

    def redacted(self, block: Block, path: str) -> Item | None:
        """A redacted block: a seal without text."""
        sealed = self._open(block["data"], path)
        if sealed is None:
            return None
        if sealed.provider is None:
            sealed = replace(sealed, kind="redacted")
        return Reasoning((), sealed)

    def _open(self, token: str, path: str) -> Sealed | None:
        sealed = self._unseal(token)
        if sealed is None:
            self._losses.append(Loss(path, "foreign_signature", "a thinking signature that this key may not replay"))
        return sealed

    def tool_use(self, block: Block, path: str) -> Item:
        """A call of the client's tool."""
        extra = _extra(block, "type", "id", "name", "input")
        seal, self._call_seal = self._call_seal, None
        sealed = replace(seal[0], kind="signature") if seal else None
        return ToolCall(block["id"], block["name"], arguments_text(block["input"]), sealed=sealed, extra=extra)

    def tool_result(self, block: Block, path: str) -> Item:
        """What the client's tool answered."""
        content = block.get("content")
        parts = (Text(content),) if isinstance(content, str) else tuple(read_part(each) for each in content or ())
        extra = _extra(block, "type", "tool_use_id", "content", "is_error")
        return ToolResult(block["tool_use_id"], parts, is_error=block.get("is_error"), extra=extra)

    def server_tool_use(self, block: Block, path: str) -> Item:
        """A tool that the provider ran; only the web search has a neutral form."""
        if block["name"] != "web_search":
            return OpaqueItem("messages", dict(block))
        action = search_action(block["input"])
        return ToolCall(block["id"], "web_search", action, kind="web_search", ran_by="provider")

    def search_result(self, block: Block, path: str) -> Item:
        """What a provider's web search found."""
        return read_search_result(block)


_ITEMS: dict[str, Callable[[TurnReader, Block, str], Item | None]] = {
    "thinking": TurnReader.thinking,
    "redacted_thinking": TurnReader.redacted,
    "tool_use": TurnReader.tool_use,
    "tool_result": TurnReader.tool_result,
    "server_tool_use": TurnReader.server_tool_use,
    "web_search_tool_result": TurnReader.search_result,
}


def read_search_result(block: Block) -> ToolResult:
    """A ``web_search_tool_result`` block. Its content (encrypted pages, or an error) has no neutral form and stays in
    ``extra["messages"]["content"]``."""
    content = block.get("content")
    return ToolResult(
        call_id=block["tool_use_id"],
        parts=(),
        is_error=True if isinstance(content, Mapping) else None,
        kind="web_search",
        ran_by="provider",
        extra={"messages": {"content": content}},
    )


def read_part(block: Block) -> Part:
    """A block that can stand inside a message or a tool result."""
    match block["type"]:
        case "text":
            return read_text(block)
        case "image":
            return _read_image(block)
        case "document":
            return _read_document(block)
        case "search_result":
            return _read_search_source(block)
        case _:
            return OpaquePart("messages", dict(block))


def read_text(block: Block) -> Text:
    """A text block with its citations."""
    citations = tuple(read_citation(each) for each in block.get("citations") or ())
    return Text(block["text"], citations, extra=_extra(block, "type", "text", "citations"))


def read_citation(raw: Mapping[str, Any]) -> Citation:
    """One citation of any location type; the vendor's own object is kept in ``extra["messages"]``, because only it
    can be replayed (``encrypted_index``, document indices)."""
    return Citation(
        url=_string(raw.get("url")) or _string(raw.get("source")) or "",
        title=_string(raw.get("title")) or _string(raw.get("document_title")),
        cited_text=_string(raw.get("cited_text")),
        extra={"messages": dict(raw)},
    )


def _read_image(block: Block) -> Media:
    source = block["source"]
    extra = _extra(block, "type", "source")
    match source["type"]:
        case "base64":
            return Media("image", data=source["data"], media_type=source["media_type"], extra=extra)
        case "url":
            return Media("image", url=source["url"], extra=extra)
        case _:
            return Media("image", file_id=source["file_id"], extra=_with_file(extra))


def _read_document(block: Block) -> Part:
    source = block["source"]
    name = block.get("title")
    extra = _extra(block, "type", "source", "title")
    match source["type"]:
        case "base64":
            return Media("file", data=source["data"], media_type=source["media_type"], filename=name, extra=extra)
        case "url":
            return Media("file", url=source["url"], media_type="application/pdf", filename=name, extra=extra)
        case "file":
            return Media("file", file_id=source["file_id"], filename=name, extra=_with_file(extra))
        case "text":
            text: str | None = source["data"]
        case _:
            text = _only_text(source.get("content"))
    if text is None:
        return OpaquePart("messages", dict(block))
    data = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()
    return Media("file", data=data, media_type="text/plain", filename=name, extra=extra)


def _only_text(content: str | Sequence[Block] | None) -> str | None:
    if content is None or isinstance(content, str):
        return content
    if all(block["type"] == "text" for block in content):
        return "\n\n".join(block["text"] for block in content)
    return None


def _read_search_source(block: Block) -> Part:
    """A search result the client brought itself: for every other vendor it is text with a heading."""
    body = _only_text(block["content"])
    if body is None:
        return OpaquePart("messages", dict(block))
    return Text(f"{block['title']}\n{block['source']}\n\n{body}", extra={"messages": {"search_result": dict(block)}})


def _with_file(extra: Extra) -> Extra:
    # A file id means something at Anthropic only; this tells its upstream writer that it came from there.
    return {"messages": {**extra.get("messages", {}), "file": True}}


def _extra(block: Mapping[str, Any], *known: str) -> Extra:
    rest = {name: value for name, value in block.items() if name not in known and value is not None}
    return {"messages": rest} if rest else {}


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None

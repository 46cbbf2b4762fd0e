"""A neutral history as the ``messages`` of ``/v2/chat``.

The system text comes first; later system messages are wrapped in ``<system>`` tags. An assistant's turn is one message
with its thinking, text, plan and calls; results follow as ``tool`` messages. Those take text and documents alone, so
images in a result come as a user message after them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from headgate.conversation import Item, Media, Message, OpaquePart, Part, Reasoning, Refusal, Text, Thought
from headgate.errors import invalid_request, unsupported
from headgate.losses import Loss
from headgate.protocols import history
from headgate.protocols.arguments import arguments_object, dumps
from headgate.protocols.contract import Target
from headgate.protocols.history import Answered, Called, Entry, Orphan, Said, Turn, in_turns, wire_call_id
from headgate.protocols.inline_media import by_address, decode_text, is_text, sniff, without_data_url
from headgate.protocols.names import NameMap

Block = dict[str, Any]

# What the seal of a reasoning item says: where in an assistant message the text stood. Cohere signs nothing, but only
# what it wrote itself goes back into its mouth.
PLAN = "tool_plan"
THINKING = "thinking"
PLACEHOLDER = "(continued)"
ATTACHED = "(see the attached documents)"
NO_OUTPUT = "(no output)"
_ID_FORBIDDEN = re.compile(r"[\x00-\x20]")
_ID_LIMIT = 128
_IMAGES = ("image/png", "image/jpeg", "image/webp", "image/gif")


def needs_data(media: Media, target: Target) -> bool:
    """Whether ``media`` must come as data: images may be addresses, the text of files may not."""
    return by_address(media) and media.kind == "file" and media.media_type != "application/pdf"


class MessageWriter:
    """Writes the messages for one request; ``messages``, ``documents`` and ``losses`` are the outcome. ``cites``:
    whether text files may go as documents to cite instead of into the text."""

    def __init__(
        self, items: Sequence[Item], target: Target, names: NameMap, first: int = 0, *, cites: bool = True
    ) -> None:
        self.messages: list[Block] = []
        self.documents: list[Block] = []
        self._target = target
        self._names = names
        self._cites = cites
        turns, self.losses = in_turns(items, _wire_id, target.model, first)
        for turn in turns:
            if turn.side == "assistant":
                self._assistant(turn)
            else:
                self._user(turn)
        if not any(message["role"] == "user" for message in self.messages[:1]):
            self.messages.insert(0, {"role": "user", "content": PLACEHOLDER})

    def _assistant(self, turn: Turn) -> None:
        content: list[Block] = []
        calls: list[Block] = []
        plans: list[str] = []
        for entry in turn.entries:
            match entry:
                case Said(message=message, path=path):
                    content += self._spoken(message, path)
                case history.Thought(item=item, path=path):
                    self._thought(item, path, content, plans)
                case Called(call=call, wire_id=wire_id):
                    name = self._names.to_wire(call.name, call.namespace)
                    text = (
                        dumps(arguments_object(call.arguments, "custom")) if call.kind == "custom" else call.arguments
                    )
                    function = {"name": name, "arguments": text or "{}"}
                    calls.append({"id": wire_id, "type": "function", "function": function})
                case _:
                    continue
        written: Block = {"role": "assistant"}
        while content and content[-1]["type"] == "thinking" and not calls:
            content.pop()
            self.losses.append(Loss("input", "trailing_reasoning", "thinking that nothing follows"))
        if content:
            written["content"] = content
        if calls:
            written["tool_calls"] = calls
            if plans:
                written["tool_plan"] = "".join(plans)
        if len(written) > 1:
            self.messages.append(written)

    def _spoken(self, message: Message, path: str) -> list[Block]:
        blocks: list[Block] = []
        for index, part in enumerate(message.parts):
            at = f"{path}.content[{index}]"
            match part:
                case Text(text=text) | Refusal(text=text):
                    if text.strip():
                        blocks.append({"type": "text", "text": text})
                    if isinstance(part, Text) and part.citations:
                        self.losses.append(Loss(f"{at}.annotations", "citations_dropped", "not replayed upstream"))
                case Media(kind=kind):
                    raise unsupported(f"{self._target.model} takes no {kind} in assistant turns", param=at)
                case OpaquePart():
                    raise self._opaque(part, at)
                case Thought():
                    continue
        return blocks

    def _thought(self, item: Reasoning, path: str, content: list[Block], plans: list[str]) -> None:
        sealed = item.sealed
        if sealed is None:
            return
        text = "\n\n".join(part.text for part in item.parts)
        if not self._target.made(sealed, "cohere"):
            detail = f"thinking of {sealed.provider or sealed.protocol} cannot be replayed to {self._target.model}"
            self.losses.append(Loss(path, "foreign_signature", detail))
        elif sealed.data == PLAN and text:
            plans.append(text)
        elif sealed.data == THINKING and text:
            content.append({"type": "thinking", "thinking": text})

    def _user(self, turn: Turn) -> None:
        content: list[Block] = []
        attached = len(self.documents)
        for entry in turn.entries:
            self._entry(entry, content)
        if not content and len(self.documents) > attached:
            content.append({"type": "text", "text": ATTACHED})
        if content:
            only = content[0]["text"] if len(content) == 1 and content[0]["type"] == "text" else None
            self.messages.append({"role": "user", "content": content if only is None else only})

    def _entry(self, entry: Entry, content: list[Block]) -> None:
        match entry:
            case Said(message=message, path=path) if message.role == "user":
                content += self._parts(message.parts, path)
            case Said(message=message, path=path):
                for index, part in enumerate(message.parts):
                    if not isinstance(part, Text):
                        raise unsupported("System messages hold only text", param=f"{path}.content[{index}]")
                    if part.text.strip():
                        content.append({"type": "text", "text": f"<system>\n{part.text}\n</system>"})
            case Answered():
                content += self._answered(entry)
            case Orphan(result=result, path=path):
                note = f"Result of a tool call that is not in this conversation ({result.call_id}):"
                content += [{"type": "text", "text": note}, *self._parts(result.parts, path)]
            case _:
                return

    def _parts(self, parts: Sequence[Part], path: str) -> list[Block]:
        blocks: list[Block] = []
        for index, part in enumerate(parts):
            at = f"{path}.content[{index}]"
            match part:
                case Text(text=text) | Refusal(text=text):
                    if text.strip():
                        blocks.append({"type": "text", "text": text})
                case Media():
                    blocks += self._media(part, at)
                case OpaquePart():
                    raise self._opaque(part, at)
                case Thought():
                    continue
        return blocks

    def _media(self, media: Media, path: str) -> list[Block]:
        media = without_data_url(media, path)
        if media.file_id is not None:
            raise unsupported(
                "A file id is known only to the provider it was uploaded to; send the data instead", param=path
            )
        sniffed = sniff(media.data or "")
        if media.kind == "image" or (media.kind == "file" and (sniffed or "").startswith("image/")):
            return [self._image(media, sniffed, path)]
        if media.kind != "file":
            raise unsupported(f"{self._target.model} does not take {media.kind} input", param=path)
        if media.url is not None or sniffed == "application/pdf" or not is_text(media):
            raise unsupported(f"{self._target.model} takes text files with their data, no other files", param=path)
        text = decode_text(media, path)
        if not self._cites:
            return [
                {"type": "text", "text": f"<document name={dumps(media.filename or 'document')}>\n{text}\n</document>"}
            ]
        data = {"title": media.filename or "document", "text": text}
        self.documents.append({"id": f"document-{len(self.documents) + 1}", "data": data})
        return []

    def _image(self, media: Media, sniffed: str | None, path: str) -> Block:
        if self._target.lacks("image"):
            raise unsupported(f"{self._target.model} does not take image input", param=path)
        url = media.url
        if url is None:
            kind = sniffed or (media.media_type or "").lower().replace("image/jpg", "image/jpeg")
            if not media.data:
                raise invalid_request("The image is empty", param=path)
            if kind not in _IMAGES:
                raise unsupported(
                    f"{self._target.model} takes PNG, JPEG, WebP and GIF images, not {kind or 'this'}", param=path
                )
            url = f"data:{kind};base64,{media.data}"
        image: Block = {"url": url}
        if media.detail in ("low", "high", "auto"):
            image["detail"] = media.detail
        return {"type": "image_url", "image_url": image}

    def _opaque(self, part: OpaquePart, path: str) -> Exception:
        kind = part.payload.get("type", "unknown")
        return unsupported(f"{self._target.model} does not take content of type {kind!r}", param=path)

    def _answered(self, entry: Answered) -> list[Block]:
        """Append the ``tool`` message; gives the media that have to come after all of them."""
        result = entry.result
        texts: list[Block] = []
        images: list[Block] = []
        for index, part in enumerate(result.parts if result else (Text(history.NO_RESULT),)):
            at = f"{entry.path}.output[{index}]"
            match part:
                case Text(text=text) | Refusal(text=text):
                    if text.strip():
                        texts.append({"type": "text", "text": text})
                case Media(kind="file") if part.data and is_text(part):
                    data = {"title": part.filename or "document", "text": decode_text(part, at)}
                    texts.append({"type": "document", "document": {"data": data}})
                case Media():
                    images += self._media(part, at)
                case OpaquePart():
                    raise self._opaque(part, at)
                case Thought():
                    continue
        if result is not None and result.is_error:
            # There is no field for it.
            texts.insert(0, {"type": "text", "text": "Error:"})
        if not texts:
            texts.append({"type": "text", "text": "(see the next message)" if images else NO_OUTPUT})
        self.messages.append({"role": "tool", "tool_call_id": entry.wire_id, "content": texts})
        if not images:
            return []
        about = f"Files from the result of tool call {entry.wire_id} ({entry.call.name}):"
        return [{"type": "text", "text": about}, *images]


def _wire_id(call_id: str) -> str:
    return wire_call_id(call_id, _ID_FORBIDDEN, _ID_LIMIT)

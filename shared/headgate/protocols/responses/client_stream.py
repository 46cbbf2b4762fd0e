"""Events as the Responses stream: every item and part opened, filled, closed, and one terminal event.

An item's closing frame waits for the event after it, because only that one tells whether the item was cut off by the
token limit (``status: incomplete``); the text itself is never held back.
"""

from __future__ import annotations

from typing import Any

from headgate.conversation import (
    Citation,
    Item,
    Message,
    OpaqueItem,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thought,
    ToolCall,
)
from headgate.errors import GatewayError
from headgate.events import (
    CitationAdded,
    Delta,
    Event,
    Failed,
    Finished,
    ItemEnded,
    ItemStarted,
    PartEnded,
    PartStarted,
    Started,
    UsageUpdated,
)
from headgate.protocols.contract import Reply
from headgate.protocols.responses.client_answer import (
    has_refusal,
    incomplete_reason,
    mark_incomplete,
    response_object,
    wants_encrypted,
    write_item,
    write_items,
    write_part,
    write_thought,
)
from headgate.protocols.responses.echo import echo, namespaces
from headgate.protocols.responses.parts import write_citation, write_logprobs
from headgate.protocols.responses.wire import compact_json, encode, quoted
from headgate.protocols.sse import DONE
from headgate.usage import Usage


class StreamWriter:
    """Writes one answer as SSE frames. ``body()`` is the response object so far, ``body_for_state()`` its output
    items with every seal in them, for the state table."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._echo = echo(reply.body)
        self._echo_json = compact_json(self._echo)[1:]
        self._spaces = namespaces(reply.body)
        self._sealed = wants_encrypted(reply.body)
        self._sequence = 0
        self._started = False
        self._items: list[Item] = []
        self._output: list[dict[str, Any]] = []
        self._held: dict[str, Any] | None = None
        self._usage: Usage | None = None
        self._finished: Finished | None = None
        self._error: GatewayError | None = None
        self._completed_at: int | None = None
        # The open item and part.
        self._item_id = ""
        self._content_index = 0
        self._summary_index = 0
        self._visible = False
        self._head = ""
        self._delta_type = ""
        self._text_length = 0
        self._citations: list[Citation] = []
        self._annotation_index = 0

    def write(self, event: Event) -> bytes:
        """The frames that ``event`` causes; b"" when none. Nothing follows Finished or Failed."""
        if type(event) is Delta:
            return self._delta(event)
        if self._finished is not None or self._error is not None:
            return b""
        return encode(self._write(event))

    def body(self) -> dict[str, Any]:
        """The response object so far, as ``write_answer`` gives it for the same events."""
        return self._object([dict(item) for item in self._output])

    def body_for_state(self) -> list[dict[str, Any]]:
        """The output items with ``encrypted_content`` also where the client did not ask for it."""
        return write_items(self._items, self._reply, sealed=True, finished=self._finished)

    def _delta(self, event: Delta) -> bytes:
        if not self._visible:
            return b""
        self._text_length += len(event.text)
        number, self._sequence = self._sequence, self._sequence + 1
        if event.logprobs:
            logprobs = compact_json(write_logprobs(event.logprobs))
            return encode(f'{self._head}{number},"delta":{quoted(event.text)},"logprobs":{logprobs}}}\n\n')
        tail = ',"logprobs":[]}\n\n' if self._delta_type == "response.output_text.delta" else "}\n\n"
        return encode(f'{self._head}{number},"delta":{quoted(event.text)}{tail}')

    def _write(self, event: Event) -> str:
        match event:
            case Started(usage=usage):
                self._usage = usage or self._usage
                return self._opening()
            case UsageUpdated(usage=usage):
                self._usage = usage
                return self._opening()
            case ItemStarted(item=item):
                return self._opening() + self._release() + self._item_started(item)
            case PartStarted(part=part):
                return self._part_started(part)
            case CitationAdded(citation=citation):
                return self._citation(citation)
            case PartEnded(part=part):
                return self._part_ended(part)
            case ItemEnded(item=item):
                return self._item_ended(item)
            case Finished():
                return self._opening() + self._finish(event)
            case Failed(error=error):
                opening = self._opening() + self._release()
                self._error, self._visible = error, False
                return opening + self._envelope("response.failed") + DONE.decode()
            case Delta():
                return ""

    def _opening(self) -> str:
        if self._started:
            return ""
        self._started = True
        return self._envelope("response.created") + self._envelope("response.in_progress")

    def _finish(self, event: Finished) -> str:
        if self._held is not None and incomplete_reason(event, refused=has_refusal(self._items)):
            mark_incomplete(self._held)
        frames = self._release()
        self._finished = event
        self._completed_at = self._reply.completed_at()
        status = self._object([])["status"]
        return frames + self._envelope(f"response.{status}") + DONE.decode()

    def _release(self) -> str:
        """The closing frame of the last item, once it is known how it ended."""
        item, self._held = self._held, None
        if item is None:
            return ""
        return self._frame("response.output_item.done", f'"output_index":{len(self._output) - 1}', item=item)

    def _item_started(self, item: Item) -> str:
        index = len(self._output)
        wire = write_item(item, index, self._reply, sealed=False, spaces=self._spaces, status="in_progress")
        self._visible = wire is not None
        if wire is None:
            return ""
        self._item_id = wire.get("id") or ""
        self._content_index = self._summary_index = 0
        place = f'"output_index":{index}'
        frames = self._frame("response.output_item.added", place, item=wire)
        self._visible = False
        match item:
            case ToolCall(kind="web_search"):
                place += f',"item_id":{quoted(self._item_id)}'
                frames += self._frame("response.web_search_call.in_progress", place)
                frames += self._frame("response.web_search_call.searching", place)
            case ToolCall(kind="custom"):
                self._open_deltas("response.custom_tool_call_input.delta", place)
            case ToolCall():
                # The call's id in these events is this kind of gateway's own addition to OpenAI's.
                self._open_deltas("response.function_call_arguments.delta", f'{place},"call_id":{quoted(item.call_id)}')
            case _:
                pass
        return frames

    def _open_deltas(self, kind: str, place: str) -> None:
        """Prepare everything of a delta frame that does not change from one to the next."""
        self._visible = True
        self._delta_type = kind
        self._text_length = 0
        item = quoted(self._item_id)
        self._head = f'event: {kind}\ndata: {{"type":"{kind}","item_id":{item},{place},"sequence_number":'

    def _place(self, part: Part) -> str:
        index = f'"output_index":{len(self._output)}'
        if isinstance(part, Thought) and part.summary:
            return f'{index},"summary_index":{self._summary_index}'
        return f'{index},"content_index":{self._content_index}'

    def _part_started(self, part: Part) -> str:
        self._citations, self._annotation_index = [], 0
        place = self._place(part)
        match part:
            case Thought(summary=True):
                self._open_deltas("response.reasoning_summary_text.delta", place)
                return self._item_frame("response.reasoning_summary_part.added", place, part=write_thought(part))
            case Thought():
                self._open_deltas("response.reasoning_text.delta", place)
            case Text():
                self._open_deltas("response.output_text.delta", place)
            case Refusal():
                self._open_deltas("response.refusal.delta", place)
            case _:
                self._visible = False
        wire = write_part(part)
        return "" if wire is None else self._item_frame("response.content_part.added", place, part=wire)

    def _citation(self, citation: Citation) -> str:
        """A citation without offsets spans the whole text, so it waits until that has been said."""
        if self._citations or citation.start is None or citation.end is None:
            self._citations.append(citation)
            return ""
        return self._annotation(citation, "")

    def _annotation(self, citation: Citation, text: str) -> str:
        note = write_citation(citation, text)
        if note is None:
            return ""
        place = f'"output_index":{len(self._output)},"content_index":{self._content_index}'
        place += f',"annotation_index":{self._annotation_index}'
        self._annotation_index += 1
        return self._item_frame("response.output_text.annotation.added", place, annotation=note)

    def _part_ended(self, part: Part) -> str:
        self._visible = False
        place = self._place(part)
        match part:
            case Thought(text=text, summary=True):
                self._summary_index += 1
                wire = write_thought(part)
                return self._item_frame("response.reasoning_summary_text.done", place, text=text) + self._item_frame(
                    "response.reasoning_summary_part.done", place, part=wire
                )
            case Text(text=text, logprobs=logprobs):
                frames = "".join(self._annotation(citation, text) for citation in self._citations)
                frames += self._item_frame(
                    "response.output_text.done", place, text=text, logprobs=write_logprobs(logprobs)
                )
            case Refusal(text=text):
                frames = self._item_frame("response.refusal.done", place, refusal=text)
            case Thought(text=text):
                frames = self._item_frame("response.reasoning_text.done", place, text=text)
            case _:
                frames = ""
        wire = write_part(part)
        if wire is None:
            return frames
        self._content_index += 1
        return frames + self._item_frame("response.content_part.done", place, part=wire)

    def _item_ended(self, item: Item) -> str:
        self._visible = False
        self._items.append(item)
        index = len(self._output)
        wire = write_item(item, index, self._reply, sealed=self._sealed, spaces=self._spaces)
        if wire is None:
            return ""
        frames = ""
        place = f'"output_index":{index}'
        match item:
            case ToolCall(kind="web_search"):
                frames = self._item_frame("response.web_search_call.completed", place)
            case ToolCall(kind="custom", arguments=arguments):
                frames = self._item_frame("response.custom_tool_call_input.done", place, input=arguments)
            case ToolCall(arguments=arguments, call_id=call_id):
                frames = self._item_frame(
                    "response.function_call_arguments.done",
                    place,
                    call_id=call_id,
                    name=wire["name"],
                    arguments=arguments,
                )
            case Message() | Reasoning() | OpaqueItem() | _:
                pass
        self._output.append(wire)
        self._held = wire
        return frames

    def _item_frame(self, kind: str, place: str, **fields: Any) -> str:
        return self._frame(kind, f'"item_id":{quoted(self._item_id)},{place}', **fields)

    def _frame(self, kind: str, place: str, **fields: Any) -> str:
        number, self._sequence = self._sequence, self._sequence + 1
        rest = "," + compact_json(fields)[1:] if fields else "}"
        return f'event: {kind}\ndata: {{"type":"{kind}",{place},"sequence_number":{number}{rest}\n\n'

    def _envelope(self, kind: str) -> str:
        """A frame that carries the response object. The echoed request, the bulk of it, is encoded only once."""
        number, self._sequence = self._sequence, self._sequence + 1
        ours = response_object(
            self._reply,
            {},
            self._output,
            usage=self._usage_shown(),
            finished=self._finished,
            refused=has_refusal(self._items),
            error=self._error,
            completed_at=self._completed_at,
        )
        response = f"{compact_json(ours)[:-1]},{self._echo_json}"
        return f'event: {kind}\ndata: {{"type":"{kind}","sequence_number":{number},"response":{response}}}\n\n'

    def _object(self, output: list[dict[str, Any]]) -> dict[str, Any]:
        return response_object(
            self._reply,
            self._echo,
            output,
            usage=self._usage_shown(),
            finished=self._finished,
            refused=has_refusal(self._items),
            error=self._error,
            completed_at=self._completed_at,
        )

    def _usage_shown(self) -> Usage | None:
        ended = self._finished is not None or self._error is not None
        return (self._usage or Usage()) if ended else None

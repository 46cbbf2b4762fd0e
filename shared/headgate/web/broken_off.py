"""What an answer used up that broke off before its upstream said so: an estimate, marked as one.

The upstream bills what it has read and made all the same. The output is counted from what was streamed; of a long
answer only its beginning is kept for that, so that a whole answer is never held twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from headgate.protocols.sse import parse_frame
from headgate.tokens import estimate_text
from headgate.usage import Usage

KEPT = 2_000
"""Pieces (deltas or frames) of an answer that are kept; those beyond count as long as the kept ones are on average."""


class Streamed:
    """Looks on while an answer is streamed. ``text_of`` gives what the answer says in a piece, which is only asked
    when the answer has broken off. ``family``: of the model that answers."""

    def __init__(self, text_of: Callable[[Any], str], family: str | None = None) -> None:
        self._text_of = text_of
        self._family = family
        self._kept: list[Any] = []
        self._pieces = 0

    def add(self, pieces: Sequence[Any]) -> None:
        """More of the answer."""
        self._pieces += len(pieces)
        if len(self._kept) < KEPT:
            self._kept += pieces

    def tokens(self) -> int:
        """Output tokens so far, estimated."""
        if not self._kept:
            return 0
        text = "".join(map(self._text_of, self._kept))
        return estimate_text(text, self._family) * self._pieces // len(self._kept)


def broken_off(known: Usage, input_tokens: int, output_tokens: int) -> Usage:
    """``known``, what the upstream had said of its usage, with estimates for the rest."""
    return replace(
        known,
        input_total=known.input_total or input_tokens,
        output_total=max(known.output_total, output_tokens),
        estimated=True,
    )


def frame_text(said: Callable[[Mapping[str, Any]], Iterable[object]]) -> Callable[[bytes], str]:
    """A function that gives the text of an SSE frame; ``said`` gives the strings of the answer in an event."""

    def text_of(frame: bytes) -> str:
        _, data = parse_frame(frame)
        try:
            event = json.loads(data or b"")
        except ValueError:
            return ""
        if not isinstance(event, dict):
            return ""
        return "".join(each for each in said(event) if isinstance(each, str))

    return text_of

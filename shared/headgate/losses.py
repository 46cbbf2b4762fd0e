"""What a translation had to leave out, collected instead of hidden.

Content that a target cannot represent is refused (``errors.unsupported``). A tuning knob that it lacks is dropped and
announced: in the response header ``x-headgate-losses``, in the log row, and as a 400 where the client sent
``x-headgate-strict: true``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Loss:
    """``path`` is where the value stood in the client's request (``tools[2].strict``), ``code`` a stable word
    (``unsupported_parameter``, ``foreign_signature`` …), ``detail`` one sentence for a person."""

    path: str
    code: str
    detail: str = ""


def header_value(losses: Iterable[Loss]) -> str:
    """``code:path`` pairs joined by commas, ASCII only and at most 1,000 characters, each pair once."""
    seen = dict.fromkeys(f"{loss.code}:{loss.path}" for loss in losses)
    text = ",".join(seen).encode("ascii", "replace").decode("ascii").replace("\n", " ").replace("\r", " ")
    return text if len(text) <= 1000 else text[: text.rfind(",", 0, 990)] + ",..."

"""The capabilities of the matrix, in the order of the table, each with the function that tests it."""

from __future__ import annotations

from collections.abc import Callable

from tests.matrix import accounts, content, knobs
from tests.matrix.harness import Cell

CAPABILITIES: dict[str, tuple[str, Callable[[Cell], None]]] = {
    "text": ("text", content.text),
    "system": ("system text", content.system),
    "tools": ("tools", content.tools),
    "parallel_tools": ("parallel tools", content.parallel_tools),
    "tool_result_images": ("tool results with images", content.tool_result_images),
    "images": ("images", content.images),
    "pdf": ("PDF", content.pdf),
    "structured_output": ("structured output", content.structured_output),
    "reasoning": ("reasoning", knobs.reasoning),
    "signatures": ("signatures, round trip", knobs.signatures),
    "caching": ("prompt caching", knobs.caching),
    "stop": ("stop sequences", knobs.stop),
    "max_tokens": ("max tokens", knobs.max_tokens),
    "usage": ("usage and cost", accounts.usage),
    "errors_before": ("errors before the first byte", accounts.errors_before),
    "errors_after": ("errors after the first byte", accounts.errors_after),
}

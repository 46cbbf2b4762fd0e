"""Gemini's ``usageMetadata`` as ``Usage``.

``promptTokenCount`` includes what was read from a cache, but not the tokens that the vendor's own tools put into the
prompt (search results); ``candidatesTokenCount`` leaves out the thoughts. Both are added here, so that counts are
inclusive totals.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from headgate.usage import Usage


def read_usage(raw: Mapping[str, Any], web_searches: int = 0) -> Usage:
    """An upstream's ``usageMetadata``. A count that is missing or no number counts as 0; an answer count that is
    missing beside a total is what the total leaves for it. ``web_searches``: billed searches, which the vendor reports
    elsewhere."""
    prompt, tool_use = _count(raw.get("promptTokenCount")), _count(raw.get("toolUsePromptTokenCount"))
    thoughts, said = _count(raw.get("thoughtsTokenCount")), _count(raw.get("candidatesTokenCount"))
    if "candidatesTokenCount" not in raw:
        said = max(0, _count(raw.get("totalTokenCount")) - prompt - tool_use - thoughts)
    return Usage(
        input_total=prompt + tool_use,
        cache_read=min(prompt, _count(raw.get("cachedContentTokenCount"))),
        output_total=said + thoughts,
        reasoning=thoughts,
        audio_input=_audio(raw.get("promptTokensDetails")) + _audio(raw.get("toolUsePromptTokensDetails")),
        audio_output=_audio(raw.get("candidatesTokensDetails")),
        web_searches=web_searches,
        raw=dict(raw),
    )


def input_usage(raw: Mapping[str, Any]) -> Usage | None:
    """What the first event of an answer tells of the input; None where it tells nothing (Vertex AI counts at the
    end)."""
    names = ("promptTokenCount", "cachedContentTokenCount", "toolUsePromptTokenCount", "promptTokensDetails")
    known = {name: raw[name] for name in names if name in raw}
    return read_usage(known) if _count(known.get("promptTokenCount")) else None


def _audio(details: object) -> int:
    if not isinstance(details, list):
        return 0
    found = [each for each in cast("list[Any]", details) if isinstance(each, dict)]
    return sum(_count(each.get("tokenCount")) for each in found if each.get("modality") == "AUDIO")


def _count(value: object) -> int:
    return value if type(value) is int and value > 0 else 0

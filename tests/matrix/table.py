"""The README's table, made of the data that the cells are made of."""

from __future__ import annotations

from pathlib import Path

from tests.matrix.capabilities import CAPABILITIES
from tests.matrix.facts import FRONTENDS
from tests.matrix.providers import VENDORS, Lack, Vendor

README = Path(__file__).parents[2] / "README.md"
BEGIN = "<!-- made by python -m tests.matrix -->"
END = "<!-- end of what python -m tests.matrix makes -->"
_FRONTENDS = {"responses": "Responses", "chat_completions": "Chat Completions", "messages": "Messages"}
_BESIDE = "The pictures stand in a user message behind the results."
_UNNAMED = "The vendor does not say which sequence was met, so `stop_sequence` of Messages is null."
_MANNERS = {
    "refused": "refused with a 400 that names it",
    "announced": "announced in `x-headgate-losses`",
    "absent": "the answer comes without it",
}


def section() -> str:
    """The table with its footnotes, between the marks."""
    notes: list[str] = []
    rows = [
        "| | " + " | ".join(vendor.name for vendor in VENDORS) + " |",
        "|---|" + ":-:|" * len(VENDORS),
    ]
    for capability, (label, _) in CAPABILITIES.items():
        cells = [_cell(vendor, capability, notes) for vendor in VENDORS]
        rows.append(f"| {label} | " + " | ".join(cells) + " |")
    footnotes = [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    return "\n".join([BEGIN, *rows, "", *footnotes, END])


def _cell(vendor: Vendor, capability: str, notes: list[str]) -> str:
    lacks = vendor.lacks.get(capability, ())
    marks = [_mark(_lacking(each), notes) for each in lacks]
    if capability in vendor.notes:
        marks.append(_mark(vendor.notes[capability], notes))
    if capability == "tool_result_images" and vendor.results_media == "beside":
        marks.append(_mark(_BESIDE, notes))
    if capability == "tool_result_images" and "chat_completions" in vendor.speaks:
        marks.append(_mark(f"For clients of Chat Completions: {_BESIDE[0].lower()}{_BESIDE[1:]}", notes))
    if capability == "stop" and vendor.stop_word != "named":
        marks.append(_mark(_UNNAMED, notes))
    lacking = {frontend for each in lacks for frontend in each.frontends}
    reachable = capability == "pdf" and vendor.papers_by_url
    return ("–" if lacking == set(FRONTENDS) and not reachable else "✓") + (
        f" <sup>{','.join(marks)}</sup>" if marks else ""
    )


def _mark(note: str, notes: list[str]) -> str:
    if note not in notes:
        notes.append(note)
    return str(notes.index(note) + 1)


def _lacking(lack: Lack) -> str:
    whose = ""
    if set(lack.frontends) != set(FRONTENDS):
        whose = f" (clients of {' and '.join(_FRONTENDS[each] for each in lack.frontends)})"
    return f"Vendor lacks{whose}: {lack.reason} Here: {_MANNERS[lack.manner]}."


def written(readme: str) -> str:
    """``readme`` with the section up to date. Raises ValueError where it has no place for it."""
    start, end = readme.index(BEGIN), readme.index(END) + len(END)
    return readme[:start] + section() + readme[end:]

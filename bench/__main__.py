"""Run everything, print tables, write one JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

from bench import codecs, comparison, growth, requests, routing, startup, stores, streams, tokens
from bench.rig import ROOT, rig
from bench.rows import Row

_SECTIONS = {
    "codecs": (codecs.measure, 7),
    "routing": (routing.measure, 15),
    "stores": (stores.measure, 150),
    "start": (startup.measure, 7),
    "requests": (requests.measure, 150),
    "streams": (streams.measure, 5),
    "litellm": (comparison.measure, 3),
    "growth": (growth.measure, 15),
    "tokens": (tokens.measure, 15),
}
# Two download what they compare with, one needs the history.
_ON_DEMAND = {"litellm", "growth", "tokens"}


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="What the gateway costs")
    parser.add_argument(
        "sections",
        nargs="*",
        help=f"some of {', '.join(_SECTIONS)}; by default all but {', '.join(sorted(_ON_DEMAND))}",
    )
    parser.add_argument("--quick", action="store_true", help="a fifth of the repetitions")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench.json", help="where the JSON goes")
    options = parser.parse_args()
    if unknown := set(options.sections) - set(_SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    started = time.monotonic()
    results: dict[str, object] = {"machine": _machine()}
    with rig() as running:
        for name in options.sections or [name for name in _SECTIONS if name not in _ON_DEMAND]:
            measure, repeats = _SECTIONS[name]
            for title, rows in measure(running, max(2, repeats // 5) if options.quick else repeats).items():
                results[title] = rows
                print(table(title, rows), flush=True)
    results["seconds"] = round(time.monotonic() - started)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(f"{results['machine']}\n{results['seconds']} s, written to {options.out}")


def table(title: str, rows: list[Row]) -> str:
    """Rows as text, columns aligned."""
    names = list(rows[0])
    lines = [names, *([str(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([f"\n{title}", *text])


def _machine() -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load_at_start": os.getloadavg()[0],
    }


if __name__ == "__main__":
    main()

"""How far the token estimate is from real tokenizers, by kind of text, and how fast it is."""

from __future__ import annotations

import json
import random
import string
import sysconfig
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bench import tokenizers
from bench.rig import ROOT, Rig
from bench.rows import Row
from headgate.tokens import estimate_body, estimate_text

FIXTURES = ROOT / "tests" / "fixtures" / "tokens"
FAMILIES = {
    "gpt": ["o200k"],
    "claude": ["claude2"],
    "gemini": ["gemma"],
    "llama": ["llama3"],
    "mistral": ["tekken", "mistral_spm"],
    "any": ["o200k", "cl100k", "claude2", "llama3", "gemma", "tekken", "mistral_spm"],
}
"""The tokenizers that each family's estimate is held to; the one that needs most tokens counts."""
LEAST = 150
"""Texts of fewer tokens are left out."""
_CHUNK = 3000


def measure(_rig: Rig, repeats: int) -> dict[str, list[Row]]:
    """Errors by family and kind, the fixtures' counts (also in ``build/token_counts.json``), and speed."""
    try:
        home = tokenizers.install()
    except tokenizers.Unavailable as missing:
        return {"Token estimates": [{"not measured": str(missing)}]}
    named = sorted((path.stem, path.read_text()) for path in FIXTURES.glob("*.txt"))
    texts = [*(("fixture", text) for _, text in named), *_corpus()]
    counts = tokenizers.count(home, [text for _, text in texts])
    table = {name: {key: each[index] for key, each in counts.items()} for index, (name, _) in enumerate(named)}
    (ROOT / "build" / "token_counts.json").write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    kinds = sorted({kind for kind, _ in texts})
    errors = [
        row
        for family, names in FAMILIES.items()
        for kind in kinds
        if (row := _errors(family, kind, [text for _, text in texts], [k for k, _ in texts], counts, names))
    ]
    return {"Token estimates by kind: estimate / true count": errors, "Speed of token estimates": _speed(repeats)}


def _errors(
    family: str, kind: str, texts: list[str], kinds: list[str], counts: Mapping[str, list[int]], names: list[str]
) -> Row | None:
    ratios: list[float] = []
    for index, text in enumerate(texts):
        true = max(counts[name][index] for name in names)
        if kinds[index] == kind and true >= LEAST:
            ratios.append(estimate_text(text, None if family == "any" else family) / true)
    if not ratios:
        return None
    ratios.sort()
    at = {f"p{share}": round(ratios[min(len(ratios) - 1, len(ratios) * share // 100)], 2) for share in (5, 50, 90)}
    under = sum(ratio < 0.95 for ratio in ratios)
    return {
        "family": family,
        "kind": kind,
        "texts": len(ratios),
        "least": round(ratios[0], 2),
        **at,
        "most": round(ratios[-1], 2),
        "more than 5 % under": under,
    }


def _corpus() -> Iterable[tuple[str, str]]:
    """Texts that are on every machine, and generated ones: (kind, text)."""
    library = Path(sysconfig.get_paths()["stdlib"])
    chosen = random.Random(4)
    yield from _chunks("code: Python's library", sorted(library.glob("*.py")), 60, chosen)
    own = [path for folder in ("shared", "tests", "bench", "dev") for path in sorted((ROOT / folder).rglob("*.py"))]
    yield from _chunks("code: this repository", own, 60, chosen)
    yield from _chunks("prose: this repository", [ROOT / "README.md", ROOT / "bench" / "RESULTS.md"], 12, chosen)
    yield from _chunks("data: JSON", sorted((ROOT / "tests" / "fixtures").rglob("*.json")), 20, chosen)
    for _ in range(5):
        for kind, alphabet in (
            ("letters and digits", string.ascii_letters + string.digits),
            ("hex", "0123456789abcdef"),
            ("digits", string.digits),
            ("lower-case letters", string.ascii_lowercase),
        ):
            yield f"random: {kind}", "".join(chosen.choices(alphabet, k=900))
        numbers = (f"{chosen.gauss(0, 100):.3f}" for _ in range(120))
        yield "data: numbers", ", ".join(numbers)


def _chunks(kind: str, paths: Iterable[Path], most: int, chosen: random.Random) -> Iterable[tuple[str, str]]:
    pieces = [
        text[start : start + _CHUNK]
        for path in paths
        for text in [path.read_text(encoding="utf-8", errors="replace")]
        for start in range(0, max(1, len(text) - _CHUNK), _CHUNK)
    ]
    yield from ((kind, piece) for piece in chosen.sample(pieces, min(most, len(pieces))))


def _speed(repeats: int) -> list[Row]:
    text = "\n".join(path.read_text() for path in sorted((ROOT / "shared" / "headgate").rglob("*.py")))[:1_000_000]
    rows: list[Row] = []
    for size in (4_000, 12_000, 100_000, len(text)):
        piece = text[:size]
        body = {
            "model": "m",
            "messages": [{"role": "user", "content": piece[at : at + 500]} for at in range(0, size, 500)],
        }
        whole = _best(lambda piece=piece: estimate_text(piece, "gpt"), repeats)
        walked = _best(lambda body=body: estimate_body("chat_completions", body, "gpt"), repeats)
        rows.append(
            {
                "characters": len(piece),
                "estimate_text, ms": round(whole * 1e3, 2),
                "MB/s": round(len(piece) / whole / 1e6, 1),
                "estimate_body, ms": round(walked * 1e3, 2),
            }
        )
    return rows


def _best(work: Callable[[], object], repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best

"""Cold starts now and at an earlier commit, in turn: what has been added since must not be paid for at every start.

The earlier state is unpacked from git into ``build/``. Processor time, because the two start in the same second and
other work on the machine falls on both; ``ready_ms`` is what a client would wait for.
"""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from bench.bodies import PROTOCOLS
from bench.client import cpu_seconds, resident_mb
from bench.rig import ROOT, Rig
from bench.rows import Row, median, rounded
from dev.lambda_emulator import Environment, Function

BEFORE = "7d5a93e"
"""The last commit with three upstream protocols and two providers."""

_IMPORT = "import time; before = time.process_time(); import app; print(time.process_time() - before)"


@dataclass
class Found:
    """Milliseconds and MB of each start of one function of one state."""

    ready: list[float] = field(default_factory=list[float])
    cpu: list[float] = field(default_factory=list[float])
    imported: list[float] = field(default_factory=list[float])
    resident: list[float] = field(default_factory=list[float])


def measure(rig: Rig, repeats: int) -> dict[str, list[Row]]:
    """Every function that both states have. Exits with a message where the earlier state is not to be had."""
    states = {"before": unpacked(BEFORE), "now": ROOT}
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as cache:
        environment = {**rig.instant, "PYTHONPYCACHEPREFIX": cache}
        for name in (*PROTOCOLS, "models"):
            found = {state: Found() for state in states}
            for number in range(repeats + 1):
                # Each goes first as often as the other. The very first starts write the bytecode.
                for state in sorted(states, reverse=number % 2 == 0):
                    _start(states[state], name, environment, found[state] if number else Found())
            rows.append(row(name, found["before"], found["now"]))
    return {f"start_since_{BEFORE}": rows}


def unpacked(commit: str) -> Path:
    """The tree of ``commit`` under ``build/``."""
    target = ROOT / "build" / f"before-{commit}"
    if not target.exists():
        done = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True)
        if done.returncode:
            raise SystemExit(f"The state to compare with, {commit}, is not here: {done.stderr.decode().strip()}")
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            archive.extractall(target, filter="data")
    return target


def row(name: str, before: Found, now: Found) -> Row:
    """Medians, the median of the ratios of neighbouring starts, and the ratio of the best ones, which other work on the
    machine has disturbed least."""
    found: Row = {"function": name}
    for what in ("imported", "cpu", "ready", "resident"):
        old, new = getattr(before, what), getattr(now, what)
        unit = "mb" if what == "resident" else "ms"
        found |= {f"{what}_before_{unit}": round(median(old), 1), f"{what}_{unit}": round(median(new), 1)}
        found[f"{what}_ratio"] = median([each / other for each, other in zip(new, old, strict=True)])
        found[f"{what}_best_ratio"] = min(new) / min(old)
    return rounded(found, 3)


def _start(checkout: Path, name: str, settings: dict[str, str], found: Found) -> None:
    directory, shared, runtime = checkout / "functions" / name, checkout / "shared", checkout / "layers" / "runtime"
    variables = {**settings, "PYTHONPATH": f"{shared}{os.pathsep}{runtime}", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT], cwd=directory, env=variables, capture_output=True, text=True, check=True
    )
    found.imported.append(float(done.stdout.split()[-1]) * 1000)
    wrapper = runtime / "headgate-runtime"
    asyncio.run(_ready(Function(name, directory, environment=settings, python_path=(shared,), wrapper=wrapper), found))


async def _ready(function: Function, found: Found) -> None:
    before = time.perf_counter()
    environment = Environment(function, lambda _: None, lambda _, __: None, lambda _: None, 60)
    await environment.ready
    found.ready.append((time.perf_counter() - before) * 1000)
    assert environment.pid is not None
    found.cpu.append(cpu_seconds(environment.pid) * 1000)
    found.resident.append(resident_mb(environment.pid))
    await environment.stop()

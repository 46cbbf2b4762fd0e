"""Cold starts: from the start of a process to its first request for an event, with bytecode at hand and without, what
is resident by then, and whether anything was sent."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from bench.bodies import PROTOCOLS
from bench.client import cpu_seconds, resident_mb
from bench.rig import ROOT, Rig, gateway_function, passthrough_function
from bench.rows import Row, median, rounded
from dev.lambda_emulator import Environment, Function

_NETWORK = """
import asyncio, sys
seen = []
sys.addaudithook(lambda name, _: seen.append(name) if name in ("socket.connect", "socket.getaddrinfo") else None)
import app
async def start():
    async with app.app.router.lifespan_context(app.app):
        pass
asyncio.run(start())
print(len(seen))
"""


def measure(rig: Rig, repeats: int) -> dict[str, list[Row]]:
    """Each gateway function in turn with the yardstick."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        settings = {"PYTHONPYCACHEPREFIX": folder}
        fill = [_yardstick(rig, settings), *_functions(rig, settings)]
        asyncio.run(_starts(fill, 1))
        with_bytecode = asyncio.run(_starts(fill, repeats))
        # On Lambda the standard library has its bytecode in any case.
        _forget_all_but_the_standard_library(cache)
        settings |= {"PYTHONDONTWRITEBYTECODE": "1"}
        without = asyncio.run(_starts([_yardstick(rig, settings), *_functions(rig, settings)], repeats))
    rows: list[Row] = []
    for name, starts in with_bytecode.items():
        rows.append(
            rounded(
                {
                    "function": name,
                    "ready_ms": median([start[0] for start in starts]),
                    "cpu_ms": median([start[1] for start in starts]),
                    "ready_without_pyc_ms": median([start[0] for start in without[name]]),
                    "cpu_without_pyc_ms": median([start[1] for start in without[name]]),
                    "resident_mb": median([start[2] for start in starts]),
                    "sockets_opened": _sockets(name, rig) if name != "passthrough" else 0,
                },
                1,
            )
        )
    return {"start": rows}


def _yardstick(rig: Rig, settings: dict[str, str]) -> Function:
    return passthrough_function(rig.upstream, settings)


def _functions(rig: Rig, settings: dict[str, str]) -> list[Function]:
    return [gateway_function(name, {**rig.instant, **settings}) for name in PROTOCOLS]


async def _starts(functions: list[Function], repeats: int) -> dict[str, list[tuple[float, float, float]]]:
    """(milliseconds until the first ``/next``, processor milliseconds, resident MB) of each start."""
    found: dict[str, list[tuple[float, float, float]]] = {function.name: [] for function in functions}
    for _ in range(repeats):
        for function in functions:
            before = time.perf_counter()
            environment = Environment(function, lambda _: None, lambda _, __: None, lambda _: None, 60)
            await environment.ready
            ready = time.perf_counter() - before
            assert environment.pid is not None
            used = cpu_seconds(environment.pid)
            found[function.name].append((ready * 1000, used * 1000, resident_mb(environment.pid)))
            await environment.stop()
    return found


def _forget_all_but_the_standard_library(cache: Path) -> None:
    library = cache / Path(sysconfig.get_path("stdlib")).relative_to("/")
    shutil.rmtree(library / "site-packages", ignore_errors=True)
    for file in cache.rglob("*.pyc"):
        if not file.is_relative_to(library):
            file.unlink()


def _sockets(name: str, rig: Rig) -> int:
    """How many connections and name look-ups importing and starting a function makes."""
    path = os.pathsep.join(map(str, (ROOT / "functions" / name, ROOT / "shared")))
    environment = {**rig.instant, "PYTHONPATH": path, "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _NETWORK], env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1])

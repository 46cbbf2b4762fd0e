"""LiteLLM's proxy in an environment of its own: installed on demand, started, measured, ended.

The versions are those of ``litellm.txt``; ``build/litellm`` keeps the environment for the next run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.client import Client, tree_cpu_seconds
from bench.rig import ROOT, free_port

REQUIREMENTS = ROOT / "bench" / "litellm.txt"
_HOME = ROOT / "build" / "litellm"
_KEY = "sk-bench"
_START_SECONDS = 180.0  # the first start compiles several thousand modules
_QUIET = (0.1, 0.001)  # a window in seconds, and the processor seconds in it of a proxy with nothing to do
# Each of these would otherwise be downloaded at the start; the package has copies.
_LOCAL = ("MODEL_COST_MAP", "ANTHROPIC_BETA_HEADERS", "AUTOROUTER_PRESETS", "BLOG_POSTS", "POLICY_TEMPLATES")


class Unavailable(Exception):
    """The proxy cannot be installed or started here; the message says what to do."""


@dataclass(frozen=True)
class Proxy:
    """A running proxy with one worker. ``pid`` is its process, which may have others under it."""

    pid: int
    client: Client

    def cpu(self) -> float:
        """Processor seconds used so far by all of its processes."""
        return tree_cpu_seconds(self.pid)

    def settle(self) -> None:
        """Wait until it has nothing left to do: logging and callbacks run after an answer."""
        window, idle = _QUIET
        quiet, before = 0, self.cpu()
        while quiet < 2:
            time.sleep(window)
            now = self.cpu()
            quiet = quiet + 1 if now - before < idle else 0
            before = now


def install(home: Path = _HOME, requirements: Path = REQUIREMENTS) -> Path:
    """The environment's folder, made where it is missing or of other versions. Raises Unavailable."""
    mark = home / "installed"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if mark.exists() and mark.read_text() == wanted:
        return home
    print(f"installing LiteLLM's proxy into {home} …", flush=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(home)],
        [*pip, "--require-hashes", "-r", str(requirements)],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            said = (done.stdout + done.stderr).strip()[-2000:]
            raise Unavailable(
                f"LiteLLM's proxy could not be installed: {' '.join(command)} said\n{said}\n"
                f"It needs a package index that pip can reach and about 750 MB under {home}. "
                "The other sections of the benchmark run without it."
            )
    mark.write_text(wanted)
    return home


def version(home: Path) -> str:
    """The installed version of LiteLLM."""
    code = "import importlib.metadata as m; print(m.version('litellm'))"
    return subprocess.run(
        [home / "bin" / "python", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


@contextlib.contextmanager
def proxy(home: Path, models: Sequence[Mapping[str, Any]]) -> Iterator[Proxy]:
    """Run the proxy with these rows of its ``model_list``, as its documentation says for production: one worker, no
    debugging, a master key, no database. Raises Unavailable."""
    port = free_port()
    config = home / "config.yaml"
    settings = {
        "model_list": models,
        "general_settings": {"master_key": _KEY},
        "litellm_settings": {"telemetry": False, "set_verbose": False},
        "router_settings": {"num_retries": 0},
    }
    config.write_text(json.dumps(settings))  # JSON is YAML
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LITELLM_LOG": "ERROR", "LITELLM_TELEMETRY": "False"}
    environment |= {f"LITELLM_LOCAL_{name}": "True" for name in _LOCAL}
    command = [str(home / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
    log = home / "proxy.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--num_workers", "1"], env=environment, stdout=output, stderr=output
        )
        try:
            _wait(process, port, log)
            headers = {"authorization": f"Bearer {_KEY}", "anthropic-version": "2023-06-01"}
            client = Client(f"http://127.0.0.1:{port}", headers)
            with contextlib.closing(client):
                yield Proxy(process.pid, client)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=5):
                return
        except OSError:
            if time.monotonic() > until or process.poll() is not None:
                raise Unavailable(f"LiteLLM's proxy did not start:\n{log.read_text()[-2000:]}") from None
            time.sleep(0.2)

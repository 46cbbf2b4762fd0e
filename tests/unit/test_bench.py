"""The measurements themselves still work; what they find is not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_codecs_are_measured_for_every_pair(tmp_path: Path):
    out = tmp_path / "bench.json"
    command = [sys.executable, "-m", "bench", "codecs", "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())["codec_us_per_event"]
    assert len({(row["client"], row["upstream"]) for row in rows}) == 9
    assert all(row["us_per_event"] > 0 for row in rows)
    assert [row["client"] == row["upstream"] for row in rows] == [row["kind"] == "relay" for row in rows]

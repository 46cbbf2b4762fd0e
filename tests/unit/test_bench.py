"""The measurements themselves still work; what they find is not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.bodies import Protocol
from bench.client import Client, cpu_seconds, tree_cpu_seconds
from bench.comparison import Side, row, shortfall
from bench.growth import Found
from bench.growth import row as growth_row
from bench.litellm_proxy import REQUIREMENTS, Unavailable, install
from bench.pairs import UPSTREAMS, litellm_models
from bench.streamed import streamed
from headgate.catalog.catalog import Catalog, split_name

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


def test_routing_decisions_are_measured_with_all_that_they_depend_on(tmp_path: Path):
    out = tmp_path / "bench.json"
    command = [sys.executable, "-m", "bench", "routing", "--quick", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())["routing_us_per_decision"]
    assert len(rows) == 8 and {row["candidates"] for row in rows} == {"10 routes x 5 accounts", "50 routes"}
    assert all(0 < row["best_us"] <= row["p50_us"] for row in rows)
    assert sum("p95, 7 breakers, 4 needs" in row["decision"] for row in rows) == 6


STREAMS: dict[Protocol, list[str]] = {
    "responses": [
        'data: {"type":"response.created"}',
        'data: {"type":"response.output_text.delta","delta":"two "}',
        'data: {"type":"response.output_text.delta","delta":"words"}',
        'data: {"type":"response.completed"}',
    ],
    "chat_completions": [
        'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}',
        'data: {"choices":[{"delta":{"content":"two "}}]}',
        'data: {"choices":[{"delta":{"content":"words"}}]}',
        'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}',
        'data: {"choices":[],"usage":{}}',
        "data: [DONE]",
    ],
    "messages": [
        'event: message_start\ndata: {"type":"message_start"}',
        'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"two "}}',
        'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"type":"text_delta","text":"words"}}',
        'event: message_stop\ndata: {"type":"message_stop"}',
    ],
}


@pytest.mark.parametrize("protocol", STREAMS)
def test_what_a_client_got_is_counted(protocol: Protocol):
    frames = STREAMS[protocol]
    whole = streamed(protocol, "\n\n".join(frames).encode())
    assert (whole.text, whole.deltas, whole.ended) == ("two words", 2, True)
    assert whole.events == sum("[DONE]" not in frame for frame in frames)
    assert shortfall(whole, "two words") == "" and "of 11 characters" in shortfall(whole, "three words")
    cut = streamed(protocol, "\n\n".join(frames[:3]).encode())
    assert cut.text == "two words" and not cut.ended and shortfall(cut, "two words")


def side(costs: list[float], error: str = "") -> Side:
    return Side(Client("http://127.0.0.1:9", {}), "model", lambda: 0.0, lambda: None, costs, [1.0], 10, error)


def test_a_tenth_is_the_aim():
    met = row("gemini", "messages", "batched", side([9.0, 50.0, 10.0]), side([100.0, 101.0, 700.0]))
    assert (met["us_per_event"], met["litellm_us"], met["ratio"], met["aim"]) == (10.0, 101.0, 10.1, "met")
    assert row("gemini", "messages", "batched", side([10.2]), side([101.0]))["aim"] == "missed"


def test_a_pair_that_only_one_side_serves():
    found = row("cohere", "messages", "alone", side([10.0]), side([], "0 of 9 characters came"))
    assert found["aim"] == "not served" and found["litellm_error"] == "0 of 9 characters came"
    with pytest.raises(RuntimeError, match="0 of 9"):
        row("cohere", "messages", "alone", side([], "0 of 9 characters came"), side([10.0]))


def test_every_pair_has_a_name_of_its_own_at_the_proxy():
    rows = litellm_models("http://127.0.0.1:1")
    assert len({one["model_name"] for one in rows}) == len(rows) == 18
    addresses = [text for one in rows for text in one["litellm_params"].values() if "://" in text]
    assert len(addresses) == 18 and all(text.startswith("http://127.0.0.1:1/") for text in addresses)
    catalog = Catalog.bundled()
    assert all(catalog.find(split_name(upstream.model)[1]) for upstream in UPSTREAMS.values())


def test_the_proxy_is_pinned_and_no_requirement_of_ours():
    pins = [line for line in REQUIREMENTS.read_text().splitlines() if line and not line.startswith((" ", "#"))]
    assert any(line.startswith("litellm==") for line in pins) and all("==" in line for line in pins)
    for ours in ("requirements/run.txt", "requirements/test.txt", "layers/dependencies/requirements.txt"):
        assert "litellm" not in (ROOT / ours).read_text()


def test_who_cannot_install_the_proxy_is_told_what_it_needs(tmp_path: Path):
    (tmp_path / "wrong.txt").write_text("no requirement at all\n")
    with pytest.raises(Unavailable, match=r"(?s)pip install.*no requirement at all.*package index"):
        install(tmp_path / "home", tmp_path / "wrong.txt")
    assert not (tmp_path / "home" / "installed").exists()


def test_processor_time_counts_the_processes_below():
    code = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\nprint(flush=True)\n"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code + 'input()'!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        assert tree_cpu_seconds(process.pid) >= 0.2 > cpu_seconds(process.pid)
        process.stdin.close()


def test_growth_is_the_ratio_of_neighbouring_starts():
    before = Found([100.0, 300.0, 200.0], [50.0] * 3, [40.0] * 3, [30.0] * 3)
    now = Found([110.0, 300.0, 210.0], [55.0] * 3, [40.0] * 3, [33.0] * 3)
    found = growth_row("responses", before, now)
    assert found["ready_best_ratio"] == 1.1
    assert (found["ready_ratio"], found["cpu_ratio"], found["imported_ratio"], found["resident_ratio"]) == (
        1.05,
        1.1,
        1.0,
        1.1,
    )

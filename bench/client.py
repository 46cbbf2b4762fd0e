"""A blocking HTTP client that measures, and what the kernel knows of another process."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Sample:
    """One request, in milliseconds: until the first byte of the body, until the first of the answer's text (``mark``)
    and until the last as the client sees it, and the function's own time from event to head, which leaves the emulator
    out (0 where there is none)."""

    first_byte: float
    first_text: float
    total: float
    function: float
    body: bytes


class Client:
    """One kept-alive connection to ``url``. ``headers`` go with every request."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._headers = {"content-type": "application/json", **headers}

    def post(self, path: str, body: Mapping[str, Any], mark: re.Pattern[bytes] | None = None) -> Sample:
        """Send one request. ``mark`` finds the beginning of the text. Raises RuntimeError for an answer that is not
        200."""
        payload = json.dumps(body).encode()
        started = time.perf_counter()
        self._connection.request("POST", path, payload, self._headers)
        answer = self._connection.getresponse()
        parts: list[bytes] = []
        first = text = 0.0
        while part := answer.read1():
            parts.append(part)
            now = time.perf_counter()
            first = first or now
            if not text and mark is not None and mark.search(part):
                text = now
        answer.read()  # nothing is left, but the connection only then knows that it is free
        ended = time.perf_counter()
        content = b"".join(parts)
        if answer.status != 200:
            raise RuntimeError(f"{path} answered {answer.status}: {content[:500]!r}")
        timing = answer.headers["x-emulator-timing"]
        spans = dict(span.split("=") for span in timing.split(", ")) if timing else {"function": "0"}
        times = [(moment - started) * 1000 for moment in (first, text or ended, ended)]
        return Sample(*times, function=float(spans["function"]), body=content)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, of all its threads, to the nanosecond."""
    # The clock of a process by its id, as clock_getcpuclockid(3) makes it; /proc counts in hundredths of a second.
    return time.clock_gettime((~pid << 3) | 2)


def tree_cpu_seconds(pid: int) -> float:
    """``cpu_seconds`` of a process and of all processes that it has started and that still run."""
    used = cpu_seconds(pid)
    for task in Path(f"/proc/{pid}/task").iterdir():
        used += sum(tree_cpu_seconds(int(child)) for child in (task / "children").read_text().split())
    return used


def resident_mb(pid: int) -> float:
    """Resident memory in MB (2**20 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no memory")

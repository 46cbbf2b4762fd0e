"""The request log: one row per request, written after the answer's stream has been closed.

Rows of one owner and UTC day share a partition and sort by time, so the command line reads a stretch of time without
an index. Prompts and answers are in a row only where the key's policy says so.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any

from headgate.storage.table import Item, Table

DAY_MS = 86_400_000
BODY_LIMIT = 1_000_000
"""Bytes of a body that are kept. What is longer is cut and marked as cut."""
COMPRESSED_LIMIT = 150_000
"""Bytes of a kept body in the table, where two of them and the rest share one item of at most 400 kB."""
_TEXT_LIMIT = 2_000


@dataclass(frozen=True, slots=True)
class LogRow:
    """What is known of a request when it is over.

    at: when it came, Unix milliseconds. owner, key_id, key_name: whose key. endpoint: the route (``/v1/responses``),
    method, status: HTTP. model: as asked for; provider, model_served: who answered, empty where nobody did.
    Tokens by class are inclusive totals as in ``headgate.usage``; estimated: the provider reported none, the counts
    are ours. cost_pico: USD x 10^-12, None where the model has no price. ttfb_ms: until the first byte of the answer
    left, None where none did; duration_ms: until the last.
    attempts: one object per upstream call (provider, model, status, ms, error …). losses: ``[path, code, detail]``
    each. aborted: the client went away. simulated: a simulated provider answered. stored: the conversation was kept.
    request_body, response_body: text, by policy; *_cut says that it was longer.
    extra: small facts of one endpoint or feature.
    """

    request_id: str
    at: int
    owner: str
    key_id: str
    endpoint: str
    method: str
    status: int
    key_name: str = ""
    team: str = ""
    model: str = ""
    provider: str = ""
    model_served: str = ""
    stream: bool = False
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_5m_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    web_searches: int = 0
    estimated: bool = False
    cost_pico: int | None = None
    ttfb_ms: int | None = None
    duration_ms: int = 0
    attempts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    losses: list[list[str]] = field(default_factory=list[list[str]])
    error_code: str = ""
    error_message: str = ""
    user_agent: str = ""
    response_id: str = ""
    aborted: bool = False
    simulated: bool = False
    stored: bool = False
    request_body: str | None = None
    response_body: str | None = None
    request_cut: bool = False
    response_cut: bool = False
    extra: dict[str, Any] = field(default_factory=dict[str, Any])


_FIELDS = {f.name for f in fields(LogRow)} - {"request_body", "response_body"}
_JSON = ("attempts", "losses", "extra")
_ALWAYS = ("request_id", "at", "owner", "key_id", "endpoint", "method", "status")


class LogStore:
    """The log table. ``ttl``: seconds a row lives. ``body_limit``: bytes of each body that are kept. ``clock``: Unix
    seconds."""

    def __init__(
        self, table: Table, ttl: int, *, body_limit: int = BODY_LIMIT, clock: Callable[[], float] = time.time
    ) -> None:
        self._table = table
        self._ttl = ttl
        self._body_limit = body_limit
        self._clock = clock

    async def write(self, row: LogRow) -> None:
        """Write a row; repeating it is harmless. Raises ``StoreUnavailable``, ``StoreFault``."""
        request, request_cut = _pack(row.request_body, self._body_limit)
        response, response_cut = _pack(row.response_body, self._body_limit)
        row = replace(
            row,
            error_message=row.error_message[:_TEXT_LIMIT],
            user_agent=row.user_agent[:_TEXT_LIMIT],
            request_cut=request_cut,
            response_cut=response_cut,
        )
        item: Item = {
            "pk": _partition(row.owner, row.at),
            "sk": f"{row.at:013d}#{row.request_id}",
            "expires_at": row.at // 1000 + self._ttl,
        }
        for name in _FIELDS:
            value = getattr(row, name)
            if value or name in _ALWAYS or (value == 0 and name in ("cost_pico", "ttfb_ms")):
                item[name] = json.dumps(value) if name in _JSON else value
        if request is not None:
            item["request_body"] = request
        if response is not None:
            item["response_body"] = response
        await self._table.put(item)

    async def query(self, owner: str, since: int, until: int, limit: int = 100) -> list[LogRow]:
        """Rows of ``owner`` with since <= at < until (Unix milliseconds), newest first, at most ``limit``."""
        found: list[LogRow] = []
        now = self._clock()
        day = (until - 1) // DAY_MS
        oldest = max(since, int((now - self._ttl) * 1000)) // DAY_MS
        while day >= oldest and len(found) < limit:
            items = await self._table.query(
                _partition(owner, day * DAY_MS),
                low=f"{max(since, 0):013d}#",
                high=f"{max(until - 1, 0):013d}#~",
                consistent=False,
                forward=False,
                limit=limit - len(found),
            )
            found += [_row(item) for item in items if item["expires_at"] > now]
            day -= 1
        return found


def _partition(owner: str, at: int) -> str:
    return f"{owner}#{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d}"


def _row(item: Item) -> LogRow:
    values = {name: json.loads(v) if name in _JSON else v for name, v in item.items() if name in _FIELDS}
    for name in ("request_body", "response_body"):
        if name in item:
            values[name] = zlib.decompress(item[name]).decode(errors="replace")
    return LogRow(**values)


def _pack(body: str | None, limit: int) -> tuple[bytes | None, bool]:
    """The body compressed, and whether something was cut off its end."""
    if body is None:
        return None, False
    raw = body.encode(errors="replace")
    kept = raw[:limit]
    packed = zlib.compress(kept, 6)
    if len(packed) > COMPRESSED_LIMIT:
        kept = raw[: min(limit, COMPRESSED_LIMIT - 1000)]
        packed = zlib.compress(kept, 6)
    return packed, len(kept) < len(raw)

"""Usage, cost, and errors."""

from __future__ import annotations

from dev.simulated_providers.tokens import count, filler
from tests.matrix.facts import Answer, Ask, user
from tests.matrix.harness import Cell, price
from tests.matrix.knobs import THOUGHT

PICO = 10**12


def usage(cell: Cell) -> None:
    """Every class of tokens is counted once: fresh and cached input, written cache, reasoning and visible output. The
    answer, the log row and the price agree to the last digit."""
    ask = Ask(
        (user(f"[[think:{THOUGHT}]][[tokens:40]]"),),
        system=f"{cell.mark} {filler(3000)}",
        marked=True,
        effort="high",
        limit=9000,
    )
    answers = [cell.ask(ask), cell.ask(ask)]
    rows = cell.rows(*answers)
    slug = cell.model.partition("/")[2]
    prices = price(cell.vendor.slug, slug)
    for answer, row in zip(answers, rows, strict=True):
        counts = answer.usage
        assert counts is not None
        assert counts.output == 40 + count(THOUGHT) and counts.input > 3000
        assert counts.reasoning == (count(THOUGHT) if cell.vendor.counts_thoughts else 0)
        assert counts.cache_read + counts.cache_write <= counts.input
        assert (row.input_tokens, row.output_tokens) == (counts.input, counts.output)
        assert row.cache_read_tokens == counts.cache_read and row.reasoning_tokens == counts.reasoning
        assert row.cache_write_5m_tokens + row.cache_write_1h_tokens == counts.cache_write
        assert not row.estimated and row.status == 200 and row.stream == cell.stream
        assert (row.provider, row.model_served) == (cell.vendor.slug, cell.model)
        fresh = counts.input - counts.cache_read - counts.cache_write
        expected = (
            fresh * prices["input"]
            + counts.cache_read * prices.get("cache_read", prices["input"])
            + counts.cache_write * prices.get("cache_write_5m", prices["input"])
            + counts.output * prices["output"]
        )
        assert row.cost_pico == expected and answer.cost == expected / PICO
    assert answers[0].usage and answers[1].usage
    assert answers[1].usage.cache_read > answers[0].usage.cache_read == 0


# What a vendor's status becomes, when it was the only route.
BEFORE = (
    ("[[fail:429 retry-after=7 message=Too many of them.]]", 429, "Too many of them."),
    ("[[fail:401 message=Who are you?]]", 424, "Who are you?"),
    ("[[fail:400 message=No such thing.]]", 400, "No such thing."),
    ("[[fail:500 message=It broke.]]", 424, "It broke."),
)
_KINDS = {
    "messages": {429: "rate_limit_error", 424: "api_error", 400: "invalid_request_error"},
    "responses": {429: "rate_limit_error", 424: "provider_error", 400: "invalid_request_error"},
}


def errors_before(cell: Cell) -> None:
    """A vendor that refuses before its first byte: the frontend's envelope, a status that says whose fault it is, the
    vendor's own words, and ``retry-after`` under its standard name."""
    answers: list[Answer] = []
    theirs = [int(directive.removeprefix("[[fail:")[:3]) for directive, _, _ in BEFORE]
    for (directive, status, said), their in zip(BEFORE, theirs, strict=True):
        answer = cell.ask(Ask((user(directive),)), status)
        answers.append(answer)
        message = cell.vendor.fixed_errors.get(their, said)
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.error and message in answer.error["message"], answer.raw
        assert answer.headers.get("retry-after") == ("7" if status == 429 else None)
        kinds = _KINDS.get(cell.frontend, _KINDS["responses"])
        assert answer.error["type"] == kinds[status], answer.error
        _nothing_leaks(answer.raw)
    for answer, their, row in zip(answers, theirs, cell.rows(*answers), strict=True):
        assert answer.error and (row.status, row.error_message) == (answer.status, answer.error["message"])
        assert [attempt["status"] for attempt in row.attempts] == [their]
    assert len(cell.sent()) == len(BEFORE)


def errors_after(cell: Cell) -> None:
    """A vendor that breaks off: a stream ends in the frontend's own error after what was said, without a finish; an
    answer that was to come whole is an error status."""
    # A whole JSON answer has no error event in it; only its connection can break.
    faults = ("error-after", "cut-after") if cell.stream else ("cut-after",)
    answers: list[Answer] = []
    for fault in faults:
        asked = Ask((user(f"[[{fault}:3]][[slow:0.001]][[tokens:30]]"),))
        answer = cell.ask(asked, 200 if cell.stream else 424)
        answers.append(answer)
        assert answer.error is not None and answer.error["message"]
        if cell.stream:
            assert answer.text and filler(30).startswith(answer.text)
        _nothing_leaks(answer.raw)
    for row in cell.rows(*answers):
        assert row.error_message and row.error_code
        assert [attempt["provider"] for attempt in row.attempts] == [cell.vendor.slug]


def _nothing_leaks(raw: str) -> None:
    words = ("httpx", "httpcore", "Traceback", "Errno", "RemoteProtocol", "JSONDecode", "Expecting", "h11")
    assert not any(word in raw for word in words), raw

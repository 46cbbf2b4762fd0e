"""Token counts and money. The only place that computes a price.

Counts are inclusive totals: ``cache_read`` and the two cache-write classes are parts of ``input_total``,
``reasoning`` is part of ``output_total``. Money is integer pico-dollars (USD x 10^-12), because some published
prices are fractions of a nano-dollar per token; it becomes a decimal number only where it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from headgate.conversation import JsonObject

PICO = 10**12


@dataclass(frozen=True, slots=True)
class Usage:
    """What one upstream call consumed. ``web_searches`` counts billed searches; ``estimated`` marks counts that we
    made up because the upstream reported none; ``raw`` keeps the upstream's own object."""

    input_total: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output_total: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    web_searches: int = 0
    estimated: bool = False
    raw: JsonObject = field(default_factory=dict[str, object])

    @property
    def cache_write(self) -> int:
        """Input tokens written to a cache, of either lifetime."""
        return self.cache_write_5m + self.cache_write_1h

    @property
    def input_fresh(self) -> int:
        """Input tokens billed at the full input price (Anthropic's ``input_tokens``)."""
        return max(0, self.input_total - self.cache_read - self.cache_write)

    @property
    def total(self) -> int:
        """Input plus output."""
        return self.input_total + self.output_total

    def __add__(self, other: Usage) -> Usage:
        """Sum of two calls (several choices, several attempts). ``raw`` objects are not merged."""
        return Usage(
            self.input_total + other.input_total,
            self.cache_read + other.cache_read,
            self.cache_write_5m + other.cache_write_5m,
            self.cache_write_1h + other.cache_write_1h,
            self.output_total + other.output_total,
            self.reasoning + other.reasoning,
            self.audio_input + other.audio_input,
            self.audio_output + other.audio_output,
            self.web_searches + other.web_searches,
            self.estimated or other.estimated,
        )


@dataclass(frozen=True, slots=True)
class Price:
    """Pico-dollars per token by class; ``web_search`` per call. A class without a published price of its own costs
    what ``input`` costs. ``tiers`` are (above, Price) pairs in rising order: the whole request is billed at the last
    tier whose ``above`` the input total exceeds."""

    input: int
    output: int
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    web_search: int = 0
    tiers: tuple[tuple[int, Price], ...] = ()

    def at(self, input_total: int) -> Price:
        """The price list that applies to a request with that many input tokens."""
        chosen = self
        for above, price in self.tiers:
            if input_total > above:
                chosen = replace(price, web_search=price.web_search or self.web_search)
        return chosen


def cost(usage: Usage, price: Price) -> int:
    """The cost of one call in pico-dollars: sum of class x price, exactly."""
    p = price.at(usage.input_total)
    read = p.input if p.cache_read is None else p.cache_read
    write_5m = p.input if p.cache_write_5m is None else p.cache_write_5m
    write_1h = write_5m if p.cache_write_1h is None else p.cache_write_1h
    audio_in = p.input if p.audio_input is None else p.audio_input
    audio_out = p.output if p.audio_output is None else p.audio_output
    fresh_audio = min(usage.audio_input, usage.input_fresh)
    return (
        (usage.input_fresh - fresh_audio) * p.input
        + fresh_audio * audio_in
        + usage.cache_read * read
        + usage.cache_write_5m * write_5m
        + usage.cache_write_1h * write_1h
        + max(0, usage.output_total - usage.audio_output) * p.output
        + usage.audio_output * audio_out
        + usage.web_searches * p.web_search
    )


def dollars(pico: int) -> float:
    """Pico-dollars as the nearest double in USD, for display and JSON bodies only."""
    return pico / PICO

"""What it is worth that a conversation returns to the route and the account which hold its prompt cache: several
hundred conversations over three providers, on a clock of their own, with and without it.

The providers are about equally fast and take turns at being the fastest, and each has two accounts. A cache is an
account's, holds what it has read before and forgets it five minutes after its last use, as OpenAI's and Anthropic's
do. Prices are those of a middling model: what is read from the cache costs a tenth.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

import pytest

from headgate.catalog.catalog import Model, Route
from headgate.providers.auth import Access
from headgate.providers.rows import PROVIDERS
from headgate.routing.affinity import in_order
from headgate.routing.candidates import Candidate
from headgate.routing.metrics import RouteStats, Snapshot, bucket
from headgate.routing.options import RoutingOptions, read_options
from headgate.routing.plan import Circumstances, decide
from headgate.routing.warm import WarmRoutes
from headgate.usage import Price, Usage, cost

LIFETIME = 300.0
SMALLEST = 1024
"""Tokens below which nothing is cached."""
SYSTEM = 3_000
CONVERSATIONS = 400
PRICE = Price(1_000_000, 5_000_000, cache_read=100_000)
PROVIDER_NAMES = ("openai", "azure", "xai")


@dataclass
class Result:
    """Sums over all turns."""

    usage: Usage
    pico: int
    latency: float
    turns: int

    @property
    def cached_share(self) -> float:
        return self.usage.cache_read / self.usage.input_total


def candidates() -> list[Candidate]:
    found: list[Candidate] = []
    for name in PROVIDER_NAMES:
        row = PROVIDERS[name]
        route = Route(name, "m", PRICE, context_window=1_000_000, max_output_tokens=8_000, features=None)
        for account in ("one", "two"):
            access = Access(row, "https://x", {}, row.protocols, "environment", id=f"{name}-{account}")
            found.append(Candidate(Model("m", "m", "a", 0, (), (route,)), route, access, row.protocols[0]))
    return found


def snapshots(draw: random.Random, minutes: int) -> list[Snapshot]:
    """The medians of each minute: all near a second, never the same one in front for long."""
    made: list[Snapshot] = []
    for minute in range(minutes):
        routes: dict[tuple[str, str], RouteStats] = {}
        for name in PROVIDER_NAMES:
            median = 1000 * draw.uniform(0.88, 1.12)
            routes[name, "m"] = RouteStats(50, 50, {bucket(median): 50}, round(median * 50))
        made.append(Snapshot(900, minute * 60.0, routes))
    return made


def arrivals(draw: random.Random) -> list[tuple[float, int]]:
    """(seconds, conversation) of every turn, in order: up to 20 turns with pauses around 45 seconds."""
    found: list[tuple[float, int]] = []
    for number in range(CONVERSATIONS):
        at = draw.uniform(0, 3 * 3600)
        for _ in range(draw.randint(2, 20)):
            found.append((at, number))
            at += draw.lognormvariate(3.8, 1.0)
    heapq.heapify(found)
    return [heapq.heappop(found) for _ in range(len(found))]


def simulate(options: RoutingOptions, *, affinity: bool, processes: int, seed: int = 11) -> Result:
    """The same conversations, providers and faults in every run with one seed. Without affinity nothing is remembered
    and each turn goes to a random account."""
    draw, chance = random.Random(seed), random.Random(seed + 12)
    turns = arrivals(draw)
    minutes = snapshots(draw, int(turns[-1][0] / 60) + 1)
    offered = candidates()
    clock = [0.0]
    remembered = [WarmRoutes(lambda: clock[0]) for _ in range(processes)]
    caches: dict[tuple[str, int], tuple[float, int]] = {}
    lengths: dict[int, int] = {}
    result = Result(Usage(), 0, 0.0, 0)
    for at, number in turns:
        clock[0] = at
        length = lengths.get(number, SYSTEM) + chance.randint(100, 2_000)
        warm_routes = remembered[chance.randrange(processes)]
        warm = warm_routes.find(f"conversation {number}") if affinity else None
        snapshot = minutes[int(at / 60)]
        order = decide(
            offered,
            Circumstances(
                options=options,
                snapshot=snapshot,
                warm=warm.route if warm else None,
                cached_tokens=warm.tokens if warm else 0,
                now=at,
                draw=chance.random,
            ),
        ).order
        account = chance.randrange(2)
        if affinity:
            order = in_order(order, [], f"conversation {number}", move_routes=False)
        elif account:
            order = [order[1], order[0], *order[2:]]
        # One call in a hundred fails, and the next provider serves.
        failed = chance.random() < 0.01
        chosen = next(each for each in order if not failed or each.route.provider != order[0].route.provider)
        seen_at, seen = caches.get((chosen.access.id, number), (float("-inf"), 0))
        read = seen // 128 * 128 if at - seen_at < LIFETIME and seen >= SMALLEST else 0
        output = chance.randint(50, 1_000)
        caches[chosen.access.id, number] = (at, length)
        lengths[number] = length + output
        used = Usage(length, cache_read=read, output_total=output)
        result.usage += used
        result.pico += cost(used, PRICE)
        result.latency += snapshot.routes[chosen.route.provider, "m"].latency_ms / 50
        result.turns += 1
        warm_routes.remember(f"conversation {number}", (chosen.route.provider, "m"), length)
    return result


@pytest.mark.parametrize(
    ("processes", "share", "saved"),
    # A process knows only what it has served itself: the more there are, the less is known.
    [(1, 0.78, 0.40), (4, 0.65, 0.25), (16, 0.60, 0.20)],
)
def test_conversations_that_return_are_cheaper(processes: int, share: float, saved: float):
    options = read_options({"routing": {"provider": {"sort": "p50_latency"}}})
    without = simulate(options, affinity=False, processes=processes)
    with_it = simulate(options, affinity=True, processes=processes)
    assert without.turns == with_it.turns > 4_000
    assert without.usage.input_total == with_it.usage.input_total, "the same conversations"
    assert without.cached_share < 0.47 and with_it.cached_share > share
    assert with_it.pico < (1 - saved) * without.pico
    # What is paid for it in speed is far less than the tolerance permits.
    assert with_it.latency < 1.06 * without.latency


def test_where_the_order_does_not_change_the_accounts_are_the_gain():
    """By cost, with equal prices, one provider serves all: only the account can be the wrong one."""
    options = read_options({"routing": {"provider": {"sort": "cost"}}})
    without = simulate(options, affinity=False, processes=16)
    with_it = simulate(options, affinity=True, processes=16)
    assert with_it.cached_share > without.cached_share + 0.1
    assert with_it.pico < 0.8 * without.pico

"""Trying routes: who is let in, what is waited for, when it ends."""

from collections.abc import Callable

import pytest

from headgate.errors import GatewayError
from headgate.routing.attempt import Attempt, first_success
from headgate.routing.candidates import Candidate
from headgate.routing.transport import UpstreamFailure
from headgate.routing.warm import KEPT_SECONDS, MOST, WarmRoutes
from tests.unit.test_plan import offer

PROVIDERS = ("openai", "azure", "xai", "mistral", "bedrock", "vertex", "cohere")


def failure(status: int, *, retry_after: float | None = None, move_on: bool = True) -> UpstreamFailure:
    error = GatewayError(status, "api_error", None, f"status {status}", retry_after=retry_after)
    return UpstreamFailure("status", error, move_on=move_on, status=status)


class Routes:
    """Answers by a script per provider: a failure to raise, or None to answer. The clock moves only by waiting."""

    def __init__(self, **scripts: list[UpstreamFailure | None]) -> None:
        self.scripts = scripts
        self.asked: list[str] = []
        self.now = 0.0
        self.slept: list[float] = []

    async def open(self, candidate: Candidate) -> str:
        name = candidate.route.provider
        self.asked.append(name)
        script = self.scripts[name]
        outcome = script.pop(0) if len(script) > 1 else script[0]
        if outcome is not None:
            raise outcome
        return name

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    async def run(
        self, *names: str, wait_until: float = 10.0, let_in: Callable[[str], bool] = lambda name: True
    ) -> str:
        async def admitted(candidate: Candidate) -> bool:
            return let_in(candidate.route.provider)

        self.attempts: list[Attempt] = []
        _, opened = await first_success(
            [offer(name) for name in names],
            self.open,
            self.attempts,
            admitted=admitted,
            wait_until=wait_until,
            clock=lambda: self.now,
            sleep=self.sleep,
        )
        return opened


async def test_each_route_is_tried_once_and_at_most_five():
    routes = Routes(**{name: [failure(500)] for name in PROVIDERS})
    with pytest.raises(GatewayError) as caught:
        await routes.run(*PROVIDERS)
    assert caught.value.status == 424
    assert routes.asked == list(PROVIDERS[:5]) and routes.slept == []


async def test_the_shortest_wait_that_a_provider_asks_for_is_worth_one_more_try():
    routes = Routes(openai=[failure(429, retry_after=7)], azure=[failure(429, retry_after=2), None])
    assert await routes.run("openai", "azure") == "azure"
    assert (routes.asked, routes.slept) == (["openai", "azure", "azure"], [2])
    assert [attempt.status for attempt in routes.attempts] == [429, 429, 200]


@pytest.mark.parametrize("wait_until", [0.0, 1.9])
async def test_a_wait_that_does_not_fit_is_handed_on(wait_until: float):
    routes = Routes(openai=[failure(429, retry_after=7)], azure=[failure(429, retry_after=2)])
    with pytest.raises(GatewayError) as caught:
        await routes.run("openai", "azure", wait_until=wait_until)
    assert (caught.value.status, caught.value.retry_after) == (429, 2)
    assert routes.slept == []


async def test_without_a_word_on_when_to_come_back_nobody_waits():
    routes = Routes(openai=[failure(429)], azure=[failure(500, retry_after=1)])
    with pytest.raises(GatewayError) as caught:
        await routes.run("openai", "azure")
    assert caught.value.status == 424 and routes.slept == []


async def test_a_second_refusal_after_waiting_ends_it():
    routes = Routes(openai=[failure(503, retry_after=1)])
    with pytest.raises(GatewayError):
        await routes.run("openai")
    assert routes.asked == ["openai", "openai"]


async def test_a_final_failure_ends_it_at_once():
    routes = Routes(openai=[failure(400, move_on=False, retry_after=1)], azure=[None])
    with pytest.raises(GatewayError) as caught:
        await routes.run("openai", "azure")
    assert caught.value.status == 400 and routes.asked == ["openai"]


async def test_a_route_that_another_request_probes_is_passed_over():
    routes = Routes(openai=[None], azure=[None])
    assert await routes.run("openai", "azure", let_in=lambda name: name != "openai") == "azure"
    assert routes.asked == ["azure"]


async def test_where_all_are_being_probed_they_are_tried_all_the_same():
    routes = Routes(openai=[failure(500)], azure=[None])
    assert await routes.run("openai", "azure", let_in=lambda name: False) == "azure"
    assert routes.asked == ["openai", "azure"]


def test_the_warm_route_is_forgotten_in_time_and_beyond_a_number():
    now = [0.0]
    warm = WarmRoutes(lambda: now[0])
    warm.remember("a", ("openai", "m"), 500)
    found = warm.find("a")
    assert found is not None and (found.route, found.tokens) == (("openai", "m"), 500)
    assert warm.find("b") is None
    now[0] = KEPT_SECONDS
    assert warm.find("a") is None
    for n in range(MOST + 1):
        warm.remember(str(n), ("azure", "m"), n)
    assert warm.find("0") is None and warm.find("1") is not None
    warm.clear()
    assert warm.find("1") is None

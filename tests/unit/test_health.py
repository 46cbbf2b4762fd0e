"""When a route is left out, and when it is tried again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headgate.routing.health import (
    CLOSED,
    COOLDOWN,
    FAILURES,
    LONGEST_COOLDOWN,
    LONGEST_SIDELINE,
    PROBE_SECONDS,
    Breaker,
    counted,
    failed,
    judged,
    rejected,
    released,
    sidelined,
    succeeded,
)

NOW = 1_800_000_000.0


def after_failures(count: int, now: float = NOW) -> Breaker:
    breaker = CLOSED
    for _ in range(count):
        breaker = failed(breaker, now)
    return breaker


def test_three_failures_in_a_row_open_it_for_a_while():
    assert not any(after_failures(n).open(NOW) for n in range(FAILURES))
    breaker = after_failures(FAILURES)
    assert (breaker.failures, breaker.opened, breaker.since) == (3, NOW, NOW)
    assert breaker.open(NOW) and breaker.open(NOW + COOLDOWN - 0.1) and not breaker.half_open(NOW + COOLDOWN - 0.1)
    assert not breaker.open(NOW + COOLDOWN) and breaker.half_open(NOW + COOLDOWN)


def test_a_success_ends_the_row():
    assert succeeded(CLOSED, NOW) is CLOSED
    assert succeeded(after_failures(2), NOW) == CLOSED
    assert not failed(succeeded(after_failures(2), NOW), NOW).open(NOW)


@pytest.mark.parametrize("calls, successes, opens", [
    (9, 0, False), (10, 8, True), (10, 9, False), (1000, 899, True), (1000, 900, False), (0, 0, False)
])  # fmt: skip
def test_an_unreliable_route_opens_without_a_row(calls: int, successes: int, opens: bool):
    assert failed(CLOSED, NOW, (calls, successes)).open(NOW) is opens


def test_failed_probes_make_the_pause_longer_up_to_what_a_return_may_go_unnoticed():
    breaker, now, pauses = after_failures(FAILURES), NOW, list[float]()
    for _ in range(4):
        pauses.append(breaker.cooldown)
        now = breaker.open_until + 1
        breaker = failed(breaker, now)
    assert pauses == [COOLDOWN, LONGEST_COOLDOWN, LONGEST_COOLDOWN, LONGEST_COOLDOWN]
    # With ten seconds until other processes have heard of it, and some for the probe itself.
    assert LONGEST_COOLDOWN + 10 < 60


def test_one_probe_at_a_time():
    breaker = after_failures(FAILURES)
    now = breaker.open_until
    probing = replace(breaker, probe_until=now + PROBE_SECONDS)
    assert probing.open(now) and not probing.half_open(now)
    assert probing.half_open(now + PROBE_SECONDS), "a probe that never came back is given up"
    assert released(probing) == breaker and released(breaker) is breaker
    assert succeeded(probing, now) == Breaker(closed=now)
    assert failed(probing, now).open_until == now + LONGEST_COOLDOWN


def test_failures_that_were_under_way_do_not_prolong_it():
    breaker = after_failures(FAILURES)
    late = breaker
    for _ in range(20):
        late = failed(late, NOW + 1)
    assert (late.open_until, late.cooldown) == (breaker.open_until, breaker.cooldown)
    # Also those that come back when it waits for a probe already.
    later = breaker.open_until + 5
    assert failed(breaker, later, started=NOW - 10).open_until == breaker.open_until
    assert failed(breaker, later, started=later - 1).open_until > later


def test_a_success_from_before_it_opened_does_not_close_it():
    breaker = after_failures(FAILURES)
    assert succeeded(breaker, NOW + 50, started=NOW - 1) is breaker
    assert succeeded(breaker, NOW + 50, started=NOW + 40) == Breaker(closed=NOW + 50)
    assert succeeded(breaker, NOW + 5, started=NOW + 1) == Breaker(closed=NOW + 5), "tried because all were out"


def test_the_calls_before_it_was_closed_do_not_open_it_again():
    back = succeeded(after_failures(FAILURES), NOW + 40)
    stray = failed(back, NOW + 60, (100, 20))
    assert not stray.open(NOW + 60)
    assert succeeded(back, NOW + 61) is back, "nothing to write"
    assert succeeded(stray, NOW + 61) == back
    assert failed(stray, NOW + 40 + 300, (100, 20)).open(NOW + 341)
    assert failed(failed(stray, NOW + 61), NOW + 62).open(NOW + 62)


def test_three_among_the_calls_of_a_busy_route_are_no_row():
    """Other processes' successes are not counted, but the route's usual traffic is known: 10 calls a second."""
    busy = (3000, 2970)
    breaker = CLOSED
    for second in range(60):
        breaker = failed(breaker, NOW + 20 * second, busy)
        assert not breaker.open(NOW + 20 * second)
    for n in range(4):
        breaker = failed(breaker, NOW + 1300 + n / 10, busy)
    assert breaker.open(NOW + 1301), "all calls of half a second"


def test_what_one_process_saw_alone_is_a_row_in_any_case():
    breaker = judged(Breaker(3, since=NOW - 100), NOW, (3000, 3000), own=FAILURES)
    assert breaker.open(NOW)
    assert not judged(Breaker(3, since=NOW - 100), NOW, (3000, 3000), own=FAILURES - 1).open(NOW)


def test_counting_is_apart_from_judging_because_the_table_counts():
    assert counted(CLOSED, NOW) == Breaker(1, since=NOW)
    assert counted(Breaker(1, since=NOW), NOW + 5) == Breaker(2, since=NOW)
    assert judged(Breaker(3, since=NOW), NOW + 1) == failed(Breaker(2, since=NOW), NOW + 1)


@pytest.mark.parametrize("seconds, pause", [(7, 7), (0.5, 0.5), (86_400, LONGEST_SIDELINE)])
def test_a_provider_may_ask_for_a_pause(seconds: float, pause: float):
    breaker = sidelined(CLOSED, NOW, seconds)
    assert breaker.open_until == NOW + pause
    assert breaker.half_open(NOW + pause)


def test_a_pause_that_was_asked_for_is_kept():
    breaker = sidelined(CLOSED, NOW, 100)
    assert sidelined(breaker, NOW + 1, 10) is breaker
    assert sidelined(breaker, NOW + 1, 200).open_until == NOW + 201
    assert succeeded(breaker, NOW + 50, started=NOW + 40) is breaker
    assert succeeded(breaker, NOW + 100, started=NOW + 100) == CLOSED


def test_a_refused_credential_is_out_at_once_and_for_longer_each_time():
    breaker, now, pauses = rejected(CLOSED, NOW), NOW, list[float]()
    assert breaker.open(NOW) and breaker.failures == 1
    assert rejected(breaker, NOW + 1) is breaker, "was under way"
    for _ in range(6):
        pauses.append(breaker.cooldown)
        now = breaker.open_until
        breaker = rejected(breaker, now)
    assert pauses == [30, 60, 120, 240, 300, 300]

"""When a lane stops by itself, when it asks again, and how fast it goes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bridge.contract.outbound import NeedsOperator, Outcome, Pending, Receipt, Refused, TryLater
from bridge.dispatch.breaker import Breaker, BreakerPolicy, Pace
from bridge.dispatch.condition import Condition
from bridge.kit.clock import SetClock

OUTAGE = TryLater("down", cause="outage")
SLOW = TryLater("no answer", applied="unknown", cause="outage")
REFUSED_KEY = NeedsOperator("wrong key", "set it", "lane")


@pytest.fixture
def clock() -> SetClock:
    return SetClock(datetime(2026, 11, 22, 10, tzinfo=UTC))


@pytest.fixture
def breaker(clock: SetClock) -> Breaker:
    return Breaker(BreakerPolicy(), clock)


@pytest.fixture
def condition(clock: SetClock) -> Condition:
    return Condition("crm", 8, BreakerPolicy(), 3_600.0, 300.0, clock)


def test_opens_after_five_outages_in_a_row(breaker: Breaker) -> None:
    """And says so once."""
    assert [breaker.failed() for _ in range(7)] == [False, False, False, False, True, False, False]
    assert breaker.is_open


def test_an_answer_in_between_starts_the_count_anew(breaker: Breaker) -> None:
    """Only consecutive ones count."""
    for _ in range(3):
        for _ in range(4):
            breaker.failed()
        assert breaker.succeeded() is False
    assert not breaker.is_open


def test_the_probe_comes_after_five_seconds_then_doubles_to_five_minutes(breaker: Breaker, clock: SetClock) -> None:
    """A target that is down for hours is asked every five minutes."""
    for _ in range(5):
        breaker.failed()
    pauses = []
    for _ in range(9):
        pauses.append(breaker.probe_in)
        clock.move(breaker.probe_in - 0.5)
        assert breaker.probe_in == pytest.approx(0.5)
        clock.move(0.5)
        assert breaker.probe_in == 0
        breaker.probed(well=False)
    assert pauses == pytest.approx([5, 10, 20, 40, 80, 160, 300, 300, 300])


def test_a_good_probe_lets_deliveries_go_but_the_first_outage_stops_them(breaker: Breaker, clock: SetClock) -> None:
    """Only a delivery proves that the target is well; until then the patience is kept."""
    for _ in range(5):
        breaker.failed()
    clock.move(5)
    breaker.probed(well=True)
    assert not breaker.is_open
    assert breaker.failed()
    assert breaker.probe_in == pytest.approx(10)


def test_a_receipt_closes_it_and_forgets_the_patience(breaker: Breaker) -> None:
    """What was in flight when it opened may still go through."""
    for _ in range(5):
        breaker.failed()
    breaker.probed(well=False)
    assert breaker.succeeded() is True
    assert not breaker.is_open
    assert breaker.probe_in == 0
    for _ in range(5):
        breaker.failed()
    assert breaker.probe_in == pytest.approx(5)


def test_the_operator_sets_it(clock: SetClock) -> None:
    """Failures, first and longest pause."""
    breaker = Breaker(BreakerPolicy(2, 1.0, 3.0), clock)
    assert [breaker.failed(), breaker.failed()] == [False, True]
    pauses = [breaker.probe_in]
    for _ in range(3):
        breaker.probed(well=False)
        pauses.append(breaker.probe_in)
    assert pauses == pytest.approx([1, 2, 3, 3])


def test_pace_halves_and_recovers_by_one_a_round() -> None:
    """Quickly down, slowly up, never to a standstill and never above what the operator allows."""
    pace = Pace(8)
    slots = [pace.slots]
    for _ in range(5):
        pace.slower()
        slots.append(pace.slots)
    assert slots == [8, 4, 2, 1, 1, 1]
    rounds = 0
    while pace.slots < 8:
        before = pace.slots
        for _ in range(before + 1):
            pace.faster()
        assert pace.slots <= before + 2
        rounds += 1
    assert 5 <= rounds <= 8
    for _ in range(100):
        pace.faster()
    assert pace.slots == 8


def test_five_calls_open_the_lane_and_a_receipt_brings_recovery(condition: Condition) -> None:
    """What was put off is due then."""
    for _ in range(5):
        assert condition.may_deliver
        condition.felt([OUTAGE])
    assert condition.status == "open"
    assert not condition.may_deliver
    condition.felt([Receipt()])
    assert condition.status == "running"
    assert condition.recovered


def test_a_batch_counts_once_however_large(condition: Condition) -> None:
    """One broken connection under a batch of a hundred is one outage."""
    condition.felt([OUTAGE] * 100)
    assert condition.status == "running"
    assert condition.pace.slots == 8


def test_part_of_a_batch_does_not_excuse_the_rest(condition: Condition, clock: SetClock) -> None:
    """A throttle among receipts and locks is still a throttle, wherever it stands in the batch."""
    throttled = TryLater("slow down", 9.0, scope="lane", cause="throttled")
    for batch in ([throttled, Receipt(), TryLater("locked")], [TryLater("locked"), throttled, Receipt()]):
        condition.felt(batch)
        assert condition.hold == pytest.approx(9)
        clock.move(9)
        assert condition.may_deliver


@pytest.mark.parametrize("outcome", [Receipt(), Refused("no", "mend"), Pending("7", 1.0), TryLater("locked")])
def test_any_answer_that_makes_sense_shows_a_target_that_is_well(condition: Condition, outcome: Outcome) -> None:
    """A refusal is an answer."""
    for _ in range(4):
        condition.felt([OUTAGE])
    condition.felt([outcome])
    condition.felt([OUTAGE])
    assert condition.status == "running"


def test_time_outs_and_throttles_slow_the_lane(condition: Condition) -> None:
    """A refused connection doesn't: there is nobody to spare."""
    condition.felt([OUTAGE])
    assert condition.pace.slots == 8
    condition.felt([SLOW])
    assert condition.pace.slots == 4
    condition.felt([TryLater("slow down", cause="throttled")])
    assert condition.pace.slots == 2


@pytest.mark.parametrize(("asked", "held"), [(30.0, 30.0), (0.0, 1.0), (None, 1.0), (86_400.0, 3_600.0)])
def test_a_throttled_lane_waits_as_a_whole(
    condition: Condition, clock: SetClock, asked: float | None, held: float
) -> None:
    """For as long as the target asks, an hour at most, a second at least."""
    condition.felt([TryLater("slow down", asked, scope="lane", cause="throttled")])
    assert condition.hold == pytest.approx(held)
    assert not condition.may_deliver
    assert condition.until_probe is None
    clock.move(held)
    assert condition.may_deliver


def test_the_longest_hold_counts(condition: Condition) -> None:
    """Eight answers that were under way say it eight times, each a little differently."""
    for asked in (5.0, 30.0, 7.0):
        condition.felt([TryLater("slow down", asked, cause="throttled")])
    assert condition.hold == pytest.approx(30)


@pytest.mark.parametrize("cause", ["outage", "busy"])
def test_an_outage_of_the_whole_lane_holds_it_too(condition: Condition, cause: str) -> None:
    """A 503 with ``Retry-After`` that the connector knows to be the target's maintenance."""
    condition.felt([TryLater("maintenance", 60.0, scope="lane", cause=cause)])
    assert condition.hold == pytest.approx(60)


def test_a_refused_credential_pauses_the_lane_until_a_probe_is_good(condition: Condition, clock: SetClock) -> None:
    """The bridge asks by itself every five minutes."""
    condition.felt([REFUSED_KEY])
    assert (condition.status, condition.paused_by, condition.untold) == ("paused", "bridge", REFUSED_KEY)
    assert condition.until_probe == pytest.approx(300)
    clock.move(300)
    assert condition.until_probe == 0
    condition.probed(REFUSED_KEY)
    assert condition.until_probe == pytest.approx(300)
    condition.probed(Receipt())
    assert condition.may_deliver
    assert condition.recovered
    assert condition.paused_by is None


def test_a_pause_of_an_operator_is_not_ended_by_the_bridge(condition: Condition) -> None:
    """Nor taken over, nor probed."""
    condition.pause("ada")
    condition.felt([REFUSED_KEY])
    for _ in range(5):
        condition.felt([OUTAGE])
    assert (condition.paused_by, condition.untold, condition.until_probe) == ("ada", None, None)
    condition.probed(Receipt())
    assert condition.paused_by == "ada"
    assert not condition.may_deliver


def test_an_operators_resume_ends_everything(condition: Condition) -> None:
    """Pause, breaker and hold: as if the target had never failed."""
    for _ in range(5):
        condition.felt([OUTAGE])
    condition.felt([TryLater("slow down", 600.0, cause="throttled")])
    condition.felt([REFUSED_KEY])
    condition.resume()
    assert condition.may_deliver
    assert condition.recovered
    assert condition.untold is None


def test_an_open_breaker_is_probed_and_a_bad_probe_waits_longer(condition: Condition, clock: SetClock) -> None:
    """One harmless request instead of a delivery."""
    for _ in range(5):
        condition.felt([OUTAGE])
    assert condition.until_probe == pytest.approx(5)
    clock.move(5)
    condition.probed(OUTAGE)
    assert condition.until_probe == pytest.approx(10)
    assert not condition.recovered
    condition.probed(Receipt())
    assert condition.recovered
    assert condition.may_deliver

"""What follows an outcome: every outcome, every way of repeating, every hint."""

from __future__ import annotations

from datetime import timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.outbound import NeedsOperator, Outcome, Pending, Receipt, Refs, Refused, Repeat, TryLater
from bridge.dispatch.retry import MAY_BE_TWICE, Next, RetryPolicy, decide

POLICY = RetryPolicy()
HOUR, DAY = 3_600.0, 86_400.0
MIDDLE = 0.5  # the chance at which a delay has no jitter


def after(
    outcome: Outcome, attempts: int = 0, age: float = 0.0, repeat: Repeat = Repeat.KEYED, chance: float = MIDDLE
) -> Next:
    return decide(outcome, attempts, age, repeat, POLICY, chance)


def later(**how) -> TryLater:
    return TryLater("the target is down", **how)


def test_the_schedule_is_the_published_one() -> None:
    """5 s, 30 s, 2 min, 10 min, 1 h, 3 h, 6 h, then every 12 h."""
    delays = [after(later(cause="outage"), attempts).delay for attempts in range(11)]
    assert delays == pytest.approx([5, 30, 120, 600, HOUR, 3 * HOUR, 6 * HOUR, *[12 * HOUR] * 4])


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.8), (0.25, 0.9), (0.5, 1.0), (0.999_999, 1.2)])
@pytest.mark.parametrize("attempts", [0, 3, 7])
def test_a_delay_differs_by_a_fifth_at_most(attempts: int, chance: float, share: float) -> None:
    """What failed together doesn't come back together."""
    step = POLICY.steps[attempts].total_seconds()
    assert after(later(), attempts, chance=chance).delay == pytest.approx(step * share, rel=1e-4)


@pytest.mark.parametrize(
    ("asked", "waited"), [(7.0, 7.0), (3_599.0, 3_599.0), (3_600.0, HOUR), (7_200.0, HOUR), (0.0, 1.0)]
)
@pytest.mark.parametrize("cause", ["outage", "busy", "throttled"])
@pytest.mark.parametrize("chance", [0.0, 0.9])
def test_what_the_target_asks_is_honoured_up_to_an_hour(asked: float, waited: float, cause: str, chance: float) -> None:
    """Without jitter; and "at once" is a second, so that nobody is hammered."""
    assert after(later(after=asked, cause=cause), 5, chance=chance).delay == waited


def test_a_try_costs_an_attempt_and_its_pause_is_age() -> None:
    """The age is that of attempts that were really made."""
    following = after(later(cause="outage"), attempts=2, age=35.0)
    assert (following.result, following.attempts, following.age) == ("later", 3, 155.0)


@pytest.mark.parametrize("hint", [None, 0.0, 20.0, 9_999.0])
@pytest.mark.parametrize("attempts", [0, 1, 40])
@pytest.mark.parametrize("age", [0.0, 10 * DAY])
def test_throttling_costs_neither_attempt_nor_age(hint: float | None, attempts: int, age: float) -> None:
    """The target asks for patience; that is no failure of the delivery, however often it does."""
    following = after(later(after=hint, cause="throttled", scope="lane"), attempts, age)
    assert (following.result, following.attempts, following.age) == ("later", attempts, age)
    assert 1 <= following.delay <= HOUR
    if hint is None:
        assert following.delay <= 5


def test_attempts_end_after_three_days_of_them() -> None:
    """With all that an operator needs to go on from there."""
    last = after(later(), attempts=11, age=3 * DAY - 12 * HOUR)
    assert last.result == "later"
    given_up = after(later(), attempts=12, age=last.age)
    assert (given_up.result, given_up.attempts) == ("dead", 13)
    assert given_up.why == "given up after 13 attempts: the target is down"
    assert given_up.remedy


def test_the_whole_schedule_takes_about_three_days() -> None:
    """From the first failure to the dead letter, without hints."""
    attempts, age, tries = 0, 0.0, 0
    while True:
        tries += 1
        following = after(later(cause="outage"), attempts, age)
        if following.result == "dead":
            break
        attempts, age = following.attempts, following.age
    assert 2.5 * DAY < age <= 3 * DAY
    assert tries == 13


def test_a_hint_does_not_prolong_the_three_days() -> None:
    """A target that says "in an hour" for ever is given up all the same."""
    assert after(later(after=HOUR), 60, age=3 * DAY - HOUR + 1).result == "dead"
    assert after(later(after=HOUR), 60, age=3 * DAY - HOUR).result == "later"


@pytest.mark.parametrize("repeat", list(Repeat))
@pytest.mark.parametrize("applied", ["no", "unknown"])
@pytest.mark.parametrize("cause", ["outage", "busy", "throttled"])
def test_only_an_unsafe_repeat_of_something_unknown_is_the_operators(repeat: Repeat, applied: str, cause: str) -> None:
    """Everything else may be sent again."""
    following = after(later(applied=applied, cause=cause), repeat=repeat)
    if repeat is Repeat.UNSAFE and applied == "unknown":
        assert (following.result, following.remedy) == ("dead", MAY_BE_TWICE)
    else:
        assert following.result == "later"


@pytest.mark.parametrize("repeat", list(Repeat))
def test_a_receipt_is_the_end(repeat: Repeat) -> None:
    """However it was repeated."""
    assert after(Receipt(Refs(), "there already"), 5, 100.0, repeat).result == "done"


@pytest.mark.parametrize("outcome", [NeedsOperator("no such group", "make it"), Refused("no such group", "make it")])
@pytest.mark.parametrize("repeat", list(Repeat))
def test_what_a_person_must_mend_is_a_dead_letter_at_once(outcome: Outcome, repeat: Repeat) -> None:
    """With the connector's own reason and remedy, and the attempt counted."""
    assert after(outcome, 3, 60.0, repeat) == Next("dead", 0.0, 4, 60.0, "no such group", "make it")


@pytest.mark.parametrize("attempts", [0, 12])
@pytest.mark.parametrize("age", [0.0, 30 * DAY])
@pytest.mark.parametrize("repeat", list(Repeat))
def test_the_lanes_trouble_never_buries_a_delivery(attempts: int, age: float, repeat: Repeat) -> None:
    """A refused key stops the lane; the delivery is as good as before and goes as soon as the lane does."""
    following = after(NeedsOperator("wrong key", "set it", "lane"), attempts, age, repeat)
    assert following == Next("later", 0.0, attempts, age, "wrong key", "set it")


def test_asynchronous_work_is_asked_for_when_the_target_says() -> None:
    """Asking costs no attempt, but its time counts; and never in a tight loop."""
    assert after(Pending("job-7", 20.0), 2, 5.0) == Next("later", 20.0, 2, 25.0, "the target is still at it")
    assert after(Pending("job-7", 0.0)).delay == 1.0


def test_asynchronous_work_that_never_ends_is_given_up() -> None:
    """Somebody has to look at it after three days."""
    following = after(Pending("job-7", 60.0), 0, 3 * DAY)
    assert following.result == "dead"
    assert following.remedy


def test_every_setting_counts() -> None:
    """The operator's schedule, age, jitter and longest hint."""
    policy = RetryPolicy((timedelta(seconds=1),), timedelta(seconds=3), 0.0, timedelta(seconds=2))
    assert decide(later(), 9, 2.0, Repeat.KEYED, policy, 0.9).delay == 1.0
    assert decide(later(), 9, 2.1, Repeat.KEYED, policy, 0.9).result == "dead"
    assert decide(later(after=60), 0, 0.0, Repeat.KEYED, policy, 0.9).delay == 2.0


OUTCOMES = st.one_of(
    st.just(Receipt()),
    st.builds(
        TryLater,
        st.just("why"),
        after=st.none() | st.floats(-10, 1e6),
        scope=st.sampled_from(["delivery", "lane"]),
        applied=st.sampled_from(["no", "unknown"]),
        cause=st.sampled_from(["outage", "throttled", "busy"]),
    ),
    st.builds(NeedsOperator, st.just("why"), st.just("remedy"), st.sampled_from(["delivery", "lane"])),
    st.just(Refused("why", "remedy")),
    st.builds(Pending, st.just("handle"), st.floats(-10, 1e6)),
)


@given(
    outcome=OUTCOMES,
    attempts=st.integers(0, 500),
    age=st.floats(0, 1e6),
    repeat=st.sampled_from(Repeat),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_whatever_happens_something_sensible_follows(outcome, attempts, age, repeat, chance) -> None:
    """No negative delay, no shrinking count, no dead letter without a remedy, no later without a reason."""
    following = decide(outcome, attempts, age, repeat, POLICY, chance)
    if following.result == "done":
        assert isinstance(outcome, Receipt)
        return
    assert following.attempts in (attempts, attempts + 1)
    assert following.age >= age
    assert following.why
    if following.result == "dead":
        assert following.remedy
    elif isinstance(outcome, NeedsOperator):
        assert following.delay == 0
    else:
        assert following.delay >= 1


def test_the_same_question_has_the_same_answer() -> None:
    """It is a pure function."""
    for attempts, repeat in product(range(10), Repeat):
        first = after(later(cause="outage"), attempts, 1.0, repeat, 0.3)
        assert after(later(cause="outage"), attempts, 1.0, repeat, 0.3) == first

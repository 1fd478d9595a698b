"""What follows an outcome. A pure function of outcome, attempts made and the time they took; tests need not wait."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from bridge.contract.outbound import NeedsOperator, Outcome, Pending, Receipt, Refused, Repeat, TryLater

MAY_BE_TWICE = (
    "The answer was lost and a repeat may do it twice. Look at the target, then requeue the delivery if it is missing."
)
_MEND = "Mend what the reason names, then requeue the delivery."
_SHORTEST = 1.0
"""Seconds: a target that says "after 0", and means it, is not asked in a tight loop."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again.

    Attributes:
        steps: delays after the first, second, ... attempt; the last one repeats.
        max_age: how long attempts that were really made may go on, together with the pauses between them.
        jitter: share by which a delay may differ, up or down.
        longest_hint: the longest ``Retry-After`` that is honoured.
    """

    steps: tuple[timedelta, ...] = tuple(
        timedelta(seconds=seconds) for seconds in (5, 30, 120, 600, 3_600, 10_800, 21_600, 43_200)
    )
    max_age: timedelta = timedelta(days=3)
    jitter: float = 0.2
    longest_hint: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Next:
    """What is to be done with the delivery.

    Attributes:
        result: ``done``, ``later`` after ``delay`` seconds, or ``dead`` until somebody acts.
        attempts: attempts counted so far. ``age``: seconds that count for ``max_age``.
    """

    result: Literal["done", "later", "dead"]
    delay: float = 0.0
    attempts: int = 0
    age: float = 0.0
    why: str = ""
    remedy: str = ""


def decide(outcome: Outcome, attempts: int, age: float, repeat: Repeat, policy: RetryPolicy, chance: float) -> Next:
    """Say what follows an outcome.

    Args:
        outcome: of the attempt just made.
        attempts: attempts counted before this one.
        age: seconds counted before this one.
        repeat: why the operation may be repeated.
        policy: the operator's.
        chance: a random number in [0, 1), for the jitter.
    """
    match outcome:
        case Receipt():
            return Next("done")
        case Pending():
            return _pending(outcome, attempts, age, policy)
        case NeedsOperator(scope="lane") as needs:
            # The lane stops; the delivery itself is as good as before and was not really tried.
            return Next("later", 0.0, attempts, age, needs.why, needs.remedy)
        case NeedsOperator() | Refused():
            return Next("dead", attempts=attempts + 1, age=age, why=outcome.why, remedy=outcome.remedy)
        case TryLater():
            return _later(outcome, attempts, age, repeat, policy, chance)


def _pending(outcome: Pending, attempts: int, age: float, policy: RetryPolicy) -> Next:
    delay = max(outcome.after, _SHORTEST)
    if age + delay > policy.max_age.total_seconds():
        return _given_up("the target did not finish", attempts, age)
    return Next("later", delay, attempts, age + delay, "the target is still at it")


def _later(outcome: TryLater, attempts: int, age: float, repeat: Repeat, policy: RetryPolicy, chance: float) -> Next:
    if outcome.applied == "unknown" and repeat is Repeat.UNSAFE:
        return Next("dead", attempts=attempts + 1, age=age, why=outcome.why, remedy=MAY_BE_TWICE)
    longest = policy.longest_hint.total_seconds()
    hint = None if outcome.after is None else max(_SHORTEST, min(outcome.after, longest))
    step = policy.steps[min(attempts, len(policy.steps) - 1)].total_seconds()
    delay = hint if hint is not None else step * (1 - policy.jitter + 2 * policy.jitter * chance)
    if outcome.cause == "throttled":
        # The lane waits for the target's sake; this delivery has not failed, so it neither ages nor backs off.
        soon = delay if hint is not None else min(delay, policy.steps[0].total_seconds())
        return Next("later", soon, attempts, age, outcome.why)
    if age + delay > policy.max_age.total_seconds():
        return _given_up(outcome.why, attempts, age)
    return Next("later", delay, attempts + 1, age + delay, outcome.why)


def _given_up(why: str, attempts: int, age: float) -> Next:
    tries = "1 attempt" if attempts == 0 else f"{attempts + 1} attempts"
    return Next("dead", attempts=attempts + 1, age=age, why=f"given up after {tries}: {why}", remedy=_MEND)

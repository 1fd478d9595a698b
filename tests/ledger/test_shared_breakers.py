"""Alerts on a ledger of several bridges: what another bridge found out about a target is told once, and for what it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from bridge.dispatch.breaker import BreakerPolicy
from bridge.dispatch.condition import Condition
from bridge.kit.clock import SetClock
from bridge.ledger import lanes
from bridge.ledger.store import Ledger
from tests.alerts.rig import Job, Receiver, receiver
from tests.ledger.rig import at


@dataclass
class Told:
    """What alerts explain a connector's errors by: nothing."""

    errors: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Standing:
    """A lane as alerts see it, with the real condition."""

    condition: Condition
    connector: Told = field(default_factory=Told)

    @property
    def status(self) -> str:
        return self.condition.status


@pytest.fixture
async def slack() -> AsyncIterator[Receiver]:
    async with receiver() as found:
        yield found


@pytest.fixture
def clock() -> SetClock:
    return SetClock(at(10_000))


@pytest.fixture
def lane(clock: SetClock) -> Standing:
    return Standing(Condition("lms", 8, BreakerPolicy(), 60.0, 300.0, clock))


@pytest.fixture
def job(ledger: Ledger, clock: SetClock, slack: Receiver, lane: Standing) -> Job:
    return Job(ledger, clock, [slack.slack(clock)], lanes={"lms": lane})


async def test_a_breaker_that_another_bridge_opened_is_told(job: Job, lane: Standing, slack: Receiver) -> None:
    """The bridge that tells has not tried the target itself."""
    lane.condition.left_to_another()
    await job.run()
    await job.run(11)
    assert len(slack.texts) == 1
    assert "lms has not answered for" in slack.texts[0]
    lane.condition.well_elsewhere()
    await job.run(1, times=8)
    assert len(slack.texts) == 2
    assert slack.texts[1].startswith("Over")


async def test_credentials_that_another_bridge_found_refused_are_no_silence(
    ledger: Ledger, clock: SetClock, job: Job, lane: Standing, slack: Receiver
) -> None:
    """The target answers: that it does not would send the operator looking for the wrong fault."""
    now = int(clock.now().timestamp() * 1000)
    await ledger.write(lambda unit: lanes.pause(unit, "lms", "bridge", "HTTP 401", "Give a good key.", now))
    lane.condition.left_to_another()
    await job.run()
    await job.run(6, times=4)
    assert len(slack.texts) == 1
    assert "lms gets nothing any more." in slack.texts[0]
    assert "has not answered" not in slack.texts[0]

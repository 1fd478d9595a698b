"""Stopping in order, stopping hard, and starting again."""

from __future__ import annotations

import asyncio
import time

from bridge.contract.settings import Rate
from tests.dispatch.rig import PATIENT, Rig, until


def tasks_of_lanes() -> list[str]:
    return [
        task.get_name()
        for task in asyncio.all_tasks()
        if task.get_name().partition(":")[0] in ("lane", "deliver", "settle", "probe") and not task.done()
    ]


async def test_draining_finishes_what_is_in_flight_and_gives_back_the_rest(rig: Rig) -> None:
    """No lease is left behind, nothing is half done, and no task lives on."""
    await rig.start()
    rig.lms.now_fails("delay", seconds=0.3)
    await rig.buy_all(range(40))
    await until(lambda: len(rig.lms.journal) >= 8)
    assert rig.dispatcher is not None
    await rig.dispatcher.drain()
    states = await rig.states("lms")
    assert states.count("done") == len(rig.lms.journal) == len(rig.enrolled())
    assert set(states) == {"done", "open"}
    assert await rig.value("SELECT count(*) FROM delivery WHERE lease IS NOT NULL OR unknown = 1") == 0
    assert tasks_of_lanes() == []


async def test_draining_in_the_middle_of_a_claim_leaves_no_lease(rig: Rig) -> None:
    """Whatever the moment."""
    await rig.buy_all(range(60))
    for pause in (0.0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.03):
        await rig.start()
        await asyncio.sleep(pause)
        assert rig.dispatcher is not None
        await rig.dispatcher.drain()
        assert set(await rig.states("lms")) <= {"done", "open"}
        assert await rig.value("SELECT count(*) FROM delivery WHERE lease IS NOT NULL OR unknown = 1") == 0
        assert tasks_of_lanes() == []
    await rig.start()
    await until(lambda: len(rig.enrolled()) == 60)
    await rig.done()
    assert len(rig.lms.registrations) == 60


async def test_draining_does_not_wait_for_rate_tokens(rig: Rig) -> None:
    """A call that has sent nothing has not begun."""
    rig.rates["lms"] = [Rate(1, 3_600.0)]
    await rig.start()
    await rig.buy_all(range(20))
    await until(rig.enrolled)
    await until(lambda: rig.lane("lms").in_flight == 8)
    assert rig.dispatcher is not None
    started = time.monotonic()
    await rig.dispatcher.drain()
    assert time.monotonic() - started < 2
    assert await rig.value("SELECT count(*) FROM delivery WHERE lease IS NOT NULL OR unknown = 1") == 0
    assert tasks_of_lanes() == []


async def test_draining_a_lane_that_rests_ends_its_probe(rig: Rig) -> None:
    """However long the target hangs."""
    rig.policy("lms", retry=PATIENT, deadline=30.0)
    await rig.start()
    await rig.lms.stop()
    await rig.buy_all(range(8))
    await until(lambda: rig.lane("lms").status == "open")
    await rig.lms.start()
    rig.lms.now_fails("delay", seconds=5.0)
    await until(lambda: rig.lms.journal)
    assert rig.dispatcher is not None
    started = time.monotonic()
    await rig.dispatcher.drain()
    assert time.monotonic() - started < 2
    assert tasks_of_lanes() == []


async def test_lanes_that_never_started_can_be_drained(rig: Rig) -> None:
    """A start that failed half way."""
    await rig.start()
    assert rig.dispatcher is not None
    await rig.dispatcher.drain()
    await rig.dispatcher.drain()
    assert tasks_of_lanes() == []


async def test_a_hard_stop_loses_nothing_and_does_nothing_twice(rig: Rig) -> None:
    """Killed again and again with work in flight; in the end everybody is in, once, and the CRM knows."""
    await rig.buy_all(range(60))
    rig.lms.now_fails("delay", seconds=0.02)
    for pause in (0.03, 0.06, 0.09, 0.12):
        await rig.start()
        await asyncio.sleep(pause)
        await rig.crash()
        assert tasks_of_lanes() == []
    await rig.start()
    await until(lambda: len(rig.contacts()) == 60)
    await rig.done()
    assert len(rig.lms.registrations) == 60
    assert len(rig.enrolled()) == 60
    assert await rig.value("SELECT count(*) FROM registration WHERE state = 'active'") == 60


async def test_a_cancellation_during_the_downtime_is_honoured(rig: Rig) -> None:
    """Whether the grant that was in flight went through is unknown, so it is taken back."""
    await rig.start()
    rig.lms.now_fails("delay", seconds=0.3, times=1)
    number = await rig.buy(1)
    await until(lambda: rig.lms.journal)
    await rig.crash()
    await rig.cancel(number)
    await until(rig.enrolled)  # the request of the dead process still had its effect
    await rig.start()
    await rig.done()
    assert rig.enrolled() == []
    assert await rig.registration(number) == "cancelled"

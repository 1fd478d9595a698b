"""Batches, and how little a lane does when there is nothing to do."""

from __future__ import annotations

import asyncio

from bridge.ledger import lanes
from tests.dispatch.rig import PATIENT, Rig, catalogue, until


async def test_a_backlog_goes_in_few_requests(rig: Rig) -> None:
    """Two hundred and fifty contacts at a hundred a batch."""
    await rig.start()
    rig.lane("crm").pause("ada")
    await rig.buy_all(range(250))
    await until(lambda: len(rig.enrolled()) == 250, 20.0)

    async def all_open() -> bool:
        return (await rig.states("crm")).count("open") == 250

    await until(all_open)
    rig.lane("crm").resume()
    await until(lambda: len(rig.contacts()) == 250)
    await rig.done()
    assert len(rig.crm.journal) <= 4
    assert sum(1 for name, *_ in rig.attempts if name == "crm") == 250


async def test_live_traffic_does_not_wait_for_a_batch(rig: Rig) -> None:
    """Slow requests of single contacts go side by side, up to the concurrency."""
    rig.policy("crm", deadline=10.0)
    rig.timeouts["crm"] = 10.0
    await rig.start()
    rig.crm.now_fails("delay", seconds=4.0)
    for who in range(6):
        await rig.buy(who)
        await until(lambda expected=who + 1: len(rig.crm.journal) == expected)
    assert rig.lane("crm").in_flight == 6
    await rig.done()
    assert len(rig.contacts()) == 6


async def test_one_bad_contact_does_not_bury_its_batch(rig: Rig) -> None:
    """Each has an outcome of its own."""
    rig.crm.invalid = {"learner7@example.org"}
    await rig.start()
    rig.lane("crm").pause("ada")
    await rig.buy_all(range(20))
    await until(lambda: len(rig.enrolled()) == 20)
    rig.lane("crm").resume()
    await until(lambda: len(rig.contacts()) == 19)
    await rig.done()
    assert sorted(set(await rig.states("crm"))) == ["dead", "done"]
    stories = await rig.rows(
        "SELECT exchanges FROM attempt a JOIN delivery d ON d.id = a.delivery_id AND d.target = 'crm'"
    )
    assert sum('"BATCH"' in row.exchanges for row in stories) >= 10  # told once, with the first of the batch


async def test_an_idle_lane_does_nothing(rig: Rig) -> None:
    """Neither before its first work nor after its last."""
    await rig.start()
    await asyncio.sleep(0.3)
    assert rig.lane("lms").turns <= 2
    await rig.buy(1)
    await rig.done()
    await asyncio.sleep(0.1)
    turns = {name: rig.lane(name).turns for name in ("lms", "crm")}
    await asyncio.sleep(0.5)
    assert {name: rig.lane(name).turns for name in ("lms", "crm")} == turns
    assert turns["lms"] <= 12


async def test_a_lane_with_work_in_an_hour_does_nothing_until_then(rig: Rig) -> None:
    """It knows when the next is due."""
    rig.policy("lms", retry=PATIENT)
    await rig.start()
    rig.lms.now_fails("status", status=503, times=3)
    await rig.buy_all(range(3))
    await until(lambda: len(rig.attempts) == 3)
    await rig.settled("lms")
    await asyncio.sleep(0.2)
    turns = rig.lane("lms").turns
    await asyncio.sleep(0.5)
    assert rig.lane("lms").turns == turns


async def test_a_lane_turns_no_faster_while_its_target_is_slow(rig: Rig) -> None:
    """Single contacts, batches and blocked rights under way, more waiting behind them."""
    rig.catalogue = catalogue(courses=4)
    await rig.start()
    rig.lms.now_fails("delay", seconds=0.2)
    rig.crm.now_fails("delay", seconds=0.8)
    await rig.buy_all(range(30), "all")
    await until(lambda: rig.crm.journal)
    turns = {name: rig.lane(name).turns for name in ("lms", "crm")}
    await asyncio.sleep(0.6)
    for name, before in turns.items():
        assert rig.lane(name).turns - before < 80, name
    await rig.done()


async def test_a_due_delivery_that_can_not_be_had_is_looked_for_once_a_second(rig: Rig) -> None:
    """Its learner is in flight on another machine, say."""
    await rig.buy(1, "all")
    await rig.ledger.write(lambda unit: lanes.pause(unit, "lms", "ada", "", "", 1))  # or it claims before the other one
    await rig.start()
    await rig.ledger.write(
        lambda unit: unit.run(
            "UPDATE delivery SET state = 'leased', lease = 'x', lease_owner = 'other', lease_until = 9e15 WHERE id = 1"
        )
    )
    rig.lane("lms").resume()
    await asyncio.sleep(0.2)
    turns = rig.lane("lms").turns
    await asyncio.sleep(1.2)
    assert 1 <= rig.lane("lms").turns - turns <= 6
    assert await rig.states("lms") == ["leased", "open"]


async def test_a_paused_lane_with_an_open_breaker_does_nothing(rig: Rig) -> None:
    """Neither probes nor turns."""
    rig.policy("lms", retry=PATIENT)
    await rig.start()
    await rig.lms.stop()
    await rig.buy_all(range(8))
    await until(lambda: rig.lane("lms").status == "open")
    rig.lane("lms").pause("ada")
    await rig.settled("lms")
    await asyncio.sleep(0.4)
    turns = rig.lane("lms").turns
    await asyncio.sleep(0.5)
    assert rig.lane("lms").turns == turns


async def test_a_probe_that_hangs_costs_no_turns(rig: Rig) -> None:
    """The lane waits for it like everybody else."""
    rig.policy("lms", retry=PATIENT)
    await rig.start()
    await rig.lms.stop()
    await rig.buy_all(range(8))
    await until(lambda: rig.lane("lms").status == "open")
    await rig.settled("lms")  # each of these takes a turn
    rig.lms.now_fails("delay", seconds=1.5)
    await rig.lms.start()
    await until(lambda: rig.lms.journal)
    turns = rig.lane("lms").turns
    await asyncio.sleep(0.5)
    assert rig.lane("lms").turns - turns <= 1
    rig.lms.recovers()
    await until(lambda: len(rig.enrolled()) == 8)

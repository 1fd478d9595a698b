"""The clock of the database is set back, or a standby whose clock is behind takes over: nothing stands still until it has caught up."""

from __future__ import annotations

import asyncio

from bridge.ledger import heartbeat
from bridge.ledger.rates import Ask, Over
from tests.ledger.rig import World

DAY = 86_400_000
WINDOWS = ((5, 60_000), (500, 3_600_000))


async def _lend(world: World, want: int, *over: Over, owner: str = "a") -> int:
    return (await world.ledger.lend(Ask("target lms", owner, WINDOWS, want, 1_000, 1_000, over))).tokens


async def _moved(world: World, statement: str) -> None:
    await world.ledger.write(lambda unit: unit.run(statement, by=DAY))


async def test_requests_that_are_over_count_for_a_window_from_now_and_no_longer(world: World) -> None:
    """They may just have been made, so that they count; but not for the day by which the clock was wrong."""
    block = await world.ledger.lend(Ask("target lms", "a", WINDOWS, 3, 1_000, 1_000))
    assert await _lend(world, 0, Over(block.block, 3, 0, 0)) == 0
    await _moved(world, "UPDATE rate_use SET free_at = free_at + :by")
    assert await _lend(world, 5) == 2
    longest = await world.rows("SELECT window_ms, max(free_at) AS last FROM rate_use GROUP BY window_ms ORDER BY 1")
    now = await world.ledger.write(lambda unit: unit.rows(f"SELECT {unit.dialect.now} AS now")[0].now)
    assert [row.last - now <= row.window_ms * 1.01 for row in longest] == [True, True]


async def test_tokens_of_a_bridge_that_died_are_not_out_for_a_day(world: World) -> None:
    """They are taken to have been used now."""
    assert await _lend(world, 5, owner="gone") == 5
    await _moved(world, "UPDATE rate_block SET until = until + :by")
    assert await _lend(world, 5) == 0
    assert await world.rows("SELECT * FROM rate_block") == []
    await world.ledger.write(lambda unit: unit.run("UPDATE rate_use SET free_at = free_at - 3600000"))
    assert await _lend(world, 5) == 5


async def test_a_bridge_that_died_is_not_taken_to_live_for_a_day(world: World) -> None:
    """Its leases go to the others in the usual time from now on."""
    beat = {"gone": heartbeat.LANE}
    await world.ledger.aside(lambda unit: heartbeat.beat(unit, beat, 60_000))
    await _moved(world, "UPDATE heartbeat SET beat_at = beat_at + :by")
    here = {"here": heartbeat.LANE}
    await world.ledger.aside(lambda unit: heartbeat.beat(unit, here, 20))
    await asyncio.sleep(0.05)
    await world.ledger.aside(lambda unit: heartbeat.beat(unit, here, 20))
    assert await world.rows("SELECT owner FROM heartbeat") == [("here",)]

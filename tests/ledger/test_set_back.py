"""What was put off by a clock that was ahead; on both databases."""

from __future__ import annotations

from bridge.ledger import set_back
from tests.ledger.rig import World, buy

HOUR = 3_600_000


async def _put_off(world: World, due: int, touched: int) -> None:
    await world.ledger.write(
        lambda unit: unit.run("UPDATE delivery SET due_at = :due, updated_at = :touched", due=due, touched=touched)
    )


async def _due(world: World) -> set[int]:
    return {row.due_at for row in await world.rows("SELECT due_at FROM delivery WHERE state = 'open'")}


async def test_what_was_touched_in_the_future_is_counted_from_now(world: World):
    """Five seconds after a touch that never was are five seconds from now; an hour from a real one stays an hour."""
    await world.accept(buy("INTRO"))
    now = 100 * HOUR
    await _put_off(world, now + 24 * HOUR + 5_000, now + 24 * HOUR)
    assert await world.ledger.write(lambda unit: set_back.bring_back(unit, now, 5_000)) > 0
    assert await _due(world) == {now + 5_000}
    await _put_off(world, now + HOUR, now)
    assert await world.ledger.write(lambda unit: set_back.bring_back(unit, now, 5_000)) == 0
    assert await _due(world) == {now + HOUR}


async def test_a_jump_moves_what_lies_ahead_and_nothing_before_now(world: World):
    """What would be due in the past is due now."""
    await world.accept(buy("INTRO"))
    now = 100 * HOUR
    await _put_off(world, now + 3 * HOUR, now)
    await world.ledger.write(lambda unit: set_back.move_due(unit, now, -2 * HOUR))
    assert await _due(world) == {now + HOUR}
    await world.ledger.write(lambda unit: set_back.move_due(unit, now, -2 * HOUR))
    assert await _due(world) == {now}

"""What takes effect later, where its order line has seats or its learner's own time is over."""

from __future__ import annotations

from bridge.contract.command import Item
from bridge.jobs.expiry import expire
from bridge.kit.clock import milliseconds
from tests.ledger.rig import World, at, buy
from tests.ledger.test_later import DAY, SUB, fails, pass_to
from tests.ledger.test_seats import claim, codes


async def test_a_failed_payment_suspends_seats_whose_order_line_has_expired_meanwhile(world: World):
    """The first learner's own time ended before the grace did; whoever claimed a seat is suspended with the rest."""
    line = buy(Item(remote_product_id="YEAR", quantity=2), order="o-1", minute=-358 * DAY)
    [first] = await world.ids(line.model_copy(update={"order": SUB}))
    await claim(world, (await codes(world, first))[0])
    await world.accept(fails(5 * DAY))
    await world.ledger.write(lambda unit: expire(unit, world.catalogue, milliseconds(at(8 * DAY))))
    assert await world.state(first) in ("expired", "cancelling")
    await pass_to(world, 16 * DAY)
    rows = await world.rows("SELECT g.intent FROM seat s JOIN registration g ON g.id = s.claimed_registration_id")
    assert [row.intent for row in rows] == ["suspended"]

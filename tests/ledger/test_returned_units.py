"""Some units of an order line come back, or all of them, before or after the order, once or word by word."""

from __future__ import annotations

import pytest

from bridge.contract.command import Action
from tests.ledger.rig import ADA, PAY, World, buy, cancel, refund
from tests.ledger.test_seats import EVERYWHERE, bought, claim, codes, seats_of, selling, several


@pytest.mark.parametrize("quantity", [1, 3])
async def test_all_units_at_once_are_the_whole_line(world: World, quantity: int):
    """Whoever got all of the money back is out, with everybody who claimed; the same event again changes nothing."""
    registration = await bought(world, quantity, order="o1")
    for code in (await codes(world, registration))[:1]:
        await claim(world, code)
    back = refund(several("INTRO", quantity, returned=quantity), full=False, business_key="o1", event_key="e1")
    for _ in range(2):
        await world.accept(back)
    assert set((await world.wanted()).values()) == {0}
    assert await codes(world, registration) == []
    assert await world.counts("quarantine") == {"quarantine": 0}


@pytest.mark.parametrize("seats", ["first", "none"])
async def test_the_last_of_the_units_takes_the_line_along(world: World, seats: str):
    """Refund by refund, also where a quantity is no number of people."""
    world.catalogue = selling(seats)
    await bought(world, 3, order="o1")
    for minute, left in ((1, 1), (2, 1), (3, 0)):
        await world.accept(refund(several("INTRO", 3, returned=1), full=False, business_key="o1", minute=minute))
        assert await world.wanted() == {"id:shop:ada": left}


@pytest.mark.parametrize("learner", [None, ADA])
async def test_units_that_came_back_before_their_order_came_take_no_more_than_themselves(world: World, learner):
    """The learner who paid for the rest is in."""
    await world.accept(
        refund(several("INTRO", 3, returned=1), full=False, business_key="o1", learner=learner, minute=2)
    )
    registration = await bought(world, 3, order="o1")
    assert await world.wanted() == {"id:shop:ada": 1}
    assert await seats_of(world, registration) == [(1, "open", ""), (2, "revoked", "refund")]


async def test_the_other_source_of_an_order_lowers_no_quantity(world: World):
    """One unit that came back of three is not all, although a payment system said one."""
    registration = await bought(world, 3, order="o1")
    await world.ids(buy("INTRO", order="o1", minute=2), source=PAY)
    await world.accept(refund(several("INTRO", 3, returned=1), full=False, business_key="o1", minute=3))
    assert await world.wanted() == {"id:shop:ada": 1}
    assert len(await codes(world, registration)) == 1


async def test_a_unit_of_a_line_that_is_taken_back_does_not_come_back_with_it(world: World):
    """Nobody is asked about people who are out anyway."""
    registration = await bought(world, 3, order="o1")
    await claim(world, (await codes(world, registration))[0])
    await world.accept(cancel(business_key="o1", minute=2))
    await world.accept(refund(several("INTRO", 3, returned=1), full=False, business_key="o1", minute=3))
    assert await world.counts("quarantine") == {"quarantine": 0}
    await world.accept(cancel(action=Action.RESUME, business_key="o1", undoes="all", minute=4))
    assert await world.wanted() == {"id:shop:ada": 1, EVERYWHERE: 1}
    assert await seats_of(world, registration) == [(1, "claimed", ""), (2, "revoked", "refund")]

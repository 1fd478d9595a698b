"""What takes effect later, where its order line has seats or its learner's own time is over."""

from __future__ import annotations

from bridge.contract.command import Action, Item
from bridge.jobs.expiry import expire
from bridge.kit.clock import milliseconds
from tests.ledger.rig import World, at, buy, cancel
from tests.ledger.test_later import DAY, SUB, fails, pass_to
from tests.ledger.test_seats import claim, codes


async def expired_after_claim(world: World, minute: float) -> int:
    """Sell two of a year in a subscription, let one be claimed now, and let the first learner's year end by that minute."""
    line = buy(Item(remote_product_id="YEAR", quantity=3), order="o-1", minute=-358 * DAY)
    [first] = await world.ids(line.model_copy(update={"order": SUB}))
    await claim(world, (await codes(world, first))[0])
    await world.ledger.write(lambda unit: expire(unit, world.catalogue, milliseconds(at(minute))))
    return first


async def seats_and_holders(world: World) -> list[tuple[str, str | None]]:
    """Return of each seat its state and what is wanted for whoever claimed it."""
    rows = await world.rows(
        "SELECT s.state, g.intent FROM seat s LEFT JOIN registration g ON g.id = s.claimed_registration_id ORDER BY s.id"
    )
    return [(row.state, row.intent) for row in rows]


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


async def test_a_cancellation_that_falls_due_ends_the_seats_of_a_line_that_has_expired_meanwhile(world: World):
    """The day that the sender named counts for everybody whose access the order gave, not only for its first learner."""
    line = buy(Item(remote_product_id="YEAR", quantity=3), order="o-1", minute=-358 * DAY)
    [first] = await world.ids(line.model_copy(update={"order": SUB}))
    await claim(world, (await codes(world, first))[0])
    await world.accept(cancel(minute=5 * DAY, effective_at=at(15 * DAY), order=SUB))
    await world.ledger.write(lambda unit: expire(unit, world.catalogue, milliseconds(at(8 * DAY))))
    await pass_to(world, 14 * DAY)
    assert await seats_and_holders(world) == [("claimed", "live"), ("open", None)]
    await pass_to(world, 16 * DAY)
    assert await seats_and_holders(world) == [("claimed", "cancelled"), ("revoked", None)]


async def test_a_cancellation_of_an_expired_line_waits_for_the_day_that_it_names(world: World):
    """Whoever claimed a seat keeps it until then, and loses it then."""
    await expired_after_claim(world, 8 * DAY)
    world.now = milliseconds(at(9 * DAY))
    await world.accept(cancel(minute=9 * DAY, effective_at=at(15 * DAY), order=SUB))
    assert await seats_and_holders(world) == [("claimed", "live"), ("open", None)]
    await pass_to(world, 16 * DAY)
    assert await seats_and_holders(world) == [("claimed", "cancelled"), ("revoked", None)]


async def test_a_payment_that_fails_once_the_line_has_expired_suspends_its_seats_after_the_grace(world: World):
    """They are paid for by the same subscription, and come back when it goes on."""
    await expired_after_claim(world, 8 * DAY)
    world.now = milliseconds(at(9 * DAY))
    await world.accept(fails(9 * DAY))
    assert await seats_and_holders(world) == [("claimed", "live"), ("open", None)]
    await pass_to(world, 20 * DAY)
    assert await seats_and_holders(world) == [("claimed", "suspended"), ("revoked", None)]
    await world.accept(cancel(action=Action.RESUME, minute=21 * DAY, order=SUB))
    assert await seats_and_holders(world) == [("claimed", "live"), ("open", None)]

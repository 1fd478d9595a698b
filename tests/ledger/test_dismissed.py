"""A dead letter is dismissed where more than one order stands behind the access that it is about."""

from __future__ import annotations

from typing import Any

from bridge.actions import Actions
from bridge.contract.outbound import Refused
from bridge.kit.clock import SetClock, moment
from tests.ledger.rig import World, buy, cancel

NO = Refused("no", "mend it")


async def dismiss(world: World, *letters: int) -> list[dict[str, Any]]:
    """Dismiss these dead letters, or all, as done by hand; return what was dismissed."""
    rows = await world.rows("SELECT id FROM delivery WHERE state = 'dead' ORDER BY id")
    actions = Actions(world.ledger, lambda: world.catalogue, SetClock(moment(world.now)))
    done = await actions.act("dismiss", {"ids": letters or [row.id for row in rows], "why": "by hand"}, "ada")
    return list(done)


async def test_bought_again_a_failed_revocation_is_no_dead_letter_any_more(world: World):
    """Whoever dismisses it all the same takes nothing from the order that wants the access now."""
    [first] = await world.ids(buy("INTRO", order="o-1"))
    await world.deliver("lms")
    await world.accept(cancel(business_key="o-1", minute=5))
    await world.deliver("lms", NO)
    letter = await world.one("SELECT id FROM delivery WHERE state = 'dead'")
    [second] = await world.ids(buy("AGAIN", order="o-2", minute=6))
    assert await dismiss(world, letter) == []
    assert "revoke" not in await world.operations("lms")
    assert (await world.state(first), await world.state(second)) == ("cancelled", "active")
    assert await world.one('SELECT held FROM "right"') == "yes"


async def test_bought_again_after_it_was_dismissed_it_is_given_anew(world: World):
    """The operator had taken it away by hand."""
    await world.ids(buy("INTRO", order="o-1"))
    await world.deliver("lms")
    await world.accept(cancel(business_key="o-1", minute=5))
    await world.deliver("lms", NO)
    assert len(await dismiss(world)) == 1
    world.now += 60_000
    [second] = await world.ids(buy("AGAIN", order="o-2", minute=6))
    assert await world.operations("lms") == ["grant"]
    assert await world.state(second) == "active"


async def test_a_dismissed_grant_counts_for_each_order_behind_it(world: World):
    """It was given by hand: both orders are active, and it is taken away only with the last of them."""
    [first] = await world.ids(buy("INTRO", order="o-1"))
    await world.deliver("lms", NO)
    [second] = await world.ids(buy("AGAIN", order="o-2", minute=6))
    await world.deliver("lms", NO)
    await dismiss(world)
    assert (await world.state(first), await world.state(second)) == ("active", "active")
    world.now += 60_000
    await world.accept(cancel(business_key="o-1", minute=7))
    assert "revoke" not in await world.operations("lms")
    assert await world.state(second) == "active"
    await world.accept(cancel(business_key="o-2", minute=8))
    assert await world.operations("lms") == ["revoke"]


async def test_of_two_orders_the_cancelled_one_s_dead_letter_takes_nothing_from_the_other(world: World):
    """The grant died for both; one is cancelled before the operator dismisses it."""
    [first] = await world.ids(buy("INTRO", order="o-1"))
    [second] = await world.ids(buy("AGAIN", order="o-2", minute=1))
    await world.deliver("lms", NO)
    await world.accept(cancel(business_key="o-1", minute=5))
    await world.deliver("lms", NO)
    assert len(await dismiss(world)) == 1
    assert await world.operations("lms") == []
    assert (await world.state(first), await world.state(second)) == ("cancelled", "active")
    assert await world.one('SELECT held FROM "right"') == "yes"

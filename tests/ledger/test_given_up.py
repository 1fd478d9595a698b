"""Giving a target up, on either dialect: nobody waits for it any more, whatever comes later."""

from __future__ import annotations

from functools import partial

from bridge.contract.command import Action
from bridge.ledger import given_up
from tests.ledger.rig import LMS, World, buy, cancel, with_targets
from tests.ledger.test_replay import once_more


async def give_up(world: World, target: str) -> int:
    return await world.ledger.write(partial(given_up.give_up, target=target, now=world.now))


async def test_what_was_suspended_is_resumed_without_the_target(world: World):
    """Its registration is active again with what is left, and not pending for ever."""
    [both] = await world.ids(buy("BOTH", order="o-1"))
    [web] = await world.ids(buy("WEB", order="o-2"))
    for target in ("lms", "school"):
        await world.deliver(target)
    for order in ("o-1", "o-2"):
        await world.accept(cancel(business_key=order, action=Action.SUSPEND, minute=5))
    for target in ("lms", "school"):
        await world.deliver(target)
    await give_up(world, "school")
    world.catalogue = with_targets(LMS)
    for order in ("o-1", "o-2"):
        await world.accept(cancel(business_key=order, action=Action.RESUME, minute=6))
    assert await world.operations("lms") == ["grant"]
    assert [await world.state(i) for i in (both, web)] == ["active", "active"]
    assert await world.one("SELECT count(*) FROM delivery WHERE target = 'school' AND state <> 'done'") == 0


async def test_a_target_may_be_given_up_put_back_and_given_up_again(world: World):
    """Access still ends by its date, which a grant without a right keeps."""
    [web] = await world.ids(buy("WEB", order="o-1"))
    for _ in range(2):
        await world.deliver("school")
        await give_up(world, "school")
        assert await give_up(world, "school") == 0
        assert await world.rows('SELECT right_id FROM "grant" WHERE live = 1') == [(None,)]
        assert await world.state(web) == "active"
        await once_more(world, buy("WEB", order="o-1"))


async def test_targets_that_share_a_registration_are_given_up_one_after_the_other(world: World):
    """What is left of it counts."""
    [both] = await world.ids(buy("BOTH", order="o-1"))
    await give_up(world, "lms")
    assert await world.state(both) == "pending"
    await give_up(world, "school")
    assert await world.state(both) == "active"
    await world.accept(cancel(business_key="o-1", minute=5))
    assert await world.state(both) == "cancelled"

"""What comes late or early in the name of somebody who was merged: an event that is replayed, a refund before its purchase."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.contract.command import Action, Order
from tests.ledger.rig import ADA, AMS, SHOP, World, buy, cancel, refund
from tests.ledger.test_merge import OTHER, learner, merge, owners, sent
from tests.ledger.test_replay import once_more


async def two(world: World) -> tuple[int, int]:
    """Let the ledger know a person by two names; return the learners."""
    await world.ids(buy("BOOK", who=OTHER), source=SHOP)
    await world.ids(buy("BOOK", who=ADA), source=AMS)
    return await learner(world, OTHER, "shop"), await learner(world, ADA, "members")


@pytest.mark.parametrize("order", [None, "o-1"], ids=["without a key", "with a key"])
async def test_a_replayed_purchase_of_the_merged_name_is_found_and_not_made_anew(world: World, order: str | None):
    """It is the survivor's by now: nothing is doubled, given twice or taken away; nor once the merge is undone."""
    [first] = await world.ids(buy("WEB", who=OTHER, order=order), source=SHOP)
    await world.ids(buy("BOOK", who=ADA), source=AMS)
    one, other = await learner(world, OTHER, "shop"), await learner(world, ADA, "members")
    await world.deliver("school")
    await merge(world, one, other)
    await sent(world)
    before = await world.counts("registration", "learner", "right")
    for owner in (other, one):
        told = await once_more(world, buy("WEB", who=OTHER, order=order))
        assert [effect["registration_id"] for effect in told.effects] == [first]
        assert (await owners(world))[first] == owner
        assert await world.counts(*before) == before
        assert "revoke" not in {operation for operation, _ in await sent(world)}
        wanted = {person for person, one in (await world.wanted("school")).items() if one}
        assert wanted == {f"email:{(ADA if owner == other else OTHER).email}"}
        if owner == other:
            await merge(world, one, undo=True)
            await sent(world)


@pytest.mark.parametrize("order", [None, "o-1"], ids=["without a key", "with a key"])
async def test_a_replayed_cancellation_of_the_merged_name_takes_what_it_took(world: World, order: str | None):
    """And a purchase of the same that was made in the survivor's name stands."""
    [first] = await world.ids(buy("WEB", who=OTHER, order=order), source=SHOP)
    [mine] = await world.ids(buy("WEB", who=ADA, order="mine"), source=AMS)
    said: dict[str, Any] = {"business_key": order} if order else {"learner": OTHER}
    taken = cancel("WEB", minute=5, **said)
    await world.ids(taken, source=SHOP)
    event = await world.one("SELECT max(id) FROM event")
    await merge(world, await learner(world, OTHER, "shop"), await learner(world, ADA, "members"))
    told = await once_more(world, taken, event_id=event)
    assert [effect["registration_id"] for effect in told.effects] == [first]
    assert (await world.state(first), await world.state(mine)) == ("cancelled", "pending")


NAMED = {
    "key": {"business_key": "o-1"},
    "number": {"order": Order(number="4711")},
    "ref": {"order": Order(refs=("ch-1",))},
}


@pytest.mark.parametrize("action", [Action.REFUND, Action.CANCEL])
@pytest.mark.parametrize("when", ["merged before", "merged between", "merged and undone"])
@pytest.mark.parametrize("named", list(NAMED))
async def test_a_refund_before_its_purchase_finds_it_whenever_the_names_became_one(
    world: World, named: str, when: str, action: Action
):
    """By its key or by an id of the order: the purchase is not given, and the undoing gives it to nobody either."""
    if world.ledger.file is None and (action, named) != (Action.REFUND, "key"):
        pytest.skip("the rules are the same on PostgreSQL; one of them is enough")
    one, other = await two(world)
    if when != "merged between":
        await merge(world, one, other)
    if when == "merged and undone":
        await merge(world, one, undo=True)
    early = refund("WEB", learner=OTHER, minute=5, **NAMED[named]) if action is Action.REFUND else None
    await world.accept(early or cancel("WEB", learner=OTHER, minute=5, **NAMED[named]), source=SHOP)
    if when == "merged between":
        await merge(world, one, other)
    [late] = await world.ids(
        buy("WEB", who=OTHER, order="o-1").model_copy(update={"order": Order(number="4711", refs=("ch-1",))}),
        source=SHOP,
    )
    assert await world.state(late) == "cancelled"
    assert (await owners(world))[late] == (one if when == "merged and undone" else other)
    if when != "merged and undone":
        await merge(world, one, undo=True)
    assert (await owners(world))[late] == one
    assert await sent(world) == []

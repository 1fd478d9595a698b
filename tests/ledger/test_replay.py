"""Replaying on either dialect: what is only looked at leaves nothing behind, and what is done twice is done once."""

from __future__ import annotations

from typing import Any

from bridge.intake.replay import Replay, prepare, replay
from bridge.ledger import replays
from tests.ledger.rig import ADA, SHOP, Adapter, World, buy, cancel, mapping

TABLES = ("event", "learner", "registration", "grant", "right", "delivery", "quarantine", "effect")


async def once_more(world: World, *commands: Any, dry_run: bool) -> Replay:
    adapter: Any = Adapter(commands)

    def work(unit):
        [row] = replays.events(unit, [1], None, None, 10)
        return replay(unit, prepare(row, SHOP, adapter, world.catalogue, world.now), dry_run=dry_run)

    return await world.ledger.write(work)


async def held(world: World) -> list[Any]:
    return [[tuple(row) for row in await world.rows(f'SELECT * FROM "{table}" ORDER BY 1, 2')] for table in TABLES]


async def test_a_look_changes_nothing(world: World):
    """Every row stays as it is, whatever would have come of it."""
    await world.accept(buy("UNMAPPED"))
    before = await held(world)
    told = await once_more(world, buy("INTRO"), dry_run=True)
    assert (told.became, [one["after"] for one in told.effects]) == ("replayed", ["created"])
    assert await held(world) == before
    done = await once_more(world, buy("INTRO"), dry_run=False)
    assert [one["after"] for one in done.effects] == ["created"]
    assert await world.operations("lms") == ["grant"]


async def test_done_again_it_changes_nothing_more(world: World):
    """Neither a registration nor work at a target is doubled, and the first effect stays on record."""
    await world.accept(buy("INTRO"))
    await world.deliver("lms")
    for _ in range(2):
        await once_more(world, buy("INTRO"), dry_run=False)
    assert await world.operations("lms") == []
    assert await world.counts("registration", "effect") == {"registration": 1, "effect": 1}


async def test_a_replayed_purchase_does_not_undo_its_cancellation(world: World):
    """Under a business key by time; and without one the newer event that ended it is not older."""
    await world.accept(buy("INTRO", order="o-1"))
    await world.deliver("lms")
    await world.accept(cancel(business_key="o-1", minute=5))
    await world.deliver("lms")
    told = await once_more(world, buy("INTRO", order="o-1"), dry_run=False)
    assert [one["after"] for one in told.effects] == ["older"]
    assert await world.wanted() == {"id:shop:ada": 0}
    assert await world.one("SELECT effect FROM effect WHERE event_id = 1") == "created"


async def test_a_mapping_that_leads_elsewhere_moves_the_learner(world: World):
    """The old right is given up and the new one wanted."""
    await world.accept(buy("INTRO"))
    await world.deliver("lms")
    world.catalogue = mapping(
        "second", products={**mapping().products, ("shop", "INTRO"): mapping().products["shop", "ETHICS"]}
    )
    told = await once_more(world, buy("INTRO", who=ADA), dry_run=False)
    assert [one["after"] for one in told.effects] == ["reopened"]
    assert sorted(await world.operations("lms")) == ["grant", "revoke"]

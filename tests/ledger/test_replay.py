"""Replaying on either dialect: what is only looked at leaves nothing behind, and what is done twice is done once."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.actions import Actions
from bridge.actions.asked import ReleaseLines
from bridge.contract.command import Action, Order
from bridge.intake.replay import Replay, prepare, replay
from bridge.kit.clock import SetClock
from bridge.ledger import replays
from tests.ledger.rig import ADA, SHOP, Adapter, World, at, buy, cancel, mapping, refund, update

TABLES = ("event", "learner", "registration", "grant", "right", "delivery", "quarantine", "effect")


async def once_more(world: World, *commands: Any, dry_run: bool = False, event_id: int = 1) -> Replay:
    adapter: Any = Adapter(commands)

    def work(unit):
        [row] = replays.events(unit, [event_id], None, None, 10)
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


KING = ADA.model_copy(update={"last_name": "King"})


def now_mapped(product: str) -> Any:
    products = mapping().products
    return mapping("second", products={**products, ("shop", product): products["shop", "ETHICS"]})


async def test_without_a_business_key_a_cancelled_purchase_stays_cancelled(world: World):
    """Nobody gets back in for nothing because the first call is read once more."""
    await world.accept(buy("INTRO"))
    await world.accept(cancel("INTRO", learner=ADA, minute=5))
    await world.deliver("lms")
    told = await once_more(world, buy("INTRO"))
    assert [one["after"] for one in told.effects] == ["older"]
    assert await world.operations("lms") == []


async def test_without_a_business_key_a_replayed_cancellation_leaves_a_later_purchase_alone(world: World):
    """Whoever paid again is not taken out for the first time's cancellation."""
    await world.accept(buy("INTRO"))
    await world.accept(cancel("INTRO", learner=ADA, minute=5))
    await world.accept(buy("INTRO", minute=10))
    await world.deliver("lms")
    await once_more(world, cancel("INTRO", learner=ADA, minute=5), event_id=2)
    assert await world.operations("lms") == []
    assert await world.wanted() == {"id:shop:ada": 1}


async def test_a_cancellation_that_could_not_be_read_loses_against_the_purchase_that_followed(world: World):
    """A repeat that found the registration alive counts as well as one that made it."""
    await world.accept(buy("INTRO"))
    await world.accept(update(ADA, minute=5))  # stands in for what was not understood then
    await world.accept(buy("INTRO", minute=10))
    await world.deliver("lms")
    await once_more(world, cancel("INTRO", learner=ADA, minute=5), event_id=2)
    assert await world.wanted() == {"id:shop:ada": 1}


async def test_a_purchase_that_could_not_be_read_counts_after_an_earlier_cancellation(world: World):
    """It is newer than what ended the first one, so it gives what was paid for."""
    await world.accept(buy("INTRO"))
    await world.accept(cancel("INTRO", learner=ADA, minute=5))
    await world.accept(update(ADA, minute=5))  # stands in for what was not understood then
    await world.deliver("lms")
    await once_more(world, buy("INTRO", minute=10), event_id=3)
    assert await world.operations("lms") == ["grant"]


async def test_a_replayed_suspension_does_not_undo_its_resumption(world: World):
    """Also where no business key lets times decide."""
    await world.accept(buy("INTRO"))
    await world.accept(cancel("INTRO", learner=ADA, action=Action.SUSPEND, minute=5))
    await world.accept(cancel("INTRO", learner=ADA, action=Action.RESUME, minute=10))
    await world.deliver("lms")
    await once_more(world, cancel("INTRO", learner=ADA, action=Action.SUSPEND, minute=5), event_id=2)
    assert await world.operations("lms") == []


async def test_a_replayed_purchase_does_not_bring_an_old_name_back(world: World):
    """What a newer event said of the person stands, even of a sender that gives no times."""
    await world.accept(buy("INTRO"))
    await world.accept(update(KING, minute=5))
    await once_more(world, buy("INTRO"))
    assert await world.one("SELECT last_name FROM learner") == "King"


async def test_a_released_line_does_not_bring_an_old_name_back(world: World):
    """It has waited while the person went on living."""
    await world.accept(buy("LATER"))
    await world.accept(update(KING, minute=5))
    world.catalogue = now_mapped("LATER")
    actions = Actions(world.ledger, lambda: world.catalogue, SetClock(at(10_000)))
    await actions.do("release", ReleaseLines(every=True), "ada")
    assert await world.operations("lms") == ["grant"]
    assert await world.one("SELECT last_name FROM learner") == "King"


async def test_a_line_that_was_taken_back_while_it_waited_gives_nothing_when_replayed(world: World):
    """With a business key and without, mapped by now or not yet."""
    for order in ("o-1", None):
        whose = {"business_key": order} if order else {"learner": ADA}
        await world.accept(buy("LATER", order=order))
        await world.accept(cancel(minute=5, **whose))
    await once_more(world, buy("LATER", order="o-1"))
    await once_more(world, buy("LATER"), event_id=3)
    assert await world.one("SELECT count(*) FROM quarantine WHERE state = 'waiting'") == 0
    world.catalogue = now_mapped("LATER")
    await once_more(world, buy("LATER", order="o-1"))
    await once_more(world, buy("LATER"), event_id=3)
    assert await world.operations("lms") == []


async def test_an_early_refund_waits_once_however_often_it_is_replayed(world: World):
    """One refund, one line in quarantine."""
    early = refund(order=Order(transaction_id="tx"), minute=5)
    await world.accept(early)
    await once_more(world, early)
    assert await world.one("SELECT count(*) FROM quarantine WHERE state = 'waiting'") == 1


@pytest.mark.parametrize("which", ["state", "ids"])
async def test_however_many_there_are_each_is_replayed_once(world: World, monkeypatch: pytest.MonkeyPatch, which: str):
    """More than a transaction holds: what changed its state is not skipped over, and whoever asks for a part can go on."""
    monkeypatch.setattr("bridge.actions.events.MOST_EVENTS", 2)
    for n in range(5):
        await world.accept(buy("UNMAPPED", order=f"o-{n}"))
    await world.ledger.write(lambda unit: unit.run("UPDATE event SET state = 'unreadable'"))
    adapter: Any = Adapter([buy("INTRO")])
    acting = Actions(world.ledger, lambda: world.catalogue, SetClock(at(10_000)), adapter=lambda _: adapter)
    chosen: dict[str, Any] = (
        {"source": "shop", "state": "unreadable"} if which == "state" else {"ids": [5, 4, 3, 2, 1, 1]}
    )
    part = await acting.act("replay", {**chosen, "after": 1, "most": 3, "dry_run": True}, "olga")
    assert [one["event_id"] for one in part] == [2, 3, 4]
    done = await acting.act("replay", chosen, "olga")
    assert [one["event_id"] for one in done] == [1, 2, 3, 4, 5]
    assert {one["became"] for one in done[1:]} <= {"replayed", "unchanged"}
    assert await world.one("SELECT count(*) FROM event WHERE state = 'accepted'") == 5
    assert [row.subject for row in await world.rows("SELECT subject FROM operator_action ORDER BY id")] == [
        "1,2",
        "3,4",
        "5",
    ]

"""Dead letters that take being requeued as the word that somebody has done by hand what they ask for."""

from __future__ import annotations

from bridge.actions import Actions
from bridge.contract.outbound import BY_HAND, NeedsOperator, Refused, TryLater
from bridge.kit.clock import SetClock, moment
from tests.ledger.rig import BOB, World, buy

ASKS = NeedsOperator("the address has changed", "change it there", steps=frozenset({"address", BY_HAND}))


def actions(world: World) -> Actions:
    return Actions(world.ledger, lambda: world.catalogue, SetClock(moment(world.now)))


async def dead(world: World) -> tuple[int, int]:
    """Let one delivery ask for a person's hand, and let another one die of a fault; return their ids."""
    await world.accept(buy("INTRO"))
    await world.deliver("lms", ASKS)
    await world.accept(buy("INTRO", who=BOB))
    await world.deliver("lms", Refused("no such course", "make it"))
    first, second = await world.rows("SELECT id FROM delivery ORDER BY id")
    return first.id, second.id


async def test_many_requeued_leave_alone_what_would_be_taken_for_done(world: World):
    """By target, all, or by several ids: the answer says what is left, and it stays a dead letter."""
    asks, failed = await dead(world)
    for which in ({"target": "lms", "dry_run": True}, {"ids": [asks, failed], "dry_run": True}, {"every": True}):
        told = await actions(world).act("requeue", which, "olga")
        assert [row["delivery_id"] for row in told] == [asks, failed]
        assert told[0]["became"].startswith("left alone")
        assert told[1]["became"] == "requeued"
    assert await world.outbox("lms") == [("id:shop:ada", "dead"), ("id:shop:bob", "open")]


async def test_requeued_by_itself_it_goes_on_as_done(world: World):
    """The connector hears what it had finished; that a hand was asked for is over, whatever comes next."""
    asks, _ = await dead(world)
    [told] = await actions(world).act("requeue", {"ids": [asks]}, "olga")
    assert told["became"] == "requeued"
    [claimed] = await world.claim("lms")
    work = world.work(claimed)
    assert work.steps == {"address"}
    await world.settle(claimed, TryLater("down", steps=work.steps))
    assert await world.one("SELECT steps FROM delivery WHERE id = :id", id=asks) == '["grant:address"]'

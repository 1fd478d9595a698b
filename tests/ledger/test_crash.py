"""Promise 5: a crash at any point loses nothing."""

from __future__ import annotations

import pytest

from bridge.contract.outbound import Receipt, Refs
from bridge.ledger import claims
from bridge.ledger.store import Ledger
from tests.ledger.rig import World, buy, cancel

MINUTE = 60_000


@pytest.fixture
async def crashed(ledger: Ledger, url: str):
    """Return a function that leaves the ledger as a crash would, and opens it again."""
    opened: list[Ledger] = []

    async def again() -> World:
        await (opened[-1] if opened else ledger).close()  # leases stay as they are: only draining gives them back
        opened.append(Ledger(url))
        await opened[-1].open()
        return World(opened[-1])

    yield again
    for one in opened:
        await one.close()


async def test_leases_return_when_the_ledger_is_opened_again(world: World, crashed):
    """What was in flight is due again; what the target holds is unknown until it answers."""
    await world.accept(buy("INTRO", order="o-1"))
    claimed = (await world.claim("lms"))[0]
    world = await crashed()
    assert await world.claim("lms") == []
    assert await world.ledger.write(lambda unit: claims.return_all(unit, world.now)) == 1
    assert await world.one('SELECT held FROM "right"') == "unknown"
    work = world.work(again := (await world.claim("lms"))[0])
    assert (again.delivery.id, work.operation, work.unknown) == (claimed.delivery.id, "grant", True)


async def test_siblings_come_free_with_the_lease(world: World, crashed):
    """Work that waited for the delivery in flight is not forgotten with it."""
    await world.accept(buy("BUNDLE"))
    await world.claim("lms")
    assert sorted(state for _, state in await world.outbox("lms")) == ["blocked", "leased"]
    world = await crashed()
    await world.ledger.write(lambda unit: claims.return_all(unit, world.now))
    assert [state for _, state in await world.outbox("lms")] == ["open", "open"]
    assert await world.operations("lms") == ["grant", "grant"]
    assert await world.one("SELECT state FROM registration") == "active"


async def test_a_purchase_in_flight_that_was_cancelled_meanwhile_is_taken_back(world: World, crashed):
    """Nobody knows whether the grant went through before the crash, so the cancellation is sent."""
    await world.accept(buy("INTRO", order="o-1"))
    await world.claim("lms")
    await world.accept(cancel(business_key="o-1"))
    world = await crashed()
    await world.ledger.write(lambda unit: claims.return_all(unit, world.now))
    assert await world.operations("lms") == ["revoke"]
    assert await world.one("SELECT state FROM registration") == "cancelled"


async def test_only_leases_that_ran_out_are_taken_from_others(world: World):
    """On a shared ledger a living owner keeps its leases, and keeps them longer by renewing them."""
    await world.accept(buy("INTRO", order="o-1"))
    await world.claim("lms")
    early, late = world.now + MINUTE // 4, world.now + MINUTE
    assert await world.ledger.write(lambda unit: claims.return_expired(unit, early)) == 0
    assert await world.ledger.write(lambda unit: claims.renew_leases(unit, "me", late + MINUTE)) == 1
    assert await world.ledger.write(lambda unit: claims.return_expired(unit, late)) == 0
    assert await world.ledger.write(lambda unit: claims.return_expired(unit, late + 2 * MINUTE)) == 1


async def test_an_answer_that_comes_after_the_lease_ran_out_keeps_what_it_learnt(world: World):
    """A late settlement changes neither state nor right, but its attempt and the remote ids are kept."""
    await world.accept(buy("INTRO"))
    late = (await world.claim("lms"))[0]
    await world.ledger.write(lambda unit: claims.return_all(unit, world.now))
    receipt = Receipt(Refs(person={"user": "81"}, right={"enrollment": "112"}))
    assert not await world.settle(late, receipt)
    assert await world.outbox("lms") == [("id:shop:ada", "open")]
    assert await world.one('SELECT held FROM "right"') == "unknown"
    assert await world.one("SELECT count(*) FROM attempt") == 1
    work = world.work((await world.claim("lms"))[0])
    assert (work.refs.person, work.refs.right) == ({"user": "81"}, {"enrollment": "112"})


async def test_a_lease_that_somebody_else_took_is_not_settled(world: World):
    """Two owners of one delivery in turn: only the one who holds it now settles it."""
    await world.accept(buy("INTRO"))
    first = (await world.claim("lms"))[0]
    await world.ledger.write(lambda unit: claims.return_all(unit, world.now))
    second = (await world.claim("lms"))[0]
    assert first.delivery.lease != second.delivery.lease
    assert not await world.settle(first)
    assert await world.outbox("lms") == [("id:shop:ada", "leased")]
    assert await world.settle(second)


async def test_unstarted_work_is_given_back_as_if_nothing_had_happened(world: World):
    """Draining gives back what was claimed and not begun; nothing is unknown about it, and its siblings come free."""
    await world.accept(buy("BUNDLE"))
    claimed = (await world.claim("lms"))[0]
    leases = [(claimed.delivery.id, claimed.delivery.lease), (claimed.delivery.id + 1, "not ours")]
    assert await world.ledger.write(lambda unit: claims.give_back(unit, leases, world.now)) == 1
    assert [state for _, state in await world.outbox("lms")] == ["open", "open"]
    assert {row.held for row in await world.rows('SELECT held FROM "right"')} == {"no"}

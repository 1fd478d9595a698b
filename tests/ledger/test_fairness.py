"""Fairness: a flood of one source starves no other, and neither a backlog nor steady business keeps the other waiting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count

from bridge.contract.command import Learner
from bridge.contract.outbound import TryLater
from bridge.ledger import claims
from bridge.ledger.claims import ClaimRequest
from bridge.ledger.unit import Unit
from tests.ledger.rig import AMS, BOB, SHOP, World, buy, update


def somebody(number: int) -> Learner:
    return Learner(remote_user_id=f"u{number}", email=f"u{number}@example.org")


async def flood(world: World, count: int, first: int = 0) -> None:
    await world.together(*(buy("INTRO", who=somebody(first + number)) for number in range(count)))


async def sources_of(world: World, limit: int) -> Counter[str]:
    return Counter(claimed.delivery.source for claimed in await world.claim("lms", limit=limit))


async def test_a_flood_of_one_source_does_not_starve_another(world: World):
    """Whoever buys at the quiet source is in the very next claim, however many stand before them at the loud one."""
    await flood(world, 120)
    world.now += 1
    await world.accept(buy("INTRO", who=BOB), source=AMS)
    assert await sources_of(world, 10) == {"shop": 9, "ams": 1}


async def test_two_floods_share_a_claim(world: World):
    """Half and half, whoever came first."""
    await flood(world, 60)
    world.now += 1
    await world.together(*(buy("INTRO", who=somebody(100 + n)) for n in range(60)), source=AMS)
    assert await sources_of(world, 40) == {"shop": 20, "ams": 20}
    assert await sources_of(world, 40) == {"shop": 20, "ams": 20}


async def test_fresh_work_comes_before_a_backlog_of_retries(world: World):
    """After an outage, who buys now does not stand behind everybody who waits; and of those, some have their turn."""
    await flood(world, 60)
    for claimed in await world.claim("lms"):
        await world.settle(claimed, TryLater("down", applied="no", cause="outage"))
    world.now += 86_400_000
    await flood(world, 60, first=1_000)
    tried = Counter(claimed.delivery.attempts > 0 for claimed in await world.claim("lms", limit=50))
    assert tried == {False: 40, True: 10}


async def test_nobody_waits_for_a_queue_that_is_empty(world: World):
    """Where there is one queue only, all of it is claimed."""
    await flood(world, 30)
    assert await sources_of(world, 50) == {SHOP.name: 30}


async def test_work_keeps_the_source_that_gave_the_latest_cause(world: World):
    """What another source asks of the same right stands in that source's queue from then on."""
    await world.accept(buy("INTRO", who=BOB))
    assert await world.rows("SELECT source FROM delivery WHERE target = 'lms'") == [("shop",)]
    await world.accept(buy("INTRO", who=BOB.model_copy(update={"remote_user_id": "b"})), source=AMS)
    assert {row.source for row in await world.rows("SELECT source FROM delivery WHERE target = 'lms'")} >= {"ams"}


async def test_the_lane_is_told_when_the_next_of_any_queue_is_due(world: World):
    """What is put off at one source and what another waits for are both looked at."""
    await world.accept(buy("INTRO", who=BOB), source=AMS)
    (claimed,) = await world.claim("lms")
    await world.settle(claimed, TryLater("busy", after=600))
    assert await world.next_due("lms") > world.now
    await flood(world, 1)
    assert await world.next_due("lms") <= world.now


async def test_who_waits_for_an_address_keeps_nobody_else_waiting(world: World):
    """Many may wait for addresses that others still carry at the target, for long: whoever buys behind them is let in."""
    for number in range(6):
        await world.accept(buy("WEB", who=somebody(number)))
    await world.deliver("school")
    for number in range(6):
        await world.accept(update(somebody(number).model_copy(update={"email": f"new{number}@example.org"})))
    for claimed in await world.claim("school"):
        await world.settle(claimed, TryLater("down", applied="no", cause="outage"))
    for number in range(6):
        heir = somebody(number).model_copy(update={"remote_user_id": f"heir{number}"})
        await world.accept(buy("WEB", who=heir, minute=2))
    world.now += 1
    await world.accept(buy("WEB", who=BOB, minute=3))
    assert [claimed.delivery.person for claimed in await world.claim("school", limit=1)] == ["email:bob@example.org"]
    assert await world.claim("school") == []


def queues(count: int, each: int) -> Callable[[Unit], int]:
    """Put work of so many more sources into the outbox, so much of each, as the deliveries that are there."""

    def work(unit: Unit) -> int:
        return unit.run(
            "INSERT INTO delivery (target, kind, key, person, learner_id, source, state, attempts, due_at, created_at,"
            f" updated_at) SELECT 'lms', 'right', s.value || '/' || n.value, s.value || '/' || n.value, learner_id,"
            f" 'source-' || s.value, 'open', n.value % 2, n.value, 0, 0 FROM delivery CROSS JOIN ({_numbers(count)}) AS s"
            f" CROSS JOIN ({_numbers(each)}) AS n"
        )

    return work


def _numbers(upto: int) -> str:
    return " UNION ALL ".join(f"SELECT {n} AS value" for n in range(upto))


async def test_a_claim_looks_at_as_many_rows_whether_few_sources_wait_or_many(world: World, url: str):
    """With forty sources in backlog it costs twice what it costs with four, and not ten times."""
    await world.accept(buy("INTRO", who=BOB))
    await world.claim("lms")

    async def looked_at() -> int:
        asked = ClaimRequest("lms", 12, "me", world.now, 30_000, by_email=False)
        if url.startswith("postgresql"):
            return await world.ledger.write(lambda unit: _held_by_claim(unit, asked))
        return await world.ledger.write(lambda unit: _steps_of_claim(unit, asked))

    await world.ledger.write(queues(4, 40))
    few = await looked_at()
    await world.ledger.write(lambda unit: unit.run("DELETE FROM delivery WHERE person LIKE '%/%'"))
    await world.ledger.write(queues(40, 40))
    assert await looked_at() < 3 * few


def _held_by_claim(unit: Unit, asked: ClaimRequest) -> int:
    """Claim, and return how many rows are held by it: no other bridge can claim those at this moment."""
    assert len(claims.claim(unit, [asked])[0].claimed) == 12
    return unit.rows("SELECT count(*) AS held FROM delivery WHERE xmax <> 0")[0].held


def _steps_of_claim(unit: Unit, asked: ClaimRequest) -> int:
    """Claim, and return how many hundreds of steps the database took."""
    steps = count(0)
    unit._driver.set_progress_handler(lambda: next(steps) and 0, 100)
    assert len(claims.claim(unit, [asked])[0].claimed) == 12
    unit._driver.set_progress_handler(None, 100)
    return next(steps)


async def test_a_small_claim_finds_retries_of_whichever_source(world: World):
    """Where one place is free and every queue holds retries only, it is not left empty."""
    await world.accept(buy("INTRO", who=BOB))
    await world.claim("lms")
    await world.ledger.write(queues(9, 3))
    await world.ledger.write(lambda unit: unit.run("UPDATE delivery SET attempts = 3 WHERE state = 'open'"))
    assert len(await world.claim("lms", limit=1)) == 1


async def test_uneven_queues_fill_a_claim(world: World):
    """What many sources with one delivery each leave free, the one with many takes."""
    await world.accept(buy("INTRO", who=BOB))
    await world.claim("lms")
    await world.ledger.write(queues(12, 1))
    await flood(world, 40)
    claimed = Counter(claimed.delivery.source for claimed in await world.claim("lms", limit=30))
    assert claimed.total() == 30
    assert claimed[SHOP.name] == 18

"""Promise 6: one in flight per learner and target, and a blocked key costs the claim nothing."""

from __future__ import annotations

import asyncio

from bridge.contract.outbound import NeedsOperator, TryLater
from bridge.ledger import repairs
from bridge.ledger.claims import ClaimRequest, claim
from tests.ledger.rig import ADA, AMS, BOB, CRM, LMS, SCHOOL, World, buy, with_targets


async def test_a_claim_never_holds_two_of_one_person(world: World):
    """Of two courses of one person one is claimed, and one of everybody else."""
    await world.accept(buy("BUNDLE", who=ADA))
    await world.accept(buy("BUNDLE", who=BOB))
    claimed = await world.claim("lms")
    assert sorted(one.delivery.person for one in claimed) == ["id:shop:ada", "id:shop:bob"]
    assert await world.claim("lms") == []


async def test_the_next_of_a_person_comes_after_the_first_is_settled(world: World):
    """In the order in which they became due."""
    await world.accept(buy("INTRO", order="o-1"))
    world.now += 1
    await world.accept(buy("ETHICS", order="o-2"))
    first = await world.claim("lms")
    assert [world.work(one).course.course_id for one in first] == [1]
    assert await world.claim("lms") == []
    await world.settle(first[0])
    assert [world.work(one).course.course_id for one in await world.claim("lms")] == [2]


async def test_the_next_of_a_person_comes_also_when_the_first_has_to_wait(world: World):
    """A delivery that is put off does not hold up the person's other courses."""
    await world.accept(buy("BUNDLE"))
    first = (await world.claim("lms"))[0]
    await world.settle(first, TryLater("busy", after=600))
    second = (await world.claim("lms"))[0]
    assert second.delivery.id != first.delivery.id


async def test_work_that_comes_while_the_person_is_in_flight_is_blocked_at_once(world: World):
    """It never enters the index of what is due."""
    await world.accept(buy("INTRO", order="o-1"))
    claimed = (await world.claim("lms"))[0]
    await world.accept(buy("ETHICS", order="o-2"))
    assert [state for _, state in await world.outbox("lms")] == ["leased", "blocked"]
    await world.settle(claimed)
    assert [state for _, state in await world.outbox("lms")] == ["done", "open"]


async def test_a_dead_letter_that_is_requeued_while_the_person_is_in_flight_is_blocked(world: World):
    """It waits its turn like any other work of the person."""
    await world.accept(buy("BUNDLE"))
    await world.settle((await world.claim("lms"))[0], NeedsOperator("no", "act"))
    claimed = (await world.claim("lms"))[0]
    await world.ledger.write(lambda unit: repairs.requeue(unit, repairs.dead_letters(unit, (), "lms"), world.now))
    assert sorted(state for _, state in await world.outbox("lms")) == ["blocked", "leased"]
    await world.settle(claimed)
    assert await world.operations("lms") == ["grant"]


async def test_a_person_in_flight_at_one_target_is_free_at_another(world: World):
    """Lanes don't wait for each other."""
    await world.accept(buy("BOTH"))
    assert len(await world.claim("lms")) == 1
    assert len(await world.claim("school")) == 1


async def test_a_person_with_many_courses_does_not_hide_the_others(world: World):
    """However many deliveries of one person stand first in line, the claim reaches the people behind."""
    many = [buy("INTRO", order=f"o-{n}", who=ADA) for n in range(3)]
    await world.accept(*many)
    await world.ledger.write(
        lambda unit: unit.run(
            "INSERT INTO delivery (target, kind, key, person, learner_id, source, state, due_at, created_at, updated_at)"
            " SELECT 'lms', 'right', 'made:' || value, person, learner_id, source, 'open', 0, 0, 0 FROM delivery"
            f" CROSS JOIN ({_numbers(40)}) AS made"
        )
    )
    world.now += 1
    await world.accept(buy("INTRO", who=BOB))
    assert [one.delivery.person for one in await world.claim("lms", limit=2)] == ["id:shop:ada", "id:shop:bob"]


def _numbers(upto: int) -> str:
    return " UNION ALL ".join(f"SELECT '{n}' AS value" for n in range(upto))


async def test_what_is_not_due_yet_is_not_claimed(world: World):
    """And the lane is told when to come back."""
    await world.accept(buy("INTRO"))
    await world.settle((await world.claim("lms"))[0], TryLater("busy", after=600))
    assert await world.claim("lms") == []
    answer = await world.ledger.submit(claim, ClaimRequest("lms", 5, "me", world.now, 30_000, by_email=False))
    assert answer.next_due == world.now + 600_000


async def test_two_learners_of_one_address_are_one_person_to_a_target_that_knows_by_email(world: World):
    """One account at the target, one delivery in flight."""
    await world.accept(buy("WEB", who=ADA))
    await world.accept(buy("BOTH", who=ADA.model_copy(update={"remote_user_id": "1815"})), source=AMS)
    claimed = await world.claim("school")
    assert [one.delivery.person for one in claimed] == ["email:ada@example.org"]


async def test_two_bridges_never_hold_one_person_twice(pair: tuple[World, World]):
    """Claims of two machines that race: every person once in flight, every delivery claimed once."""
    one, two = pair
    people = [ADA.model_copy(update={"remote_user_id": f"u{n}"}) for n in range(20)]
    await one.together(*[buy("BUNDLE", who=who) for who in people])
    held: list[int] = []
    while True:
        batches = await asyncio.gather(
            one.claim("lms", 7), two.claim("lms", 7), one.claim("lms", 7), two.claim("lms", 7)
        )
        claimed = [found for batch in batches for found in batch]
        persons = [found.delivery.person for found in claimed]
        assert len(persons) == len(set(persons))
        held += [found.delivery.id for found in claimed]
        if not claimed:
            break
        await asyncio.gather(*(pair[n % 2].settle(found) for n, found in enumerate(claimed)))
    assert sorted(held) == sorted(set(held))
    assert len(held) == 40
    assert {row.state for row in await one.rows("SELECT state FROM registration")} == {"active"}


async def test_two_lms_that_answer_at_once_leave_no_registration_pending(pair: tuple[World, World]):
    """Two machines settle the last two rights of a registration at the same moment: one of them sees both."""
    for world in pair:
        world.catalogue = with_targets(LMS, SCHOOL, CRM)
    for n in range(12):
        who = ADA.model_copy(update={"remote_user_id": f"u{n}", "email": f"u{n}@example.org"})
        await pair[0].accept(buy("BOTH", who=who))
        lms, school = (await pair[0].claim("lms"))[0], (await pair[1].claim("school"))[0]
        await asyncio.gather(pair[0].settle(lms), pair[1].settle(school))
    assert {row.state for row in await pair[0].rows("SELECT state FROM registration")} == {"active"}
    assert len(await pair[0].claim("crm")) == 12

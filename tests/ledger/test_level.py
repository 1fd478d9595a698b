"""Level, not edge: the outbox holds that something differs, and the work is computed when it is claimed."""

from __future__ import annotations

import asyncio

from bridge.contract.command import Options
from bridge.contract.outbound import NeedsOperator, Receipt, Refs, TryLater
from bridge.ledger import outbox
from tests.ledger.rig import ADA, AMS, CRM, LMS, World, at, buy, cancel, update, with_targets


async def test_a_repeat_that_changes_nothing_plans_nothing(world: World):
    """No new delivery, no new revision, no new right; also after everything is done."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("BUNDLE"), source=AMS)
    before = await world.rows("SELECT id, state, revision, due_at FROM delivery ORDER BY id")
    await world.accept(buy("BUNDLE", minute=5), source=AMS)
    assert await world.rows("SELECT id, state, revision, due_at FROM delivery ORDER BY id") == before
    await world.deliver("lms")
    await world.deliver("crm")
    await world.accept(buy("BUNDLE", minute=9), source=AMS)
    await world.accept(update(ADA), source=AMS)
    assert {state for _, state in [*await world.outbox("lms"), *await world.outbox("crm")]} == {"done"}


async def test_a_repeat_of_a_cancellation_plans_nothing(world: World):
    """Once cancelled, cancelled."""
    await world.accept(buy("INTRO", order="o-1"))
    await world.accept(cancel(business_key="o-1", minute=2))
    revision = await world.one("SELECT revision FROM delivery")
    reception = await world.accept(cancel(business_key="o-1", minute=3))
    assert reception.lines[0].repeat
    assert await world.one("SELECT revision FROM delivery") == revision


async def test_a_cancellation_that_overtakes_the_grant_leaves_nothing_to_do(world: World):
    """Bought and cancelled before the lane came round: nothing goes out."""
    await world.accept(buy("INTRO", order="o-1"))
    await world.accept(cancel(business_key="o-1"))
    assert await world.operations("lms") == []
    assert await world.one("SELECT state FROM registration") == "cancelled"
    assert [row.outcome for row in await world.rows("SELECT outcome FROM attempt")] == ["nothing"]


async def test_there_is_one_open_delivery_for_a_right(world: World):
    """However many commands concern it."""
    for n in range(5):
        await world.accept(buy("INTRO", order=f"o-{n}"))
    assert len(await world.outbox("lms")) == 1


async def test_a_cause_that_changes_in_flight_opens_the_delivery_again(world: World):
    """Cancelled while the grant is on its way: the receipt counts, and the revocation is due at once."""
    await world.accept(buy("INTRO", order="o-1"))
    claimed = (await world.claim("lms"))[0]
    await world.accept(cancel(business_key="o-1"))
    assert await world.settle(claimed)
    assert await world.one('SELECT held FROM "right"') == "yes"
    assert await world.one("SELECT state FROM registration") == "cancelling"
    assert await world.operations("lms") == ["revoke"]
    assert await world.one("SELECT state FROM registration") == "cancelled"


async def test_a_dead_letter_is_superseded_by_a_newer_command(world: World):
    """The learner buys again, or the order is cancelled: the delivery opens with a fresh count."""
    await world.accept(buy("INTRO"), source=AMS)
    await world.deliver("lms", NeedsOperator("no such course", "map it"))
    assert await world.one("SELECT state FROM registration") == "failed"
    await world.accept(buy("INTRO", minute=5), source=AMS)
    assert await world.rows("SELECT state, attempts, age FROM delivery") == [("open", 0, 0)]
    assert await world.one("SELECT state FROM registration") == "pending"
    assert await world.operations("lms") == ["grant"]
    assert await world.one("SELECT state FROM registration") == "active"


async def test_a_dead_letter_of_one_course_does_not_fail_another(world: World):
    """Two registrations of one learner: only the one that waits for the dead letter has failed."""
    intro, ethics = await world.ids(buy("INTRO", "ETHICS", order="o-1"))
    await world.settle((await world.claim("lms"))[0], NeedsOperator("no", "act"))
    await world.deliver("lms")
    assert sorted([await world.state(intro), await world.state(ethics)]) == ["active", "failed"]


async def test_work_that_is_put_off_is_due_at_once_when_the_cause_changes(world: World):
    """A newer command does not wait out an older one's pause."""
    await world.accept(buy("INTRO", order="o-1"))
    await world.deliver("lms", TryLater("busy", after=3_000))
    await world.accept(buy("INTRO", order="o-2"))
    assert await world.operations("lms") == ["grant"]


async def test_what_was_learnt_is_handed_back_on_the_next_try(world: World):
    """Remote ids and finished steps survive a failed attempt, and remote ids of a person serve all its deliveries."""
    await world.accept(buy("BUNDLE"))
    answer = TryLater("busy", after=1, refs=Refs(person={"user": "81"}), steps=frozenset({"account"}))
    await world.settle((await world.claim("lms"))[0], answer)
    world.now += 2_000
    first = await world.claim("lms")
    await world.settle(first[0])
    works = [world.work(first[0]), world.work((await world.claim("lms"))[0])]
    assert [work.refs.person for work in works] == [{"user": "81"}, {"user": "81"}]
    assert sorted(work.steps for work in works) == [frozenset(), frozenset({"account"})]


async def test_a_repeat_may_widen_access_and_never_narrow_it(world: World):
    """A later end and full access count; an earlier end and drip-fed access don't."""
    [registration] = await world.ids(buy("INTRO", options=Options(expires_at=at(50_000))))
    for options in (
        Options(expires_at=at(40_000)),
        Options(expires_at=at(60_000)),
        Options(expires_at=at(55_000), full_access=True),
        Options(expires_at=at(30_000)),
    ):
        assert await world.ids(buy("INTRO", options=options)) == [registration]
    terms = (await world.deliver("lms"))[-1].terms
    assert (terms.expires_at, terms.full_access) == (at(60_000), True)


async def test_the_terms_of_a_right_are_the_widest_behind_it(world: World):
    """Of two purchases of one course the later end counts; one without end has none."""
    await world.accept(buy("INTRO", order="o-1", options=Options(expires_at=at(50_000))))
    await world.accept(buy("INTRO", order="o-2", options=Options(expires_at=at(60_000))))
    assert [work.terms.expires_at for work in await world.deliver("lms")] == [at(60_000)]
    await world.accept(buy("INTRO", order="o-3"))
    assert [(work.operation.value, work.terms.expires_at) for work in await world.deliver("lms")] == [("update", None)]


async def test_lanes_are_woken_for_new_work_and_for_work_that_came_free(world: World):
    """A commit names the targets that have something to do."""
    woken: asyncio.Queue[frozenset[str]] = asyncio.Queue()
    world.ledger.on_commit(woken.put_nowait)
    await world.accept(buy("BUNDLE"))
    await world.settle((await world.claim("lms"))[0])
    await world.settle((await world.claim("lms"))[0], Receipt())
    times = 4 if world.ledger.shared else 2  # on PostgreSQL the notification comes round as well
    async with asyncio.timeout(5):
        assert [await woken.get() for _ in range(times)] == [frozenset({"lms"})] * times
    assert woken.empty()


async def test_work_of_one_group_on_one_right_is_one_delivery(world: World):
    """The newest cause stands in the outbox."""
    await world.accept(buy("INTRO", order="o-1"))
    row = (await world.rows("SELECT right_id, learner_id, registration_id, event_id FROM delivery"))[0]
    rows = [
        outbox.DeliveryRow(
            "lms", "right", f"right:{row.right_id}", row.right_id, "id:shop:ada", row.learner_id, None, event
        )
        for event in (None, row.event_id)
    ]
    await world.ledger.write(lambda unit: outbox.open_now(unit, rows, world.now))
    assert await world.rows("SELECT event_id, revision FROM delivery") == [(row.event_id, 2)]

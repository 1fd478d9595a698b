"""CRM and mailing work opens on the receipt of the registration's last LMS right, or at once where there is none."""

from __future__ import annotations

from dataclasses import replace

from bridge.contract.outbound import NeedsOperator
from bridge.contract.settings import Condition
from bridge.ledger import repairs
from tests.ledger.rig import ADA, AMS, BOB, CRM, LMS, NEWS, SCHOOL, World, buy, cancel, update, with_targets


async def test_crm_work_waits_for_the_last_lms_right(world: World):
    """Of a course at two LMS both must have let the learner in."""
    world.catalogue = with_targets(LMS, SCHOOL, CRM)
    await world.accept(buy("BOTH"))
    assert await world.outbox("crm") == [("email:ada@example.org", "waiting")]
    await world.deliver("lms")
    assert await world.outbox("crm") == [("email:ada@example.org", "waiting")]
    await world.deliver("school")
    [work] = await world.deliver("crm")
    assert [(found.course.key, found.state) for found in work.enrollments] == [("both", "active")]


async def test_crm_work_opens_at_once_where_no_lms_takes_the_course(world: World):
    """A book has no right anywhere, and its registration is active."""
    world.catalogue = with_targets(LMS, CRM)
    reception = await world.accept(buy("BOOK"))
    assert reception.lines[0].state == "active"
    assert await world.operations("crm") == ["contact"]


async def test_a_right_that_is_held_already_counts(world: World):
    """The second purchase of a course tells the CRM at once, and the answer says active."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("INTRO", order="o-1"))
    await world.deliver("lms")
    await world.deliver("crm")
    reception = await world.accept(buy("INTRO", order="o-2"))
    assert reception.lines[0].state == "active"
    assert await world.operations("crm") == ["contact"]


async def test_work_on_one_contact_joins(world: World):
    """Two registrations of one person that are settled one after the other make one delivery, if nobody came for the first."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("INTRO", "ETHICS"))
    await world.deliver("lms")
    states = sorted(state for _, state in await world.outbox("crm"))
    assert states == ["done", "open"]
    [work] = await world.deliver("crm")
    assert sorted(found.course.key for found in work.enrollments) == ["ethics", "intro"]


async def test_crm_work_that_joins_a_delivery_in_flight_makes_it_open_again(world: World):
    """What came too late for the attempt under way goes out with the next one."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("INTRO", order="o-1"))
    await world.deliver("lms")
    claimed = (await world.claim("crm"))[0]
    await world.accept(buy("ETHICS", order="o-2"))
    await world.deliver("lms")
    await world.settle(claimed)
    [work] = await world.deliver("crm")
    assert sorted(found.course.key for found in work.enrollments) == ["ethics", "intro"]


async def test_work_for_those_who_want_it_accepted_opens_at_once(world: World):
    """``when = "accepted"`` does not wait for the LMS, neither for the purchase nor for the cancellation."""
    world.catalogue = with_targets(LMS, NEWS)
    await world.accept(buy("INTRO", order="o-1"))
    assert [[found.state for found in work.enrollments] for work in await world.deliver("news")] == [["pending"]]
    await world.deliver("lms")
    await world.accept(cancel(business_key="o-1"))
    assert [[found.state for found in work.enrollments] for work in await world.deliver("news")] == [["cancelling"]]


async def test_an_lms_dead_letter_leaves_the_crm_work_waiting(world: World):
    """Until somebody requeues it and the LMS has let the learner in."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("INTRO"))
    await world.deliver("lms", NeedsOperator("no such course", "map it"))
    assert await world.one("SELECT state FROM registration") == "failed"
    assert await world.outbox("crm") == [("email:ada@example.org", "waiting")]

    def requeue(unit):
        repairs.requeue(unit, repairs.dead_letters(unit, (), None), world.now)

    await world.ledger.write(requeue)
    assert await world.one("SELECT state FROM registration") == "pending"
    await world.deliver("lms")
    assert await world.operations("crm") == ["contact"]


async def test_the_crm_hears_of_a_cancellation_when_the_lms_has_let_go(world: World):
    """Not before, and then with the state cancelled."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("INTRO", order="o-1"))
    await world.deliver("lms")
    await world.deliver("crm")
    await world.accept(cancel(business_key="o-1"))
    assert await world.deliver("crm") == []
    await world.deliver("lms")
    assert [[found.state for found in work.enrollments] for work in await world.deliver("crm")] == [["cancelled"]]


async def test_changed_data_of_somebody_who_waits_does_not_open_the_crm_early(world: World):
    """The address changes while the LMS is still busy: the waiting work goes to the new one, when its time comes."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("INTRO"), source=AMS)
    await world.accept(update(ADA.model_copy(update={"email": "ada@new.example.org"})), source=AMS)
    assert await world.outbox("crm") == [("email:ada@new.example.org", "waiting")]
    await world.deliver("lms")
    assert [work.person for work in await world.deliver("crm")] == ["email:ada@new.example.org"]


async def test_a_crm_that_is_not_meant_by_its_conditions_hears_nothing(world: World):
    """``only_if`` decides when the purchase is planned."""
    free = replace(CRM, only_if=(Condition(field="item.remote_product_id", operator="in", value=["ETHICS"]),))
    world.catalogue = with_targets(LMS, free)
    await world.accept(buy("INTRO", order="o-1"))
    assert await world.outbox("crm") == []
    await world.accept(buy("ETHICS", order="o-2"))
    assert await world.outbox("crm") == [("email:ada@example.org", "waiting")]


async def test_an_lms_that_is_not_meant_by_its_conditions_gets_nothing(world: World):
    """The registration is active at once, because no right is missing."""
    picky = replace(LMS, only_if=(Condition(field="item.remote_product_id", operator="in", value=["ETHICS"]),))
    world.catalogue = with_targets(picky, CRM)
    reception = await world.accept(buy("INTRO"))
    assert reception.lines[0].state == "active"
    assert await world.outbox("lms") == []
    assert await world.operations("crm") == ["contact"]


async def test_a_learner_without_an_address_reaches_a_crm_that_knows_people_by_it_under_a_stand_in(world: World):
    """The connector says in its own words what is missing; nothing is lost meanwhile."""
    world.catalogue = with_targets(LMS, CRM)
    await world.accept(buy("BOOK", who=ADA.model_copy(update={"email": None})))
    [work] = await world.deliver("crm")
    assert work.person.startswith("learner:")
    assert work.learner.email is None


async def test_waiting_crm_work_follows_a_purchase_to_its_other_learner(world: World):
    """A shop that corrects who bought has the CRM told of that person, under that person's own number."""
    world.catalogue = with_targets(LMS, replace(CRM, known_by="user_id"))
    await world.accept(buy("INTRO", order="o-1"))
    await world.accept(buy("INTRO", who=BOB, order="o-1", minute=2))
    await world.deliver("lms")
    told = await world.deliver("crm")
    assert [(work.person, work.learner.email) for work in told] == [("id:shop:bob", "bob@example.org")]

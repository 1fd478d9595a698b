"""Everything may come back: bought again after a cancellation, every year, under another mapping."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bridge.contract.catalogue import CourseEntry, ProductEntry
from bridge.contract.command import Action
from bridge.contract.inbound import InboundEvent
from bridge.contract.outbound import NeedsOperator
from bridge.jobs.expiry import expire
from bridge.kit.clock import milliseconds
from tests.ledger.rig import ADA, AMS, CRM, LMS, NOON, Course, World, at, buy, cancel, mapping, request, with_targets

DAY = 24 * 60


async def test_bought_cancelled_and_bought_again_is_a_new_registration(world: World):
    """Without a business key only live registrations are in the way; the learner is in again."""
    [first] = await world.ids(buy("INTRO"), source=AMS)
    await world.deliver("lms")
    await world.accept(cancel(registration_id=first), source=AMS)
    await world.deliver("lms")
    [second] = await world.ids(buy("INTRO", minute=5), source=AMS)
    assert second != first
    assert await world.wanted() == {"id:members:ada": 1}
    assert await world.operations("lms") == ["grant"]
    assert [await world.state(first), await world.state(second)] == ["cancelled", "active"]


async def test_the_old_registration_can_be_cancelled_again_without_harm(world: World):
    """A late repeat of the first cancellation does not touch the second purchase."""
    [first] = await world.ids(buy("INTRO"), source=AMS)
    await world.accept(cancel(registration_id=first), source=AMS)
    [second] = await world.ids(buy("INTRO", minute=5), source=AMS)
    await world.accept(cancel(registration_id=first, minute=9), source=AMS)
    await world.deliver("lms")
    assert await world.state(second) == "active"


async def test_the_old_registration_is_not_resumed_beside_the_new_one(world: World):
    """The place is taken: a resumption of the first purchase changes nothing and harms nobody."""
    [first] = await world.ids(buy("INTRO"), source=AMS)
    await world.accept(cancel(registration_id=first), source=AMS)
    await world.ids(buy("INTRO", minute=5), source=AMS)
    reception = await world.accept(cancel(action=Action.RESUME, registration_id=first, minute=9), source=AMS)
    assert reception.kind == "accepted"
    assert await world.state(first) == "cancelled"


async def test_a_yearly_purchase_after_the_end_is_a_new_registration(world: World):
    """Access ended after a year; bought again, it lasts another one."""
    [first] = await world.ids(buy("YEAR"), source=AMS)
    await world.deliver("lms")
    over = milliseconds(NOON + timedelta(days=366))
    assert await world.ledger.write(lambda unit: expire(unit, world.catalogue, over)) == 1
    world.now = over
    assert await world.operations("lms") == ["revoke"]
    assert await world.state(first) == "expired"
    year = 366 * DAY
    again = request_at(year)
    [second] = await world.ids(buy("YEAR", minute=year), source=AMS, event=again)
    assert second != first
    [work] = await world.deliver("lms")
    assert (work.operation.value, work.terms.expires_at) == ("grant", at(year) + timedelta(days=365))
    assert await world.state(second) == "active"


def request_at(minute: float) -> InboundEvent:
    return request(received_at=at(minute))


async def test_a_renewal_of_a_subscription_extends_access(world: World):
    """Each period is a purchase of its own; access lasts as long as the last of them."""
    await world.accept(buy("YEAR", order="sub-1/2026"))
    await world.accept(buy("YEAR", order="sub-1/2027", minute=300 * DAY), event=request_at(300 * DAY))
    world.now = milliseconds(at(300 * DAY))
    assert [work.terms.expires_at for work in await world.deliver("lms")] == [at(665 * DAY)]


async def test_a_later_word_on_the_same_purchase_extends_nothing(world: World):
    """An order that is marked as shipped a month later is not bought again."""
    await world.accept(buy("YEAR", order="o-1"))
    await world.accept(buy("YEAR", order="o-1", minute=30 * DAY), event=request_at(30 * DAY))
    world.now = milliseconds(at(30 * DAY))
    assert [work.terms.expires_at for work in await world.deliver("lms")] == [at(365 * DAY)]


async def test_a_revived_purchase_follows_the_mapping_of_today(world: World):
    """The operator has put another course behind the product and added a CRM: the old course goes, the new one comes."""
    world.catalogue = with_targets(LMS)
    [registration] = await world.ids(buy("INTRO", order="o-1"))
    await world.deliver("lms")
    await world.accept(cancel(business_key="o-1", minute=1))
    changed = with_targets(LMS, CRM)
    world.catalogue = replace(
        changed, digest="second", products={**changed.products, ("shop", "INTRO"): ProductEntry(("ethics",))}
    )
    assert await world.ids(buy("INTRO", order="o-1", minute=2)) == [registration]
    sent = await world.deliver("lms")
    assert sorted((work.operation.value, work.course.course_id) for work in sent) == [("grant", 2), ("revoke", 1)]
    assert await world.state(registration) == "active"
    [work] = await world.deliver("crm")
    assert [found.course.key for found in work.enrollments] == ["ethics"]
    assert (
        await world.one("SELECT v.digest FROM registration g JOIN mapping_version v ON v.id = g.mapping_version_id")
        == "second"
    )


async def test_a_resumption_does_not_bring_back_what_another_mapping_replaced(world: World):
    """Suspended and resumed after the mapping changed: only what the registration had last lives again."""
    await world.accept(buy("INTRO", order="o-1"))
    await world.accept(cancel(business_key="o-1", minute=1))
    world.catalogue = replace(mapping("second"), products={("shop", "INTRO"): ProductEntry(("ethics",))})
    await world.accept(buy("INTRO", order="o-1", minute=2))
    await world.accept(cancel(action=Action.SUSPEND, business_key="o-1", minute=3))
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=4))
    sent = await world.deliver("lms")
    assert [(work.operation.value, work.course.course_id) for work in sent] == [("grant", 2)]


async def test_a_dead_letter_under_a_mended_mapping_goes_to_the_right_course(world: World):
    """The course id was wrong; the operator mends it and the sender repeats: the registration becomes active."""
    wrong = CourseEntry("intro", "Introduction", tables={"lms": Course(course_id=404)})
    world.catalogue = mapping("wrong", courses={**mapping().courses, "intro": wrong})
    [registration] = await world.ids(buy("INTRO"), source=AMS)
    await world.deliver("lms", NeedsOperator("no such course", "map it"))
    world.catalogue = mapping("right")
    assert await world.ids(buy("INTRO", minute=3), source=AMS) == [registration]
    sent = await world.deliver("lms")
    assert [(work.operation.value, work.course.course_id) for work in sent] == [("grant", 1)]
    assert await world.state(registration) == "active"


async def test_a_registration_names_the_mapping_it_was_made_with(world: World):
    """And a mapping that stays the same is kept once."""
    for n in range(3):
        await world.accept(buy("INTRO", order=f"o-{n}"))
    world.catalogue = mapping("second")
    await world.accept(buy("INTRO", order="o-9", who=ADA))
    rows = await world.rows(
        "SELECT v.digest FROM registration g JOIN mapping_version v ON v.id = g.mapping_version_id ORDER BY g.id"
    )
    assert [row.digest for row in rows] == ["first", "first", "first", "second"]
    assert await world.one("SELECT count(*) FROM mapping_version") == 2

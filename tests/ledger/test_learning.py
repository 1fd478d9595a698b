"""What an LMS tells of a learner's progress is kept by course, and reaches the targets whose actions wait for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options, Progress, ProgressKind
from bridge.contract.outbound import Work
from bridge.contract.settings import Milestone
from bridge.jobs.expiry import expire
from bridge.kit.clock import milliseconds
from tests.ledger.rig import (
    ADA,
    AMS,
    CRM,
    LMS,
    NEWS,
    SCHOOL,
    World,
    at,
    buy,
    cancel,
    refund,
    request,
    update,
    with_targets,
)

HEARS = replace(CRM, hears=frozenset({Milestone.STARTED, Milestone.PROGRESS, Milestone.COMPLETED, Milestone.EXPIRED}))
DONE_ONLY = replace(CRM, hears=frozenset({Milestone.COMPLETED}))


def told(kind: str, *products: str, minute: float = 5, percent: int | None = None, **more: Any) -> EnrollmentCommand:
    return EnrollmentCommand(
        action=Action.PROGRESS,
        occurred_at=at(minute),
        learner=more.pop("who", ADA),
        items=tuple(Item(remote_product_id=product) for product in products),
        progress=Progress(kind=ProgressKind(kind), percent=percent),
        **more,
    )


async def settled(world: World, *commands: EnrollmentCommand, target=HEARS) -> list[Work]:
    world.catalogue = with_targets(LMS, SCHOOL, target)
    await world.accept(buy("INTRO"))
    await world.deliver("lms")
    await world.deliver("crm")
    for command in commands:
        await world.accept(command)
    return await world.deliver("crm")


def reached(work: Work) -> list[str]:
    [enrollment] = work.enrollments
    return sorted(milestone.value for milestone in enrollment.milestones)


async def test_a_completion_reaches_the_target_that_waits_for_it(world: World):
    """With its time; whoever has completed a course had begun it, and did all of it."""
    [work] = await settled(world, told("completed", "INTRO", minute=9))
    [enrollment] = work.enrollments
    assert reached(work) == ["completed", "enrolled", "progress", "started"]
    assert (enrollment.completed_at, enrollment.percent) == (at(9), 100)


async def test_a_target_that_does_not_wait_for_it_is_left_alone(world: World):
    """Each percentage would be a request to a CRM that has no use for it."""
    assert await settled(world, told("percent", "INTRO", percent=20), target=DONE_ONLY) == []
    [work] = await settled(world, told("completed", "INTRO"), target=DONE_ONLY)
    assert "completed" in reached(work)


async def test_told_twice_it_is_told_once(world: World):
    """The same completion again is new to nobody."""
    await settled(world, told("completed", "INTRO", minute=9))
    await world.accept(told("completed", "INTRO", minute=9))
    await world.accept(told("completed", "INTRO", minute=30))
    assert await world.deliver("crm") == []
    effects = await world.rows("SELECT effect FROM effect ORDER BY event_id")
    assert [row.effect for row in effects] == ["created", "progressed", "noted", "noted"]


async def test_the_newer_percentage_counts_however_they_arrive(world: World):
    """Webhooks overtake one another."""
    newer, older = told("percent", "INTRO", percent=80, minute=20), told("percent", "INTRO", percent=40, minute=10)
    [work] = await settled(world, newer, older)
    assert work.enrollments[0].percent == 80
    assert reached(work) == ["enrolled", "progress", "started"]


async def test_a_percentage_that_was_confirmed_is_not_undone_by_an_older_one(world: World):
    """50, then 50 again, then a 40 that was under way for long: it is 50, and the repeat was news to nobody."""
    fifty, again = told("percent", "INTRO", percent=50, minute=1), told("percent", "INTRO", percent=50, minute=5)
    await settled(world, fifty)
    await world.accept(again)
    await world.accept(told("percent", "INTRO", percent=40, minute=3))
    assert await world.deliver("crm") == []
    await world.accept(told("percent", "INTRO", percent=60, minute=9))
    [work] = await world.deliver("crm")
    assert work.enrollments[0].percent == 60


@pytest.mark.parametrize(
    ("waits_for", "kind", "percent"),
    [("started", "percent", 10), ("started", "completed", None), ("progress", "completed", None)],
)
async def test_a_message_is_heard_for_all_that_it_brings(world: World, waits_for: str, kind: str, percent: int | None):
    """An LMS that never says "started" says it with the first percentage."""
    only = replace(CRM, hears=frozenset({Milestone(waits_for)}))
    [work] = await settled(world, told(kind, "INTRO", percent=percent), target=only)
    assert waits_for in reached(work)


async def test_whoever_waits_for_the_beginning_is_told_of_it_once(world: World):
    """Each later percentage would be a request of no use."""
    only = replace(CRM, hears=frozenset({Milestone.STARTED}))
    assert len(await settled(world, told("percent", "INTRO", percent=10, minute=1), target=only)) == 1
    await world.accept(told("percent", "INTRO", percent=20, minute=2))
    assert await world.deliver("crm") == []


async def test_the_first_time_counts_however_they_arrive(world: World):
    """The completion may be told before the beginning is."""
    [work] = await settled(world, told("completed", "INTRO", minute=9), told("started", "INTRO", minute=2))
    assert (work.enrollments[0].started_at, work.enrollments[0].completed_at) == (at(2), at(9))


async def test_it_expires_again_after_it_was_opened_anew(world: World):
    """The LMS tells of both ends, and the second one counts as the first did."""
    [work] = await settled(world, told("expired", "INTRO"))
    await world.accept(cancel("INTRO", learner=ADA), event=request(received_at=at(10_001)))
    again = cancel("INTRO", learner=ADA, action=Action.RESUME, minute=30, undoes="all", registration_id=1)
    await world.accept(again, event=request(received_at=at(10_002)))
    world.now = milliseconds(at(10_003))
    await world.deliver("lms")
    [work] = await world.deliver("crm")
    assert reached(work) == ["enrolled"]
    await world.accept(told("expired", "INTRO", minute=40), event=request(received_at=at(10_004)))
    await world.accept(told("expired", "INTRO", minute=41), event=request(received_at=at(10_005)))
    world.now = milliseconds(at(10_006))
    [work] = await world.deliver("crm")
    assert work.enrollments[0].milestones[Milestone.EXPIRED] == at(10_004)


async def test_progress_that_comes_before_access_waits_with_the_rest(world: World):
    """The CRM is told when the learner is in, of everything at once."""
    world.catalogue = with_targets(LMS, HEARS)
    await world.accept(buy("INTRO"))
    await world.accept(told("started", "INTRO"))
    assert await world.deliver("crm") == []
    await world.deliver("lms")
    [work] = await world.deliver("crm")
    assert reached(work) == ["enrolled", "started"]


async def test_progress_of_a_bundle_belongs_to_its_course(world: World):
    """By our own registration id it would be of all of them; by the LMS's course it is of one."""
    source = replace(AMS, name="says", echo_of="school")
    world.catalogue = with_targets(LMS, SCHOOL, HEARS)
    world.catalogue = replace(
        world.catalogue,
        sources={**world.catalogue.sources, "says": source},
        products={
            **world.catalogue.products,
            ("ams", "BUNDLE"): replace(world.catalogue.products["ams", "BUNDLE"], courses=("web", "both")),
        },
    )
    await world.accept(buy("BUNDLE"), source=AMS)
    for target in ("lms", "school", "crm"):
        await world.deliver(target)
    await world.accept(told("completed", "7", who=Learner(email="Ada@example.org")), source=source)
    [work] = await world.deliver("crm")
    assert {found.course.key: found.completed_at for found in work.enrollments} == {"web": at(5), "both": None}


async def test_a_cancelled_purchase_is_cancelled_and_a_refunded_one_refunded(world: World):
    """An action may wait for either."""
    [work] = await self_ended(world, cancel("INTRO", learner=ADA))
    assert reached(work) == ["cancelled", "enrolled"]


async def test_nobody_is_welcomed_whose_purchase_was_taken_back_before_they_were_in(world: World):
    """The LMS was away, and the learner cancelled meanwhile: only a target that hears of purchases at once calls it enrolled."""
    world.catalogue = with_targets(LMS, CRM, NEWS)
    await world.accept(buy("INTRO"))
    await world.accept(cancel("INTRO", learner=ADA))
    assert await world.deliver("lms") == []
    [[late], [early]] = [await world.deliver(name) for name in ("crm", "news")]
    assert (reached(late), reached(early)) == (["cancelled"], ["cancelled", "enrolled"])


async def test_a_refunded_purchase_is_not_called_cancelled(world: World):
    """The two are different news to a CRM."""
    [work] = await self_ended(world, refund("INTRO", learner=ADA))
    assert reached(work) == ["enrolled", "refunded"]


async def test_money_that_goes_back_after_a_cancellation_is_told_too(world: World):
    """Many a shop sends both, one after the other; the money back is news to a CRM even when access is gone already."""
    await settled(world, buy("ETHICS", order="o-1"))
    await world.deliver("lms")
    await world.deliver("crm")
    await world.accept(cancel(business_key="o-1", minute=8))
    await world.deliver("lms")
    await world.deliver("crm")
    await world.accept(refund(business_key="o-1", minute=9))
    [work] = await world.deliver("crm")
    assert [sorted(one.milestones) for one in work.enrollments if one.course.key == "ethics"] == [
        ["enrolled", "refunded"]
    ]
    await world.accept(refund(business_key="o-1", minute=9.5))
    assert await world.deliver("crm") == []


async def self_ended(world: World, command: EnrollmentCommand) -> list[Work]:
    await settled(world, command)
    await world.deliver("lms")
    return await world.deliver("crm")


async def test_what_lives_again_is_no_longer_cancelled(world: World):
    """Bought, cancelled and resumed it is enrolled, and nothing else."""
    await self_ended(world, cancel("INTRO", learner=ADA))
    await world.accept(cancel("INTRO", learner=ADA, action=Action.RESUME, minute=30, undoes="all", registration_id=1))
    await world.deliver("lms")
    [work] = await world.deliver("crm")
    assert reached(work) == ["enrolled"]


async def test_what_the_lms_says_has_expired_is_expired(world: World):
    """Until it is bought again."""
    [work] = await settled(world, told("expired", "INTRO"))
    assert reached(work) == ["enrolled", "expired"]


async def test_access_that_ended_by_date_is_expired(world: World):
    """At the end that the registration had."""
    world.catalogue = with_targets(LMS, HEARS)
    await world.accept(buy("INTRO", options=Options(expires_at=at(60))))
    await world.deliver("lms")
    await world.deliver("crm")
    await world.ledger.write(lambda unit: expire(unit, world.catalogue, milliseconds(at(61))))
    await world.deliver("lms")
    [work] = await world.deliver("crm")
    assert work.enrollments[0].milestones[Milestone.EXPIRED] == at(60)


async def test_a_changed_person_is_updated(world: World):
    """On every enrollment of theirs."""
    await settled(world)
    married = update(ADA.model_copy(update={"last_name": "King"}), minute=7)
    await world.accept(married, event=request(received_at=at(10_001)))
    world.now = milliseconds(at(10_002))
    [work] = await world.deliver("crm")
    assert reached(work) == ["enrolled", "updated"]


async def test_a_second_purchase_is_no_change_of_the_person(world: World):
    """A sender repeats who bought with every order; that is no news of them."""
    await settled(world)
    second = buy("ETHICS", order="second", minute=7)
    await world.accept(second, event=request(received_at=at(10_001)))
    world.now = milliseconds(at(10_002))
    await world.deliver("lms")
    [work] = await world.deliver("crm")
    assert [sorted(one.milestones) for one in work.enrollments] == [["enrolled"], ["enrolled"]]


async def test_the_courses_of_a_bundle_always_come_in_one_order(world: World):
    """A CRM is told of the last of them: it must be the same one on every try, and on every database."""
    world.catalogue = with_targets(CRM)
    await world.accept(buy("BUNDLE"))
    [work] = await world.deliver("crm")
    assert [one.course.key for one in work.enrollments] == ["ethics", "intro"]

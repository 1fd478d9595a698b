"""An operator takes the access of a purchase away, or lets it lead elsewhere: level by level, told, undone by moving back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.actions import ActionRefused, Actions
from bridge.contract.catalogue import CourseEntry, ProductEntry
from bridge.contract.command import Action, Item, Options
from bridge.contract.outbound import Receipt, Refs, Refused, TryLater
from bridge.intake.claim import Claim, claim_group
from bridge.intake.replay import prepare, replay
from bridge.jobs.retention import Retention
from bridge.kit.clock import SetClock, SystemClock, milliseconds, moment
from bridge.ledger import replays
from bridge.ledger.story import story
from tests.ledger.rig import (
    BOB,
    CRM,
    LMS,
    SHOP,
    Adapter,
    Course,
    World,
    at,
    buy,
    cancel,
    mapping,
    with_targets,
)

TABLES = ("event", "registration", "grant", "right", "delivery", "effect", "operator_action", "mapping_version")
REFUSED = Refused("no such course", "make it")


def actions(world: World) -> Actions:
    return Actions(world.ledger, lambda: world.catalogue, SetClock(moment(world.now)))


async def cancelled(world: World, *ids: int, **more: Any) -> list[dict[str, Any]]:
    return await actions(world).act("cancel", {"ids": list(ids), **more}, "olga")


async def moved(world: World, registration: int, *to: str, **more: Any) -> dict[str, Any]:
    return await actions(world).act("move", {"registration_id": registration, "to": list(to), **more}, "olga")


async def held(world: World) -> list[Any]:
    return [[tuple(row) for row in await world.rows(f'SELECT * FROM "{table}" ORDER BY 1, 2')] for table in TABLES]


async def bought(world: World, *products: str | Item, **more: Any) -> int:
    [registration] = await world.ids(buy(*products, **more))
    await world.deliver("lms")
    return registration


async def courses(world: World, target: str = "lms") -> dict[int, tuple[int, str]]:
    """Return what is wanted and held of each remote course."""
    rows = await world.rows('SELECT course, wanted, held FROM "right" WHERE target = :t ORDER BY id', t=target)
    return {Course.model_validate_json(row.course).course_id: (row.wanted, row.held) for row in rows}


async def sent(world: World, target: str = "lms", outcome: Any = None) -> list[tuple[str, int]]:
    """Work a lane off; return what was done to which remote course, in order."""
    return [(work.operation.value, work.course.course_id) for work in await world.deliver(target, outcome)]


async def once_more(world: World, *commands: Any, event_id: int = 1) -> Any:
    def work(unit):
        [row] = replays.events(unit, [event_id], None, None, 10)
        return replay(unit, prepare(row, SHOP, Adapter(commands), world.catalogue, world.now), dry_run=False)

    return await world.ledger.write(work)


@pytest.mark.parametrize("order", [None, "o-1"])
async def test_a_cancelled_registration_loses_its_access(world: World, order: str | None):
    """As if its source had cancelled it: the right is let go of, the story tells who did it, and again it changes nothing."""
    registration = await bought(world, "INTRO", order=order)
    before = await held(world)
    dry = await cancelled(world, registration, dry_run=True)
    assert await held(world) == before
    [done] = await cancelled(world, registration, why="paid twice")
    assert dry == [done]
    assert (done["became"], done["before"], done["state"]) == ("cancelled", "active", "cancelling")
    assert [(right["target"], right["remote_course"]) for right in done["taken"]] == [("lms", {"course_id": 1})]
    assert done["opened"] == ("lms",)
    assert await sent(world) == [("revoke", 1)]
    assert await world.state(registration) == "cancelled"
    told = await world.ledger.read(lambda connection: story(connection, str(registration), "registration"))
    assert [(one["action"], one["operator"], one["note"]) for one in told["purchases"][0]["actions"]] == [
        ("cancel", "olga", "paid twice")
    ]
    [again] = await cancelled(world, registration)
    assert (again["became"], again["note"]) == ("unchanged", "it is cancelled already")
    assert await world.counts("operator_action", "event") == {"operator_action": 1, "event": 2}


@pytest.mark.parametrize("order", [None, "o-1"])
async def test_an_older_word_of_the_source_does_not_undo_a_cancellation(world: World, order: str | None):
    """The purchase replayed, or understood late, is older; bought again it is a purchase like any."""
    registration = await bought(world, "INTRO", order=order)
    await cancelled(world, registration)
    await world.deliver("lms")
    told = await once_more(world, buy("INTRO", order=order))
    assert [one["after"] for one in told.effects] == ["older"]
    assert await sent(world) == []
    await world.accept(buy("INTRO", order="o-2" if order else None, minute=20_000))
    assert await sent(world) == [("grant", 1)]


async def test_another_purchase_keeps_the_access_of_a_cancelled_one(world: World):
    """Nothing is taken away, and the answer says what stays."""
    first = await bought(world, "INTRO", order="o-1")
    await bought(world, "INTRO", order="o-2")
    [done] = await cancelled(world, first)
    assert (len(done["kept"]), done["taken"], done["state"]) == (1, (), "cancelled")
    assert await sent(world) == []


async def test_seats_go_with_a_cancelled_order_line(world: World):
    """Whoever claimed one loses what it gave, and the answer names it; cancelled beside it, it is cancelled once."""
    line = await bought(world, Item(remote_product_id="INTRO", quantity=2))
    code = await world.one("SELECT code FROM seat")
    seat = await world.ledger.submit(claim_group, Claim(code, BOB, world.catalogue, world.now))
    await world.deliver("lms")
    done = await cancelled(world, line, seat.registration_id)
    assert done[0]["registrations"] == (seat.registration_id,)
    assert [one["became"] for one in done] == ["cancelled", "unchanged"]
    assert sorted(await sent(world)) == [("revoke", 1), ("revoke", 1)]


async def test_a_source_that_left_the_configuration_can_be_cancelled(world: World):
    """Its purchases stand in the ledger, and so does their access."""
    registration = await bought(world, "INTRO")
    world.catalogue = mapping(sources={}, products={})
    assert [one["became"] for one in await cancelled(world, registration)] == ["cancelled"]
    assert await sent(world) == [("revoke", 1)]


async def test_what_is_not_there_is_left_out(world: World):
    """Of several ids those that exist are cancelled."""
    registration = await bought(world, "INTRO")
    assert [one["registration_id"] for one in await cancelled(world, registration, 999, 2**63 - 1)] == [registration]


async def test_a_moved_registration_is_given_there_first(world: World):
    """The new right is granted before the former is let go of; a look tells the same and changes nothing."""
    registration = await bought(world, "INTRO")
    before = await held(world)
    dry = await moved(world, registration, "ethics", dry_run=True)
    assert await held(world) == before
    done = await moved(world, registration, "ethics", why="wrong course")
    assert dry == done
    assert (done["became"], done["former"], done["courses"]) == ("moved", ("intro",), ("ethics",))
    assert [(right["remote_course"], right["held"]) for right in done["given"]] == [({"course_id": 2}, False)]
    assert [right["remote_course"] for right in done["taken"]] == [{"course_id": 1}]
    assert await world.state(registration) == "pending"
    assert await sent(world) == [("grant", 2), ("revoke", 1)]
    assert await world.state(registration) == "active"
    told = await world.ledger.read(lambda connection: story(connection, str(registration), "registration"))
    [action] = told["purchases"][0]["actions"]
    assert (action["action"], action["operator"], action["note"]) == (
        "move",
        "olga",
        "from intro to ethics: wrong course",
    )


async def test_one_account_of_two_courses_loses_the_former(world: World):
    """The account is the same for both, so that only the course tells whether access was handed on."""
    [registration] = await world.ids(buy("INTRO"))
    user = Receipt(Refs(person={"user": "u-1"}))
    await world.deliver("lms", user)
    await moved(world, registration, "ethics")
    assert await sent(world, outcome=user) == [("grant", 2), ("revoke", 1)]
    assert await courses(world) == {1: (0, "no"), 2: (1, "yes")}


async def test_who_is_not_let_in_there_stays_in_here(world: World):
    """A target that refuses the new course costs nobody the former one."""
    registration = await bought(world, "INTRO")
    await moved(world, registration, "ethics")
    assert await sent(world, outcome=REFUSED) == [("grant", 2)]
    assert await world.state(registration) == "failed"
    assert await courses(world) == {1: (0, "yes"), 2: (1, "no")}
    back = await moved(world, registration, "intro")
    assert [(right["remote_course"], right["held"]) for right in back["given"]] == [({"course_id": 1}, True)]
    assert await world.state(registration) == "active"
    assert await sent(world) == []


async def test_moved_back_everything_is_as_it_was(world: World):
    """Before the new course was given, and after; what is mapped decides again."""
    registration = await bought(world, "INTRO")
    await moved(world, registration, "ethics")
    assert (await moved(world, registration, "intro"))["mapped"]
    assert await sent(world) == []
    await moved(world, registration, "ethics")
    await world.deliver("lms")
    await moved(world, registration, "intro")
    assert await sent(world) == [("grant", 1), ("revoke", 2)]
    assert await courses(world) == {1: (1, "yes"), 2: (0, "no")}
    assert await world.state(registration) == "active"
    other = {**world.catalogue.products, ("shop", "INTRO"): ProductEntry(("year",))}
    world.catalogue = mapping("other", products=other)
    await once_more(world, buy("INTRO"))
    assert await sent(world) == [("revoke", 1), ("grant", 9)]


async def test_a_move_outlasts_replay_renewal_and_requeue(world: World):
    """Whatever is told of the purchase again, it leads where the operator let it lead, and its answer names that course."""
    registration = await bought(world, "INTRO")
    await moved(world, registration, "year")
    await world.deliver("lms")
    await once_more(world, buy("INTRO"))
    assert await sent(world) == []
    again = await world.accept(buy("INTRO", minute=2_000))
    assert [one.product_url for one in again.lines] == [None]
    assert await sent(world) == [("update", 9)]
    assert await courses(world) == {1: (0, "no"), 9: (1, "yes")}
    await moved(world, registration, "ethics")
    await world.deliver("lms", REFUSED)
    [letter] = await actions(world).act("requeue", {"every": True}, "olga")
    assert letter["became"] == "requeued"
    assert await sent(world) == [("grant", 2), ("revoke", 9)]


async def test_a_move_outlasts_the_emptying_of_old_events(world: World):
    """What the sender wrote goes after a while; where an operator let the purchase lead stays."""
    await bought(world, "INTRO")
    await moved(world, 1, "ethics")
    await world.deliver("lms")
    await Retention(world.ledger, lambda: timedelta(days=-36_500), SystemClock()).run()
    assert [row.encoding for row in await world.rows("SELECT encoding FROM event ORDER BY id")] == ["emptied", "utf-8"]
    await world.accept(buy("INTRO", minute=2_000))
    assert await courses(world) == {1: (0, "no"), 2: (1, "yes")}


async def test_a_cancelled_move_leaves_nothing_behind(world: World):
    """Neither the new course nor the former one, whether or not the new one had arrived."""
    registration = await bought(world, "INTRO")
    await moved(world, registration, "ethics")
    await cancelled(world, registration)
    await world.deliver("lms")
    assert await courses(world) == {1: (0, "no"), 2: (0, "no")}
    assert await world.state(registration) == "cancelled"


async def test_a_suspended_registration_is_resumed_where_it_was_moved_to(world: World):
    """While it is suspended nothing is given; and the end of the suspension still counts."""
    registration = await bought(world, "INTRO", order="o-1")
    await world.accept(cancel(business_key="o-1", action=Action.SUSPEND))
    await world.deliver("lms")
    done = await moved(world, registration, "ethics")
    assert (done["given"], done["taken"], done["state"]) == ((), (), "suspended")
    assert await sent(world) == []
    await world.accept(cancel(business_key="o-1", action=Action.RESUME, minute=2))
    assert await sent(world) == [("grant", 2)]
    assert await courses(world) == {1: (0, "no"), 2: (1, "yes")}


async def test_a_bundle_is_moved_course_by_course(world: World):
    """What is named again stays as it is; only the rest changes hands."""
    registration = await bought(world, "BUNDLE")
    done = await moved(world, registration, "intro", "year")
    assert [right["remote_course"] for right in done["taken"]] == [{"course_id": 2}]
    assert sorted(await sent(world)) == [("grant", 9), ("revoke", 2)]
    assert (await moved(world, registration, "year", "intro"))["became"] == "unchanged"


async def test_another_purchase_keeps_the_former_course(world: World):
    """The learner is then in both."""
    first = await bought(world, "INTRO", order="o-1")
    await bought(world, "INTRO", order="o-2")
    done = await moved(world, first, "ethics")
    assert (len(done["kept"]), done["taken"]) == (1, ())
    assert await sent(world) == [("grant", 2)]


async def test_a_move_to_another_target_lets_go_of_the_former(world: World):
    """Where nothing takes its place at the same target, access there is taken away at once."""
    registration = await bought(world, "INTRO")
    await moved(world, registration, "web")
    assert await sent(world) == [("revoke", 1)]
    assert await sent(world, "school") == [("grant", 7)]
    assert await world.state(registration) == "active"


async def test_crms_are_told_of_the_course_that_it_leads_to(world: World):
    """Once the learner is in there, and of no course that was left."""
    world.catalogue = with_targets(LMS, CRM)
    registration = await bought(world, "INTRO")
    await world.deliver("crm")
    await moved(world, registration, "ethics")
    assert await world.deliver("crm") == []
    await world.deliver("lms")
    [work] = await world.deliver("crm")
    assert [(one.course.key, one.state) for one in work.enrollments] == [("ethics", "active")]


async def test_access_ends_when_the_other_course_would_have_ended(world: World):
    """Counted from the purchase, with the end that the sender gave before all others."""
    registration = await bought(world, "INTRO", minute=10_000)
    done = await moved(world, registration, "year")
    assert [right["expires_at"] for right in done["given"]] == [at(10_000) + timedelta(days=365)]
    given = at(50_000)
    [other] = await world.ids(buy("INTRO", who=BOB, order="o-2", options=Options(expires_at=given)))
    assert [right["expires_at"] for right in (await moved(world, other, "year"))["given"]] == [given]


async def test_what_can_not_be_moved_is_refused_with_the_reason(world: World):
    """And nothing is written."""
    registration = await bought(world, "INTRO")
    ended = await bought(world, "ETHICS", who=BOB)
    await cancelled(world, ended)
    over = CourseEntry("over", "Over", duration=timedelta(days=1), tables={"lms": Course(course_id=8)})
    world.catalogue = mapping(courses={**mapping().courses, "over": over})
    world.now += milliseconds(at(0) + timedelta(days=3)) - milliseconds(at(0))
    before = await held(world)
    for number, course, why in (
        (999, "ethics", "there is no registration 999"),
        (registration, "ethic", "there is no course 'ethic'; there are "),
        (ended, "intro", f"registration {ended} is cancelled"),
        (registration, "book", "no target lets anybody into book"),
        (registration, "over", "access to over would have ended on 2026-03-0"),
    ):
        with pytest.raises(ActionRefused, match=why):
            await moved(world, number, course)
    assert await held(world) == before


async def test_an_order_line_of_links_alone_is_not_moved(world: World):
    """Nobody is in by it; who claimed its seats are moved one by one."""
    usual = mapping()
    world.catalogue = replace(
        usual, products={**usual.products, ("shop", "INTRO"): ProductEntry(("intro",), seats="links")}
    )
    line = await bought(world, Item(remote_product_id="INTRO", quantity=2))
    with pytest.raises(ActionRefused, match="move those who claimed them"):
        await moved(world, line, "ethics")
    code = (await world.rows("SELECT code FROM seat ORDER BY id"))[0].code
    seat = await world.ledger.submit(claim_group, Claim(code, BOB, world.catalogue, world.now))
    await world.deliver("lms")
    await moved(world, seat.registration_id, "ethics")
    assert await sent(world) == [("grant", 2), ("revoke", 1)]
    await world.accept(buy(Item(remote_product_id="INTRO", quantity=2), minute=2_000))
    assert await sent(world) == []


async def test_work_under_way_is_not_confused_by_a_move(world: World):
    """A grant that is in flight while its course changes is settled, and then let go of."""
    [registration] = await world.ids(buy("INTRO"))
    [claimed] = await world.claim("lms")
    await moved(world, registration, "ethics")
    await world.settle(claimed)
    await world.deliver("lms", TryLater("busy", cause="busy"))
    assert (await courses(world))[1] == (0, "yes")
    world.now += 60_000
    assert await sent(world) == [("grant", 2), ("revoke", 1)]
    assert await courses(world) == {1: (0, "no"), 2: (1, "yes")}


async def test_an_operators_event_is_not_replayed(world: World):
    """What an operator decided is not understood anew from bytes that nobody sent."""
    registration = await bought(world, "INTRO")
    await moved(world, registration, "ethics")
    told = await once_more(world, event_id=2)
    assert (told.became, told.note) == ("impossible", "it is what an operator decided, and stands")
    of_source = await world.ledger.write(lambda unit: replays.events(unit, [], "shop", "accepted", 10))
    assert [row.id for row in of_source] == [1]

"""Promise 7: access is counted. It ends with the last live grant behind it, and not before."""

from __future__ import annotations

import asyncio

import pytest

from bridge.contract.command import Action
from tests.ledger.rig import ADA, AMS, CRM, LMS, SCHOOL, World, buy, cancel, line, refund, with_targets


@pytest.mark.parametrize("held", [True, False], ids=["after the grant", "before the grant"])
async def test_of_two_orders_for_one_course_one_refund_leaves_the_learner_in(world: World, held: bool):
    """One right stands behind both; refunding one of them takes nothing away at the LMS."""
    one, two = [*await world.ids(buy("INTRO", order="o-1")), *await world.ids(buy("INTRO", order="o-2"))]
    if held:
        assert await world.operations("lms") == ["grant"]
    await world.accept(refund(business_key="o-1"))
    assert await world.wanted() == {"id:shop:ada": 1}
    assert await world.operations("lms") == ([] if held else ["grant"])
    assert [await world.state(one), await world.state(two)] == ["cancelled", "active"]


async def test_the_refund_of_the_last_order_takes_access_away(world: World):
    """Once, and the registrations are cancelled when the LMS has confirmed it."""
    ids = [*await world.ids(buy("INTRO", order="o-1")), *await world.ids(buy("INTRO", order="o-2"))]
    await world.deliver("lms")
    await world.accept(refund(business_key="o-1"))
    await world.accept(refund(business_key="o-2"))
    assert await world.wanted() == {"id:shop:ada": 0}
    assert [await world.state(i) for i in ids] == ["cancelling", "cancelling"]
    assert await world.operations("lms") == ["revoke"]
    assert [await world.state(i) for i in ids] == ["cancelled", "cancelled"]


async def test_a_partial_refund_touches_its_own_line(world: World):
    """Of an order with two courses one is refunded."""
    intro, ethics = await world.ids(buy("INTRO", "ETHICS", order="o-1"))
    await world.deliver("lms")
    await world.accept(refund("ETHICS", full=False, business_key="o-1"))
    sent = await world.deliver("lms")
    assert [(work.operation.value, work.course.course_id) for work in sent] == [("revoke", 2)]
    assert [await world.state(intro), await world.state(ethics)] == ["active", "cancelled"]


async def test_a_partial_refund_tells_two_lines_of_one_product_apart(world: World):
    """By the sender's reference of the line, where there is one."""
    first, second = await world.ids(buy(line("INTRO", "1"), line("INTRO", "2"), order="o-1"))
    await world.accept(refund(line("INTRO", "2"), full=False, business_key="o-1"))
    assert [await world.state(first), await world.state(second)] == ["pending", "cancelled"]
    assert await world.wanted() == {"id:shop:ada": 1}


async def test_a_partial_refund_of_no_line_takes_nothing_away(world: World):
    """Part of the money came back and nobody says for what: it stands in the story and changes no access."""
    [registration] = await world.ids(buy("INTRO", order="o-1"))
    reception = await world.accept(refund(full=False, business_key="o-1"))
    assert reception.kind == "accepted"
    assert await world.state(registration) == "pending"
    assert await world.one("SELECT effect FROM effect WHERE event_id = :id", id=reception.event_id) == "noted"


async def test_a_pending_refund_waits_for_its_final_word(world: World):
    """Pending changes nothing; final takes access away."""
    [registration] = await world.ids(buy("INTRO", order="o-1"))
    await world.accept(refund(pending=True, business_key="o-1"))
    assert await world.state(registration) == "pending"
    await world.accept(refund(business_key="o-1", minute=2))
    assert await world.state(registration) == "cancelled"


async def test_one_account_behind_two_local_learners_is_one_right(world: World):
    """Two namespaces, one address, one LMS that knows people by it: access ends with the last of both."""
    await world.accept(buy("WEB", order="o-1"))
    await world.accept(buy("WEB", who=ADA.model_copy(update={"remote_user_id": "1815"})), source=AMS)
    assert await world.wanted("school") == {"email:ada@example.org": 1}
    assert await world.operations("school") == ["grant"]
    await world.accept(refund(business_key="o-1"))
    assert await world.wanted("school") == {"email:ada@example.org": 1}
    assert await world.operations("school") == []
    await world.accept(cancel("WEB", learner=ADA.model_copy(update={"remote_user_id": "1815"})), source=AMS)
    assert await world.operations("school") == ["revoke"]


async def test_two_of_our_courses_may_be_one_remote_course(world: World):
    """INTRO and AGAIN lead to the same course at the LMS: one right, one grant, counted twice."""
    await world.accept(buy("INTRO", order="o-1"))
    await world.accept(buy("AGAIN", order="o-2"))
    assert await world.operations("lms") == ["grant"]
    await world.accept(refund(business_key="o-1"))
    assert await world.operations("lms") == []
    await world.accept(refund(business_key="o-2"))
    assert await world.operations("lms") == ["revoke"]


async def test_a_bundle_and_its_parts_are_counted_together(world: World):
    """Whoever bought a course alone keeps it when the bundle is refunded."""
    await world.accept(buy("BUNDLE", order="o-1"))
    await world.accept(buy("ETHICS", order="o-2"))
    await world.deliver("lms")
    await world.accept(refund(business_key="o-1"))
    sent = await world.deliver("lms")
    assert [(work.operation.value, work.course.course_id) for work in sent] == [("revoke", 1)]


async def test_a_suspension_takes_access_away_and_a_resumption_gives_it_back(world: World):
    """For as long as a subscription is unpaid."""
    [registration] = await world.ids(buy("BUNDLE", order="o-1"))
    await world.deliver("lms")
    await world.accept(cancel(action=Action.SUSPEND, business_key="o-1", minute=1))
    assert await world.operations("lms") == ["revoke", "revoke"]
    assert await world.state(registration) == "suspended"
    await world.accept(cancel(action=Action.RESUME, business_key="o-1", minute=2))
    assert await world.operations("lms") == ["grant", "grant"]
    assert await world.state(registration) == "active"


async def test_each_work_names_the_registration_it_is_for(world: World):
    """A cancelled order of two lines: every revocation goes out for its own line."""
    intro, ethics = await world.ids(buy("INTRO", "ETHICS", order="o-1"))
    await world.deliver("lms")
    await world.accept(cancel(business_key="o-1"))
    causes = {
        row.right_id: row.registration_id
        for row in await world.rows("SELECT right_id, registration_id FROM delivery WHERE state = 'open'")
    }
    grants = {
        row.right_id: row.registration_id for row in await world.rows('SELECT right_id, registration_id FROM "grant"')
    }
    assert causes == grants
    assert set(causes.values()) == {intro, ethics}


async def test_a_course_at_two_lms_is_cancelled_when_both_let_go(world: World):
    """And active when both let in."""
    world.catalogue = with_targets(LMS, SCHOOL, CRM)
    [registration] = await world.ids(buy("BOTH", order="o-1"))
    states = []
    for target in ("lms", "school"):
        await world.deliver(target)
        states.append(await world.state(registration))
    await world.accept(cancel(business_key="o-1"))
    for target in ("lms", "school"):
        await world.deliver(target)
        states.append(await world.state(registration))
    assert states == ["pending", "active", "cancelling", "cancelled"]


async def test_two_bridges_that_take_the_last_two_orders_back_at_once_end_access(pair: tuple[World, World]):
    """Neither of two machines sees the other's cancellation yet; the right is judged by both together all the same."""
    for n in range(15):
        who = ADA.model_copy(update={"remote_user_id": f"u{n}"})
        await pair[0].accept(buy("INTRO", who=who, order=f"a-{n}"), buy("INTRO", who=who, order=f"b-{n}"))
        await asyncio.gather(
            pair[0].accept(cancel(business_key=f"a-{n}")), pair[1].accept(cancel(business_key=f"b-{n}"))
        )
    assert set((await pair[0].wanted()).values()) == {0}


async def test_two_bridges_that_give_and_take_at_once_leave_the_buyer_in(pair: tuple[World, World]):
    """One machine cancels the old order while the other accepts a new one: whoever has paid is wanted."""
    for n in range(25):
        who = ADA.model_copy(update={"remote_user_id": f"u{n}"})
        await pair[0].accept(buy("INTRO", who=who, order=f"a-{n}"))
        await asyncio.gather(
            pair[0].accept(cancel(business_key=f"a-{n}")), pair[1].accept(buy("INTRO", who=who, order=f"b-{n}"))
        )
    assert set((await pair[0].wanted()).values()) == {1}

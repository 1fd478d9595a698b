"""Who is in a LearnDash course: what its answers tell of it, and what they do not."""

from __future__ import annotations

import aiohttp
import pytest

from bridge.contract.outbound import NeedsOperator, Operation
from connectors.outbound.learndash.faults import ERRORS_HERE
from connectors.sandbox.learndash import Course, LearnDash
from tests.connectors.outbound.learndash_rig import CYD, grants, receipt, rig_for
from tests.suites.outbound import ADA, BOB, Rig


@pytest.fixture
async def site():
    async with LearnDash() as emulator:
        yield emulator


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def rig(site, session) -> Rig:
    return rig_for(site, session)


async def test_who_is_in_already_stays_in(site, rig) -> None:
    """The answer calls it a failure and says why: that is as good as done."""
    site.courses[42].members.append(site.add_user(str(ADA.email)).id)
    receipt(await rig.do(Operation.GRANT))
    assert site.courses[42].members == [11]
    assert len(site.journal) == 2


@pytest.mark.parametrize("unknown", [False, True])
async def test_who_is_in_many_courses_is_in_the_eleventh_too(site, rig, unknown) -> None:
    """The list of a user's courses ends after ten, so that what it does not show proves nothing."""
    ada = site.add_user(str(ADA.email))
    site.courses = {number: Course(number, members=[ada.id]) for number in [*range(1, 13), 42]}
    receipt(await rig.do(Operation.GRANT, unknown=unknown))
    assert site.courses[42].members == [ada.id]


async def test_a_list_with_further_pages_is_read_to_the_end(site, rig) -> None:
    """As from LearnDash 5.0 on."""
    ada = site.add_user(str(ADA.email))
    site.pages = True
    site.courses = {number: Course(number, members=[ada.id]) for number in [*range(100, 220), 42]}
    receipt(await rig.do(Operation.GRANT, unknown=True))
    assert [seen.query.get("page") for seen in site.journal if seen.path.endswith("/courses")] == ["1", "2"]
    assert {seen.method for seen in site.journal} == {"GET"}


async def test_an_administrator_is_in_every_course(site, rig) -> None:
    """Where LearnDash is set so, nothing is to be given, and nothing can be taken away: somebody is told."""
    site.staff_is_in = True
    site.add_user(str(ADA.email), roles=["administrator"])
    receipt(await rig.do(Operation.GRANT))
    outcome = await rig.do(Operation.REVOKE)
    assert isinstance(outcome, NeedsOperator)
    assert "role of an administrator" in outcome.remedy
    assert site.courses[42].members == []


@pytest.mark.parametrize("operation", [Operation.GRANT, Operation.REVOKE])
async def test_a_course_that_is_open_to_everybody_is_for_a_person(site, rig, operation) -> None:
    """LearnDash changes nothing about who is in it."""
    site.add_user(str(ADA.email))
    site.courses[42].price_type = "open"
    outcome = await rig.do(operation)
    assert isinstance(outcome, NeedsOperator)
    assert outcome.why.startswith(ERRORS_HERE["open-course"].sentence)
    assert (outcome.scope, outcome.refs.person) == ("delivery", {"user": "11"})


async def test_a_course_of_a_batch_that_can_not_be_changed_holds_no_other_up(site, rig) -> None:
    """Each course is a call of its own."""
    site.courses[42].price_type = "open"
    works = [*grants(rig, ADA, BOB), *grants(rig, CYD, table={"course_id": 43})]
    first, second, third = await rig.deliver(works)
    assert isinstance(first, NeedsOperator)
    assert isinstance(second, NeedsOperator)
    receipt(third)
    assert rig.live() == [("cyd+school@example.org", "course:43")]


async def test_a_user_who_vanished_before_the_look_is_for_a_person(site, rig) -> None:
    """By the code of LearnDash 5.0; nobody is found anew whom this very try had found."""
    site.tells = False
    body = {"code": "learndash_rest_invalid_user_id", "message": "Invalid User ID.", "data": {"status": 404}}
    site.now_fails("status", status=404, body=body, path="/ldlms/v2/users/")
    outcome = await rig.do(Operation.GRANT)
    assert isinstance(outcome, NeedsOperator)
    assert outcome.why.startswith(ERRORS_HERE["no-such-user"].sentence)


async def test_a_plug_in_that_does_not_say_what_it_did_is_asked(site, rig) -> None:
    """Letting in and shutting out are both confirmed by a look."""
    site.tells = False
    granted = receipt(await rig.do(Operation.GRANT))
    receipt(await rig.do(Operation.REVOKE, refs=granted.refs))
    assert rig.live() == []
    site.courses[42].full = True
    outcome = await rig.do(Operation.GRANT)
    assert isinstance(outcome, NeedsOperator)
    assert outcome.why.startswith(ERRORS_HERE["not-in"].sentence)


async def test_who_is_in_through_a_group_can_not_be_shut_out(site, rig) -> None:
    """And somebody is told."""
    site.courses[42].grouped.add(site.add_user(str(ADA.email)).id)
    outcome = await rig.do(Operation.REVOKE)
    assert isinstance(outcome, NeedsOperator)
    assert "group" in outcome.remedy


async def test_revoking_what_was_never_held_makes_nobody(site, rig) -> None:
    """Neither an unknown person nor an unknown course is a fault."""
    assert "not enrolled" in receipt(await rig.do(Operation.REVOKE)).note
    site.add_user(str(ADA.email))
    receipt(await rig.do(Operation.REVOKE))
    assert "course is gone" in receipt(await rig.do(Operation.REVOKE, table={"course_id": 99})).note
    assert len(site.users) == 1

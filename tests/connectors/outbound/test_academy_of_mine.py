"""Academy of Mine as a target: the suite for each kind of course table, then what only Academy of Mine does."""

from __future__ import annotations

import json
from typing import ClassVar

import aiohttp
import pytest

from bridge.contract.command import Learner
from bridge.contract.outbound import NeedsOperator, Operation, Refs, Refused, Terms, TryLater
from connectors.sandbox.academy_of_mine import KEY, AcademyOfMine
from tests.connectors.outbound.academy_of_mine_rig import CYD, calls, receipt, rig_for
from tests.suites.outbound import ADA, BOB, LmsSuite, Rig


class TestCourse(LmsSuite):
    """A course: search, create, enroll, look up the enrollment."""

    type = "academy_of_mine"
    course: ClassVar = {"course_id": 42}
    missing: ClassVar = {"course_id": 199}
    requests = 4


class TestCourseRemoving(LmsSuite):
    """A cancellation removes the learner."""

    type = "academy_of_mine"
    target: ClassVar = {"revoke": "remove"}
    course: ClassVar = {"course_id": "42"}
    requests = 4


class TestLearningPath(LmsSuite):
    """A learning path: as a course, through other addresses, and nothing but removal."""

    type = "academy_of_mine"
    course: ClassVar = {"learning_path_id": 7}
    missing: ClassVar = {"learning_path_id": "199"}
    requests = 4


class TestMembership(LmsSuite):
    """A membership: search, create, give."""

    type = "academy_of_mine"
    course: ClassVar = {"membership_id": 3}
    missing: ClassVar = {"membership_id": 199}
    requests = 3


class TestPortal(LmsSuite):
    """A portal's learner: search, create, add to the portal, enroll, look up the enrollment."""

    type = "academy_of_mine"
    target: ClassVar = {"portal_id": 5}
    course: ClassVar = {"course_id": 42}
    requests = 5


class TestOrders(LmsSuite):
    """With an order for each purchase: search, create, enroll, look up, look for the order, make it."""

    type = "academy_of_mine"
    target: ClassVar = {"orders": {"products": {"ABCD1234": 7}, "currency": "EUR"}, "disable_user": True}
    course: ClassVar = {"course_id": 42}
    missing: ClassVar = {"course_id": 199}
    requests = 6


@pytest.fixture
async def school():
    async with AcademyOfMine() as emulator:
        yield emulator


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def rig(school, session) -> Rig:
    return rig_for(school, session)


async def test_a_cold_grant_sends_the_documented_fields(school, rig) -> None:
    """Search, create with a password that nobody knows, enroll, look up."""
    granted = receipt(await rig.do(Operation.GRANT, CYD))
    search, create, enroll, courses = school.journal
    assert search.query == {"search_term": CYD.email, "remote_user_search": "true"}
    assert {**create.query, "password": "x"} == {
        "firstName": "Cyd & Sons",
        "lastName": "Curie",
        "email": CYD.email,
        "password": "x",
    }
    assert len(create.query["password"]) >= 24
    assert enroll.json == {"studentIds": [501]}
    assert enroll.headers["Authorization"] == f"Bearer {KEY}"
    assert {"user_id": "501", "portalId": "-1", "viewType": "manage", "manage_course": "false"}.items() <= (
        courses.query.items()
    )
    assert granted.refs == Refs({"user": "501"}, {"enrollment": "9001"})


async def test_the_password_is_nowhere_in_the_record(school, rig) -> None:
    """Nor is a name that has an ampersand in it, nor an address."""
    _, story = await rig.told(Operation.GRANT, CYD)
    kept = json.dumps([(item.url, item.sent, item.answer) for item in story])
    for word in (school.journal[1].query["password"], "Cyd", "Sons", "Curie", "cyd+school"):
        assert word not in kept


async def test_every_new_account_gets_another_password(school, rig) -> None:
    """One that leaks opens one door at most."""
    await rig.connector.deliver([rig.work(Operation.GRANT, ADA), rig.work(Operation.GRANT, BOB)])
    words = [seen.query["password"] for seen in school.journal if "password" in seen.query]
    assert len(set(words)) == 2


async def test_only_the_exact_address_is_the_same_person(school, rig) -> None:
    """The search finds parts of addresses, and the case does not matter."""
    school.add_user("not-bob@example.org")
    bob = school.add_user("BOB@Example.org")
    granted = receipt(await rig.do(Operation.GRANT, BOB))
    assert granted.refs.person == {"user": str(bob.id)}
    assert len(school.users) == 2


@pytest.mark.parametrize(
    "body",
    [
        {"users": [{"value": 501, "label": "Bob Babbage (bob@example.org)"}]},
        {"3": {"id": "501", "name": "Bob", "email": "bob@example.org"}},
        {"data": [{"id": 501, "user_email": "bob@example.org"}]},
    ],
)
async def test_the_search_may_answer_in_any_of_the_vendors_lists(school, rig, body) -> None:
    """The reference does not print this answer."""
    school.add_user("bob@example.org")
    school.now_fails("status", status=200, body=body, path="/users/lookup")
    assert receipt(await rig.do(Operation.GRANT, BOB)).refs.person == {"user": "501"}


async def test_an_empty_search_answer_is_nobody(school, rig) -> None:
    """As the reference shows it: an empty object."""
    school.now_fails("status", status=200, body={}, path="/users/lookup")
    receipt(await rig.do(Operation.GRANT, BOB))
    assert len(school.users) == 1


async def test_an_address_that_the_search_showed_too_late_is_found_after_all(school, rig) -> None:
    """The target refuses a second account; the person gets in with the first."""
    school.add_user(str(BOB.email))
    school.now_fails("status", status=200, body=[], path="/users/lookup", times=1)
    granted = receipt(await rig.do(Operation.GRANT, BOB, terms=Terms(send_email=True)))
    assert granted.refs.person == {"user": "501"}
    assert school.users[501].mails == 0


async def test_a_learner_without_a_name_still_gets_in(school, rig) -> None:
    """The reference requires both names."""
    receipt(await rig.do(Operation.GRANT, Learner(email="nameless@example.org")))
    (user,) = school.users.values()
    assert (user.first_name, user.last_name) == ("nameless", "-")


async def test_a_known_user_needs_no_search(school, rig) -> None:
    """The remembered id is enough for a second course."""
    first = receipt(await rig.do(Operation.GRANT))
    school.journal.clear()
    receipt(await rig.do(Operation.GRANT, refs=Refs(first.refs.person), table={"course_id": 43}))
    assert calls(school)["GET /users/lookup"] == 0
    assert rig.live() == [("ada.lovelace@example.org", "course:42"), ("ada.lovelace@example.org", "course:43")]


@pytest.mark.parametrize("table", [{"course_id": 42}, {"learning_path_id": 7}, {"membership_id": 3}])
@pytest.mark.parametrize("operation", list(Operation)[:3])
async def test_a_stale_user_id_is_looked_up_again(school, rig, table, operation) -> None:
    """Somebody deleted the account and made another one."""
    await rig.do(Operation.GRANT, table=table)
    outcome = receipt(await rig.do(operation, refs=Refs({"user": "77"}), table=table))
    assert outcome.refs.person == {"user": "501"}
    assert len(school.users) == 1
    assert len(rig.live()) == (0 if operation is Operation.REVOKE else 1)


async def test_an_enrollment_on_a_later_page_is_found(school, rig) -> None:
    """A site may give fewer rows a page than it is asked for."""
    school.largest_page = 2
    ada = school.add_user(str(ADA.email))
    rows = [school.add_enrollment(ada, of) for of in (1, 2, 3, 4, 42)]
    granted = receipt(await rig.do(Operation.GRANT))
    assert granted.refs.right == {"enrollment": str(rows[-1].id)}
    assert calls(school)["GET /users/enrolled-courses"] == 3
    assert calls(school)["POST /courses/42/enroll"] == 0


async def test_revoked_access_is_granted_again_and_the_progress_stays(school, rig) -> None:
    """The same enrollment, not another one."""
    first = receipt(await rig.do(Operation.GRANT))
    receipt(await rig.do(Operation.REVOKE, refs=first.refs))
    assert [(held.remote_id, held.live) for held in school.holdings()] == [("9001", False)]
    again = receipt(await rig.do(Operation.GRANT))
    assert again.refs.right == {"enrollment": "9001"}
    assert school.journal[-1].path.endswith("/courses/42/grant-access")
    assert school.journal[-1].json == {"enrollmentIds": [9001]}


async def test_a_removed_learner_is_gone_from_the_course(school, session) -> None:
    """``revoke = "remove"``."""
    rig = rig_for(school, session, revoke="remove")
    first = receipt(await rig.do(Operation.GRANT))
    receipt(await rig.do(Operation.REVOKE, refs=first.refs))
    assert school.holdings() == []
    assert school.journal[-1].path.endswith("/courses/42/remove-learners")


@pytest.mark.parametrize("table", [{"course_id": 42}, {"learning_path_id": 7}])
async def test_revoking_what_was_never_held_says_so(school, rig, table) -> None:
    """Neither an unknown person nor an unknown enrollment is a fault, and nobody is created."""
    assert "not enrolled" in receipt(await rig.do(Operation.REVOKE, table=table)).note
    assert school.users == {}
    school.add_user(str(ADA.email))
    assert "not enrolled" in receipt(await rig.do(Operation.REVOKE, table=table)).note


async def test_an_enrollment_that_was_made_anew_at_the_target_is_the_one_that_is_revoked(school, rig) -> None:
    """A remembered enrollment id touches nobody: the list tells which one counts."""
    granted = receipt(await rig.do(Operation.GRANT))
    del school.enrollments[9001]
    school.add_enrollment(school.users[501], 42)
    revoked = receipt(await rig.do(Operation.REVOKE, refs=granted.refs))
    assert revoked.refs.right == {"enrollment": "9002"}
    assert rig.live() == []


async def test_a_changed_address_changes_the_user_and_leaves_the_rest_as_it_was(school, rig) -> None:
    """By id; ``disabled`` goes back as it was read."""
    granted = receipt(await rig.do(Operation.GRANT))
    school.users[501].disabled = True
    moved = ADA.model_copy(update={"email": "ada@king.example.org", "first_name": ""})
    updated = receipt(await rig.do(Operation.UPDATE, moved, refs=granted.refs))
    ada = school.users[501]
    assert (ada.email, ada.first_name, ada.last_name, ada.disabled) == ("ada@king.example.org", "Ada", "Lovelace", True)
    assert len(school.users) == 1
    assert updated.refs == granted.refs


async def test_an_address_that_has_an_account_already_is_refused_with_a_remedy(school, rig) -> None:
    """Merging two people is not for a machine."""
    granted = receipt(await rig.do(Operation.GRANT))
    school.add_user(str(BOB.email))
    moved = ADA.model_copy(update={"email": BOB.email})
    outcome = await rig.do(Operation.UPDATE, moved, refs=granted.refs)
    assert isinstance(outcome, Refused)
    assert "merge" in outcome.remedy
    assert outcome.refs.person == {"user": "501"}


async def test_a_mail_goes_out_once_and_only_for_a_new_account(school, rig) -> None:
    """Each mail makes a new password, so a retry sends none."""
    school.now_fails("status", status=503, path="/enroll", times=1, method="POST")
    assert isinstance(await rig.do(Operation.GRANT, terms=Terms(send_email=True)), TryLater)
    receipt(await rig.do(Operation.GRANT, terms=Terms(send_email=True)))
    receipt(await rig.do(Operation.GRANT, terms=Terms(send_email=True), table={"course_id": 43}))
    assert school.users[501].mails == 1


@pytest.mark.parametrize("mode", ["lost", "status"])
async def test_a_mail_that_fails_does_not_make_the_grant_fail(school, rig, mode) -> None:
    """The person is in; the note tells the operator."""
    school.now_fails(mode, path="resend")
    granted = receipt(await rig.do(Operation.GRANT, terms=Terms(send_email=True)))
    assert "mail" in granted.note
    assert len(rig.live()) == 1


async def test_a_learning_path_is_taken_away_though_the_target_has_an_older_address(school, rig) -> None:
    """The narrowed list does not show the person; the whole list does."""
    granted = receipt(await rig.do(Operation.GRANT, table={"learning_path_id": 7}))
    moved = ADA.model_copy(update={"email": "ada@king.example.org"})
    receipt(await rig.do(Operation.REVOKE, moved, refs=Refs(granted.refs.person), table={"learning_path_id": 7}))
    assert rig.live() == []


async def test_a_learning_path_that_staff_took_away_needs_a_person(school, rig) -> None:
    """Its API can not give access back."""
    school.add_enrollment(school.add_user(str(ADA.email)), 7, "learning_path").allowed = False
    assert isinstance(await rig.do(Operation.GRANT, table={"learning_path_id": 7}), NeedsOperator)

"""Canvas as a target: the suite for each way to know people and to end an enrollment, then what only Canvas does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import ClassVar

import aiohttp
import pytest

from bridge.contract.command import Learner
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refs, Refused, Terms, TryLater
from connectors.sandbox.canvas import TOKEN, Canvas
from tests.connectors.outbound.canvas_rig import ADA_LOGIN, receipt, rig_for
from tests.suites.outbound import ADA, BOB, LmsSuite, Rig

END = datetime(2031, 10, 3, 23, 59, 59, tzinfo=UTC)
LATER = Terms(expires_at=END)


class TestLogin(LmsSuite):
    """People known by login and e-mail: look up, search, create, enroll."""

    type = "canvas"
    course: ClassVar = {"course_id": 42}
    missing: ClassVar = {"course_id": 99}
    requests = 4


class TestSisIds(LmsSuite):
    """People and courses known by SIS id."""

    type = "canvas"
    target: ClassVar = {"sis_user_id": "p-{learner.remote_user_id}", "account_id": "sis_account_id:school"}
    course: ClassVar = {"course_id": "sis_course_id:PY101"}
    missing: ClassVar = {"course_id": "sis_course_id:NONE"}
    requests = 5


class TestSection(LmsSuite):
    """A section with a custom role; a cancellation concludes."""

    type = "canvas"
    target: ClassVar = {"revoke": "conclude"}
    course: ClassVar = {"course_id": 42, "section_id": "sis_section_id:PY101-B", "role_id": 19}
    missing: ClassVar = {"course_id": 42, "section_id": 999}
    requests = 4


class TestDeleting(LmsSuite):
    """A cancellation deletes."""

    type = "canvas"
    target: ClassVar = {"revoke": "delete"}
    course: ClassVar = {"course_id": 42}
    requests = 4


@pytest.fixture
async def school():
    async with Canvas() as emulator:
        yield emulator


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def rig(school, session) -> Rig:
    return rig_for(school, session)


async def test_a_cold_grant_sends_the_documented_fields(school, rig) -> None:
    """Login, search, create without asking for confirmation, enroll at once."""
    granted = receipt(await rig.do(Operation.GRANT))
    login, search, create, enroll = school.journal
    assert login.path == f"/api/v1/users/sis_login_id:{ADA.email}"
    assert search.query == {"search_term": ADA.email, "include[]": "email", "per_page": "100"}
    assert create.path == "/api/v1/accounts/self/users"
    assert create.json == {
        "user": {"name": "Ada Lovelace", "skip_registration": True},
        "pseudonym": {"unique_id": ADA.email},
        "communication_channel": {"type": "email", "address": ADA.email, "skip_confirmation": True},
    }
    assert enroll.json == {
        "enrollment": {"user_id": "100", "type": "StudentEnrollment", "enrollment_state": "active"},
    }
    assert enroll.headers["Authorization"] == f"Bearer {TOKEN}"
    assert granted == Receipt(Refs({"user": "100"}, {"enrollment": "500"}))


async def test_with_a_sis_id_a_user_is_made_under_it(school, session) -> None:
    """Keyed by it, in the account and with the login provider of the settings, and revived where it was deleted."""
    rig = rig_for(school, session, sis_user_id="p-{learner.remote_user_id}", authentication_provider="saml")
    school.add_user("old", "old@example.org", sis_user_id="p-4711", deleted=True)
    granted = receipt(await rig.do(Operation.GRANT, terms=Terms(send_email=True)))
    create = school.journal[3].json
    assert create["pseudonym"] == {
        "unique_id": ADA.email,
        "sis_user_id": "p-4711",
        "authentication_provider_id": "saml",
        "send_confirmation": True,
    }
    assert create["enable_sis_reactivation"] is True
    assert granted.refs.person == {"user": "100"}
    assert school.users[100].mailed
    assert school.enrollments[500].notified


async def test_a_sis_id_that_canvas_left_out_is_noted(school, session) -> None:
    """The token lacks the right, and Canvas does not say so; the person gets in, now and the next time."""
    rig = rig_for(school, session, sis_user_id="p-{learner.remote_user_id}")
    school.denied = {"manage_sis"}
    assert "SIS id" in receipt(await rig.do(Operation.GRANT)).note
    receipt(await rig.do(Operation.GRANT))
    assert len(school.users) == 1


@pytest.mark.parametrize(
    ("login", "email"),
    [(ADA_LOGIN.upper(), None), ("alovelace", ADA_LOGIN), (ADA_LOGIN, "other@example.org")],
)
async def test_somebody_who_has_a_user_gets_no_second_one_and_stays_as_they_are(school, rig, login, email) -> None:
    """Found by login or by address; neither name nor locale nor suspension is touched by a grant."""
    user = school.add_user(login, email, "Countess", suspended=True)
    assert receipt(await rig.do(Operation.GRANT)).refs.person == {"user": "100"}
    assert list(school.users.values()) == [user]
    assert (user.name, user.locale, user.suspended, user.login) == ("Countess", "fr", True, login)
    assert not [seen for seen in school.journal if seen.method == "PUT"]


async def test_only_the_exact_address_is_the_same_person(school, rig) -> None:
    """The search finds parts of addresses, on later pages, too."""
    school.largest_page = 1
    for name in ("not-", "x-", "zz-"):
        school.add_user(f"{name}user", f"{name}bob@example.org")
    bob = school.add_user("bobby", "BOB@example.org")
    assert receipt(await rig.do(Operation.GRANT, BOB)).refs.person == {"user": str(bob.id)}


async def test_two_users_with_one_address_are_for_a_person(school, rig) -> None:
    """Which of them has paid, nobody can tell."""
    school.add_user("a", ADA_LOGIN)
    school.add_user("b", ADA_LOGIN)
    outcome = await rig.do(Operation.GRANT)
    assert isinstance(outcome, NeedsOperator)
    assert "100, 101" in outcome.why
    assert rig.live() == []


async def test_a_user_under_another_sis_id_is_a_conflict(school, session) -> None:
    """One without is the learner, unless the settings say otherwise; a revocation of either touches nobody."""
    rig = rig_for(school, session, sis_user_id="p-{learner.remote_user_id}", adopt_existing=False)
    user = school.add_user(ADA_LOGIN, sis_user_id="S-1")
    school.add_enrollment(user)
    assert "another SIS id" in getattr(await rig.do(Operation.GRANT), "why", "")
    user.sis_user_id = None
    assert "without a SIS id" in getattr(await rig.do(Operation.GRANT), "why", "")
    receipt(await rig.do(Operation.REVOKE))
    assert len(rig.live()) == 1
    adopting = rig_for(school, session, sis_user_id="p-{learner.remote_user_id}")
    receipt(await adopting.do(Operation.GRANT))
    assert user.sis_user_id is None


async def test_a_login_that_was_taken_meanwhile_is_looked_up_again(school, rig) -> None:
    """Another system was faster; the person gets in with that user."""
    school.add_user(ADA_LOGIN)
    missing = {"errors": [{"message": "The specified resource does not exist."}]}
    school.now_fails("status", status=404, body=missing, path="sis_login_id", times=1)
    school.now_fails("status", status=200, body=[], path="/accounts/self/users", method="GET", times=1)
    assert receipt(await rig.do(Operation.GRANT)).refs.person == {"user": "100"}


async def test_a_login_that_is_taken_by_nobody_who_can_be_seen_is_for_a_person(school, session) -> None:
    """It is not made up another one."""
    rig = rig_for(school, session, login="{learner.first_name}")
    school.add_user("Ada", "x@example.org")
    missing = {"errors": [{"message": "The specified resource does not exist."}]}
    school.now_fails("status", status=404, body=missing, path="sis_login_id")
    assert "in use at Canvas" in getattr(await rig.do(Operation.GRANT), "why", "")


async def test_a_user_whose_enrolling_failed_is_remembered(school, rig) -> None:
    """Were it forgotten, another one would be made once the address has changed."""
    school.now_fails("lost", path="/enrollments", times=1)
    lost = await rig.do(Operation.GRANT)
    assert isinstance(lost, TryLater)
    assert (lost.applied, lost.refs.person) == ("unknown", {"user": "100"})
    moved = ADA.model_copy(update={"email": "ada@king.example.org"})
    receipt(await rig.do(Operation.GRANT, moved, refs=lost.refs, unknown=True))
    assert (len(school.users), len(rig.live())) == (1, 1)


async def test_a_stale_user_id_is_looked_up_again(school, rig) -> None:
    """Somebody deleted the user and made another one."""
    for operation in (Operation.GRANT, Operation.UPDATE):
        assert receipt(await rig.do(operation, refs=Refs({"user": "77"}))).refs.person == {"user": "100"}
    receipt(await rig.do(Operation.REVOKE, refs=Refs({"user": "77"}, {"enrollment": "5"})))
    assert rig.live() == []
    assert len(school.users) == 1


async def test_a_course_that_is_gone_makes_nobody_a_second_user(school, rig) -> None:
    """The remembered user is asked for before somebody new is made under a changed address."""
    granted = receipt(await rig.do(Operation.GRANT))
    moved = ADA.model_copy(update={"email": "ada@king.example.org"})
    for operation in (Operation.GRANT, Operation.UPDATE):
        outcome = await rig.do(operation, moved, refs=granted.refs, table={"course_id": 9_999})
        assert isinstance(outcome, NeedsOperator)
        assert outcome.refs.person == {"user": "100"}
    revoked = receipt(await rig.do(Operation.REVOKE, moved, refs=granted.refs, table={"course_id": 9_999}))
    assert revoked.refs.person == {"user": "100"}
    assert len(school.users) == 1


async def test_an_end_goes_out_with_a_start_and_is_moved_and_removed(school, rig) -> None:
    """At Canvas one without the other does not count; left out, both are cleared."""
    granted = receipt(await rig.do(Operation.GRANT, terms=LATER))
    row = school.enrollments[500]
    began = row.start_at
    assert began is not None
    assert row.end_at == "2031-10-03T23:59:59Z"
    receipt(await rig.do(Operation.UPDATE, refs=granted.refs, terms=Terms(expires_at=END + timedelta(days=1))))
    assert (row.start_at, row.end_at) == (began, "2031-10-04T23:59:59Z")
    receipt(await rig.do(Operation.UPDATE, refs=granted.refs))
    assert (row.start_at, row.end_at) == (None, None)
    assert len(school.enrollments) == 1


async def test_an_expired_enrollment_is_extended(school, rig) -> None:
    """Its state at Canvas stays active; only the dates are over."""
    row = school.add_enrollment(
        school.add_user(ADA_LOGIN), start_at="2020-01-01T00:00:00Z", end_at="2020-02-01T00:00:00Z"
    )
    assert rig.live() == []
    receipt(await rig.do(Operation.UPDATE, refs=Refs({"user": "100"}, {"enrollment": "500"}), terms=LATER))
    assert rig.live() == [(ADA_LOGIN, "course:42")]
    assert row.start_at == "2020-01-01T00:00:00Z"


async def test_who_is_in_the_course_already_is_left_there(school, rig) -> None:
    """In whichever section: neither a second enrollment nor a request that changes anything."""
    row = school.add_enrollment(school.add_user(ADA_LOGIN), 421)
    assert receipt(await rig.do(Operation.GRANT)).refs.right == {"enrollment": str(row.id)}
    assert {seen.method for seen in school.journal} == {"GET"}
    receipt(await rig.do(Operation.GRANT, terms=LATER))
    assert (len(school.enrollments), row.section, row.end_at) == (1, 421, "2031-10-03T23:59:59Z")


@pytest.mark.parametrize("state", ["inactive", "completed", "invited", "deleted", "rejected"])
async def test_an_ended_enrollment_comes_back_with_a_new_purchase(school, rig, state) -> None:
    """The same one, with its grades."""
    row = school.add_enrollment(school.add_user(ADA_LOGIN), state=state)
    assert receipt(await rig.do(Operation.GRANT, terms=LATER)).refs.right == {"enrollment": str(row.id)}
    assert rig.live() == [(ADA_LOGIN, "course:42")]
    assert len(school.enrollments) == 1


async def test_a_deactivated_enrollment_is_reactivated(school, rig) -> None:
    """By the call that Canvas has for it."""
    school.add_enrollment(school.add_user(ADA_LOGIN), state="inactive")
    receipt(await rig.do(Operation.GRANT))
    assert school.journal[-1].path == "/api/v1/courses/42/enrollments/500/reactivate"


@pytest.mark.parametrize("state", ["inactive", "completed", "deleted"])
async def test_an_update_does_not_undo_what_staff_ended(school, rig, state) -> None:
    """A changed name is no reason to let somebody back in, but it follows."""
    granted = receipt(await rig.do(Operation.GRANT))
    school.enrollments[500].state = state
    married = ADA.model_copy(update={"last_name": "King"})
    assert "left so" in receipt(await rig.do(Operation.UPDATE, married, refs=granted.refs)).note
    assert rig.live() == []
    assert school.users[100].name == "Ada King"


async def test_an_update_writes_what_differs_and_nothing_else(school, rig) -> None:
    """Name and address, the display name only where nobody chose one; the login stays."""
    granted = receipt(await rig.do(Operation.GRANT))
    school.journal.clear()
    receipt(await rig.do(Operation.UPDATE, refs=granted.refs))
    assert {seen.method for seen in school.journal} == {"GET"}
    moved = ADA.model_copy(update={"last_name": "King", "email": "ada@king.example.org"})
    receipt(await rig.do(Operation.UPDATE, moved, refs=granted.refs))
    user = school.users[100]
    assert school.journal[-1].json == {
        "user": {"name": "Ada King", "short_name": "Ada King", "email": "ada@king.example.org"}
    }
    assert user.login == ADA.email
    user.short_name = "Countess"
    receipt(await rig.do(Operation.UPDATE, ADA.model_copy(update={"email": user.email}), refs=granted.refs))
    assert school.journal[-1].json == {"user": {"name": "Ada Lovelace"}}
    half = ADA.model_copy(update={"email": user.email, "first_name": ""})
    receipt(await rig.do(Operation.UPDATE, half, refs=granted.refs))
    assert (user.name, user.short_name) == ("Ada Lovelace", "Countess")


@pytest.mark.parametrize(
    ("revoke", "state"), [("deactivate", "inactive"), ("conclude", "completed"), ("delete", "deleted")]
)
async def test_a_revocation_does_what_the_settings_say(school, session, revoke, state) -> None:
    """And asks for it by its name: left out, Canvas concludes."""
    rig = rig_for(school, session, revoke=revoke)
    granted = receipt(await rig.do(Operation.GRANT))
    receipt(await rig.do(Operation.REVOKE, refs=granted.refs))
    assert school.enrollments[500].state == state
    assert (school.journal[-1].path, school.journal[-1].query) == (
        "/api/v1/courses/42/enrollments/500",
        {"task": revoke},
    )


async def test_a_revocation_leaves_what_was_not_given_by_us(school, rig) -> None:
    """Another section's, another type's, and one that staff deactivated: concluding it would open the course again."""
    granted = receipt(await rig.do(Operation.GRANT))
    other = school.add_enrollment(school.users[100], 421)
    teacher = school.add_enrollment(school.users[100], type="TeacherEnrollment")
    receipt(await rig.do(Operation.REVOKE, refs=granted.refs))
    assert (other.state, teacher.state) == ("active", "active")
    receipt(await rig.do(Operation.REVOKE, unknown=True))
    assert (other.state, teacher.state, school.enrollments[500].state) == ("inactive", "active", "inactive")


async def test_revoking_what_was_never_held_makes_nobody(school, rig) -> None:
    """Neither an unknown person nor an unknown course is a fault."""
    assert "not enrolled" in receipt(await rig.do(Operation.REVOKE)).note
    school.add_user(ADA_LOGIN)
    assert "not enrolled" in receipt(await rig.do(Operation.REVOKE)).note
    assert "not enrolled" in receipt(await rig.do(Operation.REVOKE, table={"course_id": 99})).note
    assert len(school.users) == 1


async def test_a_learner_without_an_address_needs_a_login_of_another_kind(school, session) -> None:
    """Then they get in without any e-mail; a login that would be empty is refused."""
    nobody = Learner(remote_user_id="9")
    assert isinstance(await rig_for(school, session).do(Operation.GRANT, nobody), Refused)
    named = rig_for(school, session, login="u{learner.remote_user_id}")
    receipt(await named.do(Operation.GRANT, nobody))
    assert "communication_channel" not in school.journal[-2].json
    assert (school.users[100].login, school.users[100].email) == ("u9", None)
    empty = rig_for(school, session, login="{learner.attributes.staff_number}")
    assert isinstance(await empty.do(Operation.GRANT), Refused)

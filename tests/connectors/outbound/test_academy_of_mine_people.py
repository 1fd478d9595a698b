"""Accounts at Academy of Mine: portals, mails, accounts that are disabled, and what is never touched."""

from __future__ import annotations

import aiohttp
import pytest

from bridge.contract.command import Learner
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refs, Refused, Terms, TryLater
from bridge.contract.settings import Rate
from connectors.outbound.academy_of_mine import CONNECTOR
from connectors.sandbox.academy_of_mine import AcademyOfMine
from connectors.sandbox.academy_of_mine.state import Portal
from tests.connectors.outbound.academy_of_mine_rig import calls, receipt, rig_for
from tests.suites.outbound import ADA, BOB, Rig

MAIL = Terms(send_email=True)


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


def explained(outcome, name: str) -> bool:
    """Say whether the outcome is this error of the table."""
    error = CONNECTOR.errors[name]
    return outcome.why.startswith(error.sentence) and outcome.remedy == error.next_step


async def test_a_learner_without_an_address_is_refused_unless_access_ends(school, rig) -> None:
    """Nothing is asked of the target for it."""
    nobody = Learner(remote_user_id="9")
    for operation in (Operation.GRANT, Operation.UPDATE):
        outcome = await rig.do(operation, nobody, person="id:members:9")
        assert isinstance(outcome, Refused)
        assert explained(outcome, "no-email")
    receipt(await rig.do(Operation.REVOKE, nobody, person="id:members:9"))
    assert school.journal == []


async def test_an_account_that_was_there_is_not_written_when_somebody_is_enrolled(school, rig) -> None:
    """Its name, its note and its password are not ours."""
    ada = school.add_user(str(ADA.email), "A.", "Byron")
    ada.note, ada.kind = "VIP", "staff"
    receipt(await rig.do(Operation.GRANT, terms=MAIL))
    assert (ada.first_name, ada.last_name, ada.note, ada.kind, ada.mails) == ("A.", "Byron", "VIP", "staff", 0)
    assert {call for call in calls(school) if not call.startswith("GET")} == {"POST /courses/42/enroll"}


async def test_an_update_sends_the_required_fields_and_no_others(school, rig) -> None:
    """Left out, the others stay as they are."""
    ada = school.add_user(str(ADA.email))
    school.add_enrollment(ada, 42)
    ada.note, ada.disabled = "VIP", True
    receipt(await rig.do(Operation.UPDATE, refs=Refs({"user": str(ada.id)})))
    (written,) = [seen for seen in school.journal if seen.method == "PUT"]
    assert written.query == {
        "id": "501",
        "firstName": "Ada",
        "lastName": "Lovelace",
        "email": ADA.email,
        "disabled": "1",
    }
    assert (ada.note, ada.disabled) == ("VIP", True)


@pytest.mark.parametrize("shown", ["0", "false", 0, False])
async def test_disabled_goes_back_as_it_came(school, rig, shown) -> None:
    """Whatever word the site has for it."""
    ada = school.add_user(str(ADA.email))
    school.add_enrollment(ada, 42)
    school.now_fails("status", status=200, method="GET", path="/users/501", body={"id": 501, "disabled": shown})
    receipt(await rig.do(Operation.UPDATE, refs=Refs({"user": "501"})))
    (written,) = [seen for seen in school.journal if seen.method == "PUT"]
    assert written.query["disabled"] == (shown if isinstance(shown, str) else "0")


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({"message": "invalid", "errors": {"email": ["The email has already been taken."]}}, "email-taken"),
        ({"message": "This address is in use."}, "email-taken"),
        ({"message": "invalid", "errors": {"firstName": ["Too long."]}}, "user-refused"),
    ],
)
async def test_a_refused_update_says_what_to_do(school, rig, body, name) -> None:
    """An address that is taken is told from any other fault."""
    school.add_enrollment(school.add_user(str(ADA.email)), 42)
    school.now_fails("status", status=422, method="PUT", body=body)
    outcome = await rig.do(Operation.UPDATE)
    assert isinstance(outcome, Refused)
    assert explained(outcome, name)


async def test_a_person_whom_the_school_does_not_take_is_refused(school, rig) -> None:
    """A password that is not liked, say."""
    body = {"message": "invalid", "errors": {"password": ["The password has been compromised."]}}
    school.now_fails("status", status=422, method="POST", path="/users", body=body)
    outcome = await rig.do(Operation.GRANT)
    assert isinstance(outcome, Refused)
    assert explained(outcome, "user-refused")
    assert "compromised" in outcome.why


async def test_a_new_learner_joins_the_portal_with_the_documented_fields(school, session) -> None:
    """As an existing user, because the account was made a moment ago."""
    rig = rig_for(school, session, portal_id=5)
    receipt(await rig.do(Operation.GRANT))
    (joined,) = [seen for seen in school.journal if seen.path.endswith("/add-learners")]
    assert joined.json == {"portalId": 5, "selectExistingUsers": [501], "userAddedType": "existingUser"}
    assert school.seats_taken == [(5, 501)]


async def test_who_is_in_the_portal_takes_no_second_seat(school, session) -> None:
    """The portal's own search tells, also for a second course."""
    rig = rig_for(school, session, portal_id=5)
    school.add_user(str(ADA.email)).portals.add(5)
    first = receipt(await rig.do(Operation.GRANT))
    receipt(await rig.do(Operation.GRANT, refs=Refs(first.refs.person), table={"course_id": 43}))
    assert school.seats_taken == []
    looked = [seen.query for seen in school.journal if seen.query.get("remote_user_search") == "false"]
    assert looked[0] == {"search_term": ADA.email, "portalId": "5", "remote_user_search": "false"}


async def test_a_lost_answer_of_the_portal_takes_no_second_seat(school, session) -> None:
    """The next try looks first."""
    rig = rig_for(school, session, portal_id=5)
    school.now_fails("lost", path="/add-learners", times=1)
    lost = await rig.do(Operation.GRANT)
    assert isinstance(lost, TryLater)
    receipt(await rig.do(Operation.GRANT, refs=lost.refs, unknown=True))
    assert school.seats_taken == [(5, 501)]


async def test_a_blocked_address_and_a_full_portal_are_told_apart(school, session) -> None:
    """422 both, with another remedy."""
    rig = rig_for(school, session, portal_id=5)
    school.portals[5] = Portal(seats=1)
    receipt(await rig.do(Operation.GRANT, BOB))
    full = await rig.do(Operation.GRANT)
    assert isinstance(full, Refused)
    assert explained(full, "no-seat")
    school.blocked_domains.add("example.org")
    blocked = await rig.do(Operation.GRANT)
    assert isinstance(blocked, Refused)
    assert explained(blocked, "blocked-domain")
    assert str(ADA.email) not in blocked.why
    assert rig.live() == [(str(BOB.email), "course:42")]


async def test_nobody_is_added_to_the_portal_where_that_is_not_wanted(school, session) -> None:
    """``join_portal = false``: the school's own people do that."""
    rig = rig_for(school, session, portal_id=5, join_portal=False)
    receipt(await rig.do(Operation.GRANT))
    assert school.seats_taken == []


async def test_a_throttled_mail_goes_out_with_the_next_try(school, rig) -> None:
    """It surely did not go out, and without it a new learner knows no password."""
    school.now_fails("status", status=429, path="resend", times=1, headers={"Retry-After": "3"}, body={})
    later = await rig.do(Operation.GRANT, terms=MAIL)
    assert isinstance(later, TryLater)
    assert (later.cause, later.scope, later.applied) == ("throttled", "lane", "no")
    receipt(await rig.do(Operation.GRANT, terms=MAIL, refs=later.refs, steps=later.steps))
    assert school.users[501].mails == 1


async def test_the_mail_is_not_sent_again_when_what_follows_it_failed(school, rig) -> None:
    """Each mail makes the password of the one before it worthless."""
    school.now_fails("status", status=429, path="resend", times=1, body={})
    first = await rig.do(Operation.GRANT, terms=MAIL)
    school.now_fails("status", status=503, path="/enroll", method="POST", times=1)
    second = await rig.do(Operation.GRANT, terms=MAIL, refs=first.refs, steps=first.steps)
    assert isinstance(second, TryLater)
    steps = first.steps | second.steps  # as the ledger keeps them
    receipt(await rig.do(Operation.GRANT, terms=MAIL, refs=second.refs, steps=steps))
    assert school.users[501].mails == 1


async def test_an_account_whose_making_is_in_doubt_gets_no_mail_and_a_note(school, rig) -> None:
    """It may be an old one, whose password must stay."""
    school.now_fails("lost", method="POST", path="/users", times=1)
    with pytest.raises(Exception, match="connection"):
        await rig.do(Operation.GRANT, terms=MAIL)
    granted = receipt(await rig.do(Operation.GRANT, terms=MAIL, unknown=True))
    assert "no new-account mail was sent" in granted.note
    assert school.users[501].mails == 0


async def test_an_account_is_left_enabled_by_default(school, rig) -> None:
    """Also when its last access is gone."""
    granted = receipt(await rig.do(Operation.GRANT))
    receipt(await rig.do(Operation.REVOKE, refs=granted.refs))
    assert not school.users[501].disabled
    assert calls(school)["POST /users/quick-edit"] == 0


async def test_an_account_is_disabled_with_its_last_access_and_enabled_with_the_next(school, session) -> None:
    """``disable_user``; only the flag is written."""
    rig = rig_for(school, session, disable_user=True)
    first = receipt(await rig.do(Operation.GRANT))
    second = receipt(await rig.do(Operation.GRANT, table={"membership_id": 3}))
    receipt(await rig.do(Operation.REVOKE, refs=first.refs))
    assert not school.users[501].disabled
    ended = receipt(await rig.do(Operation.REVOKE, refs=second.refs, table={"membership_id": 3}))
    assert school.users[501].disabled
    assert school.journal[-1].json == {"user_ids": [501], "disabled": True}
    assert ended.refs.person == {"user": "501", "disabled": "bridge"}
    again = receipt(await rig.do(Operation.GRANT, refs=Refs(ended.refs.person)))
    assert again.refs.person == {"user": "501", "disabled": ""}
    assert not school.users[501].disabled
    assert rig.live() == [("ada.lovelace@example.org", "course:42")]


async def test_an_account_that_staff_disabled_is_never_enabled(school, session) -> None:
    """Not even where the setting lets the bridge disable accounts."""
    rig = rig_for(school, session, disable_user=True)
    ada = school.add_user(str(ADA.email))
    school.add_enrollment(ada, 42)
    ada.disabled = True
    revoked = receipt(await rig.do(Operation.REVOKE))
    assert "disabled" not in revoked.refs.person
    outcome = await rig.do(Operation.GRANT, refs=revoked.refs, table={"course_id": 43})
    assert isinstance(outcome, NeedsOperator)
    assert explained(outcome, "account-disabled")
    assert ada.disabled


async def test_a_lost_answer_to_disabling_is_remembered_as_ours(school, session) -> None:
    """Otherwise the next purchase would find a locked door."""
    rig = rig_for(school, session, disable_user=True)
    granted = receipt(await rig.do(Operation.GRANT))
    school.now_fails("lost", path="quick-edit", times=1)
    lost = await rig.do(Operation.REVOKE, refs=granted.refs)
    assert isinstance(lost, TryLater)
    assert lost.applied == "unknown"
    done = receipt(await rig.do(Operation.REVOKE, refs=lost.refs, steps=lost.steps, unknown=True))
    assert done.refs.person["disabled"] == "bridge"


async def test_an_account_that_can_not_be_disabled_is_noted(school, session) -> None:
    """Access has ended all the same, and that is what was asked for."""
    rig = rig_for(school, session, disable_user=True, routes={"edit_users": "POST /nowhere"})
    granted = receipt(await rig.do(Operation.GRANT))
    revoked = receipt(await rig.do(Operation.REVOKE, refs=granted.refs))
    assert "the account was not disabled" in revoked.note
    assert "route edit_users (POST /nowhere)" in revoked.note
    assert rig.live() == []


async def test_staff_and_those_who_get_something_in_the_same_batch_stay_enabled(school, session) -> None:
    """An account is disabled only where nothing speaks for it."""
    rig = rig_for(school, session, disable_user=True)
    staff, ada = school.add_user(str(BOB.email)), school.add_user(str(ADA.email))
    staff.kind = "staff"
    for user in (staff, ada):
        school.add_enrollment(user, 42)
    works = [
        rig.work(Operation.REVOKE, BOB),
        rig.work(Operation.REVOKE, ADA),
        rig.work(Operation.GRANT, ADA, table={"course_id": 43}),
    ]
    assert all(isinstance(outcome, Receipt) for outcome in await rig.deliver(works))
    assert not staff.disabled
    assert not ada.disabled


async def test_the_limit_of_the_headers_is_told_to_the_lane(school, rig) -> None:
    """The headers are those of the usual framework, whose window is a minute."""
    school.limit = (100, 60.0)
    receipt(await rig.connector.check())
    (window,) = rig.connector._http._limiter._windows
    assert window.rate == Rate(100, 60.0)


async def test_the_schools_own_limit_slows_the_lane(school, session, rig) -> None:
    """As the school answers it, with the time to wait."""
    school.limit = (1, 60.0)
    async with session.get(school.base_url + "/api/v1/courses"):
        pass
    outcome = await rig.connector.check()
    assert isinstance(outcome, TryLater)
    assert (outcome.cause, outcome.scope, outcome.after) == ("throttled", "lane", 60.0)


@pytest.mark.parametrize("label", [None, "{first} {last} ({email})"])
async def test_somebody_who_is_named_like_an_address_is_not_its_owner(school, session, label) -> None:
    """Whether the search shows addresses in a field or in a label: the owner gets an account, and the other one keeps theirs."""
    rig = rig_for(school, session)
    bob = school.add_user("bob@example.org", "Bob", str(ADA.email))
    if label:
        rows = [{"id": bob.id, "name": label.format(first=bob.first_name, last=bob.last_name, email=bob.email)}]
        school.now_fails("status", status=200, path="/users/lookup", body=rows)
    granted = receipt(await rig.do(Operation.GRANT))
    assert granted.refs.person["user"] != str(bob.id)
    assert (bob.email, bob.last_name) == ("bob@example.org", ADA.email)


@pytest.mark.parametrize("mine", [True, False])
async def test_an_apostrophe_is_part_of_an_address(school, session, mine) -> None:
    """O'Neill is found by it, and is nobody else."""
    rig = rig_for(school, session)
    other = school.add_user("o'neill@example.org")
    email = "o'neill@example.org" if mine else "neill@example.org"
    granted = receipt(await rig.do(Operation.GRANT, ADA.model_copy(update={"email": email})))
    assert (granted.refs.person["user"] == str(other.id)) is mine

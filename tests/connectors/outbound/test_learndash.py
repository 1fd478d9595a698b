"""LearnDash as a target: the suite in both forms of address, then what only WordPress and LearnDash do."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import ClassVar

import aiohttp
import pytest
from pydantic import ValidationError

from bridge.contract.command import Learner
from bridge.contract.errors import TransportFault
from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refs, Refused, Terms, TryLater
from connectors.outbound.learndash import CONNECTOR
from connectors.outbound.learndash.faults import ERRORS_HERE
from connectors.outbound.learndash.settings import LearnDashCourse
from connectors.sandbox.learndash import PASSWORD, LearnDash
from tests.connectors.outbound.learndash_rig import CYD, grants, receipt, rig_for
from tests.suites.outbound import ADA, BOB, LmsSuite, Rig

HTML = "<html><title>Access denied</title></html>"


class TestPretty(LmsSuite):
    """A site with pretty permalinks: search, create, let in."""

    type = "learndash"
    course: ClassVar = {"course_id": 42}
    missing: ClassVar = {"course_id": 99}
    requests = 3


class TestRestRoute(LmsSuite):
    """A site without, and an older plug-in: it does not say what it did, so that a look follows."""

    type = "learndash"
    target: ClassVar = {"rest_route": True, "api_version": "v1"}
    course: ClassVar = {"course_id": "42"}
    missing: ClassVar = {"course_id": 99}
    requests = 4


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


async def test_a_cold_grant_sends_the_documented_fields(site, rig) -> None:
    """Search by address, create with a password that nobody knows, let in."""
    granted = receipt(await rig.do(Operation.GRANT))
    search, create, let_in = site.journal
    assert (search.path, search.query) == (
        "/wp-json/wp/v2/users",
        {"search": ADA.email, "context": "edit", "per_page": "100", "page": "1"},
    )
    assert {**create.json, "password": "x"} == {
        "username": ADA.email,
        "email": ADA.email,
        "password": "x",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "name": "Ada Lovelace",
        "roles": ["subscriber"],
    }
    assert len(create.json["password"]) >= 24
    assert (let_in.path, let_in.json) == ("/wp-json/ldlms/v2/sfwd-courses/42/users", {"user_ids": [11]})
    assert let_in.headers["Authorization"] == f"Basic {b64encode(f'bridge:{PASSWORD}'.encode()).decode()}"
    assert granted == Receipt(Refs({"user": "11"}, {"course": "42"}))


async def test_a_site_without_permalinks_is_asked_through_its_front_page(site, session) -> None:
    """The route goes as a parameter, and other parameters beside it."""
    site.pretty = False
    receipt(await rig_for(site, session, rest_route=True).do(Operation.GRANT))
    assert {seen.path for seen in site.journal} == {"/"}
    assert site.journal[0].query["rest_route"] == "/wp/v2/users"
    assert site.journal[0].query["search"] == ADA.email
    outcome = await rig_for(site, session).do(Operation.GRANT)
    assert isinstance(outcome, NeedsOperator)
    assert outcome.scope == "lane"
    assert "rest_route" in outcome.remedy


async def test_only_the_exact_address_is_the_same_person(site, rig) -> None:
    """The search finds parts of addresses, and more than a page of them."""
    for number in range(120):
        site.add_user(f"x{number}bob@example.org")
    bob = site.add_user("BOB@Example.org", "bobby", first_name="Robert", roles=["editor"], password="own")
    assert receipt(await rig.do(Operation.GRANT, BOB)).refs.person == {"user": str(bob.id)}
    assert (bob.first_name, bob.roles, bob.password) == ("Robert", ["editor"], "own")


@pytest.mark.parametrize("email", ["cyd+school@example.org", f"{'a' * 60}@example.org"])
async def test_an_address_that_is_no_user_name_makes_one(site, rig, email) -> None:
    """With a mark that keeps it apart from the same address spelt otherwise."""
    receipt(await rig.do(Operation.GRANT, CYD.model_copy(update={"email": email})))
    (user,) = site.users.values()
    assert user.email == email
    assert len(user.username) <= 60
    assert "+" not in user.username
    receipt(await rig.do(Operation.GRANT, CYD.model_copy(update={"email": email.replace("+", "!")})))
    assert len({one.username for one in site.users.values()}) == len(site.users)


@pytest.mark.parametrize("status", [400, 500])
async def test_an_address_that_was_taken_meanwhile_is_looked_up_again(site, rig, status) -> None:
    """Whichever status the site answers with."""
    site.taken_status = status
    site.add_user(str(ADA.email))
    site.now_fails("status", status=200, body=[], path="/wp/v2/users", method="GET", times=1)
    assert receipt(await rig.do(Operation.GRANT)).refs.person == {"user": "11"}


async def test_an_address_of_somebody_who_can_not_be_seen_is_for_a_person(site, rig) -> None:
    """In a network of sites a user may belong to another one."""
    site.add_user(str(ADA.email))
    site.now_fails("status", status=200, body=[], path="/wp/v2/users", method="GET")
    outcome = await rig.do(Operation.GRANT)
    assert isinstance(outcome, NeedsOperator)
    assert outcome.why.startswith(ERRORS_HERE["login-taken"].sentence)


async def test_a_stale_user_id_is_looked_up_again(site, rig) -> None:
    """Somebody deleted the user; alone and in a batch."""
    for operation in (Operation.GRANT, Operation.UPDATE):
        assert receipt(await rig.do(operation, refs=Refs({"user": "7"}))).refs.person == {"user": "11"}
    works = [*grants(rig, ADA, refs=Refs({"user": "7"})), *grants(rig, BOB)]
    assert all(isinstance(outcome, Receipt) for outcome in await rig.deliver(works))
    receipt(await rig.do(Operation.REVOKE, refs=Refs({"user": "7"})))
    assert rig.live() == [("bob@example.org", "course:42")]
    assert len(site.users) == 2


async def test_an_update_writes_what_differs_and_nothing_else(site, rig) -> None:
    """The display name follows where it was made of the names."""
    granted = receipt(await rig.do(Operation.GRANT))
    site.journal.clear()
    receipt(await rig.do(Operation.UPDATE, refs=granted.refs))
    assert {seen.method for seen in site.journal} == {"GET"}
    moved = ADA.model_copy(update={"last_name": "King", "first_name": "", "email": "ada@king.example.org"})
    receipt(await rig.do(Operation.UPDATE, moved, refs=granted.refs))
    assert site.journal[-1].json == {"last_name": "King", "name": "Ada King", "email": "ada@king.example.org"}
    user = site.users[11]
    user.name = "Countess"
    receipt(await rig.do(Operation.UPDATE, ADA.model_copy(update={"email": user.email}), refs=granted.refs))
    assert (user.name, user.last_name, user.username) == ("Countess", "Lovelace", ADA.email)


async def test_a_changed_address_that_somebody_has_is_refused(site, rig) -> None:
    """Merging two people is not for a machine."""
    granted = receipt(await rig.do(Operation.GRANT))
    site.add_user(str(BOB.email))
    outcome = await rig.do(Operation.UPDATE, ADA.model_copy(update={"email": BOB.email}), refs=granted.refs)
    assert isinstance(outcome, Refused)
    assert "merge" in outcome.remedy
    assert outcome.refs.person == {"user": "11"}


async def test_an_end_of_access_is_the_bridges(site, rig) -> None:
    """And the receipt says so."""
    until = Terms(expires_at=datetime(2031, 1, 1, tzinfo=UTC))
    assert "the bridge ends it itself" in receipt(await rig.do(Operation.GRANT, terms=until)).note


async def test_a_learner_without_an_address_is_refused(site, rig) -> None:
    """WordPress needs one, and a revocation can not find anybody without."""
    for operation in (Operation.GRANT, Operation.REVOKE):
        outcome = await rig.do(operation, Learner(remote_user_id="9"))
        assert isinstance(outcome, Refused)
        assert outcome.why == ERRORS_HERE["no-email"].sentence


async def test_a_batch_lets_many_in_with_one_call_a_course(site, rig) -> None:
    """And shuts many out with one; each outcome is its own person's."""
    works = [*grants(rig, ADA, BOB, CYD), *grants(rig, ADA, table={"course_id": 43}, key="b")]
    outcomes = [receipt(outcome) for outcome in await rig.deliver(works)]
    posts = [(seen.path[-24:], seen.json) for seen in site.journal if "sfwd-courses" in seen.path]
    assert posts == [
        ("v2/sfwd-courses/42/users", {"user_ids": [11, 12, 13]}),
        ("v2/sfwd-courses/43/users", {"user_ids": [11]}),
    ]
    assert [outcome.refs.right["course"] for outcome in outcomes] == ["42", "42", "42", "43"]
    ends = [rig.work(Operation.REVOKE, who, refs=outcomes[0].refs) for who in (ADA,)]
    ends += [rig.work(Operation.REVOKE, BOB), *grants(rig, CYD)]
    assert all(isinstance(outcome, Receipt) for outcome in await rig.deliver(ends))
    assert rig.live() == [("ada.lovelace@example.org", "course:43"), ("cyd+school@example.org", "course:42")]


async def test_a_batch_that_is_refused_as_a_whole_goes_one_by_one(site, rig) -> None:
    """One of them may have spoilt it for all."""
    body = {"code": "rest_invalid_param", "message": "Invalid parameter(s): user_ids", "data": {"status": 400}}
    site.now_fails("status", status=400, body=body, path="sfwd-courses", times=2)
    first, second = await rig.deliver(grants(rig, ADA, BOB))
    assert isinstance(first, Refused)
    receipt(second)
    assert rig.live() == [("bob@example.org", "course:42")]


async def test_a_lost_answer_of_a_shared_call_lets_nobody_in_twice(site, rig) -> None:
    """All of them keep the users that were made for them, and look first the next time."""
    site.now_fails("lost", path="sfwd-courses", times=1)
    lost = await rig.deliver(grants(rig, ADA, BOB))
    assert [(one.applied, one.refs.person) for one in lost] == [
        ("unknown", {"user": "11"}),
        ("unknown", {"user": "12"}),
    ]
    site.journal.clear()
    again = [
        rig.work(Operation.GRANT, who, refs=one.refs, unknown=True) for who, one in zip((ADA, BOB), lost, strict=True)
    ]
    assert all(isinstance(outcome, Receipt) for outcome in await rig.deliver(again))
    assert {seen.method for seen in site.journal} == {"GET"}
    assert site.courses[42].members == [11, 12]


async def test_a_lost_answer_is_one_persons_in_a_batch_and_everybodys_alone(site, rig) -> None:
    """The others keep their receipts; when nobody got an answer, dispatch hears of the fault."""
    site.now_fails("lost", times=1, path="/wp/v2/users")
    lost, fine = await rig.deliver(grants(rig, ADA, BOB))
    assert isinstance(lost, TryLater)
    receipt(fine)
    site.now_fails("lost")
    with pytest.raises(TransportFault):
        await rig.deliver(grants(rig, ADA, BOB))


async def test_a_page_of_a_security_plug_in_holds_the_lane_for_a_while(site, rig) -> None:
    """Knocking at once again would make it worse: nobody else of the batch is tried."""
    site.now_fails("status", status=403, body=HTML)
    outcomes = await rig.deliver(grants(rig, ADA, BOB))
    assert [(one.scope, one.cause, one.applied, one.after) for one in outcomes] == [("lane", "outage", "no", 300.0)] * 2
    assert len(site.journal) == 1


async def test_a_security_plug_in_between_two_steps_loses_nothing(site, rig) -> None:
    """Users were made; they are remembered."""
    site.now_fails("status", status=403, body=HTML, path="sfwd-courses")
    outcomes = await rig.deliver(grants(rig, ADA, BOB))
    assert [one.refs.person for one in outcomes] == [{"user": "11"}, {"user": "12"}]
    assert len(site.journal) == 5


@pytest.mark.parametrize(
    ("path", "status", "code", "name", "scope"),
    [
        ("users", 401, "rest_not_logged_in", "password", "lane"),
        ("/wp/v2/users", 403, "rest_forbidden_context", "right", "lane"),
        ("sfwd-courses", 403, "rest_forbidden", "course-right", "delivery"),
        ("sfwd-courses", 403, "ld_rest_cannot_view", "no-administrator", "lane"),
        ("sfwd-courses", 404, "rest_no_route", "no-learndash", "lane"),
        ("sfwd-courses", 404, "rest_post_invalid_id", "no-such-course", "delivery"),
        ("sfwd-courses", 400, "learndash_rest_invalid_id", "no-such-course", "delivery"),
        ("sfwd-courses", 404, "learndash_rest_invalid_course_id", "no-such-course", "delivery"),
        ("sfwd-courses", 406, "learndash_rest_rejected_course_open", "open-course", "delivery"),
        ("/wp/v2/users", 404, None, "no-api", "lane"),
    ],
)
async def test_known_answers_are_told_apart(site, rig, path, status, code, name, scope) -> None:
    """Each row of the table, on a cold grant."""
    body = {"code": code, "message": "Sorry.", "data": {"status": status}} if code else HTML
    site.now_fails("status", status=status, body=body, path=path)
    outcome = await rig.do(Operation.GRANT)
    assert isinstance(outcome, NeedsOperator), outcome
    assert outcome.why.startswith(ERRORS_HERE[name].sentence)
    assert (outcome.remedy, outcome.scope) == (ERRORS_HERE[name].next_step, scope)


async def test_a_user_whom_wordpress_does_not_take_is_refused(site, rig) -> None:
    """Without the address in the reason."""
    body = {"code": "rest_user_invalid_email", "message": f"Invalid {ADA.email}", "data": {"status": 400}}
    site.now_fails("status", status=400, body=body, path="/wp/v2/users", method="POST")
    outcome = await rig.do(Operation.GRANT)
    assert isinstance(outcome, Refused)
    assert outcome.why.startswith(ERRORS_HERE["user"].sentence)
    assert str(ADA.email) not in outcome.why


async def test_a_wrong_password_is_nowhere_to_be_read(site, session) -> None:
    """Nor is the right one."""
    outcome = await rig_for(site, session, application_password="wrong horse").do(Operation.GRANT)
    assert isinstance(outcome, NeedsOperator)
    assert "horse" not in outcome.why


async def test_the_doctor_looks_at_rights_plug_in_and_courses(site, rig) -> None:
    """Each course once, with what keeps learners out of it or everybody in it."""
    site.denied = {"create_users"}
    site.courses[42].status, site.courses[43].price_type = "draft", "open"
    tables = [LearnDashCourse(course_id=number) for number in (42, 43, 42, 99)]
    found = await rig.connector.examine(tables, fix=False)
    assert [one.what for one in found if not one.ok] == ["right create_users", "course 42", "course 43", "course 99"]
    assert all(one.remedy for one in found if not one.ok)
    site.learndash = False
    (last,) = [one for one in (await rig.connector.examine(tables, fix=False))[3:] if not one.ok]
    assert last.what == "LearnDash API"


async def test_the_doctor_tries_the_right_to_enroll_by_reading(site, rig) -> None:
    """Once, whatever the number of courses; a manager of users need not be an administrator."""
    tables = [LearnDashCourse(course_id=number) for number in (42, 43)]
    await rig.connector.examine(tables, fix=False)
    assert len([seen for seen in site.journal if seen.path.endswith("/users") and "sfwd" in seen.path]) == 1
    assert {seen.method for seen in site.journal} == {"GET"}
    site.denied = {"manage_options"}
    (found,) = [one for one in await rig.connector.examine(tables, fix=False) if not one.ok]
    assert (found.what, found.remedy) == ("right to enroll", ERRORS_HERE["no-administrator"].next_step)
    outcome = await rig.do(Operation.GRANT)
    assert isinstance(outcome, NeedsOperator)
    assert outcome.scope == "lane"


async def test_a_doctor_who_is_not_let_in_says_only_that(site, session) -> None:
    """Everything else would only repeat it."""
    rig = rig_for(site, session, application_password="wrong horse")
    (found,) = await rig.connector.examine(rig.tables(), fix=False)
    assert "application_password" in found.remedy


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("base_url", "https://school.example.org/wp-json", "without /wp-json"),
        ("base_url", "https://school.example.org/?rest_route=/", "without /wp-json"),
        ("username", "bridge:x", "no colon"),
        ("api_version", "v3", "v2"),
        ("role", "", "at least 1 character"),
    ],
)
def test_settings_that_can_not_be_meant_are_faults(setting, value, said) -> None:
    """Told when the file is read."""
    given = {"connector": "learndash", "base_url": "https://school.example.org", "username": "b"}
    with pytest.raises(ValidationError, match=said):
        CONNECTOR.Settings.model_validate({**given, "application_password": "x", setting: value})


@pytest.mark.parametrize("value", ["my-course", 0, True, ""])
def test_a_course_is_named_by_its_number(value) -> None:
    """42 and "42" are one course; a slug is none."""
    assert LearnDashCourse(course_id=42) == LearnDashCourse.model_validate({"course_id": "42"})
    with pytest.raises(ValidationError, match="post=42"):
        LearnDashCourse.model_validate({"course_id": value})


def test_one_request_at_a_time_is_the_default() -> None:
    """Shared hosts are slow."""
    given = {
        "connector": "learndash",
        "base_url": "https://x.example.org",
        "username": "b",
        "application_password": "x",
    }
    assert CONNECTOR.Settings.model_validate(given).concurrency == 1

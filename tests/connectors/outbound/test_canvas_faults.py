"""What Canvas refuses and how the lane takes it, what the doctor finds, and what an operator may set."""

from __future__ import annotations

import aiohttp
import pytest
from pydantic import ValidationError

from bridge.contract.outbound import NeedsOperator, Operation, Receipt, Refs, Refused, TryLater
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows
from connectors.outbound.canvas import CONNECTOR
from connectors.outbound.canvas.faults import ERRORS_HERE, requests_left
from connectors.outbound.canvas.settings import CanvasCourse
from connectors.sandbox.canvas import TOKEN, Canvas
from connectors.sandbox.canvas.records import Section
from tests.connectors.outbound.canvas_rig import ADA_LOGIN, receipt, rig_for
from tests.suites.outbound import ADA, Rig

GONE = {"errors": [{"message": "The specified resource does not exist."}]}
DENIED = {"status": "unauthorized", "errors": [{"message": "user not authorized to perform that action"}]}


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


def fault(outcome: object, name: str, scope: str = "delivery") -> NeedsOperator:
    """Return the outcome, which must be this one of the connector's errors."""
    assert isinstance(outcome, NeedsOperator), outcome
    assert outcome.why.startswith(ERRORS_HERE[name].sentence), outcome.why
    assert (outcome.remedy, outcome.scope) == (ERRORS_HERE[name].next_step, scope)
    return outcome


async def test_a_wrong_token_stops_the_lane(school, session) -> None:
    """A 401 with a challenge is the token's; the token itself is nowhere to be read."""
    outcome = fault(await rig_for(school, session, token="wrong-token-12345").do(Operation.GRANT), "token", "lane")
    assert "wrong-token" not in outcome.why


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("right", ["read_roster", "manage_user_logins", "add_student_to_course"])
async def test_a_missing_right_is_one_deliverys(school, rig, right, status) -> None:
    """A 401 or 403 without a challenge; others may still succeed."""
    school.denied, school.denied_status = {right}, status
    outcome = fault(await rig.do(Operation.GRANT), "right")
    assert bool(outcome.refs.person) == (right == "add_student_to_course")


@pytest.mark.parametrize("status", [403, 429])
async def test_throttling_is_the_lanes_in_both_its_forms(school, rig, status) -> None:
    """How long it takes follows from the bucket, because no Retry-After comes."""
    school.throttle_status, school.used = status, 590.0
    outcome = await rig.do(Operation.GRANT)
    assert isinstance(outcome, TryLater)
    assert (outcome.scope, outcome.cause, outcome.applied) == ("lane", "throttled", "no")
    assert outcome.after is not None
    assert 13 <= outcome.after <= 15


async def test_throttled_halfway_keeps_what_was_learnt(school, rig) -> None:
    """The user was made; the next try goes on from there."""
    page = "403 Forbidden (Rate Limit Exceeded)"
    school.now_fails("status", status=403, body=page, path="/enrollments", times=1)
    outcome = await rig.do(Operation.GRANT)
    assert isinstance(outcome, TryLater)
    assert (outcome.cause, outcome.refs.person) == ("throttled", {"user": "100"})


async def test_a_nearly_empty_bucket_slows_the_lane(school, session) -> None:
    """A limit is learnt as soon as fewer units are left than three requests are charged at first, and not before."""
    clock = SystemClock()
    limits = Windows((), clock)
    settings = CONNECTOR.Settings.model_validate({"connector": "canvas", "base_url": school.base_url, "token": TOKEN})
    connector = CONNECTOR(settings, Http(settings.base_url, limits, 10.0, session), clock)
    assert isinstance(await connector.check(), Receipt)
    assert limits.endless
    school.used = 500.0
    assert isinstance(await connector.check(), Receipt)
    assert not limits.endless


@pytest.mark.parametrize(("units", "left"), [(149.0, 9), (100.0, 5), (50.0, 0), (-20.0, 0)])
def test_the_fewer_units_are_left_the_fewer_requests_go_out(units, left) -> None:
    """Until the bucket is usable again."""
    assert requests_left(units) == left


@pytest.mark.parametrize(
    ("path", "method", "status", "body", "name", "scope"),
    [
        ("/enrollments", "POST", 404, GONE, "no-such-course", "delivery"),
        (
            "/enrollments",
            "POST",
            400,
            {"message": "Can't add an enrollment to a concluded course."},
            "concluded",
            "delivery",
        ),
        (
            "/enrollments",
            "POST",
            403,
            {"message": "Can't add an enrollment to a concluded course."},
            "concluded",
            "delivery",
        ),
        ("/enrollments", "POST", 400, {"message": "Invalid type"}, "role", "delivery"),
        ("/enrollments", "POST", 400, {"message": "Invalid role"}, "role", "delivery"),
        ("/enrollments", "POST", 403, DENIED, "right", "delivery"),
        ("/accounts/self/users", "GET", 404, GONE, "no-such-account", "lane"),
        ("/accounts/self/users", "POST", 404, GONE, "no-such-account", "lane"),
        ("/users/sis_login_id", "GET", 404, {"message": "not here"}, "no-api", "lane"),
        ("/enrollments", "POST", 401, {"errors": [{"message": "Expired access token."}]}, "token", "lane"),
    ],
)
async def test_known_answers_are_told_apart(school, rig, path, method, status, body, name, scope) -> None:
    """Each row of the table, on a cold grant."""
    school.now_fails("status", status=status, body=body, path=path, method=method)
    fault(await rig.do(Operation.GRANT), name, scope)


@pytest.mark.parametrize(
    ("path", "method", "name"),
    [("/accounts/self/users", "POST", "user"), ("/users/100", "PUT", "person"), ("/enrollments/", "DELETE", "revoke")],
)
async def test_what_canvas_does_not_take_is_refused_with_a_next_step(school, rig, path, method, name) -> None:
    """Whether it is a new user, a changed one, or an enrollment's end."""
    refs = Refs()
    if name != "user":
        refs = receipt(await rig.do(Operation.GRANT)).refs
    body = {"errors": {"user": {"name": [{"message": f"{ADA.email} is too long", "type": "too_long"}]}}}
    school.now_fails("status", status=400, body=body, path=path, method=method)
    operation = {"user": Operation.GRANT, "person": Operation.UPDATE, "revoke": Operation.REVOKE}[name]
    outcome = await rig.do(operation, ADA.model_copy(update={"last_name": "King"}), refs=refs)
    assert isinstance(outcome, Refused), outcome
    assert outcome.why.startswith(ERRORS_HERE[name].sentence)
    assert str(ADA.email) not in outcome.why


async def test_half_an_answer_is_no_receipt(school, rig) -> None:
    """Neither a user without an id nor an enrollment without one, nor a list that is none."""
    for path, method in (("/accounts/self/users", "GET"), ("/accounts/self/users", "POST"), ("/enrollments", "POST")):
        school.recovers()
        school.now_fails("status", status=200, body={"name": "x"}, path=path, method=method)
        outcome = await rig.do(Operation.GRANT)
        assert isinstance(outcome, TryLater), outcome
        assert outcome.cause == "outage"


async def test_a_second_page_at_another_host_is_not_fetched(school, rig) -> None:
    """The token would go along."""
    link = {"Link": '<https://elsewhere.example.org/api/v1/accounts/self/users?page=2>; rel="next"'}
    school.now_fails("status", status=200, body=[], headers=link, path="/accounts/self/users", method="GET")
    receipt(await rig.do(Operation.GRANT))
    assert len(school.journal) == 4


async def test_an_enrollment_that_is_gone_when_it_is_taken_away_is_done(school, rig) -> None:
    """Somebody was faster."""
    refs = receipt(await rig.do(Operation.GRANT)).refs
    school.now_fails("status", status=404, body=GONE, path="/enrollments/", method="DELETE")
    receipt(await rig.do(Operation.REVOKE, refs=refs))


async def test_the_doctor_looks_at_account_rights_courses_sections_roles_and_terms(school, session) -> None:
    """Each once, however often the mapping names it, each fault with its remedy."""
    rig = rig_for(school, session, sis_user_id="{learner.remote_user_id}")
    school.denied = {"manage_sis", "add_ta_to_course"}
    school.courses[43].state = "unpublished"
    school.courses[42].term_ends = "2020-12-31T00:00:00Z"
    school.sections[440] = Section(440, 43)
    tables = [
        CanvasCourse(course_id=42, role_id=20),
        CanvasCourse(course_id="42", enrollment_type="TaEnrollment", role_id=20),
        CanvasCourse(course_id=43),
        CanvasCourse(course_id=42, section_id=440),
        CanvasCourse(course_id="sis_course_id:NONE", role_id=77),
    ]
    found = await rig.connector.examine(tables, fix=False)
    assert {one.what for one in found if one.ok} == {
        *("account self", "course 42", "right read_roster", "right manage_user_logins", "right add_student_to_course"),
        "role 20",
    }
    wrong = {one.what: one.said for one in found if not one.ok}
    assert sorted(wrong) == [
        *("course 43", "course sis_course_id:NONE", "right add_ta_to_course", "right manage_sis", "role 20", "role 77"),
        *("section 440", "term of course 42"),
    ]
    assert "2020-12-31" in wrong["term of course 42"]
    assert all(one.remedy for one in found if not one.ok)
    assert not [seen for seen in school.journal if seen.method != "GET"]


async def test_a_wrong_account_is_the_doctors_only_finding(school, session) -> None:
    """Everything else would only repeat it."""
    rig = rig_for(school, session, account_id=7)
    (found,) = await rig.connector.examine(rig.tables(), fix=False)
    assert (found.what, found.ok) == ("account 7", False)
    assert "account_id" in found.remedy


async def test_a_concluded_course_is_found_before_somebody_pays(school, rig) -> None:
    """It takes nobody."""
    school.courses[42].state = "completed"
    (found,) = [one for one in await rig.connector.examine(rig.tables(), fix=False) if not one.ok]
    assert "concluded" in found.said
    school.add_user(ADA_LOGIN)
    fault(await rig.do(Operation.GRANT), "concluded")


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("base_url", "https://school.instructure.com/api/v1", "without /api/v1"),
        ("login", "{order.number}", "fields of the learner"),
        ("login", "everybody", "a field of the learner"),
        ("login", "", "at least 1 character"),
        ("sis_user_id", "p-{learner.remote_user_id", "fields of the learner"),
        ("account_id", "school", "sis_account_id:"),
        ("revoke", "remove", "deactivate"),
    ],
)
def test_settings_that_can_not_be_meant_are_faults(setting, value, said) -> None:
    """Told when the file is read, not when the first learner has paid."""
    given = {"connector": "canvas", "base_url": "https://school.instructure.com", "token": "t", setting: value}
    with pytest.raises(ValidationError, match=said):
        CONNECTOR.Settings.model_validate(given)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"course_id": "PY101"}, "sis_course_id:"),
        ({"course_id": 42, "section_id": "sis_course_id:PY101"}, "sis_section_id:"),
        ({"course_id": 42, "enrollment_type": "student"}, "StudentEnrollment"),
    ],
)
def test_a_course_table_that_can_not_be_meant_is_a_fault(table, said) -> None:
    """With the spelling that Canvas takes."""
    with pytest.raises(ValidationError, match=said):
        CanvasCourse.model_validate(table)


def test_two_spellings_of_a_course_are_one() -> None:
    """42 and "42"."""
    assert CanvasCourse(course_id=42) == CanvasCourse(course_id="42")

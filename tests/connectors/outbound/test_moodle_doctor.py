"""What the doctor finds at a Moodle site, and which settings can not be meant."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from bridge.contract.outbound import Finding, Operation, Receipt
from bridge.contract.settings import CourseTable
from connectors.outbound.moodle import CONNECTOR
from connectors.sandbox.moodle import Moodle
from tests.connectors.outbound.moodle_rig import forms, rig_for
from tests.suites.outbound import Rig


@pytest.fixture
async def site():
    async with Moodle() as moodle:
        yield moodle


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def rig(site, session):
    return rig_for(site, session)


def tables(*given: dict[str, Any]) -> list[CourseTable]:
    model = CONNECTOR.Course
    assert model is not None
    return [model.model_validate(one) for one in given]


async def wrong(rig: Rig, *given: dict[str, Any]) -> list[Finding]:
    return [one for one in await rig.connector.examine(tables(*given), fix=False) if not one.ok]


async def test_check_tells_the_release_and_nothing_else(rig: Rig) -> None:
    """The site's answer may hold keys."""
    assert await rig.connector.check() == Receipt(note="the token is accepted; Moodle 5.1 (Build: 20251006)")


@pytest.mark.parametrize(
    "name",
    [
        "core_user_get_users_by_field",
        "core_user_get_users",
        "core_user_create_users",
        "core_user_update_users",
        "enrol_manual_enrol_users",
        "core_course_get_courses_by_field",
    ],
)
async def test_a_function_that_the_service_lacks_is_named(rig: Rig, site: Moodle, name: str) -> None:
    """Before somebody has paid."""
    site.functions.discard(name)
    (finding,) = await wrong(rig, {"course_id": 7})
    assert finding.what == f"function {name}"
    assert "External services" in finding.remedy


async def test_unenrolling_is_needed_only_where_it_is_set(
    rig: Rig, site: Moodle, session: aiohttp.ClientSession
) -> None:
    """A service should offer no more than is used."""
    site.functions.discard("enrol_manual_unenrol_users")
    assert await wrong(rig) == []
    (finding,) = await wrong(rig_for(site, session, revoke="unenrol"))
    assert finding.what == "function enrol_manual_unenrol_users"


async def test_all_courses_are_looked_up_with_one_call(rig: Rig, site: Moodle) -> None:
    """Each id once."""
    site.courses = {7, 8}
    found = await wrong(rig, {"course_id": 7}, {"course_id": 9}, {"course_id": 7}, {"course_id": 8})
    assert [one.what for one in found] == ["course 9"]
    asked = [form for function, form in forms(site) if function == "core_course_get_courses_by_field"]
    assert asked == [{"field": "ids", "value": "7,8,9"}]


async def test_a_course_without_manual_enrolments_is_named(rig: Rig, site: Moodle) -> None:
    """Nobody could be enrolled there."""
    site.methods[7] = {"self", "guest"}
    (finding,) = await wrong(rig, {"course_id": 7})
    assert finding.what == "manual enrolments of course 7"
    assert "Enrolment methods" in finding.remedy


async def test_the_role_is_named_where_somebody_has_it(rig: Rig, site: Moodle) -> None:
    """Moodle has no function that looks a role up; the people of the course show it."""
    await rig.do(Operation.GRANT)
    found = {one.what: one.said for one in await rig.connector.examine(tables({"course_id": 7}), fix=False)}
    assert found["role 5 in course 7"] == "student"
    assert await wrong(rig, {"course_id": 7, "role_id": 12}) == []
    site.functions.discard("core_enrol_get_enrolled_users")
    found = {one.what: one.said for one in await rig.connector.examine(tables({"course_id": 7}), fix=False)}
    assert found["role 5 in course 7"].startswith("not looked at")


async def test_a_role_of_the_staff_is_a_fault(rig: Rig, site: Moodle) -> None:
    """Whoever buys the course would edit it."""
    site.assignable = {3}
    await rig.do(Operation.GRANT, table={"course_id": 7, "role_id": 3})
    (finding,) = await wrong(rig, {"course_id": 7, "role_id": 3})
    assert "editingteacher" in finding.said


async def test_one_course_with_two_roles_is_a_fault(rig: Rig) -> None:
    """Taking away the one would take away the other."""
    (finding,) = await wrong(rig, {"course_id": 7}, {"course_id": 7, "role_id": 6})
    assert finding.what == "role_id of course 7"


async def test_a_call_that_fails_is_a_finding(rig: Rig, site: Moodle) -> None:
    """With its remedy."""
    site.denied = {"core_course_get_courses_by_field"}
    (finding,) = await wrong(rig, {"course_id": 7})
    assert finding.remedy
    site.maintenance = True
    (finding,) = await wrong(rig, {"course_id": 7})
    assert "sitemaintenance" in finding.said


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"base_url": "https://school.example.org/webservice/rest/server.php"}, "address of the site"),
        ({"token": ""}, "at least 1"),
        ({"idnumber": "order.number"}, "learner.remote_user_id"),
        ({"auth": "OAuth 2"}, "pattern"),
        ({"revoke": "delete"}, "'suspend' or 'unenrol'"),
    ],
)
def test_settings_that_can_not_be_meant_are_faults(given: dict[str, Any], words: str) -> None:
    """In the words of the setting."""
    with pytest.raises(ValidationError, match=words):
        CONNECTOR.Settings.model_validate(
            {"connector": "moodle", "base_url": "https://school.example.org", "token": "t", **given}
        )


@pytest.mark.parametrize(
    "given", [{}, {"course_id": "7"}, {"course_id": 1}, {"course_id": 7, "role_id": 0}, {"course_id": 7.5}]
)
def test_a_course_is_named_by_its_number(given: dict[str, Any]) -> None:
    """The front page is none."""
    with pytest.raises(ValidationError):
        tables(given)


def test_the_student_is_the_usual_role() -> None:
    """As Moodle comes; two tables of one course are equal."""
    one, other = tables({"course_id": 7}, {"course_id": 7, "role_id": 5})
    assert one == other

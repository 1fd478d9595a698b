"""What ``bridge doctor`` looks at: the functions of the token's service, the courses, their enrolment method, the role."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.contract.outbound import Finding, NeedsOperator, Refused
from connectors.outbound.moodle.api import Api, Ended, Row
from connectors.outbound.moodle.errors import EXPLAINED
from connectors.outbound.moodle.settings import MoodleCourse, MoodleSettings

_ROLES, _COURSES = "core_enrol_get_enrolled_users", "core_course_get_courses_by_field"
_STAFF = frozenset({"manager", "coursecreator", "editingteacher", "teacher"})


class Doctor:
    """Looks, and changes nothing."""

    def __init__(self, settings: MoodleSettings, api: Api) -> None:
        """Look at the site of these settings."""
        self._settings = settings
        self._api = api

    async def findings(self, courses: Sequence[MoodleCourse]) -> list[Finding]:
        """Return one finding for each thing looked at."""
        try:
            return await self._look(courses)
        except Ended as why:
            return [_failed("web services", why)]

    async def _look(self, courses: Sequence[MoodleCourse]) -> list[Finding]:
        site = await self._api.site()
        listed = site.get("functions")
        offered = (
            {str(one.get("name")) for one in listed if isinstance(one, dict)} if isinstance(listed, list) else set()
        )
        found = [_function(name, offered) for name in self._needed()]
        if courses and _COURSES in offered:
            found += await self._of_courses(courses, roles=_ROLES in offered)
        return found

    def _needed(self) -> list[str]:
        names = [
            "core_user_get_users_by_field",
            "core_user_get_users",
            "core_user_create_users",
            "core_user_update_users",
            "enrol_manual_enrol_users",
            _COURSES,
        ]
        return names + (["enrol_manual_unenrol_users"] if self._settings.revoke == "unenrol" else [])

    async def _of_courses(self, courses: Sequence[MoodleCourse], *, roles: bool) -> list[Finding]:
        wanted: dict[int, list[int]] = {}
        for course in courses:
            given = wanted.setdefault(course.course_id, [])
            given += [] if course.role_id in given else [course.role_id]
        rows = {row.get("id"): row for row in await self._api.courses(sorted(wanted))}
        found: list[Finding] = []
        for number, given in sorted(wanted.items()):
            if (row := rows.get(number)) is None:
                found.append(_missing(number))
                continue
            found += [_there(number, row), *_method(number, row)]
            found += [await self._role(number, role, look=roles) for role in given]
            found += [_torn(number, given)] if len(given) > 1 else []
        return found

    async def _role(self, course: int, role: int, *, look: bool) -> Finding:
        what = f"role {role} in course {course}"
        if not look:
            return Finding(what, ok=True, said=f"not looked at: the token's service lacks {_ROLES}")
        try:
            name = (await self._api.roles_seen(course)).get(role)
        except Ended as why:
            return _failed(what, why)
        if name in _STAFF:
            remedy = "Set role_id in the course's table to the student's, shown under Define roles in Moodle."
            return Finding(what, ok=False, said=f"it is {name}: buyers would become staff", remedy=remedy)
        return Finding(what, ok=True, said=name or "nobody there has it yet: the first enrolment tells")


def _function(name: str, offered: set[str]) -> Finding:
    remedy = "Add it in Moodle under Site administration, Server, Web services, External services, Functions."
    ok = name in offered
    return Finding(
        f"function {name}", ok=ok, said="" if ok else "not in the token's service", remedy="" if ok else remedy
    )


def _missing(number: int) -> Finding:
    remedy = "Correct course_id in the course's table, or let the technical user see the course."
    return Finding(
        f"course {number}", ok=False, said="not found, or not to be seen by the technical user", remedy=remedy
    )


def _there(number: int, row: Row) -> Finding:
    return Finding(f"course {number}", ok=True, said=str(row.get("fullname", ""))[:80])


def _method(number: int, row: Row) -> list[Finding]:
    methods = row.get("enrollmentmethods")
    if not isinstance(methods, list):
        return []
    what, ok = f"manual enrolments of course {number}", "manual" in methods
    return [Finding(what, ok=ok, remedy="" if ok else EXPLAINED["no-manual-enrolment"].next_step)]


def _torn(number: int, roles: Sequence[int]) -> Finding:
    given = ", ".join(str(role) for role in roles)
    remedy = (
        "Give all tables of one Moodle course the same role_id: a person is enrolled in it once, whatever the role."
    )
    return Finding(f"role_id of course {number}", ok=False, said=f"mapped with the roles {given}", remedy=remedy)


def _failed(what: str, why: Ended) -> Finding:
    outcome = why.outcome
    remedy = outcome.remedy if isinstance(outcome, NeedsOperator | Refused) else "Run bridge doctor again later."
    return Finding(what, ok=False, said=str(getattr(outcome, "why", "")), remedy=remedy)

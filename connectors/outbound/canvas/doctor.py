"""What ``bridge doctor`` looks at: the account, our rights, and what the courses' tables name."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.contract.outbound import Finding, NeedsOperator, Refused, TryLater
from connectors.outbound.canvas.api import Api, Ended, moment
from connectors.outbound.canvas.settings import CanvasCourse, CanvasSettings

_ALWAYS = {
    "read_roster": "see the list of users",
    "manage_user_logins": "add and change users",
}
_BY_TYPE = {
    "StudentEnrollment": "add_student_to_course",
    "TeacherEnrollment": "add_teacher_to_course",
    "TaEnrollment": "add_ta_to_course",
    "ObserverEnrollment": "add_observer_to_course",
    "DesignerEnrollment": "add_designer_to_course",
}
_NAME_RIGHT = "Turn the right on for the role of the token's user, at Canvas under Admin, Permissions."


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was found of one thing: the object, or the finding that it could not be read."""

    found: Mapping[str, Any] | None
    fault: Finding | None = None


async def findings(
    api: Api, settings: CanvasSettings, courses: Sequence[CanvasCourse], now: datetime
) -> Sequence[Finding]:
    """Return one finding for each thing; once the account is wrong, everything else would only repeat it."""
    account = await _look(f"account {settings.account_id}", api.account())
    if account.fault is not None:
        return [account.fault]
    seen = [Finding(f"account {settings.account_id}", ok=True), *await _rights(api, settings, courses)]
    for table in _first_of(courses, lambda one: str(one.course_id)):
        seen += await _course(api, table, now)
    for table in _first_of(courses, lambda one: str(one.section_id)):
        if table.section_id is not None:
            seen.append(await _section(api, table))
    for table in _first_of(courses, lambda one: f"{one.role_id} {one.enrollment_type}"):
        if table.role_id is not None:
            seen.append(await _role(api, table, table.role_id))
    return seen


def _first_of(courses: Iterable[CanvasCourse], key: Any) -> Iterable[CanvasCourse]:
    return {key(one): one for one in reversed(list(courses))}.values()


async def _look(what: str, call: Awaitable[dict[str, Any]]) -> _Looked:
    try:
        return _Looked(await call)
    except Ended as ended:
        outcome = ended.outcome
        if isinstance(outcome, NeedsOperator | Refused):
            return _Looked(None, Finding(what, ok=False, said=outcome.why, remedy=outcome.remedy))
        said = outcome.why if isinstance(outcome, TryLater) else "no answer that can be read"
        return _Looked(None, Finding(what, ok=False, said=said, remedy="Run `bridge doctor` again later."))


async def _rights(api: Api, settings: CanvasSettings, courses: Sequence[CanvasCourse]) -> list[Finding]:
    needed = dict(_ALWAYS)
    if settings.sis_user_id:
        needed["manage_sis"] = "manage SIS data: without it Canvas leaves SIS ids out without a word"
    for table in courses:
        needed[_BY_TYPE[table.enrollment_type]] = f"add people as {table.enrollment_type}"
    has = await _look("rights of the token's user", api.rights(list(needed)))
    if has.found is None:
        return [has.fault] if has.fault else []
    return [
        Finding(f"right {name}", ok=True)
        if has.found[name] is True
        else Finding(f"right {name}", ok=False, said=f"the token's user may not {purpose}", remedy=_NAME_RIGHT)
        for name, purpose in needed.items()
        if name in has.found  # an older Canvas may not know a right by this name: nothing can be said of it
    ]


async def _course(api: Api, table: CanvasCourse, now: datetime) -> list[Finding]:
    what = f"course {table.course_id}"
    looked = await _look(what, api.course(table))
    if looked.found is None:
        return [looked.fault] if looked.fault else []
    state = looked.found.get("workflow_state")
    if state == "unpublished":
        remedy = "Publish the course at Canvas: until then learners who are enrolled do not see it."
        return [Finding(what, ok=False, said="it is not published", remedy=remedy)]
    if state == "completed":
        remedy = "Reopen the course at Canvas, or correct course_id in [courses.*]."
        return [Finding(what, ok=False, said="it is concluded and takes nobody", remedy=remedy)]
    term = looked.found.get("term")
    ends = moment(term.get("end_at")) if isinstance(term, dict) else None
    if ends is not None and ends <= now and not looked.found.get("restrict_enrollments_to_course_dates"):
        remedy = "Move the course to a term that is under way, or let the course have dates of its own, at Canvas."
        said = f"its term ended on {ends:%Y-%m-%d}, and with it the access of everybody without dates of their own"
        return [Finding(what, ok=True), Finding(f"term of {what}", ok=False, said=said, remedy=remedy)]
    return [Finding(what, ok=True)]


async def _section(api: Api, table: CanvasCourse) -> Finding:
    what = f"section {table.section_id}"
    looked = await _look(what, api.section(table))
    if looked.found is None:
        return looked.fault or Finding(what, ok=False)
    of, number = str(looked.found.get("course_id")), str(table.course_id)
    if number.isdecimal() and of != number:
        remedy = "Correct section_id or course_id in [courses.*]."
        return Finding(what, ok=False, said=f"it belongs to course {of}, not to {number}", remedy=remedy)
    return Finding(what, ok=True)


async def _role(api: Api, table: CanvasCourse, number: int) -> Finding:
    what = f"role {number}"
    looked = await _look(what, api.role(number))
    if looked.found is None:
        return looked.fault or Finding(what, ok=False)
    base = looked.found.get("base_role_type")
    if base != table.enrollment_type:
        remedy = f'Set enrollment_type = "{base}" in [courses.*], or another role_id.'
        return Finding(what, ok=False, said=f"it is a role of {base}, not of {table.enrollment_type}", remedy=remedy)
    return Finding(what, ok=True)

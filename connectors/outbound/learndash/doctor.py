"""What ``bridge doctor`` looks at: our rights, LearnDash's API, and the mapped courses."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.contract.outbound import Finding, NeedsOperator, Refused
from connectors.outbound.learndash.api import Api, Ended
from connectors.outbound.learndash.faults import ERRORS_HERE

_NEEDED = {"list_users": "see the list of users", "create_users": "add users", "edit_users": "change users"}
_ROLE = "Give the user who is set as username the role of an administrator at WordPress."


async def findings(api: Api, courses: Sequence[int]) -> Sequence[Finding]:
    """Return one finding for each thing; without LearnDash nothing can be said of courses."""
    try:
        may = (await api.whoami()).get("capabilities")
        there = await api.has_learndash()
    except Ended as ended:
        return [_fault("WordPress API", ended)]
    seen = [
        Finding(f"right {name}", ok=True)
        if may.get(name)
        else Finding(f"right {name}", ok=False, said=f"the bridge's user may not {purpose}", remedy=_ROLE)
        for name, purpose in _NEEDED.items()
        if isinstance(may, dict)
    ]
    if not there:
        error = ERRORS_HERE["no-learndash"]
        return [*seen, Finding("LearnDash API", ok=False, said=error.sentence, remedy=error.next_step)]
    seen.append(Finding("LearnDash API", ok=True))
    looked = [await _course(api, one) for one in dict.fromkeys(courses)]
    return [*seen, *await _enrolling(api, courses), *looked]


async def _enrolling(api: Api, courses: Sequence[int]) -> Sequence[Finding]:
    """Try it at one course: the same right is needed for all of them."""
    what = "right to enroll"
    if not courses:
        return []
    try:
        await api.may_enroll(courses[0])
    except Ended as ended:
        return [] if ended.fault == "no-such-course" else [_fault(what, ended)]
    return [Finding(what, ok=True)]


async def _course(api: Api, number: int) -> Finding:
    what = f"course {number}"
    try:
        course = await api.course(number)
    except Ended as ended:
        return _fault(what, ended)
    if course.get("status", "publish") != "publish":
        remedy = "Publish the course at WordPress: until then learners who are enrolled do not see it."
        return Finding(what, ok=False, said=f"it is not published ({course['status']})", remedy=remedy)
    if course.get("price_type") == "open":
        remedy = 'Set the course\'s access mode at LearnDash to "closed", so that only those who bought it are in.'
        return Finding(what, ok=False, said="it is open to everybody, so nothing can be taken away", remedy=remedy)
    return Finding(what, ok=True)


def _fault(what: str, ended: Ended) -> Finding:
    outcome = ended.outcome
    if isinstance(outcome, NeedsOperator | Refused):
        return Finding(what, ok=False, said=outcome.why, remedy=outcome.remedy)
    said = getattr(outcome, "why", "no answer that can be read")
    return Finding(what, ok=False, said=said, remedy="Run `bridge doctor` again later.")

"""Who is in which course: one call for all the people and courses of a batch."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.contract.outbound import Operation
from connectors.outbound.moodle.api import Api
from connectors.outbound.moodle.errors import ACCESS
from connectors.outbound.moodle.settings import MoodleSettings
from connectors.outbound.moodle.task import Task, still_open, together

_GONE = frozenset({"invaliduser", "userdeleted"})
_NO_COURSE = frozenset(code for code, name in ACCESS.items() if name == "no-such-course")


class Access:
    """The manual enrolments of a batch's people."""

    def __init__(self, settings: MoodleSettings, api: Api) -> None:
        """Take access away as the settings say."""
        self._hard = settings.revoke == "unenrol"
        self._api = api

    async def bring(self, tasks: Sequence[Task]) -> None:
        """Enrol, set the end, suspend or unenrol, as each piece of work wants it."""
        for task in still_open(tasks):
            if task.user is None:  # only a revocation goes on without an account
                task.done("not enrolled: Moodle does not know the person")
        known = still_open(tasks)
        await together([task for task in known if _wanting(task) and not (self._hard and task.revoking)], self._enrol)
        await together([task for task in known if self._hard and task.revoking], self._unenrol)
        for task in tasks:
            if task.revoking and task.code in _GONE:  # there is nobody who could still get in
                task.done("the account is gone")
            elif task.revoking and task.code in _NO_COURSE and not task.work.refs.right:
                task.done("never enrolled: there is no such course")

    async def _enrol(self, tasks: Sequence[Task]) -> None:
        await self._api.enrol([_row(task) for task in tasks])
        for task in tasks:
            task.changed = True
            task.until = None if task.revoking else task.end

    async def _unenrol(self, tasks: Sequence[Task]) -> None:
        await self._api.unenrol([{"userid": int(str(task.user)), "courseid": task.course.course_id} for task in tasks])
        for task in tasks:
            task.changed = True


def _wanting(task: Task) -> bool:
    """Say whether the enrolment must be written. A changed name is no reason: writing it wakes one that staff suspended."""
    if task.work.operation is not Operation.UPDATE:
        return True
    return task.account is None or task.end_before != task.end or task.user != task.work.refs.person.get("user")


def _row(task: Task) -> dict[str, int]:
    # Left out, dates become 0: both go along every time. The start is none, so that access begins at once whatever the
    # two clocks say. A suspension leaves the end as it was written last.
    return {
        "roleid": task.course.role_id,
        "userid": int(str(task.user)),
        "courseid": task.course.course_id,
        "timestart": 0,
        "timeend": (task.end_before or 0) if task.revoking else task.end,
        "suspend": int(task.revoking),
    }

"""One person's access to one course, learning path or membership: looked at, given, resumed, ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from bridge.contract.outbound import Operation, Outcome, Refused, TryLater
from bridge.kit.clock import Clock
from connectors.outbound.academy_of_mine.api import Api, Row
from connectors.outbound.academy_of_mine.calls import Ended, date
from connectors.outbound.academy_of_mine.errors import KNOWN
from connectors.outbound.academy_of_mine.task import Task

_NO_EXPIRY = "a learning path takes no date: the bridge ends access itself"
_LEFT = "somebody took access away at Academy of Mine, which an update leaves as it is"
_ENDLESS = "2099-12-31 23:59:59"  # an end can be moved, not removed
_RESET = "reset"


class Access:
    """Brings access to what is wanted, once the person's account is known."""

    def __init__(self, api: Api, clock: Clock) -> None:
        """Speak through ``api``."""
        self._api = api
        self._clock = clock

    async def held(self, task: Task, *, thorough: bool = False) -> list[Row]:
        """Look what the person holds of the course; ``thorough`` also where the target knows another e-mail address."""
        if task.course.course_id:
            return await self._api.enrolled_in_course(task.id, task.course)
        rows = await self._api.enrolled_in_path(task.id, task.course.id, task.work.learner.email)
        if not rows and thorough and task.remembered:
            rows = await self._api.enrolled_in_path(task.id, task.course.id, None)
        return rows

    async def resume(self, task: Task, rows: Sequence[Row]) -> Outcome:
        """Make an enrollment that is there give access until the wanted end."""
        row = min(rows, key=lambda row: (row.expired, not row.allowed))
        task.right["enrollment"] = row.id
        granting = task.work.operation is Operation.GRANT
        task.touched = task.touched or (row.allowed and not row.expired)
        if not row.allowed and not granting:
            return task.done(_LEFT)
        if task.course.learning_path_id:
            if not row.allowed:
                raise Ended(KNOWN["path-taken-away"].needs_operator(""))
            return task.done(_NO_EXPIRY if task.work.terms.expires_at else "")
        until = self._until(task)
        if row.expired and not until:
            if not granting:
                return task.done("the enrollment has expired, and an update names no new end")
            raise Ended(KNOWN["expired"].needs_operator(""))
        if granting and self._over(task, row) and self._api.settings.after_expiry == "reset":
            await self._reset(task, row)
        if not row.allowed:
            await self._touch(task, "grant_access", row)
        if until:
            await self._touch(task, "set_expiry", row, until)
            task.right["until"] = until
        return task.done()

    def _until(self, task: Task) -> str:
        """Return the end to set; empty where the course's own rule stands. Only an end of ours is ever taken away."""
        if (wanted := task.work.terms.expires_at) is not None:
            return date(wanted)
        return _ENDLESS if task.right.get("until") else ""

    def _over(self, task: Task, row: Row) -> bool:
        until = task.right.get("until")
        return row.expired or (not row.allowed and bool(until) and str(until) <= date(self._clock.now()))

    async def _reset(self, task: Task, row: Row) -> None:
        if task.finished(_RESET):  # by now the person may have begun anew
            return
        await self._touch(task, "reset_progress", row)
        task.steps.add(_RESET)
        task.notes.append("the progress of the earlier purchase was reset")

    async def _touch(self, task: Task, route: str, row: Row, until: str = "") -> None:
        if not await self._api.change_access(route, task.course, [row.id], until):
            said = f"{route.replace('_', ' ')}: the target says that it did this for nobody"
            raise Ended(TryLater(said, cause="busy"))
        task.touch()

    async def enroll_leftover(self, task: Task) -> Outcome:
        """Enroll somebody whom a call for many may have left out."""
        task.touched = True  # until the list says that this person was left out
        if rows := await self.held(task):
            return await self.resume(task, rows)
        task.touched = False
        return await self.enroll_alone(task)

    async def enroll_alone(self, task: Task) -> Outcome:
        """Enroll one person, and find out why where that is not done."""
        try:
            enrolled = await self._api.enroll(task.course, [task.id])
        except Ended as ended:
            raise Ended(ended.outcome, stale=ended.stale or isinstance(ended.outcome, Refused)) from None
        task.changed = True
        if enrolled:
            task.touch()
            return await self.confirm(task)
        if rows := await self.held(task, thorough=True):
            return await self.resume(task, rows)
        if (await self._api.account(task.id)).shut:
            raise Ended(KNOWN["account-disabled"].needs_operator(""))
        raise Ended(KNOWN["not-enrolled"].refused(""), stale=True)

    async def confirm(self, task: Task) -> Outcome:
        """Learn the enrollment's id."""
        if rows := await self.held(task, thorough=True):
            if task.enrollment not in (None, *(row.id for row in rows)):
                task.forget_enrollment()  # it has a new one, which has no end of ours yet
            return await self.resume(task, rows)
        raise Ended(TryLater("enrolled, but the target does not list the enrollment yet", cause="busy"))

    async def take_known(self, task: Task) -> bool:
        """Take away the enrollment that is known; False where the list has to tell which one counts."""
        try:
            taken = await self._api.change_access(self._taking(task), task.course, [str(task.enrollment)])
        except Ended as ended:  # somebody may have removed it at the target
            if not (ended.stale or isinstance(ended.outcome, Refused)):
                raise
            return False
        if taken:
            task.touch()
        return taken

    async def take_listed(self, task: Task) -> bool:
        """Take away what the list shows; False where there is nothing."""
        soft = self._soft(task)
        rows = [row for row in await self.held(task, thorough=True) if row.allowed or not soft]
        if not rows:
            return False
        task.right["enrollment"] = rows[0].id
        await self._api.change_access(self._taking(task), task.course, [row.id for row in rows])
        task.touch()
        return True

    def _soft(self, task: Task) -> bool:
        return self._api.settings.revoke == "revoke" and task.course.course_id is not None

    def _taking(self, task: Task) -> str:
        if self._soft(task):
            return "revoke_access"
        return "remove" if task.course.course_id else "learning_path_remove"

    async def give_membership(self, task: Task) -> Outcome:
        """Give a membership, or move its end. A person has one, so an update leaves another one as it is."""
        before = None if task.fresh else (await self._api.account(task.id)).membership
        other = before not in (None, task.course.id)
        if other and task.work.operation is Operation.UPDATE:
            return task.done(f"left as it is: the person has membership {before} now")
        await self._api.set_membership(task.id, task.course.id, task.work.terms.expires_at)
        task.touch()
        return task.done(f"in place of membership {before}" if other else "")

    async def end_membership(self, task: Task, now: datetime) -> Outcome:
        """End a membership with a past date, if it is the one that is held."""
        if (await self._api.account(task.id)).membership != task.course.id:
            return task.done("not a member")
        await self._api.set_membership(task.id, task.course.id, now - timedelta(days=1))
        task.touch()
        return task.done()

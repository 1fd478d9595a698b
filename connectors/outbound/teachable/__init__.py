"""Teachable by its Admin API, version 1.

Authentication: the school's key in the header ``apiKey``. The API is part of the paid plans.

Idempotency: enrolling twice is not documented as harmless. So people are searched by e-mail address, and the courses of a
person are read before one is added; where Teachable says "already", they are read again. Teachable takes no end of access,
so the bridge ends it itself; nor is there a switch for its mails. It can change a user's name, but not the address.

Limits: told in ``RateLimit-Limit``, ``-Remaining`` and ``-Reset`` (seconds) with each answer; 120 requests in a minute,
until the first one says otherwise, is a polite guess.

Not confirmed by any source we have: what a second enrollment is answered, that an account which exists is told as 400,
whether an ended enrollment is listed as inactive and enrolls again, and that ``RateLimit-Limit`` is for one minute.

Source: docs.teachable.com and the OpenAPI description of the Admin API.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

from bridge.contract.command import email_key
from bridge.contract.outbound import (
    Explanation,
    Finding,
    Operation,
    OutboundConnector,
    Outcome,
    Receipt,
    Refs,
    Repeat,
    TryLater,
    Work,
)
from bridge.contract.settings import CourseTable, Rate, TargetSettings
from bridge.kit.answers import Ended
from bridge.kit.clock import Clock
from bridge.kit.http import Http
from connectors.outbound.teachable.api import ERRORS, Api, Change, User, full_name
from connectors.outbound.teachable.settings import TeachableCourse, TeachableSettings

_NO_END = "Teachable takes no end of access: the bridge ends it itself"
_LEFT_OUT = "the person was taken out of the course at Teachable, and left so"
_OTHER_ADDRESS = "the account keeps its address: Teachable lets only the person or an administrator change it"


@dataclass(slots=True)
class _Task:
    """One piece of work under way."""

    work: Work
    user: str | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.user = self.work.refs.person.get("user")

    @property
    def course(self) -> int:
        assert isinstance(self.work.course, TeachableCourse)  # noqa: S101 - course_for made it
        return int(self.work.course.course_id)

    @property
    def id(self) -> str:
        assert self.user is not None  # noqa: S101 - asked only after the person was found
        return self.user

    @property
    def refs(self) -> Refs:
        if self.user is None:
            return Refs()
        # Teachable gives an enrollment no id of its own: user and course are its name.
        return Refs({"user": self.user}, {"enrollment": f"{self.user}:{self.course}"})

    def done(self, *notes: str) -> Receipt:
        return Receipt(self.refs, "; ".join([*self.notes, *notes]))


class Teachable:
    """Creates people, enrolls and unenrolls them at Teachable."""

    Settings: ClassVar[type[TargetSettings]] = TeachableSettings
    Course: ClassVar[type[CourseTable] | None] = TeachableCourse
    needs_table: ClassVar[bool] = True
    stage: ClassVar[Literal["lms", "crm"]] = "lms"
    known_by: ClassVar[Literal["email", "user_id"]] = "email"
    operations: ClassVar[Mapping[Operation, Repeat]] = {
        Operation.GRANT: Repeat.LOOKUP,
        Operation.UPDATE: Repeat.LOOKUP,
        Operation.REVOKE: Repeat.LOOKUP,
    }
    batch_size: ClassVar[int] = 1
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(120, 60.0),)
    errors: ClassVar[Mapping[str, Explanation]] = ERRORS

    def __init__(self, settings: TeachableSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http
        self._api = Api(settings.api_key.get_secret_value(), http)

    @classmethod
    def course_for(cls, table: TeachableCourse, remote_product_id: str) -> CourseTable:
        """Return the table as it is: it names the remote course completely."""
        return table

    async def check(self) -> Outcome:
        """List one course."""
        try:
            await self._api.list_one_course()
        except Ended as ended:
            return ended.outcome
        return Receipt(note="the key is accepted")

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look whether the key is good and each course exists."""
        numbers = dict.fromkeys(int(table.course_id) for table in courses if isinstance(table, TeachableCourse))
        found = [_finding("API key", await self.check())]
        return [*found, *[await self._examine_course(number) for number in numbers]]

    async def _examine_course(self, number: int) -> Finding:
        what = f"course {number}"
        try:
            course = await self._api.course(number)
        except Ended as ended:
            return _finding(what, ended.outcome)
        if course is None:
            return _finding(what, ERRORS["no-such-course"].needs_operator(""))
        hidden = " (not published yet)" if course.get("is_published") is False else ""
        return Finding(what, ok=True, said=f"{course.get('name') or 'it exists'}{hidden}")

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Bring each piece of work to effect."""
        return [await self._settle(_Task(work)) for work in batch]

    async def _settle(self, task: _Task) -> Outcome:
        try:
            user = await self._find(task)
            return await (
                self._revoke(task, user) if task.work.operation is Operation.REVOKE else self._give(task, user)
            )
        except Ended as ended:
            return replace(ended.outcome, refs=Refs({"user": task.user}) if task.user else Refs())

    async def _find(self, task: _Task) -> User | None:
        """Return the person with the courses: by the id from an earlier delivery, else by the address."""
        email = task.work.learner.email
        if task.user is not None:
            if (user := await self._api.read_user(task.user)) is not None:
                return user
            task.user = None  # deleted there, or made anew since
        if email is None:
            raise Ended(ERRORS["no-email"].refused(""))
        task.user = await self._api.find_user(email)
        return await self._api.read_user(task.user) if task.user is not None else None

    async def _give(self, task: _Task, user: User | None) -> Outcome:
        work, course = task.work, str(task.course)
        if work.learner.email is None:
            raise Ended(ERRORS["no-email"].refused(""))
        if user is None:
            task.user, fresh = await self._api.create_user(work.learner)
            user = None if fresh else await self._api.read_user(task.id)
        if user is not None and email_key(user.email) != email_key(work.learner.email):
            task.notes.append(_OTHER_ADDRESS)
        updating = work.operation is Operation.UPDATE
        if user is None or not user.courses.get(course, False):
            if updating and not work.unknown and work.refs.right == task.refs.right:
                task.notes.append(_LEFT_OUT)
            else:
                await self._enroll(task)
        if updating and user is not None:
            await self._write_name(task, user)
        return task.done(*([_NO_END] if work.terms.expires_at else []))

    async def _write_name(self, task: _Task, user: User) -> None:
        """Write a name that differs; one that the source leaves empty stays as it is."""
        name = full_name(task.work.learner)
        if name and name != user.name and not await self._api.rename(user.id, name):
            raise Ended(_VANISHED)

    async def _enroll(self, task: _Task) -> None:
        change = await self._api.change("enroll", task.id, task.course)
        if change is Change.DONE:
            return
        user = await self._api.read_user(task.id)
        if change is Change.NOT_FOUND:
            if user is not None and await self._api.course(task.course) is None:
                raise Ended(ERRORS["no-such-course"].needs_operator(f"enroll in course {task.course}"))
            raise Ended(_VANISHED)
        active = user.courses.get(str(task.course)) if user is not None else None
        if active is None:
            raise Ended(TryLater("Teachable says that the person is enrolled already, but does not list the course"))
        if not active:
            raise Ended(ERRORS["inactive-enrollment"].needs_operator(f"enroll in course {task.course}"))

    async def _revoke(self, task: _Task, user: User | None) -> Outcome:
        course = str(task.course)
        if user is None:
            return task.done("Teachable has no such user")
        if not user.courses.get(course, False):
            return task.done("there was no access to take away")
        if await self._api.change("unenroll", task.id, task.course) is Change.DONE:
            return task.done()
        user = await self._api.read_user(task.id)  # whatever it was that is not there: only access counts
        if user is not None and user.courses.get(course, False):
            raise Ended(ERRORS["still-enrolled"].needs_operator(f"unenroll from course {course}"))
        return task.done("there was no access to take away")


def _finding(what: str, outcome: Outcome) -> Finding:
    if isinstance(outcome, Receipt):
        return Finding(what, ok=True, said=outcome.note)
    why = getattr(outcome, "why", "")
    return Finding(what, ok=False, said=why, remedy=getattr(outcome, "remedy", "") or "Run bridge doctor again later.")


_VANISHED = TryLater("Teachable does not know the user that it named a moment ago")

CONNECTOR: type[OutboundConnector] = Teachable

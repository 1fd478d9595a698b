"""Academy of Mine LMS by its REST API.

Authentication: an API key in a header. The vendor gives addresses and authentication to each customer, and its public
reference names neither: the target's ``routes`` and ``auth`` have **assumed** defaults, each of which may be set.

Idempotency: nothing is keyed, so everything is looked up first. People are found by e-mail (which is unique), courses
among the person's enrolled courses, learning paths among the path's students. An enroll call takes many students, but
answers only how many were enrolled; the enrollment's id is looked up afterwards. No limits are published.

Access to a course is revoked and granted again, and ends on a date. A learning path knows neither: its learners are
removed, and the bridge ends access itself. A person has one membership; a past date revokes it. Dates go out as UTC
(assumed).

Source: the vendor's API reference (seed 004), sections Courses, Learning Paths and Users.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import ClassVar, Literal

from bridge.contract.errors import AnswerLost, TransportFault, Unreachable
from bridge.contract.outbound import (
    Explanation,
    Finding,
    NeedsOperator,
    Operation,
    OutboundConnector,
    Outcome,
    Receipt,
    Refs,
    Refused,
    Repeat,
    TryLater,
    Work,
)
from bridge.contract.settings import CourseTable, Rate, TargetSettings
from bridge.kit.answers import ERRORS
from bridge.kit.clock import Clock
from bridge.kit.http import Http
from connectors.outbound.academy_of_mine.api import Api, Ended, Row
from connectors.outbound.academy_of_mine.settings import AcademyOfMineCourse, AcademyOfMineSettings

_AT_ONCE = 4  # people of one batch under way at a time, so that fifty fit into the deadline


@dataclass(slots=True)
class _Task:
    """One piece of work under way.

    ``remembered`` as long as the user's id is one from an earlier delivery; ``changed`` once the target has answered
    a change to the person or the access, from when on nothing that goes wrong leaves things as they were.
    """

    work: Work
    user: str | None = None
    remembered: bool = False
    fresh: bool = False
    changed: bool = False
    enrollment: str | None = None
    notes: list[str] = field(default_factory=list)
    result: Outcome | TransportFault | None = None

    def __post_init__(self) -> None:
        self.user = self.work.refs.person.get("user")
        self.remembered = self.user is not None
        self.enrollment = self.work.refs.right.get("enrollment")

    @property
    def course(self) -> AcademyOfMineCourse:
        assert isinstance(self.work.course, AcademyOfMineCourse)  # noqa: S101 - course_for made it
        return self.work.course

    @property
    def id(self) -> str:
        assert self.user is not None  # noqa: S101 - asked only after the person was found
        return self.user

    @property
    def refs(self) -> Refs:
        person = {"user": self.user} if self.user else {}
        if self.course.membership_id:
            return Refs(person, {"membership": self.course.id})
        return Refs(person, {"enrollment": self.enrollment} if self.enrollment else {})

    @property
    def learnt(self) -> bool:
        """Whether this try found an id that the work did not bring along."""
        known = self.work.refs
        return (self.user not in (None, known.person.get("user"))) or (
            self.enrollment not in (None, known.right.get("enrollment"))
        )

    def failed(self, outcome: Outcome) -> Outcome:
        """Return the outcome with what was learnt before it, and with what an earlier request may have changed."""
        if self.changed and isinstance(outcome, TryLater):
            return replace(outcome, refs=self.refs, applied="unknown")
        return replace(outcome, refs=self.refs)

    def done(self, *notes: str) -> Receipt:
        return Receipt(self.refs, "; ".join(note for note in [*self.notes, *notes] if note))

    def forget(self) -> None:
        self.user = self.enrollment = None
        self.remembered = False


class _Gate:
    """Lets a few people of a batch through at a time, and nobody any more once an answer concerned them all."""

    def __init__(self) -> None:
        self.room = asyncio.Semaphore(_AT_ONCE)
        self.shut: Ended | Unreachable | None = None

    def fail(self, task: _Task, why: Ended | TransportFault) -> None:
        if isinstance(why, TransportFault):
            task.result = why
            self.shut = why if isinstance(why, Unreachable) else self.shut
            return
        task.result = task.failed(why.outcome)
        if isinstance(why.outcome, TryLater | NeedsOperator) and why.outcome.scope == "lane":
            self.shut = why


_Step = Callable[[_Task], Awaitable[Outcome | None]]


class AcademyOfMine:
    """Creates people, enrolls them in courses and learning paths, and gives memberships at Academy of Mine."""

    Settings: ClassVar[type[TargetSettings]] = AcademyOfMineSettings
    Course: ClassVar[type[CourseTable] | None] = AcademyOfMineCourse
    needs_table: ClassVar[bool] = True
    stage: ClassVar[Literal["lms", "crm"]] = "lms"
    known_by: ClassVar[Literal["email", "user_id"]] = "email"
    operations: ClassVar[Mapping[Operation, Repeat]] = {
        Operation.GRANT: Repeat.LOOKUP,
        Operation.UPDATE: Repeat.LOOKUP,
        Operation.REVOKE: Repeat.LOOKUP,
    }
    batch_size: ClassVar[int] = 50
    rate_limit: ClassVar[Sequence[Rate]] = ()
    errors: ClassVar[Mapping[str, Explanation]] = ERRORS

    def __init__(self, settings: AcademyOfMineSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http
        self._clock = clock
        self._api = Api(settings, http)

    @classmethod
    def course_for(cls, table: AcademyOfMineCourse, remote_product_id: str) -> CourseTable:
        """Return the table as it is: it names the remote course completely."""
        return table

    async def check(self) -> Outcome:
        """Search for an address that nobody has."""
        try:
            await self._api.find_user("check@bridge.invalid")
        except Ended as ended:
            return ended.outcome
        return Receipt(note="the key is accepted")

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look at nothing else."""
        return []

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Find or create each person, enroll those who need it with one call a course, and confirm each of them.

        A transport fault stays with the people it hit, and keeps what was learnt before it: were the id of a user who
        was just made forgotten, the next try would make another one as soon as the address has changed. The fault is
        raised only when it hit everybody and nothing was learnt of anybody.
        """
        gate, tasks = _Gate(), [_Task(work) for work in batch]
        await self._each(gate, tasks, self._begin)
        groups: dict[AcademyOfMineCourse, list[_Task]] = {}
        for task in tasks:
            if task.result is None:
                groups.setdefault(task.course, []).append(task)
        for course, members in groups.items():
            await self._each(gate, members, await self._enroll_together(gate, course, members))
        return _outcomes(tasks)

    async def _each(self, gate: _Gate, tasks: Sequence[_Task], step: _Step) -> None:
        async def one(task: _Task) -> None:
            async with gate.room:
                if gate.shut is not None and task.result is None:
                    gate.fail(task, gate.shut)
                if task.result is not None:
                    return
                try:
                    task.result = await self._with_known_user(task, step)
                except (Ended, TransportFault) as why:  # this person's: the others' answers must not be thrown away
                    gate.fail(task, why)

        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(one(task))

    async def _with_known_user(self, task: _Task, step: _Step) -> Outcome | None:
        """Take a step; when it fails over a user id from an earlier delivery, find the person anew and go on."""
        try:
            return await step(task)
        except Ended as ended:
            if not (ended.stale and task.remembered):
                raise
        task.forget()
        return await self._begin(task) or await self._enroll_alone(task)

    async def _begin(self, task: _Task) -> Outcome | None:
        """Do everything but enrolling: None when that is what is left to do."""
        if task.work.operation is Operation.REVOKE:
            return await self._revoke(task)
        await self._find_or_create(task)
        if not task.fresh and (task.work.operation is Operation.UPDATE or task.remembered):
            await self._write_person(task)
        if task.course.membership_id:
            return await self._give_membership(task)
        if task.fresh or not (rows := await self._held(task)):
            return None
        return await self._resume(task, rows)

    async def _write_person(self, task: _Task) -> None:
        """Write name and address of an account that is there; on a grant because they may have changed since it was made."""
        try:
            await self._api.change_user(task.id, task.work.learner)
        except Ended as ended:
            if task.work.operation is Operation.UPDATE or not isinstance(ended.outcome, Refused) or ended.stale:
                raise
            task.notes.append(
                "the person's data was not taken over: " + ended.outcome.why
            )  # no reason to keep them out
        task.changed = True

    async def _find(self, task: _Task) -> bool:
        email = task.work.learner.email
        if task.user is None and email is not None:
            task.user = await self._api.find_user(email)
        return task.user is not None

    async def _find_or_create(self, task: _Task) -> None:
        if task.work.learner.email is None:
            raise Ended(Refused("the learner has no e-mail address", "Send an update with the address."))
        if await self._find(task):
            return
        password = secrets.token_urlsafe(24)  # 32 characters that nobody keeps: the person sets their own
        task.user, task.fresh = await self._api.create_user(task.work.learner, password)
        if task.fresh and task.work.terms.send_email:
            await self._announce(task)

    async def _announce(self, task: _Task) -> None:
        # Only in the try that made the account: each mail carries a new password. It may fail without harm to the grant.
        try:
            answer = await self._api.resend_email(task.id)
        except TransportFault:
            task.notes.append("whether the new-account mail went out is unknown")
            return
        if not answer.ok:
            task.notes.append(f"no new-account mail: HTTP {answer.status} from route resend_email")

    async def _held(self, task: _Task, *, thorough: bool = False) -> list[Row]:
        """Look what the person holds of the course; ``thorough`` also where the target knows another e-mail address."""
        if task.course.course_id:
            return await self._api.enrolled_in_course(task.id, task.course)
        rows = await self._api.enrolled_in_path(task.id, task.course, task.work.learner.email)
        if not rows and thorough and task.remembered:
            rows = await self._api.enrolled_in_path(task.id, task.course, None)
        return rows

    async def _resume(self, task: _Task, rows: Sequence[Row]) -> Outcome:
        """Make an enrollment that is there give access."""
        row = min(rows, key=lambda row: (row.expired, not row.allowed))
        task.enrollment = row.id
        until = task.work.terms.expires_at
        dated = until is not None and task.course.course_id is not None
        if row.expired and not dated:
            raise Ended(_EXPIRED)
        if not row.allowed:
            if task.course.learning_path_id:
                raise Ended(_BY_HAND)
            if not await self._api.change_access("grant_access", task.course, [row.id]):
                raise Ended(TryLater("the target granted access to nobody", cause="busy"))
            task.changed = True
        if dated:
            await self._api.change_access("set_expiry", task.course, [row.id], until)
        return task.done("" if until is None or dated else _NO_EXPIRY)

    async def _enroll_together(self, gate: _Gate, course: AcademyOfMineCourse, members: Sequence[_Task]) -> _Step:
        """Enroll many with one call and return the step that each of them needs next."""
        if len(members) == 1 or gate.shut is not None:
            return self._enroll_alone
        try:
            complete = await self._api.enroll(course, list(dict.fromkeys(task.id for task in members)))
        except (Ended, TransportFault) as why:
            if isinstance(why, Ended) and isinstance(why.outcome, Refused):  # one of them may have spoilt it for all
                return self._enroll_leftover
            for task in members:
                gate.fail(task, why)
            return self._confirm
        for task in members:
            task.changed = True
        return self._confirm if complete else self._enroll_leftover

    async def _enroll_leftover(self, task: _Task) -> Outcome:
        rows = await self._held(task)
        return await self._resume(task, rows) if rows else await self._enroll_alone(task)

    async def _enroll_alone(self, task: _Task) -> Outcome:
        try:
            enrolled = await self._api.enroll(task.course, [task.id])
        except Ended as ended:
            raise Ended(ended.outcome, stale=ended.stale or isinstance(ended.outcome, Refused)) from None
        task.changed = True
        if enrolled:
            return await self._confirm(task)
        if rows := await self._held(task, thorough=True):
            return await self._resume(task, rows)
        raise Ended(_NOT_TAKEN, stale=True)

    async def _confirm(self, task: _Task) -> Outcome:
        """Learn the enrollment's id."""
        if rows := await self._held(task, thorough=True):
            return await self._resume(task, rows)
        raise Ended(TryLater("enrolled, but the target does not list the enrollment yet", cause="busy"))

    async def _revoke(self, task: _Task) -> Outcome:
        if task.course.membership_id:
            return await self._end_membership(task)
        if task.enrollment is not None and await self._take_away_known(task):
            return task.done()
        if not await self._find(task):
            return task.done("not enrolled: the target does not know the person")
        soft = self._soft(task)
        rows = [row for row in await self._held(task, thorough=True) if row.allowed or not soft]
        if not rows and task.remembered:  # the id may be of an account that is gone; the address may have another
            task.forget()
            return await self._revoke(task)
        if not rows:
            return task.done("not enrolled")
        task.enrollment = rows[0].id
        await self._api.change_access(self._taking(task), task.course, [row.id for row in rows])
        return task.done()

    async def _take_away_known(self, task: _Task) -> bool:
        # The id may be of an enrollment that somebody removed at the target; then the list tells which one counts.
        try:
            return await self._api.change_access(self._taking(task), task.course, [str(task.enrollment)])
        except Ended as ended:
            if not (ended.stale or isinstance(ended.outcome, Refused)):
                raise
            return False

    def _soft(self, task: _Task) -> bool:
        return self._settings.revoke == "revoke" and task.course.course_id is not None

    def _taking(self, task: _Task) -> str:
        if self._soft(task):
            return "revoke_access"
        return "remove" if task.course.course_id else "learning_path_remove"

    async def _give_membership(self, task: _Task) -> Outcome:
        before = None if task.fresh else await self._api.membership(task.id)
        await self._api.set_membership(task.id, task.course.id, task.work.terms.expires_at)
        return task.done(*([f"in place of membership {before}"] if before not in (None, task.course.id) else []))

    async def _end_membership(self, task: _Task) -> Outcome:
        if not await self._find(task) or await self._api.membership(task.id) != task.course.id:
            return task.done("not a member")
        await self._api.set_membership(task.id, task.course.id, self._clock.now() - timedelta(days=1))
        return task.done()


def _outcomes(tasks: Sequence[_Task]) -> list[Outcome]:
    faults = [task.result for task in tasks if isinstance(task.result, TransportFault)]
    if faults and len(faults) == len(tasks) and not any(task.learnt for task in tasks):
        raise next((fault for fault in faults if isinstance(fault, AnswerLost)), faults[0])
    return [_outcome(task) for task in tasks]


def _outcome(task: _Task) -> Outcome:
    if isinstance(task.result, TransportFault):
        lost = isinstance(task.result, AnswerLost)
        return task.failed(TryLater(str(task.result), applied="unknown" if lost else "no", cause="outage"))
    assert task.result is not None  # noqa: S101 - every task was taken through its last step
    return task.result


_BY_HAND = NeedsOperator(
    "somebody took the learning path from the person at Academy of Mine",
    "Give access there (its API can not), then requeue the delivery.",
)
_EXPIRED = NeedsOperator(
    "the person's enrollment has expired, and the order says no new end",
    "Set access.duration of the course, or a new date at Academy of Mine, then requeue the delivery.",
)
_NOT_TAKEN = Refused(
    "the target did not enroll the person and does not say why",
    "Look whether the account is disabled, or outside of the portal, then requeue the delivery.",
)
_NO_EXPIRY = "a learning path takes no date: the bridge ends access itself"

CONNECTOR: type[OutboundConnector] = AcademyOfMine

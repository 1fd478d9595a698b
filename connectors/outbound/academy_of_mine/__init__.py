"""Academy of Mine LMS by its REST API.

Authentication: an API key in a header. The vendor gives addresses and authentication to each customer, and its public
reference names neither: the target's ``routes`` and ``auth`` have **assumed** defaults, each of which may be set.

Idempotency: nothing is keyed, so everything is looked up first. People are found by e-mail (which is unique), courses
among the person's enrolled courses, learning paths among the path's students, orders by a private note of ours. An
enroll call takes many students, but answers only how many were enrolled; the enrollment's id is looked up afterwards.

Access to a course is revoked and granted again, and ends on a date, which can be moved but not removed. A learning path
knows neither: its learners are removed, and the bridge ends access itself. A person has one membership; a past date
revokes it. An update writes name, address and end; it gives nothing back that somebody took away at the target.

Limits: none published. ``X-RateLimit-Limit`` and ``X-RateLimit-Remaining`` are heeded where they come.

Not confirmed by any source we have: addresses and authentication; what "Retrieve Users", "Update Membership" of a user
and "Add learners to a portal" answer on success; that ``records[].id`` of Enrolled Courses is the enrollment's id; the
word for an access status other than "Allowed"; that dates are UTC; the fields of ``orderItems`` and ``orderNotes`` where
an order is made (they are sent as a read shows them); that a refusal for want of seats has the word in it; that the
limit of the headers is for a minute.

Source: the vendor's API reference (seed 004), sections Courses, Learning Paths, Memberships, Orders, Portals and Users.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import ClassVar, Literal

from bridge.contract.errors import TransportFault
from bridge.contract.outbound import (
    Explanation,
    Finding,
    Operation,
    OutboundConnector,
    Outcome,
    Receipt,
    Refused,
    Repeat,
    Work,
)
from bridge.contract.settings import CourseTable, Rate, TargetSettings
from bridge.kit.clock import Clock
from bridge.kit.http import Http
from connectors.outbound.academy_of_mine.access import Access
from connectors.outbound.academy_of_mine.api import Api
from connectors.outbound.academy_of_mine.calls import Ended
from connectors.outbound.academy_of_mine.doctor import Doctor
from connectors.outbound.academy_of_mine.errors import KNOWN
from connectors.outbound.academy_of_mine.orders import Orders
from connectors.outbound.academy_of_mine.people import People
from connectors.outbound.academy_of_mine.settings import AcademyOfMineCourse, AcademyOfMineSettings
from connectors.outbound.academy_of_mine.task import Gate, Task, outcomes

_Step = Callable[[Task], Awaitable[Outcome | None]]


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
    errors: ClassVar[Mapping[str, Explanation]] = KNOWN

    def __init__(self, settings: AcademyOfMineSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http
        self._clock = clock
        self._api = Api(settings, http)
        self._people = People(self._api, clock)
        self._access = Access(self._api, clock)
        self._orders = Orders(self._api, clock)

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
        """Try every route that only reads, and look whether the portal and the mapped ids exist."""
        mapped = [course for course in courses if isinstance(course, AcademyOfMineCourse)]
        return await Doctor(self._api, self._clock).examine(mapped)

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Find or create each person, enroll those who need it with one call a course, and confirm each of them.

        A transport fault stays with the people it hit, and keeps what was learnt before it: were the id of a user who
        was just made forgotten, the next try would make another one as soon as the address has changed. The fault is
        raised only when it hit everybody and nothing was learnt of anybody.
        """
        staying = {work.person for work in batch if work.operation is not Operation.REVOKE}
        gate, tasks = Gate(), [Task(work, staying=work.person in staying) for work in batch]
        await self._each(gate, tasks, self._begin)
        groups: dict[AcademyOfMineCourse, list[Task]] = {}
        for task in tasks:
            if task.result is None:
                groups.setdefault(task.course, []).append(task)
        for course, members in groups.items():
            await self._each(gate, members, await self._enroll_together(gate, course, members))
        return outcomes(tasks)

    async def _each(self, gate: Gate, tasks: Sequence[Task], step: _Step) -> None:
        async def one(task: Task) -> None:
            async with gate.room:
                if gate.shut is not None and task.result is None:
                    gate.fail(task, gate.shut)
                if task.result is not None:
                    return
                try:
                    result = await self._with_known_user(task, step)
                    task.result = await self._finish(task) if isinstance(result, Receipt) else result
                except (Ended, TransportFault) as why:  # this person's: the others' answers must not be thrown away
                    gate.fail(task, why)

        async with asyncio.TaskGroup() as group:
            for task in tasks:
                group.create_task(one(task))

    async def _with_known_user(self, task: Task, step: _Step) -> Outcome | None:
        """Take a step; when it fails over a user id from an earlier delivery, find the person anew and go on."""
        try:
            return await step(task)
        except Ended as ended:
            if not (ended.stale and task.remembered):
                raise
        task.forget()
        return await self._begin(task) or await self._access.enroll_alone(task)

    async def _begin(self, task: Task) -> Outcome | None:
        """Do everything but enrolling: None when that is what is left to do."""
        if task.work.operation is Operation.REVOKE:
            return await self._revoke(task)
        await self._people.ready(task)
        if task.course.membership_id:
            return await self._access.give_membership(task)
        if not task.fresh and (rows := await self._access.held(task)):
            return await self._access.resume(task, rows)
        task.forget_enrollment()  # one that is known from earlier is gone
        return None

    async def _finish(self, task: Task) -> Receipt:
        """Do what follows from access given or taken, and return the receipt."""
        if task.work.operation is Operation.GRANT:
            await self._orders.place(task)
        elif task.work.operation is Operation.REVOKE:
            await self._orders.end(task)
            if not task.staying:
                await self._people.leave(task)
        return task.done()

    async def _enroll_together(self, gate: Gate, course: AcademyOfMineCourse, members: Sequence[Task]) -> _Step:
        """Enroll many with one call and return the step that each of them needs next."""
        if len(members) == 1 or gate.shut is not None:
            return self._access.enroll_alone
        try:
            complete = await self._api.enroll(course, list(dict.fromkeys(task.id for task in members)))
        except (Ended, TransportFault) as why:
            if isinstance(why, Ended) and isinstance(why.outcome, Refused):  # one of them may have spoilt it for all
                return self._access.enroll_leftover
            for task in members:
                gate.fail(task, why)
            return self._access.confirm
        for task in members:
            task.changed, task.touched = True, complete
        return self._access.confirm if complete else self._access.enroll_leftover

    async def _revoke(self, task: Task) -> Outcome:
        if task.enrollment is not None and not task.course.membership_id and await self._access.take_known(task):
            return task.done()
        if not await self._people.find(task):
            return task.done("not enrolled: the target does not know the person")
        if task.course.membership_id:
            return await self._access.end_membership(task, self._clock.now())
        if await self._access.take_listed(task):
            return task.done()
        if task.remembered:  # the id may be of an account that is gone; the address may have another
            task.forget()
            return await self._revoke(task)
        return task.done("not enrolled")


CONNECTOR: type[OutboundConnector] = AcademyOfMine

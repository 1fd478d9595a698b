"""Canvas LMS by its REST API: finds or creates people, enrolls them, and ends enrollments.

Authentication: an access token of an administrator, as a bearer token. A 401 with ``WWW-Authenticate`` is the token's; a
401 or 403 that says "not authorized" is a right that the token's user lacks for this one object.

Idempotency: everything is looked up first, and Canvas refuses or reuses what would be double. A person is found by the SIS
id (where ``sis_user_id`` is set), the login, or the exact e-mail address, in this order; a second user with the same SIS
id or login is refused as taken. The same user, type, role and section is one enrollment, which comes back after it ended.
Somebody who is in the course already keeps that enrollment, whichever section it is in.

What is changed: name and default e-mail address on an update, each only where it differs; never the login, the password,
the SIS id, the locale or another field. An enrollment's dates count at Canvas only when both are set, so an end goes out
with a start. An enrollment that staff ended is left as it is by an update; a new purchase brings it back.

Limits: a leaky bucket per token, in units of cost; ten units a second come back. ``X-Rate-Limit-Remaining`` tells how many
are left, and below 150 the lane slows down. Throttled is 429, or 403 with "Rate Limit Exceeded"; no ``Retry-After`` comes.

Not confirmed by any source we have: the names of the granular rights in ``permissions[]``, the answer of the roles
address, whether one user's answer always shows the e-mail address (it is written where it does not), how a user deleted at
Canvas answers to its number (404 is taken to mean gone), and whether a SIS id with a slash in it is found when quoted.

Source: the vendor's API pages on users, enrollments, object ids and throttling, and its published source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from bridge.contract.command import email_key
from bridge.contract.errors import TransportFault
from bridge.contract.mail import NoticeKind
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
from bridge.kit.clock import Clock
from bridge.kit.fields import render
from bridge.kit.http import Http
from connectors.outbound.canvas.api import Api, Ended, Row
from connectors.outbound.canvas.doctor import findings
from connectors.outbound.canvas.faults import ERRORS_HERE, PACE
from connectors.outbound.canvas.settings import CanvasCourse, CanvasSettings


@dataclass(slots=True)
class _Task:
    """One piece of work under way; ``remembered`` as long as the user's id is one from an earlier delivery."""

    work: Work
    user: str | None = None
    remembered: bool = False
    fresh: bool = False
    enrollment: str | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.user = self.work.refs.person.get("user")
        self.remembered = self.user is not None
        self.enrollment = self.work.refs.right.get("enrollment")

    @property
    def course(self) -> CanvasCourse:
        assert isinstance(self.work.course, CanvasCourse)  # noqa: S101 - course_for made it
        return self.work.course

    @property
    def id(self) -> str:
        assert self.user is not None  # noqa: S101 - asked only after the person was found
        return self.user

    @property
    def refs(self) -> Refs:
        return Refs(
            {"user": self.user} if self.user else {},
            {"enrollment": self.enrollment} if self.enrollment else {},
        )

    @property
    def learnt(self) -> bool:
        """Whether this try found an id that the work did not bring along."""
        return self.refs != Refs() and self.refs != Refs(
            {"user": known} if (known := self.work.refs.person.get("user")) else {},
            {"enrollment": known} if (known := self.work.refs.right.get("enrollment")) else {},
        )

    def failed(self, outcome: Outcome) -> Outcome:
        """Return the outcome with what was learnt before it; after a user was made, things are not as they were."""
        if self.fresh and isinstance(outcome, TryLater):
            return replace(outcome, refs=self.refs, applied="unknown")
        return replace(outcome, refs=self.refs)

    def done(self, note: str = "") -> Receipt:
        return Receipt(self.refs, "; ".join([*self.notes, *([note] if note else [])]))

    def forget(self) -> None:
        self.user = self.enrollment = None
        self.remembered = False


class Canvas:
    """Creates people, enrolls them in courses and sections, and ends enrollments at Canvas."""

    Settings: ClassVar[type[TargetSettings]] = CanvasSettings
    Course: ClassVar[type[CourseTable] | None] = CanvasCourse
    needs_table: ClassVar[bool] = True
    stage: ClassVar[Literal["lms", "crm"]] = "lms"
    known_by: ClassVar[Literal["email", "user_id"]] = "email"
    mails: ClassVar[frozenset[NoticeKind]] = frozenset({NoticeKind.ACCESS})
    operations: ClassVar[Mapping[Operation, Repeat]] = {
        Operation.GRANT: Repeat.LOOKUP,
        Operation.UPDATE: Repeat.LOOKUP,
        Operation.REVOKE: Repeat.LOOKUP,
    }
    batch_size: ClassVar[int] = 1
    rate_limit: ClassVar[Sequence[Rate]] = (PACE,)
    errors: ClassVar[Mapping[str, Explanation]] = ERRORS_HERE

    def __init__(self, settings: CanvasSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http
        self._clock = clock
        self._api = Api(settings, http)

    @classmethod
    def course_for(cls, table: CanvasCourse, remote_product_id: str) -> CourseTable:
        """Return the table as it is: it names the remote course completely."""
        return table

    @classmethod
    def page_of(cls, settings: CanvasSettings, kind: str, remote_id: str) -> str | None:
        """Return the profile of a user."""
        known = kind == "user" and remote_id.isascii() and remote_id.isdecimal()
        return f"{settings.base_url.rstrip('/')}/users/{remote_id}" if known else None

    async def check(self) -> Outcome:
        """Ask who we are."""
        try:
            await self._api.whoami()
        except Ended as ended:
            return ended.outcome
        return Receipt(note="the token is accepted")

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look at the account, our rights in it, and each mapped course, section, role and term."""
        tables = [course for course in courses if isinstance(course, CanvasCourse)]
        return await findings(self._api, self._settings, tables, self._clock.now())

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Find or create the person and bring the enrollment to what is wanted.

        A transport fault is raised as long as nothing was learnt. Were the id of a user who was just made forgotten, the
        next try would make another one as soon as the address has changed.
        """
        return [await self._one(_Task(work)) for work in batch]

    async def _one(self, task: _Task) -> Outcome:
        try:
            return await self._with_known_user(task)
        except Ended as ended:
            return task.failed(ended.outcome)
        except TransportFault as fault:
            if not task.learnt:
                raise
            return TryLater(str(fault), applied="unknown", cause="outage", refs=task.refs)

    async def _with_known_user(self, task: _Task) -> Outcome:
        """Do the work; when it fails over a user id from an earlier delivery, find the person anew and do it again."""
        step = self._revoke if task.work.operation is Operation.REVOKE else self._give
        try:
            return await step(task)
        except Ended as ended:
            # It may as well be the course that is not there: then another address would get the person a second user.
            if not (ended.gone and task.remembered) or await self._api.user(task.id) is not None:
                raise
        task.forget()
        return await step(task)

    async def _give(self, task: _Task) -> Outcome:
        await self._find_or_create(task)
        await self._enroll(task, None if task.fresh else await self._held(task))
        if task.work.operation is Operation.UPDATE and not task.fresh:
            await self._write_person(task)
        return task.done()

    async def _held(self, task: _Task) -> Row | None:
        """Return the enrollment that counts of those that the person has in the course."""
        rows = await self._api.enrollments(task.course, task.id)

        def less_fit(row: Row) -> tuple[bool, ...]:
            return (not row.live, row.state != "active", row.id != task.enrollment, row.state != "inactive")

        return min(rows, key=less_fit, default=None)

    async def _enroll(self, task: _Task, row: Row | None) -> None:
        if task.work.operation is Operation.UPDATE and not task.work.unknown:
            if row is None and task.enrollment is not None:
                task.notes.append("Canvas has no enrollment any more; it was left so")
                return
            if row is not None and not row.live:
                task.enrollment = row.id
                task.notes.append(f"the enrollment was ended at Canvas ({row.state}) and left so")
                return
        if row is not None:
            task.enrollment = row.id
            if row.state == "inactive" and await self._api.reactivate(row):
                row = replace(row, state="active")
            if row.state == "active" and _ends(row, task.work.terms.expires_at):
                return
        made = await self._api.enroll(task.course, self._enrollment(task, row))
        task.enrollment = made.id
        if made.state == "inactive":
            await self._api.reactivate(made)

    def _enrollment(self, task: _Task, row: Row | None) -> dict[str, Any]:
        course, terms = task.course, task.work.terms
        body: dict[str, Any] = {"user_id": task.id, "type": course.enrollment_type, "enrollment_state": "active"}
        if course.role_id is not None:
            body["role_id"] = course.role_id
        if row is not None and row.section:  # another section would be a second enrollment
            body["course_section_id"] = row.section
        if course.limit_to_section:
            body["limit_privileges_to_course_section"] = True
        if terms.send_email is not None and task.work.operation is Operation.GRANT:
            body["notify"] = terms.send_email
        if terms.expires_at is not None:  # left out they are cleared, and one without the other does not count
            since = row.start_at if row is not None and row.start_at else self._clock.now()
            body |= {"start_at": _text(since), "end_at": _text(terms.expires_at)}
        return body

    async def _revoke(self, task: _Task) -> Outcome:
        if not await self._find(task):
            return task.done("not enrolled: Canvas does not know the learner")
        try:
            rows = await self._api.enrollments(task.course, task.id)
        except Ended as ended:
            if not ended.gone or (task.remembered and await self._api.user(task.id) is None):
                raise
            return task.done("not enrolled: the course is gone")
        live = [row for row in rows if row.live]
        ours = [row for row in live if row.id == task.enrollment and not task.work.unknown] or live
        for row in ours:
            await self._api.end(row, self._settings.revoke)
            task.enrollment = row.id
        return task.done("" if ours else "not enrolled")

    async def _find_or_create(self, task: _Task) -> None:
        if await self._find(task):
            return
        login = self._login(task.work)
        made = await self._api.create_user(self._new_user(task.work, login))
        if made is not None:
            task.user, task.fresh = str(made["id"]), True
            wanted = self._sis_id(task.work)
            if wanted and made.get("sis_user_id") != wanted:
                task.notes.append("Canvas left the SIS id out: the token's user may not manage SIS data")
        elif not await self._find(task):  # somebody else made it meanwhile, or nobody can be seen behind the login
            raise Ended(ERRORS_HERE["login-taken"].needs_operator("create the user: the login or SIS id is taken"))

    async def _find(self, task: _Task) -> bool:
        """Find the person: as remembered, by SIS id, by login, by e-mail address."""
        if task.user is not None:
            return True
        work, sis_id = task.work, self._sis_id(task.work)
        if sis_id and (user := await self._api.user(f"sis_user_id:{sis_id}")):
            task.user = str(user["id"])
            return True
        user = await self._api.user(f"sis_login_id:{self._login(work)}")
        if user is None and work.learner.email is not None:
            found = await self._api.users_with_email(work.learner.email)
            if len(found) > 1:
                said = f"search the user: {len(found)} users, {', '.join(str(one.get('id')) for one in found[:5])}"
                raise Ended(ERRORS_HERE["several-users"].needs_operator(said))
            user = found[0] if found else None
        if user is not None and self._is_the_learner(user, sis_id, work.operation):
            task.user = str(user["id"])
        return task.user is not None

    def _is_the_learner(self, user: Mapping[str, Any], sis_id: str, operation: Operation) -> bool:
        """Say whether somebody with the login or address is the learner; with SIS ids, those must agree."""
        theirs = str(user.get("sis_user_id") or "")
        if not sis_id or theirs == sis_id or (not theirs and self._settings.adopt_existing):
            return True
        if operation is Operation.REVOKE:  # whoever it is, we never gave them anything
            return False
        raise Ended(ERRORS_HERE["sis-conflict" if theirs else "not-adopted"].needs_operator(f"user {user.get('id')}"))

    async def _write_person(self, task: _Task) -> None:
        user, learner = await self._api.user(task.id), task.work.learner
        if user is None:
            raise Ended(ERRORS_HERE["person"].needs_operator(f"user {task.id} does not exist"), gone=True)
        changes: dict[str, str] = {}
        # Canvas has one field for the name: half a name would overwrite the other half.
        name = f"{learner.first_name} {learner.last_name}" if learner.first_name and learner.last_name else ""
        if name and name != user.get("name"):
            changes["name"] = name
            if user.get("short_name") == user.get("name"):  # nobody chose a display name
                changes["short_name"] = name
        email = learner.email
        if email is not None and email_key(str(user.get("email") or "@")) != email_key(email):
            changes["email"] = email
        if changes:
            await self._api.change_user(task.id, changes)

    def _new_user(self, work: Work, login: str) -> dict[str, Any]:
        learner, sis_id = work.learner, self._sis_id(work)
        pseudonym: dict[str, Any] = {"unique_id": login}
        name = f"{learner.first_name} {learner.last_name}".strip() or (learner.email or login).rpartition("@")[0]
        body: dict[str, Any] = {"user": {"name": name or login, "skip_registration": True}, "pseudonym": pseudonym}
        if sis_id:
            pseudonym["sis_user_id"] = sis_id
            body["enable_sis_reactivation"] = True
        if self._settings.authentication_provider is not None:
            pseudonym["authentication_provider_id"] = self._settings.authentication_provider
        if work.terms.send_email is not None:
            pseudonym["send_confirmation"] = work.terms.send_email
        if learner.email is not None:
            body["communication_channel"] = {"type": "email", "address": learner.email, "skip_confirmation": True}
        return body

    def _login(self, work: Work) -> str:
        if login := render(self._settings.login, {"learner": work.learner}).strip():
            return login
        missing = "no-email" if work.learner.email is None and "learner.email" in self._settings.login else "no-login"
        raise Ended(ERRORS_HERE[missing].refused(""))

    def _sis_id(self, work: Work) -> str:
        return render(self._settings.sis_user_id, {"learner": work.learner}).strip()


def _ends(row: Row, end: datetime | None) -> bool:
    """Say whether the enrollment ends when it shall; an end without a start does not count at Canvas."""
    if end is None or row.end_at is None:
        return end is row.end_at
    return row.start_at is not None and _text(row.end_at) == _text(end)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


CONNECTOR: type[OutboundConnector] = Canvas

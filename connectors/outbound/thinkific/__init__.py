"""Thinkific by its Admin API, version 1.

Authentication: the headers ``X-Auth-API-Key`` and ``X-Auth-Subdomain``, or an OAuth bearer token.

Idempotency: nothing is keyed, and enrolling twice is not documented as harmless. So people are searched by e-mail address
and enrollments by user and course before anything is made; an enrollment that is there gets the dates that are wanted. It
can't be deleted: an end in the past takes access away, and another end gives it back, which is read back, too.

Limits: 120 requests in a minute, more on Plus sites; 429 names in ``RateLimit-Reset`` when it goes on.

Not confirmed by any source we have: that ``expiry_date: null`` takes an end off (it is read back, and where it stays a
far date is set instead), that a PUT leaves the fields alone that it does not name, the texts of refusals, and the form of
``RateLimit-Reset``. The address of a user can only be changed with the credentials of a private integration.

Source: the vendor's developer documentation (enrollments, users, courses, rate limits) and its OpenAPI description.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

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
from bridge.kit.clock import Clock
from bridge.kit.http import Http
from connectors.outbound.thinkific.api import ERRORS, PUBLISHED, Api, Ended, Held, id_of
from connectors.outbound.thinkific.settings import ThinkificCourse, ThinkificSettings

_FAR = "2999-12-31T00:00:00Z"
_KEPT_END = "Thinkific kept the earlier end of access, so it was put off to the year 2999"
_STILL_EXPIRED = (
    "the enrollment has a later end and is expired all the same: open it again at Thinkific, or delete it there"
)
_BEFORE_NOW = timedelta(minutes=5)  # past even for a clock that goes behind ours


@dataclass(slots=True)
class _Task:
    """One piece of work under way. ``remembered`` as long as the user's id is one from an earlier delivery."""

    work: Work
    user: str | None = None
    remembered: bool = False
    fresh: bool = False
    row: Mapping[str, Any] | None = None
    enrollment: str | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.user = self.work.refs.person.get("user")
        self.remembered = self.user is not None
        self.enrollment = self.work.refs.right.get("enrollment")

    @property
    def course(self) -> int:
        assert isinstance(self.work.course, ThinkificCourse)  # noqa: S101 - course_for made it
        return int(self.work.course.course_id)

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

    def forget(self) -> None:
        self.user = self.enrollment = self.row = None
        self.remembered = False

    def done(self, *notes: str) -> Receipt:
        return Receipt(self.refs, "; ".join(note for note in [*self.notes, *notes] if note))


class Thinkific:
    """Creates people, enrolls them, and moves the end of their access at Thinkific."""

    Settings: ClassVar[type[TargetSettings]] = ThinkificSettings
    Course: ClassVar[type[CourseTable] | None] = ThinkificCourse
    needs_table: ClassVar[bool] = True
    stage: ClassVar[Literal["lms", "crm"]] = "lms"
    known_by: ClassVar[Literal["email", "user_id"]] = "email"
    operations: ClassVar[Mapping[Operation, Repeat]] = {
        Operation.GRANT: Repeat.LOOKUP,
        Operation.UPDATE: Repeat.LOOKUP,
        Operation.REVOKE: Repeat.LOOKUP,
    }
    batch_size: ClassVar[int] = 1
    rate_limit: ClassVar[Sequence[Rate]] = (PUBLISHED,)
    errors: ClassVar[Mapping[str, Explanation]] = ERRORS

    def __init__(self, settings: ThinkificSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http
        self._clock = clock
        self._api = Api(settings, http, clock)

    @classmethod
    def course_for(cls, table: ThinkificCourse, remote_product_id: str) -> CourseTable:
        """Return the table as it is: it names the remote course completely."""
        return table

    async def check(self) -> Outcome:
        """List one course."""
        try:
            await self._api.list_one_course()
        except Ended as ended:
            return ended.outcome
        return Receipt(note="the credentials are accepted")

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look whether the credentials are good and each course exists."""
        found = [_finding("credentials and plan", await self.check())]
        for course in dict.fromkeys(int(table.course_id) for table in courses if isinstance(table, ThinkificCourse)):
            what = f"course {course}"
            try:
                name = await self._api.course_name(course)
            except Ended as ended:
                found.append(_finding(what, ended.outcome))
                continue
            error = ERRORS["no-such-course"]
            gone = Finding(what, ok=False, said=error.sentence, remedy=error.next_step)
            found.append(gone if name is None else Finding(what, ok=True, said=name))
        return found

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Bring each piece of work to effect."""
        return [await self._settle(_Task(work)) for work in batch]

    async def _settle(self, task: _Task) -> Outcome:
        """Do the work; when it fails over a user id from an earlier delivery, find the person anew and do it again."""
        while True:
            try:
                return await (self._revoke(task) if task.work.operation is Operation.REVOKE else self._give(task))
            except Ended as ended:
                if not (ended.stale and task.remembered):
                    return replace(ended.outcome, refs=task.refs)
            task.forget()

    async def _give(self, task: _Task) -> Outcome:
        if task.work.learner.email is None:
            raise Ended(ERRORS["no-email"].refused(""))
        if not await self._find(task):
            task.user, task.fresh = await self._api.create_user(
                task.work.learner, send_email=task.work.terms.send_email
            )
        held = [] if task.fresh else await self._api.enrollments(task.id, task.course)
        if held:
            await self._adjust(task, max(held, key=lambda one: (not one.expired, one.activated, int(one.id))))
        else:
            start, end = _text(self._clock.now()), task.work.terms.expires_at
            task.enrollment = await self._api.enroll(task.id, task.course, start, _text(end) if end else None)
        # Access comes first: an address that can't be written is no reason to keep a later end from somebody.
        if task.work.operation is Operation.UPDATE and not task.fresh:
            await self._write_person(task)
        return task.done()

    async def _find(self, task: _Task) -> bool:
        email = task.work.learner.email
        if task.user is None and email is not None and (row := await self._api.find_user(email)) is not None:
            task.user, task.row = id_of(row, "search the user"), row
        return task.user is not None

    async def _write_person(self, task: _Task) -> None:
        """Write what differs of name and address; what the source leaves empty stays as it is."""
        is_now = task.row or await self._api.read_user(task.id)
        learner = task.work.learner
        wanted = {"first_name": learner.first_name, "last_name": learner.last_name}
        changes = {name: text for name, text in wanted.items() if text and text != is_now.get(name)}
        if email_key(str(is_now.get("email") or "")) != email_key(str(learner.email)):
            changes["email"] = str(learner.email)
        if changes:
            await self._api.change_user(task.id, changes)

    async def _adjust(self, task: _Task, held: Held) -> None:
        """Give an enrollment that is there the dates that are wanted, and write nothing where it has them."""
        task.enrollment = held.id
        dates: dict[str, str | None] = {} if held.activated else {"activated_at": _text(self._clock.now())}
        end = task.work.terms.expires_at
        wanted = end is None or end > self._clock.now()
        if held.expires != (end.replace(microsecond=0) if end else None):
            dates["expiry_date"] = _text(end) if end else None
        if dates and not await self._api.set_dates(held.id, dates):
            raise Ended(TryLater("the enrollment was taken away while its dates were set", cause="busy"))
        reopened = held.expired and wanted
        cleared = dates.get("expiry_date", "") is None
        if not (reopened or cleared):
            return
        now_is = await self._api.read_enrollment(held.id)
        if cleared and now_is.expires is not None:
            await self._api.set_dates(held.id, {"expiry_date": _FAR})
            task.notes.append(_KEPT_END)
            now_is = await self._api.read_enrollment(held.id) if reopened else now_is
        if reopened and now_is.expired:
            raise Ended(TryLater(_STILL_EXPIRED, cause="busy"))

    async def _revoke(self, task: _Task) -> Outcome:
        email = task.work.learner.email
        if not await self._find(task):
            if email is None:
                raise Ended(ERRORS["no-email"].refused(""))
            return task.done("Thinkific has no such user")
        held = await self._api.enrollments(task.id, task.course)
        if not held and task.remembered and email is not None:  # the account may have been made anew since
            task.forget()
            return await self._revoke(task)
        past = _text(self._clock.now() - _BEFORE_NOW)
        live = [one for one in held if not one.expired]
        for one in live:
            task.enrollment = one.id
            await self._api.set_dates(one.id, {"expiry_date": past})
        return task.done("" if live else "there was no access to take away")


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _finding(what: str, outcome: Outcome) -> Finding:
    if isinstance(outcome, Receipt):
        return Finding(what, ok=True, said=outcome.note)
    why = getattr(outcome, "why", "")
    return Finding(what, ok=False, said=why, remedy=getattr(outcome, "remedy", "") or "Run bridge doctor again later.")


CONNECTOR: type[OutboundConnector] = Thinkific

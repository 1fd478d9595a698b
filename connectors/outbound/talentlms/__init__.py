"""TalentLMS by its API V2.

Authentication: the key in ``X-API-Key``; the version of the API is a date in ``X-API-Version``.

Idempotency: nothing is keyed. People are looked up by the id from before, by e-mail and by login, which are unique, so that
a repeat is refused and the person is looked up again. Whether somebody is in a course is told by the list of their courses:
it is asked where an earlier try may have enrolled them, and whenever an enrollment or a removal is refused.

An enrollment has no end date and can not be suspended: the bridge ends access itself, and removes the learner. No other
field of an account is written than name and address; the status is required in every change, so it is read first and sent
back unchanged.

Limits: 200 calls in 5 s, and by plan 2,000 or 10,000 an hour; ``X-RateLimit-Limit`` and ``-Remaining`` name what holds.

Source: the vendor's documentation of API V2 ("TalentLMS Public API", with its OpenAPI description) and its help pages. Not
confirmed by any source we have: whether ``type`` and ``message`` of an error stand in ``error`` (one page says so, another
shows them bare; neither is relied on); the body of a new account and of an enrollment; the statuses for somebody who exists,
is enrolled, or is not; whether the list of courses holds one whose time is over; that ``DELETE enrollments`` reads its ids
from a JSON body (a published client does so); which of the two windows the headers speak of (told by the size) and the form
of ``X-RateLimit-Reset``; which dates are versions of the API.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from bridge.contract.command import email_key
from bridge.contract.errors import AnswerLost, TransportFault
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
from bridge.kit.answers import Ended
from bridge.kit.clock import Clock
from bridge.kit.http import Http
from connectors.outbound.talentlms.api import (
    BURST,
    HOUR,
    REFUSALS,
    Api,
    User,
    garbled,
    held,
    numbered,
    spoken,
    told,
)
from connectors.outbound.talentlms.errors import EXPLAINED
from connectors.outbound.talentlms.settings import TalentLmsCourse, TalentLmsSettings

_INACTIVE = "the account is inactive at TalentLMS: the person can not log in"


@dataclass(slots=True)
class _Task:
    """One piece of work under way; ``made`` once this try made the account."""

    work: Work
    user: str = ""
    made: bool = False

    @property
    def course(self) -> int:
        assert isinstance(self.work.course, TalentLmsCourse)  # noqa: S101 - course_for made it
        return self.work.course.course_id

    @property
    def email(self) -> str:
        return self.work.learner.email or ""

    def kept(self, outcome: Outcome) -> Outcome:
        """Return the outcome with the account's id."""
        if self.made and isinstance(outcome, TryLater):
            outcome = replace(outcome, applied="unknown")
        return replace(outcome, refs=Refs({"user": self.user})) if self.user else outcome


class TalentLms:
    """Finds or makes people at TalentLMS, enrolls them in courses and removes them again."""

    Settings: ClassVar[type[TargetSettings]] = TalentLmsSettings
    Course: ClassVar[type[CourseTable] | None] = TalentLmsCourse
    needs_table: ClassVar[bool] = True
    stage: ClassVar[Literal["lms", "crm"]] = "lms"
    known_by: ClassVar[Literal["email", "user_id"]] = "email"
    operations: ClassVar[Mapping[Operation, Repeat]] = {
        Operation.GRANT: Repeat.LOOKUP,
        Operation.UPDATE: Repeat.LOOKUP,
        Operation.REVOKE: Repeat.LOOKUP,
    }
    batch_size: ClassVar[int] = 1
    rate_limit: ClassVar[Sequence[Rate]] = (BURST, HOUR)
    errors: ClassVar[Mapping[str, Explanation]] = EXPLAINED

    def __init__(self, settings: TalentLmsSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http
        self._api = Api(settings, http, clock)

    @classmethod
    def course_for(cls, table: TalentLmsCourse, remote_product_id: str) -> CourseTable:
        """Return the table as it is: it names the remote course completely."""
        return table

    async def check(self) -> Outcome:
        """Look up an address that nobody has."""
        try:
            await self._api.search("email", "check@bridge.invalid")
        except Ended as ended:
            return ended.outcome
        return Receipt(note="the key is accepted")

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look whether each course exists."""
        numbers = sorted({course.course_id for course in courses if isinstance(course, TalentLmsCourse)})
        return [await self._course_found(number) for number in numbers]

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Find or make the person, then enroll, update or remove."""
        return [await self._one(_Task(work)) for work in batch]

    async def _one(self, task: _Task) -> Outcome:
        revoking = task.work.operation is Operation.REVOKE
        try:
            return await (self._remove(task) if revoking else self._give(task))
        except Ended as ended:
            return task.kept(ended.outcome)
        except TransportFault as fault:
            if not task.made:
                raise
            # Were the new account's id forgotten, a changed address would get another account.
            lost = isinstance(fault, AnswerLost)
            return task.kept(TryLater(str(fault), applied="unknown" if lost else "no", cause="outage"))

    async def _give(self, task: _Task) -> Outcome:
        work = task.work
        user = await self._find(task)
        if user is None:
            if not task.email:
                raise Ended(EXPLAINED["no-email"].refused(""))
            user = await self._create(task)
        task.user = str(user["id"])
        updating = work.operation is Operation.UPDATE
        if not updating or task.user != work.refs.person.get("user"):
            await self._enroll(task)
        if updating and not task.made:
            await self._write(task, user)
        right = {"enrollment": f"{task.user}:{task.course}"}
        return Receipt(Refs({"user": task.user}, right), _INACTIVE if user.get("status") == "inactive" else "")

    async def _remove(self, task: _Task) -> Outcome:
        what = "remove the person from the course"
        user = await self._find(task)
        if user is None:
            return Receipt(note="not enrolled: TalentLMS does not know the person")
        task.user = str(user["id"])
        answer = await self._api.send("DELETE", "enrollments", json={"user_id": user["id"], "course_id": task.course})
        if answer.ok and (not answer.body or answer.json is not None):
            return task.kept(Receipt())
        # Not there, or not to be removed? Only TalentLMS itself can say that: a proxy's 404 tells nothing.
        if answer.status not in REFUSALS or not spoken(answer):
            raise self._api.failed(answer, what)
        if await self._api.enrolled(task.user, task.course):
            raise Ended(EXPLAINED["not-removed"].needs_operator(told(answer, what)))
        return task.kept(Receipt(note="not enrolled"))

    async def _find(self, task: _Task) -> User | None:
        """Return the person's account: the one from before, else the one with the address, else with it as the login."""
        known = task.work.refs.person.get("user", "")
        if known.isdecimal() and (user := await self._api.read(known)) is not None:
            return user
        return await self._by_address(task) if task.email else None

    async def _by_address(self, task: _Task) -> User | None:
        return await self._api.search("email", task.email) or await self._api.search("login", task.email.lower())

    async def _create(self, task: _Task) -> User:
        what, learner = "make the account", task.work.learner
        body = {
            "name": learner.first_name or task.email.rpartition("@")[0],
            "surname": learner.last_name or "-",
            "login": task.email.lower(),
            "email": task.email,
            "password": f"aA1-{secrets.token_urlsafe(18)}",  # that nobody keeps: the person sets one
        }
        answer = await self._api.send("POST", "users", json=body)
        if answer.ok and numbered(made := held(answer)):
            task.made = True
            return made
        if not spoken(answer) or not (answer.ok or answer.status in (400, 409, 422)):
            raise self._api.failed(answer, what)
        # Refused, perhaps because it is there by now; or made, and the answer does not show it.
        if (found := await self._by_address(task)) is not None:
            return found
        raise garbled(what) if answer.ok else Ended(EXPLAINED["not-created"].needs_operator(told(answer, what)))

    async def _write(self, task: _Task, user: User) -> None:
        what, learner = "update the account", task.work.learner
        wanted = {"name": learner.first_name, "surname": learner.last_name}
        changes = {field: text for field, text in wanted.items() if text and user.get(field) != text}
        if task.email and email_key(str(user.get("email", ""))) != email_key(task.email):
            changes["email"] = task.email
        if not changes:
            return
        if isinstance(status := user.get("status"), str):
            changes["status"] = status
        answer = await self._api.send("PATCH", f"users/{task.user}", json=changes)
        if answer.status in (400, 409, 422) and spoken(answer):
            raise Ended(EXPLAINED["not-updated"].needs_operator(told(answer, what)))
        if not answer.ok or (answer.body and answer.json is None):
            raise self._api.failed(answer, what)

    async def _enroll(self, task: _Task) -> None:
        """Enroll, unless an earlier try may have done so and did."""
        what, course = f"enroll the person in course {task.course}", task.course
        perhaps = task.work.unknown or bool(task.work.refs.right)
        if perhaps and not task.made and await self._api.enrolled(task.user, course):
            return
        answer = await self._api.send("POST", "enrollments", json={"course_id": course, "user_id": int(task.user)})
        if answer.ok and answer.json is not None:
            return
        if answer.status not in REFUSALS or not spoken(answer):
            raise self._api.failed(answer, what)
        if answer.status == 404:
            raise Ended(EXPLAINED["no-such-course"].needs_operator(told(answer, what)))
        if not await self._api.enrolled(task.user, course):
            raise Ended(EXPLAINED["not-enrolled"].needs_operator(told(answer, what)))

    async def _course_found(self, number: int) -> Finding:
        what = f"course {number}"
        answer = await self._api.send("GET", f"courses/{number}")
        if answer.ok and (found := held(answer)):
            state = " (inactive)" if found.get("status") == "inactive" else ""
            return Finding(what, ok=True, said=f"{str(found.get('name', ''))[:80]}{state}")
        if answer.status == 404 and spoken(answer):
            return Finding(what, ok=False, said="not found", remedy="Correct course_id in the course's table.")
        outcome = self._api.failed(answer, f"look up {what}").outcome
        remedy = outcome.remedy if isinstance(outcome, NeedsOperator | Refused) else "Run bridge doctor again later."
        return Finding(what, ok=False, said=str(getattr(outcome, "why", "")), remedy=remedy)


CONNECTOR: type[OutboundConnector] = TalentLms

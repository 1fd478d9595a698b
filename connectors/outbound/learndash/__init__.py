"""LearnDash, the LMS plug-in of WordPress, by the REST APIs of both.

Authentication: a WordPress application password, as HTTP Basic over TLS, of a user with an administrator's rights.

Idempotency: people are found by their exact e-mail address, which is unique at WordPress, and looked up once more when a
name or address turns out to be taken. Access to a course is a set of users: giving it twice is giving it once. One call lets
many users of a batch into a course; when it fails, each goes alone.

What is changed: first name, last name and address on an update, each only where it differs, and the display name where it
was made of the former names; never a password, a role or another field. An account that is there already is taken as it is.

LearnDash takes no end of access by this API: the bridge ends access itself. A revocation removes the user from the course;
what that does to the progress is the plug-in's business. A page of HTML with status 403 comes from a security plug-in: the
lane waits five minutes and tries again.

The plug-in tells of each user whether something was done. "Already enrolled" counts as done, since in releases between
3.3 and 5.0 the list of a user's courses ends after ten; that list is asked where nothing is told, as at V1 and 3.3. A course
that is open to everybody takes nobody in or out (406), and only an administrator may change who is in a course. An end of
access that a course has by its own setting at LearnDash is not looked at.

Not confirmed by any source we have: ``/?rest_route=`` for LearnDash's part; the statuses of ``existing_user_login`` and
``existing_user_email``; the list of a user's courses at V1; which characters a user name may have; and ``price_type`` as a
field of a course. No answer was seen of a live site: rows and codes are read from the plug-in's source, releases 3.3 to 5.0.

Source: the vendor's developer pages on REST API V2 (course users, user courses), third-party clients, and copies
of the sources of LearnDash's and WordPress' REST controllers in public repositories.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, ClassVar, Literal

from bridge.contract.command import Learner, email_key
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
from bridge.kit.clock import Clock
from bridge.kit.http import Http
from connectors.outbound.learndash.api import Api, Ended
from connectors.outbound.learndash.doctor import findings
from connectors.outbound.learndash.faults import ERRORS_HERE
from connectors.outbound.learndash.settings import LearnDashCourse, LearnDashSettings

_STRANGE = re.compile(r"[^A-Za-z0-9 _.@-]")
_LONGEST_NAME = 60
_NO_END = "LearnDash takes no end of access: the bridge ends it itself"


@dataclass(slots=True)
class _Task:
    """One piece of work under way; ``remembered`` as long as the user's id is one from an earlier delivery."""

    work: Work
    user: str | None = None
    remembered: bool = False
    changed: bool = False
    notes: list[str] = field(default_factory=list)
    result: Outcome | TransportFault | None = None

    def __post_init__(self) -> None:
        self.user = self.work.refs.person.get("user")
        self.remembered = self.user is not None

    @property
    def course(self) -> int:
        assert isinstance(self.work.course, LearnDashCourse)  # noqa: S101 - course_for made it
        return self.work.course.course_id

    @property
    def id(self) -> str:
        assert self.user is not None  # noqa: S101 - asked only after the person was found
        return self.user

    @property
    def out(self) -> bool:
        """Whether access is to be taken away."""
        return self.work.operation is Operation.REVOKE

    @property
    def learnt(self) -> bool:
        """Whether this try found an id that the work did not bring along."""
        return self.user not in (None, self.work.refs.person.get("user"))

    @property
    def refs(self) -> Refs:
        return Refs({"user": self.user} if self.user else {}, self.work.refs.right)

    def done(self, note: str = "") -> Receipt:
        notes = [*self.notes, *([note] if note else [])]
        return Receipt(Refs({"user": self.user} if self.user else {}, {"course": str(self.course)}), "; ".join(notes))

    def fail(self, why: Ended | TransportFault) -> None:
        """Keep what went wrong, with what was learnt before it and what an earlier request may have changed."""
        if isinstance(why, TransportFault):
            self.result = why
            return
        self.result = replace(why.outcome, refs=self.refs)
        if isinstance(self.result, TryLater) and self.changed:
            self.result = replace(self.result, applied="unknown")


_Step = Callable[[_Task], Awaitable[Outcome | None]]
_Shut = Ended | Unreachable | None


class LearnDash:
    """Creates WordPress users and gives and takes access to LearnDash courses."""

    Settings: ClassVar[type[TargetSettings]] = LearnDashSettings
    Course: ClassVar[type[CourseTable] | None] = LearnDashCourse
    needs_table: ClassVar[bool] = True
    stage: ClassVar[Literal["lms", "crm"]] = "lms"
    known_by: ClassVar[Literal["email", "user_id"]] = "email"
    operations: ClassVar[Mapping[Operation, Repeat]] = {
        Operation.GRANT: Repeat.LOOKUP,
        Operation.UPDATE: Repeat.LOOKUP,
        Operation.REVOKE: Repeat.LOOKUP,
    }
    batch_size: ClassVar[int] = 10
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(4, 1.0),)
    errors: ClassVar[Mapping[str, Explanation]] = ERRORS_HERE

    def __init__(self, settings: LearnDashSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http
        self._api = Api(settings, http)

    @classmethod
    def course_for(cls, table: LearnDashCourse, remote_product_id: str) -> CourseTable:
        """Return the table as it is: it names the remote course completely."""
        return table

    @classmethod
    def page_of(cls, settings: LearnDashSettings, kind: str, remote_id: str) -> str | None:
        """Return where WordPress lets a user, or a course, be edited."""
        if not (remote_id.isascii() and remote_id.isdecimal()):
            return None
        pages = {"user": f"user-edit.php?user_id={remote_id}", "course": f"post.php?post={remote_id}&action=edit"}
        return f"{settings.base_url.rstrip('/')}/wp-admin/{pages[kind]}" if kind in pages else None

    async def check(self) -> Outcome:
        """Ask who we are."""
        try:
            await self._api.whoami()
        except Ended as ended:
            return ended.outcome
        return Receipt(note="the application password is accepted")

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look at our rights, at LearnDash's API and at each mapped course."""
        return await findings(self._api, [one.course_id for one in courses if isinstance(one, LearnDashCourse)])

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Find or create each person, then let those of one course in, or shut them out, with one call.

        One request at a time. A transport fault stays with the people it hit; it is raised when it hit everybody and
        nothing was learnt of anybody.
        """
        tasks = [_Task(work) for work in batch]
        shut = await self._each(tasks, self._begin)
        groups: dict[tuple[int, bool], list[_Task]] = {}
        for task in tasks:
            if task.result is None:
                groups.setdefault((task.course, task.out), []).append(task)
        for members in groups.values():
            step = self._alone if shut else await self._together(members)
            shut = await self._each(members, step, shut)
        return _outcomes(tasks)

    async def _each(self, tasks: Sequence[_Task], step: _Step, shut: _Shut = None) -> _Shut:
        """Take a step with one task after the other; what concerns the whole site ends it for everybody else, too."""
        for task in tasks:
            if task.result is not None:
                continue
            if shut is not None:
                task.fail(shut)
                continue
            try:
                task.result = await self._with_known_user(task, step)
            except (Ended, TransportFault) as why:  # this person's: the others' answers must not be thrown away
                task.fail(why)
                if isinstance(why, Unreachable) or (isinstance(why, Ended) and why.everybodys):
                    shut = why
        return shut

    async def _with_known_user(self, task: _Task, step: _Step) -> Outcome | None:
        """Take a step; when it fails over a user id from an earlier delivery, find the person anew and go on alone."""
        try:
            return await step(task)
        except Ended as ended:
            if not (ended.fault == "no-such-user" and task.remembered):
                raise
        task.user, task.remembered = None, False
        return await self._begin(task) or await self._alone(task)

    async def _begin(self, task: _Task) -> Outcome | None:
        """Do everything but what many share: None when that is left to do."""
        if task.out:
            if task.user is None and task.work.learner.email is None:
                raise Ended(ERRORS_HERE["no-email"].refused(""))
            return None if await self._find(task) else task.done("not enrolled: WordPress does not know the learner")
        fresh = await self._find_or_create(task)
        if task.work.operation is Operation.UPDATE and not fresh:
            await self._write_person(task)
            return task.done()
        if task.work.terms.expires_at is not None:
            task.notes.append(_NO_END)
        if task.work.unknown and not fresh and await self._api.is_in(task.id, task.course):
            return task.done()
        return None

    async def _together(self, members: Sequence[_Task]) -> _Step:
        """Change the access of many with one call, and return the step that each of them needs next."""
        if len(members) == 1:
            return self._alone
        try:
            done = await self._change(members)
        except (Ended, TransportFault) as why:
            spoilt = isinstance(why, Ended) and isinstance(why.outcome, NeedsOperator | Refused) and not why.everybodys
            for task in members if not spoilt else ():  # else one of them may have spoilt it for all
                task.fail(why)
            return self._alone
        for task in members:
            task.changed = True
            if task.id in done:
                task.result = task.done()
        return self._confirm

    async def _alone(self, task: _Task) -> Outcome:
        try:
            done = await self._change([task])
        except Ended as ended:
            if task.out and ended.fault == "no-such-course":
                return task.done("not enrolled: the course is gone")
            raise
        task.changed = True
        return task.done() if task.id in done else await self._confirm(task)

    async def _change(self, members: Sequence[_Task]) -> set[str]:
        call = self._api.shut_out if members[0].out else self._api.let_in
        return await call(members[0].course, [task.id for task in members])

    async def _confirm(self, task: _Task) -> Outcome:
        """Look whether it is so: the answer to the change did not say it, or said that nothing had to be changed."""
        if await self._api.is_in(task.id, task.course) is not task.out:
            return task.done()
        raise Ended(ERRORS_HERE["still-in" if task.out else "not-in"].needs_operator(f"user {task.id}"))

    async def _find(self, task: _Task) -> bool:
        email = task.work.learner.email
        if task.user is None and email is not None:
            task.user = await self._api.find_user(email)
        return task.user is not None

    async def _find_or_create(self, task: _Task) -> bool:
        """Return whether the user is a new one."""
        learner = task.work.learner
        if learner.email is None:
            raise Ended(ERRORS_HERE["no-email"].refused(""))
        if await self._find(task):
            return False
        task.user = await self._api.create_user(self._new_user(learner, learner.email))
        if task.user is not None:
            task.changed = True
            return True
        if await self._find(task):  # somebody else made it meanwhile
            return False
        raise Ended(ERRORS_HERE["login-taken"].needs_operator("create the user"))

    def _new_user(self, learner: Learner, email: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "username": _user_name(email),
            "email": email,
            "password": secrets.token_urlsafe(24),  # nobody keeps it: the person sets their own
            "roles": [self._settings.role],
        }
        body |= {"first_name": learner.first_name, "last_name": learner.last_name}
        if name := _name(learner.first_name, learner.last_name):
            body["name"] = name  # else WordPress shows the user name, and with it the address, to everybody
        return body

    async def _write_person(self, task: _Task) -> None:
        user, learner = await self._api.user(task.id), task.work.learner
        first, last = str(user.get("first_name") or ""), str(user.get("last_name") or "")
        changes: dict[str, str] = {}
        if learner.first_name not in ("", first):
            changes["first_name"] = learner.first_name
        if learner.last_name not in ("", last):
            changes["last_name"] = learner.last_name
        if changes and user.get("name") == _name(first, last):
            changes["name"] = _name(changes.get("first_name", first), changes.get("last_name", last))
        if learner.email is not None and email_key(str(user.get("email") or "@")) != email_key(learner.email):
            changes["email"] = learner.email
        if changes:
            await self._api.change_user(task.id, changes)
            task.changed = True


def _name(first: str, last: str) -> str:
    return f"{first} {last}".strip()


def _user_name(email: str) -> str:
    """Return the address as a user name; where WordPress would not take it, with a stable mark that keeps it unique."""
    plain = _STRANGE.sub("-", email)
    if plain == email and len(email) <= _LONGEST_NAME:
        return email
    mark = sha256(email_key(email).encode()).hexdigest()[:10]
    return f"{plain[: _LONGEST_NAME - 11]}-{mark}"


def _outcomes(tasks: Sequence[_Task]) -> list[Outcome]:
    faults = [task.result for task in tasks if isinstance(task.result, TransportFault)]
    if faults and len(faults) == len(tasks) and not any(task.learnt for task in tasks):
        raise next((fault for fault in faults if isinstance(fault, AnswerLost)), faults[0])
    return [_outcome(task) for task in tasks]


def _outcome(task: _Task) -> Outcome:
    if isinstance(task.result, TransportFault):
        lost = isinstance(task.result, AnswerLost) or task.changed
        return TryLater(str(task.result), applied="unknown" if lost else "no", cause="outage", refs=task.refs)
    assert task.result is not None  # noqa: S101 - every task was taken through its last step
    return task.result


CONNECTOR: type[OutboundConnector] = LearnDash

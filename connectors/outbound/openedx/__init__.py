"""Open edX by its bulk enrolment API.

Authentication: OAuth2 client credentials. ``POST /oauth2/access_token`` gives a JWT, which goes along as
``Authorization: JWT ...`` and is fetched anew once when it is refused. The user behind the client has to be global staff.

Idempotency: an enrolment is the pair of person and course, and both actions may be repeated. One call takes many people
of one course and answers for each of them, so each is settled on their own. People are named by e-mail address (or by
user name, see ``user_name``); who has no account yet is enrolled when they register. Open edX has no end of an
enrolment: the bridge ends access itself. A changed address is enrolled besides the earlier one, which may be that of
the account; the end of access takes all of them, but for one at which somebody else is enrolled by now: access there ends
with the last of the two.

Limits: the throttle of enrolments is set by each site; 40 calls a minute is a polite guess, and a call takes 25 people.

Not confirmed by any source we have: that an inactive account is let in once it is activated, the answer 406 of this
call, and that a course which does not exist is told as a JSON 404.

Source: openedx/edx-platform, lms/djangoapps/bulk_enroll, openedx/core/djangoapps/enrollments and
docs/references/auth_code_samples.rst.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from bridge.contract.command import email_key
from bridge.contract.errors import AnswerLost, TransportFault
from bridge.contract.mail import NoticeKind
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
from bridge.kit.fields import as_text, value_at
from bridge.kit.http import Answer, Http
from bridge.kit.tokens import TokenKeeper
from connectors.outbound.openedx.answers import (
    ERRORS,
    NO_END,
    SHARED,
    Member,
    failed,
    garbled,
    given,
    rows_of,
    said,
    taken,
)
from connectors.outbound.openedx.settings import OpenEdxCourse, OpenEdxSettings

_SPLITS = re.compile(r"[\s,]")  # signs at which the target takes a list of people apart


@dataclass(frozen=True, slots=True)
class _Call:
    """What people have to have in common to go into one call."""

    course_id: str
    action: Literal["enroll", "unenroll"]
    email: bool | None


class OpenEdx:
    """Enrolls and unenrolls people at an Open edX site, many with one call."""

    Settings: ClassVar[type[TargetSettings]] = OpenEdxSettings
    Course: ClassVar[type[CourseTable] | None] = OpenEdxCourse
    needs_table: ClassVar[bool] = True
    stage: ClassVar[Literal["lms", "crm"]] = "lms"
    known_by: ClassVar[Literal["email", "user_id"]] = "email"
    mails: ClassVar[frozenset[NoticeKind]] = frozenset({NoticeKind.ACCESS, NoticeKind.CANCELLED_USER})
    operations: ClassVar[Mapping[Operation, Repeat]] = {
        Operation.GRANT: Repeat.ASSUMED,
        Operation.UPDATE: Repeat.ASSUMED,
        Operation.REVOKE: Repeat.ASSUMED,
    }
    batch_size: ClassVar[int] = 25
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(40, 60.0),)
    errors: ClassVar[Mapping[str, Explanation]] = ERRORS

    def __init__(self, settings: OpenEdxSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target; the token is fetched with the first call."""
        self._settings = settings
        self._http = http
        self._keeper = TokenKeeper(self._log_in)
        self._bulk = "/api/bulk_enroll/v1/bulk_enroll" + ("/" if settings.final_slash else "")

    @classmethod
    def course_for(cls, table: OpenEdxCourse, remote_product_id: str) -> CourseTable:
        """Return the table as it is: it names the remote course completely."""
        return table

    async def check(self) -> Outcome:
        """Ask for the bulk view by GET: it answers 405, but only to staff, and only where it is switched on."""
        what = "ask for the bulk enrolment API"
        try:
            answer = await self._call("GET", self._bulk)
        except Ended as ended:
            return ended.outcome
        if answer.status == 405 and answer.json is not None:
            return Receipt(note="the client is accepted, and its user is staff")
        return failed(answer, what)

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look whether people can be enrolled at all, and whether each course exists."""
        found = [_finding("bulk enrolment API and the rights of the client", await self.check())]
        keys = dict.fromkeys(table.course_id for table in courses if isinstance(table, OpenEdxCourse))
        return [*found, *[_finding(f"course {key}", await self._look_up(key)) for key in keys]]

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Make one call for all people of one course, action and mail flag, and settle each of them on their own."""
        settled: dict[int, Outcome] = {}
        groups: dict[_Call, list[Member]] = {}
        for place, work in enumerate(batch):
            identifiers = self._identifiers(work)
            if (outcome := _without_call(work, self._name(work), identifiers)) is not None:
                settled[place] = outcome
            else:
                groups.setdefault(_call_for(work), []).append(Member(place, work, identifiers))
        stop: Outcome | None = None
        for call, members in groups.items():
            if stop is None:
                stop = await self._settle(call, members, settled)
            else:
                settled |= {member.place: stop for member in members}
        return [settled[place] for place in range(len(batch))]

    def _name(self, work: Work) -> str:
        """Return what the person is called now: the user name, else the address, else nothing."""
        path = self._settings.user_name
        name = as_text(value_at(path, {"learner": work.learner})).strip() if path else ""
        return name or work.learner.email or ""

    def _identifiers(self, work: Work) -> tuple[str, ...]:
        """Return the present name and those under which the person was enrolled before; each once, in any spelling.

        Not the one that somebody else is enrolled under as well, who had it earlier: they would lose their course.
        """
        known = work.refs.right
        shared = known.get("shared", "")
        found: dict[str, str] = {}
        for name in (self._name(work), known.get("identifier", ""), *known.get("former", "").split(",")):
            if name and not _SPLITS.search(name) and not (shared and email_key(name) == shared):
                found.setdefault(name.casefold(), name)
        return tuple(found.values())

    async def _settle(self, call: _Call, members: Sequence[Member], settled: dict[int, Outcome]) -> Outcome | None:
        """Settle everybody of one group; return what stands in the way of the groups that follow, if anything does."""
        try:
            outcomes = await self._together(call, members)
        except TransportFault as fault:
            if not settled:
                raise
            # Others have their answer already, and it must not be thrown away.
            lost: Literal["no", "unknown"] = "unknown" if isinstance(fault, AnswerLost) else "no"
            settled |= {member.place: TryLater(str(fault), applied=lost, cause="outage") for member in members}
            return TryLater("not tried: the call before it got no answer", cause="outage")
        settled |= {member.place: outcome for member, outcome in zip(members, outcomes, strict=True)}
        return _in_the_way(outcomes[-1])

    async def _together(self, call: _Call, members: Sequence[Member]) -> list[Outcome]:
        try:
            answer = await self._enroll(call, members)
        except Ended as ended:
            return [ended.outcome] * len(members)
        what = f"{call.action} in {call.course_id}"
        if not answer.ok:
            outcome = failed(answer, what)
            if call.action == "unenroll" and outcome == ERRORS["no-such-course"].needs_operator(said(answer, what)):
                return [_without_course(member, outcome) for member in members]
            if not isinstance(outcome, Refused) or len(members) == 1:
                return [outcome] * len(members)
            return await self._one_by_one(call, members)
        rows = rows_of(answer, call.course_id)
        if rows is None:
            return [garbled(answer, what)] * len(members)
        read = given if call.action == "enroll" else taken
        return [read(member, rows, what) for member in members]

    async def _one_by_one(self, call: _Call, members: Sequence[Member]) -> list[Outcome]:
        """Make a call for each, because one of them may have spoilt it for all."""
        outcomes: list[Outcome] = []
        for member in members:
            stop = _in_the_way(outcomes[-1]) if outcomes else None
            outcomes += [stop] if stop is not None else await self._together(call, [member])
        return outcomes

    async def _enroll(self, call: _Call, members: Sequence[Member]) -> Answer:
        names = dict.fromkeys(
            name
            for member in members
            for name in (member.identifiers if call.action == "unenroll" else member.identifiers[:1])
        )
        body: dict[str, Any] = {
            "auto_enroll": True,
            "action": call.action,
            "courses": call.course_id,
            "identifiers": ",".join(names),
        }
        if call.email is not None:
            body["email_students"] = call.email
        return await self._call("POST", self._bulk, body)

    async def _look_up(self, course_id: str) -> Outcome:
        what = f"read course {course_id}"
        try:
            answer = await self._call("GET", f"/api/enrollment/v1/course/{quote(course_id, safe='')}")
        except Ended as ended:
            return ended.outcome
        if answer.ok:
            return Receipt(note="it exists") if isinstance(answer.json, dict) else garbled(answer, what)
        if answer.status in (400, 404) and isinstance(answer.json, dict):
            return ERRORS["no-such-course"].needs_operator(said(answer, what))
        return failed(answer, what)

    async def _call(self, method: str, path: str, body: Any = None) -> Answer:
        """Make one call; a refused token is renewed and the call repeated, once."""
        token = await self._keeper.token()
        answer = await self._send(method, path, body, token)
        if answer.status == 401:  # it had no effect
            answer = await self._send(method, path, body, await self._keeper.renewed(token))
        return answer

    async def _send(self, method: str, path: str, body: Any, token: str) -> Answer:
        headers = {"Authorization": token, "Accept": "application/json"}
        return await self._http.send(method, path, json=body, headers=headers)

    async def _log_in(self) -> str:
        what = "log in"  # no "token" before the colon: masking takes what follows for its value
        form = {
            "grant_type": "client_credentials",
            "client_id": self._settings.client_id,
            "client_secret": self._settings.client_secret.get_secret_value(),
            "token_type": "jwt",
        }
        answer = await self._http.send("POST", "/oauth2/access_token", form=form)
        body = answer.json if isinstance(answer.json, dict) else {}
        token = body.get("access_token")
        if answer.ok and isinstance(token, str) and token:
            kind = "JWT" if str(body.get("token_type", "jwt")).casefold() == "jwt" else "Bearer"
            return f"{kind} {token}"
        if answer.ok:
            raise Ended(TryLater(f"{what}: HTTP {answer.status} without a token", cause="outage"))
        if answer.status in (400, 401, 403):
            raise Ended(ERRORS["client-refused"].needs_operator(said(answer, what), "lane"))
        raise Ended(failed(answer, what))


def _call_for(work: Work) -> _Call:
    assert isinstance(work.course, OpenEdxCourse)  # noqa: S101 - course_for made it
    if work.operation is Operation.REVOKE:
        told = work.cancellation.notify_learner if work.cancellation else None
        return _Call(work.course.course_id, "unenroll", told)
    told = work.terms.send_email if work.operation is Operation.GRANT else None
    return _Call(work.course.course_id, "enroll", told)


def _without_call(work: Work, name: str, identifiers: tuple[str, ...]) -> Outcome | None:
    """Return the outcome of work for which there is nothing to ask the target."""
    if work.operation is Operation.REVOKE and identifiers:
        return None
    if work.operation is Operation.REVOKE and work.refs.right.get("shared"):
        return Receipt(Refs(right={"identifier": name, "former": ""}), SHARED)
    if not name:
        return ERRORS["no-email"].refused("")
    if _SPLITS.search(name):
        if work.operation is Operation.REVOKE:
            return Receipt(note="nobody can have been enrolled under this name")
        return ERRORS["bad-identifier"].refused("it holds a comma or a space, at which Open edX takes a list apart")
    same = work.refs.right.get("identifier", "").casefold() == name.casefold()
    if work.operation is Operation.UPDATE and same and not work.unknown:
        # Name and end of access are not kept there, and whoever left the course by themselves is not put back.
        return Receipt(work.refs, NO_END if work.terms.expires_at else "")
    return None


def _without_course(member: Member, outcome: Outcome) -> Outcome:
    """Return what it means that the course does not exist where access shall end: nobody got in who was never told of."""
    return outcome if member.work.refs.right else Receipt(note="never enrolled: there is no such course")


def _in_the_way(outcome: Outcome) -> Outcome | None:
    """Return what an outcome means for those who were not tried yet; None where it does not concern them."""
    if isinstance(outcome, TryLater) and outcome.scope == "lane":
        return replace(outcome, applied="no", refs=Refs(), steps=frozenset())
    return outcome if isinstance(outcome, NeedsOperator) and outcome.scope == "lane" else None


def _finding(what: str, outcome: Outcome) -> Finding:
    if isinstance(outcome, Receipt):
        return Finding(what, ok=True, said=outcome.note)
    why = getattr(outcome, "why", "")
    return Finding(what, ok=False, said=why, remedy=getattr(outcome, "remedy", "") or "Run bridge doctor again later.")


CONNECTOR: type[OutboundConnector] = OpenEdx

"""GetCourse by its import API, read back by its export API.

Authentication: the account's secret key, ``key``, in every call. An import is a form whose ``params`` are JSON in base64. Errors
come at HTTP 200, in the envelope.

Idempotency: an order carries our key as ``deal_number``; GetCourse changes the order of that number where there is one. People
are known by e-mail, and a group is only ever added. An existing account keeps its name until the source changes it.

Limits: the page gives none for imports (5 a second is a polite guess), but tariffs limit what may be created in a month. The
export API makes one export at a time and takes 100 requests in two hours; it has a window of its own here, and whoever waits
for it does not hold up the lane.

What it can't do, and what is done instead:

* A completed order whose status changes leaves the purchase, and so the access, as it is. The vendor's advice is an
  additional field of orders, by which a process at GetCourse changes the status: ``status_field``. A revocation writes the
  field and reads the order's status back. Without the field the order is cancelled and the operator does the rest.
* Nobody is taken out of one group: a call may replace all groups of a person, but no call tells which they are in. A
  revocation reads the group's members back; whoever is still in, the operator (or a process) takes out. Somebody who was in
  the group before the bridge added them is not found by the date, and stays.
* An address can't be changed, a purchase has no end that a call sets (the bridge ends it itself), no mail is asked for.

Not confirmed by any source we have: that a repeat of a paid order books no second payment; that a completed order gives access
anew after it was cancelled; what becomes of a ``deal_number`` whose owner has another address, of a group that does not exist
(made or passed over), and of a ``deal_cost`` of 0; the texts of errors on offers and addresses; which of an export's columns is
the order's number or the address (any cell will do). The codes of errors and the empty answer of an account without import
are from public clients, not from the vendor. GetCourse's newer Tech API has more of this, for holders of a developer key.

Sources: the vendor's page "API Call and Response Format Documentation" (seed 003), and the public clients
zenland-dev/n8n-nodes-getcourse and NiktarioN/getcourse-api.

Map: api (import), exports (export), errors (what answers mean), settings; here: what is done for a delivery.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

from bridge.contract.command import email_key
from bridge.contract.outbound import (
    BY_HAND,
    Explanation,
    Finding,
    Operation,
    OutboundConnector,
    Outcome,
    Pending,
    Receipt,
    Refs,
    Repeat,
    TryLater,
    Work,
)
from bridge.contract.settings import CourseTable, Rate, TargetSettings
from bridge.kit.answers import Ended
from bridge.kit.clock import Clock, milliseconds, moment
from bridge.kit.fields import as_text
from bridge.kit.http import Http
from connectors.outbound.getcourse.api import Api
from connectors.outbound.getcourse.errors import AFTER_TOO_MANY, ALL
from connectors.outbound.getcourse.exports import Exports, Wait
from connectors.outbound.getcourse.settings import GetcourseCourse, GetcourseSettings

_CURRENCIES = """
RUB USD EUR GBP BYR BYN KZT UAH AUD DKK CHF SEK ZAR AMD RON BRL ILS
MYR SGD KGS CAD MXN JPY UZS PLN AZN AED TRY INR RSD CZK MNT NZD
"""
_DAY = timedelta(days=1)  # the account's own day may be a neighbour of ours
_PROCESS_AFTER = 600.0  # seconds until an order that was not cancelled at the first look is looked for again
_ANEW = Refs(right={"pending": ""})  # what was read before the operator acted says nothing after it


class _Task:
    """One piece of work, and what is known by now of the person and the right."""

    def __init__(self, work: Work, today: str) -> None:
        assert isinstance(work.course, GetcourseCourse)  # noqa: S101 - course_for made it
        self.work = work
        self.course = work.course
        self.email = work.learner.email or ""
        self.steps = work.steps
        self.user = work.refs.person.get("user", "")
        self.digest = hashlib.sha256(email_key(self.email).encode()).hexdigest()[:16]
        self.moved = work.refs.right.get("address") not in (None, "", self.digest)
        self.today = today
        self.right: dict[str, str] = {}

    @property
    def refs(self) -> Refs:
        return Refs({"user": self.user} if self.user else {}, self.right)

    def learn(self, result: Mapping[str, Any]) -> None:
        """Take over the ids of an answer."""
        user = str(result.get("user_id") or "")
        if self.moved and self.user and user not in ("", self.user):
            raise Ended(ALL["another-account"].needs_operator(f"account {user} in place of {self.user}"))
        self.user = user or self.user
        wanted = {"deal_id": "deal", "deal_number": "number", "payment_link": "payment_link"}
        self.right |= {kind: str(result[name]) for name, kind in wanted.items() if result.get(name)}

    def given(self) -> None:
        """Remember to whom access was given, and the first day of it, by which a group's members are read back."""
        self.right |= {"address": self.digest, "since": self.first("since")}

    def first(self, kind: str) -> str:
        """Return the first day of something, which may be today."""
        return min(self.work.refs.right.get(kind) or self.today, self.today)

    def failed(self, outcome: Outcome) -> Outcome:
        """Return the outcome with what was learnt and done before it."""
        assert not isinstance(outcome, Receipt)  # noqa: S101 - nothing failed then
        refs = Refs(self.refs.person, {**self.right, **outcome.refs.right})
        return replace(outcome, refs=refs, steps=self.steps | outcome.steps)


class Getcourse:
    """Makes people's accounts, orders and group memberships at GetCourse."""

    Settings: ClassVar[type[TargetSettings]] = GetcourseSettings
    Course: ClassVar[type[CourseTable] | None] = GetcourseCourse
    needs_table: ClassVar[bool] = True
    stage: ClassVar[Literal["lms", "crm"]] = "lms"
    known_by: ClassVar[Literal["email", "user_id"]] = "email"
    operations: ClassVar[Mapping[Operation, Repeat]] = {
        Operation.GRANT: Repeat.KEYED,
        Operation.UPDATE: Repeat.ASSUMED,
        Operation.REVOKE: Repeat.KEYED,
    }
    batch_size: ClassVar[int] = 1
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(5, 1.0),)
    errors: ClassVar[Mapping[str, Explanation]] = ALL

    def __init__(self, settings: GetcourseSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http
        self._clock = clock
        key = settings.key.get_secret_value()
        self._api = Api(http, key)
        self._exports = Exports(http, key, clock)

    @classmethod
    def course_for(cls, table: GetcourseCourse, remote_product_id: str) -> CourseTable:
        """Return the table as it is: it names the remote course completely."""
        return table

    async def check(self) -> Outcome:
        """List the groups, which needs no right to write."""
        try:
            await self._exports.groups()
        except Ended as ended:
            outcome = ended.outcome
            if isinstance(outcome, TryLater) and outcome.after == AFTER_TOO_MANY:  # said to those who have the key
                return Receipt(note="the key is accepted; the export API has no requests left at present")
            return outcome
        return Receipt(note="the key is accepted")

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look up each group and the additional field; offers can't be listed by this API."""
        tables = [table for table in courses if isinstance(table, GetcourseCourse)]
        names = dict.fromkeys(table.group for table in tables if table.group)
        findings: list[Finding] = []
        try:
            if names:
                there = await self._exports.groups()
                findings += [_group(name, there=name in there) for name in names]
            if any(table.offer for table in tables):
                findings.append(await self._field())
        except Ended as ended:
            remedy = getattr(ended.outcome, "remedy", "Run the doctor again later.")
            findings.append(Finding("export API", ok=False, said=getattr(ended.outcome, "why", ""), remedy=remedy))
        return findings

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Make the person's account and what they hold, write a changed name, or take access away as far as that goes."""
        return [await self._deliver(work) for work in batch]

    async def _deliver(self, work: Work) -> Outcome:
        if work.learner.email is None:
            return ALL["no-email"].refused("")
        task = _Task(work, self._clock.now().date().isoformat())
        if task.moved and "address" not in work.steps:  # said once: a requeue means that it was done
            return ALL["address-changed"].needs_operator("", steps=frozenset({"address", BY_HAND}))
        doing = {Operation.GRANT: self._grant, Operation.UPDATE: self._update, Operation.REVOKE: self._revoke}
        try:
            return await doing[work.operation](task)
        except Ended as ended:
            return task.failed(ended.outcome)

    async def _grant(self, task: _Task) -> Outcome:
        if not task.user or task.moved:
            task.learn(await self._api.make_person(task.work.learner))
        note = ""
        if task.course.offer:
            deal, note = self._paid(task)
            what = "make the order"
            task.learn(await self._api.order(task.email, task.course.group, deal, what, link=True))
            task.right.setdefault("number", task.work.key)
        else:
            task.learn(await self._api.join(task.email, task.course.group))
        task.given()
        if task.work.refs.right.get("cancelled"):
            task.right["cancelled"] = ""
        return Receipt(task.refs, note)

    async def _update(self, task: _Task) -> Outcome:
        task.learn(await self._api.change_person(task.work.learner))
        task.given()
        return Receipt(task.refs)

    async def _revoke(self, task: _Task) -> Outcome:
        ends_by_process = bool(task.course.offer and self._settings.status_field)
        if task.course.offer and "order" not in task.steps:
            task.learn(await self._api.order(task.email, "", self._cancelled(task), "cancel the order"))
            task.steps |= {"order"}
            task.right["cancelled"] = task.first("cancelled")
        if not ends_by_process and "told" not in task.steps:
            if task.course.offer:
                return task.failed(ALL["access-stays"].needs_operator("", steps=frozenset({"told", BY_HAND})))
            if not self._settings.confirm_revocations:
                return task.failed(ALL["in-group"].needs_operator("", steps=frozenset({"told", BY_HAND})))
        if not self._settings.confirm_revocations:
            return Receipt(
                task.refs, "the process at GetCourse was told" if ends_by_process else "as the operator says"
            )
        return await self._confirm(task, ends_by_process=ends_by_process)

    async def _confirm(self, task: _Task, *, ends_by_process: bool) -> Outcome:
        """Read back what a revocation came to. The handle is the moment before which no export counts."""
        handle = task.work.refs.right.get("pending", "")
        sent_now = "order" in task.steps - task.work.steps  # an export that began before says nothing of it
        if sent_now or not handle.isdigit():
            handle = str(milliseconds(self._clock.now()))
        since = moment(int(handle))
        if ends_by_process and (pending := await self._order_ended(task, handle, since)) is not None:
            return task.failed(pending)
        if task.course.group and (pending := await self._left(task, handle, since)) is not None:
            return task.failed(pending)
        return Receipt(task.refs)

    async def _order_ended(self, task: _Task, handle: str, since: datetime) -> Pending | None:
        """Return None once the process at GetCourse has changed the order's status."""
        # A process may have acted long before the operator looks, and has the delivery try again.
        told = datetime.fromisoformat(task.right.get("cancelled") or task.first("cancelled"))
        filters = {"status": self._settings.revoke_status, "status_changed_at[from]": (told - _DAY).date().isoformat()}
        found = await self._exports.table("/pl/api/account/deals", filters, since)
        if isinstance(found, Wait):
            return Pending(handle, found.after)
        if found.holds(task.work.key):
            return None
        if "looked" in task.steps:
            raise Ended(ALL["no-process"].needs_operator("", refs=_ANEW))
        return Pending("", _PROCESS_AFTER, steps=frozenset({"looked"}))

    async def _left(self, task: _Task, handle: str, since: datetime) -> Pending | None:
        """Return None once the person is not in the group (any more)."""
        name = task.course.group
        number = await self._exports.group_id(name)
        if number is None:
            raise Ended(ALL["no-such-group"].refused(f"group {name}"))
        first = task.work.refs.right.get("since")
        begun = (datetime.fromisoformat(first) - _DAY).date().isoformat() if first else "2000-01-01"
        found = await self._exports.table(f"/pl/api/account/groups/{number}/users", {"added_at[from]": begun}, since)
        if isinstance(found, Wait):
            return Pending(handle, found.after)
        if found.holds(task.email) or found.lists(task.user):  # people may change their address there
            raise Ended(ALL["in-group"].needs_operator(f"group {name}", refs=_ANEW))
        return None

    def _paid(self, task: _Task) -> tuple[dict[str, Any], str]:
        """Return an order that is paid and completed, and a note where not all of it could be said."""
        money, note = _money(task.work)
        deal = self._of(task) | money
        return deal | {"quantity": 1, "deal_status": "payed", "deal_is_paid": 1} | self._marked("payed"), note

    def _cancelled(self, task: _Task) -> dict[str, Any]:
        deal, status = self._of(task), self._settings.revoke_status
        if not task.work.refs.right.get("deal"):  # the grant's answer was lost: it may not be there, and is made then
            deal |= _money(task.work)[0]
        return deal | (self._marked(status) or {"deal_status": status})

    def _of(self, task: _Task) -> dict[str, Any]:
        return {"deal_number": task.work.key, **task.course.offer}

    def _marked(self, status: str) -> dict[str, Any]:
        field = self._settings.status_field
        return {"addfields": {field: status}} if field else {}

    async def _field(self) -> Finding:
        name = self._settings.status_field
        if not name:
            said = "status_field is not set: each revocation will ask the operator to cancel the purchase by hand"
            return Finding("end of access", ok=True, said=said)
        what = f"additional field {name}"
        if name in await self._exports.field_names():
            return Finding(what, ok=True, said="there; whether a process acts on it can't be seen")
        remedy = (
            "Make the additional field of orders at GetCourse, with a process that acts on it, or correct status_field."
        )
        return Finding(what, ok=False, said="not there", remedy=remedy)


def _money(work: Work) -> tuple[dict[str, str], str]:
    """Return what was paid, and a note where it could not be said."""
    amount, currency = as_text(work.amount_paid), (work.currency or "").upper()
    if currency in _CURRENCIES.split() or not currency:
        return {"deal_cost": amount or "0"} | ({"deal_currency": currency} if currency else {}), ""
    # Whoever has paid gets in; their money would be booked as so much of another.
    note = f"GetCourse takes no {currency}: the amount stands in the order's comment"
    return {"deal_cost": "0", "deal_comment": f"{amount} {currency}"}, note


def _group(name: str, *, there: bool) -> Finding:
    if there:
        return Finding(f"group {name}", ok=True, said="there")
    return Finding(f"group {name}", ok=False, said="not there", remedy="Make the group, or correct group_name.")


CONNECTOR: type[OutboundConnector] = Getcourse

"""Salesforce: one Contact for each learner, by the REST API (version 60.0 unless the settings name another).

Authentication: OAuth 2.0 client credentials on the My Domain host; ``login.salesforce.com`` and ``test.salesforce.com``
refuse that flow. The token answer names the ``instance_url`` where the API is. A session has no announced life: a 401
renews it once.

Idempotency: every write is an upsert by an external id field of Contact (text, *External ID* and *Unique*), whose value
is the bridge's own name of the person, so it may be repeated at any time. A plain create is never sent.

Fields that turn out empty are left out, so that a sender that knows less does not wipe what the CRM holds. ``LastName``
is required of a new contact: where Salesforce misses it, the upsert is sent once more with the part of the e-mail before
the ``@``, or ``-``.

Limits: requests a day by licence (100 000 and more), no ``Retry-After``; 200 records in one collections call. Errors
are an array, those of the token endpoint an object; over the limit is 403, a locked row is 400.

Source: Salesforce's REST API guide ("Upsert a Record Using an External ID", "sObject Collections Upsert", "Status Codes
and Error Responses", "Duplicate Rule Header") and its help on the client credentials flow.

Map: settings (what the operator writes), session (log in and call), outcomes (the table of answers); here: the work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from bridge.contract.outbound import (
    Explanation,
    Finding,
    NeedsOperator,
    Operation,
    OutboundConnector,
    Outcome,
    Receipt,
    Repeat,
    TryLater,
    Work,
)
from bridge.contract.settings import CourseTable, Rate, TargetSettings
from bridge.kit.answers import ERRORS
from bridge.kit.clock import Clock
from bridge.kit.fields import render
from bridge.kit.http import Answer, Http
from connectors.outbound.salesforce.outcomes import (
    Problem,
    Table,
    only_match,
    problem_of,
    problem_of_item,
    stops_the_lane,
    unreadable,
    worth_splitting,
)
from connectors.outbound.salesforce.session import NoSession, Session
from connectors.outbound.salesforce.settings import SalesforceSettings

_UPSERT, _LINK = "upsert the contact", "link the contact that matches"
_NAME = "LastName"
_COLLECTIONS_SINCE = 46.0  # API version
_AT_ONCE = 5  # single calls under way when a batch had to be split; more would queue up at the org's row locks
_SINGLES_SECONDS = 12.0  # then no further ones are begun: a delivery has 25 s in all


class Salesforce:
    """Keeps one Contact for each learner."""

    Settings: ClassVar[type[TargetSettings]] = SalesforceSettings
    Course: ClassVar[type[CourseTable] | None] = None
    needs_table: ClassVar[bool] = False
    stage: ClassVar[Literal["lms", "crm"]] = "crm"
    known_by: ClassVar[Literal["email", "user_id"]] = "user_id"
    operations: ClassVar[Mapping[Operation, Repeat]] = {Operation.CONTACT: Repeat.KEYED}
    batch_size: ClassVar[int] = 200
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(20, 1.0),)
    errors: ClassVar[Mapping[str, Explanation]] = ERRORS

    def __init__(self, settings: SalesforceSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http
        self._clock = clock
        self._session = Session(settings, http)
        self._external_id = settings.contact.external_id
        self._table = Table(self._external_id)

    @classmethod
    def course_for(cls, table: CourseTable, remote_product_id: str) -> CourseTable:
        """Return an empty table: Salesforce needs nothing per course."""
        return CourseTable()

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Upsert one contact, or up to 200 by one call; of two with one external id the later one is sent, for both."""
        try:
            if len(batch) == 1:
                return [await self._upsert(batch[0])]
            people = {work.person.casefold(): work for work in batch}  # external ids compare without case
            outcomes = dict(zip(people, await self._upsert_all([*people.values()]), strict=True))
        except NoSession as none:
            return [none.outcome] * len(batch)
        return [outcomes[work.person.casefold()] for work in batch]

    async def check(self) -> Outcome:
        """Ask for the org's limits: a good session may always see them."""
        try:
            answer = await self._session.call("GET", "/limits")
        except NoSession as none:
            return none.outcome
        if answer.ok and isinstance(limits := answer.json, dict):
            daily = limits.get("DailyApiRequests")
            left = daily if isinstance(daily, dict) else {}
            return Receipt(note=f"{left.get('Remaining')} of {left.get('Max')} API requests are left today")
        return self._table.of_call(answer, "read the limits")

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look at nothing else."""
        return []

    async def _upsert(self, work: Work) -> Outcome:
        answer = await self._patch(work)
        if self._lacks_name(problem_of(answer.json), work):
            answer = await self._patch(work, made_up=True)
        problem = problem_of(answer.json)
        if self._links(problem):
            return await self._link(work, problem)
        return self._table.of_call(answer, _UPSERT, work)

    async def _patch(self, work: Work, *, made_up: bool = False) -> Answer:
        # The value stands in the path only: Salesforce refuses an upsert that repeats it in the body.
        path = f"/sobjects/Contact/{self._external_id}/{quote(work.person, safe='')}"
        return await self._session.call("PATCH", path, self._fields(work, made_up=made_up))

    def _lacks_name(self, problem: Problem, work: Work) -> bool:
        """Say whether the contact is a new one, and nobody told its last name."""
        return problem.code == "REQUIRED_FIELD_MISSING" and _NAME in problem.fields and _NAME not in self._fields(work)

    def _links(self, problem: Problem) -> bool:
        return self._settings.duplicates == "link" and problem.code == "DUPLICATES_DETECTED"

    async def _link(self, work: Work, problem: Problem) -> Outcome:
        """Write our external id on the one contact that the duplicate rule matched, then upsert again."""
        found, key = only_match(problem.duplicates), self._external_id
        if found is None:
            return NeedsOperator(
                f"{_LINK}: a duplicate rule found no single contact with certainty",
                f"Merge the contacts, or set {key} on the right one, then requeue the delivery.",
            )
        held = await self._session.call("GET", f"/sobjects/Contact/{found}?fields=Id,{key}")
        if held.ok and isinstance(record := held.json, dict):
            if record.get(key) and str(record[key]).casefold() != work.person.casefold():
                return NeedsOperator(  # adopting it would take the record away from another learner
                    f"{_LINK}: {found} is the contact of another person already",
                    f"Merge the two people, or give this one a contact with its own {key}, then requeue the delivery.",
                )
            held = await self._session.call("PATCH", f"/sobjects/Contact/{found}", {key: work.person})
            if held.ok:
                return self._table.of_call(await self._patch(work), _UPSERT, work)
        if held.status == 404:
            return TryLater(f"{_LINK}: {found} is no longer there; the next try sees what matches now", cause="busy")
        return unreadable(held, _LINK) if held.ok else self._table.of_call(held, _LINK, work)

    async def _upsert_all(self, works: Sequence[Work], *, made_up: bool = False) -> Sequence[Outcome]:
        if float(self._settings.api_version) < _COLLECTIONS_SINCE:
            return await self._one_by_one(works)
        key = self._external_id
        about = {"attributes": {"type": "Contact"}}
        records = [{**about, key: work.person, **self._fields(work, made_up=made_up)} for work in works]
        answer = await self._session.call(
            "PATCH", f"/composite/sobjects/Contact/{key}", {"allOrNone": False, "records": records}
        )
        results = answer.json
        if answer.ok and isinstance(results, list) and len(results) == len(works):
            return await self._settled(works, results, made_up=made_up)
        if answer.ok:
            return [unreadable(answer, "upsert the contacts")] * len(works)
        common = self._table.of_call(answer, "upsert the contacts")
        return await self._one_by_one(works) if worth_splitting(answer, common) else [common] * len(works)

    async def _settled(self, works: Sequence[Work], results: Sequence[Any], *, made_up: bool) -> Sequence[Outcome]:
        # A result need not say which contact matched: what is to be linked is asked once more, by itself.
        pairs = [(work, result, problem_of_item(result)) for work, result in zip(works, results, strict=True)]
        linked = [work for work, _, problem in pairs if self._links(problem)]
        nameless = [] if made_up else [work for work, _, problem in pairs if self._lacks_name(problem, work)]
        outcomes = [*await self._one_by_one(linked)]
        if nameless:
            outcomes += await self._upsert_all(nameless, made_up=True)
        again = dict(zip((work.person for work in [*linked, *nameless]), outcomes, strict=True))
        return [again.get(work.person) or self._table.of_item(result, _UPSERT, work) for work, result, _ in pairs]

    async def _one_by_one(self, works: Sequence[Work]) -> Sequence[Outcome]:
        """Upsert by single calls, a few at once, until the time is up or one says that the others would fail too."""
        until = self._clock.monotonic() + _SINGLES_SECONDS
        outcomes: list[Outcome] = []
        while len(outcomes) < len(works):
            some = works[len(outcomes) : len(outcomes) + _AT_ONCE]
            rest: Outcome | None = None
            for done in await asyncio.gather(*map(self._upsert, some), return_exceptions=True):
                if isinstance(done, BaseException):
                    raise done
                outcomes.append(done)
                rest = done if rest is None and stops_the_lane(done) else rest
            if rest is None and self._clock.monotonic() > until:
                rest = TryLater(f"{_UPSERT}: not begun, the batch was sent in single calls and its time was up")
            if rest is not None:
                outcomes += [rest] * (len(works) - len(outcomes))
        return outcomes

    def _fields(self, work: Work, *, made_up: bool = False) -> dict[str, str]:
        latest = work.enrollments[-1] if work.enrollments else None
        roots: dict[str, Any] = {"learner": work.learner, "registration": latest}
        if latest is not None:
            roots |= {"course": latest.course, "order": latest.order}
        rendered = {name: render(text, roots).strip() for name, text in self._settings.contact.templates.items()}
        filled = {name: text for name, text in rendered.items() if text}
        return {_NAME: (work.learner.email or "").rpartition("@")[0] or "-", **filled} if made_up else filled


CONNECTOR: type[OutboundConnector] = Salesforce

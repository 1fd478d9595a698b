"""Salesforce: one Contact for each learner and a record for each registration, by the REST API (version 60.0 by default).

Authentication: OAuth 2.0, client credentials on the My Domain host (``login.salesforce.com`` and ``test.salesforce.com``
refuse that flow), or a signed assertion (JWT bearer). The token answer names the ``instance_url`` where the API is. A
session has no announced life: a 401 renews it once.

Idempotency: every write is an upsert by an external id field (text, *External ID* and *Unique*), whose value is the
bridge's own name of the person or the registration, so it may be repeated at any time. A plain create is never sent. A
contact that is there without our external id is looked for by e-mail, once for each learner, and adopted.

Two targets of one organisation make one contact of a learner as long as both name the same external id field: of two
upserts at one moment the unique field takes one, and the other is repeated and finds it. With a field each, each makes a
contact of its own where it finds none by e-mail. Two learners who share an address never take one contact as long as
their targets name the same field and run in one process. Two bridges that look at one moment may: the later one's id stands
there, and the other learner gets a contact of their own with the next change. Salesforce has no write that rules it out:
``If-Match`` is for accounts only, and ``If-Unmodified-Since`` is weak validation, to the second, of one record a call.

Registrations name their contact by its external id, after it was written. One is sent only when its content differs from
what Salesforce confirmed last (a hash, kept as a ref of the person), so a colleague's own changes stay.

Fields that turn out empty are left out, so that a sender that knows less does not wipe what the CRM holds; but a
template that names the registration's state clears its field. ``LastName`` is required of a new contact: where
Salesforce misses it, the upsert is sent once more with the part of the e-mail before the ``@``, or ``-``.

Limits: requests a day by licence (100 000 and more), told with every answer (``Sforce-Limit-Info``), no ``Retry-After``;
200 records in one collections call. At ``stop_at`` per cent of the day the bridge lets one delivery through every quarter
of an hour and leaves the rest to others. Errors are an array, those of the token endpoint an object; over the limit is
403, a locked row is 400.

Not confirmed by any source we have: the text and status of an unknown parent, the error code of two records of one
external id within a collections call, the shape of ``limits``, the message of REQUEST_LIMIT_EXCEEDED, whether every
refused token has status 400, updating by ``id`` in a collections call, and that numbers and checkboxes take text.

Source: Salesforce's REST API guide ("Upsert a Record Using an External ID", "sObject Collections Upsert", "Status Codes
and Error Responses", "Duplicate Rule Header", "sObject Describe") and its help on both flows; facts
``outbound/salesforce.md``.

Map: settings (what the operator writes), errors (faults in words), login and session (calling), outcomes (the table of
answers), writer (records by one call or several), people (what is to stand there), contacts, doctor; here: the work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from bridge.contract.outbound import Explanation, Finding, Operation, OutboundConnector, Outcome, Receipt, Repeat, Work
from bridge.contract.settings import CourseTable, Rate, TargetSettings
from bridge.kit.clock import Clock
from bridge.kit.http import Http
from connectors.outbound.salesforce import doctor
from connectors.outbound.salesforce.contacts import Contacts
from connectors.outbound.salesforce.errors import ERRORS
from connectors.outbound.salesforce.login import NoSession
from connectors.outbound.salesforce.people import Person, people_of, registrations_of, settle
from connectors.outbound.salesforce.session import Session
from connectors.outbound.salesforce.settings import RegistrationMapping, SalesforceSettings
from connectors.outbound.salesforce.writer import Kind, Writer

_SECONDS = 12.0  # then no further calls are begun: a delivery has 25 s in all


class Salesforce:
    """Keeps one Contact for each learner, and a record for each registration."""

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
        self._session = Session(settings, http, clock)
        contact = Kind("Contact", settings.contact.external_id, "contact")
        self._contact = Writer(contact, self._session, settings.api_version, clock)
        self._contacts = Contacts(
            self._contact,
            self._session,
            settings.base_url,
            adopt=settings.adopt,
            link=settings.duplicates == "link",
        )

    @classmethod
    def course_for(cls, table: CourseTable, remote_product_id: str) -> CourseTable:
        """Return an empty table: Salesforce needs nothing per course."""
        return CourseTable()

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Write contacts, then registrations; of two works for one external id the later one is sent, for both."""
        if (parked := self._session.parked) is not None:
            return [parked] * len(batch)
        until = self._clock.monotonic() + _SECONDS
        people = people_of(batch, self._settings)
        everybody = [*people.values()]
        try:
            await self._contacts.bring(everybody, until)
            if (mapping := self._settings.registration) is not None:
                await self._register([one for one in everybody if one.outcome is None], mapping, until)
        except NoSession as none:
            for person in everybody:
                person.outcome = person.outcome or none.outcome
        ended = {name: person.ended() for name, person in people.items()}
        return [ended[work.person.casefold()] for work in batch]

    @classmethod
    def page_of(cls, settings: SalesforceSettings, kind: str, remote_id: str) -> str | None:
        """Return the page of a record: every id of Salesforce's own form has one."""
        own = remote_id.isascii() and remote_id.isalnum() and len(remote_id) in (15, 18)
        return f"{settings.base_url.rstrip('/')}/{remote_id}" if own else None

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
        return self._contact.table.of_call(answer, "read the limits")

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look at the objects and fields that are mapped, and at what is left of the day's requests."""
        try:
            return await doctor.examined(self._settings, self._session)
        except NoSession as none:
            said = none.outcome
            remedy = getattr(said, "remedy", "Run the doctor again later.")
            return [Finding("login", ok=False, said=getattr(said, "why", ""), remedy=remedy)]

    async def _register(self, people: Sequence[Person], mapping: RegistrationMapping, until: float) -> None:
        kind = Kind(mapping.object, mapping.external_id, "registration")
        writer = Writer(kind, self._session, self._settings.api_version, self._clock)
        theirs = {one.work.person: registrations_of(one, mapping, self._settings) for one in people}
        try:
            told = iter(await writer.write([record for records in theirs.values() for record in records], until))
        except NoSession as none:  # whoever has nothing to be sent is done
            for person in people:
                person.outcome = none.outcome if theirs[person.work.person] else None
            return
        for person in people:
            settle(person, [(record, next(told)) for record in theirs[person.work.person]], mapping.object)


CONNECTOR: type[OutboundConnector] = Salesforce

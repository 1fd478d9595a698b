"""HubSpot CRM: contacts and deals by its objects API, v3 or a date version such as 2026-03 (only the paths differ).

Authentication: a static token (service key or legacy private app) as ``Authorization: Bearer``. A 401 is a fault of the
configuration, never a reason to log in again.

Idempotency: ``batch/upsert`` creates or updates in one call and may be repeated freely: contacts by e-mail, deals by a
property of ours that holds unique values (``deal_key``). A ``PATCH`` by id writes the same values again, and joining a
deal and a contact once more changes nothing. A search lags its writes, so nothing here looks before it writes. Results
of a batch are found by our trace id or by their key, never by their order. A batch that HubSpot takes in part (207) or
not at all (400, 409) is sent again one by one, which isolates the bad one.

Deals: one for each registration, its content being the target's ``deal`` mapping with the course's on top, from when the
registration is enrolled, and then the fields of every action that applies. It is written when that content changes.

Empty values: HubSpot clears a property that is sent empty. What a sender doesn't know must not wipe what a colleague
typed in, so an empty value is left out, unless the property's template names ``registration.state`` or
``registration.live``: a state that no longer stands behind anything is cleared.

Limits: 100 records a batch; 100 requests per 10 s on the smallest plan, of which we take 80 until HubSpot's answers name
the limit of the account and what is left of it. The daily limit parks the lane for an hour, and then again. An account
in migration (477) is left alone for as long as HubSpot asks, or as ``[dispatch]`` allows at most, and then asked again.

Not confirmed by any source we have: that an error of a batch carries our trace id in its context (we don't rely on it);
the names ``READ_ONLY_VALUE`` and ``INVALID_OPTION`` in error messages, and how HubSpot words an upsert by a property
that is missing (another wording is refused without the special advice); the status when a property exists already (409
assumed) or when a deal to be joined is gone (404 assumed); the scopes ``crm.schemas.*.write``; the date-version paths of
pipelines and of ``associate/default``, which follow those that are known.

Source: facts ``outbound/hubspot.md``, sections 0, 2, 3, 4 and 6.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from bridge.contract.command import email_key
from bridge.contract.errors import AnswerLost, TransportFault
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
from connectors.outbound.hubspot.answers import ERRORS, failed, results
from connectors.outbound.hubspot.api import Api
from connectors.outbound.hubspot.contacts import Contact, Contacts, contact_of
from connectors.outbound.hubspot.deals import Deals, deals_of
from connectors.outbound.hubspot.doctor import Doctor
from connectors.outbound.hubspot.settings import HubspotCourse, HubspotSettings
from connectors.outbound.hubspot.upserts import Turns, lane_wide, settle


class Hubspot:
    """Keeps contacts in HubSpot CRM, and a deal for each of their registrations."""

    Settings: ClassVar[type[TargetSettings]] = HubspotSettings
    Course: ClassVar[type[CourseTable] | None] = HubspotCourse
    needs_table: ClassVar[bool] = False
    stage: ClassVar[Literal["lms", "crm"]] = "crm"
    known_by: ClassVar[Literal["email", "user_id"]] = "email"
    operations: ClassVar[Mapping[Operation, Repeat]] = {Operation.CONTACT: Repeat.KEYED}
    batch_size: ClassVar[int] = 100
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(80, 10.0),)
    errors: ClassVar[Mapping[str, Explanation]] = ERRORS

    def __init__(self, settings: HubspotSettings, http: Http, clock: Clock) -> None:
        """Take the settings of one target."""
        self._settings = settings
        self._http = http
        self._clock = clock
        self._api = Api(settings, http)

    @classmethod
    def course_for(cls, table: CourseTable, remote_product_id: str) -> CourseTable:
        """Return the table as it is: what is bought makes no difference to HubSpot."""
        return table

    async def deliver(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        """Create or update each person's contact, then their deals; of two with one address the later one is sent, for both."""
        turns = Turns(self._clock)
        contacts = self._contacts(batch)
        await Contacts(self._api, turns).bring(list(contacts.values()))
        await self._bring_deals(turns, [one for one in contacts.values() if one.remote_id])
        return [_outcome(contacts.get(email_key(work.learner.email or ""))) for work in batch]

    async def check(self) -> Outcome:
        """List one contact."""
        answer = await self._api.send("GET", self._api.objects("contacts"), params={"limit": "1"})
        if results(answer) is not None:
            return Receipt(note="the token is accepted")
        return failed(answer, "list contacts")

    async def examine(self, courses: Sequence[CourseTable], *, fix: bool) -> Sequence[Finding]:
        """Look at scopes, mapped properties and their values, the deal's key, pipelines and stages."""
        tables = [one for one in courses if isinstance(one, HubspotCourse)]
        return await Doctor(self._settings, self._api, fix=fix).findings(tables)

    def _contacts(self, batch: Sequence[Work]) -> dict[str, Contact]:
        contacts: dict[str, Contact] = {}
        for work in batch:
            if work.learner.email:
                contact = contact_of(self._settings, work)
                earlier = contacts.get(contact.email)
                contact.deals = {**(earlier.deals if earlier else {})}
                contact.deals |= {deal.ref: deal for deal in deals_of(self._settings, work)}
                contacts[contact.email] = contact
        return contacts

    async def _bring_deals(self, turns: Turns, contacts: Sequence[Contact]) -> None:
        deals = [deal for contact in contacts for deal in contact.deals.values()]
        for contact in contacts:
            for deal in contact.deals.values():
                deal.contact = contact.remote_id
        try:
            await Deals(self._api, turns).bring(deals)
        except TransportFault as fault:
            # Were it raised, the ids of contacts that were just made would be forgotten, and a person whose address
            # changes before the next try would get a second contact.
            applied: Literal["no", "unknown"] = "unknown" if isinstance(fault, AnswerLost) else "no"
            left = [one for one in deals if one.unfinished]
            settle(left, TryLater(str(fault), applied=applied, cause="outage"))


def _outcome(contact: Contact | None) -> Outcome:
    if contact is None:
        return ERRORS["no-email"].refused("")
    if contact.outcome is not None:
        return contact.outcome
    deals = contact.deals.values()
    refs = {"contact": contact.remote_id, "email": contact.email}
    for deal in deals:
        refs |= deal.remembered
    if troubles := sorted(_troubles(contact), key=_gravest_first):
        return replace(troubles[0], refs=Refs(person=refs))
    notes = [*contact.notes, *(deal.note for deal in deals if deal.note)]
    return Receipt(Refs(person=refs), "; ".join(notes))


def _troubles(contact: Contact) -> Iterator[Outcome]:
    yield from (deal.outcome for deal in contact.deals.values() if deal.outcome is not None)


def _gravest_first(outcome: Outcome) -> tuple[bool, bool]:
    """What holds for the whole lane comes first, then what a repeat may mend."""
    return not lane_wide(outcome), not isinstance(outcome, TryLater)


CONNECTOR: type[OutboundConnector] = Hubspot

"""A person's contact: found by e-mail, made where there is none, and followed when the address changes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.contract.command import email_key
from bridge.contract.outbound import TryLater, Work
from bridge.kit.actions import due, folded, roots_of
from bridge.kit.http import Answer
from connectors.outbound.hubspot.answers import failed, problem, record_id, results
from connectors.outbound.hubspot.api import Api
from connectors.outbound.hubspot.deals import Deal
from connectors.outbound.hubspot.settings import HubspotSettings
from connectors.outbound.hubspot.upserts import Record, Turns, settle, upsert

# With the words before it: a refusal may quote values, and somebody may be named "Existing ID: 1".
_EXISTING_ID = re.compile(r"already exists\W{1,3}Existing ID:\s*(\d+)")


@dataclass(slots=True, kw_only=True)
class Contact(Record):
    """One person of a batch.

    Attributes:
        email: the address as it is compared.
        moved: id of the contact that has an earlier address of the person.
    """

    email: str
    moved: str | None
    deals: dict[str, Deal] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str]:
        """The e-mail, as it is sent."""
        return "email", self.properties["email"]

    def is_meant(self, value: str) -> bool:
        """Whether this is the address, however it is written."""
        return email_key(value) == self.email

    def is_there(self, remote_id: str, note: str = "") -> None:
        """HubSpot has it, under this id and this e-mail."""
        self.remote_id = remote_id
        self.notes += [note] if note else []


def contact_of(settings: HubspotSettings, work: Work) -> Contact:
    """Return the contact that a piece of work comes to: the mapping, then every action that applies, oldest first."""
    learner = work.learner
    address, key = str(learner.email).lower(), email_key(str(learner.email))
    latest = work.enrollments[-1] if work.enrollments else None
    actions = [one for _, one in settings.contact_actions]
    mapped = [(settings.contact, roots_of(learner, latest))]
    told = folded([*mapped, *((one.action.fields, one.roots) for one in due(actions, work))])
    earlier = work.refs.person.get("email", key)
    moved = work.refs.person.get("contact") if earlier != key else None
    return Contact(email=key, trace=work.key, properties={"email": address, **told}, learner=learner, moved=moved)


class Contacts:
    """Brings contacts to HubSpot."""

    def __init__(self, api: Api, turns: Turns) -> None:
        """Take the way there and the time there is."""
        self._api = api
        self._turns = turns

    async def bring(self, contacts: Sequence[Contact]) -> None:
        """Create or update them; afterwards each has its id or its outcome."""
        stopped = await self._turns.each([one for one in contacts if one.moved], self._move)
        waiting = [one for one in contacts if one.open]
        if stopped is not None:
            settle(waiting, stopped)
        elif len(waiting) == 1:
            await self._upsert_one(waiting[0])
        elif waiting:
            await self._upsert(waiting)

    async def _move(self, contact: Contact) -> None:
        """Give a known contact its new e-mail; where that can't be, leave it to the upsert."""
        path = self._api.object("contacts", contact.moved or "")
        answer = await self._api.send("PATCH", path, {"properties": contact.properties})
        if remote_id := record_id(answer.json if answer.ok else None):
            contact.is_there(remote_id, "the e-mail was changed")
        elif answer.status == 404:
            contact.notes.append(f"contact {contact.moved} is gone")
        elif answer.status == 409:
            contact.notes.append(f"another contact has the new e-mail; contact {contact.moved} was left as it is")
        else:
            contact.outcome = failed(answer, "change the contact's e-mail", [contact.learner])

    async def _upsert(self, contacts: Sequence[Contact]) -> None:
        answer = await upsert(self._api, "contacts", contacts)
        left = [one for one in contacts if one.open]
        if results(answer) is not None or answer.status in (400, 409):
            await self._turns.each(left, self._upsert_one)
        else:
            settle(left, failed(answer, "upsert the contacts", [one.learner for one in contacts]))

    async def _upsert_one(self, contact: Contact) -> None:
        answer = await upsert(self._api, "contacts", [contact])
        if not contact.open:
            return
        if answer.status == 409 or problem(answer).category == "CONFLICT":
            await self._resolve(contact, answer)
        else:
            contact.outcome = failed(answer, "upsert the contact", [contact.learner])

    async def _resolve(self, contact: Contact, refusal: Answer) -> None:
        """Update the contact that stands in the way: HubSpot names its id in the message (facts, 4.2)."""
        found = _EXISTING_ID.search(refusal.text)
        address = contact.properties["email"]
        path = self._api.object("contacts", found[1] if found else address)
        # The address may be its second one: it is named only where there is nothing else to say.
        told = {name: value for name, value in contact.properties.items() if name != "email"} or {"email": address}
        params = None if found else {"idProperty": "email"}
        answer = await self._api.send("PATCH", path, {"properties": told}, params=params)
        if remote_id := record_id(answer.json if answer.ok else None):
            contact.is_there(remote_id, "the contact was there already")
        elif answer.status == 404:
            contact.outcome = TryLater("upsert the contact: it is in the way and yet not to be found")
        else:
            contact.outcome = failed(answer, "update the existing contact", [contact.learner])

"""One person of a batch, on the way to an outcome, and what is to stand at Salesforce for them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from bridge.contract.outbound import Enrollment, NeedsOperator, Outcome, Pending, Receipt, Refs, Refused, TryLater, Work
from bridge.contract.settings import Milestone
from bridge.kit.actions import due, folded, roots_of
from connectors.outbound.salesforce.outcomes import Record, Told, stops_the_lane
from connectors.outbound.salesforce.settings import (
    ContactAction,
    RegistrationAction,
    RegistrationMapping,
    SalesforceSettings,
)

NAME = "LastName"


@dataclass(slots=True)
class Person:
    """One piece of work.

    Attributes:
        refs: what was learnt on the way.
        there: whether the contact was written.
        outcome: what came in the way; None where nothing did.
    """

    work: Work
    fields: Mapping[str, Any]
    refs: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    there: bool = False
    outcome: Outcome | None = None

    @property
    def contact(self) -> str:
        """Id of the contact, as it was told last."""
        return self.refs.get("contact") or self.work.refs.person.get("contact", "")

    def record(self, *, at: str = "", made_up: bool = False) -> Record:
        """Return the contact to be written; ``made_up``: with a last name for a new one whose nobody told."""
        name = {NAME: (self.work.learner.email or "").rpartition("@")[0] or "-"} if made_up else {}
        return Record(self.work.person, {**name, **self.fields}, self.work, at=at)

    def written(self, told: Told, how: str = "") -> None:
        """Note that the contact is at Salesforce, or what came in the way."""
        if told.outcome is not None:
            self.outcome = told.outcome
            return
        self.there = True
        gone = self.work.refs.person.get("contact")
        if told.id:
            self.refs["contact"] = told.id
        self.notes.append(how or ("created" if told.created else "updated"))
        if told.created and gone and gone != told.id:
            self.notes.append(f"contact {gone} was no longer there")

    def ended(self) -> Outcome:
        """Return the outcome, with whatever was learnt: a failed try keeps what it has done."""
        refs = Refs(person=self.refs)
        if self.outcome is None:
            return Receipt(refs, "; ".join(self.notes))
        return replace(self.outcome, refs=refs)


def people_of(batch: Iterable[Work], settings: SalesforceSettings) -> dict[str, Person]:
    """Return the persons of a batch, by their folded name: external ids compare without case. Of two works the later one counts."""
    return {work.person.casefold(): Person(work, _contact_fields(work, settings)) for work in batch}


def _contact_fields(work: Work, settings: SalesforceSettings) -> dict[str, Any]:
    latest = work.enrollments[-1] if work.enrollments else None
    mine = due([action for action in settings.actions if isinstance(action, ContactAction)], work)
    base = (settings.contact.templates, roots_of(work.learner, latest))
    return _sent(folded([base, *((one.action.fields, one.roots) for one in mine)]))


def registrations_of(person: Person, mapping: RegistrationMapping, settings: SalesforceSettings) -> list[Record]:
    """Return the records of the person's registrations whose content is not what Salesforce confirmed last."""
    work = person.work
    theirs = due([action for action in settings.actions if isinstance(action, RegistrationAction)], work)
    parts: dict[int, list[tuple[Mapping[str, str], Mapping[str, Any]]]] = {}
    if mapping.templates:
        for number, enrollment in _ever_enrolled(work.enrollments).items():
            parts[number] = [(mapping.templates, roots_of(work.learner, enrollment))]
    for one in theirs:
        parts.setdefault(one.enrollment.registration_id, []).append((one.action.fields, one.roots))
    link = {mapping.relationship: {settings.contact.external_id: work.person}}
    records = [
        Record(f"bridge-registration-{number}", _sent(folded(told)), work, mark=f"-{number}", link=link)
        for number, told in sorted(parts.items())
    ]
    return [one for one in records if known_print(work.refs.person, one.mark) != fingerprint(one, mapping.object)]


def fingerprint(record: Record, name: str) -> str:
    """Return a short hash of what is sent; a colleague's later change at the CRM does not alter it."""
    content = orjson.dumps([name, record.link, record.fields], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).hexdigest()[:16]


def known_print(refs: Mapping[str, str], mark: str) -> str:
    """Return the hash of what was confirmed last; empty where nothing was."""
    return refs.get(f"registration:{mark[1:]}", "").partition(" ")[2]


def settle(person: Person, told: Iterable[tuple[Record, Told]], name: str) -> None:
    """Note what became of a person's registrations; the outcome is that which asks for the soonest repeat."""
    failed: list[Outcome] = []
    steps: frozenset[str] = frozenset()
    for record, one in told:
        if one.outcome is None:
            number = record.mark[1:]
            known = one.id or person.work.refs.person.get(f"registration:{number}", "").partition(" ")[0] or "-"
            person.refs[f"registration:{number}"] = f"{known} {fingerprint(record, name)}"
            person.notes.append(f"registration {number} {'created' if one.created else 'updated'}")
        else:
            failed.append(one.outcome)
            steps |= getattr(one.outcome, "steps", frozenset())
    if failed:
        worst = min(failed, key=_urgency)
        person.outcome = worst if isinstance(worst, Receipt) else replace(worst, steps=steps)


def _urgency(outcome: Outcome) -> int:
    if stops_the_lane(outcome):
        return 0
    return [TryLater, Pending, NeedsOperator, Refused, Receipt].index(type(outcome)) + 1


def _ever_enrolled(enrollments: Iterable[Enrollment]) -> dict[int, Enrollment]:
    """Return the enrollment that changed last of every registration that was enrolled once."""
    return {one.registration_id: one for one in enrollments if Milestone.ENROLLED in one.milestones}


def _sent(fields: Mapping[str, str]) -> dict[str, str | None]:
    # null clears a field of any type; an empty text is no date and no number
    return {name: text.strip() or None for name, text in fields.items()}

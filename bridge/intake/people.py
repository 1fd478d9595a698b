"""Learners of commands: into the ledger, and after them what a changed person means for the targets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import orjson

from bridge.contract.catalogue import SourceEntry, TargetEntry, person_key
from bridge.contract.command import EnrollmentCommand, Learner, email_key
from bridge.kit.clock import milliseconds
from bridge.ledger import learners, outbox, registrations, rights
from bridge.ledger.addresses import move_person
from bridge.ledger.learners import Known, LearnerRow
from bridge.ledger.outbox import DeliveryRow, right_delivery
from bridge.ledger.unit import Unit


def learner_row(command: EnrollmentCommand, learner: Learner, source: SourceEntry, *, late: bool = False) -> LearnerRow:
    """Return what a command says of its learner; ``late`` as in :class:`Member`."""
    return LearnerRow(
        namespace=source.namespace,
        remote_user_id=learner.remote_user_id,
        email=learner.email,
        email_key=email_key(learner.email) if learner.email else None,
        first_name=learner.first_name,
        last_name=learner.last_name,
        phone=learner.phone,
        attributes=orjson.dumps(learner.attributes).decode() if learner.attributes else "{}",
        occurred_at=milliseconds(command.occurred_at),
        dated=late or command.event_key is not None or command.business_key is not None,
    )


def learner_key(learner: Learner, source: SourceEntry) -> str:
    """Return one text that names a person within the ledger: what quarantined lines are found by."""
    return person_key("user_id", source.namespace, learner.remote_user_id, learner.email) or ""


def person_at(target: TargetEntry, known: Known) -> str:
    """Return the person as a target knows them; where it can't (no address), our own number stands in.

    Work under such a stand-in reaches the connector, which says in its own words what is missing.
    """
    return person_key(target.known_by, known.namespace, known.remote_user_id, known.email) or f"learner:{known.id}"


def contact_rows(
    targets: Iterable[TargetEntry], known: Known, registration_id: int, event_id: int, source: str | None = None
) -> list[tuple[TargetEntry, DeliveryRow]]:
    """Return the CRM work of one registration; where its ``source`` is not said, the ledger knows it."""
    rows = []
    for target in targets:
        person = person_at(target, known)
        work = DeliveryRow(target.name, "contact", person, None, person, known.id, registration_id, event_id, source)
        rows.append((target, work))
    return rows


def follow(unit: Unit, changed: Sequence[Known], targets: Sequence[TargetEntry], event_id: int, now: int) -> None:
    """Let changed learner data follow to every target that holds something of the person."""
    for known in changed:
        touched = {right.id for right in rights.of_learner(unit, known.id)}
        touched |= _moved(unit, known, targets, now)
        current = rights.derive_wanted(unit, touched, now)
        outbox.open_now(unit, [right_delivery(right, None, event_id) for right in current], now)
        _follow_contacts(unit, known, targets, event_id, now)


def _moved(unit: Unit, known: Known, targets: Sequence[TargetEntry], now: int) -> set[int]:
    before = replace(known, email=known.former_email)
    addresses = [(target, person_at(target, before), person_at(target, known)) for target in targets]
    addresses = [(target, former, person) for target, former, person in addresses if former != person]
    if not addresses:
        return set()
    touched: set[int] = set()
    for target, former, person in addresses:
        touched |= set(
            move_person(unit, known.id, target.name, former, person, alone=lambda: _alone(unit, known), now=now)
        )
    return touched


def _alone(unit: Unit, known: Known) -> bool:
    return known.former_email is None or not learners.others_at(unit, email_key(known.former_email), known.id)


def _follow_contacts(unit: Unit, known: Known, targets: Sequence[TargetEntry], event_id: int, now: int) -> None:
    by_name = {target.name: target for target in targets}
    told: dict[str, DeliveryRow] = {}
    for row in registrations.followed(unit, known.id):
        names = [name for name in orjson.loads(row.targets) if name in by_name]
        settled = row.state not in ("pending", "failed", "cancelling")
        for target, delivery in contact_rows([by_name[name] for name in names], known, row.id, event_id):
            if settled or target.when == "accepted":
                told[target.name] = delivery
    outbox.open_now(unit, list(told.values()), now)

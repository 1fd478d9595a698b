"""A cancellation that overtook its purchase: kept, so that the purchase, when it arrives, finds itself taken back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bridge.contract.command import EnrollmentCommand, Item
from bridge.intake import enroll
from bridge.intake import people as persons
from bridge.intake.plan import CommandPlan, line_of
from bridge.intake.result import Entry
from bridge.kit.clock import milliseconds
from bridge.ledger import learners, merges, registrations
from bridge.ledger.learners import Known
from bridge.ledger.registrations import Opened, RegistrationRow
from bridge.ledger.states import Intent
from bridge.ledger.unit import Unit


def keep(unit: Unit, entry: Entry, items: Sequence[Item]) -> tuple[list[Any], list[Any]]:
    """Insert cancelled registrations without grants for order lines that nobody has told us of.

    Returns the registrations made, and those that another process made first: they are there to be cancelled now.
    Nothing can be kept without a business key, by which the purchase will find it, or without a learner. Nor can it where
    several sources report one order and a line is not mapped: what the purchase will call that line, its courses say.
    """
    command, now = entry.plan.command, entry.member.now
    wanted = [item for item in items if item not in entry.plan.ignored]
    unnamed = entry.member.source.joined and any(item in entry.plan.unmapped for item in wanted)
    if command.business_key is None or command.learner is None or not wanted or unnamed:
        return [], []
    known = learners.upsert(
        unit, [persons.learner_row(command, command.learner, entry.member.source, late=entry.member.late)], now
    )[0]
    if known.changed:
        persons.follow(unit, [known], entry.member.targets, entry.event_id, now)
    lines = {plan.item: plan.line for plan in entry.plan.lines}
    rows = [enroll.registration_row(entry, item, lines.get(item, line_of(command, item)), known) for item in wanted]
    opened = _insert(unit, entry, rows, known)
    made = {found.id for found in opened if found.created}
    found = registrations.by_ids(unit, {found.id for found in opened})
    return [row for row in found if row.id in made], [row for row in found if row.id not in made]


def keep_waiting(unit: Unit, entry: Entry, waiting: Sequence[Any]) -> dict[int, Any]:
    """Insert such registrations for purchases that wait in quarantine and are taken back there: rows of it, with business keys.

    An older event of the purchase may come when the product is mapped: it finds what was made here. Returns, by the waiting
    row's id, what keeps that it was taken back: made now, or when it was taken back before.
    """
    now = entry.member.now
    found: dict[int, int] = {}
    for row in waiting:
        said = EnrollmentCommand.model_validate_json(row.command)
        assert said.learner is not None  # noqa: S101 - the contract of an enroll command
        known = learners.upsert(unit, [persons.learner_row(said, said.learner, entry.member.source, late=True)], now)[0]
        if known.changed:
            persons.follow(unit, [known], entry.member.targets, entry.event_id, now)
        bought = replace(entry, plan=CommandPlan(said, (), (), ()))
        made = enroll.registration_row(bought, said.items[0], row.line, known)
        taken = replace(made, occurred_at=milliseconds(entry.plan.command.occurred_at))
        (opened,) = _insert(unit, entry, [taken], known)
        if opened.created or opened.bare:
            found[row.id] = opened.id
    rows = {row.id: row for row in registrations.by_ids(unit, found.values())}
    return {waiting_id: rows[registration_id] for waiting_id, registration_id in found.items()}


def _insert(unit: Unit, entry: Entry, rows: Sequence[RegistrationRow], known: Known) -> list[Opened]:
    now = entry.member.now
    opened = registrations.insert(unit, [replace(row, intent=Intent.CANCELLED.value) for row in rows], now)
    made = {found.id for found in opened if found.created}
    merges.came_by(unit, [(known, registration_id) for registration_id in made])
    registrations.derive_states(unit, made, now)
    return opened

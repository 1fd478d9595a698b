"""Releasing quarantined lines: the mapping is there now, so the command that waited is accepted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bridge.contract.catalogue import Catalogue, SourceEntry
from bridge.contract.command import EnrollmentCommand
from bridge.intake import change, enroll, parked, seats
from bridge.intake import people as persons
from bridge.intake.plan import plan
from bridge.intake.result import Entry, Result, of_kept
from bridge.ledger import learners, merges, quarantine, registrations
from bridge.ledger.states import Intent
from bridge.ledger.unit import Unit


@dataclass(frozen=True, slots=True)
class Release:
    """What became of one quarantined line.

    Attributes:
        became: ``released``, ``superseded`` by a newer event, or ``waiting`` still, because nothing maps it.
    """

    quarantine_id: int
    source: str
    remote_product_id: str
    became: str
    registration_id: int | None = None
    note: str = ""


def release(
    unit: Unit, row: Any, source: SourceEntry | None, catalogue: Catalogue, now: int, *, dry_run: bool
) -> Release:
    """Accept one waiting line under the mapping of today; a newer event of the same learner and product makes it pointless."""
    found = Release(row.id, row.source, row.remote_product_id, "waiting")
    if row.kind == "early":
        return _named(unit, row, source, catalogue, now, dry_run=dry_run)
    if row.kind == "seats":
        return _seats_decided(unit, row, now, dry_run=dry_run)
    if row.kind != "unmapped":
        return _with(found, note="an event that could not be read: set its source right, then replay the event")
    if source is None:
        return _with(found, note="its source is not configured any more")
    command = EnrollmentCommand.model_validate_json(row.command)
    plans = plan(command, source, catalogue)
    if not plans.lines:
        unmapped = "the product is still not mapped, or was not when the bridge started"
        return _with(found, note="the product is ignored now" if plans.ignored else unmapped)
    if (beside := _pointless(unit, row, source, command)) is not None:
        if not dry_run:
            quarantine.end(unit, row.id, "superseded", *beside, now)
        return _with(found, became="superseded", registration_id=beside[0], note=beside[1])
    if dry_run:
        return _with(found, became="released", note="would be released")
    result = Result(event_id=row.event_id)
    member = of_kept(source, (plans,), catalogue, now, late=True)
    wave = [Entry(member, row.event_id, plans, result)]
    seats.keep(unit, enroll.apply(unit, wave))
    registration_id = result.lines[0].registration_id
    quarantine.end(unit, row.id, "released", registration_id, None, now)
    change.hold_bought(unit, wave)
    parked.apply(unit, wave)  # now that the line waits no more: what is applied to it must not wait beside it again
    return _with(found, became="released", registration_id=registration_id)


def _named(
    unit: Unit, row: Any, source: SourceEntry | None, catalogue: Catalogue, now: int, *, dry_run: bool
) -> Release:
    """Apply a command to its purchase where it waited only for what it names to be mapped."""
    found = Release(row.id, row.source, row.remote_product_id, "waiting", note=row.note or parked.NOTE)
    if row.line or source is None or not source.joined:
        return found
    plans = plan(EnrollmentCommand.model_validate_json(row.command), source, catalogue)
    if not plans.lines or plans.unmapped:
        return found
    if dry_run:
        with unit.taken_back():
            meant = parked.release(unit, row, plans, source, catalogue, now)
    else:
        meant = parked.release(unit, row, plans, source, catalogue, now)
    return found if meant is None else _with(found, became="released", registration_id=meant, note="")


def _seats_decided(unit: Unit, row: Any, now: int, *, dry_run: bool) -> Release:
    """End the wait of an order line's seats: the operator leaves them as they are."""
    note = "the claimed seats stay as they are"
    if not dry_run:
        quarantine.end(unit, row.id, "released", row.registration_id, note, now)
    return Release(row.id, row.source, row.remote_product_id, "released", row.registration_id, note)


def _pointless(unit: Unit, row: Any, source: SourceEntry, command: EnrollmentCommand) -> tuple[int | None, str] | None:
    """Return why nothing is to come of a line any more, and the registration that stands for it; None where it counts."""
    if (newer := _newer(unit, row, source, command)) is not None:
        return newer, f"registration {newer} came of a newer event"
    if row.business_key and quarantine.taken_back(unit, row):
        return None, "its order was taken back after this"
    return None


def _newer(unit: Unit, row: Any, source: SourceEntry, command: EnrollmentCommand) -> int | None:
    if row.business_key:  # a purchase of its own: only what happened to it counts, not what else the learner bought
        found = registrations.by_business_key(unit, source.business_scope, row.business_key)
        newer = [one for one in found if one.line == row.line and one.occurred_at > row.occurred_at]
        # Taken back while it waited, and alive again, if suspended: it is this line that it waits for.
        stand = (one for one in newer if one.mapping_version_id is not None or not Intent(one.intent).alive)
        return next((one.id for one in stand), None)
    if command.learner is None:
        return None
    known = learners.find(unit, persons.learner_row(command, command.learner, source))
    if known is None:
        return None
    found = registrations.newer_than(unit, row.source, known.id, row.remote_product_id, row.occurred_at)
    # What the person bought by another name stands beside it, and passes back if the merge is undone.
    return next((int(one.id) for one in merges.only_as(unit, found, known)), None)


def _with(found: Release, **changes: Any) -> Release:
    return replace(found, **changes)

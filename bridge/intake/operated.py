"""What an operator decides about a purchase: an event of its own, so that the purchase's story tells of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.contract.catalogue import Catalogue, SourceEntry
from bridge.contract.command import Action, EnrollmentCommand
from bridge.intake import change
from bridge.intake.plan import CommandPlan
from bridge.intake.result import Entry, Result, of_kept
from bridge.kit.clock import moment
from bridge.ledger import events, registrations, replays, rights
from bridge.ledger.events import OPERATOR, EventRow
from bridge.ledger.states import Intent
from bridge.ledger.unit import Unit


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What became of one registration.

    Attributes:
        became: ``cancelled``, or ``unchanged`` with the reason in ``note``.
        before: its state until now. ``state``: the one it has.
        registrations: what is taken away with it: those of its seats that were claimed.
        taken: rights that are let go of: target, person, remote course.
        kept: rights that stay, because another purchase stands behind them.
        opened: targets that have something to do because of it.
    """

    registration_id: int
    source: str
    remote_product_id: str
    became: str
    before: str
    state: str
    note: str = ""
    registrations: tuple[int, ...] = ()
    taken: tuple[Mapping[str, Any], ...] = ()
    kept: tuple[Mapping[str, Any], ...] = ()
    opened: tuple[str, ...] = ()


def cancel(unit: Unit, ids: Sequence[int], catalogue: Catalogue, now: int, *, dry_run: bool) -> list[Cancellation]:
    """Take the access of registrations away; those that are not there are left out.

    With ``dry_run`` everything is done, told, and taken back.
    """
    if not dry_run:
        return _cancelled(unit, ids, catalogue, now)
    with unit.taken_back():
        return _cancelled(unit, ids, catalogue, now)


def _cancelled(unit: Unit, ids: Sequence[int], catalogue: Catalogue, now: int) -> list[Cancellation]:
    wanted = sorted(row.id for row in registrations.by_ids(unit, ids))
    done = []
    for registration_id in wanted:
        (row,) = registrations.by_ids(unit, [registration_id])  # anew: it may have been a seat of the one before
        done.append(_cancel(unit, row, catalogue, now))
    return done


def _cancel(unit: Unit, row: Any, catalogue: Catalogue, now: int) -> Cancellation:
    found = (row.id, row.source, row.remote_product_id)
    if Intent(row.intent) is Intent.CANCELLED:
        return Cancellation(*found, "unchanged", row.state, row.state, "it is cancelled already")
    event_id = take_back(unit, row, catalogue, f"an operator cancelled registration {row.id}", now)
    gone = sorted(replays.effects(unit, event_id))
    resting = rights.resting(unit, gone)
    return Cancellation(
        *found,
        "cancelled",
        row.state,
        registrations.states_of(unit, [row.id])[row.id],
        registrations=tuple(one for one in gone if one != row.id),
        taken=tuple(right_of(right) for right in resting if not right.wanted and right.held != "no"),
        kept=tuple(right_of(right) for right in resting if right.wanted),
        opened=tuple(replays.opened(unit, event_id)),
    )


def take_back(unit: Unit, row: Any, catalogue: Catalogue, note: str, now: int) -> int:
    """End the access that a registration gives, as its source would; return the event that says so."""
    event_id = event_of(unit, row.source, note, now)
    command = EnrollmentCommand(
        action=Action.CANCEL,
        # After whatever its sender has said so far: an operator's word stands until a newer one.
        occurred_at=moment(max(now, row.occurred_at)),
        registration_id=row.id,
    )
    planned = CommandPlan(command, (), (), ())
    member = of_kept(source_of(catalogue, row.source), (planned,), catalogue, now)
    change.apply(unit, Entry(member, event_id, planned, Result()))
    return event_id


def event_of(unit: Unit, source: str, note: str, now: int, said: Mapping[str, Any] | None = None) -> int:
    """Keep that an operator decided something about a purchase of a source; return the event."""
    row = EventRow(
        source=source,
        adapter=OPERATOR,
        event_key=None,
        received_at=now,
        method="-",
        path="-",
        query="{}",
        headers="{}",
        body="" if said is None else orjson.dumps(said).decode(),
        encoding="utf-8",
        state="accepted",
        note=note,
    )
    (event_id,) = events.insert(unit, [row])
    assert event_id is not None  # noqa: S101 - without an event key nothing is in its way
    return event_id


def source_of(catalogue: Catalogue, name: str) -> SourceEntry:
    """Return a source; of one that is not configured any more, what its purchases need to be found."""
    return catalogue.sources.get(name) or SourceEntry(name, "", name, name)


def right_of(right: Any) -> dict[str, Any]:
    """Return a right as it is told to an operator."""
    return {"target": right.target, "person": right.person, "remote_course": orjson.loads(right.course)}

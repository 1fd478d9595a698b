"""Brings to effect what was put off: the timed job's part, by the same road that a change takes at once."""

from __future__ import annotations

from typing import Any

from bridge.contract.catalogue import Catalogue, SourceEntry
from bridge.contract.command import Action, EnrollmentCommand, Order
from bridge.intake import change, money, seats
from bridge.intake.plan import CommandPlan
from bridge.intake.result import Entry, Result, of_kept
from bridge.kit.clock import moment
from bridge.ledger import events, registrations, scheduled
from bridge.ledger.states import Intent, outlasts_hold
from bridge.ledger.unit import Unit

_INTENTS = {"suspend": Intent.SUSPENDED, "cancel": Intent.CANCELLED}


def take_effect(unit: Unit, catalogue: Catalogue, now: int, limit: int) -> int:
    """Bring changes to effect whose time has come; return how many were due. Idempotent.

    What a newer event has overtaken meanwhile has no effect.
    """
    due = scheduled.due(unit, now, limit)
    if not due:
        return 0
    rows = {row.id: row for row in registrations.by_ids(unit, {one.registration_id for one in due})}
    for one in scheduled.take(unit, rows, now):
        # Read anew: of two changes of one registration the second meets what the first has made of it.
        (row,) = registrations.by_ids(unit, [one.registration_id])
        _take_effect(unit, catalogue, one, row, now)
    return len(due)


def _take_effect(unit: Unit, catalogue: Catalogue, one: Any, row: Any, now: int) -> None:
    intent, kept = _INTENTS[one.action], Intent(row.intent)
    dated = row.business_key is not None
    counts = registrations.wins(kept, row.occurred_at, intent, one.occurred_at, dated=dated)
    # The end of a dispute says nothing of what was to come: a payment that does has taken it away already.
    counts = counts or outlasts_hold(kept, one.occurred_at, money.said_at(row))
    if counts and kept is Intent.EXPIRED and intent is Intent.SUSPENDED:
        change.hold_seats(unit, _entry(catalogue, one, row, now), row, one.occurred_at)
    # What its own time ended is over, but for those who claimed seats of it: to them a cancellation is news.
    over = not kept.alive and not (intent is Intent.CANCELLED and seats.are_of(unit, row))
    if over or kept is intent or not counts:
        events.record_effects(unit, [(one.event_id, row.id, "older")])
        return
    change.take_effect(unit, _entry(catalogue, one, row, now), [row], intent, one.occurred_at)
    events.record_effects(unit, [(one.event_id, row.id, one.effect)])


def _entry(catalogue: Catalogue, one: Any, row: Any, now: int) -> Entry:
    # A source that is not configured any more has no say, but what it said of the past stands.
    source = catalogue.sources.get(row.source) or SourceEntry(row.source, "", row.source, row.source)
    order = Order(subscription_id=row.subscription_id) if one.effect == "ended" else Order()
    said = EnrollmentCommand(action=Action(one.action), occurred_at=moment(one.occurred_at), order=order)
    return Entry(of_kept(source, (), catalogue, now), one.event_id, CommandPlan(said, (), (), ()), Result())

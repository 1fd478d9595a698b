"""What a command that is no purchase does to a registration: the word for it that is kept with its event."""

from __future__ import annotations

from typing import Any, Final

from bridge.contract.command import Action, EnrollmentCommand
from bridge.intake import money, seats
from bridge.intake.money import Weighed
from bridge.intake.result import Entry
from bridge.kit.clock import milliseconds
from bridge.ledger import events, registrations
from bridge.ledger.states import Intent
from bridge.ledger.unit import Unit

EFFECTS: Final = {Intent.CANCELLED: "cancelled", Intent.SUSPENDED: "suspended", Intent.LIVE: "resumed"}
_TAKING: Final = frozenset({Action.CANCEL, Action.REFUND})


def effect_of(unit: Unit, entry: Entry, row: Any, intent: Intent, weighed: Weighed) -> str:
    """Say what a command does to a registration: of a dated one by all that was said of it."""
    kept, command = Intent(row.intent), entry.plan.command
    if (becomes := weighed.becomes.get(row.id)) is None:
        return _effect_by_arrival(unit, entry, row, intent)
    if becomes is not kept:
        return EFFECTS[intent]
    overruled = command.action is Action.REFUND and row.id in weighed.overruled
    return "repeated" if kept is intent and not overruled else "older"


def _effect_by_arrival(unit: Unit, entry: Entry, row: Any, intent: Intent) -> str:
    kept, command = Intent(row.intent), entry.plan.command
    if _stays(unit, row, command):
        return "older"
    if kept is intent:
        return "repeated"
    # Without a business key the order of the calls decides, and this one is not the last of them any more.
    if entry.member.late and row.business_key is None and events.shaped_since(unit, row.id, entry.event_id):
        return "older"
    if not kept.alive and intent is Intent.SUSPENDED:
        return "older"  # nothing is left to suspend
    at, dated = milliseconds(command.occurred_at), row.business_key is not None
    if not registrations.wins(kept, row.occurred_at, intent, at, dated=dated):
        return "older"
    if not kept.alive and intent is Intent.LIVE and registrations.replaced(unit, row):
        return "older"  # bought again since; that purchase stands for the place now
    return EFFECTS[intent]


def _stays(unit: Unit, row: Any, command: EnrollmentCommand) -> bool:
    """Say whether a resumption leaves a registration as it is, because what took it back is not what is undone."""
    kept = Intent(row.intent)
    if command.action is not Action.RESUME or kept is Intent.LIVE or command.undoes == "all":
        return False
    if kept is Intent.SUSPENDED:
        return command.undoes == "refunds"
    taken = events.taken_back(unit, row.id)
    # A subscription that goes on undoes what it did itself, and brings no refunded period back.
    if money.is_wide(command):
        return taken != "ended" and not (kept is Intent.EXPIRED and seats.are_held(unit, row))
    # Many a dispute is closed in the seller's favour because the money was returned meanwhile.
    return (taken == "refunded") is (command.undoes == "holds")


def taken_by(unit: Unit, row: Any, command: EnrollmentCommand, effect: str, *, wide: bool) -> str:
    """Say of what was taken back by what: the end of its subscription, a refund, or a cancellation."""
    if command.action not in _TAKING or effect not in ("cancelled", "repeated"):
        return effect
    by = "ended" if wide else "refunded" if command.action is Action.REFUND else "cancelled"
    if effect == "cancelled":
        return by
    before = events.taken_back(unit, row.id)
    firmer = (by == "refunded" and before != by) or (by == "cancelled" and before == "ended")
    return by if firmer else effect

"""What is said of a purchase's money: that it is paid, taken back, or not taken back after all. It is weighed by its time alone.

A hold and the end of one say nothing of it. So a refund counts unless a newer word says that it is paid, and a refund that
failed counts unless the money was taken back since, however new the hold is that was told meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bridge.contract.command import Action, EnrollmentCommand
from bridge.kit.clock import milliseconds
from bridge.ledger import events, registrations
from bridge.ledger.registrations import Opened
from bridge.ledger.states import Intent, outlasts_hold
from bridge.ledger.unit import Unit


def said_at(row: Any) -> int:
    """Return when the newest word about a registration's money was said, in milliseconds."""
    return int(row.occurred_at if row.money_at is None else row.money_at)


def is_answered(row: Any, command: EnrollmentCommand) -> bool:
    """Say whether a refund is older than a word that its money is there all the same."""
    dated = row.business_key is not None
    return command.action is Action.REFUND and dated and milliseconds(command.occurred_at) < said_at(row)


def counts(unit: Unit, row: Any, command: EnrollmentCommand) -> bool:
    """Say whether a word about money counts over a state that is as new as it, or newer."""
    kept = Intent(row.intent)
    if command.action is Action.REFUND:
        return outlasts_hold(kept, milliseconds(command.occurred_at), said_at(row))
    if kept is not Intent.CANCELLED or not _gives_back(command):
        return False
    return _given_back_at(command) > said_at(row) and events.taken_back(unit, row.id) == "refunded"


def paid_since(unit: Unit, opened: Opened, at: int) -> bool:
    """Say whether a purchase of this time is newer than the refund that has taken it back over a newer hold."""
    refunded = opened.keyed and opened.intent is Intent.CANCELLED and opened.money_at is not None
    return refunded and at > said_at(opened) and events.taken_back(unit, opened.id) == "refunded"


def note(unit: Unit, command: EnrollmentCommand, effects: Iterable[tuple[Any, str]]) -> None:
    """Keep when the newest word about the money of registrations was said, where ``occurred_at`` does not say so by itself."""
    moments = []
    for row, effect in effects:
        if row.business_key is None:
            continue
        told = max(said_at(row), _moment(unit, row, command, effect))
        plain = row.money_at is None and effect == "refunded" and Intent(row.intent).alive
        if told != row.money_at and not plain:
            moments.append((row.id, told))
    registrations.note_money(unit, moments)


def note_unpaid(unit: Unit, command: EnrollmentCommand, ids: Iterable[int]) -> None:
    """Keep that nothing was said of the money of registrations whose cancellation came before their purchase."""
    if command.action is Action.CANCEL:
        registrations.note_money(unit, [(registration_id, 0) for registration_id in ids])


def note_bought(unit: Unit, purchases: Iterable[tuple[Opened, int]]) -> None:
    """Keep that registrations which stand already were said to be paid: (registration, milliseconds)."""
    # Where nothing is kept, occurred_at becomes what the purchase says or is newer than that already.
    told = [(opened.id, at) for opened, at in purchases if opened.keyed and opened.money_at is not None]
    registrations.note_money(unit, told)


def _moment(unit: Unit, row: Any, command: EnrollmentCommand, effect: str) -> int:
    """Return when a command said something of a registration's money; 0 where it does not."""
    at, kept = milliseconds(command.occurred_at), Intent(row.intent)
    if command.action is Action.REFUND:
        # What was cancelled before stays so, though a refund that came before that should fail.
        return max(at, row.occurred_at) if kept is Intent.CANCELLED and effect == "refunded" else at
    if command.action is Action.CANCEL:
        refunded = kept is Intent.CANCELLED and events.taken_back(unit, row.id) == "refunded"
        return at if refunded else 0
    return _given_back_at(command) if _gives_back(command) else 0


def _gives_back(command: EnrollmentCommand) -> bool:
    return command.action is Action.RESUME and command.undoes != "holds"


def _given_back_at(command: EnrollmentCommand) -> int:
    # Senders date to the second, and nothing fails that was not tried: of one moment the failure is the newer word.
    return milliseconds(command.occurred_at) + 1

"""What takes effect later: a failed payment suspends after a grace, a cancelled subscription ends with its paid period.

Kept as what lies ahead of a registration (``scheduled_change``) and lifted by a newer word; ``due`` brings it to effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bridge.contract.command import Action, EnrollmentCommand, Options
from bridge.intake.result import Entry
from bridge.kit.clock import milliseconds
from bridge.ledger import events, scheduled
from bridge.ledger.registrations import RegistrationRow
from bridge.ledger.scheduled import ScheduledRow
from bridge.ledger.states import Intent
from bridge.ledger.unit import Unit

_TAKEN_EFFECT = frozenset({"suspended", "cancelled"})


def puts_off(command: EnrollmentCommand) -> bool:
    """Say whether a command may take effect later than now."""
    return command.action in (Action.SUSPEND, Action.CANCEL) and bool(command.effective_at or command.at_period_end)


def put_off(unit: Unit, entry: Entry, effects: Sequence[tuple[Any, str]], *, wide: bool) -> list[tuple[Any, str]]:
    """Schedule those of these changes that take effect later; return the effects as they are now."""
    command = entry.plan.command
    if not puts_off(command):
        return list(effects)
    at = milliseconds(command.occurred_at)
    if command.action is Action.SUSPEND:
        effects = _of_failure(effects, at)
    rows: dict[int, ScheduledRow] = {}
    found: list[tuple[Any, str]] = []
    for row, effect in effects:
        takes_effect = _takes_effect(row, command) if effect in _TAKEN_EFFECT else None
        if takes_effect is None or takes_effect <= entry.member.now:
            found.append((row, effect))
            continue
        then = "ended" if effect == "cancelled" and wide else effect
        rows[row.id] = ScheduledRow(row.id, command.action.value, takes_effect, then, at, entry.event_id)
        found.append((row, "scheduled"))
    new = scheduled.add(unit, [rows[i] for i in sorted(rows)])
    # What lies ahead already is noted, and no more: it does not make the registration newer than what is to come.
    return [(row, "noted" if row.id in rows.keys() - new else effect) for row, effect in found]


def _of_failure(effects: Sequence[tuple[Any, str]], at: int) -> list[tuple[Any, str]]:
    """Return what a failed payment does: nothing where it was paid since, nor where something else suspends already."""
    overtaken = _paid_since(effects, at)
    # It is no news of what suspends it now, and must not make that look newer than it is.
    words = {"repeated": "noted", "suspended": "older" if overtaken else "suspended"}
    return [(row, words.get(effect, effect)) for row, effect in effects]


def _paid_since(effects: Iterable[tuple[Any, str]], at: int) -> bool:
    """Say whether what failed was paid meanwhile: each period of a subscription is a registration of its own."""
    dated = [row for row, _ in effects if row.business_key is not None and Intent(row.intent) is Intent.LIVE]
    return any(row.occurred_at >= at for row in dated)


def _takes_effect(row: Any, command: EnrollmentCommand) -> int | None:
    if command.effective_at is not None:  # also where the learner's own time is over: claimed seats may last longer
        return milliseconds(command.effective_at)
    if not Intent(row.intent).alive:
        return None  # its period is over
    until = Options.model_validate_json(row.options).expires_at
    return None if until is None else milliseconds(until)


def lift(unit: Unit, moments: Iterable[tuple[int, int]]) -> None:
    """Take back what lies ahead of registrations and was said no later than this: (registration id, milliseconds)."""
    _note(unit, scheduled.lift(unit, moments))


def paid(unit: Unit, rows: Iterable[RegistrationRow]) -> None:
    """Take back what lies ahead of subscriptions of which these order lines are a payment."""
    if not unit.rare().scheduled:
        return
    payments = [(row.source, row.subscription_id, row.occurred_at) for row in rows if row.subscription_id is not None]
    if payments:
        _note(unit, scheduled.lift_subscriptions(unit, payments))


def _note(unit: Unit, lifted: Sequence[tuple[int, int]]) -> None:
    events.record_effects(unit, [(event_id, registration_id, "lifted") for event_id, registration_id in lifted])

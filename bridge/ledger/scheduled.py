"""Changes of registrations that take effect later: a suspension after a grace, the end of a period that is paid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.ledger.unit import Unit


@dataclass(frozen=True, slots=True)
class ScheduledRow:
    """One change that is to come. Times in milliseconds.

    Attributes:
        action: ``suspend`` or ``cancel``; a registration has at most one of each ahead.
        at: when it takes effect.
        effect: what the event is recorded to have done then: ``suspended``, ``cancelled`` or ``ended``.
        occurred_at: when it was said at the sender.
    """

    registration_id: int
    action: str
    at: int
    effect: str
    occurred_at: int
    event_id: int


_COLUMNS = {
    "registration_id": "int",
    "action": "text",
    "at": "int",
    "effect": "text",
    "occurred_at": "int",
    "event_id": "int",
}
_NAMES = ", ".join(_COLUMNS)
# A payment that is tried again fails again: the grace counts from the first time. Of two ends the newer word counts.
_ADD = f"""
INSERT INTO scheduled_change ({_NAMES}) SELECT {_NAMES} FROM {{rows}} WHERE true ORDER BY r.registration_id
ON CONFLICT (registration_id, action) DO UPDATE SET at = excluded.at, effect = excluded.effect,
 occurred_at = excluded.occurred_at, event_id = excluded.event_id
WHERE scheduled_change.action = 'cancel' AND scheduled_change.occurred_at < excluded.occurred_at
RETURNING registration_id
"""
_LIFT = """
DELETE FROM scheduled_change WHERE registration_id IN (SELECT r.id FROM {rows}) AND EXISTS (
 SELECT 1 FROM {rows} WHERE r.id = scheduled_change.registration_id AND r.at >= scheduled_change.occurred_at)
RETURNING event_id, registration_id
"""
_OF_SUBSCRIPTIONS = """
SELECT s.registration_id AS id, max(r.at) AS at FROM {rows}
JOIN registration g ON g.subscription_id = r.subscription_id AND g.source = r.source
JOIN scheduled_change s ON s.registration_id = g.id AND s.occurred_at <= r.at
GROUP BY s.registration_id ORDER BY s.registration_id
"""
_DUE = "SELECT s.* FROM scheduled_change s WHERE s.at <= :now ORDER BY s.at, s.registration_id LIMIT :limit"
_TAKE = f"""
DELETE FROM scheduled_change WHERE at <= :now AND registration_id IN (SELECT r.id FROM {{rows}}) RETURNING {_NAMES}
"""


def add(unit: Unit, rows: Sequence[ScheduledRow]) -> set[int]:
    """Keep changes that are to come; return the registrations for which that was new."""
    return {row.registration_id for row in unit.each(_ADD, _COLUMNS, rows)}


def lift(unit: Unit, moments: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Take back what was to come of registrations and is no newer than this: (registration id, milliseconds).

    Returns the (event id, registration id) of what will not take effect.
    """
    rows = [{"id": i, "at": at} for i, at in sorted(moments)]
    lifted = unit.each(_LIFT, {"id": "int", "at": "int"}, rows)
    return [(row.event_id, row.registration_id) for row in lifted]


def lift_subscriptions(unit: Unit, paid: Iterable[tuple[str, str, int]]) -> list[tuple[int, int]]:
    """As :func:`lift`, for every registration of subscriptions that were paid: (source, subscription id, milliseconds)."""
    rows = [{"source": source, "subscription_id": name, "at": at} for source, name, at in sorted(set(paid))]
    columns = {"source": "text", "subscription_id": "text", "at": "int"}
    found = unit.each(_OF_SUBSCRIPTIONS, columns, rows)
    return lift(unit, [(row.id, row.at) for row in found]) if found else []


def due(unit: Unit, now: int, limit: int) -> list[Any]:
    """Return changes whose time has come, oldest first."""
    return list(unit.rows(_DUE, now=now, limit=limit))


def take(unit: Unit, registration_ids: Iterable[int], now: int) -> list[Any]:
    """Take what is due of these registrations out of the table, oldest first: whoever gets it brings it to effect.

    The registrations are held by the caller: what a payment has lifted meanwhile is not among it.
    """
    rows = [{"id": i} for i in sorted(set(registration_ids))]
    taken = unit.each(_TAKE, {"id": "int"}, rows, now=now)
    return sorted(taken, key=lambda row: (row.at, row.registration_id, row.action))

"""The outbox: what is not yet as it is wanted. At most one unsettled delivery per right and per contact.

``waiting`` (CRM work whose registration is not settled yet) -> ``open`` (due, or in a while) -> ``leased`` (in flight)
-> ``done``, back to ``open``, or ``dead``. ``blocked`` is open work of a person who has another delivery in flight at the
same target: out of the index of what is due, so that it costs the claim nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.ledger.tables import UNSETTLED
from bridge.ledger.unit import Unit

_COLUMNS = {
    "target": "text",
    "kind": "text",
    "key": "text",
    "right_id": "int",
    "person": "text",
    "learner_id": "int",
    "registration_id": "int",
    "event_id": "int",
}
_NAMES = ", ".join(_COLUMNS)
_OF_SOURCE = "coalesce((SELECT g.source FROM registration g WHERE g.id = r.registration_id), '')"
_NEW = {"source": _OF_SOURCE, "due_at": ":now", "created_at": ":now", "updated_at": ":now"}
_OPEN_OR_BLOCKED = """(CASE WHEN EXISTS
 (SELECT 1 FROM delivery b WHERE b.target = r.target AND b.person = r.person AND b.state = 'leased')
 THEN 'blocked' ELSE 'open' END)"""
_RENEW = f"""
INSERT INTO delivery ({_NAMES}, state, source, due_at, created_at, updated_at)
SELECT {_NAMES}, {_OPEN_OR_BLOCKED}, {_OF_SOURCE}, :now, :now, :now FROM {{rows}} WHERE true ORDER BY r.target, r.kind, r.key
ON CONFLICT (target, kind, key) WHERE {UNSETTLED}
DO UPDATE SET revision = delivery.revision + 1, event_id = excluded.event_id, updated_at = excluded.updated_at,
 registration_id = excluded.registration_id, learner_id = excluded.learner_id, source = excluded.source,
 attempts = (CASE WHEN delivery.state = 'dead' THEN 0 ELSE delivery.attempts END),
 age = (CASE WHEN delivery.state = 'dead' THEN 0 ELSE delivery.age END),
 due_at = (CASE WHEN delivery.state = 'leased' THEN delivery.due_at ELSE excluded.due_at END),
 state = (CASE WHEN delivery.state = 'dead' THEN excluded.state ELSE delivery.state END)
RETURNING id, target
"""
_IN_FLIGHT = """
SELECT b.id FROM {rows} JOIN delivery b ON b.target = r.target AND b.person = r.person AND b.state = 'leased' ORDER BY b.id"""
_WAIT = """
ON CONFLICT (registration_id, target) WHERE state = 'waiting'
DO UPDATE SET event_id = excluded.event_id, key = excluded.key, person = excluded.person, learner_id = excluded.learner_id,
 updated_at = excluded.updated_at
"""
_WAITING = """
SELECT d.id, d.target, d.kind, d.key, d.learner_id, d.registration_id, d.event_id
FROM {rows} JOIN delivery d ON d.registration_id = r.id AND d.state = 'waiting' ORDER BY d.target, d.key, d.id
"""
_BUMP = f"""
UPDATE delivery SET revision = delivery.revision + 1, updated_at = :now, event_id = r.event_id,
 registration_id = r.registration_id, learner_id = r.learner_id,
 attempts = (CASE WHEN delivery.state = 'dead' THEN 0 ELSE delivery.attempts END),
 age = (CASE WHEN delivery.state = 'dead' THEN 0 ELSE delivery.age END),
 due_at = (CASE WHEN delivery.state = 'leased' THEN delivery.due_at ELSE :now END),
 state = (CASE WHEN delivery.state = 'dead' THEN 'open' ELSE delivery.state END)
FROM {{rows}} WHERE delivery.target = r.target AND delivery.kind = r.kind AND delivery.key = r.key AND delivery.{UNSETTLED}
RETURNING delivery.target, delivery.kind, delivery.key
"""
_RELEASE_WAITING = "UPDATE delivery SET state = r.state, why = r.why, due_at = :now, updated_at = :now FROM {rows} WHERE delivery.id = r.id"

# What is open already keeps the trace of the request that opened it.
_CARRY = f"""
UPDATE delivery SET traceparent = r.traceparent FROM {{rows}} WHERE delivery.target = r.target AND delivery.kind = r.kind
 AND delivery.key = r.key AND delivery.{UNSETTLED} AND delivery.traceparent IS NULL"""
_CARRY_WAITING = """
UPDATE delivery SET traceparent = r.traceparent FROM {rows} WHERE delivery.registration_id = r.registration_id
 AND delivery.target = r.target AND delivery.state = 'waiting' AND delivery.traceparent IS NULL"""


@dataclass(slots=True)
class DeliveryRow:
    """One piece of work to be put into the outbox."""

    target: str
    kind: str
    key: str
    right_id: int | None
    person: str
    learner_id: int
    registration_id: int | None
    event_id: int | None


def right_delivery(
    right: Any, registration_id: int | None, event_id: int | None, learner_id: int | None = None
) -> DeliveryRow:
    """Return the delivery that brings a right to what is wanted; for its own learner where no other is named."""
    learner = right.learner_id if learner_id is None else learner_id
    return DeliveryRow(
        right.target, "right", f"right:{right.id}", right.id, right.person, learner, registration_id, event_id
    )


def open_now(unit: Unit, rows: Sequence[DeliveryRow], now: int) -> None:
    """Make this work due; work on the same right or contact that is not settled yet is renewed instead of doubled.

    A dead letter that a newer command supersedes opens again with a fresh count.
    """
    latest = {(row.target, row.kind, row.key): row for row in rows}
    if unit.dialect.many_writers:
        # Somebody may be settling what is in flight at this moment: what we block must not miss that it came free.
        people = [{"target": t, "person": p} for t, p in sorted({(row.target, row.person) for row in latest.values()})]
        unit.each(_IN_FLIGHT + unit.holding("b"), {"target": "text", "person": "text"}, people)
    ordered = [row for _, row in sorted(latest.items())]
    ids = unit.insert("delivery", _COLUMNS, ordered, {"state": _OPEN_OR_BLOCKED, **_NEW}, now=now)
    unit.each(_RENEW, _COLUMNS, [row for i, row in zip(ids, ordered, strict=True) if i is None], now=now)
    _carry(unit, _CARRY, {"target": "text", "kind": "text", "key": "text"}, ordered)
    unit.wake(row.target for row in latest.values())


def wait(unit: Unit, rows: Sequence[DeliveryRow], now: int) -> None:
    """Keep CRM work until its registration is settled."""
    latest = {(row.registration_id, row.target): row for row in rows}
    rows = [row for _, row in sorted(latest.items())]
    unit.put("delivery", _COLUMNS, rows, _WAIT, {"state": "'waiting'", **_NEW}, now=now)
    _carry(unit, _CARRY_WAITING, {"registration_id": "int", "target": "text"}, rows)


def open_waiting(unit: Unit, registration_ids: Iterable[int], now: int) -> None:
    """Open the CRM work of registrations that are settled; work on one contact joins into one delivery."""
    waiting = unit.each(_WAITING, {"id": "int"}, [{"id": i} for i in sorted(set(registration_ids))])
    if not waiting:
        return
    latest = {(row.target, row.kind, row.key): row for row in waiting}
    causes = [
        {
            "target": t,
            "kind": k,
            "key": key,
            "event_id": row.event_id,
            "registration_id": row.registration_id,
            "learner_id": row.learner_id,
        }
        for (t, k, key), row in latest.items()
    ]
    columns = {
        "target": "text",
        "kind": "text",
        "key": "text",
        "event_id": "int",
        "registration_id": "int",
        "learner_id": "int",
    }
    renewed = {(row.target, row.kind, row.key) for row in unit.each(_BUMP, columns, causes, now=now)}
    changes = []
    for row in waiting:
        key = (row.target, row.kind, row.key)
        opens = latest[key].id == row.id and key not in renewed
        changes.append(
            {
                "id": row.id,
                "state": "open" if opens else "done",
                "why": None if opens else "joined with other work on this contact",
            }
        )
    unit.each(_RELEASE_WAITING, {"id": "int", "state": "text", "why": "text"}, changes, now=now)
    unit.wake(row.target for row in waiting)


def _carry(unit: Unit, statement: str, columns: Mapping[str, str], rows: Sequence[DeliveryRow]) -> None:
    """Note the trace of those whose event has one. Where none has, nothing is asked of the database."""
    if unit.traced:
        found = [
            {**{name: getattr(row, name) for name in columns}, "traceparent": unit.traced[row.event_id]}
            for row in rows
            if row.event_id is not None and row.event_id in unit.traced
        ]
        unit.each(statement, {**columns, "traceparent": "text"}, found)

"""The outbox: what is not yet as it is wanted. At most one unsettled delivery per right and per contact.

``waiting`` (CRM work whose registration is not settled yet) -> ``open`` (due, or in a while) -> ``leased`` (in flight)
-> ``done``, back to ``open``, or ``dead``. ``blocked`` is open work of a person who has another delivery in flight at the
same target: out of the index of what is due, so that it costs the claim nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from bridge.ledger.insertion import Insertion
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
    "source": "text",
    "state": "text",
}


class _Ways:
    """How work goes into the outbox; ``holding``: what is in flight stays so until the transaction ends.

    Somebody may be settling it at this moment: what is blocked behind it must not miss that it came free.
    """

    def __init__(self, holding: str) -> None:
        blocked = f"""(CASE WHEN r.state = 'open' AND EXISTS
 (SELECT 1 FROM delivery b WHERE b.target = r.target AND b.person = r.person AND b.state = 'leased'{holding})
 THEN 'blocked' ELSE r.state END)"""
        times = dict.fromkeys(("due_at", "created_at", "updated_at"), ":now")
        of_source = "coalesce(r.source, (SELECT g.source FROM registration g WHERE g.id = r.registration_id), '')"
        computed = {"source": of_source, "state": blocked, **times}
        self.add = Insertion("delivery", _COLUMNS, computed=computed)
        self.renew = Insertion("delivery", _COLUMNS, computed=computed, conflict=_RENEWED)
        self.wait = Insertion("delivery", _COLUMNS, computed=computed, conflict=_WAITS)


_RENEWED = f"""
ON CONFLICT (target, kind, key) WHERE {UNSETTLED}
DO UPDATE SET revision = delivery.revision + 1, event_id = excluded.event_id, updated_at = excluded.updated_at,
 registration_id = excluded.registration_id, learner_id = excluded.learner_id, source = excluded.source,
 attempts = (CASE WHEN delivery.state = 'dead' THEN 0 ELSE delivery.attempts END),
 age = (CASE WHEN delivery.state = 'dead' THEN 0 ELSE delivery.age END),
 due_at = (CASE WHEN delivery.state = 'leased' THEN delivery.due_at ELSE excluded.due_at END),
 state = (CASE WHEN delivery.state = 'dead' THEN excluded.state ELSE delivery.state END)
"""
_WAITS = """
ON CONFLICT (registration_id, target) WHERE state = 'waiting'
DO UPDATE SET event_id = excluded.event_id, key = excluded.key, person = excluded.person, learner_id = excluded.learner_id,
 updated_at = excluded.updated_at
"""
_ALONE, _AMONG_MANY = _Ways(""), _Ways(" FOR NO KEY UPDATE OF b")
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


_KEY = attrgetter("target", "kind", "key")
_WAITING_KEY = attrgetter("registration_id", "target")


@dataclass(slots=True)
class DeliveryRow:
    """One piece of work to be put into the outbox.

    Attributes:
        source: of the registration; None where it is looked up.
        state: ``open`` (or blocked, where the person has something in flight), or ``waiting``.
    """

    target: str
    kind: str
    key: str
    right_id: int | None
    person: str
    learner_id: int
    registration_id: int | None
    event_id: int | None
    source: str | None = None
    state: str = "open"


def right_delivery(
    right: Any,
    registration_id: int | None,
    event_id: int | None,
    learner_id: int | None = None,
    source: str | None = None,
) -> DeliveryRow:
    """Return the delivery that brings a right to what is wanted; for its own learner where no other is named."""
    learner = right.learner_id if learner_id is None else learner_id
    return DeliveryRow(
        right.target, "right", f"right:{right.id}", right.id, right.person, learner, registration_id, event_id, source
    )


def open_now(unit: Unit, rows: Sequence[DeliveryRow], now: int) -> None:
    """Make this work due; work on the same right or contact that is not settled yet is renewed instead of doubled.

    A dead letter that a newer command supersedes opens again with a fresh count.
    """
    add(unit, rows, (), now)


def add(unit: Unit, due: Sequence[DeliveryRow], waiting: Sequence[DeliveryRow], now: int) -> None:
    """Make work due as :func:`open_now` does, and let CRM work wait until its registration is settled."""
    if not due and not waiting:
        return
    latest = {(row.target, row.kind, row.key): row for row in due}
    ordered = sorted(latest.values(), key=_KEY)
    for row in waiting:
        row.state = "waiting"
    later = sorted({(row.registration_id, row.target): row for row in waiting}.values(), key=_WAITING_KEY)
    rows = [*ordered, *later]
    ways = _AMONG_MANY if unit.dialect.many_writers else _ALONE
    there = [row for i, row in zip(unit.insert(ways.add, rows, now=now), rows, strict=True) if i is None]
    if there:
        unit.put(ways.renew, [row for row in there if row.state == "open"], now=now)
        unit.put(ways.wait, [row for row in there if row.state == "waiting"], now=now)
    _carry(unit, _CARRY, {"target": "text", "kind": "text", "key": "text"}, ordered)
    _carry(unit, _CARRY_WAITING, {"registration_id": "int", "target": "text"}, later)
    unit.wake(row.target for row in ordered)


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

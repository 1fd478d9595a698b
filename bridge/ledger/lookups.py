"""Lookups: what is still to be asked at a sender before an event is understood. The event itself is safe already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

from bridge.ledger.insertion import Insertion
from bridge.ledger.unit import Unit

_OPEN = Insertion(
    "lookup",
    {"event_id": "int", "source": "text", "kind": "text", "key": "text"},
    computed={"state": "'open'", "due_at": ":now", "created_at": ":now", "updated_at": ":now"},
)
# The lease is the due time pushed into the future: whoever dies while asking leaves it due again by itself.
_CLAIM = """
UPDATE lookup SET due_at = :until WHERE id IN (
 SELECT id FROM lookup WHERE source = :source AND state = 'open' AND due_at <= :now ORDER BY due_at LIMIT :limit {lock})
RETURNING id, event_id, kind, key, attempts, age
"""
_EVENT = "SELECT id, method, path, query, headers, body, encoding, received_at FROM event WHERE id = :id"


def wake_name(source: str) -> str:
    """Return the name under which a commit wakes whoever makes the lookups of a source; no target can have it."""
    return f"lookups of {source}"


@dataclass(frozen=True, slots=True)
class LookupRow:
    """One lookup to be kept."""

    event_id: int
    source: str
    kind: str
    key: str


def keep(unit: Unit, rows: Sequence[LookupRow], now: int) -> None:
    """Keep lookups, due at once; one that an event has already is not kept twice."""
    unit.put(_OPEN, sorted(rows, key=attrgetter("event_id", "kind", "key")), now=now)
    unit.wake(wake_name(row.source) for row in rows)


def ask_again(unit: Unit, event_id: int, now: int) -> None:
    """Open the lookups of an event once more, whatever came of them."""
    unit.run(
        "UPDATE lookup SET state = 'open', attempts = 0, age = 0, due_at = :now, why = '', remedy = '', updated_at = :now"
        " WHERE event_id = :event_id",
        event_id=event_id,
        now=now,
    )


def claim(unit: Unit, source: str, now: int, lease: int, limit: int) -> list[Any]:
    """Take what is due at a source; each is nobody else's for ``lease`` milliseconds."""
    lock = "FOR NO KEY UPDATE SKIP LOCKED" if unit.dialect.many_writers else ""
    statement = _CLAIM.replace("{lock}", lock)
    return list(unit.rows(statement, source=source, now=now, until=now + lease, limit=limit))


def event_of(unit: Unit, event_id: int) -> Any:
    """Return the event that a lookup is about, as it is kept."""
    return unit.rows(_EVENT, id=event_id)[0]


def finish(unit: Unit, ids: Iterable[int], now: int) -> set[int]:
    """End lookups; return those that had not ended before."""
    rows = unit.each(
        "UPDATE lookup SET state = 'done', why = '', remedy = '', updated_at = :now FROM {rows}"
        " WHERE lookup.id = r.id AND lookup.state <> 'done' RETURNING lookup.id",
        {"id": "int"},
        [{"id": i} for i in sorted(set(ids))],
        now=now,
    )
    return {row.id for row in rows}


@dataclass(frozen=True, slots=True)
class Unanswered:
    """What came of a try that found nothing out. Times in milliseconds."""

    id: int
    state: Literal["open", "dead"]
    due_at: int
    attempts: int
    age: int
    why: str
    remedy: str


_PUT_OFF = """
UPDATE lookup SET state = r.state, due_at = r.due_at, attempts = r.attempts, age = r.age, why = r.why, remedy = r.remedy,
 updated_at = :now
FROM {rows} WHERE lookup.id = r.id AND lookup.state <> 'done'
"""
_PUT_OFF_COLUMNS = {
    "id": "int",
    "state": "text",
    "due_at": "int",
    "attempts": "int",
    "age": "int",
    "why": "text",
    "remedy": "text",
}


def put_off(unit: Unit, tries: Sequence[Unanswered], now: int) -> None:
    """Keep when lookups are to be made again, or that they are not until somebody acts."""
    unit.each(_PUT_OFF, _PUT_OFF_COLUMNS, tries, now=now)


def requeue(unit: Unit, ids: Sequence[int], source: str | None, now: int, *, dry_run: bool) -> list[Any]:
    """Open dead lookups again: these, a source's, or all; return them, without those that somebody else has just opened."""
    which = "k.state = 'dead' AND (:every = 1 OR k.source = :source) ORDER BY k.id"
    select = "SELECT k.id, k.source, k.event_id, k.kind, k.key, k.why FROM"
    given: dict[str, Any] = {"source": source or "", "every": int(source is None)}
    rows = [{"id": one} for one in sorted(set(ids))]
    if ids:
        found = unit.each(f"{select} {{rows}} JOIN lookup k ON k.id = r.id WHERE {which}", {"id": "int"}, rows, **given)
    else:
        found = unit.rows(f"{select} lookup k WHERE {which}", **given)
    if dry_run:
        return list(found)
    opened = unit.each(
        "UPDATE lookup SET state = 'open', due_at = :now, attempts = 0, age = 0, updated_at = :now"
        " FROM {rows} WHERE lookup.id = r.id AND lookup.state = 'dead' RETURNING lookup.id",
        {"id": "int"},
        [{"id": row.id} for row in found],
        now=now,
    )
    again = {row.id for row in opened}
    found = [row for row in found if row.id in again]
    unit.wake(wake_name(row.source) for row in found)
    return found


def next_due(unit: Unit, source: str) -> int | None:
    """Return when a source's next open lookup is due, in milliseconds, or None when nothing is open."""
    rows = unit.rows(
        "SELECT due_at FROM lookup WHERE source = :source AND state = 'open' ORDER BY due_at LIMIT 1", source=source
    )
    return int(rows[0].due_at) if rows else None

"""People, by (namespace, remote user id) where the source gives one, else by e-mail."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.ledger.insertion import Insertion
from bridge.ledger.unit import Unit


@dataclass(slots=True)
class LearnerRow:
    """What an event says of a person. Times in milliseconds.

    Attributes:
        dated: the sender says when it happened, so that an older event must not overwrite a newer one.
    """

    namespace: str
    remote_user_id: str | None
    email: str | None
    email_key: str | None
    first_name: str
    last_name: str
    phone: str
    attributes: str
    occurred_at: int
    dated: bool

    @property
    def key(self) -> tuple[str, str, str]:
        """What the unique indexes decide by."""
        if self.remote_user_id is not None:
            return (self.namespace, "id", self.remote_user_id)
        return (self.namespace, "email", self.email_key or "")


@dataclass(slots=True)
class Known:
    """A learner as the ledger holds them now.

    Attributes:
        former_email: the address before this event; the same as ``email`` where it did not change.
        changed: this event changed something that targets may want to know.
        via: the learner whom the event named, where that one was merged into this one.
    """

    id: int
    namespace: str
    remote_user_id: str | None
    email: str | None
    former_email: str | None
    changed: bool
    via: int | None = None


_COLUMNS = {
    "namespace": "text",
    "remote_user_id": "text",
    "email": "text",
    "email_key": "text",
    "first_name": "text",
    "last_name": "text",
    "phone": "text",
    "attributes": "text",
    "occurred_at": "int",
}
_INSERT = Insertion("learner", _COLUMNS, computed={"created_at": ":now", "updated_at": ":now"})
_KEY_COLUMNS = {"namespace": "text", "key": "text"}
_FIND_BY_ID = "SELECT l.* FROM {rows} JOIN learner l ON l.namespace = r.namespace AND l.remote_user_id = r.key"
_FIND_BY_EMAIL = """
SELECT l.* FROM {rows} JOIN learner l ON l.namespace = r.namespace AND l.email_key = r.key AND l.remote_user_id IS NULL
"""
# Somebody who was merged is known by their address as well: an event that names it makes no third learner of the person.
_FIND_MERGED = """
SELECT l.* FROM {rows} JOIN learner l ON l.namespace = r.namespace AND l.email_key = r.key AND l.merged_into IS NOT NULL
"""
_SURVIVORS = """
WITH RECURSIVE up(start, id, next) AS (
 SELECT l.id, l.id, l.merged_into FROM {rows} JOIN learner l ON l.id = r.id
 UNION ALL SELECT up.start, l.id, l.merged_into FROM up JOIN learner l ON l.id = up.next)
SELECT up.start, l.id, l.namespace, l.remote_user_id, l.email, l.merged_into
FROM up JOIN learner l ON l.id = up.id WHERE up.next IS NULL ORDER BY l.id
"""
_UPDATE = """
UPDATE learner SET email = r.email, email_key = r.email_key, first_name = r.first_name, last_name = r.last_name,
 phone = r.phone, attributes = r.attributes, occurred_at = r.occurred_at,
 updated_at = (CASE WHEN r.changed = 1 THEN :now ELSE learner.updated_at END)
FROM {rows} WHERE learner.id = r.id
"""


def upsert(unit: Unit, rows: Sequence[LearnerRow], now: int) -> list[Known]:
    """Insert or update people; one :class:`Known` per row. No two rows may be of one person.

    An empty field never overwrites a full one; attributes are merged; a dated event that is older than the newest one
    changes nothing. Who was merged into somebody else is returned as that learner, whose own data stays as it is.
    """
    ordered = sorted(rows, key=lambda row: row.key)
    elsewhere = _merged_at(unit, ordered)
    new = [row for row in ordered if row.key not in elsewhere] if elsewhere else ordered
    inserted = unit.insert(_INSERT, new, now=now)
    found = {
        row.key: Known(learner_id, row.namespace, row.remote_user_id, row.email, row.email, changed=False)
        for row, learner_id in zip(new, inserted, strict=True)
        if learner_id is not None
    }
    missing = [row for row in ordered if row.key not in found]
    if missing:
        found |= _update(unit, missing, now)
    return [found[row.key] for row in rows]


def _merged_at(unit: Unit, rows: Sequence[LearnerRow]) -> set[tuple[str, str, str]]:
    """Return which of these people, known by an address only, are known by it as somebody who was merged."""
    if not unit.rare().merged:
        return set()
    by_email = [{"namespace": row.namespace, "key": row.email_key} for row in rows if row.remote_user_id is None]
    if not by_email:
        return set()
    return {(row.namespace, "email", row.email_key) for row in unit.each(_FIND_MERGED, _KEY_COLUMNS, by_email)}


def _update(unit: Unit, rows: Sequence[LearnerRow], now: int) -> dict[tuple[str, str, str], Known]:
    stored = _stored(unit, rows, unit.holding("l"))
    known, changes = {}, []
    for row in rows:
        old = stored[row.key]
        if (
            _key(old) != row.key
        ):  # known by an id as well, which an event that gives only the address does not overwrite
            continue
        new = _merged(old, row)
        changed = any(new[name] != getattr(old, name) for name in new if name != "occurred_at")
        # An event that only confirms what is known is remembered too: an older one must not undo it later.
        if changed or (row.dated and new["occurred_at"] != old.occurred_at):
            changes.append({"id": old.id, "changed": int(changed), **new})
        known[row.key] = Known(old.id, old.namespace, old.remote_user_id, new["email"], old.email, changed)
    unit.each(
        _UPDATE,
        {"id": "int", "changed": "int", **{name: kind for name, kind in _COLUMNS.items() if name not in _IDENTITY}},
        changes,
        now=now,
    )
    if merged := {key: row.id for key, row in stored.items() if row.merged_into is not None}:
        people = survivors(unit, merged.values())
        known |= {key: people[learner_id] for key, learner_id in merged.items()}
    return known


def survivors(unit: Unit, ids: Iterable[int]) -> dict[int, Known]:
    """Return for each of these merged learners who they are by now, whom nobody changes until the transaction ends."""
    wanted = [{"id": i} for i in sorted(set(ids))]
    found = unit.each(_SURVIVORS + unit.holding("l"), {"id": "int"}, wanted)
    while any(row.merged_into is not None for row in found):  # merged by another process while we waited
        found = unit.each(_SURVIVORS + unit.holding("l"), {"id": "int"}, wanted)
    return {
        row.start: Known(row.id, row.namespace, row.remote_user_id, row.email, row.email, changed=False, via=row.start)
        for row in found
    }


def _stored(unit: Unit, rows: Sequence[LearnerRow], lock: str = "") -> dict[tuple[str, str, str], Any]:
    by_id = [{"namespace": row.namespace, "key": row.remote_user_id} for row in rows if row.remote_user_id is not None]
    by_email = [{"namespace": row.namespace, "key": row.email_key} for row in rows if row.remote_user_id is None]
    order = f" ORDER BY l.id{lock}"
    found = [
        *unit.each(_FIND_BY_ID + order, _KEY_COLUMNS, by_id),
        *unit.each(_FIND_BY_EMAIL + order, _KEY_COLUMNS, by_email),
    ]
    stored = {_key(row): row for row in found}
    missing = [one for one in by_email if (one["namespace"], "email", one["key"] or "") not in stored]
    for row in unit.each(_FIND_MERGED + order, _KEY_COLUMNS, missing):
        stored[row.namespace, "email", row.email_key] = row
    return stored


_IDENTITY = ("namespace", "remote_user_id")


def _merged(old: Any, row: LearnerRow) -> dict[str, Any]:
    stale = row.dated and row.occurred_at < old.occurred_at
    merged: dict[str, Any] = {"occurred_at": old.occurred_at if stale else max(old.occurred_at, row.occurred_at)}
    for name in ("email", "email_key", "first_name", "last_name", "phone"):
        said, kept = getattr(row, name), getattr(old, name)
        merged[name] = kept if not said or (stale and kept) else said
    if merged["email_key"] == old.email_key:  # another spelling of the same address is no change
        merged["email"] = old.email
    said, kept = orjson.loads(row.attributes), orjson.loads(old.attributes)
    attributes = {**said, **kept} if stale else {**kept, **said}
    merged["attributes"] = old.attributes if attributes == kept else orjson.dumps(attributes).decode()
    return merged


def _key(row: Any) -> tuple[str, str, str]:
    if row.remote_user_id is not None:
        return (row.namespace, "id", row.remote_user_id)
    return (row.namespace, "email", row.email_key or "")


def find(unit: Unit, row: LearnerRow) -> Known | None:
    """Return the person, or None for somebody the ledger has never seen."""
    found = _stored(unit, [row]).get(row.key)
    if found is None:
        return None
    if found.merged_into is not None:
        return survivors(unit, [found.id])[found.id]
    return Known(found.id, found.namespace, found.remote_user_id, found.email, found.email, changed=False)


def identity(unit: Unit, learner_id: int) -> tuple[str, str | None, str | None]:
    """Return a person's namespace, remote user id and e-mail, which nobody changes until the transaction ends."""
    statement = "SELECT l.namespace, l.remote_user_id, l.email FROM learner l WHERE l.id = :id" + unit.holding("l")
    row = unit.rows(statement, id=learner_id)[0]
    return row.namespace, row.remote_user_id, row.email


def others_at(unit: Unit, email_key: str, learner_id: int) -> bool:
    """Say whether somebody else is known by this address too. Who was merged counts as the person they are."""
    statement = "SELECT 1 FROM learner WHERE email_key = :key AND id <> :id AND merged_into IS NULL LIMIT 1"
    return bool(unit.rows(statement, key=email_key, id=learner_id))

"""The ids by which a purchase is named: those that later events carry, and those that early ones wait for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from bridge.ledger import registrations
from bridge.ledger.insertion import Insertion
from bridge.ledger.unit import Unit

_NAMES = Insertion("order_ref", {"scope": "text", "ref": "text", "registration_id": "int"})
_NAMED = """
SELECT DISTINCT o.registration_id AS id FROM {rows} JOIN order_ref o ON o.scope = :scope AND o.ref = r.ref
"""
_PARK = "INSERT INTO parked_key (scope, key, quarantine_id) SELECT :scope, key, :quarantine_id FROM {rows} WHERE true ON CONFLICT DO NOTHING"
_PARKED = """
SELECT q.id, q.event_id, q.source, q.command, q.line, p.scope, p.key FROM {rows}
JOIN parked_key p ON p.scope = r.scope AND p.key = r.key JOIN quarantine q ON q.id = p.quarantine_id
ORDER BY q.occurred_at, q.id, p.key
"""


def name(unit: Unit, refs: Iterable[tuple[str, str, int]]) -> None:
    """Note by which further ids registrations are named: (scope, ref, registration id)."""
    rows = [{"scope": scope, "ref": ref, "registration_id": i} for scope, ref, i in sorted(set(refs))]
    unit.put(_NAMES, rows)


def by_refs(unit: Unit, scope: str, refs: Collection[str]) -> list[Any]:
    """Return the registrations that one of these ids names."""
    rows = unit.each(_NAMED, {"ref": "text"}, [{"ref": ref} for ref in sorted(set(refs))], scope=scope)
    return registrations.by_ids(unit, [row.id for row in rows])


def park(unit: Unit, quarantine_id: int, scope: str, keys: Iterable[str]) -> None:
    """Let a quarantined command wait for a purchase that carries one of these keys."""
    unit.each(
        _PARK, {"key": "text"}, [{"key": key} for key in sorted(set(keys))], scope=scope, quarantine_id=quarantine_id
    )


def parked_already(unit: Unit, event_id: int, command: str, business_key: str) -> bool:
    """Say whether this command of an event waits for its purchase."""
    statement = (
        "SELECT 1 FROM quarantine WHERE event_id = :event_id AND kind = 'early' AND state = 'waiting' AND command = :command"
        " AND business_key = :business_key"
    )
    return bool(unit.rows(statement, event_id=event_id, command=command, business_key=business_key))


def parked(unit: Unit, keys: Iterable[tuple[str, str]]) -> Sequence[Any]:
    """Return the commands that wait for one of these (scope, key), oldest first."""
    rows = [{"scope": scope, "key": key} for scope, key in sorted(set(keys))]
    return unit.each(_PARKED, {"scope": "text", "key": "text"}, rows)


def unpark(unit: Unit, quarantine_ids: Iterable[int]) -> None:
    """Let these wait no longer."""
    rows = [{"id": i} for i in sorted(set(quarantine_ids))]
    unit.each("DELETE FROM parked_key WHERE quarantine_id IN (SELECT r.id FROM {rows})", {"id": "int"}, rows)

"""What time ends: grants that are over, and events that are old."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, text

from bridge.ledger import purchases, rights
from bridge.ledger.unit import Unit

_ENDED = """
SELECT t.id, t.registration_id, t.right_id FROM "grant" t
WHERE t.live = 1 AND t.expires_at IS NOT NULL AND t.expires_at <= :now ORDER BY t.expires_at LIMIT :limit
"""
_END = """
UPDATE "grant" SET live = 0 WHERE id IN (SELECT r.id FROM {rows}) AND live = 1 AND expires_at <= :now RETURNING right_id
"""
_WITHOUT = """
SELECT g.* FROM {rows} JOIN registration g ON g.id = r.id AND g.intent = 'live'
WHERE NOT EXISTS (SELECT 1 FROM "grant" t WHERE t.registration_id = g.id AND t.live = 1)
"""
# What an operator decided is no sender's, holds nothing of a learner, and goes on to count.
_OLD = """
e.received_at < :before AND e.encoding <> 'emptied' AND e.adapter <> 'operator'
 AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.event_id = e.id AND q.state = 'waiting')
 AND NOT EXISTS (SELECT 1 FROM lookup k WHERE k.event_id = e.id AND k.state <> 'done')"""
_OLDEST = text(
    f"SELECT e.id, e.received_at FROM event e WHERE e.received_at >= :since AND {_OLD} ORDER BY e.received_at LIMIT :limit"
)
_EMPTY = f"""
UPDATE event SET body = '', query = '{{}}', headers = '{{}}', encoding = 'emptied'
WHERE id IN (SELECT e.id FROM {{rows}} CROSS JOIN event e WHERE e.id = r.id AND {_OLD})
"""


def ended_grants(unit: Unit, now: int, limit: int) -> list[Any]:
    """Return live grants whose time is over, oldest first."""
    return list(unit.rows(_ENDED, now=now, limit=limit))


def end_grants(unit: Unit, grant_ids: Iterable[int], now: int) -> list[Any]:
    """End grants, but for those that another bridge has renewed or ended meanwhile; return the rights they stood behind, as they are wanted after it."""
    ended = unit.each(_END, {"id": "int"}, [{"id": i} for i in grant_ids], now=now)
    return rights.derive_wanted(unit, {row.right_id for row in ended if row.right_id is not None}, now)


def without_grants(unit: Unit, registration_ids: Iterable[int]) -> list[Any]:
    """Return those live registrations of which no grant is live any more."""
    return list(unit.each(_WITHOUT, {"id": "int"}, [{"id": i} for i in sorted(registration_ids)]))


_END_EARLY = """
UPDATE quarantine SET state = 'superseded', note = :note, updated_at = :now WHERE id IN (
 SELECT id FROM quarantine WHERE kind = 'early' AND line = '' AND state = 'waiting' AND created_at < :before ORDER BY id LIMIT :limit)
 AND state = 'waiting' RETURNING id
"""


def end_early(unit: Unit, before: int, note: str, now: int, limit: int) -> int:
    """End the wait of commands whose purchase has not come since a time (milliseconds); return how many."""
    ended = unit.rows(_END_EARLY, before=before, note=note, now=now, limit=limit)
    purchases.unpark(unit, [row.id for row in ended])
    return len(ended)


def old_events(connection: Connection, since: int, before: int, limit: int) -> list[tuple[int, int]]:
    """Return events received from a time until before another (milliseconds) that can be emptied: (id, received at), oldest first.

    On a reading connection: it walks past all that are empty already, which no accept should have to wait for.
    """
    rows = connection.execute(_OLDEST, {"since": since, "before": before, "limit": limit})
    return [(row.id, row.received_at) for row in rows]


def count(connection: Connection, before: int) -> int:
    """Return how many events would be emptied that were received before a time (milliseconds)."""
    return int(connection.execute(text(f"SELECT count(*) FROM event e WHERE {_OLD}"), {"before": before}).scalar_one())


def empty_events(unit: Unit, ids: Iterable[int], before: int) -> int:
    """Empty those of these events that are old, but for those that wait in quarantine or for a lookup; return how many."""
    return len(unit.each(_EMPTY + " RETURNING id", {"id": "int"}, [{"id": i} for i in ids], before=before))

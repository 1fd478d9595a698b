"""Targets that the operator has given up: what is open there ends, and nothing waits for them any more."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, text

from bridge.ledger import outbox, registrations
from bridge.ledger.unit import Unit

_UNSETTLED = """
SELECT target, count(*) AS n FROM delivery WHERE target IN :names AND state IN ('waiting', 'open', 'blocked', 'leased', 'dead')
GROUP BY target
"""
_HELD = """
SELECT target, count(*) AS n FROM "right" WHERE target IN :names AND (wanted = 1 OR held <> 'no') GROUP BY target
"""
# Hopping from name to name: there are a few targets and perhaps millions of rights.
_KNOWN = """
WITH RECURSIVE hop(name) AS (
 SELECT min(target) FROM "right"
 UNION ALL SELECT (SELECT min(target) FROM "right" WHERE target > hop.name) FROM hop WHERE hop.name IS NOT NULL)
SELECT name FROM hop WHERE name IS NOT NULL
"""
_BEHIND = """
SELECT DISTINCT t.registration_id FROM "right" w JOIN "grant" t ON t.right_id = w.id
WHERE w.target = :target AND (w.wanted = 1 OR w.held <> 'no' OR t.superseded = 0)
"""
# The grant goes on without a right, so that its end is still found by date; a suspended one, too: resumed at a target that
# is gone, it would be waited for in vain.
_INSTEAD = """
INSERT INTO "grant" (registration_id, course, right_id, live, expires_at, full_access)
SELECT t.registration_id, t.course, NULL, max(t.live),
 CASE WHEN count(t.expires_at) < count(*) THEN NULL ELSE max(t.expires_at) END, max(t.full_access)
FROM "right" w JOIN "grant" t ON t.right_id = w.id
WHERE w.target = :target AND t.superseded = 0
GROUP BY t.registration_id, t.course
ON CONFLICT (registration_id, course, coalesce(right_id, 0))
DO UPDATE SET live = excluded.live, superseded = 0, expires_at = excluded.expires_at, full_access = excluded.full_access
"""
_ENDED = """
UPDATE "grant" SET live = 0, superseded = 1 WHERE right_id IN (SELECT id FROM "right" WHERE target = :target) AND superseded = 0
"""
_LET_GO = "UPDATE \"right\" SET wanted = 0, held = 'no', held_as = '', updated_at = :now WHERE target = :target"
_DROPPED = """
UPDATE delivery SET state = 'done', outcome = 'dropped', why = 'the target was given up', remedy = NULL, updated_at = :now
WHERE target = :target AND state IN ('waiting', 'open', 'blocked', 'dead')
"""


def counted_on(connection: Connection, names: Sequence[str]) -> dict[str, str]:
    """Say what would be forgotten with these targets, by target: what is to be done there, and who holds access."""
    found: dict[str, list[str]] = {}
    for statement, what in ((_UNSETTLED, "deliveries to be made"), (_HELD, "rights held or wanted")):
        question = text(statement).bindparams(bindparam("names", expanding=True))
        for row in connection.execute(question, {"names": list(names)}):
            found.setdefault(row.target, []).append(f"{row.n} {what}")
    return {target: ", ".join(counts) for target, counts in found.items()}


def strangers(connection: Connection, names: Collection[str]) -> list[str]:
    """Return the targets that the ledger has rights at and that are not among these."""
    return [row.name for row in connection.execute(text(_KNOWN)) if row.name not in names]


def give_up(unit: Unit, target: str, now: int) -> int:
    """End everything that is open at a target; return how many deliveries that were. Idempotent.

    What the target holds stays as it is there; we count on it no more.
    """
    behind = [row.registration_id for row in unit.rows(_BEHIND, target=target)]
    unit.hold("registration", behind)
    dropped = unit.run(_DROPPED, target=target, now=now)
    if behind:
        unit.run(_INSTEAD, target=target)
        unit.run(_ENDED, target=target)
        unit.run(_LET_GO, target=target, now=now)
    outbox.open_waiting(unit, registrations.derive_states(unit, behind, now), now)
    return dropped

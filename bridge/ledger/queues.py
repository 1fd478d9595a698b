"""In which order deliveries are claimed: the queues of a target, one for each source and for what is tried again."""

from __future__ import annotations

# Every source has two queues at a target: what was never tried, and what is tried again. They are served in turn, so that
# one source's flood doesn't starve another, and an outage's backlog doesn't keep waiting whoever buys now. Whoever tries
# again has a turn too, or steady business would leave them waiting for ever.
_TURNS_OF_FRESH = 4  # for one of what is tried again
_QUEUES = """
RECURSIVE queue(source) AS (
 SELECT min(source) FROM delivery WHERE target = :target AND state = 'open'
 UNION ALL
 SELECT (SELECT min(e.source) FROM delivery e WHERE e.target = :target AND e.state = 'open' AND e.source > q.source)
 FROM queue q WHERE q.source IS NOT NULL
)"""
# Whoever gets an address that another account at the target still carries has to wait until that account's change has
# arrived there: looked up by the address, the target would give the one person's course to the other. Accounts that are
# themselves on the move do not wait, or two people who swap addresses would wait for each other. Who can't be claimed takes
# no place of those that are looked at, or a few who wait for long would stand before everybody.
_FREE = """
 NOT EXISTS (SELECT 1 FROM delivery b WHERE b.target = :target AND b.person = f.person AND b.state = 'leased')
  AND (NOT EXISTS (SELECT 1 FROM "right" w WHERE w.target = :target AND w.former = f.person AND w.person <> f.person)
   OR EXISTS (SELECT 1 FROM "right" o WHERE o.id = f.right_id AND o.former IS NOT NULL))"""
_FIRST_OF_QUEUE = f"""
 SELECT f.{{columns}} FROM delivery f WHERE f.target = :target AND f.state = 'open' AND f.source = q.source
  AND (f.attempts > 0) = a.again AND f.due_at <= :now AND {_FREE} ORDER BY f.due_at LIMIT (SELECT reach.rows FROM reach)"""
_FIRST_OF_QUEUES = {
    "sqlite": f"CROSS JOIN delivery d WHERE d.id IN ({_FIRST_OF_QUEUE.format(columns='id')})",
    "postgresql": "CROSS JOIN LATERAL ("
    + _FIRST_OF_QUEUE.format(columns="*")
    + " FOR NO KEY UPDATE SKIP LOCKED) d WHERE true",
}
# Whom a claim takes, it finds at the heads of the queues: where there are many, a few rows of each are enough.
_REACH = """
reach(rows) AS MATERIALIZED (
 SELECT 1 + :reach / (CASE WHEN :spread = 1 AND count(*) > 0 THEN count(*) ELSE 1 END) FROM queue WHERE source IS NOT NULL
)"""
_CLAIM = f"""
WITH {_QUEUES}, {_REACH}, due AS MATERIALIZED (
 SELECT d.id, d.person, d.due_at,
  row_number() OVER (PARTITION BY d.source, d.attempts > 0 ORDER BY d.due_at, d.id)
   * (CASE WHEN d.attempts > 0 THEN {_TURNS_OF_FRESH} ELSE 1 END) AS turn
 FROM queue q CROSS JOIN (SELECT false AS again UNION ALL SELECT true) a {{first_of_queues}} AND q.source IS NOT NULL
), first AS MATERIALIZED (
 SELECT c.id FROM (
  SELECT u.id, u.due_at, u.turn, row_number() OVER (PARTITION BY u.person ORDER BY u.turn, u.due_at, u.id) AS place
  FROM due u
 ) c WHERE c.place = 1 AND (:spread = 0 OR c.turn <= (SELECT reach.rows FROM reach)) ORDER BY c.turn, c.due_at, c.id LIMIT :limit
)
UPDATE delivery SET state = 'leased', lease = :lease, lease_owner = :owner, lease_until = :until, updated_at = :now
WHERE id IN (SELECT id FROM first)
RETURNING *
"""
_FEW = 16


def reaches(limit: int) -> list[tuple[int, int]]:
    """Return how far to look, step by step, for ``limit`` deliveries of different people: (rows, 1 to share them out).

    The first step shares the rows out among the queues, and takes of each what has its turn within them. Where queues are
    uneven, or people have many deliveries each, one has to look further: so far in each of them.
    """
    most = limit * 4
    return [(most, 1), (most, 0)] if limit <= _FEW else [(limit, 1), (limit, 0), (most, 0)]


CLAIMS = {name: _CLAIM.format(first_of_queues=first) for name, first in _FIRST_OF_QUEUES.items()}
NEXT_DUE = f"""
WITH {_QUEUES}
SELECT min((SELECT min(f.due_at) FROM delivery f
 WHERE f.target = :target AND f.state = 'open' AND f.source = q.source AND (f.attempts > 0) = a.again)) AS due_at
FROM queue q CROSS JOIN (SELECT false AS again UNION ALL SELECT true) a WHERE q.source IS NOT NULL
"""

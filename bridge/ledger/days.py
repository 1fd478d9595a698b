"""Purchases of a time, and how long each took to access: for the digest of a day, and for the console's hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, text

from bridge.ledger.events import OPERATOR

MOST: Final = 100_000
"""Purchases whose time to access is looked at."""

_CREATED: Final = (
    "FROM event e JOIN effect f ON f.event_id = e.id AND f.effect = 'created'"
    " WHERE e.received_at >= :since AND e.received_at < :until"
)
_RECEIVED: Final = """
SELECT c.source, c.state, count(*) AS n,
 sum((SELECT count(*) FROM effect f WHERE f.event_id = c.id AND f.effect = 'created')) AS bought
FROM (SELECT id, source, state FROM event WHERE received_at >= :since AND adapter <> :operator ORDER BY received_at DESC LIMIT :most) c
GROUP BY c.source, c.state
"""
_WAITS: Final = f"""
SELECT c.registration_id, c.began, g.right_id, min(a.at + a.ms) AS done,
 max(CASE WHEN w.held = 'yes' AND w.held_at <= c.began THEN 1 ELSE 0 END) AS was_in, max(w.wanted) AS wanted
FROM (SELECT f.registration_id, e.received_at AS began {_CREATED} ORDER BY e.received_at DESC LIMIT :most) c
JOIN "grant" g ON g.registration_id = c.registration_id JOIN "right" w ON w.id = g.right_id
LEFT JOIN delivery d ON d.right_id = g.right_id
LEFT JOIN attempt a ON a.delivery_id = d.id AND a.at >= c.began AND a.operation <> 'revoke'
 AND (a.outcome = 'receipt' OR a.outcome = 'nothing' AND w.wanted = 1)
GROUP BY c.registration_id, c.began, g.right_id
"""


def purchases(connection: Connection, since: int, until: int) -> Sequence[Any]:
    """Count the purchases that were made between two times (milliseconds), by source."""
    return connection.execute(
        text(f"SELECT e.source, count(*) AS n {_CREATED} GROUP BY e.source ORDER BY count(*) DESC, e.source"),
        {"since": since, "until": until},
    ).all()


def counted(connection: Connection, since: int, until: int, most: int) -> int:
    """Count the purchases that were made between two times (milliseconds), up to ``most``."""
    statement = f"SELECT count(*) AS n FROM (SELECT 1 {_CREATED} LIMIT :most) counted"
    return int(connection.execute(text(statement), {"since": since, "until": until, "most": most}).scalar_one())


def received(connection: Connection, since: int, most: int) -> Sequence[Any]:
    """Count what sources sent since a time (milliseconds), by source and state, with ``bought``: purchases that it made.

    Of the newest ``most`` events of all.
    """
    return connection.execute(text(_RECEIVED), {"since": since, "most": most, "operator": OPERATOR}).all()


def waits(connection: Connection, since: int, until: int, most: int = MOST) -> list[int | None]:
    """Return, for each of the newest purchases between two times that is to give access, the milliseconds until all of it was there.

    None where it is not there yet. Whoever was in before did not wait; what was taken back before it was there is left out.
    """
    rows = connection.execute(text(_WAITS), {"since": since, "until": until, "most": most}).all()
    found: dict[int, int | None] = {}
    for row in rows:
        if row.done is None and not (row.was_in or row.wanted):
            continue
        wait = max(0, row.done - row.began) if row.done is not None else 0 if row.was_in else None
        before = found.get(row.registration_id, 0)
        found[row.registration_id] = None if wait is None or before is None else max(before, wait)
    return list(found.values())

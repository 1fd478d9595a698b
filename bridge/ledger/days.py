"""A day in numbers, for the digest. Every question goes through an index; asked once a day."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, text

MOST: Final = 100_000
"""Purchases whose time to access is looked at."""


def purchases(connection: Connection, since: int, until: int) -> Sequence[Any]:
    """Count the purchases that were made between two times (milliseconds), by source."""
    return connection.execute(
        text(
            "SELECT e.source, count(*) AS n FROM event e JOIN effect f ON f.event_id = e.id"
            " WHERE e.received_at >= :since AND e.received_at < :until AND f.effect = 'created'"
            " GROUP BY e.source ORDER BY count(*) DESC, e.source"
        ),
        {"since": since, "until": until},
    ).all()


def waits(connection: Connection, since: int, until: int) -> list[int | None]:
    """Return, for each purchase between two times that is to give access, the milliseconds until all of it was there.

    None where it is not, or is not any more wanted.
    """
    rows = connection.execute(
        text(
            "SELECT e.received_at AS began, f.registration_id, g.right_id, min(a.at + a.ms) AS done"
            " FROM event e JOIN effect f ON f.event_id = e.id AND f.effect = 'created'"
            ' JOIN "grant" g ON g.registration_id = f.registration_id AND g.right_id IS NOT NULL'
            " LEFT JOIN delivery d ON d.right_id = g.right_id"
            " LEFT JOIN attempt a ON a.delivery_id = d.id AND a.outcome = 'receipt' AND a.operation <> 'revoke'"
            " AND a.at >= e.received_at"
            " WHERE e.received_at >= :since AND e.received_at < :until"
            " GROUP BY e.received_at, f.registration_id, g.right_id LIMIT :most"
        ),
        {"since": since, "until": until, "most": MOST},
    ).all()
    found: dict[int, int | None] = {}
    for row in rows:
        wait = None if row.done is None else max(0, row.done - row.began)
        before = found.get(row.registration_id, 0)
        found[row.registration_id] = None if wait is None or before is None else max(before, wait)
    return list(found.values())

"""How often each source usually speaks: an hour's events are folded into one row, so that nobody has to read them again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from bridge.ledger.events import OPERATOR
from bridge.ledger.unit import Unit

HOUR: Final = 3_600_000
"""Milliseconds."""
_JOB = "rhythm"


@dataclass(slots=True)
class Hour:
    """What a source sent in one hour. ``longest``: the longest silence that ended in it; milliseconds."""

    source: str
    hour: int
    events: int
    last_at: int
    longest: int


def place(connection: Connection) -> int | None:
    """Return the id of the newest event that is folded, or None when none is."""
    found = connection.execute(text("SELECT place FROM job_place WHERE job = :job"), {"job": _JOB}).first()
    return None if found is None else int(found.place)


def first_since(connection: Connection, at: int) -> int:
    """Return the id of the first event received since a time (milliseconds); 0 where there is none."""
    found = connection.execute(
        text("SELECT id FROM event WHERE received_at >= :at ORDER BY received_at, id LIMIT 1"), {"at": at}
    ).first()
    return 0 if found is None else int(found.id)


def events_after(connection: Connection, event_id: int, limit: int) -> Sequence[Any]:
    """Return id, source and time of receipt of the events that sources sent after one, in order."""
    return connection.execute(
        text(
            "SELECT id, source, received_at FROM event WHERE id > :id AND adapter <> :operator ORDER BY id LIMIT :limit"
        ),
        {"id": event_id, "operator": OPERATOR, "limit": limit},
    ).all()


def last_heard(connection: Connection) -> dict[str, int]:
    """Return when each source sent its newest folded event; milliseconds."""
    rows = connection.execute(text("SELECT source, max(last_at) AS at FROM source_hour GROUP BY source")).all()
    return {row.source: int(row.at) for row in rows}


def hours(connection: Connection, source: str, since: int) -> list[Hour]:
    """Return a source's hours since an hour, in order; hours without an event have no row."""
    rows = connection.execute(
        text(
            "SELECT source, hour, events, last_at, longest FROM source_hour"
            " WHERE source = :source AND hour >= :since ORDER BY hour"
        ),
        {"source": source, "since": since},
    ).all()
    return [Hour(row.source, row.hour, row.events, row.last_at, row.longest) for row in rows]


_FOLD = """
INSERT INTO source_hour (source, hour, events, last_at, longest)
SELECT source, hour, events, last_at, longest FROM {rows} WHERE true
ON CONFLICT (source, hour) DO UPDATE SET events = source_hour.events + excluded.events,
 last_at = (CASE WHEN excluded.last_at > source_hour.last_at THEN excluded.last_at ELSE source_hour.last_at END),
 longest = (CASE WHEN excluded.longest > source_hour.longest THEN excluded.longest ELSE source_hour.longest END)
"""
_COLUMNS = {"source": "text", "hour": "int", "events": "int", "last_at": "int", "longest": "int"}


def fold(unit: Unit, found: Sequence[Hour], before: int | None, after: int, now: int) -> bool:
    """Fold hours in, and move the place from ``before`` to ``after``; False when another has moved it meanwhile."""
    if before is None:
        moved = unit.run(
            "INSERT INTO job_place (job, place) VALUES (:job, :after) ON CONFLICT (job) DO NOTHING",
            job=_JOB,
            after=after,
        )
    else:
        moved = unit.run(
            "UPDATE job_place SET place = :after WHERE job = :job AND place = :before",
            job=_JOB,
            before=before,
            after=after,
        )
    if moved:
        unit.each(_FOLD, _COLUMNS, found)
        unit.run("DELETE FROM source_hour WHERE hour < :before", before=(now // HOUR) - 24 * 7 * 8)
    return moved > 0

"""How often each source usually speaks, and which has been silent for too long: one judgement, for alerts and console.

An hour's events are folded into one row, so that nobody has to read them again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

from bridge.ledger.events import OPERATOR
from bridge.ledger.unit import Unit

HOUR: Final = 3_600_000
"""Milliseconds."""
UNFOLDED: Final = 20_000
"""Events that are folded in one run. While more wait, nobody is judged: what is usual is not known yet."""

_NEWEST: Final = 1_000  # events that tell when sources were heard, before any is folded
_JOB = "rhythm"
_WEEK: Final = 7 * 24
_WEEKS: Final = 4
_LEAST_WEEKS, _LEAST_EVENTS = 3, 50
_TIMES: Final = 4


@dataclass(slots=True)
class Hour:
    """What a source sent in one hour. ``longest``: the longest silence that ended in it; milliseconds."""

    source: str
    hour: int
    events: int
    last_at: int
    longest: int


@dataclass(frozen=True, slots=True)
class Silence:
    """How a source is heard; milliseconds.

    Attributes:
        heard: when it was heard last; None: not since anybody counts.
        elapsed: since when it, or nobody at all, could be heard.
        usual: how long it is silent at most at this time of the week; None: too little is known, or nobody had to ask.
    """

    heard: int | None
    elapsed: int
    usual: int | None = None
    quiet: bool = False


def place(connection: Connection) -> int | None:
    """Return the id of the newest event that is folded, or None when none is."""
    found = connection.execute(text("SELECT place FROM job_place WHERE job = :job"), {"job": _JOB}).first()
    return None if found is None else int(found.place)


def begin_of_learning(now: int) -> int:
    """Return since when events are learnt from, at a time; milliseconds."""
    return now - (_WEEKS + 1) * _WEEK * HOUR


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


def heard(connection: Connection) -> tuple[dict[str, int], bool]:
    """Return when each source sent its newest event, folded or not; and whether all are folded but a few, so that it can be judged."""
    folded = place(connection)
    rows = connection.execute(
        text(
            "SELECT c.source, max(c.received_at) AS at, count(*) AS n FROM (SELECT source, received_at FROM event"
            " WHERE id > :id AND adapter <> :operator ORDER BY id DESC LIMIT :limit) c GROUP BY c.source"
        ),
        {"id": folded or 0, "operator": OPERATOR, "limit": UNFOLDED if folded is not None else _NEWEST},
    ).all()
    found = last_heard(connection)
    for row in rows:
        found[row.source] = max(found.get(row.source, 0), int(row.at))
    return found, folded is not None and sum(row.n for row in rows) < UNFOLDED


def how_heard(connection: Connection, sources: Collection[str], since: int, least: int, now: int) -> dict[str, Silence]:
    """Judge sources as :func:`silences` does, by what has come up to now; while much is still to be learnt, none is quiet."""
    heard_at, known = heard(connection)
    return silences(connection, sources, heard_at, since, least if known else now + 1, now)


def silences(
    connection: Connection, sources: Collection[str], heard_at: Mapping[str, int], since: int, least: int, now: int
) -> dict[str, Silence]:
    """Judge how long sources have been silent, by what is usual at this time of the week.

    Args:
        connection: a reading one.
        sources: those to look at.
        heard_at: when each was heard last.
        since: nobody could be heard before.
        least: a silence that is shorter is none, whatever is usual.
        now: the time.
    """
    found = {}
    for name in sources:
        last = heard_at.get(name)
        elapsed = now - max(last or 0, since)
        usual = None
        if last is not None and elapsed >= least:
            usual = usual_silence(connection, name, now)
        quiet = usual is not None and elapsed >= max(least, _TIMES * usual)
        found[name] = Silence(last, elapsed, usual, quiet)
    return found


def usual_silence(connection: Connection, source: str, now: int) -> int | None:
    """Return how long a source is silent at most at this time of the week (milliseconds); None where too little is known."""
    at = now // HOUR
    return longest_usual(hours(connection, source, at - _WEEKS * _WEEK - 48), at)


def counted_since(connection: Connection, since: int) -> dict[str, int]:
    """Count what each source sent since the beginning of an hour (milliseconds); what is folded is not looked at again."""
    rows = connection.execute(
        text("SELECT source, sum(events) AS n FROM source_hour WHERE hour >= :hour GROUP BY source"),
        {"hour": since // HOUR},
    ).all()
    found = {row.source: int(row.n) for row in rows}
    unfolded = connection.execute(
        text(
            "SELECT c.source, count(*) AS n FROM (SELECT source, received_at FROM event WHERE id > :id"
            " AND adapter <> :operator ORDER BY id DESC LIMIT :limit) c WHERE c.received_at >= :since GROUP BY c.source"
        ),
        {"id": place(connection) or 0, "operator": OPERATOR, "limit": UNFOLDED, "since": since},
    ).all()
    for row in unfolded:
        found[row.source] = found.get(row.source, 0) + int(row.n)
    return found


def longest_usual(known: Sequence[Hour], at: int) -> int | None:
    """Return how long a source was silent at most, at this hour of the last weeks, an hour more or less; milliseconds.

    None where too little is known to say so.

    Args:
        known: hours of one source, in order.
        at: the hour it is now.
    """
    past = [hour for hour in known if hour.hour <= at - _WEEK + 1]
    weeks = 0 if not known else (at - known[0].hour) // _WEEK
    if weeks < _LEAST_WEEKS or sum(hour.events for hour in past) < _LEAST_EVENTS:
        return None
    rows = {hour.hour: hour for hour in past}
    looked_at = (at - week * _WEEK + more for week in range(1, weeks + 1) for more in (-1, 0, 1))
    return max(_silence(rows, past, hour) for hour in looked_at)


def _silence(rows: Mapping[int, Hour], past: Sequence[Hour], hour: int) -> int:
    end = (hour + 1) * HOUR
    if (found := rows.get(hour)) is not None:
        return max(found.longest, end - found.last_at)
    last = max((one.last_at for one in past if one.hour < hour), default=hour * HOUR)
    return end - last


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
        unit.run("DELETE FROM source_hour WHERE hour < :before", before=(now // HOUR) - _WEEK * 8)
    return moved > 0

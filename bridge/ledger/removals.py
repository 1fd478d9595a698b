"""What may be removed once it is old: the record of work that is done. What a promise rests on is never among it.

An attempt that gave access or took it away stays, as one line: a CRM is told by it whether somebody was ever in, and the
story of an old purchase is told by it. Events, purchases, grants, rights, remote ids, notices, seats, merges and quarantined
lines are not removed at all: by them repeats, late refunds, replays and undone merges are known.

Rows are looked for on a reading connection, in the order of their ids, and removed by their ids, a few in one transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, text

from bridge.kit.clock import moment
from bridge.ledger.unit import Unit

_CONFIRMS: Final = "{}.operation IN ('grant', 'revoke') AND {}.outcome = 'receipt'"
# By its attempts it is known whether a confirmation of access may wait once more; once the notice is emptied, it can't.
_SETTLED: Final = """{0}.state = 'done' AND {0}.updated_at < :before
 AND (CASE WHEN {0}.kind = 'notice' THEN
  (SELECT count(*) FROM notice n WHERE n.id = CAST(substr({0}.key, 8) AS BIGINT) AND n.data <> '{{}}') ELSE 0 END) = 0"""
_OF_SETTLED: Final = f"EXISTS (SELECT 1 FROM delivery d WHERE d.id = x.delivery_id AND {_SETTLED.format('d')})"
_OF_THESE: Final = "IN (SELECT r.id FROM {rows})"
_NAMED: Final = 500  # ids in one statement


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of rows that may go.

    Attributes:
        what: its name; the setting is called ``keep_`` and this.
        made: the column that says when a row began.
        old: SQL over ``x`` and ``:before`` (milliseconds): which rows go.
        children: tables whose rows go with them, and the column that refers to them.
        bare: SQL over ``x`` and ``:before``: which rows stay, but without what ``strip`` takes from them.
        by_hand: actions whose subjects are ids of such rows: what an operator has acted on stays, and so does its story.
    """

    what: str
    table: str
    made: str
    old: str
    children: tuple[tuple[str, str], ...] = ()
    bare: str = ""
    strip: str = ""
    by_hand: tuple[str, ...] = ()


KINDS: Final = (
    Kind(
        "attempts",
        "attempt",
        "at",
        f"x.at < :before AND NOT ({_CONFIRMS.format('x', 'x')}) AND {_OF_SETTLED}",
        bare=f"x.at < :before AND {_CONFIRMS.format('x', 'x')} AND x.exchanges <> '[]' AND {_OF_SETTLED}",
        strip="exchanges = '[]'",
    ),
    Kind(
        "deliveries",
        "delivery",
        "created_at",
        f"{_SETTLED.format('x')} AND coalesce(x.outcome, '') <> 'dismissed' AND NOT EXISTS"
        f" (SELECT 1 FROM attempt a WHERE a.delivery_id = x.id AND {_CONFIRMS.format('a', 'a')})",
        children=(("attempt", "delivery_id"),),
        by_hand=("requeue", "retry", "dismiss"),
    ),
    # A replay asks them again, and finds by them what was asked before; an event that is emptied is not replayed.
    Kind(
        "lookups",
        "lookup",
        "created_at",
        "x.state = 'done' AND x.updated_at < :before"
        " AND EXISTS (SELECT 1 FROM event e WHERE e.id = x.event_id AND e.encoding = 'emptied')",
    ),
    Kind(
        "alerts",
        "alert",
        "first_seen",
        "x.recovered_at IS NOT NULL AND x.recovered_at < :before",
        children=(("alert_telling", "alert_id"),),
    ),
    Kind("actions", "operator_action", "at", "x.at < :before"),
)
TOLD: Final = frozenset({"attempts", "deliveries", "actions"})
"""What a purchase's story tells of."""

_STRIPPED: Final = frozenset(kind.what for kind in KINDS if kind.strip)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a kind has come.

    Attributes:
        older_than: what is older is gone, or about to go; milliseconds, like every time in here.
        place: the id that the pass under way has come to; 0 where none is.
        removed: rows, by all passes.
        ended_at: when the newest pass came to its end, or None.
    """

    older_than: int
    place: int
    removed: int
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a table that was looked through: the ids that go, those that are stripped, and the last that was looked at."""

    go: list[int]
    strip: list[int]
    last: int


def progress(connection: Connection) -> dict[str, Progress]:
    """Return how far each kind has come, of those that a pass was ever begun of."""
    rows = connection.execute(text("SELECT what, older_than, place, removed, ended_at FROM removal")).all()
    return {row.what: Progress(row.older_than, row.place, row.removed, row.ended_at) for row in rows}


def acted_on(connection: Connection, kind: Kind) -> frozenset[int]:
    """Return the ids of rows that an operator has acted on."""
    if not kind.by_hand:
        return frozenset()
    names = ", ".join(f"'{name}'" for name in kind.by_hand)
    rows = connection.execute(text(f"SELECT o.subject FROM operator_action o WHERE o.action IN ({names})")).all()
    words = (word for row in rows for word in str(row.subject).split(","))
    return frozenset(int(word) for word in words if word.isascii() and word.isdigit())


def look(
    connection: Connection, kind: Kind, before: int, after: int, limit: int, kept: Collection[int] = ()
) -> Part | None:
    """Look through the rows behind an id for what is older than ``before``; None where nothing old lies ahead.

    Args:
        connection: a reading one.
        kind: of rows.
        before: milliseconds.
        after: id of the newest row that was looked at.
        limit: how many rows are looked at.
        kept: ids that stay whatever their age.
    """
    ahead = f"SELECT x.id, x.{kind.made} AS made FROM {kind.table} x WHERE x.id > :after ORDER BY x.id LIMIT :limit"
    found = connection.execute(
        text(f"SELECT max(c.id) AS last, min(c.made) AS oldest FROM ({ahead}) c"), {"after": after, "limit": limit}
    ).one()
    if found.last is None or found.oldest >= before:
        return None
    within = {"after": after, "last": found.last, "before": before}
    go = [row_id for row_id in _ids(connection, kind, kind.old, within) if row_id not in kept]
    return Part(go, _ids(connection, kind, kind.bare, within) if kind.bare else [], found.last)


def _ids(connection: Connection, kind: Kind, which: str, within: dict[str, int]) -> list[int]:
    statement = f"SELECT x.id FROM {kind.table} x WHERE x.id > :after AND x.id <= :last AND {which} ORDER BY x.id"
    return [row.id for row in connection.execute(text(statement), within)]


def count(connection: Connection, kind: Kind, before: int) -> int:
    """Return how many rows would be removed; it looks at every row that there is."""
    old = f"SELECT count(*) FROM {kind.table} x WHERE {kind.old}"
    found = int(connection.execute(text(old), {"before": before}).scalar_one())
    kept = text(f"{old} AND x.id IN :kept").bindparams(bindparam("kept", expanding=True))
    ids = sorted(acted_on(connection, kind))
    parts = (ids[start : start + _NAMED] for start in range(0, len(ids), _NAMED))
    return found - sum(int(connection.execute(kept, {"before": before, "kept": some}).scalar_one()) for some in parts)


_MOVE = """
INSERT INTO removal (what, older_than, place, removed, ended_at) VALUES (:what, :before, :place, :removed, :ended)
ON CONFLICT (what) DO UPDATE SET place = excluded.place, removed = removal.removed + excluded.removed,
 older_than = (CASE WHEN removal.older_than > excluded.older_than THEN removal.older_than ELSE excluded.older_than END),
 ended_at = coalesce(excluded.ended_at, removal.ended_at)
"""


def remove(unit: Unit, kind: Kind, part: Part, before: int) -> int:
    """Remove and strip rows, but for those that are not old any more, and note the place; return how many are gone. Idempotent."""
    # First: SQLite joins half-empty pages when a row goes, and not when one gets shorter.
    unit.each(f"UPDATE {kind.table} SET {kind.strip} WHERE id {_OF_THESE}", {"id": "int"}, _rows(part.strip))
    still = f"SELECT x.id FROM {{rows}} CROSS JOIN {kind.table} x WHERE x.id = r.id AND {kind.old} ORDER BY x.id"
    rows = unit.each(still + unit.holding("x"), {"id": "int"}, _rows(part.go), before=before)
    gone = _rows(row.id for row in rows)
    for table, column in kind.children:
        unit.each(f"DELETE FROM {table} WHERE {column} {_OF_THESE}", {"id": "int"}, gone)
    unit.each(f"DELETE FROM {kind.table} WHERE id {_OF_THESE}", {"id": "int"}, gone)
    unit.run(_MOVE, what=kind.what, before=before, place=part.last, removed=len(gone), ended=None)
    return len(gone)


def end(unit: Unit, kind: Kind, before: int, now: int) -> None:
    """Note that a pass has come to its end."""
    unit.run(_MOVE, what=kind.what, before=before, place=0, removed=0, ended=now)


def _rows(ids: Any) -> Sequence[dict[str, int]]:
    return [{"id": i} for i in ids]


def told(connection: Connection, made: datetime, kinds: Collection[str] = TOLD) -> list[dict[str, Any]]:
    """Return what has been removed of a time that something made then may reach back to: ``what``, and ``before`` when."""
    # Where every row stays as a line, none is gone, and what they held is.
    known = progress(connection).items()
    found = [(what, moment(one.older_than)) for what, one in known if one.removed or what in _STRIPPED]
    return [{"what": what, "before": before} for what, before in sorted(found) if what in kinds and made < before]

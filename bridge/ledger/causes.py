"""What an operator has to be told of, counted in the ledger. Each question reads a partial index of what is not settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, text

MOST: Final = 20_000
"""Rows that are counted of one kind: more than that is told as that many, and what they hide is counted by itself."""
GROUPS: Final = 200
"""Causes that are told of one kind."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Rows that are not settled, and the column that their partial index begins with."""

    table: str
    column: str
    where: str


_DEAD = _Kept("delivery", "target", "state = 'dead'")
_WAITING = _Kept("quarantine", "source", "state = 'waiting'")
_UNMAPPED = (
    "SELECT c.source, c.remote_product_id, count(*) AS n FROM (SELECT source, remote_product_id FROM quarantine"
    " WHERE kind = 'unmapped' AND state = 'waiting'{only} LIMIT :most) c"
    " GROUP BY c.source, c.remote_product_id ORDER BY count(*) DESC, c.source, c.remote_product_id LIMIT :groups"
)


def dead_letters(connection: Connection) -> Sequence[Any]:
    """Count dead letters by target and remedy, which goes with one sentence; most first.

    Of each group: ``n``, of them ``rights`` and ``contacts`` (the others are notices), a ``why``, the newest's ``id``, ``since``
    when the oldest is dead (milliseconds).
    """
    return _everywhere(
        connection,
        _DEAD,
        "SELECT c.target, coalesce(c.remedy, '') AS remedy, count(*) AS n, max(c.why) AS why, max(c.id) AS id,"
        " sum(CASE WHEN c.kind = 'right' THEN 1 ELSE 0 END) AS rights,"
        " sum(CASE WHEN c.kind = 'contact' THEN 1 ELSE 0 END) AS contacts, min(c.updated_at) AS since"
        " FROM (SELECT id, target, kind, remedy, why, updated_at FROM delivery WHERE state = 'dead'{only} LIMIT :most) c"
        " GROUP BY c.target, coalesce(c.remedy, '') ORDER BY count(*) DESC, c.target, coalesce(c.remedy, '') LIMIT :groups",
    )


def unmapped(connection: Connection) -> Sequence[Any]:
    """Count the lines that wait for a mapping, by source and product."""
    rows = list(_everywhere(connection, _WAITING, _UNMAPPED))
    if sum(row.n for row in rows) < MOST:
        return rows
    known = {(row.source, row.remote_product_id) for row in rows}
    for source in sorted({row.source for row in rows}):
        of_source = _Kept("quarantine", "remote_product_id", "state = 'waiting' AND source = :source")
        for product in _values(connection, of_source, source=source):
            if (source, product) not in known:
                only = " AND source = :source AND remote_product_id = :product"
                rows += _ask(connection, _UNMAPPED.format(only=only), source=source, product=product)
    return _first(rows)


def unreadable(connection: Connection) -> Sequence[Any]:
    """Count the events that nobody could read, by source."""
    return _others(connection, "unreadable", 2**62)


def early(connection: Connection, before: int) -> Sequence[Any]:
    """Count what has waited for its purchase since before a time (milliseconds), by source.

    What waits with a line that is not mapped is that line's trouble, and is counted with it.
    """
    return _others(connection, "early", before)


def _others(connection: Connection, kind: str, before: int) -> Sequence[Any]:
    return _everywhere(
        connection,
        _WAITING,
        "SELECT c.source, count(*) AS n FROM (SELECT source FROM quarantine WHERE state = 'waiting' AND kind <> 'unmapped'"
        " AND kind = :kind AND (kind <> 'early' OR line = '') AND created_at <= :before{only} LIMIT :most) c GROUP BY c.source ORDER BY c.source LIMIT :groups",
        kind=kind,
        before=before,
    )


def dead_lookups(connection: Connection) -> Sequence[Any]:
    """Count the lookups that were given up, by source and remedy, most first: ``n``, a ``why``, ``since`` (milliseconds)."""
    return _everywhere(
        connection,
        _Kept("lookup", "source", "state = 'dead'"),
        "SELECT c.source, coalesce(c.remedy, '') AS remedy, count(*) AS n, max(c.why) AS why, min(c.updated_at) AS since"
        " FROM (SELECT source, remedy, why, updated_at FROM lookup WHERE state = 'dead'{only} LIMIT :most) c"
        " GROUP BY c.source, coalesce(c.remedy, '') ORDER BY count(*) DESC, c.source, coalesce(c.remedy, '') LIMIT :groups",
    )


def tried_in_vain(connection: Connection, target: str) -> bool:
    """Say whether something is open at a target that was tried before."""
    found = connection.execute(
        text("SELECT 1 FROM delivery WHERE target = :target AND state = 'open' AND attempts > 0 LIMIT 1"),
        {"target": target},
    )
    return found.first() is not None


def lanes(connection: Connection) -> Sequence[Any]:
    """Return the lanes that are paused: target, paused_at (milliseconds), paused_by, why, remedy."""
    return connection.execute(text("SELECT * FROM lane ORDER BY target")).all()


def _everywhere(connection: Connection, kept: _Kept, statement: str, **values: Any) -> Sequence[Any]:
    """Ask, and where so many are counted that they may hide others, ask for those of each source or target that has none."""
    rows = list(_ask(connection, statement.format(only=""), **values))
    if sum(row.n for row in rows) < MOST:
        return rows
    told = {getattr(row, kept.column) for row in rows}
    for value in _values(connection, kept):
        if value not in told:
            rows += _ask(connection, statement.format(only=f" AND {kept.column} = :only"), only=value, **values)
    return _first(rows)


def _first(rows: Sequence[Any]) -> Sequence[Any]:
    return sorted(rows, key=lambda row: -row.n)[:GROUPS]


def _values(connection: Connection, kept: _Kept, **values: Any) -> Sequence[str]:
    """Return the values of a column, by one look at its index for each of them."""
    least = f"SELECT min(c.{kept.column}) FROM {kept.table} c WHERE {kept.where}"
    statement = (
        f"WITH RECURSIVE v(x) AS ({least} UNION ALL SELECT ({least} AND c.{kept.column} > v.x) FROM v WHERE v.x IS NOT NULL)"
        " SELECT x FROM v WHERE x IS NOT NULL LIMIT :groups"
    )
    return [row.x for row in connection.execute(text(statement), {"groups": GROUPS, **values})]


def _ask(connection: Connection, statement: str, **values: Any) -> Sequence[Any]:
    return connection.execute(text(statement), {"most": MOST, "groups": GROUPS, **values}).all()

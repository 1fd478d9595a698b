"""Events that led to no registration: what could not be used, and what a sender is still to be asked about. Read-only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote_plus

from sqlalchemy import Connection

from bridge.ledger.reports import EVENT, LOOKUP, ask

_REACH: Final = 100_000
"""How many of the newest events are searched by what their bodies say: they have no index, and a trace should take a moment."""

_SHORTEST: Final = 3  # a shorter text stands in any body by chance
_UNUSED: Final = f"""
SELECT {EVENT}, e.body FROM event e WHERE e.id > (SELECT coalesce(max(id), 0) FROM event) - :reach
AND (e.state IN ('refused', 'unreadable') OR e.id IN (SELECT k.event_id FROM lookup k WHERE k.state = 'open')
 OR e.id IN (SELECT k.event_id FROM lookup k WHERE k.state = 'dead'))
AND e.encoding = 'utf-8' AND lower(e.body) LIKE :like ORDER BY e.id
"""
# No index leads with the column asked for; hopping over the few sources or namespaces makes it of use all the same.
_HOPS: Final = """
WITH RECURSIVE hop(name) AS (
 SELECT min({group}) FROM {table} WHERE {column} IS NOT NULL
 UNION ALL SELECT (SELECT min({group}) FROM {table} WHERE {column} IS NOT NULL AND {group} > hop.name) FROM hop
 WHERE hop.name IS NOT NULL)
SELECT t.id FROM hop JOIN {table} t ON t.{group} = hop.name AND t.{column} = :what ORDER BY t.id
"""


def hops(table: str, group: str, column: str) -> str:
    """Return a statement that finds rows by a column whose index begins with another one of few values."""
    return _HOPS.format(table=table, group=group, column=column)


def events(connection: Connection, ids: Iterable[int], named: str = "") -> list[dict[str, Any]]:
    """Return these events, and those of no use (yet) whose body names ``named``; each with its ``lookups`` that have no answer.

    Somebody may have paid and not got in, and all there is of it is what their sender wrote.
    """
    found = ask(connection, f"SELECT {EVENT} FROM event e WHERE e.id IN :ids ORDER BY e.id", ids=sorted(set(ids)))
    known = {event["event_id"] for event in found}
    found += [event for event in _unused(connection, named) if event["event_id"] not in known]
    asked = ask(
        connection,
        f"SELECT {LOOKUP} FROM lookup k WHERE k.event_id IN :ids AND k.state <> 'done' ORDER BY k.id",
        ids=[event["event_id"] for event in found],
    )
    return [{**event, "lookups": [row for row in asked if row["event_id"] == event["event_id"]]} for event in found]


def _unused(connection: Connection, named: str) -> list[dict[str, Any]]:
    if len(named) < _SHORTEST:
        return []
    exactly = re.compile(rf"(?<![\w.@-]){re.escape(named.casefold())}(?![\w@-])")
    rows = ask(connection, _UNUSED, like=like(named), reach=_REACH)
    return [row for row in rows if exactly.search(unquote_plus(row.pop("body")).casefold())]


def like(what: str) -> str:
    """Return a pattern that finds at least every text with ``what``: the exact comparison follows."""
    seed = what.rpartition("@")[0] or what
    return f"%{re.sub(r'[^a-z0-9]', '_', seed.lower())}%"

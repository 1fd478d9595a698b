"""What an event has done so far, and what may be replayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from bridge.ledger.events import OPERATOR
from bridge.ledger.reports import ask
from bridge.ledger.unit import Unit

_EVENT = "SELECT id, source, adapter, state, method, path, query, headers, body, encoding, received_at FROM event"


_MATCHES = "(:source = '' OR source = :source) AND (:state = '' OR state = :state)"
_SENT = f"{_MATCHES} AND adapter <> '{OPERATOR}'"
"""All that a source itself has said: what an operator decided is told of where it is asked for by its id, and not replayed."""


def events(
    unit: Unit, ids: Sequence[int], source: str | None, state: str | None, limit: int, after: int = 0
) -> list[Any]:
    """Return events, oldest first: these, or a source's, or those in a state; at most ``limit``, with ids beyond ``after``."""
    given = {"source": source or "", "state": state or "", "after": after, "limit": limit}
    chosen = f"{_MATCHES} AND id > :after"
    if not ids:
        return list(unit.rows(f"{_EVENT} WHERE {_SENT} AND id > :after ORDER BY id LIMIT :limit", **given))
    statement = f"{_EVENT} WHERE id IN (SELECT r.id FROM {{rows}}) AND {chosen} ORDER BY id LIMIT :limit"
    return list(unit.each(statement, {"id": "int"}, [{"id": i} for i in sorted(set(ids))], **given))


def count(connection: Connection, source: str, state: str) -> int:
    """Return how many events of a source are in a state."""
    rows = ask(connection, f"SELECT count(*) AS n FROM event WHERE {_SENT}", source=source, state=state)
    return int(rows[0]["n"])


def effects(unit: Unit, event_id: int) -> dict[int, tuple[str, str]]:
    """Return what an event did: registration id -> (effect, product)."""
    rows = unit.rows(
        "SELECT f.registration_id, f.effect, g.remote_product_id FROM effect f JOIN registration g ON g.id = f.registration_id"
        " WHERE f.event_id = :id ORDER BY f.registration_id",
        id=event_id,
    )
    return {row.registration_id: (row.effect, row.remote_product_id) for row in rows}


def opened(unit: Unit, event_id: int) -> dict[str, int]:
    """Return how often work at each target was opened or renewed because of an event and is not done: revisions, summed."""
    rows = unit.rows(
        "SELECT d.target, sum(d.revision) AS n FROM effect f JOIN delivery d ON d.registration_id = f.registration_id"
        " WHERE f.event_id = :id AND d.event_id = :id AND d.state <> 'done' GROUP BY d.target ORDER BY d.target",
        id=event_id,
    )
    return {row.target: int(row.n) for row in rows}


def understood(unit: Unit, event_id: int) -> None:
    """Note that an event is understood by now."""
    unit.run("UPDATE event SET state = 'accepted', note = NULL WHERE id = :id AND state <> 'accepted'", id=event_id)

"""Questions of somebody who wants to see at a glance that all is well. Each costs the same with ten million purchases as with ten.

Whatever could be many is counted up to :data:`MANY`, by an index that holds only what is not done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from bridge.kit.clock import moment
from bridge.ledger import causes, removals
from bridge.ledger.reports import ask, quarantine_causes

MANY: Final = 10_000
"""Where counting ends: whoever reads "10,000 or more" knows enough."""

_LATELY: Final = 300  # attempts that are searched for each target's newest trouble

EXAMPLES: Final = 1_000
"""How many of the newest dead letters are looked at to show some of each cause."""

_COUNT: Final = "SELECT count(*) AS n FROM (SELECT 1 FROM delivery WHERE target = :target AND {} LIMIT :most) counted"
_COUNTS: Final = {
    "queued": _COUNT.format("state IN ('open', 'blocked')"),
    "in_flight": _COUNT.format("state = 'leased'"),
    "dead": _COUNT.format("state = 'dead'"),
}
_DUE: Final = (
    "SELECT min(due_at) AS due FROM (SELECT due_at FROM delivery WHERE target = :target AND state = 'open'"
    " LIMIT :most) counted"
)


def lanes(connection: Connection, targets: Iterable[str], now: int) -> list[dict[str, Any]]:
    """Return of each target: ``queued``, ``in_flight``, ``dead`` (up to :data:`MANY`), ``oldest`` (seconds that it is due)."""
    rows = []
    for target in targets:
        counts = {name: ask(connection, one, target=target, most=MANY)[0]["n"] for name, one in _COUNTS.items()}
        due = ask(connection, _DUE, target=target, most=MANY)[0]["due"]
        late = 0.0 if due is None else (now - due) / 1000
        rows.append({"target": target, **counts, "oldest": late if late > 0 else None})
    return rows


def waiting(connection: Connection) -> dict[str, int]:
    """Count by target what waits until the learner is in, up to :data:`MANY` of all."""
    rows = ask(
        connection,
        "SELECT target, count(*) AS n FROM (SELECT target FROM delivery WHERE state = 'waiting' LIMIT :most) counted"
        " GROUP BY target",
        most=MANY,
    )
    return {row["target"]: row["n"] for row in rows}


def troubles(connection: Connection) -> dict[str, dict[str, Any]]:
    """Return by target the newest attempt that came to nothing, among the newest of all: ``at``, ``outcome``, ``why``."""
    rows = ask(
        connection,
        "SELECT d.target, a.at, a.outcome, a.why, a.delivery_id FROM (SELECT * FROM attempt ORDER BY id DESC LIMIT :most) a"
        " JOIN delivery d ON d.id = a.delivery_id WHERE a.outcome IN ('later', 'operator', 'refused') ORDER BY a.id",
        most=_LATELY,
    )
    return {row["target"]: row for row in rows}


def quarantined(connection: Connection) -> list[dict[str, Any]]:
    """Group what waits in quarantine by source, kind and product, as ``bridge quarantine --causes`` does, up to :data:`MANY`."""
    return quarantine_causes(connection, None, most=MANY, groups=causes.GROUPS)


def quarantined_lines(connection: Connection, group: Mapping[str, Any], most: int) -> list[dict[str, Any]]:
    """Return the oldest lines of one such group: ``quarantine_id`` and ``event_id``."""
    return ask(
        connection,
        "SELECT q.id AS quarantine_id, q.event_id FROM quarantine q WHERE q.state = 'waiting' AND q.source = :source"
        " AND q.remote_product_id = :product AND q.kind = :kind ORDER BY q.id LIMIT :most",
        kind=group["kind"],
        source=group["source"],
        product=group["remote_product_id"],
        most=most,
    )


def newest_dead(connection: Connection) -> list[dict[str, Any]]:
    """Return the newest dead letters among those that causes are counted of, as examples: ``delivery_id``, ``registration_id``, ``target``, ``remedy``, ``why``."""
    return ask(
        connection,
        "SELECT d.id AS delivery_id, d.target, d.registration_id, coalesce(d.remedy, '') AS remedy, d.why"
        " FROM (SELECT id, target, registration_id, remedy, why FROM delivery WHERE state = 'dead' LIMIT :reach) d"
        " ORDER BY d.id DESC LIMIT :most",
        reach=causes.MOST,
        most=EXAMPLES,
    )


def newest_dead_lookups(connection: Connection) -> list[dict[str, Any]]:
    """Return the newest lookups that were given up, of those that causes are counted of, as examples: ``event_id``, ``source``, ``remedy``, ``why``."""
    return ask(
        connection,
        "SELECT k.id AS lookup_id, k.source, k.event_id, coalesce(k.remedy, '') AS remedy, k.why"
        " FROM (SELECT id, source, event_id, remedy, why FROM lookup WHERE state = 'dead' LIMIT :reach) k"
        " ORDER BY k.id DESC LIMIT :most",
        reach=causes.MOST,
        most=EXAMPLES,
    )


def dead_of(connection: Connection, target: str, remedy: str, most: int) -> list[int]:
    """Return the ids of the oldest dead letters of one cause."""
    return _oldest_dead(connection, "delivery", "target", target, remedy, most)


def dead_lookups_of(connection: Connection, source: str, remedy: str, most: int) -> list[int]:
    """Return the ids of the oldest lookups of one cause that were given up."""
    return _oldest_dead(connection, "lookup", "source", source, remedy, most)


def _oldest_dead(connection: Connection, table: str, of: str, name: str, remedy: str, most: int) -> list[int]:
    statement = (
        f"SELECT o.id FROM {table} o WHERE o.state = 'dead' AND o.{of} = :name AND coalesce(o.remedy, '') = :remedy"
        " ORDER BY o.id LIMIT :most"
    )
    return [row["id"] for row in ask(connection, statement, name=name, remedy=remedy, most=most)]


def audit_begins(connection: Connection) -> datetime | None:
    """Return since when the record of what operators did is complete; None where nothing of it was ever removed."""
    done = removals.progress(connection).get("actions")
    return moment(done.older_than) if done is not None and done.removed else None


def audit(connection: Connection, before: int | None, most: int) -> list[dict[str, Any]]:
    """Return who did what when, newest first, from before this ``action_id`` on."""
    return ask(
        connection,
        "SELECT o.id AS action_id, o.at, o.operator, o.action, o.subject, o.note FROM operator_action o"
        " WHERE o.id < :before ORDER BY o.id DESC LIMIT :most",
        before=before if before is not None else 2**62,
        most=most,
    )

"""Questions of somebody who wants to see at a glance that all is well. Each costs the same with ten million purchases as with ten.

Whatever could be many is counted up to :data:`MANY`, by an index that holds only what is not done.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection

from bridge.ledger.events import OPERATOR
from bridge.ledger.reports import ask, quarantine_causes

MANY: Final = 10_000
"""Where counting ends: whoever reads "10,000 or more" knows enough."""

_SAMPLE: Final = 100  # purchases of each hour whose way to access is looked at
_NEWEST: Final = 1_000  # events that tell which sources are alive
_LATELY: Final = 300  # attempts that are searched for each target's newest trouble

GROUPS: Final = 200
"""How many causes in quarantine are told apart."""

GROUPED: Final = 1_000
"""How many dead letters are looked at to group them by their cause."""


_CREATED: Final = (
    "FROM event e JOIN effect f ON f.event_id = e.id WHERE e.received_at >= :since AND e.received_at < :until"
    " AND f.effect = 'created'"
)
_HELD: Final = """
SELECT d.registration_id, d.id, min(a.at + a.ms) AS confirmed FROM delivery d
LEFT JOIN attempt a ON a.delivery_id = d.id AND a.outcome IN ('receipt', 'nothing')
WHERE d.registration_id IN :ids AND d.kind = 'right' GROUP BY d.registration_id, d.id
"""
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


def purchases(connection: Connection, since: int, until: int) -> int:
    """Count the purchases whose event came in between (milliseconds), up to :data:`MANY`."""
    statement = f"SELECT count(*) AS n FROM (SELECT 1 {_CREATED} LIMIT :most) counted"
    return int(ask(connection, statement, since=since, until=until, most=MANY)[0]["n"])


def ways_in(connection: Connection, since: int, until: int) -> list[float | None]:
    """Return, of the newest purchases between two times, the seconds from event to access; None for who is not in yet.

    Purchases that no LMS has to be told of are left out.
    """
    found = ask(
        connection,
        f"SELECT f.registration_id, e.received_at AS received {_CREATED} ORDER BY e.received_at DESC LIMIT :most",
        since=since,
        until=until,
        most=_SAMPLE,
    )
    received = {row["registration_id"]: row["received"] for row in found}
    confirmed: dict[int, list[int | None]] = {}
    for row in ask(connection, _HELD, ids=list(received)):
        confirmed.setdefault(row["registration_id"], []).append(row["confirmed"])
    ways: list[float | None] = []
    for registration_id, times in confirmed.items():
        known = [at for at in times if at is not None]
        ways.append((max(known) - received[registration_id]) / 1000 if len(known) == len(times) else None)
    return ways


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


def heard(connection: Connection) -> tuple[dict[str, list[Any]], Any]:
    """Return when each source's events came, newest first, among the newest events of all; and how far back those reach; None: there are no others."""
    rows = ask(
        connection,
        f"SELECT e.source, e.received_at FROM event e WHERE e.adapter <> '{OPERATOR}' ORDER BY e.id DESC LIMIT :most",
        most=_NEWEST,
    )
    times: dict[str, list[Any]] = {}
    for row in rows:
        times.setdefault(row["source"], []).append(row["received_at"])
    return times, rows[-1]["received_at"] if len(rows) == _NEWEST else None


def quarantined(connection: Connection) -> list[dict[str, Any]]:
    """Group what waits in quarantine by source, kind and product, as ``bridge quarantine --causes`` does, up to :data:`MANY`."""
    return quarantine_causes(connection, None, most=MANY, groups=GROUPS)


def quarantined_lines(connection: Connection, kind: str, source: str, product: str, most: int) -> list[dict[str, Any]]:
    """Return the oldest lines of one such group: ``quarantine_id`` and ``event_id``."""
    return ask(
        connection,
        "SELECT q.id AS quarantine_id, q.event_id FROM quarantine q WHERE q.state = 'waiting' AND q.source = :source"
        " AND q.remote_product_id = :product AND q.kind = :kind ORDER BY q.id LIMIT :most",
        kind=kind,
        source=source,
        product=product,
        most=most,
    )


def dead_letters(connection: Connection) -> list[dict[str, Any]]:
    """Return dead letters: ``delivery_id``, ``target``, ``kind``, ``why``, ``remedy``, ``updated_at``; as many as are grouped."""
    return ask(
        connection,
        "SELECT d.id AS delivery_id, d.target, d.kind, d.event_id, d.registration_id, d.why, d.remedy, d.updated_at"
        " FROM delivery d WHERE d.state = 'dead' LIMIT :most",
        most=GROUPED,
    )


def dead_lookups(connection: Connection) -> list[dict[str, Any]]:
    """Return lookups that were given up, as many as are grouped."""
    return ask(
        connection,
        "SELECT k.id AS lookup_id, k.source, k.kind, k.event_id, k.why, k.remedy, k.updated_at FROM lookup k"
        " WHERE k.state = 'dead' LIMIT :most",
        most=GROUPED,
    )


def audit(connection: Connection, before: int | None, most: int) -> list[dict[str, Any]]:
    """Return who did what when, newest first, from before this ``action_id`` on."""
    return ask(
        connection,
        "SELECT o.id AS action_id, o.at, o.operator, o.action, o.subject, o.note FROM operator_action o"
        " WHERE o.id < :before ORDER BY o.id DESC LIMIT :most",
        before=before if before is not None else 2**62,
        most=most,
    )

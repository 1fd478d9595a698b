"""Questions an operator asks of the ledger: lists, one thing in full, what is not done. Read-only, on a reading connection.

Rows come as dictionaries in the words of docs/flow.md: times as aware UTC moments, JSON columns parsed, flags as
booleans. Nothing is masked here; whoever shows it masks it. The story of one purchase is in :mod:`bridge.ledger.story`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import Connection, bindparam, text

from bridge.contract.command import email_key
from bridge.kit.clock import milliseconds, moment
from bridge.ledger import removals, schedule
from bridge.ledger.migrate import current, newest

_TIMES: Final = frozenset(
    "received_at occurred_at created_at updated_at due_at expires_at held_at paused_at undone_at at since first_seen last_seen told_at recovered_at told_recovery_at tried_at".split()  # noqa: SIM905
)
_LARGEST_ID: Final = 2**63 - 1
_FLAGS: Final = frozenset({"live", "full_access", "superseded", "wanted", "unknown", "never_mapped"})
_JSON: Final = frozenset(
    {"query", "headers", "options", "order_data", "attributes", "exchanges", "steps", "remote_course"}
)

EVENT: Final = "e.id AS event_id, e.source, e.adapter, e.event_key, e.received_at, e.method, e.path, e.state, e.note"
REGISTRATION: Final = (
    "g.id AS registration_id, g.source, g.remote_product_id, g.line, g.intent, g.state, g.quantity, g.amount_paid,"
    " g.currency, g.order_number, g.transaction_id, g.subscription_id, g.occurred_at, g.created_at, g.updated_at, g.learner_id,"
    " (CASE WHEN g.mapping_version_id IS NULL AND EXISTS (SELECT 1 FROM quarantine z WHERE z.registration_id = g.id"
    " AND z.kind = 'unmapped') THEN 1 ELSE 0 END) AS never_mapped"
)
DELIVERY: Final = (
    "d.id AS delivery_id, d.target, d.kind, d.state, d.person, (CASE WHEN d.kind = 'notice' THEN (SELECT n.kind FROM notice n"
    " WHERE n.id = CAST(substr(d.key, 8) AS BIGINT)) END) AS notice, (CASE WHEN d.kind = 'notice' THEN"
    " (SELECT n.recipient FROM notice n WHERE n.id = CAST(substr(d.key, 8) AS BIGINT)) END) AS recipient, d.registration_id, d.right_id, d.event_id, d.attempts AS tried, d.unknown,"
    " (CASE WHEN d.state IN ('open', 'blocked') THEN d.due_at END) AS due_at, d.outcome, d.why, d.remedy, d.created_at, d.updated_at"
)
ATTEMPT: Final = "a.id AS attempt_id, a.delivery_id, a.at, a.ms, a.operation, a.outcome, a.why"
RIGHT: Final = "w.id AS right_id, w.target, w.person, w.course AS remote_course, w.wanted, w.held, w.held_at"
LOOKUP: Final = (
    "k.id AS lookup_id, k.source, k.kind, k.key, k.state, k.event_id, k.attempts AS tried,"
    " (CASE WHEN k.state = 'open' THEN k.due_at END) AS due_at, k.why, k.remedy, k.created_at, k.updated_at"
)
QUARANTINE: Final = (
    "q.id AS quarantine_id, q.source, q.kind, q.remote_product_id, q.learner_key AS person, q.state, q.seen, q.note, q.event_id,"
    " q.registration_id, q.occurred_at, q.created_at, q.updated_at"
)


_FAMILY: Final = """
WITH RECURSIVE up(id, next) AS (
 SELECT l.id, l.merged_into FROM learner l WHERE l.id IN :ids
 UNION SELECT l.id, l.merged_into FROM up JOIN learner l ON l.id = up.next
), down(id) AS (
 SELECT up.id FROM up UNION SELECT l.id FROM down JOIN learner l ON l.merged_into = down.id AND l.merged_into IS NOT NULL)
SELECT id FROM down ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows of a list are wanted; None is no condition. A filter that a list has no column for is not looked at.

    Attributes:
        limit: how many, newest first.
        learner: an e-mail address or a remote user id, also one under which a learner was known before they were merged.
        since: not older than this: received, created, or last touched, whichever the list is ordered by.
        before: of a list that goes on, the id that came last: only what is older.
    """

    limit: int = 50
    source: str | None = None
    target: str | None = None
    state: str | None = None
    product: str | None = None
    learner: str | None = None
    learner_id: int | None = None
    since: datetime | None = None
    before: int | None = None


def told(row: Any) -> dict[str, Any]:
    """Return a row in the form that reports give."""
    return {name: _value(name, value) for name, value in row._mapping.items()}  # noqa: SLF001 - SQLAlchemy's public name


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _TIMES:
        return moment(value)
    if name in _FLAGS:
        return bool(value)
    return orjson.loads(value) if name in _JSON else value


def id_of(text: str) -> int | None:
    """Return the id that a text names; None where it is no whole number, or greater than any id can be."""
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST_ID))
    return int(text) if digits and int(text) <= _LARGEST_ID else None


def ask(connection: Connection, statement: str, **values: Any) -> list[dict[str, Any]]:
    """Run one SELECT; a value that is a list fills an ``IN :name``, and an empty one finds nothing."""
    lists = [name for name, value in values.items() if isinstance(value, list)]
    if any(not values[name] for name in lists):
        return []
    prepared = text(statement).bindparams(*(bindparam(name, expanding=True) for name in lists))
    return [told(row) for row in connection.execute(prepared, values)]


def _listed(
    connection: Connection, select: str, conditions: dict[str, Any], order: str, wanted: Filter
) -> list[dict[str, Any]]:
    """Run a list's SELECT under the conditions (``column operator`` -> value) that are not None."""
    conditions = {**conditions, f"{order} <": wanted.before}
    given = {f"p{n}": (left, value) for n, (left, value) in enumerate(conditions.items()) if value is not None}
    where = " AND ".join(f"{left} :{name}" for name, (left, _) in given.items())
    statement = f"{select}{f' WHERE {where}' if where else ''} ORDER BY {order} DESC LIMIT :limit"
    return ask(connection, statement, limit=wanted.limit, **{name: value for name, (_, value) in given.items()})


def _ms(since: datetime | None) -> int | None:
    return None if since is None else milliseconds(since)


def events(connection: Connection, wanted: Filter) -> list[dict[str, Any]]:
    """List events by ``source``, ``state`` and ``since`` (received), newest first; without their bodies."""
    conditions = {"e.source =": wanted.source, "e.state =": wanted.state, "e.received_at >=": _ms(wanted.since)}
    return _listed(connection, f"SELECT {EVENT} FROM event e", conditions, "e.id", wanted)


def event(connection: Connection, event_id: int) -> dict[str, Any] | None:
    """Return one event in full, with what it did to which registration, or None."""
    found = ask(
        connection, f"SELECT {EVENT}, e.query, e.headers, e.body, e.encoding FROM event e WHERE e.id = :id", id=event_id
    )
    if not found:
        return None
    effects = ask(
        connection,
        "SELECT f.registration_id, f.effect FROM effect f WHERE f.event_id = :id ORDER BY f.registration_id",
        id=event_id,
    )
    lines = ask(connection, f"SELECT {QUARANTINE} FROM quarantine q WHERE q.event_id = :id ORDER BY q.id", id=event_id)
    asked = ask(connection, f"SELECT {LOOKUP} FROM lookup k WHERE k.event_id = :id ORDER BY k.id", id=event_id)
    return {**found[0], "effects": effects, "quarantine": lines, "lookups": asked}


def family(connection: Connection, ids: list[int]) -> list[int]:
    """Return everybody who is one person with these learners, themselves among them."""
    return [row["id"] for row in ask(connection, _FAMILY, ids=ids)]


def _people(connection: Connection, what: str) -> list[int]:
    column, value = ("email_key", email_key(what)) if "@" in what else ("remote_user_id", what)
    rows = ask(connection, f"SELECT l.id FROM learner l WHERE l.{column} = :what ORDER BY l.id", what=value)
    return family(connection, [row["id"] for row in rows])


def registrations(connection: Connection, wanted: Filter) -> list[dict[str, Any]]:
    """List registrations by ``source``, ``state``, ``product``, ``learner`` and ``since`` (created), newest first."""
    conditions = {
        "g.source =": wanted.source,
        "g.state =": wanted.state,
        "g.remote_product_id =": wanted.product,
        "g.learner_id =": wanted.learner_id,
        "g.learner_id IN": None if wanted.learner is None else _people(connection, wanted.learner),
        "g.created_at >=": _ms(wanted.since),
    }
    select = (
        f"SELECT {REGISTRATION}, l.remote_user_id, l.email FROM registration g JOIN learner l ON l.id = g.learner_id"
    )
    return _listed(connection, select, conditions, "g.id", wanted)


def deliveries(connection: Connection, wanted: Filter) -> list[dict[str, Any]]:
    """List deliveries by ``target``, ``state`` and ``since`` (last touched), newest first."""
    conditions = {"d.target =": wanted.target, "d.state =": wanted.state, "d.updated_at >=": _ms(wanted.since)}
    return _listed(connection, f"SELECT {DELIVERY} FROM delivery d", conditions, "d.id", wanted)


def delivery(connection: Connection, delivery_id: int) -> dict[str, Any] | None:
    """Return one delivery with its attempts, each with its masked exchanges, with its right and with what was ``removed``; or None."""
    found = ask(connection, f"SELECT {DELIVERY}, d.steps FROM delivery d WHERE d.id = :id", id=delivery_id)
    if not found:
        return None
    attempts = ask(
        connection,
        f"SELECT {ATTEMPT}, a.exchanges FROM attempt a WHERE a.delivery_id = :id ORDER BY a.id",
        id=delivery_id,
    )
    right = ask(connection, f'SELECT {RIGHT} FROM "right" w WHERE w.id = :id', id=found[0]["right_id"] or 0)
    done = found[0]["state"] == "done"
    removed = removals.told(connection, found[0]["created_at"], ("attempts",)) if done else []
    return {**found[0], "right": right[0] if right else None, "attempts": attempts, "removed": removed}


def lookups(connection: Connection, wanted: Filter) -> list[dict[str, Any]]:
    """List what senders were, or are to be, asked by ``source``, ``state`` and ``since`` (last touched), newest first."""
    conditions = {"k.source =": wanted.source, "k.state =": wanted.state, "k.updated_at >=": _ms(wanted.since)}
    return _listed(connection, f"SELECT {LOOKUP} FROM lookup k", conditions, "k.id", wanted)


def quarantine(connection: Connection, wanted: Filter) -> list[dict[str, Any]]:
    """List what waits, or waited, in quarantine by ``source``, ``product``, ``state`` and ``since`` (last seen), newest first."""
    conditions = {
        "q.source =": wanted.source,
        "q.remote_product_id =": wanted.product,
        "q.state =": wanted.state,
        "q.updated_at >=": _ms(wanted.since),
    }
    return _listed(connection, f"SELECT {QUARANTINE} FROM quarantine q", conditions, "q.id", wanted)


def quarantined(connection: Connection, quarantine_id: int) -> dict[str, Any] | None:
    """Return one quarantined line with the command that waits, or None."""
    found = ask(connection, f"SELECT {QUARANTINE}, q.command FROM quarantine q WHERE q.id = :id", id=quarantine_id)
    if not found:
        return None
    command = found[0]["command"]
    return {**found[0], "command": orjson.loads(command) if command else None}


def unmapped(connection: Connection) -> list[dict[str, Any]]:
    """Count the lines that wait for a mapping by source and product, with the time of the first; most first."""
    named = ("source", "remote_product_id", "waiting", "since")
    return [
        {name: row[name] for name in named} for row in quarantine_causes(connection, None) if row["kind"] == "unmapped"
    ]


def quarantine_causes(
    connection: Connection, source: str | None, most: int = 2**62, groups: int = 2**62
) -> list[dict[str, Any]]:
    """Count what waits in quarantine by source, kind and product; most first.

    With the times of the first and the newest, a ``note``, and the first ``quarantine_id``. Counting ends at ``most`` lines.
    """
    return ask(
        connection,
        "SELECT q.source, q.kind, q.remote_product_id, count(*) AS waiting, min(q.created_at) AS since,"
        " max(q.updated_at) AS last_seen, min(q.note) AS note, min(q.id) AS quarantine_id FROM"
        " (SELECT * FROM quarantine WHERE state = 'waiting' AND (:every = 1 OR source = :source) LIMIT :most) q"
        " GROUP BY q.source, q.kind, q.remote_product_id"
        " ORDER BY count(*) DESC, q.source, q.kind, q.remote_product_id LIMIT :groups",
        every=int(source is None),
        source=source or "",
        most=most,
        groups=groups,
    )


def alerts(connection: Connection, since: int, limit: int) -> list[dict[str, Any]]:
    """List the alerts that are open, and those that were there since a time (milliseconds), newest first, with who was told.

    Digests are left out.
    """
    found = ask(
        connection,
        "SELECT a.id AS alert_id, a.uid, a.kind, a.cause, a.said, a.remedy, a.count, a.first_seen, a.last_seen, a.told_at,"
        " a.recovered_at, a.told_recovery_at FROM alert a WHERE a.kind <> 'digest'"
        " AND (a.recovered_at IS NULL OR a.last_seen >= :since)"
        " ORDER BY (CASE WHEN a.recovered_at IS NULL THEN 0 ELSE 1 END), a.id DESC LIMIT :limit",
        since=since,
        limit=limit,
    )
    told_to = ask(
        connection,
        "SELECT t.alert_id, t.channel, t.told, t.told_at, t.times, t.tries, t.tried_at, t.why FROM alert_telling t"
        " WHERE t.alert_id IN :ids ORDER BY t.alert_id, t.channel",
        ids=[row["alert_id"] for row in found],
    )
    for row in found:
        row["channels"] = [one for one in told_to if one["alert_id"] == row["alert_id"]]
        row["state"] = "open" if row["recovered_at"] is None else "over"
    return found


def pauses(connection: Connection) -> list[dict[str, Any]]:
    """List the lanes that are paused, with who paused them and why."""
    return ask(connection, "SELECT p.target, p.paused_at, p.paused_by, p.why, p.remedy FROM lane p ORDER BY p.target")


def revisions(connection: Connection) -> tuple[str | None, str]:
    """Return the schema's revision (None for an empty ledger) and the one that this program needs."""
    return current(connection), newest()


def backlog(connection: Connection, now: int) -> dict[str, Any]:
    """Count what is not done: deliveries by (target, state), how long the oldest has been due (seconds), quarantine and lookups by source.

    And the seconds since the jobs that look after old rows last came to their end.

    Costs a scan of the partial indexes, not of what is settled.
    """
    unsettled = connection.execute(
        text(
            "SELECT target, state, count(*) AS n FROM delivery WHERE state IN ('open', 'blocked', 'leased', 'dead') GROUP BY target, state"
        )
    ).all()
    waiting = connection.execute(
        text("SELECT target, count(*) AS n FROM delivery WHERE state = 'waiting' GROUP BY target")
    ).all()
    oldest = connection.execute(
        text("SELECT target, min(due_at) AS due FROM delivery WHERE state = 'open' GROUP BY target")
    ).all()
    quarantined = connection.execute(
        text("SELECT source, count(*) AS n FROM quarantine WHERE state = 'waiting' GROUP BY source")
    ).all()
    asked = connection.execute(
        text("SELECT source, state, count(*) AS n FROM lookup WHERE state IN ('open', 'dead') GROUP BY source, state")
    ).all()
    alerting = connection.execute(
        text("SELECT kind, count(*) AS n FROM alert WHERE recovered_at IS NULL AND kind <> 'digest' GROUP BY kind")
    ).all()
    return {
        "alerts": {row.kind: row.n for row in alerting},
        "lookups": {(row.source, row.state): row.n for row in asked},
        "deliveries": {(row.target, row.state): row.n for row in unsettled}
        | {(row.target, "waiting"): row.n for row in waiting},
        "oldest_due": {row.target: max(0.0, (now - row.due) / 1000) for row in oldest},
        "quarantine": {row.source: row.n for row in quarantined},
        "jobs": {job: max(0.0, (now - at) / 1000) for job, at in schedule.last_ran(connection).items()},
    }

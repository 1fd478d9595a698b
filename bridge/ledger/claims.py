"""Claiming due deliveries under a lease, and settling what came of them. Set-based: one group, a handful of statements."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.ledger import alerts, outbox, registrations, rights
from bridge.ledger.claimed import Claimed, Context
from bridge.ledger.insertion import Insertion
from bridge.ledger.queues import CLAIMS, NEXT_DUE, reaches
from bridge.ledger.unit import Unit


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """One lane's wish for work. Times in milliseconds.

    Attributes:
        by_email: whether the target knows people by e-mail, so that all local learners of one address count.
        lease_ms: how long the lease lasts.
        lease: its token, by which the lane can take back a claim that may have been committed, or not.
    """

    target: str
    limit: int
    owner: str
    now: int
    lease_ms: int
    by_email: bool
    lease: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True, slots=True)
class Claim:
    """What a lane got, and when its next open delivery is due (milliseconds; None when nothing is open)."""

    claimed: list[Claimed]
    next_due: int | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What came of one attempt, and what follows. Decided by dispatch; the ledger only writes it.

    Attributes:
        lease: the token under which it was claimed; without it only attempt and refs are kept.
        revision: as claimed; when the cause changed meanwhile, the delivery opens again at once.
        result: ``done``, ``later`` (open again at ``due_at``) or ``dead``.
        unknown: 1 when nobody knows whether a try had its effect; 2 when an operator asked for the repeat all the same.
        held: what the right is held as now (``yes``, ``no``, ``unknown``), or None when nothing was learnt.
        refs: (kind, key, remote id).
    """

    delivery_id: int
    lease: str
    revision: int
    target: str
    person: str
    right_id: int | None
    result: str
    due_at: int
    attempts: int
    age: int
    unknown: int
    steps: str
    outcome: str
    why: str
    remedy: str
    held: str | None
    held_as: str
    at: int
    ms: int
    operation: str
    exchanges: str
    refs: tuple[tuple[str, str, str], ...] = field(default=())


# SQLite takes a partial index only where the index's own condition stands in the statement word for word, and looks people
# up one by one only where a CROSS JOIN fixes the order; anything else walks the whole backlog. PostgreSQL does so where what
# it knows of the table is older than the backlog: a subquery that may not be merged has it look people up one by one, and
# the concatenation keeps it from every index of a whole target, which seems as good to it as the one of a person.
_QUEUED = {
    "sqlite": "SELECT b.id FROM {{rows}} CROSS JOIN delivery b WHERE b.person = r.person AND b.target = r.target"
    " AND b.state IN ('open', 'blocked') AND b.state = '{state}'",
    "postgresql": "SELECT b.id FROM {{rows}} CROSS JOIN LATERAL (SELECT d.id FROM delivery d WHERE d.person = r.person"
    " AND d.target || '' = r.target AND d.state IN ('open', 'blocked') AND d.state = '{state}' {fence}) b",
}
# What another bridge's claim holds at this moment stays open: waited for, the two would wait for each other. Nobody claims it.
_PASSING = "FOR NO KEY UPDATE SKIP LOCKED"
_BLOCK = {
    name: f"UPDATE delivery SET state = 'blocked' WHERE id IN ({queued.format(state='open', fence=_PASSING)})"
    for name, queued in _QUEUED.items()
}
_UNBLOCK = {
    name: f"UPDATE delivery SET state = 'open' WHERE id IN ({queued.format(state='blocked', fence='OFFSET 0')})"
    " RETURNING delivery.target"
    for name, queued in _QUEUED.items()
}
_ARRIVED = """
UPDATE "right" SET former = NULL, awaited = NULL FROM {rows}
WHERE "right".id = r.id AND ("right".former IS NOT NULL OR "right".awaited IS NOT NULL) RETURNING "right".id, "right".target
"""
# Two names may lead to one account at the target (its address was changed there by hand; people are known there by another
# field). What was given to the one is then held by the other, and taking it away would shut out whoever has just got in.
_ONE_ACCOUNT = """
UPDATE "right" SET held = 'no', held_as = '' WHERE wanted = 0 AND id IN (
 SELECT o.id FROM {rows} JOIN "right" o ON o.heir_id IS NOT NULL AND o.heir_id = r.id
 JOIN "right" h ON h.id = r.id AND h.wanted = 1 AND h.held = 'yes' AND h.course_key = o.course_key
 JOIN remote_ref a ON a.target = o.target AND a.key IN (o.person, 'right:' || o.id)
  AND a.kind IN ('user', 'enrollment', 'registration') AND a.remote_id <> ''
 JOIN remote_ref b ON b.target = a.target AND b.key IN (h.person, 'right:' || h.id) AND b.kind = a.kind
  AND b.remote_id = a.remote_id)
"""
_LEFT = """
UPDATE "right" SET heir_id = NULL WHERE heir_id IS NOT NULL AND heir_id IN (SELECT r.id FROM {rows}) RETURNING *
"""
_PERSON = "SELECT d.id, d.person FROM {rows} JOIN delivery d ON d.id = r.id"
_SETTLE = """
UPDATE delivery SET
 state = (CASE WHEN delivery.revision <> r.revision THEN 'open' WHEN r.result = 'later' THEN 'open' ELSE r.result END),
 due_at = (CASE WHEN delivery.revision <> r.revision THEN r.now ELSE r.due_at END),
 attempts = (CASE WHEN delivery.revision <> r.revision AND r.result <> 'later' THEN 0 ELSE r.attempts END),
 age = (CASE WHEN delivery.revision <> r.revision AND r.result <> 'later' THEN 0 ELSE r.age END),
 unknown = r.unknown, steps = r.steps, outcome = r.outcome, why = r.why, remedy = r.remedy,
 lease = NULL, lease_owner = NULL, lease_until = NULL, updated_at = r.now
FROM {rows} WHERE delivery.id = r.id AND delivery.state = 'leased' AND delivery.lease = r.lease
RETURNING delivery.id, delivery.state, delivery.target, delivery.person
"""
_SETTLE_COLUMNS = {
    "id": "int",
    "lease": "text",
    "revision": "int",
    "result": "text",
    "due_at": "int",
    "attempts": "int",
    "age": "int",
    "unknown": "int",
    "steps": "text",
    "outcome": "text",
    "why": "text",
    "remedy": "text",
    "now": "int",
}
_ATTEMPTS = Insertion(
    "attempt",
    {
        "delivery_id": "int",
        "at": "int",
        "ms": "int",
        "operation": "text",
        "outcome": "text",
        "why": "text",
        "exchanges": "text",
    },
    conflict="",
)


def claim(unit: Unit, requests: Sequence[ClaimRequest]) -> list[Claim]:
    """Lease due deliveries for each request: never two of one person at one target, never one that is in flight."""
    results = []
    for request in requests:
        leased, due = _lease(unit, request) if request.limit else ([], next_due(unit, request.target))
        found = Context(unit, request.target, leased, by_email=request.by_email) if leased else None
        claimed = [found.of(row) for row in sorted(leased, key=lambda row: (row.due_at, row.id))] if found else []
        results.append(Claim(claimed, due))
    return results


def _lease(unit: Unit, request: ClaimRequest) -> tuple[list[Any], int | None]:
    """Lease what is due; return it, and when the next that is open is due."""
    leased: list[Any] = []
    due: int | None = request.now
    for reach, spread in reaches(request.limit):
        found = unit.rows(
            CLAIMS[unit.dialect.name],
            lease=request.lease,
            owner=request.owner,
            until=request.now + request.lease_ms,
            now=request.now,
            target=request.target,
            limit=request.limit - len(leased),
            reach=reach,
            spread=spread,
        )
        _block(unit, found)
        leased += found
        if len(leased) >= request.limit:
            return leased, request.now
        due = next_due(unit, request.target)  # mostly what was short was all there was
        if due is None or due > request.now:
            break
    return leased, due


def _block(unit: Unit, leased: Sequence[Any]) -> None:
    """Keep what else these people wait for out of the queues."""
    people = [{"target": row.target, "person": row.person} for row in leased]
    unit.each(_BLOCK[unit.dialect.name], {"target": "text", "person": "text"}, people)


def settle(unit: Unit, settlements: Sequence[Settlement]) -> list[bool]:
    """Write what came of attempts: attempt, outbox, right, refs and registration states in one transaction.

    Returns, for each, whether its lease still counted; a late one keeps only its attempt and the remote ids it learnt.
    """
    now = max(item.at + item.ms for item in settlements)
    rights.hold(unit, (item.right_id for item in settlements if item.right_id is not None))
    valid = {row.id: row for row in unit.each(_SETTLE, _SETTLE_COLUMNS, [_settle_row(item) for item in settlements])}
    unit.put(_ATTEMPTS, [_attempt_row(item) for item in settlements])
    rights.keep_refs(unit, _refs_learnt(unit, settlements), now)
    counted = [item for item in settlements if item.delivery_id in valid]
    rights.confirm(
        unit,
        [(item.right_id, item.held, item.held_as) for item in counted if item.right_id is not None and item.held],
        now,
    )
    woken = _unblock(unit, valid.values()) + _arrived(unit, counted, valid, now)
    changed = [item.right_id for item in counted if item.right_id is not None and (item.held or item.result == "dead")]
    derive_after(unit, changed, now)
    unit.wake([*woken, *(row.target for row in valid.values() if row.state == "open")])
    if any(item.result == "dead" for item in counted):
        unit.wake([alerts.WAKE])
    return [item.delivery_id in valid for item in settlements]


def _arrived(unit: Unit, counted: Sequence[Settlement], valid: Mapping[int, Any], now: int) -> list[str]:
    """Note that changed addresses have reached their targets; return the targets where somebody may have waited for it.

    What another right has taken the place of is let go of now.
    """
    done = {item.right_id for item in counted if item.right_id is not None and valid[item.delivery_id].state == "done"}
    arrived = unit.each(_ARRIVED, {"id": "int"}, [{"id": i} for i in sorted(done)])
    heirs = [{"id": row.id} for row in arrived]
    unit.each(_ONE_ACCOUNT, {"id": "int"}, heirs)
    left = unit.each(_LEFT, {"id": "int"}, heirs)
    if unwanted := [row for row in left if not row.wanted and row.held != "no"]:
        outbox.open_now(unit, [outbox.right_delivery(row, None, None) for row in unwanted], now)
    return [row.target for row in arrived]


def _refs_learnt(unit: Unit, settlements: Sequence[Settlement]) -> list[tuple[str, str, str, str]]:
    # A person whose address changed while the delivery was under way is known by the new one already.
    ids = [{"id": item.delivery_id} for item in settlements if item.refs]
    people = {row.id: row.person for row in unit.each(_PERSON, {"id": "int"}, ids)}
    return [
        (item.target, kind, people[item.delivery_id] if key == item.person else key, remote)
        for item in settlements
        for kind, key, remote in item.refs
    ]


def _unblock(unit: Unit, freed: Iterable[Any]) -> list[str]:
    """Open what waited for these deliveries (target, person); return the targets that have something to do now."""
    people = sorted({(row.target, row.person) for row in freed})
    rows = [{"target": target, "person": person} for target, person in people]
    return [row.target for row in unit.each(_UNBLOCK[unit.dialect.name], {"target": "text", "person": "text"}, rows)]


def derive_after(unit: Unit, right_ids: Iterable[int], now: int) -> None:
    """Derive the states of every registration behind these rights, and open the CRM work of those that are settled."""
    behind = rights.registrations_behind(unit, right_ids)
    outbox.open_waiting(unit, registrations.derive_states(unit, behind, now), now)


def _settle_row(item: Settlement) -> dict[str, Any]:
    return {
        "id": item.delivery_id,
        "lease": item.lease,
        "revision": item.revision,
        "result": item.result,
        "due_at": item.due_at,
        "attempts": item.attempts,
        "age": item.age,
        "unknown": item.unknown,
        "steps": item.steps,
        "outcome": item.outcome,
        "why": item.why,
        "remedy": item.remedy,
        "now": item.at + item.ms,
    }


def _attempt_row(item: Settlement) -> dict[str, Any]:
    return {
        "delivery_id": item.delivery_id,
        "at": item.at,
        "ms": item.ms,
        "operation": item.operation,
        "outcome": item.outcome,
        "why": item.why,
        "exchanges": item.exchanges,
    }


def return_all(unit: Unit, now: int) -> int:
    """Give back every lease: start-up on a ledger that nobody else runs on. Whoever held them died with work in flight."""
    return _return(unit, "1 = 1", now)


def return_expired(unit: Unit, now: int) -> int:
    """Give back leases that are over and whose owner has no heartbeat: a bridge that is gone, or of an older version."""
    return _return(unit, "lease_until < :now AND lease_owner NOT IN (SELECT owner FROM heartbeat)", now)


DEAD = -1
"""When the heart of an owner last beat who is being buried."""


def return_dead(unit: Unit, now: int) -> int:
    """Give back the leases of owners who are being buried in this transaction."""
    return _return(unit, f"lease_owner IN (SELECT owner FROM heartbeat WHERE beat_at = {DEAD})", now)


def _return(unit: Unit, which: str, now: int, **values: Any) -> int:
    # Whoever held them may be settling one at this moment: what is settled first is not returned.
    leased = unit.rows(f"SELECT right_id FROM delivery WHERE state = 'leased' AND {which}", now=now, **values)
    rights.hold(unit, (row.right_id for row in leased if row.right_id is not None))
    returned = unit.rows(
        f"UPDATE delivery SET state = 'open', unknown = 1, {_NO_LEASE}, updated_at = :now WHERE state = 'leased' AND {which}"
        " RETURNING right_id, target",
        now=now,
        **values,
    )
    unit.wake(row.target for row in returned)
    # Nobody knows how far the owner came: what was in flight may have had its effect, or half of it.
    unit.each(
        "UPDATE \"right\" SET held = 'unknown', updated_at = :now WHERE id IN (SELECT r.id FROM {rows})",
        {"id": "int"},
        [{"id": row.right_id} for row in returned if row.right_id is not None],
        now=now,
    )
    _unblock_idle(unit)
    return len(returned)


def give_back(unit: Unit, unstarted: Sequence[tuple[int, str]], now: int) -> int:
    """Give back leases of deliveries that were claimed and not begun: (delivery id, lease)."""
    rows = [{"id": i, "lease": lease} for i, lease in unstarted]
    returned = unit.each(
        f"UPDATE delivery SET state = 'open', {_NO_LEASE}, updated_at = :now FROM {{rows}}"
        " WHERE delivery.id = r.id AND delivery.state = 'leased' AND delivery.lease = r.lease"
        " RETURNING delivery.target, delivery.person",
        {"id": "int", "lease": "text"},
        rows,
        now=now,
    )
    _unblock(unit, returned)
    return len(returned)


def take_back(unit: Unit, leases: Sequence[str], now: int) -> int:
    """Open again what stands under these leases: claims that were committed, and that nobody heard of."""
    returned = unit.each(
        f"UPDATE delivery SET state = 'open', {_NO_LEASE}, updated_at = :now"
        " WHERE state = 'leased' AND lease IN (SELECT r.lease FROM {rows})"
        " RETURNING delivery.target, delivery.person",
        {"lease": "text"},
        [{"lease": lease} for lease in leases],
        now=now,
    )
    _unblock(unit, returned)
    return len(returned)


_NO_LEASE = "lease = NULL, lease_owner = NULL, lease_until = NULL"


def _unblock_idle(unit: Unit) -> None:
    unit.run(
        "UPDATE delivery SET state = 'open' WHERE state = 'blocked' AND state IN ('open', 'blocked') AND NOT EXISTS"
        " (SELECT 1 FROM delivery b WHERE b.target = delivery.target AND b.person = delivery.person AND b.state = 'leased')"
    )


def renew_leases(unit: Unit, owner: str, until: int) -> int:
    """Keep the leases of a living owner."""
    return unit.run(
        "UPDATE delivery SET lease_until = :until WHERE state = 'leased' AND lease_owner = :owner",
        owner=owner,
        until=until,
    )


def next_due(unit: Unit, target: str) -> int | None:
    """Return when the lane's next open delivery is due, in milliseconds, or None when nothing is open."""
    row = unit.rows(NEXT_DUE, target=target)
    return int(row[0].due_at) if row and row[0].due_at is not None else None


def expedite(unit: Unit, target: str, now: int) -> int:
    """Make a target's put-off work due now, because it answers again; time that was not waited is no age."""
    return unit.run(
        "UPDATE delivery SET age = (CASE WHEN age > due_at - :now THEN age - (due_at - :now) ELSE 0 END), due_at = :now,"
        " updated_at = :now"
        " WHERE target = :target AND state IN ('open', 'blocked') AND due_at > :now AND outcome = 'later'",
        target=target,
        now=now,
    )

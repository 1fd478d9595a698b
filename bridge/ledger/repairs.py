"""What an operator changes in the outbox, and the record of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from bridge.contract.outbound import BY_HAND
from bridge.ledger import claims, rights
from bridge.ledger.unit import Unit

_AS_WANTED = """
UPDATE "right" SET held = (CASE WHEN "right".wanted = 1 THEN 'yes' ELSE 'no' END), held_as = '', held_at = :now, updated_at = :now
FROM {rows} WHERE "right".id = r.id
"""


def dead_letters(unit: Unit, ids: Sequence[int], target: str | None) -> list[Any]:
    """Return dead letters: these ids, or all of a target, or all; of the ids only those of the target, where both are named."""
    given: dict[str, Any] = {"target": target or "", "every": int(target is None)}
    which = "d.state = 'dead' AND (:every = 1 OR d.target = :target) ORDER BY d.id"
    if not ids:
        return list(unit.rows(f"SELECT d.* FROM delivery d WHERE {which}", **given))
    rows = [{"id": one} for one in sorted(set(ids))]
    return list(
        unit.each(
            f"SELECT d.* FROM {{rows}} JOIN delivery d ON d.id = r.id WHERE {which}", {"id": "int"}, rows, **given
        )
    )


def asks_for_a_hand(delivery: Any) -> bool:
    """Say whether trying a dead letter again means that a person has done at the target what it asks for."""
    return any(step.endswith(f":{BY_HAND}") for step in orjson.loads(delivery.steps))


def planned(unit: Unit, deliveries: Sequence[Any]) -> list[Any]:
    """Return for what purchase the wanted rights of these deliveries stand.

    Each as delivery id, target, course key, and the registration's id, source, product and first event.
    """
    return list(
        unit.each(
            "SELECT d.id, d.registration_id, w.target, w.course_key, g.source, g.remote_product_id, g.event_id FROM {rows}"
            ' JOIN delivery d ON d.id = r.id JOIN "right" w ON w.id = d.right_id AND w.wanted = 1'
            " JOIN registration g ON g.id = d.registration_id ORDER BY d.id",
            {"id": "int"},
            [{"id": row.id} for row in deliveries],
        )
    )


def dismiss(unit: Unit, deliveries: Sequence[Any], why: str, now: int) -> frozenset[int]:
    """End dead letters for good: somebody has brought about at the target what is wanted there; return which are.

    Those are left out that somebody else has just acted on. The registrations behind them are judged anew, and the CRM work
    that waited for them opens. Idempotent.
    """
    behind = [row.right_id for row in deliveries if row.right_id is not None]
    rights.hold(unit, behind)
    ended = unit.each(
        "UPDATE delivery SET state = 'done', outcome = 'dismissed', why = :why, remedy = NULL, updated_at = :now"
        " FROM {rows} WHERE delivery.id = r.id AND delivery.state = 'dead' RETURNING delivery.id, delivery.right_id",
        {"id": "int"},
        [{"id": row.id} for row in deliveries],
        why=why,
        now=now,
    )
    settled = [{"id": row.right_id} for row in ended if row.right_id is not None]
    unit.each(_AS_WANTED, {"id": "int"}, settled, now=now)
    claims.derive_after(unit, [row["id"] for row in settled], now)
    return frozenset(row.id for row in ended)


def requeue(unit: Unit, deliveries: Sequence[Any], now: int) -> frozenset[int]:
    """Open dead letters again with a fresh count; return which, without those that somebody else has just acted on.

    The registrations behind them are judged anew.
    """
    rows = [{"id": row.id} for row in deliveries]
    opened = unit.each(
        "UPDATE delivery SET state = (CASE WHEN EXISTS (SELECT 1 FROM delivery b WHERE b.target = delivery.target"
        " AND b.person = delivery.person AND b.state = 'leased') THEN 'blocked' ELSE 'open' END), attempts = 0, age = 0, due_at = :now, updated_at = :now, revision = delivery.revision + 1,"
        " unknown = (CASE WHEN delivery.unknown = 0 THEN 0 ELSE 2 END)"
        " FROM {rows} WHERE delivery.id = r.id AND delivery.state = 'dead' RETURNING delivery.id",
        {"id": "int"},
        rows,
        now=now,
    )
    claims.derive_after(unit, [row.right_id for row in deliveries if row.right_id is not None], now)
    unit.wake(row.target for row in deliveries)
    return frozenset(row.id for row in opened)


def waiting_for_a_try(unit: Unit, ids: Sequence[int], now: int) -> list[Any]:
    """Return those of these deliveries that are open and not due yet; held, as a lane could claim them meanwhile."""
    rows = [{"id": one} for one in sorted(set(ids))]
    return list(
        unit.each(
            "SELECT d.id, d.target, d.registration_id, d.why, d.remedy FROM {rows} JOIN delivery d ON d.id = r.id"
            f" WHERE d.state = 'open' AND d.due_at > :now ORDER BY d.id{unit.holding('d')}",
            {"id": "int"},
            rows,
            now=now,
        )
    )


def hasten(unit: Unit, deliveries: Sequence[Any], now: int) -> None:
    """Let open deliveries be due now. Idempotent."""
    unit.each(
        "UPDATE delivery SET due_at = :now, updated_at = :now FROM {rows} WHERE delivery.id = r.id"
        " AND delivery.state = 'open' AND delivery.due_at > :now",
        {"id": "int"},
        [{"id": row.id} for row in deliveries],
        now=now,
    )
    unit.wake(row.target for row in deliveries)


def record(unit: Unit, operator: str, action: str, subject: str, note: str, now: int) -> None:
    """Keep who did what to what."""
    record_each(unit, operator, action, [subject], note, now)


def record_each(unit: Unit, operator: str, action: str, subjects: Sequence[str], note: str, now: int) -> None:
    """Keep who did what to each of these: a row for each."""
    unit.each(
        "INSERT INTO operator_action (at, operator, action, subject, note)"
        " SELECT :now, :operator, :action, r.subject, :note FROM {rows} WHERE true ORDER BY r.n",
        {"subject": "text"},
        [{"subject": subject} for subject in subjects],
        now=now,
        operator=operator,
        action=action,
        note=note,
    )

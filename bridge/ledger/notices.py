"""Notices: planned with what they tell of, in the same transaction; each has a delivery of its own, which is never merged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.contract.mail import MAILER
from bridge.ledger import outbox
from bridge.ledger.outbox import DeliveryRow
from bridge.ledger.unit import Unit


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """One mail to be sent.

    Attributes:
        kind: of :class:`bridge.contract.mail.NoticeKind`; names the template.
        recipient: an address; empty means the registration's learner, at the address known when it is sent.
        data: what the template may use, as JSON can hold it.
        cause: two notices of one kind, registration, recipient and cause are the same one, which is sent once.
        waits: it opens when the registration is settled. At most one notice of a registration waits: a newer one takes its
            place.
    """

    kind: str
    registration_id: int
    event_id: int | None
    recipient: str
    data: Mapping[str, Any]
    cause: str
    waits: bool = False


_COLUMNS = {
    "registration_id": "int",
    "event_id": "int",
    "kind": "text",
    "recipient": "text",
    "cause": "text",
    "data": "text",
}
_NAMES = ", ".join(_COLUMNS)
_KEEP = f"""
INSERT INTO notice ({_NAMES}, created_at) SELECT {_NAMES}, :now FROM {{rows}} WHERE true ORDER BY r.registration_id, r.kind
ON CONFLICT (registration_id, kind, cause, recipient) DO NOTHING
RETURNING id, registration_id, event_id, kind, cause, recipient
"""
_LEARNERS = "SELECT g.id, g.learner_id FROM {rows} JOIN registration g ON g.id = r.id"
_OF_DELIVERIES = """
SELECT n.id, n.kind, n.recipient, n.data, n.created_at, n.registration_id, g.source, g.order_number, g.state,
 g.learner_id
FROM {rows} JOIN notice n ON n.id = r.id JOIN registration g ON g.id = n.registration_id
"""
_BEHIND = """
SELECT DISTINCT t.registration_id, t.course, w.target, w.wanted, w.held
FROM {rows} JOIN "grant" t ON t.registration_id = r.id LEFT JOIN "right" w ON w.id = t.right_id
WHERE t.superseded = 0 ORDER BY t.registration_id, t.course
"""
# Not out yet, or given up because there was no access to tell of at that moment; whatever was tried stays as it is.
_WAIT_AGAIN = """
UPDATE delivery SET state = 'waiting', why = NULL, updated_at = :now WHERE id IN (
 SELECT max(d.id) FROM {rows} JOIN notice n ON n.registration_id = r.id AND n.kind = 'access' AND n.data <> '{}'
  JOIN delivery d ON d.registration_id = n.registration_id AND d.kind = 'notice' AND d.key = 'notice:' || n.id
 WHERE d.unknown = 0 AND (d.state IN ('open', 'blocked')
   OR (d.state = 'done' AND (SELECT count(*) FROM attempt a WHERE a.delivery_id = d.id) > 0
    AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.delivery_id = d.id AND a.outcome NOT IN ('nothing', 'later'))))
  AND NOT EXISTS (SELECT 1 FROM delivery w WHERE w.registration_id = r.id AND w.target = d.target AND w.state = 'waiting')
 GROUP BY r.id)
"""
_END = """
UPDATE delivery SET state = 'done', why = 'what it was about is forgotten', remedy = NULL, updated_at = :now
WHERE registration_id IN (SELECT r.id FROM {rows}) AND kind = 'notice' AND state IN ('waiting', 'open', 'blocked', 'dead')
RETURNING id
"""
_FORGET = """
UPDATE notice SET data = '{}', recipient = (CASE WHEN recipient = '' THEN '' ELSE 'emptied:' || id END)
WHERE registration_id IN (SELECT r.id FROM {rows})
"""
# The condition of the index stands in it word for word; a recipient stays one of its own, for the unique index.
_EMPTY = """
UPDATE notice SET data = '{}', recipient = (CASE WHEN recipient = '' THEN '' ELSE 'emptied:' || id END)
WHERE id IN (SELECT n.id FROM notice n WHERE n.data <> '{}' AND n.created_at < :before AND NOT EXISTS
 (SELECT 1 FROM delivery d WHERE d.registration_id = n.registration_id AND d.kind = 'notice' AND d.key = 'notice:' || n.id
  AND d.state <> 'done') ORDER BY n.created_at LIMIT :limit)
"""


def plan(unit: Unit, rows: Sequence[NoticeRow], now: int) -> list[int]:
    """Keep notices and open their deliveries; return the ids of those that were not planned before. Idempotent."""
    unique = {(row.registration_id, row.kind, row.cause, row.recipient): row for row in rows}
    given = [
        {
            "registration_id": row.registration_id,
            "event_id": row.event_id,
            "kind": row.kind,
            "recipient": row.recipient,
            "cause": row.cause,
            "data": orjson.dumps(row.data, default=str).decode(),
        }
        for row in unique.values()
    ]
    kept = unit.each(_KEEP, _COLUMNS, given, now=now)
    ids = [{"id": i} for i in sorted({row.registration_id for row in kept})]
    learners = {row.id: row.learner_id for row in unit.each(_LEARNERS, {"id": "int"}, ids)}
    work: dict[bool, list[DeliveryRow]] = {True: [], False: []}
    for row in sorted(kept, key=lambda row: row.id):
        # By its number, so that an address stands nowhere but in the notice, and no mail waits for another one.
        key = f"notice:{row.id}"
        delivery = DeliveryRow(
            MAILER, "notice", key, None, key, learners[row.registration_id], row.registration_id, row.event_id
        )
        work[unique[row.registration_id, row.kind, row.cause, row.recipient].waits].append(delivery)
    outbox.add(unit, work[False], work[True], now)
    return sorted(row.id for row in kept)


def wait_again(unit: Unit, registration_ids: Iterable[int], now: int) -> None:
    """Let confirmations of access that nobody was sent yet wait for their registrations, whose access begins anew."""
    unit.each(_WAIT_AGAIN, {"id": "int"}, [{"id": i} for i in sorted(set(registration_ids))], now=now)


def behind(unit: Unit, registration_ids: Iterable[int]) -> list[Any]:
    """Return what registrations lead to, live or ended: registration_id, course, and target, wanted and held of its right.

    Those are None where no LMS takes the course.
    """
    return list(unit.each(_BEHIND, {"id": "int"}, [{"id": i} for i in sorted(set(registration_ids))]))


def empty(unit: Unit, before: int, limit: int) -> int:
    """Empty notices planned before a time (milliseconds) that are settled: what they said and to whom; return how many."""
    return unit.run(_EMPTY, before=before, limit=limit)


def forget(unit: Unit, registration_ids: Iterable[int], now: int) -> int:
    """Empty these registrations' notices, and end those that are not on their way; return how many ended. Idempotent."""
    rows = [{"id": i} for i in sorted(set(registration_ids))]
    ended = unit.each(_END, {"id": "int"}, rows, now=now)
    unit.each(_FORGET, {"id": "int"}, rows)
    return len(ended)


def of_deliveries(unit: Unit, keys: Iterable[str]) -> dict[str, Any]:
    """Return the notices of these deliveries by the delivery's key, with what is known of their registrations now."""
    ids = [{"id": int(key.removeprefix("notice:"))} for key in keys]
    return {f"notice:{row.id}": row for row in unit.each(_OF_DELIVERIES, {"id": "int"}, ids)}

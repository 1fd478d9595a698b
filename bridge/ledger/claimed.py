"""What a claimed delivery's work is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from bridge.ledger import formers, notices
from bridge.ledger.unit import Unit


@dataclass(frozen=True, slots=True)
class Claimed:
    """A leased delivery with everything that is needed to compute its work.

    Attributes:
        delivery: its row. ``right``: its right's row, or None for a contact.
        learners: local learners behind the person, the delivery's own among them.
        registrations: for a right: those with a live grant behind it, and the latest cause; for a contact: all of the
            learners' registrations, one row per course (``course``, ``live``, ``expires_at``, ``full_access`` beside it, and how
            far the learner is, when it was opened last, when and by what it was taken back, and whether before they were in).
        refs: remote ids (kind, key, remote_id).
        notice: of a notice: its row with what is known of its registration; it has none of the registrations above.
    """

    delivery: Any
    right: Any | None
    learners: tuple[Any, ...]
    registrations: tuple[Any, ...]
    refs: tuple[Any, ...]
    notice: Any | None = None


_REGISTRATION = """g.id, g.source, g.learner_id, g.remote_product_id, g.intent, g.state, g.quantity, g.amount_paid, g.currency,
 g.order_data, g.options, g.targets, g.created_at, g.updated_at"""
_TAKEN = "'cancelled', 'refunded', 'ended'"
_TAKEN_BY = f"""(SELECT f.effect FROM effect f WHERE f.registration_id = g.id AND f.effect IN ({_TAKEN})
  ORDER BY f.event_id DESC LIMIT 1) AS taken_by"""
_BEHIND_RIGHT = f"""
SELECT t.right_id, t.course, t.live, t.expires_at, t.full_access, {_REGISTRATION},
 (CASE WHEN g.intent = 'cancelled' THEN {_TAKEN_BY.rpartition(" AS ")[0]} END) AS taken_by
FROM {{rows}} JOIN "grant" t ON t.right_id = r.id JOIN registration g ON g.id = t.registration_id
WHERE t.live = 1 OR g.id = r.registration_id ORDER BY g.updated_at, g.id
"""
OPENED_AT = """(SELECT max(v.received_at) FROM effect f JOIN event v ON v.id = f.event_id
  WHERE f.registration_id = {registration} AND f.effect IN ('created', 'reopened', 'revived', 'resumed'))"""
"""When a registration was opened last; ``registration``: what its id is called around it."""
# Taken back before any target of its rights let the learner in.
_NEVER_IN = """(CASE WHEN g.state = 'cancelled'
  AND EXISTS (SELECT 1 FROM "grant" x WHERE x.registration_id = g.id AND x.right_id IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM "grant" x JOIN delivery d ON d.right_id = x.right_id JOIN attempt a ON a.delivery_id = d.id
   WHERE x.registration_id = g.id AND a.operation = 'grant' AND a.outcome = 'receipt') THEN 1 ELSE 0 END) AS never_in"""
_OF_LEARNERS = f"""
SELECT DISTINCT t.course, t.live, t.expires_at, t.full_access, {_REGISTRATION},
 p.percent, p.percent_at, p.started_at, p.completed_at, p.expired_at,
 {OPENED_AT.format(registration="g.id")} AS opened_at,
 (SELECT max(v.received_at) FROM effect f JOIN event v ON v.id = f.event_id
  WHERE f.registration_id = g.id AND f.effect IN ({_TAKEN})) AS taken_at,
 {_TAKEN_BY}, {_NEVER_IN}
FROM {{rows}} JOIN registration g ON g.learner_id = r.id LEFT JOIN "grant" t ON t.registration_id = g.id AND t.superseded = 0
LEFT JOIN course_progress p ON p.registration_id = g.id AND p.course = t.course
"""
_LEARNERS = "SELECT l.* FROM {rows} JOIN learner l ON l.id = r.id"
_NAMESAKES = """
SELECT l.*, r.person FROM {rows} JOIN learner l ON l.email_key = r.email_key WHERE (:by_email = 1 OR l.remote_user_id IS NULL) AND l.merged_into IS NULL
"""
_REFS = (
    "SELECT f.kind, f.key, f.remote_id FROM {rows} CROSS JOIN remote_ref f WHERE f.target = :target AND f.key = r.key"
)


class Context:
    """Everything the claimed deliveries' work is computed from, read once for all of them."""

    def __init__(self, unit: Unit, target: str, leased: Sequence[Any], *, by_email: bool) -> None:
        """Read it; ``by_email`` as in the claim."""
        work = [row for row in leased if row.right_id is not None]
        notes = [row for row in leased if row.kind == "notice"]
        contacts = [row for row in leased if row.right_id is None and row.kind != "notice"]
        self._notices = notices.of_deliveries(unit, (row.key for row in notes)) if notes else {}
        by_id = unit.each(
            'SELECT w.* FROM {rows} JOIN "right" w ON w.id = r.id',
            {"id": "int"},
            [{"id": row.right_id} for row in work],
        )
        self._rights = {right.id: right for right in by_id}
        cause = [{"id": row.right_id, "registration_id": row.registration_id or 0} for row in work]
        self._behind: dict[int, list[Any]] = {}
        for row in unit.each(_BEHIND_RIGHT, {"id": "int", "registration_id": "int"}, cause):
            self._behind.setdefault(row.right_id, []).append(row)
        self._namesakes = self._people(unit, contacts, by_email=by_email)
        ids = {row.learner_id for row in leased} | {right.learner_id for right in by_id}
        self._learners = {row.id: row for row in unit.each(_LEARNERS, {"id": "int"}, [{"id": i} for i in sorted(ids)])}
        people = {row.learner_id for row in contacts} | {row.id for rows in self._namesakes.values() for row in rows}
        self._registrations: dict[int, list[Any]] = {}
        for row in unit.each(_OF_LEARNERS, {"id": "int"}, [{"id": i} for i in sorted(people)]):
            self._registrations.setdefault(row.learner_id, []).append(row)
        keys = {row.person for row in leased} | {row.key for row in leased}
        self._refs: dict[str, list[Any]] = {}
        for row in unit.each(_REFS, {"key": "text"}, [{"key": key} for key in sorted(keys)], target=target):
            self._refs.setdefault(row.key, []).append(row)
        ended = [(row.key, self._rights[row.right_id]) for row in work if not self._rights[row.right_id].wanted]
        self._refs |= formers.judged(unit, target, ended, self._refs, by_email=by_email)

    @staticmethod
    def _people(unit: Unit, contacts: Sequence[Any], *, by_email: bool) -> dict[str, list[Any]]:
        by_address = [
            {"person": row.person, "email_key": row.person.removeprefix("email:")}
            for row in contacts
            if row.person.startswith("email:")
        ]
        found: dict[str, list[Any]] = {}
        for row in unit.each(_NAMESAKES, {"person": "text", "email_key": "text"}, by_address, by_email=int(by_email)):
            found.setdefault(row.person, []).append(row)
        return found

    def of(self, delivery: Any) -> Claimed:
        """Return one of the deliveries with what belongs to it."""
        refs = (
            *self._refs.get(delivery.person, ()),
            *(self._refs.get(delivery.key, ()) if delivery.key != delivery.person else ()),
        )
        if delivery.kind == "notice":
            learner = self._learners[delivery.learner_id]
            return Claimed(delivery, None, (learner,), (), refs, self._notices[delivery.key])
        if delivery.right_id is not None:
            right = self._rights[delivery.right_id]
            learner = _addressed(self._learners[right.learner_id], right.person)
            return Claimed(delivery, right, (learner,), tuple(self._behind.get(delivery.right_id, ())), refs)
        # Where an address has an owner, whoever moved away from it is not meant by it any more.
        here = self._namesakes.get(delivery.person) or [self._learners[delivery.learner_id]]
        people = {row.id: row for row in here}
        rows = [row for learner_id in people for row in self._registrations.get(learner_id, ())]
        # The courses of a bundle in one order for good: what a CRM is told must not depend on the database's mood.
        rows.sort(key=lambda row: (row.updated_at, row.id, row.course or ""))
        return Claimed(delivery, None, tuple(people.values()), tuple(rows), refs)


def _addressed(learner: Any, person: str) -> Any:
    """Return the learner under the address that the target knows: what is taken away at the old one goes there."""
    kind, _, address = person.partition(":")
    if kind != "email" or learner.email_key == address:
        return learner
    columns = learner._asdict()
    return SimpleNamespace(**{**columns, "email": address, "email_key": address})

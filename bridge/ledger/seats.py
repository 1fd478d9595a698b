"""Seats of order lines: made, claimed, revoked, and moved on when a subscription is renewed.

Whoever changes a seat, or lets an order line end, first holds all seats of that line: see :func:`of_lines`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from bridge.ledger.reports import ask
from bridge.ledger.unit import Unit


@dataclass(frozen=True, slots=True)
class SeatRow:
    """One seat to be made.

    Attributes:
        number: within its order line, counted from 1.
        claimed_registration_id: of a seat whose holder comes along from the period before.
    """

    registration_id: int
    number: int
    code: str
    recipient: str | None
    state: str = "open"
    claimed_registration_id: int | None = None
    claimed_at: int | None = None
    told_at: int | None = None


_COLUMNS = {
    "registration_id": "int",
    "number": "int",
    "code": "text",
    "recipient": "text",
    "state": "text",
    "claimed_registration_id": "int",
    "claimed_at": "int",
    "told_at": "int",
}
_NAMES = ", ".join(_COLUMNS)
_MAKE = f"""
INSERT INTO seat ({_NAMES}, created_at, updated_at) SELECT {_NAMES}, :now, :now FROM {{rows}} WHERE true ORDER BY r.n
"""
_OF_LINES = "SELECT s.* FROM {rows} JOIN seat s ON s.registration_id = r.id ORDER BY s.id"
_SET = "UPDATE seat SET state = :state, why = :why, updated_at = :now WHERE id IN (SELECT r.id FROM {rows})"
_TAKE = """
UPDATE seat SET state = 'claimed', claimed_registration_id = :registration, claimed_at = :now, updated_at = :now
WHERE id = :id AND state = 'open'
"""
# Whoever is known by an address, with those whom they are since they were merged.
_PEOPLE = """
WITH RECURSIVE person(id, next) AS (
 SELECT l.id, l.merged_into FROM learner l WHERE l.email_key = :key
 UNION SELECT l.id, l.merged_into FROM person JOIN learner l ON l.id = person.next)
"""
_HOLDS_ONE = f"""{_PEOPLE}
SELECT 1 FROM seat s JOIN registration g ON g.id = s.claimed_registration_id
WHERE s.registration_id = :id AND s.state = 'claimed' AND g.learner_id IN (SELECT id FROM person)
UNION ALL SELECT 1 FROM registration g
WHERE g.id = :id AND g.learner_id IN (SELECT id FROM person)
 AND EXISTS (SELECT 1 FROM "grant" t WHERE t.registration_id = g.id AND t.live = 1)
"""
_IS_OF = f"{_PEOPLE} SELECT 1 FROM registration g WHERE g.id = :id AND g.learner_id IN (SELECT id FROM person)"
# When it was bought: what shaped it afterwards carries a later time, and was told of later, too.
_BOUGHT = "(CASE WHEN g.occurred_at < g.created_at THEN g.occurred_at ELSE g.created_at END)"
# The periods of a subscription. Joined sources name the product in their own way: there it is what the line opens. Each may
# count its subscriptions from 1, too, so that one number is one subscription only where it is the same person's.
_PERIODS = """
registration n JOIN registration g ON g.subscription_id = n.subscription_id AND g.id <> n.id AND (
 g.source = n.source AND g.remote_product_id = n.remote_product_id
 OR g.source <> n.source AND g.business_scope = n.business_scope AND g.line = n.line AND EXISTS (
  SELECT 1 FROM learner a JOIN learner b ON b.id = a.id OR b.email_key = a.email_key
  WHERE a.id = g.learner_id AND b.id = n.learner_id))
"""
_BEFORE = f"""
SELECT g.id, {_BOUGHT} AS bought_at FROM {_PERIODS}
WHERE n.id = :id AND EXISTS (SELECT 1 FROM seat s WHERE s.registration_id = g.id)
ORDER BY bought_at DESC, g.id DESC LIMIT 1
"""
_FORMER_LINES = f"""
SELECT g.id FROM {_PERIODS}
WHERE n.id = :id AND {_BOUGHT} <= {_BOUGHT.replace("g.", "n.")} AND EXISTS (SELECT 1 FROM seat s WHERE s.registration_id = g.id)
ORDER BY {_BOUGHT} DESC, g.id DESC
"""
_FORMER = f"""
SELECT s.registration_id FROM {_PERIODS}
 JOIN seat s ON s.registration_id = g.id JOIN registration c ON c.id = s.claimed_registration_id
WHERE n.id = :id AND s.state = 'claimed' AND c.learner_id = (SELECT h.learner_id FROM registration h WHERE h.id = :claimed)
"""
_ASK_OPERATOR = """
INSERT INTO quarantine (event_id, source, kind, remote_product_id, occurred_at, state, registration_id, note, created_at, updated_at)
VALUES (:event_id, :source, 'seats', :product, :now, 'waiting', :registration, :note, :now, :now)
"""
_LOOK = """
SELECT s.state, s.why, g.source, g.remote_product_id, g.intent, g.options FROM seat s JOIN registration g ON g.id = s.registration_id
WHERE s.code = :code
"""
_TOLD = """
SELECT s.number, s.code, s.state, s.why, s.told_at AS at, s.claimed_registration_id, g.state AS claimed_state, s.claimed_at AS since
FROM seat s LEFT JOIN registration g ON g.id = s.claimed_registration_id WHERE s.registration_id = :id ORDER BY s.number
"""
_LINE_OF = """
SELECT s.registration_id, s.number, s.state FROM seat s WHERE s.claimed_registration_id = :id ORDER BY s.id
"""


def of_lines(unit: Unit, registration_ids: Iterable[int]) -> list[Any]:
    """Return every seat of these order lines, in order, held until the transaction ends."""
    rows = [{"id": i} for i in sorted(set(registration_ids))]
    return list(unit.each(_OF_LINES + unit.holding("s"), {"id": "int"}, rows))


def make(unit: Unit, rows: Sequence[SeatRow], now: int) -> None:
    """Make seats."""
    unit.each(_MAKE, _COLUMNS, list(rows), now=now)


def set_state(unit: Unit, ids: Iterable[int], state: str, why: str, now: int) -> None:
    """Let seats be ``open`` or ``revoked``, and why."""
    unit.each(_SET, {"id": "int"}, [{"id": i} for i in sorted(set(ids))], state=state, why=why, now=now)


def tell(unit: Unit, ids: Iterable[int], now: int) -> None:
    """Note that the links of these seats were handed out."""
    unit.each(
        "UPDATE seat SET told_at = :now WHERE id IN (SELECT r.id FROM {rows})",
        {"id": "int"},
        [{"id": i} for i in sorted(set(ids))],
        now=now,
    )


def untell(unit: Unit, registration_id: int) -> None:
    """Let the open links of an order line that went to its learner be handed out anew: it has another learner now."""
    unit.run(
        "UPDATE seat SET told_at = NULL WHERE registration_id = :id AND state = 'open' AND recipient IS NULL",
        id=registration_id,
    )


def move(unit: Unit, ids: Iterable[int], registration_id: int, now: int) -> None:
    """Let seats belong to another order line from now on; their links stay."""
    unit.each(
        "UPDATE seat SET registration_id = :to, updated_at = :now WHERE id IN (SELECT r.id FROM {rows})",
        {"id": "int"},
        [{"id": i} for i in sorted(set(ids))],
        to=registration_id,
        now=now,
    )


def line_of_code(unit: Unit, code: str) -> int | None:
    """Return the order line whose seat has this code, or None."""
    rows = unit.rows("SELECT s.registration_id FROM seat s WHERE s.code = :code", code=code)
    return int(rows[0].registration_id) if rows else None


def order_line(unit: Unit, registration_id: int) -> Any | None:
    """Return an order line as it is now, with the address that its learner is known by, or None."""
    rows = unit.rows("SELECT g.* FROM registration g WHERE g.id = :id", id=registration_id)
    return rows[0] if rows else None


def take(unit: Unit, seat_id: int, registration_id: int, now: int) -> bool:
    """Let a seat be claimed by a registration; return False where it is not open any more."""
    return unit.run(_TAKE, id=seat_id, registration=registration_id, now=now) == 1


def holds_one(unit: Unit, registration_id: int, email_key: str) -> bool:
    """Say whether a person is in through this order line already: by a claimed seat, or as its own learner."""
    return bool(unit.rows(_HOLDS_ONE, id=registration_id, key=email_key))


def is_of(unit: Unit, registration_id: int, email_key: str) -> bool:
    """Say whether a registration is that of the person with this address, or of whom they were merged into."""
    return bool(unit.rows(_IS_OF, id=registration_id, key=email_key))


def before(unit: Unit, registration_id: int) -> Any | None:
    """Return the newest other order line with seats of the same subscription and product: id and time, or None."""
    rows = unit.rows(_BEFORE, id=registration_id)
    return rows[0] if rows else None


def former(unit: Unit, registration_id: int) -> list[int]:
    """Return the order lines with seats that are former periods of an order line's subscription and product, newest first."""
    return [int(row.id) for row in unit.rows(_FORMER_LINES, id=registration_id)]


def in_other_periods(unit: Unit, line_id: int, registration_id: int) -> list[Any]:
    """Return, held, the seats that who claimed ``registration_id`` has in other periods of an order line's subscription."""
    lines = unit.rows(_FORMER, id=line_id, claimed=registration_id)
    person = order_line(unit, registration_id)
    assert person is not None  # noqa: S101 - the seat's foreign key
    found = [seat for seat in of_lines(unit, (row.registration_id for row in lines)) if seat.state == "claimed"]
    holders = {seat.id: order_line(unit, seat.claimed_registration_id) for seat in found}
    return [seat for seat in found if (one := holders[seat.id]) is not None and one.learner_id == person.learner_id]


def set_quantity(unit: Unit, registration_id: int, quantity: int, now: int) -> None:
    """Note how many units of an order line are bought by now."""
    unit.run(
        "UPDATE registration SET quantity = :quantity, updated_at = :now WHERE id = :id",
        quantity=quantity,
        id=registration_id,
        now=now,
    )


def did_before(unit: Unit, event_id: int, registration_id: int) -> bool:
    """Say whether an event has done something to a registration already."""
    return bool(
        unit.rows(
            "SELECT 1 FROM effect WHERE event_id = :event AND registration_id = :id", event=event_id, id=registration_id
        )
    )


def ask_operator(unit: Unit, event_id: int, line: Any, note: str, now: int) -> None:
    """Let an order line wait in quarantine for somebody to decide about its claimed seats."""
    unit.run(
        _ASK_OPERATOR,
        event_id=event_id,
        source=line.source,
        product=line.remote_product_id,
        registration=line.id,
        note=note,
        now=now,
    )


def decided(unit: Unit, registration_id: int, note: str, now: int) -> None:
    """End that wait: somebody has decided."""
    unit.run(
        "UPDATE quarantine SET state = 'released', note = :note, updated_at = :now"
        " WHERE registration_id = :id AND kind = 'seats' AND state = 'waiting'",
        id=registration_id,
        note=note,
        now=now,
    )


def look(connection: Connection, code: str) -> dict[str, Any] | None:
    """Return a seat by its code for whoever opens its link: its state and its order line's product and intent, or None."""
    found = ask(connection, _LOOK, code=code)
    return found[0] if found else None


def told(connection: Connection, registration_id: int) -> list[dict[str, Any]]:
    """Return the seats of an order line: number, code, state, why, when its link was handed out, and who claimed it when."""
    return [
        {
            "number": row["number"],
            "state": row["state"],
            "why": row["why"],
            "told_at": row["at"],
            "claimed_at": row["since"],
            "claimed_registration_id": row["claimed_registration_id"],
            "claimed_state": row["claimed_state"],
            "code": row["code"],
        }
        for row in ask(connection, _TOLD, id=registration_id)
    ]


def claimed_from(connection: Connection, registration_id: int) -> list[dict[str, Any]]:
    """Return the order line that a registration's seat is of: registration id, number and state of the seat."""
    return ask(connection, _LINE_OF, id=registration_id)

"""Where an order line waits whose product is unmapped, an event that no adapter understands, a command before its purchase."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.ledger.alerts import WAKE
from bridge.ledger.unit import Unit


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """One line, or one event, that waits for an operator. Times in milliseconds."""

    event_id: int
    source: str
    kind: str
    learner_key: str
    remote_product_id: str
    line: str
    business_key: str
    command: str
    occurred_at: int
    note: str | None = None


TAKEN_BACK = "took the purchase back"
"""How the note of a line ends that waits no more because of a cancellation or a refund."""

_COLUMNS = {
    "event_id": "int",
    "source": "text",
    "kind": "text",
    "learner_key": "text",
    "remote_product_id": "text",
    "line": "text",
    "business_key": "text",
    "command": "text",
    "occurred_at": "int",
    "note": "text",
}
_NAMES = ", ".join(_COLUMNS)
_ADD = (
    f"INSERT INTO quarantine ({_NAMES}, state, created_at, updated_at)"
    f" SELECT {_NAMES}, 'waiting', :now, :now FROM {{rows}} WHERE true"
)
_KEEP = f"""{_ADD}
ON CONFLICT (source, learner_key, remote_product_id, line, business_key) WHERE kind = 'unmapped' AND state = 'waiting'
DO UPDATE SET seen = quarantine.seen + 1, updated_at = excluded.updated_at,
 event_id = (CASE WHEN excluded.occurred_at < quarantine.occurred_at THEN quarantine.event_id ELSE excluded.event_id END),
 command = (CASE WHEN excluded.occurred_at < quarantine.occurred_at THEN quarantine.command ELSE excluded.command END),
 occurred_at = (CASE WHEN excluded.occurred_at < quarantine.occurred_at THEN quarantine.occurred_at ELSE excluded.occurred_at END)
"""


def keep(unit: Unit, rows: Sequence[QuarantineRow], now: int) -> None:
    """Keep lines and events; a line that waits already is counted and takes the newest wording."""
    latest = {
        (row.kind, row.source, row.learner_key, row.remote_product_id, row.line, row.business_key, row.event_id): row
        for row in rows
    }
    unit.each(_KEEP, _COLUMNS, list(latest.values()), now=now)
    if latest:
        unit.wake([WAKE])


def add(unit: Unit, rows: Sequence[QuarantineRow], now: int) -> list[int]:
    """Keep commands that come before their purchase; return their ids."""
    return [row.id for row in unit.each(f"{_ADD} RETURNING id", _COLUMNS, list(rows), now=now)]


def waiting(unit: Unit, ids: Sequence[int], source: str | None, product: str | None) -> list[Any]:
    """Return what waits, in order: these ids, of this source, of this product; all where nothing is said."""
    rows = unit.rows("SELECT q.* FROM quarantine q WHERE q.state = 'waiting' ORDER BY q.id")
    return [
        row
        for row in rows
        if (not ids or row.id in ids) and source in (None, row.source) and product in (None, row.remote_product_id)
    ]


def end(unit: Unit, quarantine_id: int, state: str, registration_id: int | None, note: str | None, now: int) -> None:
    """End a line's wait: ``released`` into a registration, or ``superseded``."""
    unit.run(
        "UPDATE quarantine SET state = :state, registration_id = :registration_id, note = :note, updated_at = :now WHERE id = :id",
        id=quarantine_id,
        state=state,
        registration_id=registration_id,
        note=note,
        now=now,
    )


def end_of_event(unit: Unit, event_id: int, note: str, now: int) -> None:
    """End the wait of an event's lines because it is replayed; what still has to wait will wait anew."""
    unit.run(
        "UPDATE quarantine SET state = 'superseded', note = :note, updated_at = :now"
        " WHERE event_id = :event_id AND state = 'waiting' AND kind <> 'early'",
        event_id=event_id,
        note=note,
        now=now,
    )


def taken_back(unit: Unit, row: Any) -> bool:
    """Say whether this line, or a later repeat of it, waited here until an event took the purchase back.

    ``row`` is a :class:`QuarantineRow` or a row of the table. Under a business key the time of that event decides.
    """
    found = unit.rows(
        "SELECT note FROM quarantine WHERE source = :source AND business_key = :business_key"
        " AND remote_product_id = :product AND line = :line AND kind = 'unmapped' AND state = 'superseded'"
        " AND occurred_at >= :at AND (:business_key <> '' OR learner_key = :learner_key)",
        source=row.source,
        learner_key=row.learner_key,
        business_key=row.business_key,
        product=row.remote_product_id,
        line=row.line,
        at=row.occurred_at,
    )
    return any(str(one.note).endswith(TAKEN_BACK) for one in found)


def supersede(
    unit: Unit,
    source: str,
    business_key: str,
    learner_key: str,
    products: Collection[str],
    at: int,
    note: str,
    now: int,
) -> int:
    """End the wait of lines that a later event made pointless, and return how many; all products where none is named.

    Those of the purchase with this business key; where it is empty, the learner's lines that have none either. ``at`` is
    the time of the event (milliseconds): under a business key it ends only what is not newer.
    """
    rows = unit.rows(
        "SELECT id, remote_product_id FROM quarantine WHERE source = :source AND business_key = :business_key"
        " AND kind = 'unmapped' AND state = 'waiting'"
        " AND (CASE WHEN :business_key = '' THEN learner_key = :learner_key ELSE occurred_at <= :at END)",
        source=source,
        business_key=business_key,
        learner_key=learner_key,
        at=at,
    )
    ended = [row for row in rows if not products or row.remote_product_id in products]
    for row in ended:
        end(unit, row.id, "superseded", None, note, now)
    if business_key:  # a purchase of this order that is older, and told of later, is taken back as well
        unit.each(
            "UPDATE quarantine SET occurred_at = :at FROM {rows} WHERE quarantine.id = r.id",
            {"id": "int"},
            [{"id": row.id} for row in ended],
            at=at,
        )
    return len(ended)

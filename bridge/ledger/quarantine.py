"""Where an order line waits whose product is unmapped, an event that no adapter understands, a command before its purchase."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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


_WAITS = "q.kind = 'unmapped' AND q.state = 'waiting'"
_OF_PURCHASES = f"""
SELECT q.* FROM {{rows}} JOIN quarantine q ON q.source = r.source AND q.business_key = r.key WHERE {_WAITS} ORDER BY q.id
"""
_TAKE_BACK = """
UPDATE quarantine SET state = 'superseded', registration_id = r.registration_id, note = :note, updated_at = :now,
 occurred_at = (CASE WHEN quarantine.business_key = '' THEN quarantine.occurred_at ELSE :at END)
FROM {rows} WHERE quarantine.id = r.id
"""
_END_BESIDE = """
UPDATE quarantine SET state = 'superseded', note = :note, updated_at = :now FROM {rows}
WHERE quarantine.source = r.source AND quarantine.business_key = r.key AND quarantine.line = r.line AND quarantine.kind = 'early'
 AND quarantine.state = 'waiting' RETURNING quarantine.id, quarantine.event_id, quarantine.source, quarantine.business_key,
 quarantine.line, quarantine.command
"""
_WAIT_AGAIN = f"""
UPDATE quarantine SET state = 'waiting', registration_id = NULL, note = NULL, updated_at = :now FROM {{rows}}
WHERE quarantine.registration_id = r.id AND quarantine.kind = 'unmapped' AND quarantine.state = 'superseded'
 AND quarantine.note LIKE '%{TAKEN_BACK}' AND NOT EXISTS (SELECT 1 FROM quarantine q WHERE q.source = quarantine.source
  AND q.business_key = quarantine.business_key AND q.line = quarantine.line AND (q.state = 'waiting' OR q.id > quarantine.id)
  AND q.kind = 'unmapped')
"""
_NOT_TAKEN_BACK = f"""
UPDATE quarantine SET note = :note, updated_at = :now FROM {{rows}} WHERE quarantine.registration_id = r.id
 AND quarantine.kind = 'unmapped' AND quarantine.state = 'superseded' AND quarantine.note LIKE '%{TAKEN_BACK}'
"""


def of_purchases(unit: Unit, sources: Iterable[str], keys: Collection[str]) -> list[Any]:
    """Return the unmapped lines that wait of the purchases with these business keys, at these sources."""
    rows = [{"source": source, "key": key} for source in sorted(sources) for key in sorted(keys)]
    return list(unit.each(_OF_PURCHASES, {"source": "text", "key": "text"}, rows))


def of_learner(unit: Unit, source: str, learner_key: str) -> list[Any]:
    """Return the unmapped lines that wait for a learner at a source without a business key."""
    statement = f"SELECT q.* FROM quarantine q WHERE q.source = :source AND q.business_key = '' AND q.learner_key = :learner_key AND {_WAITS} ORDER BY q.id"
    return list(unit.rows(statement, source=source, learner_key=learner_key))


def take_back(unit: Unit, ended: Mapping[int, int | None], at: int, note: str, now: int) -> None:
    """End the wait of lines whose purchase was taken back: by their ids, the registrations that keep it, where there are any.

    A purchase of such an order that is older than ``at`` (milliseconds), and told of later, is taken back as well.
    """
    columns = {"id": "int", "registration_id": "int"}
    rows = [{"id": i, "registration_id": registration} for i, registration in sorted(ended.items())]
    unit.each(_TAKE_BACK, columns, rows, at=at, note=note, now=now)


def end_beside(unit: Unit, ended: Iterable[Any], note: str, now: int) -> list[Any]:
    """End what waits beside lines that are gone, to be applied to them; return it."""
    rows = [{"source": row.source, "key": row.business_key, "line": row.line} for row in ended if row.business_key]
    columns = dict.fromkeys(("source", "key", "line"), "text")
    return list(unit.each(_END_BESIDE, columns, rows, note=note, now=now))


def wait_again(unit: Unit, registration_ids: Iterable[int], now: int) -> None:
    """Let the lines wait again that were taken back while they waited, and of which these registrations keep that.

    Where the purchase was told of again meanwhile, the line that waits since then is the one.
    """
    rows = [{"id": i} for i in registration_ids]
    unit.each(_WAIT_AGAIN, {"id": "int"}, rows, now=now)
    unit.each(_NOT_TAKEN_BACK, {"id": "int"}, rows, note="waits again, as it was told of later", now=now)
    unit.wake([WAKE])

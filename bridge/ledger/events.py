"""Events as they came, and what each did to which registration."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.ledger.insertion import Insertion
from bridge.ledger.unit import Unit


@dataclass(slots=True)
class EventRow:
    """One event to be kept; credential fields are blank already. Times in milliseconds."""

    source: str
    adapter: str
    event_key: str | None
    received_at: int
    method: str
    path: str
    query: str
    headers: str
    body: str
    encoding: str
    state: str
    note: str | None = None


def placeholder(source: str, adapter: str, now: int) -> EventRow:
    """Return a row that stands in where the event is in the ledger already and is not written again."""
    return EventRow(source, adapter, None, now, "", "", "{}", "{}", "", "utf-8", "accepted")


OPERATOR: Final = "operator"
"""What stands for the adapter where an event is an operator's decision about one purchase."""

_COLUMNS = {
    "source": "text",
    "adapter": "text",
    "event_key": "text",
    "received_at": "int",
    "method": "text",
    "path": "text",
    "query": "text",
    "headers": "text",
    "body": "text",
    "encoding": "text",
    "state": "text",
    "note": "text",
}
_INSERT = Insertion("event", _COLUMNS)
_ORIGINAL = "SELECT id FROM event WHERE source = :source AND event_key = :event_key"
_EFFECTS = Insertion(
    "effect",
    {"event_id": "int", "registration_id": "int", "effect": "text"},
    conflict="ON CONFLICT (event_id, registration_id) DO UPDATE SET effect = excluded.effect",
)
_IDLE = "('noted', 'older', 'progressed', 'scheduled', 'lifted', 'rerouted')"
"""Effects that change nothing of what is wanted of a registration, or not yet."""


def body_text(body: bytes) -> tuple[str, str]:
    """Return a body as text and how it became text: ``utf-8``, or ``base64`` for bytes no text column can hold."""
    if b"\0" not in body:
        try:
            return body.decode(), "utf-8"
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), "base64"


def body_bytes(text: str, encoding: str) -> bytes:
    """Return the body that :func:`body_text` kept."""
    return base64.b64decode(text) if encoding == "base64" else text.encode()


def insert(unit: Unit, rows: Sequence[EventRow]) -> list[int | None]:
    """Keep events; one id per row, or None for a row whose (source, event key) is there already, or twice in ``rows``.

    The unique index decides, inside the insert.
    """
    if all(row.event_key is None for row in rows):
        return unit.insert(_INSERT, rows)
    # In the order of their keys, so that two writers with the same keys wait for each other and don't deadlock.
    order = sorted(range(len(rows)), key=lambda n: (rows[n].source, rows[n].event_key or "", n))
    ids: list[int | None] = [None] * len(rows)
    for n, event_id in zip(order, unit.insert(_INSERT, [rows[n] for n in order]), strict=True):
        ids[n] = event_id
    return ids


def original(unit: Unit, source: str, event_key: str) -> int:
    """Return the id of the event that came first with this key."""
    return int(unit.rows(_ORIGINAL, source=source, event_key=event_key)[0].id)


def source_of(unit: Unit, event_id: int) -> str:
    """Return whose event it is."""
    return str(unit.rows("SELECT source FROM event WHERE id = :id", id=event_id)[0].source)


def record_effects(unit: Unit, effects: Sequence[tuple[int, int, str]]) -> None:
    """Note what events did: (event id, registration id, effect). The last effect of a pair counts."""
    latest = {(event_id, registration_id): effect for event_id, registration_id, effect in effects}
    rows = [{"event_id": e, "registration_id": r, "effect": effect} for (e, r), effect in sorted(latest.items())]
    unit.put(_EFFECTS, rows)


def taken_back(unit: Unit, registration_id: int) -> str:
    """Return by what a registration was taken back last: ``cancelled``, ``refunded``, ``ended`` with its subscription, or nothing."""
    rows = unit.rows(
        "SELECT effect FROM effect WHERE registration_id = :id AND effect IN ('cancelled', 'refunded', 'ended')"
        " ORDER BY event_id DESC LIMIT 1",
        id=registration_id,
    )
    return str(rows[0].effect) if rows else ""


def shaped_since(unit: Unit, registration_id: int, event_id: int) -> bool:
    """Say whether an event that was kept after this one had a part in what a registration is."""
    rows = unit.rows(
        f"SELECT 1 FROM effect WHERE registration_id = :id AND event_id > :event_id AND effect NOT IN {_IDLE} LIMIT 1",
        id=registration_id,
        event_id=event_id,
    )
    return bool(rows)


def registrations_of(unit: Unit, event_id: int) -> Sequence[Any]:
    """Return the registrations an event concerned: id, remote_product_id, state, in order."""
    return unit.rows(
        "SELECT r.id, r.remote_product_id, r.state FROM effect e JOIN registration r ON r.id = e.registration_id"
        " WHERE e.event_id = :event_id ORDER BY r.id",
        event_id=event_id,
    )

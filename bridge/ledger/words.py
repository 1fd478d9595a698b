"""Words: what was said of a registration that is more than bought, each with its time. A purchase that stays one has none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bridge.ledger.insertion import Insertion
from bridge.ledger.unit import Unit


class Kind(StrEnum):
    """What a word says.

    ``goes_on`` and ``ended`` are said of a subscription, all others of the purchase; ``restored`` takes back whatever it was.
    """

    PAID = "paid"
    HELD = "held"
    FREED = "freed"
    GOES_ON = "goes_on"
    CANCELLED = "cancelled"
    ENDED = "ended"
    REFUNDED = "refunded"
    FAILED = "failed"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class Word:
    """One word. Times in milliseconds.

    Attributes:
        at: when it was said at the sender.
        source: whose word it is; ids of refunds mean something within one source only.
        ref: the sender's id of the refund that was made, or has failed.
        made_at: when that refund was made, where that is known.
    """

    event_id: int
    kind: Kind
    at: int
    source: str
    ref: str | None = None
    made_at: int | None = None


_COLUMNS = {
    "registration_id": "int",
    "event_id": "int",
    "kind": "text",
    "at": "int",
    "ref": "text",
    "made_at": "int",
}
_KEEP = Insertion(
    "word",
    _COLUMNS,
    conflict=(
        "ON CONFLICT (registration_id, event_id, kind) DO UPDATE SET at = excluded.at, ref = excluded.ref,"
        " made_at = excluded.made_at"
    ),
)
_OF = """
SELECT w.registration_id, w.event_id, w.kind, w.at, w.ref, w.made_at, e.source FROM {rows}
JOIN word w ON w.registration_id = r.id JOIN event e ON e.id = w.event_id ORDER BY w.registration_id, w.at, w.event_id
"""


def of(unit: Unit, registration_ids: Iterable[int]) -> dict[int, list[Word]]:
    """Return what was said of registrations, by their ids; those of which nothing was are left out."""
    found: dict[int, list[Word]] = {}
    for row in unit.each(_OF, {"id": "int"}, [{"id": i} for i in sorted(set(registration_ids))]):
        word = Word(row.event_id, Kind(row.kind), row.at, row.source, row.ref, row.made_at)
        found.setdefault(row.registration_id, []).append(word)
    return found


def told_of(unit: Unit, registration_ids: Iterable[int]) -> Sequence[Any]:
    """Return these registrations, which the transaction holds already, as they are."""
    statement = "SELECT g.* FROM {rows} JOIN registration g ON g.id = r.id ORDER BY g.id"
    return unit.each(statement, {"id": "int"}, [{"id": i} for i in sorted(set(registration_ids))])


def keep(unit: Unit, said: Mapping[int, Sequence[Word]]) -> None:
    """Keep words, by registration; what an event said before of one, it says anew."""
    rows = [
        {
            "registration_id": i,
            "event_id": word.event_id,
            "kind": word.kind.value,
            "at": word.at,
            "ref": word.ref,
            "made_at": word.made_at,
        }
        for i, spoken in sorted(said.items())
        for word in sorted(spoken, key=lambda one: (one.event_id, one.kind))
    ]
    unit.put(_KEEP, list({(row["registration_id"], row["event_id"], row["kind"]): row for row in rows}.values()))


def forget(unit: Unit, registration_ids: Iterable[int]) -> None:
    """Remove what was said of registrations: it does not tell any more what they are."""
    rows = [{"id": i} for i in sorted(set(registration_ids))]
    unit.each("DELETE FROM word WHERE registration_id IN (SELECT r.id FROM {rows})", {"id": "int"}, rows)

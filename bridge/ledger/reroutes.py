"""To which courses an operator let purchases lead: kept with the event that says so, the newest of a registration counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import orjson

from bridge.ledger.unit import Unit

REROUTED: Final = "rerouted"
"""The effect of an operator's event on the registration that leads elsewhere since."""

_NEWEST = """
SELECT f.registration_id, e.body FROM {rows} JOIN effect f ON f.registration_id = r.id AND f.effect = 'rerouted'
JOIN event e ON e.id = f.event_id ORDER BY f.event_id
"""
_STANDING = """
SELECT t.course FROM "grant" t WHERE t.registration_id = :id AND t.superseded = 0 ORDER BY t.id
"""


def courses(unit: Unit, registration_ids: Iterable[int]) -> dict[int, tuple[str, ...]]:
    """Return the courses of those registrations that an operator let lead elsewhere than their product does."""
    rows = [{"id": i} for i in sorted(set(registration_ids))]
    newest = {row.registration_id: row.body for row in unit.each(_NEWEST, {"id": "int"}, rows)}
    found = {i: tuple(orjson.loads(body)["courses"]) for i, body in newest.items()}
    return {i: keys for i, keys in found.items() if keys}


def standing(unit: Unit, registration_id: int) -> tuple[str, ...]:
    """Return the courses that a registration leads to, whether or not it is suspended."""
    return tuple(dict.fromkeys(row.course for row in unit.rows(_STANDING, id=registration_id)))


def follow(unit: Unit, registration_id: int, targets: Sequence[str], mapping_version: int, now: int) -> None:
    """Note which CRM targets follow a registration that leads elsewhere now, and by which mapping it does."""
    unit.run(
        "UPDATE registration SET targets = :targets, mapping_version_id = :mapping, updated_at = :now WHERE id = :id",
        id=registration_id,
        targets=orjson.dumps(list(targets)).decode(),
        mapping=mapping_version,
        now=now,
    )

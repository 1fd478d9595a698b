"""Where an operator let a purchase lead, what is told of it later leads as well, whatever its product is mapped to."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.intake.plan import LinePlan, along
from bridge.intake.result import Entry
from bridge.ledger import reroutes
from bridge.ledger.unit import Unit


def plans(unit: Unit, lines: Sequence[tuple[int, Entry, LinePlan]]) -> dict[int, LinePlan]:
    """Return the plans, by registration, of those lines that an operator decided about; a course that is gone does not count."""
    decided = reroutes.courses(unit, [registration_id for registration_id, _, _ in lines])
    found = {}
    for registration_id, entry, line in lines:
        catalogue = entry.member.catalogue
        if keys := [key for key in decided.get(registration_id, ()) if key in catalogue.courses]:
            found[registration_id] = along(entry.plan.command, line, entry.member.source, catalogue, keys)
    return found

"""Which dead letters ask for a course that their product does not lead to any more.

A right stays at the course that its purchase was planned for. Where the mapping was corrected since, trying it again would
only ask for the wrong course again: the purchase is planned anew instead, by replaying its event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.contract.catalogue import Catalogue
from bridge.intake.plan import leads_to
from bridge.ledger import repairs, reroutes
from bridge.ledger.unit import Unit


def elsewhere(unit: Unit, letters: Sequence[Any], catalogue: Catalogue) -> dict[int, int]:
    """Return the dead letters whose product leads elsewhere today: delivery id -> event of the purchase."""
    found: dict[int, int] = {}
    planned = repairs.planned(unit, letters)
    decided = reroutes.courses(unit, [row.registration_id for row in planned])
    for row in planned:
        if row.registration_id in decided:  # an operator let it lead there, whatever is mapped
            continue
        today = leads_to(row.source, row.remote_product_id, row.target, catalogue)
        if today is not None and row.course_key not in today:
            found[row.id] = row.event_id
    return found

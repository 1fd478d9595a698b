"""What an operator does to seats: takes links or claimed access back, and gives a new link for one that leaked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bridge.contract.catalogue import Catalogue
from bridge.intake import operated, periods
from bridge.ledger import registrations
from bridge.ledger import seats as kept
from bridge.ledger.seats import SeatRow
from bridge.ledger.states import Intent
from bridge.ledger.unit import Unit


@dataclass(frozen=True, slots=True)
class Revision:
    """What became of one seat.

    Attributes:
        became: ``revoked``, ``renewed``, or ``unchanged`` with the reason in ``note``.
        renewed_as: number of the seat that stands for it now; ``code`` is what its link ends with, None on a dry run.
    """

    number: int
    before: str
    became: str
    note: str = ""
    claimed_registration_id: int | None = None
    renewed_as: int | None = None
    code: str | None = None


def revise(
    unit: Unit,
    registration_id: int,
    numbers: Sequence[int],
    catalogue: Catalogue,
    now: int,
    *,
    renew: bool,
    dry_run: bool,
) -> list[Revision]:
    """Take seats of an order line back, each with a new link in its place where ``renew``; all open ones without numbers.

    Whoever claimed one of them loses the access that it gave. With ``dry_run`` everything is done, told, and taken back.
    """
    if not dry_run:
        return _revised(unit, registration_id, numbers, catalogue, now, renew=renew, show=True)
    with unit.taken_back():
        return _revised(unit, registration_id, numbers, catalogue, now, renew=renew, show=False)


def _revised(
    unit: Unit, registration_id: int, numbers: Sequence[int], catalogue: Catalogue, now: int, *, renew: bool, show: bool
) -> list[Revision]:
    there = kept.of_lines(unit, [registration_id])
    line = kept.order_line(unit, registration_id)
    wanted = [
        seat for seat in there if (seat.number in numbers if numbers else seat.state == "open" or seat.why == "held")
    ]
    next_number = max((seat.number for seat in there), default=0) + 1
    done = []
    for seat in wanted:
        if (note := _refused(seat, line, catalogue, renew=renew)) is not None:
            done.append(Revision(seat.number, seat.state, "unchanged", note, seat.claimed_registration_id))
            continue
        if seat.state == "claimed":
            _take_back(unit, seat, line, catalogue, now)
            # A former period may last beyond the begin of this one, or have no end at all.
            for other in kept.in_other_periods(unit, registration_id, seat.claimed_registration_id):
                _take_back(unit, other, line, catalogue, now)
                kept.set_state(unit, [other.id], "revoked", "operator", now)
        kept.set_state(unit, [seat.id], "revoked", "replaced" if renew else "operator", now)
        code = periods.new_code() if renew else None
        if code is not None:
            kept.make(unit, [SeatRow(registration_id, next_number, code, seat.recipient, told_at=now)], now)
        done.append(
            Revision(
                seat.number,
                seat.state,
                "renewed" if renew else "revoked",
                "",
                seat.claimed_registration_id,
                next_number if renew else None,
                code if show else None,
            )
        )
        next_number += renew
    if any(one.became != "unchanged" for one in done):
        kept.decided(unit, registration_id, "an operator revised the seats", now)
    return done


def _refused(seat: Any, line: Any, catalogue: Catalogue, *, renew: bool) -> str | None:
    if seat.state == "claimed" and line.source not in catalogue.sources:
        return "its source is not configured any more"
    if renew and seat.why == "held":
        return "its order is suspended"
    if renew and Intent(line.intent) in (Intent.CANCELLED, Intent.SUSPENDED):
        return f"its order is {line.intent}"
    if seat.state != "revoked" or seat.why == "held":
        return None
    if not renew:
        return "it is revoked already"
    return None if seat.why == "operator" else f"it was revoked before ({seat.why})"


def _take_back(unit: Unit, seat: Any, line: Any, catalogue: Catalogue, now: int) -> None:
    """End the access that a claimed seat gave, by an event of its own, so that its story tells of it."""
    (claimed,) = registrations.by_ids(unit, [seat.claimed_registration_id])
    operated.take_back(
        unit, claimed, catalogue, f"an operator took back seat {seat.number} of registration {line.id}", now
    )

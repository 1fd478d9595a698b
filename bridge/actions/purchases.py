"""Single purchases: access is taken away, goes to another course, or its seats are revised."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from bridge.actions.asked import CancelRegistrations, MoveRegistration, ReviseSeats
from bridge.actions.ground import ActionRefused, Ground, record_of
from bridge.intake import operated, reroute, seat_revision
from bridge.ledger import repairs
from bridge.ledger import seats as kept_seats
from bridge.ledger.unit import Unit


async def cancel(ground: Ground, wanted: CancelRegistrations, operator: str) -> list[dict[str, Any]]:
    """Take the access of registrations away, as if their sources had cancelled them; return what became of each. Idempotent."""
    now, catalogue = ground.now, ground.catalogue()

    def work(unit: Unit) -> list[dict[str, Any]]:
        done = operated.cancel(unit, wanted.ids, catalogue, now, dry_run=wanted.dry_run)
        changed = [one.registration_id for one in done if one.became == "cancelled"]
        if not wanted.dry_run and changed:
            record_of(unit, operator, "cancel", changed, now, wanted.why)
        return [asdict(one) for one in done]

    return await ground.ledger.write(work)


async def move(ground: Ground, wanted: MoveRegistration, operator: str) -> dict[str, Any]:
    """Let a registration lead to other courses than its product does; return what is given and taken. Idempotent."""
    now, catalogue = ground.now, ground.catalogue()

    def work(unit: Unit) -> reroute.Move | reroute.Refused:
        done = reroute.move(unit, wanted.registration_id, wanted.to, catalogue, now, dry_run=wanted.dry_run)
        if isinstance(done, reroute.Move) and done.became == "moved" and not wanted.dry_run:
            note = f"from {', '.join(done.former)} to {', '.join(done.courses)}"
            note = f"{note}: {wanted.why}" if wanted.why else note
            repairs.record(unit, operator, "move", str(wanted.registration_id), note[:500], now)
        return done

    done = await ground.ledger.write(work)
    if isinstance(done, reroute.Refused):
        raise ActionRefused(done.why, done.field, missing=done.missing)
    return asdict(done)


async def seats(ground: Ground, wanted: ReviseSeats, operator: str) -> list[dict[str, Any]]:
    """Take seats of an order line back, or give them new links; return what became of each."""
    if bool(wanted.numbers) is wanted.every_open:
        raise ActionRefused("say which: seat numbers, or all that are open")
    now, catalogue = ground.now, ground.catalogue()
    line = wanted.registration_id

    def work(unit: Unit) -> list[dict[str, Any]] | None:
        if not kept_seats.of_lines(unit, [line]):
            return None
        done = seat_revision.revise(
            unit, line, wanted.numbers, catalogue, now, renew=wanted.renew, dry_run=wanted.dry_run
        )
        changed = [one for one in done if one.became != "unchanged"]
        if not wanted.dry_run and changed:
            note = f"{changed[0].became} {', '.join(str(one.number) for one in changed)}"
            repairs.record(unit, operator, "seats", str(line), note[:500], now)
        return [asdict(one) for one in done]

    if (found := await ground.ledger.write(work)) is None:
        raise ActionRefused(f"registration {line} has no seats", "registration_id", missing=True)
    return found

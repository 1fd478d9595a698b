"""Dead letters, lookups that were given up, and deliveries that wait for their next try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bridge.actions.asked import Dismiss, Requeue, RetryNow
from bridge.actions.events import prepared
from bridge.actions.ground import ActionRefused, Ground, record_of
from bridge.intake.replan import elsewhere
from bridge.intake.replay import Replayable, replay
from bridge.ledger import lookups, repairs, replays
from bridge.ledger.unit import Unit

LEFT: Final = "left alone"
"""How what became of a dead letter begins that a bulk requeue does not touch."""


async def requeue(ground: Ground, wanted: Requeue, operator: str) -> list[dict[str, Any]]:
    """Open dead letters again; return them.

    Where the product leads to another course today, its purchase is planned anew instead. Of several, those are left whose
    being tried again would say that somebody has done by hand what they ask for.
    """
    if wanted.lookups:
        return await _requeue_lookups(ground, wanted, operator)
    if not (wanted.ids or wanted.target or wanted.every):
        raise ActionRefused("say which: ids of deliveries, a target, or every one")
    now, catalogue = ground.now, ground.catalogue()

    def look(unit: Unit) -> tuple[dict[int, int], Sequence[Any]]:
        moved = elsewhere(unit, _parted(unit, wanted)[0], catalogue)
        chosen = sorted(set(moved.values()))
        return moved, replays.events(unit, chosen, None, None, len(chosen)) if moved else ()

    moved, events = await ground.ledger.write(look)
    ready = {row.id: prepared(ground, row, catalogue, now) for row in events}

    def work(unit: Unit) -> list[dict[str, Any]]:
        found, left = _parted(unit, wanted)
        became = _planned_anew(unit, found, moved, ready, dry_run=wanted.dry_run)
        again = [row for row in found if became.get(row.id, "").startswith("requeued") or row.id not in became]
        if not wanted.dry_run and found:
            opened = repairs.requeue(unit, again, now)
            quicker = {row.id for row in again} - opened  # another operator was
            found = [row for row in found if row.id not in quicker]
            record_of(unit, operator, "requeue", (row.id for row in found), now)
        became |= {row.id: f"{LEFT}: do by hand what it asks for, then requeue {row.id} by itself" for row in left}
        rows = sorted([*found, *left], key=lambda row: row.id)
        return [{**_delivery(row), "became": became.get(row.id, "requeued")} for row in rows]

    return await ground.ledger.write(work)


async def dismiss(ground: Ground, wanted: Dismiss, operator: str) -> list[dict[str, Any]]:
    """End dead letters for good, as settled at the target by hand; return them."""
    now = ground.now

    def work(unit: Unit) -> list[dict[str, Any]]:
        found = repairs.dead_letters(unit, wanted.ids, None)
        if not wanted.dry_run and found:
            ended = repairs.dismiss(unit, found, wanted.why, now)
            found = [row for row in found if row.id in ended]  # another operator was quicker with the others
            record_of(unit, operator, "dismiss", (row.id for row in found), now, wanted.why)
        return [_delivery(row) for row in found]

    return await ground.ledger.write(work)


async def retry(ground: Ground, wanted: RetryNow, operator: str) -> list[dict[str, Any]]:
    """Let deliveries be due now; return those that were to wait."""
    now = ground.now

    def work(unit: Unit) -> list[dict[str, Any]]:
        found = repairs.waiting_for_a_try(unit, wanted.ids, now)
        if not wanted.dry_run and found:
            repairs.hasten(unit, found, now)
            record_of(unit, operator, "retry", (row.id for row in found), now)
        return [_delivery(row) for row in found]

    return await ground.ledger.write(work)


async def _requeue_lookups(ground: Ground, wanted: Requeue, operator: str) -> list[dict[str, Any]]:
    if not (wanted.ids or wanted.source or wanted.every):
        raise ActionRefused("say which: ids of lookups, a source, or every one")
    now = ground.now

    def work(unit: Unit) -> list[dict[str, Any]]:
        found = lookups.requeue(unit, wanted.ids, wanted.source, now, dry_run=wanted.dry_run)
        if not wanted.dry_run and found:
            record_of(unit, operator, "requeue", (f"lookup {row.id}" for row in found), now)
        return [
            {"lookup_id": row.id, "source": row.source, "event_id": row.event_id, "kind": row.kind, "why": row.why}
            for row in found
        ]

    return await ground.ledger.write(work)


def _delivery(row: Any) -> dict[str, Any]:
    return {
        "delivery_id": row.id,
        "target": row.target,
        "registration_id": row.registration_id,
        "why": row.why or "",
        "remedy": row.remedy or "",
    }


def _parted(unit: Unit, wanted: Requeue) -> tuple[list[Any], list[Any]]:
    """Return the dead letters that are meant: those to be tried again, and those to be left because many are meant."""
    found = repairs.dead_letters(unit, wanted.ids, wanted.target)
    if len(set(wanted.ids)) == 1:
        return found, []
    left = {row.id: row for row in found if repairs.asks_for_a_hand(row)}
    return [row for row in found if row.id not in left], list(left.values())


def _planned_anew(
    unit: Unit, found: Sequence[Any], moved: Mapping[int, int], ready: Mapping[int, Replayable], *, dry_run: bool
) -> dict[int, str]:
    """Plan the purchases of these dead letters anew that lead elsewhere today; say what became of each."""
    wanted = {row.id: moved[row.id] for row in found if moved.get(row.id) in ready}
    done = {event_id: replay(unit, ready[event_id], dry_run=dry_run) for event_id in sorted(set(wanted.values()))}
    became = {}
    for delivery_id, event_id in wanted.items():
        one = done[event_id]
        if one.became == "replayed" and one.lookups:
            became[delivery_id] = f"planned anew once the sender has told of event {event_id} again"
        elif one.became == "replayed":
            became[delivery_id] = f"planned anew from event {event_id}"
        else:
            became[delivery_id] = f"requeued for the former course: event {event_id} {one.note or 'gives no other'}"
    return became

"""What senders said, taken in once more: lines out of quarantine, and events that are understood anew."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from bridge.actions.asked import ReleaseLines, ReplayEvents
from bridge.actions.ground import ActionRefused, Ground, record_of
from bridge.contract.catalogue import Catalogue
from bridge.intake.release import release as release_line
from bridge.intake.replay import Replayable, prepare
from bridge.intake.replay import replay as replay_event
from bridge.ledger import quarantine, replays
from bridge.ledger.unit import Unit

MOST_EVENTS: Final = 500
"""How many events are replayed in one transaction."""


async def release(ground: Ground, wanted: ReleaseLines, operator: str) -> list[dict[str, Any]]:
    """Accept quarantined lines under today's mapping; return what became of each."""
    if not (wanted.ids or wanted.source or wanted.product or wanted.every):
        raise ActionRefused("say which: ids of quarantined lines, a source, a product, or every one")
    now, catalogue = ground.now, ground.catalogue()

    def work(unit: Unit) -> list[dict[str, Any]]:
        done = [
            release_line(unit, row, catalogue.sources.get(row.source), catalogue, now, dry_run=wanted.dry_run)
            for row in quarantine.waiting(unit, wanted.ids, wanted.source, wanted.product)
            if row.kind != "seats" or row.id in wanted.ids  # a decision about people is made one by one
        ]
        if not wanted.dry_run and done:
            record_of(unit, operator, "release", (item.quarantine_id for item in done), now)
        return [asdict(item) for item in done]

    return await ground.ledger.write(work)


async def replay(ground: Ground, wanted: ReplayEvents, operator: str) -> list[dict[str, Any]]:
    """Understand events anew by today's adapters and mapping; return what became of each, oldest first.

    However many they are, a transaction holds only some of them; what one has written stays if a later one fails.
    """
    if not (wanted.ids or (wanted.source and wanted.state)):
        raise ActionRefused("say which: ids of events, or a source with a state")
    done: list[dict[str, Any]] = []
    after, left = wanted.after, wanted.most
    while left is None or left > 0:
        most = MOST_EVENTS if left is None else min(left, MOST_EVENTS)
        some = await _replay(ground, wanted, after, most, operator)
        done += some
        if len(some) < most:
            break
        after, left = some[-1]["event_id"], None if left is None else left - len(some)
    return done


async def _replay(ground: Ground, wanted: ReplayEvents, after: int, most: int, operator: str) -> list[dict[str, Any]]:
    now, catalogue = ground.now, ground.catalogue()
    rows = await ground.ledger.write(
        lambda unit: replays.events(unit, wanted.ids, wanted.source, wanted.state, most, after)
    )
    ready = [prepared(ground, row, catalogue, now) for row in rows]

    def work(unit: Unit) -> list[dict[str, Any]]:
        done = [replay_event(unit, one, dry_run=wanted.dry_run) for one in ready]
        if not wanted.dry_run and done:
            record_of(unit, operator, "replay", (item.event_id for item in done), now)
        return [asdict(item) for item in done]

    return await ground.ledger.write(work)


def prepared(ground: Ground, row: Any, catalogue: Catalogue, now: int) -> Replayable:
    """Understand an event of the ledger by the adapter of today; nothing is written."""
    return prepare(row, catalogue.sources.get(row.source), ground.adapter(row.source), catalogue, now)

"""Who is one person with whom."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any, Final

from bridge.actions.asked import MergeLearners
from bridge.actions.ground import ActionRefused, Ground, record_of
from bridge.intake import merge as merges
from bridge.intake.merge import Merge, Refused
from bridge.ledger.unit import Unit

_LOOKS: Final = 120
_BETWEEN_LOOKS: Final = 0.25  # seconds; together as long as a lease lasts


async def merge(ground: Ground, wanted: MergeLearners, operator: str) -> dict[str, Any]:
    """Let two learners be one person, or undo it; return what changes hands. Idempotent.

    While a CRM is just being told of the one, it is waited for, up to half a minute.
    """
    if wanted.undo is (wanted.into is not None):
        raise ActionRefused("say whom to merge into whom: two ids of learners; or, to undo it, the one that was merged")
    done = await _merge(ground, wanted, operator)
    for _ in range(_LOOKS):
        if not (isinstance(done, Refused) and done.passing):
            break
        await asyncio.sleep(_BETWEEN_LOOKS)
        done = await _merge(ground, wanted, operator)
    if isinstance(done, Refused):
        field = "into" if done.missing is not None and done.missing != wanted.learner else "learner"
        raise ActionRefused(done.why, field, missing=done.missing is not None)
    return asdict(done)


async def _merge(ground: Ground, wanted: MergeLearners, operator: str) -> Merge | Refused:
    now, catalogue = ground.now, ground.catalogue()

    def change(unit: Unit) -> Merge | Refused:
        if wanted.into is None:
            return merges.undo(unit, wanted.learner, catalogue, operator, now)
        return merges.merge(unit, wanted.learner, wanted.into, catalogue, operator, now)

    def work(unit: Unit) -> Merge | Refused:
        if wanted.dry_run:
            with unit.taken_back():
                return change(unit)
        done = change(unit)
        if isinstance(done, Merge) and done.became != "unchanged":
            _record(unit, done, operator, now)
        return done

    return await ground.ledger.write(work)


def _record(unit: Unit, done: Merge, operator: str, now: int) -> None:
    one, other = done.learner["learner_id"], done.into["learner_id"]
    action, how = ("unmerge", "not ") if done.became == "undone" else ("merge", "")
    note = f"learner {one} is {how}the same person as learner {other}"
    record_of(unit, operator, action, (one, other), now, note)

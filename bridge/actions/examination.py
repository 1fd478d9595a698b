"""A close look at a target while the bridge runs: what ``bridge doctor`` does, for one target, and never two looks at once."""

from __future__ import annotations

from typing import Any

from bridge.actions.asked import Examine
from bridge.actions.ground import ActionRefused, Ground
from bridge.actions.lanes import check_target
from bridge.ledger import repairs


async def doctor(ground: Ground, wanted: Examine, operator: str) -> dict[str, Any]:
    """Ask a target whether it takes our credentials, gives the rights and knows what is mapped; nothing is changed there.

    Also one that is paused or down: that is when somebody wants to know.
    """
    check_target(ground, wanted.target)
    if ground.examine is None:
        raise ActionRefused("no daemon runs on this ledger: bridge doctor asks by the file as it stands")
    if ground.examining.locked():  # who waited would get an answer to a question of a while ago
        raise ActionRefused("a target is being asked already; try again in a moment")
    async with ground.examining:
        found = await ground.examine(wanted.target)
    now = ground.now
    await ground.ledger.write(lambda unit: repairs.record(unit, operator, "doctor", wanted.target, _note(found), now))
    return found


def _note(found: dict[str, Any]) -> str:
    """Say what came of it, without the target's own words."""
    wrong = sum(1 for one in found["findings"] if not one["ok"])
    if found["ok"]:
        return "all is well"
    return f"{wrong} of {len(found['findings'])} things are wrong" if wrong else "it can't be used"

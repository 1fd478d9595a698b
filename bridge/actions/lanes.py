"""The lanes of targets, and the configuration that everything runs by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bridge.actions.asked import LaneSwitch, Reload
from bridge.actions.ground import ActionRefused, Ground
from bridge.contract.mail import MAILER
from bridge.ledger import lanes, repairs
from bridge.ledger.unit import Unit


async def pause(ground: Ground, wanted: LaneSwitch, operator: str) -> dict[str, Any]:
    """Stop a target's lane until it is resumed; what is queued stays."""
    check_target(ground, wanted.target)
    if wanted.dry_run:
        return {"target": wanted.target}
    now = ground.now

    def work(unit: Unit) -> None:
        lanes.pause(unit, wanted.target, operator, wanted.why, "", now)
        repairs.record(unit, operator, "pause", wanted.target, wanted.why, now)

    await ground.ledger.write(work)
    if (lane := ground.lanes.get(wanted.target)) is not None:
        lane.pause(operator)
    return {"target": wanted.target, "paused": True}


async def resume(ground: Ground, wanted: LaneSwitch, operator: str) -> dict[str, Any]:
    """Let a target's lane go on."""
    check_target(ground, wanted.target)
    if wanted.dry_run:
        return {"target": wanted.target}
    now = ground.now

    def work(unit: Unit) -> bool:
        was_paused = lanes.resume(unit, wanted.target)
        repairs.record(unit, operator, "resume", wanted.target, wanted.why, now)
        return was_paused

    was_paused = await ground.ledger.write(work)
    if (lane := ground.lanes.get(wanted.target)) is not None:
        lane.resume()
    return {"target": wanted.target, "paused": False, "was_paused": was_paused}


async def reload(ground: Ground, _: Reload, operator: str) -> Any:
    """Let the daemon read its configuration again; return what is different."""
    if ground.reload is None and ground.ledger.shared:
        raise ActionRefused("any number of bridges may run on this ledger: tell each of them by SIGHUP")
    if ground.reload is None:
        raise ActionRefused("no daemon runs on this ledger; the configuration is read when one starts")
    done = await ground.reload()
    now = ground.now
    await ground.ledger.write(lambda unit: repairs.record(unit, operator, "reload", "", "", now))
    return done


def check_target(ground: Ground, name: str) -> None:
    """Refuse a name that is no target's, nor the lane of notices.

    Raises:
        ActionRefused: naming those there are.
    """
    catalogue = ground.catalogue()
    known: Sequence[str] = sorted([*catalogue.targets, *([MAILER] if catalogue.mailer is not None else [])])
    if name not in known:
        raise ActionRefused(f"no such target; there are {', '.join(known) or 'none'}", "target", missing=True)

"""Pauses of lanes, kept so that a restart forgets none."""

from __future__ import annotations

from typing import Any

from bridge.ledger.unit import Unit


def pause(unit: Unit, target: str, by: str, why: str, remedy: str, now: int) -> None:
    """Keep that a lane is paused; an operator's pause is never taken over by the bridge's own."""
    unit.run(
        "INSERT INTO lane (target, paused_at, paused_by, why, remedy) VALUES (:target, :now, :by, :why, :remedy)"
        " ON CONFLICT (target) DO UPDATE SET paused_at = excluded.paused_at, paused_by = excluded.paused_by, why = excluded.why,"
        " remedy = excluded.remedy WHERE excluded.paused_by <> 'bridge' OR lane.paused_by = 'bridge'",
        target=target,
        now=now,
        by=by,
        why=why,
        remedy=remedy,
    )


def resume(unit: Unit, target: str) -> bool:
    """Forget a lane's pause; return whether there was one."""
    return unit.run("DELETE FROM lane WHERE target = :target", target=target) > 0


def forgive(unit: Unit, target: str) -> bool:
    """Forget the bridge's own pause of a lane, and leave an operator's; return whether there was one."""
    return unit.run("DELETE FROM lane WHERE target = :target AND paused_by = 'bridge'", target=target) > 0


def paused(unit: Unit) -> list[Any]:
    """Return every pause: target, paused_at, paused_by, why, remedy."""
    return list(unit.rows("SELECT * FROM lane ORDER BY target"))

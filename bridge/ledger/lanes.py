"""Pauses of lanes, kept so that a restart forgets none; and which bridge asks a target in trouble whether it is well."""

from __future__ import annotations

from typing import Any

from bridge.ledger.alerts import WAKE
from bridge.ledger.unit import Unit


def wake_name(target: str) -> str:
    """Return the name under which a commit tells other bridges of a lane's condition; no target can have it."""
    return f"condition of {target}"


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
    unit.wake([wake_name(target), WAKE])


def resume(unit: Unit, target: str) -> bool:
    """Forget a lane's pause, and that its target is in trouble; return whether it was paused."""
    unit.run("DELETE FROM lane_trouble WHERE target = :target", target=target)
    unit.wake([wake_name(target)])
    return unit.run("DELETE FROM lane WHERE target = :target", target=target) > 0


def forgive(unit: Unit, target: str) -> bool:
    """Forget the bridge's own pause of a lane, and leave an operator's; return whether there was one."""
    return unit.run("DELETE FROM lane WHERE target = :target AND paused_by = 'bridge'", target=target) > 0


def paused(unit: Unit) -> list[Any]:
    """Return every pause: target, paused_at, paused_by, why, remedy."""
    return list(unit.rows("SELECT * FROM lane ORDER BY target"))


def in_trouble(unit: Unit) -> list[Any]:
    """Return every target that is in trouble: target, owner, since, and whether the owner's heart beats."""
    return list(
        unit.rows(
            "SELECT t.target, t.owner, t.since,"
            " EXISTS (SELECT 1 FROM heartbeat h WHERE h.owner = t.owner) AS alive FROM lane_trouble t ORDER BY t.target"
        )
    )


def troubled(unit: Unit, target: str, owner: str) -> None:
    """Keep that a target is in trouble, and that ``owner`` asks it; who was first stays. Idempotent."""
    unit.run(
        "INSERT INTO lane_trouble (target, owner, since)"
        f" VALUES (:target, :owner, {unit.dialect.now}) ON CONFLICT (target) DO NOTHING",
        target=target,
        owner=owner,
    )
    unit.wake([wake_name(target)])


def well(unit: Unit, target: str, owner: str) -> None:
    """Keep that a target is well again, as ``owner`` found out who was to ask it. Idempotent."""
    unit.run("DELETE FROM lane_trouble WHERE target = :target AND owner = :owner", target=target, owner=owner)
    unit.wake([wake_name(target)])


def take_over(unit: Unit, target: str, owner: str) -> bool:
    """Ask a target in place of a lane that is gone; return whether that is now ``owner``'s."""
    taken = unit.run(
        "UPDATE lane_trouble SET owner = :owner"
        " WHERE target = :target AND owner NOT IN (SELECT h.owner FROM heartbeat h)",
        target=target,
        owner=owner,
    )
    return taken > 0

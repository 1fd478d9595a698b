"""When timed jobs last ran."""

from __future__ import annotations

from bridge.ledger.unit import Unit


def ran(unit: Unit, job: str, now: int) -> None:
    """Keep that a job ran."""
    unit.run(
        "INSERT INTO schedule_state (job, ran_at) VALUES (:job, :now) ON CONFLICT (job) DO UPDATE SET ran_at = excluded.ran_at",
        job=job,
        now=now,
    )

"""When timed jobs last ran."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, text

from bridge.ledger.unit import Unit

RETENTION: Final = "retention"
PRUNING: Final = "pruning"


def ran(unit: Unit, job: str, now: int) -> None:
    """Keep that a job ran."""
    unit.run(
        "INSERT INTO schedule_state (job, ran_at) VALUES (:job, :now) ON CONFLICT (job) DO UPDATE SET ran_at = excluded.ran_at",
        job=job,
        now=now,
    )


def last_ran(connection: Connection) -> dict[str, int]:
    """Return when the jobs that look after old rows last came to their end; milliseconds. One that never did is not there."""
    asked = text("SELECT job, ran_at FROM schedule_state WHERE job IN :jobs").bindparams(
        bindparam("jobs", expanding=True)
    )
    return {row.job: int(row.ran_at) for row in connection.execute(asked, {"jobs": [RETENTION, PRUNING]})}

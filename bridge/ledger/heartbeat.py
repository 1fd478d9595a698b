"""Which bridges live, by the database's clock. A lease, and a target in trouble, goes on to others when its owner does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.ledger import claims
from bridge.ledger.unit import Unit

LANE = "lane"
"""The role of an owner of leases. A bridge has one for each of its lanes, and one for itself."""

_AHEAD_MS = 5_000
_COLUMNS = {"owner": "text", "role": "text"}
_BEAT = """
UPDATE heartbeat SET beat_at = {now} FROM {rows} WHERE heartbeat.owner = r.owner RETURNING heartbeat.owner
"""
_BEGIN = """
INSERT INTO heartbeat (owner, role, started_at, beat_at)
SELECT r.owner, r.role, {now}, {now} FROM {rows} WHERE true ON CONFLICT (owner) DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Beat:
    """What a beat found.

    Attributes:
        now: the time by the database's clock, in milliseconds.
        unknown: those of the owners who had no heartbeat: they are new, or were taken for dead.
        alive: how many bridges there are, ours among them.
        returned: deliveries whose owner is dead and that are open again.
    """

    now: int
    unknown: frozenset[str]
    alive: int
    returned: int


def beat(unit: Unit, owners: Mapping[str, str], dead: int) -> Beat:
    """Keep that these owners live, each with its role, and take back what those hold who have not been heard of for ``dead`` milliseconds."""
    now = int(unit.rows(f"SELECT {unit.dialect.now} AS now")[0].now)
    rows = [{"owner": owner, "role": role} for owner, role in sorted(owners.items())]
    known = {row.owner for row in unit.each(_of(unit, _BEAT), _COLUMNS, rows)}
    unknown = [row for row in rows if row["owner"] not in known]
    unit.each(_of(unit, _BEGIN), _COLUMNS, unknown)
    returned = _bury(unit, now - dead, now)
    alive = int(unit.rows("SELECT count(*) AS alive FROM heartbeat WHERE role <> :lane", lane=LANE)[0].alive)
    return Beat(now, frozenset(row["owner"] for row in unknown), alive, returned)


def _bury(unit: Unit, before: int, now: int) -> int:
    # Held, so that one who comes back at this moment waits, and then learns that he was taken for dead. Who is just coming
    # back is passed over, with his leases: he would not learn it, and we would wait for each other.
    passing = "FOR UPDATE SKIP LOCKED" if unit.dialect.many_writers else ""
    # The database's clock was set back, or that of the standby which took over is behind: who has died would live until it
    # has caught up.
    ahead = f"SELECT h.owner FROM heartbeat h WHERE h.beat_at > :ahead {passing}"
    unit.run(f"UPDATE heartbeat SET beat_at = :now WHERE owner IN ({ahead})", ahead=now + _AHEAD_MS, now=now)
    dead = f"SELECT h.owner FROM heartbeat h WHERE h.beat_at < :before {passing}"
    if not unit.run(f"UPDATE heartbeat SET beat_at = {claims.DEAD} WHERE owner IN ({dead})", before=before):
        return 0
    returned = claims.return_dead(unit, now)
    unit.run(f"DELETE FROM heartbeat WHERE beat_at = {claims.DEAD}")
    return returned


def leave(unit: Unit, owners: Sequence[str]) -> None:
    """Forget owners who end in good order. What they could not give back is open again when its lease is over."""
    unit.each(
        "DELETE FROM heartbeat WHERE owner IN (SELECT r.owner FROM {rows})",
        {"owner": "text"},
        [{"owner": owner} for owner in owners],
    )


def _of(unit: Unit, statement: str) -> str:
    return statement.replace("{now}", unit.dialect.now)

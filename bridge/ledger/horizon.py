"""Which transactions have surely ended. One whose COMMIT was cut off may be under way for long, and be seen only then.

So it is on PostgreSQL behind a synchronous standby that is away: the server holds the COMMIT back until the standby has it,
whether or not anybody is connected any more.
"""

from __future__ import annotations

from typing import NamedTuple

from bridge.ledger.unit import Unit

_NUMBERS = "SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint) AS own, CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS oldest"


class Horizon(NamedTuple):
    """Numbers of transactions: our own, greater than that of any that wrote before it, and of the oldest under way."""

    own: int
    oldest: int


def horizon(unit: Unit) -> Horizon:
    """Look at it. What ended before shows its effects to the statements that come after this one."""
    if not unit.dialect.many_writers:  # nobody else writes: what is not there by now will never be
        return Horizon(0, 0)
    return Horizon(*unit.rows(_NUMBERS)[0])

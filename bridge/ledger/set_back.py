"""A clock that was set back: what was due by the wrong time would wait for it to come again, and is moved along."""

from __future__ import annotations

from typing import Final

from bridge.ledger.unit import Unit

_QUEUES: Final = (("delivery", "state IN ('open', 'blocked')"), ("lookup", "state = 'open'"))
_BY: Final = """
UPDATE {table} SET due_at = (CASE WHEN due_at + :jump > :now THEN due_at + :jump ELSE :now END), updated_at = :now
WHERE {undone} AND due_at > :now
"""
_FROM_AHEAD: Final = """
UPDATE {table} SET due_at = (CASE WHEN due_at > updated_at THEN :now + due_at - updated_at ELSE :now END), updated_at = :now
WHERE {undone} AND due_at > :now AND updated_at > :now + :noticed
"""


def move_due(unit: Unit, now: int, jump: int) -> int:
    """Move the due times that lie ahead by ``jump`` milliseconds, because the clock was moved by as much."""
    return sum(unit.run(_BY.format(table=table, undone=undone), now=now, jump=jump) for table, undone in _QUEUES)


def bring_back(unit: Unit, now: int, noticed: int) -> int:
    """Count anew from now what was put off more than ``noticed`` milliseconds later than it is now.

    The clock was set back while nobody looked: only a time of the last touch that lies ahead tells of it.
    """
    return sum(
        unit.run(_FROM_AHEAD.format(table=table, undone=undone), now=now, noticed=noticed) for table, undone in _QUEUES
    )

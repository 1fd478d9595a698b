"""Empties events and notices that are older than ``[ledger] keep_events``, and lets no early refund wait for ever.

The story stays, what the sender wrote goes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import structlog

from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import ageing, notices, schedule
from bridge.ledger.schedule import RETENTION
from bridge.ledger.store import Ledger

log = structlog.get_logger(__name__)

_AT_ONCE = 500
_LONGEST_WAIT = timedelta(days=90)
"""For a purchase: longer than any sender repeats its events."""


class Retention:
    """Empties old events, a few hundred in one transaction."""

    def __init__(self, ledger: Ledger, keep: Callable[[], timedelta], clock: Clock) -> None:
        """Work on ``ledger``; events younger than ``keep`` says stay as they are."""
        self._ledger = ledger
        self._keep = keep
        self._clock = clock

    async def run(self) -> None:
        """Empty what is old enough.

        Raises:
            LedgerError: the ledger can't take it now; the next run does it.
        """
        before = milliseconds(self._clock.now() - self._keep())
        await self._empty_events(before)
        await self._empty_notices(before)
        await self._end_early()
        now = milliseconds(self._clock.now())
        await self._ledger.write(lambda unit: schedule.ran(unit, RETENTION, now))

    async def _empty_events(self, before: int) -> None:
        emptied = since = 0
        while found := await self._ledger.read(partial(ageing.old_events, since=since, before=before, limit=_AT_ONCE)):
            ids, since = [event_id for event_id, _ in found], found[-1][1]
            done = await self._ledger.write(partial(ageing.empty_events, ids=ids, before=before))
            emptied += done
            if not done:  # all of them wait for something by now; the next run looks at what comes after them
                break
        if emptied:
            log.info("retention.emptied", events=emptied)

    async def _empty_notices(self, before: int) -> None:
        emptied = 0
        while (done := await self._ledger.write(lambda unit: notices.empty(unit, before, _AT_ONCE))) > 0:
            emptied += done
        if emptied:
            log.info("retention.emptied", notices=emptied)

    async def _end_early(self) -> None:
        now, before = milliseconds(self._clock.now()), milliseconds(self._clock.now() - _LONGEST_WAIT)
        note = f"no purchase came within {_LONGEST_WAIT.days} days"
        ended = 0
        while done := await self._ledger.write(lambda unit: ageing.end_early(unit, before, note, now, _AT_ONCE)):
            ended += done
        if ended:
            log.info("retention.ended_early", commands=ended)

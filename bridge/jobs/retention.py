"""Empties events that are older than ``[ledger] keep_events``: the story stays, what the sender wrote goes."""

from __future__ import annotations

from datetime import timedelta

import structlog

from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import ageing
from bridge.ledger.store import Ledger

log = structlog.get_logger(__name__)

_AT_ONCE = 500


class Retention:
    """Empties old events, a few hundred in one transaction."""

    def __init__(self, ledger: Ledger, keep: timedelta, clock: Clock) -> None:
        """Work on ``ledger``; events younger than ``keep`` stay as they are."""
        self._ledger = ledger
        self._keep = keep
        self._clock = clock

    async def run(self) -> None:
        """Empty what is old enough.

        Raises:
            LedgerError: the ledger can't take it now; the next run does it.
        """
        before = milliseconds(self._clock.now() - self._keep)
        emptied = 0
        while (done := await self._ledger.write(lambda unit: ageing.empty_events(unit, before, _AT_ONCE))) > 0:
            emptied += done
        if emptied:
            log.info("retention.emptied", events=emptied)

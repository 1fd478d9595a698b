"""Keeps since when each credential is known: looked at when the configuration is read, and once a day while it stays."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

import structlog

from bridge.contract.errors import LedgerError
from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import credentials
from bridge.ledger.credentials import Held
from bridge.ledger.store import Ledger

log = structlog.get_logger(__name__)

_DAY: Final = 86_400_000


class CredentialAges:
    """What one bridge tells the ledger of the credentials that it works by."""

    def __init__(self, ledger: Ledger, clock: Clock, held: Callable[[], Iterable[Held]]) -> None:
        """Tell ``ledger`` of what ``held`` returns, which may differ after each reload."""
        self._ledger = ledger
        self._clock = clock
        self._held = held
        self._told: tuple[frozenset[Held], int] | None = None

    async def run(self) -> None:
        """Tell what is new, or has not been told today.

        Raises:
            LedgerError: it was not taken; the next run tells it.
        """
        now = milliseconds(self._clock.now())
        found = frozenset(self._held()), now // _DAY
        if found != self._told:
            await self._ledger.write(partial(credentials.confirm, held=found[0], now=now))
            self._told = found

    async def soon(self) -> None:
        """Tell it, or leave it to the next run where the ledger is away: nobody's access waits for this."""
        try:
            await self.run()
        except LedgerError as fault:
            log.warning("credentials.not_told", fault=str(fault))

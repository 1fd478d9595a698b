"""How often somebody may guess a password, and how it stays slow without shutting out whoever knows theirs.

A name that has failed too often at an address, or anywhere, is locked for a while. An address at which too much has failed,
under whatever names, is only suspected: behind it may be an office. Whoever knows their password still gets in there, but
those who try are looked at one after the other, and one who fails keeps the others waiting.

Nobody learns which names there are: whatever was wrong, the same is said at the same time. What is kept is bounded: a suspected
address adds nothing but the counts of names that there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from bridge.edge.forwarded import Peer
from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import console
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit

LOCKED: Final = 15
"""Minutes for which a name is locked at most, when it fails no more."""

_WINDOW: Final = LOCKED * 60_000  # milliseconds
_MOST_OF_ONE: Final = 5  # failures of one name from one address
_MOST_OF_ADDRESS: Final = 20  # of whatever names from one address
_MOST_OF_NAME: Final = 100  # of one name from wherever: many addresses guess together
_WAITING: Final = 5  # at one suspected address
_PAUSE: Final = 2.0  # seconds that a failure there takes


@dataclass(frozen=True, slots=True)
class Guess:
    """A try that is counted as if it failed.

    Attributes:
        wait: milliseconds for which no password counts; 0 where this one does.
        suspected: whether the address is; then nothing was counted yet.
    """

    own: str
    others: tuple[str, ...]
    wait: int
    suspected: bool = False

    def forgiven(self, unit: Unit) -> None:
        """Take it back: it did not fail. What failed for the same name at this address is forgotten with it."""
        console.forgive(unit, self.own)
        console.succeeded(unit, self.others)


class Guesses:
    """Counts tries in the ledger, so that a restart and every other bridge know them."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        """Count in ``ledger``, by ``clock``."""
        self._ledger = ledger
        self._clock = clock
        self._queues: dict[str, _Queue] = {}  # by suspected address, while somebody waits there

    async def count(self, name: str, caller: Peer) -> Guess:
        """Count a try for its name and its address; nothing where the address is suspected.

        Raises:
            LedgerError: it can't be counted.
        """
        now = milliseconds(self._clock.now())
        own, of_name, address = _keys(name, caller)

        def work(unit: Unit) -> tuple[bool, int]:
            suspected = console.full(unit, address, _MOST_OF_ADDRESS, now, _WINDOW) > 0
            most = {own: _MOST_OF_ONE, of_name: _MOST_OF_NAME, address: _MOST_OF_ADDRESS}
            return suspected, 0 if suspected else console.guess(unit, most, now, _WINDOW)

        suspected, wait = await self._ledger.aside(work)
        return Guess(own, (of_name, address), wait, suspected)

    async def count_suspected(self, name: str, caller: Peer) -> Guess:
        """Count a try from a suspected address, when it is its turn, for a name that there is.

        Raises:
            LedgerError: it can't be counted.
        """
        now = milliseconds(self._clock.now())
        own, of_name, _ = _keys(name, caller)
        most = {own: _MOST_OF_ONE, of_name: _MOST_OF_NAME}
        wait = await self._ledger.aside(lambda unit: console.guess(unit, most, now, _WINDOW))
        return Guess(own, (of_name,), wait)

    @asynccontextmanager
    async def turn(self, caller: Peer) -> AsyncIterator[Turn | None]:
        """Wait until all are done that came before from this address; yields None where too many wait there already."""
        queue = self._queues.setdefault(caller.network, _Queue())
        if queue.length >= _WAITING:
            yield None
            return
        queue.length += 1
        try:
            async with queue.first:
                yield Turn(self._clock)
        finally:
            queue.length -= 1
            if not queue.length:
                del self._queues[caller.network]


class Turn:
    """The time that one who tries from a suspected address has before the next one."""

    def __init__(self, clock: Clock) -> None:
        """Begin now."""
        self._clock = clock
        self._began = clock.monotonic()

    async def fails(self) -> None:
        """Wait for its end, which is the same whatever was found wrong, and however long that took."""
        await asyncio.sleep(max(0.0, self._began + _PAUSE - self._clock.monotonic()))


class _Queue:
    def __init__(self) -> None:
        self.length = 0
        self.first = asyncio.Lock()


def _keys(name: str, caller: Peer) -> tuple[str, str, str]:
    """Return whom a failure counts for: the name at this address, the name, the address."""
    network = caller.network
    return (
        console.digest("both", name, network),
        console.digest("name", name),
        console.digest("address", network),
    )

"""What a lane has claimed and does not work on: owed to the ledger until it has taken it back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import claims
from bridge.ledger.claimed import Claimed
from bridge.ledger.horizon import Horizon, horizon
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit

_LOOK_AGAIN = 1.0  # seconds


@dataclass(slots=True)
class _Doubt:
    """A claim that may have been committed. ``own``: whoever wrote it had a smaller number; None before the first look."""

    lease: str
    own: int | None = None


class Returns:
    """The leases of one lane that nobody works under.

    The tick renews every lease of a living process. One that is forgotten would keep its person out until the next start.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        """Owe nothing."""
        self._ledger = ledger
        self._clock = clock
        self._unbegun: list[tuple[int, str]] = []  # delivery id, lease
        self._doubtful: list[_Doubt] = []
        self._look_at = clock.monotonic()

    def unbegun(self, items: Iterable[Claimed]) -> None:
        """Owe deliveries that were claimed and not begun."""
        self._unbegun += [(item.delivery.id, item.delivery.lease) for item in items]

    def doubtful(self, lease: str) -> None:
        """Owe a claim of which the ledger said that it failed: it may have been committed all the same, or still be."""
        self._doubtful.append(_Doubt(lease))
        self._look_at = self._clock.monotonic()

    async def settle(self) -> bool:
        """Give back what is owed; return whether anything was.

        Raises:
            LedgerError: it is still owed.
        """
        looking = self._clock.monotonic() >= self._look_at
        unbegun, doubtful = [*self._unbegun], [*self._doubtful] if looking else []
        if not unbegun and not doubtful:
            return False
        now = milliseconds(self._clock.now())

        def work(unit: Unit) -> tuple[Horizon, int]:
            claims.give_back(unit, unbegun, now)
            if not doubtful:
                return Horizon(0, 0), 0
            seen = horizon(unit)
            return seen, claims.take_back(unit, [doubt.lease for doubt in doubtful], now)

        seen, taken = await self._ledger.write(work)
        del self._unbegun[: len(unbegun)]
        for doubt in doubtful:
            doubt.own = seen.own if doubt.own is None else doubt.own
        # Whatever wrote them has ended, one way or the other, before we looked: what was there was taken back.
        ended = {doubt.lease for doubt in doubtful if doubt.own is not None and seen.oldest >= doubt.own}
        self._doubtful = [doubt for doubt in self._doubtful if doubt.lease not in ended]
        if doubtful:
            self._look_at = self._clock.monotonic() + _LOOK_AGAIN
        return bool(unbegun or taken)

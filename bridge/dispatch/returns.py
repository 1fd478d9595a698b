"""What a lane has claimed and does not work on: owed to the ledger until it has taken it back."""

from __future__ import annotations

from collections.abc import Iterable

from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import claims
from bridge.ledger.claimed import Claimed
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit


class Returns:
    """The leases of one lane that nobody works under.

    The tick renews every lease of a living process. One that is forgotten would keep its person out until the next start.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        """Owe nothing."""
        self._ledger = ledger
        self._clock = clock
        self._unbegun: list[tuple[int, str]] = []  # delivery id, lease
        self._doubtful: list[str] = []

    def unbegun(self, items: Iterable[Claimed]) -> None:
        """Owe deliveries that were claimed and not begun."""
        self._unbegun += [(item.delivery.id, item.delivery.lease) for item in items]

    def doubtful(self, lease: str) -> None:
        """Owe a claim of which the ledger said that it failed: it may have been committed all the same."""
        self._doubtful.append(lease)

    async def settle(self) -> bool:
        """Give back what is owed; return whether anything was.

        Raises:
            LedgerError: it is still owed.
        """
        unbegun, doubtful, now = [*self._unbegun], [*self._doubtful], milliseconds(self._clock.now())
        if not unbegun and not doubtful:
            return False

        def work(unit: Unit) -> None:
            claims.give_back(unit, unbegun, now)
            claims.take_back(unit, doubtful, now)

        await self._ledger.write(work)
        del self._unbegun[: len(unbegun)], self._doubtful[: len(doubtful)]
        return True

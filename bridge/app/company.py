"""What a bridge has of its company on the ledger: the shared clock, its heartbeat, the lead of the timed jobs, shared rates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from weakref import WeakSet

from bridge.contract.role import Role
from bridge.contract.settings import Rate
from bridge.dispatch.lane import Lane
from bridge.dispatch.presence import Presence, Rhythm
from bridge.dispatch.shared_rate import SharedRate
from bridge.kit.clock import Clock, FollowingClock
from bridge.kit.http import Limiter, Windows
from bridge.ledger.store import Ledger
from config.settings import Settings


class Company:
    """On SQLite a bridge is alone: it leads, nobody fences it, and its rates are its own."""

    def __init__(
        self,
        ledger: Ledger,
        owner: str,
        role: Role,
        settings: Settings,
        clock: Clock,
        by_target: Callable[[], Mapping[str, Lane]],
    ) -> None:
        """Prepare; nothing runs before :meth:`start`. ``clock`` is this machine's."""
        self._ledger = ledger
        self._owner = owner
        self._role = role
        self._rates: WeakSet[SharedRate] = WeakSet()  # those of lanes that a reload replaced go with them
        self.clock = clock
        self.lead = ledger.lead()
        self.presence: Presence | None = None
        if ledger.shared:
            given = settings.dispatch
            rhythm = Rhythm.of(given.lease.total_seconds(), given.deadline.total_seconds())
            self.clock = FollowingClock(clock)
            self.presence = Presence(ledger, owner, role, rhythm, self.clock, by_target)

    async def start(self) -> None:
        """Say that we live, and look for the lead where the role has jobs.

        Raises:
            LedgerError: it can't be said.
        """
        if self.presence is not None:
            await self.presence.start()
        if self._role.delivers:
            self.lead.start()

    async def introduce(self) -> None:
        """Say that the lanes live, before they claim anything.

        Raises:
            LedgerError: it can't be said.
        """
        if self.presence is not None:
            await self.presence.beat()

    async def stop(self) -> None:
        """Leave it in good order, after the lanes have ended."""
        await asyncio.to_thread(self.lead.stop)
        for rate in [*self._rates]:
            await rate.close()
        if self.presence is not None:
            await self.presence.stop()

    def joined(self, lane: Lane) -> None:
        """Let a new lane share the condition of its target with the others."""
        if self.presence is not None:
            self.presence.watch(lane)

    def limiter(self, key: str, rates: Sequence[Rate], own: Windows, longest: float) -> Limiter:
        """Return what hands out the tokens of one limit: ``own`` where we are alone, or where there is no limit."""
        if not self._ledger.shared or not rates:
            return own
        shared = SharedRate(key, self._owner, rates, own, self._ledger.lend, longest, self.clock)
        self._rates.add(shared)
        return shared

    def alone(self, job: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
        """Return the job as one that only the leading bridge does."""

        async def run() -> None:
            if self.lead.held:
                await job()

        return run

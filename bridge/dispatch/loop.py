"""All lanes together: started, woken by commits, drained."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import structlog

from bridge.dispatch.lane import Lane
from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import claims, lanes, set_back
from bridge.ledger.store import Ledger

log = structlog.get_logger(__name__)


_NOTICED = 5_000  # milliseconds; less is a clock being kept right


class Dispatcher:
    """Runs the lanes of all targets."""

    def __init__(self, ledger: Ledger, by_target: Mapping[str, Lane], clock: Clock, lease: float) -> None:
        """Take lanes that are wired and not started; ``lease`` is in seconds."""
        self.lanes = dict(by_target)
        self._ledger = ledger
        self._clock = clock
        self._lease = lease
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.leads: Callable[[], bool] = lambda: True  # of several bridges one follows a clock that was set back
        self._leaving: set[str] = set()  # targets whose lane ends, so that another takes its place
        self._seen: tuple[int, int] | None = None
        self._brought_back = False

    @property
    def running(self) -> bool:
        """Whether every lane's loop is alive; one that a reload is just replacing is not missed."""
        staying = self.lanes.keys() - self._leaving
        return staying <= self._tasks.keys() and not any(self._tasks[name].done() for name in staying)

    async def start(self) -> None:
        """Take back the leases of the dead, remember pauses, start every lane.

        A lane that the bridge paused itself begins anew: the cause may have been mended while it was down. Not where
        another bridge did, or has taken its place: that one asks the target.
        """
        now = milliseconds(self._clock.now())
        if self._ledger.shared:
            returned = await self._ledger.write(lambda unit: claims.return_expired(unit, now))
        else:
            returned = await self._ledger.write(lambda unit: claims.return_all(unit, now))
        if returned:
            log.info("dispatch.leases_returned", deliveries=returned)
        # On SQLite nobody else asks: what stands there was copied from a ledger that bridges shared.
        asked = {row.target for row in await self._ledger.write(lanes.in_trouble)} if self._ledger.shared else set()
        for row in await self._ledger.write(lanes.paused):
            if row.paused_by == "bridge" and row.target in asked:
                continue
            if row.paused_by == "bridge":
                await self._ledger.write(partial(lanes.forgive, target=row.target))
            elif row.target in self.lanes:
                self.lanes[row.target].pause(row.paused_by)
        await self._follow_clock(now)
        self._ledger.on_commit(self.wake)
        self._run(self.lanes)

    async def pauses(self) -> dict[str, str]:
        """Return which targets are paused, and by whom.

        Raises:
            LedgerError: they can't be read.
        """
        return {row.target: row.paused_by for row in await self._ledger.write(lanes.paused)}

    async def exchange(self, by_target: Mapping[str, Lane], pauses: Mapping[str, str]) -> list[Lane]:
        """Let these lanes work from now on; return those that left, once what they had in flight has ended.

        Each begins as soon as the one in its place has ended: a target that hangs keeps no other waiting. Lanes that stay
        are not disturbed. A pause by an operator is the target's, and goes over to its new lane;
        ``pauses`` tells of targets that had none.
        """
        left = {name: lane for name, lane in self.lanes.items() if by_target.get(name) is not lane}
        for name, lane in by_target.items():
            if name not in self.lanes:
                self._begin(name, lane, pauses.get(name))
        await asyncio.gather(*(self._replace(lane, by_target.get(name)) for name, lane in left.items()))
        return list(left.values())

    async def _replace(self, former: Lane, lane: Lane | None) -> None:
        name = former.target.name
        self._leaving.add(name)
        try:
            await former.drain()
            await asyncio.gather(self._tasks.pop(name), return_exceptions=True)
        finally:
            self._leaving.discard(name)
        del self.lanes[name]
        if lane is not None:
            self._begin(name, lane, former.paused_by)  # as it is now: an operator may have acted meanwhile

    def _begin(self, name: str, lane: Lane, paused_by: str | None) -> None:
        self.lanes[name] = lane
        if paused_by not in (None, "bridge"):
            lane.pause(paused_by)
        self._run({name: lane})

    def _run(self, arrived: Mapping[str, Lane]) -> None:
        for name, lane in arrived.items():
            self._tasks[name] = asyncio.create_task(lane.run(), name=f"lane:{name}")

    def wake(self, targets: frozenset[str]) -> None:
        """Wake the lanes of these targets."""
        for name in targets:
            if (lane := self.lanes.get(name)) is not None:
                lane.wake()

    async def tick(self) -> None:
        """Turn the safety net once: renew our leases, take back those of whoever is gone, wake every lane."""
        now = milliseconds(self._clock.now())
        await self._follow_clock(now)
        until = now + int(self._lease * 1000)
        owners = {lane.owner for lane in self.lanes.values()}
        # Not those of a lane that a reload has replaced: what it could not end is taken up as unknown when they are over.
        await self._ledger.write(lambda unit: [claims.renew_leases(unit, owner, until) for owner in sorted(owners)])
        await self._ledger.write(lambda unit: claims.return_expired(unit, now))
        self.wake(frozenset(self.lanes))

    async def _follow_clock(self, now: int) -> None:
        """Move what is due along when somebody has set the clock back: otherwise it would wait for the old time to return."""
        elapsed = int(self._clock.monotonic() * 1000)
        jump = (now - self._seen[0]) - (elapsed - self._seen[1]) if self._seen is not None else 0
        self._seen = (now, elapsed)
        if not self.leads():
            return
        if not self._brought_back:  # it may have been set back while no bridge ran
            moved = await self._ledger.write(lambda unit: set_back.bring_back(unit, now, _NOTICED))
            self._brought_back = True
            if moved:
                log.warning("dispatch.brought_back", moved=moved)
        if jump < -_NOTICED:
            log.warning("dispatch.clock_set_back", seconds=-jump // 1000)
            await self._ledger.write(lambda unit: set_back.move_due(unit, now, jump))

    async def drain(self) -> None:
        """Stop claiming, finish what is in flight, give leases back."""
        await asyncio.gather(*(lane.drain() for lane in self.lanes.values()))
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

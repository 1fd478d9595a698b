"""All lanes together: started, woken by commits, drained."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import structlog

from bridge.dispatch.lane import Lane
from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import claims, lanes
from bridge.ledger.store import Ledger

log = structlog.get_logger(__name__)


_NOTICED = 5_000  # milliseconds; less is a clock being kept right


class Dispatcher:
    """Runs the lanes of all targets."""

    def __init__(self, ledger: Ledger, by_target: Mapping[str, Lane], clock: Clock, owner: str, lease: float) -> None:
        """Take lanes that are wired and not started; ``lease`` is in seconds."""
        self.lanes = dict(by_target)
        self._ledger = ledger
        self._clock = clock
        self._owner = owner
        self._lease = lease
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._seen: tuple[int, int] | None = None

    @property
    def running(self) -> bool:
        """Whether every lane's loop is alive."""
        return self._tasks.keys() == self.lanes.keys() and not any(task.done() for task in self._tasks.values())

    async def start(self) -> None:
        """Take back the leases of the dead, remember pauses, start every lane.

        A lane that the bridge paused itself begins anew: the cause may have been mended while it was down.
        """
        now = milliseconds(self._clock.now())
        if self._ledger.shared:
            returned = await self._ledger.write(lambda unit: claims.return_expired(unit, now))
        else:
            returned = await self._ledger.write(lambda unit: claims.return_all(unit, now))
        if returned:
            log.info("dispatch.leases_returned", deliveries=returned)
        for row in await self._ledger.write(lanes.paused):
            if row.paused_by == "bridge":
                await self._ledger.write(partial(lanes.forgive, target=row.target))
            elif row.target in self.lanes:
                self.lanes[row.target].pause(row.paused_by)
        await self._follow_clock(now)
        self._ledger.on_commit(self.wake)
        self._run(self.lanes)

    async def exchange(self, by_target: Mapping[str, Lane]) -> list[Lane]:
        """Let these lanes work from now on; return those that left, once what they had in flight has ended.

        Lanes that stay are not disturbed. A pause by an operator is the target's, and goes over to its new lane.

        Raises:
            LedgerError: the pauses can't be read; nothing has changed.
        """
        pauses = {row.target: row.paused_by for row in await self._ledger.write(lanes.paused)}
        left = [lane for name, lane in self.lanes.items() if by_target.get(name) is not lane]
        arrived = {name: lane for name, lane in by_target.items() if self.lanes.get(name) is not lane}
        await asyncio.gather(*(lane.drain() for lane in left))
        for lane in left:
            await asyncio.gather(self._tasks.pop(lane.target.name), return_exceptions=True)
        self.lanes.clear()
        self.lanes.update(by_target)
        for name, lane in arrived.items():
            if pauses.get(name, "bridge") != "bridge":
                lane.pause(pauses[name])
        self._run(arrived)
        return left

    def _run(self, arrived: Mapping[str, Lane]) -> None:
        for name, lane in arrived.items():
            self._tasks[name] = asyncio.create_task(lane.run(), name=f"lane:{name}")

    def wake(self, targets: frozenset[str]) -> None:
        """Wake the lanes of these targets."""
        for name in targets:
            if (lane := self.lanes.get(name)) is not None:
                lane.wake()

    async def tick(self) -> None:
        """Turn the safety net once: renew our leases, take back those of owners who are gone, wake every lane."""
        now = milliseconds(self._clock.now())
        await self._follow_clock(now)
        until = now + int(self._lease * 1000)
        await self._ledger.write(lambda unit: claims.renew_leases(unit, self._owner, until))
        if self._ledger.shared:
            await self._ledger.write(lambda unit: claims.return_expired(unit, now))
            self._take_over_pauses(await self._ledger.write(lanes.paused))
        self.wake(frozenset(self.lanes))

    async def _follow_clock(self, now: int) -> None:
        """Move what is due along when somebody has set the clock back: otherwise it would wait for the old time to return."""
        elapsed = int(self._clock.monotonic() * 1000)
        jump = (now - self._seen[0]) - (elapsed - self._seen[1]) if self._seen is not None else 0
        self._seen = (now, elapsed)
        if jump < -_NOTICED:
            log.warning("dispatch.clock_set_back", seconds=-jump // 1000)
            await self._ledger.write(lambda unit: claims.move_due(unit, now, jump))

    def _take_over_pauses(self, pauses: Sequence[Any]) -> None:
        """Do here what an operator did through another machine."""
        paused = {row.target: row.paused_by for row in pauses if row.paused_by != "bridge"}
        for name, lane in self.lanes.items():
            if name in paused and lane.paused_by != paused[name]:
                lane.pause(paused[name])
            elif name not in paused and lane.paused_by not in (None, "bridge"):
                lane.resume()

    async def drain(self) -> None:
        """Stop claiming, finish what is in flight, give leases back."""
        await asyncio.gather(*(lane.drain() for lane in self.lanes.values()))
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

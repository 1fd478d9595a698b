"""One bridge among several on a ledger: its heartbeat, and what it hears of the others.

A bridge whose heart beats is alive, whatever its clock says. One that can't write its beat for a while is fenced: it begins
nothing more, since another may soon take over what it holds. What it has begun ends before that, because a call's deadline
is shorter than what is left of the lease by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from bridge.contract.errors import LedgerError
from bridge.dispatch.condition import Condition
from bridge.dispatch.lane import Lane
from bridge.kit.clock import FollowingClock, moment
from bridge.ledger import heartbeat, lanes
from bridge.ledger.heartbeat import Beat
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit

log = structlog.get_logger(__name__)

_BEATS = 3  # that may be missed
_SHORTEST_FENCE = 3.0


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Seconds.

    Attributes:
        beat: from one beat to the next.
        fence: after the last beat that was written, nothing more is begun.
        dead: after the last beat, others take over.
    """

    beat: float
    fence: float
    dead: float

    @classmethod
    def of(cls, lease: float, deadline: float) -> Rhythm:
        """Leave whoever is cut off the time to end its calls: ``fence + deadline`` is not longer than ``dead``, the lease.

        Where lease and deadline lie closer together than three seconds, a call may outlive the lease by those.
        """
        fence = min(max(lease - deadline, _SHORTEST_FENCE), lease / 2)
        return cls(fence / _BEATS, fence, lease)


class Presence:
    """Keeps the heart beating, and does here what others did to lanes. For ledgers that several bridges share."""

    def __init__(
        self,
        ledger: Ledger,
        owner: str,
        role: str,
        rhythm: Rhythm,
        clock: FollowingClock,
        by_target: Callable[[], Mapping[str, Lane]],
    ) -> None:
        """Speak for the bridge ``owner`` and for whatever lanes ``by_target`` returns at that moment."""
        self.alive = 0
        self._ledger = ledger
        self._owner = owner
        self._role = role
        self._rhythm = rhythm
        self._clock = clock
        self._by_target = by_target
        self._beaten = float("-inf")  # when the last beat that was written was begun
        self._known: set[str] = set()  # owners with a heartbeat of ours
        self._mine: set[str] = set()  # targets of which the ledger knows that we ask them
        self._telling: dict[str, int] = {}
        self._tells: set[asyncio.Task[None]] = set()
        self._stir = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def fence(self) -> float:
        """Seconds without a heartbeat after which nothing may be begun."""
        return self._rhythm.fence

    @property
    def fenced(self) -> bool:
        """Whether nothing may be begun: our heartbeat has not been written for too long."""
        return self.age > self._rhythm.fence

    @property
    def age(self) -> float:
        """Seconds since the last heartbeat that was written."""
        return self._clock.monotonic() - self._beaten

    def watch(self, lane: Lane) -> None:
        """Fence a lane, and tell the others of its target's condition; before it is started."""
        lane.condition.fenced = lambda: self.fenced
        lane.condition.changed = lambda: self._changed(lane)

    async def start(self) -> None:
        """Beat once, so that what is claimed from now on is ours, and then go on.

        Raises:
            LedgerError: it can't be written.
        """
        await self.beat()
        self._ledger.on_commit(self._heard)
        self._task = asyncio.create_task(self._beat_on(), name="heartbeat")

    async def stop(self) -> None:
        """End in good order; after the lanes have ended."""
        for task in [*([self._task] if self._task else []), *self._tells]:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if self.fenced:  # the ledger is away, and others find out by themselves
            return
        with suppress(LedgerError):
            await self._ledger.aside(lambda unit: heartbeat.leave(unit, sorted(self._known)))

    async def beat(self) -> None:
        """Write one heartbeat, take back what the dead hold, and take over what others did to lanes.

        Raises:
            LedgerError: it is not written.
        """
        begun, lapsed = self._clock.monotonic(), self.fenced and self._beaten > 0
        by_target = dict(self._by_target())
        paused_by = {name: lane.paused_by for name, lane in by_target.items()}
        owners = {self._owner: self._role, **{lane.owner: heartbeat.LANE for lane in by_target.values()}}

        def work(unit: Unit) -> tuple[Beat, Sequence[Any], Sequence[Any]]:
            beaten = heartbeat.beat(unit, owners, int(self._rhythm.dead * 1000))
            return beaten, lanes.paused(unit), lanes.in_trouble(unit)

        beaten, pauses, troubles = await self._ledger.aside(work)
        self._clock.follow(moment(beaten.now), begun, self._clock.monotonic())
        lost = beaten.unknown & self._known
        if lapsed or lost:
            await self._lapsed(by_target, taken_for_dead=bool(lost))
        self._known, self.alive, self._beaten = set(owners), beaten.alive, begun
        if beaten.returned:
            log.warning("dispatch.leases_returned", deliveries=beaten.returned)
        # Where somebody acted here meanwhile, what was read is older than that.
        untouched = {name: lane for name, lane in by_target.items() if lane.paused_by == paused_by[name]}
        self._take_over_pauses(untouched, pauses)
        await self._take_over_troubles(by_target, troubles, {row.target for row in pauses if row.paused_by == "bridge"})
        if lapsed or lost or beaten.returned:
            for lane in by_target.values():
                lane.wake()

    async def _lapsed(self, by_target: Mapping[str, Lane], *, taken_for_dead: bool) -> None:
        # Still fenced: nothing of it can be begun meanwhile.
        log.warning("presence.lapsed", seconds=round(self.age, 1), taken_for_dead=taken_for_dead)
        self._beaten = float("-inf")
        await asyncio.gather(*(lane.let_go() for lane in by_target.values()))

    async def _beat_on(self) -> None:
        told = False
        while True:
            self._stir.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stir.wait(), self._rhythm.beat)
            try:
                await self.beat()
            except LedgerError as fault:
                if self.fenced and not told:
                    log.error("presence.fenced", seconds=round(self.age, 1), fault=str(fault))  # noqa: TRY400 - no trace
                    told = True
                await asyncio.sleep(min(self._rhythm.beat, 1.0))
            except Exception as fault:
                log.exception("presence.failed", fault=type(fault).__name__)
                await asyncio.sleep(self._rhythm.beat)
            else:
                told = False

    def _heard(self, names: frozenset[str]) -> None:
        if any(lanes.wake_name(target) in names for target in self._by_target()):
            self._stir.set()

    def _take_over_pauses(self, by_target: Mapping[str, Lane], pauses: Sequence[Any]) -> None:
        """Do here what an operator did through another bridge."""
        paused = {row.target: row.paused_by for row in pauses if row.paused_by != "bridge"}
        for name, lane in by_target.items():
            if name in paused and lane.paused_by != paused[name]:
                lane.pause(paused[name])
            elif name not in paused and lane.paused_by not in (None, "bridge"):
                lane.resume()

    async def _take_over_troubles(
        self, by_target: Mapping[str, Lane], troubles: Sequence[Any], paused: set[str]
    ) -> None:
        asked_by = {row.target: row for row in troubles}
        for name, lane in by_target.items():
            if self._telling.get(name):
                continue  # what was read is older than what we have to say
            asked = asked_by.get(name)
            if asked is None:
                self._nobody_asks(name, lane)
            elif asked.owner == lane.owner:
                self._we_ask(name, lane)
            elif not asked.alive and await self._ledger.aside(partial(lanes.take_over, target=name, owner=lane.owner)):
                self._mine.add(name)
                lane.condition.taken_over(paused=name in paused)
                lane.wake()
            else:
                self._mine.discard(name)
                lane.condition.left_to_another()

    def _we_ask(self, name: str, lane: Lane) -> None:
        self._mine.add(name)
        lane.condition.elsewhere = False
        if not lane.condition.in_trouble and lane.condition.paused_by is None:
            self._changed(lane)  # we found it well, and the ledger does not know it

    def _nobody_asks(self, name: str, lane: Lane) -> None:
        condition = lane.condition
        if name in self._mine:  # somebody has resumed it
            self._mine.discard(name)
            if condition.in_trouble:
                lane.resume()
        elif condition.elsewhere:
            condition.well_elsewhere()
            lane.wake()
        elif condition.in_trouble:
            self._changed(lane)  # the ledger was away when we wanted to say it

    def _changed(self, lane: Lane) -> None:
        name = lane.target.name
        self._telling[name] = self._telling.get(name, 0) + 1
        task = asyncio.create_task(self._tell(name, lane.owner, lane.condition), name=f"tell:{name}")
        self._tells.add(task)
        task.add_done_callback(self._tells.discard)

    async def _tell(self, name: str, owner: str, condition: Condition) -> None:
        """Say that a target is in trouble, or well; where the ledger is away, the next beat finds what is left to say."""
        try:
            with suppress(LedgerError):
                if condition.in_trouble:
                    await self._ledger.aside(partial(lanes.troubled, target=name, owner=owner))
                else:
                    await self._ledger.aside(partial(lanes.well, target=name, owner=owner))
                    self._mine.discard(name)
        finally:
            self._telling[name] -= 1
            self._stir.set()
